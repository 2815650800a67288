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

static void write_value(struct buf *b, const char *key, const json_t *value)
{
    buf_text(b, key);
    if (value == NULL)
        buf_text(b, "null");
    else
        json_write(b, value, NULL);
}

/* {"sample": {as the API has it}, "item": {...}} */
static void write_call(struct buf *b, struct grade_scope *s)
{
    buf_text(b, "{\"sample\":{\"output_text\":");
    json_write_string(b, s->output_text, false);
    write_value(b, ",\"output_json\":", scope_json(s));
    write_value(b, ",\"output_tools\":", s->sample->output_tools);
    write_value(b, ",\"output_audio\":", NULL);
    write_value(b, ",\"choices\":", scope_choices(s));
    buf_text(b, "},\"item\":");
    if (s->item == NULL)
        buf_text(b, "{}");
    else
        json_write(b, s->item, NULL);
    buf_char(b, '}');
}

static void run_part(struct grader *g, const struct grader_part *part, struct grade_scope *s,
                     struct part_result *out)
{
    const struct state *st = part->state;
    struct buf call;

    buf_init(&call, LIMIT_RENDER_BYTES);
    write_call(&call, s);
    if (call.overflowed) {
        part_fail(out, GRADE_OTHER_ERROR,
                  "the sample and its row are too large for a Python grader");
    } else {
        switch (python_pool_call(g->pool, st->number, buf_view(&call), &out->score, out->details,
                                 out->details_size)) {
        case PYTHON_REWARD:
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
