/*
 * grader_env.h - HOME/graders: a Python for graders, with the packages that graders have at the service.
 *
 *     HOME/graders/python/       a virtual environment of the system's Python; appears whole, by one rename
 *     HOME/graders/nltk_data/    corpora for nltk, put there by hand; the sandbox shows it
 */
#ifndef HONE_CLI_GRADER_ENV_H
#define HONE_CLI_GRADER_ENV_H

#include "cli/command.h"

/* The interpreter of Python graders: --python, else the one in HOME/graders, else NULL (the system's). */
const char *grader_env_python(struct cli *c);

struct grader_package {
    const char *name, *version;
    const char *module; /* that shows it works when it is imported */
};
/* Those of assets/grader-packages.txt that a grader may ask for, in its order. */
const struct grader_package *grader_env_packages(struct arena *a, size_t *n);

/*
 * Makes HOME/graders/python with the packages named in only ("numpy,rapidfuzz"), or with all, and tells of each step on
 * standard error. An environment that is there is replaced when the new one is whole; what an interrupted
 * installation left is removed. missing: packages that could not be built here, without which the rest is of use.
 */
struct grader_env_result {
    const char *python;
    size_t n_packages;
    const char *missing; /* or NULL */
};
MUST_CHECK bool grader_env_install(struct cli *c, const char *only, struct grader_env_result *out,
                                   struct error *err);
#endif
