"""examples/rare-disease/graders: what each grader pays for, and what it does not."""
import json
import os
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "examples", "rare-disease"))

import forms  # noqa: E402


def grade_of(grader):
    names = {}
    exec(compile(grader["source"], grader["name"], "exec"), names)
    return names["grade"]


class Graders(unittest.TestCase):
    def check(self, name, item, scores):
        grade = grade_of(forms.python_grader(name))
        for text, score in scores.items():
            with self.subTest(text):
                self.assertAlmostEqual(grade({"output_text": text}, item), score)
        self.assertEqual(grade({"output_text": None}, item), 0.0)
        self.assertEqual(grade({}, item), 0.0)

    def test_organ(self):
        self.check("organ", {"answer": "eye"}, {
            "eye": 1, "Eye.": 1, " **Eye**\n": 1, "eye, not skin": 1, "": 0, "skin": 0, "eyes": 0,
            "the eye": 0, "eye heart skin bone": 0, "Is it the eye?": 0})

    def test_letter(self):
        self.check("letter", {"answer": "H"}, {
            "H": 1, "H.": 1, " (H)": 1, "H. NF1": 1, "H: NF1": 1, "": 0, "A": 0, "h": 0, "HNF1": 0,
            "The answer is H": 0, "H is the": 0})
        self.check("letter", {"answer": "A"}, {"A patient with": 0, "A.": 1, "A\nB": 1})

    def test_names(self):
        item = {"gene": "NF1", "candidates": ["CHD8", "FBN1", "NF1", "UMOD"]}
        self.check("names", item, {
            "NF1, FBN1, UMOD": 1, "fbn1, nf1": 0.5, "1. CHD8 2. FBN1 3. NF1": 0.25,
            "FBN1, FBN1, NF1": 0.5, "CHD8 FBN1 UMOD NF1": 0, "XNF1": 0, "": 0})

    def test_genes(self):
        ten = ["G%d" % i for i in range(10)]
        self.check("genes", {"gene": "NF1"}, {
            json.dumps({"genes": ["NF1"]}): 1,
            json.dumps({"genes": ["FBN1", "nf1 "]}): 2 ** -0.5,
            json.dumps({"genes": ["FBN1", "fbn1", "NF1"]}): 2 ** -0.5,
            "Here you are: " + json.dumps({"genes": ["NF1 (neurofibromin)"]}) + " Good luck": 1,
            json.dumps({"genes": ten + ten + ["NF1"]}): 11 ** -0.5,
            json.dumps({"genes": ten + ["H%d" % i for i in range(10)] + ["NF1"]}): 0,
            json.dumps({"genes": "NF1"}): 0, json.dumps(["NF1"]): 0, "NF1": 0, "{": 0, "": 0})
        grade = grade_of(forms.python_grader("genes"))
        self.assertEqual(grade({"output_text": "", "output_json": {"genes": ["NF1"]}}, {"gene": "NF1"}), 1)

    def test_form(self):
        why = "These signs fit it best."
        self.check("form", {"gene": "NF1"}, {
            json.dumps({"explanation": why, "genes": ["A", "B"]}): 1,
            json.dumps({"explanation": "Because.", "genes": ["A"]}): 0,
            json.dumps({"explanation": why, "genes": []}): 0,
            json.dumps({"explanation": why, "genes": ["A", "A"]}): 0,
            json.dumps({"explanation": why, "genes": [["A"]]}): 0,
            json.dumps({"explanation": why, "genes": ["G%d" % i for i in range(21)]}): 0,
            "x " + json.dumps({"explanation": why, "genes": ["A"]}): 0, "[]": 0, "": 0})

    def test_the_multi_grader_names_its_parts(self):
        grader = forms.genes_and_form()
        self.assertEqual(sorted(grader["graders"]), ["form", "genes"])
        self.assertEqual(grader["calculate_output"], "0.9 * genes + 0.1 * form")


if __name__ == "__main__":
    unittest.main()
