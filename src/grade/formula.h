/*
 * formula.h - "0.8 * exact + 0.2 * close" and the parts' scores become one number, bit for bit what Python makes of
 * them as floats (with ** for ^), by the same C library.
 *
 *     sum     = product { ("+" | "-") product }
 *     product = unary { ("*" | "/") unary }
 *     unary   = "-" unary | power
 *     power   = primary [ "^" unary ]                 2 ^ 3 ^ 2 = 2 ^ 9, -2 ^ 2 = -4, 2 ^ -1 = 0.5: as in Python
 *     primary = number | name | function "(" sum { "," sum } ")" | "(" sum ")"
 *
 * Functions: min and max of one or more; abs, floor, ceil, exp, sqrt, log (natural) of one. Numbers are written as in
 * Python: 1, .5, 1., 1e3, 1E-3, but no 007 and no 1_000. A name is [A-Za-z_][A-Za-z0-9_]*, none is reserved, and that
 * of a function is the function where a bracket follows and the variable elsewhere. Blanks, tabs and line ends are free.
 * Compiled once to a program for a stack machine, since it runs once an answer.
 */
#ifndef HONE_GRADE_FORMULA_H
#define HONE_GRADE_FORMULA_H

#include "base/arena.h"

struct formula;
/*
 * names[0..n_names) are the variables, any text; one that is no name as above cannot be used. Fails with ERR_INVALID and
 * param "calculate_output": a syntax error or a name that is none of them, with its place, too much nesting or length
 * (ERR_LIMIT).
 */
MUST_CHECK bool formula_compile(struct arena *a, struct str text, size_t n_names,
                                const char *const *names, const struct formula **out,
                                struct error *err);

/*
 * values[i] belongs to names[i]; finite. Fails with ERR_INVALID where a step is not a finite number: a division by zero,
 * the logarithm or a fractional power of -1, exp(1000). Python raises or turns complex there; where it would go on with
 * an infinite sum or product, this fails too, for what follows no longer means anything.
 */
MUST_CHECK bool formula_run(const struct formula *f, const double *values, double *out,
                            struct error *err);
#endif
