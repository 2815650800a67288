/*
 * verdict_fuzz.c - any text as a judge's reply: a finite number or none, a label of the list or none, and a sentence.
 */
#include "grade/template.h"
#include "grade/verdict.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct str labels[] = {{"good", 4}, {"Good", 4}, {"bad", 3}, {"it's", 4}};
    struct arena a = {0};
    const struct str text = grade_utf8(&a, (struct str){(const char *)data, size});
    struct error err = {0};
    double x = (double)NAN;
    size_t i = SIZE_MAX;

    if (verdict_number(text, &x, &err) ? !isfinite(x) : !isnan(x) || err.message[0] == '\0')
        abort();
    if (verdict_label(text, 4, labels, &i, &err) ? i >= 4 : i != SIZE_MAX)
        abort();
    arena_release(&a);
    return 0;
}
