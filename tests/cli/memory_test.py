"""train and its memory: the plan is told before the first step, kept to, and smaller where there is less."""
import json
import os
import resource
import unittest

from cli import CLOSE, ROOT, HoneTest, sanitized

REAL = os.path.join(ROOT, "models", "SmolLM2-135M-Instruct.Q4_1.gguf")
PARTS = ("process", "model", "trained", "pass", "cache", "answers", "kept")


def limited(size):
    return lambda: resource.setrlimit(resource.RLIMIT_DATA, (size, size))


class Memory(HoneTest):
    def test_the_plan_is_told_before_the_first_step_and_compared_at_the_end(self):
        lines = self.train(self.job(), "--out", "run")
        said = [line["message"] for line in lines if line["type"] == "message" and line["message"].startswith("Memory: ")]
        self.assertEqual(len(said), 2, said)
        self.assertRegex(said[0], r"^Memory: at most [\d.]+ MB of the [\d.]+ [MG]B there are: the model [\d.]+ MB, ")
        self.assertRegex(said[1], r"^Memory: [\d.]+ MB were planned, [\d.]+ MB was the most that it had\.$")
        kinds = [line["type"] for line in lines]
        self.assertLess([line.get("message") for line in lines].index(said[0]), kinds.index("metrics"))
        plan = json.loads(self.read("run", "job.json"))["resolved"]["memory_plan"]
        self.assertAlmostEqual(plan["peak"], sum(plan[part] for part in PARTS), delta=len(PARTS))
        self.assertEqual(lines[-1]["planned_bytes"], plan["peak"])
        self.assertGreater(lines[-1]["peak_bytes"], 1e6)
        self.assertFalse(plan["recomputes"])

    def test_check_tells_the_plan_that_train_makes(self):
        told = json.loads(self.hone("check", self.job(), "--json").stdout)
        self.train(self.job(), "--out", "run")
        plan = json.loads(self.read("run", "job.json"))["resolved"]["memory_plan"]
        self.assertAlmostEqual(told["memory_bytes"], told["memory_plan"]["peak"], delta=1)
        for part in ("model", "trained", "pass", "kept_all"):
            self.assertEqual(told["memory_plan"][part], plan[part], part)
        self.assertIn("  memory      at most ", self.hone("check", self.job()).stdout)

    @unittest.skipIf(sanitized(), "a sanitizer takes memory of its own")
    def test_a_job_that_cannot_fit_is_refused_with_what_would_fit(self):
        run = self.hone("train", self.job(hone={"lora_rank": 512, "max_tokens": 80, "group_size": 256}), "--out", "run",
                        preexec_fn=limited(100 << 20))
        self.assertEqual(run.returncode, 1, run.stdout)
        self.assert_sentence(run.stderr, ["the job needs at least", "would make it fit"])


@unittest.skipUnless(os.path.exists(REAL), "needs " + REAL)
@unittest.skipIf(sanitized(), "a sanitizer takes memory of its own")
class RealModel(HoneTest):
    def real(self, out, *sets, **options):
        self.put("train.jsonl", [{"messages": [{"role": "user", "content": "%s: which organ?" % w}], "answer": w}
                                 for w in ("Scoliosis", "Cataract", "Ataxia", "Hematuria")])
        self.put("grader.json", {**CLOSE, "reference": "{{item.answer}}"})
        words = ["--model", REAL, "--train", "train.jsonl", "--grader", "grader.json", "--out", out, "--seed", "1"]
        # at temperature 2 no two answers are alike, and they are as long as they may be: what is planned for
        for value in ("temperature=2", "max_steps=2", "max_tokens=24", "group_size=4", "batch_size=2", "lora_rank=16") + sets:
            words += ["--set", value]
        return self.train(*words, **options)[-1]

    def near(self, result, below=0.05):
        share = result["peak_bytes"] / result["planned_bytes"]
        self.assertTrue(1 - below < share < 1.05, result)

    def test_a_run_has_within_5_percent_of_what_was_planned_and_less_memory_changes_no_bit(self):
        plenty = self.real("plenty")
        self.near(plenty)
        little = self.real("little", "memory_bytes=1e8")
        self.near(little)
        none = self.real("none", preexec_fn=limited(640 << 20))
        self.near(none, below=0.1)  # of little, an answer that ends early is much
        self.assertLess(none["planned_bytes"], little["planned_bytes"])
        self.assertLess(little["planned_bytes"], plenty["planned_bytes"])
        self.assertEqual({plenty["adapter_sha256"]}, {little["adapter_sha256"], none["adapter_sha256"]})


if __name__ == "__main__":
    unittest.main()
