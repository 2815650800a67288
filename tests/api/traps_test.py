"""
What the client does that trips servers up: the 36 traps of the API's description, each with its test.

     1 POSTs are sent again              trap_01, and fine_tuning_test Create.test_a_second_try_is_the_first_one_s_job,
                                         States.test_cancel_pause_resume (a wrong state is 400, never 409)
     2 lists, has_more, after            trap_02
     3 permissions page by last_id       trap_03
     4 POSTs and DELETEs without a body  trap_04
     5 Accept                            trap_05
     6 null for what is None             trap_06, fine_tuning_test Create.test_nulls_are_as_nothing
     7 extra body, query, headers        trap_07
     8 pydantic objects as arguments     trap_08
     9 multi graders come back as said   trap_09, fine_tuning_test Create.test_graders
    10 keys unknown to the types         trap_10, fine_tuning_test Create.test_response_format_in_both_forms
    11 error of a healthy job            trap_11
    12 job.hyperparameters.n_epochs      trap_12
    13 multipart as the client writes it trap_13
    14 large bodies in one request       trap_14, server/http_upload_test (HONE_UPLOAD_MB)
    15 files are processed at once       trap_15
    16 polling while training runs       trap_16
    17 names in paths                    trap_17
    18 brackets in queries               trap_18
    19 embeddings are base64             answers_test Others.test_embeddings
    20 streams and errors                trap_20; pings: server/http_stream_test
    21 stricter stream helpers           answers_test Chat.test_tools, Chat.test_parse, Responses.test_functions,
                                         end_to_end_test EndToEnd.speaks
    22 chat.completions.parse            answers_test Chat.test_parse
    23 long answers, impatient clients   trap_23
    24 x-request-id on everything        trap_24
    25 a success has JSON in its body    trap_25
    26 a failure has, too                trap_26
    27 no NaN                            trap_27
    28 times are whole numbers           trap_28
    29 no redirects                      trap_29
    30 compression is not needed         trap_30
    31 raw and streaming responses       end_to_end_test EndToEnd.test_raw_and_streaming_responses
    32 clients of version 1              trap_32; canceling eval runs by POST to the run: evals_test test_canceled_and_deleted
    33 Azure's ways                      trap_33
    34 three names for a limit           trap_34
    35 spellings                         trap_35, webhooks_test Webhooks.test_event_types, evals_test test_canceled_and_deleted
    36 webhooks are signed as sent       webhooks_test Webhooks.test_a_test_event_is_signed
"""
import http.client
import json
import os
import re
import socket
import sqlite3
import subprocess
import threading
import unittest
import urllib.parse

from server import CLOSE, EXACT, HONE, ApiTest, jsonl, openai, rows

MULTI = {"type": "multi", "name": "m", "graders": {"a": EXACT, "b": CLOSE}, "calculate_output": "a + b"}
SCORE = {"type": "score_model", "name": "s", "model": "tiny", "input": [{"role": "user", "content": "{{item.answer}}"}],
         "sampling_params": {"max_completions_tokens": 16, "temperature": 0, "seed": None, "top_p": None}}


def method(grader=None, **more):
    return {"type": "reinforcement", "reinforcement": {"grader": grader or CLOSE, "hyperparameters": {"n_epochs": 1},
                                                       **more}}


def strictly(text):
    """JSON as the standard has it: no NaN, no Infinity."""
    def no(name):
        raise AssertionError("%s in %.200s" % (name, text))
    return json.loads(text, parse_constant=no)


class Traps(ApiTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.jobs = cls.client.fine_tuning.jobs
        cls.train = cls.client.files.create(file=("t.jsonl", jsonl(rows(4))), purpose="fine-tune").id
        cls.port = urllib.parse.urlsplit(cls.server.url).port
        job = cls.jobs.create(model="tiny", training_file=cls.train, validation_file=cls.train, seed=1,
                              suffix="with a blank", method=method(hyperparameters={"eval_interval": 1}),
                              extra_body={"hone": {"max_steps": 4, "group_size": 4, "max_tokens": 8, "lora_rank": 4}})
        cls.server.worker()
        cls.job = cls.jobs.retrieve(job.id)
        assert cls.job.status == "succeeded", (cls.job.status, cls.job.error)
        cls.paused = cls.create()
        cls.jobs.pause(cls.paused.id)

    @classmethod
    def create(cls, **more):
        return cls.jobs.create(**{"model": "tiny", "training_file": cls.train, "method": method(), **more})

    def get(self, path, status=200, **headers):
        found, _, body = self.server.raw("GET", "/v1" + path, headers=headers)
        self.assertEqual(found, status, body)
        return strictly(body)

    def post(self, path, body, status=200, **headers):
        found, _, body = self.server.raw("POST", "/v1" + path, body, {"Content-Type": "application/json", **headers})
        self.assertEqual(found, status, body)
        return strictly(body)

    def plain(self, method, path, body=None, headers=(), key=True):
        """As http.client sends it: nothing is added, nothing is followed. (reply, its body)"""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        self.addCleanup(connection.close)
        connection.putrequest(method, path, skip_accept_encoding=True)
        if key:
            connection.putheader("Authorization", "Bearer " + self.server.key)
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders(body)
        reply = connection.getresponse()
        return reply, reply.read()

    # 1

    def test_trap_01_a_post_whose_answer_is_lost_is_done_once(self):
        listener = socket.create_server(("127.0.0.1", 0))
        lost = []

        def read_all(s):
            """A request or a reply with content-length, whole."""
            data = b""
            while b"\r\n\r\n" not in data:
                data += s.recv(65536)
            head, _, body = data.partition(b"\r\n\r\n")
            length = int(re.search(rb"(?i)content-length: (\d+)", head).group(1))
            while len(body) < length:
                body += s.recv(65536)
            return head + b"\r\n\r\n" + body

        def relay():
            for k in range(3):
                s, _ = listener.accept()
                with s, socket.create_connection(("127.0.0.1", self.port)) as server:
                    server.sendall(read_all(s))
                    reply = read_all(server)
                    if k < 2:
                        lost.append(reply)  # done by the server, and never told
                    else:
                        s.sendall(reply)

        thread = threading.Thread(target=relay, daemon=True)
        thread.start()
        client = openai.OpenAI(base_url="http://127.0.0.1:%d/v1" % listener.getsockname()[1], api_key=self.server.key,
                               max_retries=2)
        job = client.fine_tuning.jobs.create(model="tiny", training_file=self.train, method=method(),
                                             metadata={"trap": "1"})
        thread.join(timeout=60)
        listener.close()
        client.close()
        self.assertEqual(len(lost), 2)
        self.assertEqual([j.id for j in self.jobs.list(metadata={"trap": "1"})], [job.id])
        self.jobs.cancel(job.id)

    # 2

    def lists(self):
        """Every list that pages: path, the name that its items go by."""
        job = self.job.id
        stored = [self.client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "a"}] * 3,
                                                      max_tokens=1, store=True).id for _ in range(3)]
        response = self.client.responses.create(model="tiny", max_output_tokens=16, input=[
            {"role": "user", "content": "a"}] * 3).id
        for _ in range(2):
            self.upload()
            self.client.post("/webhook_endpoints", cast_to=object, body={
                "name": "n", "url": "https://x.example/", "event_types": ["fine_tuning.job.failed"]})
        return ["/files", "/fine_tuning/jobs", "/fine_tuning/jobs/%s/events" % job,
                "/fine_tuning/jobs/%s/checkpoints" % job, "/chat/completions",
                "/chat/completions/%s/messages" % stored[0], "/responses/%s/input_items" % response,
                "/webhook_endpoints"]

    def test_trap_02_every_list_says_whether_there_is_more(self):
        for path in self.lists():
            with self.subTest(path=path):
                whole = self.get(path + "?limit=100")
                self.assertEqual((whole["object"], whole["has_more"]), ("list", False))
                ids = [item["id"] for item in whole["data"]]
                self.assertGreater(len(ids), 1)
                self.assertEqual((whole["first_id"], whole["last_id"]), (ids[0], ids[-1]))
                seen, after = [], ""
                while True:
                    page = self.get(path + "?limit=1" + after)
                    seen += [item["id"] for item in page["data"]]
                    if not page["has_more"]:
                        break
                    after = "&after=" + page["data"][-1]["id"]
                self.assertEqual(seen, ids)
                last = self.get(path + "?after=" + ids[-1])
                self.assertEqual((last["data"], last["has_more"], last["first_id"]), ([], False, None))
                self.assertIn("error", self.get(path + "?after=none", 404))
                for wrong in ("limit=0", "limit=x", "limit=-1"):
                    self.assertEqual(self.get(path + "?" + wrong, 400)["error"]["param"], "limit")

    # 3

    def test_trap_03_permissions_page_by_last_id(self):
        db = sqlite3.connect([os.path.join(self.server.home, name) for name in os.listdir(self.server.home)
                              if name.endswith(".db")][0], timeout=30)
        columns = [row[1] for row in db.execute("PRAGMA table_info(projects)")]
        row = dict(zip(columns, db.execute("SELECT * FROM projects").fetchone()))
        for i in range(3):
            made = {**row, "id": "proj_other%d" % i, "name": "other%d" % i}
            made.pop("seq", None)
            with db:
                db.execute("INSERT INTO projects (%s) VALUES (%s)" % (", ".join(made), ", ".join("?" * len(made))),
                           list(made.values()))
        db.close()
        permissions = self.client.fine_tuning.checkpoints.permissions
        name = self.jobs.checkpoints.list(self.job.id).data[0].fine_tuned_model_checkpoint
        made = list(permissions.create(name, project_ids=["proj_other%d" % i for i in range(3)]))
        self.assertEqual([p.project_id for p in made], ["proj_other0", "proj_other1", "proj_other2"])
        ids = [p.id for p in permissions.list(name)]
        self.assertEqual(sorted(ids), sorted(p.id for p in made))
        self.assertEqual([p.id for p in permissions.list(name, limit=1)], ids)
        self.assertEqual([p.id for p in permissions.list(name, limit=2, order="ascending")], ids[::-1])
        self.assertEqual([p.id for p in permissions.list(name, limit=2, order="descending")], ids)
        page = permissions.list(name, limit=1)
        self.assertEqual((page.last_id, page.has_more), (page.data[-1].id, True))
        self.assertEqual([p.project_id for p in permissions.list(name, project_id="proj_other1")], ["proj_other1"])
        gone = permissions.delete(ids[0], fine_tuned_model_checkpoint=name)
        self.assertEqual((gone.id, gone.deleted, gone.object), (ids[0], True, "checkpoint.permission"))
        self.assertEqual([p.id for p in permissions.list(name)], ids[1:])

    # 4

    def test_trap_04_no_body_is_no_broken_json(self):
        job = self.create()
        kind = ("Content-Type", "application/json")
        for action in ("pause", "resume", "cancel"):
            reply, body = self.plain("POST", "/v1/fine_tuning/jobs/%s/%s" % (job.id, action),
                                     headers=[kind, ("Content-Length", "0")])
            self.assertEqual(reply.status, 200, body)
            self.assertEqual(strictly(body)["id"], job.id)
        file = self.upload().id
        reply, body = self.plain("DELETE", "/v1/files/" + file, headers=[kind])
        self.assertEqual((reply.status, strictly(body)), (200, {"id": file, "object": "file", "deleted": True}))
        job = self.create().id
        self.assertEqual(self.post("/fine_tuning/jobs/%s/cancel" % job, {})["status"], "cancelled")

    # 5

    def test_trap_05_accept_is_not_negotiated(self):
        chat = {"model": "tiny", "messages": [{"role": "user", "content": "a"}], "max_tokens": 2}
        for accept in ("application/json", "application/binary", "*/*", "text/html", ""):
            headers = {"Accept": accept}
            self.get("/models", **headers)
            status, _, body = self.server.raw("GET", "/v1/files/%s/content" % self.train, headers=headers)
            self.assertEqual((status, body), (200, jsonl(rows(4))))
            status, found, body = self.server.raw("POST", "/v1/chat/completions", {**chat, "stream": True},
                                                  {"Content-Type": "application/json", **headers})
            self.assertEqual((status, found["content-type"].split(";")[0]), (200, "text/event-stream"))
            self.assertTrue(body.endswith(b"data: [DONE]\n\n"))

    # 6

    def test_trap_06_null_is_as_nothing(self):
        chat = {"model": "tiny", "messages": [{"role": "user", "content": "a", "name": None}], "max_tokens": 2, "seed": 1}
        nothing = dict.fromkeys((
            "audio", "frequency_penalty", "logit_bias", "logprobs", "max_completion_tokens", "metadata", "modalities",
            "n", "parallel_tool_calls", "prediction", "presence_penalty", "prompt_cache_key", "reasoning_effort",
            "response_format", "safety_identifier", "service_tier", "stop", "store", "stream", "stream_options",
            "temperature", "tool_choice", "tools", "top_logprobs", "top_p", "user", "verbosity",
            "web_search_options", "functions", "function_call"))
        whole = self.post("/chat/completions", chat)
        self.assertEqual(self.post("/chat/completions", {**chat, **nothing})["choices"], whole["choices"])
        nothing = dict.fromkeys((
            "background", "conversation", "include", "instructions", "max_tool_calls", "metadata",
            "parallel_tool_calls", "previous_response_id", "prompt", "prompt_cache_key", "reasoning",
            "safety_identifier", "service_tier", "store", "stream", "stream_options", "temperature", "text",
            "tool_choice", "tools", "top_logprobs", "top_p", "truncation", "user"))
        asked = {"model": "tiny", "input": "a", "max_output_tokens": 16, "seed": 1}
        whole = self.post("/responses", asked)
        self.assertEqual(self.post("/responses", {**asked, **nothing})["output"][0]["content"],
                         whole["output"][0]["content"])
        nothing = dict.fromkeys(("best_of", "echo", "frequency_penalty", "logit_bias", "logprobs", "n",
                                 "presence_penalty", "stop", "stream", "stream_options", "suffix", "temperature",
                                 "top_p", "user"))
        asked = {"model": "tiny", "prompt": "a", "max_tokens": 2, "seed": 1}
        whole = self.post("/completions", asked)
        self.assertEqual(self.post("/completions", {**asked, **nothing})["choices"], whole["choices"])
        job = self.create(method={"type": "reinforcement", "supervised": None, "dpo": None, "reinforcement": {
            "grader": CLOSE, "response_format": None, "hyperparameters": None}}, hyperparameters=None)
        self.jobs.cancel(job.id)
        self.assertEqual(self.client.fine_tuning.alpha.graders.run(grader=EXACT, model_sample="a",
                                                                   item=None).reward, 0)

    # 7

    def test_trap_07_what_is_added_by_hand(self):
        chat = {"model": "tiny", "messages": [{"role": "user", "content": "a"}], "max_tokens": 2}
        made = self.client.chat.completions.create(**chat, extra_query={"trace": "1"}, extra_body={"top_k": 1},
                                                   extra_headers={"X-Client-Request-Id": "mine", "X-Else": "1"})
        self.assertEqual(made.object, "chat.completion")
        self.refused(openai.BadRequestError, lambda: self.client.chat.completions.create(
            **chat, extra_body={"no_such_key": 1}), None, "no_such_key")
        self.assertEqual(self.jobs.retrieve(self.job.id, extra_query={"a[]": "b"}).id, self.job.id)
        job = self.create(extra_body={"no_such_key": 1})
        self.jobs.cancel(job.id)

    # 8, 9, 10

    def test_trap_08_objects_of_the_client_s_types(self):
        from openai.types.fine_tuning import ReinforcementHyperparameters, ReinforcementMethod
        from openai.types.graders import ScoreModelGrader, StringCheckGrader
        for grader in (StringCheckGrader(**EXACT), ScoreModelGrader(**SCORE)):
            self.client.fine_tuning.alpha.graders.validate(grader=grader)
            job = self.create(method={"type": "reinforcement", "reinforcement": ReinforcementMethod(
                grader=grader, hyperparameters=ReinforcementHyperparameters(n_epochs=2, reasoning_effort="low"))})
            self.assertEqual(job.method.reinforcement.grader.name, grader.name)
            self.assertEqual(job.method.reinforcement.hyperparameters.n_epochs, 2)
            self.jobs.cancel(job.id)

    def test_trap_09_multi_graders_come_back_as_they_were(self):
        job = self.create(method=method(MULTI))
        raw = self.get("/fine_tuning/jobs/" + job.id)
        self.assertEqual(raw["method"]["reinforcement"]["grader"], MULTI)
        self.assertEqual(job.method.reinforcement.grader.graders, MULTI["graders"])
        self.assertEqual(self.post("/fine_tuning/alpha/graders/validate", {"grader": MULTI}), {"grader": MULTI})
        self.jobs.cancel(job.id)

    def test_trap_10_keys_that_the_types_do_not_know(self):
        grader = {**EXACT, "pass_threshold": 0.5, "id": "mine"}
        tools = [{"name": "t", "server_url": "https://x.example/", "headers": {}}]
        job = self.create(method=method(grader, response_format={"type": "json_object"}, tools=tools,
                                        max_episode_steps=5))
        raw = self.get("/fine_tuning/jobs/" + job.id)["method"]["reinforcement"]
        self.assertEqual((raw["grader"], raw["response_format"]), (grader, {"type": "json_object"}))
        self.assertEqual((raw["tools"], raw["max_episode_steps"]), (tools, 5))
        told = [e for e in self.jobs.list_events(job.id) if e.level == "warn"]
        self.assertEqual(["nothing is called" in e.message for e in told], [True])
        self.jobs.cancel(job.id)

    # 11, 12

    def test_trap_11_a_healthy_job_has_no_error(self):
        for job in (self.job, self.paused):
            self.assertIsNone(self.get("/fine_tuning/jobs/" + job.id)["error"])

    def test_trap_12_hyperparameters_can_always_be_read(self):
        self.assertEqual(self.get("/fine_tuning/jobs/" + self.job.id)["hyperparameters"], {})
        self.assertIsNone(self.job.hyperparameters.n_epochs)

    # 13, 14, 15

    def multipart(self, *parts, boundary="0123456789abcdef0123456789abcdef"):
        body = b"".join(b"--%s\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n" % (boundary.encode(), head, content)
                        for head, content in parts) + b"--%s--\r\n" % boundary.encode()
        status, _, reply = self.server.raw("POST", "/v1/files", body,
                                           {"Content-Type": "multipart/form-data; boundary=" + boundary})
        return status, strictly(reply)

    def test_trap_13_multipart_as_the_client_writes_it(self):
        self.assertEqual(self.client.files.create(file=b"raw\n", purpose="fine-tune").filename, "upload")
        purpose = (b'name="purpose"', b"fine-tune")
        file = (b'name="file"; filename="no extension"\r\nContent-Type: application/octet-stream', b"--0123\r\n\r\n--")
        expiry = ((b'name="expires_after[anchor]"', b"created_at"), (b'name="expires_after[seconds]"', b"3600"))
        for parts in ((purpose, *expiry, file), (file, *expiry, purpose)):
            status, made = self.multipart(*parts)
            self.assertEqual((status, made["bytes"], made["filename"]), (200, len(file[1]), "no extension"), made)
            self.assertEqual(made["expires_at"], made["created_at"] + 3600)
            self.assertEqual(self.client.files.content(made["id"]).read(), file[1])
        self.assertEqual(self.multipart(file)[0], 400)
        self.assertEqual(self.multipart(purpose)[0], 400)

    def test_trap_14_a_part_of_64_mib_in_one_request(self):
        content = b"0123456789abcdef" * (4 << 20)
        up = self.client.uploads.create(bytes=len(content), filename="big.jsonl", mime_type="text/jsonl",
                                        purpose="fine-tune")
        part = self.client.uploads.parts.create(up.id, data=content)
        done = self.client.uploads.complete(up.id, part_ids=[part.id])
        self.assertEqual(done.file.bytes, 64 << 20)
        self.client.files.delete(done.file.id)

    def test_trap_15_a_file_is_processed_at_once(self):
        made = self.upload()
        self.assertEqual(made.status, "processed")
        self.assertEqual(self.client.files.wait_for_processing(made.id, poll_interval=1000).status, "processed")

    # 16

    def test_trap_16_polling_while_training_runs(self):
        job = self.create(extra_body={"hone": {"max_steps": 4000, "group_size": 8, "max_tokens": 16,
                                                           "lora_rank": 4}})
        worker = subprocess.Popen([HONE, "worker", "--once"], env=self.server.env, stderr=subprocess.DEVNULL)
        self.addCleanup(worker.wait, timeout=60)
        self.addCleanup(self.jobs.cancel, job.id)
        self.wait(lambda: self.jobs.retrieve(job.id).status == "running")
        count = 0
        for _ in range(100):
            self.assertEqual(self.jobs.retrieve(job.id).status, "running")
            events = self.jobs.list_events(job.id, limit=100).data
            self.assertGreaterEqual(len(events), count)
            count = len(events)
        self.wait(lambda: len(self.jobs.list_events(job.id, limit=100).data) > count or count == 100)

    # 17, 18

    def test_trap_17_names_in_paths(self):
        name = self.job.fine_tuned_model
        self.assertIn(":with a blank:", name)
        self.assertEqual(self.client.models.retrieve(name).id, name)
        for path in (name.replace(" ", "%20"), urllib.parse.quote(name, safe="")):
            self.assertEqual(self.get("/models/" + path)["id"], name)
        for point in self.jobs.checkpoints.list(self.job.id):
            self.assertEqual(self.client.models.retrieve(point.fine_tuned_model_checkpoint).id,
                             point.fine_tuned_model_checkpoint)
        error = self.refused(openai.NotFoundError, lambda: self.client.models.retrieve("ft:a/b:o::x"))
        self.assertEqual((error.code, "ft:a/b:o::x" in error.body["message"]), ("model_not_found", True))

    def test_trap_18_brackets_in_queries(self):
        job = self.create(metadata={"trap": "18", "k é": "v&="})
        for query in ("metadata%5Btrap%5D=18", "metadata[trap]=18", "metadata%5Bk%20%C3%A9%5D=v%26%3D"):
            self.assertEqual([j["id"] for j in self.get("/fine_tuning/jobs?" + query)["data"]], [job.id], query)
        self.jobs.cancel(job.id)
        response = self.client.responses.create(model="tiny", input="a", max_output_tokens=16)
        for include in (["message.output_text.logprobs"], ["message.output_text.logprobs",
                                                           "reasoning.encrypted_content"]):
            self.assertEqual(self.client.responses.retrieve(response.id, include=include).id, response.id)
            self.client.responses.input_items.list(response.id, include=include)

    # 20, 23

    def test_trap_20_errors_come_before_streams(self):
        chat = {"messages": [{"role": "user", "content": "a"}], "stream": True}
        self.refused(openai.NotFoundError, lambda: self.client.chat.completions.create(model="none", **chat))
        self.refused(openai.BadRequestError, lambda: self.client.chat.completions.create(
            model="tiny", temperature=3, **chat), None, "temperature")
        self.refused(openai.BadRequestError, lambda: self.client.chat.completions.create(
            model="tiny", messages=[{"role": "user", "content": "many words " * 2000}], stream=True),
            "context_length_exceeded")
        self.refused(openai.BadRequestError, lambda: self.client.responses.create(
            model="tiny", input=[{"role": "nobody", "content": "a"}], stream=True))
        self.refused(openai.BadRequestError, lambda: self.client.completions.create(
            model="tiny", prompt="a", stream=True, best_of=3), None, "best_of")
        reply, body = self.plain("GET", "/v1/fine_tuning/jobs/none/events?stream=true")
        self.assertEqual(reply.status, 404, body)

    def test_trap_23_a_client_that_does_not_wait(self):
        """Nobody waits any more: nothing is left that would hold up the next."""
        long = {"model": "tiny", "messages": [{"role": "user", "content": "a"}], "n": 128, "max_tokens": 400,
                "logit_bias": {str(i): -100 for i in (0, 1, 2)}}
        hasty = self.server.client(timeout=0.05)
        for _ in range(3):
            with self.assertRaises(openai.APITimeoutError):
                hasty.chat.completions.create(**long)
        stream = self.client.chat.completions.create(**long, stream=True)
        next(iter(stream))
        stream.close()
        self.assertEqual(self.client.chat.completions.create(**{**long, "n": 1, "max_tokens": 2}).object,
                         "chat.completion")

    # 24 to 30

    def replies(self):
        """One of every kind."""
        json_ = [("Content-Type", "application/json")]

        def post(path, body):
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            return self.plain("POST", "/v1" + path, data, json_ + [("Content-Length", str(len(data)))])

        yield "list", self.plain("GET", "/v1/models")
        yield "job", self.plain("GET", "/v1/fine_tuning/jobs/" + self.job.id)
        yield "chat", post("/chat/completions", {"model": "tiny", "max_tokens": 1,
                                                 "messages": [{"role": "user", "content": "a"}]})
        yield "no route", self.plain("GET", "/v1/nothing/here")
        yield "no v1", self.plain("GET", "/v2/models")
        yield "another method", self.plain("PUT", "/v1/files", headers=[("Content-Length", "0")])
        yield "no key", self.plain("GET", "/v1/models", key=False)
        yield "a wrong key", self.plain("GET", "/v1/models", headers=[("Authorization", "Bearer sk-no")], key=False)
        yield "no file", self.plain("GET", "/v1/files/file-none")
        yield "no json", post("/chat/completions", b"{")
        yield "no utf-8", post("/chat/completions", b'{"model":"\xff"}')
        yield "too large", self.plain("POST", "/v1/chat/completions",
                                      headers=json_ + [("Content-Length", str(1 << 40))])
        yield "no multipart", post("/files", b"{}")
        yield "moderations", post("/moderations", {"input": "a"})

    def test_trap_24_every_reply_has_a_request_id(self):
        seen = set()
        for name, (reply, _) in self.replies():
            self.assertRegex(reply.headers["x-request-id"] or "", r"^req_\w+$", name)
            seen.add(reply.headers["x-request-id"])
        self.assertGreater(len(seen), 10)
        status, headers, _ = self.server.raw("GET", "/v1/files/%s/content" % self.train)
        self.assertTrue(headers["x-request-id"].startswith("req_"))
        status, headers, _ = self.server.raw("POST", "/v1/chat/completions", {
            "model": "tiny", "max_tokens": 1, "stream": True, "messages": [{"role": "user", "content": "a"}]})
        self.assertTrue(headers["x-request-id"].startswith("req_"))

    def test_trap_25_a_success_has_json_in_its_body(self):
        chat = self.client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "a"}],
                                                   max_tokens=1, store=True).id
        response = self.client.responses.create(model="tiny", input="a", max_output_tokens=16).id
        hook = self.client.post("/webhook_endpoints", cast_to=object, body={
            "name": "n", "url": "https://x.example/", "event_types": ["fine_tuning.job.failed"]})["id"]
        for path in ("/files/" + self.upload().id, "/chat/completions/" + chat, "/responses/" + response,
                     "/webhook_endpoints/" + hook):
            reply, body = self.plain("DELETE", "/v1" + path)
            self.assertEqual(reply.status, 200, body)
            self.assertTrue(strictly(body)["deleted"], path)
            self.assertEqual(reply.headers["content-type"].split(";")[0], "application/json")

    def test_trap_26_a_failure_has_the_envelope(self):
        failed = 0
        for name, (reply, body) in self.replies():
            self.assertEqual(reply.headers["content-type"].split(";")[0], "application/json", name)
            value = strictly(body)
            if reply.status >= 400:
                failed += 1
                self.assertEqual(set(value), {"error"}, name)
                self.assertEqual(set(value["error"]), {"message", "type", "param", "code"}, name)
                self.assertTrue(value["error"]["message"], name)
            self.assertLess(reply.status, 500, name)
        self.assertGreater(failed, 9)

    def test_trap_27_no_nan(self):
        job = "/fine_tuning/jobs/" + self.job.id
        for path in (job, job + "/events?limit=100", job + "/checkpoints"):
            self.get(path)
        run = self.post("/fine_tuning/alpha/graders/run", {
            "grader": {"type": "python", "name": "p", "source": "def grade(sample, item):\n    return float('nan')\n"},
            "model_sample": "a", "item": {}})
        self.assertEqual((run["reward"], run["metadata"]["errors"]["python_grader_runtime_error"]), (0, True))

    def test_trap_28_times_are_whole_numbers(self):
        found = []

        def walk(value):
            if isinstance(value, dict):
                for key, v in value.items():
                    if key.endswith("_at") or key == "created":
                        found.append(key)
                        self.assertTrue(v is None or type(v) is int, (key, v))
                        self.assertTrue(v is None or 1e9 < v < 1e10, (key, v))
                    walk(v)
            elif isinstance(value, list):
                for v in value:
                    walk(v)

        job = "/fine_tuning/jobs/" + self.job.id
        for path in ("/files", "/models", "/fine_tuning/jobs", job + "/events", job + "/checkpoints"):
            walk(self.get(path))
        walk(self.post("/chat/completions", {"model": "tiny", "max_tokens": 1,
                                             "messages": [{"role": "user", "content": "a"}]}))
        walk(self.post("/responses", {"model": "tiny", "input": "a", "max_output_tokens": 16}))
        walk(self.post("/uploads", {"bytes": 1, "filename": "a", "mime_type": "b", "purpose": "fine-tune"}))
        self.assertLessEqual({"created_at", "finished_at", "created", "expires_at", "completed_at"}, set(found))

    def test_trap_29_nobody_is_sent_elsewhere(self):
        for method_, path in (("POST", "/v1/fine_tuning/jobs/"), ("GET", "/v1/models/"), ("POST", "/v1//files"),
                              ("GET", "/v1/./models"), ("GET", "/models")):
            reply, body = self.plain(method_, path, headers=[("Content-Length", "0")])
            self.assertIn(reply.status, (400, 404, 405), (path, body))
            self.assertIsNone(reply.headers["location"])

    def test_trap_30_nothing_needs_compression(self):
        plain, body = self.plain("GET", "/v1/models")
        asked, same = self.plain("GET", "/v1/models", headers=[("Accept-Encoding", "gzip, deflate")])
        self.assertEqual((asked.headers["content-encoding"], same), (None, body))
        reply, body = self.plain("POST", "/v1/chat/completions", b"\x1f\x8b\x08\x00",
                                 [("Content-Encoding", "gzip"), ("Content-Length", "4"),
                                  ("Content-Type", "application/json")])
        self.assertIn(reply.status, (400, 415), body)

    # 32 to 35

    def test_trap_32_clients_of_version_1(self):
        headers = {"User-Agent": "OpenAI/Python 1.3.0", "X-Stainless-Package-Version": "1.3.0",
                   "OpenAI-Beta": "assistants=v2"}
        self.get("/models", **headers)
        self.post("/fine_tuning/jobs/%s/pause" % self.paused.id, b"", 400, **headers)
        old = self.post("/fine_tuning/jobs", {"model": "tiny", "training_file": self.upload([
            {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}] * 10).id,
            "hyperparameters": {"n_epochs": 1}}, **headers)  # before there was "method"
        self.assertEqual(old["hyperparameters"]["n_epochs"], 1)
        self.jobs.cancel(old["id"])

    def test_trap_33_azure_s_ways(self):
        for path in ("/v1/models?api-version=2025-04-01-preview", "/v1/files?api-version=preview&x=y"):
            status, _, body = self.server.raw("GET", path, headers={"api-key": self.server.key}, key=False)
            self.assertEqual(status, 200, body)
            status, _, body = self.server.raw("GET", path, headers={"api-key": "sk-wrong"}, key=False)
            self.assertEqual(status, 401, body)

    def test_trap_34_three_names_for_a_limit(self):
        self.client.fine_tuning.alpha.graders.validate(grader=SCORE)
        chat = {"model": "tiny", "messages": [{"role": "user", "content": "a"}], "seed": 1}
        for key in ("max_completion_tokens", "max_tokens"):
            self.assertEqual(self.client.chat.completions.create(**chat, **{key: 3}).usage.completion_tokens, 3)
        self.assertEqual(self.client.responses.create(model="tiny", input="a", max_output_tokens=16,
                                                      extra_body={"seed": 1}).max_output_tokens, 16)
        wrong = self.post("/fine_tuning/alpha/graders/validate", {"grader": {**SCORE, "sampling_params": {
            "max_completions_tokens": 0}}}, 400)
        self.assertIn("max_completions_tokens", wrong["error"]["message"])

    def test_trap_35_spellings(self):
        job = self.create()
        self.assertEqual(self.jobs.cancel(job.id).status, "cancelled")
        name = self.job.fine_tuned_model
        for order in ("ascending", "descending"):
            self.get("/fine_tuning/checkpoints/%s/permissions?order=%s" % (urllib.parse.quote(name), order))
        for order in ("asc", "desc"):
            self.get("/files?order=" + order)
        run = self.client.fine_tuning.alpha.graders.run
        for operation in ("ne", "neq"):
            reply = self.post("/fine_tuning/alpha/graders/run", {
                "grader": {**EXACT, "operation": operation}, "model_sample": "a", "item": {"answer": "b"}})
            self.assertEqual(reply["reward"], 1)
        self.assertEqual(run(grader=EXACT, model_sample="a", item={"answer": "a"}).reward, 1)


if __name__ == "__main__":
    unittest.main()
