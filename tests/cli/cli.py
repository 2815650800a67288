"""What the tests of the command line share: hone in a folder and a store of its own, and a job that takes seconds."""
import json
import os
import subprocess
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HONE = os.environ.get("HONE_BIN", "")
TINY = os.path.join(ROOT, "tests", "golden", "tiny")
HF = os.path.join(TINY, "hf")
GGUF = os.path.join(TINY, "tiny-q8_0.gguf")

VOWELS = """def grade(sample, item):
    text = sample["output_text"]
    return sum(letter in "aeiou " for letter in text) / max(1, len(text))
"""
EXACT = {"type": "string_check", "name": "exact", "input": "{{sample.output_text}}",
         "reference": "{{item.answer}}", "operation": "eq"}
# Starts no Python, and pays the tiny model's random answers unequally.
CLOSE = {"type": "text_similarity", "name": "close", "input": "{{sample.output_text}}",
         "reference": "{{item.answer}} a e i o u", "evaluation_metric": "fuzzy_match"}
LIKE = {**EXACT, "name": "like", "operation": "like"}


def sanitized():
    """It has memory of its own that no plan knows, and real models take ten times as long."""
    if not os.path.exists(HONE):
        return False
    with open(HONE, "rb") as program:
        return b"__asan_init" in program.read()


def python(source, name="python"):
    return {"type": "python", "name": name, "source": source}


def rows(n=6):
    return [{"messages": [{"role": "user", "content": "%d%s" % (i, "abc"[i % 3])}], "answer": "abc"[i % 3],
             "among": ["a", "b", "c"]} for i in range(n)]


@unittest.skipUnless(HONE and os.path.exists(HONE), "HONE_BIN names no hone")
class HoneTest(unittest.TestCase):
    def setUp(self):
        # in memory where possible: a run waits for the disk again and again, and a busy one makes seconds minutes
        memory = "/dev/shm" if "TMPDIR" not in os.environ and os.access("/dev/shm", os.W_OK) else None
        scratch = tempfile.TemporaryDirectory(dir=memory)
        self.addCleanup(scratch.cleanup)
        self.folder = scratch.name
        self.home = self.path("home")
        self.env = {key: value for key, value in os.environ.items() if not key.startswith("HONE_")}
        self.env["HONE_HOME"] = self.home

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def put(self, name, content):
        """Text, bytes, a JSON value, or with .jsonl a list of JSON values."""
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        if name.endswith(".jsonl") and isinstance(content, list):
            content = "".join(json.dumps(line) + "\n" for line in content)
        elif not isinstance(content, (str, bytes)):
            content = json.dumps(content)
        with open(self.path(name), "wb" if isinstance(content, bytes) else "w") as stream:
            stream.write(content)
        return self.path(name)

    def read(self, *parts):
        with open(self.path(*parts)) as stream:
            return stream.read()

    def hone(self, *words, stdin="", env=None, **options):
        return subprocess.run([HONE, *words], input=stdin, capture_output=True, text=True, timeout=120,
                              cwd=self.folder, env={**self.env, **(env or {})}, **options)

    def works(self, *words, **options):
        run = self.hone(*words, **options)
        self.assertEqual(run.returncode, 0, run.stderr)
        return run.stdout

    def json(self, *words, **options):
        """The one document that a command prints with --json."""
        out = self.works(*words, "--json", **options)
        self.assertEqual(out.count("\n"), 1, out)
        return json.loads(out)

    def lines(self, *words, stdin):
        """A list of values, or raw lines, in; the values of the lines that come out."""
        text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in stdin)
        out = self.works(*words, "--json", stdin=text).split("\n")
        self.assertEqual(out.pop(), "")
        self.assertEqual(len(out), len(stdin), out)
        return [json.loads(line) for line in out]

    def fails(self, *words, says=(), status=1, **options):
        """One sentence on standard error that holds all of says, and nothing on standard output."""
        run = self.hone(*words, **options)
        self.assertEqual(run.returncode, status, run.stdout + run.stderr)
        self.assert_sentence(run.stderr, says)
        self.assertEqual(run.stdout, "")
        return run.stderr

    def assert_sentence(self, text, says=()):
        self.assertRegex(text, r"\Ahone: [^\n]+\n\Z")
        for part in (says,) if isinstance(says, str) else says:
            self.assertIn(part, text)

    def assert_error(self, line, param=None, says="", code="invalid_value"):
        self.assertEqual(list(line), ["error"])
        self.assertEqual(set(line["error"]), {"message", "type", "param", "code"})
        self.assertEqual((line["error"]["param"], line["error"]["code"]), (param, code), line)
        self.assertIn(says, line["error"]["message"])

    def job(self, name="job.json", grader=None, steps=4, hone=None, **more):
        self.put("train.jsonl", rows())
        self.put("valid.jsonl", rows(3))
        return self.put(name, {
            "model": HF, "training_file": "train.jsonl", "validation_file": "valid.jsonl", "seed": 3,
            "method": {"type": "reinforcement", "reinforcement": {
                "grader": grader or CLOSE,
                "hyperparameters": {"batch_size": 2, "eval_interval": 2}}},
            "hone": {"max_steps": steps, "group_size": 4, "max_tokens": 6, "lora_rank": 4,
                     "checkpoint_interval": 2, **(hone or {})}, **more})

    def train(self, *words, **options):
        """The JSON lines of a run."""
        out = self.works("train", *words, "--json", **options)
        return [json.loads(line) for line in out.splitlines()]
