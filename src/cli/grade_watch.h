/*
 * grade_watch.h - waits until files are other than they were.
 *
 * Looks at them a few times a second rather than asking the system to tell: it sees what an editor does (writes in
 * place, or writes beside and renames), works on every file system, and costs nothing one would notice.
 */
#ifndef HONE_CLI_GRADE_WATCH_H
#define HONE_CLI_GRADE_WATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <time.h>

#define WATCH_MAX 4
struct watch_stamp { /* all zeros: the file is not there */
    dev_t device;
    ino_t number;
    off_t size;
    struct timespec changed;
};
struct watch {
    size_t n;
    const char *path[WATCH_MAX];
    struct watch_stamp seen[WATCH_MAX];
    bool is_changed[WATCH_MAX]; /* which are other than before the last wait */
};
/* Remembers how the files are: before they are read, so that what is written meanwhile is noticed. */
void watch_look(struct watch *w);
/*
 * Waits until a file is other than remembered, and for a moment no more written to; remembers it so, and says which.
 * False: asked to stop. A file that is gone is waited for: a rename may be under way.
 */
bool watch_wait(struct watch *w, const atomic_bool *stop);
#endif
