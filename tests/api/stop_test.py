"""What a server that is asked to end does with what is under way: whoever waits is told, and nothing waits for ever."""
import json
import os
import signal
import threading
import time
import unittest

from kills_test import workers_of
from load_test import engine_of
from server import HONE, ROOT, Server, openai

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

    def test_graders_that_are_being_tried(self):
        """What a grader that was interrupted says is not what it says of the answer."""
        judge = {"type": "score_model", "name": "judge", "model": "tiny", "input": [{"role": "user", "content": "rate {{sample.output_text}}"}]}
        slow = {"type": "python", "name": "slow", "source": "import time\ndef grade(sample, item):\n    time.sleep(90)\n    return 1\n"}
        fast = {"type": "python", "name": "fast", "source": "def grade(sample, item):\n    return 1\n"}
        path = "/v1/fine_tuning/alpha/graders/run"
        graded = json.loads(self.server.raw("POST", path, {"grader": fast, "model_sample": "a"})[2])
        os.kill(engine_of(self.server), signal.SIGSTOP)
        asked = [self.ask(path, {"grader": judge, "model_sample": "a"})]
        if graded.get("reward") == 1:  # there is a sandbox for Python here
            asked.append(self.ask(path, {"grader": slow, "model_sample": "a"}))
        end = time.monotonic() + 30
        while not self.open_requests():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.05)
        time.sleep(2)  # Python has begun
        self.server.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.server.process.wait(timeout=DRAINED + 30), 0, self.server.said())
        self.check_told(asked)
        for _, told in asked:
            self.assertEqual(json.loads(told["body"])["error"]["code"], "unavailable")

    def test_an_eval_run_that_waits_for_a_vector(self):
        """It does not hold up the end, and no row of it is taken for one whose grader failed."""
        encoder = os.path.join(ROOT, "tests", "golden", "encoder", "mean")
        self.server.stop()
        os.symlink(encoder, os.path.join(self.server.home, "models", "reader"))
        server = Server("--workers=0", "--embedding-model=reader", home=self.server.home, key=self.server.key)
        self.addCleanup(server.close)
        client = server.client()
        schema = {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}
        near = {"type": "text_similarity", "name": "near", "input": "{{sample.output_text}}", "reference": "{{item.q}}",
                "evaluation_metric": "cosine", "pass_threshold": 0.5}
        made = client.evals.create(data_source_config={"type": "custom", "item_schema": schema, "include_sample_schema": True},
                                   testing_criteria=[near])
        rows = [{"item": {"q": "a %d" % i}, "sample": {"output_text": "a %d" % i}} for i in range(20)]
        os.kill(engine_of(server), signal.SIGSTOP)
        run = client.evals.runs.create(made.id, data_source={"type": "jsonl", "source": {"type": "file_content", "content": rows}})
        end = time.monotonic() + 30
        while "hone_engine_open_requests 0" in server.raw("GET", "/metrics")[2].decode():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.05)
        server.process.send_signal(signal.SIGTERM)
        self.assertEqual(server.process.wait(timeout=DRAINED + 30), 0, server.said())
        server.process.stdout.close()
        server.log.close()
        self.assertEqual(server.sql("SELECT count(*) FROM documents WHERE kind = 'eval.run.output_item'"), [(0,)])
        server.start()
        client = server.client()
        end = time.monotonic() + 60
        while (now := client.evals.runs.retrieve(run.id, eval_id=made.id)).status in ("queued", "in_progress"):
            self.assertLess(time.monotonic(), end)
            time.sleep(0.1)
        counts = now.result_counts
        self.assertEqual((now.status, counts.total, counts.passed, counts.errored), ("completed", 20, 20, 0))

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
