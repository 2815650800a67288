"""check: what the base model's answers foretell, how many prompts that takes, and when a job is refused."""
import json
import math
import os
import unittest

from cli import EXACT, HoneTest, python, rows

# Answers to a prompt that teaches earn 1 or 0 by chance; all others earn 0.
SOME_TEACH = python("import zlib\n\n\ndef grade(sample, item):\n"
                    "    return float(item['teaches'] and zlib.crc32(sample['output_text'].encode()) % 2)\n")


def wilson(share, n, z):
    return (share + z * z / 2 / n + z * math.sqrt(share * (1 - share) / n + z * z / 4 / n / n)) / (1 + z * z / n)


class Check(HoneTest):
    def assert_nothing_but_progress(self, text):
        for line in text.splitlines():
            self.assertRegex(line, r"\Ahone: \d+ of \d+ answers, ")

    def told(self, status):
        run = self.hone("check", "job.json", "--json")
        self.assert_nothing_but_progress(run.stderr)
        told = json.loads(run.stdout)
        self.assertEqual((run.returncode, told["can_learn"]), (status, status == 0), told["verdict"])
        return told

    def some_teach(self, n, one_in, status, most=128, **hone):
        self.job(grader=SOME_TEACH, hone={"group_size": 16, "max_tokens": 4, **hone})
        for name, count in (("train.jsonl", n), ("valid.jsonl", 3)):
            self.put(name, [{**row, "teaches": i % one_in == 0} for i, row in enumerate(rows(count))])
        told = self.told(status)
        teaching = (1 - told["flat_share"]) * told["rows_checked"]
        self.assertAlmostEqual(teaching, round(teaching), places=6)
        for key, z in (("low", -1.645), ("high", 1.645)):
            for name, share in (("flat_share", told["flat_share"]), ("best", told["best_mean"])):
                limit = wilson(share, told["rows_checked"], z)
                if share > 0:
                    self.assertAlmostEqual(told["%s_%s" % (name, key)], limit, places=9)
        self.assertAlmostEqual(told["best_mean"], 1 - told["flat_share"], places=6)  # rewards of 0 and 1
        settled = told["flat_share_high"] < 5 / 6 or told["flat_share_low"] > 5 / 6
        self.assertTrue(settled or told["rows_checked"] == most, told)
        return told, round(teaching)

    def test_a_job_that_can_learn(self):
        told = self.json("check", self.job())
        self.assertTrue(told["can_learn"])
        self.assertEqual((told["rows_train"], told["rows_valid"], told["max_tokens"]), (6, 3, 6))
        self.assertIn("can learn", self.works("check", "job.json"))
        self.assertFalse(os.path.exists(self.path("home", "runs")))

    def test_a_job_that_cannot_learn_is_refused_in_plain_words(self):
        self.job(grader={**EXACT, "reference": "an answer that nobody gives"})
        run = self.hone("check", "job.json")
        self.assertEqual(run.returncode, 1)
        self.assert_nothing_but_progress(run.stderr)
        self.assertIn("annot learn", run.stdout)
        self.assertEqual(self.told(1)["reward_mean"], 0)

    def test_a_clear_case_is_told_from_few_prompts(self):
        told, teaching = self.some_teach(400, one_in=2, status=0)
        self.assertEqual(told["rows_checked"], 32)
        self.assertGreater(teaching, 8)
        told, teaching = self.some_teach(400, one_in=100, status=1)
        self.assertEqual(told["rows_checked"], 32)
        self.assertLess(teaching, 3)

    def test_what_few_prompts_leave_open_is_asked_of_more(self):
        told, teaching = self.some_teach(400, one_in=9, status=1)
        self.assertIn(told["rows_checked"], (64, 128))
        self.assertGreater(teaching, 2)
        self.assertRegex(told["verdict"], r"hardly anything to learn from: \d+ %% of %d prompts \(likely \d+ to \d+ %%\) had answers of "
                                          r"different worth among 16, " % told["rows_checked"])
        told, teaching = self.some_teach(400, one_in=5, status=0)
        self.assertIn(told["rows_checked"], (32, 64, 128))
        self.assertGreaterEqual(6 * teaching, told["rows_checked"])
        slowly = 3 * teaching < told["rows_checked"]  # of three portions not even one teaches
        self.assertEqual("can learn, if slowly" in told["verdict"], slowly, told["verdict"])
        told, _ = self.some_teach(400, one_in=5, status=0, refill=12)
        self.assertIn("This job can learn: ", told["verdict"])

    def test_no_row_is_asked_twice_and_long_answers_of_fewer(self):
        told, teaching = self.some_teach(45, one_in=9, status=1, most=45)  # 5 of 45: fewer than a sixth, and never sure
        self.assertEqual((told["rows_checked"], teaching), (45, 5))
        told, _ = self.some_teach(400, one_in=2, status=0, most=48, max_tokens=250)
        self.assertEqual(told["rows_checked"], 12)

    def test_prompts_that_teach_little_worth_are_not_enough(self):
        source = ("import zlib\n\n\ndef grade(sample, item):\n    chance = zlib.crc32(sample['output_text'].encode()) %% 2\n"
                  "    return chance * (1.0 if item['full'] else %s if item['answer'] == 'a' else 0)\n")
        for partial, status in ((0.1, 1), (0.9, 0)):  # every third prompt teaches, and one of sixteen that all can be earned
            self.job(grader=python(source % partial), hone={"group_size": 16, "max_tokens": 4})
            for name, n in (("train.jsonl", 400), ("valid.jsonl", 3)):
                self.put(name, [{**row, "full": i % 16 == 0} for i, row in enumerate(rows(n))])
            told = self.told(status)
            self.assertLess(told["flat_share"], 5 / 6)
            self.assertEqual(told["best_mean"] < 1 / 6, status == 1, told)
        self.job(grader=python("import zlib\n\n\ndef grade(sample, item):\n"
                               "    return 0.03 + zlib.crc32(sample['output_text'].encode()) % 100 / 5000\n"))
        self.assertLess(self.told(0)["best_mean"], 0.06)  # a grader of a narrow scale is no poor one

    def measured_limit(self, grader, seed):
        """The limit of an answer that is measured, on 24 rows."""
        self.job(grader=python("import zlib\n\n\ndef grade(sample, item):\n    text = sample['output_text']\n"
                               "    return float(%s)\n" % grader), seed=seed, hone={"max_tokens": "auto"})
        self.put("train.jsonl", rows(24))
        return json.loads(self.hone("check", "job.json", "--json").stdout)["max_tokens"]

    def test_a_few_lucky_long_answers_do_not_make_the_limit_long(self):
        # from 30 letters on every text has its own chance of one in sixty: what is still longer earns no more
        limits = [self.measured_limit("len(text) > 30 and zlib.crc32(text.encode()) % 60 == 0", seed) for seed in range(8)]
        self.assertLessEqual(max(limits), 64, limits)
        self.assertEqual(self.measured_limit("min(1, len(text.split('\\0')[0]) / 400)", 1), 256)
        self.assertGreaterEqual(self.measured_limit("len(text) > 60", 1), 128)  # none of the short ones earns
        # short ones found something, and the few long ones nothing but small losses
        self.assertEqual(self.measured_limit("1 if len(text) > 30 and zlib.crc32(text.encode()) % 120 == 0 else -len(text) / 1e6", 0), 64)

    def test_a_model_that_is_right_already_and_a_grader_that_fails_are_told_as_that(self):
        self.job(grader=python("def grade(sample, item):\n    return 1.0\n"))
        self.assertIn("nothing left to learn", self.told(1)["verdict"])
        self.job(grader=python("def grade(sample, item):\n    return item['nothing of the kind']['at all']\n"))
        self.assertIn("nothing of the kind", self.fails("check", "job.json"))
        self.job(hone={"reasoning": {"open": "<t>", "close": "</t>"}})  # no answer follows thoughts that do not end
        self.assertIn("none earned anything", self.told(1)["verdict"])
        self.job(grader=python("def grade(sample, item):\n    return 1 // 0\n"))
        self.assertIn("grader fails on 100 % of the answers", self.told(1)["verdict"])


if __name__ == "__main__":
    unittest.main()
