"""bench: what is measured and told; never how fast it was."""
import os
import unittest

from cli import GGUF, HF, HoneTest

Q4 = os.path.join(os.path.dirname(GGUF), "tiny-q4_1.gguf")
SMALL = ("--model", HF, "--prompt", "10", "--answers", "3", "--tokens", "8")
PHASES = ["prefill", "sample-1", "sample-8", "sample-32", "sample-128", "train", "step"]


class Bench(HoneTest):
    def test_the_object_of_json(self):
        told = self.json("bench", *SMALL, "--rounds", "4", "--threads", "2", "--seed", "5")
        self.assertEqual((told["model"], told["rounds"], told["threads"], told["seed"]), (HF, 4, 2, 5))
        self.assertEqual(told["kernels"], self.json("version")["kernels"])
        self.assertGreaterEqual(told["cores"], 1)
        for load in (told["load_before"], told["load_after"]):
            self.assertTrue(load is None or load >= 0)
        self.assertEqual(list(told["parts"]), ["prefill", "sample-3", "train", "step"])
        self.assertEqual(told["precision"], "int8")
        self.assertGreater(told["peak_bytes"], 1 << 20)
        for name, part in told["parts"].items():
            self.assertEqual(part["unit"], "s" if name == "step" else "tok/s")
            self.assertEqual(len(part["values"]), 4)
            values = sorted(part["values"])
            self.assertGreater(values[0], 0)
            self.assertTrue(part["least"] <= part["median"] <= part["most"])
            self.assertEqual((part["least"], part["most"]), (values[0], values[-1]))
            self.assertAlmostEqual(part["median"], (values[1] + values[2]) / 2)
            self.assertGreater(part["rows"], 0)

    def test_every_phase_has_a_limit(self):
        for words in (["--model", HF], ["--model", Q4, "--precision", "int8"]):
            told = self.json("bench", *words, "--rounds", "1", "--threads", "1", "--prompt", "20", "--tokens", "8")
            for roof in (told["roof"], told["roof_after"]):
                self.assertGreaterEqual(roof["buffer_bytes"], 1 << 20)
                for rate in ("read_bytes_per_s", "f32_ops_per_s", "bf16_ops_per_s", "int8_ops_per_s", "int8_wide_ops_per_s"):
                    self.assertTrue(0 < roof[rate]["least"] <= roof[rate]["median"] <= roof[rate]["best"])
            self.assertEqual(list(told["parts"]), PHASES)
            for name, part in told["parts"].items():
                # far above 1: the machine may have had less to give while its limits were measured
                self.assertTrue(0 < part["fraction"] < 5, (name, part))
                self.assertGreater(part["limit"], 0)
                self.assertIn(part["bound"], ("read", "multiply"))
                self.assertGreater(part["f32_ops"], 0)
                self.assertGreater(part["read_bytes"], 0)
                (self.assertGreater if "int8" in words else self.assertEqual)(part["int8_ops"] + part["int8_wide_ops"], 0)
                back = "int8" in words and name in ("train", "step")
                (self.assertGreater if back else self.assertEqual)(part["bf16_ops"], 0)
                ratio = part["limit"] / part["median"] if name == "step" else part["median"] / part["limit"]
                self.assertAlmostEqual(part["fraction"], ratio)

    def test_a_limit_follows_from_the_rates_and_the_work(self):
        told = self.json("bench", *SMALL, "--rounds", "1", "--parts", "prefill,sample,train")
        rate = {name: r["best"] for name, r in told["roof"].items() if name != "buffer_bytes"}
        for name, part in told["parts"].items():
            tokens = {"prefill": 10, "sample-3": 3 * 7, "train": 3 * 8}[name]
            most = max(part["f32_ops"] / rate["f32_ops_per_s"], part["read_bytes"] / rate["read_bytes_per_s"])
            # forward and backward of train are two passes, each with a limit of its own
            self.assertLessEqual(part["limit"], tokens / most * 1.001)
            if name != "train":
                self.assertAlmostEqual(part["limit"] / (tokens / most), 1, places=6)

    def test_it_tells_the_sizes(self):
        def sizes(*words):
            parts = self.json("bench", "--model", HF, "--rounds", "1", *words)["parts"]
            return {name: [part.get(key) for key in ("prompts", "sequences", "prompt_tokens", "answers", "tokens", "lora_rank")]
                    for name, part in parts.items()}
        self.assertEqual(sizes("--prompt", "10", "--answers", "3", "--tokens", "8"), {
            "prefill": [None, None, 10, None, None, None], "sample-3": [None, None, 10, 3, 8, None],
            "train": [None, 3, None, None, 8, 16], "step": [4, None, 10, 3, 8, 16]})
        self.assertEqual(sizes(), {
            "prefill": [None, None, 128, None, None, None],
            "sample-1": [None, None, 128, 1, 64, None], "sample-8": [None, None, 128, 8, 64, None],
            "sample-32": [None, None, 128, 32, 64, None], "sample-128": [None, None, 128, 128, 16, None],
            "train": [None, 8, None, None, 256, 16], "step": [4, None, 79, 8, 64, 16]})

    def test_a_step_has_its_parts_and_agrees_with_itself(self):
        step = self.json("bench", *SMALL, "--parts", "step")["parts"]["step"]
        self.assertEqual(step["max_dlogp"], 0)
        for part in ("sampling_s", "training_s", "update_s"):
            self.assertTrue(0 < step[part] <= step["most"])

    def test_a_step_with_little_memory_agrees_with_itself(self):
        def step(*words):
            return self.json("bench", *SMALL, "--parts", "step", *words)["parts"]["step"]
        little, all_kept = step("--memory-bytes", "1"), step()
        self.assertEqual((little["max_dlogp"], little["tokens"]), (0, all_kept["tokens"]))
        self.assertLess(little["kept_bytes"], 10_000)
        self.assertGreater(all_kept["kept_bytes"], 100_000)
        self.fails("bench", "--model", HF, "--memory-bytes", "-1", status=2, says="--memory-bytes")

    def test_parts_are_chosen(self):
        def parts(words):
            return list(self.json("bench", *SMALL, "--rounds", "1", "--parts", words)["parts"])
        for name in ("prefill", "train", "step"):
            self.assertEqual(parts(name), [name])
        self.assertEqual(parts("step,sample"), ["sample-3", "step"])

    def test_answers_of_train_can_share_prompts(self):
        def train(*words):
            part = self.json("bench", "--model", HF, "--rounds", "1", "--parts", "train", *words)["parts"]["train"]
            return [part[key] for key in ("sequences", "prompt_tokens", "group", "tokens", "rows")]
        self.assertEqual(train("--group", "1")[:4], [8, 192, 1, 64])
        self.assertEqual(train("--group", "1")[4], 8 * (192 + 63))
        shared = train("--group", "8")
        self.assertEqual(shared[:4], [8, 192, 8, 64])
        self.assertTrue(192 + 63 < shared[4] <= 192 + 8 * 63)
        self.assertEqual(train("--group", "2", "--answers", "4", "--prompt", "30", "--tokens", "5")[:4], [4, 30, 2, 5])
        self.fails("bench", "--model", HF, "--parts", "train", "--group", "3", status=2,
                   says="8 answers do not make groups of 3")

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
        self.assertRegex(text, r"\A\S*tiny-q8_0.gguf .* in int8, .*kernels, 1 thread on \d+ core")
        self.assertRegex(text, r"\nThe machine reads \d+\.\d GB/s \(of .*\), and multiplies \d+ GFLOP/s in f32,\n\d+ in bf16 and \d+ GOP/s in int8 \(\d+ with weights of eight bits\)\.")
        self.assertRegex(text, r"\n +median +least +most +of limit\n")
        number = r" +\d+(\.\d+)?"
        share = r" +\d+\.\d %\n"
        self.assertRegex(text, r"\n  prefill    reading a prompt of 10 tokens" + 3 * number + " tok/s" + share)
        self.assertRegex(text, r"\n  sample-3   3 answers of 8 tokens behind one prompt of 10" + 3 * number + " tok/s" + share)
        self.assertRegex(text, r"\n  train      .*LoRA rank 16, 3 x 8 tokens" + 3 * number + " tok/s" + share)
        self.assertRegex(text, r"\n  step       4 prompts of 10 tokens, 3 answers of 8 to each" + 3 * number + " s" + share)
        self.assertRegex(text, r"\n +of which sampling")
        self.assertRegex(text, r"\nMeasured 2 times each, after one warm-up; .* of memory at most\..*100 of them take")
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


if __name__ == "__main__":
    unittest.main()
