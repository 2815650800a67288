/*
 * replay.h - a run that is done again is compared with the run that was, step by step, and stopped where it becomes another one.
 *
 *     settled -> [step 0: validation] -> each step: answers, adapter, validation, metrics -> checkpoints
 *
 * Of each step are compared the lines of rollouts/ in their order (of a line: which answer, its tokens, log-probabilities, text, scores
 * and reward; then all advantages), the adapter, the row of metrics.csv, and each of them with the run's certificate, where it has one. So
 * it shows whether the model became another one, or what was written down of it was changed later: then the certificate still says what the
 * run that is done again says. What is nobody's promise (seconds, memory, tracebacks) is passed over.
 */
#ifndef HONE_JOB_REPLAY_H
#define HONE_JOB_REPLAY_H

#include "job/run_folder.h"
#include "train/answers.h"

struct replay_options {
    const char *was;                   /* folder of the run */
    const struct run_folder *now;      /* the one that is done again, told before the replay is */
    const struct certified *certified; /* of was; NULL: it has none */
    size_t last;                       /* the last step that is compared: then the run is stopped */
    bool known_grades; /* the recorded ones: what only a grader can count is not compared */
    void *ctx;
    void (*same)(void *ctx, size_t step); /* a step was the same; or NULL */
};

enum replay_end {
    REPLAY_GOES_ON, /* or something else stopped it */
    REPLAY_SAME,    /* up to the last step */
    REPLAY_DIFFERS,
};

/* Begin with all zeros but the options. */
struct replay {
    struct replay_options opt;
    enum replay_end end;
    size_t step; /* the last that was the same; where it differs: that step */
    /* setting, answer, row, tokens, logprobs, text, grades, advantages, metrics, adapter or checkpoint */
    const char *what;
    bool record_changed; /* the certificate agrees with what was done again: a file was changed */
    char text[1200];     /* what differs, a sentence without its full stop */
    char adapter_sha256[65]; /* after step */
    bool waits;              /* for the last step's checkpoint */
    json_t *adapters;        /* hashes that events.jsonl has, where they were looked for */
};
/* Fails each call from where the replay has ended on, with ERR_CANCELLED. Comes behind the sink of opt.now. */
struct progress_sink replay_sink(struct replay *r);
void replay_release(struct replay *r);

/* The recorded grades of a run, for what is done again. */
struct replay_grades;
/* job_file: of job.json, whose "graders" name the scores. */
struct replay_grades *replay_grades_open(const char *dir, const json_t *job_file);
void replay_grades_close(struct replay_grades *g); /* NULL is fine */
struct known_grades replay_grades_known(struct replay_grades *g);
#endif
