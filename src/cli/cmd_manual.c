/*
 * cmd_manual.c - one page of the manual, or the completion, on standard output. The build calls it; --help is for people.
 */
#include "base/size.h"
#include "cli/commands.h"
#include "cli/manual.h"
#include "cli/output.h"

static bool put_page(struct cli *c, const char *name, struct buf *b, struct error *err)
{
    if (strcmp(name, "hone") == 0) {
        manual_overview(b);
        return true;
    }
    for (size_t i = 0; i < n_commands; i++)
        if (strcmp(commands[i]->set.command, name) == 0) {
            manual_page(&commands[i]->set, b);
            return true;
        }
    return misuse(c, err, "there is no command \"%.100s\"", name);
}

static bool run(struct cli *c, struct error *err)
{
    struct buf b;
    bool ok = true;

    buf_init(&b, 1 << 20);
    if (option_on(c->options, OPT_COMPLETION))
        manual_completion(&b);
    else if (c->options->n_args > 0)
        ok = put_page(c, c->options->args[0], &b, err);
    else /* what there are pages of */
        for (size_t i = 0; i < n_commands; i++)
            if (!commands[i]->hidden)
                buf_printf(&b, "%s\n", commands[i]->set.command);
    ok = ok && out_str(buf_view(&b), err);
    buf_release(&b);
    return ok;
}

static const enum option_id ids[] = {OPT_COMPLETION};

const struct command cmd_manual = {
    .set = {.command = "manual",
            .args = "[hone|COMMAND]",
            .max_args = 1,
            .summary = "a page of the manual for man(1)",
            .details = "Without a name the commands that there are pages of, a line each.",
            .examples = "  hone manual train | man -l -\n"
                        "  source <(hone manual --completion)\n",
            .ids = ids,
            .n_ids = COUNT_OF(ids)},
    .hidden = true,
    .run = run,
};
