/*
 * options.h - the words of a command line, the environment and hone.conf become checked values.
 *
 * One table (options.c) says of each option its name, type, default, range and help; it feeds all of them:
 *
 *     --threads 2   beats   HONE_THREADS=2   beats   "threads = 2" in hone.conf   beats   the default
 *
 * Only settings, which make sense for every call, may stand in the environment and in hone.conf ($HONE_HOME/hone.conf,
 * or --config FILE). Everything is checked while it is read, so the getters below cannot fail.
 */
#ifndef HONE_CLI_OPTIONS_H
#define HONE_CLI_OPTIONS_H

#include "base/arena.h"
#include "base/buf.h"

#include <stdint.h>

enum option_id {
    /* what to work on */
    OPT_MODEL,
    OPT_ADAPTER,
    OPT_DATA,
    OPT_TRAIN,
    OPT_VALID,
    OPT_GRADER,
    OPT_ANSWERS,
    OPT_IN,
    OPT_OUT,
    OPT_SAVE_ANSWERS,
    OPT_PDF,
    /* how a job runs */
    OPT_SET,
    OPT_RESUME,
    /* doing a run again */
    OPT_STEPS,
    OPT_FROM,
    OPT_RECORDED_GRADES,
    OPT_ANYWAY,
    /* measuring */
    OPT_SAMPLES,
    OPT_GREEDY,
    OPT_COMPARE,
    OPT_RANKED,
    OPT_REFERENCE,
    OPT_AMONG,
    OPT_RESPONSE_FORMAT,
    /* speed */
    OPT_PARTS,
    OPT_ROUNDS,
    OPT_PROMPT,
    OPT_N_ANSWERS,
    OPT_TOKENS,
    OPT_GROUP,
    OPT_MEMORY_BYTES,
    /* trying a grader */
    OPT_ALL,
    OPT_PRINTS,
    OPT_REPEAT,
    OPT_WATCH,
    OPT_SUMMARY,
    /* sampling */
    OPT_MAX_TOKENS,
    OPT_TEMPERATURE,
    OPT_TOP_P,
    OPT_TOP_K,
    OPT_SEED,
    OPT_SYSTEM,
    /* text */
    OPT_TEMPLATE,
    OPT_BOS,
    OPT_EOS,
    OPT_DETOKENIZE,
    OPT_NO_SPECIAL,
    /* the store */
    OPT_NAME,
    OPT_LINK,
    OPT_FILE,
    OPT_CONNECTIONS,
    OPT_PIECE,
    OPT_HOME,
    OPT_DATABASE,
    /* jobs of a server */
    OPT_JOB_MEMORY,
    OPT_NICE,
    OPT_ONCE,
    OPT_TAKE,
    OPT_LEASE,
    OPT_WORKER_NAME,
    OPT_LEAVE_WITHOUT,
    /* the machine */
    OPT_DEVICE,
    OPT_THREADS,
    OPT_PRECISION,
    OPT_KV_CACHE,
    OPT_CONTEXT,
    OPT_KERNELS,
    /* Python graders */
    OPT_GRADER_TIMEOUT,
    OPT_GRADER_MEMORY,
    OPT_GRADER_WORKERS,
    OPT_PYTHON,
    OPT_JUDGE,
    OPT_JUDGE_TIMEOUT,
    OPT_EMBEDDING_MODEL,
    OPT_SANDBOX,
    OPT_ONLY,
    /* the engine process */
    OPT_MEMORY,
    /* serving */
    OPT_HOST,
    OPT_PORT,
    OPT_ANONYMOUS,
    OPT_ALLOW_REQUEST_ADDRESSES,
    OPT_REQUEST_KEY_ENV,
    OPT_ALLOW_PRIVATE_WEBHOOKS,
    OPT_WORKERS,
    OPT_TLS_CERT,
    OPT_TLS_KEY,
    OPT_PUBLIC_URL,
    OPT_KEEP_RESPONSES,
    OPT_REQUESTS_PER_MINUTE,
    OPT_CONCURRENT_REQUESTS,
    OPT_CONNECTIONS_PER_ADDRESS,
    /* who may do what */
    OPT_ORG,
    OPT_PROJECT,
    OPT_SCOPES,
    OPT_DAYS,
    OPT_NOTE,
    OPT_QUOTA,
    OPT_LAST,
    /* a server from outside */
    OPT_URL,
    OPT_API_KEY,
    /* feedback */
    OPT_FORMAT,
    OPT_RATING,
    OPT_CORRECTION,
    OPT_COMMENT,
    /* exporting */
    OPT_EXPORT_FORMAT,
    OPT_DTYPE,
    OPT_BASE,
    OPT_VERIFY,
    /* the manual */
    OPT_COMPLETION,
    /* every command */
    OPT_CONFIG,
    OPT_JSON,
    OPT_HELP,
    N_OPTIONS
};

enum option_type {
    OPTION_SWITCH, /* given or not */
    OPTION_TEXT,
    OPTION_LIST, /* text, as often as wanted */
    OPTION_INT,
    OPTION_REAL,
    OPTION_CHOICE, /* one of option.value, "a|b|c" */
};

struct option {
    const char
        *name; /* "grader-timeout": also HONE_GRADER_TIMEOUT, and so in hone.conf; once a command */
    enum option_type type;
    const char *value; /* what --help calls it, or the choices */
    const char *def;   /* NULL: none */
    double min, max;   /* of a number */
    bool setting;      /* may stand in the environment and in hone.conf */
    bool hidden;       /* for measuring and finding faults; not in --help */
    const char *help;
};
const struct option *option_row(enum option_id id);

/* What a command takes. */
struct option_set {
    const char *command; /* "eval" */
    const char *args;    /* of the usage line: "JOB.json", or "" */
    size_t min_args, max_args;
    const char *summary;  /* one line, for the list of commands */
    const char *details;  /* a paragraph for --help, or "" */
    const char *examples; /* lines for --help, each ended by a line break */
    const enum option_id *
        ids; /* [n_ids] in the order of --help; OPT_CONFIG, OPT_JSON and OPT_HELP go without saying */
    size_t n_ids;
};

struct option_value {
    const char *text; /* NULL: not given, and no default */
    bool given;       /* by anyone; false: the default */
    bool
        typed; /* on the command line: what stands in the environment or in hone.conf is weaker than a job */
    size_t n; /* of a list */
    const char **list;
};
struct options {
    struct option_value value[N_OPTIONS];
    size_t n_args;
    const char **args;
};

/*
 * Reads words [n_words], the command's name left out, then the environment and hone.conf. All texts live in the arena.
 * getenv_fn: NULL, or what stands in for getenv in a test.
 *
 * Fails with ERR_INVALID (and err->param the option's name) for an unknown option, naming what is spelled alike; for a
 * value that is missing or out of range; for too few or too many arguments; for an unknown line of hone.conf; with
 * ERR_NOT_FOUND or ERR_IO where --config names a file that cannot be read. With --help nothing else is asked for.
 */
typedef char *option_env_fn(const char *name);
MUST_CHECK bool options_read(const struct option_set *set, size_t n_words, char *const *words,
                             option_env_fn *getenv_fn, struct arena *a, struct options *out,
                             struct error *err);

const char *option_text(const struct options *o, enum option_id id); /* NULL: not given */
const char *option_text_if_given(const struct options *o,
                                 enum option_id id); /* its default: NULL */
bool option_given(const struct options *o, enum option_id id);
bool option_typed(const struct options *o, enum option_id id);
bool option_on(const struct options *o, enum option_id id);
int64_t option_int(const struct options *o,
                   enum option_id id); /* one that has a default, or was given */
double option_real(const struct options *o, enum option_id id);

/* What every command takes beside its own. */
const enum option_id *options_always(size_t *n);
/* Appends what a value may be: " (1 to 1024; 1 unless given)", or nothing. */
void options_range(const struct option *o, struct buf *out);
/* "HONE_GRADER_TIMEOUT" */
const char *option_variable(enum option_id id, struct arena *a);
/* The page of --help. */
void options_help(const struct option_set *set, struct buf *out);
/* Whichever of the n words is spelled most like word, or NULL where none is near. */
const char *closest_word(const char *word, size_t n, const char *const *words);
#endif
