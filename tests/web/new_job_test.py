"""The page New job: from files to a started job without writing JSON."""
import contextlib
import json
import os
import re
import tempfile
import unittest

from browser import HOSTILE, WebTest, expect, jsonl, openai, rows

PAIR = [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]} for _ in range(10)]
SMALL = {"max_steps": 2, "group_size": 4, "max_tokens": 8}


class NewJob(WebTest):
    options = ("--workers=1",)

    def upload(self, lines, name="cases.jsonl"):
        return self.client.files.create(file=(name, lines if isinstance(lines, bytes) else jsonl(lines)), purpose="fine-tune").id

    def tearDown(self):
        super().tearDown()
        for job in self.client.fine_tuning.jobs.list():
            if job.status not in ("succeeded", "failed", "cancelled"):
                with contextlib.suppress(openai.BadRequestError):  # it ended meanwhile
                    self.client.fine_tuning.jobs.cancel(job.id)
        for file in self.client.files.list():
            self.client.files.delete(file.id)

    def body(self, page=None):
        return json.loads((page or self.page).locator("#job-json").input_value())

    def set_body(self, **changes):
        if not self.page.locator("#as-json").evaluate("e => e.open"):
            self.page.get_by_text("The job as JSON", exact=True).first.click()
        self.page.locator("#job-json").fill(json.dumps({**self.body(), **changes}))

    def chosen(self, file, page=None):
        page = page or self.page
        page.locator("#file-training").select_option(file)
        expect(page.get_by_role("group", name="Training file").locator("xpath=..").locator(".chip").first).to_be_visible()

    def started(self):
        """The job that the page went to."""
        self.page.wait_for_url(re.compile("#/jobs/ftjob-"))
        return self.client.fine_tuning.jobs.retrieve(self.page.url.rsplit("/", 1)[1])

    def test_from_files_to_a_job_by_keyboard_alone(self):
        page = self.open("new-job")
        key = page.keyboard.press

        def choose(name, path):
            box = page.get_by_role("group", name=name)
            place = box.locator("input[type=file]")
            self.tab_to(box.get_by_role("button", name="Choose a file"), 200)
            place.evaluate("e => e.addEventListener('click', (c) => (c.preventDefault(), (e.dataset.asked = 'yes')), {once: true})")
            key("Enter")  # asks the browser for a file, which is given without its window
            expect(place).to_have_attribute("data-asked", "yes")
            place.set_input_files(path)
        with tempfile.TemporaryDirectory() as folder:
            for name, n in (("train.jsonl", 6), ("valid.jsonl", 3)):
                with open(os.path.join(folder, name), "wb") as f:
                    f.write(jsonl(rows(n)))
            choose("Training file", os.path.join(folder, "train.jsonl"))
            expect(page.get_by_text("6 rows, no mistake", exact=True)).to_be_visible()
            choose("Validation file", os.path.join(folder, "valid.jsonl"))
            expect(page.get_by_text("3 rows, no mistake", exact=True)).to_be_visible()
        self.assertEqual(self.body()["model"], "tiny")  # the only one there is
        self.assertEqual(self.body()["method"]["reinforcement"]["grader"]["reference"], "{{item.answer}}")
        self.tab_to(page.get_by_label("An answer is good when"), 200)
        page.keyboard.type("It is worded")
        expect(page.get_by_label("By which measure")).to_be_visible()
        self.tab_to(page.get_by_role("button", name="Grade these answers"), 200)
        key("Enter")
        expect(page.get_by_text("Reward 1").first).to_be_visible()
        expect(page.get_by_text(re.compile("^Reward "))).to_have_count(9)
        self.tab_to(page.get_by_text("More settings"), 200)
        key("Enter")
        for label, value in (("Steps at most", "2"), ("Answers a case", "4"), ("Longest answer, in tokens", "8")):
            self.tab_to(page.get_by_label(label, exact=True), 200)
            page.keyboard.type(value)
        self.assertEqual(self.body()["hone"], SMALL)
        self.tab_to(page.get_by_role("button", name="Check this job"), 200)
        key("Enter")
        expect(page.get_by_text(re.compile("It can learn|It has too little"))).to_be_visible()
        expect(page.get_by_text("Memory", exact=True)).to_be_visible()
        self.sound()
        learns = page.get_by_text("It can learn.").count() > 0
        self.tab_to(page.get_by_role("button", name="Start the job"), 200)
        key("Enter")
        if not learns:
            key("Tab")
            key("Enter")
        job = self.started()
        self.assertEqual((job.model, job.method.type, job.hone), ("tiny", "reinforcement", SMALL))
        self.assertEqual(job.method.reinforcement.grader.evaluation_metric, "fuzzy_match")
        self.assertEqual({self.client.files.retrieve(f).filename for f in (job.training_file, job.validation_file)},
                         {"train.jsonl", "valid.jsonl"})
        self.open("new-job")  # what was started is not begun again
        self.assertFalse(self.body().get("training_file"))

    def test_what_is_missing_is_said(self):
        before = [job.id for job in self.client.fine_tuning.jobs.list()]
        page = self.open("new-job")
        page.get_by_role("button", name="Start the job").click()
        page.get_by_role("button", name="Choose a training file.").click()
        expect(page.locator("#file-training")).to_be_focused()
        self.assertEqual([job.id for job in self.client.fine_tuning.jobs.list()], before)
        self.sound()

    def test_mistakes_are_marked_with_their_lines(self):
        bad = self.upload(jsonl(rows(2)) + b'{"messages": []}\n{nothing\n' + jsonl(rows(1)), "bad.jsonl")
        page = self.open("new-job")
        self.chosen(bad)
        expect(page.get_by_text("2 mistakes in 5 rows", exact=True)).to_be_visible()
        expect(page.get_by_role("listitem").filter(has_text="Line 3: ")).to_contain_text("\"messages\" is empty")
        expect(page.get_by_role("listitem").filter(has_text="Line 4: ")).to_contain_text("{nothing")
        page.get_by_role("button", name="Start the job").click()
        expect(page.get_by_role("button", name="The training file has 2 mistakes: the job would fail.")).to_be_visible()
        self.every_form("new-job", "new-job-mistakes", lambda p: self.chosen(bad, p))

    def test_a_file_of_another_method(self):
        pairs = self.upload(PAIR)
        page = self.open("new-job")
        self.chosen(pairs)
        page.get_by_role("button", name="Use method supervised").click()
        expect(page.get_by_text("10 rows, no mistake", exact=True)).to_be_visible()
        expect(page.get_by_label("supervised")).to_be_checked()
        expect(page.get_by_label("An answer is good when")).to_have_count(0)
        page.get_by_label("Times through the file").fill("2")
        self.assertEqual(self.body()["method"], {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2}}})
        page.get_by_role("button", name="Check this job").click()
        expect(page.get_by_text("can be learned")).to_be_visible()
        expect(page.get_by_text("Loss of the first batch")).to_be_visible()
        page.get_by_label("Times through the file").fill("3")
        expect(page.get_by_text("The job as it is now is another than the one of this check.")).to_be_visible()
        page.get_by_role("button", name="Start the job").click()
        self.assertEqual(self.started().method.type, "supervised")

    def judged(self):
        """By the tiny model, which knows nothing: with this seed it comes to an end of most of its reasoning."""
        grader = self.body()["method"]["reinforcement"]["grader"]
        self.set_body(method={"type": "reinforcement", "reinforcement": {"grader": {**grader, "sampling_params": {"temperature": 2, "seed": 2}}}})
        expect(self.page.get_by_label("Which model reads")).to_have_value("tiny")
        self.page.get_by_role("button", name="Grade these answers").click()
        expect(self.page.get_by_text(re.compile(r"^Reward \d"))).to_have_count(9)
        failed = self.page.get_by_role("region", name="Try the grader").get_by_text("failed", exact=True).count()
        self.assertLess(failed, 9)
        expect(self.page.get_by_text("cut at the token limit")).to_have_count(failed)  # each says why

    def test_each_kind_of_grader(self):
        train = self.upload(rows())
        page = self.open("new-job")
        self.chosen(train)
        kind = page.get_by_label("An answer is good when").first
        for name in ("string_check", "text_similarity", "python", "multi", "score_model", "label_model", "endpoint"):
            kind.select_option(name)
            self.assertEqual(self.body()["method"]["reinforcement"]["grader"]["type"], name)
            if name in ("string_check", "text_similarity", "python", "multi"):
                page.get_by_role("button", name="Grade these answers").click()
                expect(page.get_by_text(re.compile("^Reward "))).to_have_count(9)
                expect(page.get_by_text("Reward 1", exact=True)).to_have_count(3)
            elif name == "endpoint":
                self.allowed = ["400"]
                page.get_by_role("button", name="Grade these answers").click()
                expect(page.get_by_text("--allow-request-addresses.", exact=False).last).to_be_visible()
            else:
                page.get_by_label("Which model reads").fill("tiny")
                page.get_by_label("Message of user").fill("{{sample.output_text}}")
                if name == "score_model":
                    page.get_by_label("What it is told to do").fill("rate")
                self.judged()
            if name in ("multi", "label_model"):
                self.sound()
        kind.select_option("python")
        page.get_by_label("Python that defines grade").fill("def grade(sample, item):\n    return item['none']\n")
        page.get_by_role("button", name="Grade these answers").click()
        expect(page.get_by_text("The Python raised an error").first).to_be_visible()
        kind.select_option("multi")
        page.get_by_role("button", name="Add a part").click()
        page.get_by_label("Name in the formula").last.fill("third")
        page.get_by_label("Formula", exact=True).fill("right + third")
        self.assertEqual(list(self.body()["method"]["reinforcement"]["grader"]["graders"]), ["right", "near", "third"])
        page.get_by_role("button", name="Remove near").click()
        self.assertEqual(list(self.body()["method"]["reinforcement"]["grader"]["graders"]), ["right", "third"])

    def test_form_and_json_are_one(self):
        train = self.upload(rows())
        page = self.open("new-job")
        self.set_body(training_file=train, hone={"max_steps": 7}, suffix="x", metadata={"a": "b"}, seed=3)
        expect(page.get_by_text("6 rows, no mistake", exact=True)).to_be_visible()
        expect(page.get_by_label("Steps at most")).to_have_value("7")
        expect(page.get_by_label("A name for the result")).to_have_value("x")
        page.get_by_label("Steps at most").fill("9")
        self.assertEqual((self.body()["hone"], self.body()["metadata"], self.body()["seed"]), ({"max_steps": 9}, {"a": "b"}, 3))
        page.locator("#job-json").fill("{nothing")
        expect(page.get_by_text("This is no JSON yet")).to_be_visible()
        page.get_by_label("Steps at most").fill("8")  # the form still holds the last that was one
        self.assertEqual(self.body()["hone"], {"max_steps": 8})
        page.get_by_text("The form of answers, and tools").click()
        page.get_by_label("An answer is", exact=True).select_option("json_schema")
        self.assertEqual(self.body()["method"]["reinforcement"]["response_format"]["type"], "json_schema")
        page.get_by_text("Tools that answer while the model does").click()
        page.get_by_role("button", name="Add a tool").click()
        page.get_by_label("Name of the function").fill("f")
        self.assertEqual(self.body()["method"]["reinforcement"]["tools"], [{"name": "f", "server_url": ""}])
        page.reload()
        self.settled()
        self.assertEqual(self.body()["hone"], {"max_steps": 8})  # it is kept in the tab
        self.sound()
        page.get_by_role("button", name="Begin anew").click()
        expect(page.locator("#file-training")).to_have_value("")

    def test_the_calls(self):
        train = self.upload(rows())
        page = self.open("new-job")
        self.chosen(train)
        self.set_body(hone=SMALL)
        summary = page.get_by_role("complementary", name="The job so far")
        summary.get_by_role("button", name="Show the call").click()
        code = page.get_by_label("The call", exact=True)
        expect(code).to_contain_text("curl %s/v1/fine_tuning/jobs" % self.origin)
        page.get_by_role("button", name="Python").click()
        text = code.inner_text()
        compile(text, "call", "exec")
        self.assertIn("client.fine_tuning.jobs.create(", text)
        self.assertIn('extra_body={"hone"', text)
        page.get_by_role("button", name="Command").click()
        expect(code).to_contain_text("hone check job.json")
        expect(code).to_contain_text('"training_file": "cases.jsonl"')
        self.sound()

    def test_again_with_changes(self):
        train = self.upload(rows())
        method = {"type": "reinforcement", "reinforcement": {"grader": {"type": "string_check", "name": "was", "operation": "ne", "input": "a",
                                                                        "reference": "b"}, "hyperparameters": {"n_epochs": 2}}}
        job = self.client.fine_tuning.jobs.create(model="tiny", training_file=train, method=method, suffix="first", seed=4,
                                                  extra_body={"hone": {**SMALL, "max_steps": 100000}})
        page = self.open("new-job?from=" + job.id)
        expect(page.get_by_role("heading", name="The same again, with changes")).to_be_visible()
        expect(page.get_by_text("6 rows, no mistake", exact=True)).to_be_visible()
        expect(page.get_by_label("How", exact=True)).to_have_value("ne")
        expect(page.get_by_label("Times through the file")).to_have_value("2")
        page.get_by_label("A name for the result").fill("second")
        body = self.body()
        self.assertEqual((body["suffix"], body["seed"], body["hone"]["max_steps"]), ("second", 4, 100000))
        page.get_by_role("button", name="Start the job").click()
        made = self.started()
        self.assertEqual((made.user_provided_suffix, made.training_file), ("second", train))

    def test_a_check_is_cancelled_and_found_again(self):
        slow = {"type": "python", "name": "slow", "source": "import time\n\n\ndef grade(sample, item):\n    time.sleep(2)\n    return 0.5\n"}
        train = self.upload(rows())
        page = self.open("new-job")
        self.chosen(train)
        self.set_body(hone={**SMALL, "group_size": 64}, method={"type": "reinforcement", "reinforcement": {"grader": slow}})
        page.get_by_role("button", name="Check this job").click()
        expect(page.get_by_role("button", name="Cancel the check")).to_be_visible()
        page.reload()
        self.settled()
        page.get_by_role("button", name="Cancel the check").click()
        expect(page.get_by_text("The check was cancelled.")).to_be_visible()
        self.open("new-job?check=")
        page.get_by_text("Earlier checks").press("Enter")
        expect(page.get_by_role("listitem").filter(has_text="cancelled")).to_have_count(1)
        page.get_by_role("button", name="tiny, reinforcement").first.click()
        expect(page.get_by_text("The check was cancelled.")).to_be_visible()
        expect(page.get_by_text("The job as it is now is another")).to_be_visible()
        self.sound()

    def test_hostile_text_is_text(self):
        row = {"messages": [{"role": "user", "content": HOSTILE}], "x": HOSTILE, "answer": HOSTILE}
        file = self.upload(jsonl([row] * 2) + HOSTILE.encode() + b"\n" + json.dumps({"messages": HOSTILE}).encode(), "<b>\u202eevil</b>.jsonl")
        page = self.open("new-job")
        self.chosen(file)
        page.get_by_text("The rows as the job reads them").click()
        page.get_by_role("button", name="Grade these answers").click()
        expect(page.get_by_text("Reward 1", exact=True).first).to_be_visible()
        expect(page.get_by_text("\u241b[31mred").first).to_be_visible()
        self.set_body(model="<img src=x onerror='window.hacked=3'>", metadata={"x": "<b>"})
        self.sound()
        self.allowed = ["400", "404"]
        page.get_by_role("button", name="Check this job").click()
        expect(page.get_by_role("region", name="Check before it starts").get_by_role("alert")).to_contain_text("img src")
        self.every_form("new-job", "new-job-hostile", lambda p: self.chosen(file, p))

    def test_every_width(self):
        file = self.upload(rows(40))
        self.every_form("new-job", "new-job-empty")
        self.every_form("new-job", "new-job", lambda p: self.chosen(file, p))


if __name__ == "__main__":
    unittest.main()
