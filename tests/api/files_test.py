"""Files and uploads by the official client."""
import contextlib
import hashlib
import http.client
import json
import os
import socket
import unittest
import urllib.parse

from server import ApiTest, jsonl, rows, openai


class Files(ApiTest):
    def test_a_file_is_kept_as_it_was(self):
        content = os.urandom(300_000)
        made = self.client.files.create(file=("a.jsonl", content), purpose="fine-tune")
        self.assertRegex(made.id, r"^file-\w+$")
        self.assertEqual((made.object, made.bytes, made.filename, made.purpose, made.status),
                         ("file", len(content), "a.jsonl", "fine-tune", "processed"))
        self.assertEqual(self.client.files.retrieve(made.id), made)
        reply = self.client.files.content(made.id)
        self.assertEqual(reply.read(), content)
        self.assertIn("filename=\"a.jsonl\"", reply.response.headers["content-disposition"])
        self.assertEqual(reply.response.headers["x-content-type-options"], "nosniff")
        self.assertEqual(self.client.files.wait_for_processing(made.id).id, made.id)
        gone = self.client.files.delete(made.id)
        self.assertEqual((gone.id, gone.deleted, gone.object), (made.id, True, "file"))
        self.refused(openai.NotFoundError, lambda: self.client.files.retrieve(made.id), "not_found")
        self.refused(openai.NotFoundError, lambda: self.client.files.content(made.id), "not_found")
        self.refused(openai.NotFoundError, lambda: self.client.files.delete(made.id), "not_found")

    def test_any_name_comes_back(self):
        for name in ("ä \"quoted\".jsonl", "x.html", "日本.csv"):
            made = self.client.files.create(file=(name, b"x\n"), purpose="evals")
            self.assertEqual(made.filename, name)
            headers = self.client.files.content(made.id).response.headers
            self.assertIn("filename*=UTF-8''" + urllib.parse.quote(name, safe="-_."), headers["content-disposition"])
            self.assertNotIn("html", headers["content-type"])

    def test_an_empty_file_is_one(self):
        made = self.client.files.create(file=("empty", b""), purpose="user_data")
        self.assertEqual(made.bytes, 0)
        self.assertEqual(self.client.files.content(made.id).read(), b"")

    def test_expiry(self):
        made = self.client.files.create(file=("a", b"1"), purpose="fine-tune",
                                        expires_after={"anchor": "created_at", "seconds": 3600})
        self.assertEqual(made.expires_at, made.created_at + 3600)
        batch = self.client.files.create(file=("a", b"1"), purpose="batch")
        self.assertEqual(batch.expires_at, batch.created_at + 2592000)
        self.assertIsNone(self.upload().expires_at)
        for seconds in (3599, 2592001, -1):
            self.refused(openai.BadRequestError, lambda: self.client.files.create(
                file=("a", b"1"), purpose="fine-tune",
                expires_after={"anchor": "created_at", "seconds": seconds}), "invalid_value", "expires_after.seconds")

    def test_what_is_wrong_is_named(self):
        self.refused(openai.BadRequestError,
                     lambda: self.client.files.create(file=("a", b"1"), purpose="poetry"), "invalid_value", "purpose")
        status, _, body = self.server.raw("POST", "/v1/files", b'{"purpose":"fine-tune"}',
                                          {"Content-Type": "application/json"})
        self.assertEqual(status, 400, body)
        self.assertIn(b'"error"', body)

    def test_pages(self):
        made = [self.upload(purpose="vision").id for _ in range(7)]
        listed = [f.id for f in self.client.files.list(purpose="vision", limit=3)]
        self.assertEqual(listed, made[::-1])
        self.assertEqual([f.id for f in self.client.files.list(purpose="vision", order="asc", limit=2)], made)
        page = self.client.files.list(purpose="vision", limit=3)
        self.assertTrue(page.has_more)
        self.assertEqual((page.first_id, page.last_id), (made[-1], made[-3]))
        self.refused(openai.NotFoundError, lambda: self.client.files.list(after="file-none"), param="after")
        self.refused(openai.BadRequestError, lambda: self.client.files.list(limit=0), param="limit")
        self.refused(openai.BadRequestError, lambda: self.client.files.list(order="up"), param="order")

    def test_strict_client(self):
        strict = self.server.client(_strict_response_validation=True)
        made = strict.files.create(file=("a.jsonl", jsonl(rows())), purpose="fine-tune")
        strict.files.retrieve(made.id)
        strict.files.list(limit=2)
        strict.files.delete(made.id)


class Uploads(ApiTest):
    def begin(self, n, **more):
        return self.client.uploads.create(bytes=n, filename="big.jsonl", mime_type="text/jsonl", purpose="fine-tune",
                                          **more)

    def test_parts_in_any_order(self):
        content = os.urandom(100_000)
        up = self.begin(len(content))
        self.assertEqual((up.status, up.object, up.expires_at), ("pending", "upload", up.created_at + 3600))
        self.assertIsNone(up.file)
        second = self.client.uploads.parts.create(up.id, data=content[60_000:])
        first = self.client.uploads.parts.create(up.id, data=content[:60_000])
        self.assertEqual(first.upload_id, up.id)
        done = self.client.uploads.complete(up.id, part_ids=[first.id, second.id],
                                            md5=hashlib.md5(content).hexdigest())
        self.assertEqual((done.status, done.file.bytes, done.file.filename), ("completed", len(content), "big.jsonl"))
        self.assertEqual(self.client.files.content(done.file.id).read(), content)
        again = self.client.uploads.complete(up.id, part_ids=[first.id, second.id])
        self.assertEqual(again.file.id, done.file.id)

    def test_the_helper(self):
        content = jsonl(rows(1000))
        done = self.client.uploads.upload_file_chunked(file=content, filename="x.jsonl", bytes=len(content),
                                                       mime_type="text/jsonl", purpose="fine-tune", part_size=10_000)
        self.assertEqual(self.client.files.content(done.file.id).read(), content)

    def test_what_does_not_add_up(self):
        up = self.begin(10)
        part = self.client.uploads.parts.create(up.id, data=b"12345")
        self.refused(openai.BadRequestError, lambda: self.client.uploads.complete(up.id, part_ids=[part.id]))
        self.refused(openai.BadRequestError, lambda: self.client.uploads.parts.create(up.id, data=b"1234567"))
        self.refused(openai.BadRequestError, lambda: self.client.uploads.complete(up.id, part_ids=["x"]),
                     param="part_ids")
        self.assertEqual(self.client.uploads.cancel(up.id).status, "cancelled")
        self.refused(openai.BadRequestError, lambda: self.client.uploads.parts.create(up.id, data=b"1"))
        self.refused(openai.NotFoundError, lambda: self.client.uploads.cancel("upload_none"))
        self.refused(openai.BadRequestError, lambda: self.begin(0), param="bytes")
        self.refused(openai.BadRequestError, lambda: self.begin(9 << 30), param="bytes")


HEAD = (b'--bb\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nfine-tune\r\n--bb\r\n'
        b'Content-Disposition: form-data; name="%s"; filename="a"\r\n\r\n')
END = b"\r\n--bb--\r\n"
LEFT = 300_000  # bytes of a quota


class Sender:
    """A form that is sent in chunks, so that nobody knows how long it will be."""

    def __init__(self, server, project, path="/v1/files", name=b"file", length=None):
        address = urllib.parse.urlparse(server.url)
        self.socket = socket.create_connection((address.hostname, address.port), timeout=60)
        self.is_chunked = length is None
        how = "Transfer-Encoding: chunked" if self.is_chunked else "Content-Length: %d" % (
            length + len(HEAD % name) + len(END))
        self.socket.sendall(("POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nOpenAI-Project: %s\r\n%s\r\n"
                             "Content-Type: multipart/form-data; boundary=bb\r\n\r\n" % (path, server.key, project, how)).encode())
        self.send(HEAD % name)

    def send(self, data):
        self.socket.sendall(b"%x\r\n%s\r\n" % (len(data), data) if self.is_chunked else data)

    def end(self):
        """(status, error or file)"""
        self.send(END)
        if self.is_chunked:
            self.socket.sendall(b"0\r\n\r\n")
        return self.answer()

    def answer(self):
        with self.socket, contextlib.closing(http.client.HTTPResponse(self.socket)) as reply:
            reply.begin()
            told = json.loads(reply.read())
            return reply.status, told.get("error", told)


class Quotas(ApiTest):
    """Nobody keeps more than a project's quota in files/incoming, however it is sent."""

    def setUp(self):
        self.project = self.client.post("/organization/projects", body={"name": "small", "quota_bytes": LEFT}, cast_to=object)["id"]
        self.there = self.server.client(project=self.project)
        self.incoming = os.path.join(self.server.home, "files", "incoming")

    def kept(self):
        """Bytes on their way."""
        n = 0
        for name in os.listdir(self.incoming) if os.path.isdir(self.incoming) else ():
            with contextlib.suppress(FileNotFoundError):  # it went meanwhile
                n += os.path.getsize(os.path.join(self.incoming, name))
        return n

    def is_full(self, told):
        self.assertEqual((told[0], told[1]["code"], told[1]["param"], told[1]["type"]),
                         (400, "storage_quota_exceeded", "file", "invalid_request_error"), told)
        self.assertRegex(told[1]["message"], "more they would pass its quota of %d bytes: delete files" % LEFT)
        self.assertEqual(set(told[1]), {"message", "type", "param", "code"})

    def test_without_a_length_it_ends_where_the_quota_does(self):
        s = Sender(self.server, self.project)
        s.send(b"x" * LEFT)  # to the byte
        told = s.end()
        self.assertEqual((told[0], told[1].get("bytes")), (200, LEFT), told)
        self.there.files.delete(told[1]["id"])
        s = Sender(self.server, self.project)
        for _ in range(100):
            s.send(b"x" * 30_000)
            self.assertLessEqual(self.kept(), LEFT)
        self.wait(lambda: self.kept() == 0)  # and not only at its end
        self.is_full(s.end())
        # the same words as for one that tells its length
        s = Sender(self.server, self.project, length=10 * LEFT)
        self.is_full(s.answer())
        self.assertEqual(self.there.files.list().data, [])
        self.upload()  # another project is not concerned

    def test_what_others_bring_counts(self):
        senders = [Sender(self.server, self.project) for _ in range(10)]
        for s in senders[:9]:
            s.send(b"x" * 30_000)
        self.wait(lambda: self.kept() == 270_000)
        known = Sender(self.server, self.project, length=40_000)
        known.send(b"x" * 40_000)
        self.is_full(known.end())
        for s in senders:  # all at once: one or none of them may go on
            s.send(b"x" * 25_000)
            self.assertLessEqual(self.kept(), LEFT)
        told = [s.end() for s in senders]
        for t in told:
            if t[0] != 200:
                self.is_full(t)
        self.assertIn(200, [t[0] for t in told])
        self.assertLessEqual(sum(f.bytes for f in self.there.files.list()), LEFT)
        self.assertEqual(self.kept(), 0)
        for f in self.there.files.list():
            self.there.files.delete(f.id)
        self.there.files.create(file=("a", b"x" * LEFT), purpose="fine-tune")  # nothing is still counted

    def test_who_left_takes_no_room(self):
        for _ in range(5):
            s = Sender(self.server, self.project)
            s.send(b"x" * 200_000)
            self.wait(lambda: self.kept() == 200_000)
            s.socket.close()
            self.wait(lambda: self.kept() == 0)
        self.wait(lambda: self.server.calls()[-1]["route"] == "/v1/files")
        self.there.files.create(file=("a", b"x" * LEFT), purpose="fine-tune")

    def test_parts_of_uploads_are_counted_too(self):
        content = os.urandom(LEFT)
        up = self.there.uploads.create(bytes=LEFT, filename="a", mime_type="text/jsonl", purpose="fine-tune")
        path = "/v1/uploads/%s/parts" % up.id
        s, more = (Sender(self.server, self.project, path, b"data") for _ in range(2))
        s.send(content[:200_000])
        self.wait(lambda: self.kept() == 200_000)
        more.send(b"x" * 150_000)
        self.is_full(more.end())
        parts = [s.end()[1]["id"], self.there.uploads.parts.create(up.id, data=content[200_000:]).id]
        self.assertEqual(self.there.uploads.complete(up.id, part_ids=parts).file.bytes, LEFT)


if __name__ == "__main__":
    unittest.main()
