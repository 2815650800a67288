/*
 * formula_fuzz.c - any text as the formula of a multi grader: refused or computed, and never a number that is not finite.
 */
#include "grade/formula.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"a", "b", "exact"};
    static const double values[] = {0.25, -3, 1};
    struct arena arena = {0};
    struct error err = {0};
    const struct formula *f = NULL;
    double out = 0;

    if (formula_compile(&arena, (struct str){(const char *)data, size}, 3, names, &f, &err)) {
        if (formula_run(f, values, &out, &err) && !isfinite(out))
            abort();
    } else if (err.kind == ERR_NONE || err.message[0] == '\0') {
        abort();
    }
    arena_release(&arena);
    return 0;
}
