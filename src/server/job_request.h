/*
 * job_request.h - the body of POST /v1/fine_tuning/jobs becomes a checked request; and the form in which a job shows it again.
 *
 * What a body can be checked for by itself is checked here: types, ranges, texts. Whether models and files are there, and whether
 * a grader can grade, the route asks. Keys that are not known are let through, and stay in "method" as they came; what is known
 * is checked whatever stands around it. Under "hone" every key must be known: a typing mistake there would be a silent default.
 */
#ifndef HONE_SERVER_JOB_REQUEST_H
#define HONE_SERVER_JOB_REQUEST_H

#include "store/jobs.h"
#include "text/json.h"

/* What a job may ask of the machine through the API; see recipe.h for all of "hone". */
#define JOB_MOST_MEMORY 64e9
#define JOB_MOST_RANK 512
#define JOB_MOST_PASS_ROWS 16384
#define JOB_MOST_LIVE 2048
#define JOB_MOST_INTEGRATIONS 5

struct job_request {
    struct str model, training_file;
    struct str validation_file; /* ptr NULL: none */
    const char *method;         /* supervised, dpo, reinforcement */
    const char *suffix;         /* or NULL */
    int64_t seed;               /* -1: none was given */
    struct label *labels;       /* metadata */
    size_t n_labels;
    const json_t *grader;        /* of a reinforcement job, or NULL */
    const char *embedding_model; /* hone.embedding_model, or NULL */
    bool has_wandb;
    bool
        has_tools; /* of the job, which episodes of several turns would call; rows have tools of their own */
};
struct job_rules {
    bool request_addresses;   /* a body may name addresses: see job_stays_here */
    const char *request_keys; /* and these environment variables beside them, "A,B"; NULL: none */
};
/*
 * Views point into body. Fails with ERR_INVALID or ERR_UNSUPPORTED and the path of the field in err->param; codes
 * missing_required_parameter, invalid_type, invalid_value, unsupported_value.
 */
MUST_CHECK bool job_request_read(const json_t *body, const struct job_rules *rules, struct arena *a,
                                 struct job_request *out, struct error *err);
/* Refuses graders that send to an address of the request's, anywhere in spec. param: where spec stands. */
MUST_CHECK bool job_grader_stays_here(const json_t *spec, const char *param, struct error *err);
/*
 * Refuses a job whose graders or judges may send to an address of the request's: without --allow-request-addresses, when it is made and
 * again by the worker, to whom a row may have come from anywhere.
 */
MUST_CHECK bool job_stays_here(const json_t *body, struct error *err);

bool job_judge_is_address(
    const char *who); /* of hone.judges: http:// or https://, no model's name */
/*
 * Whether a job that came by a request may send the value of this variable somewhere: names is "A,B", blanks do not matter; NULL: none.
 * Asked when the job is made, and again by the worker, who has the variables, and to whom a row may have come from anywhere.
 */
bool job_may_send(const char *names, const char *variable);
/* The sentence for one that may not; always false. */
bool job_key_refused(const char *variable, struct error *err);

/*
 * "method" as a job object has it: as it came in body, every hyperparameter there, "auto" replaced by what resolved (or NULL) says.
 * A new tree, the caller's.
 */
json_t *job_method_shown(const json_t *body, const char *method, const json_t *resolved);
#endif
