#include "grade/sandbox_filter.h"

#include "base/size.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/socket.h>
#include <unistd.h>

/* An int argument: the kernel does not look at its upper half, so a filter must not either. */
#define LOW_HALF(arg, value) SCMP_CMP((arg), SCMP_CMP_MASKED_EQ, 0xffffffff, (value))

/* Some of these are younger than the headers we build with: by name, and those this machine lacks are skipped. */
static const char *const nobody_needs[] = {
    /* mounts, roots, namespaces */
    "mount",
    "umount2",
    "umount",
    "pivot_root",
    "chroot",
    "fsopen",
    "fsconfig",
    "fsmount",
    "fspick",
    "move_mount",
    "open_tree",
    "mount_setattr",
    "unshare",
    "setns",
    "open_by_handle_at",
    "name_to_handle_at",
    "quotactl",
    "swapon",
    "swapoff",
    /* other processes' insides */
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "process_madvise",
    "process_mrelease",
    "kcmp",
    "pidfd_getfd",
    "migrate_pages",
    "move_pages",
    /* the kernel's own machinery */
    "bpf",
    "perf_event_open",
    "userfaultfd",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "io_setup",
    "add_key",
    "request_key",
    "keyctl",
    "init_module",
    "finit_module",
    "delete_module",
    "kexec_load",
    "kexec_file_load",
    "reboot",
    "acct",
    "syslog",
    "lookup_dcookie",
    "fanotify_init",
    "vhangup",
    "modify_ldt",
    "iopl",
    "ioperm",
    "uselib",
    "nfsservctl",
    "personality",
    "settimeofday",
    "clock_settime",
    "clock_adjtime",
    "adjtimex",
    "sethostname",
    "setdomainname",
    /* memory that no limit counts, or that outlives its process */
    "memfd_create",
    "memfd_secret",
    "shmget",
    "shmat",
    "shmctl",
    "semget",
    "semop",
    "semctl",
    "semtimedop",
    "msgget",
    "msgsnd",
    "msgrcv",
    "msgctl",
    "mq_open",
    "mq_unlink",
    "mq_timedsend",
    "mq_timedreceive",
    "mq_notify",
    "mq_getsetattr",
};
static const char *const signals[] = {
    "kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_send_signal",
};
/* What one process may do to another of the same user; those that may name another take its number first. */
static const char *const settings_of_others[] = {
    "prlimit64", "sched_setaffinity", "sched_setscheduler", "sched_setparam", "sched_setattr",
};
static const char *const settings[] = {"setpriority", "ioprio_set"};
/* Landlock does not ask about these before ABI 3, or at all. */
static const char *const changes_by_name[] = {
    "truncate",
    "truncate64",
    "chmod",
    "fchmod",
    "fchmodat",
    "fchmodat2",
    "chown",
    "lchown",
    "fchown",
    "fchownat",
    "utime",
    "utimes",
    "futimesat",
    "utimensat",
    "inotify_init",
    "inotify_init1",
    "inotify_add_watch",
    "socket",
    "setsid",
    "setpgid",
};
static const char *const attributes[] = {
    "setxattr",    "lsetxattr",    "fsetxattr",    "setxattrat",
    "removexattr", "lremovexattr", "fremovexattr", "removexattrat",
};
static const char *const starts[] = {
    "fork",   "vfork",   "execve", "execveat", "socket", "bind",
    "listen", "connect", "setsid", "setpgid",  "mknod",  "mknodat",
};

static bool refuse_all(scmp_filter_ctx f, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const int number = seccomp_syscall_resolve_name(names[i]);

        if (number >= 0 && seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), number, 0) != 0)
            return false;
    }
    return true;
}

static bool refuse_if(scmp_filter_ctx f, int number, struct scmp_arg_cmp cmp)
{
    return number < 0 || seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), number, 1, cmp) == 0;
}

/* A process may set its own (0), not another's. */
static bool refuse_others(scmp_filter_ctx f)
{
    for (size_t i = 0; i < COUNT_OF(settings_of_others); i++)
        if (!refuse_if(f, seccomp_syscall_resolve_name(settings_of_others[i]),
                       SCMP_A0(SCMP_CMP_NE, 0, 0)))
            return false;
    /* a signal by way of a descriptor's owner */
    return refuse_all(f, settings, COUNT_OF(settings)) &&
           refuse_if(f, SCMP_SYS(fcntl), LOW_HALF(1, F_SETOWN)) &&
           refuse_if(f, SCMP_SYS(fcntl), LOW_HALF(1, F_SETOWN_EX)) &&
           refuse_if(f, SCMP_SYS(ioctl), LOW_HALF(1, 0x8901)) && /* FIOSETOWN */
           refuse_if(f, SCMP_SYS(ioctl), LOW_HALF(1, 0x8902));   /* SIOCSPGRP */
}

static bool refuse_namespaces(scmp_filter_ctx f)
{
    static const unsigned flags[] = {CLONE_NEWNS,  CLONE_NEWUTS, CLONE_NEWIPC,   CLONE_NEWUSER,
                                     CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWCGROUP};

    for (size_t i = 0; i < COUNT_OF(flags); i++)
        if (!refuse_if(f, SCMP_SYS(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, flags[i], flags[i])))
            return false;
    /* its flags lie in memory, where a filter cannot look: the C library then falls back to clone */
    return seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) == 0;
}

/* The filter's instructions into out, by way of a pipe: they are a few kilobytes, and a pipe holds 64. */
static bool export(scmp_filter_ctx f, struct buf *out, struct error *err)
{
    char chunk[4096];
    int fd[2];
    bool ok;

    if (pipe2(fd, O_CLOEXEC) != 0)
        return fail_errno(err, "making a pipe for a system-call filter");
    ok = seccomp_export_bpf(f, fd[1]) == 0;
    close(fd[1]);
    buf_init(out, (size_t)64 << 10);
    for (ssize_t n; ok && (n = read(fd[0], chunk, sizeof chunk)) > 0;)
        buf_put(out, chunk, (size_t)n);
    close(fd[0]);
    return ok && out->len > 0 ? true
                              : fail(err, ERR_IO, "the system-call filter could not be built");
}

static bool outer_rules(scmp_filter_ctx f, bool bare)
{
    return refuse_all(f, nobody_needs, COUNT_OF(nobody_needs)) && refuse_namespaces(f) &&
           refuse_others(f) && refuse_all(f, attributes, COUNT_OF(attributes)) &&
           refuse_if(f, SCMP_SYS(socket), SCMP_A0(SCMP_CMP_NE, AF_UNIX, 0)) &&
           refuse_if(f, SCMP_SYS(ioctl), LOW_HALF(1, 0x5412)) && /* TIOCSTI */
           refuse_if(f, SCMP_SYS(ioctl), LOW_HALF(1, 0x541c)) && /* TIOCLINUX */
           (!bare || (refuse_all(f, signals, COUNT_OF(signals)) &&
                      refuse_all(f, changes_by_name, COUNT_OF(changes_by_name))));
}

/* What would stay with a descriptor that the next call has, too: a pipe's size, a signal's number, hints. */
static bool refuse_lasting(scmp_filter_ctx f)
{
    static const unsigned commands[] = {F_SETPIPE_SZ, F_SETSIG, F_SET_RW_HINT, F_SET_FILE_RW_HINT};

    for (size_t i = 0; i < COUNT_OF(commands); i++)
        if (!refuse_if(f, SCMP_SYS(fcntl), LOW_HALF(1, commands[i])))
            return false;
    return true;
}

static bool inner_rules(scmp_filter_ctx f)
{
    return refuse_all(f, signals, COUNT_OF(signals)) && refuse_all(f, starts, COUNT_OF(starts)) &&
           refuse_lasting(f) &&
           /* a thread is no process */
           refuse_if(f, SCMP_SYS(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0)) &&
           refuse_if(f, SCMP_SYS(prctl), LOW_HALF(0, 1)); /* PR_SET_PDEATHSIG */
}

static bool build(bool outer, bool bare, struct buf *out, struct error *err)
{
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);
    /*
     * A tree, not a list: when a filter is loaded the kernel tries it on every system call there is, which took 0.5 ms
     * of each graded answer with a list of 150 instructions and takes 0.05 ms so.
     */
    bool ok = f != NULL && seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2) == 0 &&
              (outer ? outer_rules(f, bare) : inner_rules(f));

    if (!ok)
        fail(err, ERR_UNSUPPORTED, "the system-call filter could not be built");
    ok = ok && export(f, out, err);
    if (f != NULL)
        seccomp_release(f);
    return ok;
}

bool filter_outer(bool bare, struct buf *out, struct error *err)
{
    return build(true, bare, out, err);
}

bool filter_inner(struct buf *out, struct error *err)
{
    return build(false, false, out, err);
}
