/*
 * wordpiece_fuzz.c - a vocab.txt, behind its first zero byte a tokenizer_config.json, behind the second a text.
 *
 * Whatever opens has to encode the text; the same vocabulary read as a GGUF file would have it has to open or say why
 * not, and to encode the text, too.
 */
#include "fuzz.h"

#include "base/arena.h"
#include "text/tokenizer.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct str take_part(struct str *input)
{
    const size_t end = str_find(*input, STR("\0"), 0);
    const struct str part = {input->ptr, end};

    *input = str_from(*input, end < input->len ? end + 1 : end);
    return part;
}

static void encode(const struct tokenizer *t, struct str text)
{
    for (int special = 0; special < 2; special++) {
        struct token_list list = {0};
        struct error err = {0};

        if (tokenizer_encode(t, text, special == 1, &list, &err))
            for (size_t i = 0; i < list.n; i++)
                check(list.ids[i] >= 0 && (size_t)list.ids[i] < tokenizer_size(t));
        else
            check(list.n == 0 && err.message[0] != '\0');
        token_list_release(&list);
    }
    check(tokenizer_ends(t).first < (token_id)tokenizer_size(t));
    check(tokenizer_ends(t).last < (token_id)tokenizer_size(t));
}

static void as_gguf(struct str vocab, struct str text)
{
    struct arena a = {0};
    struct error err = {0};
    struct tokenizer *t = NULL;
    struct str *tokens = ARENA_ARRAY(&a, struct str, vocab.len + 1);
    int32_t *types = ARENA_ARRAY(&a, int32_t, vocab.len + 1);
    size_t n = 0;

    for (size_t at = 0; at < vocab.len; n++) {
        const size_t end = str_find(vocab, STR("\n"), at);

        tokens[n] = (struct str){vocab.ptr + at, end - at};
        types[n] = n % 3 == 0 ? 3 : 1;
        at = end + 1;
    }
    const struct tokenizer_spec spec = {
        .n_tokens = n, .tokens = tokens, .types = types, .model = STR("bert")};
    if (tokenizer_open(&spec, &t, &err))
        encode(t, text);
    else
        check(err.kind != ERR_NONE && err.message[0] != '\0');
    tokenizer_close(t);
    arena_release(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = {(const char *)data, size};
    const struct str vocab = take_part(&input), config = take_part(&input), text = input;
    struct tokenizer *t = NULL;
    struct error err = {0};

    if (tokenizer_open_vocab(vocab, config, "vocab.txt", &t, &err))
        encode(t, text);
    else
        check(err.kind != ERR_NONE && err.message[0] != '\0');
    tokenizer_close(t);
    as_gguf(vocab, text);
    return 0;
}
