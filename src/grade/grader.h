/*
 * grader.h - an answer and its dataset item become a reward.
 *
 * The forms and the meaning are those of the OpenAI fine-tuning API's graders: string_check, text_similarity, python,
 * score_model, label_model, endpoint, multi. A grading failure is not an error of ours: it is a result with reward 0 and flags, as graders/run answers.
 */
#ifndef HONE_GRADE_GRADER_H
#define HONE_GRADE_GRADER_H

#include "base/arena.h"
#include "text/json.h"

#include <stdatomic.h>
#include <stdint.h>

/* Tokens that models spent on one answer. */
struct grade_usage {
    uint32_t prompt, completion, cached;
};

/* What a model grader asks. */
struct grade_question {
    const char *model;             /* as the grader's spec names it */
    const json_t *messages;        /* as chat completions take them, templates filled */
    const json_t *response_format; /* the form that the reply is to have */
    const json_t *sampling;        /* "sampling_params" of the spec, or NULL */
    double deadline;               /* of clock_seconds() */
    const atomic_bool *stop;       /* set: nobody wants the reply any more; or NULL */
};
struct grade_reply {
    struct str text; /* in the call's arena */
    bool refused;    /* the model declined; text says how */
    char model[64];  /* who replied */
    struct grade_usage usage;
};
/*
 * Asks and waits for the reply; called from several threads at once. Fails where there is none by the deadline, having
 * tried again whatever is worth trying again.
 */
typedef bool grade_ask_fn(void *ctx, const struct grade_question *q, struct arena *a,
                          struct grade_reply *out, struct error *err);
/* A text as a vector; vector belongs to ctx or the arena and lives as long as the arena. Several threads at once. */
typedef bool grade_embed_fn(void *ctx, struct str text, struct arena *a, const float **vector,
                            size_t *n, struct error *err);

/* What graders need of models, from whoever has them; a NULL function: what needs it is refused when it is opened. */
struct grade_services {
    void *ask_ctx;
    grade_ask_fn *ask;
    /* Whether the model can be asked; fails saying what to do. */
    bool (*can_ask)(void *ask_ctx, const char *model, struct error *err);
    void *embed_ctx;
    grade_embed_fn *embed;
    /* Whether texts can be embedded; fails saying what to do. */
    bool (*can_embed)(void *embed_ctx, struct error *err);
};

struct grade_options {
    double timeout_s;    /* wall time of one Python call; default 120 */
    size_t memory_bytes; /* of one Python call; default 2 GiB */
    const char *python;  /* interpreter; NULL: python3 on PATH */
    int n_workers;       /* Python workers at most; 0: one a core */
    int sandbox_tier; /* 1, 2, 3: this tier or none (grade/sandbox.h); 0: the strongest that holds here */
    double
        ask_timeout_s; /* of one question to a model, or one call of an endpoint, all tries together; default 600 */
    const atomic_bool *stop; /* set: graders give up what they wait for; outlives them; or NULL */
    const struct grade_services *services; /* as long as the grader; NULL: none */
    size_t
        cache_bytes; /* for the scores of deterministic graders; 0: none is kept; default 64 MiB */
    const json_t *shadows; /* name -> grader that is measured and never rewarded, or NULL; copied */
};
struct grade_options grade_defaults(void);

/*
 * The tier of sandbox in force for Python graders, as text ("T1 (bubblewrap: ...)"). It is found by running attacks in
 * it, at first use. Fails with ERR_UNSUPPORTED and what got through where none holds: Python graders are then refused.
 */
MUST_CHECK bool grade_sandbox_describe(const struct grade_options *opt, char *out, size_t size,
                                       struct error *err);

struct grader;
/*
 * Checks everything that can be checked before a sample exists: type, required keys, operation, metric, template
 * namespaces, the formula and its names, that Python source compiles and defines grade(sample, item).
 * spec is copied. Unknown keys are tolerated and echoed. err->param is the path: "graders.rank.operation".
 */
MUST_CHECK bool grader_open(const json_t *spec, const struct grade_options *opt,
                            struct grader **out, struct error *err);
void grader_close(struct grader *g);
/* No score is kept from now on: every grading calls the graders. No call may be under way. */
void grader_drop_cache(struct grader *g);
const json_t *grader_spec(const struct grader *g); /* as given */
/* "pass_threshold": an answer that scores as much has passed, as evals say; NaN where the grader has none. */
double grader_pass_threshold(const struct grader *g);
/* Parts: one for a plain grader, one a member for multi (then without the multi itself); then the shadows. */
size_t grader_count(const struct grader *g);
bool grader_is_shadow(const struct grader *g, size_t i);
const char *grader_name(const struct grader *g, size_t i);
const char *grader_type(const struct grader *g, size_t i);
/* The model that a part asks, as its spec names it; NULL: it asks none. */
const char *grader_model(const struct grader *g, size_t i);
/* How many answers are worth grading at once: more than the cores where a part waits for others. */
int grader_concurrency(const struct grader *g);
double grader_may_take_s(const struct grader *g,
                         size_t i); /* one call of a part, at most; 0: no time worth naming */
/* What a row must have: fails naming the key where the grader reads item.KEY and the row has none. */
MUST_CHECK bool grader_check_item(const struct grader *g, const json_t *item, const char *what,
                                  struct error *err);

#define GRADE_PRINTED_BYTES 4352
struct grade_sample {
    struct str output_text;     /* the final answer, thinking taken away */
    const json_t *output_json;  /* or NULL: what output_text is, where it is JSON */
    const json_t *output_tools; /* a list, or NULL */
    bool truncated;             /* cut at the token limit */
    bool unanswered; /* ended by itself with no answer at all, such as after its thinking */
    /*
     * Room for what Python parts print to their standard output and error, UTF-8 ended by a zero byte; NULL: not wanted.
     * Long output is cut to its beginning and ends with the line "... (N bytes more)"; of several Python parts each has
     * the line "NAME:" above what it printed, and its share of the room. A score from the cache prints nothing.
     */
    char *printed;
    size_t printed_size; /* GRADE_PRINTED_BYTES are enough for what is kept of one part */
    void (*on_part)(void *ctx, size_t part); /* called as each part begins; or NULL */
    void *on_part_ctx;
};

enum grade_flag {
    GRADE_FORMULA_PARSE_ERROR = 1 << 0,
    GRADE_SAMPLE_PARSE_ERROR = 1 << 1,
    GRADE_TRUNCATED_OBSERVATION_ERROR = 1 << 2,
    GRADE_UNRESPONSIVE_REWARD_ERROR = 1 << 3,
    GRADE_INVALID_VARIABLE_ERROR = 1 << 4,
    GRADE_OTHER_ERROR = 1 << 5,
    GRADE_PYTHON_SERVER_ERROR = 1 << 6,
    GRADE_PYTHON_RUNTIME_ERROR = 1 << 7,
    GRADE_MODEL_SERVER_ERROR = 1 << 8,
    GRADE_MODEL_REFUSAL_ERROR = 1 << 9,
    GRADE_MODEL_PARSE_ERROR = 1 << 10,
};
/* The name of the flag that is bit i, as the API's graders/run spells it; NULL past the last. */
const char *grade_flag_name(size_t i);
#define GRADE_MAX_PARTS 64
struct grade_result {
    double reward;  /* finite; 0 where grading failed */
    unsigned flags; /* enum grade_flag; a shadow's failure is in its part_flags alone */
    double seconds;
    size_t n_parts;               /* grader_count */
    double part[GRADE_MAX_PARTS]; /* each grader's own score */
    unsigned part_flags[GRADE_MAX_PARTS];
    double part_seconds[GRADE_MAX_PARTS];
    struct grade_usage part_usage[GRADE_MAX_PARTS];
    const char *part_model[GRADE_MAX_PARTS]; /* who replied, the grader's; NULL: nobody */
    uint32_t n_asked_cache, n_cached; /* parts that may be kept; those taken from what was kept */
    char model[64];                   /* the last model that replied, or "" */
    char details[1024];               /* traceback or cause of the first failure, or "" */
    char shadow_details[512]; /* the same of the first shadow that failed, its name in front */
};
/*
 * Whether flags tell of a fault of the grader's, and not of the answer. A path that leads nowhere is the answer's
 * fault: rows are checked beforehand (grader_check_item), so it is the sample that lacks the key.
 */
static inline bool grade_flags_blame_grader(unsigned flags)
{
    return (flags & ~(unsigned)(GRADE_SAMPLE_PARSE_ERROR | GRADE_TRUNCATED_OBSERVATION_ERROR |
                                GRADE_UNRESPONSIVE_REWARD_ERROR | GRADE_INVALID_VARIABLE_ERROR |
                                GRADE_MODEL_REFUSAL_ERROR)) != 0;
}
/* Whether any grader was asked: not of an answer that was never given. */
static inline bool grade_was_asked(const struct grade_result *r)
{
    return (r->flags & (GRADE_TRUNCATED_OBSERVATION_ERROR | GRADE_UNRESPONSIVE_REWARD_ERROR)) == 0;
}
/* Whether part i's score measures the answer: it was asked and did not fail by itself. */
static inline bool grade_part_measured(const struct grade_result *r, size_t i)
{
    return grade_was_asked(r) && !grade_flags_blame_grader(r->part_flags[i]);
}
static inline bool grade_grader_failed(const struct grade_result *r)
{
    return grade_flags_blame_grader(r->flags);
}

/* Grades one answer in the caller's thread. Threads may call at once; Python calls wait for a free worker. */
void grader_run(struct grader *g, const json_t *item, const struct grade_sample *sample,
                struct grade_result *out);

/* The body of graders/run's response (a new tree, the caller's). */
json_t *grade_response(const struct grader *g, const struct grade_result *r);
#endif
