"""GET /v1/files/{id}/rows: rows as a job would read them, and its first mistakes in the job's own words."""
import json
import unittest

from server import EXACT, ApiTest, jsonl, rows

PAIR = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}


class FileRows(ApiTest):
    def file(self, content, purpose="fine-tune"):
        return self.client.files.create(file=("t.jsonl", content if isinstance(content, bytes) else jsonl(content)),
                                        purpose=purpose).id

    def look(self, file, query="", status=200):
        got, _, data = self.server.raw("GET", "/v1/files/%s/rows%s" % (file, query))
        self.assertEqual(got, status, data)
        return json.loads(data)

    def test_rows_come_with_their_lines_a_page_at_a_time(self):
        file = self.file(b"\n" + jsonl(rows(25)))
        told = self.look(file)
        self.assertEqual((told["object"], told["method"], told["n_rows"], told["complete"]), ("list", "reinforcement", 25, True))
        self.assertEqual([r["line"] for r in told["data"]], list(range(2, 22)))
        self.assertEqual(told["data"][0]["row"], rows(1)[0])
        self.assertEqual((told["has_more"], told["first_id"], told["last_id"]), (True, "2", "21"))
        rest = self.look(file, "?after=21&limit=100")
        self.assertEqual(([r["line"] for r in rest["data"]], rest["has_more"]), (list(range(22, 27)), False))
        self.assertEqual(self.look(file, "?after=26")["data"], [])

    def test_mistakes_are_the_jobs_own_sentences(self):
        bad = [b'{"messages": []}', b"{nothing", b"7", b'{"messages": [{"role": "user", "content": 3}]}', b"\xff\xfe{}",
               json.dumps(PAIR).encode(), b'{"messages": [{"role": "king", "content": "x"}], "answer": "\\u0000"}']
        file = self.file(b"\n".join([jsonl(rows(1)).strip(), *bad]) + b"\n")
        told = self.look(file, "?method=reinforcement")
        self.assertEqual((told["n_rows"], told["n_mistakes"]), (1, len(bad)))
        self.assertEqual([m["line"] for m in told["mistakes"]], list(range(2, 2 + len(bad))))
        self.assertTrue(told["mistakes"][1]["text"].startswith("{nothing"))
        method = {"type": "reinforcement", "reinforcement": {"grader": EXACT}}
        for line, mistake in zip(bad, told["mistakes"]):  # each as the only mistake of a job's file
            job = self.client.fine_tuning.jobs.create(model="tiny", training_file=self.file(jsonl(rows(1)) + line), method=method)
            self.server.worker()
            job = self.client.fine_tuning.jobs.retrieve(job.id)
            self.assertEqual(job.status, "failed")
            said = job.error.message.replace(job.training_file, file).replace("line 2", "line %d" % mistake["line"])
            self.assertEqual(said, mistake["message"])

    def test_the_method_is_the_jobs_or_that_of_the_first_row(self):
        pair = self.file([PAIR] * 2)
        self.assertEqual(self.look(pair)["method"], "supervised")
        told = self.look(pair, "?method=reinforcement")
        self.assertEqual((told["n_rows"], told["n_mistakes"]), (0, 2))
        self.assertIn("method supervised", told["mistakes"][0]["message"])
        better = self.file([{"input": {"messages": PAIR["messages"][:1]}, "preferred_output": PAIR["messages"][1:],
                             "non_preferred_output": PAIR["messages"][1:]}])
        self.assertEqual((self.look(better)["method"], self.look(better)["n_mistakes"]), ("dpo", 0))
        old = self.file([{"messages": [PAIR["messages"][0], {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}}]}])
        row = self.look(old)["data"][0]["row"]  # in the present form
        self.assertEqual(row["messages"][1]["tool_calls"][0]["function"], {"name": "f", "arguments": {}})
        self.assertIn("method", self.look(pair, "?method=none", status=400)["error"]["param"])

    def test_a_file_that_is_wrong_as_a_whole(self):
        for content, words in ((b"\n\n", "has no rows"), (b"\xff\xfe{\0", "UTF-16")):
            told = self.look(self.file(content))
            self.assertEqual((told["n_mistakes"], told["mistakes"][0]["line"]), (1, None))
            self.assertIn(words, told["mistakes"][0]["message"])

    def test_the_answer_is_bounded(self):
        wide = [{"messages": [{"role": "user", "content": "x" * 300_000}]}] * 3
        told = self.look(self.file(wide))
        self.assertEqual([(r["row"], len(r["text"])) for r in told["data"]], [(None, 2000)] * 3)
        self.assertEqual(told["data"][0]["bytes"], len(json.dumps(wide[0])))
        many = self.file(b"{\n" * 20000 + jsonl(rows(1)))
        told = self.look(many, "?mistakes=7")
        self.assertEqual((told["n_mistakes"], len(told["mistakes"]), told["n_rows"]), (20000, 7, 1))
        self.assertEqual(len(self.look(many, "?mistakes=9999")["mistakes"]), 100)
        large = self.file([{"messages": [{"role": "user", "content": "y" * 200_000}]}] * 60)
        told = self.look(large, "?limit=100")
        self.assertLess(len(told["data"]), 60)
        self.assertTrue(told["has_more"] and told["complete"] and told["n_rows"] == 60)
        self.assertEqual(len(told["data"]) + len(self.look(large, "?limit=100&after=" + told["last_id"])["data"]), 60)

    def test_wrong_questions(self):
        file = self.file(rows(1))
        for query in ("limit=0", "limit=x", "after=-1", "after=", "mistakes=1e3"):
            self.assertEqual(self.look(file, "?" + query, status=400)["error"]["param"], query.split("=")[0])
        self.look("file-none", status=404)


if __name__ == "__main__":
    unittest.main()
