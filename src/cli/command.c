/*
 * command.c - finds the command, reads its options, runs it, and says what went wrong.
 */
#include "base/size.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/signals.h"
#include "job/model_store.h"

#include <stdarg.h>
#include <stdio.h>

enum { EXIT_DONE, EXIT_FAILED, EXIT_MISUSE, EXIT_DIFFERS };

const struct command *const commands[] = {
    &cmd_check,   &cmd_train,  &cmd_watch,    &cmd_eval,     &cmd_grade,  &cmd_chat,
    &cmd_report,  &cmd_replay, &cmd_score,    &cmd_tokenize, &cmd_render, &cmd_models,
    &cmd_pull,    &cmd_import, &cmd_graders,  &cmd_serve,    &cmd_worker, &cmd_org,
    &cmd_project, &cmd_key,    &cmd_feedback, &cmd_audit,    &cmd_export, &cmd_backup,
    &cmd_restore, &cmd_bench,  &cmd_version,  &cmd_engine,   &cmd_manual,
};
const size_t n_commands = COUNT_OF(commands);

bool misuse(struct cli *c, struct error *err, const char *fmt, ...)
{
    char message[sizeof err->message];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    c->misused = true;
    return fail(err, ERR_INVALID, "%s", message);
}

bool need_option(struct cli *c, enum option_id id, const char **out, struct error *err)
{
    const struct option *o = option_row(id);

    *out = option_text(c->options, id);
    return *out != NULL || misuse(c, err, "%s needs --%s %s; hone %s --help tells more",
                                  c->set->command, o->name, o->value, c->set->command);
}

/* ---- help ---- */

static void put_overview(struct buf *b)
{
    buf_text(b,
             "hone trains language models by reinforcement: sample answers, grade them, strengthen "
             "what led to\ngood ones.\n\n    hone COMMAND [options]\n\n");
    for (size_t i = 0; i < n_commands; i++)
        if (!commands[i]->hidden)
            buf_printf(b, "  %-10s %s\n", commands[i]->set.command, commands[i]->set.summary);
    buf_text(
        b,
        "\nhone COMMAND --help tells more of one, with an example. Every command takes --json for "
        "scripts.\n");
}

static int tell_overview(FILE *to, int status)
{
    struct buf b;

    buf_init(&b, 1 << 16);
    put_overview(&b);
    fputs(b.ptr, to);
    buf_release(&b);
    return status;
}

static bool tell_help(const struct option_set *set, struct error *err)
{
    struct buf b;

    buf_init(&b, 1 << 16);
    options_help(set, &b);
    const bool ok = out_str(buf_view(&b), err) && out_flush(err);
    buf_release(&b);
    return ok;
}

/* ---- running ---- */

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < n_commands; i++)
        if (strcmp(commands[i]->set.command, name) == 0)
            return commands[i];
    return NULL;
}

static int unknown_command(const char *name)
{
    const char *names[64];
    size_t n = 0;

    for (size_t i = 0; i < n_commands && n < COUNT_OF(names); i++)
        if (!commands[i]->hidden)
            names[n++] = commands[i]->set.command;
    const char *near = closest_word(name, n, names);
    if (near != NULL)
        fprintf(stderr, "hone: there is no command \"%.100s\"; did you mean \"%s\"?\n", name, near);
    else
        fprintf(stderr, "hone: there is no command \"%.100s\"; hone --help lists them\n", name);
    return EXIT_MISUSE;
}

static int run_command(const struct command *command, size_t n_words, char *const *words)
{
    struct arena arena = {0};
    struct options options;
    struct error err = {0};
    struct cli c = {.set = &command->set, .options = &options, .arena = &arena};
    bool ok = options_read(&command->set, n_words, words, NULL, &arena, &options, &err);

    c.misused = !ok;
    if (ok && option_on(&options, OPT_HELP)) {
        ok = tell_help(&command->set, &err);
    } else if (ok) {
        const char *home = option_text(&options, OPT_HOME);

        c.stop = signals_watch();
        c.home = home != NULL ? home : home_default(&arena);
        c.json = option_on(&options, OPT_JSON);
        ok = command->run(&c, &err) && out_flush(&err);
        if (!ok) /* what was told before stays told, and what is told now comes after it */
            (void)fflush(stdout);
    }
    if (!ok && !c.quiet_failure)
        fprintf(stderr, "hone: %s\n", err.message);
    arena_release(&arena);
    return ok ? (c.differs ? EXIT_DIFFERS : EXIT_DONE) : c.misused ? EXIT_MISUSE : EXIT_FAILED;
}

int cli_main(size_t n_words, char *const *words)
{
    const char *name = n_words > 0 ? words[0] : NULL;

    if (name == NULL)
        return tell_overview(stderr, EXIT_MISUSE);
    if (strcmp(name, "--version") == 0)
        return run_command(&cmd_version, 0, words);
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        char help[] = "--help", *const word[] = {help};
        const struct command *about = n_words > 1 ? find_command(words[1]) : NULL;

        if (n_words > 1 && about == NULL)
            return unknown_command(words[1]);
        return about != NULL ? run_command(about, 1, word) : tell_overview(stdout, EXIT_DONE);
    }
    const struct command *command = find_command(name);
    if (command == NULL)
        return unknown_command(name);
    return run_command(command, n_words - 1, words + 1);
}
