"""The engine process and its client: what is streamed, batched, killed and asked anew is what each request alone is answered."""
import glob
import json
import os
import queue
import random
import signal
import subprocess
import sys
import threading
import time
import unittest

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(TESTS, "cli")]

from cli import GGUF, HF, HONE, ROOT, TINY, HoneTest, sanitized  # noqa: E402

DRIVER = os.path.join(os.path.dirname(HONE), "tests", "server_engine_client_driver")
ENCODER = os.path.join(TESTS, "golden", "encoder", "mean")
ADAPTER = os.path.join(TINY, "adapter")
SMOLLM = os.path.join(ROOT, "models", "SmolLM2-135M-Instruct.Q4_1.gguf")
LAST = ("done", "result", "error")
SECONDS = 300


def chat(text="Hi", **more):
    return {"messages": [{"role": "user", "content": text}], "max_tokens": 12, "seed": 5, **more}


class Heard:
    """The events of one request."""

    def __init__(self):
        self.events, self.refused, self.over, self.some = [], None, threading.Event(), threading.Event()

    @property
    def last(self):
        return self.events[-1]

    def of(self, kind):
        return [event for event in self.events if event["type"] == kind]

    def choices(self):
        return sorted(self.of("choice"), key=lambda event: event["choice"])

    def joined(self, choice=0, key="content"):
        return "".join(d.get(key, "") for d in self.of("delta") if d["choice"] == choice)

    def calls(self, choice=0):
        calls = []
        for delta in (d for d in self.of("delta") if d["choice"] == choice):
            for piece in delta.get("tool_calls", []):
                if piece["index"] == len(calls):
                    calls.append({"id": piece["id"], "type": piece["type"], "function": dict(piece["function"])})
                else:
                    calls[piece["index"]]["function"]["arguments"] += piece["function"]["arguments"]
        return calls

    def entries(self, choice=0):
        return [e for d in self.of("delta") if d["choice"] == choice for e in d.get("logprobs", [])]


class Client:
    """The driver, and with it an engine process."""

    def __init__(self, env, **options):
        self.driver = subprocess.Popen([DRIVER, json.dumps({"program": HONE, "threads": 2, **options})], env=env, text=True,
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.heard, self.lines, self.n = {}, queue.Queue(), 0
        self.thread = threading.Thread(target=self.read)
        self.thread.start()

    def read(self):
        for text in self.driver.stdout:
            line = json.loads(text)
            heard = self.heard.get(line.get("of"))
            if "event" in line and heard:
                heard.events.append(line["event"])
                heard.some.set()
                if line["event"]["type"] in LAST:
                    heard.over.set()
            elif "refused" in line and heard:
                heard.refused = line["refused"]
                heard.over.set()
            else:
                self.lines.put(line)
        for heard in self.heard.values():
            heard.over.set()

    def say(self, line):
        self.driver.stdin.write(json.dumps(line) + "\n")
        self.driver.stdin.flush()

    def begin(self, body, path=HF, op="chat", verb="ask", name=None, adapter=None, run=None, **more):
        self.n += 1
        heard = self.heard["r%d" % self.n] = Heard()
        heard.name = "r%d" % self.n
        model = {"name": name or "tiny", "path": path, "adapter": adapter, "run": run}
        self.say({verb: heard.name, "op": op, "model": {k: v for k, v in model.items() if v}, "body": body, **more})
        return heard

    def ask(self, body, **more):
        heard = self.begin(body, **more)
        if not heard.over.wait(SECONDS):
            raise AssertionError("no answer to %s" % json.dumps(body)[:200])
        return heard

    def cancel(self, heard):
        self.say({"cancel": heard.name})
        line = self.lines.get(timeout=SECONDS)
        assert line == {"of": heard.name, "cancelled": True}, line

    def figures(self):
        self.say({"figures": True})
        return self.lines.get(timeout=SECONDS)["figures"]

    def engine(self):
        """The process's number; None between a death and the next start."""
        self.figures()  # it has been started
        found = []
        for path in glob.glob("/proc/%d/task/*/children" % self.driver.pid):
            with open(path) as stream:
                found += [int(word) for word in stream.read().split()]
        return found[0] if found else None

    def kill(self):
        """Returns when the next one has been started."""
        starts = self.figures()["starts"]
        os.kill(self.engine(), signal.SIGKILL)
        while self.figures()["starts"] == starts:
            time.sleep(0.005)

    def close(self):
        self.driver.stdin.close()
        status = self.driver.wait(SECONDS)
        self.thread.join()
        self.driver.stdout.close()
        return status


@unittest.skipUnless(os.path.exists(DRIVER), "the driver is not built")
class EngineTest(HoneTest):
    def setUp(self):
        super().setUp()
        self.client = self.open()

    def open(self, **options):
        client = Client(self.env, **options)
        self.addCleanup(lambda: client.driver.stdin.closed or client.close())
        return client

    def tearDown(self):
        if not self.client.driver.stdin.closed:
            self.assertEqual(self.client.close(), 0)

    def answered(self, heard):
        self.assertIsNone(heard.refused)
        self.assertEqual(heard.last["type"], "done", heard.last)
        return heard

    def failed(self, heard, kind, param="", says=""):
        self.assertEqual(heard.last["type"], "error", heard.last)
        self.assertEqual((heard.last["kind"], heard.last["param"]), (kind, param), heard.last)
        self.assertIn(says, heard.last["message"])

    def told_by_hone(self, body, path=HF, *options):
        return self.lines("chat", "--model", path, *options, stdin=[body])[0]

    def assert_whole(self, heard, chosen, tools=False):
        """Deltas, joined, are the choices; and in order. With tools: a call that was cut has been told as a call, and is none."""
        self.answered(heard)
        self.assertEqual(heard.events[0]["type"], "begin")
        self.assertEqual([c["choice"] for c in heard.choices()], list(range(chosen)))
        for choice in heard.choices():
            i = choice["choice"]
            if tools and choice["finish_reason"] == "length":
                continue
            self.assertEqual(heard.joined(i), choice["message"]["content"] or "")
            self.assertEqual(heard.joined(i, "reasoning"), choice["message"].get("reasoning_content", ""))
            self.assertEqual(heard.calls(i), choice["message"].get("tool_calls", []))
            if choice["logprobs"]:
                self.assertEqual(heard.entries(i), choice["logprobs"]["content"])
        usage = heard.last["usage"]
        self.assertEqual(usage["completion_tokens"], sum(c["completion_tokens"] for c in heard.choices()))
        self.assertEqual(usage["prompt_tokens"], heard.events[0]["prompt_tokens"])


def said(choices):
    return [(c["message"], c["finish_reason"]) for c in choices]


class Chats(EngineTest):
    def test_streamed_or_not_an_answer_is_that_of_hone_chat(self):
        bodies = [chat(), chat(n=4, temperature=0.7), chat(stop=["e", "qq"], max_tokens=40), chat(logprobs=True, n=2),
                  chat(max_tokens=60, response_format={"type": "json_object"}), chat(frequency_penalty=1.5, top_k=20, n=3)]
        for body in bodies:
            streamed, whole = self.client.ask(body, stream=True), self.client.ask(body)
            self.assert_whole(streamed, body.get("n", 1))
            told = self.told_by_hone(body)
            self.assertEqual(whole.of("delta"), [])
            self.assertEqual(said(streamed.choices()), said(whole.choices()))
            self.assertEqual(said(whole.choices()), said(told["choices"]))
            self.assertEqual([c["logprobs"] for c in whole.choices()], [c["logprobs"] for c in told["choices"]])
            for key in ("prompt_tokens", "completion_tokens", "total_tokens"):
                self.assertEqual(whole.last["usage"][key], told["usage"][key])

    def test_deltas_are_the_answer_whatever_ends_it(self):
        draw = random.Random(3)
        asked = []
        for seed in range(60):
            stop = ["".join(draw.choice("er', \nan") for _ in range(draw.randint(1, 3))) for _ in range(draw.randint(0, 4))]
            body = chat(draw.choice(["Hi", "a b c", "0"]), seed=seed, n=draw.randint(1, 3), max_tokens=draw.randint(1, 60),
                        temperature=draw.choice([0, 0.5, 1, 2]), logprobs=draw.random() < 0.5, **({"stop": stop} if stop else {}))
            asked.append((body, self.client.begin(body, stream=True)))
        for body, heard in asked:
            self.assertTrue(heard.over.wait(SECONDS))
            self.assert_whole(heard, body["n"])
            for choice in heard.choices():
                self.assertFalse(any(s in choice["message"]["content"] for s in body.get("stop", [])))

    def test_a_run_s_thinking_is_streamed_apart(self):
        job = self.job(steps=2, hone={"reasoning": {"open": "<t>", "close": "e", "budget": 4}, "checkpoint_interval": 2})
        self.train(job, "--out", self.path("run"))
        adapter = os.path.dirname(glob.glob(self.path("run", "checkpoints", "*", "**", "adapter_config.json"), recursive=True)[0])
        some = 0
        for seed in range(8):
            body = chat(seed=seed, n=3, logprobs=True)
            heard = self.client.ask(body, adapter=adapter, run=self.path("run"), stream=True)
            self.assert_whole(heard, 3)
            told = self.told_by_hone(body, self.path("run"))
            self.assertEqual(said(heard.choices()), said(told["choices"]))
            self.assertEqual([c["logprobs"]["content"] for c in heard.choices()], [c["logprobs"]["content"] for c in told["choices"]])
            usage = heard.last["usage"]["completion_tokens_details"]["reasoning_tokens"]
            self.assertEqual(usage, told["usage"]["completion_tokens_details"]["reasoning_tokens"])
            some += usage
        self.assertGreater(some, 0)

    def test_the_likeliest_tokens_are_told(self):
        heard = self.answered(self.client.ask(chat(logprobs=True, top_logprobs=3, temperature=0)))
        for entry in heard.choices()[0]["logprobs"]["content"]:
            self.assertEqual(len(entry["top_logprobs"]), 3)
            self.assertEqual({k: entry[k] for k in ("token", "logprob", "bytes")}, entry["top_logprobs"][0])

    def test_a_biased_token_comes_or_stays_away(self):
        plain = self.client.ask(chat(temperature=0)).choices()[0]["message"]["content"]
        ids = self.lines("tokenize", "--model", HF, stdin=[{"text": plain[:2]}])[0]["ids"]
        banned = self.answered(self.client.ask(chat(temperature=0, logit_bias={str(ids[0]): -100}))).choices()[0]
        self.assertNotEqual(banned["message"]["content"][:1], plain[:1])
        only = self.answered(self.client.ask(chat(logit_bias={str(ids[0]): 100}, n=2))).choices()
        self.assertEqual(len({c["message"]["content"] for c in only}), 1)

    def test_twenty_at_once_are_as_each_alone(self):
        job = self.job(steps=2, hone={"lora_rank": 2, "learning_rate": 0.05})
        self.train(job, "--out", self.path("run"))
        other = os.path.dirname(glob.glob(self.path("run", "checkpoints", "*", "**", "adapter_config.json"), recursive=True)[0])
        asked = [(chat("%d b" % i, seed=i, n=1 + i % 3, max_tokens=20 + 7 * i, logprobs=True), (None, ADAPTER, other)[i % 3])
                 for i in range(20)]
        together = [self.client.begin(body, adapter=adapter, stream=True) for body, adapter in asked]
        for heard in together:
            self.assertTrue(heard.over.wait(SECONDS))
        alone = self.open(threads=1)
        for (body, adapter), heard in zip(asked, together):
            self.assert_whole(heard, body["n"])
            one = alone.ask(body, adapter=adapter)
            self.assertEqual([{**c} for c in heard.choices()], one.choices())
        self.assertEqual(len({json.dumps(said(h.choices())) for h in together}), 20)

    def test_a_beginning_that_was_read_is_not_read_again(self):
        text = "a long beginning that two requests share, " * 8
        first, second = (self.answered(self.client.ask(chat(text + end))) for end in ("a", "b"))
        self.assertEqual(first.last["usage"]["prompt_tokens_details"]["cached_tokens"], 0)
        cached = second.last["usage"]["prompt_tokens_details"]["cached_tokens"]
        self.assertTrue(0 < cached < second.last["usage"]["prompt_tokens"])
        self.assertEqual(second.events[0]["cached_tokens"], cached)
        self.assertEqual(self.client.figures()["tokens_cached"], cached)

    def test_tokens_are_counted_without_an_answer(self):
        n = self.client.ask(chat("a b c"))
        self.assertEqual(self.client.ask(chat("a b c"), op="count").last,
                         {"type": "result", "prompt_tokens": n.last["usage"]["prompt_tokens"]})
        self.assertGreater(self.client.ask(chat("0" * 4000), op="count").last["prompt_tokens"], 3000)

    def test_a_seed_is_given_where_there_is_none(self):
        body = chat()
        del body["seed"]
        said_ = {self.answered(self.client.ask(body)).choices()[0]["message"]["content"] for _ in range(4)}
        self.assertGreater(len(said_), 1)


class Completions(EngineTest):
    def ask(self, **body):
        return self.client.ask({"seed": 3, "max_tokens": 8, **body}, op="complete")

    def texts(self, **body):
        return [c["text"] for c in self.answered(self.ask(**body)).choices()]

    def test_prompts_come_in_four_forms(self):
        ids = [line["ids"] for line in self.lines("tokenize", "--model", HF, stdin=[{"text": t} for t in ("Hello", "a b")])]
        texts = self.texts(prompt=["Hello", "a b"], n=2)
        self.assertEqual(len(texts), 4)
        self.assertEqual(texts, self.texts(prompt=ids, n=2))
        self.assertEqual(texts[:2], self.texts(prompt="Hello", n=2))
        self.assertEqual(texts[:2], self.texts(prompt=ids[0], n=2))

    def test_deltas_are_the_text(self):
        for seed in range(20):
            body = {"prompt": ["Hello", "b"], "n": 2, "seed": seed, "max_tokens": 30, "stop": ["er", "\n"], "echo": seed % 2 == 0,
                    "logprobs": seed % 3}
            heard = self.answered(self.client.ask(body, op="complete", stream=True))
            self.assertEqual(len(heard.choices()), 4)
            for choice in heard.choices():
                i = choice["choice"]
                self.assertEqual(heard.joined(i, "text"), choice["text"])
                self.assertEqual(heard.entries(i), choice["logprobs"]["content"])
                at = 0
                for delta in heard.of("delta"):
                    if delta["choice"] == i:
                        self.assertEqual(delta["text_offset"], at)
                        at += len(delta.get("text", ""))
            self.assertEqual(self.answered(self.client.ask(body, op="complete")).choices(), heard.choices())

    def test_an_echo_is_the_prompt_and_its_log_probabilities_are_those_of_score(self):
        choice, = self.answered(self.ask(prompt="Hello you", echo=True, logprobs=0, max_tokens=0)).choices()
        self.assertEqual((choice["text"], choice["finish_reason"], choice["completion_tokens"]), ("Hello you", "length", 0))
        scored, = self.lines("score", "--model", HF, stdin=[{"text": "Hello you"}])
        entries = choice["logprobs"]["content"]
        self.assertIsNone(entries[0]["logprob"])
        self.assertEqual([round(e["logprob"], 6) for e in entries[1:]], [round(p, 6) for p in scored["logprobs"][1:]])
        self.assertEqual(self.texts(prompt="Hello", echo=True), ["Hello" + t for t in self.texts(prompt="Hello")])

    def test_the_best_of_many_is_the_likeliest_on_average(self):
        every = self.answered(self.ask(prompt="Hello", n=8, logprobs=1)).choices()
        best = self.answered(self.ask(prompt="Hello", n=2, best_of=8, logprobs=1)).choices()

        def mean(choice):
            return sum(e["logprob"] for e in choice["logprobs"]["content"]) / len(choice["logprobs"]["content"])
        ranked = sorted(every, key=mean, reverse=True)
        self.assertEqual([c["text"] for c in best], [c["text"] for c in ranked[:2]])
        self.assertEqual(self.ask(prompt="Hello", n=2, best_of=8).last["usage"]["completion_tokens"],
                         sum(c["completion_tokens"] for c in every))

    def test_what_is_wrong_is_named(self):
        for body, kind, param, says in [
            ({}, "invalid", "prompt", "missing"), ({"prompt": []}, "invalid", "prompt", "empty"),
            ({"prompt": ["a", 3]}, "invalid", "prompt", "a number"), ({"prompt": [[9999999]]}, "invalid", "prompt", "no token"),
            ({"prompt": [[]]}, "invalid", "prompt", "empty"), ({"prompt": "a" * 5000}, "limit", "prompt", "512"),
            ({"prompt": "a", "suffix": "b"}, "unsupported", "suffix", "not offered"),
            ({"prompt": "a", "best_of": 1, "n": 2}, "invalid", "best_of", "less than"),
            ({"prompt": "a", "max_tokens": 0}, "invalid", "max_tokens", "echo"), ({"prompt": "a", "logprobs": 6}, "invalid", "logprobs", "5"),
            ({"prompt": ["a"] * 100, "n": 128}, "limit", "n", "4096"), ({"prompt": "a", "promt": 1}, "invalid", "promt", "promt"),
            ({"prompt": "a", "logit_bias": {"x": 1}}, "invalid", "logit_bias", "x"),
            ({"prompt": "a", "logit_bias": {"1": 101}}, "invalid", "logit_bias", "-100 to 100"),
            ({"prompt": "a", "logit_bias": {"1": 1, "01": 2}}, "invalid", "logit_bias", "twice"),
        ]:
            self.failed(self.client.ask(body, op="complete"), kind, param, says)
        self.failed(self.client.ask({"prompt": "a", "best_of": 3}, op="complete", stream=True), "invalid", "best_of", "streamed")


class Vectors(EngineTest):
    def test_vectors_are_the_reference_s(self):
        with open(os.path.join(TESTS, "golden", "encoder", "mean.jsonl")) as stream:
            rows = [json.loads(line) for line in stream]
        rows = [row for row in rows if row.get("text")]
        told = self.client.ask({"input": [row["text"] for row in rows]}, path=ENCODER, op="embed").last
        self.assertEqual(told["type"], "result", told)
        for row, vector in zip(rows, told["embeddings"]):
            reference = row.get("vector") or row.get("embedding")
            self.assertEqual(len(vector), len(reference))
            self.assertLess(max(abs(a - b) for a, b in zip(vector, reference)), 3e-6)
        self.assertGreater(told["prompt_tokens"], len(rows))

    def test_a_shorter_vector_has_length_one(self):
        whole, short = (self.client.ask({"input": "a b", **more}, path=ENCODER, op="embed").last["embeddings"][0]
                        for more in ({}, {"dimensions": 3}))
        self.assertEqual(len(short), 3)
        self.assertAlmostEqual(sum(x * x for x in short), 1, places=5)
        self.assertAlmostEqual(short[0] / short[1], whole[0] / whole[1], places=4)

    def test_tokens_are_embedded_as_their_text(self):
        with open(os.path.join(ENCODER, "tokenizer.json")) as stream:
            vocabulary = json.load(stream)["model"]["vocab"]
        words = [word for word in vocabulary if word.isalnum() and word.isascii()][:12]
        texts = [" ".join(words), words[3], " ".join(words * 40)]  # the last is longer than the model reads
        ids = [[vocabulary[word] for word in text.split()] for text in texts]
        told = self.client.ask({"input": texts}, path=ENCODER, op="embed").last
        self.assertEqual(told["type"], "result", told)
        self.assertEqual(self.client.ask({"input": ids}, path=ENCODER, op="embed").last, told)
        self.assertEqual(self.client.ask({"input": [ids[0], texts[1], ids[2]]}, path=ENCODER, op="embed").last, told)
        one = self.client.ask({"input": ids[0], "dimensions": 5}, path=ENCODER, op="embed").last
        self.assertEqual(one, self.client.ask({"input": texts[0], "dimensions": 5}, path=ENCODER, op="embed").last)
        for tokens, says in ([len(vocabulary)], "no token of this model"), ([2 ** 31], "a number that is none"), \
                ([[1, "a"]], "a string"), ([[]], "0 tokens"), ([[1.5]], "whole numbers"), ([-1], "a number that is none"):
            self.failed(self.client.ask({"input": tokens}, path=ENCODER, op="embed"), "invalid", "input", says)

    def test_what_cannot_be_embedded_is_named(self):
        for body, kind, param in [({}, "invalid", "input"), ({"input": []}, "invalid", "input"), ({"input": [""]}, "invalid", "input"),
                                  ({"input": [True]}, "invalid", "input"),
                                  ({"input": "a", "dimensions": 0}, "invalid", "dimensions"),
                                  ({"input": "a", "dimensions": 9999}, "invalid", "dimensions")]:
            self.failed(self.client.ask(body, path=ENCODER, op="embed"), kind, param)
        self.failed(self.client.ask({"input": "a"}, op="embed", name="writer"), "unsupported", "model", "writer")
        self.failed(self.client.ask(chat(), path=ENCODER, name="reader"), "unsupported", "model", "reader")


class Deaths(EngineTest):
    def test_a_stream_goes_on_after_a_death_without_gap_or_repeat(self):
        for body in (chat(max_tokens=400, temperature=1), chat(max_tokens=200, n=3, logprobs=True, stop=["zzz"])):
            whole = self.answered(self.client.ask(body))
            for after in (1, 5, 30):
                heard = self.client.begin(body, stream=True)
                while len(heard.events) < after and not heard.over.is_set():
                    time.sleep(0.001)
                self.client.kill()
                self.assertTrue(heard.over.wait(SECONDS))
                self.assert_whole(heard, body.get("n", 1))
                self.assertEqual(heard.choices(), whole.choices())
                self.assertEqual(len(heard.of("begin")), 1)
        self.assertGreaterEqual(self.client.figures()["starts"], 4)
        self.assertTrue(self.client.figures()["alive"])

    def test_a_request_that_is_there_at_two_deaths_is_given_up(self):
        os.mkfifo(self.path("config.json"))  # opening this model takes for ever
        heard = self.client.begin(chat(), path=self.folder)
        time.sleep(0.2)
        self.client.kill()
        time.sleep(0.2)
        self.assertFalse(heard.over.is_set())
        self.client.kill()
        self.assertTrue(heard.over.wait(SECONDS))
        self.failed(heard, "io", says="signal 9")
        self.answered(self.client.ask(chat()))
        self.assertEqual(self.client.figures()["starts"], 3)

    def test_what_is_taken_back_while_none_runs_leaves_nothing(self):
        program = self.path("engine")
        os.symlink(HONE, program)
        client = self.open(program=program)
        self.answered(client.ask(chat()))
        os.unlink(program)
        os.kill(client.engine(), signal.SIGKILL)
        while client.figures()["alive"]:
            time.sleep(0.005)

        def held():
            client.figures()  # all that was said is taken
            with open("/proc/%d/status" % client.driver.pid) as stream:
                return sum(int(line.split()[1]) for line in stream if line.startswith("VmRSS")) >> 10
        body, megabytes = chat("a" * (1 << 20)), []
        for _ in range(3):
            for _ in range(64):
                client.cancel(client.begin(body))
            megabytes.append(held())
        self.assertLess(megabytes[-1], megabytes[0] + 64, "128 MB were asked between")
        kept, left = client.begin(chat()), client.begin(chat())
        client.cancel(left)
        os.symlink(HONE, program)
        self.assertTrue(kept.over.wait(SECONDS))
        self.answered(kept)
        self.answered(client.ask(chat()))
        self.assertEqual(left.events, [])
        self.assertEqual(client.figures()["open"], 0)

    def test_the_process_goes_with_its_server(self):
        self.answered(self.client.ask(chat()))
        pid = self.client.engine()
        self.client.driver.kill()
        self.client.driver.wait()
        self.client.driver.stdin.close()
        for _ in range(1000):
            try:
                with open("/proc/%d/stat" % pid) as stream:
                    if stream.read().rsplit(")")[-1].split()[0] == "Z":
                        break
            except FileNotFoundError:
                break
            time.sleep(0.01)
        else:
            self.fail("the engine process lives on")
        self.client.thread.join()
        self.client.driver.stdout.close()

    def test_it_ends_while_answers_are_under_way(self):
        pid = self.client.engine()
        heard = [self.client.begin(chat(max_tokens=480, seed=i, n=8), stream=True) for i in range(8)]
        heard[0].some.wait(SECONDS)
        self.assertEqual(self.client.close(), 0)
        self.assertFalse(os.path.exists("/proc/%d" % pid))
        for one in heard:
            self.assertTrue(one.last["type"] == "done" or one.last["kind"] == "cancelled", one.last)

    def test_it_is_given_no_more_than_it_needs(self):
        client = Client({**self.env, "HONE_JUDGE_KEY": "secret", "OTHER": "x"})
        with open("/proc/%d/environ" % client.engine(), "rb") as stream:
            names = {entry.split(b"=")[0].decode() for entry in stream.read().split(b"\0") if entry}
        self.assertNotIn("HONE_JUDGE_KEY", names)
        self.assertNotIn("OTHER", names)
        self.assertEqual(client.close(), 0)

    def test_a_program_that_does_not_start_is_told(self):
        run = subprocess.run([DRIVER, json.dumps({"program": self.path("none")})], input="", capture_output=True, text=True)
        self.assertEqual(run.returncode, 1)
        self.assertIn("starting the engine process", json.loads(run.stdout)["refused"]["message"])

    def test_people_are_told_who_starts_it(self):
        self.fails("engine", says="hone serve", status=2)
        self.assertNotIn("engine", self.works("--help").split())


class Limits(EngineTest):
    def test_cancelled_is_silent(self):
        """The driver aborts where an event comes after engine_client_cancel has returned."""
        left = [self.client.begin(chat(max_tokens=480, seed=i, n=2), stream=True, leave_after=3 + i) for i in range(6)]
        heard = [self.client.begin(chat(max_tokens=480, seed=i, n=2), stream=True) for i in range(12)]
        for i, one in enumerate(heard[:8]):
            one.some.wait(SECONDS)
            time.sleep(0.003 * i)
            self.client.cancel(one)
        for one in heard[8:]:
            self.assertTrue(one.over.wait(SECONDS))
            self.assert_whole(one, 2)
        for i, one in enumerate(left):
            self.assertEqual(len(one.events), 3 + i)
        self.assertEqual(self.client.figures()["open"], 0)

    def test_too_many_at_once_are_refused(self):
        os.mkfifo(self.path("config.json"))
        client = self.open(max_open=2)
        first = [client.begin(chat(), path=self.folder) for _ in range(2)]
        third = client.ask(chat())
        self.assertEqual(third.refused["kind"], "limit")
        client.cancel(first[0])
        self.answered(client.ask(chat()))

    def test_opening_a_model_holds_nobody_up(self):
        os.mkfifo(self.path("config.json"))
        slow = self.client.begin(chat(), path=self.folder, name="slow")
        self.answered(self.client.ask(chat()))
        self.answered(self.client.ask(chat(), path=GGUF))
        self.assertFalse(slow.over.is_set())
        with open(self.path("config.json"), "w") as stream:
            stream.write("{}")
        self.assertTrue(slow.over.wait(SECONDS))
        self.assertEqual((slow.last["type"], slow.last["param"]), ("error", "model"))
        self.assertNotIn(self.folder, slow.last["message"])

    def test_the_model_used_longest_ago_goes_first(self):
        client = self.open(memory=1)

        def only(path):
            for _ in range(2000):  # it goes when its last request has, which is after the answer
                with open("/proc/%d/maps" % client.engine()) as stream:
                    text = stream.read()
                if [other in text for other in (HF, GGUF)] == [other == path for other in (HF, GGUF)]:
                    return
                time.sleep(0.01)
            self.fail("both are open, or neither")
        first = self.answered(client.ask(chat())).choices()
        self.answered(client.ask(chat(), path=GGUF))
        only(GGUF)
        self.assertEqual(self.answered(client.ask(chat())).choices(), first)
        only(HF)
        busy = [client.begin(chat(seed=i, max_tokens=100), path=(HF, GGUF)[i % 2]) for i in range(8)]
        for heard in busy:
            self.assertTrue(heard.over.wait(SECONDS))
            self.answered(heard)

    def test_an_answer_may_have_a_deadline(self):
        os.mkfifo(self.path("config.json"))
        late = self.client.ask(chat(), path=self.folder, verb="answer", seconds=0.2)
        self.assertEqual(late.refused["kind"], "timeout")
        told = self.client.ask(chat(n=3), verb="answer")
        self.assertEqual([c["choice"] for c in told.last["choices"]], [0, 1, 2])
        self.assertEqual(told.last["choices"], self.client.ask(chat(n=3)).choices())
        wrong = self.client.ask(chat(n=0), verb="answer")
        self.assertEqual((wrong.refused["kind"], wrong.refused["param"]), ("invalid", "n"))

    def test_no_body_ends_it(self):
        deep = 1
        for _ in range(600):
            deep = [deep]
        wide = {"messages": [{"role": "user", "content": "a"}] * 20000}
        bodies = [deep, [], 3, "x", None, {}, {"messages": deep}, {"messages": [deep]}, wide, chat(n=10 ** 9), chat(n=128, max_tokens=10 ** 6),
                  chat("0" * 2000000), chat(max_tokens=-1), chat(stop=["a" * 1000000]), chat(seed=-1), chat(seed=2 ** 62), chat(temperature=1e308),
                  chat(top_logprobs=3), chat(logprobs=True, top_logprobs=21), chat(logit_bias={str(i): 1 for i in range(2000)}),
                  chat(logit_bias={"99999999999999999999": 1}), chat(logit_bias=[]), chat(logit_bias={"1048575": 1}),
                  chat(chat_template_kwargs={"messages": deep}), chat(tools=[deep]), chat("\x00\x01\ud7ff"),
                  chat(response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "array", "minItems": 10 ** 9}}})]
        asked = [self.client.begin(body, op=op, stream=i % 2 == 0) for op in ("chat", "complete", "count") for i, body in enumerate(bodies)]
        asked += [self.client.begin(body, op="embed", path=ENCODER) for body in bodies]
        asked += [self.client.begin(chat(), path=path) for path in ("/", "", "/dev/zero", self.path("none"), "\x7fELF")]
        asked += [self.client.begin(chat(), adapter=path) for path in ("/", self.path("none"), HF)]
        for heard in asked:
            self.assertTrue(heard.over.wait(SECONDS))
            self.assertTrue(heard.refused or heard.last["type"] in LAST)
        self.assertEqual(self.client.ask(wide).last["type"], "error")
        self.answered(self.client.ask(chat()))
        self.assertEqual(self.client.figures()["starts"], 1)


@unittest.skipUnless(os.path.exists(SMOLLM), "the demo model is not there")
@unittest.skipIf(sanitized(), "the same code runs on the tiny model")
class RealModel(EngineTest):
    def test_streamed_or_not_an_answer_is_that_of_hone_chat(self):
        bodies = [chat("Name three colours.", max_tokens=24, temperature=0), chat("Say something odd.", max_tokens=24, n=2, seed=11, logprobs=True)]
        streams = [self.client.begin(body, path=SMOLLM, stream=True) for body in bodies]
        for body, streamed in zip(bodies, streams):
            self.assertTrue(streamed.over.wait(SECONDS))
            self.assert_whole(streamed, body.get("n", 1))
            whole, told = self.client.ask(body, path=SMOLLM), self.told_by_hone(body, SMOLLM)
            self.assertEqual(said(streamed.choices()), said(whole.choices()))
            self.assertEqual(said(whole.choices()), said(told["choices"]))
            self.assertEqual([c["logprobs"] for c in whole.choices()], [c["logprobs"] for c in told["choices"]])

    TOOLS = [{"type": "function", "function": {"name": name, "parameters": {
        "type": "object", "properties": {"x": {"type": "string", "maxLength": 6}, "y": {"type": "integer"}}, "required": ["x", "y"],
        "additionalProperties": False}}} for name in ("look", "see")]

    def test_calls_of_tools_are_streamed(self):
        ended = 0
        for seed in range(8):  # until one ends its calls: it may also go on for longer than it is let
            body = chat(seed=seed, tools=self.TOOLS, tool_choice="required", max_tokens=60, n=2, logprobs=True)
            heard = self.client.ask(body, path=SMOLLM, stream=True)
            self.assert_whole(heard, 2, tools=True)
            self.assertEqual(self.client.ask(body, path=SMOLLM).choices(), heard.choices())
            for choice in heard.choices():
                if choice["finish_reason"] == "tool_calls":
                    ended += 1
                    for call in choice["message"]["tool_calls"]:
                        self.assertIn(call["function"]["name"], ("look", "see"))
                        self.assertEqual(set(json.loads(call["function"]["arguments"])), {"x", "y"})
            if ended > 0:
                break
        self.assertGreater(ended, 0)


if __name__ == "__main__":
    unittest.main()
