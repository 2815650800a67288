/*
 * api_calls_fuzz.c - any bytes as a call of the API: its path and query in the first line, its body behind. Whoever asks is answered
 * once, by what was asked for or by a sentence of what is wrong with it, and never by a failure of the server's; what was made is found
 * again as it was told.
 */
#include "fuzz.h"

#include "api_rig.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Where what was made must be found. */
static const char *const collections[] = {
    "/v1/files",    "/v1/webhook_endpoints",     "/v1/evals",
    "/v1/feedback", "/v1/organization/projects", "/v1/fine_tuning/jobs"};
/* What is told once, or changes by itself. */
static const char *const told_once[] = {"signing_secret", "value", "code", "last_used_at"};

static void same_again(struct str path, const json_t *made, struct arena *a)
{
    const struct str id = json_str(json_object_get(made, "id"));
    const struct str end = str_of(arena_printf(a, "/" STR_FMT, STR_ARG(id)));
    bool must_be_there = false;
    struct api_answer again;

    if (id.len == 0 || !store_id_is(id, ""))
        return;
    for (size_t i = 0; i < sizeof collections / sizeof *collections; i++)
        must_be_there = must_be_there || str_is(path, collections[i]);
    const char *target = str_ends(path, end)
                             ? arena_text(a, path)
                             : arena_printf(a, STR_FMT STR_FMT, STR_ARG(path), STR_ARG(end));
    api_rig_call(HTTP_GET, str_of(target), (struct str){0}, a, &again);
    check(again.status == 200 || !must_be_there);
    if (again.status != 200)
        return;
    json_t *want = json_deep_copy(made), *got = json_deep_copy(again.json);
    for (size_t i = 0; i < sizeof told_once / sizeof *told_once; i++) {
        json_object_del(want, told_once[i]);
        json_object_del(got, told_once[i]);
    }
    if (!json_equal(want, got)) {
        json_dumpf(want, stderr, JSON_SORT_KEYS);
        fputs(" was made, and this is there:\n", stderr);
        json_dumpf(got, stderr, JSON_SORT_KEYS);
        check(false);
    }
    json_decref(want);
    json_decref(got);
}

/* A page says where it begins and ends, and one that is not the last has something in it. */
static void check_page(const json_t *page)
{
    const json_t *data = json_object_get(page, "data"), *last = json_object_get(page, "last_id");
    const size_t n = json_array_size(data);

    if (!json_is_array(data) || last == NULL)
        return;
    check(n > 0 || !json_is_true(json_object_get(page, "has_more")));
    check(n == 0 ? json_is_null(last)
                 : json_equal(last, json_object_get(json_array_get(data, n - 1), "id")) ||
                       json_is_null(last));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct str in = {(const char *)data, size};
    const size_t end = str_find(in, STR("\n"), 0);
    const struct str line = {in.ptr, end}, body = str_from(in, end < size ? end + 1 : size);
    enum http_method method;
    struct str target;
    struct arena a = {0};
    struct api_answer answer;

    if (size > 1 << 14 || !api_rig_line(line, &method, &target))
        return 0;
    api_rig_open();
    api_rig_call(method, target, body, &a, &answer);
    if (answer.status == 500)
        fprintf(stderr, "500: " STR_FMT "\n", STR_ARG(line));
    check(answer.status != 500);
    if (method == HTTP_GET && answer.status == 200)
        check_page(answer.json);
    if (method == HTTP_POST && answer.status < 300)
        same_again((struct str){target.ptr, str_find(target, STR("?"), 0)}, answer.json, &a);
    if (method != HTTP_GET)
        api_rig_restore();
    arena_release(&a);
    return 0;
}
