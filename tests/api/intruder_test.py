"""What somebody who may do little, or nothing, tries: to learn what is not his, and to take the server from the others."""
import json
import os
import tempfile
import unittest

import openai
from server import EXACT, ApiTest, Server

MARK = "xyzzy-password"


def words_of(pid):
    with open("/proc/%d/cmdline" % pid, "rb") as f:
        return f.read().decode()


class Secrets(unittest.TestCase):
    @unittest.skipUnless(os.path.exists("/proc/self/cmdline"), "no /proc")
    def test_a_databases_address_is_not_among_a_workers_words(self):
        """Anyone on the machine can read the words of a process, and the address may hold a password."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, MARK + ".db")
            server = Server("--workers=1", env={"HONE_DATABASE": "sqlite:" + path})
            try:
                client = ApiTest()
                client.wait(lambda: any("worker" in words_of(pid).split("\0") for pid in server.left()))
                for pid in server.left():
                    self.assertNotIn(MARK, words_of(pid))
                self.assertTrue(os.path.exists(path))
            finally:
                server.close()


class Masses(ApiTest):
    """Little that is sent may not become much that is held."""

    def test_a_body_of_more_values_than_anyone_needs_becomes_no_tree(self):
        """Nine megabytes of {} took 700 of memory, in the server and in the engine's process again."""
        before = self.server.raw("GET", "/v1/models")[0]
        for path in ("/v1/chat/completions", "/v1/responses", "/v1/evals", "/v1/feedback"):
            body = b'{"model": "tiny", "messages": [' + b"{}," * 600000 + b"{}]}"
            status, _, text = self.server.raw("POST", path, body)
            self.assertEqual((before, status, json.loads(text)["error"]["code"]), (200, 413, "request_too_large"), path)
        body = b'{"model": "tiny", "max_tokens": 1, "messages": [{"role": "user", "content": "' + b"{}," * 600 + b'"}]}'
        self.assertNotEqual(self.server.raw("POST", "/v1/chat/completions", body)[0], 413)

    def test_a_file_for_an_eval_fills_no_memory(self):
        """Rows of a run are held as trees while it goes on: a file of many fills the server's memory, which everyone shares."""
        row = b'{"item": {"a": [' + b"{}," * 400000 + b"{}]}}\n"
        grader = {**EXACT, "input": "a", "reference": "a"}
        made = self.client.evals.create(name="e", testing_criteria=[grader],
                                        data_source_config={"type": "custom", "item_schema": {"type": "object"}})
        source = {"type": "jsonl", "source": {"type": "file_id"}}
        for n, taken in ((1, True), (4, False)):
            source["source"]["id"] = self.client.files.create(file=("x.jsonl", row * n), purpose="evals").id
            if taken:
                run = self.client.evals.runs.create(made.id, data_source=source)
                self.client.evals.runs.delete(run.id, eval_id=made.id)
            else:
                self.refused(openai.BadRequestError, lambda: self.client.evals.runs.create(made.id, data_source=source),
                             param="data_source.source", match="line [234]: .*memory")


if __name__ == "__main__":
    unittest.main()
