"""worker.py - runs inside the sandbox: loads a grader's source once, then forks a child for each answer.

The socket on descriptor 0 speaks frames, each with its length (4 bytes, little-endian) in front:

    out, once:      "ready": the interpreter runs
    in,  once:      JSON {"sources": [...], "processes": n or 0, "tmp": "/tmp" or "", "filter": hex}
    out, once:      JSON {"loaded": [{"keys": [...]}, ...]}, or {"failed": i, "error": text}
    in,  per call:  number of the source (2 bytes), whether its output is wanted (2 bytes), then JSON
                    {"sample": ..., "item": ...}
    out, per call:  R + a double    the reward
                    E + text        grade() raised, or gave what is no reward
                    S + text        the sandbox failed, not the grader
                    D + status      the child ended by itself (4 bytes, as waitpid gives it)
                    F               too many files in the child's tmp

What a call writes to its standard output and error goes, where it is wanted, into the pipe that this process was started
with as descriptors 1 and 2: past this process, which would have to forget it, and apart from the reward.

The child is forked ahead of its call and reads the call itself, so that no sample ever enters this process's memory,
from which the next child is forked. It closes the socket before the grader's code sees the sample. What the child
leaves in tmp is removed by another child. So nothing of one sample can reach the next.

Names that the loop needs are bound before the grader's source runs.
"""
import sys

sys.path[:] = [p for p in sys.path if p]  # the working folder is writable: nothing is imported from it

import ast
import ctypes
import fcntl
import functools
import gc
import json
import linecache
import math
import numbers
import os
import re
import signal
import struct
import traceback
import types

MAX_TEXT = 3000  # characters of a traceback
MAX_REPLY = 16384
TOO_MUCH = b"Ethe grader's process wrote more than a reward to the reply"
MAX_FILES = 10000
MAX_FRAME = 1 << 30
READ, READ_AND_HEARD = b"CP"  # what a child writes once it has read its call; the second where its output is wanted
F_SETFL, F_SETPIPE_SZ, PIPE_SIZE = 4, 1031, 65536
LOCK_UN = 8
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP = 1, 4, 22
RLIMIT_NPROC = 6

libc = ctypes.PyDLL(None)


class SockFilter(ctypes.Structure):
    _fields_ = [("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint)]


class SockProgram(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.POINTER(SockFilter))]


def filter_program(code):
    n = len(code) // ctypes.sizeof(SockFilter)
    return SockProgram(n, (SockFilter * n).from_buffer_copy(code))


# ---- frames ----

def read_exactly(fd, n):
    """n bytes, or None at the end of the stream."""
    data = bytearray()
    while len(data) < n:
        piece = os.read(fd, min(n - len(data), 1 << 20))
        if not piece:
            return None
        data += piece
    return data


def read_frame(fd):
    head = read_exactly(fd, 4)
    size = struct.unpack("<I", head)[0] if head is not None else MAX_FRAME + 1
    return read_exactly(fd, size) if size <= MAX_FRAME else None


def write_all(fd, data):
    data = memoryview(data)
    while data:
        data = data[os.write(fd, data):]


def write_frame(fd, data):
    write_all(fd, struct.pack("<I", len(data)) + data)


# ---- loading ----

def file_name(index):
    return "grader.py" if index == 0 else "grader-%d.py" % (index + 1)


def cut_lines(text):
    """At most MAX_TEXT characters: the end, where the exception is, with no line longer than 400."""
    lines = [line if len(line) <= 400 else line[:397] + "..." for line in text.split("\n")]
    text = "\n".join(lines).strip()
    return text if len(text) <= MAX_TEXT else "...\n" + text[-MAX_TEXT:]


def describe(error):
    """The traceback from the grader's own first line on."""
    if isinstance(error, MemoryError):
        traceback.clear_frames(error.__traceback__)
    tb = error.__traceback__
    while tb is not None and not tb.tb_frame.f_code.co_filename.startswith("grader"):
        tb = tb.tb_next
    try:
        text = "".join(traceback.format_exception(type(error), error, tb, limit=-8, chain=False))
    except BaseException:
        text = "%s, which cannot be shown" % type(error).__name__
    return cut_lines(text).encode("utf-8", "replace")


class Refused(Exception):
    """The source loads, and what it defines cannot grade."""


def load_one(text, index):
    name = file_name(index)
    linecache.cache[name] = (len(text), None, text.splitlines(True), name)
    tree = ast.parse(text, name)
    module = types.ModuleType(name[:-3])
    module.__file__ = name
    sys.modules[module.__name__] = module  # dataclasses and pickle look there
    exec(compile(tree, name, "exec"), module.__dict__)
    grade = getattr(module, "grade", None)
    if grade is None:
        raise Refused("the source defines no grade(sample, item)")
    check_signature(grade)
    compile_patterns(tree)
    import_early(tree)
    return grade, required_keys(tree)


def check_signature(grade):
    if not callable(grade):
        raise Refused("grade is not a function")
    if not isinstance(grade, types.FunctionType):
        import inspect
        try:
            inspect.signature(grade).bind(None, None)
        except (TypeError, ValueError) as e:
            raise Refused("grade cannot be called with (sample, item): %s" % e) from None
        return
    code = grade.__code__
    least = code.co_argcount - len(grade.__defaults__ or ())
    most = math.inf if code.co_flags & 0x04 else code.co_argcount
    if not least <= 2 <= most or code.co_kwonlyargcount > len(grade.__kwdefaults__ or ()):
        raise Refused("grade takes %d arguments; it is called with two: grade(sample, item)" % code.co_argcount)
    if code.co_flags & 0x2a0:  # coroutine, generator, asynchronous generator
        raise Refused("grade is a coroutine or a generator; it must return a number")


def load_all(config):
    graders, loaded = [], []
    for index, text in enumerate(config["sources"]):
        try:
            grade, keys = load_one(text, index)
        except SyntaxError as e:
            where = " (line %s)" % e.lineno if e.lineno else ""
            return None, {"failed": index, "error": "%s: %s%s" % (type(e).__name__, e.msg, where)}
        except Refused as e:
            return None, {"failed": index, "error": str(e)}
        except BaseException as e:
            return None, {"failed": index, "error": describe(e).decode()}
        graders.append(grade)
        loaded.append({"keys": keys})
    return graders, {"loaded": loaded}


# ---- which keys of the row grade() needs ----

class Reads(ast.NodeVisitor):
    """Collects K of item["K"] where grade() reads it whatever the row holds.

    What a condition over the row guards is left out (other rows may well lack it), and so is what a try guards; what
    only a condition over the answer guards counts, since some answer will get there. `known` holds the names whose
    value depends on the row.
    """

    def __init__(self, item):
        self.item, self.known = item, {item}
        self.keys, self.spared = [], set()
        self.guarded = 0

    def depends(self, node):
        return any(isinstance(n, ast.Name) and n.id in self.known for n in ast.walk(node))

    def learn(self, target):
        self.known.update(n.id for n in ast.walk(target) if isinstance(n, ast.Name))

    def guard(self, nodes, yes):
        self.guarded += yes
        for node in nodes:
            self.visit(node)
        self.guarded -= yes

    def block(self, body):
        """A block; what follows a statement that may leave it because of the row is guarded."""
        guarded = self.guarded
        for node in body:
            self.visit(node)
            leaves = any(isinstance(n, (ast.Return, ast.Raise, ast.Break, ast.Continue)) for n in ast.walk(node))
            heads = [n.test for n in ast.walk(node) if isinstance(n, (ast.If, ast.While))]
            heads += [n.iter for n in ast.walk(node) if isinstance(n, ast.For)]
            heads += [n for n in ast.walk(node) if isinstance(n, (ast.Try, ast.With))]
            heads += [n.subject for n in ast.walk(node) if n.__class__.__name__ == "Match"]
            if leaves and any(self.depends(h) for h in heads):
                self.guarded += 1
        self.guarded = guarded

    def visit_Subscript(self, node):
        key = node.slice
        if isinstance(node.value, ast.Name) and node.value.id == self.item and isinstance(key, ast.Constant) \
                and isinstance(key.value, str):
            if not isinstance(node.ctx, ast.Load):
                self.spared.add(key.value)  # the grader sets it itself
            elif not self.guarded and key.value not in self.keys:
                self.keys.append(key.value)
        self.generic_visit(node)

    def visit_Compare(self, node):
        if any(isinstance(op, (ast.In, ast.NotIn)) for op in node.ops) and isinstance(node.left, ast.Constant):
            self.spared.add(node.left.value)
        self.generic_visit(node)

    def visit_Call(self, node):
        f = node.func
        if isinstance(f, ast.Attribute) and isinstance(f.value, ast.Name) and f.value.id == self.item and node.args \
                and isinstance(node.args[0], ast.Constant):
            self.spared.add(node.args[0].value)  # item.get("K")
        self.generic_visit(node)

    def visit_Assign(self, node):
        self.generic_visit(node)
        for target in node.targets:
            if isinstance(target, ast.Name) and target.id == self.item:
                self.guarded += 1000000  # item is something else from here on
            elif self.depends(node.value):
                self.learn(target)

    def visit_AugAssign(self, node):
        self.generic_visit(node)
        if self.depends(node.value):
            self.learn(node.target)

    def visit_AnnAssign(self, node):
        self.generic_visit(node)
        if node.value is not None and self.depends(node.value):
            self.learn(node.target)

    def visit_NamedExpr(self, node):
        self.generic_visit(node)
        if self.depends(node.value):
            self.learn(node.target)

    def visit_If(self, node):
        self.visit(node.test)
        self.guarded += self.depends(node.test)
        self.block(node.body)
        self.block(node.orelse)
        self.guarded -= self.depends(node.test)

    def visit_IfExp(self, node):
        self.visit(node.test)
        self.guard([node.body, node.orelse], self.depends(node.test))

    def visit_BoolOp(self, node):
        for i, value in enumerate(node.values):
            self.guard([value], any(self.depends(v) for v in node.values[:i]))

    def visit_While(self, node):
        self.visit(node.test)
        self.guarded += self.depends(node.test)
        self.block(node.body + node.orelse)
        self.guarded -= self.depends(node.test)

    def visit_For(self, node):
        self.visit(node.iter)
        depends = self.depends(node.iter)
        if depends:
            self.learn(node.target)
        self.guarded += depends
        self.block(node.body + node.orelse)
        self.guarded -= depends

    def visit_With(self, node):
        self.guard(node.items, False)
        self.guarded += 1  # it may be contextlib.suppress
        self.block(node.body)
        self.guarded -= 1

    def visit_Try(self, node):
        self.guarded += bool(node.handlers)
        self.block(node.body)
        for handler in node.handlers:
            self.block(handler.body)
        self.block(node.orelse)
        self.guarded -= bool(node.handlers)
        self.block(node.finalbody)

    def comprehension(self, node):
        first = node.generators[0]
        self.visit(first.iter)
        depends = any(self.depends(g.iter) or any(self.depends(i) for i in g.ifs) for g in node.generators)
        rest = [n for n in ast.iter_child_nodes(node) if not isinstance(n, ast.comprehension)]
        self.guard(rest + first.ifs + node.generators[1:], depends)

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = comprehension

    def elsewhere(self, node):
        self.guard(ast.iter_child_nodes(node), True)  # a function inside, a lambda: perhaps never called

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = visit_ClassDef = visit_Match = elsewhere


def required_keys(tree):
    found = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "grade"]
    if not found or found[-1].decorator_list:
        return []
    names = [a.arg for a in found[-1].args.posonlyargs + found[-1].args.args]
    if len(names) < 2:
        return []
    reads = Reads(names[1])
    try:
        reads.block(found[-1].body)
    except RecursionError:
        return []
    return [k for k in reads.keys if k not in reads.spared]


def compile_patterns(tree):
    """Puts the constant patterns of re.match("...") and its like into re's cache, where every child then finds them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name) \
                and node.func.value.id == "re" and node.args and isinstance(node.args[0], ast.Constant):
            try:
                re.compile(node.args[0].value)
            except Exception:
                pass  # the call will say so


def import_early(tree):
    """Imports here what functions import when they are called, since each child would do it anew."""
    for node in ast.walk(tree):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else \
            [node.module] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
        for name in names:
            try:
                __import__(name)
            except Exception:
                pass  # the call will say so, if it gets there
    if "numpy" in sys.modules:
        try:
            __import__("numpy.random")  # it comes when it is first used, too late for its seed
        except Exception:
            pass


# ---- one call, in the child ----

def number_of(value):
    """The reward as a double, or the sentence that says why it is none."""
    if not isinstance(value, numbers.Real):
        item = getattr(value, "item", None)  # NumPy's scalars
        value = item() if item is not None and getattr(value, "ndim", None) == 0 else value
    if not isinstance(value, numbers.Real):
        return "grade() returned %s, not a number: %s" % (type(value).__name__, cut_lines(repr(value)[:200]))
    try:
        reward = float(value)
    except OverflowError:
        return "grade() returned an integer too large for a reward"
    if not math.isfinite(reward):
        return "grade() returned %s, which is no reward" % repr(reward)
    return reward


def hear(output, dup2=os.dup2):
    """Descriptors 1 and 2 lead out. Lines are sent as they end, for the call may not live to its own end."""
    dup2(output, 1)
    dup2(output, 2)


def flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:
            pass


def make_child(sock, output, graders, program, guard):
    """The function that a child runs; what it needs is bound here, for each page it touches is copied."""
    read, write, close, leave = os.read, os.write, os.close, os._exit
    prctl, by_reference = libc.prctl, ctypes.byref(program)
    number, collect_garbage = struct.Struct("<I").unpack_from, gc.enable
    scan = json.JSONDecoder().scan_once  # json.loads, less its wrappers

    def run(pipe):
        """Never returns. The first byte tells that the call was read whole and the socket is free of it."""
        answer = b"S"
        try:
            if guard is not None:
                guard()
            frame = read(sock, 4096)
            if not frame:
                leave(0)
            size = number(frame)[0] + 4 if len(frame) >= 4 else MAX_FRAME
            if len(frame) < size:
                frame += read_exactly(sock, size - len(frame))
            close(sock)
            order = number(frame, 4)[0]
            heard = order >> 16
            write(pipe, b"P" if heard else b"C")
            if heard:
                hear(output)
            close(output)
            if prctl(PR_SET_SECCOMP, 2, by_reference, 0, 0) != 0:
                answer = b"Sthe second system-call filter was refused"
            else:
                collect_garbage()
                answer = run_grader(graders[order & 0xffff], scan, frame)
                if heard:
                    flush()
        except BaseException as e:
            answer = b"S" + type(e).__name__.encode()
        try:
            write(pipe, answer[:MAX_REPLY - 64])
        finally:
            leave(0)

    return run


def run_grader(grade, scan, frame):
    try:
        text = str(memoryview(frame)[8:], "utf-8")
        frame = None
        call = scan(text, 0)[0]
        text = None
        for name in ("random", "numpy.random"):  # the same answer gets the same reward
            if name in sys.modules:
                sys.modules[name].seed(0)
        value = grade(call["sample"], call["item"])
        reward = value if type(value) is float and -1e300 < value < 1e300 else number_of(value)
        return b"R" + struct.pack("<d", reward) if isinstance(reward, float) else b"E" + reward.encode("utf-8", "replace")
    except BaseException as error:
        try:
            return b"E" + describe(error)
        except BaseException:
            return b"EMemoryError: the grader used more memory than it may have"


def die_with(parent):
    """For a sandbox without a process namespace, which would take the child with it."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


# ---- the loop ----

def files_in(tmp):
    """Files in tmp, the folder itself among them."""
    if not tmp:
        return 1
    s = os.statvfs(tmp)
    return s.f_files - s.f_ffree


def clean(tmp):
    """Makes tmp as new; false where that cannot be done. The names there are a sample's: only a child reads them."""
    os.chmod(tmp, 0o700)
    if files_in(tmp) > 1:
        pid = os.fork()
        if pid == 0:
            try:
                remove_below(tmp)
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        if files_in(tmp) > 1:
            return False
    os.utime(tmp, (0, 0))
    return True


def plain_fork():
    """os.fork() less what Python does around it for the sake of other threads, a tenth of a call, where there are none."""
    return libc.fork if len(sys._current_frames()) == 1 else os.fork  # it gives -1, and the other raises, where it fails


def can_name(output):
    """Whether a call, whose user is this one's, could give its output times and a mode that the next would read."""
    try:
        os.utime(output, (0, 0))
    except OSError:
        return False
    return True


def serve(sock, output, run, tmp):
    """Forks, waits for the child's end, sends its answer on, and so forth.

    The answer is read into one buffer that is cleared afterwards: it may quote the sample, and the next child inherits
    this memory. Only the child's end counts as the end of a call: what it leaves running would be the next one's.
    """
    room, zeros = memoryview(bytearray(MAX_REPLY)), memoryview(bytes(MAX_REPLY))
    readv, writev, fork, waitpid, close, new_pipe = os.readv, os.writev, plain_fork(), os.waitpid, os.close, os.pipe
    set_fd, flock, ends, no_wait = fcntl.fcntl, fcntl.flock, signal.sigtimedwait, os.WNOHANG
    is_ours, utime, fchmod = can_name(output), os.utime, os.fchmod
    child_signal, tick = (signal.SIGCHLD,), 0.1
    size = struct.Struct("<I").pack
    while True:
        pipe, write_end = new_pipe()
        pid = fork()
        if pid == 0:
            close(pipe)
            run(write_end)
        if pid < 0:
            os._exit(5)
        close(write_end)
        n, done = readv(pipe, [room]), 0  # until the call has come
        while not done:
            ended = ends(child_signal, tick)
            done, status = waitpid(pid, no_wait)
            if done or ended is not None:
                continue
            try:
                os.set_blocking(pipe, False)
                n += readv(pipe, [room[n:]])
            except BlockingIOError:
                pass
            if n == MAX_REPLY:  # the child cannot be stopped from here but by ending the sandbox
                write_frame(sock, TOO_MUCH)
                os._exit(0)
            if n > 0 and files_in(tmp) > MAX_FILES:
                write_frame(sock, b"F")
                os._exit(0)
        if n < MAX_REPLY:
            n += readv(pipe, [room[n:]])
        close(pipe)
        if n == 0 or room[0] not in (READ, READ_AND_HEARD):  # the stream ended, or the child before it had read its call
            os._exit(3)
        set_fd(0, F_SETFL, 0)  # what is set of a descriptor is its next user's, too
        flock(0, LOCK_UN)
        if room[0] == READ_AND_HEARD:
            set_fd(output, F_SETFL, 0)
            set_fd(output, F_SETPIPE_SZ, PIPE_SIZE)
            flock(output, LOCK_UN)
            if is_ours:
                utime(output, (0, 0))
                fchmod(output, 0o600)
        is_clean = not tmp or clean(tmp)
        if status != 0 or n == 1:
            writev(sock, [size(5), b"D", size(status)])
        elif n == MAX_REPLY:
            write_frame(sock, TOO_MUCH)
        else:
            writev(sock, [size(n - 1), room[1:n]])  # at most MAX_REPLY: the socket takes it whole
        room[:n] = zeros[:n]
        if not is_clean:
            os._exit(0)  # another worker takes this one's place, with another tmp


def remove_below(folder):
    for entry in list(os.scandir(folder)):
        if entry.is_dir(follow_symlinks=False):
            os.chmod(entry.path, 0o700)
            remove_below(entry.path)
            os.rmdir(entry.path)
        else:
            os.unlink(entry.path)


def main():
    libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    sock, output = os.dup(0), os.dup(1)
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)
    sys.stdout.reconfigure(errors="backslashreplace", line_buffering=True)  # to print is never what fails
    write_frame(sock, b"ready")
    config = json.loads(read_frame(sock) or os._exit(0))
    if config["processes"]:
        libc.setrlimit(RLIMIT_NPROC, (ctypes.c_ulong * 2)(config["processes"], config["processes"]))
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])  # also in threads that a source starts: serve() waits for it
    graders, reply = load_all(config)
    write_frame(sock, json.dumps(reply).encode("utf-8", "replace"))
    if graders is None:
        os._exit(0)
    guard = functools.partial(die_with, os.getpid()) if not config["tmp"] else None
    flush()  # what loading printed would be every child's, too
    run = make_child(sock, output, graders, filter_program(bytes.fromhex(config["filter"])), guard)
    if config["tmp"] and not clean(config["tmp"]):
        os._exit(4)
    gc.collect()
    gc.freeze()
    libc.malloc_trim(0)
    gc.disable()
    serve(sock, output, run, config["tmp"])


main()
