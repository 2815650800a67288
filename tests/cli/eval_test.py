"""eval: what is measured, that it is measured alike every time, and what is ranked."""
import json
import os
import unittest

from cli import CLOSE, EXACT, GGUF, HF, LIKE, TINY, HoneTest, python, rows

FIXED = "def grade(sample, item):\n    return item['worth']\n"


class Eval(HoneTest):
    def setUp(self):
        super().setUp()
        self.put("d.jsonl", rows())
        self.put("g.json", CLOSE)
        self.words = ("eval", "--model", HF, "--data", "d.jsonl", "--grader", "g.json", "--max-tokens", "5")

    def test_the_object_of_json(self):
        told = self.json(*self.words, "--samples", "5")
        self.assertEqual((told["n"], told["samples"], told["max_tokens"]), (6, 5, 5))
        low, high = told["reward_ci95"]
        self.assertTrue(low <= told["reward_mean"] <= high)
        self.assertEqual(sorted(told["pass_at_k"], key=int), ["1", "2", "4", "5"])
        self.assertEqual([g["name"] for g in told["graders"]], ["close"])
        self.assertAlmostEqual(told["graders"][0]["reward_mean"], told["reward_mean"])
        self.assertNotIn("top_1", told)

    def test_it_is_the_same_every_time_at_any_number_of_threads(self):
        def told(*more):
            return {k: v for k, v in self.json(*self.words, "--samples", "3", *more).items() if "seconds" not in k and k != "graders"}
        first = told("--threads", "1")
        self.assertEqual(first, told("--threads", "2"))
        self.assertNotEqual(first["reward_mean"], told("--seed", "2")["reward_mean"])

    def test_greedy_has_one_answer_a_row(self):
        told = self.json(*self.words, "--greedy", "--samples", "4")
        self.assertEqual((told["samples"], told["temperature"], told["greedy"]), (1, 0, True))

    def test_the_share_of_rows_solved_by_k_answers(self):
        """Half the rows are always worth 1, the other half nothing."""
        self.put("d.jsonl", [{**row, "worth": i % 2} for i, row in enumerate(rows())])
        self.put("g.json", python(FIXED))
        told = self.json(*self.words, "--samples", "3")
        self.assertEqual(told["pass_at_k"], {"1": 0.5, "2": 0.5, "3": 0.5})
        self.assertEqual((told["reward_mean"], told["flat_share"]), (0.5, 1))

    def test_the_share_that_passes_the_threshold(self):
        self.assertNotIn("passed", self.json(*self.words))
        self.put("d.jsonl", [{**row, "worth": i / 5} for i, row in enumerate(rows())])  # 0, 0.2, ... 1
        self.put("g.json", {**python(FIXED), "pass_threshold": 0.6})
        told = self.json(*self.words, "--samples", "2")
        self.assertEqual((told["pass_threshold"], told["passed"]), (0.6, 0.5))
        self.assertIn("0.5000  of the answers earn 0.6 or more", self.works(*self.words))

    def test_answers_can_be_kept_and_graded_again(self):
        told = self.json(*self.words, "--samples", "2", "--save-answers", "a.jsonl", "--out", "r.json")
        self.assertEqual(json.loads(self.read("r.json")), told)
        kept = [json.loads(line) for line in self.read("a.jsonl").splitlines()]
        self.assertEqual([(k["item"], k["sample"]) for k in kept], [(i, s) for i in range(6) for s in range(2)])
        again = self.works("grade", "--grader", "g.json", "--data", "d.jsonl", "--answers", "a.jsonl", "--json")
        self.assertEqual([json.loads(line)["reward"] for line in again.splitlines()], [k["reward"] for k in kept])

    def test_models_are_compared_row_by_row(self):
        told = self.json(*self.words, "--compare", HF, "--compare", GGUF)
        same, other = told["compare"]
        self.assertEqual((same["difference"], same["difference_ci95"]), (0, [0, 0]))
        self.assertAlmostEqual(other["difference"], other["reward_mean"] - told["reward_mean"])
        text = self.works(*self.words, "--compare", GGUF)
        self.assertIn("difference", text)

    def test_an_adapter_is_measured(self):
        plain, tuned = (self.json(*self.words, "--samples", "4", *more)["reward_mean"]
                        for more in ((), ("--adapter", os.path.join(TINY, "adapter"))))
        self.assertNotEqual(plain, tuned)

    def test_people_see_the_parts_of_a_multi_grader_and_failures(self):
        self.put("g.json", {"type": "multi", "name": "both", "calculate_output": "a + b", "graders": {
            "a": EXACT, "b": python("def grade(sample, item):\n    raise ValueError('broken')\n")}})
        text = self.works(*self.words)
        self.assertRegex(text, r"python_grader_runtime_error \d")
        self.assertIn("broken", text)


class Ranked(HoneTest):
    """The answers of a tiny random model rank nothing; graders see a fixed text in their place is not possible, so
    what is looked for is made of what it does answer."""

    def test_a_text_ranks_by_first_mention(self):
        data = rows()
        self.put("d.jsonl", data)
        self.put("g.json", LIKE)
        words = ("eval", "--model", HF, "--data", "d.jsonl", "--grader", "g.json", "--max-tokens", "12", "--greedy")
        self.json(*words, "--save-answers", "a.jsonl")
        said = [json.loads(line)["answer"] for line in self.read("a.jsonl").splitlines()]
        for row, text in zip(data, said):  # the whole answer, trimmed, is a name in it; "q q" is not
            row["among"], row["answer"] = ["q q", text], text
        self.put("d.jsonl", data)
        told = self.json(*words, "--ranked", "text", "--among", "item.among")
        self.assertEqual((told["top_1"], told["top_5"], told["top_max"]), (1, 1, 1))
        for row in data:
            row["gene"] = "q q"
        self.put("d.jsonl", data)
        told = self.json(*words, "--ranked", "text", "--among", "item.among", "--reference", "item.gene")
        self.assertEqual((told["top_1"], told["top_5"], told["top_max"]), (0, 0, 0))

    def test_what_is_ranked_is_checked_before_anything_is_spent(self):
        self.put("d.jsonl", rows())
        self.put("g.json", LIKE)
        words = ("eval", "--model", HF, "--data", "d.jsonl", "--grader", "g.json")
        self.fails(*words, "--ranked", "answer", status=2, says="--ranked")
        self.fails(*words, "--ranked", "text", status=2, says="--among")
        self.fails(*words, "--ranked", "sample.output_json.genes", "--reference", "gene", status=2, says="--reference")
        self.fails(*words, "--ranked", "sample.output_json.genes", "--reference", "item.gene",
                   says=["d.jsonl, line 1", "item.gene is missing"])
        self.fails(*words, "--ranked", "text", "--among", "item.answer", says=["d.jsonl, line 1", "item.answer is a string"])


if __name__ == "__main__":
    unittest.main()
