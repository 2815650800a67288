/*
 * grader_fuzz.c - any JSON as a grader, and what opens grades an answer. Python sources are read and not run.
 */
#include "grade/grader_internal.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void grade(struct grader *g, const json_t *item)
{
    const struct grade_sample sample = {.output_text = STR("Heart \xc3\xa9"), .output_json = item};
    static struct grade_result r;
    struct error err = {0};

    (void)!grader_check_item(g, item, "a row", &err);
    if (g->n_sources > 0)
        return;
    grader_run(g, item, &sample, &r);
    if (!isfinite(r.reward) || (r.flags != 0 && (r.reward != 0 || r.details[0] == '\0')))
        abort();
    json_decref(grade_response(g, &r));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = {0};
    struct grader *g = NULL;
    json_t *spec = NULL, *item = json_pack("{s:s, s:[i, f]}", "answer", "heart", "list", 1, 2.5);

    if (json_parse((struct str){(const char *)data, size}, "a grader", &spec, &err)) {
        if (grader_read(spec, NULL, &g, &err))
            grade(g, item);
        else if (err.kind == ERR_NONE || err.message[0] == '\0')
            abort();
    }
    grader_close(g);
    json_decref(spec);
    json_decref(item);
    return 0;
}
