/*
 * token_decoder.c - a token goes through the steps, in two buffers of its own.
 */
#include "text/token_decoder.h"
#include "base/limits.h"

bool token_decoder_add(struct token_decoder *d, struct token_decoder_step step, struct error *err)
{
    if (d->n_steps == TOKEN_DECODER_MAX_STEPS)
        return fail(err, ERR_LIMIT, "a decoder of more than %d steps is not offered",
                    TOKEN_DECODER_MAX_STEPS);
    d->steps[d->n_steps++] = step;
    return true;
}

int token_byte(struct str token)
{
    if (token.len != 6 || !str_starts(token, STR("<0x")) || token.ptr[5] != '>')
        return -1;
    const int high = hex_digit(token.ptr[3]), low = hex_digit(token.ptr[4]);

    return high < 0 || low < 0 ? -1 : 16 * high + low;
}

struct str token_decoder_strip(const struct token_decoder_step *step, struct str text)
{
    const struct str sign = step->from;

    for (size_t i = 0; i < step->start && sign.len > 0 && str_starts(text, sign); i++)
        text = str_from(text, sign.len);
    for (size_t i = 0; i < step->stop && sign.len > 0 && str_ends(text, sign); i++)
        text.len -= sign.len;
    return text;
}

static void decode(const struct token_decoder_step *step, bool first, struct str in,
                   struct buf *out)
{
    switch (step->kind) {
    case DECODE_REPLACE:
        buf_replaced(out, in, step->from, step->to);
        return;
    case DECODE_BYTES: {
        const int byte = token_byte(in);

        if (byte >= 0)
            buf_char(out, (char)byte);
        else
            buf_str(out, in);
        return;
    }
    case DECODE_METASPACE:
        buf_replaced(out, in, step->from, first && step->drops_first ? STR("") : STR(" "));
        return;
    case DECODE_STRIP:
        buf_str(out, token_decoder_strip(step, in));
        return;
    }
}

void token_decoder_put(const struct token_decoder *d, struct str token, bool first, struct buf *out)
{
    struct buf made[2];
    size_t which = 0;

    buf_init(&made[0], LIMIT_RENDER_BYTES);
    buf_init(&made[1], LIMIT_RENDER_BYTES);
    for (size_t i = 0; i < d->n_steps; i++) {
        buf_clear(&made[which]);
        decode(&d->steps[i], first, token, &made[which]);
        token = made[which].len == 0 ? STR("") : buf_view(&made[which]);
        which = !which;
    }
    buf_str(out, token);
    buf_release(&made[0]);
    buf_release(&made[1]);
}
