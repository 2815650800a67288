/*
 * cli_input_fuzz.c - what the commands are given, by the first byte: 'o' words, variables and hone.conf, 'j' a job's file with --set
 * options, 'g' and 'p' a grader's file, 'a' a file of answers, 's' a line with a sample, 'i' a list of tokens, 'r' an answer that
 * ranks names, 'l' lines, 'w' what a server or a run's folder tells whoever watches.
 */
#include "fuzz.h"

#include "base/file.h"
#include "base/size.h"
#include "cli/grade_files.h"
#include "cli/grader_file.h"
#include "cli/ids.h"
#include "cli/job_file.h"
#include "cli/lines.h"
#include "cli/live_view.h"
#include "cli/ranking.h"
#include "cli/watch_read.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_failure(const struct error *err)
{
    check(err->kind != ERR_NONE && err->message[0] != '\0');
}

/* ---- a folder for the files ---- */

static const char *put(struct arena *a, const char *name, struct str bytes)
{
    const char *path = file_join(a, fuzz_dir(), name);
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    check(fd >= 0 && write(fd, bytes.ptr, bytes.len) == (ssize_t)bytes.len);
    close(fd);
    return path;
}

/* Lines up to an empty one; words end at a zero byte, as those of a command line do. */
static char **words_of(struct str *in, size_t most, struct arena *a, size_t *n)
{
    char **words = ARENA_ARRAY(a, char *, most + 4);

    for (*n = 0; in->len > 0 && *n < most;) {
        const size_t end = str_find(*in, STR("\n"), 0);
        const struct str line = {in->ptr, end};

        *in = str_from(*in, size_min(end + 1, in->len));
        if (line.len == 0)
            break;
        words[(*n)++] = arena_text(a, line);
    }
    return words;
}

/* ---- options ---- */

static char *no_variable(const char *name)
{
    (void)name;
    return NULL;
}

static char *variable; /* HONE_NAME=value, or NULL */

static char *the_variable(const char *name)
{
    const size_t n = strlen(name);

    return variable != NULL && strncmp(variable, name, n) == 0 && variable[n] == '='
               ? variable + n + 1
               : NULL;
}

static void check_value(const struct options *o, enum option_id id)
{
    const struct option *row = option_row(id);

    if (row->type == OPTION_INT && option_text(o, id) != NULL)
        check((double)option_int(o, id) >= row->min && (double)option_int(o, id) <= row->max);
    if (row->type == OPTION_REAL && option_text(o, id) != NULL)
        check(option_real(o, id) >= row->min && option_real(o, id) <= row->max);
    if (row->type == OPTION_CHOICE && option_text(o, id) != NULL)
        check(strstr(row->value, option_text(o, id)) != NULL);
    check(!option_typed(o, id) || option_given(o, id));
}

/* A byte for the command, one variable, words, an empty line, hone.conf. */
static void options(struct str in)
{
    struct arena a = {0};
    struct error err = {0};
    struct options o;
    size_t n, n_variables;

    if (in.len == 0)
        return;
    const struct option_set *set = &commands[(uint8_t)in.ptr[0] % n_commands]->set;
    in = str_from(in, 1);
    char **variables = words_of(&in, 1, &a, &n_variables);
    char **words = words_of(&in, 32, &a, &n);
    variable = n_variables > 0 ? variables[0] : NULL;
    for (size_t i = 0; i < n; i++)
        if (strncmp(words[i], "--config", 8) == 0 || strncmp(words[i], "--home", 6) == 0)
            n = i; /* other files are not for a fuzzer */
    words[n++] = arena_printf(&a, "--config=%s", put(&a, "hone.conf", in));
    if (options_read(set, n, words, the_variable, &a, &o, &err)) {
        for (size_t i = 0; i < N_OPTIONS; i++)
            check_value(&o, (enum option_id)i);
        check(option_on(&o, OPT_HELP) || (o.n_args >= set->min_args && o.n_args <= set->max_args));
    } else {
        check_failure(&err);
    }
    arena_release(&a);
}

/* ---- a job ---- */

static const struct option_set *set_of(const char *command)
{
    for (size_t i = 0; i < n_commands; i++)
        if (strcmp(commands[i]->set.command, command) == 0)
            return &commands[i]->set;
    abort();
}

/* Options of --set, an empty line, JOB.json. */
static void job(struct str in)
{
    struct arena a = {0};
    struct error err = {0};
    struct options o;
    struct job_file j = {0};
    size_t n;
    char **given = words_of(&in, 8, &a, &n);
    char **words = ARENA_ARRAY(&a, char *, n + 2);

    for (size_t i = 0; i < n; i++)
        words[i] = arena_printf(&a, "--set=%s", given[i]);
    words[n] = arena_printf(&a, "%s", put(&a, "job.json", in));
    words[n + 1] = arena_printf(&a, "--config=%s", put(&a, "hone.conf", STR("")));
    put(&a, "train.jsonl", STR("{}\n"));
    check(options_read(set_of("train"), n + 2, words, no_variable, &a, &o, &err));
    struct cli c = {.set = set_of("train"), .options = &o, .arena = &a, .home = fuzz_dir()};
    if (job_file_read(&c, &j, &err)) {
        check(json_is_object(j.body) && j.train != NULL && file_exists(j.train));
        check(j.model.name != NULL && j.model.path != NULL);
    } else {
        check_failure(&err);
        check(j.body == NULL);
    }
    job_file_release(&j);
    arena_release(&a);
}

/* ---- graders and what they grade ---- */

static void grader_file(struct str in, const char *name)
{
    struct arena a = {0};
    struct error err = {0};
    json_t *spec = NULL;

    if (!grader_file_read(put(&a, name, in), &spec, &err))
        check_failure(&err);
    else if (str_ends(str_of(name), STR(".py")))
        check(str_eq(json_str(json_object_get(spec, "source")), in) &&
              str_is(json_str(json_object_get(spec, "type")), "python"));
    json_decref(spec);
    arena_release(&a);
}

static const struct grader *a_grader(void)
{
    static struct grader *g;
    struct error err = {0};
    json_t *spec;
    const struct grade_options opt = grade_defaults();

    if (g != NULL)
        return g;
    spec = json_pack("{s:s, s:s, s:s, s:s, s:s}", "type", "string_check", "name", "g", "input",
                     "{{sample.output_text}}", "reference", "{{item.a}}", "operation", "eq");
    check(grader_open(spec, &opt, &g, &err));
    json_decref(spec);
    return g;
}

/* With an empty line: rows of the data above it, answers below. */
static void answers(struct str in)
{
    struct arena a = {0};
    struct error err = {0};
    struct grade_files f = {0};
    const size_t at = str_find(in, STR("\n\n"), 0);
    const char *data = at < in.len ? put(&a, "data.jsonl", (struct str){in.ptr, at + 1}) : NULL;
    const char *path = put(&a, "answers.jsonl", at < in.len ? str_from(in, at + 2) : in);

    if (grade_files_read(data, path, a_grader(), &f, &err)) {
        for (size_t i = 0; i < f.n; i++)
            check(f.answers[i].row < f.n_rows && f.answers[i].count >= 1 &&
                  f.answers[i].item == f.rows[f.answers[i].row] &&
                  str_eq(f.answers[i].text, f.samples[i].output_text));
    } else {
        check_failure(&err);
    }
    grade_files_release(&f);
    arena_release(&a);
}

static void sample(const json_t *line)
{
    struct grade_sample s;
    struct error err = {0};

    if (!grade_sample_read(line, "the line", &s, &err))
        check_failure(&err);
    else
        check((s.output_tools == NULL || json_is_array(s.output_tools)) &&
              (s.output_json == NULL || !json_is_null(s.output_json)));
}

/* ---- tokens, names ---- */

static void ids(const json_t *v)
{
    struct token_list list = {0};
    struct error err = {0};

    if (ids_from_json(v, 1000, &list, &err)) {
        json_t *again = ids_to_json(list.ids, list.n);

        check(json_equal(again, v));
        json_decref(again);
    } else {
        check_failure(&err);
    }
    token_list_release(&list);
}

/* {"item": a row, "answer": a text, "ranked": the option} */
static void ranked(const json_t *v)
{
    const json_t *item = json_object_get(v, "item");
    const struct ranking_options o = {.ranked = json_string_value(json_object_get(v, "ranked")),
                                      .reference = "item.name",
                                      .among = "item.among"};
    const struct str answer = json_str(json_object_get(v, "answer"));
    struct arena a = {0};
    struct error err = {0};

    if (!ranking_check(&o, &err) || !ranking_check_item(&o, item, "the row", &err))
        check_failure(&err);
    else if (o.ranked != NULL)
        check(ranking_place(&o, item, answer, &a) <= answer.len + 1);
    arena_release(&a);
}

/* ---- lines ---- */

/* The next of the same text; its break is not needed at the end, and \r before it is none of it. */
static struct str line_of(struct str *in)
{
    const size_t end = str_find(*in, STR("\n"), 0);
    struct str line = {in->ptr, end};

    check(in->len > 0);
    if (line.len > 0 && line.ptr[line.len - 1] == '\r')
        line.len--;
    *in = str_from(*in, size_min(end + 1, in->len));
    return line;
}

static void lines(struct str in)
{
    struct arena a = {0};
    struct error err = {0};
    struct line_reader r = {0};
    bool more = true, too_long;
    struct str line;

    check(line_reader_open(&r, put(&a, "lines", in), NULL, &err));
    for (;;) {
        check(line_reader_next(&r, &line, &too_long, &more, &err) && !too_long);
        if (!more)
            break;
        check(str_eq(line, line_of(&in)));
    }
    check(in.len == 0);
    line_reader_close(&r);
    arena_release(&a);
}

static void with_json(struct str in, void (*fn)(const json_t *v))
{
    struct error err = {0};
    json_t *v = NULL;

    if (json_parse(in, "the input", &v, &err))
        fn(v);
    json_decref(v);
}

/* What is shown stays within its columns and lines, and no control character reaches the terminal. */
static void check_picture(const struct live_view *v, struct buf *b)
{
    const struct live_frame frame = {.width = 60, .height = 24, .ascii = true, .now = 1};

    buf_clear(b);
    check(live_view_render(v, &frame, b) <= 24);
    for (size_t i = 0, column = 0; i < b->len; i++) {
        column = b->ptr[i] == '\n' ? 0 : column + 1;
        check(column <= 60 && (b->ptr[i] == '\n' || (b->ptr[i] >= 0x20 && b->ptr[i] < 0x7f)));
    }
}

/* An event and a line of answers. */
static void watched(const json_t *v)
{
    const char *message = json_string_value(json_object_get(v, "message"));
    const json_t *data = json_object_get(v, "data");
    struct live_view *view = calloc(1, sizeof *view);
    struct grade_result grade;
    struct buf b, prompt;

    check(view != NULL);
    view->title = "fuzz";
    buf_init(&b, 1 << 20);
    buf_init(&prompt, 1 << 20);
    if (message != NULL)
        live_view_event(view, watch_level(v), message);
    const struct rollout r = watch_rollout(v, false, &prompt, &grade);
    const struct rollout base = watch_rollout(v, true, &prompt, &grade);
    live_view_rollout(view, &r);
    live_view_rollout(view, &base);
    for (int i = 0; i < 2; i++) {
        const struct step_metrics m = watch_step(data);

        live_view_step(view, &m, 0);
        live_view_step_line(&m, &b);
    }
    const struct fit_metrics fit = watch_fit_step(data);
    live_view_fit_line(&fit, &b);
    (void)watch_is_fit(data);
    check_picture(view, &b);
    buf_release(&b);
    buf_release(&prompt);
    live_view_release(view);
    free(view);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 8192)
        return 0;
    const struct str in = {(const char *)data + 1, size - 1};

    switch (data[0]) {
    case 'o':
        options(in);
        break;
    case 'j':
        job(in);
        break;
    case 'g':
        grader_file(in, "grader.json");
        break;
    case 'p':
        grader_file(in, "grader.py");
        break;
    case 'a':
        answers(in);
        break;
    case 's':
        with_json(in, sample);
        break;
    case 'i':
        with_json(in, ids);
        break;
    case 'r':
        with_json(in, ranked);
        break;
    case 'l':
        lines(in);
        break;
    case 'w':
        with_json(in, watched);
        break;
    }
    return 0;
}
