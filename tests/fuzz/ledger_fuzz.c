/*
 * ledger_fuzz.c - any bytes as an answer, whose habits are numbers within their bounds; and as what a checkpoint holds of
 * a ledger: refused, or gone on with.
 */
#include "train/ledger.h"

#include <math.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_as_answer(struct str text)
{
    const size_t n = text.len < 4096 ? text.len : 4096;
    int32_t tokens[4096];
    double habit[N_ANSWER_HABITS];

    for (size_t i = 0; i < n; i++)
        tokens[i] = (unsigned char)text.ptr[i];
    habits_of_answer(text, tokens, n, n / 3, true, habit);
    for (size_t h = 0; h < N_ANSWER_HABITS; h++)
        if (!isfinite(habit[h]) || habit[h] < 0 || (h >= HABIT_JSON && habit[h] > 1))
            abort();
}

static void read_as_state(struct str text)
{
    struct ledger_state *s = calloc(1, sizeof *s);
    struct ledger_verdict *v = calloc(1, sizeof *v);
    const struct ledger_page page = {.reward = {2, 1, 1}};
    struct error err = {0};
    json_t *j = NULL;

    if (s != NULL && v != NULL && json_parse(text, "state.json", &j, &err)) {
        if (ledger_state_read(j, "state.json", s, &err))
            ledger_turn(s, &page, (size_t)s->n_parts, v);
        else if (err.kind == ERR_NONE || err.message[0] == '\0')
            abort();
    }
    json_decref(j);
    free(s);
    free(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct str text = {(const char *)data, size};

    read_as_answer(text);
    read_as_state(text);
    return 0;
}
