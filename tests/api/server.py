"""What the tests of the API share: a server in a home of its own, and the official client."""
import contextlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.request

try:
    import openai
except ImportError:
    openai = None
    print("SKIPPED: the package openai is not installed (scripts/requirements-test.txt)", flush=True)  # for CTest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HONE = os.environ.get("HONE_BIN", "")
TINY = os.path.join(ROOT, "tests", "golden", "tiny", "tiny-q8_0.gguf")
EXACT = {"type": "string_check", "name": "exact", "input": "{{sample.output_text}}",
         "reference": "{{item.answer}}", "operation": "eq"}
CLOSE = {"type": "text_similarity", "name": "close", "input": "{{sample.output_text}}",
         "reference": "{{item.answer}} a e i o u", "evaluation_metric": "fuzzy_match"}


def rows(n=6):
    return [{"messages": [{"role": "user", "content": "%d%s" % (i, "abc"[i % 3])}], "answer": "abc"[i % 3]}
            for i in range(n)]


def jsonl(lines):
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


class Server:
    """hone serve on a free port; stop() ends it, start() begins again on the same home."""

    def __init__(self, *options, home=None, env=None, key=None):
        memory = "/dev/shm" if "TMPDIR" not in os.environ and os.access("/dev/shm", os.W_OK) else None
        self.folder = None if home else tempfile.mkdtemp(dir=memory)
        self.home = home or os.path.join(self.folder, "home")
        os.makedirs(os.path.join(self.home, "models"), exist_ok=True)
        if not os.path.exists(os.path.join(self.home, "models", "tiny.gguf")):
            os.symlink(TINY, os.path.join(self.home, "models", "tiny.gguf"))
        self.options, self.key, self.process = options, key, None
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("HONE_", "OPENAI_"))}
        self.env.update(env or {}, HONE_HOME=self.home)
        self.start()

    def start(self):
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen([HONE, "serve", "--port", "0", *self.options], env=self.env, text=True,
                                        stdout=subprocess.PIPE, stderr=self.log)
        line = self.process.stdout.readline()
        found = re.search(r"http://\S+", line)
        if not found:
            raise AssertionError("hone serve says %r and %r" % (line, self.said()))
        self.url = found.group(0)
        if self.key is None:
            self.key = self.process.stdout.readline().rsplit(": ", 1)[1].strip()

    def said(self):
        """Standard error so far; read without moving the place where the server, which shares the file, writes next."""
        return os.pread(self.log.fileno(), os.fstat(self.log.fileno()).st_size, 0).decode()

    def calls(self):
        return [json.loads(line) for line in self.said().splitlines() if '"module":"api","event":"call"' in line]

    def stop(self):
        """The exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=60)
        self.process.stdout.close()
        return status

    def left(self):
        """Processes that know this home."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/environ" % pid, "rb") as f:
                    if ("HONE_HOME=" + self.home).encode() in f.read().split(b"\0"):
                        found.append(int(pid))
            except OSError:
                pass
        return found

    def close(self):
        status = self.stop()
        self.log.close()
        end = time.monotonic() + 10  # a process that was killed may be there for a moment
        while self.left() and time.monotonic() < end:
            time.sleep(0.05)
        if self.left():
            raise AssertionError("processes %s outlive hone serve" % self.left())
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)
        return status

    def client(self, **options):
        return openai.OpenAI(base_url=self.url, api_key=options.pop("api_key", self.key),
                             **{"max_retries": 0, "timeout": 60, **options})

    def raw(self, method, path, body=None, headers=None, key=True):
        """(status, headers, bytes) of a plain request."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url.removesuffix("/v1") + path, data=data, method=method)
        if key:
            request.add_header("Authorization", "Bearer " + (key if isinstance(key, str) else self.key))
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return reply.status, reply.headers, reply.read()
        except urllib.error.HTTPError as reply:
            with reply:
                return reply.code, reply.headers, reply.read()

    def sql(self, statement, *values):
        """Rows of the store, a SQLite one."""
        with contextlib.closing(sqlite3.connect(os.path.join(self.home, "hone.db"), timeout=30)) as db, db:
            return db.execute(statement, values).fetchall()

    def worker(self, *options, timeout=300):
        """hone worker until the queue is empty."""
        run = subprocess.run([HONE, "worker", "--once", *options], env=self.env, capture_output=True, text=True,
                             timeout=timeout)
        if run.returncode != 0:
            raise AssertionError(run.stderr)
        return run.stderr


@unittest.skipUnless(HONE and os.path.exists(HONE), "HONE_BIN names no hone")
@unittest.skipUnless(openai, "the package openai is not installed (scripts/requirements-test.txt)")
class ApiTest(unittest.TestCase):
    """One server for all tests of a class, each of which leaves what it made."""
    options = ()
    workers = 0  # of the server's own: jobs stay as they are until Server.worker() takes them

    @classmethod
    def setUpClass(cls):
        cls.server = Server("--workers=%d" % cls.workers, *cls.options)
        cls.client = cls.server.client()

    @classmethod
    def tearDownClass(cls):
        status = cls.server.close()
        assert status == 0, "hone serve ended with %d" % status

    def upload(self, lines=None, purpose="fine-tune", name="train.jsonl"):
        return self.client.files.create(file=(name, jsonl(rows() if lines is None else lines)), purpose=purpose)

    def refused(self, kind, call, code=None, param=None, match=None):
        """The error, whose envelope is whole."""
        with self.assertRaises(kind) as caught:
            call()
        error = caught.exception
        self.assertIsInstance(error.body, dict)
        self.assertEqual({"message", "type", "param", "code"}, set(error.body), error.body)
        self.assertTrue(error.request_id.startswith("req_"))
        if code:
            self.assertEqual(error.code, code, error.body)
        if param:
            self.assertEqual(error.param, param, error.body)
        if match:
            self.assertRegex(error.body["message"], match)
        return error

    def wait(self, what, seconds=60):
        """what() until it is true."""
        end = time.monotonic() + seconds
        while not (value := what()):
            self.assertLess(time.monotonic(), end, "nothing happened in %d s" % seconds)
            time.sleep(0.1)
        return value


class JobsTest(ApiTest):
    """With files for jobs: train and valid are their ids."""
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.train = cls.client.files.create(file=("train.jsonl", jsonl(rows())), purpose="fine-tune").id
        cls.valid = cls.client.files.create(file=("valid.jsonl", jsonl(rows(3))), purpose="fine-tune").id
        cls.jobs = cls.client.fine_tuning.jobs
