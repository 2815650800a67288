/*
 * said.c - bytes as tokens.
 */
#include "support/said.h"
#include "support/support.h"

struct sample sample_of_text(const struct model *m, const char *text, struct arena *a)
{
    const struct tokenizer *t = model_files_tokenizer(m->files);
    struct sample s = {.n = strlen(text), .stop_bytes = SIZE_MAX};

    s.tokens = ARENA_ARRAY(a, token_id, s.n + 1);
    for (size_t i = 0; i < s.n; i++)
        while (!str_eq(tokenizer_bytes(t, s.tokens[i]), (struct str){text + i, 1}))
            assert_true((size_t)++s.tokens[i] < m->config.vocab);
    return s;
}
