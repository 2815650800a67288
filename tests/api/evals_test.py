"""Evals, their runs and output items by the official client; runs that are cancelled, and finished by a server that was killed."""
import contextlib
import http.server
import json
import os
import signal
import sqlite3
import threading
import time
import unittest

import openai
from postgres import Postgres
from server import ApiTest, CLOSE, EXACT, Server, rows
from webhooks_test import receive

SCHEMA = {"type": "object", "properties": {"q": {"type": "string"}, "answer": {"type": "string"}},
          "required": ["q", "answer"]}
CUSTOM = {"type": "custom", "item_schema": SCHEMA, "include_sample_schema": True}
SLOW = {"type": "python", "name": "slow",
        "source": "import time\ndef grade(sample, item):\n    time.sleep(0.3)\n    return len(sample['output_text']) % 2\n"}
LENGTH = {"type": "python", "name": "length", "pass_threshold": 3,
          "source": "def grade(sample, item):\n    return len(sample['output_text'])\n"}
TEMPLATE = {"type": "template", "template": [{"role": "developer", "content": "Be short."},
                                             {"role": "user", "content": "{{item.q}}?"}]}


def lines(n, sample=False):
    made = []
    for i in range(n):
        line = {"item": {"q": "%d%s" % (i, "abc"[i % 3]), "answer": "abc"[i % 3]}}
        if sample:
            line["sample"] = {"output_text": "ab"[i % 2]}
        made.append(line)
    return made


def content(rows_):
    return {"type": "file_content", "content": rows_}


def reports_itself(test, run):
    """At an address that can be followed, where none was given by --public-url."""
    test.assertEqual(run.report_url, "%s/evals/%s/runs/%s" % (test.server.url, run.eval_id, run.id))
    status, _, data = test.server.raw("GET", run.report_url.removeprefix(test.server.url.removesuffix("/v1")))
    test.assertEqual((status, json.loads(data)["id"]), (200, run.id))


class Evals(ApiTest):
    options = ("--allow-private-webhooks",)

    def make(self, *criteria, **more):
        return self.client.evals.create(**{"name": "mine", "data_source_config": CUSTOM,
                                           "testing_criteria": list(criteria) or [EXACT], **more})

    def run_(self, eval_, source, **more):
        return self.client.evals.runs.create(eval_.id, **{"data_source": source, **more})

    def asked(self, n, **params):
        return {"type": "completions", "model": "tiny", "source": content(lines(n)), "input_messages": TEMPLATE,
                "sampling_params": {"max_completion_tokens": 12, "seed": 5, **params}}

    def ended(self, eval_, run, seconds=90):
        return self.wait(lambda: (r := self.client.evals.runs.retrieve(run.id, eval_id=eval_.id)).status not in
                         ("queued", "in_progress") and r, seconds)

    def items(self, eval_, run, **more):
        return list(self.client.evals.runs.output_items.list(run.id, eval_id=eval_.id, limit=7, **more))

    def plain(self, items):
        """What does not belong to this run alone; what was cached depends on what else was asked."""
        made = []
        for item in items:
            d = item.to_dict()
            for key in ("id", "run_id", "eval_id", "created_at"):
                d.pop(key)
            d["sample"]["usage"].pop("cached_tokens")
            for r in d["results"]:
                r.pop("id")
            made.append(d)
        return made

    def kill(self, signal_=signal.SIGKILL):
        self.server.process.send_signal(signal_)
        self.server.process.wait()
        self.server.process.stdout.close()
        self.server.log.close()
        self.server.start()
        type(self).client = self.server.client()

    def left_below(self, id_):
        """Documents of which nobody is told any more."""
        with contextlib.closing(sqlite3.connect(os.path.join(self.server.home, "hone.db"))) as db:
            return db.execute("SELECT kind, id FROM documents WHERE parent = ?", (id_,)).fetchall()

    # ---- evals ----

    def test_an_eval_lives(self):
        raw = self.client.evals.with_raw_response.create(
            name="first", metadata={"a": "b"}, data_source_config=CUSTOM,
            testing_criteria=[EXACT, {**CLOSE, "pass_threshold": 0.5}, LENGTH])
        self.assertEqual(raw.status_code, 201)
        made = raw.parse()
        self.assertEqual((made.object, made.name, made.metadata), ("eval", "first", {"a": "b"}))
        self.assertTrue(made.id.startswith("eval_"))
        self.assertEqual(made.data_source_config.type, "custom")
        self.assertEqual(made.data_source_config.schema_["properties"]["item"], SCHEMA)
        self.assertIn("sample", made.data_source_config.schema_["properties"])
        ids = [c.id for c in made.testing_criteria]
        self.assertEqual(len(set(ids)), 3)
        self.assertRegex(ids[0], r"^exact-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
        strict = self.server.client(_strict_response_validation=True)
        self.assertEqual(strict.evals.retrieve(made.id).to_dict(), made.to_dict())
        self.assertEqual(strict.evals.list(limit=1).data[0].object, "eval")
        changed = self.client.evals.update(made.id, name="second", metadata={"c": "d"})
        self.assertEqual(changed.to_dict(), {**made.to_dict(), "name": "second", "metadata": {"c": "d"}})
        other = self.make()
        self.assertEqual([e.id for e in self.client.evals.list(order="desc", limit=2)][:2], [other.id, made.id])
        self.assertEqual(self.client.evals.list(after=made.id).data[0].id, other.id)
        time.sleep(1.1)
        self.client.evals.update(made.id, name="third")
        newest = self.client.evals.list(order="desc", order_by="updated_at", limit=1).data[0]
        self.assertEqual(newest.name, "third")
        gone = self.client.evals.delete(made.id)
        self.assertEqual(gone.to_dict(), {"object": "eval.deleted", "deleted": True, "eval_id": made.id})
        self.refused(openai.NotFoundError, lambda: self.client.evals.retrieve(made.id), param="eval_id")

    def test_configs_have_their_schemas(self):
        for kind in ("logs", "stored_completions"):
            made = self.make(data_source_config={"type": kind, "metadata": {"use": "x"}})
            self.assertEqual((made.data_source_config.type, made.data_source_config.metadata), (kind, {"use": "x"}))
            self.assertEqual(set(made.data_source_config.schema_["properties"]), {"item", "sample"})
        self.assertNotIn("sample", self.make(data_source_config={"type": "custom", "item_schema": {"type": "object"}})
                         .data_source_config.schema_["properties"])

    def test_what_is_wrong_is_named(self):
        def bad(param, match=None, **more):
            self.refused(openai.BadRequestError, lambda: self.make(**more), None, param, match)
        bad("testing_criteria", testing_criteria=[])
        bad("testing_criteria[0].pass_threshold", testing_criteria=[CLOSE])
        bad("testing_criteria[1].operation", testing_criteria=[EXACT, {**EXACT, "operation": "same"}])
        bad("testing_criteria[0].type", testing_criteria=[{"type": "multi", "name": "m", "graders": {}}])
        bad("testing_criteria[0].model", "none", testing_criteria=[
            {"type": "score_model", "name": "s", "model": "none", "input": [{"role": "user", "content": "?"}]}])
        bad("data_source_config.type", data_source_config={"type": "magic"})
        bad("data_source_config.item_schema", data_source_config={"type": "custom"})
        bad("data_source_config.item_schema", data_source_config={"type": "custom", "item_schema": {"type": "x"}})
        e = self.make()

        def bad_run(param, match=None, **source):
            self.refused(openai.BadRequestError, lambda: self.run_(e, {**self.asked(2), **source}), None, param, match)
        bad_run("data_source.type", type="magic")
        self.refused(openai.NotFoundError, lambda: self.run_(e, {**self.asked(2), "model": "none"}),
                     "model_not_found", "data_source.model")
        bad_run("data_source.model", model=None)
        bad_run("data_source.input_messages", input_messages=None)
        bad_run("data_source.input_messages.template[0]", input_messages={"type": "template", "template": [
            {"role": "user", "content": "{{sample.output_text}}"}]})
        bad_run("data_source.input_messages.template[0]", input_messages={"type": "template", "template": [
            {"role": "user", "content": "{{item.}}"}]})
        bad_run("data_source.sampling_params", "temprature", sampling_params={"temprature": 1})
        bad_run("data_source.source.id", source={"type": "file_id", "id": "file-none"})
        bad_run("data_source.source", "content\\[1\\].*answer", source=content([lines(1)[0], {"item": {"q": "x"}}]))
        bad_run("data_source.source", "item.q is a number", source=content([{"item": {"q": 1, "answer": "x"}}]))
        file = self.upload([{"item": {"q": "1", "answer": "a"}}, {"nothing": 1}])
        bad_run("data_source.source", "line 2", source={"type": "file_id", "id": file.id})
        self.refused(openai.NotFoundError, lambda: self.client.evals.runs.create("eval_none", data_source=self.asked(1)))
        self.refused(openai.NotFoundError, lambda: self.client.evals.runs.retrieve("evalrun_x", eval_id=e.id))

    # ---- runs ----

    def test_a_row_of_a_training_file_is_its_own_item(self):
        e = self.make(EXACT, data_source_config={"type": "custom", "item_schema": {"type": "object", "required": ["answer"]}, "include_sample_schema": True})
        file = self.upload([{"messages": [{"role": "user", "content": "1"}], "answer": "a"}, lines(1)[0]])
        run = self.run_(e, {**self.asked(1), "source": {"type": "file_id", "id": file.id},
                            "input_messages": {"type": "template", "template": [{"role": "user", "content": "{{item.answer}}"}]}})
        self.assertEqual(self.ended(e, run).status, "completed")
        items = [i.datasource_item for i in self.items(e, run)]
        self.assertCountEqual(items, [{"messages": [{"role": "user", "content": "1"}], "answer": "a"}, lines(1)[0]["item"]])
        file = self.upload([{"messages": [{"role": "user", "content": "1"}]}])  # held to the schema as others are
        self.refused(openai.BadRequestError, lambda: self.client.evals.runs.create(e.id, data_source={
            **self.asked(1), "source": {"type": "file_id", "id": file.id}}), None, "data_source.source", "line 1.*answer")

    def test_rows_that_bring_their_samples(self):
        e = self.make(EXACT, LENGTH)
        raw = self.client.evals.runs.with_raw_response.create(
            e.id, name="r", metadata={"k": "v"}, data_source={"type": "jsonl", "source": content(lines(6, True))})
        self.assertEqual(raw.status_code, 201)
        run = raw.parse()
        self.assertEqual((run.object, run.status, run.eval_id, run.name, run.metadata, run.error),
                         ("eval.run", "queued", e.id, "r", {"k": "v"}, None))
        reports_itself(self, run)
        run = self.ended(e, run)
        self.assertEqual(run.status, "completed")
        self.assertEqual(run.result_counts.to_dict(), {"total": 6, "passed": 0, "failed": 6, "errored": 0})
        exact, length = run.per_testing_criteria_results
        self.assertEqual((exact.testing_criteria, exact.passed, exact.failed), (e.testing_criteria[0].id, 2, 4))
        self.assertEqual((length.passed, length.failed), (0, 6))
        items = self.items(e, run)
        self.assertEqual([i.datasource_item_id for i in items], list(range(6)))
        first = items[0].to_dict()
        self.assertEqual(set(first), {"object", "id", "run_id", "eval_id", "created_at", "status",
                                      "datasource_item_id", "datasource_item", "results", "sample"})
        self.assertEqual(first["datasource_item"], lines(1)[0]["item"])
        self.assertEqual([(r["name"], r["type"], r["score"], r["passed"]) for r in first["results"]],
                         [("exact", "string_check", 1, True), ("length", "python", 1, False)])
        self.assertEqual(first["sample"]["output"], [{"role": "assistant", "content": "a"}])
        self.assertEqual(self.client.evals.runs.output_items.retrieve(
            items[0].id, eval_id=e.id, run_id=run.id).to_dict(), first)
        self.assertEqual(self.items(e, run, status="pass"), [])
        self.assertEqual(len(self.items(e, run, status="fail")), 6)

    def test_a_model_is_asked(self):
        e = self.make(LENGTH)
        run = self.ended(e, self.run_(e, self.asked(10)))
        self.assertEqual((run.status, run.model, run.result_counts.total), ("completed", "tiny", 10))
        self.assertEqual(run.result_counts.errored, 0)
        usage = run.per_model_usage[0]
        self.assertEqual((usage.to_dict()["model_name"], usage.invocation_count), ("tiny", 10))
        items = self.items(e, run)
        for item in items:
            s = item.sample
            self.assertEqual([(m.role, m.content) for m in s.input],
                             [("developer", "Be short."), ("user", item.datasource_item["q"] + "?")])
            self.assertEqual((s.model, s.max_completion_tokens, s.error), ("tiny", 12, None))
            self.assertEqual(s.usage.total_tokens, s.usage.prompt_tokens + s.usage.completion_tokens)
            waited = self.client.chat.completions.create(
                model="tiny", max_completion_tokens=12, seed=s.seed,
                messages=[{"role": m.role, "content": m.content} for m in s.input])
            self.assertEqual(s.output[0].content, waited.choices[0].message.content)
            self.assertEqual(s.finish_reason, waited.choices[0].finish_reason)
            self.assertEqual(item.results[0].score, len(s.output[0].content))
            self.assertEqual(item.status, "pass" if item.results[0].score >= 3 else "fail")
        self.assertEqual(usage.completion_tokens, sum(i.sample.usage.completion_tokens for i in items))
        again = self.ended(e, self.run_(e, self.asked(10)))
        self.assertEqual(self.plain(self.items(e, again)), self.plain(items))
        other = self.ended(e, self.run_(e, self.asked(10, seed=6)))
        self.assertNotEqual(self.plain(self.items(e, other)), self.plain(items))

    def test_responses_and_references(self):
        e = self.make(LENGTH, data_source_config={"type": "custom", "item_schema": {"type": "object"}})
        source = content([{"item": {"input": [{"role": "user", "content": [{"type": "input_text", "text": "abc"}]}]}},
                          {"item": {"input": "abc"}}])
        run = self.ended(e, self.run_(e, {
            "type": "responses", "model": "tiny", "source": source,
            "input_messages": {"type": "item_reference", "item_reference": "item.input"},
            "sampling_params": {"max_completion_tokens": 8, "text": {"format": {"type": "text"}}}}))
        self.assertEqual((run.status, run.result_counts.errored), ("completed", 0))
        self.assertEqual([i.sample.input[0].content for i in self.items(e, run)], ["abc", "abc"])

    def test_tools_are_offered_and_what_is_called_is_graded(self):
        named = {"type": "string_check", "name": "named", "operation": "eq", "reference": "look_up",
                 "input": "{{sample.output_tools[0].function.name}}"}
        called = {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
        e = self.make(named)
        rows = [{"item": r["item"], "sample": s} for r, s in zip(lines(4), [
            {"output_text": "", "output_tools": [called]}, {"choices": [{"message": {"content": None, "tool_calls": [called]}}]},
            {"output_tools": [{**called, "function": {**called["function"], "name": "other"}}]}, {"output_text": "look_up"}])]
        run = self.ended(e, self.run_(e, {"type": "jsonl", "source": content(rows)}))
        self.assertEqual([i.status for i in self.items(e, run)], ["pass", "pass", "fail", "fail"])
        # a model is offered them
        e, used = self.make(LENGTH), []
        for params in ({}, {"tools": [{"type": "function", "function": {"name": "f", "strict": True}}]}):
            run = self.ended(e, self.run_(e, self.asked(2, **params)))
            self.assertEqual((run.status, run.result_counts.errored), ("completed", 0))
            used.append(self.items(e, run)[0].sample.usage.prompt_tokens)
        self.assertGreater(used[1], used[0] + 20)
        flat = {"type": "responses", "model": "tiny", "source": content(lines(1)), "input_messages": TEMPLATE}
        run = self.ended(e, self.run_(e, {**flat, "sampling_params": {
            "max_completion_tokens": 8, "tools": [{"type": "function", "name": "f"}]}}))
        self.assertEqual((run.status, run.result_counts.errored), ("completed", 0))
        self.assertGreater(self.items(e, run)[0].sample.usage.prompt_tokens, used[0] + 20)
        # what is wrong is told before anything is asked
        for source, tool, param in ((self.asked(1), {"type": "function", "function": {"name": "a b"}}, "tools[0].function.name"),
                                    (self.asked(1), {"type": "web_search"}, "tools[0].type"),
                                    (flat, {"type": "function", "name": "a b"}, None)):
            self.refused(openai.BadRequestError,
                         lambda: self.run_(e, {**source, "sampling_params": {"tools": [tool]}}),
                         None, param and "data_source.sampling_params." + param)

    def test_a_row_that_fails_is_errored(self):
        broken = {"type": "python", "name": "broken", "source":
                  "def grade(sample, item):\n    return 1 / (item['q'] != '1b')\n"}
        e = self.make(broken)
        run = self.ended(e, self.run_(e, {"type": "jsonl", "source": content(lines(3, True))}))
        self.assertEqual((run.status, run.result_counts.errored, run.result_counts.passed), ("completed", 1, 2))
        bad = self.items(e, run)[1]
        self.assertEqual((bad.status, bad.results[0].passed), ("fail", False))
        self.assertEqual(bad.results[0].to_dict()["errors"], ["python_grader_runtime_error"])
        long_ = self.run_(e, {**self.asked(1), "source": content([{"item": {"q": "a" * 99999, "answer": "a"}}])})
        long_ = self.ended(e, long_)
        self.assertEqual((long_.status, long_.result_counts.errored), ("completed", 1))
        self.assertTrue(self.items(e, long_)[0].sample.error.message)

    def test_stored_answers(self):
        metadata = {"for": "eval"}
        for i in range(3):
            self.client.chat.completions.create(model="tiny", store=True, metadata=metadata, seed=i, max_tokens=6,
                                                messages=[{"role": "user", "content": "s%d" % i}])
        self.client.chat.completions.create(model="tiny", store=True, max_tokens=6,
                                            messages=[{"role": "user", "content": "other"}])
        e = self.make({**EXACT, "reference": "{{item.output}}"},
                      data_source_config={"type": "stored_completions", "metadata": metadata})
        source = {"type": "stored_completions", "metadata": metadata}
        run = self.ended(e, self.run_(e, {"type": "completions", "source": source}))
        self.assertEqual((run.status, run.result_counts.to_dict()),
                         ("completed", {"total": 3, "passed": 3, "failed": 0, "errored": 0}))
        run = self.ended(e, self.run_(e, {"type": "completions", "source": {**source, "limit": 2}, "model": "tiny",
                                          "sampling_params": {"max_completion_tokens": 6}}))
        self.assertEqual([i.sample.input[0].content for i in self.items(e, run)], ["s0", "s1"])
        response = self.client.responses.create(  # only completed ones are rows: long enough to meet a stop
            model="tiny", input="abc", max_output_tokens=200, metadata=metadata, instructions="say it",
            extra_body={"stop": ["a", "e", "i", "o"]})
        self.assertEqual(response.status, "completed")
        run = self.run_(e, {"type": "responses", "source": {"type": "responses", "metadata": metadata,
                                                           "instructions_search": "say"}})
        self.assertEqual(self.ended(e, run).result_counts.passed, 1)
        self.refused(openai.BadRequestError, lambda: self.run_(e, {
            "type": "responses", "source": {"type": "responses", "metadata": {"for": "nothing"}}}),
            param="data_source.source")

    def test_judges(self):
        label = {"type": "label_model", "name": "label", "model": "tiny", "labels": ["good", "bad"],
                 "passing_labels": ["good"], "input": [{"role": "user", "content": "{{item.q}}"}]}
        score = {"type": "score_model", "name": "score", "model": "tiny", "pass_threshold": 0.1,
                 "input": [{"role": "user", "content": "{{sample.output_text}}"}],
                 "sampling_params": {"max_completions_tokens": 200}}
        e = self.make(label, score)
        run = self.ended(e, self.run_(e, {"type": "jsonl", "source": content(lines(2, True))}), 120)
        self.assertEqual((run.status, run.result_counts.total), ("completed", 2))
        self.assertEqual([r.name for r in self.items(e, run)[0].results], ["label", "score"])

    def test_canceled_and_deleted(self):
        e = self.make(SLOW)
        for path in ("/cancel", ""):
            run = self.run_(e, {"type": "jsonl", "source": content(lines(400, True))})
            self.wait(lambda: self.client.evals.runs.retrieve(run.id, eval_id=e.id).status == "in_progress")
            now = self.client.post("/evals/%s/runs/%s%s" % (e.id, run.id, path), cast_to=object)
            self.assertEqual(now["status"], "canceled")
            time.sleep(1.5)
            n = len(self.items(e, run))
            self.assertLess(n, 400)
            time.sleep(1)
            self.assertEqual(len(self.items(e, run)), n)
        self.assertEqual(self.client.evals.runs.cancel(run.id, eval_id=e.id).status, "canceled")
        self.assertEqual([r.status for r in self.client.evals.runs.list(e.id, status="canceled")], ["canceled"] * 2)
        done = self.ended(e, self.run_(e, {"type": "jsonl", "source": content(lines(1, True))}))
        self.refused(openai.BadRequestError, lambda: self.client.evals.runs.cancel(done.id, eval_id=e.id))
        self.assertEqual([r.id for r in self.client.evals.runs.list(e.id, order="desc", limit=1).data], [done.id])
        gone = self.client.evals.runs.delete(done.id, eval_id=e.id)
        self.assertEqual(gone.to_dict(), {"object": "eval.run.deleted", "deleted": True, "run_id": done.id})
        self.refused(openai.NotFoundError, lambda: self.items(e, done))
        run = self.run_(e, {"type": "jsonl", "source": content(lines(400, True))})
        self.wait(lambda: self.items(e, run))
        self.client.evals.delete(e.id)
        self.refused(openai.NotFoundError, lambda: self.client.evals.runs.retrieve(run.id, eval_id=e.id))
        time.sleep(2)
        self.assertEqual(self.left_below(run.id), [])

    def test_an_end_is_told(self):
        receiver = receive(self)
        hook = self.client.post("/webhook_endpoints", cast_to=object, body={
            "name": "n", "url": "http://127.0.0.1:%d/" % receiver.server_port,
            "event_types": ["eval.run.succeeded", "eval.run.failed", "eval.run.canceled"]})
        e = self.make(SLOW)
        file = self.upload(lines(100, True))
        done = self.run_(e, {"type": "jsonl", "source": content(lines(2, True))})
        self.ended(e, done)
        long_ = self.run_(e, {"type": "jsonl", "source": {"type": "file_id", "id": file.id}})
        self.client.evals.runs.cancel(long_.id, eval_id=e.id)
        held = [self.run_(e, {"type": "jsonl", "source": content(lines(60, True))}) for _ in range(2)]
        lost = self.run_(e, {"type": "jsonl", "source": {"type": "file_id", "id": file.id}})
        self.client.files.delete(file.id)
        for run in held:
            self.client.evals.runs.cancel(run.id, eval_id=e.id)
        lost = self.ended(e, lost)
        self.assertEqual((lost.status, lost.error.code), ("failed", "file_not_found"))
        self.wait(lambda: len(receiver.got) == 5, 30)
        told = {(event.type, event.data.id) for event in (self.client.webhooks.unwrap(
            body, headers, secret=hook["signing_secret"]) for headers, body in receiver.got)}
        self.assertEqual(told, {("eval.run.succeeded", done.id), ("eval.run.failed", lost.id),
                                *(("eval.run.canceled", run.id) for run in [long_, *held])})
        self.client.delete("/webhook_endpoints/" + hook["id"], cast_to=object)

    def test_a_killed_server_s_run_is_finished(self):
        e = self.make(SLOW, LENGTH)
        unbroken = self.run_(e, self.asked(40))
        unbroken = self.ended(e, unbroken)
        run = self.run_(e, self.asked(40))
        for by in (signal.SIGKILL, signal.SIGTERM):
            seen = self.wait(lambda n=len(self.items(e, run)): len(got := self.items(e, run)) > n and got)
            self.kill(by)
            self.assertEqual([i.to_dict() for i in self.items(e, run)][:len(seen)], [i.to_dict() for i in seen])
            self.assertIn(self.client.evals.runs.retrieve(run.id, eval_id=e.id).status, ("queued", "in_progress"))
        run = self.ended(e, run)
        items = self.items(e, run)
        self.assertEqual(len({i.id for i in items}), 40)
        self.assertEqual(self.plain(items), self.plain(self.items(e, unbroken)))
        self.assertEqual((run.status, run.result_counts, [(c.passed, c.failed) for c in run.per_testing_criteria_results]),
                         ("completed", unbroken.result_counts,
                          [(c.passed, c.failed) for c in unbroken.per_testing_criteria_results]))


class Rewritten(ApiTest):
    """Rows that no request would have made: of a restored backup, say."""

    def test_a_criterion_sends_to_no_address(self):
        eval_ = self.client.evals.create(name="mine", data_source_config=CUSTOM, testing_criteria=[EXACT])
        asked = []

        class Receiver(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                asked.append(self.path)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args):
                pass

        with http.server.HTTPServer(("127.0.0.1", 0), Receiver) as receiver:
            threading.Thread(target=receiver.serve_forever, daemon=True).start()
            self.server.sql("UPDATE documents SET body = json_set(body, '$.testing_criteria[0]', json(?)) WHERE id = ?", json.dumps(
                {"type": "endpoint", "name": "e", "url": "http://127.0.0.1:%d/grade" % receiver.server_port}), eval_.id)
            run = self.client.evals.runs.create(eval_.id, data_source={"type": "jsonl", "source": content(lines(2, True))})
            run = self.wait(lambda: (r := self.client.evals.runs.retrieve(run.id, eval_id=eval_.id)).status not in
                            ("queued", "in_progress") and r, 60)
            receiver.shutdown()
        self.assertEqual((run.status, asked), ("failed", []))
        self.assertIn("--allow-request-addresses", run.error.message)


class OfJobs(ApiTest):
    workers = 1

    def test_validation_steps_are_runs(self):
        train, valid = self.upload(rows(6)), self.upload(rows(4), name="valid.jsonl")
        job = self.client.fine_tuning.jobs.create(
            model="tiny", training_file=train.id, validation_file=valid.id, seed=3,
            method={"type": "reinforcement", "reinforcement": {
                "grader": {**CLOSE, "pass_threshold": 0.1},
                "hyperparameters": {"batch_size": 2, "eval_interval": 2, "eval_samples": 2}}},
            extra_body={"hone": {"max_steps": 4, "group_size": 4, "max_tokens": 8, "lora_rank": 4}})
        job = self.wait(lambda: (j := self.client.fine_tuning.jobs.retrieve(job.id)).status in
                        ("succeeded", "failed") and j, 120)
        self.assertEqual(job.status, "succeeded", job.error)
        e = self.client.evals.retrieve(job.eval_id)
        self.assertEqual([c.name for c in e.testing_criteria], ["close"])
        runs = list(self.client.evals.runs.list(e.id))
        self.assertEqual([r.name.split()[3] for r in runs], ["0", "2", "4"])
        self.assertEqual({r.status for r in runs}, {"completed"})
        reports_itself(self, runs[1])
        self.assertEqual([r.id for r in self.client.evals.runs.list(e.id, limit=1, order="desc")],
                         [r.id for r in reversed(runs)])
        valid_means = {ev.data["step"]: ev.data["full_valid_mean_reward"]
                       for ev in self.client.fine_tuning.jobs.list_events(job.id, limit=100)
                       if ev.type == "metrics" and ev.data.get("full_valid_mean_reward") is not None}
        for run in runs:
            items = list(self.client.evals.runs.output_items.list(run.id, eval_id=e.id, limit=3))
            self.assertEqual((len(items), run.result_counts.total), (8, 8))
            self.assertEqual(len({i.id for i in items}), 8)
            self.assertEqual(sum(i.status == "pass" for i in items), run.result_counts.passed)
            for item in items:
                self.assertEqual(item.status == "pass", item.results[0].score >= 0.1)
                self.assertEqual(item.datasource_item["answer"], "abc"[item.datasource_item_id % 3])
            step = int(run.name.split()[3])
            if step in valid_means:
                self.assertAlmostEqual(sum(i.results[0].score for i in items) / 8, valid_means[step], places=5)
            again = self.client.evals.runs.output_items.retrieve(items[3].id, run_id=run.id, eval_id=e.id)
            self.assertEqual(again.to_dict(), items[3].to_dict())
            self.assertEqual(self.client.evals.runs.retrieve(run.id, eval_id=e.id).to_dict(), run.to_dict())
        self.assertIn(4, valid_means)
        self.refused(openai.BadRequestError, lambda: self.client.evals.runs.create(
            e.id, data_source={"type": "jsonl", "source": content([{"item": {}}])}), match=job.id)
        self.refused(openai.NotFoundError, lambda: self.client.evals.runs.retrieve("evalrun_x", eval_id=e.id))


class Shared(ApiTest):
    @classmethod
    def setUpClass(cls):
        pass

    @classmethod
    def tearDownClass(cls):
        pass

    def test_another_server_goes_on(self):
        with Postgres() as postgres:
            database = postgres.database()
            first = Server("--workers=0", "--database", database)
            self.addCleanup(first.close)
            second = Server("--workers=0", "--database", database, home=first.home, key=first.key)
            self.addCleanup(second.close)
            one, two = first.client(), second.client()
            e = one.evals.create(name="shared", data_source_config=CUSTOM, testing_criteria=[SLOW])
            runs = [one.evals.runs.create(e.id, data_source={"type": "jsonl", "source": content(lines(60, True))})
                    for _ in range(3)]
            self.wait(lambda: all(r.result_counts.passed + r.result_counts.failed > 0
                                  for r in two.evals.runs.list(e.id)))
            stream = one.responses.create(model="tiny", input="abc", background=True, stream=True,
                                          max_output_tokens=100)
            id_ = next(iter(stream)).response.id
            first.process.send_signal(signal.SIGKILL)
            first.process.wait()
            events = list(two.responses.retrieve(id_, stream=True))
            self.assertEqual([x.sequence_number for x in events], list(range(len(events))))
            self.assertEqual(two.responses.retrieve(id_).output_text,
                             "".join(x.delta for x in events if x.type == "response.output_text.delta"))
            for run in runs:
                self.wait(lambda: two.evals.runs.retrieve(run.id, eval_id=e.id).status == "completed", 90)
                items = list(two.evals.runs.output_items.list(run.id, eval_id=e.id, limit=50))
                self.assertEqual([i.datasource_item_id for i in items], list(range(60)))


if __name__ == "__main__":
    unittest.main()
