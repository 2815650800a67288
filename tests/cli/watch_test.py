"""watch: a job of a server and a run of a folder, looked at from outside while they wait, run, pause and end."""
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
import unittest

from cli import CLOSE, HONE, ROOT, HoneTest, rows

sys.path.insert(0, os.path.join(ROOT, "tests", "api"))
from server import Server  # noqa: E402

KEY = "HONE_API_KEY"


def jsonl(lines):
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


class Watching(HoneTest):
    def watch(self, *words, env=None):
        """A hone watch that goes on; what it said so far is in .said."""
        process = subprocess.Popen([HONE, "watch", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                   cwd=self.folder, env={**self.env, **(env or {})})
        process.said = ""

        def read():
            for line in process.stdout:
                process.said += line
        reader = threading.Thread(target=read)
        reader.start()

        def end():
            if process.poll() is None:
                process.kill()
            process.wait()
            reader.join()
            process.stdout.close()
        self.addCleanup(end)
        process.reader = reader
        return process

    def wait(self, what, seconds=60):
        end = time.monotonic() + seconds
        while not what():
            self.assertLess(time.monotonic(), end, "nothing happened in %d s" % seconds)
            time.sleep(0.05)

    def ended(self, process):
        process.wait(timeout=60)
        process.reader.join()
        return process.returncode, process.said


class OfServer(Watching):
    @classmethod
    def setUpClass(cls):
        if not HONE or not os.path.exists(HONE):
            raise unittest.SkipTest("HONE_BIN names no hone")
        cls.server = Server("--workers=0")
        cls.train = cls.upload(rows(6))
        cls.valid = cls.upload(rows(3))

    @classmethod
    def tearDownClass(cls):
        assert cls.server.close() == 0

    @classmethod
    def upload(cls, lines):
        edge = "edge"
        body = b"".join(b"--%s\r\nContent-Disposition: form-data; name=%s\r\n\r\n%s\r\n" % (edge.encode(), name, value)
                        for name, value in ((b'"purpose"', b"fine-tune"),
                                            (b'"file"; filename="a.jsonl"', jsonl(lines)))) + b"--edge--\r\n"
        status, _, reply = cls.server.raw("POST", "/v1/files", body,
                                          {"Content-Type": "multipart/form-data; boundary=" + edge})
        assert status == 200, reply
        return json.loads(reply)["id"]

    def create(self, steps=4, **more):
        status, _, reply = self.server.raw("POST", "/v1/fine_tuning/jobs", {
            "model": "tiny", "training_file": self.train, "validation_file": self.valid, "seed": 3,
            "method": {"type": "reinforcement", "reinforcement": {
                "grader": CLOSE, "hyperparameters": {"batch_size": 2, "eval_interval": 2}}},
            "hone": {"max_steps": steps, "group_size": 4, "max_tokens": 6, "lora_rank": 4}, **more})
        self.assertEqual(status, 200, reply)
        return json.loads(reply)["id"]

    def ask(self, job, what):
        status, _, reply = self.server.raw("POST", "/v1/fine_tuning/jobs/%s/%s" % (job, what))
        self.assertEqual(status, 200, reply)

    def status(self, job):
        return json.loads(self.server.raw("GET", "/v1/fine_tuning/jobs/" + job)[2])["status"]

    @property
    def there(self):
        return ("--url", self.server.url)

    @property
    def key(self):
        return {KEY: self.server.key}

    def test_a_job_from_its_queue_to_its_end(self):
        job = self.create()
        watch = self.watch(job, *self.there, env=self.key)
        self.wait(lambda: "The job waits" in watch.said or watch.poll() is not None)
        self.server.worker()
        code, said = self.ended(watch)
        self.assertEqual(code, 0, said)
        steps = re.findall(r"^step (\d)/4  reward \d\.\d+", said, re.M)
        self.assertEqual(steps, ["1", "2", "3", "4"])
        self.assertRegex(said, r"step 4/4 .*validation \d\.\d+")
        self.assertIn("The job has successfully completed", said)
        self.assertRegex(said, r"the reward by steps: .* [o\u25cf]\n1\.00 [|\u2524]\n")
        self.assertRegex(said, r"Done: 4 steps; the model is ft:tiny:")
        self.assertNotIn(self.server.key, said)
        # told again from the beginning, and without its id it is the newest one
        again = self.works("watch", *self.there, env={"OPENAI_API_KEY": self.server.key})
        self.assertEqual(re.findall(r"^step .*?reward \S+", again, re.M), re.findall(r"^step .*?reward \S+", said, re.M))
        self.assertNotIn("The job waits", again)
        # OPENAI_BASE_URL is where the official client looks, too, and the address may come without its /v1
        self.works("watch", job, env={**self.key, "OPENAI_BASE_URL": self.server.url.removesuffix("/v1") + "/"})

    def test_for_scripts_it_is_the_events_and_how_it_ended(self):
        job = self.create(steps=2)
        self.server.worker()
        out = self.works("watch", job, *self.there, "--json", env=self.key)
        told = [json.loads(line) for line in out.splitlines()]
        reply = json.loads(self.server.raw("GET", "/v1/fine_tuning/jobs/%s/events?limit=1000&order=asc" % job)[2])
        self.assertEqual([t for t in told if t.get("object") == "fine_tuning.job.event"], reply["data"])
        self.assertEqual([t["status"] for t in told if t["type"] == "status"], ["succeeded"])
        self.assertEqual({k: told[-1][k] for k in ("type", "id", "status", "step", "error")},
                         {"type": "result", "id": job, "status": "succeeded", "step": 2, "error": None})
        self.assertTrue(told[-1]["fine_tuned_model"].startswith("ft:tiny:"))

    def test_more_events_than_a_page_has(self):
        job = self.create(steps=230)
        self.server.worker()
        out = self.works("watch", job, *self.there, "--json", env=self.key)
        steps = [t["data"]["step"] for t in map(json.loads, out.splitlines()) if t["type"] == "metrics"]
        self.assertEqual(steps, list(range(1, 231)))

    def test_paused_and_cancelled_are_told(self):
        job = self.create()
        self.ask(job, "pause")
        watch = self.watch(job, *self.there, env=self.key)
        self.wait(lambda: "The job is paused" in watch.said or watch.poll() is not None)
        self.ask(job, "resume")
        self.wait(lambda: "The job is queued" in watch.said or watch.poll() is not None)
        self.ask(job, "cancel")
        code, said = self.ended(watch)
        self.assertEqual(code, 1)
        self.assertRegex(said, r"hone: the job was cancelled at step 0 of 0\n\Z")

    def test_a_failed_job_says_why(self):
        bad = self.upload([{"messages": [{"role": "user", "content": "x"}]}] * 10)  # no item.answer
        job = self.create(training_file=bad)
        self.server.worker()
        self.assertEqual(self.status(job), "failed")
        run = self.hone("watch", job, *self.there, env=self.key)
        self.assertEqual(run.returncode, 1)
        self.assertRegex(run.stderr, r"\Ahone: the job failed: .*answer.*\n\Z")
        run = self.hone("watch", job, *self.there, "--json", env=self.key)
        self.assertEqual((run.returncode, run.stderr), (1, ""))
        self.assertIn("answer", json.loads(run.stdout.splitlines()[-1])["error"])

    def test_ctrl_c_leaves_the_job_alone(self):
        job = self.create()
        watch = self.watch(job, *self.there, env=self.key)
        self.wait(lambda: "The job waits" in watch.said)
        watch.send_signal(signal.SIGINT)
        code, said = self.ended(watch)
        self.assertEqual(code, 1)
        self.assertRegex(said, r"hone: no longer watching; the job itself goes on untouched \(validating_files\)\. hone watch %s" % job)
        self.assertEqual(self.status(job), "validating_files")
        self.ask(job, "cancel")

    def test_a_server_that_is_away_is_waited_for(self):
        job = self.create()
        watch = self.watch(job, *self.there, env=self.key)
        self.wait(lambda: "The job waits" in watch.said)
        port = re.search(r":(\d+)/v1", self.server.url).group(1)
        self.server.stop()
        self.server.log.close()
        self.wait(lambda: "trying again" in watch.said)
        before = self.server.options
        self.server.options = (*before, "--port", port)
        self.server.start()
        self.server.options = before
        self.wait(lambda: "The server answers again" in watch.said)
        self.server.worker()
        code, said = self.ended(watch)
        self.assertEqual(code, 0, said)
        self.assertEqual(re.findall(r"^step (\d)/4", said, re.M), ["1", "2", "3", "4"])
        self.assertEqual(said.count("trying again"), 1)

    def test_what_cannot_be_watched_is_told_in_a_sentence(self):
        self.fails("watch", "ftjob-none", *self.there, env=self.key, says="ftjob-none")
        self.fails("watch", "../files", *self.there, env=self.key, says="neither the folder of a run nor the id of a job")
        self.fails("watch", "ftjob-1", "--url", "ftp://x", env=self.key, says="--url")
        self.fails("watch", "ftjob-1", "--url", "http://127.0.0.1:1", env=self.key, says="127.0.0.1, port 1")
        for env in ({}, {KEY: "sk-wrong-key"}):
            said = self.fails("watch", "ftjob-1", *self.there, env=env, says=["HONE_API_KEY", "--api-key"])
            self.assertNotIn("sk-wrong-key", said)
        said = self.fails("watch", "ftjob-1", *self.there, "--api-key", "sk-a\nb", says="the API key")
        self.assertNotIn("sk-a", said)

    def test_on_a_terminal_it_is_a_picture(self):
        job = self.create()
        self.server.worker()
        out = on_terminal([HONE, "watch", job, *self.there], {**self.env, **self.key})
        self.assertIn("step 4 of 4", out)
        self.assertIn("in validation, step 4", out)
        self.assertIn("\u25cf", out)  # the curve's points of the validation
        self.assertNotIn(self.server.key, out)
        if self.server.raw("GET", "/v1/fine_tuning/jobs/%s/rollouts?step=4" % job)[0] == 200:
            for part in ("best", "worst", "before training"):
                self.assertIn(part, out)
        self.assertLess(out.count("\x1b[?2026h"), 10, "the past is drawn once, not step by step")


def on_terminal(words, env):
    leader, follower = pty.openpty()
    process = subprocess.Popen(words, stdin=follower, stdout=follower, stderr=follower, start_new_session=True,
                               env={**env, "TERM": "xterm", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"})
    os.close(follower)
    out = b""
    try:
        while True:
            out += os.read(leader, 65536)
    except OSError:
        pass
    os.close(leader)
    if process.wait(timeout=60) != 0:
        raise AssertionError(out.decode())
    return out.decode()


class OfFolder(Watching):
    def test_a_run_that_is_over(self):
        self.works("train", self.job(), "--out", "run")
        said = self.works("watch", "run")
        self.assertEqual(re.findall(r"^step (\d)/4", said, re.M), ["1", "2", "3", "4"])
        self.assertIn("hone report run", said)
        out = on_terminal([HONE, "watch", self.path("run")], self.env)
        for part in ("step 4 of 4", "best", "before training"):
            self.assertIn(part, out)

    def test_supervised_is_told_in_lines(self):
        self.put("t.jsonl", [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}] * 4)
        self.put("fit.json", {"model": json.loads(self.read(self.job()))["model"], "training_file": "t.jsonl",
                              "method": {"type": "supervised", "supervised": {"hyperparameters": {
                                  "n_epochs": 2, "batch_size": 2}}}, "hone": {"lora_rank": 4}})
        trained = self.works("train", "fit.json", "--out", "run")
        told = r"^(step \d/4  epoch \d  loss \d\.\d+  right tokens \d+\.\d %)"
        self.assertEqual(re.findall(told, self.works("watch", "run"), re.M), re.findall(told, trained, re.M))

    def test_a_run_that_goes_on_is_followed_through_a_stop(self):
        words = [HONE, "train", self.job(steps=400), "--out", "run"]
        train = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.folder, env=self.env)
        metrics = self.path("run", "metrics.csv")  # checkpoints go again
        self.wait(lambda: os.path.exists(metrics) and len(self.read("run", "metrics.csv").splitlines()) > 4)
        watch = self.watch("run")
        self.wait(lambda: "step 4/400" in watch.said or watch.poll() is not None)
        train.send_signal(signal.SIGTERM)
        train.wait(timeout=60)
        code, said = self.ended(watch)
        self.assertEqual(code, 1)
        self.assertRegex(said, r"hone: nobody works on this run now; it stands at step \d+ of 400 .*--out run --resume")
        shown = [int(step) for step in re.findall(r"^step (\d+)/400", said, re.M)]
        self.assertEqual(shown, list(range(1, shown[-1] + 1)))

    def test_a_folder_that_holds_no_run(self):
        os.mkdir(self.path("empty"))
        self.fails("watch", "empty", says=["empty", "job.json"])


if __name__ == "__main__":
    unittest.main()
