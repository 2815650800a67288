/*
 * fuzz.h - what fuzz targets have in common: an invariant that ends the process where it does not hold, and a folder.
 */
#ifndef HONE_TESTS_FUZZ_FUZZ_H
#define HONE_TESTS_FUZZ_FUZZ_H

#include "base/error.h"
#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void check(bool holds)
{
    if (!holds)
        abort();
}

/* For what can only fail by a mistake of the target's own, or of the machine. */
static inline void must(bool ok, const struct error *err)
{
    if (ok)
        return;
    fprintf(stderr, "%s\n", err->message);
    abort();
}

static char fuzz_folder[64];

static inline void fuzz_folder_remove(void)
{
    struct error ignored;

    (void)!file_remove_tree(fuzz_folder, &ignored);
}

/* The target's folder, made when it is first asked for and gone with the process; in memory where that is offered. */
static inline const char *fuzz_dir(void)
{
    if (fuzz_folder[0] == '\0') {
        snprintf(fuzz_folder, sizeof fuzz_folder, "%s/hone-fuzz-XXXXXX",
                 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        check(mkdtemp(fuzz_folder) != NULL);
        atexit(fuzz_folder_remove);
    }
    return fuzz_folder;
}
#endif
