/*
 * grader_fuzz.c - any JSON as a grader, and what opens grades an answer. Python sources are read and not run, endpoints
 * read and not called; the judge is one that replies with the question.
 */
#include "grade/grader_internal.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool reply(void *ctx, const struct grade_question *q, struct arena *a,
                  struct grade_reply *out, struct error *err)
{
    struct buf b;

    (void)ctx;
    (void)err;
    buf_init(&b, 1 << 20);
    json_write(&b, q->messages, NULL);
    json_write(&b, q->response_format, NULL);
    json_write(&b, q->sampling, NULL);
    *out = (struct grade_reply){.text = arena_str(a, buf_view(&b)), .model = "judge"};
    buf_release(&b);
    return true;
}

static bool calls_out(const struct grader *g)
{
    for (size_t i = 0; i < grader_count(g); i++)
        if (str_is(str_of(grader_type(g, i)), "endpoint"))
            return true;
    return false;
}

static void grade(struct grader *g, const json_t *item)
{
    const struct grade_sample sample = {.output_text = STR("Heart \xc3\xa9"), .output_json = item};
    static struct grade_result r;
    struct error err = {0};

    (void)!grader_check_item(g, item, "a row", &err);
    if (g->n_sources > 0 || calls_out(g))
        return;
    grader_run(g, item, &sample, &r);
    if (!isfinite(r.reward) || (r.flags != 0 && (r.reward != 0 || r.details[0] == '\0')))
        abort();
    json_decref(grade_response(g, &r));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct grade_services services = {.ask = reply};
    struct grade_options options = grade_defaults();
    struct error err = {0};
    struct grader *g = NULL;
    json_t *spec = NULL, *item = json_pack("{s:s, s:[i, f]}", "answer", "heart", "list", 1, 2.5);

    options.services = &services;
    if (json_parse((struct str){(const char *)data, size}, "a grader", &spec, &err)) {
        if (grader_read(spec, &options, &g, &err))
            grade(g, item);
        else if (err.kind == ERR_NONE || err.message[0] == '\0')
            abort();
    }
    grader_close(g);
    json_decref(spec);
    json_decref(item);
    return 0;
}
