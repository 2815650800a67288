"""Checks of jobs to be: the verdict of hone check through the API, beside jobs, through restarts and cancels."""
import json
import subprocess
import time
import unittest

import openai

from server import CLOSE, EXACT, HONE, JobsTest, jsonl, rows

HYPER = {"n_epochs": 1, "batch_size": 2}
PAIR = [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]} for _ in range(10)]
SLOW = {"type": "python", "name": "slow", "source": "import time\n\n\ndef grade(sample, item):\n"
                                                    "    time.sleep(0.05)\n    return len(sample['output_text']) % 2\n"}


class ChecksTest(JobsTest):
    def body(self, grader=CLOSE, hone=None, **more):
        return {"model": "tiny", "training_file": self.train, "seed": 5,
                "method": {"type": "reinforcement", "reinforcement": {"grader": grader, "hyperparameters": HYPER}},
                "hone": {"max_steps": 2, "group_size": 4, "max_tokens": 8, **(hone or {})}, **more}

    def call(self, method, path, body=None, status=200):
        got, _, data = self.server.raw(method, "/v1/fine_tuning/checks" + path, body, {"content-type": "application/json"})
        self.assertEqual(got, status, data)
        return json.loads(data)

    def ended(self, check, status, seconds=60):
        def look():
            now = self.call("GET", "/" + check["id"])
            return now if now["status"] not in ("queued", "running") else None
        now = self.wait(look, seconds)
        self.assertEqual(now["status"], status, now)
        self.assertIsNone(now["progress"])
        self.assertGreaterEqual(now["finished_at"], now["created_at"])
        return now


class Verdicts(ChecksTest):
    """By hone worker --once, when it is called."""

    def checked(self, body, status="succeeded"):
        check = self.call("POST", "", body)
        self.assertEqual((check["object"], check["status"], check["result"]), ("fine_tuning.check", "queued", None))
        self.server.worker()
        return self.ended(check, status)

    def test_a_job_that_can_learn(self):
        told = self.checked(self.body(validation_file=self.valid))
        self.assertEqual((told["model"], told["method"], told["training_file"]), ("tiny", "reinforcement", self.train))
        result = told["result"]
        self.assertTrue(result["can_learn"], result)
        self.assertIn("can learn", result["verdict"])
        self.assertEqual((result["rows_train"], result["rows_valid"], result["samples"], result["max_tokens"]), (6, 3, 4, 8))
        self.assertGreater(result["seconds_total"], 0)
        self.assertGreater(result["memory_plan"]["peak"], 0)
        self.assertIsNone(told["error"])

    def test_it_is_what_hone_check_says(self):
        told = self.checked(self.body())["result"]
        path = self.server.home + "/job.json"
        with open(path, "w", encoding="utf-8") as f:
            json.dump({**self.body(), "training_file": "train.jsonl"}, f)
        with open(self.server.home + "/train.jsonl", "wb") as f:
            f.write(jsonl(rows()))
        run = subprocess.run([HONE, "check", path, "--json"], env=self.server.env, capture_output=True, text=True, timeout=60)
        said = json.loads(run.stdout)
        for key in ("reward_mean", "flat_share", "best_mean", "verdict", "tokens_mean", "rows_checked"):
            self.assertEqual(told[key], said[key], key)

    def test_a_job_that_cannot_learn_is_an_answer(self):
        result = self.checked(self.body({**EXACT, "reference": "an answer that nobody gives"}))["result"]
        self.assertFalse(result["can_learn"])
        self.assertIn("annot learn", result["verdict"])

    def test_what_was_left_open_is_said(self):
        result = self.checked(self.body(hone={"max_tokens": "auto", "group_size": "auto"}))["result"]
        self.assertTrue(any(note.startswith("Answers may have ") for note in result["notes"]), result)

    def test_a_supervised_job(self):
        file = self.upload(PAIR).id
        result = self.checked({"model": "tiny", "training_file": file})["result"]
        self.assertEqual((result["can_learn"], result["method"], result["rows_train"]), (True, "supervised", 10))
        self.assertIn("can be learned", result["verdict"])

    def test_wrong_rows_are_told_as_the_job_tells_them(self):
        file = self.upload(rows(3) + [{"messages": []}]).id
        told = self.checked(self.body(training_file=file), "failed")
        job = self.jobs.create(**{k: v for k, v in self.body(training_file=file).items() if k != "hone"})
        self.server.worker()
        job = self.jobs.retrieve(job.id)
        self.assertEqual(told["error"], {"code": job.error.code, "message": job.error.message, "param": job.error.param})
        self.assertEqual(told["error"]["code"], "invalid_training_file")
        self.assertIn(file + ", line 4", told["error"]["message"])

    def test_a_job_that_fits_nowhere(self):
        check = self.call("POST", "", self.body(hone={"lora_rank": 512}))
        self.server.worker("--job-memory=1")
        told = self.ended(check, "failed")
        self.assertEqual(told["error"]["code"], "out_of_memory")
        self.assertIn("--job-memory", told["error"]["message"])

    def test_it_waits_where_jobs_have_the_memory(self):
        job = self.jobs.create(model="tiny", training_file=self.train, method=self.body()["method"])
        held = "UPDATE jobs SET status = 'running', memory_bytes = 1048000000, machine = ?, lease = ?, lease_until = ? WHERE id = ?"
        machine = __import__("socket").gethostname()
        check = self.call("POST", "", self.body())
        self.server.sql(held, machine, 1, int(time.time()) + 600, job.id)
        self.server.worker("--job-memory=1000")
        told = self.call("GET", "/" + check["id"])
        self.assertEqual((told["status"], told["progress"]["phase"]), ("queued", "waiting for memory"))
        self.jobs.cancel(job.id)
        self.server.sql(held.replace("status = 'running', ", ""), machine, 0, 0, job.id)
        self.server.sql("UPDATE documents SET lease_until = 0 WHERE kind = 'fine_tuning.check' AND id = ?", check["id"])
        self.server.worker("--job-memory=1000")
        self.ended(check, "succeeded")

    def test_what_cannot_be_a_job_is_no_check(self):
        for change, status, param in (({"model": "none"}, 404, "model"), ({"training_file": "file-none"}, 400, "training_file"),
                                      ({"method": {"type": "reinforcement", "reinforcement": {}}}, 400,
                                       "method.reinforcement.grader")):
            error = self.call("POST", "", {**self.body(), **change}, status=status)["error"]
            self.assertEqual(error["param"], param)
            with self.assertRaises(openai.APIStatusError) as job:
                self.jobs.create(extra_body={}, **{k: v for k, v in {**self.body(), **change}.items() if k != "hone"})
            self.assertEqual(job.exception.body["message"], error["message"])

    def test_another_projects_are_not_found(self):
        check = self.call("POST", "", self.body())
        run = lambda *words: json.loads(subprocess.run([HONE, *words, "--json"], env=self.server.env, capture_output=True,
                                                       text=True, check=True).stdout)
        project = run("project", "create", "other")["id"]
        other = run("key", "create", "k", "--project", project)["value"]
        for method, path in (("GET", "/" + check["id"]), ("POST", "/%s/cancel" % check["id"])):
            status, _, data = self.server.raw(method, "/v1/fine_tuning/checks" + path, key=other)
            self.assertEqual(status, 404, data)
        self.assertEqual(json.loads(self.server.raw("GET", "/v1/fine_tuning/checks", key=other)[2])["data"], [])
        self.call("POST", "/%s/cancel" % check["id"])

    def test_one_that_was_cancelled_is_never_begun(self):
        check = self.call("POST", "", self.body())
        self.assertEqual(self.call("POST", "/%s/cancel" % check["id"])["status"], "cancelled")
        self.assertEqual(self.call("POST", "/%s/cancel" % check["id"])["status"], "cancelled")  # asked again, it is the same
        self.assertNotIn(check["id"], self.server.worker())
        done = self.checked(self.body())
        self.assertIn("succeeded already", self.call("POST", "/%s/cancel" % done["id"], status=400)["error"]["message"])

    def test_a_worker_that_dies_over_it_is_not_tried_for_ever(self):
        check = self.call("POST", "", self.body())
        body = json.loads(self.server.sql("SELECT body FROM documents WHERE id = ?", check["id"])[0][0])
        self.server.sql("UPDATE documents SET body = ? WHERE id = ?", json.dumps({**body, "tries": 3}), check["id"])
        self.server.worker()
        told = self.ended(check, "failed")
        self.assertEqual(told["error"]["code"], "server_error")
        self.assertIn("worker died", told["error"]["message"])


class Beside(ChecksTest):
    """By the process that a server has for them."""
    workers = 1
    options = ("--lease=3",)

    def running(self, check):
        return self.wait(lambda: (now := self.call("GET", "/" + check["id"]))["status"] == "running" and now["progress"] and now)

    def test_it_does_not_wait_for_a_job_that_runs(self):
        body = self.body(SLOW, hone={"max_steps": 200})
        job = self.jobs.create(model="tiny", training_file=self.train, method=body["method"], extra_body={"hone": body["hone"]})
        self.wait(lambda: self.jobs.retrieve(job.id).status == "running")
        self.ended(self.call("POST", "", self.body()), "succeeded")
        self.assertEqual(self.jobs.retrieve(job.id).status, "running")
        self.jobs.cancel(job.id)

    def test_it_is_cancelled_while_it_is_worked_on(self):
        check = self.call("POST", "", self.body(SLOW, hone={"group_size": 64}))
        told = self.running(check)
        self.assertIn(told["progress"]["phase"], ("reading", "sampling"))
        self.call("POST", "/%s/cancel" % check["id"])
        self.ended(self.call("POST", "", self.body()), "succeeded", 20)  # whoever worked on it is free again
        self.ended(check, "cancelled")

    def test_it_survives_a_restart(self):
        check = self.call("POST", "", self.body(SLOW, hone={"group_size": 16}))
        self.running(check)
        self.assertEqual(self.server.stop(), 0)
        self.server.start()
        self.ended(check, "succeeded")


if __name__ == "__main__":
    unittest.main()
