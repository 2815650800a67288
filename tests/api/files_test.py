"""Files and uploads by the official client."""
import hashlib
import os
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


if __name__ == "__main__":
    unittest.main()
