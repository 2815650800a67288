"""scripts/demo and scripts/demo-summary: the steps, the bound on training, and what is told at the end.

A stand-in for hone answers here, and the scripts that install and fetch do nothing; what is shown is that
the demo asks for the right things in the right order, and goes on or stops as it should.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SUMMARY = os.path.join(ROOT, "scripts", "demo-summary")

STAND_IN = """#!%s
import json, os, sys, time
log = os.path.join(os.environ["DEMO_TEST"], "log")
with open(log, "a") as out:
    out.write(json.dumps(sys.argv[1:]) + "\\n")
if sys.argv[1] == "eval":
    right = 0.6 if "--adapter" in sys.argv else 0.01
    json.dump({"n": 150, "reward_mean": right, "reward_ci95": 0.05, "pass_at_k": {"1": right}}, sys.stdout)
elif sys.argv[1] == "train":
    if os.environ["DEMO_TRAIN"] == "fails":
        sys.exit(1)
    out = sys.argv[sys.argv.index("--out") + 1]
    for step in (9, 10) if os.environ["DEMO_TRAIN"] != "early" else ():
        os.makedirs(os.path.join(out, "checkpoints", "step-%%d" %% step))
    if os.environ["DEMO_TRAIN"] == "validates":
        with open(os.path.join(out, "checkpoints.json"), "w") as told:
            json.dump([{"step_number": step, "metrics": {"full_valid_mean_reward": reward}}
                       for step, reward in ((8, 0.9), (9, 0.7), (10, 0.6))], told)
    if os.environ["DEMO_TRAIN"] in ("slow", "early"):
        time.sleep(60)
""" % sys.executable


class Demo(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = scratch.name
        for folder in ("scripts", "examples/rare-disease", ".venv/bin"):
            os.makedirs(os.path.join(self.folder, folder))
        for script in ("demo", "demo-summary"):
            shutil.copy(os.path.join(ROOT, "scripts", script), os.path.join(self.folder, "scripts"))
        for name in ("scripts/deps", "scripts/venv", "scripts/demo-model", ".venv/bin/python"):
            self.executable(name, "#!/bin/sh\n")
        self.executable("stand-in", STAND_IN)

    def executable(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as stream:
            stream.write(text)
        os.chmod(path, 0o755)

    def demo(self, train="works", seconds="60"):
        run = subprocess.run(
            [os.path.join(self.folder, "scripts", "demo")], capture_output=True, text=True, timeout=50,
            env={**os.environ, "HONE_BIN": os.path.join(self.folder, "stand-in"), "DEMO_TEST": self.folder,
                 "DEMO_TRAIN": train, "HONE_DEMO_SECONDS": seconds, "HONE_DEMO_RUN": "runs/demo"})
        with open(os.path.join(self.folder, "log")) as stream:
            return run, [json.loads(line) for line in stream]

    def test_it_measures_trains_measures_and_reports(self):
        run, calls = self.demo()
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual([call[0] for call in calls], ["eval", "train", "eval", "report"])
        self.assertNotIn("--adapter", calls[0])
        self.assertEqual(calls[1][1:], ["job.json", "--out", os.path.join(self.folder, "runs/demo")])
        self.assertEqual(calls[2][calls[2].index("--adapter") + 1], "runs/demo/checkpoints/step-10")
        self.assertIn("examples/rare-disease/organ/test.jsonl", calls[2])
        self.assertIn("before     1.0 % right", run.stdout)
        self.assertIn("after     60.0 % right", run.stdout)
        self.assertIn("runs/demo/report.html", run.stdout)

    def test_the_best_checkpoint_that_is_there_is_measured(self):
        _, calls = self.demo(train="validates")
        self.assertEqual(calls[2][calls[2].index("--adapter") + 1], "runs/demo/checkpoints/step-9")

    def test_the_report_finds_both_evaluations(self):
        self.demo()
        self.assertEqual(sorted(os.listdir(os.path.join(self.folder, "runs", "demo", "evals"))),
                         ["after.json", "before.json"])
        self.assertEqual(os.listdir(os.path.join(self.folder, "runs")), ["demo"])

    def test_training_is_bounded_and_what_was_trained_is_used(self):
        run, calls = self.demo(train="slow", seconds="2")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("training was stopped after 2 seconds", run.stdout)
        self.assertEqual(calls[-1][0], "report")

    def test_without_a_checkpoint_it_says_what_would_help(self):
        run, calls = self.demo(train="early", seconds="2")
        self.assertEqual(run.returncode, 1)
        self.assertIn("a larger HONE_DEMO_SECONDS", run.stderr)
        self.assertEqual(calls[-1][0], "train")

    def test_a_failed_training_stops_it(self):
        run, calls = self.demo(train="fails")
        self.assertEqual(run.returncode, 1)
        self.assertIn("training failed (exit status 1)", run.stderr)
        self.assertEqual(calls[-1][0], "train")


class Summary(unittest.TestCase):
    def summary(self, before, after):
        with tempfile.TemporaryDirectory() as folder:
            paths = [os.path.join(folder, name) for name in ("before.json", "after.json")]
            for path, result in zip(paths, (before, after)):
                with open(path, "w") as stream:
                    json.dump(result, stream)
            return subprocess.run([sys.executable, SUMMARY, *paths], capture_output=True, text=True)

    def test_a_gain_is_told(self):
        run = self.summary({"n": 150, "reward_mean": 0.01, "reward_ci95": [0.0, 0.03]},
                           {"n": 150, "reward_mean": 0.6, "reward_ci95": [0.55, 0.65]})
        self.assertEqual(run.returncode, 0)
        self.assertIn("before     1.0 % right   (95 % interval: 0.0 to 3.0)", run.stdout)

    def test_no_clear_gain_is_no_success(self):
        run = self.summary({"n": 150, "reward_mean": 0.50, "reward_ci95": [0.45, 0.55]},
                           {"n": 150, "reward_mean": 0.58, "reward_ci95": [0.53, 0.63]})
        self.assertEqual(run.returncode, 1)
        self.assertIn("no clear gain", run.stdout)

    def test_two_different_tests_are_not_compared(self):
        run = self.summary({"n": 150, "reward_mean": 0, "reward_ci95": 0.1},
                           {"n": 60, "reward_mean": 1, "reward_ci95": 0.1})
        self.assertEqual(run.returncode, 1)
        self.assertIn("not the same test", run.stderr)

    def test_a_result_that_lacks_a_key_is_refused_in_one_line(self):
        run = self.summary({"n": 150}, {"n": 150})
        self.assertEqual(run.returncode, 1)
        self.assertEqual(len(run.stderr.splitlines()), 1)
        self.assertIn("reward_mean", run.stderr)


if __name__ == "__main__":
    unittest.main()
