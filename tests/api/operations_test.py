"""What whoever runs a server sees: health, figures, the page, backups, and a disk that is full."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest
import urllib.request

import kills_test
import openai
from server import HONE, ApiTest, Server, jsonl, rows

LINE = re.compile(r'^[a-z_]+(\{[a-z]+="[^"\\\n]*"(,[a-z]+="[^"\\\n]*")*\})? -?[0-9.]+(e[+-]?[0-9]+)?$')


def own_address():
    """An address of this machine that is not loopback, or None."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))
            address = s.getsockname()[0]
        except OSError:
            return None
    return None if address.startswith("127.") else address


class Operations(ApiTest):
    workers = 1

    def get(self, path, **options):
        return self.server.raw("GET", path, **{"key": False, **options})

    def metrics(self, **options):
        status, headers, text = self.get("/metrics", **options)
        self.assertEqual(status, 200, text)
        self.assertEqual(headers["content-type"], "text/plain; version=0.0.4; charset=utf-8")
        return text.decode()

    def figure(self, name):
        found = [line for line in self.metrics().splitlines() if line.startswith(name + " ")]
        self.assertEqual(len(found), 1, name)
        return float(found[0].split()[-1])

    def test_alive_and_ready(self):
        status, _, body = self.get("/healthz")
        self.assertEqual((status, json.loads(body)), (200, {"status": "ok"}))
        self.wait(lambda: self.get("/readyz")[0] == 200)
        self.assertEqual(json.loads(self.get("/readyz")[2]),
                         {"status": "ok", "store": "ok", "engine": "ok", "draining": False})

    def test_metrics_are_in_the_text_format(self):
        self.client.models.list()
        with self.assertRaises(openai.NotFoundError):
            self.client.files.retrieve("file-a-secret")
        self.client.chat.completions.create(model="tiny", max_completion_tokens=3,
                                            messages=[{"role": "user", "content": "a secret"}])
        self.wait(lambda: 'route="/v1/chat/completions",status="200"' in self.metrics())
        text = self.metrics()
        types = {}
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                name, kind = line.split()[2:]
                self.assertNotIn(name, types, "told twice")
                types[name] = kind
            elif not line.startswith("# HELP "):
                self.assertRegex(line, LINE)
                name = re.match("[a-z_]+", line).group(0)
                self.assertIn(re.sub("_(bucket|sum|count)$", "", name), types)
        self.assertNotIn("secret", text)
        self.assertIn('hone_http_requests_total{method="GET",route="/v1/files/{}",status="404"} 1\n', text)
        self.assertIn('hone_jobs{state="running"} 0\n', text)
        self.assertRegex(text, r'hone_tokens_total\{kind="sampled"\} [1-9]')
        self.assertEqual((self.figure("hone_engine_up"), self.figure("hone_workers"), self.figure("hone_store_up")), (1, 1, 1))
        self.client.files.create(file=("x.jsonl", jsonl(rows())), purpose="fine-tune")
        self.assertGreater(self.figure("hone_store_file_bytes"), 100)
        self.assertGreaterEqual(self.figure("hone_worker_starts_total"), 1)
        counts = [int(n) for n in re.findall(
            r'duration_seconds_bucket\{method="GET",route="/v1/models",le="[^"]+"\} (\d+)', self.metrics())]
        self.assertEqual(counts, sorted(counts))
        self.assertGreaterEqual(counts[-1], 1)

    def test_metrics_are_not_for_everyone(self):
        passed_on = {"X-Forwarded-For": "203.0.113.7"}
        self.assertEqual(self.get("/metrics", headers=passed_on)[0], 401)
        self.assertIn("hone_info", self.metrics(headers=passed_on, key=self.server.key))
        self.assertEqual(self.get("/metrics", headers={"Host": "evil.example"})[0], 401)  # a page whose name leads here
        project = self.client.get("/organization/projects", cast_to=object)["data"][0]["id"]
        plain = self.client.post("/organization/projects/%s/api_keys" % project, body={"name": "k"}, cast_to=object)
        self.assertEqual(self.get("/metrics", headers=passed_on, key=plain["value"])[0], 403)
        invite = self.client.post("/organization/invites", body={"name": "Other"}, cast_to=object)
        told = json.loads(self.server.raw("POST", "/v1/organization/invites/accept", {"code": invite["code"]}, key=False)[2])
        self.assertEqual(self.get("/metrics", headers=passed_on, key=told["api_key"])[0], 403)

    def test_a_page_for_browsers(self):
        status, headers, body = self.get("/")
        self.assertEqual((status, headers["content-type"]), (200, "text/html; charset=utf-8"))
        self.assertIn("default-src 'none'", headers["content-security-policy"])
        self.assertNotIn("unsafe", headers["content-security-policy"])
        self.assertEqual(re.findall(rb"<script(?! [^>]*src=)", body), [])  # none but files of its own
        self.assertEqual(re.findall(rb'(?:href|src)="(?![/#])', body), [])
        for path in re.findall(r'(?:href|src)="(/[^"#]*)', body.decode()):
            self.assertEqual(self.get(path)[0], 200, path)
        self.assertEqual(self.get("/", headers={"Host": 'x"><script>'})[2], body)  # nothing of a request is in it


class Start(unittest.TestCase):
    def test_json_and_everywhere(self):
        with tempfile.TemporaryDirectory() as home:
            env = {k: v for k, v in os.environ.items() if not k.startswith("HONE_")}
            env["HONE_HOME"] = home
            process = subprocess.Popen([HONE, "serve", "--port", "0", "--json", "--workers", "0", "--host", "0.0.0.0"],
                                       env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            try:
                told = json.loads(process.stdout.readline())
                self.assertEqual(set(told), {"base_url", "dashboard", "key"})
                self.assertEqual(told["base_url"], told["dashboard"] + "v1")
                self.assertTrue(told["key"].startswith("sk-admin-"))
                address = own_address()
                if address:  # what is not loopback needs a key
                    url = told["dashboard"].replace("0.0.0.0", address)
                    with self.assertRaises(urllib.error.HTTPError) as caught:
                        urllib.request.urlopen(url + "metrics", timeout=20)
                    self.assertEqual(caught.exception.code, 401)
                    caught.exception.close()
            finally:
                process.send_signal(signal.SIGTERM)
                self.assertEqual(process.wait(60), 0)
                process.stdout.close()


class Backup(kills_test.Kills):
    """A backup of a store at work, and the job that goes on in it."""
    test_over_sqlite = test_over_postgresql = None

    def run_hone(self, *words, status=0):
        run = subprocess.run([HONE, *words], capture_output=True, text=True, timeout=120,
                             env={k: v for k, v in os.environ.items() if not k.startswith("HONE_")})
        self.assertEqual(run.returncode, status, run.stderr)
        return run

    def test_the_job_goes_on_elsewhere(self):
        server = Server(env={"HONE_LEASE": "2", "HONE_NICE": "0"})
        self.addCleanup(server.close)
        client = server.client()
        job, files = self.job(client)
        self.wait(lambda: len(client.fine_tuning.jobs.checkpoints.list(job).data) > 0, 120)
        place = tempfile.mkdtemp()
        self.addCleanup(lambda: shutil.rmtree(place, ignore_errors=True))
        backup, home = os.path.join(place, "backup"), os.path.join(place, "home")
        told = json.loads(self.run_hone("backup", backup, "--home", server.home, "--json").stdout)
        self.assertEqual(told, {"backup": backup, "models_not_in_it": ["tiny"]})
        self.assertIn("there already", self.run_hone("backup", backup, "--home", server.home, status=1).stderr)
        self.assertEqual(self.finish(server, client, job, 300).status, "succeeded")
        whole = self.told(client, job)

        os.makedirs(os.path.join(home, "models"))
        self.run_hone("restore", backup, "--home", home)
        self.assertIn("not empty", self.run_hone("restore", backup, "--home", home, status=1).stderr)
        self.assertIn("no backup", self.run_hone("restore", place, "--home", home + "2", status=1).stderr)

        class Restored(Server):
            def start(inner):
                inner.key = server.key
                super(Restored, inner).start()
        other = Restored(home=home, env={"HONE_LEASE": "2", "HONE_NICE": "0"})
        self.addCleanup(other.close)
        restored = other.client()
        state = restored.fine_tuning.jobs.retrieve(job)
        self.assertEqual(self.finish(other, restored, job, 300).status, "succeeded", state)
        self.assertEqual(self.told(restored, job), whole)
        for file in files:
            self.assertEqual(restored.files.content(file).content, client.files.content(file).content)


@unittest.skipUnless(os.getuid() == 0, "a disk that is full is a tmpfs, which takes root")
class FullDisk(ApiTest):
    """A store on a disk of eight megabytes."""

    @classmethod
    def setUpClass(cls):
        cls.place = tempfile.mkdtemp()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", cls.place], capture_output=True).returncode != 0:
            os.rmdir(cls.place)
            raise unittest.SkipTest("no tmpfs can be mounted here")
        cls.addClassCleanup(lambda: subprocess.run(["umount", "-l", cls.place], check=True))
        cls.server = Server("--workers", "0", home=os.path.join(cls.place, "home"), env={"HONE_LEASE": "2"})
        cls.client = cls.server.client()

    def setUp(self):
        self.filler = os.path.join(self.place, "filler")
        self.addCleanup(self.make_room)

    def fill(self):
        with open(self.filler, "wb", buffering=0) as f:
            try:
                while f.write(b"x" * 4096):
                    pass
            except OSError:
                pass

    def make_room(self):
        if os.path.exists(self.filler):
            os.remove(self.filler)

    def works(self):
        file = self.upload()
        self.assertEqual(self.client.files.content(file.id).content, jsonl(rows()))
        return file

    def test_an_upload_that_does_not_fit(self):
        before = [f.id for f in self.client.files.list()]
        error = self.refused(openai.InternalServerError, lambda: self.client.files.create(
            file=("big.jsonl", b"x" * (12 << 20)), purpose="fine-tune"))
        self.assertNotIn(self.place, str(error))
        self.assertEqual([f.id for f in self.client.files.list()], before)
        self.works()  # its bytes are gone

    def test_the_database(self):
        file = self.works()
        self.fill()

        def write():
            for i in range(20000):  # the write-ahead log has room of its own
                self.client.post("/organization/projects", body={"name": "n" * 200}, cast_to=object)
        error = self.refused(openai.InternalServerError, write)
        self.assertNotIn(self.place, str(error))
        self.assertEqual(self.client.files.retrieve(file.id).id, file.id)  # reading goes on
        self.assertEqual(self.server.raw("GET", "/healthz")[0], 200)
        self.make_room()
        self.works()
        self.assertIn("full", self.server.said())

    def test_a_job_s_write(self):
        job, _ = kills_test.Kills.job(self, self.client, steps=100)
        worker = subprocess.Popen([HONE, "worker", "--once"], env=self.server.env, stderr=subprocess.PIPE, text=True)
        self.addCleanup(worker.stderr.close)
        try:
            self.wait(lambda: len(self.client.fine_tuning.jobs.checkpoints.list(job).data) > 0, 120)
            worker.send_signal(signal.SIGSTOP)  # so that it cannot be done before the disk is full
            self.fill()
            worker.send_signal(signal.SIGCONT)
            _, said = worker.communicate(timeout=120)
        finally:
            worker.kill()
            worker.wait()
        self.make_room()
        state = self.client.fine_tuning.jobs.retrieve(job)
        self.assertNotEqual(state.status, "succeeded")
        if state.status == "paused":  # the run's folder was full first, and the database could say so
            events = [e.message for e in self.client.fine_tuning.jobs.list_events(job, limit=100)]
            self.assertTrue([m for m in events if re.search("because of this machine.*(?i:no space|disk is full)", m)], events)
            self.client.fine_tuning.jobs.resume(job)
        else:  # the database was full first, and the log could say so
            self.assertRegex(said, "(?i)no space|disk is full")

        def goes_on():  # where it was, when the lease has ended that could not be given back
            self.server.worker(timeout=200)
            return self.client.fine_tuning.jobs.retrieve(job).status == "succeeded"
        self.wait(goes_on)


if __name__ == "__main__":
    unittest.main()
