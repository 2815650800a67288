/*
 * formula_driver.c - formulas and values in through a pipe, doubles out: what formula_python_test.py compares with Python.
 *
 *     {"text": "a / 3", "values": {"a": 1.5}}    becomes    = 0x1p-1
 *                                                      or    ! compile WHY
 *                                                      or    ! run WHY
 * One line for each line. Doubles are written as C and Python write them in hexadecimal.
 */
#include "base/error.h"
#include "grade/formula.h"
#include "text/json.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_NAMES 64

static void answer(const json_t *line)
{
    struct arena arena = {0};
    struct error err = {0};
    const struct formula *f = NULL;
    const char *names[MAX_NAMES], *name;
    double values[MAX_NAMES], out = 0;
    const struct str text = json_str(json_object_get(line, "text"));
    json_t *value;
    size_t n = 0;

    json_object_foreach(json_object_get(line, "values"), name, value)
    {
        if (n == MAX_NAMES)
            abort();
        names[n] = name;
        values[n++] = json_number_value(value);
    }
    if (!formula_compile(&arena, text, n, names, &f, &err))
        printf("! compile %s\n", err.message);
    else if (!formula_run(f, values, &out, &err))
        printf("! run %s\n", err.message);
    else
        printf("= %a\n", out);
    arena_release(&arena);
}

int main(void)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t len;

    while ((len = getline(&line, &size, stdin)) > 0) {
        struct error err = {0};
        json_t *value = NULL;

        if (!json_parse((struct str){line, (size_t)len}, "a line", &value, &err)) {
            fprintf(stderr, "formula_driver: %s\n", err.message);
            return 1;
        }
        answer(value);
        json_decref(value);
    }
    free(line);
    return fflush(stdout) == 0 ? 0 : 1;
}
