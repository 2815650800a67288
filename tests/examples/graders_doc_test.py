"""docs/GRADERS.md: every grader in it runs, and its cases get the rewards that stand beside them.

A ```json block with a "type" is a grader; the ```jsonl block behind it has its cases, one a line: what `hone grade --json`
reads, the "reward", a "flag" where grading fails, and what the "judge" or the "endpoint" replies where one is asked.
"""
import json
import os
import re
import sys
import unittest

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(TESTS, "cli"), os.path.join(TESTS, "support")]

from cli import HoneTest  # noqa: E402
from fake_openai import FakeOpenAI  # noqa: E402

PAGE = os.path.join(os.path.dirname(TESTS), "docs", "GRADERS.md")
TYPES = {"string_check", "text_similarity", "python", "multi", "score_model", "label_model", "endpoint"}
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)


def examples(text):
    """[(grader, [case])]: a grader and the cases behind it."""
    found = []
    for kind, content in BLOCK.findall(text):
        if kind == "json":
            found.append((json.loads(content), []))
        elif kind == "jsonl":
            found[-1][1].extend(json.loads(line) for line in content.splitlines())
    return found


class Page(HoneTest):
    with open(PAGE, encoding="utf-8") as stream:
        text = stream.read()

    def test_each_type_has_an_example_with_cases(self):
        kinds = [grader["type"] for grader, cases in examples(self.text) if cases]
        self.assertEqual(set(kinds), TYPES)
        self.assertEqual(len(kinds), len(examples(self.text)), "a grader without cases")

    def test_every_case_gets_its_reward(self):
        for grader, cases in examples(self.text):
            for case in cases:
                with self.subTest(grader=grader["name"], case=case):
                    self.check(grader, case)

    def check(self, grader, case):
        with FakeOpenAI() as server:
            server.chat.answers = [case.get("judge", "not asked")]
            server.grade.answers = [case.get("endpoint", "not asked")]
            if grader["type"] == "endpoint":
                grader = {**grader, "url": server.root + "/grade"}
            path = self.put("grader.json", grader)
            line = json.dumps({"item": case["item"], "sample": case["sample"]})
            asks = grader["type"] in ("score_model", "label_model")
            out = self.works("grade", "--grader", path, "--json", *(("--judge", server.url) if asks else ()), stdin=line + "\n")
            told = json.loads(out)
            errors = told["metadata"]["errors"]
            self.assertAlmostEqual(told["reward"], case["reward"], places=6)
            self.assertEqual([key for key, value in errors.items() if value is True], [case["flag"]] if "flag" in case else [])
            self.assertEqual(len(server.chat.asked) > 0, "judge" in case)
            self.assertEqual(len(server.grade.asked) > 0, "endpoint" in case)

    def test_links_lead_somewhere(self):
        heads = {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in re.findall(r"^#+ (.*)$", self.text, re.M)}
        for target in re.findall(r"\]\(([^)]+)\)", self.text):
            with self.subTest(target):
                if target.startswith("#"):
                    self.assertIn(target[1:], heads)
                else:
                    self.assertTrue(os.path.exists(os.path.join(os.path.dirname(PAGE), target.split("#")[0])))


if __name__ == "__main__":
    unittest.main()
