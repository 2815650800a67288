/*
 * job_file.c - the body first, then the files it names, then what they hold.
 */
#include "cli/job_file.h"
#include "base/file.h"
#include "base/size.h"
#include "cli/grader_file.h"
#include "job/run_read.h"
#include "sample/turn.h"
#include "train/answers.h"
#include "train/fit_rows.h"

#include <stdlib.h>

/* ---- the body ---- */

/* What the API calls hyperparameters of a reinforcement job; every other plain name is a setting of hone's. */
static const char *const hyperparameters[] = {
    "batch_size",   "learning_rate_multiplier", "n_epochs", "compute_multiplier", "eval_interval",
    "eval_samples", "reasoning_effort",
};
static const char *const fit_hyperparameters[] = {"batch_size", "learning_rate_multiplier",
                                                  "n_epochs", "beta"};
static const char *const top_level[] = {"seed",  "suffix",        "metadata",
                                        "model", "training_file", "validation_file"};

static bool is_among(const char *name, size_t n, const char *const *names)
{
    while (n > 0)
        if (strcmp(names[--n], name) == 0)
            return true;
    return false;
}

/*
 * body.a.b.c = value, which is given up; objects on the way are made. False where something else is in the way, or a name is empty or
 * not UTF-8.
 */
static bool set_path(json_t *body, const char *path, json_t *value)
{
    for (;;) {
        const size_t n = strcspn(path, ".");
        json_t *next = json_object_getn(body, path, n);

        if (path[n] == '\0' && n > 0)
            return json_object_setn_new(body, path, n, value) == 0;
        if (n > 0 && (next == NULL || json_is_null(next))) {
            next = json_object();
            if (json_object_setn_new(body, path, n, next) != 0)
                next = NULL;
        }
        if (!json_is_object(next) || n == 0) {
            json_decref(value);
            return false;
        }
        body = next;
        path += n + 1;
    }
}

/* The method that options are for: what the job says, or what it has hyperparameters or a grader of. */
static const char *method_of(const json_t *body)
{
    static const enum train_method all[] = {METHOD_REINFORCEMENT, METHOD_DPO, METHOD_SUPERVISED};
    const json_t *method = json_object_get(body, "method"), *type = json_object_get(method, "type");

    for (size_t i = 0; i < COUNT_OF(all); i++) {
        const char *name = train_method_name(all[i]);

        if (type != NULL ? str_is(json_str(type), name) : json_object_get(method, name) != NULL)
            return name;
    }
    return train_method_name(METHOD_SUPERVISED);
}

static bool is_hyperparameter(const char *key, const char *method)
{
    return strcmp(method, train_method_name(METHOD_REINFORCEMENT)) == 0
               ? is_among(key, COUNT_OF(hyperparameters), hyperparameters)
               : is_among(key, COUNT_OF(fit_hyperparameters), fit_hyperparameters);
}

static bool set_option(struct cli *c, json_t *body, const char *text, struct error *err)
{
    const char *equals = strchr(text, '=');
    const char *key, *path;

    if (equals == NULL || equals == text)
        return misuse(c, err, "--set is \"%.100s\", KEY=VALUE was expected", text);
    key = arena_text(c->arena, (struct str){text, (size_t)(equals - text)});
    if (strchr(key, '.') != NULL || is_among(key, COUNT_OF(top_level), top_level))
        path = key;
    else if (is_hyperparameter(key, method_of(body)))
        path = arena_printf(c->arena, "method.%s.hyperparameters.%s", method_of(body), key);
    else
        path = arena_printf(c->arena, "hone.%s", key);
    json_t *value = json_loads(equals + 1, JSON_DECODE_ANY, NULL);
    if (value == NULL)
        value = json_string(equals + 1);
    return (value != NULL && set_path(body, path, value)) ||
           misuse(c, err, "--set %.100s: the job has no place for it", text);
}

/* What was typed stands above the job; what stands in the environment or in hone.conf below it. */
static bool counts(struct cli *c, const json_t *said, enum option_id id)
{
    return option_typed(c->options, id) || (option_given(c->options, id) && said == NULL);
}

static bool set_text(struct cli *c, json_t *body, enum option_id id, const char *key)
{
    return !counts(c, json_object_get(body, key), id) ||
           json_object_set_new(body, key, json_string(option_text(c->options, id))) == 0;
}

/* What an option says of a setting under "hone". */
static bool set_ours(struct cli *c, json_t *body, enum option_id id, const char *key,
                     struct error *err)
{
    const json_t *said = json_object_get(json_object_get(body, "hone"), key);

    return !counts(c, said != NULL && recipe_is_auto(said) ? NULL : said, id) ||
           set_path(body, arena_printf(c->arena, "hone.%s", key),
                    json_string(option_text(c->options, id))) ||
           fail(err, ERR_INVALID, "the job has no place for \"%s\": its \"hone\" is no object",
                key);
}

static bool set_grader(struct cli *c, json_t *body, struct error *err)
{
    const char *path = option_text(c->options, OPT_GRADER);
    json_t *grader = NULL;

    return path == NULL ||
           (grader_file_read(path, &grader, err) &&
            (set_path(body, "method.reinforcement.grader", grader) ||
             fail(err, ERR_INVALID,
                  "the job has no place for a grader: its \"method\" is no object")));
}

static bool apply_options(struct cli *c, json_t *body, struct error *err)
{
    const struct option_value *set = &c->options->value[OPT_SET];
    bool ok =
        (set_text(c, body, OPT_MODEL, "model") && set_text(c, body, OPT_TRAIN, "training_file") &&
         set_text(c, body, OPT_VALID, "validation_file")) ||
        fail(err, ERR_INVALID, "a path among the options is not UTF-8");

    if (ok && counts(c, json_object_get(body, "seed"), OPT_SEED))
        json_object_set_new(body, "seed", json_integer(option_int(c->options, OPT_SEED)));
    ok = ok && set_ours(c, body, OPT_PRECISION, "precision", err) &&
         set_ours(c, body, OPT_KV_CACHE, "kv_cache", err) && set_grader(c, body, err);
    for (size_t i = 0; ok && i < set->n; i++)
        ok = set_option(c, body, set->list[i], err);
    const json_t *method = json_object_get(body, "method");
    if (ok && json_is_object(method) && json_object_get(method, "type") == NULL &&
        json_object_get(method, method_of(body)) != NULL)
        ok = set_path(body, "method.type", json_string(method_of(body)));
    return ok;
}

static bool read_body(struct cli *c, struct job_file *j, struct error *err)
{
    json_t *file = NULL;
    bool ok = true;

    if (c->options->n_args > 0) {
        j->file = c->options->args[0];
        ok = json_read_file(j->file, &j->body, err);
    } else if (option_on(c->options, OPT_RESUME) && option_given(c->options, OPT_OUT)) {
        j->run = option_text(c->options, OPT_OUT);
        ok = run_read_job(j->run, &file, err);
        j->body = json_incref(json_object_get(file, "job"));
        json_decref(file);
    } else {
        j->body = json_object();
    }
    if (ok && !json_is_object(j->body))
        ok = fail(err, ERR_INVALID, "%s is %s, a job is an object",
                  j->file != NULL ? j->file : j->run, json_kind(j->body));
    return ok;
}

/* ---- the files it names ---- */

static const char *text_in(const json_t *object, const char *key, struct arena *a)
{
    const json_t *v = json_object_get(object, key);

    return json_is_string(v) && json_string_length(v) > 0 ? arena_text(a, json_str(v)) : NULL;
}

/* name as seen from the folder that file is in. */
static const char *beside(const char *file, const char *name, struct arena *a)
{
    const char *slash = strrchr(file, '/');

    return slash == NULL ? name : arena_printf(a, "%.*s%s", (int)(slash - file) + 1, file, name);
}

/* Where the run that goes on noted that a file lies, seen from here; or NULL. */
static const char *noted_path(struct cli *c, const struct job_file *j, const char *noted)
{
    struct error ignored;
    json_t *file = NULL;

    if (j->run == NULL || !run_read_job(j->run, &file, &ignored))
        return NULL;
    const char *path = text_in(json_object_get(file, "resolved"), noted, c->arena);
    json_decref(file);
    return path == NULL || path[0] == '/' ? path : file_join(c->arena, j->run, path);
}

/* Where name, which stands in the job under key, may lie: in the run's own notes, beside the job, or where we are. */
static const char *find_path(struct cli *c, const struct job_file *j, enum option_id id,
                             const char *name, const char *noted)
{
    const char *path = option_typed(c->options, id) ? NULL : noted_path(c, j, noted);

    if (path != NULL && file_exists(path))
        return path;
    if (!option_typed(c->options, id) && j->file != NULL && name[0] != '/') {
        path = beside(j->file, name, c->arena);
        if (file_exists(path))
            return path;
    }
    return file_exists(name) ? name : NULL;
}

static bool is_missing(struct cli *c, const struct job_file *j, const char *key, struct error *err)
{
    if (j->file == NULL && j->run == NULL)
        return misuse(
            c, err,
            "%s needs JOB.json, or --model M, --train F and --grader G.json; hone %s --help tells more",
            c->set->command, c->set->command);
    return fail_param(err, ERR_INVALID, key, "%s: \"%s\" is %s, a path was expected",
                      j->file != NULL ? j->file : j->run, key,
                      json_object_get(j->body, key) == NULL
                          ? "missing"
                          : json_kind(json_object_get(j->body, key)));
}

static bool find_data(struct cli *c, const struct job_file *j, enum option_id id, const char *key,
                      const char *noted, const char **out, struct error *err)
{
    const char *name = text_in(j->body, key, c->arena);

    if (name == NULL)
        return is_missing(c, j, key, err);
    *out = find_path(c, j, id, name, noted);
    if (*out != NULL)
        return true;
    if (option_typed(c->options, id) || j->file == NULL)
        return fail_param(err, ERR_NOT_FOUND, key, "%s: there is no such file (%s)", name, key);
    return fail_param(err, ERR_NOT_FOUND, key,
                      "%s: \"%s\" is %s, which is neither beside the job nor here", j->file, key,
                      name);
}

static bool find_model(struct cli *c, struct job_file *j, struct error *err)
{
    const char *name = text_in(j->body, "model", c->arena);

    if (name == NULL)
        return is_missing(c, j, "model", err);
    /* of a fine-tuned model the run notes its base, and beside it the adapter that training began with */
    const bool tuned = noted_path(c, j, "start_path") != NULL;
    const char *path = find_path(c, j, OPT_MODEL, name, tuned ? "start_path" : "model_path");
    if (!model_store_find(c->home, path != NULL ? path : name, c->arena, &j->model, err))
        return j->file != NULL && fail_while(err, "looking for the \"model\" of %s", j->file);
    j->model.name = name;
    return true;
}

bool job_file_read(struct cli *c, struct job_file *out, struct error *err)
{
    struct job_file j = {0};
    bool ok = read_body(c, &j, err) && apply_options(c, j.body, err) && find_model(c, &j, err) &&
              find_data(c, &j, OPT_TRAIN, "training_file", "training_path", &j.train, err);
    const json_t *valid = json_object_get(j.body, "validation_file");

    if (ok && valid != NULL && !json_is_null(valid))
        ok = find_data(c, &j, OPT_VALID, "validation_file", "validation_path", &j.valid, err);
    if (!ok) {
        job_file_release(&j);
        return false;
    }
    *out = j;
    return true;
}

/* The path that an option names, else where name lies as seen from the run or from here. */
static bool find_again(struct cli *c, const struct job_file *j, enum option_id id, const char *key,
                       const char *noted, const char **out, struct error *err)
{
    const char *name = text_in(j->body, key, c->arena);

    if (name == NULL)
        return is_missing(c, j, key, err);
    *out = option_typed(c->options, id) ? option_text(c->options, id)
                                        : find_path(c, j, id, name, noted);
    return (*out != NULL && file_exists(*out)) ||
           fail_param(err, ERR_NOT_FOUND, key,
                      "%s: the run's %s is not there any more: --%s says where it lies now",
                      *out != NULL ? *out : name, key, option_row(id)->name);
}

static bool find_model_again(struct cli *c, struct job_file *j, struct error *err)
{
    const char *typed =
        option_typed(c->options, OPT_MODEL) ? option_text(c->options, OPT_MODEL) : NULL;
    const char *name = text_in(j->body, "model", c->arena);

    if (typed == NULL)
        return find_model(c, j, err) ||
               fail_while(err, "looking for the run's model (--model says where it lies now)");
    if (!model_store_find(c->home, typed, c->arena, &j->model, err))
        return false;
    j->model.name = name != NULL ? name : typed;
    return true;
}

bool job_file_of_run(struct cli *c, const char *dir, const json_t *body, struct job_file *out,
                     struct error *err)
{
    struct job_file j = {.run = dir, .body = json_deep_copy(body)};
    const json_t *valid = json_object_get(j.body, "validation_file");
    bool ok = find_model_again(c, &j, err) &&
              find_again(c, &j, OPT_TRAIN, "training_file", "training_path", &j.train, err);

    if (ok && valid != NULL && !json_is_null(valid))
        ok = find_again(c, &j, OPT_VALID, "validation_file", "validation_path", &j.valid, err);
    if (!ok) {
        job_file_release(&j);
        return false;
    }
    *out = j;
    return true;
}

void job_file_release(struct job_file *j)
{
    json_decref(j->body);
    *j = (struct job_file){0};
}

/* ---- what they hold ---- */

static const char *what_of(const struct job_file *j)
{
    return j->file != NULL ? j->file : j->run != NULL ? j->run : "the job";
}

static bool open_grader(struct cli *c, struct job_parts *p, struct error *err)
{
    const json_t *method = json_object_get(p->job.body, "method");
    const json_t *spec = json_object_get(json_object_get(method, "reinforcement"), "grader");

    if (p->method != METHOD_REINFORCEMENT)
        return true;
    if (spec == NULL)
        return fail_param(err, ERR_INVALID, "method.reinforcement.grader",
                          "%s: \"method.reinforcement.grader\" is missing", what_of(&p->job));
    const char *option = option_text(c->options, OPT_GRADER);
    return served_grader_open(c, spec, json_object_get(p->job.body, "hone"),
                              option != NULL ? option : what_of(&p->job), true, &p->grader, err);
}

static bool open_model(struct cli *c, struct job_parts *p, struct error *err)
{
    const char *template;

    const size_t context =
        p->job.context > 0 ? p->job.context : (size_t)option_int(c->options, OPT_CONTEXT);

    if (!template_option(c, &template, err) ||
        !model_open(p->job.model.path, context, &p->model, err))
        return false;
    template = p->job.template != NULL ? p->job.template : template;
    if (!recipe_from_job(p->job.body, &p->model->config, &p->recipe, err))
        return fail_while(err, "reading %s", what_of(&p->job));
    p->model->precision = p->recipe.precision;
    p->model->config.kv_cache = p->recipe.kv_cache;
    if ((p->job.model.adapter != NULL &&
         !adapter_load(&p->model->config, p->job.model.adapter, &p->start, err)) ||
        !prompter_open(p->model, template, &p->prompter, err))
        return false;
    prompter_parse_special(p->prompter, p->recipe.parse_special != 0);
    return prompter_reason(p->prompter, p->recipe.reasoning, err) &&
           (prompter_hold(p->prompter, p->recipe.response_format, err) ||
            fail_while(err, "reading %s", what_of(&p->job))) &&
           (p->method != METHOD_REINFORCEMENT ||
            services_lend_base(p->grader.services, p->model, p->prompter, p->recipe.lora_rank == 0,
                               err));
}

static bool open_tools(struct job_parts *p, struct error *err)
{
    const struct tool_servers_options opt = {.timeout_s = p->recipe.tool_timeout_s,
                                             .n_threads = p->recipe.tools_at_once};

    return p->method != METHOD_REINFORCEMENT || p->job.no_tools ||
           tool_servers_open(recipe_reinforcement(p->job.body), &opt, &p->tools, err) ||
           fail_while(err, "reading %s", what_of(&p->job));
}

static bool open_data(struct job_parts *p, struct error *err)
{
    const enum dataset_format format = fit_format(p->method);

    return dataset_open_as(p->job.train, format, &p->train, err) &&
           (p->job.valid == NULL || dataset_open_as(p->job.valid, format, &p->valid, err));
}

bool job_parts_open_job(struct cli *c, struct job_file *job, struct job_parts *out,
                        struct error *err)
{
    struct job_parts p = {.job = *job};
    bool ok = machine_setup(c, err) &&
              (recipe_method(p.job.body, &p.method, err) ||
               fail_while(err, "reading %s", what_of(&p.job))) &&
              open_data(&p, err) && open_grader(c, &p, err) && open_model(c, &p, err) &&
              open_tools(&p, err);

    *job = (struct job_file){0};
    if (!ok) {
        job_parts_close(&p);
        return false;
    }
    *out = p;
    return true;
}

bool job_parts_open(struct cli *c, struct job_parts *out, struct error *err)
{
    struct job_file job = {0};

    return machine_setup(c, err) && job_file_read(c, &job, err) &&
           job_parts_open_job(c, &job, out, err);
}

void job_parts_close(struct job_parts *p)
{
    tool_servers_close(p->tools);
    served_grader_close(&p->grader); /* it may ask the model */
    prompter_close(p->prompter);
    adapter_close(p->start);
    model_close(p->model);
    dataset_close(&p->train);
    dataset_close(&p->valid);
    job_file_release(&p->job);
    *p = (struct job_parts){0};
}

static bool check_rows(const struct job_parts *p, const struct dataset *d, size_t *longest,
                       struct error *err)
{
    struct arena a = {0};
    const size_t answer =
        size_max(1, p->recipe.max_tokens) + (p->tools != NULL ? p->recipe.max_tool_tokens : 0);
    bool ok = true;

    for (size_t i = 0; ok && i < d->n_rows; i++) {
        const struct dataset_row *row = &d->rows[i];
        struct prompt prompt;

        arena_reset(&a);
        const char *what = arena_printf(&a, "%s, line %zu", d->path, row->line);
        ok = grader_check_item(p->grader.grader, row->item, what, err) &&
             (answers_prompt(p->prompter, row, effort_of(str_of(p->recipe.reasoning_effort)), &a,
                             &prompt, err) ||
              fail_while(err, "rendering %s", what));
        if (ok && prompt.n + answer > p->model->max_positions)
            ok = fail_param(
                err, ERR_LIMIT, "messages",
                "%s: the prompt has %zu tokens, and with %zu more for the answer that is past the %zu "
                "positions available",
                what, prompt.n, answer, p->model->max_positions);
        if (ok)
            *longest = size_max(*longest, prompt.n);
    }
    arena_release(&a);
    return ok;
}

/* The first function that a row offers and a server is named for; {NULL, 0}: none. */
static struct str served_tool(const struct job_parts *p, const struct dataset_row *row)
{
    for (size_t i = 0; i < json_array_size(row->tools); i++) {
        const struct str name =
            json_str(json_object_get(tool_function(json_array_get(row->tools, i)), "name"));

        if (tool_servers_has(p->tools, name))
            return name;
    }
    return (struct str){NULL, 0};
}

/* Some row offers a tool of the job to the model, and what a tool says can be rendered. */
static bool check_tools(const struct job_parts *p, struct error *err)
{
    struct arena a = {0};
    struct prompt prompt;

    for (size_t i = 0; p->tools != NULL && i < p->train.n_rows; i++) {
        const struct dataset_row *row = &p->train.rows[i];
        const struct tool_result result = {
            .name = served_tool(p, row), .call_id = STR(TOOL_PROBE_ID), .output = STR("1")};

        if (result.name.len == 0)
            continue;
        const bool ok = prompter_tool_turn(p->prompter, row->messages, row->tools, NULL, &result, 1,
                                           &a, &prompt, err);
        arena_release(&a);
        return ok || fail_while(err, "rendering what a tool says for %s, line %zu", p->train.path,
                                row->line);
    }
    return p->tools == NULL ||
           fail_param(err, ERR_INVALID, "method.reinforcement.tools",
                      "no row of %s offers a function of the job's \"tools\" to the model: rows "
                      "have \"tools\", a list of {\"type\": \"function\", \"function\": {\"name\": "
                      "..., \"parameters\": {...}}}",
                      p->train.path);
}

bool job_parts_check(const struct job_parts *p, size_t *longest, struct error *err)
{
    const size_t room = p->model->max_positions;
    size_t ignored;

    longest = longest != NULL ? longest : &ignored;
    *longest = 0;
    if (p->method == METHOD_REINFORCEMENT)
        return check_tools(p, err) && check_rows(p, &p->train, longest, err) &&
               check_rows(p, &p->valid, longest, err);
    return fit_rows_check(p->prompter, &p->train, p->method, room, err) &&
           fit_rows_check(p->prompter, &p->valid, p->method, room, err);
}

struct reinforce_inputs job_parts_inputs(const struct job_parts *p, struct cli *c)
{
    return (struct reinforce_inputs){.model = p->model,
                                     .prompter = p->prompter,
                                     .train = &p->train,
                                     .valid = p->job.valid != NULL ? &p->valid : NULL,
                                     .grader = p->grader.grader,
                                     .recipe = &p->recipe,
                                     .base_name = model_plain_name(p->job.model.name, c->arena),
                                     .start = p->start,
                                     .tool_servers = p->tools,
                                     .stop = c->stop};
}

struct fit_inputs job_parts_fit_inputs(const struct job_parts *p, struct cli *c)
{
    return (struct fit_inputs){.model = p->model,
                               .prompter = p->prompter,
                               .train = &p->train,
                               .valid = p->job.valid != NULL ? &p->valid : NULL,
                               .recipe = &p->recipe,
                               .base_name = model_plain_name(p->job.model.name, c->arena),
                               .start = p->start,
                               .stop = c->stop};
}
