"""The fake server answers as the API does: what stands on it would otherwise show nothing."""
import base64
import json
import struct
import time
import unittest
import urllib.error
import urllib.request

from fake_openai import Failure, FakeOpenAI, Garbage, Refusal, Stall, Structured

SCHEMA = {"type": "json_schema", "json_schema": {"name": "score", "strict": True, "schema": {
    "type": "object", "properties": {"steps": {"type": "array"}, "result": {"type": "number"}}}}}
LABELS = {"type": "json_schema", "json_schema": {"name": "label", "schema": {
    "type": "object", "properties": {"label": {"type": "string", "enum": ["good", "bad"]}, "why": {"type": "string"}}}}}


class Fake(unittest.TestCase):
    def setUp(self):
        self.server = FakeOpenAI(key="sk-test")
        self.server.__enter__()
        self.addCleanup(self.server.__exit__)

    def post(self, path, body, key="sk-test", timeout=10):
        request = urllib.request.Request(self.server.root + path, json.dumps(body).encode(),
                                         {"Content-Type": "application/json", "Authorization": "Bearer " + key})
        with urllib.request.urlopen(request, timeout=timeout) as reply:
            return reply.read()

    def chat(self, **more):
        body = {"model": "m", "messages": [{"role": "user", "content": "hello"}], **more}
        return json.loads(self.post("/v1/chat/completions", body))["choices"][0]["message"]

    def fails(self, status, path="/v1/chat/completions", **options):
        with self.assertRaises(urllib.error.HTTPError) as caught:
            self.post(path, {}, **options)
        self.assertEqual(caught.exception.code, status)
        self.assertIn("message", json.loads(caught.exception.read())["error"])
        return caught.exception.headers

    def test_answers_come_in_order_and_the_last_stays(self):
        self.server.chat.answers = ["one", {"two": 2}, lambda request: request.body["messages"][0]["content"]]
        self.assertEqual([self.chat()["content"] for _ in range(4)], ["one", '{"two": 2}', "hello", "hello"])
        self.assertEqual(len(self.server.chat.asked), 4)
        self.assertEqual(self.server.chat.asked[0].headers["authorization"], "Bearer sk-test")

    def test_structured_answers_follow_the_schema_asked_for(self):
        self.server.chat.answers = [Structured(result=0.5), Structured(choice="bad"), Structured(result=2)]
        self.assertEqual(json.loads(self.chat(response_format=SCHEMA)["content"]), {"steps": [], "result": 0.5})
        self.assertEqual(json.loads(self.chat(response_format=LABELS)["content"]), {"label": "bad", "why": "..."})
        self.assertEqual(json.loads(self.chat()["content"]), {"result": 2})

    def test_refusals_failures_and_garbage(self):
        self.server.chat.answers = [Refusal("no"), Failure(429, {"Retry-After": "7"}), Failure(500), Garbage(b"{"), "fine"]
        message = self.chat()
        self.assertEqual((message["content"], message["refusal"]), (None, "no"))
        self.assertEqual(self.fails(429)["Retry-After"], "7")
        self.fails(500)
        self.assertEqual(self.post("/v1/chat/completions", {}), b"{")
        self.assertEqual(self.chat()["content"], "fine")

    def test_the_key_is_looked_at(self):
        self.fails(401, key="sk-other")
        self.assertEqual(self.server.chat.asked, [])
        self.fails(404, path="/v1/nothing")

    def test_a_stall_lasts_no_longer_than_the_server(self):
        self.server.chat.answers = [Stall()]
        with self.assertRaises((TimeoutError, urllib.error.URLError)):
            self.post("/v1/chat/completions", {}, timeout=0.2)
        start = time.monotonic()
        self.server.stopping.set()
        with self.assertRaises(ConnectionError):
            self.post("/v1/chat/completions", {})
        self.assertLess(time.monotonic() - start, 5)

    def test_embeddings_are_given_for_each_text_in_both_codings(self):
        self.server.embeddings.answers = [lambda request: [float(len(request.text)), 0.5]]
        body = json.loads(self.post("/v1/embeddings", {"model": "e", "input": ["a", "bcd"]}))
        self.assertEqual([row["embedding"] for row in body["data"]], [[1.0, 0.5], [3.0, 0.5]])
        body = json.loads(self.post("/v1/embeddings", {"model": "e", "input": "ab", "encoding_format": "base64"}))
        self.assertEqual(struct.unpack("<2f", base64.b64decode(body["data"][0]["embedding"])), (2.0, 0.5))

    def test_an_endpoint_grader_gets_a_score(self):
        self.server.grade.answers = [0.25, {"score": "high"}]
        self.assertEqual(json.loads(self.post("/grade", {"sample": {}, "item": {}}, key="any")), {"score": 0.25})
        self.assertEqual(json.loads(self.post("/grade", {}, key="any")), {"score": "high"})
        self.assertEqual(self.server.grade.asked[0].body, {"sample": {}, "item": {}})


if __name__ == "__main__":
    unittest.main()
