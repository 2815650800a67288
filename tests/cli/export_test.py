"""hone export: each format says what the run says, and --verify notices when it does not."""
import json
import os
import shutil
import struct
import unittest

from cli import ROOT, TINY, HF, HoneTest

FAMILIES = os.path.join(ROOT, "tests", "golden", "families")
ADAPTER = os.path.join(TINY, "adapter")
TEXTS = ["the quick brown fox", "A b c, 12 34: \u00e4\u00f6\u00fc!", "one two three four five six seven eight"]
# nats: what the type of merged weights rounds
WITHIN = {"f32": 2e-4, "f16": 0.02, "bf16": 0.15, "q8_0": 0.3}


def gguf(dtype):
    return os.path.join(TINY, "tiny-%s.gguf" % dtype)


def header(path):
    with open(path, "rb") as stream:
        size = struct.unpack("<Q", stream.read(8))[0]
        return json.loads(stream.read(size)), 8 + size


class ExportTest(HoneTest):
    def scores(self, model, adapter=None):
        words = ["score", "--model", model] + (["--adapter", adapter] if adapter else []) + ["--precision", "f32"]
        return [line["logprobs"][1:] for line in self.lines(*words, stdin=[{"text": text} for text in TEXTS])]

    def assert_same(self, one, other, within):
        self.assertEqual([len(x) for x in one], [len(x) for x in other])
        worst = max(abs(a - b) for x, y in zip(one, other) for a, b in zip(x, y))
        self.assertLessEqual(worst, within)

    def export(self, model, form, out, *words, adapter=ADAPTER):
        return self.json("export", "--model", model, *(["--adapter", adapter] if adapter else []), "--format", form,
                         "--out", out, "--verify", *words)

    def assert_nothing_there(self, out):
        left = [name for name in os.listdir(self.folder) if name.startswith(out)]
        self.assertEqual(left, [])

    def test_a_merged_gguf_says_what_base_and_adapter_say(self):
        for base in ("f32", "f16", "q8_0", "q4_0", "q4_1"):
            was = self.scores(gguf(base), ADAPTER)
            for dtype in WITHIN:
                out = "%s-%s" % (base, dtype)
                told = self.export(gguf(base), "gguf", out, "--dtype", dtype)
                self.assertEqual((told["dtype"], told["written"]), (dtype, True))
                self.assertGreater(told["verified"]["n_tokens"], 100)
                self.assert_same(self.scores(self.path(out, "model.gguf")), was, WITHIN[dtype])
        self.assertGreater(abs(self.scores(gguf("f32"))[0][0] - self.scores(gguf("f32"), ADAPTER)[0][0]), 1e-3)

    def test_a_merged_folder_says_what_base_and_adapter_say(self):
        for base in (HF, os.path.join(TINY, "hf-bf16-sharded")):
            was = self.scores(base, ADAPTER)
            for dtype in ("f32", "f16", "bf16"):
                out = "%s-%s" % (os.path.basename(base), dtype)
                self.export(base, "safetensors", out, "--dtype", dtype)
                self.assert_same(self.scores(self.path(out)), was, WITHIN[dtype])
                config = json.loads(self.read(out, "config.json"))
                self.assertEqual(config["torch_dtype"], {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}[dtype])
                tensors, _ = header(self.path(out, "model.safetensors"))
                self.assertEqual({t["dtype"] for name, t in tensors.items() if name != "__metadata__"}, {dtype.upper()})

    def test_a_folder_is_made_of_a_gguf_file(self):
        for base in (gguf("q4_1"), *(os.path.join(FAMILIES, name, "model.gguf") for name in ("llama3", "qwen2", "qwen3"))):
            adapter = ADAPTER if base.startswith(TINY) else os.path.join(os.path.dirname(base), "adapter")
            out = os.path.basename(os.path.dirname(base))
            told = self.export(base, "safetensors", out, "--dtype", "f32", adapter=adapter)
            self.assert_same(self.scores(self.path(out)), self.scores(base, adapter), WITHIN["f32"])
            self.assertLess(told["verified"]["max_difference"], WITHIN["f32"])
        tokenizer, was = json.loads(self.read("tiny", "tokenizer.json")), json.loads(self.read(HF, "tokenizer.json"))
        for key in ("vocab", "merges", "ignore_merges"):
            self.assertEqual(tokenizer["model"][key], was["model"][key])
        self.assertEqual(tokenizer["added_tokens"], was["added_tokens"])
        config, hf = json.loads(self.read("tiny", "config.json")), json.loads(self.read(HF, "config.json"))
        for key in ("architectures", "hidden_size", "num_hidden_layers", "vocab_size", "tie_word_embeddings"):
            self.assertEqual(config[key], hf[key])

    def test_an_adapter_keeps_every_bit(self):
        for base in (HF, gguf("q8_0")):
            was = self.scores(base, ADAPTER)
            out = "peft-" + os.path.basename(base)
            self.export(base, "peft", out, "--base", "org/tiny")
            self.assertEqual(self.scores(base, self.path(out)), was)
            config = json.loads(self.read(out, "adapter_config.json"))
            self.assertEqual((config["base_model_name_or_path"], config["r"]), ("org/tiny", 4))
            self.assertEqual(self.export(base, "gguf-lora", out + "-lora")["verified"]["max_difference"], 0)

    def test_every_family_is_written_as_it_is_read(self):
        for family in sorted(os.listdir(FAMILIES)):
            adapter = os.path.join(FAMILIES, family, "adapter")
            for form, base in (("gguf", "model.gguf"), ("safetensors", "hf"), ("gguf-lora", "model.gguf")):
                model = os.path.join(FAMILIES, family, base)
                if not os.path.exists(model) or not os.path.exists(adapter):
                    continue
                with self.subTest(family=family, form=form):
                    told = self.export(model, form, "%s-%s" % (family, form),
                                       *([] if form == "gguf-lora" else ["--dtype", "f32"]), adapter=adapter)
                    self.assertLess(told["verified"]["max_difference"], 2e-4)

    def test_fused_layers_are_written_for_peft(self):
        family = os.path.join(FAMILIES, "phi3")
        words = ["export", "--model", os.path.join(family, "hf"), "--adapter", os.path.join(family, "adapter"),
                 "--format", "peft", "--out", "phi"]
        self.fails(*words, "--verify", says="fused")
        self.assert_nothing_there("phi")
        self.works(*words)
        config = json.loads(self.read("phi", "adapter_config.json"))
        self.assertEqual(config["rank_pattern"], {"qkv_proj": 3 * config["r"], "gate_up_proj": 2 * config["r"]})
        tensors, _ = header(self.path("phi", "adapter_model.safetensors"))
        name = "base_model.model.model.layers.0.self_attn.qkv_proj.lora_A.weight"
        self.assertEqual(tensors[name]["shape"][0], 3 * config["r"])

    def tamper(self, path, at, n):
        with open(path, "r+b") as stream:
            stream.seek(at)
            stream.write(bytes(n))

    def test_verify_fails_on_what_was_tampered_with(self):
        self.export(HF, "safetensors", "folder", "--dtype", "f32")
        tensors, start = header(self.path("folder", "model.safetensors"))
        at, end = tensors["model.layers.1.self_attn.q_proj.weight"]["data_offsets"]
        self.export(HF, "peft", "peft")
        lora, lora_start = header(self.path("peft", "adapter_model.safetensors"))
        lora_at, lora_end = lora["base_model.model.model.layers.1.mlp.down_proj.lora_B.weight"]["data_offsets"]
        self.export(gguf("q8_0"), "gguf", "gguf")
        self.export(gguf("q8_0"), "gguf-lora", "lora")
        for form, model, out, name, where, n in (
                ("safetensors", HF, "folder", "model.safetensors", start + at, end - at),
                ("peft", HF, "peft", "adapter_model.safetensors", lora_start + lora_at, lora_end - lora_at),
                ("gguf", gguf("q8_0"), "gguf", "model.gguf", -8000, 8000),
                ("gguf-lora", gguf("q8_0"), "lora", "adapter.gguf", -4000, 4000)):
            words = ["export", "--model", model, "--adapter", ADAPTER, "--format", form, "--out", out, "--verify",
                     *(["--dtype", "f32"] if form == "safetensors" else [])]
            self.assertFalse(self.json(*words)["written"])
            path = self.path(out, name)
            self.tamper(path, where if where >= 0 else os.path.getsize(path) + where, n)
            self.fails(*words, says=("while verifying", "differ"))
            self.assertTrue(os.path.exists(path))

    def test_verify_sees_another_tokenizer_and_another_template(self):
        self.export(HF, "safetensors", "folder", "--dtype", "f32")
        words = ["export", "--model", HF, "--adapter", ADAPTER, "--format", "safetensors", "--dtype", "f32", "--out",
                 "folder", "--verify"]
        self.put("folder/chat_template.jinja", "{{ messages[0].content }}")
        self.fails(*words, says="template")
        os.remove(self.path("folder", "chat_template.jinja"))
        self.works(*words)
        tokenizer = json.loads(self.read("folder", "tokenizer.json"))
        tokenizer["model"]["merges"] = tokenizer["model"]["merges"][:-60]
        self.put("folder/tokenizer.json", tokenizer)
        self.fails(*words, says="tokenizer")

    def test_a_run_becomes_a_card_and_is_verified_by_its_validation(self):
        self.train(self.job(), "--out", "run")
        told = self.export("run", "safetensors", "out", adapter=None)
        self.assertEqual(told["verified"]["texts"], "validation")
        card = self.read("out", "README.md")
        line = json.loads(self.read("run", "certificate.jsonl").splitlines()[0])
        last = json.loads(self.read("run", "certificate.jsonl").splitlines()[-1])
        for part in ("library_name: transformers", "train.jsonl", "valid.jsonl", line["training_file"]["sha256"],
                     line["validation_file"]["sha256"], last["chain"], last["adapter"], '"text_similarity"',
                     "full_valid_mean_reward", "model.safetensors", "config.json"):
            self.assertIn(part, card)
        self.assertNotIn(self.folder, card)
        self.assertIn("base_model: \"org/tiny\"", self.base_of("run"))

    def base_of(self, run):
        self.works("export", "--model", run, "--format", "peft", "--out", "peft", "--base", "org/tiny")
        return self.read("peft", "README.md")

    def test_what_cannot_be_made_is_refused_and_leaves_nothing(self):
        base = ["export", "--adapter", ADAPTER, "--out", "out", "--format"]
        self.fails(*base, "gguf", "--model", HF, says=("folder", "convert_hf_to_gguf"))
        olmo = os.path.join(FAMILIES, "olmo2")
        self.fails("export", "--adapter", os.path.join(olmo, "adapter"), "--out", "out", "--format", "safetensors",
                   "--model", os.path.join(olmo, "model.gguf"), says=("olmo2", "qwen3"))
        yarn = os.path.join(FAMILIES, "mistral-yarn")
        self.fails("export", "--out", "out", "--format", "safetensors", "--model", os.path.join(yarn, "model.gguf"),
                   says="rotations")
        self.fails(*base, "safetensors", "--model", HF, "--dtype", "q8_0", says="q8_0")
        self.fails(*base, "peft", "--model", HF, "--dtype", "f16", says="f32")
        self.fails("export", "--model", HF, "--format", "peft", "--out", "out", says="adapter")
        self.fails("export", "--model", HF, "--out", "out", says="--format", status=2)
        self.assert_nothing_there("out")
        os.mkdir(self.path("out"))
        self.fails(*base, "peft", "--model", HF, says="there already")
        self.assertEqual(os.listdir(self.path("out")), [])

    def test_values_that_f16_cannot_hold_are_refused(self):
        broken = self.path("broken")
        shutil.copytree(HF, broken)
        path = os.path.join(broken, "model.safetensors")
        tensors, start = header(path)
        with open(path, "r+b") as stream:
            stream.seek(start + tensors["model.layers.0.mlp.up_proj.weight"]["data_offsets"][0])
            stream.write(struct.pack("<f", 70000.0))
        words = ["export", "--model", broken, "--adapter", ADAPTER, "--format", "safetensors", "--out", "out"]
        self.fails(*words, "--dtype", "f16", says=("model.layers.0.mlp.up_proj.weight", "65504"))
        self.assert_nothing_there("out")
        self.works(*words, "--dtype", "bf16")


if __name__ == "__main__":
    unittest.main()
