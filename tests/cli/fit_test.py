"""train and check for the methods whose rows say what to answer: supervised and dpo, from the job to the adapter."""
import csv
import json
import math
import os
import random
import subprocess
import time
import unittest

from cli import CLOSE, HF, HONE, TINY, HoneTest, rows

COLUMNS = ["step", "train_loss", "train_mean_token_accuracy", "valid_loss", "valid_mean_token_accuracy",
           "full_valid_loss", "full_valid_mean_token_accuracy"]
REWARDS = ["rewards/chosen", "rewards/rejected", "rewards/accuracies", "rewards/margins"]


def ask(i):
    return {"role": "user", "content": "%d%s" % (i, "abc"[i % 3])}


def said(text):
    return {"role": "assistant", "content": text}


def conversations(n, first=0):
    return [{"messages": [ask(i), said("abc"[i % 3] * 2)]} for i in range(first, first + n)]


def pairs(n, first=0):
    return [{"input": {"messages": [ask(i)], "tools": [], "parallel_tool_calls": True},
             "preferred_output": [said("abc"[i % 3] * 2)], "non_preferred_output": [said("no")]}
            for i in range(first, first + n)]


class Fit(HoneTest):
    def fit_job(self, method="supervised", n=10, hyper=None, hone=None, name="job.json", **more):
        make = pairs if method == "dpo" else conversations
        self.put("train.jsonl", make(n))
        self.put("valid.jsonl", make(4, 50))
        return self.put(name, {
            "model": HF, "training_file": "train.jsonl", "validation_file": "valid.jsonl", "seed": 3,
            "method": {"type": method, method: {"hyperparameters": {"batch_size": 4, "n_epochs": 4, **(hyper or {})}}},
            "hone": {"lora_rank": 4, "learning_rate": 5e-3, **(hone or {})}, **more})

    def events(self, folder):
        return [json.loads(line) for line in self.read(folder, "events.jsonl").splitlines()]

    def metrics(self, folder):
        return [event for event in self.events(folder) if event["type"] == "metrics"]

    def table(self, folder):
        return list(csv.DictReader(self.read(folder, "metrics.csv").splitlines()))

    def test_a_supervised_job_becomes_a_run(self):
        lines = self.train(self.fit_job(hone={"eval_interval": 5}), "--out", "run")
        result = lines[-1]
        self.assertEqual((result["type"], result["method"], result["steps"], result["n_epochs"]),
                         ("result", "supervised", 12, 4))
        self.assertLess(result["valid"]["loss"], result["base_valid"]["loss"] / 2)
        events = self.metrics("run")
        self.assertEqual([event["data"]["step"] for event in events], list(range(1, 13)))
        for event in events:
            data, step = event["data"], event["data"]["step"]
            valid, full = step % 3 == 0 or step == 5 or step == 10, step % 3 == 0
            self.assertEqual(data["total_steps"], 12)
            for key in ("train_loss", "train_mean_token_accuracy"):
                self.assertIsInstance(data[key], float)
            self.assertEqual([key in data for key in COLUMNS[3:]], [valid, valid, full, full])
            text = "Step %d/12: training loss=%.2f" % (step, data["train_loss"])
            text += ", validation loss=%.2f" % data["valid_loss"] if valid else ""
            text += ", full validation loss=%.2f" % data["full_valid_loss"] if full else ""
            self.assertEqual(event["message"], text)
        self.assertEqual(self.read("run", "metrics.csv").splitlines()[0], ",".join(COLUMNS))
        for row, event in zip(self.table("run"), events, strict=True):
            for key in COLUMNS:
                self.assertEqual(row[key], json.dumps(event["data"][key]) if key in event["data"] else "", key)
        checkpoints = json.loads(self.read("run", "checkpoints.json"))
        self.assertEqual([c["step_number"] for c in checkpoints], [3, 6, 9, 10, 12])
        self.assertEqual(set(checkpoints[0]["metrics"]), set(COLUMNS))
        self.assertEqual(sorted(os.listdir(self.path("run", "checkpoints"))), ["step-12", "step-6", "step-9"])
        resolved = json.loads(self.read("run", "job.json"))["resolved"]
        self.assertEqual((resolved["batch_size"], resolved["n_epochs"], resolved["total_steps"], resolved["schedule"]),
                         (4, 4, 12, "linear"))
        told, = self.lines("chat", "--model", "run", "--max-tokens", "4", stdin=[{"messages": [ask(1)]}])
        self.assertEqual(told["object"], "chat.completion")

    def test_a_dpo_job_becomes_a_run(self):
        result = self.train(self.fit_job("dpo", hyper={"beta": 0.2}), "--out", "run")[-1]
        self.assertEqual(self.read("run", "metrics.csv").splitlines()[0],
                         ",".join(COLUMNS + REWARDS + ["full_valid_" + key for key in REWARDS]))
        first, last = self.table("run")[0], self.table("run")[-1]
        self.assertAlmostEqual(float(first["train_loss"]), math.log(2), places=14)
        self.assertEqual([float(first[key]) for key in REWARDS], [0, 0, 0, 0])
        self.assertEqual(float(last["full_valid_rewards/accuracies"]), 1)
        self.assertAlmostEqual(float(last["rewards/margins"]),
                               float(last["rewards/chosen"]) - float(last["rewards/rejected"]), places=12)
        data = self.metrics("run")[-1]["data"]
        self.assertEqual([data[key] for key in REWARDS], [float(last[key]) for key in REWARDS])
        self.assertEqual(result["valid"]["rewards/accuracies"], 1)
        self.assertEqual(len(json.loads(self.read("run", "reference.json"))["train"]), 20)

    def test_a_job_without_method_is_supervised(self):
        self.fit_job()
        self.put("plain.json", {"model": HF, "training_file": "train.jsonl", "hyperparameters": {"n_epochs": 1},
                                "hone": {"lora_rank": 2}})
        result = self.train("plain.json", "--out", "run")[-1]
        self.assertEqual((result["method"], result["steps"]), ("supervised", 10))
        self.assertNotIn("valid", result)
        words = ("--model", HF, "--train", "train.jsonl", "--set", "n_epochs=1", "--set", "batch_size=5",
                 "--set", "lora_rank=2")
        self.assertEqual(self.train(*words, "--out", "set")[-1]["steps"], 2)
        job = json.loads(self.read("set", "job.json"))["job"]
        self.assertEqual(job["method"], {"supervised": {"hyperparameters": {"n_epochs": 1, "batch_size": 5}},
                                         "type": "supervised"})
        self.put("pairs.jsonl", pairs(4))
        result = self.train("--model", HF, "--train", "pairs.jsonl", "--set", "method.type=dpo", "--set", "beta=0.3",
                            "--set", "lora_rank=2", "--out", "dpo")[-1]
        self.assertEqual(result["method"], "dpo")
        self.assertEqual(json.loads(self.read("dpo", "job.json"))["resolved"]["beta"], 0.3)

    def test_the_first_loss_is_the_mean_of_what_score_prints(self):
        self.fit_job(hyper={"batch_size": 10})
        first = [line for line in self.train("job.json", "--out", "run") if line["type"] == "metrics"][0]
        losses = []
        for row in conversations(10):
            prompt = "<|im_start|>user\n%s<|im_end|>\n<|im_start|>assistant\n" % row["messages"][0]["content"]
            text = prompt + row["messages"][1]["content"] + "<|im_end|>"
            given, whole = self.lines("score", "--model", HF, stdin=[{"text": prompt}, {"text": text}])
            self.assertEqual(whole["ids"][:len(given["ids"])], given["ids"])
            losses += [-x for x in whole["logprobs"][len(given["ids"]):]]
        self.assertEqual(first["train_tokens"], len(losses))
        self.assertAlmostEqual(first["train_loss"], math.fsum(losses) / len(losses), places=6)

    def test_a_file_of_another_method_is_told(self):
        self.fit_job("supervised")
        self.put("train.jsonl", pairs(2))
        self.fails("train", "job.json", "--out", "run",
                   says='train.jsonl, line 1 has "preferred_output": that is a file for method dpo, and this job\'s method is supervised')
        self.fit_job("dpo")
        self.put("valid.jsonl", "\n" + json.dumps(conversations(1)[0]))
        self.fails("train", "job.json", "--out", "run", says=["valid.jsonl, line 2 has", "method supervised", "method is dpo"])
        self.job("rft.json")
        self.put("train.jsonl", pairs(2))
        self.fails("train", "rft.json", "--out", "run", says=["train.jsonl, line 1 has", "method dpo"])
        self.fit_job()
        self.put("train.jsonl", rows(2))
        self.fails("check", "job.json", says=["train.jsonl, line 1 has", "method reinforcement", "method is supervised"])
        self.assertFalse(os.path.exists(self.path("run")))

    def test_a_row_that_cannot_be_learned_is_told_with_its_line(self):
        self.fit_job()
        self.put("train.jsonl", conversations(1) + [{"messages": [ask(1), said("x" * 3000)]}])
        self.fails("train", "job.json", "--out", "run", says=["train.jsonl, line 2: the row has", "positions"])
        template = self.put("t.jinja", "{{ messages|length }}")
        self.fit_job()
        self.fails("train", "job.json", "--out", "other", "--template", template,
                   says=["rendering", "train.jsonl, line 1", "the chat template begins messages[1] otherwise"])

    def test_threads_do_not_change_the_adapter(self):
        for method in ("supervised", "dpo"):
            job = self.fit_job(method)
            one, two = (self.train(job, "--out", method + n, "--threads", n)[-1]["adapter_sha256"] for n in "12")
            self.assertEqual(one, two)
            self.assertEqual(self.read(method + "1", "metrics.csv"), self.read(method + "2", "metrics.csv"))

    def test_however_often_it_is_killed_it_ends_the_same(self):
        dice = random.Random(5)
        for method in ("supervised", "dpo"):
            self.fit_job(method, n=40, hyper={"n_epochs": 5}, hone={"checkpoint_interval": 3})
            begin = time.monotonic()
            whole = self.train("job.json", "--out", method)[-1]
            seconds = time.monotonic() - begin
            folder = method + "-killed"
            for _ in range(4):
                on = ["--resume"] if os.path.exists(self.path(folder, "job.json")) else []
                run = subprocess.Popen([HONE, "train", "job.json", "--out", folder, *on], cwd=self.folder,
                                       env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                time.sleep(dice.uniform(0, seconds / 2))
                run.kill()
                run.communicate()
            on = ["--resume"] if os.path.exists(self.path(folder, "job.json")) else []
            result = self.train("job.json", "--out", folder, *on)[-1]
            self.assertEqual(result["adapter_sha256"], whole["adapter_sha256"])
            self.assertEqual(self.read(folder, "metrics.csv"), self.read(method, "metrics.csv"))
            self.assertEqual(result["base_valid"], whole["base_valid"])
            self.assertEqual(sorted(os.listdir(self.path(folder, "checkpoints"))),
                             sorted(os.listdir(self.path(method, "checkpoints"))))
            steps, other = ([(c["step_number"], c["metrics"]) for c in json.loads(self.read(f, "checkpoints.json"))]
                            for f in (folder, method))
            self.assertEqual(steps, other)

    def test_every_method_goes_on_from_a_fine_tuned_model(self):
        made = self.train(self.fit_job(suffix="first"))[-1]
        learned = made["valid"]["loss"]
        again = self.train(self.fit_job(model=made["fine_tuned_model"], hone={"lora_rank": 9}), "--out", "again")[-1]
        self.assertEqual(again["base_valid"]["loss"], learned)
        self.assertIn("has rank 4, so the new one has it too; the job's is 9", self.read("again", "events.jsonl"))
        self.train(self.fit_job("dpo", model=made["run"]), "--out", "dpo")
        first = self.table("dpo")[0]
        self.assertAlmostEqual(float(first["train_loss"]), math.log(2), places=14)
        line = [{"text": "abc"}]
        self.assertEqual(self.lines("score", "--model", "dpo", stdin=line),
                         self.lines("score", "--model", HF, "--adapter", "dpo", stdin=line))
        self.assertNotEqual(self.lines("score", "--model", "dpo", stdin=line),
                            self.lines("score", "--model", "again", stdin=line))
        result = self.train(self.job("rft.json", model=made["adapter"]), "--out", "rft")[-1]
        self.assertEqual((result["steps"], result["max_dlogp"]), (4, 0))
        config = json.loads(self.read("rft", "checkpoints", "step-4", "adapter_config.json"))
        self.assertEqual((config["r"], os.path.basename(config["base_model_name_or_path"])), (4, "hf"))
        # the run's own notes lead a resume to the adapter that it began with
        os.rename(self.path("home", "runs", "first"), self.path("moved"))
        self.put("t.jsonl", conversations(6))
        words = ("--model", "moved", "--train", "t.jsonl", "--set", "lora_rank=4", "--set", "max_steps=4")
        want = self.train(*words, "--out", "whole")[-1]
        run = subprocess.Popen([HONE, "train", *words, "--out", "cut", "--json"], cwd=self.folder, env=self.env,
                               stdout=subprocess.PIPE, text=True)
        while json.loads(run.stdout.readline()).get("step") != 1:
            pass
        run.kill()
        run.communicate()
        self.assertEqual(self.train("--out", "cut", "--resume")[-1]["adapter_sha256"], want["adapter_sha256"])

    def test_a_run_has_a_precision_of_its_own(self):
        q4 = os.path.join(TINY, "tiny-q4_1.gguf")
        job = self.job(model=q4)
        line = [{"text": "abc"}]
        hashes = [self.train(job, "--out", out, *more)[-1]
                  for out, more in (("f32", ("--precision", "f32")), ("int8", ()), ("set", ("--set", "precision=int8")),
                                    ("one", ("--precision", "int8", "--threads", "1")))]
        self.assertEqual([h["max_dlogp"] for h in hashes], [0, 0, 0, 0])
        f32, int8, *same = [h["adapter_sha256"] for h in hashes]
        self.assertNotEqual(f32, int8)
        self.assertEqual(same, [int8, int8])
        self.assertEqual(json.loads(self.read("int8", "job.json"))["resolved"]["precision"], "int8")
        # what answers for a run computes as it was trained, unless it is told otherwise
        for run, own, other in (("f32", "f32", "int8"), ("int8", "int8", "f32")):
            scores = [self.lines("score", "--model", run, *more, stdin=line) for more in
                      ((), ("--precision", own), ("--precision", other))]
            self.assertEqual(scores[0], scores[1])
            self.assertNotEqual(scores[0], scores[2])
        # and nobody goes on with it in another one
        self.fails("train", job, "--out", "int8", "--resume", "--precision", "f32", says="precision")
        # what the environment says counts where the job leaves it open
        self.env["HONE_PRECISION"] = "f32"
        for said, in_force in (("auto", "f32"), (None, "f32"), ("int8", "int8")):
            self.train(self.job(model=q4, hone={"precision": said}), "--out", "said-%s" % said)
            self.assertEqual(json.loads(self.read("said-%s" % said, "job.json"))["resolved"]["precision"], in_force)
        self.fails("train", job, "--out", "x", "--set", "precision=int4", says='must be "f32" or "int8"')

    def test_a_run_keeps_keys_and_values_in_its_own_way(self):
        job = self.job()
        line = [{"text": "abc"}]
        runs = {out: self.train(job, "--out", out, *more)[-1] for out, more in (
            ("f32", ("--kv-cache", "f32")), ("f16", ("--kv-cache", "f16")), ("set", ("--set", "kv_cache=f16", "--threads", "1")),
            ("q8", ("--kv-cache", "q8_0")), ("unsaid", ()), ("auto", ("--kv-cache", "auto")), ("floats", ("--precision", "f32")))}
        self.assertEqual([r["max_dlogp"] for r in runs.values()], [0] * len(runs))
        sums = {out: r["adapter_sha256"] for out, r in runs.items()}
        for out in ("set", "unsaid", "auto"):
            self.assertEqual(sums[out], sums["f16"])
        self.assertEqual(len({sums[out] for out in ("f32", "f16", "q8")}), 3)
        self.assertEqual([json.loads(self.read(out, "job.json"))["resolved"]["kv_cache"] for out in runs],
                         ["f32", "f16", "f16", "q8_0", "f16", "f16", "f32"])
        # what answers for a run keeps them as it was trained, unless it is told otherwise
        scores = [self.lines("score", "--model", "q8", *more, stdin=line) for more in
                  ((), ("--kv-cache", "q8_0"), ("--kv-cache", "f32"))]
        self.assertEqual(scores[0], scores[1])
        self.assertNotEqual(scores[0], scores[2])
        # and nobody goes on with it in another way
        self.fails("train", job, "--out", "q8", "--resume", "--kv-cache", "f32", says="kv_cache")
        self.fails("train", job, "--out", "x", "--set", "kv_cache=q4_0", says='must be "f32", "f16" or "q8_0"')

    def test_a_reinforced_model_starts_where_it_was(self):
        self.train(self.job(), "--out", "one")
        self.train(self.job(model="one"), "--out", "two")
        self.put("g.json", CLOSE)
        earned = {}
        for model in (HF, "one"):
            told = self.json("eval", "--model", model, "--data", "valid.jsonl", "--grader", "g.json", "--greedy",
                             "--max-tokens", "6")
            earned[model] = "(%.3f without chance)" % told["reward_mean"]
        self.assertIn(earned[HF], self.read("one", "events.jsonl"))
        self.assertIn(earned["one"], self.read("two", "events.jsonl"))
        self.assertNotEqual(earned[HF], earned["one"])

    def test_check_tells_tokens_steps_and_cost(self):
        for method in ("supervised", "dpo"):
            job = self.fit_job(method)
            told = self.json("check", job)
            ran = self.train(job, "--out", method)
            self.assertEqual((told["method"], told["steps"], told["rows_train"], told["rows_valid"]), (method, 12, 10, 4))
            self.assertEqual(told["first_loss"], ran[-1]["first_loss"])
            self.assertEqual(4 * told["learned_tokens"], ran[-1]["trained_tokens"])
            text = self.works("check", job)
            for part in ("method " + method, "12 in 4 epochs", "memory", "the longest row"):
                self.assertIn(part, text)

    def test_people_see_lines_and_what_to_do_next(self):
        text = self.works("train", self.fit_job("dpo"), "--out", "run")
        for part in ("step 12/12  epoch 4  loss", "pairs right 100 %", "Done: 12 steps in 4 epochs", "hone chat --model run"):
            self.assertIn(part, text)

    def test_a_report_says_that_it_has_nothing_to_show(self):
        self.train(self.fit_job("dpo"), "--out", "run")
        self.fails("report", "run", says=["method dpo", "metrics.csv"])


if __name__ == "__main__":
    unittest.main()
