"""What a server that is asked to end does with what is under way: whoever waits is told, and nothing waits for ever."""
import json
import os
import signal
import threading
import time
import unittest

from kills_test import workers_of
from load_test import engine_of
from server import HONE, Server, openai

DRAINED = 10  # seconds that answers have to come to their end


@unittest.skipUnless(HONE and openai, "HONE_BIN names no hone, or the package openai is not installed")
class Stop(unittest.TestCase):
    def setUp(self):
        self.server = Server("--workers=0")
        self.addCleanup(self.server.close)
        self.client = self.server.client()
        self.client.chat.completions.create(model="tiny", max_completion_tokens=1,
                                            messages=[{"role": "user", "content": "a"}])

    def ask(self, path, body):
        """A request in a thread of its own: what it will have been answered with, once the thread has ended."""
        told = {}

        def run():
            try:
                told["status"], _, told["body"] = self.server.raw("POST", path, body)
            except Exception as error:  # a connection that was cut
                told["error"] = error
        thread = threading.Thread(target=run)
        thread.start()
        self.addCleanup(thread.join)
        return thread, told

    def ask_all(self):
        messages = [{"role": "user", "content": "abc"}]
        asked = [self.ask("/v1/chat/completions", {"model": "tiny", "messages": messages}),
                 self.ask("/v1/chat/completions", {"model": "tiny", "messages": messages, "stream": True}),
                 self.ask("/v1/completions", {"model": "tiny", "prompt": "abc", "max_tokens": 50}),
                 self.ask("/v1/responses", {"model": "tiny", "input": "abc"})]
        end = time.monotonic() + 30
        while self.open_requests() < len(asked):
            self.assertLess(time.monotonic(), end)
            time.sleep(0.05)
        return asked

    def open_requests(self):
        text = self.server.raw("GET", "/metrics")[2].decode()
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith("hone_engine_open_requests"))

    def check_told(self, asked):
        for thread, told in asked:
            thread.join(30)
            self.assertEqual(told.get("status"), 503, told)
            self.assertEqual(set(json.loads(told["body"])["error"]), {"message", "type", "param", "code"})

    def test_an_engine_that_answers_no_more(self):
        engine = engine_of(self.server)
        os.kill(engine, signal.SIGSTOP)
        asked = self.ask_all()
        self.server.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.server.process.wait(timeout=DRAINED + 30), 0, self.server.said())
        self.check_told(asked)
        self.assertEqual(self.server.left(), [])

    def test_an_engine_that_is_late(self):
        engine = engine_of(self.server)
        os.kill(engine, signal.SIGSTOP)
        asked = self.ask_all()
        self.server.process.send_signal(signal.SIGTERM)
        time.sleep(DRAINED + 0.5)
        os.kill(engine, signal.SIGCONT)
        self.assertEqual(self.server.process.wait(timeout=30), 0, self.server.said())
        self.check_told(asked)

    def test_started_by_one_that_ignores_its_children(self):
        before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # which programs inherit
        try:
            server = Server("--workers=1")
        finally:
            signal.signal(signal.SIGCHLD, before)
        self.addCleanup(server.close)
        end = time.monotonic() + 30
        while not (first := workers_of(server.home)):
            self.assertLess(time.monotonic(), end, "no worker has started")
            time.sleep(0.05)
        os.kill(first[0], signal.SIGKILL)
        while not set(workers_of(server.home)) - set(first):
            self.assertLess(time.monotonic(), end, "no other worker has taken its place")
            time.sleep(0.05)
        server.process.send_signal(signal.SIGTERM)
        self.assertEqual(server.process.wait(timeout=40), 0)


if __name__ == "__main__":
    unittest.main()
