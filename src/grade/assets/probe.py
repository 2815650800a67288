"""probe.py - the attacks that tell whether a sandbox holds, written as a grader and run in it.

What gets through becomes an exception that names it. The first half runs where a grader's source is loaded (first
filter), the second where it grades (second filter).
"""
import ctypes
import os
import resource
import socket
import sys

libc = ctypes.CDLL(None, use_errno=True)
OURS = {"PATH", "LANG", "HOME", "TMPDIR", "PWD", "LC_CTYPE", "LD_BIND_NOW", "NLTK_DATA"}
through = []


def attack(name, fn, *args):
    """Notes name unless fn fails."""
    try:
        if fn(*args) not in (None, False):
            through.append(name)
    except (OSError, ValueError, MemoryError):
        pass


def opens(path, flags):
    os.close(os.open(path, flags))
    return True


def sees_environment():
    """Of this process, or of another one through /proc."""
    if any(k not in OURS and not k.startswith(("PYTHON", "OPENBLAS_", "OMP_", "MKL_")) for k in os.environ):
        return True
    for pid in os.listdir("/proc"):
        if pid.isdigit():
            try:
                with open("/proc/%s/environ" % pid, "rb") as f:
                    names = [e.split(b"=")[0].decode() for e in f.read().split(b"\0") if e]
            except OSError:
                continue
            if any(n not in OURS and not n.startswith(("PYTHON", "OPENBLAS_", "OMP_", "MKL_")) for n in names):
                return True
    return False


def forks_without_end():
    """More than the limit on processes allows."""
    pids = []
    read_end, write_end = os.pipe()
    try:
        for _ in range(100):
            pid = os.fork()
            if pid == 0:
                os.close(write_end)
                os.read(read_end, 1)
                os._exit(0)
            pids.append(pid)
    finally:
        os.close(write_end)
        os.close(read_end)
        for pid in pids:
            os.waitpid(pid, 0)
    return True


def allocates(size):
    libc.mmap.restype = ctypes.c_void_p
    p = libc.mmap(None, ctypes.c_size_t(size), 3, 0x22, -1, ctypes.c_long(0))
    return p not in (None, ctypes.c_void_p(-1).value)


attack("reads /etc/shadow", opens, "/etc/shadow", os.O_RDONLY)
attack("reads /etc/passwd", opens, "/etc/passwd", os.O_RDONLY)
# of a folder that leads to the interpreter's, the sandbox has its own with nothing else in it
attack("lists /root", lambda: len(os.listdir("/root")) > 2)
attack("lists /home", lambda: len(os.listdir("/home")) > 2)
attack("lists /var/lib", lambda: len(os.listdir("/var/lib")) > 2)
attack("sees the program's environment", sees_environment)
attack("writes to /", opens, "/hone-probe", os.O_CREAT | os.O_WRONLY)
attack("writes to /usr", opens, "/usr/hone-probe", os.O_CREAT | os.O_WRONLY)
attack("writes to /dev/shm", opens, "/dev/shm/hone-probe", os.O_CREAT | os.O_WRONLY)
attack("opens core_pattern", opens, "/proc/sys/kernel/core_pattern", os.O_WRONLY)
attack("opens sysrq-trigger", opens, "/proc/sysrq-trigger", os.O_WRONLY)
attack("opens the parent's memory", opens, "/proc/%d/mem" % (os.getppid() or 1), os.O_RDONLY)
attack("makes an Internet socket", lambda: bool(socket.socket(socket.AF_INET)))
attack("makes an Internet socket, version 6", lambda: bool(socket.socket(socket.AF_INET6)))
attack("opens a raw socket", lambda: bool(socket.socket(socket.AF_PACKET, socket.SOCK_RAW)))
attack("makes a memory file", lambda: os.close(os.memfd_create("x")) or True)
attack("makes a user namespace", lambda: libc.unshare(0x10000000) == 0)
attack("mounts", lambda: libc.mount(b"none", b"/tmp", b"tmpfs", 0, None) == 0)
attack("traces", lambda: libc.ptrace(16, os.getppid() or 1, 0, 0) == 0)
attack("becomes root", os.setuid, 0) if os.getuid() != 0 else None
attack("makes a shared memory segment", lambda: libc.shmget(0, 4096, 0o1600) >= 0)
attack("allocates more than its limit", allocates, resource.getrlimit(resource.RLIMIT_AS)[0] + 4096)
attack("has no limit on its memory", lambda: resource.getrlimit(resource.RLIMIT_AS)[0] < 0)
attack("has no limit on its files", lambda: resource.getrlimit(resource.RLIMIT_FSIZE)[0] < 0)
attack("forks without end", forks_without_end)


def grade(sample, item):
    global through
    before, through = through, []
    attack("signals the program", lambda: os.kill(item["pid"], 0) or True)
    attack("signals its parent", lambda: os.kill(os.getppid() or 1, 0) or True)
    attack("opens its parent's memory", opens, "/proc/%d/mem" % (os.getppid() or 1), os.O_RDONLY)
    attack("traces its parent", lambda: libc.ptrace(16, os.getppid() or 1, 0, 0) == 0)
    attack("forks", lambda: os.fork() or os._exit(0))
    attack("starts a program", lambda: os.posix_spawn(sys.executable, [sys.executable, "-V"], {}))
    attack("makes a socket", lambda: bool(socket.socket(socket.AF_UNIX)))
    attack("changes its parent's limits", lambda: resource.prlimit(os.getppid() or 1, resource.RLIMIT_NOFILE, (9, 9)))
    attack("lowers its parent's priority", lambda: os.setpriority(os.PRIO_PROCESS, os.getppid() or 1, 19) or True)
    if before + through:
        raise PermissionError(", ".join(before + through))
    return 1.0
