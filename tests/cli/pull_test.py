"""hone pull against a hub that redirects, breaks off, lies and refuses. HONE_KILLS=100: killed as often as that."""
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
import unittest
import urllib.parse

from cli import GGUF, HF, HONE, ROOT, TINY, HoneTest

sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
from fake_hub import FakeHub  # noqa: E402

KILLS = int(os.environ.get("HONE_KILLS", 8))
KILL_AT = os.path.join(os.path.dirname(HONE), "tests", "kill_at.so")
TOKEN = "hf_" + "Geheim" * 5
SHARDED = os.path.join(TINY, "hf-bf16-sharded")


def content_of(folder):
    out = {}
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), "rb") as stream:
            out[name] = stream.read()
    return out


def bytes_of(path):
    with open(path, "rb") as stream:
        return stream.read()


MODEL = content_of(HF)
# what a repository has beside what hone needs
AROUND = {"README.md": b"# tiny\n", ".gitattributes": b"*.safetensors filter=lfs\n", "onnx/model.onnx": bytes(5000),
          "pytorch_model.bin": bytes(9000), "consolidated.safetensors": bytes(7000)}


class PullTest(HoneTest):
    def setUp(self):
        super().setUp()
        self.hub = FakeHub()
        self.addCleanup(self.hub.__exit__)
        for name in [name for name in self.env if name.startswith(("HF_", "HUGGING_FACE_", "XDG_"))]:
            del self.env[name]
        self.env["HOME"] = self.path("user")
        for name in list(self.env):
            if name.lower().endswith("_proxy"):
                del self.env[name]
        self.env["HF_ENDPOINT"] = self.hub.url
        self.hub.add("org/tiny", {**MODEL, **AROUND})

    def pull(self, *words, status=0, says=(), **options):
        """What is said on standard output and standard error, in one text."""
        run = self.hone("pull", *words, **options)
        self.assertNotIn(TOKEN, run.stdout + run.stderr)
        self.assertEqual(run.returncode, status, run.stdout + run.stderr)
        for part in (says,) if isinstance(says, str) else says:
            self.assertIn(part, run.stdout + run.stderr)
        if status:
            self.assertRegex(run.stderr, r"(?:\A|\n)hone: [^\n]+\n\Z")
            self.assert_nothing_there()
        return run.stdout + run.stderr

    def start(self, *words):
        words = words or ("org/tiny", "--piece", "65536")
        return subprocess.Popen([HONE, "pull", *words], env=self.env, cwd=self.folder, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    def begin(self, *words, folder=".pull-tiny", there=20000):
        """A pull that goes on slowly, with so much of a file there."""
        self.hub.rules.chunk, self.hub.rules.pause = 2048, 0.02
        run = self.start(*words)
        while not any(sum(done) > there for _, done in self.records(folder).values()):
            self.assertIsNone(run.poll())
            time.sleep(0.02)
        return run

    def break_off(self, *words, **more):
        """The same, killed; the hub has forgotten it, and is as good as new."""
        run = self.begin(*words, **more)
        run.kill()
        run.communicate()
        self.hub.forget()
        self.hub.rules.__init__()

    def there(self):
        models = self.path("home", "models")
        return sorted(n for n in os.listdir(models) if n[0] != ".") if os.path.isdir(models) else []

    def assert_nothing_there(self):
        self.assertEqual(self.there(), [])

    def assert_model(self, name="tiny", model=None):
        self.assertEqual(content_of(self.path("home", "models", name)), model or MODEL)
        self.assertEqual([n for n in os.listdir(self.path("home", "models")) if n.startswith(".pull-")], [])

    def sent(self):
        """Bytes of files that went over the wire, and bytes of the files that were asked for."""
        files = self.hub.of_files()
        return sum(a.sent for a in files), sum({a.name: a.size for a in files}.values())

    def records(self, folder=".pull-tiny"):
        """Of each file that is begun: the length of its pieces, and how much of each is there."""
        out = {}
        folder = self.path("home", "models", folder, "records")
        for name in os.listdir(folder) if os.path.isdir(folder) else []:
            text = bytes_of(os.path.join(folder, name)).decode()
            lines = text[:text.rfind("\n") + 1].splitlines()  # the last may be half written just now
            head = lines[0].split() if lines else []
            if len(head) == 8 and all(line.isdigit() for line in [head[5], *lines[1:]]):  # a spoilt one stands until hone has seen it
                out[name.replace("%", "/")] = (int(head[5]), [int(line) for line in lines[1:]])
        return out

    def assert_asks_for_nothing_twice(self, before):
        """No request since asked for a byte that was there."""
        for a in self.hub.of_files():
            if a.name not in before:
                continue
            piece, done = before[a.name]
            first, last = a.range or (0, a.size - 1)
            for i, n in enumerate(done):
                there = range(i * piece, i * piece + n)
                self.assertFalse(n and first < there.stop and last >= there.start,
                                 "%s: %d-%d asked for, %r there" % (a.name, first, last, there))


class Hub(PullTest):
    def test_a_repository_becomes_a_model(self):
        self.hub.rules.page = 3
        self.hub.rules.token = TOKEN
        said = self.pull("org/tiny", env={"HF_TOKEN": TOKEN}, says=["tiny is in the store", "every hash"])
        self.assertIn(self.hub.repos["org/tiny"].commit, said)
        self.assert_model()
        tokens = {host: {a.token for a in self.hub.asked if a.host == host} for host in ("hub", "cdn")}
        self.assertEqual(tokens, {"hub": {"Bearer " + TOKEN}, "cdn": {None}})
        self.assertEqual({a.name for a in self.hub.of_files("cdn")}, {"model.safetensors", "tokenizer.json"})
        self.assertEqual(*self.sent())
        self.assertIn("tiny", self.works("models"))
        ours, theirs = (self.works("score", "--model", m, "--json", stdin='{"text":"abc"}\n') for m in ("tiny", HF))
        self.assertEqual(ours, theirs)

    def test_what_is_there_is_not_fetched_again(self):
        self.pull("org/tiny")
        self.hub.forget()
        self.pull("org/tiny", says=["is there already", "nothing was fetched"])
        self.pull("org/tiny", says="is there already", env={"HF_HUB_OFFLINE": "1"})
        self.assertTrue(json.loads(self.works("pull", "org/tiny", "--json"))["was_there"])
        self.assertEqual(self.hub.asked, [])
        # another revision, another repository, and a model that was not pulled are not that one
        self.hub.repos["org/tiny"].revision = "v2"
        self.hub.add("else/tiny", MODEL)
        self.works("import", HF, "--name", "own")
        for words in (["org/tiny@v2"], ["else/tiny"], ["org/tiny", "--name", "own"]):
            run = self.hone("pull", *words)
            self.assertEqual(run.returncode, 1)
            self.assertIn("give another --name", run.stderr)
        self.pull("org/tiny@v2", "--name", "two")
        self.assert_model("two")
        # a file that is gone makes it something to fetch
        os.remove(self.path("home", "models", "two", "tokenizer.json"))
        self.assertEqual(self.hone("pull", "org/tiny@v2", "--name", "two").returncode, 1)

    def test_the_shards_of_an_index_are_fetched_and_nothing_else(self):
        model = content_of(SHARDED)
        self.hub.add("org/shards", {**model, **AROUND})
        self.pull("org/shards@main")
        self.assert_model("shards", model)
        self.assertEqual({a.name for a in self.hub.of_files()}, set(model))

    def test_gpt_oss_is_fetched_without_its_other_forms(self):
        model = content_of(os.path.join(ROOT, "tests", "golden", "families", "gpt-oss-blocks", "hf"))
        self.hub.add("openai/gpt-oss", {**model, **AROUND, "original/config.json": b"{}",
                                        "original/model.safetensors": bytes(7000), "metal/model.bin": bytes(7000)})
        self.pull("openai/gpt-oss")
        self.assert_model("gpt-oss", model)
        self.assertEqual({a.name for a in self.hub.of_files()}, set(model))

    def test_addresses_of_the_hub_are_taken_as_a_browser_shows_them(self):
        self.hub.repos["org/tiny"].revision = "a/b"
        self.pull(self.hub.url + "/org/tiny/", "--name", "a")
        self.pull(self.hub.url + "/org/tiny/tree/main", "--name", "b")
        self.pull("org/tiny@a/b", "--name", "c", env={"HF_ENDPOINT": self.hub.url + "/"})
        for name in "abc":
            self.assertEqual(content_of(self.path("home", "models", name)), MODEL)

    def test_json_lines_tell_what_happens(self):
        self.hub.rules.chunk, self.hub.rules.pause = 4096, 0.01
        lines = [json.loads(line) for line in self.works("pull", "org/tiny", "--json").splitlines()]
        events = [line.get("event") for line in lines]
        self.assertEqual(events[0], "plan")
        self.assertEqual(events.count("plan"), 2)
        self.assertEqual({line["name"] for line in lines if line.get("event") == "file"}, set(MODEL))
        self.assertIn("progress", events)
        self.assertEqual((lines[-1]["id"], lines[-1]["verified"], lines[-1]["was_there"]), ("tiny", True, False))
        self.assertEqual(lines[-1]["fetched_bytes"], sum(map(len, MODEL.values())))

    def test_a_model_that_hone_cannot_use_is_refused_before_its_weights_are_fetched(self):
        config = {**json.loads(MODEL["config.json"]), "model_type": "rwkv", "architectures": ["Rwkv"]}
        self.hub.add("org/other", {**MODEL, "config.json": json.dumps(config).encode()})
        self.pull("org/other", status=1, says=["can use this model", "rwkv"])
        self.assertNotIn("model.safetensors", {a.name for a in self.hub.of_files()})

    def test_an_encoder_is_a_model_too(self):
        folder = os.path.join(ROOT, "tests", "golden", "encoder", "cls")
        model = {}
        for where, _, names in os.walk(folder):
            for name in names:
                path = os.path.join(where, name)
                model[os.path.relpath(path, folder)] = bytes_of(path)
        self.hub.add("org/bert", model)
        self.pull("org/bert")
        self.assertTrue(os.path.exists(self.path("home", "models", "bert", "model.safetensors")))
        for name in model:
            if name.endswith("/config.json"):
                self.assertEqual(bytes_of(self.path("home", "models", "bert", name)), model[name])


class Gguf(PullTest):
    def setUp(self):
        super().setUp()
        self.model = bytes_of(GGUF)
        self.hub.add("org/tiny-GGUF", {"tiny-Q8_0.gguf": self.model, "tiny-Q4_0.gguf": bytes_of(
            os.path.join(TINY, "tiny-q4_0.gguf")), "sub/tiny-F16.gguf": bytes(9999), "mmproj-F16.gguf": bytes(9999),
            "README.md": b"x", "big/x-00001-of-00002.gguf": bytes(6000), "big/x-00002-of-00002.gguf": bytes(6000)})

    def test_one_of_several_must_be_named(self):
        said = self.pull("org/tiny-GGUF", status=1, says=["choose one with --file", "tiny-Q8_0.gguf  129.8 kB"])
        self.assertNotIn("mmproj", said)
        self.assertEqual(self.hub.of_files(), [])
        self.pull("org/tiny-GGUF", "--file", "q", status=1, says="2 GGUF files that match --file q")
        self.pull("org/tiny-GGUF", "--file", "Q2_K", status=1, says=["no GGUF file that matches --file Q2_K", "tiny-Q4_0"])
        self.pull("org/tiny-GGUF", "--file", "big/*", status=1, says="llama-gguf-split --merge")
        run = self.hone("pull", "org/tiny-GGUF", "--json")
        self.assertEqual(json.loads(run.stdout)["event"], "choices")

    def test_the_one_that_is_named_is_fetched(self):
        for words, name in ((["--file", "q8_0"], "tiny-Q8_0"), (["--file", "*Q4_0*"], "tiny-Q4_0"),
                            (["--file", "tiny-Q8_0.gguf", "--name", "mine"], "mine")):
            self.pull("org/tiny-GGUF", *words, says=name + " is in the store")
            self.assertTrue(os.path.isfile(self.path("home", "models", name + ".gguf")))
            self.works("score", "--model", name, stdin="abc")
        self.assertEqual(bytes_of(self.path("home", "models", "mine.gguf")), self.model)
        self.hub.forget()
        self.pull("org/tiny-GGUF", "--file", "q8_0", says="is there already")
        self.assertEqual(self.hub.asked, [])

    def test_an_address_of_one_of_its_files_names_it(self):
        self.pull(self.hub.url + "/org/tiny-GGUF/resolve/main/tiny-Q8_0.gguf?download=true", says="every hash")
        self.assertEqual(bytes_of(self.path("home", "models", "tiny-Q8_0.gguf")), self.model)


class Addresses(PullTest):
    def setUp(self):
        super().setUp()
        self.model = bytes_of(GGUF)
        self.hub.plain["x y.gguf"] = self.model
        self.url = self.hub.url.replace("127.0.0.1", "localhost") + "/plain/"  # another origin than the hub's

    def test_a_file(self):
        self.pull(self.url + "x%20y.gguf?key=1", "--name", "x", says="its server tells no hash", env={"HF_TOKEN": TOKEN})
        self.assertEqual(bytes_of(self.path("home", "models", "x.gguf")), self.model)
        self.assertEqual({a.token for a in self.hub.asked}, {None})
        self.hub.forget()
        self.pull(self.url + "x%20y.gguf?key=1", "--name", "x", says="is there already")
        self.assertEqual(self.hub.asked, [])

    def test_a_name_of_its_own(self):
        self.pull(self.url + "x%20y.gguf", says="x y is in the store")
        self.assertEqual(bytes_of(self.path("home", "models", "x y.gguf")), self.model)
        for name in ("%2e%2e%2fx.gguf", "a%2Fb.gguf", "%2ex.gguf", "a%0ab.gguf"):
            self.hub.plain[urllib.parse.unquote(name)] = self.model
            run = self.hone("pull", self.url + name)
            self.assertEqual(run.returncode, 1, name)
        self.assertEqual(self.there(), ["x y.gguf"])
        self.assertEqual(sorted(os.listdir(self.home)), ["models"])
        run = self.hone("pull", self.url + "x%20y.gguf", "--file", "Q8_0")
        self.assertIn("--file chooses a file of a repository", run.stderr)

    def test_a_folder(self):
        for folder, model in (("one", MODEL), ("two", content_of(SHARDED))):
            for name, content in model.items():
                self.hub.plain[folder + "/" + name] = content
            self.pull(self.url + folder + "/", says="is in the store")
            self.assert_model(folder, model)
        run = self.hone("pull", self.url + "three")
        self.assertEqual(run.returncode, 1)
        self.assertIn("config.json", run.stderr)

    def test_a_file_that_is_another_one_by_now_is_begun_anew(self):
        self.hub.rules.break_after = lambda size: 5000
        self.hub.rules.status = lambda path: 404 if len(self.hub.of_files()) > 3 else None
        self.pull(self.url + "x%20y.gguf", "--name", "x", "--piece", "32768", status=1)
        self.hub.plain["x y.gguf"] = other = bytes_of(os.path.join(TINY, "tiny-q4_0.gguf"))
        self.hub.rules.__init__()
        self.pull(self.url + "x%20y.gguf", "--name", "x")
        self.assertEqual(bytes_of(self.path("home", "models", "x.gguf")), other)

    def test_the_same_file_is_gone_on_with(self):
        self.hub.plain["x.gguf"] = self.model
        self.break_off(self.url + "x.gguf", "--piece", "32768", folder=".pull-x")
        before = self.records(".pull-x")
        self.pull(self.url + "x.gguf")
        self.assertEqual(bytes_of(self.path("home", "models", "x.gguf")), self.model)
        probes = [a for a in self.hub.of_files() if a.range == (0, 0)]  # how long is it, and is it the same?
        self.assertEqual(len(probes), 1)
        self.hub.asked = [a for a in self.hub.asked if a not in probes]
        self.assert_asks_for_nothing_twice(before)

    def test_what_the_last_start_of_the_machine_left_counts_in_whole_pieces(self):
        self.hub.plain["x.gguf"] = self.model
        for there in range(50000, 60000, 500):  # until it is killed within a piece
            self.break_off(self.url + "x.gguf", "--piece", "8192", folder=".pull-x", there=there)
            piece, done = self.records(".pull-x")["x.gguf"]
            if any(0 < n < piece for n in done):
                break
            shutil.rmtree(self.path("home", "models", ".pull-x"))
        record = self.path("home", "models", ".pull-x", "records", "x.gguf")
        text = bytes_of(record).decode()
        boot = text.split()[6]
        with open(record, "w") as stream:
            stream.write(text.replace(boot, "0" * len(boot)))
        self.assertTrue([n for n in done if 0 < n < piece])
        self.pull(self.url + "x.gguf", says="its server tells no hash")
        self.assertEqual(bytes_of(self.path("home", "models", "x.gguf")), self.model)
        asked = {a.range[0] for a in self.hub.of_files()}
        for i, n in enumerate(done):
            begin = i * piece
            size = min(piece, len(self.model) - begin)
            self.assertEqual(n < size and (begin in asked or i == 0), n < size, "piece %d has %d" % (i, n))
            self.assertTrue(n < size or begin not in asked or i == 0)

    def test_without_etag_and_date_nothing_is_gone_on_with(self):
        self.hub.plain["x.gguf"] = self.model
        self.hub.rules.etag = lambda right: None
        self.break_off(self.url + "x.gguf", "--piece", "32768", folder=".pull-x")
        self.hub.rules.etag = lambda right: None
        self.hub.plain["x.gguf"] = other = self.model[:-1] + b"x"
        self.pull(self.url + "x.gguf")
        self.assertEqual(bytes_of(self.path("home", "models", "x.gguf")), other)

    def test_a_file_that_is_always_another_one_is_given_up(self):
        self.hub.rules.etag = lambda right: '"%d"' % random.getrandbits(60)
        self.pull(self.url + "x%20y.gguf", "--name", "x", status=1, says="another one than when it was begun")

    def test_a_pointer_of_git_lfs_is_not_the_file(self):
        self.hub.plain["p.gguf"] = (b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 +
                                    b"\nsize 12345\n")
        self.pull(self.url + "p.gguf", status=1, says=["Git LFS", "p.gguf"])

    def test_what_is_no_model_does_not_get_into_the_store(self):
        self.hub.plain["p.gguf"] = b"<html>please log in</html>" * 400
        said = self.pull(self.url + "p.gguf", status=1, says="opening what was fetched")
        self.assertNotIn("is kept", said)
        self.hub.plain["p.gguf"] = self.model
        self.pull(self.url + "p.gguf")

    def test_http_is_for_this_machine_alone(self):
        for url in ("http://example.org/x.gguf", "http://127.0.0.1.example.org/x.gguf", "http://10.0.0.1/x.gguf"):
            self.pull(url, status=1, says="an https:// address is needed")
        for text in ("x", "", "a/b/c", "../x", "org/..", "ftp://host/x.gguf", "https://me:pw@host/x.gguf", "/etc/passwd"):
            said = self.pull(text, status=1)
            self.assertNotIn("pw@", said)
        self.assertEqual(self.hub.asked, [])


class Trouble(PullTest):
    def test_connections_that_break_cost_nothing_that_came(self):
        dice = random.Random(5)
        self.hub.rules.break_after = lambda size: dice.randrange(size) if size > 100 and dice.random() < 0.7 else None
        self.pull("org/tiny", "--piece", "65536")
        self.assert_model()
        sent, size = self.sent()
        self.assertEqual(sent, size)
        self.assertGreater(len(self.hub.of_files()), 12)

    def test_a_server_that_is_busy_now_and_then(self):
        dice = random.Random(6)
        self.hub.rules.status = lambda path: dice.choice((429, 500, 503)) if dice.random() < 0.2 else None
        self.pull("org/tiny", "--piece", "100000")
        self.assert_model()
        self.assertEqual(*self.sent())
        self.assertGreater(len([a for a in self.hub.asked if a.status >= 429]), 0)

    def test_retry_after_is_waited_for(self):
        times = []
        self.hub.rules.retry_after = "2"
        self.hub.rules.status = lambda path: times.append(time.monotonic()) or (429 if len(times) == 1 else None)
        self.pull("org/tiny")
        self.assertGreaterEqual(times[1] - times[0], 2)

    def test_an_address_that_has_run_out_is_asked_for_anew(self):
        served = []

        def status(path):
            if not path.startswith("/blob/"):
                return None
            served.append(path)
            return 403 if served.count(path) > 2 else None
        self.hub.rules.status = status
        self.pull("org/tiny", "--piece", "65536", "--connections", "1")
        self.assert_model()
        self.assertEqual(*self.sent())

    def test_a_server_that_knows_no_ranges(self):
        for name, rule in (("a", True), ("b", lambda path, dice=random.Random(8): dice.random() < 0.3)):
            self.hub.rules.ignore_ranges = rule
            self.pull("org/tiny", "--piece", "65536", "--name", name)
            self.assertEqual(content_of(self.path("home", "models", name)), MODEL)
        dice = random.Random(9)
        self.hub.rules.ignore_ranges = True
        self.hub.rules.break_after = lambda size: dice.randrange(size) if dice.random() < 0.5 else None
        self.pull("org/tiny", "--piece", "65536", "--name", "c")
        self.assertEqual(content_of(self.path("home", "models", "c")), MODEL)

    def test_lies_about_ranges_are_seen(self):
        for rule in (lambda first, last, size: "bytes %d-%d/%d" % (first + 1, last + 1, size + 1),
                     lambda first, last, size: "bytes %d-%d/%d" % (first, last, size + 7),
                     lambda first, last, size: "bytes 0-%d/%d" % (last - first, size) if first else
                     "bytes 1-%d/%d" % (last, size),
                     lambda first, last, size: "lines 1-2"):
            self.hub.rules.content_range = rule
            self.pull("org/tiny", "--piece", "65536", status=1, says="model.safetensors: ")
        self.hub.rules.content_range = None
        self.pull("org/tiny")
        self.assert_model()

    def test_a_lie_that_passes_costs_a_try(self):
        dice = random.Random(3)
        self.hub.rules.content_range = lambda first, last, size: "bytes %d-%d/%d" % (
            first + (dice.random() < 0.1), last, size)
        self.pull("org/tiny", "--piece", "65536")
        self.assert_model()

    def test_lies_about_lengths_are_seen(self):
        self.hub.rules.length = lambda n: n + 100  # and then the connection ends
        self.pull("org/tiny", status=1, says="Content-Length")
        self.hub.rules.length = lambda n: max(0, n - 100)
        self.pull("org/tiny", status=1)
        self.hub.rules.length = None
        self.hub.rules.listed = lambda e: {**e, "lfs": {**e["lfs"], "size": e["size"] + 5}} if "lfs" in e else e
        self.pull("org/tiny", status=1, says="bytes was expected")
        self.hub.rules.listed = None
        self.pull("org/tiny")
        self.assert_model()

    def test_lies_about_hashes_are_seen(self):
        def other(text):
            return text[:-1] + ("0" if text[-1] != "0" else "1")
        self.hub.rules.listed = lambda e: {**e, "lfs": {**e["lfs"], "oid": other(e["lfs"]["oid"])}} if "lfs" in e else e
        self.pull("org/tiny", status=1, says=["SHA-256 is not the one", "fetching it twice"])
        self.hub.rules.listed = lambda e: {**e, "oid": other(e["oid"])}
        self.pull("org/tiny", status=1, says="git SHA-1 is not the one")
        self.hub.rules.listed = None
        self.pull("org/tiny")
        self.assert_model()

    def test_listings_that_are_none_are_refused(self):
        for change, says in ((lambda e: {**e, "oid": "x"}, "SHA-1"), (lambda e: {**e, "size": -1}, "size"),
                             (lambda e: {k: v for k, v in e.items() if k != "size"}, "size"),
                             (lambda e: {**e, "size": 1 << 60, "lfs": None}, "size"),
                             (lambda e: {**e, "lfs": {"oid": "0"}}, "SHA-256")):
            self.hub.rules.listed = change
            self.pull("org/tiny", status=1, says=says)
        self.hub.rules.listed = None
        self.hub.rules.commit = "../../x"
        self.pull("org/tiny", status=1, says="commit")
        self.assertEqual(self.hub.of_files(), [])

    def test_names_that_leave_the_folder_are_refused(self):
        for name in ("../x.json", "/etc/x", "a/../../b.gguf", "a//b", "x/..", "a\\b", "a\nb", "./config.json"):
            self.hub.add("org/evil", {**MODEL, name: b"evil"})
            self.pull("org/evil", status=1, says="leave the model's folder")
        index = json.dumps({"weight_map": {"a": "../../evil.safetensors"}}).encode()
        self.hub.add("org/evil", {**MODEL, "model.safetensors.index.json": index})
        self.pull("org/evil", status=1, says="leave the model's folder")
        self.assertEqual(sorted(n for n in os.listdir(self.path("home")) if n != "models"), [])

    def tokens_sent(self, env):
        """To the hub, by a pull into an empty store."""
        shutil.rmtree(self.path("home"), ignore_errors=True)
        self.hub.asked.clear()
        self.pull("org/tiny", env=env, says="is in the store")
        return {a.token for a in self.hub.asked if a.host == "hub"}

    def test_the_token_is_found_where_huggingface_hub_keeps_it(self):
        self.hub.rules.token = TOKEN
        usual = self.put("user/.cache/huggingface/token", "  %s\r\n" % TOKEN)
        moved = self.put("elsewhere/token", TOKEN)
        wrong = {"HF_HOME": self.path("nowhere")}
        for env in ({}, {"HF_HOME": self.path("elsewhere")}, {"HF_TOKEN_PATH": moved},
                    {"XDG_CACHE_HOME": self.path("user", ".cache")}, {"HF_TOKEN_PATH": "~/.cache/huggingface/token"},
                    {**wrong, "HUGGING_FACE_HUB_TOKEN": TOKEN},
                    {"HF_TOKEN": TOKEN, "HUGGING_FACE_HUB_TOKEN": "another", "HF_TOKEN_PATH": "/dev/null"}):
            with self.subTest(env=env):
                self.assertEqual(self.tokens_sent(env), {"Bearer " + TOKEN})
        self.put("user/.cache/huggingface/token", "another")
        shutil.rmtree(self.path("home"))
        self.pull("org/tiny", status=1, says=["refuses the token in", usual])
        for env in (wrong, {"HF_HUB_DISABLE_IMPLICIT_TOKEN": "1", "HF_TOKEN": TOKEN}):
            self.assertEqual(self.tokens_sent(env), {None})
        self.put("user/.cache/huggingface/token", "x" * 5000)
        shutil.rmtree(self.path("home"))
        self.pull("org/tiny", status=1, says=["reading the hub's token", usual])

    def test_refusals_say_what_to_do(self):
        self.pull("org/nothing", status=1, says=["org/nothing", "check the name", "HF_TOKEN"])
        self.pull("org/nothing", status=1, says=["no model org/nothing", "404"], env={"HF_TOKEN": TOKEN})
        self.pull("org/tiny@v9", status=1, says='has no revision "v9"')
        self.hub.rules.token = "another"
        self.pull("org/tiny", status=1, says="refuses the token in HF_TOKEN", env={"HF_TOKEN": TOKEN})
        self.hub.rules.token = TOKEN
        self.hub.repos["org/tiny"].gated = True
        gated = ["org/tiny is gated", "accept its licence at %s/org/tiny" % self.hub.url, "HF_TOKEN"]
        self.pull("org/tiny", status=1, says=gated)
        self.hub.repos["org/tiny"].gated = "asked"
        self.pull("org/tiny", status=1, says=gated + ["may not read it"], env={"HF_TOKEN": TOKEN})
        self.pull("org/tiny", status=1, says="HF_TOKEN", env={"HF_TOKEN": TOKEN + "\x01"})
        self.hub.add("org/bin", {"config.json": MODEL["config.json"], "pytorch_model.bin": b"x"})
        self.pull("org/bin", status=1, says="pytorch_model.bin is not read", env={"HF_TOKEN": TOKEN})

    def test_without_a_network_it_says_what_to_do(self):
        self.pull("org/tiny", status=1, says=["HF_HUB_OFFLINE", "hone import"], env={"HF_HUB_OFFLINE": "1"})
        self.assertEqual(self.hub.asked, [])
        self.pull("org/tiny", status=1, says=["no connection", "hone import"], env={"HF_ENDPOINT": "http://127.0.0.1:9"})
        self.hub.rules.status = lambda path: 502
        self.pull("org/tiny", status=1, says="answers 502")

    def test_a_disk_without_room_is_seen_before_and_while(self):
        self.hub.rules.listed = lambda e: {**e, "lfs": {**e["lfs"], "size": 1 << 49}} if "lfs" in e else e
        self.pull("org/tiny", status=1, says=["has room for", "--home"])
        self.assertEqual(self.hub.of_files("cdn"), [])
        self.hub.rules.listed = None
        self.pull("org/tiny", status=1, says=["model.safetensors", "File too large"], preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_FSIZE, (200000, 200000)))
        self.pull("org/tiny")
        self.assert_model()


class Breaks(PullTest):
    def test_ctrl_c_ends_it_and_the_same_call_goes_on(self):
        run = self.begin()
        other = self.hone("pull", "org/tiny")
        self.assertEqual(other.returncode, 1)
        self.assertIn("another hone pull", other.stderr)
        began = time.monotonic()
        run.send_signal(signal.SIGINT)
        _, err = run.communicate(timeout=30)
        self.assertLess(time.monotonic() - began, 10)
        self.assertEqual(run.returncode, 1)
        self.assertIn("stopped on request; what is there of it is kept, and the same call goes on", err)
        self.assert_nothing_there()
        before = self.records()
        self.hub.forget()
        self.hub.rules.pause = 0
        self.pull("org/tiny", says="are there")
        self.assert_model()
        self.assert_asks_for_nothing_twice(before)

    def test_what_moved_on_meanwhile_is_the_new_one(self):
        self.break_off()
        new = {**MODEL, "model.safetensors": MODEL["model.safetensors"][:-4] + bytes(4)}
        self.hub.add("org/tiny", new, commit="b" * 40)
        self.pull("org/tiny", says="b" * 40)
        self.assert_model(model=new)

    def test_records_and_files_that_were_spoilt_are_not_trusted(self):
        def write(name, mode, content):
            with open(self.path("home", "models", ".pull-tiny", name), mode) as stream:
                stream.write(content)
        model, record = "files/model.safetensors", "records/model.safetensors"
        for spoil in (lambda: write(model, "r+b", bytes(1000)), lambda: write(model, "wb", bytes(1000)),
                      lambda: write(record, "r+b", b"hone pull 9"), lambda: write(record, "ab", b"9" * 21),
                      lambda: write(record, "wb", b""), lambda: write(record, "wb", b"hone pull 1 " + b"0" * 109)):
            self.break_off(there=60000)
            spoil()
            self.pull("org/tiny")
            self.assert_model()
            shutil.rmtree(self.home)

    @unittest.skipUnless(os.path.exists(KILL_AT), "no %s" % KILL_AT)
    def test_whichever_change_of_the_disk_it_is_killed_at_the_store_has_nothing_or_the_model(self):
        self.pull("org/tiny", "--piece", "65536", env={"LD_PRELOAD": KILL_AT, "KILL_COUNT": self.path("count")})
        calls = int(self.read("count"))
        self.assertGreater(calls, 100)
        # the last ones put it into its place
        numbers = range(1, calls + 1) if KILLS >= 100 else sorted(set(range(1, calls, 29)) | set(range(calls - 24, calls, 3)))
        there = 0
        for number in numbers:
            shutil.rmtree(self.home)
            run = self.hone("pull", "org/tiny", "--piece", "65536", env={"LD_PRELOAD": KILL_AT, "KILL_AT": str(number)})
            self.assertIn(run.returncode, (-signal.SIGKILL, 0))  # how many calls there are differs by a few
            there += self.there() == ["tiny"]
            if self.there():
                self.assertEqual(content_of(self.path("home", "models", "tiny")), MODEL)
            self.pull("org/tiny")
            self.assert_model()
        self.assertGreater(there, 0)
        self.assertLess(there, len(numbers))

    def test_however_often_it_is_killed_the_store_has_nothing_or_the_model(self):
        dice = random.Random(11)
        kills = done = asked = 0
        while kills < KILLS:
            slow = dice.random() < 0.7
            self.hub.rules.chunk, self.hub.rules.pause = (2048, 0.01) if slow else (1 << 20, 0)
            before = self.records()
            self.hub.forget()
            run = self.start("org/tiny", "--piece", "65536", "--connections", str(dice.choice((1, 3, 5))))
            try:
                _, err = run.communicate(timeout=dice.uniform(0, 0.6 if slow else 0.12))
                self.assertEqual(run.returncode, 0, err)
            except subprocess.TimeoutExpired:
                run.kill()
                run.communicate()
                kills += 1
            asked += len(self.hub.of_files())
            self.assert_asks_for_nothing_twice(before)
            if self.there():
                self.assertEqual(content_of(self.path("home", "models", "tiny")), MODEL)
                self.pull("org/tiny", says="is there already")
                self.assert_model()
                shutil.rmtree(self.home)
                done += 1
        self.hub.rules.__init__()
        self.pull("org/tiny")
        self.assert_model()
        print("killed %d times, %d models, %d requests" % (kills, done + 1, asked), file=sys.stderr)


if __name__ == "__main__":
    unittest.main()
