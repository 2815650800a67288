"""What a job may take, what it has used, and what it leaves behind, as the API tells it."""
import unittest

from server import ApiTest, CLOSE, jsonl, rows

SMALL = {"max_steps": 2, "group_size": 4, "max_tokens": 8}
PAIR = [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]} for _ in range(10)]


class LifeTest(ApiTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.train = cls.client.files.create(file=("train.jsonl", jsonl(rows())), purpose="fine-tune").id
        cls.valid = cls.client.files.create(file=("valid.jsonl", jsonl(rows(3))), purpose="fine-tune").id
        cls.pairs = cls.client.files.create(file=("pairs.jsonl", jsonl(PAIR)), purpose="fine-tune").id
        cls.jobs = cls.client.fine_tuning.jobs

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
        self.fails(job, "3.0 GB", "a job may have 1.0 MB")
        self.assertEqual(self.jobs.retrieve(begun.id).status, "paused")  # nothing that was done is lost
        last = next(iter(self.jobs.list_events(begun.id)))
        self.assertRegex(last.message, "needs at least 3.0 GB.*resume the job when")

    def test_a_job_that_fits_is_trained(self):
        job = self.create()
        self.server.worker("--job-memory=1000")
        self.assertEqual(self.jobs.retrieve(job.id).status, "succeeded")


if __name__ == "__main__":
    unittest.main()
