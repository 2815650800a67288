/*
 * options.c - the table, and the three places that its values come from.
 */
#include "cli/options.h"
#include "base/file.h"
#include "base/size.h"
#include "job/model_store.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define CONFIG_BYTES ((size_t)1 << 20)
#define MAX_WORD 64 /* of a name that is compared with others */

static const struct option table[N_OPTIONS] = {
    [OPT_MODEL] = {"model", OPTION_TEXT, "M", .setting = true,
                   .help =
                       "a name in the store, a .gguf file, a folder in Hugging Face's layout, a "
                       "run or checkpoint of hone, or ft:..."},
    [OPT_ADAPTER] = {"adapter", OPTION_TEXT, "DIR",
                     .help = "an adapter in PEFT's layout, or a run: its best checkpoint"},
    [OPT_DATA] = {"data", OPTION_TEXT, "F",
                  .help = "JSON lines with messages, and what the grader reads"},
    [OPT_TRAIN] = {"train", OPTION_TEXT, "F", .help = "JSON lines to train on"},
    [OPT_VALID] = {"valid", OPTION_TEXT, "F", .help = "JSON lines to measure on while training"},
    [OPT_GRADER] = {"grader", OPTION_TEXT, "G.json",
                    .help = "a grader, a job that has one, or the source of a Python grader (.py)"},
    [OPT_ANSWERS] =
        {"answers", OPTION_TEXT, "F",
         .help = "JSON lines, one answer each: a string, or an object with output_text or answer; "
                 "item says which row of the data it belongs to (0 is the first), or is the row"},
    [OPT_IN] = {"in", OPTION_TEXT, "F", .help = "read this file instead of standard input"},
    [OPT_OUT] = {"out", OPTION_TEXT, "PATH", .help = "where the result goes"},
    [OPT_PDF] = {"pdf", OPTION_SWITCH, .help = "print the page, too, by the browser that is here"},
    [OPT_SAVE_ANSWERS] = {"save-answers", OPTION_TEXT, "F",
                          .help = "write every answer with its grades, one JSON line each"},
    [OPT_SET] =
        {"set", OPTION_LIST, "KEY=VALUE",
         .help =
             "a hyperparameter (n_epochs, batch_size, ...), a setting of hone (max_steps, lora_rank, "
             "...), or a path into the job; as often as wanted"},
    [OPT_RESUME] = {"resume", OPTION_SWITCH, .help = "go on with the run where it was stopped"},
    [OPT_STEPS] = {"steps", OPTION_INT, "N", .min = 1, .max = 1e6,
                   .help = "do only so many steps again, the first ones or those after --from"},
    [OPT_FROM] = {"from", OPTION_INT, "STEP", .min = 1, .max = 1e6,
                  .help = "begin with the run's checkpoint of this step"},
    [OPT_RECORDED_GRADES] =
        {"recorded-grades", OPTION_SWITCH,
         .help = "take the scores that the run wrote down instead of grading again"},
    [OPT_ANYWAY] = {"anyway", OPTION_SWITCH,
                    .help = "go on where the job, the model, the data or the certificate are "
                            "others, to see which step it shows in"},
    [OPT_SAMPLES] = {"samples", OPTION_INT, "K", "1", 1, 1024, .help = "answers to each row"},
    [OPT_GREEDY] = {"greedy", OPTION_SWITCH,
                    .help = "the likeliest answer to each row instead of sampled ones"},
    [OPT_COMPARE] = {"compare", OPTION_LIST, "M2",
                     .help = "measure this model, too; as often as wanted"},
    [OPT_RANKED] =
        {"ranked", OPTION_TEXT, "PATH",
         .help =
             "the answer is a ranking: sample.output_json.KEY, or text for names in the order in "
             "which the answer first mentions them"},
    [OPT_REFERENCE] =
        {"reference", OPTION_TEXT, "PATH",
         .help = "with --ranked: the right one, for example item.gene (item.answer unless given)"},
    [OPT_RESPONSE_FORMAT] =
        {"response-format", OPTION_TEXT, "F",
         .help =
             "what answers are held to: a response_format of the API, or a job that has one; unless given that of the job in --grader, or of the run"},
    [OPT_AMONG] = {"among", OPTION_TEXT, "PATH",
                   .help =
                       "with --ranked text: the names to look for, for example item.candidates"},
    [OPT_PARTS] = {"parts", OPTION_TEXT, "LIST", "prefill,sample,train,step",
                   .help = "what is measured, with commas between"},
    [OPT_ROUNDS] = {"rounds", OPTION_INT, "N", "3", 1, 1000,
                    .help = "how often, after one warm-up"},
    [OPT_PROMPT] = {"prompt", OPTION_INT, "N", NULL, 1, 4194304,
                    .help = "tokens of a prompt; unless given 128, and 79 in step"},
    [OPT_N_ANSWERS] =
        {"answers", OPTION_INT, "N", NULL, 1, 1024,
         .help =
             "answers to a prompt, and sequences of train; unless given 1, 8, 32 and 128 in turn, 8 in train and step"},
    [OPT_TOKENS] = {"tokens", OPTION_INT, "N", NULL, 2, 4194304,
                    .help = "tokens of an answer or sequence; unless given 64, and 256 in train"},
    [OPT_GROUP] =
        {"group", OPTION_INT, "G", NULL, 1, 1024,
         .help =
             "answers of train that share a prompt, which has 192 tokens, and they 64, unless given"},
    [OPT_MEMORY_BYTES] = {"memory-bytes", OPTION_REAL, "BYTES", "0", 0, 1e15,
                          .help =
                              "for what training keeps of a step; 0 is what a job would be given"},
    [OPT_ALL] = {"all", OPTION_SWITCH,
                 .help = "list every answer; more than 20 are not, unless asked for"},
    [OPT_PRINTS] = {"prints", OPTION_SWITCH, .help = "show all that a Python grader prints"},
    [OPT_REPEAT] = {"repeat", OPTION_INT, "K", "1", 1, 1000,
                    .help = "grade each answer so often, and tell noise from signal"},
    [OPT_WATCH] = {"watch", OPTION_SWITCH, .help = "again whenever one of the files changes"},
    [OPT_SUMMARY] = {"summary", OPTION_SWITCH,
                     .help = "with --json: one document of what is told without it"},
    [OPT_MAX_TOKENS] = {"max-tokens", OPTION_INT, "N", NULL, 1, 4194304,
                        .help = "longest answer, thinking included"},
    [OPT_TEMPERATURE] = {"temperature", OPTION_REAL, "T", "1", 0, 5,
                         .help = "0 takes the likeliest token every time"},
    [OPT_TOP_P] = {"top-p", OPTION_REAL, "P", "1", 1e-6, 1,
                   .help = "sample from the likeliest tokens that hold this probability"},
    [OPT_TOP_K] = {"top-k", OPTION_INT, "K", "0", 0, 1048576,
                   .help = "sample from so many likeliest tokens; 0 is all"},
    [OPT_SEED] = {"seed", OPTION_INT, "N", "1", 0, 2147483647, .setting = true,
                  .help = "the same seed gives the same answers"},
    [OPT_SYSTEM] = {"system", OPTION_TEXT, "TEXT", .help = "a system message to begin with"},
    [OPT_TEMPLATE] = {"template", OPTION_TEXT, "F",
                      .help = "a chat template (Jinja) instead of the model's own"},
    [OPT_BOS] = {"bos", OPTION_TEXT, "TEXT", .help = "the template's bos_token"},
    [OPT_EOS] = {"eos", OPTION_TEXT, "TEXT", .help = "the template's eos_token"},
    [OPT_DETOKENIZE] = {"detokenize", OPTION_SWITCH, .help = "ids in, text out"},
    [OPT_NO_SPECIAL] = {"no-special", OPTION_SWITCH,
                        .help =
                            "the texts of special tokens are plain text, which nobody can forge"},
    [OPT_NAME] = {"name", OPTION_TEXT, "NAME",
                  .help = "the name in the store; the file's own unless given"},
    [OPT_LINK] = {"link", OPTION_SWITCH, .help = "link to the model instead of copying it"},
    [OPT_FILE] = {"file", OPTION_TEXT, "PATTERN",
                  .help = "which GGUF of a repository: a part of its name, or with * and ?"},
    [OPT_CONNECTIONS] = {"connections", OPTION_INT, "N", "4", 1, 64, .setting = true,
                         .help = "that fetch at a time"},
    [OPT_PIECE] = {"piece", OPTION_INT, "BYTES", "67108864", 1024, 1 << 30, .hidden = true,
                   .help = "that a connection asks for at a time"},
    [OPT_HOME] = {"home", OPTION_TEXT, "DIR", .setting = true,
                  .help = "the store: models/, runs/, graders/ (~/.local/share/hone unless given)"},
    [OPT_DATABASE] = {"database", OPTION_TEXT, "URL", .setting = true,
                      .help = "postgresql://...; hone.db in the store unless given"},
    [OPT_JOB_MEMORY] = {"job-memory", OPTION_INT, "MB", "0", 0, 1 << 30, .setting = true,
                        .help = "for all jobs of this machine together; 0 is 80 % of it"},
    [OPT_NICE] = {"nice", OPTION_INT, "N", "10", 0, 19, .setting = true,
                  .help = "how far jobs stand back behind everything else on this machine"},
    [OPT_ONCE] = {"once", OPTION_SWITCH, .help = "end when no job waits"},
    [OPT_TAKE] = {"take", OPTION_CHOICE, "all|jobs|checks", "all",
                  .help = "what to work on; checks stand back behind jobs"},
    [OPT_LEASE] = {"lease", OPTION_INT, "SECONDS", "15", 2, 3600, .setting = true,
                   .help =
                       "without a sign of life for so long, and a worker's job goes to another"},
    [OPT_WORKER_NAME] = {"worker-name", OPTION_TEXT, "NAME", .hidden = true,
                         .help = "what the store calls this worker"},
    [OPT_LEAVE_WITHOUT] = {"leave-without", OPTION_INT, "PID", "0", 0, 1 << 30, .hidden = true,
                           .help = "end when that parent is gone and there is no job"},
    [OPT_DEVICE] = {"device", OPTION_CHOICE, "cpu", "cpu", .setting = true,
                    .help = "what computes"},
    [OPT_THREADS] = {"threads", OPTION_INT, "N", "0", 0, 256, .setting = true,
                     .help = "0 is one a core; the number changes no result"},
    [OPT_PRECISION] = {"precision", OPTION_CHOICE, "f32|int8", "int8", .setting = true,
                       .help = "of what is computed; the weights stay as they are"},
    [OPT_KV_CACHE] = {"kv-cache", OPTION_CHOICE, "auto|f32|f16|q8_0", "auto", .setting = true,
                      .help = "what keys and values are kept in, in sampling and training alike; "
                              "auto is f16, beside --precision f32 f32"},
    [OPT_CONTEXT] = {"context", OPTION_INT, "N", "0", 0, 4194304, .setting = true,
                     .help = "longest sequence; 0 is the model's own, at most 8192"},
    [OPT_KERNELS] = {"kernels", OPTION_CHOICE, "auto|plain|avx2|avxvnni|avx512|avx512vnni|avx512bf16|amx",
                     "auto", .setting = true, .hidden = true,
                     .help = "the machine type to compute for; the choice changes no result"},
    [OPT_GRADER_TIMEOUT] = {"grader-timeout", OPTION_REAL, "SECONDS", "120", 0.01, 3600,
                            .setting = true, .help = "for one call of a Python grader"},
    [OPT_GRADER_MEMORY] = {"grader-memory", OPTION_INT, "MB", "2048", 64, 1048576, .setting = true,
                           .help = "for one call of a Python grader"},
    [OPT_GRADER_WORKERS] = {"grader-workers", OPTION_INT, "N", "0", 0, 256, .setting = true,
                            .help = "Python processes at most; 0 is one a core"},
    [OPT_PYTHON] =
        {"python", OPTION_TEXT, "PATH", .setting = true,
         .help =
             "the interpreter of Python graders; that of hone graders install, or python3, unless given"},
    [OPT_JUDGE] =
        {"judge", OPTION_TEXT, "WHO", .setting = true,
         .help = "whom model graders ask: a model of hone's, base (the model that is trained or "
                 "measured), or an address such as https://host/v1 (key in HONE_JUDGE_KEY)"},
    [OPT_JUDGE_TIMEOUT] = {"judge-timeout", OPTION_REAL, "SECONDS", "600", 0.01, 3600,
                           .setting = true,
                           .help =
                               "for one question to a model or an endpoint, all tries together"},
    [OPT_EMBEDDING_MODEL] = {"embedding-model", OPTION_TEXT, "M", .setting = true,
                             .help = "what the metric cosine compares by: a model of BERT's type"},
    [OPT_SANDBOX] = {"sandbox", OPTION_INT, "TIER", "0", 0, 3, .setting = true, .hidden = true,
                     .help = "this tier or none; 0 is the strongest that holds here"},
    [OPT_ONLY] = {"only", OPTION_TEXT, "LIST",
                  .help = "these packages and what they need, with commas between"},
    [OPT_MEMORY] = {"memory", OPTION_INT, "MB", "0", 0, 1 << 30, .hidden = true,
                    .help = "for models and caches; 0 is no limit"},
    [OPT_HOST] = {"host", OPTION_TEXT, "ADDRESS", "127.0.0.1", .setting = true,
                  .help =
                      "whom to listen to: this machine alone unless given; 0.0.0.0 is everyone"},
    [OPT_PORT] = {"port", OPTION_INT, "N", "8080", 0, 65535, .setting = true,
                  .help = "0 is any free one"},
    [OPT_ANONYMOUS] = {"anonymous", OPTION_SWITCH, .setting = true,
                       .help = "programs on this machine need no key"},
    [OPT_ALLOW_REQUEST_ADDRESSES] =
        {"allow-request-addresses", OPTION_SWITCH, .setting = true,
         .help = "graders may send to addresses that requests name: endpoint graders, "
                 "hone.judges and tools of a job"},
    [OPT_REQUEST_KEY_ENV] =
        {"request-key-env", OPTION_TEXT, "NAMES", .setting = true,
         .help = "variables, with commas between, whose values jobs may send as keys to addresses "
                 "that they name (api_key_env in hone.judges): none unless given"},
    [OPT_ALLOW_PRIVATE_WEBHOOKS] = {"allow-private-webhooks", OPTION_SWITCH, .setting = true,
                                    .help =
                                        "webhooks may go to this machine and to private networks"},
    [OPT_WORKERS] = {"workers", OPTION_INT, "N", "1", 0, 256, .setting = true,
                     .help =
                         "jobs worked on at a time here; 0 leaves them to hone worker elsewhere"},
    [OPT_TLS_CERT] = {"tls-cert", OPTION_TEXT, "FILE", .setting = true,
                      .help = "certificate chain (PEM): HTTPS instead of HTTP"},
    [OPT_TLS_KEY] = {"tls-key", OPTION_TEXT, "FILE", .setting = true,
                     .help = "its private key (PEM)"},
    [OPT_PUBLIC_URL] = {"public-url", OPTION_TEXT, "URL", .setting = true,
                        .help = "the server's address as its users know it"},
    [OPT_KEEP_RESPONSES] = {"keep-responses", OPTION_INT, "DAYS", "0", 0, 36500, .setting = true,
                            .help = "stored responses and chat completions without feedback are "
                                    "removed so long after they were made; 0 keeps them"},
    [OPT_REQUESTS_PER_MINUTE] = {"requests-per-minute", OPTION_INT, "N", "0", 0, 1000000000,
                                 .setting = true,
                                 .help = "of each key that has no limit of its own; 0 is no limit"},
    [OPT_CONCURRENT_REQUESTS] = {"concurrent-requests", OPTION_INT, "N", NULL, 0, 1000000000,
                                 .setting = true,
                                 .help = "at once, streams too, of each key that has no limit of "
                                         "its own: 1024 unless hone serve is given another; 0 is "
                                         "no limit"},
    [OPT_CONNECTIONS_PER_ADDRESS] =
        {"max-connections-per-address", OPTION_INT, "N", NULL, 0, 1000000000, .setting = true,
         .help = "of one address, out of 4096: 2048 unless given, and none where --host is this "
                 "machine's, which all clients of a proxy share; 0 is no limit"},
    [OPT_ORG] = {"org", OPTION_TEXT, "ORG",
                 .help = "an organisation's id, slug or name; the first one unless given"},
    [OPT_PROJECT] = {"project", OPTION_TEXT, "PROJECT",
                     .help = "a project's id or name; the organisation's first one unless given"},
    [OPT_SCOPES] = {"scopes", OPTION_TEXT, "LIST",
                    .help = "what the key may do, with commas between: use, train (and use), "
                            "admin (everything in the organisation); train unless given"},
    [OPT_DAYS] = {"days", OPTION_INT, "N", NULL, 1, 36600,
                  .help = "how long it is good: an invitation 14 unless given, a key forever"},
    [OPT_NOTE] = {"note", OPTION_TEXT, "TEXT", .help = "whom it is for: an address, a name"},
    [OPT_QUOTA] = {"quota", OPTION_INT, "MB", NULL, 0, 1 << 30,
                   .help = "of a project's files; 0 is none"},
    [OPT_LAST] = {"last", OPTION_INT, "N", "50", 1, 100000, .help = "how many, the newest first"},
    [OPT_URL] = {"url", OPTION_TEXT, "URL", .setting = true,
                 .help =
                     "the server's address; OPENAI_BASE_URL, or http://127.0.0.1:8080/v1, unless "
                     "given"},
    [OPT_API_KEY] = {"api-key", OPTION_TEXT, "KEY", .setting = true,
                     .help = "better in HONE_API_KEY, for other users see what a command is called "
                             "with; OPENAI_API_KEY unless given"},
    [OPT_FORMAT] = {"format", OPTION_CHOICE, "supervised|dpo|rft", "supervised",
                    .help = "the method that learns from it"},
    [OPT_RATING] = {"rating", OPTION_CHOICE, "up|down", .help = "was the answer good?"},
    [OPT_CORRECTION] = {"correction", OPTION_TEXT, "TEXT", .help = "what it should have been"},
    [OPT_COMMENT] = {"comment", OPTION_TEXT, "TEXT", .help = "anything else about it"},
    [OPT_EXPORT_FORMAT] = {"format", OPTION_CHOICE, "peft|safetensors|gguf|gguf-lora",
                           .help = "what is made"},
    [OPT_DTYPE] =
        {"dtype", OPTION_CHOICE, "f32|f16|bf16|q8_0",
         .help =
             "of merged weights: the base's own unless given; of a quantised base f32 in a folder, "
             "f16 in GGUF. q8_0 is GGUF's"},
    [OPT_BASE] = {"base", OPTION_TEXT, "NAME",
                  .help = "what the files call the base model, such as ORG/NAME of a hub"},
    [OPT_VERIFY] = {"verify", OPTION_SWITCH,
                    .help = "open what was written, and fail where it differs from the run"},
    [OPT_COMPLETION] = {"completion", OPTION_SWITCH, .help = "what bash completes by, instead"},
    [OPT_CONFIG] = {"config", OPTION_TEXT, "F",
                    .help = "settings from this file; hone.conf in the store unless given"},
    [OPT_JSON] = {"json", OPTION_SWITCH,
                  .help = "for scripts: JSON on standard output and nothing else there"},
    [OPT_HELP] = {"help", OPTION_SWITCH, .help = "this page"},
};

static const enum option_id always[] = {OPT_CONFIG, OPT_JSON, OPT_HELP};

const enum option_id *options_always(size_t *n)
{
    *n = COUNT_OF(always);
    return always;
}

const struct option *option_row(enum option_id id)
{
    assert(id < N_OPTIONS);
    return &table[id];
}

/* ---- names ---- */

/* How many letters must be put in, taken out, changed or swapped with a neighbour: optimal string alignment. */
static size_t distance(const char *a, const char *b)
{
    const size_t n = strlen(a), m = strlen(b);
    size_t row[3][MAX_WORD + 1];

    if (n > MAX_WORD || m > MAX_WORD)
        return SIZE_MAX;
    for (size_t j = 0; j <= m; j++)
        row[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *now = row[i % 3], *last = row[(i + 2) % 3], *before = row[(i + 1) % 3];

        now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            now[j] =
                size_min(size_min(last[j], now[j - 1]) + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = size_min(now[j], before[j - 2] + 1);
        }
    }
    return row[n % 3][m];
}

const char *closest_word(const char *word, size_t n, const char *const *words)
{
    const size_t len = strlen(word);
    const char *best = NULL;
    size_t least = len >= 9 ? 3 : len >= 5 ? 2 : 1;

    for (size_t i = 0; i < n; i++) {
        size_t d = distance(word, words[i]);

        if (len >= 3 && d > 1 && strncmp(word, words[i], len) == 0)
            d = 1; /* the beginning of it */
        if (d <= least && (best == NULL || d < least)) {
            best = words[i];
            least = d;
        }
    }
    return best;
}

static bool takes(const struct option_set *set, enum option_id id)
{
    for (size_t i = 0; i < COUNT_OF(always); i++)
        if (always[i] == id)
            return true;
    for (size_t i = 0; i < set->n_ids; i++)
        if (set->ids[i] == id)
            return true;
    return false;
}

/* Commands may share a name for different things: the one that set takes comes first. */
static bool find_name(const struct option_set *set, struct str name, enum option_id *out)
{
    bool found = false;

    for (size_t i = 0; i < N_OPTIONS; i++) {
        const enum option_id id = (enum option_id)i;

        if (str_is(name, table[i].name) && (!found || takes(set, id))) {
            *out = id;
            found = true;
        }
    }
    return found;
}

static bool unknown_option(const struct option_set *set, const char *name, struct error *err)
{
    const char *names[N_OPTIONS];
    enum option_id id;
    size_t n = 0;

    for (size_t i = 0; i < N_OPTIONS; i++)
        if (takes(set, (enum option_id)i) && !table[i].hidden)
            names[n++] = table[i].name;
    const char *near = closest_word(name, n, names);
    if (near != NULL)
        return fail_param(err, ERR_INVALID, name, "%s has no option --%s; did you mean --%s?",
                          set->command, name, near);
    if (find_name(set, str_of(name), &id))
        return fail_param(err, ERR_INVALID, name,
                          "%s has no option --%s, though other commands have", set->command, name);
    return fail_param(err, ERR_INVALID, name,
                      "%s has no option --%.100s; hone %s --help lists them", set->command, name,
                      set->command);
}

/* ---- values ---- */

static bool is_choice(const char *choices, const char *text)
{
    const size_t len = strlen(text);

    for (const char *at = choices; at != NULL; at = strchr(at, '|')) {
        at += *at == '|';
        if (len > 0 && strncmp(at, text, len) == 0 && (at[len] == '|' || at[len] == '\0'))
            return true;
    }
    return false;
}

/* where names the place of the value: "--threads", "HONE_THREADS", "hone.conf, line 3: threads". */
static bool check_value(enum option_id id, const char *where, const char *text, struct error *err)
{
    const struct option *o = &table[id];
    char *end;

    switch (o->type) {
    case OPTION_SWITCH:
    case OPTION_TEXT:
    case OPTION_LIST:
        return true;
    case OPTION_CHOICE:
        return is_choice(o->value, text) ||
               fail_param(err, ERR_INVALID, o->name, "%s is \"%.100s\", this hone offers %s", where,
                          text, o->value);
    case OPTION_INT: {
        errno = 0;
        const long long x = strtoll(text, &end, 10);

        if (end == text || *end != '\0' || errno != 0 || (double)x < o->min || (double)x > o->max)
            return fail_param(err, ERR_INVALID, o->name,
                              "%s is \"%.100s\", a whole number from %.0f to %.0f was expected",
                              where, text, o->min, o->max);
        return true;
    }
    case OPTION_REAL: {
        const double x = strtod(text, &end);

        if (end == text || *end != '\0' || !(x >= o->min && x <= o->max))
            return fail_param(err, ERR_INVALID, o->name,
                              "%s is \"%.100s\", a number from %g to %g was expected", where, text,
                              o->min, o->max);
        return true;
    }
    }
    return true;
}

static bool put_value(struct options *o, enum option_id id, const char *where, const char *text,
                      struct arena *a, struct error *err)
{
    struct option_value *v = &o->value[id];

    if (!check_value(id, where, text, err))
        return false;
    if (table[id].type == OPTION_LIST) {
        const char **list = ARENA_ARRAY(a, const char *, v->n + 1);

        if (v->n > 0)
            memcpy(list, v->list, v->n * sizeof *list);
        list[v->n++] = text;
        v->list = list;
    }
    v->text = text;
    v->given = true;
    return true;
}

/* A switch as a setting: yes or no. */
static bool read_yes(const char *where, const char *text, bool *out, struct error *err)
{
    static const char *const yes[] = {"1", "true", "yes", "on"}, *const no[] = {"0", "false", "no",
                                                                                "off"};

    for (size_t i = 0; i < COUNT_OF(yes); i++) {
        if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
            *out = strcmp(text, yes[i]) == 0;
            return true;
        }
    }
    return fail(err, ERR_INVALID, "%s is \"%.100s\", yes or no was expected", where, text);
}

static bool put_setting(struct options *o, enum option_id id, const char *where, const char *text,
                        struct arena *a, struct error *err)
{
    bool on = true;

    if (table[id].type == OPTION_SWITCH && (!read_yes(where, text, &on, err) || !on))
        return !on;
    return put_value(o, id, where, text, a, err);
}

/* ---- the words ---- */

struct words {
    const struct option_set *set;
    char *const *words;
    size_t n, at;
    bool only_args; /* after "--" */
};

static bool read_word(struct words *w, struct arena *a, struct options *o, struct error *err)
{
    const char *word = w->words[w->at++];
    enum option_id id;

    if (strcmp(word, "-h") == 0 && !w->only_args)
        word = "--help";
    if (strcmp(word, "--") == 0 && !w->only_args) {
        w->only_args = true;
        return true;
    }
    if (w->only_args || word[0] != '-' || word[1] == '\0') {
        o->args[o->n_args++] = word;
        return true;
    }
    if (word[1] != '-')
        return fail(err, ERR_INVALID, "%s has no option %.100s; options begin with two dashes",
                    w->set->command, word);
    const char *equals = strchr(word, '=');
    const struct str name = {word + 2,
                             equals != NULL ? (size_t)(equals - word - 2) : strlen(word + 2)};
    const char *shown = arena_text(a, name);
    if (!find_name(w->set, name, &id) || !takes(w->set, id))
        return unknown_option(w->set, shown, err);
    if (table[id].type == OPTION_SWITCH) {
        if (equals != NULL)
            return fail_param(err, ERR_INVALID, shown, "--%s takes no value", shown);
        return put_value(o, id, word, "", a, err);
    }
    if (equals == NULL && w->at == w->n)
        return fail_param(err, ERR_INVALID, shown, "--%s needs a value: --%s %s", shown, shown,
                          table[id].value);
    return put_value(o, id, arena_printf(a, "--%s", shown),
                     equals != NULL ? equals + 1 : w->words[w->at++], a, err);
}

static bool check_args(const struct option_set *set, const struct options *o, struct error *err)
{
    if (o->n_args < set->min_args)
        return fail(err, ERR_INVALID, "%s needs %s; hone %s --help tells more", set->command,
                    set->args, set->command);
    if (o->n_args > set->max_args)
        return fail(err, ERR_INVALID,
                    "%s takes %s, and \"%.100s\" is too much; hone %s --help tells more",
                    set->command, set->max_args == 0 ? "options only" : set->args,
                    o->args[set->max_args], set->command);
    return true;
}

/* ---- environment ---- */

const char *option_variable(enum option_id id, struct arena *a)
{
    char *name = arena_printf(a, "HONE_%s", table[id].name);

    for (char *p = name; *p != '\0'; p++)
        *p = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
    return name;
}

static bool read_environment(const struct option_set *set, option_env_fn *env, struct arena *a,
                             struct options *o, struct error *err)
{
    for (size_t i = 0; i < N_OPTIONS; i++) {
        const enum option_id id = (enum option_id)i;

        if (!table[i].setting || o->value[i].given || !takes(set, id))
            continue;
        const char *name = option_variable(id, a), *text = env(name);
        if (text != NULL && text[0] != '\0' &&
            !put_setting(o, id, name, arena_text(a, str_of(text)), a, err))
            return false;
    }
    return true;
}

/* ---- hone.conf ---- */

struct config {
    const char *path;
    const struct option_set *set;
    bool seen[N_OPTIONS];
};

static bool unknown_setting(const struct config *c, size_t number, struct str name, struct arena *a,
                            struct error *err)
{
    const char *names[N_OPTIONS];
    size_t n = 0;

    for (size_t i = 0; i < N_OPTIONS; i++)
        if (table[i].setting)
            names[n++] = table[i].name;
    const char *near = closest_word(arena_text(a, name), n, names);
    return fail(err, ERR_INVALID, "%s, line %zu: \"%.*s\" is no setting%s%s%s", c->path, number,
                (int)size_min(name.len, 100), name.ptr, near != NULL ? "; did you mean \"" : "",
                near != NULL ? near : "", near != NULL ? "\"?" : "");
}

static bool read_line(struct config *c, size_t number, struct str line, struct arena *a,
                      struct options *o, struct error *err)
{
    enum option_id id;

    line = str_trim(line, STR_SPACE);
    if (line.len == 0 || line.ptr[0] == '#')
        return true;
    const size_t equals = str_find(line, STR("="), 0);
    if (equals == line.len)
        return fail(err, ERR_INVALID, "%s, line %zu: \"name = value\" was expected", c->path,
                    number);
    const struct str name = str_trim((struct str){line.ptr, equals}, STR_SPACE);
    const char *text = arena_text(a, str_trim(str_from(line, equals + 1), STR_SPACE));
    if (!find_name(c->set, name, &id) || !table[id].setting)
        return unknown_setting(c, number, name, a, err);
    const char *where = arena_printf(a, "%s, line %zu: %s", c->path, number, table[id].name);
    if (c->seen[id])
        return fail(err, ERR_INVALID, "%s stands there twice", where);
    c->seen[id] = true;
    if (o->value[id].given || !takes(c->set, id))
        return check_value(id, where, text, err);
    return put_setting(o, id, where, text, a, err);
}

static bool read_config(const struct option_set *set, struct arena *a, struct options *o,
                        struct error *err)
{
    const char *home = option_text(o, OPT_HOME);
    struct config c = {.path = option_text(o, OPT_CONFIG), .set = set};
    struct str text, line;
    size_t number = 0;

    if (c.path == NULL) {
        c.path = file_join(a, home != NULL ? home : home_default(a), "hone.conf");
        if (!file_exists(c.path))
            return true;
    }
    if (!file_read(c.path, CONFIG_BYTES, a, &text, err))
        return false;
    for (size_t at = 0; at < text.len; at += line.len + 1) {
        const size_t end = str_find(text, STR("\n"), at);

        line = (struct str){text.ptr + at, end - at};
        if (!read_line(&c, ++number, line, a, o, err))
            return false;
    }
    return true;
}

/* ---- together ---- */

bool options_read(const struct option_set *set, size_t n_words, char *const *words,
                  option_env_fn *getenv_fn, struct arena *a, struct options *out, struct error *err)
{
    struct words w = {.set = set, .words = words, .n = n_words};
    struct options o = {.args = ARENA_ARRAY(a, const char *, n_words + 1)};

    while (w.at < w.n)
        if (!read_word(&w, a, &o, err))
            return false;
    for (size_t i = 0; i < N_OPTIONS; i++)
        o.value[i].typed = o.value[i].given;
    if (!o.value[OPT_HELP].given) {
        if (!check_args(set, &o, err) ||
            !read_environment(set, getenv_fn != NULL ? getenv_fn : getenv, a, &o, err) ||
            !read_config(set, a, &o, err))
            return false;
    }
    for (size_t i = 0; i < N_OPTIONS; i++)
        if (!o.value[i].given)
            o.value[i].text = table[i].def;
    *out = o;
    return true;
}

const char *option_text(const struct options *o, enum option_id id)
{
    return o->value[id].text;
}

const char *option_text_if_given(const struct options *o, enum option_id id)
{
    return o->value[id].given ? option_text(o, id) : NULL;
}

bool option_given(const struct options *o, enum option_id id)
{
    return o->value[id].given;
}

bool option_typed(const struct options *o, enum option_id id)
{
    return o->value[id].typed;
}

bool option_on(const struct options *o, enum option_id id)
{
    assert(table[id].type == OPTION_SWITCH);
    return o->value[id].given;
}

int64_t option_int(const struct options *o, enum option_id id)
{
    assert(table[id].type == OPTION_INT && o->value[id].text != NULL);
    return strtoll(o->value[id].text, NULL, 10);
}

double option_real(const struct options *o, enum option_id id)
{
    assert(table[id].type == OPTION_REAL && o->value[id].text != NULL);
    return strtod(o->value[id].text, NULL);
}

/* ---- help ---- */

#define HELP_COLUMN 26
#define HELP_WIDTH 98

/* text from column on, broken between words; the first line is there up to at. */
static void put_wrapped(struct buf *out, size_t at, size_t column, const char *text)
{
    size_t col = at;

    if (col > 0 && col >= column) {
        buf_char(out, '\n');
        col = 0;
    }
    for (; col < column; col++)
        buf_char(out, ' ');
    while (*text != '\0') {
        const size_t len = strcspn(text, " ");

        if (col > column && col + 1 + len > HELP_WIDTH) {
            buf_printf(out, "\n%*s", (int)column, "");
            col = column;
        } else if (col > column) {
            buf_char(out, ' ');
            col++;
        }
        buf_put(out, text, len);
        col += len;
        text += len + (text[len] == ' ');
    }
    buf_char(out, '\n');
}

void options_range(const struct option *o, struct buf *out)
{
    const bool number = o->type == OPTION_INT || o->type == OPTION_REAL;
    const char *open = " (";

    if (number) {
        buf_printf(out, "%s%.15g to %.15g", open, o->min, o->max);
        open = "; ";
    }
    if (o->def != NULL) {
        buf_printf(out, "%s%s unless given", open, o->def);
        open = "; ";
    }
    if (open[0] == ';')
        buf_char(out, ')');
}

static void put_option(struct buf *out, enum option_id id)
{
    const struct option *o = &table[id];
    struct buf text;
    const size_t from = out->len;

    if (o->hidden)
        return;
    buf_printf(out, "  --%s", o->name);
    if (o->type != OPTION_SWITCH)
        buf_printf(out, " %s", o->value);
    if (o->setting)
        buf_text(out, " *");
    buf_init(&text, 1 << 16);
    buf_text(&text, o->help);
    options_range(o, &text);
    buf_char(&text, '\0');
    put_wrapped(out, out->len - from, HELP_COLUMN, text.ptr);
    buf_release(&text);
}

void options_help(const struct option_set *set, struct buf *out)
{
    bool settings = false;

    buf_printf(out, "hone %s%s%s [options]\n\n", set->command, set->args[0] != '\0' ? " " : "",
               set->args);
    put_wrapped(out, 0, 0, set->summary);
    if (set->details[0] != '\0') {
        buf_char(out, '\n');
        put_wrapped(out, 0, 0, set->details);
    }
    buf_text(out, "\nOptions:\n");
    for (size_t i = 0; i < set->n_ids; i++) {
        put_option(out, set->ids[i]);
        settings = settings || (table[set->ids[i]].setting && !table[set->ids[i]].hidden);
    }
    for (size_t i = 0; i < COUNT_OF(always); i++)
        put_option(out, always[i]);
    if (settings)
        buf_text(
            out,
            "\n  * may also stand in the environment (HONE_THREADS=2) or in hone.conf (threads = 2);\n"
            "    the option beats the variable, which beats the file.\n");
    buf_printf(out, "\n%s:\n%s",
               strchr(set->examples, '\n') == strrchr(set->examples, '\n') ? "Example" : "Examples",
               set->examples);
}
