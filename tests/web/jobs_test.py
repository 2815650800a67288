"""The pages of jobs: the list, one that runs, its curves, and what its answers show."""
import json
import os
import re
import subprocess
import unittest

from browser import HONE, HOSTILE, LONG, WebTest, expect, jsonl, rows
from server import CLOSE, EXACT

STEPS = 4
PAIRS = [{"messages": [{"role": "user", "content": "%d" % i}, {"role": "assistant", "content": "abc"}]} for i in range(10)]
BETTER = [{"input": {"messages": [{"role": "user", "content": "%d" % i}]}, "preferred_output": [{"role": "assistant", "content": "abc"}],
           "non_preferred_output": [{"role": "assistant", "content": "xyz"}]} for i in range(10)]


def line(step, item, sample, **more):
    return json.dumps({"step": step, "item": item, "sample": sample, "tokens": [5, 6], "logprobs": [-1.5, -0.5],
                       "pieces": ["a", "b"], "thinking_tokens": 1, "truncated": False, "reward": 0.5, "scores": {"close": 0.5},
                       "errors": [], "advantage": 0.25, "trained": True, **more}) + "\n"


class Jobs(WebTest):
    @classmethod
    def prepare(cls):
        cls.train = cls.upload("t.jsonl", 6)
        cls.valid = cls.upload("v.jsonl", 3)
        cls.job, cls.other = cls.make("seen"), cls.make("other", seed=8)
        cls.waiting = cls.make("waiting")
        cls.client.fine_tuning.jobs.pause(cls.waiting)
        cls.taught, cls.preferred = cls.shown("supervised", PAIRS), cls.shown("dpo", BETTER)
        cls.server.worker("--threads=1")
        cls.dir = os.path.join(cls.server.home, "runs", cls.job)
        assert cls.client.fine_tuning.jobs.retrieve(cls.other).status == "succeeded"

    @classmethod
    def upload(cls, name, n):
        return cls.client.files.create(file=(name, jsonl(rows(n))), purpose="fine-tune").id

    @classmethod
    def make(cls, suffix, steps=STEPS, seed=7):
        shadow = {**EXACT, "name": "shade"}
        return cls.client.fine_tuning.jobs.create(
            model="tiny", suffix=suffix, seed=seed, training_file=cls.train, validation_file=cls.valid,
            method={"type": "reinforcement", "reinforcement": {"grader": CLOSE, "hyperparameters": {
                "n_epochs": 50, "batch_size": 2, "eval_interval": 2, "eval_samples": 1}}},
            extra_body={"hone": {"max_steps": steps, "group_size": 4, "max_tokens": 8, "lora_rank": 4, "checkpoint_interval": 1,
                                 "shadow_graders": {"shade": shadow}}}).id

    @classmethod
    def shown(cls, method, lines):
        file = cls.client.files.create(file=(method + ".jsonl", jsonl(lines)), purpose="fine-tune").id
        return cls.client.fine_tuning.jobs.create(
            model="tiny", suffix=method, seed=7, training_file=file, validation_file=file,
            method={"type": method, method: {"hyperparameters": {"n_epochs": 1, "batch_size": 5}}},
            extra_body={"hone": {"lora_rank": 4}}).id

    def status(self, text):
        expect(self.page.locator("main .chip[data-status]").first).to_have_text(text)

    # ---- the list ----

    def test_jobs_are_listed_and_compared(self):
        page = self.open("jobs")
        expect(page.get_by_role("link", name="seen")).to_be_visible()
        compare = page.get_by_role("button", name="Compare")
        expect(compare).to_be_disabled()
        page.get_by_role("checkbox", name="Compare seen").check()
        page.get_by_role("checkbox", name="Compare other").check()
        self.tab_to(compare)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Compare jobs")).to_be_visible()
        expect(page.get_by_role("img", name="Reward in training. seen")).to_be_visible()
        expect(page.get_by_role("row", name="seen Succeeded")).to_be_visible()
        self.every_form("jobs", "jobs")
        self.every_form("compare?jobs=%s,%s" % (self.job, self.other), "compare")
        self.open("compare?jobs=%s" % self.job)
        expect(page.get_by_role("heading", name="Nothing to compare")).to_be_visible()

    # ---- one job ----

    def test_a_job_shows_its_curves_events_and_checkpoints(self):
        page = self.open("jobs/" + self.job)
        self.status("Succeeded")
        for name in ("Reward. Training", "close. Training", "shade (shadow). Training", "Entropy. Entropy", "KL. KL", "Time of a step. Sampling"):
            place = page.get_by_role("img", name=name)
            page.mouse.wheel(0, 700)
            expect(place).to_be_visible()
        expect(page.get_by_text("The job has finished.")).to_be_visible()
        page.get_by_label("Show", exact=True).select_option("all")
        expect(page.get_by_text("Answers earned 0.").first).to_be_visible()
        expect(page.get_by_role("rowheader", name="Step 4")).to_be_visible()
        expect(page.locator(".notice.warn").first).to_be_visible()
        with page.expect_download() as waiting:
            page.get_by_role("button", name="Report").click()
        with open(waiting.value.path(), encoding="utf-8") as f:
            self.assertIn("<!doctype html>", f.read(200).lower())
        self.every_form("jobs/" + self.job, "job")

    def test_curves_of_jobs_without_rewards(self):
        page = self.page
        for job, names in ((self.taught, ("Loss. Training", "Tokens that were right. Training")),
                           (self.preferred, ("Loss. Training", "Rewards of the pair. Preferred"))):
            self.open("jobs/" + job)
            self.status("Succeeded")
            for name in names:
                place = page.get_by_role("img", name=name)
                page.mouse.wheel(0, 500)
                expect(place).to_be_visible()
            self.assertRegex(page.get_by_role("img", name="Loss. Training").get_attribute("aria-label"), r"Training: \d.*Validation: \d")
            expect(page.get_by_role("heading", name="Reward", exact=True)).to_have_count(0)
            expect(page.get_by_role("navigation", name="This job")).to_have_count(0)  # there are no answers
            page.get_by_label("Show", exact=True).select_option("all")
            expect(page.get_by_role("list", name="Events").get_by_text(re.compile(r"^Loss \d")).first).to_be_visible()
            marks = page.get_by_role("region", name="Checkpoints of the job")
            expect(marks.get_by_role("row")).to_have_count(2)
            self.assertRegex(marks.get_by_role("row").nth(1).inner_text(), r"Step 2[\s\S]*\d\.\d")
            self.sound()

    def test_a_job_is_paused_resumed_and_cancelled(self):
        job = self.make("stopped")
        page = self.open("jobs/" + job)
        self.status("Checking the files")
        expect(page.get_by_text("It has not begun yet")).to_be_visible()
        page.get_by_role("button", name="Pause").click()
        self.status("Paused")
        page.get_by_role("button", name="Resume").click()
        expect(page.get_by_role("button", name="Pause")).to_be_visible()
        page.get_by_role("button", name="Cancel").click()
        page.get_by_role("dialog").get_by_role("button", name="Cancel the job").click()
        self.status("Cancelled")
        expect(page.get_by_role("button", name="Pause")).to_have_count(0)
        self.sound()

    def test_a_job_is_watched_while_it_runs(self):
        job = self.make("live", steps=6)
        page = self.open("jobs/" + job)
        self.status("Checking the files")
        worker = subprocess.Popen([HONE, "worker", "--once", "--threads=1"], env=self.server.env, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        try:
            self.status("Succeeded")
            expect(page.get_by_text("The job has finished.")).to_be_visible()
            expect(page.get_by_role("img", name="Reward. Training")).to_be_visible()
            expect(page.get_by_role("rowheader", name="Step 6")).to_be_visible()
        finally:
            worker.wait(timeout=300)

    # ---- its answers ----

    def test_answers_are_found_by_what_they_earned_and_say(self):
        page = self.open("jobs/%s/answers" % self.job)
        cards = page.get_by_role("article")
        expect(cards.first).to_be_visible()
        page.get_by_role("button", name="Best").click()
        expect(page).to_have_url(self.origin + "/#/jobs/%s/answers?view=best" % self.job)
        page.get_by_label("Step", exact=True).fill("2")
        page.get_by_label("From", exact=True).select_option("train")
        page.keyboard.press("Tab")
        page.get_by_role("button", name="Show", exact=True).click()
        expect(page.get_by_text("answers").last).to_be_visible()
        for text in cards.locator("header").all_inner_texts():
            self.assertIn("Step 2,", text)
        page.get_by_label("Says").fill("no answer says this")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="No answer fits")).to_be_visible()
        page.get_by_role("button", name="Clear").click()
        expect(cards.first).to_be_visible()
        page.get_by_label("Step", exact=True).fill("x")
        page.get_by_label("Step", exact=True).evaluate("e => e.removeAttribute('pattern')")
        self.allowed = ["400"]
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("no whole number")
        page.get_by_role("button", name="Clear").click()
        page.get_by_role("button", name="Grader errors").click()
        expect(page.get_by_role("heading", name="None")).to_be_visible()
        self.every_form("jobs/%s/answers" % self.job, "answers")

    def test_a_row_is_followed_and_its_tokens_are_seen_to_change(self):
        page = self.open("jobs/%s/rows" % self.job)
        status, _, body = self.server.raw("GET", "/v1/fine_tuning/jobs/%s/items" % self.job)
        row = next(x["item"] for x in json.loads(body)["data"] if x["n_steps"] > 1)
        expect(page.get_by_role("link", name="Row %d" % row)).to_be_visible()
        self.every_form("jobs/%s/rows" % self.job, "rows")
        page.get_by_role("link", name="Row %d" % row).click()
        expect(page.get_by_text("Row %d, followed through training." % row)).to_be_visible()
        left, right = page.get_by_role("region", name="Left side"), page.get_by_role("region", name="Right side")
        expect(left.get_by_role("article").first).to_be_visible()
        expect(right.get_by_role("article").first).to_be_visible()
        self.assertNotEqual(left.get_by_label("Left: answers of").input_value(), right.get_by_label("Right: answers of").input_value())
        right.get_by_role("button", name="an earlier step").click()
        self.every_form("jobs/%s/rows/train/%d" % (self.job, row), "row")
        right.get_by_role("link", name="Its tokens").first.click()
        expect(page.get_by_text("The whole answer became")).to_be_visible()
        tokens = page.get_by_role("listbox")
        self.tab_to(tokens)
        page.keyboard.press("ArrowRight")
        expect(page.locator(".token-told")).to_contain_text("token 2 of")
        expect(page.locator(".token-told")).to_contain_text("log-probability")
        tokens.get_by_role("option").first.hover()
        expect(page.locator(".token-told")).to_contain_text("token 1 of")
        expect(page.get_by_role("list", name="What the colours mean")).to_contain_text("strengthened")
        page.get_by_label("From", exact=True).select_option("step-%d" % STEPS)
        expect(page.get_by_text("Both say the same of this answer.")).to_be_visible()
        self.every_form("jobs/%s/answers/step-2-0" % self.job, "answer")

    def test_nothing_yet(self):
        page = self.open("jobs/%s/answers" % self.waiting)
        expect(page.get_by_role("heading", name="No answers yet")).to_be_visible()
        self.open("jobs/%s/rows" % self.waiting)
        expect(page.get_by_role("heading", name="No rows yet")).to_be_visible()
        self.open("jobs/%s/rows/train/0" % self.waiting)
        expect(page.get_by_role("heading", name="This row has not been answered yet")).to_be_visible()
        self.open("jobs/" + self.waiting)
        expect(page.get_by_text("Paused before its first step")).to_be_visible()
        self.sound()

    def test_what_a_model_wrote_is_text(self):
        path = os.path.join(self.server.home, "runs", self.other, "rollouts", "step-%d.jsonl" % STEPS)
        with open(path, "a", encoding="utf-8") as f:
            f.write(line(STEPS, 77, 0, prompt=HOSTILE, reference={"<b>": HOSTILE}, thinking=HOSTILE, answer=HOSTILE, details=HOSTILE,
                         errors=["<img src=x>"], scores={"<i>": 1.0}, pieces=[HOSTILE, "\u202e"]))
            f.write(line(STEPS, 78, 0, prompt=LONG, thinking=LONG, answer=LONG))
        page = self.open("jobs/%s/answers?item=77" % self.other)
        expect(page.get_by_text("\u241b[31mred").first).to_be_attached()
        expect(page.get_by_text("<script>window.hacked=1</script>").first).to_be_attached()
        for summary in page.locator("article summary").all():
            summary.click()
        self.sound()
        self.open("jobs/%s/answers?item=78" % self.other)
        expect(page.get_by_text("A long text is cut here.")).to_be_visible()
        self.sound()
        with open(path, encoding="utf-8") as f:
            n = sum(1 for _ in f)
        self.allowed = ["400"]  # the engine may refuse what was made up: its sentence is shown
        self.open("jobs/%s/answers/step-%d-%d" % (self.other, STEPS, n - 2))
        expect(page.get_by_role("listbox")).to_be_visible()
        self.sound()


if __name__ == "__main__":
    unittest.main()
