"""docs/openapi.yaml tells the truth: the routes are the server's, and what the server answers is what stands there."""
import json
import os
import re
import subprocess
import unittest

from server import ApiTest, CLOSE, EXACT, HONE, ROOT, jsonl, rows

try:
    import jsonschema_rs
    import yaml
except ImportError:
    jsonschema_rs = yaml = None
    print("SKIPPED: PyYAML and jsonschema-rs are not installed (scripts/requirements-test.txt)", flush=True)  # for CTest

METHODS = ("get", "post", "delete", "put", "patch", "head")
RFT = {"type": "reinforcement", "reinforcement": {"grader": CLOSE, "hyperparameters": {"n_epochs": 1, "batch_size": 2}}}
CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_completion_tokens": 4, "seed": 1}
CALL = {"name": "f"}  # the tiny model has 512 positions, and a tool takes its place in them


def document():
    with open(os.path.join(ROOT, "docs", "openapi.yaml"), encoding="utf-8") as f:
        return yaml.safe_load(f)


def closed(node):
    """A copy of a schema in which an object has no other keys than those that stand there."""
    if isinstance(node, list):
        return [closed(x) for x in node]
    if not isinstance(node, dict):
        return node
    node = {k: closed(v) for k, v in node.items()}
    if isinstance(node.get("properties"), dict) and "additionalProperties" not in node and "type" in node:
        node["additionalProperties"] = False
    return node


def operations(doc):
    for path, item in doc["paths"].items():
        for method in METHODS:
            if method in item:
                yield method.upper(), path, item[method]


def bare(path):
    return re.sub(r"{\w+}", "{}", path)


@unittest.skipUnless(yaml, "PyYAML and jsonschema-rs are not installed (scripts/requirements-test.txt)")
class Document(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.doc = document()

    @unittest.skipUnless(HONE, "HONE_BIN names no hone")
    def test_its_routes_are_those_of_the_server(self):
        driver = os.path.join(os.path.dirname(HONE), "tests", "server_routes_driver")
        told = subprocess.run([driver], check=True, capture_output=True, text=True, timeout=60).stdout
        served = sorted(told.splitlines())
        written = sorted("%s %s %s" % (method, bare(path), "open" if op.get("security") == [] else op["x-hone"]["scope"])
                         for method, path, op in operations(self.doc))
        self.assertEqual(served, written, "docs/openapi.yaml and the tables of src/server/route_*.c differ")

    def test_operations_are_whole(self):
        names, tags = [], {t["name"] for t in self.doc["tags"]}
        for method, path, op in operations(self.doc):
            with self.subTest(method=method, path=path):
                names.append(op["operationId"])
                self.assertLessEqual(set(op["tags"]), tags)
                self.assertTrue(op["summary"])
                told = {p.get("name") or p["$ref"].rsplit("/", 1)[1]
                        for p in self.doc["paths"][path].get("parameters", []) + op.get("parameters", [])}
                self.assertLessEqual(set(re.findall(r"{(\w+)}", path)), told)
                wanted = {"500", "503"} if op.get("security") == [] else {"400", "401", "403", "429", "500", "503"}
                wanted |= {"404"} if "{" in path else set()
                wanted |= {"413"} if method == "POST" else set()
                self.assertLessEqual(wanted, set(op["responses"]))
        self.assertEqual(len(names), len(set(names)))

    def test_schemas_and_their_examples(self):
        found = []

        def walk(node):
            if isinstance(node, dict):
                if isinstance(node.get("$ref"), str):
                    target = self.doc
                    for part in node["$ref"].removeprefix("#/").split("/"):
                        target = target[part]
                if isinstance(node.get("examples"), list):
                    found.append(node)
                for v in node.values():
                    walk(v)
            elif isinstance(node, list):
                for v in node:
                    walk(v)
        walk(self.doc)
        self.assertGreater(len(found), 10)
        for name, schema in self.doc["components"]["schemas"].items():
            jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})
        for node in found:
            check = jsonschema_rs.Draft202012Validator({**closed(node), "components": closed(self.doc["components"])})
            for example in node["examples"]:
                check.validate(example)


@unittest.skipUnless(yaml, "PyYAML and jsonschema-rs are not installed (scripts/requirements-test.txt)")
class Answers(ApiTest):
    """A walk over the API. Every answer is held against what docs/openapi.yaml says of it."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.doc = document()
        cls.components = closed(cls.doc["components"])
        cls.checks, cls.reached = {}, set()

    def check(self, schema, value, what):
        key = json.dumps(schema, sort_keys=True)
        if key not in self.checks:
            self.checks[key] = jsonschema_rs.Draft202012Validator({**schema, "components": self.components})
        for error in self.checks[key].iter_errors(value):
            self.fail("%s: at %s: %s" % (what, "/".join(map(str, error.instance_path)) or "the top", error.message))

    def resolved(self, node):
        while "$ref" in node:
            target = self.doc
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            node = target
        return node

    def call(self, method, path, *ids, body=None, query="", status=200, key=True, form=None, sound=True):
        """The answer, whose status and body are as written. sound: the body is one that the schema allows."""
        op = self.doc["paths"][path][method.lower()]
        what = "%s %s" % (method, path)
        if body is not None and sound:
            self.check(closed(op["requestBody"]["content"]["application/json"]["schema"]), body, "the request of " + what)
        headers = {"content-type": "application/json"} if body is not None else {}
        if form is not None:
            body, headers = form, {"content-type": "multipart/form-data; boundary=xyz"}
        names = iter(ids)
        real = re.sub(r"{\w+}", lambda m: next(names), path) + query
        got, told, data = self.server.raw(method, real, body, headers, key)
        self.assertEqual(got, status, (what, data[:500]))
        self.assertIn(str(got), op["responses"], what)
        self.assertTrue(told["x-request-id"], what)
        content = self.resolved(op["responses"][str(got)])["content"]
        kind = told["content-type"].split(";")[0]
        self.assertIn(kind, content, what)
        value = json.loads(data) if kind == "application/json" else data.decode(errors="replace")
        if kind == "text/event-stream":
            self.check_events(content[kind]["schema"], value, what)
        else:
            self.check(closed(content[kind]["schema"]), value, what)
        if got < 400:
            self.reached.add((method, path))
        return value

    def check_events(self, schema, text, what):
        data = self.resolved(schema)["properties"]["data"]["contentSchema"]
        events = 0
        for block in text.split("\n\n"):
            event = dict(line.split(": ", 1) for line in block.splitlines() if line and not line.startswith(":"))
            if event:
                self.check(closed(schema), event, what)
                events += 1
                if event["data"] != "[DONE]":
                    self.check(closed(data), json.loads(event["data"]), what)
        self.assertGreater(events, 1, what)

    @staticmethod
    def form(content, name="file", **fields):
        parts = ["--xyz\r\ncontent-disposition: form-data; name=\"%s\"\r\n\r\n%s\r\n" % pair for pair in fields.items()]
        parts.append("--xyz\r\ncontent-disposition: form-data; name=\"%s\"; filename=\"train.jsonl\"\r\n"
                     "content-type: application/octet-stream\r\n\r\n" % name)
        return "".join(parts).encode() + content + b"\r\n--xyz--\r\n"

    def page(self, path, *ids, query="", least=1):
        """The list, and its first page with a limit of one."""
        all_of = self.call("GET", path, *ids, query=query)
        self.assertGreaterEqual(len(all_of["data"]), least, path)
        first = self.call("GET", path, *ids, query="?limit=1" + query.replace("?", "&"))
        self.assertEqual(len(first["data"]), 1)
        self.call("GET", path, *ids, query="?limit=none", status=400)
        self.call("GET", path, *ids, query="?after=" + first["last_id"] + query.replace("?", "&"))
        self.call("GET", path, *ids, query="?after=nobody_1", status=404)
        return all_of["data"]

    def walk_files(self):
        file = "/v1/files/{file_id}"
        train = self.call("POST", "/v1/files", form=self.form(jsonl(rows()), purpose="fine-tune"))["id"]
        other = self.call("POST", "/v1/files", form=self.form(b"x", purpose="batch", **{
            "expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}))["id"]
        self.call("POST", "/v1/files", form=self.form(b"x", purpose="nothing"), status=400)
        self.page("/v1/files", least=2)
        self.call("GET", file, other)
        self.call("GET", file + "/content", other)
        self.call("GET", file + "/rows", other)
        self.call("GET", file + "/rows", train, query="?method=supervised&limit=1&mistakes=2&after=1")
        self.call("GET", file + "/rows", train, query="?method=none", status=400)
        self.call("DELETE", file, other)
        for method, path in (("GET", file), ("DELETE", file), ("GET", file + "/content"), ("GET", file + "/rows")):
            self.call(method, path, other, status=404)
            self.call(method, path, other, status=401, key=False)
        return train

    def walk_uploads(self):
        upload = "/v1/uploads/{upload_id}"
        new = {"bytes": 3, "filename": "a.jsonl", "mime_type": "application/jsonl", "purpose": "fine-tune"}
        one = self.call("POST", "/v1/uploads", body=new)["id"]
        part = self.call("POST", upload + "/parts", one, form=self.form(b"abc", "data"))["id"]
        self.call("POST", upload + "/complete", one, body={"part_ids": ["part_none"]}, status=400)
        self.call("POST", upload + "/complete", one, body={"part_ids": [part], "md5": None})
        two = self.call("POST", "/v1/uploads", body={**new, "expires_after": {"anchor": "created_at", "seconds": 3600}})["id"]
        self.call("POST", upload + "/cancel", two)
        self.call("POST", upload + "/cancel", one, status=400)
        self.call("POST", upload + "/cancel", "upload_none", status=404)
        self.call("POST", "/v1/uploads", body={"bytes": "3"}, status=400, sound=False)

    def walk_jobs(self, train):
        jobs, job = "/v1/fine_tuning/jobs", "/v1/fine_tuning/jobs/{job_id}"
        new = {"model": "tiny", "training_file": train, "method": RFT, "suffix": "made", "seed": 3, "metadata": {"a": "b"},
               "hone": {"max_steps": 2, "group_size": 4, "max_tokens": 8},
               "integrations": [{"type": "wandb", "wandb": {"project": "p"}}]}
        made = self.call("POST", jobs, body={**new, "validation_file": train})["id"]
        plain = self.call("POST", jobs, body={"model": "tiny", "training_file": train, "hyperparameters": {"n_epochs": 2}})["id"]
        wrong = self.call("POST", jobs, body={**new, "hone": None, "method": {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.2}}}})["id"]
        self.call("POST", jobs, body={**new, "model": "none"}, status=404)
        self.call("POST", jobs, body={**new, "seed": -1}, status=400, sound=False)
        self.call("POST", job + "/resume", plain, status=400)
        self.call("POST", job + "/pause", plain)
        self.call("POST", job + "/resume", plain)
        self.call("POST", job + "/cancel", plain)
        self.call("POST", job + "/cancel", plain, status=400)
        self.page(jobs, least=3)
        self.page(jobs, query="?metadata[a]=b", least=2)
        self.server.worker()
        ended = self.call("GET", job, made)
        self.assertEqual(ended["status"], "succeeded", ended)
        failed = self.call("GET", job, wrong)
        self.assertEqual(failed["status"], "failed")
        events = self.page(job + "/events", made, least=5)
        self.assertEqual({e["type"] for e in events}, {"message", "metrics"})
        self.assertIn("data: ", self.call("GET", job + "/events", made, query="?stream=true"))
        self.page(job + "/checkpoints", made)
        self.walk_run(job, made)
        self.call("GET", "/v1/files/{file_id}/content", ended["result_files"][0])
        for method, path in (("GET", job), ("POST", job + "/cancel"), ("GET", job + "/events"), ("GET", job + "/checkpoints"),
                             ("GET", job + "/metrics"), ("GET", job + "/rollouts"), ("GET", job + "/items"),
                             ("GET", job + "/warnings"), ("GET", job + "/report")):
            self.call(method, path, "ftjob-none", status=404)
        return ended["fine_tuned_model"]

    def walk_run(self, job, made):
        one = job + "/rollouts/{rollout_id}"
        self.call("GET", job + "/metrics", made)
        self.call("GET", job + "/metrics", made, query="?columns=kl,loss&after_step=1&limit=1")
        self.call("GET", job + "/metrics", made, query="?limit=0", status=400)
        first = self.page(job + "/rollouts", made, least=2)[0]["id"]
        self.call("GET", job + "/rollouts", made, query="?split=train&order=best&filter=odd,error&q=x&wait_ms=5")
        self.call("GET", job + "/rollouts", made, query="?order=none", status=400)
        self.page(job + "/items", made, query="?order=gain", least=2)
        self.call("GET", job + "/items", made, query="?item=99999")
        self.call("GET", job + "/warnings", made)
        self.call("GET", job + "/report", made)
        self.call("GET", one, made, first)
        self.call("GET", one + "/logprobs", made, first, query="?model=base")
        for path in (one, one + "/logprobs"):
            self.call("GET", path, made, "step-1-9999", status=404)

    def walk_checks(self, train):
        checks, check = "/v1/fine_tuning/checks", "/v1/fine_tuning/checks/{check_id}"
        new = {"model": "tiny", "training_file": train, "method": RFT, "metadata": {"a": "b"},
               "hone": {"max_steps": 2, "group_size": 4, "max_tokens": 8}}
        one = self.call("POST", checks, body=new)["id"]
        two = self.call("POST", checks, body={"model": "tiny", "training_file": train})["id"]  # its rows are of another method
        self.call("POST", checks, body={**new, "model": "none"}, status=404)
        self.call("POST", checks, body={**new, "seed": -1}, status=400, sound=False)
        gone = self.call("POST", checks, body=new)["id"]
        self.assertEqual(self.call("POST", check + "/cancel", gone)["status"], "cancelled")
        self.server.worker()
        self.assertEqual(self.call("GET", check, one)["status"], "succeeded")
        self.assertEqual(self.call("GET", check, two)["error"]["code"], "invalid_training_file")
        self.call("POST", check + "/cancel", one, status=400)
        self.page(checks, least=3)
        self.page(checks, query="?metadata[a]=b", least=2)
        for method, path in (("GET", check), ("POST", check + "/cancel")):
            self.call(method, path, "ftcheck-none", status=404)

    def walk_models(self, tuned):
        model = "/v1/models/{model}"
        self.assertIn(tuned, [m["id"] for m in self.call("GET", "/v1/models")["data"]])
        self.call("GET", model, "tiny")
        self.call("GET", model, tuned)
        self.call("GET", model, "none", status=404)
        self.call("DELETE", model, "tiny", status=403)
        self.walk_permissions(tuned)
        self.call("DELETE", model, tuned)
        self.call("DELETE", model, tuned, status=404)

    def walk_permissions(self, tuned):
        some = "/v1/fine_tuning/checkpoints/{checkpoint}/permissions"
        project = self.server.calls()[-1]["project"]
        one = self.call("POST", some, tuned, body={"project_ids": [project]})["data"][0]["id"]
        self.call("POST", some, tuned, body={"project_ids": ["proj_none"]}, status=404)
        self.page(some, tuned)
        self.call("DELETE", some + "/{permission_id}", tuned, one)
        self.call("DELETE", some + "/{permission_id}", tuned, one, status=404)

    def walk_graders(self):
        validate, run = ["/v1/fine_tuning/alpha/graders/" + w for w in ("validate", "run")]
        multi = {"type": "multi", "graders": {"a": EXACT, "b": CLOSE}, "calculate_output": "a + b"}
        judge = {"type": "score_model", "name": "j", "model": "tiny", "input": [{"role": "user", "content": "{{item.answer}}"}]}
        broken = {"type": "python", "name": "p", "source": "def grade(sample, item):\n    return item['none']\n"}
        for grader in (EXACT, multi, judge, broken):
            self.call("POST", validate, body={"grader": grader})
            self.call("POST", run, body={"grader": grader, "item": {"answer": "a"}, "model_sample": "a"})
        self.call("POST", validate, body={"grader": {"type": "none"}}, status=400, sound=False)
        self.call("POST", run, body={"grader": EXACT}, status=400, sound=False)

    def walk_chat(self):
        chat, one = "/v1/chat/completions", "/v1/chat/completions/{completion_id}"
        kept = self.call("POST", chat, body={**CHAT, "store": True, "metadata": {"a": "b"}})["id"]
        self.call("POST", chat, body={**CHAT, "n": 2, "logprobs": True, "top_logprobs": 2, "stop": ["x"], "min_p": 0.01})
        self.call("POST", chat, body={**CHAT, "tools": [{"type": "function", "function": CALL}], "tool_choice": "required",
                                      "max_completion_tokens": 32})
        self.call("POST", chat, body={**CHAT, "response_format": {"type": "json_object"}, "reasoning_effort": "low"})
        self.assertIn("[DONE]", self.call("POST", chat, body={**CHAT, "stream": True, "stream_options": {"include_usage": True}}))
        self.call("POST", chat, body={**CHAT, "model": "none"}, status=404)
        self.call("POST", chat, body={**CHAT, "unknown": 1}, status=400, sound=False)
        self.page(chat)
        self.page(chat, query="?metadata[a]=b")
        self.call("GET", one, kept)
        self.page(one + "/messages", kept)
        self.call("POST", one, kept, body={"metadata": None})
        self.call("POST", one, kept, body={}, status=400, sound=False)
        self.call("DELETE", one, kept)
        for method, path in (("GET", one), ("DELETE", one), ("GET", one + "/messages")):
            self.call(method, path, kept, status=404)

    def walk_responses(self):
        responses, one = "/v1/responses", "/v1/responses/{response_id}"
        new = {"model": "tiny", "input": "hi", "max_output_tokens": 16, "seed": 1}
        kept = self.call("POST", responses, body={**new, "instructions": "Be brief.", "metadata": {"a": "b"}})["id"]
        self.call("POST", responses, body={**new, "previous_response_id": kept, "top_logprobs": 1,
                                           "include": ["message.output_text.logprobs"]})
        self.call("POST", responses, body={**new, "tools": [{"type": "function", **CALL}], "tool_choice": "required",
                                           "max_output_tokens": 32})
        self.call("POST", responses, body={**new, "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "hi"}]},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "7"}]})
        self.assertIn("response.created", self.call("POST", responses, body={**new, "stream": True}))
        self.call("POST", responses, body={**new, "previous_response_id": "resp_none"}, status=400)
        self.call("POST", responses, body={**new, "model": "none"}, status=404)
        self.call("POST", responses + "/input_tokens", body={"model": "tiny", "input": "hi"})
        self.call("GET", one, kept)
        self.page(one + "/input_items", kept)
        self.call("POST", one + "/cancel", kept, status=400)
        later = self.call("POST", responses, body={**new, "background": True})
        self.assertEqual((later["status"], later["output"]), ("queued", []))
        self.call("POST", one + "/cancel", later["id"])
        again = self.call("POST", responses, body={**new, "background": True})["id"]
        self.assertIn("response.created", self.call("GET", one, again, query="?stream=true"))
        self.call("GET", one, again)
        self.call("DELETE", one, kept)
        for method, path in (("GET", one), ("DELETE", one), ("GET", one + "/input_items"), ("POST", one + "/cancel")):
            self.call(method, path, kept, status=404)

    def walk_completions(self):
        new = {"model": "tiny", "prompt": "hi", "max_tokens": 2}
        self.call("POST", "/v1/completions", body={**new, "n": 2, "logprobs": 2, "echo": True})
        self.call("POST", "/v1/completions", body={**new, "prompt": ["a", "b"]})
        self.call("POST", "/v1/completions", body={**new, "stream": True, "logprobs": 1, "stream_options": {"include_usage": True}})
        self.call("POST", "/v1/completions", body={**new, "suffix": "x"}, status=400, sound=False)
        self.call("POST", "/v1/embeddings", body={"model": "tiny", "input": "hi"}, status=400)
        self.call("POST", "/v1/moderations", body={"input": "hi"}, status=400)

    def walk_webhooks(self):
        hooks, hook = "/v1/webhook_endpoints", "/v1/webhook_endpoints/{endpoint_id}"
        new = {"name": "n", "url": "http://127.0.0.1:9/x", "event_types": ["fine_tuning.job.succeeded"]}
        one = self.call("POST", hooks, body=new)["id"]
        self.call("POST", hooks, body={**new, "event_types": ["none"]}, status=400, sound=False)
        self.page(hooks)
        self.call("GET", hook, one)
        self.call("POST", hook, one, body={"name": "m"})
        self.call("POST", hook + "/rotate_secret", one, body={"keep_old_secret_active_for_24_hours": True})
        self.call("POST", hook + "/test", one, body={"event_type": "fine_tuning.job.failed"}, status=400)
        self.call("DELETE", hook, one)
        self.call("GET", hook, one, status=404)
        self.call("GET", "/v1/webhook_event_types")

    def walk_evals(self):
        evals, one, runs = "/v1/evals", "/v1/evals/{eval_id}", "/v1/evals/{eval_id}/runs"
        run, items = runs + "/{run_id}", runs + "/{run_id}/output_items"
        new = {"name": "n", "metadata": {"a": "b"}, "testing_criteria": [EXACT, {**CLOSE, "pass_threshold": 0.1}],
               "data_source_config": {"type": "custom", "include_sample_schema": True, "item_schema": {"type": "object"}}}
        rows_ = [{"item": {"answer": a}, "sample": {"output_text": "a"}} for a in "ab"]
        given = {"type": "jsonl", "source": {"type": "file_content", "content": rows_}}
        asked = {"type": "completions", "model": "tiny", "source": given["source"],
                 "input_messages": {"type": "template", "template": [{"role": "user", "content": "{{item.answer}}"}]},
                 "sampling_params": {"max_completion_tokens": 4}}
        self.page(evals)  # a job's
        made = self.call("POST", evals, body=new, status=201)["id"]
        self.call("POST", evals, body={**new, "data_source_config": {"type": "logs"}}, status=201)
        self.call("POST", evals, body={**new, "testing_criteria": []}, status=400, sound=False)
        self.page(evals, query="?order_by=updated_at", least=2)
        self.call("GET", one, made)
        self.call("POST", one, made, body={"name": "m", "metadata": None})
        first = self.call("POST", runs, made, body={"data_source": given, "name": "r", "metadata": {"c": "d"}}, status=201)["id"]
        other = self.call("POST", runs, made, body={"data_source": asked}, status=201)["id"]
        self.call("POST", runs, made, body={}, status=400, sound=False)
        for each in (first, other):
            ended = self.wait(lambda: (r := self.call("GET", run, made, each))["status"] not in ("queued", "in_progress") and r)
            self.assertEqual(ended["status"], "completed", ended)
            item = self.page(items, made, each, least=2)[0]["id"]
            self.call("GET", items + "/{output_item_id}", made, each, item)
            self.call("GET", items + "/{output_item_id}", made, each, "outputitem_none", status=404)
            self.call("POST", run + "/cancel", made, each, status=400)
        self.page(runs, made, least=2)
        for path in (run, run + "/cancel"):
            late = self.call("POST", runs, made, body={"data_source": {**asked, "source": {"type": "file_content", "content": [
                rows_[0]] * 200}}}, status=201)["id"]
            self.call("POST", path, made, late)
        self.call("DELETE", run, made, first)
        for method, path in (("GET", run), ("DELETE", run), ("GET", items), ("POST", run + "/cancel")):
            self.call(method, path, made, first, status=404)
        self.call("DELETE", one, made)
        self.call("GET", one, made, status=404)

    def walk_organization(self):
        org = "/v1/organization"
        projects, project, keys = org + "/projects", org + "/projects/{project_id}", org + "/projects/{project_id}/api_keys"
        made = self.call("POST", projects, body={"name": "p", "quota_bytes": 1 << 30})["id"]
        self.call("POST", projects, body={}, status=400, sound=False)
        self.page(projects, query="?include_archived=true", least=2)
        self.call("GET", project, made)
        self.call("POST", project, made, body={"name": "q"})
        key = self.call("POST", keys, made, body={"name": "k", "scopes": ["use"], "requests_per_minute": 1,
                                                  "expires_in_seconds": 3600})
        self.page(keys, made)
        self.call("GET", "/v1/files", status=403, key=key["value"])
        self.call("GET", "/v1/models", key=key["value"])
        self.call("GET", "/v1/models", status=429, key=key["value"])
        self.call("GET", keys + "/{key_id}", made, key["id"])
        self.call("POST", keys + "/{key_id}", made, key["id"], body={"name": "l", "concurrent_requests": 3})
        self.call("DELETE", keys + "/{key_id}", made, key["id"])
        self.call("GET", keys + "/{key_id}", made, key["id"], status=404)
        self.call("POST", project + "/archive", made)
        self.call("GET", project, "proj_none", status=404)
        admin, one = org + "/admin_api_keys", org + "/admin_api_keys/{key_id}"
        root = self.call("POST", admin, body={"name": "r"})["id"]
        self.page(admin, least=2)
        self.call("GET", one, root)
        self.call("DELETE", one, root)
        self.call("GET", one, root, status=404)
        invites, invite = org + "/invites", org + "/invites/{invite_id}"
        code = self.call("POST", invites, body={"name": "Institute"})
        self.call("POST", invites + "/accept", body={"code": code["code"]}, key=False)
        self.call("POST", invites + "/accept", body={"code": "none"}, status=404, key=False)
        self.page(invites)
        self.call("GET", invite, code["id"])
        again = self.call("POST", invites, body={"name": "Other", "email": "a@b"})["id"]
        self.call("DELETE", invite, again)
        self.call("GET", invite, again, status=404)
        logs = org + "/audit_logs"
        self.call("GET", logs, query="?limit=2&event_types[]=project.created&effective_at[gte]=1")
        last = self.call("GET", logs)
        self.assertGreater(len(last["data"]), 5)
        self.call("GET", logs, query="?after=" + last["last_id"])
        self.call("GET", logs, query="?after=none", status=400)

    def walk_feedback(self):
        feedback, one = "/v1/feedback", "/v1/feedback/{feedback_id}"
        answer = self.call("POST", "/v1/chat/completions", body={**CHAT, "store": True})["id"]
        made = self.call("POST", feedback, body={"object_id": answer, "rating": "down", "correction": "TSC2",
                                                 "comment": "c", "metadata": {"a": "b"}})["id"]
        said = self.call("POST", "/v1/responses", body={"model": "tiny", "input": "hi", "max_output_tokens": 16})["id"]
        self.call("POST", feedback, body={"object_id": said, "rating": "up"})
        self.call("POST", feedback, body={"object_id": "chatcmpl-none", "rating": "up"}, status=404)
        self.call("POST", feedback, body={"object_id": answer, "rating": "well"}, status=400, sound=False)
        self.page(feedback, least=2)
        self.call("GET", one, made)
        for method in ("supervised", "dpo", "rft"):
            self.assertIn("TSC2", self.call("GET", feedback + "/export", query="?format=" + method))
        self.call("GET", feedback + "/export", query="?format=none", status=400)
        self.call("DELETE", one, made)
        self.call("GET", one, made, status=404)

    def walk_operations(self):
        for path in ("/healthz", "/readyz", "/metrics", "/"):
            self.call("GET", path, key=False)
        self.call("GET", "/v1/workers")
        self.call("GET", "/v1/machine")
        for name in ("app.js", "app.css", "icon.svg"):
            self.call("GET", "/web/{file}", name, key=False)
        self.call("GET", "/web/{file}", "none.js", key=False, status=404)
        self.call("GET", "/web/{folder}/{file}", "lib", "api.js", key=False)
        self.call("GET", "/web/{folder}/{file}", "..", "app.js", key=False, status=404)

    def test_answers_are_as_written(self):
        train = self.walk_files()
        self.walk_uploads()
        self.walk_checks(train)
        self.walk_models(self.walk_jobs(train))
        self.walk_graders()
        self.walk_chat()
        self.walk_responses()
        self.walk_completions()
        self.walk_webhooks()
        self.walk_evals()
        self.walk_organization()
        self.walk_feedback()
        self.walk_operations()
        # what cannot succeed here: no encoder, no moderation model, nobody who listens
        left = {("POST", "/v1/embeddings"), ("POST", "/v1/moderations"), ("POST", "/v1/webhook_endpoints/{endpoint_id}/test")}
        every = {(method, path) for method, path, _ in operations(self.doc)}
        self.assertEqual(every - self.reached, left, "the walk of this test calls all that is served")

    def test_what_no_operation_answers(self):
        for method, path, status in (("GET", "/v1/none", 404), ("PATCH", "/v1/files", 405), ("GET", "/v1/embeddings", 405)):
            got, told, data = self.server.raw(method, path)
            self.assertEqual(got, status)
            self.check({"$ref": "#/components/schemas/Error"}, json.loads(data), path)
            if status == 405:
                self.assertTrue(told["allow"])


if __name__ == "__main__":
    unittest.main()
