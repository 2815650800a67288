/*
 * ranking.h - an answer that ranks names, and the place of the right one.
 *
 * Names are compared without regard to case and to white space around them; a name that is repeated takes one place.
 */
#ifndef HONE_CLI_RANKING_H
#define HONE_CLI_RANKING_H

#include "base/arena.h"
#include "text/json.h"

struct ranking_options {
    const char *ranked;    /* "sample.output_json.genes", or "text"; NULL: nothing is ranked */
    const char *reference; /* "item.gene" */
    const char *among;     /* "item.candidates", for text */
};

/* What can be known before there is an answer: err->param is the option's name. */
MUST_CHECK bool ranking_check(const struct ranking_options *o, struct error *err);
/* Whether a row has what the options read; what is "data.jsonl, line 3". */
MUST_CHECK bool ranking_check_item(const struct ranking_options *o, const json_t *item,
                                   const char *what, struct error *err);
/* The place of the right name, 1 for the first; 0: it is not there. */
size_t ranking_place(const struct ranking_options *o, const json_t *item, struct str answer,
                     struct arena *a);
#endif
