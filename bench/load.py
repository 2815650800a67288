#!/usr/bin/env python3
"""
load.py - how a server answers while it trains: idle event streams, and requests for jobs and events at a steady rate.

    bench/load.py [--streams 500] [--rate 50] [--seconds 30] [--chats N] [--stalled 5] [--model M]

Starts build/release/hone serve on a home of its own, begins a job on the tiny model of the tests (or on M, a .gguf file), opens the
streams, and asks at that rate, each request on a connection that stays open. Prints one JSON object: latencies in milliseconds from the
moment at which a request was due (so that a slow answer is not hidden by asking later), what the streams heard, the
server's time of processor and the time that it waited for one, and its memory at the begin and at the end.
"""
import argparse
import http.client
import json
import os
import queue
import selectors
import socket
import sys
import threading
import time
from urllib.parse import urlparse

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "api"))
os.environ.setdefault("HONE_BIN", os.path.join(ROOT, "build", "release", "hone"))
from server import CLOSE, Server, jsonl, rows  # noqa: E402


def rss(pid):
    with open("/proc/%d/status" % pid) as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS")) * 1024


def cpu_seconds(pid):
    with open("/proc/%d/stat" % pid) as f:
        words = f.read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def waited_seconds(pid):
    """For a processor: what others on this machine cost."""
    total = 0
    for task in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/schedstat" % (pid, task)) as f:
            total += int(f.read().split()[1])
    return total / 1e9


def percentile(sorted_values, share):
    return sorted_values[min(len(sorted_values) - 1, int(share * len(sorted_values)))] if sorted_values else None


class Streams:
    """Event streams that are read by one thread; stalled ones are never read."""

    def __init__(self, server, job, n, stalled):
        self.address = urlparse(server.url)
        self.selector = selectors.DefaultSelector()
        self.heard = {}
        self.ended = 0
        self.stalled = [self.open(server, job) for _ in range(stalled)]
        for _ in range(n):
            s = self.open(server, job)
            s.setblocking(False)
            self.heard[s] = 0
            self.selector.register(s, selectors.EVENT_READ)
        self.stop = False
        self.thread = threading.Thread(target=self.read)
        self.thread.start()

    def open(self, server, job):
        s = socket.create_connection((self.address.hostname, self.address.port))
        s.sendall(("GET /v1/fine_tuning/jobs/%s/events?stream=true HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n"
                   % (job, self.address.netloc, server.key)).encode())
        return s

    def read(self):
        while not self.stop:
            for key, _ in self.selector.select(0.2):
                data = key.fileobj.recv(1 << 16)
                if not data:
                    self.selector.unregister(key.fileobj)
                    self.ended += 1
                self.heard[key.fileobj] += data.count(b'"fine_tuning.job.event"')

    def close(self):
        self.stop = True
        self.thread.join()
        for s in list(self.heard) + self.stalled:
            s.close()


def ask(server, due, done, failed):
    """Takes (moment, path) from due, and tells how long after the moment the answer was there."""
    address = urlparse(server.url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
    while (item := due.get()) is not None:
        moment, path = item
        try:
            connection.request("GET", path, headers={"Authorization": "Bearer " + server.key})
            reply = connection.getresponse()
            reply.read()
            (done if reply.status == 200 else failed).append((time.monotonic() - moment, path.rsplit("/", 1)[-1]))
        except OSError as e:
            failed.append((0, repr(e)))
            connection.close()
    connection.close()


def chat(server, model, stop, done, failed):
    client = server.client(timeout=120)
    while not stop.is_set():
        begin = time.monotonic()
        first = None
        try:
            for chunk in client.chat.completions.create(model=model, stream=True, max_tokens=16,
                                                        messages=[{"role": "user", "content": "Tell me something."}]):
                if first is None and chunk.choices and chunk.choices[0].delta.content:
                    first = time.monotonic() - begin
            done.append((first, time.monotonic() - begin))
        except Exception as e:  # noqa: BLE001
            failed.append((0, repr(e)))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--streams", type=int, default=500)
    p.add_argument("--rate", type=float, default=50)
    p.add_argument("--seconds", type=float, default=30)
    p.add_argument("--stalled", type=int, default=5)
    p.add_argument("--chats", type=int, default=0)
    p.add_argument("--model")
    o = p.parse_args()
    server = Server()
    model = "tiny"
    if o.model:
        model = os.path.basename(o.model).removesuffix(".gguf")
        os.symlink(os.path.abspath(o.model), os.path.join(server.home, "models", os.path.basename(o.model)))
    client = server.client()
    file = client.files.create(file=("t.jsonl", jsonl(rows(64))), purpose="fine-tune").id
    job = client.fine_tuning.jobs.create(
        model=model, training_file=file, validation_file=file, seed=1,
        method={"type": "reinforcement", "reinforcement": {"grader": CLOSE, "hyperparameters": {"batch_size": 8}}},
        extra_body={"hone": {"max_steps": 100000, "group_size": 16, "max_tokens": 16}}).id
    while client.fine_tuning.jobs.retrieve(job).status != "running":
        time.sleep(0.1)
    streams = Streams(server, job, o.streams, o.stalled)
    time.sleep(2)
    before, cpu_before = rss(server.process.pid), cpu_seconds(server.process.pid)
    waited_before = waited_seconds(server.process.pid)
    due, done, failed, chats, stop = queue.Queue(), [], [], [], threading.Event()
    threads = [threading.Thread(target=ask, args=(server, due, done, failed)) for _ in range(16)]
    threads += [threading.Thread(target=chat, args=(server, model, stop, chats, failed)) for _ in range(o.chats)]
    for t in threads:
        t.start()
    paths = ["/v1/fine_tuning/jobs/%s" % job, "/v1/fine_tuning/jobs/%s/events" % job, "/v1/fine_tuning/jobs"]
    begin = time.monotonic()
    n = int(o.rate * o.seconds)
    for i in range(n):
        moment = begin + i / o.rate
        time.sleep(max(0, moment - time.monotonic()))
        due.put((moment, paths[i % 3]))
    stop.set()
    for _ in range(16):
        due.put(None)
    for t in threads:
        t.join()
    step = client.fine_tuning.jobs.list_events(job, limit=1).data[0].message
    heard = sorted(streams.heard.values())
    report = {"requests": n, "failed": len(failed), "why": sorted({w for _, w in failed})[:3]}
    for name in ("", job, "events", "jobs"):
        ms = sorted(1e3 * t for t, what in done if name in ("", what))
        report["ms" + (" of " + ("job" if name == job else name) if name else "")] = {
            "p50": percentile(ms, 0.5), "p99": percentile(ms, 0.99), "max": ms[-1] if ms else None}
    report.update(streams=o.streams, streams_ended=streams.ended, events_least=heard[0] if heard else None,
                  events_most=heard[-1] if heard else None, newest=step,
                  server_cpu_s=cpu_seconds(server.process.pid) - cpu_before,
                  server_waited_s=waited_seconds(server.process.pid) - waited_before, machine_load=os.getloadavg()[0], rss_before=before, rss_after=rss(server.process.pid))
    if chats:
        report["chats"] = len(chats)
        report["first_token_s"] = percentile(sorted(c[0] or 0 for c in chats), 0.5)
        report["first_token_s_p99"] = percentile(sorted(c[0] or 0 for c in chats), 0.99)
    streams.close()
    client.fine_tuning.jobs.cancel(job)
    report["exit"] = server.close()
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
