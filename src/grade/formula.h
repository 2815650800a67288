/*
 * formula.h - "0.8 * exact + 0.2 * close" and the parts' scores become one number.
 *
 *     sum     = product { ("+" | "-") product }
 *     product = unary { ("*" | "/") unary }
 *     unary   = "-" unary | power
 *     power   = primary [ "^" unary ]                 2 ^ 3 ^ 2 = 2 ^ 9, -2 ^ 2 = -4, 2 ^ -1 = 0.5: as in Python
 *     primary = number | name | function "(" sum { "," sum } ")" | "(" sum ")"
 *
 * Functions: min and max of one or more; abs, floor, ceil, exp, sqrt, log (natural) of one. Compiled once to a program
 * for a stack machine, since it runs once an answer.
 */
#ifndef HONE_GRADE_FORMULA_H
#define HONE_GRADE_FORMULA_H

#include "base/arena.h"

struct formula;
/*
 * name[0..n_names) are the variables. Fails with ERR_INVALID and param "calculate_output": a syntax error with its
 * place, a name that is none of them, too much nesting or length (ERR_LIMIT).
 */
MUST_CHECK bool formula_compile(struct arena *a, struct str text, size_t n_names,
                                const char *const *names, const struct formula **out,
                                struct error *err);

/*
 * value[i] belongs to name[i]. Fails with ERR_INVALID where a step is not a finite number (a division by zero, the
 * logarithm of -1): Python raises there, and an infinite reward teaches nothing good.
 */
MUST_CHECK bool formula_run(const struct formula *f, const double *values, double *out,
                            struct error *err);
#endif
