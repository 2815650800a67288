#include "grade/sandbox.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/size.h"
#include "grade/sandbox_filter.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_PROCESSES 64
#define MAX_FILE_BYTES ((rlim_t)20 << 20)
#define MAX_DESCRIPTORS 64
#define MAX_ARGS 96
/*
 * Users for the sandboxes of a program that is root: numbers that neither distributions nor systemd give to anyone
 * (its UIDS-GIDS table), below 65536 so that a container maps them. A user of its own matters because the kernel counts
 * processes by user.
 */
#define FIRST_UID 60706
#define N_UIDS 478

const char *sandbox_tier_text(enum sandbox_tier tier)
{
    switch (tier) {
    case SANDBOX_T1:
        return "T1 (bubblewrap: namespaces, own /proc, system-call filters)";
    case SANDBOX_T2:
        return "T2 (bubblewrap: namespaces without /proc, system-call filters)";
    case SANDBOX_T3:
        break;
    }
    return "T3 (no namespaces: Landlock and system-call filters)";
}

/* ---- what it needs ---- */

static bool is_program(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

static bool is_below(const char *path, const char *folder)
{
    const size_t n = strlen(folder);

    return strncmp(path, folder, n) == 0 && path[n] == '/';
}

/* The program's real place. */
static bool real_path(const char *path, char out[PATH_MAX])
{
    char resolved[PATH_MAX];

    if (realpath(path, resolved) == NULL)
        return false;
    memcpy(out, resolved, strlen(resolved) + 1);
    return true;
}

/* The first python3 on PATH that is the system's: a shim or a user's own would not be there inside. */
static bool find_python(char out[PATH_MAX])
{
    const char *path = getenv("PATH");
    char resolved[PATH_MAX];

    for (const char *p = path == NULL ? "" : path; *p != '\0';) {
        const size_t n = strcspn(p, ":");

        if (n > 0 && n < PATH_MAX - 16) {
            snprintf(out, PATH_MAX, "%.*s/python3", (int)n, p);
            if (is_program(out) && real_path(out, resolved) && is_below(resolved, "/usr")) {
                memcpy(out, resolved, sizeof resolved);
                return true;
            }
        }
        p += n + (p[n] == ':');
    }
    snprintf(out, PATH_MAX, "/usr/bin/python3");
    return is_program(out);
}

/* The folder two above a program, where its libraries are; false where that would be too much to show. */
static bool prefix_of(const char *program, char out[PATH_MAX])
{
    char *slash;

    snprintf(out, PATH_MAX, "%s", program);
    for (int i = 0; i < 2; i++) {
        slash = strrchr(out, '/');
        if (slash == NULL)
            return false;
        *slash = '\0';
    }
    return strchr(out + (out[0] == '/'), '/') != NULL; /* at least two names deep */
}

/* Whether a user who is not root gets to path: every folder above it lets others pass. NULL, or the one that does not. */
static const char *closed_above(const char *path, char folder[PATH_MAX])
{
    struct stat st;

    snprintf(folder, PATH_MAX, "%s", path);
    for (char *slash; (slash = strrchr(folder, '/')) != NULL && slash != folder;) {
        *slash = '\0';
        if (stat(folder, &st) == 0 && (st.st_mode & S_IXOTH) == 0)
            return folder;
    }
    return NULL;
}

/* A place of our own for mounts that nobody else sees: in a child, between fork and exec. */
static bool own_mounts(void)
{
    return unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("none", "/mnt", "tmpfs", MS_NODEV | MS_NOSUID, "mode=755,size=64k") == 0;
}

static bool may_mount(void)
{
    int status = 1;
    const pid_t pid = fork();

    if (pid == 0)
        _exit(own_mounts() ? 0 : 1);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return pid > 0 && status == 0;
}

static bool can_show(const char *folder, bool *is_hidden, struct error *err)
{
    static const char *const own[] = {"/tmp", "/dev", "/proc"};
    char above[PATH_MAX];
    const char *closed;

    for (size_t i = 0; i < COUNT_OF(own); i++)
        if (is_below(folder, own[i]))
            return fail(err, ERR_UNSUPPORTED,
                        "%.300s is in %s, of which a grader's sandbox has its own", folder, own[i]);
    closed = geteuid() == 0 ? closed_above(folder, above) : NULL;
    *is_hidden = closed != NULL;
    return closed == NULL || may_mount() ||
           fail(err, ERR_UNSUPPORTED,
                "a grader's sandbox, which is not root, cannot reach %.200s: %.200s lets nobody "
                "else pass (chmod o+x, or another HONE_HOME)",
                folder, closed);
}

bool sandbox_can_show(const char *folder, struct error *err)
{
    bool is_hidden;

    return can_show(folder, &is_hidden, err);
}

/* One more folder to show; where there is no room for it, it is not shown. */
static void add_folder(struct sandbox *s, const char *path, bool is_hidden)
{
    if (s->n_folders == SANDBOX_MAX_FOLDERS)
        return;
    s->is_hidden[s->n_folders] = is_hidden;
    snprintf(s->folder[s->n_folders++], PATH_MAX, "%s", path);
}

/* Corpora beside an environment: HOME/graders/python and HOME/graders/nltk_data. */
static void add_corpora(struct sandbox *s)
{
    char path[PATH_MAX];
    struct stat st;

    if (s->n_folders == 0 || strlen(s->folder[0]) > PATH_MAX - 16)
        return;
    snprintf(path, sizeof path, "%s", s->folder[0]);
    snprintf(strrchr(path, '/'), 16, "/nltk_data");
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
        return;
    snprintf(s->nltk_data, sizeof s->nltk_data, "NLTK_DATA=%s", path);
    add_folder(s, path, s->is_hidden[0]);
}

/* Whether a program stands in a virtual environment. */
static bool is_environment(const char *program)
{
    char prefix[PATH_MAX], path[PATH_MAX + 16];

    if (!prefix_of(program, prefix))
        return false;
    snprintf(path, sizeof path, "%s/pyvenv.cfg", prefix);
    return access(path, F_OK) == 0;
}

/*
 * Shows the interpreter's own folders where they are not in /usr: a virtual environment and the Python below it. Of a mere
 * link, such as ~/bin/python3, nothing is shown but what it leads to: the folder around it is not Python's.
 */
static bool add_folders(struct sandbox *s, struct error *err)
{
    char resolved[PATH_MAX], prefix[PATH_MAX];
    const char *const programs[2] = {s->python, resolved};
    bool is_hidden;

    if (!real_path(s->python, resolved))
        return fail_errno(err, "finding the Python of the graders, %.300s", s->python);
    if (!is_environment(s->python))
        memcpy(s->python, resolved, sizeof resolved);
    for (size_t i = 0; i < 2; i++) {
        if (is_below(programs[i], "/usr"))
            continue;
        if (!prefix_of(programs[i], prefix))
            return fail(err, ERR_UNSUPPORTED,
                        "the Python of the graders, %.300s, is not in a folder of its own",
                        programs[i]);
        if (!can_show(prefix, &is_hidden, err))
            return fail_while(err, "choosing the Python of the graders");
        if (is_below(prefix, "/usr") || (s->n_folders > 0 && strcmp(s->folder[0], prefix) == 0))
            continue;
        if (is_hidden && s->tier == SANDBOX_T3)
            return fail(err, ERR_UNSUPPORTED,
                        "%.300s is root's alone to reach, and this tier mounts nothing", prefix);
        add_folder(s, prefix, is_hidden);
    }
    add_corpora(s);
    return true;
}

static bool python_init(struct sandbox *s, const char *wanted, struct error *err)
{
    if (wanted == NULL)
        return find_python(s->python)
                   ? true
                   : fail(err, ERR_NOT_FOUND,
                          "Python graders need python3, and /usr/bin/python3 is missing");
    if (wanted[0] != '/' || strlen(wanted) >= PATH_MAX || !is_program(wanted))
        return fail(err, ERR_NOT_FOUND,
                    "the Python of the graders, %.300s, is not an absolute path of a program",
                    wanted);
    snprintf(s->python, sizeof s->python, "%s", wanted);
    return add_folders(s, err);
}

bool sandbox_check_python(const struct grade_options *opt, struct error *err)
{
    struct sandbox s = {0};

    return python_init(&s, opt->python, err);
}

static bool bwrap_init(struct sandbox *s, struct error *err)
{
    static const char *const places[] = {"/usr/bin/bwrap", "/usr/local/bin/bwrap", "/bin/bwrap"};

    for (size_t i = 0; i < COUNT_OF(places); i++)
        if (is_program(places[i])) {
            snprintf(s->bwrap, sizeof s->bwrap, "%s", places[i]);
            return true;
        }
    return fail(err, ERR_NOT_FOUND, "bubblewrap is not installed (apt install bubblewrap)");
}

bool sandbox_init(struct sandbox *s, enum sandbox_tier tier, const struct grade_options *opt,
                  struct error *err)
{
    bool ok;

    *s = (struct sandbox){
        .tier = tier, .memory_bytes = opt->memory_bytes, .timeout_s = opt->timeout_s};
    ok = python_init(s, opt->python, err) && (tier == SANDBOX_T3 || bwrap_init(s, err)) &&
         filter_outer(tier == SANDBOX_T3, &s->outer, err) && filter_inner(&s->inner, err);
    if (!ok)
        sandbox_release(s);
    return ok;
}

void sandbox_release(struct sandbox *s)
{
    buf_release(&s->outer);
    buf_release(&s->inner);
}

const char *sandbox_tmp(const struct sandbox *s)
{
    return s->tier == SANDBOX_T3 ? "" : "/tmp";
}

unsigned sandbox_processes(const struct sandbox *s)
{
    /* in a user namespace the count is the sandbox's own; outside, it is limited before the start (limit_all) */
    return s->tier == SANDBOX_T3 ? 0 : MAX_PROCESSES;
}

/* ---- starting: prepared in the parent, carried out between vfork and exec ---- */

struct launch {
    const struct sandbox *s;
    const char *args[MAX_ARGS];
    size_t n_args;
    const char *env[16];
    int sock, err_fd;
    int third_fd; /* the filter for bubblewrap, or T3's Landlock ruleset */
    uid_t uid;    /* 0: stay who we are */
    rlim_t processes;
    pid_t parent;
    struct sock_fprog program; /* T3 */
};

/* Where bubblewrap, which is not root, finds what root alone can reach. */
static const char *const shown_at[SANDBOX_MAX_FOLDERS] = {"/mnt/0", "/mnt/1", "/mnt/2"};

static void add(struct launch *l, const char *arg)
{
    if (l->n_args < MAX_ARGS - 1)
        l->args[l->n_args++] = arg;
}

#define ADD(l, ...)                                                                                \
    do {                                                                                           \
        const char *const added[] = {__VA_ARGS__};                                                 \
        for (size_t i_ = 0; i_ < COUNT_OF(added); i_++)                                            \
            add((l), added[i_]);                                                                   \
    } while (0)

/* Top folders of programs and libraries, as this system has them: links into /usr, or folders. */
static void add_system(struct launch *l, char targets[][64])
{
    static const char *const tops[] = {"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"};
    struct stat st;

    ADD(l, "--ro-bind", "/usr", "/usr");
    for (size_t i = 0; i < COUNT_OF(tops); i++) {
        if (lstat(tops[i], &st) != 0)
            continue;
        const ssize_t n = S_ISLNK(st.st_mode) ? readlink(tops[i], targets[i], 63) : -1;
        if (n > 0) {
            targets[i][n] = '\0';
            ADD(l, "--symlink", targets[i], tops[i]);
        } else if (S_ISDIR(st.st_mode)) {
            ADD(l, "--ro-bind", tops[i], tops[i]);
        }
    }
    ADD(l, "--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache", "--ro-bind-try",
        "/etc/alternatives", "/etc/alternatives");
}

static void add_bwrap(struct launch *l, char targets[][64])
{
    const struct sandbox *s = l->s;

    ADD(l, s->bwrap, "--unshare-all", "--unshare-user", "--die-with-parent", "--as-pid-1",
        "--new-session");
    if (s->tier == SANDBOX_T1)
        ADD(l, "--disable-userns");
    add_system(l, targets);
    for (size_t i = 0; i < s->n_folders; i++)
        ADD(l, "--ro-bind", s->is_hidden[i] ? shown_at[i] : s->folder[i], s->folder[i]);
    if (s->tier == SANDBOX_T1)
        ADD(l, "--proc", "/proc");
    ADD(l, "--dev", "/dev", "--remount-ro", "/dev", "--size", "67108864", "--tmpfs", "/tmp",
        "--chdir", "/tmp", "--remount-ro", "/", "--uid", "65534", "--gid", "65534", "--hostname",
        "sandbox", "--cap-drop", "ALL", "--seccomp", "3", "--");
}

/*
 * The hash seed and the thread counts are fixed, so that the same answer gets the same reward. python -I would ignore
 * the seed; what else it does, the other settings do, and nothing of our own environment is there to be ignored.
 */
static void add_environment(struct launch *l)
{
    static const char *const env[] = {
        "PATH=/usr/bin:/bin", "LANG=C.UTF-8",
        "HOME=/tmp",          "TMPDIR=/tmp",
        "PYTHONHASHSEED=0",   "PYTHONSAFEPATH=1",
        "PYTHONNOUSERSITE=1", "PYTHONDONTWRITEBYTECODE=1",
        "LD_BIND_NOW=1",      "OPENBLAS_NUM_THREADS=1",
        "OMP_NUM_THREADS=1",  "MKL_NUM_THREADS=1",
    };

    static_assert(COUNT_OF(env) + 1 < COUNT_OF(l->env), "room for the corpora and the ending NULL");
    memcpy(l->env, env, sizeof env);
    if (l->s->nltk_data[0] != '\0')
        l->env[COUNT_OF(env)] = l->s->nltk_data;
}

/* -- Landlock, for T3 -- */

#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13)
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif
#define ACCESS_FS_IOCTL_DEV (1ULL << 15) /* ABI 5 */

/* struct landlock_ruleset_attr of ABI 6; older headers lack the later members. */
struct ruleset_attr {
    uint64_t fs, net, scoped;
};

static int ruleset_make(struct error *err)
{
    const long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    struct ruleset_attr attr = {.fs = (1ULL << 13) - 1};
    size_t size = sizeof(uint64_t);

    if (abi < 1)
        return fail(err, ERR_UNSUPPORTED, "this kernel has no Landlock"), -1;
    attr.fs |= (abi >= 2 ? LANDLOCK_ACCESS_FS_REFER : 0) |
               (abi >= 3 ? LANDLOCK_ACCESS_FS_TRUNCATE : 0) | (abi >= 5 ? ACCESS_FS_IOCTL_DEV : 0);
    if (abi >= 4) {
        attr.net = 3; /* bind and connect of TCP */
        size = 2 * sizeof(uint64_t);
    }
    if (abi >= 6) {
        attr.scoped = 3; /* abstract Unix sockets, signals */
        size = 3 * sizeof(uint64_t);
    }
    const int fd = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
    if (fd < 0)
        fail_errno(err, "making a Landlock ruleset");
    return fd;
}

/* What is at path, where there is something, may be read (and executed, and written). */
static bool ruleset_allow(int ruleset, const char *path, uint64_t access, struct error *err)
{
    const int fd = open(path, O_PATH | O_CLOEXEC);
    struct landlock_path_beneath_attr rule = {.allowed_access = access, .parent_fd = fd};
    bool ok = true;

    if (fd < 0)
        return errno == ENOENT ? true : fail_errno(err, "opening %.300s for a Landlock rule", path);
    if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0)
        ok = fail_errno(err, "adding %.300s to a Landlock ruleset", path);
    close(fd);
    return ok;
}

static bool ruleset_fill(int ruleset, const struct sandbox *s, struct error *err)
{
    static const char *const folders[] = {"/usr", "/lib", "/lib32", "/lib64", "/etc/alternatives"};
    static const char *const devices[] = {"/dev/zero", "/dev/random", "/dev/urandom",
                                          "/etc/ld.so.cache"};
    const uint64_t read = LANDLOCK_ACCESS_FS_READ_FILE;
    const uint64_t run = read | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_EXECUTE;

    for (size_t i = 0; i < COUNT_OF(folders); i++)
        if (!ruleset_allow(ruleset, folders[i], run, err))
            return false;
    for (size_t i = 0; i < s->n_folders; i++)
        if (!ruleset_allow(ruleset, s->folder[i], run, err))
            return false;
    for (size_t i = 0; i < COUNT_OF(devices); i++)
        if (!ruleset_allow(ruleset, devices[i], read, err))
            return false;
    return ruleset_allow(ruleset, "/dev/null", read | LANDLOCK_ACCESS_FS_WRITE_FILE, err);
}

/* -- between vfork and exec: our memory is the parent's, so system calls and nothing else -- */

static _Noreturn void give_up(const char *what)
{
    const ssize_t n = write(2, what, strlen(what));

    (void)n;
    _exit(127);
}

static void limit(int resource, rlim_t value)
{
    struct rlimit r;

    if (getrlimit((__rlimit_resource_t)resource, &r) != 0)
        give_up("a limit cannot be read");
    if (value > r.rlim_max) /* RLIM_INFINITY is the largest number */
        value = r.rlim_max;
    r = (struct rlimit){value, value};
    if (setrlimit((__rlimit_resource_t)resource, &r) != 0)
        give_up("a limit cannot be set");
}

static void limit_all(const struct launch *l)
{
    limit(RLIMIT_AS, l->s->memory_bytes);
    limit(RLIMIT_FSIZE, MAX_FILE_BYTES);
    limit(RLIMIT_NOFILE, MAX_DESCRIPTORS);
    /*
     * Each process of a call has two cores for as long as a call may last. The worker's own share of that lasts for
     * some hundred thousand calls; then it ends, and another takes its place.
     */
    limit(RLIMIT_CPU, (rlim_t)(2 * l->s->timeout_s) + 60);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_MEMLOCK, 65536);
    if (l->processes > 0)
        limit(RLIMIT_NPROC, l->processes);
}

/* 0: the socket, 1 and 2: complaints, 3: the filter for bubblewrap or the Landlock ruleset; all else goes. */
static void keep_descriptors(const struct launch *l)
{
    if (dup2(l->sock, 0) < 0 || dup2(l->err_fd, 1) < 0 || dup2(l->err_fd, 2) < 0 ||
        dup2(l->third_fd, 3) < 0)
        _exit(127);
    if (syscall(SYS_close_range, 4, ~0u, 0) != 0) {
        struct rlimit r;
        const rlim_t end =
            getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < 1 << 20 ? r.rlim_cur : 1 << 20;

        for (rlim_t fd = 4; fd < end; fd++)
            close((int)fd);
    }
}

/* No group and a user of our own; by number, for the C library's functions would change the parent's threads, too. */
static void change_user(uid_t uid)
{
    if (syscall(SYS_setgroups, 0, NULL) != 0 || syscall(SYS_setresgid, uid, uid, uid) != 0 ||
        syscall(SYS_setresuid, uid, uid, uid) != 0)
        give_up("the sandbox cannot have a user of its own");
    if (syscall(SYS_setresuid, 0, 0, 0) == 0 || geteuid() == 0)
        give_up("the sandbox is still root");
}

static void default_signals(void)
{
    struct sigaction a = {.sa_handler = SIG_DFL};
    sigset_t none;

    for (int i = 1; i < 65; i++)
        sigaction(i, &a, NULL);
    sigemptyset(&none);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, 8);
}

/* When memory is short the sandbox goes first, not the training. */
static void offer_to_oom_killer(void)
{
    const int fd = open("/proc/self/oom_score_adj", O_WRONLY);
    const ssize_t n = fd < 0 ? 0 : write(fd, "1000", 4);

    (void)n;
    if (fd >= 0)
        close(fd);
}

static void close_gates(const struct launch *l)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        give_up("new privileges cannot be refused");
    if (syscall(SYS_landlock_restrict_self, 3, 0) != 0)
        give_up("Landlock refused");
    close(3);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || getppid() != l->parent)
        give_up("the program is gone");
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &l->program, 0, 0) != 0)
        give_up("the system-call filter was refused");
}

static void show_hidden(const struct sandbox *s)
{
    bool any = false;

    for (size_t i = 0; i < s->n_folders; i++)
        any = any || s->is_hidden[i];
    if (!any)
        return;
    umask(022);
    if (!own_mounts())
        give_up("no folders can be mounted for it");
    for (size_t i = 0; i < s->n_folders; i++)
        if (s->is_hidden[i] && (mkdir(shown_at[i], 0755) != 0 ||
                                mount(s->folder[i], shown_at[i], NULL, MS_BIND, NULL) != 0))
            give_up("the graders' packages cannot be mounted for it");
}

static _Noreturn void become(const struct launch *l)
{
    offer_to_oom_killer();
    setsid(); /* Ctrl-C is for the program, not for its graders */
    if (chdir("/") != 0)
        _exit(127);
    show_hidden(l->s);
    umask(077);
    keep_descriptors(l);
    limit_all(l);
    if (l->uid != 0)
        change_user(l->uid);
    if (l->s->tier == SANDBOX_T3)
        close_gates(l);
    default_signals();
    execve(l->args[0], (char *const *)(uintptr_t)l->args, (char *const *)(uintptr_t)l->env);
    give_up("the sandbox's program cannot be started");
}

/* ---- starting: the parent ---- */

int sandbox_lift(int fd, struct error *err)
{
    if (fd < 0)
        return -1;
    const int lifted = fcntl(fd, F_DUPFD_CLOEXEC, 10);
    if (lifted < 0)
        fail_errno(err, "moving a descriptor for a sandbox");
    close(fd);
    return lifted;
}

/* The filter as a descriptor that bubblewrap reads. */
static int filter_pipe(const struct buf *filter, struct error *err)
{
    int fd[2];

    if (pipe2(fd, O_CLOEXEC) != 0)
        return fail_errno(err, "making a pipe for a system-call filter"), -1;
    const ssize_t n = write(fd[1], filter->ptr, filter->len);
    close(fd[1]);
    if (n == (ssize_t)filter->len)
        return fd[0];
    close(fd[0]);
    return fail(err, ERR_IO, "a system-call filter of %zu bytes does not fit into a pipe",
                filter->len),
           -1;
}

/* How many processes this user has: outside of a user namespace the limit counts them all. */
static rlim_t count_processes(uid_t uid)
{
    DIR *dir = opendir("/proc");
    rlim_t n = 0;

    for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
        char path[300];
        struct stat st;
        DIR *tasks;

        if (e->d_name[0] < '0' || e->d_name[0] > '9')
            continue;
        snprintf(path, sizeof path, "/proc/%s/task", e->d_name);
        if (stat(path, &st) != 0 || st.st_uid != uid || (tasks = opendir(path)) == NULL)
            continue;
        for (struct dirent *t; (t = readdir(tasks)) != NULL;)
            n += t->d_name[0] != '.';
        closedir(tasks);
    }
    if (dir != NULL)
        closedir(dir);
    return n;
}

static bool launch_prepare(struct launch *l, char targets[][64], struct error *err)
{
    if (l->s->tier != SANDBOX_T3) {
        add_bwrap(l, targets);
        l->third_fd = sandbox_lift(filter_pipe(&l->s->outer, err), err);
        return l->third_fd >= 0;
    }
    l->processes = MAX_PROCESSES + (l->uid != 0 ? 0 : count_processes(geteuid()));
    l->program =
        (struct sock_fprog){.len = (unsigned short)(l->s->outer.len / sizeof(struct sock_filter)),
                            .filter = (struct sock_filter *)(void *)l->s->outer.ptr};
    l->third_fd = sandbox_lift(ruleset_make(err), err);
    return l->third_fd >= 0 && ruleset_fill(l->third_fd, l->s, err);
}

/* vfork, since a copy of a training process's page tables costs it a fault for each of its pages. */
static __attribute__((noinline)) pid_t start(const struct launch *l)
{
    const pid_t pid =
        vfork(); // NOLINT(clang-analyzer-security.insecureAPI.vfork): see above and become()

    if (pid == 0)
        become(l); // NOLINT(clang-analyzer-unix.Vfork)
    return pid;
}

bool sandbox_spawn(const struct sandbox *s, unsigned slot, int sock, int err_fd, const char *script,
                   pid_t *out, struct error *err)
{
    char targets[8][64];
    struct launch l = {.s = s, .sock = sock, .err_fd = err_fd, .third_fd = -1, .parent = getpid()};
    sigset_t all, before;
    pid_t pid = -1;

    if (geteuid() == 0)
        l.uid = FIRST_UID + ((unsigned)getpid() * 31 + slot) % N_UIDS;
    add_environment(&l);
    bool ok = launch_prepare(&l, targets, err);
    ADD(&l, s->python, "-s", "-B", "-c", script);
    if (ok) {
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        pid = start(&l);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        ok = pid > 0 ? true : fail_errno(err, "starting a sandbox");
    }
    if (l.third_fd >= 0)
        close(l.third_fd);
    if (ok)
        *out = pid;
    return ok;
}

/* ---- ending ---- */

/* Whether pid, a child of ours, ends within the time; it stays to be waited for. */
static bool ends_within(pid_t pid, double seconds)
{
    const double deadline = clock_seconds() + seconds;
    siginfo_t info;

    for (;;) {
        info.si_pid = 0;
        if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == pid)
            return true;
        if (clock_seconds() >= deadline)
            return false;
        usleep(500);
    }
}

/* The only child of pid, or 0. */
static pid_t child_of(pid_t pid)
{
    char path[64];
    FILE *f;
    int child = 0;

    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    f = fopen(path, "re");
    if (f != NULL) {
        if (fscanf(f, "%d", &child) != 1) // NOLINT(cert-err34-c): the kernel's own numbers
            child = 0;
        fclose(f);
    }
    return (pid_t)child;
}

/*
 * bubblewrap's outer process waits for the first process of the namespace, with which all others end. Killing that one
 * lets the outer one collect it; killing the outer one would leave a dead child to whoever is process 1, which in a
 * container is often nobody who looks.
 */
static bool kill_namespace(pid_t outer)
{
    const pid_t first = child_of(outer);
    const int fd = first > 0 ? (int)syscall(SYS_pidfd_open, first, 0) : -1;
    /* asked again: by now the descriptor holds on to the process, so that the number cannot be another's */
    const bool ok = fd >= 0 && child_of(outer) == first &&
                    syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) == 0;

    if (fd >= 0)
        close(fd);
    return ok;
}

void sandbox_kill(const struct sandbox *s, pid_t pid)
{
    if (pid <= 0)
        return;
    if (s->tier == SANDBOX_T3) {
        /* an idle worker ends by itself when its socket closes, and collects its child before that; in any case the
         * sandbox is a process group, and its filter lets no process leave it */
        ends_within(pid, 0.1);
        kill(-pid, SIGKILL);
    } else if (!kill_namespace(pid) || !ends_within(pid, 2)) {
        kill(pid, SIGKILL);
    }
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}
