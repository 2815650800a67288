/*
 * replay_place.h - the folder that a run is done again in: --out, or one in $TMPDIR that goes when all is told.
 */
#ifndef HONE_CLI_REPLAY_PLACE_H
#define HONE_CLI_REPLAY_PLACE_H

#include "cli/command.h"
#include "text/json.h"

struct replay_source {
    const char *dir;        /* the run's folder */
    const json_t *job_file; /* its job.json */
    const json_t *body;     /* the job that is done again */
    size_t from;            /* the step whose checkpoint is gone on from; 0: from the beginning */
    bool certified;         /* its certificate goes on, too */
};

/* All zeros is none. */
struct replay_place {
    const char *dir;
    bool ours; /* removed in the end */
};
/* With from the folder then holds what a run holds that was stopped after that step: its files are linked, or copied. */
MUST_CHECK bool replay_place_make(struct cli *c, const struct replay_source *s,
                                  struct replay_place *out, struct error *err);
void replay_place_remove(struct replay_place *p);
#endif
