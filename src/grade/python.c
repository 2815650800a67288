/*
 * python.c - the grader that calls grade(sample, item) of the user's source, in a sandbox.
 */
#include "base/limits.h"
#include "base/size.h"
#include "grade/grader_internal.h"

struct state {
    size_t number; /* of its source in the pool */
};

static bool open_part(struct grader *g, struct grader_part *part, struct error *err)
{
    struct state *st = ARENA_NEW(&g->arena, struct state);
    const char *param = part_param(g, part, "source");
    struct str source;

    if (!part_str(g, part, "source", &source, err))
        return false;
    if (source.len >= LIMIT_GRADER_SOURCE)
        return fail_param(err, ERR_LIMIT, param,
                          "%s: %zu bytes are more than a grader's source may have (%zu)", param,
                          source.len, LIMIT_GRADER_SOURCE);
    st->number = g->n_sources++;
    g->sources[st->number] = source;
    g->source_part[st->number] = part;
    part->state = st;
    return true;
}

static void run_part(struct grader *g, const struct grader_part *part, struct grade_scope *s,
                     struct part_result *out)
{
    const struct state *st = part->state;
    struct python_reply reply = {.details = out->details,
                                 .details_size = out->details_size,
                                 .printed = out->printed,
                                 .printed_size = out->printed_size};
    struct buf call;

    buf_init(&call, LIMIT_RENDER_BYTES);
    buf_char(&call, '{');
    part_write_call(&call, s);
    buf_char(&call, '}');
    if (call.overflowed) {
        part_fail(out, GRADE_OTHER_ERROR,
                  "the sample and its row are too large for a Python grader");
    } else {
        switch (python_pool_call(g->pool, st->number, buf_view(&call), &reply)) {
        case PYTHON_REWARD:
            out->score = reply.reward;
            break;
        case PYTHON_RUNTIME_ERROR:
            out->flags |= GRADE_PYTHON_RUNTIME_ERROR;
            break;
        case PYTHON_SERVER_ERROR:
            out->flags |= GRADE_PYTHON_SERVER_ERROR;
            break;
        }
    }
    buf_release(&call);
}

static bool check_item(const struct grader *g, const struct grader_part *part, const json_t *item,
                       const char *what, struct error *err)
{
    const struct state *st = part->state;
    const json_t *keys = g->pool == NULL ? NULL : python_pool_keys(g->pool, st->number), *key;
    size_t i;

    json_array_foreach(keys, i, key) if (json_object_get(item, json_string_value(key)) ==
                                         NULL) return fail(err, ERR_INVALID, "%s has no item.%.64s",
                                                           what, json_string_value(key));
    return true;
}

const struct grader_type grader_python = {
    .name = "python", .open = open_part, .run = run_part, .check_item = check_item};
