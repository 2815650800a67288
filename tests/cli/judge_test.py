"""Model graders: who is asked, by options and by the job; a judge of hone's own, the base that is trained, an address."""
import csv
import json
import os
import signal
import subprocess
import sys
import time
import unittest
import zlib

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(TESTS, "support")]

from cli import CLOSE, GGUF, HF, HONE, HoneTest, rows  # noqa: E402
from fake_openai import FakeOpenAI, Failure, Stall, Structured  # noqa: E402

ENCODER = os.path.join(TESTS, "golden", "encoder", "mean")


def judge(model="judge", **more):
    return {"type": "score_model", "name": "judged", "model": model,
            "input": [{"role": "user", "content": "{{item.answer}}|{{sample.output_text}}"}], **more}


def letters(request):
    """A judge that counts: the share of vowels in what it is given to judge."""
    text = request.body["messages"][-1]["content"].split("|", 1)[1]
    return Structured(result=sum(c in "aeiou " for c in text) / max(1, len(text)), steps=[])


class Asked(HoneTest):
    LINE = json.dumps({"item": {"answer": "a"}, "sample": {"output_text": "b"}}) + "\n"

    def grade(self, grader, *words, **options):
        return json.loads(self.works("grade", "--grader", self.put("g.json", grader), "--json", *words, stdin=self.LINE, **options))

    def refused(self, grader, *words, says):
        self.fails("grade", "--grader", self.put("g.json", grader), "--json", *words, stdin=self.LINE, says=says)

    def test_a_model_of_hones_own_keeps_to_the_form(self):
        for path in (HF, GGUF):
            told = self.grade(judge(), "--judge", path)
            self.assertFalse(any(told["metadata"]["errors"].values()), told)
            self.assertTrue(0 <= told["reward"] <= 1)
            self.assertEqual(told["metadata"]["sampled_model_name"], "judge")
            self.assertGreater(told["model_grader_token_usage_per_model"]["judge"]["completion_tokens"], 10)
        label = {"type": "label_model", "name": "n", "model": "judge", "labels": ["yes", "no"], "passing_labels": ["yes"],
                 "input": [{"role": "user", "content": "{{sample.output_text}}"}]}
        # the tiny model has 512 positions, and not every reply of it ends in time: that is told
        replies = [self.grade({**label, "sampling_params": {"temperature": 1, "seed": seed}}, "--judge", HF) for seed in range(12)]
        whole = [told["reward"] for told in replies if not any(told["metadata"]["errors"].values())]
        self.assertEqual(set(whole), {0, 1})
        self.assertTrue(all("cut off" in told["metadata"]["errors"]["model_grader_server_error_details"] for told in replies
                            if any(told["metadata"]["errors"].values())))

    def test_the_same_question_gets_the_same_reply(self):
        first, second = (self.grade(judge(sampling_params={"temperature": 1, "seed": 4}), "--judge", HF) for _ in range(2))
        self.assertEqual(first["reward"], second["reward"])
        self.assertEqual(first["metadata"]["token_usage"], second["metadata"]["token_usage"])

    def test_a_model_in_the_store_answers_for_its_name(self):
        self.works("import", HF, "--name", "tiny")
        self.assertEqual(self.grade(judge("tiny"))["metadata"]["sampled_model_name"], "tiny")

    def test_who_is_not_there_is_told_before_anything_runs(self):
        self.refused(judge("gpt-4o"), says=['"gpt-4o"', "--judge", "hone.judges"])
        self.refused(judge(), "--judge", "nowhere", says=["nowhere", "judge"])
        self.refused(judge(), "--judge", "base", says=["hone grade does neither"])
        self.refused(judge(), "--judge", "ftp://host/v1", says="ftp://host/v1")
        self.refused({**CLOSE, "evaluation_metric": "cosine"}, "--embedding-model", HF, says=["cosine", '"llama"', '"bert"'])

    def test_a_key_is_sent_and_never_told(self):
        with FakeOpenAI(key="sk-secret-123") as server:
            server.chat.answers = [Structured(result=0.5, steps=[])]
            self.assertEqual(self.grade(judge(), "--judge", server.url, env={"HONE_JUDGE_KEY": "sk-secret-123"})["reward"], 0.5)
            told = self.grade(judge(), "--judge", server.url, env={"HONE_JUDGE_KEY": "sk-wrong-456789"})
            self.assertTrue(told["metadata"]["errors"]["model_grader_server_error"])
            self.assertIn("does not take the key", told["metadata"]["errors"]["model_grader_server_error_details"])
            self.assertNotIn("sk-wrong-456789", json.dumps(told))

    def test_ctrl_c_does_not_wait_for_a_judge_or_an_endpoint(self):
        self.put("a.jsonl", [{"item": {"answer": "a"}, "answer": "b"}])
        with FakeOpenAI() as server:
            server.chat.answers = server.grade.answers = [Stall(300)]
            for grader in (judge(), {"type": "endpoint", "name": "e", "url": server.root + "/grade"}):
                self.put("g.json", grader)
                n = len(server.chat.asked) + len(server.grade.asked)
                run = subprocess.Popen([HONE, "grade", "--grader", "g.json", "--answers", "a.jsonl", "--judge", server.url],
                                       cwd=self.folder, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                while run.poll() is None and len(server.chat.asked) + len(server.grade.asked) == n:
                    time.sleep(0.01)
                run.send_signal(signal.SIGINT)
                said = run.communicate(timeout=60)[1]
                self.assertIn("stopped on request", said)
                self.assertEqual(run.returncode, 1)

    def test_a_question_ends_with_its_time(self):
        with FakeOpenAI() as server:
            server.chat.answers = [Stall(30)]
            told = self.grade(judge(), "--judge", server.url, "--judge-timeout", "0.5")
            self.assertTrue(told["metadata"]["errors"]["model_grader_server_error"])
            self.assertLess(told["metadata"]["execution_time"], 10)


class Jobs(HoneTest):
    def columns(self, run="run"):
        with open(self.path(run, "metrics.csv"), newline="") as stream:
            return list(csv.DictReader(stream))

    def test_the_base_that_is_trained_judges_itself(self):
        job = self.job(grader=judge("self", deterministic=True), hone={"judges": {"self": "base"}, "max_steps": 2, "max_grader_errors": 1})
        result = self.train(job, "--out", "run")[-1]
        self.assertEqual((result["steps"], result["max_dlogp"]), (2, 0))
        # the judge stands aside: what it says depends on its question alone, so the run is the same again
        again = self.train(job, "--out", "again", "--threads", "1")[-1]
        self.assertEqual(again["adapter_sha256"], result["adapter_sha256"])
        row = self.columns()[-1]
        self.assertGreater(float(row["usage/graders/judged/train_completion_tokens_count"]), 0)
        self.assertGreater(float(row["model_graders_token_usage/self/train_prompt_tokens"]), 0)

    def test_a_model_whose_weights_change_cannot_judge(self):
        job = self.job(grader=judge(), hone={"judges": {"*": "base"}, "lora_rank": 0})
        self.fails("train", job, "--out", "run", "--json", says=["base", "lora_rank 0"])

    def test_names_of_a_job_have_judges_of_their_own(self):
        with FakeOpenAI(key="k-123456") as one, FakeOpenAI() as two:
            one.chat.answers = two.chat.answers = [letters]
            grader = {"type": "multi", "graders": {"a": judge("first"), "b": judge("second")}, "calculate_output": "(a + b) / 2"}
            judges = {"first": {"base_url": one.url, "model": "real-name", "api_key_env": "MY_KEY"}, "*": two.url}
            job = self.job(grader=grader, hone={"judges": judges, "max_steps": 1})
            self.train(job, "--out", "run", env={"MY_KEY": "k-123456", "HONE_JUDGE_KEY": "k-654321"})
            self.assertEqual({request.body["model"] for request in one.chat.asked}, {"real-name"})
            self.assertEqual({request.body["model"] for request in two.chat.asked}, {"second"})
            self.assertEqual({request.headers.get("authorization") for request in two.chat.asked}, {"Bearer k-654321"})
            self.assertNotIn("k-123456", self.read("run", "job.json") + self.read("run", "events.jsonl"))
            row = self.columns()[-1]
            self.assertEqual(float(row["usage/graders/a/train_prompt_tokens_count"]) % 190, 0)
            self.assertGreater(float(row["model_graders_token_usage/second/train_cached_tokens"]), 0)

    def test_equal_answers_are_asked_for_once(self):
        with FakeOpenAI() as server:
            server.chat.answers = [letters]
            grader = {**judge(sampling_params={"temperature": 0}),
                      "input": [{"role": "user", "content": "{{item.messages}}|{{sample.output_text}}"}]}
            job = self.job(grader=grader, hone={"judges": {"*": server.url}, "max_tokens": 1, "max_steps": 3})
            self.train(job, "--out", "run")
            asked = [json.dumps(request.body["messages"]) for request in server.chat.asked]
            self.assertEqual(len(asked), len(set(asked)))
            rates = [float(row["grader_cache_hit_rate"]) for row in self.columns() if row["grader_cache_hit_rate"]]
            self.assertTrue(rates and all(0 <= rate <= 1 for rate in rates) and max(rates) > 0, rates)

    def test_a_judge_that_fails_now_and_then_stops_nothing(self):
        with FakeOpenAI() as server:
            fails = lambda request: zlib.crc32(request.body["messages"][-1]["content"].encode()) % 5 == 0  # noqa: E731
            server.chat.answers = [lambda request: Failure(400) if fails(request) else letters(request)]
            job = self.job(grader=judge(), hone={"judges": {"*": server.url}, "max_steps": 2})
            self.assertEqual(self.train(job, "--out", "run")[-1]["steps"], 2)
            n = sum(map(fails, server.chat.asked))
            self.assertTrue(0 < n < len(server.chat.asked) / 2, n)

    def test_a_judge_that_is_down_ends_the_job_with_its_cause(self):
        with FakeOpenAI() as server:
            server.chat.answers = [Failure(404, message="no such model")]
            job = self.job(grader=judge(), hone={"judges": {"*": server.url}, "max_steps": 2})
            run = self.hone("train", job, "--out", "run", "--json")
            self.assertEqual(run.returncode, 1)
            self.assertIn("no such model", self.read("run", "events.jsonl"))
            self.assertIn("max_grader_errors", run.stderr)

    def test_mistakes_in_the_settings_are_named(self):
        for judges, says in (([], "an object of names"), ({"judge": 1}, "an address, a model or an object"), ({"judge": {}}, "base_url"),
                             ({"judge": {"base_url": 1}}, "base_url"), ({"judge": {"url": "http://h/v1"}}, '"url" is no setting'),
                             ({"judge": {"base_url": "http://h/v1", "api_key_env": "NOT_SET_HERE"}}, "NOT_SET_HERE")):
            with self.subTest(judges):
                self.fails("train", self.job(grader=judge(), hone={"judges": judges}), "--out", "run", "--json", says=says)
        self.fails("train", self.job(hone={"embedding_model": 3}), "--out", "run", "--json", says="hone.embedding_model")

    def test_cosine_rewards_in_a_job(self):
        job = self.job(grader={**CLOSE, "evaluation_metric": "cosine"}, hone={"embedding_model": ENCODER, "max_steps": 2})
        self.assertEqual(self.train(job, "--out", "run")[-1]["steps"], 2)

    def test_eval_lets_the_measured_model_judge(self):
        self.put("d.jsonl", rows(2))
        self.put("g.json", judge())
        told = self.json("eval", "--model", HF, "--data", "d.jsonl", "--grader", "g.json", "--judge", "base", "--max-tokens", "4",
                         "--compare", HF)
        self.assertEqual(told["n"], 2)
        self.assertEqual(told["compare"][0]["reward_mean"], told["reward_mean"])


if __name__ == "__main__":
    unittest.main()
