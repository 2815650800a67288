"""Requests that make something and are sent again: by clients that heard nothing, while the first is still at work."""
import threading
import time
import unittest

from postgres import Postgres
from server import ApiTest, Server, jsonl, rows, openai

SECONDS = 2.0  # that a grader takes to be loaded

CONFIG = {"type": "custom", "item_schema": {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]},
          "include_sample_schema": True}
SOURCE = {"type": "jsonl", "source": {"type": "file_content", "content": [
    {"item": {"q": "a"}, "sample": {"output_text": "b"}}]}}


def method(seconds=SECONDS, then="pass"):
    source = "import time\ntime.sleep(%g)\n%s\ndef grade(sample, item):\n    return 1.0\n" % (seconds, then)
    return {"type": "reinforcement", "reinforcement": {"grader": {"type": "python", "name": "slow", "source": source}}}


class OnceTest(ApiTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.train = cls.client.files.create(file=("train.jsonl", jsonl(rows())), purpose="fine-tune").id

    def create(self, headers, client=None, **more):
        """The job, or the error."""
        try:
            return (client or self.client).fine_tuning.jobs.create(
                **{"model": "tiny", "training_file": self.train, "method": method(), **more}, extra_headers=headers)
        except openai.APIError as error:
            return error

    def at_once(self, *calls, apart=0.5):
        """What each of the calls gave, begun one after the other."""
        got = [None] * len(calls)

        def run(i):
            got[i] = calls[i]()
        threads = [threading.Thread(target=run, args=(i,)) for i in range(len(calls))]
        for thread in threads:
            thread.start()
            time.sleep(apart)
        for thread in threads:
            thread.join(timeout=90)
            self.assertFalse(thread.is_alive())
        return got

    def eval_(self, headers, **more):
        """The eval, or the error."""
        try:
            return self.client.evals.create(**{"name": "once", "data_source_config": CONFIG, "testing_criteria": [
                method(0.5)["reinforcement"]["grader"]], **more}, extra_headers=headers)
        except openai.APIError as error:
            return error

    def run_(self, eval_, headers, **more):
        try:
            return self.client.evals.runs.create(eval_.id, data_source=SOURCE, **more, extra_headers=headers)
        except openai.APIError as error:
            return error

    def key_is_anothers(self, error):
        self.assertEqual((error.status_code, error.code), (400, "idempotency_error"))

    def one(self, got):
        self.assertEqual(len({getattr(job, "id", str(job)) for job in got}), 1,
                         [getattr(job, "id", job) for job in got])

    def jobs(self, client=None):
        return [job.id for job in (client or self.client).fine_tuning.jobs.list(limit=100)]


class Once(OnceTest):
    def test_a_second_try_waits_for_the_first(self):
        before = len(self.jobs())
        got = self.at_once(*(lambda n=n: self.create({"X-Stainless-Retry-Count": n}, seed=1) for n in "0120"))
        self.one(got[:3])
        self.assertNotEqual(got[3].id, got[0].id)  # a first try is another job, however alike
        self.assertEqual(len(self.jobs()), before + 2)
        self.assertEqual(self.create({"X-Stainless-Retry-Count": "2"}, seed=2).status, "validating_files")

    def test_second_tries_alone_make_one(self):
        got = self.at_once(*(lambda: self.create({"X-Stainless-Retry-Count": "1"}, seed=3) for _ in range(6)), apart=0)
        self.one(got)

    def test_one_key_is_one_job(self):
        before = len(self.jobs())
        got = self.at_once(*(lambda: self.create({"Idempotency-Key": "k 1"}) for _ in range(4)), apart=0)
        got.append(self.create({"Idempotency-Key": "k 1"}))
        self.one(got)
        self.assertNotEqual(self.create({"Idempotency-Key": "k 2"}).id, got[0].id)
        self.assertEqual(len(self.jobs()), before + 2)
        self.key_is_anothers(self.create({"Idempotency-Key": "k 1"}, seed=4))

    def test_one_key_is_one_eval(self):
        before = len(list(self.client.evals.list()))
        got = self.at_once(*(lambda: self.eval_({"Idempotency-Key": "e"}) for _ in range(4)), apart=0)
        got.append(self.eval_({"Idempotency-Key": "e"}))
        self.one(got)
        self.assertEqual(got[0].to_dict(), got[-1].to_dict())  # with the same ids of its criteria
        self.assertNotEqual(self.eval_({"Idempotency-Key": "e 2"}).id, got[0].id)
        self.one(self.at_once(*(lambda n=n: self.eval_({"X-Stainless-Retry-Count": n}, name="again") for n in "012")))
        self.assertEqual(len(list(self.client.evals.list())), before + 3)
        self.key_is_anothers(self.eval_({"Idempotency-Key": "e"}, name="another"))
        self.client.evals.delete(got[0].id)
        self.assertEqual(self.eval_({"Idempotency-Key": "e"}).status_code, 404)

    def test_one_key_is_one_run(self):
        first, second = self.eval_({}), self.eval_({}, name="another")
        got = self.at_once(*(lambda: self.run_(first, {"Idempotency-Key": "r"}) for _ in range(4)), apart=0)
        got.append(self.run_(first, {"Idempotency-Key": "r"}))
        self.one(got)
        self.key_is_anothers(self.run_(first, {"Idempotency-Key": "r"}, name="another"))
        self.key_is_anothers(self.run_(second, {"Idempotency-Key": "r"}))
        self.assertEqual([run.id for run in self.client.evals.runs.list(first.id)], [got[0].id])
        raw = self.client.evals.runs.with_raw_response.create(first.id, data_source=SOURCE, extra_headers={"Idempotency-Key": "r"})
        self.assertEqual((raw.status_code, raw.parse().id), (201, got[0].id))
        # without a key it is the body that is known again, and which eval it was for
        again = [self.run_(eval_, {"X-Stainless-Retry-Count": "1"}) for eval_ in (first, second, first, second)]
        self.one(again[0::2])
        self.one(again[1::2])
        self.assertNotEqual(again[0].id, again[1].id)
        self.assertEqual(again[1].eval_id, second.id)

    def test_what_failed_begins_anew(self):
        before = self.jobs()
        wrong = method(1, "raise ValueError('no')")
        got = self.at_once(*(lambda: self.create({"Idempotency-Key": "f"}, method=wrong) for _ in range(3)), apart=0.2)
        for error in got:  # each was looked at by itself
            self.assertEqual(getattr(error, "status_code", error), 400)
            self.assertEqual(error.param, "method.reinforcement.grader.source")
        self.assertEqual(self.jobs(), before)
        self.assertTrue(self.create({"Idempotency-Key": "f"}).id.startswith("ftjob-"))  # and the key is free

    def test_a_client_that_gives_up_makes_one_at_most(self):
        hasty = self.server.client(max_retries=4, timeout=SECONDS / 2)
        before = len(self.jobs())
        got = self.create(None, client=hasty, method=method(SECONDS * 0.75), seed=5)
        self.assertLessEqual(len(self.jobs()), before + 1, got)

    def test_the_end_of_the_server_is_told_to_who_waits(self):
        server = Server("--workers=0")
        client = server.client()
        self.create({}, client=client)
        train = client.files.create(file=("train.jsonl", jsonl(rows())), purpose="fine-tune").id
        calls = [lambda: self.create({"Idempotency-Key": "s"}, client=client, training_file=train, method=method(15))
                 for _ in range(3)]
        threads = threading.Thread(target=lambda: got.extend(self.at_once(*calls, apart=0)))
        got = []
        threads.start()
        time.sleep(1)
        self.assertEqual(server.stop(), 0)
        threads.join(timeout=60)
        self.assertEqual(len(got), 3)
        for error in got:
            self.assertIsInstance(error, openai.APIError, got)
        server.close()


class TwoServers(OnceTest):
    """On one database and one home, of which one dies."""

    @classmethod
    def setUpClass(cls):
        cls.postgres = Postgres()
        cls.addClassCleanup(cls.postgres.__exit__)
        cls.postgres.__enter__()
        options = ("--workers=0", "--database", cls.postgres.database())
        cls.options = options[1:]
        super().setUpClass()
        cls.other = Server(*options, home=cls.server.home, key=cls.server.key)

    @classmethod
    def tearDownClass(cls):
        cls.other.stop()
        super().tearDownClass()
        cls.other.log.close()

    def test_they_make_one(self):
        clients = [self.client, self.other.client()]
        before = len(self.jobs())
        got = self.at_once(*(lambda n=n: self.create({"Idempotency-Key": "p"}, client=clients[n % 2])
                             for n in range(6)), apart=0)
        self.one(got)
        got = self.at_once(*(lambda n=n: self.create({"X-Stainless-Retry-Count": str(n)}, client=clients[n % 2], seed=6)
                             for n in range(4)), apart=0.3)
        self.one(got)
        self.assertEqual(len(self.jobs()), before + 2)

    def test_what_a_dead_server_had_begun_is_made(self):
        third = Server("--workers=0", *self.options, home=self.server.home, key=self.server.key)
        before = len(self.jobs())

        def first():
            return self.create({"Idempotency-Key": "d"}, client=third.client(), method=method(8))

        def kill():
            third.process.kill()

        def second():
            return self.create({"Idempotency-Key": "d"}, method=method(8))
        got = self.at_once(first, second, kill, apart=1)
        third.process.wait()
        third.process.stdout.close()
        third.log.close()
        self.assertIsInstance(got[0], openai.APIConnectionError)
        self.assertTrue(got[1].id.startswith("ftjob-"), got[1])
        self.assertEqual(len(self.jobs()), before + 1)
        self.assertTrue(self.client.evals.retrieve(got[1].eval_id).name.endswith(got[1].id))


if __name__ == "__main__":
    unittest.main()
