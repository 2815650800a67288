/*
 * tokenizer_spec_fuzz.c - what a GGUF file may say of its tokenizer: a byte for the model and the prefix, one for how many merges,
 * then tokens, each a type, a score and a text up to a zero byte; behind an empty one merges, then a text to encode.
 *
 * Whatever opens has to encode the text or say why not; what plain text becomes is never control.
 */
#include "fuzz.h"

#include "base/size.h"
#include "text/tokenizer.h"

#include <stdint.h>
#include <stdlib.h>

#define MAX_TOKENS 400

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    struct str rest;
    struct str tokens[MAX_TOKENS], merges[MAX_TOKENS];
    int32_t types[MAX_TOKENS];
    float scores[MAX_TOKENS];
};

static struct str next_text(struct input *in)
{
    const size_t end = str_find(in->rest, STR("\0"), 0);
    const struct str text = {in->rest.ptr, end};

    in->rest = str_from(in->rest, size_min(end + 1, in->rest.len));
    return text;
}

static void check_answer(const struct tokenizer *t, struct str text, bool parse_special)
{
    struct token_list list = {0};
    struct error err;
    struct buf whole, kept;

    buf_init(&whole, 64 << 20);
    buf_init(&kept, 64 << 20);
    if (tokenizer_encode(t, text, parse_special, &list, &err)) {
        tokenizer_text(t, list.ids, list.n, false, &whole);
        tokenizer_decode(t, list.ids, list.n, true, &kept);
        check(utf8_valid(buf_view(&whole)) == whole.len && utf8_valid(buf_view(&kept)) == kept.len);
        for (size_t i = 0; i < list.n; i++)
            check(list.ids[i] >= 0 && (size_t)list.ids[i] < tokenizer_size(t));
    } else {
        check(list.n == 0 && err.message[0] != '\0');
    }
    buf_release(&whole);
    buf_release(&kept);
    token_list_release(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const models[] = {"llama", "gemma4", "gpt2", "bert"};
    static struct input in;
    struct tokenizer *t = NULL;
    struct error err = {0};

    if (size < 2)
        return 0;
    in = (struct input){.rest = {(const char *)data + 2, size - 2}};
    struct tokenizer_spec spec = {.tokens = in.tokens,
                                  .types = in.types,
                                  .scores = in.scores,
                                  .merges = in.merges,
                                  .prefix_blank = (data[0] & 4) != 0,
                                  .model = str_of(models[data[0] & 3]),
                                  .pre = STR("gpt-2")};
    while (spec.n_tokens < MAX_TOKENS && in.rest.len > 2) {
        const size_t n = spec.n_tokens++;

        in.types[n] = in.rest.ptr[0] & 7;
        in.scores[n] = (float)(signed char)in.rest.ptr[1];
        in.rest = str_from(in.rest, 2);
        in.tokens[n] = next_text(&in);
        if (in.tokens[n].len == 0)
            break;
    }
    while (spec.n_merges < data[1] && in.rest.len > 0)
        in.merges[spec.n_merges++] = next_text(&in);
    if (!tokenizer_open(&spec, &t, &err)) {
        check(err.kind != ERR_NONE && err.message[0] != '\0');
        return 0;
    }
    check_answer(t, in.rest, true);
    check_answer(t, in.rest, false);
    tokenizer_close(t);
    return 0;
}
