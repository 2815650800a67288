"""bench: what is measured and told; never how fast it was."""
import os
import re
import subprocess
import sys
import unittest

from cli import GGUF, HF, HONE, ROOT, HoneTest

SMALL = ("--model", HF, "--prompt", "10", "--answers", "3", "--tokens", "8")


class Bench(HoneTest):
    def test_the_object_of_json(self):
        told = self.json("bench", *SMALL, "--rounds", "4", "--threads", "2", "--seed", "5")
        self.assertEqual((told["model"], told["rounds"], told["threads"], told["seed"]), (HF, 4, 2, 5))
        self.assertEqual(told["kernels"], self.json("version")["kernels"])
        self.assertGreaterEqual(told["cores"], 1)
        for load in (told["load_before"], told["load_after"]):
            self.assertTrue(load is None or load >= 0)
        self.assertEqual(list(told["parts"]), ["prefill", "sample", "train", "step"])
        for name, part in told["parts"].items():
            self.assertEqual(part["unit"], "s" if name == "step" else "tok/s")
            self.assertEqual(len(part["values"]), 4)
            values = sorted(part["values"])
            self.assertGreater(values[0], 0)
            self.assertTrue(part["least"] <= part["median"] <= part["most"])
            self.assertEqual((part["least"], part["most"]), (values[0], values[-1]))
            self.assertAlmostEqual(part["median"], (values[1] + values[2]) / 2)
            self.assertGreater(part["rows"], 0)

    def test_it_tells_the_sizes(self):
        def sizes(*words):
            parts = self.json("bench", "--model", HF, "--rounds", "1", *words)["parts"]
            return {name: [part.get(key) for key in ("prompts", "sequences", "prompt_tokens", "answers", "tokens", "lora_rank")]
                    for name, part in parts.items()}
        self.assertEqual(sizes("--prompt", "10", "--answers", "3", "--tokens", "8"), {
            "prefill": [None, None, 10, None, None, None], "sample": [None, None, 10, 3, 8, None],
            "train": [None, 3, None, None, 8, 16], "step": [4, None, 10, 3, 8, 16]})
        self.assertEqual(sizes(), {
            "prefill": [None, None, 128, None, None, None], "sample": [None, None, 128, 32, 64, None],
            "train": [None, 8, None, None, 256, 16], "step": [4, None, 79, 8, 64, 16]})

    def test_a_step_has_its_parts_and_agrees_with_itself(self):
        step = self.json("bench", *SMALL, "--parts", "step")["parts"]["step"]
        self.assertEqual(step["max_dlogp"], 0)
        for part in ("sampling_s", "training_s", "update_s"):
            self.assertTrue(0 < step[part] <= step["most"])

    def test_parts_are_chosen(self):
        def parts(words):
            return list(self.json("bench", *SMALL, "--rounds", "1", "--parts", words)["parts"])
        for name in ("prefill", "sample", "train", "step"):
            self.assertEqual(parts(name), [name])
        self.assertEqual(parts("step,sample"), ["sample", "step"])

    def test_the_work_is_the_same_on_any_number_of_threads(self):
        def rows(*words):
            told = self.json("bench", *SMALL, "--rounds", "1", "--tokens", "40", *words)
            return [part["rows"] for part in told["parts"].values()]
        self.assertEqual(rows("--threads", "1"), rows("--threads", "2"))

    def test_kernels_can_be_chosen(self):
        told = self.json("bench", *SMALL, "--rounds", "1", "--parts", "prefill", "--kernels", "plain")
        self.assertEqual(told["kernels"], "plain")

    def test_people_see_a_table(self):
        text = self.works("bench", "--model", GGUF, *SMALL[2:], "--rounds", "2", "--threads", "1")
        self.assertRegex(text, r"\A\S*tiny-q8_0.gguf .*kernels, 1 thread on \d+ core")
        self.assertRegex(text, r"\n +median +least +most\n")
        number = r" +\d+(\.\d+)?"
        self.assertRegex(text, r"\n  prefill  reading a prompt of 10 tokens" + 3 * number + " tok/s\n")
        self.assertRegex(text, r"\n  sample   3 answers of 8 tokens behind one prompt of 10" + 3 * number + " tok/s\n")
        self.assertRegex(text, r"\n  train    .*LoRA rank 16, 3 x 8 tokens" + 3 * number + " tok/s\n")
        self.assertRegex(text, r"\n  step     4 prompts of 10 tokens, 3 answers of 8 to each" + 3 * number + " s\n")
        self.assertRegex(text, r"\n +of which sampling")
        self.assertRegex(text, r"\nMeasured 2 times each, after one warm-up\. .*100 of them take")
        text = self.works("bench", *SMALL, "--rounds", "1", "--parts", "train")
        self.assertNotIn("sample", text)
        self.assertNotIn("100 of them", text)

    def test_a_wrong_call_is_one_sentence(self):
        self.fails("bench", status=2, says="bench needs --model M")
        self.fails("bench", "--model", "none", says='"none"')
        self.fails("bench", *SMALL, "--parts", "step,sampel", status=2, says='--parts has "sampel"; did you mean "sample"?')
        for words in ("", ",", "sample,", "everything"):
            self.fails("bench", *SMALL, "--parts", words, status=2, says=["--parts", "prefill, sample, train and step"])
        for option, value in (("--rounds", "0"), ("--prompt", "0"), ("--answers", "none"), ("--tokens", "1"),
                              ("--answers", "1025"), ("--threads", "-1")):
            self.fails("bench", *SMALL, option, value, status=2, says=[option, "a whole number"])
        self.fails("bench", *SMALL, "text", status=2, says="bench takes options only")

    def test_what_does_not_fit_is_told_before_anything_is_measured(self):
        self.fails("bench", *SMALL, "--tokens", "600", says=["sample: a prompt of 10", "600 tokens", "512 positions"])
        self.fails("bench", *SMALL, "--parts", "prefill,step", "--context", "15", says=["step", "15 positions"])


class Compare(HoneTest):
    """bench/compare.py, with peers that only say how fast they were."""

    def compare(self, says, *words, rounds=2):
        peer = self.put("peer", "#!/bin/sh\necho '%s'\n" % says)
        os.chmod(peer, 0o755)
        return subprocess.run([sys.executable, os.path.join(ROOT, "bench", "compare.py"), GGUF, "--hone", HONE,
                               "--rounds", str(rounds), "--threads", "1", *(peer if w == "PEER" else w for w in words)],
                              capture_output=True, text=True, timeout=120, env=self.env)

    def test_each_part_stands_beside_its_peer(self):
        for says, words in (("|  128 |  64 |  32 | 2176 | 1.0 | 128.0 | 20.0 | 102.4 | 21.0 | 103 |", ["--llama", "PEER"]),
                            ("torch tok_s=102.4 seconds=20.00", ["--hf", "x", "--python", "PEER"]),
                            ("trl seconds=102.4", ["--hf", "x", "--python", "PEER", "--trl"])):
            run = self.compare(says, *words)
            self.assertEqual(run.returncode, 0, run.stderr)
            self.assertEqual(len(re.findall(r"median +[\d.]+ +min +[\d.]+ +max +[\d.]+ .*\(2 runs\)", run.stdout)), 2, run.stdout)
            self.assertIn("median    102.4", run.stdout)
            self.assertRegex(run.stdout, r"\nratio [\d.]+ \(above 1: hone is faster\)\n\Z")

    def test_a_failure_is_told(self):
        run = self.compare("", "--llama", "PEER", "--hone", "nowhere")
        self.assertEqual((run.returncode, run.stderr), (1, "nowhere: No such file or directory\n"))
        run = self.compare("nothing", "--llama", "PEER")
        self.assertIn("said nothing of use", run.stderr)


if __name__ == "__main__":
    unittest.main()
