/*
 * run_folder_fuzz.c - a run's folder with files of any bytes: it is read, reported and gone on with, or refused.
 *
 * The input is cut into the folder's files at the byte 0x1E; a missing part is a file that is not there.
 */
#include "fuzz.h"

#include "base/file.h"
#include "job/report.h"
#include "job/run_folder.h"
#include "job/run_read.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const files[] = {"job.json",
                                    "metrics.csv",
                                    "events.jsonl",
                                    "rollouts/step-1.jsonl",
                                    "rollouts/step-2.jsonl",
                                    "rollouts/valid-0.jsonl",
                                    "rollouts/valid-2.jsonl",
                                    "checkpoints.json",
                                    "evals/before.json",
                                    "evals/after.json",
                                    "token_changes.jsonl"};
static const char *const names[] = {"g"}, *const types[] = {"python"};

static void write_files(const char *dir, const uint8_t *data, size_t size, struct arena *a)
{
    struct error err;

    must(file_make_dirs(file_join(a, dir, "rollouts"), &err) &&
             file_make_dirs(file_join(a, dir, "evals"), &err) &&
             file_make_dirs(file_join(a, dir, "checkpoints/step-1"), &err),
         &err);
    for (size_t i = 0, from = 0; i < sizeof files / sizeof *files && from <= size; i++) {
        const uint8_t *end = size > from ? memchr(data + from, 0x1E, size - from) : NULL;
        const size_t to = end == NULL ? size : (size_t)(end - data);

        must(file_append(file_join(a, dir, files[i]),
                         (struct str){(const char *)data + from, to - from}, &err),
             &err);
        from = to + 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct run_folder_options opt = {
        .n_graders = 1, .grader_names = names, .grader_types = types, .resume = true};
    const char *tmp = getenv("TMPDIR");
    struct arena a = {0};
    struct error err;
    struct run_folder *f = NULL;
    json_t *last = NULL;
    char *dir = arena_printf(&a, "%s/hone-fuzz-XXXXXX", tmp != NULL ? tmp : "/tmp");

    if (mkdtemp(dir) == NULL)
        abort();
    write_files(dir, data, size, &a);
    (void)!report_write(dir, NULL, &err);
    if (run_last_metrics(dir, &last, &err))
        json_decref(last);
    if (run_folder_open(dir, &opt, &f, &err)) {
        const struct progress_sink sink = run_folder_sink(f);

        (void)!sink.rewind(sink.ctx, 1, &err);
        must(sink.event(sink.ctx, EVENT_INFO, "on", &err), &err);
    }
    run_folder_close(f);
    must(file_remove_tree(dir, &err), &err);
    arena_release(&a);
    return 0;
}
