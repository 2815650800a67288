"""
Server and workers are killed again and again, whenever; the job ends as it does when nobody is.
HONE_KILLS=100: as often as that, over SQLite and PostgreSQL together.
"""
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
import unittest

from postgres import Postgres
from server import CLOSE, ApiTest, Server, rows

KILLS = int(os.environ.get("HONE_KILLS", 8))
STEPS = 40


def workers_of(home):
    """Process ids of the workers on this home."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as f:
                words = f.read().split(b"\0")
            with open("/proc/%s/environ" % pid, "rb") as f:
                environ = f.read().split(b"\0")
        except OSError:
            continue
        if len(words) > 1 and words[1] == b"worker" and ("HONE_HOME=" + home).encode() in environ:
            found.append(int(pid))
    return found


class Kills(ApiTest):
    @classmethod
    def setUpClass(cls):
        cls.dice = random.Random(int(os.environ.get("HONE_SEED", 7)))

    @classmethod
    def tearDownClass(cls):
        pass

    def job(self, client, steps=STEPS):
        """A small job, and its files."""
        lines = "".join(json.dumps(r) + "\n" for r in rows(8)).encode()
        train = client.files.create(file=("train.jsonl", lines), purpose="fine-tune")
        valid = client.files.create(file=("valid.jsonl", lines), purpose="fine-tune")
        job = client.fine_tuning.jobs.create(
            model="tiny", training_file=train.id, validation_file=valid.id, seed=3, suffix="k",
            method={"type": "reinforcement",
                    "reinforcement": {"grader": CLOSE, "hyperparameters": {"batch_size": 2, "eval_interval": 5}}},
            extra_body={"hone": {"max_steps": steps, "group_size": 4, "max_tokens": 8, "checkpoint_interval": 2,
                                 "lora_rank": 4}})
        return job.id, [train.id, valid.id]

    def events(self, client, job):
        return list(client.fine_tuning.jobs.list_events(job, limit=100))

    def told(self, client, job):
        """What the events say, times and the job's own names apart, and without what a resume adds."""
        said = []
        for e in reversed(self.events(client, job)):
            message = re.sub(r"(ft:[^ ]*?|ftjob-\w+|file-\w+)(:ckpt|$| )", r"*\2", e.message)
            if not message.startswith(("Resumed after step", "Memory: ")):  # how much there was, each time
                said.append((e.level, e.type, message, (e.data or {}).get("adapter_sha256")))
        return sorted(said, key=str)

    def finish(self, server, client, job, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            state = client.fine_tuning.jobs.retrieve(job)
            if state.status in ("succeeded", "failed", "cancelled"):
                return state
            time.sleep(0.1)
        self.fail("the job is %s after %d s: %s" % (state.status, seconds, server.said()[-2000:]))

    def settle(self, server):
        """A server that answers, whether or not the last one does."""
        if server.process.poll() is not None:
            server.process.stdout.close()
            server.log.close()
            server.start()

    def kill_one(self, server):
        """One of the two at random, or both at the same moment."""
        what = self.dice.choice(("server", "worker", "worker", "both"))
        killed = 0
        if what in ("worker", "both"):
            for pid in workers_of(server.home):
                try:
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
                except ProcessLookupError:
                    pass
        if what in ("server", "both"):
            server.process.kill()
            server.process.wait()
            killed += 1
        self.settle(server)
        return killed

    def through_kills(self, database, kills):
        env = {"HONE_LEASE": "2", "HONE_NICE": "0"}
        if database:
            env["HONE_DATABASE"] = database()
        quiet = Server(env=dict(env, **({"HONE_DATABASE": database()} if database else {})))
        begin = time.monotonic()
        job, _ = self.job(quiet.client())
        state = self.finish(quiet, quiet.client(), job, 300)
        seconds = time.monotonic() - begin
        self.assertEqual(state.status, "succeeded", state.error)
        whole = self.told(quiet.client(), job)
        quiet.close()

        server = Server(env=env)
        self.addCleanup(lambda: [os.kill(pid, signal.SIGKILL) for pid in workers_of(server.home)])
        done = jobs = 0
        while done < kills:
            client = server.client(max_retries=8)
            job, files = self.job(client)
            jobs += 1
            while done < kills:
                time.sleep(self.dice.uniform(0, seconds / 3))
                client = server.client(max_retries=8)
                if client.fine_tuning.jobs.retrieve(job).status == "succeeded":
                    break
                done += self.kill_one(server)
            client = server.client(max_retries=8)
            state = self.finish(server, client, job, 600)
            self.assertEqual(state.status, "succeeded", state.error)
            self.assertEqual(self.told(client, job), whole)
            ids = [e.id for e in self.events(client, job)]
            self.assertEqual(len(ids), len(set(ids)))
            for file in files + state.result_files:
                self.assertGreater(len(client.files.content(file).content), 0)
            answer = client.chat.completions.create(model=state.fine_tuned_model, max_tokens=4,
                                                    messages=[{"role": "user", "content": "1a"}])
            self.assertEqual(answer.object, "chat.completion")
        server.close()
        print("killed %d times in %d jobs" % (done, jobs), file=sys.stderr)

    def test_nobody_outlives_a_server_that_is_killed(self):
        server = Server(env={"HONE_NICE": "0"})
        self.addCleanup(server.close)
        self.wait(lambda: workers_of(server.home))
        self.assertGreater(len(server.left()), 2)  # it, its engine, its worker
        server.process.kill()
        server.process.wait()
        self.wait(lambda: not server.left(), 30)
        self.settle(server)

    def test_a_killed_worker_s_job_goes_on_at_once(self):
        """Its server knows that it is gone, however long its lease still is."""
        server = Server(env={"HONE_LEASE": "3600", "HONE_NICE": "0"})
        self.addCleanup(server.close)
        client = server.client()
        job, _ = self.job(client)
        self.wait(lambda: client.fine_tuning.jobs.checkpoints.list(job).data, 120)
        for pid in workers_of(server.home):
            os.kill(pid, signal.SIGKILL)
        self.assertEqual(self.finish(server, client, job, 120).status, "succeeded")

    def test_over_sqlite(self):
        self.through_kills(None, KILLS // 2)

    def test_over_postgresql(self):
        with Postgres() as postgres:
            self.through_kills(postgres.database, KILLS - KILLS // 2)


if __name__ == "__main__":
    unittest.main()
