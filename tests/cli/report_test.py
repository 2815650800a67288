"""report: what the run's model says of the answers is what they were drawn with, changes nothing of the run, and may be missing."""
import hashlib
import json
import os
import shutil
import unittest

from cli import HF, HoneTest

KEPT = "token_changes.jsonl"


class Changes(HoneTest):
    def setUp(self):
        super().setUp()
        shutil.copytree(HF, self.path("model"))
        self.job(steps=4)
        job = json.loads(self.read("job.json"))
        self.put("job.json", {**job, "model": "model"})
        self.works("train", "job.json", "--out", "run")

    def hashes(self):
        """Of all files of the run but those that a report makes."""
        found = {}
        for folder, _, names in os.walk(self.path("run")):
            for name in names:
                path = os.path.join(folder, name)
                if name not in ("report.html", KEPT, "rollouts.index"):
                    with open(path, "rb") as stream:
                        found[os.path.relpath(path, self.path("run"))] = hashlib.sha256(stream.read()).hexdigest()
        return found

    def kept(self):
        return [json.loads(line) for line in self.read("run", KEPT).splitlines()]

    def drawn(self, split, step, item, sample):
        name = "%s-%d.jsonl" % ("valid" if split == "valid" else "step", step)
        for line in map(json.loads, self.read("run", "rollouts", name).splitlines()):
            if (line["item"], line["sample"]) == (item, sample):
                return line
        self.fail("no answer %s" % [split, step, item, sample])

    def data(self, page):
        return json.loads(page.split('<script type="application/json" id="data">')[1].split("</script>")[0])

    def test_the_model_says_what_it_said_when_it_drew(self):
        before = self.hashes()
        self.assertEqual(self.json("report", "run"), {"report": "run/report.html"})
        self.assertEqual(self.hashes(), before)
        lines = self.kept()
        self.assertGreater(len(lines), 4)
        compared = 0
        for line in lines:
            self.assertLessEqual({"base", "step-4"}, set(line["logprobs"]))
            drawn = self.drawn(line["split"], line["step"], line["item"], line["sample"])
            self.assertEqual(drawn["tokens"], line["tokens"])
            # the base drew the validation before training and the first step; the last checkpoint the last validation
            model = {("valid", 0): "base", ("train", 1): "base", ("valid", 4): "step-4"}.get((line["split"], line["step"]))
            if model is None:
                continue
            for is_now, was in zip(line["logprobs"][model], drawn["logprobs"], strict=True):
                self.assertAlmostEqual(is_now, was, delta=1e-4 * abs(was) + 1e-6)
                compared += 1
            self.assertNotEqual(line["logprobs"]["base"], line["logprobs"]["step-4"])
        self.assertGreater(compared, 10)
        page = self.read("run", "report.html")
        self.assertEqual(page.count("data-changed="), len(lines))
        self.assertNotIn("is not in this file", page)
        answers = self.data(page)["changes"]["answers"]
        self.assertEqual(len(answers), len(lines))
        # a figure of the page is the file's: drawn, base, then the checkpoints
        self.assertAlmostEqual(answers["0"][1][0], lines[0]["logprobs"]["base"][0], delta=6e-4)

    def test_the_run_is_the_same_to_a_replay(self):
        self.works("report", "run")
        self.assertIn("The same model", self.works("replay", "run"))

    def test_it_is_asked_once(self):
        self.works("report", "run")
        page, lines = self.read("run", "report.html"), self.read("run", KEPT)
        shutil.rmtree(self.path("model"))
        self.assertEqual(self.json("report", "run"), {"report": "run/report.html"})
        self.assertEqual(self.read("run", "report.html"), page)
        shutil.rmtree(self.path("run", "checkpoints"))  # a folder that was sent without them
        self.works("report", "run")
        self.assertEqual(self.read("run", KEPT), lines)
        self.assertIn("data-changed=", self.read("run", "report.html"))

    def test_without_its_model_the_page_is_written_without(self):
        os.rename(self.path("model"), self.path("moved"))
        said = self.json("report", "run")
        self.assertEqual(said["report"], "run/report.html")
        self.assertIn("no longer there", said["without_changes"])
        page = self.read("run", "report.html")
        self.assertIn("is not in this file", page)
        self.assertIn("Most strengthened", page)
        self.assertNotIn("data-changed=", page)
        self.assertFalse(os.path.exists(self.path("run", KEPT)))
        # and with where it lies now
        self.assertEqual(self.json("report", "run", "--model", "moved"), {"report": "run/report.html"})
        self.assertIn("data-changed=", self.read("run", "report.html"))

    def test_a_damaged_file_is_passed_over_and_made_again(self):
        self.works("report", "run")
        lines = self.read("run", KEPT)
        page = self.read("run", "report.html")
        self.put("run/" + KEPT, b"\xff{\n[]\n" + lines.splitlines()[0].encode()[:40])
        self.works("report", "run")
        self.assertEqual(self.read("run", KEPT), lines)
        self.assertEqual(self.read("run", "report.html"), page)


if __name__ == "__main__":
    unittest.main()
