/*
 * sandbox.h - starts a Python that can do nothing but compute.
 *
 * Three tiers, from strong to weak; which of them holds here is found by attacking it (python_pool.h):
 *
 *   T1  bubblewrap: own user, process, network, IPC, host name and mount namespaces, a read-only root of /usr alone, own
 *       /proc, /dev and a small /tmp
 *   T2  T1 without /proc, for containers whose /proc is masked
 *   T3  no namespaces: Landlock (no file but the interpreter's, no TCP) and a stricter filter; no /tmp
 *
 * In every tier: a user of its own where the program runs as root (before bubblewrap starts: a sandbox whose outside
 * user is root is an escape), an environment that holds nothing of the program's, limits on memory, file size,
 * descriptors and processes, no core dumps, no new privileges, a filter that refuses the system calls a grader has no
 * use for, and a second filter (the inner one) that the process which grades loads before it sees a sample: no fork,
 * no exec, no signal, no socket, nothing that changes another process.
 */
#ifndef HONE_GRADE_SANDBOX_H
#define HONE_GRADE_SANDBOX_H

#include "base/buf.h"
#include "grade/grader.h"

#include <limits.h>
#include <sys/types.h>

enum sandbox_tier {
    SANDBOX_T1 = 1,
    SANDBOX_T2,
    SANDBOX_T3,
};
#define SANDBOX_N_TIERS 3
const char *sandbox_tier_text(enum sandbox_tier tier); /* "T1 (bubblewrap: ...)" */

#define SANDBOX_MAX_FOLDERS 3
struct sandbox {
    enum sandbox_tier tier;
    size_t memory_bytes;
    double timeout_s; /* of one call */
    char python[PATH_MAX];
    char bwrap[PATH_MAX]; /* T1, T2 */
    char folder[SANDBOX_MAX_FOLDERS]
               [PATH_MAX]; /* beyond /usr: where the interpreter and its packages are */
    bool is_hidden[SANDBOX_MAX_FOLDERS]; /* root's alone to reach: shown by a mount of it */
    size_t n_folders;
    char nltk_data
        [PATH_MAX +
         16]; /* "NLTK_DATA=...": beside the interpreter's environment; "" where there is none */
    struct buf outer, inner; /* the two filters */
};

/* Whether there is an interpreter to run graders with. */
MUST_CHECK bool sandbox_check_python(const struct grade_options *opt, struct error *err);

/*
 * Whether a sandbox can show this folder (an absolute path; it need not be there yet): not where it has folders of its
 * own, and where the program is root, only below folders that anyone may pass, for its user is another.
 */
MUST_CHECK bool sandbox_can_show(const char *folder, struct error *err);

/* What tier needs on this host; a sandbox that only fails when it starts is found by the attacks. */
MUST_CHECK bool sandbox_init(struct sandbox *s, enum sandbox_tier tier,
                             const struct grade_options *opt, struct error *err);
void sandbox_release(struct sandbox *s); /* all zeros is fine */

const char *
sandbox_tmp(const struct sandbox *s); /* the folder inside that can be written to, or "" */
unsigned sandbox_processes(
    const struct sandbox *s); /* what the worker limits itself to; 0: it is limited already */

/* fd under a number past those that a sandbox starts with, and fd closed; -1 (also where fd was -1) with err. */
int sandbox_lift(int fd, struct error *err);

/*
 * Starts python -c script with sock as descriptor 0 and complaints going to err_fd (both lifted). slot tells apart sandboxes that run
 * at once: each has a user of its own where the program is root. The process ends when the calling thread does.
 */
MUST_CHECK bool sandbox_spawn(const struct sandbox *s, unsigned slot, int sock, int err_fd,
                              const char *script, pid_t *out, struct error *err);
/* Kills the sandbox and all in it, and waits until it is gone. Its socket is closed already. */
void sandbox_kill(const struct sandbox *s, pid_t pid);
#endif
