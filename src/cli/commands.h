/*
 * commands.h - one cmd_<name>.c for each: its options, its help, and what it does.
 */
#ifndef HONE_CLI_COMMANDS_H
#define HONE_CLI_COMMANDS_H

#include "cli/command.h"

extern const struct command cmd_train, cmd_check, cmd_eval, cmd_grade, cmd_chat, cmd_score,
    cmd_tokenize, cmd_render, cmd_models, cmd_import, cmd_report, cmd_bench, cmd_version,
    cmd_graders, cmd_worker, cmd_engine, cmd_serve, cmd_org, cmd_project, cmd_key, cmd_feedback,
    cmd_audit, cmd_backup, cmd_restore, cmd_replay, cmd_pull, cmd_export, cmd_watch, cmd_manual;
#endif
