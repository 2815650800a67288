"""
A server under load while a job trains: everybody hears every event, who stalls or leaves harms nobody, memory stays flat.
HONE_SOAK_SECONDS=3600: the requests of the last test go on for so long, and what the memory did is told on standard error.
"""
import concurrent.futures
import glob
import http.client
import json
import os
import random
import socket
import sqlite3
import sys
import threading
import time
import unittest
from urllib.parse import urlparse

from kills_test import workers_of
from server import CLOSE, HONE, ApiTest, rows

SOAK = float(os.environ.get("HONE_SOAK_SECONDS", 0))
MB = 1 << 20
FLAT = 16 * MB  # what a server may gain, once warm
KEPT = 256 * MB  # what an engine keeps of texts that may come again (server/engine_base.c), in the long form alone
STREAMS = 200


def is_sanitized():
    """Such a program keeps what was freed for a while, so its memory says little."""
    with open(HONE, "rb") as f:
        program = f.read()
    return b"__asan_init" in program or b"__tsan_init" in program


def rss(pid):
    with open("/proc/%d/status" % pid) as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS")) * 1024


def cpu_seconds(pid):
    with open("/proc/%d/stat" % pid) as f:
        words = f.read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def niceness(pid):
    """Of each of a process's threads."""
    found = []
    for task in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/stat" % (pid, task)) as f:
            found.append(int(f.read().rsplit(")", 1)[1].split()[16]))
    return found


def engine_of(server):
    """The process id of a server's engine."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/stat" % pid) as f:
                parent = int(f.read().rsplit(")", 1)[1].split()[1])
            with open("/proc/%s/cmdline" % pid, "rb") as f:
                words = f.read().split(b"\0")
        except OSError:
            continue
        if parent == server.process.pid and len(words) > 1 and words[1] == b"engine":
            return int(pid)
    return None


class Listener:
    """One event stream, as bytes."""

    def __init__(self, server, job, buffer=0):
        address = urlparse(server.url)
        self.connection = http.client.HTTPConnection(address.hostname, address.port, timeout=120)
        self.connection.sock = self.socket = socket.socket()
        if buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.settimeout(120)
        self.socket.connect((address.hostname, address.port))
        self.connection.request("GET", "/v1/fine_tuning/jobs/%s/events?stream=true" % job,
                                headers={"Authorization": "Bearer " + server.key})
        self.heard = b""

    def read(self):
        """To the end of the stream."""
        try:
            with self.connection.getresponse() as reply:
                self.heard = reply.read()
        except http.client.IncompleteRead as e:
            self.heard = e.partial
        except ConnectionResetError:
            pass
        self.connection.close()
        return self

    def ids(self):
        return [json.loads(line[6:])["id"] for line in self.heard.decode("utf-8", "replace").split("\n")
                if line.startswith("data: {")]

    def is_whole(self):
        return b"data: [DONE]" in self.heard


class Load(ApiTest):
    workers = 1
    options = ("--lease=30",)

    def begin(self, **more):
        file = self.upload(rows(64)).id
        job = self.client.fine_tuning.jobs.create(
            model="tiny", training_file=file, validation_file=file, seed=1,
            method={"type": "reinforcement", "reinforcement": {"grader": CLOSE, "hyperparameters": {
                "batch_size": 4, "eval_interval": 1000, **more}}},
            extra_body={"hone": {"max_steps": 1_000_000, "group_size": 4, "max_tokens": 8, "checkpoint_interval": 100}})
        self.addCleanup(self.end, job.id)
        self.wait(lambda: self.client.fine_tuning.jobs.retrieve(job.id).status == "running")
        return job.id

    def end(self, job):
        if self.client.fine_tuning.jobs.retrieve(job).status == "running":
            self.client.fine_tuning.jobs.cancel(job)
        self.wait(lambda: self.client.fine_tuning.jobs.retrieve(job).status == "cancelled")

    def events(self, job):
        return [e.id for e in self.client.fine_tuning.jobs.list_events(job, limit=100)][::-1]

    def test_everybody_hears_every_event_once(self):
        job = self.begin()
        listeners = [Listener(self.server, job) for _ in range(STREAMS)]
        with concurrent.futures.ThreadPoolExecutor(STREAMS) as pool:
            ends = [pool.submit(listener.read) for listener in listeners]
            before = len(self.events(job))
            self.wait(lambda: len(self.events(job)) >= before + 5)
            late = pool.submit(Listener(self.server, job).read)
            self.end(job)
            heard = [end.result(timeout=120) for end in ends] + [late.result(timeout=120)]
        all_of_it = self.events(job)
        for listener in heard:
            self.assertEqual(listener.ids(), all_of_it)
            self.assertTrue(listener.is_whole())

    def test_who_does_not_read_is_let_go_and_nobody_else_notices(self):
        job = self.begin()
        before = rss(self.server.process.pid)
        stalled = [Listener(self.server, job, buffer=4096) for _ in range(20)]
        reader = Listener(self.server, job)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            whole = pool.submit(reader.read)
            time.sleep(1)
            db = sqlite3.connect(glob.glob(os.path.join(self.server.home, "*.db"))[0], timeout=60)
            with db:  # a job that says a lot
                db.executemany("INSERT INTO events (id, job_id, level, type, message, created_at) "
                               "VALUES (?, ?, 'info', 'message', ?, 1)",
                               [("ftevent-long%d" % i, job, "long" * 512) for i in range(4000)])
            db.close()
            most, end = 0, time.monotonic() + 23
            while time.monotonic() < end:  # nobody reads for so long, and events go on
                most = max(most, rss(self.server.process.pid))
                self.client.fine_tuning.jobs.retrieve(job)
                time.sleep(0.1)
            self.end(job)
            self.assertEqual(whole.result(timeout=120).ids(), self.events(job))
        self.assertTrue(reader.is_whole())
        for listener in stalled:  # what was on its way comes, and then the end, long before the last event
            self.assertFalse(listener.read().is_whole())
            self.assertLess(len(listener.ids()), 4000)
        if not is_sanitized():
            self.assertLess(most, before + 60 * MB)

    def test_training_gives_way(self):
        job = self.begin()
        workers = workers_of(self.server.home)
        self.assertEqual(len(workers), 2)  # the second one takes checks, and gives way to the first
        self.assertEqual(sorted(set(niceness(w)).pop() for w in workers), [min(os.nice(0) + by, 19) for by in (10, 15)])
        self.client.chat.completions.create(model="tiny", max_tokens=1, messages=[{"role": "user", "content": "a"}])
        self.assertEqual(set(niceness(self.server.process.pid)), {os.nice(0)})
        self.assertEqual(set(niceness(engine_of(self.server))), {os.nice(0)})
        self.end(job)

    def test_who_leaves_ends_what_he_asked_for(self):
        def leave(i):
            body = json.dumps({"model": "tiny", "messages": [{"role": "user", "content": "tell me %d" % i}], "stream": i % 2 == 0,
                               "n": 8, "temperature": 1, "seed": i, "logit_bias": {"0": -100}})
            address = urlparse(self.server.url)
            c = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
            c.request("POST", "/v1/chat/completions", body, {"Authorization": "Bearer " + self.server.key})
            if i % 2 == 0:
                c.getresponse().read(50)
            else:
                time.sleep(0.05)
            c.close()
        self.client.chat.completions.create(model="tiny", max_tokens=1, messages=[{"role": "user", "content": "a"}])
        engine = engine_of(self.server)
        for _ in range(3):
            with concurrent.futures.ThreadPoolExecutor(16) as pool:
                list(pool.map(leave, range(48)))

        def idle():
            used = cpu_seconds(engine)
            time.sleep(0.5)
            return cpu_seconds(engine) - used < 0.05
        self.wait(idle, 60)
        self.assertEqual(engine_of(self.server), engine)

    def mixed(self, dice, job, file):
        """One request of many kinds."""
        what = dice.randrange(10)
        if what == 0:
            self.client.chat.completions.create(model="tiny", max_tokens=8, messages=[{"role": "user", "content": "a"}])
        elif what == 1:
            stream = self.client.chat.completions.create(model="tiny", max_tokens=32, stream=True,
                                                         messages=[{"role": "user", "content": "tell %d" % dice.randrange(200)}])
            next(iter(stream))
            stream.close()
        elif what == 2:
            made = self.client.files.create(file=("a.jsonl", b"{}\n" * dice.randrange(20_000)), purpose="user_data")
            self.client.files.delete(made.id)
        elif what == 3:
            s = Listener(self.server, job)
            s.socket.recv(100)
            s.connection.close()
        elif what == 4:
            address = urlparse(self.server.url)
            with socket.create_connection((address.hostname, address.port)) as s:
                s.sendall(("POST /v1/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 900000\r\n"
                           "Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\nContent-Disposition: form-data; "
                           "name=\"file\"; filename=\"x\"\r\n\r\n" % self.server.key).encode() + b"x" * 200_000)
        elif what == 5:
            self.assertEqual(self.server.raw("GET", "/v1/files/file-none")[0], 404)
            self.assertEqual(self.server.raw("POST", "/v1/chat/completions", b"{" * 1000)[0], 400)
        elif what == 6:
            self.client.responses.create(model="tiny", input="a", max_output_tokens=16, store=False)
        elif what == 7:
            self.client.fine_tuning.jobs.list_events(job, limit=50)
        elif what == 8:
            self.assertEqual(self.client.files.content(file).read()[:1], b"{")
        else:
            self.client.fine_tuning.jobs.retrieve(job)

    def test_memory_stays_flat(self):
        job, file = self.begin(), self.upload().id
        stop, failed, done = threading.Event(), [], [0]

        def keep_asking(seed):
            dice = random.Random(seed)
            while not stop.is_set():
                try:
                    self.mixed(dice, job, file)
                    done[0] += 1
                except Exception as e:  # noqa: BLE001
                    failed.append(repr(e))
        threads = [threading.Thread(target=keep_asking, args=(i,)) for i in range(4)]
        for t in threads:
            t.start()
        try:
            began = time.monotonic()
            warm, most = (600, 1500) if not SOAK else (5000, None)
            self.wait(lambda: done[0] >= warm, 120)
            pids = [self.server.process.pid, engine_of(self.server)]
            first = [rss(pid) for pid in pids]
            told = time.monotonic()
            while (done[0] < most) if most else (time.monotonic() < began + SOAK):
                time.sleep(0.2)
                if SOAK and time.monotonic() > told + SOAK / 30:
                    told = time.monotonic()
                    print("%5d s %7d requests: server %.1f MB, engine %.1f MB" % (
                        told - began, done[0], *[rss(pid) / MB for pid in pids]), file=sys.stderr, flush=True)
                self.assertLess(time.monotonic() - began, SOAK + 600)
        finally:
            stop.set()
            for t in threads:
                t.join()
        last = [rss(pid) for pid in pids]
        self.assertEqual(failed[:3], [])
        self.assertEqual([engine_of(self.server)], pids[1:])
        for name, was, now in zip(("server", "engine"), first, last) if not is_sanitized() else ():
            kept = KEPT if SOAK and name == "engine" else 0
            self.assertLess(now, was + FLAT + kept, "the %s has gained %.1f MB in %d requests" % (name, (now - was) / MB, done[0] - warm))
        self.wait(lambda: not glob.glob(os.path.join(self.server.home, "files", "incoming", "*")), 20)


if __name__ == "__main__":
    unittest.main()
