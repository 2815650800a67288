"""replay: a run that is done again is the same, and whatever was changed is named at its step."""
import csv
import hashlib
import io
import json
import os
import shutil
import struct
import unittest

from cli import CLOSE, EXACT, HF, VOWELS, HoneTest, python

NAN32, NAN64 = b"\x00\x00\xc0\x7f", b"\x00\x00\x00\x00\x00\x00\xf8\x7f"
UNREPEATED = ("timing/", "usage/graders/", "usage/shadow_graders/", "model_graders_token_usage/")
UNREPEATED_NAMES = ("tokens_per_second", "seconds_left", "peak_rss_bytes", "grader_cache_hit_rate")
PROJECTIONS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj",
               "mlp.up_proj", "mlp.down_proj")
LOTS = """import random
def grade(sample, item):
    return random.SystemRandom().random()
"""


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def chained(lines):
    """Lines of a certificate, each with the chain that it must have."""
    out, chain = [], ""
    for line in lines:
        text = json.dumps({key: value for key, value in line.items() if key != "chain"}, ensure_ascii=False,
                          separators=(",", ":"))[:-1]
        chain = sha256((chain + text).encode())
        out.append('%s,"chain":"%s"}\n' % (text, chain))
    return "".join(out)


class Replay(HoneTest):
    def setUp(self):
        super().setUp()
        self.env["TMPDIR"] = self.path("tmp")
        os.makedirs(self.path("tmp"))

    def run_of(self, folder="run", **job):
        self.job(**job)
        self.train("job.json", "--out", folder)

    def replay(self, *words, status=0, **options):
        """The lines told, of which the last is the result."""
        run = self.hone("replay", *words, "--json", **options)
        self.assertEqual(run.returncode, status, run.stdout + run.stderr)
        self.assertEqual([name for name in os.listdir(self.path("tmp")) if name.startswith("hone-replay")], [])
        lines = [json.loads(line) for line in run.stdout.splitlines()]
        self.assertEqual(lines[-1]["type"], "result")
        self.assertEqual(lines[-1]["same"], status == 0)
        return lines

    def differs(self, step, what, *words, says=(), record=False, folder="run"):
        told = self.replay(folder, *words, status=3)[-1]
        self.assertEqual((told["step"], told["what"], told["record_changed"]), (step, what, record), told)
        for part in (says,) if isinstance(says, str) else says:
            self.assertIn(part, told["message"])

    def certificate(self, folder="run"):
        return [json.loads(line) for line in self.read(folder, "certificate.jsonl").splitlines()]

    def change(self, name, change, folder="run"):
        """The lines of a file of JSON values after change(lines)."""
        lines = [json.loads(line) for line in self.read(folder, name).splitlines()]
        change(lines)
        self.put(os.path.join(folder, name), lines)

    def change_certificate(self, change, folder="run"):
        """By somebody who knows how to write one."""
        lines = self.certificate(folder)
        change(lines)
        self.put(os.path.join(folder, "certificate.jsonl"), chained(lines))

    # ---- the same ----

    def test_a_run_is_done_again(self):
        self.run_of()
        told = self.replay("run")
        last = self.certificate()[-1]
        self.assertEqual([line["step"] for line in told[:-1]], [1, 2, 3, 4])
        self.assertEqual((told[-1]["steps"], told[-1]["of"], told[-1]["from"]), (4, 4, 0))
        self.assertEqual((last["end"], last["adapter"]), (4, told[-1]["adapter_sha256"]))
        text = self.works("replay", "run")
        self.assertEqual(text.splitlines()[-1], "The same model: adapter SHA-256 %s, 4 steps" % last["adapter"])

    def test_runs_on_given_answers_and_on_preferences_too(self):
        said = [{"role": "user", "content": "abc"}]
        self.put("said.jsonl", [{"messages": [*said, {"role": "assistant", "content": c * 3}]} for c in "abcdef"])
        self.put("pairs.jsonl", [{"input": {"messages": said},
                                  "preferred_output": [{"role": "assistant", "content": c}],
                                  "non_preferred_output": [{"role": "assistant", "content": "xy"}]} for c in "abcdef"])
        for method, data in (("supervised", "said.jsonl"), ("dpo", "pairs.jsonl")):
            with self.subTest(method):
                self.put("fit.json", {"model": HF, "training_file": data, "validation_file": data, "seed": 2,
                                      "method": {"type": method, method: {"hyperparameters": {
                                          "batch_size": 2, "n_epochs": 2}}},
                                      "hone": {"lora_rank": 4, "checkpoint_interval": 2, "keep_optimizer": 1}})
                self.train("fit.json", "--out", method)
                self.assertEqual(self.replay(method)[-1]["steps"], 6)
                self.assertEqual(self.replay(method, "--from", "3", "--steps", "2")[-1]["steps"], 2)
                self.change_certificate(lambda lines: lines[4].update(adapter="0" * 64), method)
                self.differs(3, "adapter", says="the adapter's SHA-256 was 0000", folder=method)

    def test_full_fine_tuning_too(self):
        self.run_of(hone={"lora_rank": 0})
        self.assertEqual(self.replay("run")[-1]["steps"], 4)

    def test_a_part_of_it(self):
        self.run_of(hone={"keep_optimizer": 1, "keep_best": 100})
        last = {line["step"]: line["adapter"] for line in self.certificate()[3:-1]}
        for words, steps, end in ((("--steps", "2"), 2, 2), (("--steps", "3"), 3, 3), (("--from", "2"), 2, 4),
                                  (("--from", "2", "--steps", "1"), 1, 3)):
            told = self.replay("run", *words)[-1]
            self.assertEqual((told["steps"], told["adapter_sha256"]), (steps, last[end]), words)
        self.fails("replay", "run", "--json", "--from", "3", says=("no checkpoint of step 3", "of 4 steps: 2)"))
        self.fails("replay", "run", "--json", "--from", "4", says="no checkpoint of step 4")

    def test_one_that_was_stopped_is_done_again_as_far_as_it_went(self):
        self.run_of()
        for name in ("metrics.csv", "certificate.jsonl"):
            lines = self.read("run", name).splitlines(keepends=True)
            self.put("run/" + name, "".join(lines[:4 if name == "metrics.csv" else 6]))
        self.assertEqual(self.replay("run")[-1]["steps"], 3)

    def test_files_may_have_moved(self):
        shutil.copytree(HF, self.path("model"))
        self.run_of(model="model")
        for name in ("model", "train.jsonl", "valid.jsonl"):
            os.rename(self.path(name), self.path("moved-" + name))
        self.fails("replay", "run", "--json", says=("model", "--model says where it lies now"))
        words = ("--model", "moved-model", "--train", "moved-train.jsonl")
        self.fails("replay", "run", "--json", *words, says="--valid says where it lies now")
        self.replay("run", *words, "--valid", "moved-valid.jsonl")

    def test_what_was_done_again_can_be_kept(self):
        self.run_of()
        self.replay("run", "--out", "again")
        for name in ("certificate.jsonl", "rollouts/step-4.jsonl"):
            self.assertEqual(self.read("again", name).splitlines()[:7], self.read("run", name).splitlines()[:7])
        self.fails("replay", "run", "--json", "--out", "again", says="holds a run already")

    def test_other_kernels_are_told_and_no_more(self):
        self.job()
        self.train("job.json", "--out", "run", "--kernels", "plain")
        note = self.replay("run", "--steps", "1")[0]
        if self.json("version")["kernels"] != "plain":
            self.assertEqual(note["type"], "note")
            self.assertIn("the run's was plain; the same bits are expected", note["message"])
        self.change_certificate(lambda lines: lines[0].update(hone="0.0.1"))
        self.assertIn("the run's was 0.0.1", self.replay("run", "--steps", "1")[0]["message"])

    def test_auto_is_settled_again(self):
        self.run_of(steps=2, hone={"max_tokens": "auto", "group_size": "auto"})
        self.replay("run")
        self.replay("run", "--recorded-grades")
        self.change_certificate(lambda lines: lines[1]["settled"].update(max_tokens=999))
        self.differs(0, "setting", says="max_tokens was 999, and is")

    # ---- anyone can compute the hashes ----

    def hashes(self, folder, name):
        parts = {"answers": b"", "logprobs": b"", "grades": b"", "advantages": b""}

        def f32(x):
            return NAN32 if x is None else struct.pack("<f", x)

        def f64(x):
            return NAN64 if x is None else struct.pack("<d", x)

        for line in map(json.loads, self.read(folder, "rollouts", name).splitlines()):
            samples = line.get("samples", [line["sample"]])
            scores = [*line["scores"].values(), *line.get("shadow_scores", {}).values()]
            parts["answers"] += struct.pack("<QQ", line["item"], len(samples))
            parts["answers"] += struct.pack("<%dQ" % len(samples), *samples)
            parts["answers"] += struct.pack("<Q%di" % len(line["tokens"]), len(line["tokens"]), *line["tokens"])
            parts["answers"] += bytes([line["truncated"]])
            parts["logprobs"] += b"".join(map(f32, line["logprobs"]))
            parts["grades"] += f64(line["reward"]) + struct.pack("<Q", len(scores)) + b"".join(map(f64, scores))
            parts["grades"] += b"".join(e.encode() + b"\n" for e in line["errors"]) + b"\0"
            parts["advantages"] += f32(line["advantage"]) + bytes([line["trained"]])
        return {key: sha256(value) for key, value in parts.items()}

    def metrics(self, folder, step):
        rows = list(csv.reader(io.StringIO(self.read(folder, "metrics.csv"))))
        row = next(row for row in rows[1:] if row[0] == str(step))
        return sha256("".join("%s=%s\n" % (name, cell) for name, cell in zip(rows[0], row)
                              if not name.startswith(UNREPEATED) and name not in UNREPEATED_NAMES).encode())

    def adapter(self, folder, step):
        with open(self.path(folder, "checkpoints", "step-%d" % step, "adapter_model.safetensors"), "rb") as stream:
            data = stream.read()
        size, = struct.unpack("<Q", data[:8])
        header, values, layer = json.loads(data[8:8 + size]), b"", 0
        name = "base_model.model.model.layers.%d.%s.lora_%s.weight"
        while name % (layer, PROJECTIONS[0], "A") in header:
            for p in PROJECTIONS:
                for which in "AB":
                    at = header[name % (layer, p, which)]["data_offsets"]
                    values += data[8 + size + at[0]:8 + size + at[1]]
            layer += 1
        self.assertEqual(len(values), len(data) - 8 - size)
        return sha256(values)

    def test_every_hash_can_be_computed_by_another_program(self):
        fails = python("def grade(sample, item):\n    return 1 / len(sample['output_text'].replace('e', ''))\n", "fails")
        self.run_of(grader={"type": "multi", "name": "both", "graders": {"close": CLOSE, "vowels": python(VOWELS, "vowels")},
                            "calculate_output": "close + vowels"},
                    hone={"shadow_graders": {"fails": fails, "exact": EXACT}})
        lines = self.certificate()
        self.assertEqual(self.read("run", "certificate.jsonl"), chained(lines))
        self.assertEqual([next(iter(line)) for line in lines], ["certificate", "settled", *["step"] * 5, "end"])
        for key in ("training_file", "validation_file"):
            with open(self.path("train.jsonl" if key[0] == "t" else "valid.jsonl"), "rb") as stream:
                data = stream.read()
            self.assertEqual(lines[0][key], {"bytes": len(data), "sha256": sha256(data)})
        for name, of in lines[0]["model"].items():
            with open(os.path.join(HF, name), "rb") as stream:
                data = stream.read()
            self.assertEqual(of, {"bytes": len(data), "sha256": sha256(data)})
        self.assertIn("model.safetensors", lines[0]["model"])
        self.assertEqual(lines[0]["job"], json.loads(self.read("run", "job.json"))["job"])
        for line in lines[2:-1]:
            step = line["step"]
            for key, name in (("train", "step-%d.jsonl" % step), ("valid", "valid-%d.jsonl" % step)):
                there = os.path.exists(self.path("run", "rollouts", name))
                self.assertEqual(there, key in line)
                if there:
                    self.assertEqual(line[key], self.hashes("run", name), name)
            if step > 0:
                self.assertEqual(line["metrics"], self.metrics("run", step))
        self.assertEqual(lines[-1]["adapter"], self.adapter("run", 4))
        self.assertEqual(lines[-2]["adapter"], lines[-1]["adapter"])

    # ---- another one ----

    def test_other_data_is_named_at_once_and_where_it_shows(self):
        self.run_of()
        text = self.read("train.jsonl")
        self.put("train.jsonl", text.replace("0a", "0z"))
        self.differs(0, "origin", says=("the training file", sha256(text.encode())))
        told = self.replay("run", "--anyway", status=3)
        self.assertEqual((told[0]["type"], told[-1]["what"]), ("note", "row"))
        used = next(step for step in range(1, 5) if any(
            json.loads(line)["item"] == 0 for line in self.read("run", "rollouts", "step-%d.jsonl" % step).splitlines()))
        self.assertEqual(told[-1]["step"], used, told[-1])

    def test_another_model_is_named(self):
        shutil.copytree(HF, self.path("model"))
        self.run_of(model="model")
        with open(self.path("model", "model.safetensors"), "r+b") as stream:
            stream.seek(-3, os.SEEK_END)
            byte = stream.read(1)[0]
            stream.seek(-3, os.SEEK_END)
            stream.write(bytes([byte ^ 1]))
        self.differs(0, "origin", says="the model's file model.safetensors is another one")

    def test_another_seed_or_grader_is_named(self):
        self.run_of()
        whole = self.read("run", "job.json")
        self.put("run/job.json", whole.replace('"seed": 3', '"seed": 4'))
        self.differs(0, "job", says='"seed" was 3, and now 4')
        self.assertTrue(self.replay("run", "--anyway")[-1]["same"])  # by the seed that is in the certificate
        self.put("run/job.json", whole.replace("fuzzy_match", "bleu"))
        self.differs(0, "job", says="method.reinforcement.grader.evaluation_metric")
        self.put("run/job.json", whole.replace('"seed": 3', '"seed": 4'))
        self.change_certificate(lambda lines: lines[0]["job"].update(seed=4))
        self.differs(0, "tokens", says="rollouts/valid-0.jsonl")

    def test_another_grader_shows_in_its_first_score(self):
        self.run_of()
        job = json.loads(self.read("run", "job.json"))
        job["job"]["method"]["reinforcement"]["grader"]["reference"] = "{{item.answer}} e i"
        self.put("run/job.json", job)
        self.change_certificate(lambda lines: lines[0].update(job=job["job"]))
        self.differs(0, "grades", says=('the grader "close" scored item 0, sample 0 of rollouts/valid-0.jsonl otherwise',
                                        "for the answer"))

    def test_whatever_is_changed_in_the_record_is_named(self):
        self.run_of()

        def trained(lines):
            return next(line for line in lines if line["advantage"] != 0)

        for what, change, says in (
                ("tokens", lambda lines: lines[1]["tokens"].__setitem__(2, lines[1]["tokens"][2] + 1), "token 3 of"),
                ("logprobs", lambda lines: lines[1]["logprobs"].__setitem__(0, -1.5), "of token 1"),
                ("grades", lambda lines: lines[0].update(reward=0.875), '"reward" was 0.875'),
                ("grades", lambda lines: lines[0]["scores"].update(close=0.5), 'the grader "close"'),
                ("advantages", lambda lines: trained(lines).update(advantage=3.25), '"advantage" was 3.25'),
                ("text", lambda lines: lines[0].update(answer="I am the best model"), "I am the best"),
                ("row", lambda lines: lines[0].update(prompt="Say a"), 'another "prompt": it was "Say a"'),
                ("row", lambda lines: lines[0]["reference"].update(answer="q"), 'has another "reference"'),
                ("answer", lambda lines: lines[1].update(sample=7), '"sample" was 7'),
                ("answer", lambda lines: lines.pop(), "ends after line")):
            with self.subTest(what):
                shutil.copytree(self.path("run"), self.path("changed"))
                self.change("rollouts/step-3.jsonl", change, "changed")
                self.differs(3, what, says=(says, "rollouts/step-3.jsonl"), record=True, folder="changed")
                shutil.rmtree(self.path("changed"))

    def test_a_changed_metric_is_named(self):
        self.run_of()
        rows = list(csv.reader(io.StringIO(self.read("run", "metrics.csv"))))
        at = rows[0].index("train_mean_reward")
        rows[2][at] = "0.99"
        rows[3][rows[0].index("seconds_left")] = "17"  # nobody's promise
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows(rows)
        self.put("run/metrics.csv", out.getvalue())
        self.differs(2, "metrics", says="train_mean_reward was 0.99, and is", record=True)

    def test_a_changed_adapter_is_named(self):
        self.run_of()
        path = self.path("run", "checkpoints", "step-4", "adapter_model.safetensors")
        with open(path, "r+b") as stream:
            stream.seek(-2, os.SEEK_END)
            stream.write(b"\x01")
        self.differs(4, "checkpoint", says="checkpoints/step-4/adapter_model.safetensors is not what step 4 made", record=True)

    def test_a_changed_checkpoint_is_not_gone_on_from(self):
        self.run_of(hone={"keep_optimizer": 1, "keep_best": 100})
        path = self.path("run", "checkpoints", "step-2", "adapter_model.safetensors")
        with open(path, "r+b") as stream:
            stream.seek(-2, os.SEEK_END)
            stream.write(b"\x01")
        self.differs(0, "checkpoint", "--from", "2", says="step-2 is not what step 2 made")

    # ---- the certificate itself ----

    def test_a_changed_certificate_is_named(self):
        self.run_of()
        whole = self.read("run", "certificate.jsonl")
        lines = whole.splitlines(keepends=True)
        for text, says in (
                (whole.replace('"seed":3', '"seed":4', 1), "line 1: the chain of hashes breaks here"),
                ("".join(lines[:4] + lines[5:]), "line 5: the chain of hashes breaks here"),
                ("".join(lines[:5]), "ends at step 2 without an end, and metrics.csv goes on to step 4"),
                (chained([json.loads(line) for line in lines[:4] + lines[5:]]), "line 5: this line cannot stand here"),
                (lines[0] + "{}\n", "line 2: this is no line of a certificate"),
                ("", "is empty")):
            with self.subTest(says):
                self.put("run/certificate.jsonl", text)
                self.differs(0, "certificate", says=says)
        self.put("run/certificate.jsonl", "".join(lines[:5]))
        self.assertEqual(self.replay("run", "--anyway")[-1]["steps"], 4)

    def test_a_forged_hash_is_named_at_its_step(self):
        self.run_of()
        whole = self.read("run", "certificate.jsonl")
        for what, change in (("tokens", lambda line: line["train"].update(answers="0" * 64)),
                             ("logprobs", lambda line: line["train"].update(logprobs="0" * 64)),
                             ("grades", lambda line: line["valid"].update(grades="0" * 64)),
                             ("advantages", lambda line: line["train"].update(advantages="0" * 64)),
                             ("metrics", lambda line: line.update(metrics="0" * 64)),
                             ("adapter", lambda line: line.update(adapter="0" * 64))):
            with self.subTest(what):
                self.change_certificate(lambda lines: change(lines[4]))
                self.differs(2, what)
                self.put("run/certificate.jsonl", whole)

    def test_a_run_goes_on_only_with_its_own_data_and_to_the_same_certificate(self):
        self.run_of(hone={"keep_optimizer": 1, "keep_best": 100})
        whole, data = self.read("run", "certificate.jsonl"), self.read("train.jsonl")
        shutil.rmtree(self.path("run", "checkpoints", "step-4"))
        self.put("train.jsonl", data.replace("0a", "0z"))
        self.fails("train", "job.json", "--out", "run", "--resume", "--json",
                   says=("going on with run", "the training file is another one"))
        self.put("train.jsonl", data)
        self.train("job.json", "--out", "run", "--resume")
        self.assertEqual(self.read("run", "certificate.jsonl"), whole)
        self.train("job.json", "--out", "run", "--resume")  # one that has ended
        self.assertEqual(self.read("run", "certificate.jsonl"), whole)

    def test_a_run_that_goes_on_elsewhere_says_so(self):
        self.run_of(hone={"keep_optimizer": 1, "keep_best": 100})
        shutil.rmtree(self.path("run", "checkpoints", "step-4"))
        self.change_certificate(lambda lines: lines[0].update(hone="0.0.1"))
        self.train("job.json", "--out", "run", "--resume")
        resumed = self.certificate()[5]
        self.assertEqual((resumed["resumed"], resumed["hone"]), (2, self.json("version")["version"]))
        self.assertEqual(self.replay("run")[-1]["steps"], 4)

    def test_a_broken_certificate_stops_no_run_and_is_not_carried_on(self):
        self.run_of(hone={"keep_optimizer": 1, "keep_best": 100})
        lines = self.read("run", "certificate.jsonl").splitlines(keepends=True)
        for text, says in (("".join(lines[:4]), "ends at step 1, before the checkpoint of step 2"),
                           (lines[0] + lines[2], "line 2: the chain of hashes breaks here")):
            shutil.rmtree(self.path("run", "checkpoints", "step-4"))
            self.put("run/certificate.jsonl", text)
            self.train("job.json", "--out", "run", "--resume")
            self.assertEqual(self.read("run", "certificate.jsonl"), text)
            self.assertIn("certificate is not carried on", self.read("run", "events.jsonl"))
            self.assertIn(says, self.read("run", "events.jsonl"))
            self.differs(0, "certificate")

    # ---- graders ----

    def test_a_grader_that_draws_lots_is_named(self):
        self.run_of(grader=python(LOTS, "lots"), validation_file=None)
        self.differs(1, "grades", says=('the grader "lots" scored', "rollouts/step-1.jsonl otherwise", "for the answer",
                                        "--recorded-grades checks everything else"))
        self.assertEqual(self.replay("run", "--recorded-grades")[-1]["steps"], 4)

    def test_recorded_grades_check_the_rest(self):
        fails = python("import random\ndef grade(sample, item):\n    return 1 / random.SystemRandom().randrange(2)\n", "fails")
        self.run_of(grader=python(LOTS, "lots"), hone={"shadow_graders": {"fails": fails}})
        self.assertEqual(self.replay("run", "--recorded-grades")[-1]["steps"], 4)
        self.change("rollouts/step-2.jsonl", lambda lines: lines[0].update(reward=0.5))
        self.differs(2, "grades", "--recorded-grades", says="the grades in rollouts/step-2.jsonl are not those")

    # ---- without a certificate ----

    def test_a_folder_from_before_is_compared_with_what_it_has(self):
        self.run_of()
        os.remove(self.path("run", "certificate.jsonl"))
        told = self.replay("run")
        self.assertIn("the run has no certificate", told[0]["message"])
        self.assertEqual(told[-1]["steps"], 4)

        def change(lines):
            next(line for line in lines if line["type"] == "metrics" and line["data"]["step"] == 3)["data"].update(
                adapter_sha256="f" * 64)

        self.change("events.jsonl", change)
        self.differs(3, "adapter", says="was ffff")

    def test_what_cannot_be_done_again_is_no_difference(self):
        self.fails("replay", status=2, says="replay needs DIR")
        self.fails("replay", self.folder, "--json", says="job.json")
        self.run_of()
        self.fails("replay", "run", "--steps", "0", status=2, says="--steps")
        self.fails("replay", "run", "--json", "--out", "/dev/null/x", says="/dev/null")


if __name__ == "__main__":
    unittest.main()
