/*
 * export.h - a run, or a checkpoint of one, becomes a folder that other programs read (model/export.h has the forms).
 *
 *     OUT/  the files of the format, and README.md, a model card: data, grader, curves and hashes as the run's folder has them
 *
 * Everything is written beside OUT and renamed when it is whole and, where that was asked for, verified.
 *
 * Verifying opens what was written and computes both in f32: log-probabilities of the run's validation answers (of a fixed text where
 * there are none), which may differ by what the weights' type rounds, and answers by the likeliest token, which may differ only where two
 * tokens are as likely as that. Where export_gguf_rounds_pairs, the run's own are computed with whole pairs, too.
 */
#ifndef HONE_JOB_EXPORT_H
#define HONE_JOB_EXPORT_H

#include "job/model_store.h"
#include "model/export.h"

enum export_format { EXPORT_PEFT, EXPORT_SAFETENSORS, EXPORT_GGUF, EXPORT_GGUF_LORA };

struct export_request {
    const struct model_ref *ref;
    enum export_format format;
    const char *dtype; /* "f16"; NULL: export_dtype_default */
    const char *out;
    const char *
        base_name; /* of the base in the card and in adapter_config.json; NULL: the adapter's own */
    bool verify;
    const atomic_bool *stop; /* or NULL */
};

struct export_check {
    size_t n_texts, n_tokens, n_greedy; /* n_greedy: tokens of the answers by the likeliest */
    double max_difference, mean_difference, tolerance, mean_tolerance; /* nats */
    bool of_run; /* the texts are the run's validation answers */
    bool tie;    /* an answer went another way where two tokens were equally likely */
};
struct export_result {
    const char *dtype; /* of what was made */
    bool written;
    bool pairs_rounded;        /* export_gguf_rounds_pairs of what was made */
    struct export_check check; /* where it was asked for */
};

/*
 * Where out is there already it is verified and not written again; without verify that is ERR_INVALID. ERR_CORRUPT: what was
 * written says something else, and by how much; then out is not there.
 */
MUST_CHECK bool export_run(const struct export_request *r, struct arena *a,
                           struct export_result *out, struct error *err);
#endif
