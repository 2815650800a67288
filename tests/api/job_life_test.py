"""What a job may take, what it has used, and what it leaves behind, as the API tells it."""
import json
import os
import shutil
import subprocess
import unittest

import openai

from server import CLOSE, HONE, JobsTest, jsonl, rows

SMALL = {"max_steps": 2, "group_size": 4, "max_tokens": 8}
PAIR = [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]} for _ in range(10)]


class LifeTest(JobsTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pairs = cls.client.files.create(file=("pairs.jsonl", jsonl(PAIR)), purpose="fine-tune").id

    def create(self, hone=None, grader=CLOSE, **more):
        hyper = {"n_epochs": 1, "batch_size": 2, **more.pop("hyperparameters", {})}
        method = {"type": "reinforcement", "reinforcement": {"grader": grader, "hyperparameters": hyper}}
        return self.jobs.create(**{"model": "tiny", "training_file": self.train, "method": method,
                                   "extra_body": {"hone": {**SMALL, **(hone or {})}}, **more})


class Memory(LifeTest):
    def fails(self, job, *words):
        job = self.jobs.retrieve(job.id)
        self.assertEqual((job.status, job.error and job.error.code), ("failed", "out_of_memory"))
        self.assertEqual(job.error.message.count(". "), 0, job.error.message)
        for word in ("at least", "--job-memory", "smaller model", *words):
            self.assertIn(word, job.error.message)
        last = next(iter(self.jobs.list_events(job.id)))
        self.assertEqual((last.level, last.message), ("error", job.error.message))

    def test_a_job_that_fits_nowhere_says_so(self):
        jobs = (self.create(hone={"lora_rank": 512}), ("a job may have 1.0 MB", "hone.group_size", "batch_size")), \
               (self.jobs.create(model="tiny", training_file=self.pairs), ("a job may have 1.0 MB", "hone.pass_rows"))
        self.server.worker("--job-memory=1")
        for job, words in jobs:
            self.fails(job, *words)
        self.assertNotIn("hone.group_size", self.jobs.retrieve(jobs[1][0].id).error.message)

    def test_a_job_that_was_checked_where_there_was_more(self):
        job, begun = self.create(hone={"lora_rank": 512}), self.create(hone={"lora_rank": 512})
        self.server.sql("UPDATE jobs SET status = 'queued', memory_bytes = 3000000000 WHERE id = ?", job.id)
        self.server.sql("UPDATE jobs SET status = 'running', step = 7, memory_bytes = 3000000000 WHERE id = ?", begun.id)
        self.server.worker("--job-memory=1")
        self.fails(job, "3.00 GB", "a job may have 1.0 MB")
        self.assertEqual(self.jobs.retrieve(begun.id).status, "paused")  # nothing that was done is lost
        last = next(iter(self.jobs.list_events(begun.id)))
        self.assertRegex(last.message, "needs at least 3.00 GB.*resume the job when")

    def test_a_job_that_fits_is_trained(self):
        job = self.create()
        self.server.worker("--job-memory=1000")
        self.assertEqual(self.jobs.retrieve(job.id).status, "succeeded", self.jobs.retrieve(job.id).error)


class Checkpoints(LifeTest):
    workers = 1
    options = ("--lease=3",)

    def listed(self, job):
        return {c.step_number: c for c in self.jobs.checkpoints.list(job.id, limit=100)}

    def use(self, name):
        answer = self.client.chat.completions.create(model=name, seed=1, max_tokens=2,
                                                     messages=[{"role": "user", "content": "1a"}])
        self.assertTrue(answer.choices)

    def follow(self, job, seen, until):
        """Everything that was listed, until the job is in that state; each look finds what was there before."""
        def look():
            state = self.jobs.retrieve(job.id).status
            now = self.listed(job)
            self.assertLessEqual(set(seen), set(now), "what was listed is gone")
            seen.update({step: c for step, c in now.items() if step not in seen})
            self.assertNotIn(state, {"failed", "cancelled"})
            return state in until
        self.wait(look, 120)

    def test_what_is_listed_stays(self):
        """Many points to go on from, validations of which not all stay among the best, and a pause between two of them."""
        seen = {}
        job = self.create(validation_file=self.valid, suffix="stays", hyperparameters={"n_epochs": 50, "eval_interval": 40},
                          hone={"max_steps": 400, "checkpoint_interval": 1, "keep_best": 1, "lora_rank": 2,
                                "learning_rate": 0.01, "kl_undo": 0})
        self.wait(lambda: self.listed(job) or self.jobs.retrieve(job.id).status == "succeeded", 120)
        self.jobs.pause(job.id)
        self.follow(job, seen, {"paused", "succeeded"})
        paused = self.jobs.retrieve(job.id)
        self.assertEqual(paused.status, "paused")
        at = max(seen)
        self.assertTrue(any("step %d with Snapshot ID: %s" % (at, seen[at].fine_tuned_model_checkpoint) in e.message
                            for e in self.jobs.list_events(job.id)))
        self.use(paused.fine_tuned_model)
        self.jobs.resume(job.id)
        self.follow(job, seen, {"succeeded"})
        self.follow(job, seen, {"succeeded"})
        last = self.jobs.retrieve(job.id).fine_tuned_model
        self.assertIn(at, seen)
        self.assertLess(len(seen), 15)  # of 400 that were saved
        self.assertTrue(all(step % 40 == 0 or step == at for step in seen), sorted(seen))
        self.assertEqual(self.listed(job)[400].fine_tuned_model_checkpoint, last)
        for step, c in seen.items():
            self.use(c.fine_tuned_model_checkpoint)
            self.client.models.retrieve(c.fine_tuned_model_checkpoint)
        self.use(last + ":ckpt-step-400")
        told = [e.message for e in self.jobs.list_events(job.id, limit=100) if "Snapshot ID" in e.message]
        self.assertEqual(len(told), len(seen), told)

    def test_the_last_one_is_deleted_by_its_step_too(self):
        seen = {}
        job = self.jobs.create(model="tiny", training_file=self.pairs, hyperparameters={"n_epochs": 2, "batch_size": 5})
        self.follow(job, seen, {"succeeded"})
        model = self.jobs.retrieve(job.id).fine_tuned_model
        alias = model + ":ckpt-step-4"
        self.assertEqual(self.client.models.retrieve(alias).id, model)
        for name in (alias + "0", "tiny:ckpt-step-4"):
            self.assertRaises(openai.NotFoundError, self.client.models.delete, name)
        self.assertTrue(self.client.models.delete(alias).deleted)
        for name in (model, alias):
            self.assertRaises(openai.NotFoundError, self.client.models.retrieve, name)
            self.assertRaises(openai.NotFoundError, self.client.models.delete, name)
            self.assertRaises(openai.NotFoundError, self.use, name)
        self.assertNotIn(model, [m.id for m in self.client.models.list()])
        self.assertIn(self.listed(job)[2].fine_tuned_model_checkpoint, [m.id for m in self.client.models.list()])

    def test_ends_of_epochs_stay(self):
        seen = {}
        job = self.jobs.create(model="tiny", training_file=self.pairs, hyperparameters={"n_epochs": 6, "batch_size": 2},
                               extra_body={"hone": {"checkpoint_interval": 1, "keep_best": 2}})
        self.follow(job, seen, {"succeeded"})
        self.follow(job, seen, {"succeeded"})
        self.assertEqual(sorted(seen), [5, 10, 15, 20, 25, 30])
        for c in seen.values():
            self.use(c.fine_tuned_model_checkpoint)


class Usage(LifeTest):
    """A judge that hone runs; tokens of each step are in its metrics event, so the total can be counted again."""

    def judged(self, hone):
        return self.create(grader={"type": "score_model", "name": "judge", "model": "tiny", "range": [0, 1],
                                   "input": [{"role": "user", "content": "How good is {{sample.output_text}}?"}]},
                           validation_file=self.valid, seed=42, hone={"max_grader_errors": 1, **hone})

    def check(self, job):
        """The total, which is that of the events, each step once."""
        total = self.jobs.retrieve(job.id).usage_metrics
        steps = [e.data for e in self.jobs.list_events(job.id, limit=100) if e.type == "metrics"]
        self.assertEqual(len(steps), len({d["step"] for d in steps}))
        tokens = {}
        for data in steps:
            for key, n in data["model_graders_token_usage"]["tiny"].items():
                key = key.split("_", 1)[1]
                tokens[key] = tokens.get(key, 0) + n
        self.assertEqual(total["model_graders_token_usage"], {"tiny": tokens})
        self.assertGreater(tokens["prompt_tokens"], 0)
        self.assertAlmostEqual(total["training_seconds"],
                               sum(d["timing"]["step"]["full_iteration"] for d in steps), places=6)
        return total

    def test_what_was_used_is_counted_once(self):
        job = self.judged({"max_steps": 4, "checkpoint_interval": 100})
        self.assertIsNone(job.usage_metrics)
        self.server.worker()
        self.assertEqual(self.jobs.retrieve(job.id).status, "succeeded", self.jobs.retrieve(job.id).error)
        first = self.check(job)
        # as if it had been killed behind its last step, before the end was written: the last steps are done again
        self.server.sql("UPDATE jobs SET status = 'running', finished_at = 0 WHERE id = ?", job.id)
        folder = os.path.join(self.server.home, "runs", job.id, "checkpoints")
        for name in os.listdir(folder):
            shutil.rmtree(os.path.join(folder, name))
        self.server.worker()
        self.assertEqual(self.jobs.retrieve(job.id).status, "succeeded", self.jobs.retrieve(job.id).error)
        self.assertEqual(self.check(job), first)

    def test_a_pause_goes_on_counting(self):
        job = self.judged({"max_steps": 4, "checkpoint_interval": 1})
        self.server.worker()
        whole = self.check(job)
        self.server.sql("UPDATE jobs SET status = 'running', finished_at = 0, step = 2, usage = ? WHERE id = ?",
                        json.dumps({"training_seconds": 100, "model_graders_token_usage": {
                            "tiny": {"prompt_tokens": 1000, "completion_tokens": 10, "cached_tokens": 1}}}), job.id)
        shutil.rmtree(os.path.join(self.server.home, "runs", job.id, "checkpoints"))
        self.server.worker()
        total = self.jobs.retrieve(job.id).usage_metrics
        self.assertGreater(total["training_seconds"], 100)
        self.assertGreater(total["model_graders_token_usage"]["tiny"]["prompt_tokens"], 1000)
        self.assertLess(total["model_graders_token_usage"]["tiny"]["prompt_tokens"],
                        1000 + whole["model_graders_token_usage"]["tiny"]["prompt_tokens"])

    def test_other_methods_count_their_seconds(self):
        job = self.jobs.create(model="tiny", training_file=self.pairs, hyperparameters={"n_epochs": 1, "batch_size": 5})
        self.server.worker()
        total = self.jobs.retrieve(job.id).usage_metrics
        self.assertGreater(total["training_seconds"], 0)
        self.assertEqual(total["model_graders_token_usage"], {})


class Again(LifeTest):
    def test_the_runs_of_jobs_can_be_done_again(self):
        jobs = [self.create(validation_file=self.valid), self.create(hone={"max_tokens": "auto"}),
                self.jobs.create(model="tiny", training_file=self.pairs, hyperparameters={"n_epochs": 1, "batch_size": 5})]
        self.server.worker()
        for job in jobs:
            with self.subTest(job.method.type):
                folder = os.path.join(self.server.home, "runs", job.id)
                with open(os.path.join(folder, "certificate.jsonl")) as stream:
                    last = json.loads(stream.readlines()[-1])
                run = subprocess.run([HONE, "replay", folder, "--json"], env=self.server.env, capture_output=True, text=True,
                                     timeout=300)
                self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
                told = json.loads(run.stdout.splitlines()[-1])
                self.assertEqual((told["same"], told["steps"], told["adapter_sha256"]), (True, last["end"], last["adapter"]))


if __name__ == "__main__":
    unittest.main()
