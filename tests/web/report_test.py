"""report.html of a job, as a colleague gets it: a file, opened in a browser by file://, that asks nobody for anything."""
import json
import os
import tempfile
import unittest

from browser import HOSTILE, WebTest, expect, jsonl, rows
from server import CLOSE, EXACT

STEPS = 8
LEAST = 0.05  # a change of the log-probability that has no colour


class Report(WebTest):
    @classmethod
    def prepare(cls):
        train, valid = (cls.client.files.create(file=(name, jsonl(rows(n))), purpose="fine-tune").id
                        for name, n in (("t.jsonl", 6), ("v.jsonl", 3)))
        cls.job = cls.client.fine_tuning.jobs.create(
            model="tiny", suffix="sent", seed=7, training_file=train, validation_file=valid,
            method={"type": "reinforcement", "reinforcement": {"grader": CLOSE, "hyperparameters": {
                "n_epochs": 50, "batch_size": 2, "eval_interval": 2, "eval_samples": 1, "learning_rate_multiplier": 0.5}}},
            extra_body={"hone": {"max_steps": STEPS, "group_size": 4, "max_tokens": 8, "lora_rank": 4, "checkpoint_interval": 1,
                                 "shadow_graders": {"shade": {**EXACT, "name": "shade"}}}}).id
        cls.server.worker("--threads=1")
        cls.dir = os.path.join(cls.server.home, "runs", cls.job)
        folder = tempfile.TemporaryDirectory()
        cls.stack.callback(folder.cleanup)
        cls.file = os.path.join(folder.name, "report of a run.html")
        status, _, body = cls.server.raw("GET", "/v1/fine_tuning/jobs/%s/report" % cls.job)
        assert status == 200, body
        with open(cls.file, "wb") as f:
            f.write(body)

    def origin_only(self, url):
        if not url.startswith("file://" + self.file.replace(" ", "%20")):
            self.complain("a request to " + url)

    def open(self, address=None, page=None):
        page = page or self.page
        page.goto("file://" + (address or self.file).replace(" ", "%20"))
        expect(page.locator("main h1")).to_be_visible()
        return page

    def test_it_is_sound_in_every_form(self):
        page = self.open()
        for name in ("Which tokens training changed", "Rows that were gained and lost", "Answers", "The reward, step by step"):
            expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
        for summary in page.locator("details > summary").all():
            summary.click()
        self.sound()
        self.every_form(self.file, "report")

    def figures(self, name, model):
        status, _, body = self.server.raw("GET", "/v1/fine_tuning/jobs/%s/rollouts/%s/logprobs?model=%s" % (self.job, name, model))
        self.assertEqual(status, 200, body)
        return json.loads(body)["logprobs"]

    def rollout(self, line):
        """The name that the API has for an answer of token_changes.jsonl."""
        status, _, body = self.server.raw("GET", "/v1/fine_tuning/jobs/%s/rollouts?split=%s&step=%d&item=%d&limit=100&wait_ms=5000"
                                          % (self.job, line["split"], line["step"], line["item"]))
        return next(r["id"] for r in json.loads(body)["data"] if r["sample"] == line["sample"])

    def classes(self, index):
        return self.page.locator("[data-changed='%d']" % index).evaluate("e => [...e.children].map(t => t.className)")

    def test_tokens_have_the_colours_of_what_the_api_says(self):
        page = self.open()
        with open(os.path.join(self.dir, "token_changes.jsonl"), encoding="utf-8") as f:
            lines = [json.loads(line) for line in f]
        strips = page.locator("[data-changed]")
        self.assertEqual(strips.count(), len(lines))
        to = page.locator("#to").input_value()
        model = next(name for name in lines[0]["logprobs"] if name in page.locator("#to option:checked").inner_text().replace("step ", "step-"))
        signs = set()
        for i in (0, 1, len(lines) - 1):
            name = self.rollout(lines[i])
            base, after = self.figures(name, "base"), self.figures(name, model)
            self.assertEqual(len(base), len(lines[i]["tokens"]))
            for a, b, shown in zip(base, after, self.classes(i), strict=True):
                if abs(abs(b - a) - LEAST) > 2e-3:
                    kind = "" if abs(b - a) < LEAST else "u" if b > a else "d"
                    self.assertEqual(shown[:1], kind, (b - a, shown))
                    signs.add(kind)
        self.assertLessEqual({"u", "d"}, signs)
        first = self.classes(0)
        self.assertTrue(any(first))
        page.get_by_role("button", name="Swap").click()
        swapped = [{"u": "d", "d": "u"}.get(c[:1], "") + c[1:] for c in first]
        self.assertEqual(self.classes(0), swapped)
        page.locator("#from").select_option(to)
        page.locator("#to").select_option(to)
        self.assertEqual(set(self.classes(0)), {""})
        expect(page.locator("#sum-0")).to_have_text("Both say the same of this answer.")

    def test_tokens_are_told_by_the_keyboard(self):
        page = self.open()
        strip = page.get_by_role("listbox").first
        self.tab_to(strip, 400)
        expect(page.locator("#told")).to_contain_text("token 1:")
        page.keyboard.press("ArrowRight")
        expect(page.locator("#told")).to_contain_text("token 2:")
        expect(page.locator("#told")).to_contain_text("log-probability")

    def test_answers_are_found(self):
        page = self.open()
        cards = page.locator("#newest article:visible")
        everything = cards.count()
        self.assertGreater(everything, 5)
        page.get_by_label("Which", exact=True).select_option("Most weakened")
        self.assertLess(cards.count(), everything)
        expect(page.get_by_role("heading", name="Most strengthened", exact=False)).to_have_count(0)
        page.get_by_label("Which", exact=True).select_option("")
        page.get_by_label("Find in these").fill("nothing says this")
        expect(cards).to_have_count(0)
        expect(page.locator("#found")).to_have_text("0 of %d" % everything)
        page.get_by_label("Find in these").fill("Step %d," % STEPS)
        for text in cards.all_inner_texts():
            self.assertIn("Step %d," % STEPS, text)

    def test_what_a_model_wrote_is_text(self):
        path = os.path.join(self.dir, "rollouts", "step-%d.jsonl" % STEPS)
        with open(path, "a", encoding="utf-8") as f:
            f.write(json.dumps({"step": STEPS, "item": 77, "sample": 0, "prompt": HOSTILE, "reference": {"<b>": HOSTILE}, "tokens": [5, 6],
                                "logprobs": [-1.5, -0.5], "pieces": [HOSTILE, "\u202e"], "thinking_tokens": 1, "thinking": HOSTILE,
                                "answer": HOSTILE, "truncated": True, "reward": 0.0, "scores": {"<i>": 0.0}, "errors": ["<img src=x>"],
                                "details": HOSTILE, "advantage": -9.0, "trained": True}) + "\n")
        os.remove(os.path.join(self.dir, "report.html"))
        status, _, body = self.server.raw("GET", "/v1/fine_tuning/jobs/%s/report" % self.job)
        with open(self.file + ".hostile.html", "wb") as f:
            f.write(body)
        page = self.open(self.file + ".hostile.html")
        expect(page.get_by_text("<script>window.hacked=1</script>").first).to_be_attached()
        expect(page.get_by_text("\u27e8U+202E\u27e9gnp.exe").first).to_be_attached()
        for summary in page.locator("details > summary").all():
            summary.click()
        self.sound()


if __name__ == "__main__":
    unittest.main()
