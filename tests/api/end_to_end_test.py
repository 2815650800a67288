"""
From a file to a model that answers, by the official client: each of its forms (sync, async, raw, streamed), the shape
that the cookbook's scripts have, and a real model where one is there. What single calls refuse is tested elsewhere.

Strict clients (_strict_response_validation=True) are used for everything here but: a paused job, jobs with a grader
of the type multi, and files of the purpose "evals", which the client's own types do not know.
"""
import asyncio
import csv
import io
import json
import os
import time
import unittest
import urllib.request

from server import CLOSE, EXACT, ROOT, ApiTest, jsonl, openai, rows

REAL = os.path.join(ROOT, "models", "SmolLM2-135M-Instruct.Q4_1.gguf")
OVER = ("succeeded", "failed", "cancelled")
MULTI = {"type": "multi", "name": "both", "graders": {"exact": EXACT, "close": CLOSE},
         "calculate_output": "0.5 * exact + 0.5 * close"}


def method(grader=None, **more):
    return {"type": "reinforcement", "reinforcement": {
        "grader": grader or CLOSE, "hyperparameters": {"n_epochs": 1, "batch_size": 2, "eval_interval": 1,
                                                       "eval_samples": 1, **more}}}


def hone(steps, **more):
    return {"hone": {"max_steps": steps, "group_size": 4, "max_tokens": 8, "checkpoint_interval": 1, "lora_rank": 4,
                     **more}}


def ask(text):
    return [{"role": "user", "content": text}]


def fetched(url, key):
    """As requests.get(url, headers=...) in scripts."""
    request = urllib.request.Request(url, headers={"Authorization": "Bearer " + key})
    with urllib.request.urlopen(request, timeout=60) as reply:
        return reply.read()


class EndToEnd(ApiTest):
    workers = 1

    def until(self, job, what, seconds=120):
        """The job once what(job) holds."""
        end = time.monotonic() + seconds
        while True:
            state = self.client.fine_tuning.jobs.retrieve(job)
            if what(state):
                return state
            self.assertNotIn(state.status, OVER, state.error)
            self.assertLess(time.monotonic(), end, state.status)
            time.sleep(0.05)

    def end(self, job):
        """So that it holds up nobody's, whatever became of its test."""
        if self.client.fine_tuning.jobs.retrieve(job).status not in OVER:
            self.client.fine_tuning.jobs.cancel(job)

    def done(self, job, seconds=120):
        state = self.until(job, lambda s: s.status in OVER, seconds)
        self.assertEqual(state.status, "succeeded", state.error)
        return state

    def speaks(self, model, client=None):
        """model answers by chat and by responses, whole and streamed: the same each way."""
        client = client or self.client
        chat = {"model": model, "messages": ask("1a"), "max_completion_tokens": 8, "seed": 3}
        whole = client.chat.completions.create(**chat)
        self.assertEqual(whole.model, model)
        text = whole.choices[0].message.content
        chunks = list(client.chat.completions.create(**chat, stream=True, stream_options={"include_usage": True}))
        self.assertEqual("".join(c.choices[0].delta.content or "" for c in chunks if c.choices), text)
        self.assertEqual(chunks[0].choices[0].delta.role, "assistant")
        self.assertEqual(chunks[-1].usage.completion_tokens, whole.usage.completion_tokens)
        self.assertEqual({(c.id, c.created) for c in chunks}, {(chunks[0].id, chunks[0].created)})
        with client.chat.completions.stream(**chat) as stream:
            kinds = [event.type for event in stream]
            self.assertEqual(stream.current_completion_snapshot.choices[0].message.content, text)
            if whole.choices[0].finish_reason == "stop":  # the helper raises where an answer was cut
                self.assertEqual(stream.get_final_completion().choices[0].message.content, text)
        self.assertIn("content.delta", kinds)
        ask_ = {"model": model, "input": "1a", "max_output_tokens": 16, "extra_body": {"seed": 3}}
        response = client.responses.create(**ask_)
        self.assertIn(response.status, ("completed", "incomplete"))
        events = list(client.responses.create(**ask_, stream=True))
        self.assertEqual([e.sequence_number for e in events], list(range(len(events))))
        self.assertEqual((events[0].type, events[-1].type),
                         ("response.created", "response." + response.status))
        self.assertEqual(events[-1].response.output_text, response.output_text)
        self.assertEqual("".join(e.delta for e in events if e.type == "response.output_text.delta"),
                         response.output_text)
        with client.responses.stream(**ask_) as stream:
            for _ in stream:
                pass
            if response.status == "completed":
                self.assertEqual(stream.get_final_response().output_text, response.output_text)
        return text

    def pages(self, list_of, ids):
        """The same ids by pages of 1, 2 and 3, and page by page."""
        for limit in (1, 2, 3):
            self.assertEqual([x.id for x in list_of(limit=limit)], ids)
        page, seen = list_of(limit=2), []
        while True:
            seen += [x.id for x in page.data]
            self.assertEqual(page.has_more, page.has_next_page())
            if not page.has_more:
                break
            self.assertEqual(len(page.data), 2)
            page = page.get_next_page()
        self.assertEqual(seen, ids)

    def result(self, job):
        """The rows of its result file."""
        file = self.client.files.retrieve(job.result_files[0])
        self.assertEqual(file.purpose, "fine-tune-results")
        text = self.client.files.content(file.id).text
        self.assertEqual(text, fetched(self.server.url + "/files/%s/content" % file.id, self.server.key).decode())
        return list(csv.DictReader(io.StringIO(text)))

    def test_a_job_from_its_files_to_its_model(self):
        c = self.server.client(_strict_response_validation=True)
        jobs = c.fine_tuning.jobs
        train = c.files.create(file=("train.jsonl", jsonl(rows(8))), purpose="fine-tune")
        valid = c.files.create(file=("valid.jsonl", jsonl(rows(3))), purpose="fine-tune")
        c.fine_tuning.alpha.graders.validate(grader=CLOSE)
        graded = c.fine_tuning.alpha.graders.run(grader=CLOSE, item=rows()[0], model_sample="a")
        self.assertTrue(0 < graded.reward < 1)
        job = jobs.create(model="tiny", training_file=train.id, validation_file=valid.id, suffix="e2e", seed=1,
                          method=method(eval_interval=10), metadata={"k": "v"},
                          extra_body=hone(2000, checkpoint_interval=1000, group_size=16, max_tokens=32))
        self.addCleanup(self.end, job.id)
        self.until(job.id, lambda s: s.status == "running" and len(jobs.checkpoints.list(job.id).data) > 1)

        # while it trains
        point = jobs.checkpoints.list(job.id).data[-1]
        self.assertRegex(point.fine_tuned_model_checkpoint, r"^ft:tiny:[^:]*:e2e:\w{8}:ckpt-step-%d$" % point.step_number)
        self.assertEqual(jobs.retrieve(job.id).status, "running")
        newest = jobs.checkpoints.list(job.id).data[0].fine_tuned_model_checkpoint
        self.speaks(newest, c)
        self.assertEqual(jobs.retrieve(job.id).status, "running")

        paused = self.client.fine_tuning.jobs.pause(job.id)
        self.assertIn(paused.status, ("pausing", "paused"))
        self.until(job.id, lambda s: s.status == "paused")
        events = [e.id for e in jobs.list_events(job.id, limit=100)]
        self.pages(lambda **k: jobs.list_events(job.id, **k), events)
        points = list(jobs.checkpoints.list(job.id))
        self.pages(lambda **k: jobs.checkpoints.list(job.id, **k), [p.id for p in points])
        steps = [p.step_number for p in points]
        self.assertEqual(steps, sorted(steps, reverse=True))
        self.speaks(points[0].fine_tuned_model_checkpoint, c)
        resumed = jobs.resume(job.id)
        self.assertEqual(resumed.status, "queued")
        self.until(job.id, lambda s: s.status == "running" and any(
            e.type == "metrics" and e.data["step"] > steps[0] for e in jobs.list_events(job.id, limit=10)))
        self.assertEqual(jobs.cancel(job.id).status, "cancelled")
        self.assertEqual([e.id for e in jobs.list_events(job.id, limit=100)][-len(events):], events)

    def test_what_a_finished_job_leaves(self):
        c = self.client
        job = c.fine_tuning.jobs.create(
            model="tiny", training_file=self.upload(rows(8)).id, validation_file=self.upload(rows(3)).id, seed=1,
            suffix="done", method=method(MULTI), extra_body=hone(4))
        job = self.done(job.id)
        self.assertEqual(list(job.method.reinforcement.to_dict()["grader"]["graders"]), ["exact", "close"])
        told = list(c.fine_tuning.jobs.list_events(job.id))[::-1]
        metrics = [e for e in told if e.type == "metrics"]
        self.assertEqual([e.data["step"] for e in metrics], [1, 2, 3, 4])
        for e in metrics:
            data = e.data
            self.assertRegex(e.message, r"^Step %d/4 , train mean reward=-?\d+\.\d\d" % data["step"])
            self.assertEqual(data["scores"]["train_reward_mean"], data["train_mean_reward"])
            self.assertEqual({g["name"] for g in data["scores"]["graders"]}, {"exact", "close"})
            self.assertLessEqual({"sampling", "training", "full_iteration"}, set(data["timing"]["step"]))
            self.assertLessEqual({"usage", "errors", "timing", "completion_tokens_mean", "reasoning_tokens_mean",
                                  "mean_unresponsive_rewards"}, set(data))
        self.assertEqual(told[0].message, "Created fine-tuning job: " + job.id)
        self.assertEqual(told[-1].message, "The job has successfully completed")
        self.assertTrue(any(e.message == "New fine-tuned model created: " + job.fine_tuned_model for e in told))
        lines = self.result(job)
        self.assertEqual([line["step"] for line in lines], ["1", "2", "3", "4"])
        self.assertLessEqual({"train_mean_reward", "full_valid_mean_reward", "completion_tokens_mean"}, set(lines[0]))
        for e, line in zip(metrics, lines):
            self.assertAlmostEqual(float(line["train_mean_reward"]), e.data["train_mean_reward"], 4)
        points = list(c.fine_tuning.jobs.checkpoints.list(job.id))
        self.assertLessEqual(len(points), 4)
        self.assertEqual(points[0].fine_tuned_model_checkpoint, job.fine_tuned_model)
        self.assertEqual(self.speaks(job.fine_tuned_model), self.speaks(job.fine_tuned_model))
        for point in points:
            c.models.retrieve(point.fine_tuned_model_checkpoint)
        self.assertTrue(c.models.delete(job.fine_tuned_model).deleted)
        for call in (lambda: c.models.retrieve(job.fine_tuned_model),
                     lambda: c.chat.completions.create(model=job.fine_tuned_model, messages=ask("1a"))):
            self.refused(openai.NotFoundError, call, "model_not_found")

    def fitted(self, kind, data, valid, **more):
        job = self.client.fine_tuning.jobs.create(
            model="tiny", training_file=self.upload(data).id, validation_file=self.upload(valid).id, seed=1,
            method={"type": kind, kind: {"hyperparameters": {"n_epochs": 2, "batch_size": 5, **more}}})
        return self.done(job.id)

    def losses(self, job, least):
        """Metrics events of a job that is not graded, checked against its result file."""
        events = [e for e in self.client.fine_tuning.jobs.list_events(job.id) if e.type == "metrics"][::-1]
        self.assertEqual([e.data["step"] for e in events], list(range(1, len(events) + 1)))
        for e in events:
            self.assertRegex(e.message, r"^Step %d/%d: training loss=\d+\.\d\d" % (e.data["step"], len(events)))
            self.assertLessEqual(least, set(e.data))
        self.assertIn("full_valid_loss", events[-1].data)
        self.assertIn("full validation loss=", events[-1].message)
        lines = self.result(job)
        self.assertEqual(len(lines), len(events))
        self.assertLessEqual({"step", "train_loss"}, set(lines[0]))
        for e, line in zip(events, lines):
            self.assertAlmostEqual(float(line["train_loss"]), e.data["train_loss"], 4)
        self.assertLess(events[-1].data["train_loss"], events[0].data["train_loss"])
        self.speaks(job.fine_tuned_model)
        return events

    def test_supervised(self):
        data = [{"messages": ask("%dx" % i) + [{"role": "assistant", "content": "abc"}]} for i in range(10)]
        job = self.fitted("supervised", data, data[:3], learning_rate_multiplier=2)
        events = self.losses(job, {"step", "total_steps", "train_loss", "train_mean_token_accuracy"})
        self.assertEqual(len(events), 4)
        self.assertEqual((job.hyperparameters.n_epochs, job.hyperparameters.batch_size), (2, 5))
        points = self.client.fine_tuning.jobs.checkpoints.list(job.id).data
        self.assertEqual([p.step_number for p in points], [4, 2])  # the end of each epoch
        self.assertEqual(points[0].fine_tuned_model_checkpoint, job.fine_tuned_model)
        self.assertIsNotNone(points[0].metrics.full_valid_loss)
        self.server.client(_strict_response_validation=True).fine_tuning.jobs.retrieve(job.id)

    def test_dpo(self):
        data = [{"input": {"messages": ask("%dx" % i), "tools": [], "parallel_tool_calls": True},
                 "preferred_output": [{"role": "assistant", "content": "abc"}],
                 "non_preferred_output": [{"role": "assistant", "content": "xyz"}]} for i in range(10)]
        job = self.fitted("dpo", data, data[:3], beta=0.1, learning_rate_multiplier=2)
        events = self.losses(job, {"step", "total_steps", "train_loss"})
        self.assertAlmostEqual(events[0].data["train_loss"], 0.693147, 3)

    def test_a_form_in_either_shape(self):
        """What the client's types have, and what other programs send: trained alike, and then asked for alike."""
        schema = {"type": "object", "properties": {"a": {"enum": ["x", "y", "z"]}}, "required": ["a"],
                  "additionalProperties": False}
        inner = {"name": "n", "strict": True, "schema": schema}
        grader = {"type": "string_check", "name": "g", "input": "{{sample.output_json.a}}", "reference": "x",
                  "operation": "eq"}
        told = []
        for form in ({"type": "json_schema", "json_schema": inner}, {"type": "json_schema", **inner}):
            way = method(grader)
            way["reinforcement"]["response_format"] = form
            job = self.client.fine_tuning.jobs.create(model="tiny", training_file=self.upload(rows(4)).id, seed=1,
                                                      method=way, extra_body=hone(2, max_tokens=64))
            job = self.done(job.id)
            events = list(self.client.fine_tuning.jobs.list_events(job.id))
            told.append([(e.data["train_mean_reward"], e.data["completion_tokens_mean"]) for e in events
                         if e.type == "metrics"])
            answer = self.client.chat.completions.create(model=job.fine_tuned_model, messages=ask("1a"), seed=1,
                                                         response_format=form, max_tokens=64)
            self.assertIn(json.loads(answer.choices[0].message.content)["a"], "xyz")
        self.assertEqual(len(told[0]), 2)
        self.assertEqual(told[0], told[1])

    def test_the_cookbook_s_shape(self):
        """As the notebooks of the service have it; the base address alone is another."""
        client = openai.OpenAI(base_url=self.server.url, api_key=self.server.key)

        def upload(lines, name):
            path = os.path.join(self.server.folder, name)
            with open(path, "wb") as f:
                f.write(jsonl(lines))
            with open(path, "rb") as f:
                return client.files.create(file=f, purpose="fine-tune").id

        grader = {"type": "multi", "graders": {
            "exact": {"type": "string_check", "name": "exact", "input": "{{ sample.output_text }}",
                      "reference": "{{ item.answer }}", "operation": "eq"},
            "length": {"type": "python", "name": "length", "image_tag": "2025-05-08", "source":
                       "def grade(sample, item) -> float:\n    return min(1.0, len(sample['output_text']) / 20)\n"}},
            "calculate_output": "0.5 * exact + 0.5 * length"}
        check = fetch_json(self.server, "/fine_tuning/alpha/graders/validate", {"grader": grader})
        self.assertEqual(check["grader"], grader)
        run = fetch_json(self.server, "/fine_tuning/alpha/graders/run",
                         {"grader": grader, "item": {"answer": "a"}, "model_sample": "a"})
        self.assertAlmostEqual(run["reward"], 0.525)
        job = client.fine_tuning.jobs.create(
            training_file=upload(rows(4), "train.jsonl"), validation_file=upload(rows(2), "valid.jsonl"),
            model="tiny", seed=42, suffix="cookbook",
            method={"type": "reinforcement", "reinforcement": {
                "grader": grader, "response_format": None,
                "hyperparameters": {"n_epochs": 1, "batch_size": 2, "eval_interval": 1, "eval_samples": 1,
                                    "compute_multiplier": 1.0, "reasoning_effort": "medium"}}},
            extra_body={"hone": {"max_tokens": 8, "group_size": 4}})
        polls = 0
        while job.status not in {"succeeded", "failed", "cancelled"}:
            time.sleep(0.2)
            job = client.fine_tuning.jobs.retrieve(job.id)
            events = client.fine_tuning.jobs.list_events(fine_tuning_job_id=job.id, limit=10).data
            polls += 1
            self.assertLess(polls, 600)
        self.assertEqual(job.status, "succeeded", job.error)
        self.assertTrue(events)
        job.hyperparameters.n_epochs  # scripts read it whatever the method
        rewards = [e.data["train_mean_reward"] for e in client.fine_tuning.jobs.list_events(job.id)
                   if e.type == "metrics"]
        self.assertEqual(len(rewards), 2)
        body = fetched("%s/files/%s/content" % (self.server.url, job.result_files[0]), self.server.key).decode()
        self.assertEqual(len(body.strip().splitlines()), 3)
        best = max(client.fine_tuning.jobs.checkpoints.list(job.id),
                   key=lambda p: p.metrics.full_valid_mean_reward)
        for model in (job.fine_tuned_model, best.fine_tuned_model_checkpoint):
            reply = client.responses.create(model=model, input=[{"role": "user", "content": "1a"}],
                                            reasoning={"effort": "medium"}, max_output_tokens=16)
            self.assertIsInstance(reply.output_text, str)
            self.assertEqual([seg.text for item in reply.output if item.type == "reasoning" for seg in item.summary
                              if not seg.text], [])
            self.assertGreaterEqual(reply.usage.output_tokens_details.reasoning_tokens, 0)

    def test_the_async_client(self):
        async def all_of_it():
            async with openai.AsyncOpenAI(base_url=self.server.url, api_key=self.server.key, max_retries=0,
                                          _strict_response_validation=True) as c:
                files = await asyncio.gather(*[c.files.create(file=("t.jsonl", jsonl(rows(n))), purpose="fine-tune")
                                               for n in (4, 2)])
                job = await c.fine_tuning.jobs.create(model="tiny", training_file=files[0].id, seed=1,
                                                      validation_file=files[1].id, method=method(),
                                                      extra_body=hone(2))
                while job.status not in OVER:
                    await asyncio.sleep(0.1)
                    job = await c.fine_tuning.jobs.retrieve(job.id)
                self.assertEqual(job.status, "succeeded", job.error)
                events = [e async for e in c.fine_tuning.jobs.list_events(job.id, limit=1)]
                self.assertGreater(len(events), 5)
                points = [p async for p in c.fine_tuning.jobs.checkpoints.list(job.id, limit=1)]
                self.assertEqual(points[0].fine_tuned_model_checkpoint, job.fine_tuned_model)
                chat = {"model": job.fine_tuned_model, "messages": ask("1a"), "max_completion_tokens": 8, "seed": 3}
                whole = await c.chat.completions.create(**chat)
                stream = await c.chat.completions.create(**chat, stream=True)
                parts = [chunk.choices[0].delta.content or "" async for chunk in stream]
                self.assertEqual("".join(parts), whole.choices[0].message.content)
                async with c.chat.completions.stream(**chat) as helper:
                    async for _ in helper:
                        pass
                    final = helper.current_completion_snapshot
                self.assertEqual(final.choices[0].message.content, whole.choices[0].message.content)
                ask_ = {"model": job.fine_tuned_model, "input": "1a", "max_output_tokens": 16,
                        "extra_body": {"seed": 3}}
                response = await c.responses.create(**ask_)
                async with c.responses.stream(**ask_) as helper:
                    types = [event.type async for event in helper]
                self.assertEqual((types[0], types[-1]), ("response.created", "response." + response.status))
                content = await c.files.content(job.result_files[0])
                self.assertTrue(content.text.startswith("step,"))
                self.assertTrue((await c.models.delete(job.fine_tuned_model)).deleted)
        asyncio.run(all_of_it())

    def test_raw_and_streaming_responses(self):
        c = self.client
        raw = c.files.with_raw_response.create(file=("t.jsonl", jsonl(rows())), purpose="fine-tune")
        self.assertEqual((raw.status_code, raw.parse().filename), (200, "t.jsonl"))
        file = raw.parse()
        for raw in (c.models.with_raw_response.list(), c.files.with_raw_response.retrieve(file.id),
                    c.fine_tuning.jobs.with_raw_response.list(),
                    c.chat.completions.with_raw_response.create(model="tiny", messages=ask("a"), max_tokens=2)):
            self.assertTrue(raw.headers["x-request-id"].startswith("req_"))
            self.assertEqual(raw.headers["content-type"].split(";")[0], "application/json")
            self.assertEqual(raw.headers["openai-version"], "2020-10-01")
            self.assertGreaterEqual(int(raw.headers["openai-processing-ms"]), 0)
            self.assertIsNotNone(raw.parse())
            self.assertEqual(raw.parse()._request_id if hasattr(raw.parse(), "_request_id") else raw.request_id,
                             raw.request_id)
        with c.files.with_streaming_response.content(file.id) as reply:
            self.assertEqual(b"".join(reply.iter_bytes(chunk_size=7)), jsonl(rows()))
        with c.chat.completions.with_streaming_response.create(
                model="tiny", messages=ask("a"), max_tokens=4, stream=True) as reply:
            lines = [line for line in reply.iter_lines() if line]
            self.assertEqual(reply.headers["content-type"].split(";")[0], "text/event-stream")
        self.assertEqual((lines[0][:6], lines[-1]), ("data: ", "data: [DONE]"))
        with c.responses.with_streaming_response.create(model="tiny", input="a", max_output_tokens=16) as reply:
            self.assertEqual(reply.parse().object, "response")
        raw = c.chat.completions.with_raw_response.create(model="tiny", messages=ask("a"), max_tokens=4, stream=True)
        self.assertGreater(len(list(raw.parse())), 1)


def fetch_json(server, path, body):
    status, _, reply = server.raw("POST", "/v1" + path, body, {"Content-Type": "application/json"})
    if status != 200:
        raise AssertionError(reply)
    return json.loads(reply)


@unittest.skipUnless(os.path.exists(REAL), "models/SmolLM2-135M-Instruct.Q4_1.gguf is not there")
class RealModel(EndToEnd):
    """One very small job on a model that says something."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        os.symlink(REAL, os.path.join(cls.server.home, "models", "smol.gguf"))

    def test_two_steps(self):
        data = [{"messages": ask("Answer with one word: the capital of %s?" % land), "answer": town}
                for land, town in (("France", "Paris"), ("Italy", "Rome"), ("Spain", "Madrid"), ("Japan", "Tokyo"))]
        job = self.client.fine_tuning.jobs.create(
            model="smol", training_file=self.upload(data[:3]).id, validation_file=self.upload(data[3:]).id,
            suffix="towns", seed=1, method=method({**EXACT, "operation": "ilike"}), extra_body={
                "hone": {"max_steps": 2, "group_size": 4, "max_tokens": 8, "lora_rank": 4}})
        self.done(job.id, 300)
        text = self.client.chat.completions.create(
            model=self.client.fine_tuning.jobs.retrieve(job.id).fine_tuned_model, temperature=0,
            messages=data[0]["messages"], max_tokens=8).choices[0].message.content
        self.assertIn("Paris", text)


for name in [n for n in dir(EndToEnd) if n.startswith("test_")]:
    setattr(RealModel, name, None)  # they are of the tiny model


if __name__ == "__main__":
    unittest.main()
