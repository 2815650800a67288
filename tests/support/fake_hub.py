"""A model hub on loopback, and the CDN on another port that it leads to, as good or as bad as a test wants them.

    with FakeHub() as hub:
        repo = hub.add("org/tiny", {"config.json": b"...", "model.safetensors": b"..."})
        hub.rules.break_after = lambda size: dice.randrange(size)
        ... HF_ENDPOINT=hub.url hone pull org/tiny ...
        hub.asked       every request: .host ("hub", "cdn"), .path, .range, .headers, .sent (bytes of a file's body)

Files of LARGE bytes and more are kept as by Git LFS: the listing has their SHA-256, and the hub redirects to the CDN, with a
long query as signed addresses have one. Others come from the hub itself, by a redirect to a path. Plain folders are at hub.url/plain/NAME/.
"""
import base64
import hashlib
import http.server
import json
import random
import re
import threading
import time
import urllib.parse

LARGE = 4096


class Rules:
    """What goes wrong. Functions are asked once a request."""

    def __init__(self):
        self.token = None  # the only one that may read
        self.page = 1000  # entries of a page of the listing
        self.break_after = None  # size of the body -> how many bytes of it come before the connection ends, or None
        self.status = None  # path -> another status than the right one, or None
        self.retry_after = "0"
        self.ignore_ranges = False  # or a function of the path
        self.content_range = None  # (first, last, size) -> what is told instead
        self.length = None  # length of a whole body -> what is told instead
        self.etag = None  # the right one -> another; None: none
        self.chunk, self.pause = 1 << 20, 0  # bytes at a time, seconds between
        self.listed = None  # an entry of the listing -> another one
        self.commit = None


class Repo:
    def __init__(self, files, commit):
        self.files, self.commit = files, commit
        self.gated = self.revision = None


class Asked:
    def __init__(self, host, path, headers):
        self.host, self.path, self.headers = host, path, dict(headers)
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", headers.get("Range", ""))
        self.range = (int(match[1]), int(match[2])) if match else None
        self.token = headers.get("Authorization")
        self.name = self.size = None
        self.status = 0
        self.sent = 0


class FakeHub:
    def __init__(self):
        self.repos, self.plain, self.asked, self.rules = {}, {}, [], Rules()
        self.blobs = {}
        self.lock = threading.Lock()
        self.servers = [self.serve("hub"), self.serve("cdn")]
        self.url, self.cdn = ("http://127.0.0.1:%d" % s.server_address[1] for s in self.servers)

    def __enter__(self):
        return self

    def __exit__(self, *why):
        for server in self.servers:
            server.shutdown()
            server.server_close()

    def serve(self, host):
        handler = type("Handler", (Handler,), {"hub": self, "host": host})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        server.handle_error = lambda *who: None  # clients that leave, and are killed
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return server

    def add(self, name, files, commit=None):
        repo = Repo(files, commit or hashlib.sha1(repr(sorted(files)).encode()).hexdigest())
        self.repos[name] = repo
        return repo

    def of_files(self, host=None):
        return [a for a in self.asked if a.name is not None and (host is None or a.host == host)]

    def forget(self):
        with self.lock:
            self.asked = []


def entry(path, content):
    sha1 = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    if len(content) < LARGE:
        return {"type": "file", "oid": sha1, "size": len(content), "path": path}
    return {"type": "file", "oid": sha1, "size": len(content), "path": path, "xetHash": "0" * 64,
            "lfs": {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        self.record = Asked(self.host, self.path, self.headers)
        with self.hub.lock:
            self.hub.asked.append(self.record)
        try:
            self.answer()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def answer(self):
        rules = self.hub.rules
        status = rules.status(self.path) if rules.status else None
        if status:
            return self.reply(status, b"{}", {"Retry-After": rules.retry_after} if status == 429 else {})
        path = urllib.parse.urlsplit(self.path).path
        if self.host == "cdn":
            return self.file(self.hub.blobs[path.strip("/")])
        match = re.fullmatch(r"/plain/(.*)", path)
        if match:
            name = urllib.parse.unquote(match[1])
            return self.file(name) if name in self.hub.plain else self.reply(404, b"no such file")
        match = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(revision|tree)/([^/]+)", path)
        if match:
            return self.repo(match[1], self.revision if match[2] == "revision" else self.tree, match[3])
        match = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.*)", path)
        if match:
            return self.repo(match[1], self.resolve, match[2], urllib.parse.unquote(match[3]))
        match = re.fullmatch(r"/cache/([^/]+/[^/]+)/(.*)", path)
        if match:
            return self.file((match[1], urllib.parse.unquote(match[2])))
        self.reply(404, b"?")

    # ---- the hub ----

    def repo(self, name, answer, revision, *more):
        repo, token = self.hub.repos.get(name), self.hub.rules.token
        if repo is None:
            return self.reply(404 if self.record.token else 401, b"", {"X-Error-Code": "RepoNotFound"})
        if token and self.record.token not in (None, "Bearer " + token):
            return self.reply(401, b"")
        if repo.gated and answer == self.resolve and (self.record.token is None or repo.gated == "asked"):
            return self.reply(401 if self.record.token is None else 403, b"", {"X-Error-Code": "GatedRepo"})
        if urllib.parse.unquote(revision) not in ("main", repo.commit, repo.revision):
            return self.reply(404, b"", {"X-Error-Code": "RevisionNotFound"})
        answer(name, repo, *more)

    def revision(self, name, repo):
        self.reply(200, json.dumps({"id": name, "sha": self.hub.rules.commit or repo.commit}).encode())

    def tree(self, name, repo):
        rules = self.hub.rules
        at = int(urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query).get("cursor", ["0"])[0])
        paths = sorted(repo.files)
        entries = [{"type": "directory", "oid": "0" * 40, "size": 0, "path": "onnx"}] if at == 0 else []
        for path in paths[at:at + rules.page]:
            e = entry(path, repo.files[path])
            entries.append(rules.listed(e) if rules.listed else e)
        headers = {}
        if at + rules.page < len(paths):
            headers["Link"] = '<%s/api/models/%s/tree/%s?recursive=true&cursor=%d>; rel="next"' % (
                self.hub.url, name, repo.commit, at + rules.page)
        self.reply(200, json.dumps(entries).encode(), headers)

    def resolve(self, name, repo, path):
        if path not in repo.files:
            return self.reply(404, b"", {"X-Error-Code": "EntryNotFound"})
        content = repo.files[path]
        if len(content) < LARGE:
            return self.reply(307, b"Temporary Redirect. Redirecting", {"Location": "/cache/%s/%s" % (
                name, urllib.parse.quote(path))})
        sha = hashlib.sha256(content).hexdigest()
        self.hub.blobs["blob/" + sha] = (name, path)
        self.reply(302, b"Found", {"Location": "%s/blob/%s?X-Amz-Signature=%s" % (
            self.hub.cdn, sha, base64.b16encode(random.randbytes(700)).decode()), "X-Linked-Size": str(len(content))})

    # ---- bytes ----

    def reply(self, status, body, headers=()):
        self.record.status = status
        self.send_response(status)
        for key, value in dict(headers).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def file(self, name):
        rules, asked = self.hub.rules, self.record
        content = self.hub.repos[name[0]].files[name[1]] if isinstance(name, tuple) else self.hub.plain[name]
        size = len(content)
        first, last = asked.range or (0, size - 1)
        ignore = rules.ignore_ranges(self.path) if callable(rules.ignore_ranges) else rules.ignore_ranges
        ranged = asked.range is not None and not ignore
        if not ranged:
            first, last = 0, size - 1
        asked.name, asked.size = name[1] if isinstance(name, tuple) else name, size
        if ranged and first >= size:
            return self.reply(416, b"", {"Content-Range": "bytes */%d" % size})
        last = min(last, size - 1)
        body = content[first:last + 1]
        self.record.status = 206 if ranged else 200
        self.send_response(self.record.status)
        if ranged:
            told = rules.content_range(first, last, size) if rules.content_range else "bytes %d-%d/%d" % (first, last, size)
            self.send_header("Content-Range", told)
        etag = '"%s"' % hashlib.md5(content).hexdigest()
        etag = rules.etag(etag) if rules.etag else etag
        if etag:
            self.send_header("ETag", etag)
        self.send_header("Content-Length", str(rules.length(len(body)) if rules.length else len(body)))
        self.end_headers()
        cut = rules.break_after(len(body)) if rules.break_after else None
        self.pour(body if cut is None else body[:cut])
        if cut is not None or rules.length:
            self.close_connection = True

    def pour(self, body):
        for at in range(0, len(body), self.hub.rules.chunk):
            piece = body[at:at + self.hub.rules.chunk]
            self.record.sent += len(piece)  # first, since who has all of it may look at once
            self.wfile.write(piece)
            if self.hub.rules.pause:
                time.sleep(self.hub.rules.pause)
