/*
 * command.h - what every command is given, and the table of them.
 *
 * A command returns true when it is done (exit 0), false with err when it failed (exit 1). What is wrong with the call
 * itself is told by misuse() (exit 2). Where all went well and the answer is no, it says so with differs (exit 3). Results go to standard output through output.h; everything else is for standard
 * error.
 */
#ifndef HONE_CLI_COMMAND_H
#define HONE_CLI_COMMAND_H

#include "cli/options.h"
#include "server/project_model.h"

#include <stdatomic.h>

struct cli {
    const struct option_set *set;
    const struct options *options;
    struct arena *arena; /* as long as the command runs */
    const atomic_bool *stop;
    const char *home;
    bool json;
    /* Whose job it is that came by a request, and who has of this machine what the project has; NULL: it is the caller's own. */
    const struct project_models *requester;
    bool misused;
    bool quiet_failure; /* the result has been told: exit 1 without a sentence */
    bool differs;       /* what was compared is not the same: exit 3 */
};

typedef bool command_fn(struct cli *c, struct error *err);

struct command {
    struct option_set set;
    command_fn *run;
    bool hidden; /* for hone itself: not in the list of commands */
};
extern const struct command *const commands[];
extern const size_t n_commands;

/* fail() for a call that makes no sense: exit 2. */
bool misuse(struct cli *c, struct error *err, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* The text of an option that the command cannot do without, or misuse. */
MUST_CHECK bool need_option(struct cli *c, enum option_id id, const char **out, struct error *err);

/* Runs the words of a command line, the program's name left out, and returns the exit status. */
int cli_main(size_t n_words, char *const *words);
#endif
