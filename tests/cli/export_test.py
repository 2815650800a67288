"""hone export: each format says what the run says, and --verify notices when it does not."""
import gzip
import json
import os
import shutil
import struct
import unittest

from cli import ROOT, TINY, HF, HoneTest

FAMILIES = os.path.join(ROOT, "tests", "golden", "families")
ADAPTER = os.path.join(TINY, "adapter")
TEXTS = ["the quick brown fox", "A b c, 12 34: \u00e4\u00f6\u00fc!", "one two three four five six seven eight"]
# hf and, of it, llama.cpp's converter's model.gguf
CONVERTED = ("gemma2", "gpt-oss", "gpt-oss-blocks", "granite", "llama3", "ministral3", "mistral-yarn", "olmo2", "olmo3", "phi3", "qwen2", "qwen3",
             "qwen3-moe", "smollm3")
# nats: what the type of merged weights rounds
WITHIN = {"f32": 2e-4, "f16": 0.02, "bf16": 0.15, "q8_0": 0.3}


def gguf(dtype):
    return os.path.join(TINY, "tiny-%s.gguf" % dtype)


def header(path):
    with open(path, "rb") as stream:
        size = struct.unpack("<Q", stream.read(8))[0]
        return json.loads(stream.read(size)), 8 + size


def gguf_read(path):
    """Keys with their values' bytes, and each tensor: type, shape, where its bytes begin."""
    with open(path, "rb") as stream:
        data = stream.read()
    at = 4

    def take(form):
        nonlocal at
        value = struct.unpack_from("<" + form, data, at)[0]
        at += struct.calcsize("<" + form)
        return value

    def text():
        nonlocal at
        n = take("Q")
        at += n
        return data[at - n:at].decode()

    def skip(kind):
        nonlocal at
        if kind == 8:
            text()
        elif kind == 9:
            item, n = take("I"), take("Q")
            for _ in range(n):
                skip(item)
        else:
            at += (1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8)[kind]

    take("I")
    n_tensors, n_keys, keys, tensors = take("Q"), take("Q"), {}, {}
    for _ in range(n_keys):
        name, begin = text(), at
        skip(take("I"))
        keys[name] = data[begin:at]
    for _ in range(n_tensors):
        name = text()
        shape = [take("Q") for _ in range(take("I"))]
        tensors[name] = (take("I"), shape, take("Q"))
    start = (at + 31) // 32 * 32
    tensors = {name: (kind, shape, start + offset) for name, (kind, shape, offset) in tensors.items()}

    def size(kind, shape):
        n = 1
        for x in shape:
            n *= x
        return {0: 4 * n, 1: 2 * n, 30: 2 * n, 8: n // 32 * 34}.get(kind, 0)

    return keys, {name: (*t, data[t[2]:t[2] + size(*t[:2])]) for name, t in tensors.items()}


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

    def test_a_gguf_file_is_made_of_a_folder(self):
        for base in (HF, os.path.join(TINY, "hf-bf16-sharded")):
            was = self.scores(base, ADAPTER)
            for dtype in WITHIN:
                out = "%s-%s" % (os.path.basename(base), dtype)
                told = self.export(base, "gguf", out, "--dtype", dtype)
                self.assertGreater(told["verified"]["n_tokens"], 100)
                self.assert_same(self.scores(self.path(out, "model.gguf")), was, WITHIN[dtype])
        for family in CONVERTED:
            base = os.path.join(FAMILIES, family)
            with self.subTest(family=family):
                told = self.export(os.path.join(base, "hf"), "gguf", family, "--dtype", "f32",
                                   adapter=os.path.join(base, "adapter"))
                self.assertLess(told["verified"]["max_difference"], 2e-4)

    def test_it_is_bit_for_bit_what_llama_cpp_s_converter_makes(self):
        # model.gguf is the converter's, of hf (tools/golden/make_families.py), in BF16
        for family in CONVERTED:
            with self.subTest(family=family):
                base = os.path.join(FAMILIES, family)
                self.export(os.path.join(base, "hf"), "gguf", family, "--dtype", "bf16", adapter=None)
                want_keys, want = gguf_read(os.path.join(base, "model.gguf"))
                keys, tensors = gguf_read(self.path(family, "model.gguf"))
                self.assertEqual(tensors.keys(), want.keys())
                for name, (kind, shape, _, data) in want.items():
                    self.assertEqual(tensors[name][:2], (kind, shape), name)
                    if name == "rope_freqs.weight": # the converter's frequencies are of single precision
                        n = len(data) // 4
                        for x, y in zip(struct.unpack("<%df" % n, data), struct.unpack("<%df" % n, tensors[name][3])):
                            self.assertLess(abs(x - y), 1e-6 * x)
                    else:
                        self.assertEqual(tensors[name][3], data, name)
                for name, value in want_keys.items():
                    if not name.startswith("general.") or name in ("general.architecture", "general.type", "general.file_type"):
                        self.assertEqual(keys.get(name), value, name)

    def with_tokenizer(self, name, tokenizer):
        """HF with another tokenizer, and an embedding of as many rows."""
        shutil.copytree(HF, self.path(name))
        size = 1 + max([*tokenizer["model"]["vocab"].values(), *(t["id"] for t in tokenizer["added_tokens"])])
        tensors, start = header(os.path.join(HF, "model.safetensors"))
        with open(os.path.join(HF, "model.safetensors"), "rb") as stream:
            data = stream.read()[start:]
        head, body = {}, b""
        for key, t in tensors.items():
            if key != "__metadata__":
                part = data[slice(*t["data_offsets"])]
                if key == "model.embed_tokens.weight":
                    part, t["shape"] = (part * 4)[:size * t["shape"][1] * 4], [size, t["shape"][1]]
                head[key] = {**t, "data_offsets": [len(body), len(body) + len(part)]}
                body += part
        text = json.dumps(head).encode()
        text += b" " * (-len(text) % 8)
        self.put(name + "/model.safetensors", struct.pack("<Q", len(text)) + text + body)
        self.put(name + "/config.json", {**json.loads(self.read(HF, "config.json")), "vocab_size": size})
        self.put(name + "/tokenizer.json", tokenizer)
        self.put(name + "/tokenizer_config.json", {})
        return self.path(name)

    def test_the_tokenizer_of_a_folder_becomes_gguf_s_or_is_refused(self):
        kinds = os.path.join(ROOT, "tests", "golden", "tokenizer_kinds")
        with gzip.open(os.path.join(kinds, "strings.jsonl.gz"), "rt") as stream:
            strings = [json.loads(line) for line in stream]
        with gzip.open(os.path.join(kinds, "kinds.jsonl.gz"), "rt") as stream:
            known = {kind["name"]: kind for kind in map(json.loads, stream)}
        for name, model in (("llama2", "llama"), ("o200k", "gpt2"), ("tekken", "gpt2"), ("olmo2", "gpt2"),
                            ("smollm3", "gpt2"), ("granite", "gpt2")):
            with self.subTest(kind=name):
                base = self.with_tokenizer(name, known[name]["tokenizer"])
                self.works("export", "--model", base, "--format", "gguf", "--out", name + "-gguf")
                path = self.path(name + "-gguf", "model.gguf")
                self.assertEqual(gguf_read(path)[0]["tokenizer.ggml.model"][12:].decode(), model)
                lines = self.lines("tokenize", "--model", path, stdin=[{"text": text} for text in strings])
                self.assertEqual([line["ids"] for line in lines], known[name]["ids"])
        # as Gemma has it: no blank in front, and tokens of blanks that are cut out of the text as it is, or of the normal form
        gemma = json.loads(json.dumps(known["llama2"]["tokenizer"]))
        gemma["normalizer"] = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
        size = 1 + max([*gemma["model"]["vocab"].values(), *(t["id"] for t in gemma["added_tokens"])])
        for i, (text, normalized) in enumerate((("\u2581" * 3, False), ("\u2581" * 5, True), ("\u00a7\u00a7\u00a7", False))):
            gemma["added_tokens"].append({**gemma["added_tokens"][0], "id": size + i, "content": text,
                                          "special": False, "normalized": normalized})
        base = self.with_tokenizer("gemma", gemma)
        self.works("export", "--model", base, "--format", "gguf", "--out", "gemma-gguf")
        keys = gguf_read(self.path("gemma-gguf", "model.gguf"))[0]
        self.assertEqual(keys["tokenizer.ggml.add_space_prefix"][4:], b"\0")
        # but for texts with SentencePiece's own sign for a blank: GGUF has no two kinds of it
        texts = [{"text": text} for text in strings if "\u2581" not in text]
        texts += [{"text": text} for text in ["   x", "      x", "a\u00a7\u00a7\u00a7\u00a7b", "<s>   </s>     x"]]
        for special in ((), ("--no-special",)):
            was, now = ([line["ids"] for line in self.lines("tokenize", "--model", path, *special, stdin=texts)]
                        for path in (base, self.path("gemma-gguf", "model.gguf")))
            self.assertEqual(was, now)
        # a blank only at the very beginning; no name for the pattern; normalizers that GGUF has not
        for name in ("mistral", "prefixed", "phi4", "normal-lower"):
            with self.subTest(kind=name):
                base = self.with_tokenizer(name, known[name]["tokenizer"])
                self.fails("export", "--model", base, "--format", "gguf", "--out", "out", says=("tokenizer.json", "no GGUF keys"))
        self.assert_nothing_there("out")

    def test_a_folder_that_gguf_cannot_say_is_refused(self):
        for family, says in (("mistral", "window"), ("ministral", "ministral"), ("qwen2-window", "sliding_window"),
                             ("gemma3", "window"), ("qwen3-moe-shares", "norm_topk_prob")):
            self.fails("export", "--model", os.path.join(FAMILIES, family, "hf"), "--format", "gguf", "--out", "out", says=says)
        yarn = self.path("yarn") # of gpt-oss alone llama.cpp's own way is taken
        shutil.copytree(os.path.join(FAMILIES, "mistral-yarn", "hf"), yarn)
        config = json.loads(self.read("yarn", "config.json"))
        config["rope_parameters"]["truncate"] = False
        self.put("yarn/config.json", config)
        self.fails("export", "--model", yarn, "--format", "gguf", "--out", "out", says="rotation")
        # llama.cpp has caps where a file is silent, so that there are none cannot be said
        capless = self.path("capless")
        shutil.copytree(os.path.join(FAMILIES, "gemma2", "hf"), capless)
        config = json.loads(self.read("capless", "config.json"))
        self.put("capless/config.json", {**config, "attn_logit_softcapping": None})
        self.fails("export", "--model", capless, "--format", "gguf", "--out", "out", says="soft-caps")
        other = self.path("other")
        shutil.copytree(HF, other)
        tokenizer = json.loads(self.read("other", "tokenizer.json"))
        tokenizer["pre_tokenizer"]["pretokenizers"][0] = {"type": "Punctuation", "behavior": "Isolated"}
        self.put("other/tokenizer.json", tokenizer)
        self.fails("export", "--model", other, "--format", "gguf", "--out", "out", says=("tokenizer.json", "llama.cpp"))
        self.assert_nothing_there("out")

    def test_mxfp4_stays_as_it_is(self):
        hf, adapter = (os.path.join(FAMILIES, "gpt-oss-blocks", name) for name in ("hf", "adapter"))
        self.export(hf, "safetensors", "folder", "--dtype", "f32", adapter=adapter)
        (was, start), (now, at) = (header(os.path.join(path, "model.safetensors")) for path in (hf, self.path("folder")))
        with open(os.path.join(hf, "model.safetensors"), "rb") as one, open(self.path("folder", "model.safetensors"), "rb") as two:
            one, two = one.read(), two.read()
        self.assertEqual(was.keys(), now.keys())
        n_bytes = 0
        for name in was:
            if name.endswith(("_blocks", "_scales")):
                (a, b), (c, d) = was[name]["data_offsets"], now[name]["data_offsets"]
                self.assertEqual((was[name]["dtype"], was[name]["shape"], one[start + a:start + b]),
                                 (now[name]["dtype"], now[name]["shape"], two[at + c:at + d]), name)
                n_bytes += b - a
            elif name != "__metadata__":
                self.assertEqual(now[name]["dtype"], "F32", name)
        self.assertGreater(n_bytes, 50000)
        configs = [json.loads(self.read(path, "config.json")) for path in (hf, self.path("folder"))]
        self.assertEqual(configs[0]["quantization_config"], configs[1]["quantization_config"])
        # the only thing that GGUF cannot say is said
        hf, adapter = (os.path.join(FAMILIES, "gpt-oss-plain", name) for name in ("hf", "adapter"))
        told = self.works("export", "--model", hf, "--adapter", adapter, "--format", "gguf", "--dtype", "f32", "--out", "plain", "--verify")
        self.assertIn("truncate", told)
        self.assertNotIn("quantization_config", json.loads(self.read(hf, "config.json")))
        told = self.works("export", "--model", os.path.join(FAMILIES, "gpt-oss", "hf"), "--format", "gguf", "--out", "whole")
        self.assertNotIn("truncate", told)

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
        done = 0
        for family in sorted(os.listdir(FAMILIES)):
            adapter = os.path.join(FAMILIES, family, "adapter")
            for form, base in (("gguf", "model.gguf"), ("safetensors", "hf"), ("gguf-lora", "model.gguf"), ("peft", "model.gguf")):
                model = os.path.join(FAMILIES, family, base)
                if not os.path.exists(model) or not os.path.exists(adapter):
                    continue
                with self.subTest(family=family, form=form):
                    told = self.export(model, form, "%s-%s" % (family, form),
                                       *(["--dtype", "f32"] if form in ("gguf", "safetensors") else []),
                                       *(["--base", "org/tiny"] if form == "peft" else []), adapter=adapter)
                    self.assertLess(told["verified"]["max_difference"], 2e-4)
                    done += 1
        self.assertGreater(done, 40)  # what a family has no file for is passed over

    def test_fused_layers_are_written_for_peft_and_read_back(self):
        base, adapter = (os.path.join(FAMILIES, "phi3", name) for name in ("hf", "adapter"))
        self.assertEqual(self.export(base, "peft", "phi", adapter=adapter)["verified"]["max_difference"], 0)
        config = json.loads(self.read("phi", "adapter_config.json"))
        self.assertEqual(config["rank_pattern"], {"qkv_proj": 3 * config["r"], "gate_up_proj": 2 * config["r"]})
        tensors, _ = header(self.path("phi", "adapter_model.safetensors"))
        name = "base_model.model.model.layers.0.self_attn.qkv_proj.lora_A.weight"
        self.assertEqual(tensors[name]["shape"][0], 3 * config["r"])
        self.assertEqual(self.scores(base, self.path("phi")), self.scores(base, adapter))
        # the parts have the rank that they had: a second export is the first
        self.export(base, "peft", "again", adapter=self.path("phi"))
        with open(self.path("phi", "adapter_model.safetensors"), "rb") as one, \
                open(self.path("again", "adapter_model.safetensors"), "rb") as other:
            self.assertEqual(one.read(), other.read())

    def put_adapter(self, name, tensors, **config):
        """tensors: name -> (rows, cols, values)."""
        head, body = {}, b""
        for key, (rows, cols, values) in tensors.items():
            data = struct.pack("<%df" % (rows * cols), *values)
            head["base_model.model.model.layers." + key + ".weight"] = {
                "dtype": "F32", "shape": [rows, cols], "data_offsets": [len(body), len(body) + len(data)]}
            body += data
        text = json.dumps(head).encode()
        text += b" " * (-len(text) % 8)
        self.put(name + "/adapter_model.safetensors", struct.pack("<Q", len(text)) + text + body)
        self.put(name + "/adapter_config.json", {"peft_type": "LORA", "lora_alpha": 4, "r": 2, **config})
        return self.path(name)

    def test_a_fused_layer_that_peft_trained_is_taken_apart_exactly(self):
        base = os.path.join(FAMILIES, "phi3", "hf")
        config = json.loads(self.read(base, "config.json"))
        width, hidden = config["hidden_size"], config["intermediate_size"]
        head = width // config["num_attention_heads"]
        heads, kv = config["num_attention_heads"] * head, config["num_key_value_heads"] * head
        shapes = {"self_attn.qkv_proj": ((("q", heads), ("k", kv), ("v", kv)), width),
                  "self_attn.o_proj": ((("o", width),), heads),
                  "mlp.gate_up_proj": ((("gate", hidden), ("up", hidden)), width),
                  "mlp.down_proj": ((("down", width),), hidden)}

        def made(ranks):
            fused, apart, seed = {}, {}, [1]

            def values(n):
                out = []
                for _ in range(n):
                    seed[0] = seed[0] * 1103515245 % 2 ** 31 + 12345
                    out.append((seed[0] % 1000 - 500) / 4000)
                return out

            for layer in range(config["num_hidden_layers"]):
                for module, (parts, inputs) in shapes.items():
                    rank = ranks.get(module.split(".")[1], 2)
                    a, rows = values(rank * inputs), sum(n for _, n in parts)
                    b = values(rows * rank)
                    fused["%d.%s.lora_A" % (layer, module)] = (rank, inputs, a)
                    fused["%d.%s.lora_B" % (layer, module)] = (rows, rank, b)
                    first, most = 0, max(2, *ranks.values()) if ranks else 2
                    for part, n in parts:
                        name = "%d.%s.%s_proj.lora_" % (layer, module.split(".")[0], part)
                        apart[name + "A"] = (most, inputs, a + [0] * ((most - rank) * inputs))
                        apart[name + "B"] = (n, most, sum((b[r * rank:(r + 1) * rank] + [0] * (most - rank)
                                                           for r in range(first, first + n)), []))
                        first += n
            return fused, apart

        fused, apart = made({})
        want = self.scores(base, self.put_adapter("apart", apart))
        self.assertEqual(self.scores(base, self.put_adapter("fused", fused)), want)
        self.assertNotEqual(want, self.scores(base))
        ranks = {"qkv_proj": 6, "gate_up_proj": 4} # as hone's own, but no blocks of zeros
        fused, apart = made(ranks)
        alphas = {name: 2 * rank for name, rank in ranks.items()}
        want = self.scores(base, self.put_adapter("apart6", apart, r=6, lora_alpha=12))
        self.assertEqual(self.scores(base, self.put_adapter("fused6", fused, rank_pattern=ranks, alpha_pattern=alphas)), want)
        words = ["score", "--model", base, "--adapter"]
        self.fails(*words, self.put_adapter("scales", fused, rank_pattern=ranks), says=("qkv_proj", "o_proj", "one scale"))
        self.fails(*words, self.put_adapter("regex", fused, rank_pattern={".*qkv_proj": 6}), says=(".*qkv_proj", "whole names"))

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

    def adapter_like(self, name, **config):
        """ADAPTER with other settings in its adapter_config.json."""
        shutil.copytree(ADAPTER, self.path(name))
        self.put(name + "/adapter_config.json", {**json.loads(self.read(ADAPTER, "adapter_config.json")), **config})
        return self.path(name)

    def add_to_byte(self, path, at, n):
        with open(path, "r+b") as stream:
            stream.seek(at)
            byte = stream.read(1)[0]
            stream.seek(at)
            stream.write(bytes([(byte + n) % 256]))

    def tensor_at(self, path, name):
        """Where a tensor's bytes begin."""
        if path.endswith(".gguf"):
            return gguf_read(path)[1][name][2]
        tensors, start = header(path)
        return start + tensors[name]["data_offsets"][0]

    def test_verify_sees_an_adapter_that_was_left_out(self):
        # so small that log-probabilities alone would not tell
        weak = self.adapter_like("weak", lora_alpha=0.02)
        none = self.adapter_like("none", lora_alpha=1e-9)
        self.assert_same(self.scores(HF, weak), self.scores(HF), 0.05)
        for form, base, dtypes in (("gguf", gguf("f32"), WITHIN), ("safetensors", HF, ("f32", "f16", "bf16"))):
            for dtype in dtypes:
                with self.subTest(form=form, dtype=dtype):
                    out = "%s-%s" % (form, dtype)
                    self.export(base, form, out, "--dtype", dtype, adapter=none)
                    words = ["export", "--model", base, "--format", form, "--out", out, "--dtype", dtype, "--verify"]
                    self.works(*words, "--adapter", none)
                    self.fails(*words, "--adapter", weak, says=("while verifying", "differs from what base and adapter make"))
                    self.fails(*words, "--adapter", ADAPTER, says=("while verifying", "differs"))

    def test_verify_sees_a_single_quantum_in_each_type(self):
        changed = {"gguf": "blk.1.attn_q.weight", "safetensors": "model.layers.1.self_attn.q_proj.weight"}
        kept = {"gguf": "token_embd.weight", "safetensors": "model.embed_tokens.weight"}
        for form, base, dtypes in (("gguf", gguf("f32"), WITHIN), ("gguf", gguf("q4_1"), ("f16",)),
                                   ("safetensors", HF, ("f32", "f16", "bf16"))):
            for dtype in dtypes:
                out = "%s-%s-%s" % (os.path.basename(base), form, dtype)
                self.export(base, form, out, "--dtype", dtype)
                path = self.path(out, "model.gguf" if form == "gguf" else "model.safetensors")
                words = ["export", "--model", base, "--adapter", ADAPTER, "--format", form, "--out", out, "--dtype",
                         dtype, "--verify"]
                for name in (changed[form], kept[form]):
                    with self.subTest(base=base, form=form, dtype=dtype, tensor=name):
                        at = self.tensor_at(path, name) + 2  # q8_0: behind the block's scale; little-endian elsewhere
                        if dtype == "f32" or name == kept["gguf"]:
                            at += 2
                        self.add_to_byte(path, at, 1)
                        self.fails(*words, says=("while verifying", name, "differs from what base and adapter make"))
                        self.add_to_byte(path, at, -1)
                        self.works(*words)

    def test_verify_sees_a_changed_key_and_one_value_of_an_adapter(self):
        base = gguf("q8_0")
        self.export(base, "gguf", "merged")
        words = ["export", "--model", base, "--adapter", ADAPTER, "--verify", "--format"]
        path = self.path("merged", "model.gguf")
        with open(path, "rb") as stream:
            at = stream.read().index(b"attention.layer_norm_rms_epsilon") + 32 + 4
        self.add_to_byte(path, at, 1)
        self.fails(*words, "gguf", "--out", "merged", says=("while verifying", "layer_norm_rms_epsilon", "differs"))
        for form, name, tensor in (
                ("peft", "adapter_model.safetensors", "base_model.model.model.layers.1.mlp.down_proj.lora_B.weight"),
                ("gguf-lora", "adapter.gguf", "blk.1.ffn_down.weight.lora_b")):
            self.export(base, form, form)
            self.add_to_byte(self.path(form, name), self.tensor_at(self.path(form, name), tensor), 1)
            self.fails(*words, form, "--out", form, says=("while verifying", "differ"))
        config = json.loads(self.read("peft", "adapter_config.json"))
        self.export(base, "peft", "other")
        self.put("other/adapter_config.json", {**config, "lora_alpha": config["lora_alpha"] * 1.0001})
        self.fails(*words, "peft", "--out", "other", says=("while verifying", "alpha", "differ"))

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
