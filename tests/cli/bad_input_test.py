"""Bad input at the command line: each gives one sentence with the file, the line or the key, and leaves nothing behind."""
import json
import os
import re
import shutil
import unittest

from cli import CLOSE, EXACT, GGUF, HF, TINY, HoneTest, python, rows


class Files(HoneTest):
    def fails_everywhere(self, model, says):
        for words in (("score", "--model", model), ("tokenize", "--model", model, "a"), ("import", model)):
            self.fails(*words, says=says, stdin="a")

    def test_a_file_that_is_missing(self):
        self.fails_everywhere("nothing.gguf", "nothing.gguf")
        job = self.job(training_file="nothing.jsonl")
        for command in ("train", "check"):
            self.fails(command, job, says=["job.json", "training_file", "nothing.jsonl"])
            self.fails(command, "nothing.json", says="nothing.json")
        self.fails("train", self.job(validation_file="none.jsonl"), says=["validation_file", "none.jsonl"])
        self.fails("train", self.job(model="none"), says=['"none"', "job.json"])
        self.assertFalse(os.path.exists(self.path("home", "runs")))

    def test_a_model_that_is_cut_short(self):
        with open(GGUF, "rb") as stream:
            whole = stream.read()
        for size in (0, 3, 20, 1000, len(whole) // 2, len(whole) - 1):
            self.put("cut.gguf", whole[:size])
            self.fails_everywhere("cut.gguf", "cut.gguf")

    def test_weights_that_are_cut_short(self):
        shutil.copytree(HF, self.path("model"))
        with open(self.path("model", "model.safetensors"), "r+b") as stream:
            stream.truncate(os.path.getsize(self.path("model", "model.safetensors")) // 2)
        self.fails_everywhere("model", "model.safetensors")

    def test_a_config_that_is_wrong(self):
        shutil.copytree(HF, self.path("model"))
        config = json.loads(self.read("model", "config.json"))
        for key, value in (("num_hidden_layers", 0), ("hidden_size", "64"), ("num_attention_heads", 3),
                           ("model_type", "rwkv"), ("vocab_size", 10)):
            self.put("model/config.json", {**config, key: value})
            self.fails("score", "--model", "model", stdin="a", says="model/config.json")
        self.put("model/config.json", {**config, "num_hidden_layers": 4})
        self.fails("score", "--model", "model", stdin="a", says="model.layers.3.input_layernorm.weight is missing")
        for key in ("hidden_size", "num_attention_heads", "vocab_size"):
            self.put("model/config.json", {k: v for k, v in config.items() if k != key})
            self.fails("score", "--model", "model", stdin="a", says=["config.json", key])
        self.put("model/config.json", "{")
        self.fails("score", "--model", "model", stdin="a", says="config.json")

    def test_a_tokenizer_that_is_not_the_model_s(self):
        shutil.copytree(HF, self.path("model"))
        self.put("model/tokenizer.json", "{}")
        self.fails_everywhere("model", "tokenizer.json")

    def test_an_adapter_of_another_model(self):
        shutil.copytree(os.path.join(TINY, "adapter"), self.path("adapter"))
        config = json.loads(self.read("adapter", "adapter_config.json"))
        self.put("adapter/adapter_config.json", {**config, "r": 5})
        self.fails("score", "--model", HF, "--adapter", "adapter", says="adapter", stdin="a")


class Data(HoneTest):
    """The same words from train, check and eval, before anything is computed or written."""

    def fails_in_all(self, says, grader=EXACT):
        job = {"model": HF, "training_file": "d.jsonl", "seed": 1,
               "method": {"type": "reinforcement", "reinforcement": {"grader": grader}}}
        self.put("job.json", job)
        self.put("g.json", grader)
        self.fails("train", "job.json", "--out", "run", says=says)
        self.fails("check", "job.json", says=says)
        self.fails("eval", "--model", HF, "--data", "d.jsonl", "--grader", "g.json", says=says)
        self.assertFalse(os.path.exists(self.path("run")))

    def broken(self, line, says):
        good = json.dumps(rows()[0])
        self.put("d.jsonl", good + "\n" + line + "\n" + good + "\n")
        self.fails_in_all(["d.jsonl, line 2", says])

    def test_a_broken_line(self):
        self.broken('{"messages": [', "JSON")
        self.broken("[]", "")
        self.broken("{}", '"messages"')
        self.broken('{"messages": []}', '"messages"')
        self.broken('{"messages": [{"role": "user"}]}', "messages[0].content")
        self.broken('{"messages": [{"role": "pirate", "content": "a"}]}', "pirate")

    def test_a_file_without_rows(self):
        self.put("d.jsonl", "")
        self.fails_in_all("d.jsonl")

    def test_a_row_without_the_key_that_the_grader_reads(self):
        self.put("d.jsonl", rows(3) + [{"messages": rows()[0]["messages"]}])
        self.fails_in_all(["d.jsonl, line 4", "answer", '"exact"'])
        grader = python("def grade(sample, item):\n    return float(item['answer'] == sample['output_text'])\n", "same")
        self.fails_in_all(["d.jsonl, line 4", "answer", '"same"'], grader=grader)

    def test_a_prompt_longer_than_the_context(self):
        self.put("d.jsonl", rows(2) + [{"messages": [{"role": "user", "content": "0" * 600}], "answer": "a"}])
        self.fails_in_all(["d.jsonl, line 3", "tokens", "512"])

    def test_a_prompt_that_leaves_no_room_for_the_answer(self):
        self.job(hone={"max_tokens": 500})
        self.fails("train", "job.json", "--out", "run", says=["train.jsonl, line 1", "500", "512"])


class Jobs(HoneTest):
    def refused(self, says, **more):
        self.job(**more)
        self.fails("train", "job.json", "--out", "run", says=says)
        self.fails("check", "job.json", says=says)
        self.assertFalse(os.path.exists(self.path("run")))

    def test_a_job_that_makes_no_sense_names_the_key(self):
        self.refused(["job.json", "hone.max_step"], hone={"max_step": 5})
        self.refused(["job.json", "hone.group_size", "2 to"], hone={"group_size": 1})
        self.refused(["job.json", "hone.max_steps", "a string"], hone={"max_steps": "many"})
        self.refused(["job.json", "seed"], seed="one")
        self.refused(["job.json", "suffix"], suffix="")
        self.refused(["train.jsonl, line 1", "reinforcement", "dpo"], method={"type": "dpo", "dpo": {}})
        self.refused(["job.json", "ppo"], method={"type": "ppo", "reinforcement": {"grader": CLOSE}})
        self.refused(["job.json", "training_file", "a number"], training_file=5)
        self.refused(["job.json", "model", "null"], model=None)
        self.refused(["job.json", "grader"], method={"type": "reinforcement", "reinforcement": {}})

    def test_a_grader_that_makes_no_sense_names_the_key(self):
        self.refused(["job.json", "operation"], grader={**EXACT, "operation": "equals"})
        self.refused(["train.jsonl, line 1", "item.answer.letter"], grader={**EXACT, "reference": "{{item.answer.letter}}"})

    def test_a_job_that_is_no_job(self):
        self.put("job.json", "{")
        self.fails("train", "job.json", says="job.json")
        self.put("job.json", [])
        self.fails("train", "job.json", says=["job.json", "a list"])
        self.fails("train", self.job(), "--set", "max_steps", status=2, says="KEY=VALUE")
        self.fails("train", "job.json", "--set", "model.x=1", status=2, says="no place")
        self.fails("train", self.job(), "--model", os.path.join(TINY, "adapter"), says="")

    def test_a_folder_that_cannot_be_written(self):
        self.put("file", "")
        self.fails("train", self.job(), "--out", "file/run", says="file/run")


class Graders(HoneTest):
    """A run goes on past graders that fail, and an event tells how often they did and why."""

    def told(self, source, timeout="20"):
        self.job(grader=python(source), steps=2, hone={"max_tokens": 3})
        self.train("job.json", "--out", "run", "--grader-timeout", timeout, "--grader-memory", "256")
        events = [json.loads(line) for line in self.read("run", "events.jsonl").splitlines()]
        self.assertIn("completed", events[-1]["message"])
        warned = [event["message"] for event in events if "Step 1: the grader failed on " in event["message"]]
        self.assertEqual(len(warned), 1, events)
        self.assertRegex(warned[0], r"failed on \d+ of \d+ answers; they count as 0\. ")
        return warned[0]

    def test_a_grader_that_raises(self):
        self.assertIn("ValueError: no such gene", self.told(
            "def grade(sample, item):\n    if item['answer'] == 'a':\n        raise ValueError('no such gene')\n"
            "    return len(sample['output_text']) / 10\n"))

    def test_a_grader_that_returns_nan(self):
        self.assertIn("nan", self.told("def grade(sample, item):\n    return float('nan') if item['answer'] == 'a' else 0.5\n"))

    def test_a_grader_that_hangs(self):
        self.assertIn("still running after 0.5 s", self.told(
            "def grade(sample, item):\n    while item['answer'] == 'a':\n        pass\n    return len(sample['output_text']) / 10\n",
            timeout="0.5"))

    def test_a_grader_that_allocates_without_end(self):
        self.assertIn("emory", self.told(
            "def grade(sample, item):\n    hold = []\n    while item['answer'] == 'a':\n"
            "        hold.append(bytearray(1 << 22))\n    return len(sample['output_text']) / 10\n"))

    def test_a_grader_that_dies_on_every_call_stops_the_job_and_says_why(self):
        self.job(grader=python("import os\ndef grade(sample, item):\n    os._exit(3)\n"), steps=20, hone={"max_tokens": 3, "refill": 1})
        run = self.hone("train", "job.json", "--out", "run")
        self.assertEqual(run.returncode, 1)
        self.assert_sentence(run.stderr, ("step 1: the grader failed on 8 of 8 answers", "max_grader_errors (0.5 of them)", "mend it"))
        events = [json.loads(line) for line in self.read("run", "events.jsonl").splitlines()]
        cause, = [event["message"] for event in events if "first failure in step 1" in event["message"]]
        self.assertIn("exit status 3", cause)
        self.assertEqual(len(self.read("run", "metrics.csv").splitlines()), 1)  # no step was learned from
        self.assertEqual(os.listdir(self.path("run", "checkpoints")), [])

    def test_a_job_whose_grader_fails_on_a_tenth_of_its_calls_finishes(self):
        source = ("import zlib\ndef grade(sample, item):\n    text = sample['output_text']\n"
                  "    if zlib.crc32(repr((text, item['answer'])).encode()) % 10 == 0:\n        raise ValueError('one in ten')\n"
                  "    return len(text) / 10\n")
        self.job(grader=python(source), steps=12, hone={"max_tokens": 5, "group_size": 16, "refill": 1})
        result = self.train("job.json", "--out", "run")[-1]
        self.assertEqual((result["type"], result["steps"]), ("result", 12))
        head, *lines = [line.split(",") for line in self.read("run", "metrics.csv").splitlines()]
        failed = [float(line[head.index("errors/graders/python/train_python_grader_runtime_error_mean")]) for line in lines]
        self.assertTrue(0.02 < sum(failed) / 12 < 0.3, failed)
        self.assertIn("one in ten", self.read("run", "events.jsonl"))

    def test_a_grader_that_fails_on_most_answers_of_a_step_ends_the_run_and_nothing_is_lost(self):
        self.job(grader=python("def grade(sample, item):\n    if item['answer'] == 'z':\n        raise KeyError('the case of Mr Z')\n"
                               "    return len(sample['output_text']) % 3 / 3\n"), steps=20,
                 hone={"max_tokens": 3, "checkpoint_interval": 100, "refill": 1}, seed=3)
        self.put("train.jsonl", [{**row, "answer": "z" if i % 2 else "a"} for i, row in enumerate(rows(6))])
        run = self.hone("train", "job.json", "--out", "run")
        self.assert_sentence(run.stderr, ("max_grader_errors (0.5 of them)", "mend it", "--resume"))
        step = int(re.search(r"step (\d+): the grader failed on 8 of 8 answers", run.stderr).group(1))
        self.assertEqual(run.returncode, 1)
        self.assertGreater(step, 1)
        self.assertIn("KeyError: 'the case of Mr Z'", self.read("run", "events.jsonl"))
        self.assertTrue(os.path.isdir(self.path("run", "checkpoints", "step-%d" % (step - 1))))
        self.assert_sentence(self.hone("train", "job.json", "--out", "run", "--resume").stderr,
                             "step %d: the grader failed on 8 of 8" % step)
        self.assertEqual(len(self.read("run", "metrics.csv").splitlines()), step)
        self.works("train", "job.json", "--out", "all", "--set", "max_grader_errors=1", "--set", "max_steps=%d" % step)


if __name__ == "__main__":
    unittest.main()
