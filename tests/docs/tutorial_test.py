"""docs/TUTORIAL.md: every command in it runs, in its order, in a short form.

The blocks marked sh are one script. Short: a tiny model of random weights stands under the demo model's name, hone is called through a
stand-in that shortens jobs (two steps, a few tokens) and takes a free port, and what installs, builds and fetches does nothing.
"""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HONE = os.environ.get("HONE_BIN", "")
TINY = os.path.join(ROOT, "tests", "golden", "tiny", "tiny-q8_0.gguf")
SHORT = "--set batch_size=2"
SHORT_JOB = '{"max_steps": 2, "group_size": 4, "max_tokens": 4, "lora_rank": 4}'

STAND_IN = """#!/bin/sh
case $1 in
train) exec %(hone)s "$@" %(short)s ;;
check) %(hone)s "$@" %(short)s; status=$?; [ $status -le 1 ] ;; # random answers: it may refuse, and says why
serve) exec %(hone)s "$@" --port %(port)d ;;
*) exec %(hone)s "$@" ;;
esac
"""


def blocks():
    with open(os.path.join(ROOT, "docs", "TUTORIAL.md"), encoding="utf-8") as stream:
        return re.findall(r"^```sh\n(.*?)^```$", stream.read(), re.M | re.S)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@unittest.skipUnless(HONE and os.path.exists(HONE), "HONE_BIN names no hone")
@unittest.skipUnless(shutil.which("curl"), "no curl here")
class Tutorial(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
        self.addCleanup(scratch.cleanup)
        self.folder = scratch.name

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def program(self, name, text):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w") as stream:
            stream.write(text)
        os.chmod(self.path(name), 0o755)

    def checkout(self, port):
        """What the page finds at the top of the checkout."""
        shutil.copytree(os.path.join(ROOT, "examples", "tutorial"), self.path("examples", "tutorial"))
        os.makedirs(self.path("models"))
        os.symlink(TINY, self.path("models", "SmolLM2-135M-Instruct.Q4_1.gguf"))
        self.program("build/release/hone", STAND_IN % {"hone": HONE, "short": SHORT, "port": port})
        for name in ("scripts/deps", "scripts/demo-model", "tools/make"):
            self.program(name, "#!/bin/sh\n")
            self.assertTrue(os.path.exists(os.path.join(ROOT, name.replace("tools/make", "Makefile"))))

    def test_every_command_runs(self):
        port = free_port()
        self.checkout(port)
        script = "set -eu -o pipefail\n" + "\n".join(
            "printf '\\n== block %d\\n'\n%s" % (i, block) for i, block in enumerate(blocks(), 1)).replace("127.0.0.1:8080", "127.0.0.1:%d" % port)
        self.assertIn('"hone": {"max_steps": 100}', script)
        script = script.replace('"hone": {"max_steps": 100}', '"hone": ' + SHORT_JOB)  # the server's job, too
        script = script.replace("hone watch\n", "hone watch --url http://127.0.0.1:%d\n" % port)
        env = {key: value for key, value in os.environ.items() if not key.startswith(("HONE_", "OPENAI_"))}
        env.update(HONE_HOME=self.path("home"), PATH=self.path("tools") + ":" + env["PATH"])
        process = subprocess.Popen(["bash", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.folder, env=env,
                                   start_new_session=True)
        try:
            out, err = process.communicate(timeout=400)
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)  # the server, where a block before the last one failed
            except ProcessLookupError:
                pass
        self.assertEqual(process.returncode, 0, "%s\n%s" % (out[-3000:], err[-3000:]))
        said = dict(re.findall(r"^== block (\d+)\n(.*?)(?=^== block|\Z)", out, re.M | re.S))
        self.assertEqual(len(said), len(blocks()))
        self.assertGreater(len(said), 12)
        self.check_what_was_said("".join(said.values()))

    def check_what_was_said(self, out):
        rows = []
        for name in ("train", "valid", "test"):
            with open(self.path("mine", name + ".jsonl"), encoding="utf-8") as stream:
                rows += map(json.loads, stream)
        self.assertEqual((len(rows), len({row["messages"][0]["content"] for row in rows})), (100, 100))
        self.assertEqual({row["part"] for row in rows}, {"brakes", "chain", "tyre", "lights", "saddle"})
        for part in ("Done: 2 steps", "The report is in runs/bicycle/report.html", '"object":"chat.completion"',
                     "the model is ft:smol:", ":bicycle:", "The job has successfully completed"):
            self.assertIn(part, out.replace('": "', '":"'))
        self.assertTrue(os.path.getsize(self.path("mine", "bicycle", "model.gguf")) > 0)

    def test_the_grader_pays_as_the_page_says(self):
        block = next(b for b in blocks() if "mine/grader.py" in b and "tries" in b)
        texts = dict(re.findall(r"cat >(\S+) <<'END'\n(.*?)^END$", block, re.M | re.S))
        os.makedirs(self.path("mine"))
        for name, text in texts.items():
            with open(self.path(name), "w", encoding="utf-8") as stream:
                stream.write(text)
        run = subprocess.run([HONE, "grade", "--grader", "mine/grader.py", "--answers", "mine/tries.jsonl", "--json"], cwd=self.folder,
                             capture_output=True, text=True, env={**os.environ, "HONE_HOME": self.path("home")})
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual([json.loads(line)["reward"] for line in run.stdout.splitlines()], [1, 0, 0, 0])


if __name__ == "__main__":
    unittest.main()
