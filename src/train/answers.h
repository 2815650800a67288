/*
 * answers.h - dataset rows become sampled, graded answers: one portion of work of training and evaluation alike.
 */
#ifndef HONE_TRAIN_ANSWERS_H
#define HONE_TRAIN_ANSWERS_H

#include "grade/grade_queue.h"
#include "sample/effort.h"
#include "text/dataset.h"
#include "train/episodes.h"
#include "train/progress.h"
#include "train/recipe.h"

/* The grades of a run that was, in place of asking for them again. */
struct known_grades {
    void *ctx;
    /* False where there is none for this sample: its grader is asked. One thread. */
    bool (*get)(void *ctx, size_t step, bool valid, size_t item, size_t sample,
                struct grade_result *out);
};

struct answers_options {
    size_t n_samples, max_tokens;
    enum effort effort; /* EFFORT_DEFAULT: as the prompter has it */
    struct pick_options pick;
    bool want_entropy;
    uint64_t seed;
    enum philox_purpose purpose;
    uint32_t step;
    const atomic_bool *stop;
    const struct known_grades *known; /* or NULL */
    struct saved_pool *save;          /* what was computed is kept here, for training; or NULL */
    size_t save_leave;                /* rows that are left free there */
    struct history *history; /* what these prompts were answered before, for speed alone; or NULL */
    const struct tools *tools; /* what answers may call, and are given the results of; or NULL */
    /*
     * NULL, or rows are begun one by one: n_first at once, and one more for each row of which `again` says so, asked once all
     * its answers are graded, while others are still sampled; late: only once no other is. How many were begun in the end is
     * the same either way, for it depends on the answers of a row alone whether another is wanted.
     */
    bool (*again)(void *ctx, const struct answers *x, size_t row);
    void *again_ctx;
    size_t n_first;
    bool late;
};

/* What a step of training asks for: groups of answers as the recipe wants them, nothing kept. Step 0: before the first. */
struct answers_options answers_of_step(const struct recipe *r, uint32_t step,
                                       const atomic_bool *stop);

/* A row's prompt as the model reads it: the template is told of the effort. In the arena. */
MUST_CHECK bool answers_prompt(const struct prompter *p, const struct dataset_row *row,
                               enum effort effort, struct arena *a, struct prompt *out,
                               struct error *err);

struct answer_slot {
    const struct sample *sample; /* the engine's: until its next run, or copied by answers_keep */
    struct answer answer;        /* its text: what is no call of a tool */
    struct grade_sample input;
    struct grade_result grade;
    struct episode
        episode; /* what it called; of one that is lost the reward is the mean of the others of its row */
    size_t same_as;      /* sample of this row with the very same answer, graded once; or itself */
    const size_t *alike; /* [n_alike] samples of this row with the very same tokens, lowest first */
    size_t n_alike;
};

struct answers {
    size_t n_rows, n_samples;        /* rows: those that were begun */
    const size_t *items;             /* [n_rows] rows of the dataset */
    struct prompt *prompts;          /* [n_rows] */
    struct saved_row ***prompt_rows; /* [n_rows][n_prompt] where opt->save is given */
    struct answer_rules *rules; /* [n_rows] where the prompter holds answers to a form; or NULL */
    struct answer_slot *slots;  /* [n_rows, n_samples] */
    double seconds_sampling, seconds_waiting; /* waiting: for graders, after the last token */
};

/*
 * An answer that a row's earlier answer equals, letter by letter, gets the same grade without asking again.
 * Answers for the given rows; item numbers are the random numbers' counters. Grading runs while others are sampled.
 * Everything lives in the arena, samples included, but for the rows that were kept: they go back with answers_forget, and
 * those that rows of the portion share with saved_clear alone. A grade is told as that of the lowest of equal answers, with
 * what it cost, whichever of them was first.
 */
MUST_CHECK bool answers_get(struct engine *e, const struct adapter *adapter,
                            const struct prompter *p, const struct dataset *d, const size_t *items,
                            size_t n_rows, struct grade_queue *queue,
                            const struct answers_options *opt, const struct progress_sink *sink,
                            struct arena *a, struct answers *out, struct error *err);
/*
 * A sample of a row as graders see it, wherever it is graded: *answer, and in the arena what is a view of it. Where the row
 * has tools, output_tools are the calls in the answer, [] where there are none; their ids depend on the row alone. episode: what
 * it called in the turns before its last, which stands there first; or NULL.
 */
struct grade_sample answers_input(const struct prompter *p, const struct dataset_row *row,
                                  const struct sample *s, const struct episode *episode,
                                  struct arena *a, struct answer *answer);
/* Until all that was put in is graded; a long wait is an event of the sink's. False: *stop ended it. */
bool answers_wait(struct grade_queue *q, const struct progress_sink *sink, const atomic_bool *stop);
void answers_forget(const struct answers *x, size_t row,
                    struct saved_pool *save); /* and once more is fine */
/* Rows that reading the prompts from..from + n - 1 together takes, and nothing else beside them. */
size_t answers_prompt_rows(const struct answers *x, size_t from, size_t n);
/* Tells each to sink->rollout, without advantages. */
MUST_CHECK bool answers_tell(const struct answers *x, const struct dataset *d, size_t step,
                             bool valid, const struct progress_sink *sink, struct error *err);
/* One slot as sink->rollout wants it. */
struct rollout answers_rollout(const struct answers *x, const struct dataset *d, size_t row,
                               size_t sample);
#endif
