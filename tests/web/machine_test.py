"""The pages of workers and of the machine."""
import json
import unittest

from browser import WebTest, expect


class Machine(WebTest):
    options = ("--workers=1",)

    def get(self, path):
        status, _, body = self.server.raw("GET", path)
        self.assertEqual(status, 200, body)
        return json.loads(body)

    def test_the_machine(self):
        told = self.get("/v1/machine")
        self.assertEqual([m["id"] for m in told["models"]], ["tiny"])
        self.assertGreater(told["memory"]["total_bytes"], told["memory"]["available_bytes"])
        self.assertIn(told["cpu"]["kernels"], told["cpu"]["kernels_available"])
        page = self.open("machine")
        expect(page.get_by_text("hone %s on" % told["version"])).to_be_visible()
        expect(page.get_by_role("region", name="Base models")).to_contain_text("tiny")
        self.client.chat.completions.create(model="tiny", max_completion_tokens=4, messages=[{"role": "user", "content": "a"}])
        expect(page.locator("dt:has-text('Tokens of answers') + dd")).not_to_contain_text("since the start")  # a second look
        self.every_form("machine", "machine")

    def test_workers(self):
        page = self.open("workers")
        expect(page.get_by_role("rowheader")).to_have_count(2)  # one for jobs, one for checks
        expect(page.get_by_text("waits for work")).to_have_count(2)
        self.every_form("workers", "workers", lambda p: expect(p.get_by_text("waits for work").first).to_be_visible())
        workers = self.get("/v1/workers")["data"]
        self.assertEqual([(w["object"], w["status"], w["job"]) for w in workers], [("worker", "waiting", None)] * 2)
        job = ("INSERT INTO workers (name, machine, version, job_id, started_at, seen_at, memory_bytes, ended_at) "
               "SELECT 'x:1:y', '<b>far</b>', version, ?, started_at, seen_at + 60, 1, 0 FROM workers LIMIT 1")
        self.server.sql(job, "ftjob-of-another-project")
        expect(page.get_by_text("works for another project")).to_be_visible()
        expect(page.get_by_text("<b>far</b>")).to_be_visible()
        (other,) = [w for w in self.get("/v1/workers")["data"] if w["id"] == "x:1:y"]
        self.assertEqual((other["status"], other["job"]), ("working", None))

    def test_who_may_not_know(self):
        for path in ("/v1/machine", "/v1/workers"):
            self.assertEqual(self.server.raw("GET", path, key=False)[0], 401)


class Empty(WebTest):
    def test_no_worker(self):
        self.open("workers")
        expect(self.page.get_by_role("heading", name="Nobody works here")).to_be_visible()
        self.sound()


if __name__ == "__main__":
    unittest.main()
