"""graders/validate and graders/run by the official client."""
import concurrent.futures
import json
import os
import sys
import time
import unittest

from server import ROOT, ApiTest, CLOSE, EXACT, TINY, JobsTest, Server, jsonl, openai, rows

sys.path.insert(0, os.path.join(ROOT, "tests"))
from support.fake_openai import FakeOpenAI, Structured  # noqa: E402

LENGTH = "def grade(sample, item):\n    return len(sample['output_text']) / item['n']\n"


def python(source):
    return {"type": "python", "name": "p", "source": source}


def judged(file, who):
    """A job whose answers are judged at who."""
    judge = {"type": "score_model", "name": "s", "model": "tiny", "input": [{"role": "user", "content": "{{sample.output_text}}"}]}
    return {"model": "tiny", "training_file": file, "seed": 1,
            "method": {"type": "reinforcement", "reinforcement": {"grader": judge, "hyperparameters": {"batch_size": 2}}},
            "extra_body": {"hone": {"judges": {"*": who}, "max_steps": 1, "group_size": 2, "max_tokens": 4,
                                    "max_grader_errors": 1}}}  # a random model says what is no judgement


class Graders(ApiTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.graders = cls.client.fine_tuning.alpha.graders

    def run_(self, grader, sample, item=None):
        more = {} if item is None else {"item": item}
        return self.graders.run(grader=grader, model_sample=sample, **more)

    def test_validate_gives_it_back(self):
        for grader in (EXACT, {**EXACT, "extra": [1]}, CLOSE, python(LENGTH)):
            self.assertEqual(self.graders.validate(grader=grader).to_dict(), {"grader": grader})
        multi = {"type": "multi", "name": "m", "graders": {"a": EXACT, "b": CLOSE}, "calculate_output": "(a + b) / 2"}
        raw = self.client.post("/fine_tuning/alpha/graders/validate", body={"grader": multi}, cast_to=object)
        self.assertEqual(raw, {"grader": multi})

    def test_validate_names_what_is_wrong(self):
        def bad(grader, param=None, match=None):
            self.refused(openai.BadRequestError, lambda: self.client.post(
                "/fine_tuning/alpha/graders/validate", body={"grader": grader}, cast_to=object), None, param, match)
        bad({**EXACT, "operation": "same"}, "grader.operation")
        bad({"type": "nothing"}, "grader.type")
        bad(python("def grade(sample):\n  return 1"), match="grade")
        bad(python("def grade(sample, item)\n  return 1"), match="line 1|[Ss]yntax")
        bad({"type": "multi", "name": "m", "graders": {"a": EXACT}, "calculate_output": "b"}, match="b")
        bad({"type": "endpoint", "name": "e", "url": "http://169.254.169.254/latest"}, "grader", "endpoint")
        bad({"type": "score_model", "name": "s", "model": "gpt-none", "input": [{"role": "user", "content": "?"}]},
            "grader.model", "gpt-none")
        bad("text", "grader")
        bad(None, "grader")
        self.refused(openai.BadRequestError, lambda: self.client.post(
            "/fine_tuning/alpha/graders/validate", cast_to=object), "missing_required_parameter")

    def test_run(self):
        result = self.run_(EXACT, "x", {"answer": "x"})
        self.assertEqual(result.reward, 1)
        self.assertEqual((result.metadata.name, result.metadata.type), ("exact", "string_check"))
        self.assertEqual(len(result.metadata.errors.to_dict()), 14)
        self.assertFalse(any(result.metadata.errors.to_dict().values()))
        self.assertEqual(result.sub_rewards, {})
        self.assertEqual(self.run_(EXACT, "y", {"answer": "x"}).reward, 0)
        self.assertEqual(self.run_(python(LENGTH), "abc", {"n": 6}).reward, 0.5)
        multi = {"type": "multi", "name": "m", "graders": {"a": EXACT, "b": python(LENGTH)},
                 "calculate_output": "a + b"}
        result = self.run_(multi, "abc", {"answer": "abc", "n": 3})
        self.assertEqual((result.reward, result.sub_rewards), (2, {"a": 1, "b": 1}))
        json_reader = {"type": "string_check", "name": "j", "input": "{{sample.output_json.a}}", "reference": "1",
                       "operation": "eq"}
        self.assertEqual(self.run_(json_reader, '{"a": 1}').reward, 1)

    def test_a_model_of_this_server_judges(self):
        judge = {"type": "score_model", "name": "s", "model": "tiny", "range": [0, 2],
                 "sampling_params": {"temperature": 1, "seed": 3, "max_completions_tokens": 400},
                 "input": [{"role": "user", "content": "rate {{sample.output_text}}"}]}
        result = self.run_(judge, "abc", {})
        self.assertEqual(result.metadata.sampled_model_name, "tiny")
        usage = result.metadata.token_usage
        usage = usage if isinstance(usage, dict) else usage.to_dict()
        self.assertGreater(usage["prompt_tokens"], 0)
        self.assertTrue(0 <= result.reward <= 2)
        self.assertEqual(self.run_(judge, "abc", {}).reward, result.reward)
        judge["sampling_params"]["max_completions_tokens"] = 5
        errors = self.run_(judge, "abc", {}).metadata.errors.to_dict()
        self.assertTrue(errors["model_grader_server_error"], errors)
        self.assertIn("token limit", errors["model_grader_server_error_details"])

    def test_failures_of_grading_are_results(self):
        result = self.run_(EXACT, "x")
        self.assertEqual((result.reward, result.metadata.errors.invalid_variable_error), (0, True))
        result = self.run_(python("def grade(sample, item):\n    raise ValueError('why')\n"), "x", {})
        self.assertTrue(result.metadata.errors.python_grader_runtime_error)
        self.assertIn("why", result.metadata.errors.python_grader_runtime_error_details)

    def test_what_is_missing(self):
        def bad(param, **body):
            self.refused(openai.BadRequestError, lambda: self.client.post(
                "/fine_tuning/alpha/graders/run", body=body, cast_to=object), None, param)
        bad("model_sample", grader=EXACT)
        bad("grader", model_sample="x")
        bad("model_sample", grader=EXACT, model_sample=3)
        bad("item", grader=EXACT, model_sample="x", item=[])

    def test_slow_graders_hold_nobody_up(self):
        slow = python("import time\ndef grade(sample, item):\n    time.sleep(1.5)\n    return 1\n")
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            runs = [pool.submit(self.run_, slow, "x", {}) for _ in range(8)]
            time.sleep(0.5)
            began = time.monotonic()
            for _ in range(10):
                self.client.files.list(limit=1)
            while not all(run.done() for run in runs) and time.monotonic() < began + 1:
                self.client.files.list(limit=1)
            self.assertEqual([run.result().reward for run in runs], [1] * 8)


class Judged(ApiTest):
    """The operator names an address that answers for every grader's model."""

    @classmethod
    def setUpClass(cls):
        cls.fake = FakeOpenAI(key="sk-judge")
        cls.addClassCleanup(cls.fake.__exit__, None, None, None)
        cls.fake.__enter__()
        cls.server = Server("--workers=0", "--judge", cls.fake.url, env={"HONE_JUDGE_KEY": "sk-judge"})
        cls.client = cls.server.client()

    def test_the_operator_s_judge_answers(self):
        self.fake.chat.answers = [Structured(result=0.75)]
        judge = {"type": "score_model", "name": "s", "model": "gpt-4.1", "input": [{"role": "user", "content": "?"}]}
        result = self.client.fine_tuning.alpha.graders.run(grader=judge, model_sample="x", item={})
        self.assertEqual(result.reward, 0.75)
        self.assertEqual(self.fake.chat.asked[-1].body["model"], "gpt-4.1")


class NamedByRequests(JobsTest):
    """Jobs may name addresses here, and of the worker's variables one."""

    @classmethod
    def setUpClass(cls):
        cls.fake = FakeOpenAI()
        cls.addClassCleanup(cls.fake.__exit__, None, None, None)
        cls.fake.__enter__()
        cls.options = ("--allow-request-addresses", "--request-key-env", "THEIRS, MORE")
        super().setUpClass()

    def setUp(self):
        self.server.env.update({"THEIRS": "sk-theirs-1", "HONE_JUDGE_KEY": "sk-operator-2", "SECRET": "sk-database-3"})
        self.fake.chat.answers = [Structured(result=0.5)]
        self.fake.chat.asked.clear()

    def create(self, who):
        return self.jobs.create(**judged(self.train, who)).id

    def worker(self, *options):
        self.server.worker("--allow-request-addresses", *options)

    def rewritten(self, who, job=None):
        """A row that no request would have made, once a worker that may ask addresses has met it."""
        job = job or self.create("tiny")
        self.server.sql("UPDATE jobs SET body = json_set(body, '$.hone.judges', json(?)) WHERE id = ?", json.dumps({"*": who}), job)
        self.worker()
        return self.jobs.retrieve(job)

    def keys(self):
        """What came in Authorization."""
        return {request.headers.get("authorization") for request in self.fake.chat.asked}

    def test_a_variable_that_the_operator_lists_is_sent(self):
        job = self.create({"base_url": self.fake.url, "api_key_env": "THEIRS"})
        self.worker("--request-key-env=THEIRS")
        self.assertEqual(self.jobs.retrieve(job).status, "succeeded")
        self.assertEqual(self.keys(), {"Bearer sk-theirs-1"})

    def test_no_other_one_is(self):
        for name in ("SECRET", "HONE_DATABASE", "HONE_JUDGE_KEY", "PATH", "NOT_SET", "THEIRS, MORE", ""):
            self.refused(openai.BadRequestError, lambda: self.create({"base_url": self.fake.url, "api_key_env": name}),
                         "unsupported_value", "hone.judges", "--request-key-env")

    def test_the_operator_s_key_is_for_his_own_judge(self):
        for who in (self.fake.url, {"base_url": self.fake.url}, {"model": self.fake.url}):
            self.fake.chat.asked.clear()
            job = self.create(who)
            self.worker()
            self.assertEqual(self.jobs.retrieve(job).status, "succeeded")
            self.assertEqual(self.keys(), {None})
        job = self.create(self.fake.url)
        self.fake.chat.asked.clear()
        self.worker("--request-key-env=HONE_JUDGE_KEY")
        self.assertEqual((self.jobs.retrieve(job).status, self.keys()), ("succeeded", {"Bearer sk-operator-2"}))

    def test_the_worker_asks_again(self):
        listed = self.create({"base_url": self.fake.url, "api_key_env": "THEIRS"})  # by the server, not by this worker
        written = self.create({"base_url": self.fake.url, "api_key_env": "MORE"})
        self.server.sql("UPDATE jobs SET body = replace(body, 'MORE', 'SECRET') WHERE id = ?", written)
        self.worker()
        for job, name in ((listed, "THEIRS"), (written, "SECRET")):
            job = self.jobs.retrieve(job)
            self.assertEqual(job.status, "failed")
            self.assertIn("the variable %s, whose value jobs may not send" % name, job.error.message)
        self.assertEqual(self.fake.chat.asked, [])

    def test_a_judge_of_this_server_s_is_a_model_that_the_project_may_use(self):
        mine = self.create("tiny")
        self.worker()
        mine = self.jobs.retrieve(mine)
        self.assertEqual(mine.status, "succeeded")
        for who in ("base", mine.fine_tuned_model, {"model": mine.fine_tuned_model}):
            job = self.create(who)
            self.worker()
            self.assertEqual(self.jobs.retrieve(job).status, "succeeded", who)
        self.server.sql("INSERT INTO projects (id, org_id, name, quota_bytes, created_at) "
                        "SELECT 'proj_theirs', org_id, 'theirs', 0, 1 FROM projects LIMIT 1")
        self.server.sql("UPDATE jobs SET project_id = 'proj_theirs' WHERE id = ?", mine.id)  # now another's
        run = os.path.join(self.server.home, "runs", mine.id)
        for who in (mine.fine_tuned_model, TINY, run, os.path.join(run, "checkpoints", "step-1"), "../models/tiny", "models/tiny", ".", ""):
            for form in (who, {"model": who}):
                self.refused(openai.NotFoundError, lambda: self.create(form), "model_not_found", "hone.judges")
                job = self.rewritten(form)
                self.assertEqual(job.status, "failed", form)
                self.assertIn("does not exist, or this project has no access to it", job.error.message)

    def test_judges_and_embeddings_of_a_job_need_nothing_of_the_server(self):
        job = judged(self.train, self.fake.url)
        hone = job["extra_body"]["hone"]
        grader = job["method"]["reinforcement"]["grader"] = {**job["method"]["reinforcement"]["grader"], "model": "gpt-4o"}
        for judges in ({"*": self.fake.url}, {"gpt-4o": {"base_url": self.fake.url}}):
            hone["judges"] = judges
            made = self.jobs.create(**job).id
            self.worker()
            self.assertEqual(self.jobs.retrieve(made).status, "succeeded")
        hone["judges"] = {"gpt-4.1": self.fake.url}
        self.refused(openai.BadRequestError, lambda: self.jobs.create(**job), None, "method.reinforcement.grader.model", "gpt-4o")
        hone["shadow_graders"] = {"s": grader}
        job["method"]["reinforcement"]["grader"] = EXACT
        self.refused(openai.BadRequestError, lambda: self.jobs.create(**job), None, None, "gpt-4o")
        del hone["shadow_graders"]
        job["method"]["reinforcement"]["grader"] = {**CLOSE, "evaluation_metric": "cosine"}
        self.refused(openai.BadRequestError, lambda: self.jobs.create(**job), None, None, "no embedding model")
        hone["embedding_model"] = "tiny"
        self.jobs.cancel(self.jobs.create(**job).id)

    def test_nor_are_the_grader_s_own_model_and_the_embedding_model_any_other(self):
        for key, what in (("$.method.reinforcement.grader.model", TINY), ("$.hone.embedding_model", TINY)):
            job = self.create("tiny")
            self.server.sql("UPDATE jobs SET body = json_set(json_remove(body, '$.hone.judges'), ?, ?) WHERE id = ?", key, what, job)
            if "embedding" in key:
                self.server.sql("UPDATE jobs SET body = json_set(body, '$.method.reinforcement.grader', json(?)) WHERE id = ?", json.dumps(
                    {**CLOSE, "evaluation_metric": "cosine"}), job)
            self.server.worker()
            job = self.jobs.retrieve(job)
            self.assertEqual(job.status, "failed")
            self.assertRegex(job.error.message, "does not exist, or this project|nobody is set to answer for it")

    def test_tools_of_a_job_have_their_servers(self):
        job = judged(self.train, self.fake.url)
        method = job["method"]["reinforcement"]
        tool = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
        job["training_file"] = self.client.files.create(file=("tools.jsonl", jsonl([{**row, "tools": [tool]} for row in rows()])),
                                                        purpose="fine-tune").id
        method["grader"] = EXACT
        del job["extra_body"]["hone"]["judges"]
        job["extra_body"]["hone"]["max_tool_tokens"] = 32
        for wrong in ([{"name": "look_up"}], [{"name": "look_up", "server_url": "look"}], {"name": "look_up"}):
            method["tools"] = wrong
            self.refused(openai.BadRequestError, lambda: self.jobs.create(**job), None, None, "")
        method["tools"] = [{"name": "look_up", "server_url": self.fake.url + "/look_up", "headers": {"X-Key": "k"}}]
        method["max_episode_steps"] = 4
        made = self.jobs.create(**job).id
        self.assertEqual([e.message for e in self.jobs.list_events(made) if "nothing is called" in e.message], [])
        self.worker()
        done = self.jobs.retrieve(made)
        self.assertEqual(done.status, "succeeded", done.error)
        table = self.client.files.content(done.result_files[0]).text
        self.assertIn("tools/train_calls_mean", table.splitlines()[0])
        # a worker that was not told calls nothing, and the answers have one turn
        made = self.jobs.create(**job).id
        self.server.worker()
        done = self.jobs.retrieve(made)
        self.assertEqual(done.status, "succeeded", done.error)
        self.assertNotIn("tools/", self.client.files.content(done.result_files[0]).text.splitlines()[0])

    def test_a_worker_that_was_not_told_asks_no_address(self):
        judge = self.create(self.fake.url)
        endpoint = self.create("tiny")
        spec = {"type": "endpoint", "name": "e", "url": self.fake.url + "/grade"}
        self.server.sql("UPDATE jobs SET body = json_set(json_remove(body, '$.hone.judges'), '$.method.reinforcement.grader', json(?)) WHERE id = ?",
                        json.dumps(spec), endpoint)
        self.server.worker()
        for job in (judge, endpoint):
            job = self.jobs.retrieve(job)
            self.assertEqual(job.status, "failed")
            self.assertIn("this worker's options", job.error.message)
            self.assertIn("--allow-request-addresses", job.error.message)
        self.assertEqual(self.fake.chat.asked, [])


class NamedToTheServersOwnWorker(ApiTest):
    """It is told what the server is."""

    def test_a_listed_variable_is_sent(self):
        with FakeOpenAI() as fake:
            fake.chat.answers = [Structured(result=0.5)]
            server = Server("--workers=1", "--allow-request-addresses", env={"HONE_REQUEST_KEY_ENV": "THEIRS", "THEIRS": "sk-theirs-1"})
            self.addCleanup(server.close)
            client = server.client()
            file = client.files.create(file=("train.jsonl", jsonl(rows())), purpose="fine-tune").id
            job = client.fine_tuning.jobs.create(**judged(file, {"base_url": fake.url, "api_key_env": "THEIRS"})).id
            self.wait(lambda: client.fine_tuning.jobs.retrieve(job).status in ("succeeded", "failed"))
            self.assertEqual(client.fine_tuning.jobs.retrieve(job).status, "succeeded")
            self.assertEqual({r.headers.get("authorization") for r in fake.chat.asked}, {"Bearer sk-theirs-1"})


if __name__ == "__main__":
    unittest.main()
