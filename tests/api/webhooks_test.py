"""Webhook endpoints by the official client, and a receiver that checks signatures with it."""
import http.server
import socket
import socket
import threading
import unittest

from server import ApiTest, CLOSE, jsonl, openai, rows


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((dict(self.headers), body.decode()))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


def receive(test):
    """A receiver, until the test ends; got has the headers and the body of each request."""
    receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    receiver.got = []
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    test.addCleanup(receiver.server_close)
    test.addCleanup(receiver.shutdown)
    return receiver


class Webhooks(ApiTest):
    options = ("--allow-private-webhooks",)

    def setUp(self):
        self.receiver = receive(self)
        self.url = "http://127.0.0.1:%d/hook" % self.receiver.server_port
        self.endpoints = self.client.webhooks.endpoints if hasattr(self.client.webhooks, "endpoints") else None

    def post(self, path, body=None):
        return self.client.post("/webhook_endpoints" + path, body=body, cast_to=object)

    def get(self, path):
        return self.client.get(path, cast_to=object)

    def make(self, *types):
        return self.post("", {"name": "mine", "url": self.url, "event_types": list(types)})

    def test_an_endpoint_lives(self):
        made = self.make("fine_tuning.job.failed")
        self.assertEqual((made["object"], made["name"], made["url"], made["event_types"]),
                         ("webhook_endpoint", "mine", self.url, ["fine_tuning.job.failed"]))
        self.assertRegex(made["signing_secret"], r"^whsec_[A-Za-z0-9+/]{43}=$")
        self.assertTrue(made["signing_secret"].endswith(made["signing_secret_hint"][-4:]))
        shown = self.get("/webhook_endpoints/" + made["id"])
        self.assertNotIn("signing_secret", shown)
        self.assertEqual(shown, {k: v for k, v in made.items() if k != "signing_secret"})
        self.assertIn(shown, self.get("/webhook_endpoints")["data"])
        changed = self.post("/" + made["id"], {"name": "yours"})
        self.assertEqual((changed["name"], changed["url"]), ("yours", self.url))
        gone = self.client.delete("/webhook_endpoints/" + made["id"], cast_to=object)
        self.assertEqual(gone, {"id": made["id"], "object": "webhook_endpoint.deleted", "deleted": True})
        self.refused(openai.NotFoundError, lambda: self.get("/webhook_endpoints/" + made["id"]), "not_found")

    def test_what_is_wrong_is_named(self):
        def bad(param, **body):
            self.refused(openai.BadRequestError, lambda: self.post("", {
                "name": "n", "url": self.url, "event_types": ["fine_tuning.job.failed"], **body}), None, param)
        bad("url", url="ftp://x/")
        bad("url", url="file:///etc/passwd")
        bad("url", url="http://user:pass@x/")
        bad("url", url=None)
        bad("name", name="")
        bad("event_types", event_types=[])
        bad("event_types", event_types=["fine_tuning.job.exploded"])

    def test_event_types(self):
        types = self.get("/webhook_event_types")
        self.assertEqual(types["object"], "list")
        self.assertLessEqual({"fine_tuning.job.succeeded", "fine_tuning.job.failed", "fine_tuning.job.cancelled",
                              "eval.run.succeeded", "eval.run.canceled"}, set(types["data"]))

    def test_a_test_event_is_signed(self):
        made = self.make("fine_tuning.job.succeeded")
        result = self.post("/%s/test" % made["id"], {"event_type": "fine_tuning.job.succeeded"})
        self.assertEqual(result, {"object": "webhook_endpoint.test", "webhook_endpoint_id": made["id"],
                                  "event_type": "fine_tuning.job.succeeded", "status_code": 200, "success": True})
        headers, body = self.receiver.got[-1]
        event = self.client.webhooks.unwrap(body, headers, secret=made["signing_secret"])
        self.assertEqual(event.type, "fine_tuning.job.succeeded")
        with self.assertRaises(openai.InvalidWebhookSignatureError):
            self.client.webhooks.unwrap(body + " ", headers, secret=made["signing_secret"])
        rotated = self.post("/%s/rotate_secret" % made["id"], {"keep_old_secret_active_for_24_hours": True})
        self.post("/%s/test" % made["id"], {"event_type": "fine_tuning.job.succeeded"})
        headers, body = self.receiver.got[-1]
        for secret in (made["signing_secret"], rotated["signing_secret"]):
            self.client.webhooks.verify_signature(body, headers, secret=secret)
        newest = self.post("/%s/rotate_secret" % made["id"])
        self.post("/%s/test" % made["id"], {"event_type": "fine_tuning.job.succeeded"})
        headers, body = self.receiver.got[-1]
        self.client.webhooks.verify_signature(body, headers, secret=newest["signing_secret"])
        with self.assertRaises(openai.InvalidWebhookSignatureError):
            self.client.webhooks.verify_signature(body, headers, secret=rotated["signing_secret"])

    def test_a_job_s_end_is_told(self):
        made = self.make("fine_tuning.job.cancelled")
        job = self.client.fine_tuning.jobs.create(
            model="tiny", training_file=self.upload().id,
            method={"type": "reinforcement", "reinforcement": {"grader": CLOSE}})
        self.client.fine_tuning.jobs.cancel(job.id)
        self.wait(lambda: self.receiver.got, 20)
        headers, body = self.receiver.got[-1]
        event = self.client.webhooks.unwrap(body, headers, secret=made["signing_secret"])
        self.assertEqual((event.type, event.data.id), ("fine_tuning.job.cancelled", job.id))


    def test_receivers_that_never_answer_hold_up_their_own_project_alone(self):
        silent = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(silent.close)
        came = []

        def hear():
            try:
                while True:
                    came.append(silent.accept()[0])
            except OSError:
                pass

        threading.Thread(target=hear, daemon=True).start()
        made = self.client.post("/organization/projects", body={"name": "other"}, cast_to=object)["id"]
        other = {"headers": {"OpenAI-Project": made}}
        url = "http://127.0.0.1:%d/" % silent.getsockname()[1]
        for _ in range(4):
            self.client.post("/webhook_endpoints", cast_to=object, options=other, body={
                "name": "silent", "url": url, "event_types": ["fine_tuning.job.cancelled"]})
        self.make("fine_tuning.job.cancelled")
        for headers in (other["headers"], {}):
            client = self.client.with_options(default_headers=headers)
            file = client.files.create(file=("train.jsonl", jsonl(rows())), purpose="fine-tune")
            job = client.fine_tuning.jobs.create(model="tiny", training_file=file.id, method={
                "type": "reinforcement", "reinforcement": {"grader": CLOSE}})
            client.fine_tuning.jobs.cancel(job.id)
            self.wait(lambda: came)  # the sender is at the silent ones when the other project's job ends
        self.wait(lambda: self.receiver.got)
        self.assertLessEqual(len(came), 2)


class Private(ApiTest):
    def test_this_machine_is_not_reached(self):
        here = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(here.close)
        here.setblocking(False)
        made = self.client.post("/webhook_endpoints", cast_to=object, body={
            "name": "n", "url": "http://127.0.0.1:%d/" % here.getsockname()[1], "event_types": ["fine_tuning.job.failed"]})
        self.refused(openai.BadRequestError, lambda: self.client.post(
            "/webhook_endpoints/%s/test" % made["id"], body={"event_type": "fine_tuning.job.failed"},
            cast_to=object), "webhook_failed", "url", "private network")
        with self.assertRaises(BlockingIOError):  # nobody has come
            here.accept()

    def test_the_log_holds_no_text_and_no_key(self):
        self.client.post("/webhook_endpoints", cast_to=object, body={
            "name": "a secret name", "url": "https://x.example/", "event_types": ["fine_tuning.job.failed"]})
        with self.assertRaises(openai.NotFoundError):
            self.client.models.retrieve("a secret model")
        self.wait(lambda: any(call["route"] == "/v1/models/{}" for call in self.server.calls()))
        said = self.server.said()
        self.assertNotIn("secret", said)
        self.assertNotIn(self.server.key, said)
        call = [c for c in self.server.calls() if c["route"] == "/v1/models/{}"][-1]
        self.assertEqual((call["status"], call["method"]), (404, "GET"))
        self.assertTrue(call["key"] and call["project"] and call["request"].startswith("req_"))


if __name__ == "__main__":
    unittest.main()
