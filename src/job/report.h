/*
 * report.h - a run's folder becomes one HTML page that tells what happened.
 *
 * The page stands alone: no request goes to any host (its content security policy forbids it), and it works from a file,
 * in light and dark, on a phone and on a wide screen. What is shown of the answers is a choice: the page of a run with
 * 150,000 answers stays below 3 MB. Everything in the folder may have been written by someone else, the model above all:
 * nothing of it is markup on the page.
 */
#ifndef HONE_JOB_REPORT_H
#define HONE_JOB_REPORT_H

#include "base/error.h"

/*
 * Reads run_dir, while the run goes on or after it, and writes the page.
 *
 *   out_path  NULL: report.html in run_dir
 *
 * Fails with ERR_NOT_FOUND where run_dir holds no run, with ERR_UNSUPPORTED where it is of supervised or dpo. A damaged line is left out, and the page says how many were.
 */
MUST_CHECK bool report_write(const char *run_dir, const char *out_path, struct error *err);
#endif
