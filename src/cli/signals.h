/*
 * signals.h - Ctrl-C once asks to stop, twice ends the program.
 */
#ifndef HONE_CLI_SIGNALS_H
#define HONE_CLI_SIGNALS_H

#include <stdatomic.h>

/*
 * The first SIGINT or SIGTERM sets the flag, which is read once a token and once an update; the next one does what it
 * does by default. A reader that goes away and a file that may not grow are errors to be told, not signals; a SIGCHLD that whoever
 * started the program ignores is ignored no more. Called again, it
 * waits for a first one anew.
 */
const atomic_bool *signals_watch(void);
#endif
