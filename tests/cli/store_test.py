"""models, import, and the ways to name a model."""
import json
import os
import shutil
import unittest

from cli import GGUF, HF, ROOT, TINY, HoneTest

ADAPTER = os.path.join(TINY, "adapter")


class Store(HoneTest):
    def names(self):
        return [m["id"] for m in self.json("models")["data"]]

    def test_an_empty_store_says_how_to_fill_it(self):
        self.assertIn("hone import", self.works("models"))
        self.assertEqual(self.json("models"), {"object": "list", "data": []})

    def test_models_are_imported_under_their_own_or_another_name(self):
        self.assertEqual(self.json("import", GGUF)["id"], "tiny-q8_0")
        self.assertIn("a folder is in the store", self.works("import", HF, "--name", "a folder"))
        self.assertEqual(self.names(), ["a folder", "tiny-q8_0"])
        self.assertIn("tiny-q8_0", self.works("models"))
        for name in ("tiny-q8_0", "tiny-q8_0.gguf", "a folder"):
            self.works("tokenize", "--model", name, "a")

    def test_a_model_can_be_linked(self):
        self.works("import", GGUF, "--name", "linked", "--link")
        self.assertTrue(os.path.islink(self.path("home", "models", "linked.gguf")))
        self.works("import", HF, "--link", "--name", "folder")
        self.assertEqual(self.names(), ["folder", "linked"])
        self.works("tokenize", "--model", "folder", "a")

    def test_a_model_of_several_parts_is_used_where_it_lies_and_becomes_one_file(self):
        first = os.path.join(os.path.dirname(TINY), "formats", "mixed-00001-of-00003.gguf")
        want = self.works("tokenize", "--model", first, "a")
        self.fails("import", first, "--name", "parts", "--link", says=["one of several parts", "without --link"])
        self.assertEqual(self.names(), [])
        self.assertEqual(self.json("import", first)["id"], "mixed")
        self.assertEqual(os.listdir(self.path("home", "models")), ["mixed.gguf"])
        self.assertEqual(self.works("tokenize", "--model", "mixed", "a"), want)
        score = [self.lines("score", "--model", model, "--precision", "f32", stdin=[{"text": "one two three"}])
                 for model in (first, "mixed")]
        self.assertEqual(*score)

    def test_an_encoder_is_imported_with_the_folders_that_it_reads(self):
        folder, encoder = self.path("encoder"), os.path.join(os.path.dirname(TINY), "encoder")
        shutil.copytree(os.path.join(encoder, "cls"), folder)
        for name in ("onnx/model.onnx", "original/consolidated.00.pth", "pytorch_model.bin", ".cache/x"):
            self.put("encoder/" + name, "not for hone")
        self.assertEqual(self.json("import", folder)["for"], "embeddings")
        place = self.path("home", "models", "encoder")
        want = {os.path.relpath(os.path.join(at, name), folder) for at, _, names in os.walk(folder) for name in names}
        is_there = {os.path.relpath(os.path.join(at, name), place) for at, _, names in os.walk(place) for name in names}
        self.assertEqual(is_there, {name for name in want if not any(x in name for x in ("onnx", "original", ".bin", ".cache"))})
        self.assertIn(os.path.join("1_Pooling", "config.json"), is_there)
        for name in is_there:
            with open(os.path.join(folder, name), "rb") as one, open(os.path.join(place, name), "rb") as other:
                self.assertEqual(one.read(), other.read())
        self.assertIn("an encoder", self.works("import", os.path.join(encoder, "f16.gguf"), "--name", "small"))
        modules = json.loads(self.read("encoder", "modules.json"))
        self.put("encoder/modules.json", modules + [{"type": "sentence_transformers.models.Dense", "path": "2_Dense"}])
        self.fails("import", folder, "--name", "dense", says=("Dense", "Pooling"))
        self.assertEqual(sorted(os.listdir(self.path("home", "models"))), ["encoder", "small.gguf"])

    def test_gpt_oss_is_imported_in_mxfp4(self):
        family = os.path.join(ROOT, "tests", "golden", "families", "gpt-oss-blocks")
        self.works("import", os.path.join(family, "hf"), "--name", "folder")
        self.works("import", os.path.join(family, "model.gguf"), "--name", "file")
        folder, file = (self.works("score", "--model", name, "--json", stdin='{"text":"abcab fedHIJ"}\n')
                        for name in ("folder", "file"))
        self.assertEqual(folder, file)  # the same weights, whichever way they lie
        self.works("import", os.path.join(family, "hf"), "--name", "broken")
        weights = self.path("home", "models", "broken", "model.safetensors")
        with open(weights, "r+b") as stream:
            head = stream.read(8192)
            stream.seek(head.index(b"layers.1.mlp.experts.down_proj_scales"))
            stream.write(b"layers.1.mlp.experts.down_proj_scalez")
        self.fails("import", os.path.dirname(weights), "--name", "other",
                   says=("layers.1.mlp.experts.down_proj_scalez", "U8"))

    def test_a_folder_with_shards_is_imported(self):
        sharded = os.path.join(TINY, "hf-bf16-sharded")
        self.works("import", sharded, "--name", "sharded")
        self.assertEqual(sorted(os.listdir(self.path("home", "models", "sharded"))), sorted(os.listdir(sharded)))
        broken = self.path("broken")
        shutil.copytree(sharded, broken)
        shard = [name for name in os.listdir(broken) if name.endswith(".safetensors")][0]
        os.remove(os.path.join(broken, shard))
        self.fails("import", broken, says=shard)
        self.assertEqual(self.names(), ["sharded"])

    def test_a_name_is_taken_once(self):
        self.works("import", GGUF, "--name", "x")
        self.fails("import", GGUF, "--name", "x", says="is there already")
        for name in ("a/b", ".x", "ft:x", ""):
            self.fails("import", GGUF, "--name", name, says="no name in the store")
        self.assertEqual(sorted(os.listdir(self.path("home", "models"))), ["x.gguf"])

    def test_what_cannot_be_opened_is_not_imported(self):
        with open(GGUF, "rb") as stream:
            self.put("cut.gguf", stream.read()[:20000])
        self.fails("import", "cut.gguf", says="cut.gguf")
        self.fails("import", "nothing.gguf", says="nothing.gguf")
        self.assertEqual(self.names(), [])

    def test_a_model_that_is_not_there_says_what_is(self):
        self.works("import", GGUF, "--name", "here")
        self.fails("tokenize", "--model", "there", "a", says=['no model "there"', "here.gguf"])
        self.fails("tokenize", "--model", "org/there", "a", says="hone pull fetches")
        self.fails("tokenize", "--model", "ft:nobody", "a", says='no run in')
        self.put("empty/file", "")
        self.fails("tokenize", "--model", "empty", "a", says="config.json")


class Adapters(HoneTest):
    """The golden adapter: it says that its model is one called tiny."""

    def score(self, *words):
        return self.lines("score", *words, stdin=[{"text": "abc"}])

    def adapter(self, base):
        shutil.copytree(ADAPTER, self.path("adapter"))
        config = json.loads(self.read("adapter", "adapter_config.json"))
        config["base_model_name_or_path"] = base
        self.put("adapter/adapter_config.json", config)

    def test_an_adapter_finds_the_model_that_it_names(self):
        want = self.score("--model", HF, "--adapter", ADAPTER)
        self.adapter("somewhere")
        self.fails("score", "--model", "adapter", says=['"somewhere"', "apart"])
        self.works("import", HF, "--name", "somewhere")
        self.assertEqual(self.score("--model", "adapter"), want)
        self.assertEqual(self.score("--model", "somewhere", "--adapter", "adapter"), want)

    def test_an_adapter_s_model_may_be_a_path(self):
        self.adapter(HF)
        self.assertEqual(self.score("--model", "adapter"), self.score("--model", HF, "--adapter", ADAPTER))

    def test_two_adapters_are_one_too_many(self):
        self.adapter(HF)
        self.fails("score", "--model", "adapter", "--adapter", ADAPTER, status=2, says="another")

    def test_a_model_is_no_adapter(self):
        self.fails("score", "--model", HF, "--adapter", HF, says="is a model")
        self.fails("score", "--model", HF, "--adapter", "nothing", says="nothing")


if __name__ == "__main__":
    unittest.main()
