/*
 * memory_plan.h - what a job's training will take of the memory there is, part by part, and what is decided by it.
 *
 *     peak = process + model + trained + pass + cache + answers + kept
 *
 * Made before the first step, told before it, and compared at the end with what the process really had. Decided by it: how
 * much of the key-value cache is handed out at a time, and how many rows' activations are kept from sampling; what is not
 * kept is computed again. Neither changes a bit of the result. Where a step is cut into passes does (gradient.h): so the
 * passes follow from the data and "pass_rows" alone, and a pass has the least memory that one of its rows can have.
 *
 * Answers are taken to be as long as they may be, and no two of a group to begin alike: the peak is what is not passed.
 * Graders that run as processes of their own have memory of their own, which is no part of this.
 */
#ifndef HONE_TRAIN_MEMORY_PLAN_H
#define HONE_TRAIN_MEMORY_PLAN_H

#include "model/model.h"
#include "model/saved.h"
#include "train/progress.h"
#include "train/recipe.h"

struct memory_work { /* what there is to do */
    const struct model *model;
    const struct recipe
        *recipe; /* its rank as used; what it leaves open is taken as for its first answers */
    size_t n_valid;
    size_t longest;     /* prompt of reinforcement; row of the other methods; in tokens */
    double mean_prompt; /* of reinforcement; in tokens */
    size_t trunk;       /* tokens that all prompts begin with: computed, cached and kept once */
    double cache_taken; /* bytes of it that are there already */
    double
        process; /* bytes the process has beside the model, before anything of the job is taken */
    double room; /* bytes that the process may have in all; infinite: not known */
};
/* The process's and the machine's part of it, now. */
void memory_work_look(struct memory_work *w);

struct memory_plan {                                            /* bytes */
    double process, model, trained, pass, cache, answers, kept; /* the parts */
    double peak;                                                /* their sum */
    double least; /* the peak with nothing kept and the smallest cache */
    double room;
    double kept_all; /* what keeping every row of a step would take */
    bool recomputes; /* some rows are not kept */
    size_t kv_bytes; /* for engine_options */
    double lean;     /* of kept: bytes of lean rows, the layers' inputs alone (saved.h) */
    size_t leave;    /* rows that sampling leaves for what training computes anew */
};
struct memory_plan memory_plan_of(const struct memory_work *w);

/* "at most 1.31 GB of the 19.2 GB there are: ..." */
void memory_plan_words(const struct memory_plan *p, char *text, size_t size);
/* The same as an event; a warning where less is free than the job needs at least. sink may be NULL. */
MUST_CHECK bool memory_plan_tell(const struct memory_plan *p, const struct progress_sink *sink,
                                 struct error *err);
/* Memory for the rows that are kept, whole and lean, as planned. */
MUST_CHECK bool memory_plan_open_saved(const struct memory_plan *p, const struct model_config *c,
                                       size_t rank, struct saved_pool **out, struct error *err);
/* A new tree, the caller's. Its "room" is 0 where it is not known. */
json_t *memory_plan_json(const struct memory_plan *p);

/* ---- while it runs ---- */

/*
 * Before a step: where less is free than the run may still take, kept rows are given back, and fewer of them are taken from
 * now on. Told once.
 */
struct memory_watch {
    const struct memory_plan *plan;
    struct saved_pool *saved; /* no row of it is in use */
    const struct progress_sink *sink;
    bool told;
};
MUST_CHECK bool memory_watch_step(struct memory_watch *w, struct error *err);
/* "Memory: 1.31 GB were planned, 1.28 GB was the most it had." */
MUST_CHECK bool memory_watch_end(const struct memory_watch *w, struct error *err);
#endif
