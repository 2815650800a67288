/*
 * export_card.c - README.md: what the model was made of and came to, from the run's job.json, metrics.csv and certificate.
 *
 * Names of files are told, the folders that they lay in are not: a card is made to be given away.
 */
#include "base/file.h"
#include "base/limits.h"
#include "base/sha256.h"
#include "base/size.h"
#include "job/certificate.h"
#include "job/export_internal.h"
#include "job/run_read.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_CARD_BYTES ((size_t)1 << 20)
#define MAX_GRADER_BYTES ((size_t)16 << 10)
#define CURVE_ROWS 10

struct card {
    const struct export_request *r;
    const struct export_options *o;
    const char *dir;
    struct arena *arena;
    struct buf b;
    json_t *job_file;         /* or NULL */
    json_t *origin, *newest;  /* of the certificate: its first and its last line; or NULL */
    struct run_metrics curve; /* no rows where there is no run */
};

/* As a part of a line of Markdown. */
static void put_text(struct buf *b, struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (strchr("\\`*[]<>|#", s.ptr[i]) != NULL && s.ptr[i] != '\0')
            buf_char(b, '\\');
        buf_char(b, (unsigned char)s.ptr[i] < 0x20 ? ' ' : s.ptr[i]);
    }
}

static struct str last_part(struct str path)
{
    for (size_t i = path.len; i > 0; i--)
        if (path.ptr[i - 1] == '/' && i < path.len)
            return str_from(path, i);
    return path;
}

static void put_item(struct card *c, const char *what, struct str value)
{
    if (value.len == 0)
        return;
    buf_printf(&c->b, "- %s: ", what);
    put_text(&c->b, value);
    buf_char(&c->b, '\n');
}

/* A name of the hub's stays whole, of a path the file's name is told. */
static struct str base_name(const struct card *c)
{
    if (c->r->base_name != NULL)
        return str_of(c->r->base_name);
    return str_of(model_plain_name(c->r->ref->path, c->arena));
}

/* What the hub reads: how the files are opened, and what they were made from. */
static void put_front(struct card *c)
{
    const bool adapter = c->r->format == EXPORT_PEFT || c->r->format == EXPORT_GGUF_LORA;

    buf_text(&c->b, "---\n");
    if (c->r->base_name != NULL) { /* a path of this machine is no model of the hub */
        buf_text(&c->b, "base_model: ");
        json_write_string(&c->b, str_of(c->r->base_name), false);
        buf_text(&c->b, "\nbase_model_relation: ");
        buf_text(&c->b, adapter ? "adapter\n" : "finetune\n");
    }
    buf_printf(&c->b, "library_name: %s\n",
               c->r->format == EXPORT_PEFT          ? "peft"
               : c->r->format == EXPORT_SAFETENSORS ? "transformers"
                                                    : "gguf");
    buf_printf(&c->b, "pipeline_tag: text-generation\ntags:\n- hone\n%s---\n\n",
               adapter ? "- lora\n" : "");
    buf_text(&c->b, "# ");
    put_text(&c->b, str_of(c->o->name));
    buf_text(&c->b, "\n\n");
}

static void put_origin(struct card *c)
{
    const json_t *job = json_object_get(c->job_file, "job");
    const struct adapter *a = c->o->adapter;
    char hash[65];

    buf_text(&c->b, "## What it is\n\n");
    put_item(c, "base model", base_name(c));
    put_item(c, "made by hone",
             json_str(json_object_get(c->origin != NULL ? c->origin : c->job_file,
                                      c->origin != NULL ? "hone" : "version")));
    put_item(c, "method", json_str(json_object_get(json_object_get(job, "method"), "type")));
    put_item(c, "job", json_str(json_object_get(c->job_file, "id")));
    if (a != NULL) {
        adapter_sha256(a, hash);
        buf_printf(&c->b,
                   "- adapter: LoRA of rank %zu, alpha %g, on q, k, v, o, gate, up and down of %zu "
                   "layers; SHA-256 of its values `%s`\n",
                   a->rank, (double)a->alpha, a->n_layers, hash);
        if (c->r->ref->run != NULL)
            put_item(c, "checkpoint", last_part(str_of(c->r->ref->adapter)));
    }
    if (c->r->format == EXPORT_SAFETENSORS || c->r->format == EXPORT_GGUF)
        buf_printf(&c->b, "- weights: base and adapter merged, in %s\n",
                   export_dtype_name(c->o->dtype));
    buf_char(&c->b, '\n');
}

static void put_data(struct card *c, const char *key, const char *what)
{
    const struct str name =
        last_part(json_str(json_object_get(json_object_get(c->job_file, "job"), key)));
    const json_t *hash = json_object_get(c->origin, key);

    if (name.len == 0)
        return;
    buf_printf(&c->b, "- %s: ", what);
    put_text(&c->b, name);
    if (json_is_string(json_object_get(hash, "sha256")))
        buf_printf(&c->b, ", %lld bytes, SHA-256 `%s`",
                   (long long)json_integer_value(json_object_get(hash, "bytes")),
                   json_string_value(json_object_get(hash, "sha256")));
    buf_char(&c->b, '\n');
}

static void put_json(struct card *c, const char *title, const json_t *value)
{
    const struct json_format format = {.style = JSON_STYLE_PYTHON, .indent = 2};
    struct buf text;

    if (!json_is_object(value))
        return;
    buf_init(&text, MAX_GRADER_BYTES);
    json_write(&text, value, &format);
    buf_printf(&c->b, "## %s\n\n", title);
    /* a fence longer than any in it: sources of graders may have their own */
    if (text.overflowed)
        buf_printf(&c->b, "It has more than %zu bytes, and stands in the run's job.json.\n\n",
                   MAX_GRADER_BYTES);
    else
        buf_printf(&c->b, "``````json\n%.*s\n``````\n\n", (int)text.len, text.ptr);
    buf_release(&text);
}

static void put_settings(struct card *c)
{
    const json_t *job = json_object_get(c->job_file, "job");
    const json_t *method = json_object_get(job, "method");
    const json_t *own =
        json_object_get(method, json_string_value(json_object_get(method, "type")) != NULL
                                    ? json_string_value(json_object_get(method, "type"))
                                    : "");

    put_json(c, "Grader", json_object_get(own, "grader"));
    put_json(c, "Hyperparameters", json_object_get(own, "hyperparameters"));
    put_json(c, "Settings", json_object_get(job, "hone"));
}

static double cell(const struct card *c, size_t row, size_t column)
{
    return column < c->curve.n_columns ? c->curve.cell[row * c->curve.n_columns + column]
                                       : (double)NAN;
}

static void put_number(struct buf *b, double x)
{
    if (isnan(x))
        buf_text(b, " |");
    else
        buf_printf(b, " %.4g |", x);
}

/* The first and last step, and some between them. */
static void put_curve(struct card *c)
{
    static const char *const names[] = {
        "step", "train_mean_reward", "full_valid_mean_reward", "loss",
        "kl",   "entropy",           "completion_tokens_mean"};
    const size_t n = c->curve.n_rows, every = size_max(1, (n + CURVE_ROWS - 1) / CURVE_ROWS);
    size_t shown[COUNT_OF(names)], n_shown = 0;

    for (size_t i = 0; i < COUNT_OF(names); i++) {
        const size_t column = run_metrics_find(&c->curve, names[i]);

        if (column < c->curve.n_columns)
            shown[n_shown++] = column;
    }
    if (n == 0 || n_shown < 2)
        return;
    buf_text(&c->b, "## Curves\n\n|");
    for (size_t i = 0; i < n_shown; i++)
        buf_printf(&c->b, " %s |", c->curve.column[shown[i]]);
    buf_text(&c->b, "\n|");
    for (size_t i = 0; i < n_shown; i++)
        buf_text(&c->b, "---|");
    for (size_t row = 0; row < n; row++) {
        if (row != 0 && row + 1 != n && row % every != 0)
            continue;
        buf_text(&c->b, "\n|");
        for (size_t i = 0; i < n_shown; i++)
            put_number(&c->b, cell(c, row, shown[i]));
    }
    buf_text(&c->b, "\n\n");
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The files that lie in dir already. */
static bool put_files(struct card *c, struct error *err)
{
    const char *names[4096];
    DIR *d = opendir(c->dir);
    size_t n = 0;
    bool ok = d != NULL || fail_errno(err, "cannot read the folder %s", c->dir);

    for (struct dirent *e; d != NULL && n < COUNT_OF(names) && (e = readdir(d)) != NULL;)
        if (e->d_name[0] != '.' && strcmp(e->d_name, "README.md") != 0)
            names[n++] = arena_text(c->arena, str_of(e->d_name));
    if (d != NULL)
        closedir(d);
    qsort(names, n, sizeof *names, by_name);
    buf_text(&c->b, "## Files\n\n| file | bytes | SHA-256 |\n|---|---|---|\n");
    for (size_t i = 0; ok && i < n; i++) {
        struct file_map map = {0};

        ok = file_map_open(file_join(c->arena, c->dir, names[i]), &map, err);
        if (ok)
            buf_printf(&c->b, "| %s | %zu | `%s` |\n", names[i], map.len,
                       sha256_of(map.ptr, map.len).hex);
        file_map_close(&map);
    }
    return ok;
}

static void put_hashes(struct card *c)
{
    const char *name;
    json_t *file;

    if (c->origin == NULL)
        return;
    buf_text(&c->b, "\n## Hashes of the run\n\n");
    json_object_foreach(json_object_get(c->origin, "model"), name, file)
    {
        buf_text(&c->b, "- base, ");
        put_text(&c->b, last_part(str_of(name)));
        buf_printf(&c->b, ": `%s`\n",
                   json_string_value(json_object_get(file, "sha256")) != NULL
                       ? json_string_value(json_object_get(file, "sha256"))
                       : "");
    }
    put_item(c, "certificate, its last chain", json_str(json_object_get(c->newest, "chain")));
    buf_text(&c->b,
             "\nWho has base, data and job can do the run again with `hone replay`, and gets the "
             "same hashes.\n");
}

/* First and last line; a file that is not there, or damaged, tells nothing. */
static void certificate_look(struct card *c, const char *run)
{
    struct error ignored;
    struct str text, line;
    size_t at = 0;

    if (!file_read(file_join(c->arena, run, CERTIFICATE_FILE), LIMIT_JSON_BYTES, c->arena, &text,
                   &ignored))
        return;
    while (at < text.len) {
        const size_t end = str_find(text, STR("\n"), at);
        json_t *value = NULL;

        if (end == text.len)
            return; /* it is still being written */
        line = (struct str){text.ptr + at, end - at};
        at = end + 1;
        if (!json_parse(line, CERTIFICATE_FILE, &value, &ignored))
            return;
        if (c->origin == NULL)
            c->origin = json_incref(value);
        json_decref(c->newest);
        c->newest = value;
    }
}

bool export_card(const struct export_request *r, const struct export_options *o, const char *dir,
                 struct arena *a, struct error *err)
{
    struct card c = {.r = r, .o = o, .dir = dir, .arena = a};
    struct error ignored;
    size_t n_bad;

    buf_init(&c.b, MAX_CARD_BYTES);
    if (r->ref->adapter != NULL && r->ref->run != NULL) {
        if (!run_read_job(r->ref->run, &c.job_file, &ignored))
            c.job_file = NULL;
        if (!run_read_metrics(r->ref->run, a, &c.curve, &n_bad, &ignored))
            c.curve = (struct run_metrics){0};
        certificate_look(&c, r->ref->run);
    }
    put_front(&c);
    put_origin(&c);
    if (c.job_file != NULL) {
        buf_text(&c.b, "## Data\n\n");
        put_data(&c, "training_file", "training");
        put_data(&c, "validation_file", "validation");
        buf_char(&c.b, '\n');
    }
    put_settings(&c);
    put_curve(&c);
    bool ok = put_files(&c, err);
    put_hashes(&c);
    ok = ok && buf_ok(&c.b, "README.md", err) &&
         file_put(file_join(a, dir, "README.md"), buf_view(&c.b), err);
    json_decref(c.job_file);
    json_decref(c.origin);
    json_decref(c.newest);
    buf_release(&c.b);
    return ok;
}
