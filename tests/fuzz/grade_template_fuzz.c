/*
 * grade_template_fuzz.c - a template, a zero byte, a row: compiled, rendered and checked against each other.
 */
#include "grade/template.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void render(const struct template *t, const json_t *item, struct str text,
                   struct arena *arena)
{
    const struct grade_sample sample = {
        .output_text = text, .output_json = item, .output_tools = item};
    struct grade_scope scope;
    struct error err = {0};
    struct str out;
    unsigned flag = 0;

    scope_init(&scope, item, &sample, arena);
    if (!template_render(t, &scope, &out, &flag, &err) && (flag == 0 || err.message[0] == '\0'))
        abort();
    scope_release(&scope);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct str all = {(const char *)data, size};
    const size_t cut = str_find(all, (struct str){"", 1}, 0);
    const struct str row = str_from(all, cut < size ? cut + 1 : size);
    struct arena arena = {0};
    struct error err = {0};
    const struct template *t = NULL;
    json_t *item = NULL;

    if (size == 0)
        return 0;
    if (!json_parse(row, "a row", &item, &err))
        item = json_pack("{s:s}", "a", "b");
    if (template_compile(&arena, (struct str){all.ptr, cut}, "input", &t, &err)) {
        render(t, item, row, &arena);
        (void)!template_check_item(t, item, "a row", &err);
    } else if (err.message[0] == '\0') {
        abort();
    }
    json_decref(item);
    arena_release(&arena);
    return 0;
}
