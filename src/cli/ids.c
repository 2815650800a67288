/*
 * ids.c - checked on the way in.
 */
#include "cli/ids.h"
#include "base/limits.h"

json_t *ids_to_json(const token_id *ids, size_t n)
{
    json_t *list = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_integer(ids[i]));
    return list;
}

json_t *pieces_to_json(const struct tokenizer *t, const token_id *ids, size_t n)
{
    struct utf8_stream stream = {0};
    json_t *list = json_array();
    struct buf piece;

    buf_init(&piece, LIMIT_RENDER_BYTES);
    for (size_t i = 0; i < n; i++) {
        buf_clear(&piece);
        utf8_stream_put(&stream, tokenizer_bytes(t, ids[i]), &piece);
        if (i + 1 == n)
            utf8_stream_end(&stream, &piece);
        json_array_append_new(list, json_stringn(buf_view(&piece).ptr, piece.len));
    }
    buf_release(&piece);
    return list;
}

bool ids_from_json(const json_t *v, size_t n_tokens, struct token_list *out, struct error *err)
{
    if (!json_is_array(v))
        return fail_param(err, ERR_INVALID, "ids",
                          "\"ids\" is %s, a list of token ids was expected",
                          v == NULL ? "missing" : json_kind(v));
    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *id = json_array_get(v, i);

        if (!json_is_integer(id))
            return fail_param(err, ERR_INVALID, "ids",
                              "\"ids\"[%zu] is %s, a token id was expected", i, json_kind(id));
        if (json_integer_value(id) < 0 || (uint64_t)json_integer_value(id) >= n_tokens)
            return fail_param(err, ERR_INVALID, "ids",
                              "\"ids\"[%zu] is %" JSON_INTEGER_FORMAT
                              ", this model has ids from 0 to %zu",
                              i, json_integer_value(id), n_tokens - 1);
        token_list_put(out, (token_id)json_integer_value(id));
    }
    return true;
}
