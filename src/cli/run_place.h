/*
 * run_place.h - which folder a run is written into, and how it names what lies outside.
 *
 *     --out DIR                     that one
 *     otherwise                     HOME/runs/NAME, NAME-2, NAME-3, ...: the first that is free
 *     otherwise, with --resume      the last of these that there is
 *
 * NAME is the job's suffix, else the name of its file, else that of the training file.
 */
#ifndef HONE_CLI_RUN_PLACE_H
#define HONE_CLI_RUN_PLACE_H

#include "cli/job_file.h"

MUST_CHECK bool run_place(struct cli *c, const struct job_file *j, bool resume, const char **out,
                          struct error *err);
/* The way from the folder dir to path, both of which are there: "../../models/x.gguf". So both may move together. */
const char *path_from(const char *dir, const char *path, struct arena *a);
#endif
