"""The page of models, on a server where a small job made one."""
import unittest

from browser import WebTest, expect, jsonl, rows

CLOSE = {"type": "text_similarity", "name": "close", "input": "{{sample.output_text}}",
         "reference": "{{item.answer}} a e i o u", "evaluation_metric": "fuzzy_match"}


class Models(WebTest):
    @classmethod
    def prepare(cls):
        train = cls.client.files.create(file=("train.jsonl", jsonl(rows())), purpose="fine-tune").id
        method = {"type": "reinforcement", "reinforcement": {
            "grader": CLOSE, "hyperparameters": {"n_epochs": 1, "batch_size": 2, "eval_interval": 1}}}
        cls.job = cls.client.fine_tuning.jobs.create(
            model="tiny", training_file=train, validation_file=train, suffix="small", method=method,
            extra_body={"hone": {"max_steps": 2, "group_size": 4, "max_tokens": 8}}).id
        cls.server.worker()
        cls.model = cls.client.fine_tuning.jobs.retrieve(cls.job).fine_tuned_model

    def test_models(self):
        page = self.open("models")
        tuned = page.get_by_role("region", name="Fine-tuned models")
        expect(tuned.get_by_role("row")).to_have_count(2)
        expect(tuned).to_contain_text("tiny")
        bases = page.get_by_role("region", name="Base models")
        expect(bases.get_by_role("rowheader", name="tiny")).to_be_visible()
        expect(bases).to_contain_text("kB")
        link = tuned.get_by_role("link", name=self.model, exact=True)
        self.tab_to(link)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name=self.model)).to_be_focused()
        marks = page.get_by_role("region", name="Checkpoints")
        want = len(list(self.client.fine_tuning.jobs.checkpoints.list(self.job)))
        self.assertGreater(want, 0)
        expect(marks.get_by_role("row")).to_have_count(want + 1)
        self.assertRegex(marks.get_by_role("row").nth(1).inner_text(), r"0\.\d+")
        command = page.get_by_label("The command")
        page.get_by_label("As", exact=True).select_option("gguf")
        expect(command).to_have_text("hone export --model %s --format gguf --out exported --verify" % self.model)

    def test_every_form(self):
        self.every_form("models", "models")
        self.every_form("models/" + self.model, "model")

    def test_a_checkpoint_is_shared_and_taken_back(self):
        other = self.client.post("/organization/projects", body={"name": "b<i>"}, cast_to=object)
        page = self.open("models/" + self.model)
        page.get_by_role("button", name="Share the checkpoint").first.press("Enter")
        box = page.get_by_role("dialog")
        expect(box.get_by_text("No other project may use it.")).to_be_visible()
        box.get_by_label("Share it with").select_option(other["id"])
        self.sound()
        box.get_by_role("button", name="Share", exact=True).click()
        given = box.get_by_role("list", name="Projects that may use it")
        expect(given.get_by_role("listitem")).to_have_count(1)
        expect(given).to_contain_text("b<i>")
        name = self.client.fine_tuning.jobs.checkpoints.list(self.job).data[0].fine_tuned_model_checkpoint
        allowed = self.client.fine_tuning.checkpoints.permissions
        self.assertEqual([p.project_id for p in allowed.list(name)], [other["id"]])
        self.sound()
        given.get_by_role("button", name="Take it back").click()
        expect(given).to_have_count(0)
        self.assertEqual(list(allowed.list(name)), [])
        self.client.post("/organization/projects/%s/archive" % other["id"], cast_to=object)

    def test_who_may_not_share_is_told_so(self):
        project = self.client.get("/organization/projects", cast_to=object)["data"][0]["id"]
        key = self.client.post("/organization/projects/%s/api_keys" % project, body={"name": "t", "scopes": ["train"]}, cast_to=object)["value"]
        page = self.page = self.new_page(key=key)
        self.allowed = ["403"]
        self.open("models/" + self.model)
        page.get_by_role("button", name="Share the checkpoint").first.click()
        expect(page.get_by_role("region", name="Messages")).to_contain_text("lacks the scope \"admin\"")

    def test_deletion_asks_first(self):
        shadow = self.server.client()
        page = self.open("models/" + self.model)
        page.get_by_role("button", name="Delete").click()
        box = page.get_by_role("dialog")
        expect(box).to_contain_text(self.model)
        self.sound()
        page.keyboard.press("Escape")
        expect(box).to_have_count(0)
        self.assertEqual(shadow.models.retrieve(self.model).id, self.model)

    def test_z_deletion(self):
        page = self.open("models/" + self.model)
        page.get_by_role("button", name="Delete").click()
        page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        expect(page.get_by_role("heading", name="Models", exact=True)).to_be_visible()
        expect(page.get_by_role("link", name=self.model, exact=True)).to_have_count(0)
        self.assertNotIn(self.model, [m.id for m in self.client.models.list()])


if __name__ == "__main__":
    unittest.main()
