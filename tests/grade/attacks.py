"""attacks.py - what a grader might try. sandbox_test.c puts SECRET_FILE, SOCKET_PATH, ABSTRACT_NAME, PROGRAM in front.

An attack returns true where it gets through. Those above LOADED run twice: where the source is loaded and where it
grades; those below it only where it grades, for their harm would be to the worker, which is the source's own.
"""
import ctypes, errno, fcntl, mmap, os, platform, resource, signal, socket, subprocess, sys, tempfile
libc = ctypes.CDLL(None, use_errno=True)
A = {}
def attack(f):
    A[f.__name__] = f
def opens(path, flags=os.O_RDONLY):
    try:
        os.close(os.open(path, flags, 0o600))
        return True
    except OSError:
        return False
def lists(path):
    try:
        return len(os.listdir(path)) >= 0
    except OSError:
        return False
def calls(number, *args):
    return libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) for a in args]) >= 0

@attack
def reads_files():
    return any(map(opens, ['/etc/shadow', '/etc/passwd', '/root/.bashrc', '/proc/kcore', '/dev/mem', '/dev/sda',
                           '/dev/kmsg', '/proc/kmsg', SECRET_FILE]))
@attack
def lists_folders():
    """The way to the interpreter's own folder is seen, and nothing beside it."""
    own = {part for prefix in [sys.prefix, sys.base_prefix] for part in prefix.split('/')}
    def lists(path):
        try:
            return not set(os.listdir(path)) <= own if (sys.prefix + '/').startswith(path + '/') else len(os.listdir(path)) >= 0
        except OSError:
            return False
    return any(map(lists, ['/root', '/home', '/var', '/boot', '/run', '/srv', os.path.dirname(SECRET_FILE)]))
@attack
def sees_the_environment():
    seen = repr(os.environ)
    for pid in os.listdir('/proc') if lists('/proc') else []:
        try:
            seen += open('/proc/%s/environ' % pid).read()
        except OSError:
            pass
    return 'HONE_TEST_SECRET' in seen
@attack
def sees_other_processes():
    return any(p.isdigit() and int(p) > 1000 for p in os.listdir('/proc')) if lists('/proc') else False
@attack
def writes_outside_tmp():
    w = os.O_WRONLY | os.O_CREAT
    return any(opens(p, w) for p in ['/x', '/usr/x', '/usr/bin/x', '/etc/x', '/dev/x', '/dev/shm/x', '/var/tmp/x', '/proc/x',
                                     '/sys/x', '/run/x', os.path.dirname(SECRET_FILE) + '/x'])
@attack
def writes_kernel_settings():
    return any(opens(p, os.O_WRONLY) for p in ['/proc/sys/kernel/core_pattern', '/proc/sysrq-trigger',
        '/proc/sys/vm/overcommit_memory', '/proc/1/oom_score_adj', '/proc/1/mem', '/proc/self/mem'])
@attack
def changes_files_by_name():
    for f in [lambda: os.chmod(SECRET_FILE, 0o777), lambda: os.truncate(SECRET_FILE, 0), lambda: os.utime(SECRET_FILE),
              lambda: os.remove(SECRET_FILE), lambda: os.rename(SECRET_FILE, SECRET_FILE + '2'),
              lambda: os.setxattr(SECRET_FILE, 'user.x', b'x'), lambda: os.chmod('/usr/bin/python3', 0o755)]:
        try:
            f()
            return True
        except OSError:
            pass
@attack
def makes_sockets():
    for family in [socket.AF_INET, socket.AF_INET6, 16, 17, 38, 40]:
        for kind in [socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW]:
            try:
                socket.socket(family, kind)
                return True
            except OSError:
                pass
@attack
def reaches_unix_sockets():
    for name in [SOCKET_PATH, '\0' + ABSTRACT_NAME]:
        try:
            socket.socket(socket.AF_UNIX).connect(name)
            return True
        except OSError:
            pass
@attack
def has_memory_without_limit():
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if not 0 < limit <= 400 << 20:
        return True
    for f in [lambda: mmap.mmap(-1, limit), lambda: os.memfd_create('x'),
              lambda: resource.setrlimit(resource.RLIMIT_AS, (-1, -1))]:
        try:
            f()
            return True
        except (OSError, ValueError):
            pass
    return libc.shmget(0, 4096, 0o1600) >= 0 or libc.mlock(ctypes.create_string_buffer(1 << 20), 1 << 20) == 0
@attack
def asks_the_kernel():
    if platform.machine() != 'x86_64':
        return False
    buffer = ctypes.addressof(ctypes.create_string_buffer(4096))
    return any(calls(*c) for c in [
        (272, 0x10000000), (272, 0x20000), (165, buffer, buffer, buffer, 0, 0), (166, buffer, 0), (161, buffer),
        (155, buffer, buffer), (101, 0, 0, 0, 0), (101, 16, os.getppid() or 1, 0, 0), (310, os.getppid() or 1, 0, 0, 0, 0, 0),
        (311, os.getppid() or 1, 0, 0, 0, 0, 0), (321, 0, buffer, 48), (298, buffer, 0, -1, -1, 0), (323, 0),
        (425, 8, buffer), (248, buffer, buffer, buffer, 1, -3), (250, 0, -3, 0), (308, 0, 0), (304, 0, buffer, 0),
        (56, 0x10000000 | 17, 0, 0, 0, 0), (435, buffer, 88), (135, 0x40000), (428, -100, buffer, 1), (430, buffer, 0),
        (29, 0, 4096, 0o1600), (64, 0, 1, 0o1600), (68, 0, 0o1600), (240, buffer, 0o100, 0o600, 0), (447, 0),
        (175, buffer, 0, buffer), (169, 0xfee1dead, 672274793, 0, 0), (103, 3, buffer, 4096), (434, 1, 0) and (438, 3, 0, 0)])
@attack
def gains_privileges():
    if libc.prctl(39, 0, 0, 0, 0) != 1:
        return True
    for f in [lambda: os.setuid(0), lambda: os.setgid(0), lambda: os.setgroups([0])]:
        try:
            f()
            return os.getuid() == 0
        except OSError:
            pass
@attack
def types_into_the_terminal():
    for fd in range(3):
        try:
            fcntl.ioctl(fd, 0x5412, b'x')
            return True
        except OSError:
            pass
    return opens('/dev/tty', os.O_RDWR)
@attack
def signals_the_program():
    for pid in [PROGRAM, -PROGRAM]:
        try:
            os.kill(pid, 0)
            return True
        except OSError:
            pass
    pidfd = libc.syscall(ctypes.c_long(434), PROGRAM, 0)
    return pidfd >= 0 and calls(424, pidfd, 0, 0, 0)
@attack
def changes_the_programs_limits():
    try:
        return bool(resource.prlimit(PROGRAM, resource.RLIMIT_NOFILE))
    except OSError:
        return False

LOADED = [name for name, f in A.items() if f()]

@attack
def forks():
    for f in [os.fork, lambda: os.posix_spawn('/usr/bin/true', ['true'], {}),
              lambda: subprocess.run(['/usr/bin/true'])]:
        try:
            if f() == 0:
                os._exit(0)
            return True
        except OSError:
            pass
    return libc.vfork() >= 0 or calls(56, 17, 0, 0, 0, 0) or calls(57) or calls(435, 0, 0)
@attack
def becomes_another_program():
    try:
        os.execv('/usr/bin/true', ['true'])
    except OSError:
        return False
@attack
def signals_anyone():
    for pid in [1, -1, 0, os.getppid() or 1, os.getpid()]:
        try:
            os.kill(pid, signal.SIGKILL)
            return True
        except OSError:
            pass
@attack
def signals_by_a_descriptor():
    a, b = socket.socketpair()
    for request in [8, 15, (1 << 32) | 8]:
        try:
            fcntl.fcntl(a, request, os.getppid() or 1)
            return True
        except (OSError, OverflowError):
            pass
    return libc.syscall(ctypes.c_long(72), a.fileno(), ctypes.c_long(1 << 32 | 8), ctypes.c_long(1)) >= 0
@attack
def changes_its_parent():
    parent = os.getppid() or 1
    for f in [lambda: resource.prlimit(parent, resource.RLIMIT_NOFILE, (5, 5)), lambda: os.setpriority(0, parent, 19),
              lambda: os.sched_setaffinity(parent, {0}), lambda: os.sched_setscheduler(parent, 5, os.sched_param(0)),
              lambda: os.setxattr('/tmp', 'user.x', b'x'), lambda: os.setpgid(0, 0), os.setsid]:
        try:
            f()
            return True
        except OSError:
            pass
    return opens('/proc/%d/mem' % parent)
@attack
def reads_its_parents_memory():
    parent = os.getppid() or 1
    here = ctypes.create_string_buffer(64)
    pair = (ctypes.c_uint64 * 2)(ctypes.addressof(here), 64)
    at = ctypes.addressof(pair)
    return any(opens('/proc/%d/%s' % (pid, name)) for pid in (1, parent) for name in ('mem', 'maps', 'environ', 'stack')) \
        or libc.ptrace(16, parent, 0, 0) == 0 or libc.process_vm_readv(parent, at, 1, at, 1, 0) >= 0 \
        or libc.process_vm_writev(parent, at, 1, at, 1, 0) >= 0
@attack
def changes_what_its_output_is():
    read_end, write_end = os.pipe()
    for fd in (0, 1, write_end):
        for command, value in [(1031, 1 << 20), (10, 40), (1036, ctypes.c_uint64(2)), (1038, ctypes.c_uint64(2))]:
            if libc.fcntl(fd, command, ctypes.byref(value) if isinstance(value, ctypes.c_uint64) else value) >= 0:
                return True  # F_SETPIPE_SZ, F_SETSIG and hints outlive the call
@attack
def outlives_its_death_signal():
    return libc.prctl(1, 0, 0, 0, 0) == 0

def grade(sample, item):
    if sample['output_text'] == 'list':
        return len(A)
    if sample['output_text'] == 'loaded':
        assert not LOADED, LOADED
        return 0
    name = list(A)[int(sample['output_text'])]
    try:
        assert not A[name](), name
    except (OSError, PermissionError) as e:
        assert e.errno in (errno.EPERM, errno.EACCES, errno.ENOSYS), name
    return 0
