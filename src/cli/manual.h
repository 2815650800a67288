/*
 * manual.h - the tables that --help is made of become pages for man(1) and a completion for bash.
 *
 * Nothing is said here that --help does not say: the manual cannot fall behind the program.
 */
#ifndef HONE_CLI_MANUAL_H
#define HONE_CLI_MANUAL_H

#include "cli/command.h"

/* hone-NAME(1), in man's macros (groff_man(7)), plain ASCII. */
void manual_page(const struct option_set *set, struct buf *out);
/* hone(1): what there is, with every command that is not hidden. */
void manual_overview(struct buf *out);
/* For bash: commands, their options, and the words that an option is one of; other values are completed as files are. */
void manual_completion(struct buf *out);
#endif
