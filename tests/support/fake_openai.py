"""An OpenAI-compatible server on loopback that answers what a test tells it to, and remembers what it was asked.

    with FakeOpenAI(key="sk-test") as server:
        server.chat.answers = [Failure(429, {"Retry-After": "0"}), Structured(result=0.5)]
        ... hone grade --judge server.url ...
        server.chat.asked[0].body["messages"]

Three routes: `chat` (POST /v1/chat/completions), `embeddings` (POST /v1/embeddings) and `grade` (POST /grade, what the
grader type "endpoint" calls). Each has `answers`, taken in order, the last one again and again; an answer is a value, or a
function of the request that gives one:

    chat         text, or a JSON value that becomes text; Structured; Refusal
    embeddings   a list of numbers, for every text; better a function of the request (text is in .text)
    grade        a number, which becomes {"score": number}, or any other JSON value as the whole body
    any          Failure, Garbage, Stall

With a key, /v1/ wants "Authorization: Bearer KEY" and says 401 otherwise. /grade wants nothing: its tests look at headers.
"""
import base64
import http.server
import json
import struct
import threading
import time


class Failure:
    """An HTTP error, with the body that the API has for it."""

    def __init__(self, status, headers=None, message="told to fail"):
        self.status, self.headers, self.message = status, headers or {}, message


class Garbage:
    """Status 200 and bytes that are no reply."""

    def __init__(self, content=b"<html>not JSON"):
        self.content = content


class Stall:
    """Says nothing for a time, then closes the connection. It ends early when the server does."""

    def __init__(self, seconds=3600.0):
        self.seconds = seconds


class Refusal:
    """The model will not say."""

    def __init__(self, text="I can't help with that."):
        self.text = text


class Structured:
    """JSON of the schema that the request asked for. A property of the name that is given, or an enum that holds a given
    value, gets it; numbers are otherwise 0, texts "...", arrays empty."""

    def __init__(self, **values):
        self.values = values

    def text(self, request):
        form = request.body.get("response_format") or {}
        schema = (form.get("json_schema") or {}).get("schema")
        return json.dumps(self.fill("", schema) if schema else self.values)

    def fill(self, name, schema):
        if name in self.values:
            return self.values[name]
        if "enum" in schema:
            given = [value for value in self.values.values() if value in schema["enum"]]
            return (given or schema["enum"])[0]
        kind = schema.get("type")
        if kind == "object":
            return {key: self.fill(key, part) for key, part in schema.get("properties", {}).items()}
        return {"array": [], "number": 0, "integer": 0, "boolean": False, "null": None}.get(kind, "...")


class Asked:
    """A request: path, headers (names in lower case), body, the time.monotonic() it came at, text of an embedding."""

    def __init__(self, path, headers, body):
        self.path, self.headers, self.body, self.at = path, headers, body, time.monotonic()
        self.text = None


class Route:
    def __init__(self, answers):
        self.lock = threading.Lock()
        self.answers = answers  # the test's to set, before it asks
        self.asked = []

    def next_answer(self, request):
        with self.lock:
            answer = self.answers[min(len(self.asked), len(self.answers) - 1)]
            self.asked.append(request)
        return answer(request) if callable(answer) else answer


class FakeOpenAI:
    USAGE = {"prompt_tokens": 190, "completion_tokens": 134, "total_tokens": 324,
             "prompt_tokens_details": {"cached_tokens": 12}, "completion_tokens_details": {"reasoning_tokens": 100}}

    def __init__(self, key=None):
        self.key = key
        self.chat = Route([Structured()])
        self.embeddings = Route([lambda request: [1.0, 0.0]])
        self.grade = Route([0.0])
        self.stopping = threading.Event()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler_of(self))
        self.server.daemon_threads = True
        self.root = "http://127.0.0.1:%d" % self.server.server_address[1]
        self.url = self.root + "/v1"

    def __enter__(self):
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()
        return self

    def __exit__(self, *why):
        self.stopping.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    # ---- bodies ----

    def completion(self, request, answer):
        message = {"role": "assistant", "content": None, "refusal": None}
        if isinstance(answer, Refusal):
            message["refusal"] = answer.text
        elif isinstance(answer, Structured):
            message["content"] = answer.text(request)
        else:
            message["content"] = answer if isinstance(answer, str) else json.dumps(answer)
        return {"id": "chatcmpl-%d" % len(self.chat.asked), "object": "chat.completion", "created": 1739314509,
                "model": request.body.get("model"), "usage": self.USAGE, "system_fingerprint": None,
                "choices": [{"index": 0, "finish_reason": "stop", "logprobs": None, "message": message}]}

    def embedding_list(self, request, vectors):
        if request.body.get("encoding_format") == "base64":
            vectors = [base64.b64encode(struct.pack("<%df" % len(v), *v)).decode() for v in vectors]
        return {"object": "list", "model": request.body.get("model"), "usage": {"prompt_tokens": 8, "total_tokens": 8},
                "data": [{"object": "embedding", "index": i, "embedding": v} for i, v in enumerate(vectors)]}


def handler_of(fake):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            size = int(self.headers.get("Content-Length") or 0)
            content = self.rfile.read(size)
            headers = {name.lower(): value for name, value in self.headers.items()}
            try:
                body = json.loads(content)
            except ValueError:
                return self.send(Failure(400, message="the body is not JSON"))
            if self.path.startswith("/v1/") and fake.key is not None and headers.get("authorization") != "Bearer " + fake.key:
                return self.send(Failure(401, message="Incorrect API key provided"))
            request = Asked(self.path, headers, body)
            if self.path == "/v1/chat/completions":
                answer = fake.chat.next_answer(request)
                return self.send(answer, lambda: fake.completion(request, answer))
            if self.path == "/v1/embeddings":
                return self.embed(request)
            if self.path == "/grade":
                answer = fake.grade.next_answer(request)
                number = isinstance(answer, (int, float)) and not isinstance(answer, bool)
                return self.send(answer, lambda: {"score": answer} if number else answer)
            return self.send(Failure(404, message="no such route"))

        def embed(self, request):
            given, vectors = request.body.get("input"), []
            texts = given if isinstance(given, list) else [given]
            for text in texts:
                request.text = text
                vectors.append(fake.embeddings.next_answer(request))
                if not isinstance(vectors[-1], list):
                    return self.send(vectors[-1])
            return self.send(vectors, lambda: fake.embedding_list(request, vectors))

        def do_GET(self):
            if self.path == "/v1/models":
                return self.send({}, lambda: {"object": "list", "data": [{"id": "fake", "object": "model"}]})
            return self.send(Failure(404, message="no such route"))

        def send(self, answer, body=None):
            status, headers = 200, {}
            if isinstance(answer, Stall):
                fake.stopping.wait(answer.seconds)
                self.close_connection = True
                return
            if isinstance(answer, Garbage):
                content = answer.content
            elif isinstance(answer, Failure):
                status, headers = answer.status, answer.headers
                content = json.dumps({"error": {"message": answer.message, "type": "server_error" if status >= 500 else
                                                "invalid_request_error", "param": None, "code": None}}).encode()
            else:
                content = json.dumps(body()).encode()
            try:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)
            except ConnectionError:
                self.close_connection = True  # the other side gave up

        def log_message(self, *words):
            pass

    return Handler
