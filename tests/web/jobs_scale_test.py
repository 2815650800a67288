"""The pages of a run of 2,000 steps and 200,000 answers (HONE_ROLLOUTS=200000): open in a second, below 100 MB; a short form of it otherwise."""
import os
import sys
import time
import unittest

from browser import WebTest, expect, jsonl, rows
from server import CLOSE

import big_run

ROLLOUTS = int(os.environ.get("HONE_ROLLOUTS", "2000"))
LONG = ROLLOUTS >= 200000
MOST_S = 1.0 if LONG else 60.0
MOST_BYTES = 100e6


class Scale(WebTest):
    @classmethod
    def prepare(cls):
        train = cls.client.files.create(file=("t.jsonl", jsonl(rows())), purpose="fine-tune").id
        cls.job = cls.client.fine_tuning.jobs.create(model="tiny", suffix="big", training_file=train, method={
            "type": "reinforcement", "reinforcement": {"grader": CLOSE}}).id
        cls.client.fine_tuning.jobs.pause(cls.job)
        big_run.write(os.path.join(cls.server.home, "runs", cls.job), n_steps=ROLLOUTS // 100, n_rollouts=ROLLOUTS)

    def test_pages_open_quickly_and_stay_small(self):
        last = ROLLOUTS // 100
        views = (("jobs/" + self.job, lambda p: p.get_by_role("img", name="Reward. Training")),
                 ("jobs/%s/answers" % self.job, lambda p: p.get_by_role("article").first),
                 ("jobs/%s/answers?view=best" % self.job, lambda p: p.get_by_role("article").first),
                 ("jobs/%s/rows" % self.job, lambda p: p.get_by_role("link", name="Row").first),
                 ("jobs/%s/rows/train/7" % self.job, lambda p: p.get_by_role("article").first),
                 ("jobs/%s/answers/step-%d-3" % (self.job, last), lambda p: p.get_by_role("listbox")))
        page = self.page
        self.allowed = ["400"]  # made-up tokens are none of the model's
        self.open("files")  # the program itself is there
        page.wait_for_timeout(500)
        for address, ready in views:
            took = []
            for _ in range(3 if LONG else 1):  # the least of them: others compute on this machine, too
                page.goto(self.origin + "/#/files")
                self.settled()
                began = time.monotonic()
                page.evaluate("a => void (location.hash = a)", "#/" + address)
                expect(ready(page)).to_be_visible()
                took.append(time.monotonic() - began)
            tools = page.context.new_cdp_session(page)
            tools.send("HeapProfiler.collectGarbage")
            used = tools.send("Runtime.getHeapUsage")["usedSize"]
            print("%-60s %5.2f s %6.1f MB" % (address[:60], min(took), used / 1e6), file=sys.stderr)
            with self.subTest(address=address):
                self.assertLess(min(took), MOST_S)
                self.assertLess(used, MOST_BYTES)


if __name__ == "__main__":
    unittest.main()
