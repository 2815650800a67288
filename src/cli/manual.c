/*
 * manual.c - text becomes roff: what would be read as a request or an escape is written so that it is not.
 */
#include "cli/manual.h"

#include <ctype.h>

/* ---- roff ---- */

/*
 * One line of text. Hyphens stay hyphens where they are typed (in an option, in code), quotes and carets what they are; a word that
 * begins with a dash is an option.
 */
static void put_text(struct buf *out, const char *text, bool code)
{
    bool word_begins = true, option = false;

    if (*text == '.' || *text == '\'')
        buf_text(out, "\\&");
    for (; *text != '\0'; text++) {
        option = word_begins ? *text == '-' : option;
        switch (*text) {
        case '\\':
            buf_text(out, "\\e");
            break;
        case '-':
            buf_text(out, code || option ? "\\-" : "-");
            break;
        case '~':
            buf_text(out, "\\(ti");
            break;
        case '^':
            buf_text(out, "\\(ha");
            break;
        case '\'':
            buf_text(out, code ? "\\(aq" : "'");
            break;
        case '`':
            buf_text(out, "\\(ga");
            break;
        case '"':
            buf_text(out, "\\(dq");
            break;
        default:
            buf_char(out, *text);
        }
        word_begins = *text == ' ' || *text == '(' || *text == '"';
    }
}

static void put_bold(struct buf *out, const char *text)
{
    buf_text(out, "\\fB");
    put_text(out, text, true);
    buf_text(out, "\\fR");
}

static void put_italic(struct buf *out, const char *text)
{
    buf_text(out, "\\fI");
    put_text(out, text, true);
    buf_text(out, "\\fR");
}

static void put_title(struct buf *out, const char *name)
{
    buf_text(out, ".TH ");
    for (const char *p = name; *p != '\0'; p++)
        if (*p == '-')
            buf_text(out, "\\-");
        else
            buf_char(out, (char)toupper((unsigned char)*p));
    buf_text(out, " 1 \"\" \"hone " HONE_VERSION "\" \"hone manual\"\n.SH NAME\n");
}

/* ---- a command ---- */

static void put_option(struct buf *out, enum option_id id, struct arena *a)
{
    const struct option *o = option_row(id);
    struct buf text;

    if (o->hidden)
        return;
    buf_text(out, ".TP\n");
    put_bold(out, arena_printf(a, "--%s", o->name));
    if (o->type != OPTION_SWITCH) {
        buf_char(out, ' ');
        put_italic(out, o->value);
    }
    buf_char(out, '\n');
    buf_init(&text, 1 << 16);
    buf_text(&text, o->help);
    options_range(o, &text);
    if (!str_ends(buf_view(&text), STR(".")))
        buf_char(&text, '.');
    if (o->setting)
        buf_printf(&text, " Also %s, or %s in hone.conf.", option_variable(id, a), o->name);
    put_text(out, text.ptr, false);
    buf_char(out, '\n');
    buf_release(&text);
}

/* Lines as they stand; of the examples, which are indented by two. */
static void put_examples(struct buf *out, const char *lines, struct arena *a)
{
    buf_text(out, ".EX\n");
    while (*lines != '\0') {
        const size_t n = strcspn(lines, "\n");
        const char *line = arena_text(a, (struct str){lines, n});

        put_text(out, strncmp(line, "  ", 2) == 0 ? line + 2 : line, true);
        buf_char(out, '\n');
        lines += n + (lines[n] == '\n');
    }
    buf_text(out, ".EE\n");
}

static void put_statuses(struct buf *out)
{
    buf_text(out,
             ".SH EXIT STATUS\n"
             "0 when all went well, 1 when it failed (one sentence on standard error says why), "
             "2 when the call itself\nmakes no sense, 3 when all went well and what was compared "
             "is not the same.\n");
}

void manual_page(const struct option_set *set, struct buf *out)
{
    struct arena a = {0};
    const char *name = arena_printf(&a, "hone-%s", set->command);
    size_t n_always;
    const enum option_id *always = options_always(&n_always);

    put_title(out, name);
    put_text(out, name, true);
    buf_text(out, " \\- ");
    put_text(out, set->summary, false);
    buf_text(out, "\n.SH SYNOPSIS\n");
    put_bold(out, arena_printf(&a, "hone %s", set->command));
    if (set->args[0] != '\0') {
        buf_char(out, ' ');
        put_italic(out, set->args);
    }
    buf_text(out, " [\\fIoptions\\fR]\n");
    if (set->details[0] != '\0') {
        buf_text(out, ".SH DESCRIPTION\n");
        put_text(out, set->details, false);
        buf_char(out, '\n');
    }
    buf_text(out, ".SH OPTIONS\n");
    for (size_t i = 0; i < set->n_ids; i++)
        put_option(out, set->ids[i], &a);
    for (size_t i = 0; i < n_always; i++)
        put_option(out, always[i], &a);
    buf_text(out, ".PP\nAn option beats its variable, which beats hone.conf.\n");
    put_statuses(out);
    buf_text(out, ".SH EXAMPLES\n");
    put_examples(out, set->examples, &a);
    buf_text(out, ".SH SEE ALSO\n\\fBhone\\fR(1)\n");
    arena_release(&a);
}

/* ---- all ---- */

void manual_overview(struct buf *out)
{
    put_title(out, "hone");
    buf_text(out,
             "hone \\- reinforcement fine-tuning of language models on your own machine\n"
             ".SH SYNOPSIS\n\\fBhone\\fR \\fICOMMAND\\fR [\\fIoptions\\fR]\n"
             ".SH DESCRIPTION\n"
             "Sample answers, grade them, strengthen what led to good ones. A job is the body of "
             "the API's POST\n/v1/fine_tuning/jobs; what comes out is an adapter, a report, and a "
             "model to talk to.\n"
             ".SH COMMANDS\n");
    for (size_t i = 0; i < n_commands; i++) {
        if (commands[i]->hidden)
            continue;
        buf_printf(out, ".TP\n\\fBhone\\-%s\\fR(1)\n", commands[i]->set.command);
        put_text(out, commands[i]->set.summary, false);
        buf_char(out, '\n');
    }
    buf_text(out,
             ".SH FILES\n"
             ".TP\n\\fI\\(ti/.local/share/hone\\fR\n"
             "the store: models/, runs/, graders/, hone.db; another one by \\fB\\-\\-home\\fR or "
             "\\fBHONE_HOME\\fR.\n"
             ".TP\n\\fIhone.conf\\fR\n"
             "in the store: settings as \\(dqthreads = 2\\(dq, a line each. Which options may "
             "stand there their pages say.\n");
    put_statuses(out);
    buf_text(out, ".SH EXAMPLES\n.EX\n"
                  "hone check job.json          can it learn, and what will it cost?\n"
                  "hone train job.json \\-\\-out runs/mine\n"
                  "hone chat \\-\\-model runs/mine\n.EE\n");
}

/* ---- bash ---- */

static void put_words(struct buf *out, const struct option_set *set)
{
    size_t n_always;
    const enum option_id *always = options_always(&n_always);

    for (size_t i = 0; i < set->n_ids; i++)
        if (!option_row(set->ids[i])->hidden)
            buf_printf(out, " --%s", option_row(set->ids[i])->name);
    for (size_t i = 0; i < n_always; i++)
        buf_printf(out, " --%s", option_row(always[i])->name);
}

/* "    train--precision) words="f32 int8" ;;" */
static void put_choices(struct buf *out, const struct option_set *set)
{
    for (size_t i = 0; i < set->n_ids; i++) {
        const struct option *o = option_row(set->ids[i]);

        if (o->hidden || o->type != OPTION_CHOICE)
            continue;
        buf_printf(out, "    %s--%s) words=\"", set->command, o->name);
        for (const char *p = o->value; *p != '\0'; p++)
            buf_char(out, *p == '|' ? ' ' : *p);
        buf_text(out, "\" ;;\n");
    }
}

void manual_completion(struct buf *out)
{
    buf_text(out,
             "# bash completion for hone: source it, or install it as "
             "share/bash-completion/completions/hone\n"
             "_hone() {\n"
             "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words=\n"
             "    COMPREPLY=()\n"
             "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
             "        words=\"--help --version help");
    for (size_t i = 0; i < n_commands; i++)
        if (!commands[i]->hidden)
            buf_printf(out, " %s", commands[i]->set.command);
    buf_text(
        out,
        "\"\n        COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n        return\n    fi\n"
        "    case ${COMP_WORDS[1]}$prev in\n");
    for (size_t i = 0; i < n_commands; i++)
        if (!commands[i]->hidden)
            put_choices(out, &commands[i]->set);
    buf_text(out, "    esac\n"
                  "    if [ -z \"$words\" ] && [ \"${cur#-}\" != \"$cur\" ]; then\n"
                  "        case ${COMP_WORDS[1]} in\n");
    for (size_t i = 0; i < n_commands; i++) {
        if (commands[i]->hidden)
            continue;
        buf_printf(out, "        %s) words=\"", commands[i]->set.command);
        put_words(out, &commands[i]->set);
        buf_text(out, "\" ;;\n");
    }
    buf_text(out, "        esac\n    fi\n"
                  "    [ -z \"$words\" ] || COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
                  "}\n"
                  "complete -o default -F _hone hone\n");
}
