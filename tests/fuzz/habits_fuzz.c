/*
 * habits_fuzz.c - any bytes as a model's answer, and as the numbers of its tokens: each habit is a finite figure in its range.
 */
#include "fuzz.h"

#include "train/habits.h"

#include <math.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum habit shares[] = {HABIT_JSON,  HABIT_MARKUP, HABIT_SYMBOLS,
                                        HABIT_ENDED, HABIT_EMPTY,  HABIT_REPETITION};
    const struct str text = {(const char *)data, size};
    struct arena a = {0};
    double out[N_ANSWER_HABITS];

    if (size > 4096)
        return 0;
    int32_t *tokens = ARENA_ARRAY(&a, int32_t, size + 1);
    for (size_t i = 0; i < size; i++)
        tokens[i] = data[i];
    const size_t n_thinking = size > 0 ? data[0] % (size + 1) : 0;
    habits_of_answer(text, tokens, size, n_thinking, size % 2 == 0, out);
    for (size_t i = 0; i < N_ANSWER_HABITS; i++)
        check(isfinite(out[i]) && out[i] >= 0);
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++)
        check(out[shares[i]] <= 1);
    check(out[HABIT_LINES] <= (double)size + 1);
    check(out[HABIT_ANSWER_TOKENS] + out[HABIT_THINKING_TOKENS] == (double)size);
    check(answer_hash(text) != 0);
    arena_release(&a);
    return 0;
}
