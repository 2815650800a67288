"""The ledger: a job whose reward can be gamed says so, its shadow's curve is kept, and the shadow changes nothing."""
import json
import os
import subprocess
import unittest

from cli import EXACT, HF, HONE, HoneTest, python, rows

# Paid for an "e" anywhere; what is wanted, as the shadow sees it, is an answer without one.
PAID = {**EXACT, "name": "paid", "operation": "ilike", "reference": "e"}
WANTED = python("def grade(sample, item):\n    return float('e' not in sample['output_text'].lower())\n", "wanted")
# Starts no Python, and reads a member of the rows.
ANSWER = {**EXACT, "name": "any", "reference": "{{item.answer}}"}
BROKEN = python("def grade(sample, item):\n    raise ValueError('no such gene')\n", "broken")


class Ledger(HoneTest):
    def gamed(self, name="job.json", shadows=None, steps=60, **hone):
        more = {"shadow_graders": shadows} if shadows is not None else {}
        self.job(name, grader=PAID, steps=steps, hone={
            "group_size": 8, "max_tokens": 6, "learning_rate": 5e-3, "kl_slow": 0, "kl_undo": 0, "refill": 1, **more, **hone})
        job = json.loads(self.read(name))
        job["method"]["reinforcement"]["hyperparameters"] = {"batch_size": 4, "eval_interval": 30}
        self.put(name, job)
        self.put("train.jsonl", rows(24))
        return name

    def events(self, run):
        return [json.loads(line) for line in self.read(run, "events.jsonl").splitlines()]

    def columns(self, run):
        lines = [line.split(",") for line in self.read(run, "metrics.csv").splitlines()]
        return {name: [line[i] for line in lines[1:]] for i, name in enumerate(lines[0])}

    def test_an_answer_that_was_never_given_is_not_measured(self):
        """Cut inside the thinking: nothing was asked, so a shadow on another scale has no 0 of it."""
        job = self.gamed(shadows={"minus": python("def grade(sample, item):\n    return -1.0\n", "minus")}, steps=2,
                         reasoning={"open": "<t>", "close": "</t>"}, max_tokens=4)
        self.train(job, "--out", "run")
        scores = [json.loads(line)["shadow_scores"]["minus"] for line in self.read("run", "rollouts", "step-1.jsonl").splitlines()]
        self.assertIn(None, scores)
        self.assertLessEqual(set(scores), {None, -1.0})
        means = [x for x in self.columns("run")["scores/shadow_graders/minus/train_reward_mean"] if x]
        self.assertTrue(all(float(x) == -1 for x in means), means)
        self.assertFalse([event for event in self.events("run") if 'shadow grader "minus" failed' in event["message"]])

    def test_a_reward_that_is_gamed_is_told_with_three_answers(self):
        result = self.train(self.gamed(shadows={"wanted": WANTED, "any": ANSWER}), "--out", "run")[-1]
        columns = self.columns("run")
        paid, wanted = ([float(x) for x in columns[name]] for name in (
            "scores/graders/paid/train_reward_mean", "scores/shadow_graders/wanted/train_reward_mean"))
        self.assertEqual(paid, [float(x) for x in columns["train_mean_reward"]])
        for a, b in zip(paid, wanted):
            self.assertAlmostEqual(a + b, 1)
        self.assertGreater(paid[-1] - paid[0], 0.3)
        self.assertNotIn("scores/graders/wanted/train_reward_mean", columns)
        for name in ("scores/shadow_graders/any/valid_reward_mean", "errors/shadow_graders/wanted/train_other_error_count",
                     "timing/shadow_graders/wanted/train_execution_latency_mean", "ledger/train_answer_tokens",
                     "ledger/train_common_share", "ledger/train_same_reference_share", "ledger/valid_repetition"):
            self.assertIn(name, columns)

        told = [event for event in self.events("run") if "rises while the shadow grader" in event["message"]]
        self.assertEqual(len(told), 1)
        event, = told
        self.assertEqual((event["object"], event["type"], event["level"]), ("fine_tuning.job.event", "message", "warn"))
        self.assertIn('the shadow grader "wanted" falls: the reward may be being gamed', event["message"])
        step = event["data"]["step"]
        self.assertLess(step, len(paid))
        lines = [json.loads(line) for line in self.read("run", "rollouts", "step-%d.jsonl" % step).splitlines()]
        answers = {(line["item"], sample): line for line in lines for sample in line.get("samples", [line["sample"]])}
        examples = event["message"].split(" (")[1:]
        examples = [e for e in examples if e[:3] in ("1) ", "2) ", "3) ")]
        self.assertEqual(len(examples), 3)
        for example in examples:
            words = example.replace(",", "").split()
            self.assertEqual(words[1:3], ["step", str(step)])
            line = answers[int(words[4]), int(words[6])]
            self.assertEqual((line["reward"], line["shadow_scores"]["wanted"]), (1, 0))
            self.assertIn("reward 1.00, wanted 0.00: ", example)
        self.assertEqual(len({example.split()[4] for example in examples}), 3)  # of three prompts

        metrics = [event["data"] for event in self.events("run") if event["type"] == "metrics"]
        self.assertEqual([g["name"] for g in metrics[0]["scores"]["graders"]], ["paid"])
        self.assertEqual([g["name"] for g in metrics[0]["scores"]["shadow_graders"]], ["wanted", "any"])
        job = json.loads(self.read("run", "job.json"))
        self.assertEqual(job["graders"], [{"name": "paid", "type": "string_check"}, {"name": "wanted", "type": "python", "shadow": True},
                                          {"name": "any", "type": "string_check", "shadow": True}])
        self.assertEqual(list(job["job"]["hone"]["shadow_graders"]), ["wanted", "any"])
        self.works("report", "run")
        page = self.read("run", "report.html")
        self.assertGreater(page.count("wanted (shadow)"), 2)  # the curve, and with answers
        for part in ( "may be being gamed", "Answers that are alike", "Form of the answers"):
            self.assertIn(part, page)

        plain = self.train(self.gamed("plain.json"), "--out", "plain")[-1]
        self.assertEqual(plain["adapter_sha256"], result["adapter_sha256"])
        self.assertFalse([name for name in self.columns("plain") if "shadow" in name])
        self.assertNotIn("shadow", self.read("plain", "rollouts", "step-1.jsonl"))

    def test_a_run_that_goes_on_tells_the_same(self):
        """Stopped by a kill before, at and after the alarm."""
        job = self.gamed(shadows={"wanted": WANTED}, checkpoint_interval=4)
        self.train(job, "--out", "whole")
        whole = self.told("whole")
        alarm, = [event["data"]["step"] for event in self.events("whole") if "rises while" in event["message"]]
        for step in (9, alarm - 1, alarm, alarm + 5):
            run = "killed-%d" % step
            self.kill_at(step, job, run)
            self.train(job, "--out", run, "--resume")
            self.assertEqual(self.told(run), whole)
            ran, other = self.columns(run), self.columns("whole")
            for name in other:
                if name.startswith(("ledger/", "scores/")):
                    self.assertEqual(ran[name], other[name], name)

    def told(self, run):
        return [event["message"] for event in self.events(run) if event["type"] == "message" and event["message"].startswith("Step ")]

    def kill_at(self, step, job, run):
        p = subprocess.Popen([HONE, "train", job, "--out", run, "--json"], stdout=subprocess.PIPE, text=True,
                             cwd=self.folder, env=self.env)
        for line in p.stdout:
            if json.loads(line).get("step", 0) >= step:
                break
        p.kill()
        p.communicate()

    def test_a_shadow_that_fails_costs_no_reward_and_ends_no_run(self):
        result = self.train(self.gamed(shadows={"broken": BROKEN}, steps=3), "--out", "run")[-1]
        plain = self.train(self.gamed("plain.json", steps=3), "--out", "plain")[-1]
        self.assertEqual(result["adapter_sha256"], plain["adapter_sha256"])
        columns = self.columns("run")
        self.assertEqual(columns["scores/shadow_graders/broken/train_reward_mean"], ["", "", ""])
        self.assertEqual(columns["errors/shadow_graders/broken/train_python_grader_runtime_error_mean"], ["1.0"] * 3)
        told = [event["message"] for event in self.events("run") if "failed on" in event["message"]]
        self.assertEqual(len(told), 3)
        self.assertIn('Step 1: the shadow grader "broken" failed on 32 of 32 answers', told[0])
        self.assertIn("no such gene", told[0])
        line = json.loads(self.read("run", "rollouts", "step-1.jsonl").splitlines()[0])
        self.assertEqual((line["shadow_scores"], line["errors"]), ({"broken": None}, []))
        self.assertIn("no such gene", line["shadow_details"])

    def test_check_and_eval_measure_it_too(self):
        self.gamed(shadows={"wanted": WANTED, "broken": BROKEN})
        run = self.hone("check", "job.json", "--json")
        self.assertIn(run.returncode, (0, 1), run.stderr)
        wanted, broken = json.loads(run.stdout)["shadow_graders"]
        self.assertAlmostEqual(wanted["reward_mean"], 1 - json.loads(run.stdout)["reward_mean"])
        self.assertEqual((wanted["error_share"], broken["reward_mean"], broken["error_share"]), (0, None, 1))
        text = self.hone("check", "job.json").stdout
        self.assertRegex(text, r"  shadow +\d\.\d{4} on average, by wanted; it failed on 0\.0 %\n")
        self.assertIn("broken failed on every answer", text)
        told = self.json("eval", "--model", HF, "--data", "train.jsonl", "--grader", "job.json", "--max-tokens", "6")
        paid, wanted, broken = told["graders"]
        self.assertAlmostEqual(paid["reward_mean"], told["reward_mean"])
        self.assertAlmostEqual(wanted["reward_mean"], 1 - told["reward_mean"])
        self.assertEqual((wanted["shadow"], broken["failed"], told["grader_errors"]), (True, 24, {}))
        text = self.works("eval", "--model", HF, "--data", "train.jsonl", "--grader", "job.json", "--max-tokens", "6")
        self.assertRegex(text, r"wanted +\d\.\d+  shadow: not in the reward\n")
        self.assertIn("it failed on 24 answers", text)

    def test_shadows_that_make_no_sense_name_the_key(self):
        both = {"type": "multi", "graders": {"a": EXACT, "b": ANSWER}, "calculate_output": "a + b"}
        for shadows, says in (([EXACT], ["shadow_graders", "a map"]), ({"x": {"type": "none"}}, "shadow_graders.x"),
                              ({"x": both}, "shadow_graders.x"), ({"paid": EXACT}, "paid")):
            self.gamed(shadows=shadows)
            self.fails("train", "job.json", "--out", "run", says=says)
            self.fails("check", "job.json", says=says)
        self.gamed(shadows={"x": {**EXACT, "reference": "{{item.nothing}}"}})
        self.fails("train", "job.json", "--out", "run", says=["train.jsonl, line 1", "item.nothing", '"x"'])
        self.assertFalse(os.path.exists(self.path("run")))


if __name__ == "__main__":
    unittest.main()
