"""Tools of a reinforcement job: hone train asks their servers, tells of it, and goes on after a kill without asking again."""
import csv
import http.server
import io
import json
import os
import re
import signal
import subprocess
import threading
import time
import unittest

from cli import HF, HONE, HoneTest

TEMPLATE = """{% if tools %}{{ tools[0].function.name }}{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content }}{% for c in m.tool_calls %}[TOOL_CALLS]{{ c.function.name }}[ARGS]{{ c.function.arguments | tojson }}
{%- endfor %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
TOOL = {"type": "function", "function": {"name": "f", "description": "Tells.", "parameters": {"type": "object"}}}
USER = {"role": "user", "content": "which?"}
CALL = {"role": "assistant", "content": "",
        "tool_calls": [{"id": "call00001", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}
IS = {"type": "string_check", "name": "is", "input": "{{sample.output_text}}", "reference": "{{item.want}}",
      "operation": "eq"}
LETTERS = "abc"


class Tool(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        item = int(re.fullmatch(r"[a-z]+-\d+-(\d+)-\d+(?:-again-\d+)?", call["trace_id"]).group(1))
        self.server.calls.append((call, self.headers["X-Key"]))
        status, body = self.server.answer(call, LETTERS[item % 3])
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        pass  # a client that was killed


def honest(call, letter):
    return 200, {"type": "function_call_output", "call_id": call["call_id"], "output": letter, "id": "fco_1"}


class Tools(HoneTest):
    def setUp(self):
        super().setUp()
        self.server = Server(("127.0.0.1", 0), Tool)
        self.server.daemon_threads = True
        self.server.calls, self.server.answer = [], honest
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.put("t.jinja", TEMPLATE)

    def teach(self):
        """A model that knows how calls are made, and makes one every other time."""
        said = [[USER, CALL, {"role": "tool", "tool_call_id": "call00001", "content": x},
                 {"role": "assistant", "content": x}] for x in LETTERS]
        said += [[USER, {"role": "assistant", "content": x}] for x in LETTERS]
        self.put("written.jsonl", [{"messages": m, "tools": [TOOL]} for m in 2 * said])
        self.works("train", "--model", HF, "--train", "written.jsonl", "--template", "t.jinja", "--out", "taught",
                   "--context", "256", "--set", "batch_size=12", "--set", "max_steps=60", "--set", "lora_rank=8",
                   "--set", "learning_rate=0.01")

    def tools_job(self, steps=3, tools=None, row_tools=(TOOL,), **more):
        address = "http://127.0.0.1:%d/call" % self.server.server_address[1]
        items = [{"messages": [USER], "tools": list(row_tools), "want": LETTERS[i % 3]} for i in range(6)]
        self.put("train.jsonl", items)
        self.put("valid.jsonl", items[:3])
        hone = {"max_steps": steps, "group_size": 8, "max_tokens": 40, "max_tool_tokens": 60, "lora_rank": 8,
                "learning_rate": 3e-3, "kl_undo": 0, "checkpoint_interval": 2, **more}
        self.put("job.json", {
            "model": "taught" if os.path.exists(self.path("taught")) else HF, "seed": 3,
            "training_file": "train.jsonl", "validation_file": "valid.jsonl",
            "method": {"type": "reinforcement", "reinforcement": {
                "grader": IS, "hyperparameters": {"batch_size": 3, "eval_interval": 2},
                "tools": tools or [{"name": "f", "server_url": address, "headers": {"X-Key": "very-secret"}}],
                "max_episode_steps": 3}},
            "hone": hone})
        return ["job.json", "--template", "t.jinja", "--context", "256"]

    def adapter(self, run):
        return [line["adapter_sha256"] for line in csv.DictReader(io.StringIO(self.read(run, "metrics.csv")))][-1]

    def rollouts(self, run):
        return [json.loads(line) for step in sorted(os.listdir(self.path(run, "rollouts")))
                for line in self.read(run, "rollouts", step).splitlines()]

    def test_a_run_asks_its_tools_and_tells_of_it(self):
        self.teach()
        job = self.tools_job()
        self.works("train", *job, "--out", "run")
        calls = self.server.calls
        self.assertGreater(len(calls), 30)
        call, key = calls[0]
        self.assertEqual((call["type"], call["name"], call["arguments"], key),
                         ("function_call", "f", "{}", "very-secret"))
        self.assertEqual(len({call["call_id"] for call, _ in calls}), len(calls))
        self.assertTrue(any(call["trace_id"].startswith("valid-0-") for call, _ in calls))
        called = [line for line in self.rollouts("run") if line.get("tool_steps")]
        self.assertGreater(len(called), 5)
        for line in called:
            step = line["tool_steps"][0]
            self.assertEqual((step["name"], step["end"], step["turn"]), ("f", "said", 0))
            self.assertEqual(step["output"], LETTERS[line["item"] % 3])
            self.assertEqual(line["tool_calls"][0]["function"], {"name": "f", "arguments": "{}"})
            first, n = line["injected"][0]
            given = "".join(line["pieces"][first:first + n])
            self.assertEqual(given, "\n<|im_start|>tool\n%s<|im_end|>\n<|im_start|>assistant\n" % step["output"])
            self.assertTrue("".join(line["pieces"][:first]).endswith("[TOOL_CALLS]f[ARGS]{}<|im_end|>"))
        steps = list(csv.DictReader(io.StringIO(self.read("run", "metrics.csv"))))
        for line in steps[-3:]:
            self.assertEqual(float(line["max_dlogp"]), 0)
            self.assertGreater(float(line["tools/train_calls_mean"]), 0.1)
            self.assertEqual(float(line["train_error_count_f"]), 0)
            self.assertGreater(float(line["timing/train_tool_latency_mean"]), 0)
        recorded = [json.loads(line) for line in self.read("run", "tool_calls.jsonl").splitlines()]
        self.assertEqual(len(recorded), len(calls))
        self.assertNotIn("very-secret", self.read("run", "tool_calls.jsonl") + self.read("run", "events.jsonl"))
        # measured with the tool as it was trained with it, and without
        n = len(calls)
        words = ("eval", "--model", "run", "--data", "valid.jsonl", "--samples", "8", "--context", "256",
                 "--template", "t.jinja", "--grader")
        with_tool = self.json(*words, "job.json")
        self.assertGreater(len(calls), n)
        del calls[n:]
        self.assertGreater(with_tool["reward_mean"], self.json(*words, self.put("is.json", IS))["reward_mean"] + 0.1)
        self.assertEqual(len(calls), n)
        # done again, by what was written down
        self.server.answer = lambda call, letter: (500, {})
        self.works("replay", "run")
        self.assertEqual(len(calls), len(recorded))
        self.works("report", "run")
        self.assertRegex(self.read("run", "report.html"), '<i class="given" title="given, not drawn">[abc]</i>')

    def test_a_killed_run_asks_nobody_twice(self):
        self.teach()
        job = self.tools_job(steps=4)
        self.works("train", *job, "--out", "whole")
        n = len(self.server.calls)
        self.server.calls.clear()
        for kill in range(3):
            run = subprocess.Popen([HONE, "train", *job, "--out", "run", *(["--resume"] if kill else [])],
                                   cwd=self.folder, env=self.env, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
            until = time.monotonic() + 60
            while len(self.server.calls) < (kill + 1) * n // 4 and run.poll() is None and time.monotonic() < until:
                time.sleep(0.005)
            run.send_signal(signal.SIGKILL)
            run.wait()
        self.works("train", *job, "--out", "run", "--resume")
        self.assertEqual(self.adapter("run"), self.adapter("whole"))
        # what was under way at a kill is asked again, with the same ids; what had been told is not
        self.assertEqual(len({call["call_id"] for call, _ in self.server.calls}), n)
        self.assertLess(len(self.server.calls), n + 3 * 64)

    def test_tools_that_make_no_sense_are_refused_before_anything_is_computed(self):
        self.fails("train", *self.tools_job(tools=[{"name": "f"}]), "--out", "run", says="server_url")
        self.fails("train", *self.tools_job(tools=[{"name": "g", "server_url": "http://127.0.0.1:9"}]), "--out", "run",
                   says="no row of")
        self.fails("train", *self.tools_job(max_tool_tokens=250), "--out", "run", says="positions available")
        self.put("t.jinja", "{{ tools }}{% for m in messages %}{{ m.role }}{{ m.content }}{% endfor %}")
        self.fails("train", *self.tools_job(), "--out", "run", says="no end token")
        self.assertEqual(self.server.calls, [])


if __name__ == "__main__":
    unittest.main()
