"""Fine-tuning jobs by the official client: checks, states, events, and one that a worker trains."""
import contextlib
import copy
import glob
import http.client
import json
import os
import sqlite3
import subprocess
import threading
import unittest

from server import CLOSE, EXACT, HONE, JobsTest, openai

RFT = {"type": "reinforcement", "reinforcement": {"grader": CLOSE, "hyperparameters": {"n_epochs": 1}}}


def rft(**more):
    method = copy.deepcopy(RFT)
    method["reinforcement"].update(more)
    return method


class FineTuningTest(JobsTest):
    def create(self, **more):
        return self.jobs.create(**{"model": "tiny", "training_file": self.train, "method": RFT, **more})

    def bad(self, param=None, code=None, match=None, kind=openai.BadRequestError, **more):
        return self.refused(kind, lambda: self.create(**more), code, param, match)


class Create(FineTuningTest):
    def test_a_job_as_the_service_shows_it(self):
        job = self.create(validation_file=self.valid, suffix="my test.1", seed=42, metadata={"a": "b"},
                          integrations=[{"type": "wandb", "wandb": {"project": "p", "tags": ["x"]}}])
        self.assertRegex(job.id, r"^ftjob-\w+$")
        self.assertEqual((job.object, job.model, job.status, job.seed), ("fine_tuning.job", "tiny",
                                                                         "validating_files", 42))
        self.assertEqual((job.training_file, job.validation_file), (self.train, self.valid))
        for key in ("finished_at", "estimated_finish", "fine_tuned_model", "trained_tokens", "error"):
            self.assertIsNone(getattr(job, key), key)
        self.assertEqual(job.result_files, [])
        self.assertEqual(job.metadata, {"a": "b"})
        self.assertEqual(job.integrations[0].wandb.project, "p")
        self.assertEqual(job.user_provided_suffix, "my test.1")
        self.assertIs(job.shared_with_openai, False)
        self.assertTrue(job.organization_id.startswith("org-"))
        self.assertEqual(job.hyperparameters.to_dict(), {})
        self.assertEqual(job.method.to_dict(), {"type": "reinforcement", "reinforcement": {
            "grader": CLOSE, "response_format": None, "hyperparameters": {
                "n_epochs": 1, "batch_size": "auto", "learning_rate_multiplier": "auto", "eval_interval": "auto",
                "eval_samples": "auto", "compute_multiplier": "auto", "reasoning_effort": "default"}}})
        self.assertRegex(job.eval_id, r"^eval_\w+$")
        self.assertEqual(self.jobs.retrieve(job.id), job)
        told = [e for e in self.jobs.list_events(job.id) if "Weights & Biases" in e.message]
        self.assertEqual([(e.level, "nothing is sent" in e.message) for e in told], [("warn", True)])

    def test_supervised_is_what_is_not_said(self):
        data = self.upload([{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
                            for _ in range(10)]).id
        job = self.jobs.create(model="tiny", training_file=data)
        self.assertEqual(job.method.type, "supervised")
        self.assertEqual(job.hyperparameters.n_epochs, "auto")
        self.assertIsNone(job.eval_id)
        job = self.jobs.create(model="tiny", training_file=data, hyperparameters={"n_epochs": 2})
        self.assertEqual((job.hyperparameters.n_epochs, job.hyperparameters.batch_size), (2, "auto"))
        self.assertEqual(job.method.supervised.hyperparameters.n_epochs, 2)
        job = self.jobs.create(model="tiny", training_file=data,
                               method={"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.1}}})
        self.assertEqual(job.method.dpo.hyperparameters.beta, 0.1)
        self.assertEqual(job.hyperparameters.to_dict(), {})
        self.assertTrue(0 <= job.seed < 2**31)
        job = self.jobs.create(model="tiny", training_file=data, method={"type": "supervised"},
                               hyperparameters={"n_epochs": 3})
        self.assertEqual(job.hyperparameters.n_epochs, 3)
        self.bad("hyperparameters", hyperparameters={"n_epochs": 1})
        self.bad("hyperparameters.n_epochs", method=None, hyperparameters={"n_epochs": 51})

    def test_nulls_are_as_nothing(self):
        job = self.create(suffix=None, seed=None, metadata=None, validation_file=None, integrations=None,
                          extra_body={"hone": None})
        self.assertEqual((job.validation_file, job.metadata), (None, None))

    def test_what_names_nothing(self):
        self.bad("model", "model_not_found", kind=openai.NotFoundError, model="gpt-17")
        self.bad("model", "model_not_found", kind=openai.NotFoundError, model="../models/tiny.gguf")
        self.bad("model", "model_not_found", kind=openai.NotFoundError, model="ft:tiny:x::y")
        self.bad("training_file", "file_not_found", training_file="file-none")
        self.bad("training_file", "invalid_value", training_file="../../etc/passwd")
        self.bad("validation_file", "file_not_found", validation_file="file-none")
        other = self.upload(purpose="evals").id
        self.bad("training_file", "invalid_file_purpose", training_file=other)
        self.bad("training_file", "invalid_file", training_file=self.upload([]).id)

    def test_what_is_missing_or_of_another_type(self):
        for key in ("model", "training_file"):
            body = {"model": "tiny", "training_file": self.train, "method": RFT}
            del body[key]
            status, _, reply = self.server.raw("POST", "/v1/fine_tuning/jobs", body)
            self.assertEqual((status, json.loads(reply)["error"]["code"], json.loads(reply)["error"]["param"]),
                             (400, "missing_required_parameter", key))
        self.bad("model", "invalid_type", model=7)
        self.bad("seed", "invalid_type", seed="7")
        self.bad("seed", "invalid_value", seed=-1)
        self.bad("seed", "invalid_value", seed=2**31)
        self.bad("metadata", "invalid_type", metadata={"a": 1})
        self.bad("metadata", "invalid_value", metadata={"a" * 65: "b"})
        self.bad("metadata", "invalid_value", metadata={"a": "b" * 513})
        self.bad("metadata", "invalid_value", metadata={str(i): "" for i in range(17)})
        self.bad("suffix", "invalid_value", suffix="")
        self.bad("suffix", "invalid_value", suffix="a" * 65)
        for suffix in ("a:b", "a/b", "a\nb", "é", "<b>"):
            self.bad("suffix", "invalid_value", suffix=suffix)
        self.bad("integrations", "unsupported_value", integrations=[{"type": "mlflow"}])
        self.bad("method.type", "invalid_value", method={"type": "magic"})
        self.bad("method.type", "missing_required_parameter", method={})
        self.bad("method.reinforcement", "missing_required_parameter", method={"type": "reinforcement"})
        self.bad("method.reinforcement.grader", "missing_required_parameter",
                 method={"type": "reinforcement", "reinforcement": {}})

    def test_ranges(self):
        good = {"batch_size": [1, 256, "auto", None], "n_epochs": [1, 50, "auto"],
                "learning_rate_multiplier": [0.001, 2, "auto"], "compute_multiplier": [0.1, 10, "auto"],
                "eval_interval": [1, 100], "eval_samples": [1, 10],
                "reasoning_effort": ["default", "low", "medium", "high", None]}
        wrong = {"batch_size": [0, 257, 1.5, "big", -1, True], "n_epochs": [0, 51, "3"],
                 "learning_rate_multiplier": [0, -1, "x"], "compute_multiplier": [1e-5, 10.5],
                 "eval_interval": [0, 1.5], "eval_samples": [0], "reasoning_effort": ["xhigh", 3]}
        for key, values in good.items():
            for value in values:
                self.create(method=rft(hyperparameters={key: value}))
        for key, values in wrong.items():
            for value in values:
                with self.subTest(key=key, value=value):
                    self.bad("method.reinforcement.hyperparameters." + key,
                             method=rft(hyperparameters={key: value}))
        for value in (0, 2.1):
            self.bad("method.dpo.hyperparameters.beta", method={"type": "dpo", "dpo": {"hyperparameters": {
                "beta": value}}})

    def test_graders(self):
        self.bad("method.reinforcement.grader.operation", method=rft(grader={**EXACT, "operation": "same"}))
        self.bad("method.reinforcement.grader.type", method=rft(grader={"type": "oracle", "name": "x"}))
        self.bad(method=rft(grader={**EXACT, "input": "{{rubbish.x}}"}))
        self.bad(match="endpoint", code="unsupported_value",
                 method=rft(grader={"type": "endpoint", "name": "e", "url": "http://127.0.0.1:1/"}))
        self.bad(match="endpoint", method=rft(grader={"type": "multi", "name": "m", "graders": {
            "a": {"type": "endpoint", "name": "e", "url": "http://127.0.0.1:1/"}}, "calculate_output": "a"}))
        job = self.create(method=rft(grader={"type": "multi", "name": "m", "graders": {"a": EXACT, "b": CLOSE},
                                             "calculate_output": "0.5 * a + 0.5 * b", "extra": 1}))
        self.assertEqual(list(job.method.reinforcement.to_dict()["grader"]["graders"]), ["a", "b"])
        self.assertEqual(job.method.reinforcement.to_dict()["grader"]["extra"], 1)

    def test_response_format_in_both_forms(self):
        schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"],
                  "additionalProperties": False}
        for form in ({"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": schema}},
                     {"type": "json_schema", "name": "n", "schema": schema, "strict": True},
                     {"type": "text"}, {"type": "json_object"}):
            job = self.create(method=rft(response_format=form))
            self.assertEqual(job.method.reinforcement.response_format, form)
        for form in ({"type": "xml"}, {"type": "json_schema"}, "text",
                     {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "nothing"}}}):
            error = self.bad(method=rft(response_format=form))
            self.assertTrue(error.param.startswith("method.reinforcement.response_format"), error.param)

    def test_hone(self):
        job = self.create(extra_body={"hone": {"max_steps": 2, "group_size": 4}})
        self.assertEqual(job.hone, {"max_steps": 2, "group_size": 4})
        self.bad("hone", extra_body={"hone": {"max_stepz": 2}})
        self.bad("hone.judges", "unsupported_parameter",
                 extra_body={"hone": {"judges": {"*": {"base_url": "http://169.254.169.254/"}}}})
        self.bad("hone.embedding_model", "model_not_found", kind=openai.NotFoundError,
                 extra_body={"hone": {"embedding_model": "/etc/passwd"}})
        self.bad("hone", method={"type": "supervised"}, extra_body={"hone": {"max_stepz": 2}})
        self.bad("hone.lora_rank", extra_body={"hone": {"lora_rank": 0}})
        self.bad("hone.memory_bytes", extra_body={"hone": {"memory_bytes": 1e14}})

    def test_a_second_try_is_the_first_one_s_job(self):
        body = {"model": "tiny", "training_file": self.train, "method": RFT, "seed": 77}
        first = self.create(seed=77)
        retry = {"X-Stainless-Retry-Count": "1"}
        again = self.create(seed=77, extra_headers=retry)
        self.assertEqual(again.id, first.id)
        self.assertNotEqual(self.create(seed=77).id, first.id)
        self.assertNotEqual(self.create(seed=78, extra_headers=retry).id, first.id)
        status, _, _ = self.server.raw("POST", "/v1/fine_tuning/jobs", body, retry)
        self.assertEqual(status, 200)

    def test_bodies_that_are_no_json(self):
        for body in (b"", b"{", b"[]", b"null", b'{"model":"a","model":"b"}', b'{"model":"\xff"}', b'{"a":NaN}',
                     b"[" * 100_000):
            status, headers, reply = self.server.raw("POST", "/v1/fine_tuning/jobs", body,
                                                     {"Content-Type": "application/json"})
            self.assertEqual(status, 400, body[:40])
            self.assertEqual(set(json.loads(reply)["error"]), {"message", "type", "param", "code"})
            self.assertTrue(headers["x-request-id"].startswith("req_"))


    def test_a_body_that_is_too_large(self):
        host = self.server.url.split("/")[2]
        with contextlib.closing(http.client.HTTPConnection(host, timeout=30)) as connection:
            connection.putrequest("POST", "/v1/fine_tuning/jobs")
            connection.putheader("Authorization", "Bearer " + self.server.key)
            connection.putheader("Content-Length", str(5 << 20))
            connection.endheaders()  # refused before a byte of it is there
            reply = connection.getresponse()
            self.assertEqual((reply.status, json.loads(reply.read())["error"]["code"]), (413, "request_too_large"))


class AsTheServerComputes(FineTuningTest):
    """hone serve --precision and --kv-cache hold for its jobs too, where they say nothing of it."""
    options = ("--precision", "f32", "--kv-cache", "f16")
    small = {"max_steps": 1, "group_size": 4, "max_tokens": 8}

    def test_what_a_job_is_trained_in(self):
        ours = {"precision": "f32", "kv_cache": "f16"}
        self.assertEqual(self.create().hone, ours)
        self.assertEqual(self.create(extra_body={"hone": None}).hone, ours)
        own = self.create(extra_body={"hone": {**self.small, "precision": "int8"}})
        self.assertEqual(own.hone, {**self.small, "precision": "int8", "kv_cache": "f16"})
        self.assertEqual(self.create(extra_body={"hone": {"precision": "auto", "kv_cache": None}}).hone, ours)
        first = self.create(seed=5, extra_body={"hone": self.small})
        self.assertEqual(first.hone, {**self.small, **ours})
        again = self.create(seed=5, extra_body={"hone": self.small}, extra_headers={"X-Stainless-Retry-Count": "1"})
        self.assertEqual(again.id, first.id)
        self.server.worker()  # whatever it is told itself
        for job, precision in ((first, "f32"), (own, "int8")):
            self.assertEqual(self.jobs.retrieve(job.id).status, "succeeded")
            with open(os.path.join(self.server.home, "runs", job.id, "job.json")) as file:
                resolved = json.load(file)["resolved"]
            self.assertEqual((resolved["precision"], resolved["kv_cache"]), (precision, "f16"))


class AsItWasTrained(FineTuningTest):
    """A server that is told nothing of it computes each model as that one was trained."""
    options = ()

    def test_models_of_one_base(self):
        said = {"max_steps": 1, "group_size": 4, "max_tokens": 8}
        jobs = {name: self.create(seed=5, extra_body={"hone": {**said, **own}})
                for name, own in (("int8", {}), ("f32", {"precision": "f32"}), ("f16", {"precision": "f32", "kv_cache": "f16"}))}
        self.server.worker()
        models = {name: self.jobs.retrieve(job.id).fine_tuned_model for name, job in jobs.items()}
        told = {name: self.logprobs(model) for name, model in models.items()}
        for name, job in jobs.items():
            self.assertLess(self.apart(told[name], self.scores(os.path.join("runs", job.id))), 2e-6, name)
            self.assertEqual(self.logprobs(models[name]), told[name])  # now that it is open
        self.assertLess(self.apart(self.logprobs("tiny"), self.scores("tiny", "--precision", "int8")), 2e-6)
        # and what is compared can differ
        other = (("int8", "--precision", "f32"), ("f32", "--precision", "int8"), ("f16", "--kv-cache", "f32"))
        for name, *options in other:
            self.assertGreater(self.apart(told[name], self.scores(os.path.join("runs", jobs[name].id), *options)), 2e-5, name)

    TEXT = "abc de fgh " * 4

    def logprobs(self, model):
        """Of the prompt's tokens but the first; behind them is what was drawn, which may be an end, and no text."""
        said = self.client.completions.create(model=model, prompt=self.TEXT, echo=True, logprobs=1, max_tokens=1).choices[0].logprobs
        return [p for p, at in zip(said.token_logprobs, said.text_offset) if at < len(self.TEXT)][1:]

    def scores(self, model, *options):
        run = subprocess.run([HONE, "score", "--json", "--model", model, *options], env=self.server.env, text=True,
                             cwd=self.server.home, input=json.dumps({"text": self.TEXT}), capture_output=True, check=True)
        return json.loads(run.stdout)["logprobs"][1:]

    def apart(self, a, b):
        self.assertEqual(len(a), len(b))
        return max(abs(x - y) for x, y in zip(a, b))


class States(FineTuningTest):
    def test_cancel_pause_resume(self):
        job = self.create()
        paused = self.jobs.pause(job.id)
        self.assertEqual(paused.status, "paused")
        resumed = self.jobs.resume(job.id)
        self.assertIn(resumed.status, ("queued", "validating_files"))
        self.refused(openai.BadRequestError, lambda: self.jobs.resume(job.id))
        gone = self.jobs.cancel(job.id)
        self.assertEqual(gone.status, "cancelled")
        self.assertIsNotNone(gone.finished_at)
        for call in (self.jobs.cancel, self.jobs.pause, self.jobs.resume):
            self.refused(openai.BadRequestError, lambda: call(job.id), match="cancelled")
            self.refused(openai.NotFoundError, lambda: call("ftjob-none"), "not_found")

    def test_a_cancel_whose_answer_was_lost(self):
        job, going = self.create(), self.create()
        retry = {"X-Stainless-Retry-Count": "1"}
        self.assertEqual(self.jobs.cancel(job.id).status, "cancelled")
        self.assertEqual(self.jobs.cancel(job.id, extra_headers=retry).status, "cancelled")
        self.refused(openai.BadRequestError, lambda: self.jobs.cancel(job.id), match="cancelled")
        self.assertEqual(self.jobs.cancel(going.id, extra_headers=retry).status, "cancelled")
        self.refused(openai.BadRequestError, lambda: self.jobs.resume(job.id, extra_headers=retry))

    def test_lists(self):
        made = [self.create(metadata={"set": "l", "n": str(i)}).id for i in range(5)]
        none = self.create().id
        listed = [j.id for j in self.jobs.list(limit=2, metadata={"set": "l"})]
        self.assertEqual(listed, made[::-1])
        self.assertEqual([j.id for j in self.jobs.list(metadata={"n": "3"})], [made[3]])
        without = [j.id for j in self.jobs.list(extra_query={"metadata": "null"})]
        self.assertIn(none, without)
        self.assertFalse(set(without) & set(made))
        self.assertEqual(self.jobs.list(limit=1).data[0].id, none)
        self.refused(openai.NotFoundError, lambda: self.jobs.list(after="ftjob-none"), param="after")

    def test_events(self):
        job = self.create()
        self.jobs.pause(job.id)
        self.jobs.resume(job.id)
        events = list(self.jobs.list_events(job.id, limit=1))
        self.assertGreaterEqual(len(events), 2)
        self.assertEqual(events[-1].message, "Created fine-tuning job: " + job.id)
        self.assertEqual({e.object for e in events}, {"fine_tuning.job.event"})
        self.assertEqual(len({e.id for e in events}), len(events))
        self.refused(openai.NotFoundError, lambda: self.jobs.list_events("ftjob-none"), "not_found")
        self.assertEqual(list(self.jobs.checkpoints.list(job.id)), [])

    def lines_of(self, job_id, into):
        import urllib.request
        request = urllib.request.Request(self.server.url + "/fine_tuning/jobs/%s/events?stream=true" % job_id,
                                         headers={"Authorization": "Bearer " + self.server.key})
        with urllib.request.urlopen(request, timeout=60) as reply:
            self.assertEqual(reply.headers["content-type"].split(";")[0], "text/event-stream")
            for line in reply:
                if line.startswith(b"data: "):
                    into.append(line[6:].strip().decode())

    def test_streams(self):
        job, other = self.create(), self.create()
        told = [[] for _ in range(6)]
        threads = [threading.Thread(target=self.lines_of, args=(job.id, one)) for one in told]
        for thread in threads:
            thread.start()
        self.wait(lambda: all(told))
        self.jobs.pause(job.id)
        self.jobs.cancel(other.id)
        self.jobs.resume(job.id)
        self.jobs.cancel(job.id)
        for thread in threads:
            thread.join(timeout=30)
            self.assertFalse(thread.is_alive())
        events = [e.id for e in self.jobs.list_events(job.id, limit=100)][::-1]
        for one in told:
            self.assertEqual(one[-1], "[DONE]")
            self.assertEqual([json.loads(line)["id"] for line in one[:-1]], events)
        late = []
        self.lines_of(job.id, late)  # of a job that has ended: all of it at once
        self.assertEqual(late, told[0])

    def test_strict_client(self):
        strict = self.server.client(_strict_response_validation=True).fine_tuning.jobs
        job = strict.create(model="tiny", training_file=self.train, method=RFT)
        strict.retrieve(job.id)
        strict.list(limit=3)
        list(strict.list_events(job.id))
        strict.cancel(job.id)


class Trained(FineTuningTest):
    """What a worker makes of a job, as the API tells it."""

    def test_a_job_is_trained(self):
        job = self.create(validation_file=self.valid, suffix="made", method=rft(hyperparameters={"batch_size": 2}),
                          extra_body={"hone": {"max_steps": 2, "group_size": 4, "max_tokens": 8}})
        self.server.worker()
        job = self.jobs.retrieve(job.id)
        self.assertEqual(job.status, "succeeded", job.error)
        self.assertRegex(job.fine_tuned_model, r"^ft:tiny:[^:]*:made:\w{8}$")
        self.assertGreater(job.finished_at, 0)
        self.assertIsInstance(job.trained_tokens, int)
        self.assertIsNone(job.error)
        h = job.method.reinforcement.hyperparameters
        self.assertEqual(h.batch_size, 2)
        for key in ("n_epochs", "learning_rate_multiplier", "eval_interval", "eval_samples", "compute_multiplier"):
            self.assertNotEqual(getattr(h, key), "auto", key)
        result = self.client.files.retrieve(job.result_files[0])
        self.assertEqual(result.purpose, "fine-tune-results")
        self.assertTrue(self.client.files.content(result.id).text.startswith("step,"))
        events = list(self.jobs.list_events(job.id))
        self.assertTrue(any(e.type == "metrics" and e.data["total_steps"] == 2 for e in events))
        self.assertEqual(events[0].message, "The job has successfully completed")
        self.assertEqual((h.n_epochs, h.eval_interval), (1, 1))
        points = list(self.jobs.checkpoints.list(job.id))
        self.assertTrue(points)
        self.assertEqual(points[0].fine_tuning_job_id, job.id)
        model = self.client.models.retrieve(job.fine_tuned_model)
        self.assertEqual((model.id, model.owned_by), (job.fine_tuned_model, job.organization_id))
        self.assertIn("tiny", [m.id for m in self.client.models.list()])
        self.assertIn(job.fine_tuned_model, [m.id for m in self.client.models.list()])
        self.vanishes(job.id, points[-1])
        self.goes_on(job.fine_tuned_model)
        self.share(job.fine_tuned_model)
        gone = self.client.models.delete(job.fine_tuned_model)
        self.assertTrue(gone.deleted)
        self.refused(openai.NotFoundError, lambda: self.client.models.retrieve(job.fine_tuned_model),
                     "model_not_found")
        self.refused(openai.PermissionDeniedError, lambda: self.client.models.delete("tiny"))

    def vanishes(self, job, point):
        """An adapter that goes between being found and being read: where it was is not told."""
        self.assertNotEqual(point.step_number, 2)  # another than is asked of below: that one is in memory then
        folder = os.path.join(self.server.home, "runs", job, "checkpoints", "step-%d" % point.step_number)
        os.unlink(glob.glob(os.path.join(folder, "**", "adapter_model.safetensors"), recursive=True)[0])
        name = point.fine_tuned_model_checkpoint
        for call in (lambda: self.client.responses.create(model=name, input="1a"),
                     lambda: self.client.chat.completions.create(model=name, messages=[{"role": "user", "content": "1a"}]),
                     lambda: list(self.client.chat.completions.create(
                         model=name, messages=[{"role": "user", "content": "1a"}], stream=True))):
            error = self.refused(openai.APIError, call)
            self.assertIn(name, error.body["message"])
            for place in (self.server.home, "runs/", "checkpoints/", job):
                self.assertNotIn(place, error.body["message"])

    def goes_on(self, model):
        """A tuned model is where another job begins; what comes of it is served over the same base."""
        job = self.create(model=model, suffix="more", method=rft(hyperparameters={"batch_size": 2}),
                          extra_body={"hone": {"max_steps": 1, "group_size": 4, "max_tokens": 8}})
        self.server.worker()
        job = self.jobs.retrieve(job.id)
        self.assertEqual(job.status, "succeeded", job.error)
        self.assertEqual(job.model, model)
        self.assertRegex(job.fine_tuned_model, r"^ft:tiny:[^:]*:more:\w{8}$")
        for name in (model, job.fine_tuned_model):
            answer = self.client.chat.completions.create(model=name, messages=[{"role": "user", "content": "1a"}],
                                                         max_tokens=4, seed=1)
            self.assertEqual(answer.model, name)

    def share(self, name):
        with contextlib.closing(sqlite3.connect(os.path.join(self.server.home, "hone.db"), timeout=30)) as db, db:
            org, = db.execute("SELECT org_id FROM projects").fetchone()
            for project in ("proj_x", "proj_y"):
                db.execute("INSERT INTO projects (id, org_id, name, quota_bytes, created_at) VALUES (?, ?, 'x', 0, 1)",
                           (project, org))
        theirs = self.server.client(project="proj_x")
        self.refused(openai.NotFoundError, lambda: theirs.models.retrieve(name), "model_not_found")
        permissions = self.client.fine_tuning.checkpoints.permissions
        made = permissions.create(name, project_ids=["proj_x", "proj_y"]).data
        self.assertEqual({p.project_id for p in made}, {"proj_x", "proj_y"})
        self.assertEqual(theirs.models.retrieve(name).id, name)
        self.assertIn(name, [m.id for m in theirs.models.list()])
        listed = [p.project_id for p in permissions.list(name, limit=1)]
        self.assertEqual(sorted(listed), ["proj_x", "proj_y"])
        for p in made:
            gone = permissions.delete(p.id, fine_tuned_model_checkpoint=name)
            self.assertEqual((gone.id, gone.deleted), (p.id, True))
        self.refused(openai.NotFoundError, lambda: theirs.models.retrieve(name), "model_not_found")
        self.refused(openai.NotFoundError, lambda: permissions.create(name, project_ids=["proj_none"]), "not_found")
        self.refused(openai.NotFoundError, lambda: theirs.models.delete(name), "model_not_found")

    def test_a_damaged_run_fails_the_job_at_once(self):
        job = self.create()
        folder = os.path.join(self.server.home, "runs", job.id)
        os.makedirs(folder)
        with open(os.path.join(folder, "job.json"), "w") as file:
            file.write("{")
        said = self.server.worker()
        got = self.jobs.retrieve(job.id)
        self.assertEqual((got.status, got.error.code), ("failed", "invalid_job"))
        self.assertIn("job.json", got.error.message)
        self.assertEqual(said.count('"taken"'), 2)  # its files' check, and the run

    def test_bad_content_fails_the_job(self):
        data = self.upload([{"messages": []}]).id
        job = self.create(training_file=data)
        self.server.worker()
        job = self.jobs.retrieve(job.id)
        self.assertEqual((job.status, job.error.param), ("failed", "training_file"))
        self.assertTrue(job.error.code and job.error.message)


if __name__ == "__main__":
    unittest.main()
