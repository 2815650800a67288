"""grade: a grader on given answers, what is told of it, and graders that do what they should not."""
import json
import os
import pty
import queue
import re
import select
import signal
import subprocess
import threading
import time
import unicodedata
import unittest

from cli import CLOSE, EXACT, HONE, LIKE, HoneTest, python


class Grade(HoneTest):
    def grade(self, grader, *lines, options=()):
        return self.lines("grade", "--grader", self.put("g.json", grader), *options, stdin=lines)

    def answer(self, text="a", answer="a"):
        return {"item": {"answer": answer}, "sample": {"output_text": text}}

    def test_lines_become_responses_of_graders_run(self):
        told = self.grade(EXACT, self.answer(), self.answer("b"), {"item": {"answer": "a"}, "model_sample": "a"})
        self.assertEqual([line["reward"] for line in told], [1, 0, 1])
        self.assertEqual(told[0]["metadata"]["name"], "exact")
        self.assertEqual(told[0]["metadata"]["type"], "string_check")
        self.assertFalse(any(told[0]["metadata"]["errors"].values()))
        self.assertIn("sub_rewards", told[0])

    def test_a_bad_line_gives_an_error_in_its_place(self):
        told = self.grade(EXACT, {"item": {}}, {"item": 1, "sample": {"output_text": "a"}}, {"sample": 1},
                          {"sample": {"output_text": 1}}, "{", self.answer())
        self.assert_error(told[0], param="sample", says='"sample" is missing')
        self.assert_error(told[1], param="item", says="a number")
        self.assert_error(told[2], param="sample")
        self.assert_error(told[3], param="sample.output_text")
        self.assert_error(told[4], says="line 5")
        self.assertEqual(told[5]["reward"], 1)

    def test_meteor_without_wordnet_is_refused_and_other_metrics_are_not(self):
        hidden = ["bwrap", "--dev-bind", "/", "/", "--tmpfs", "/usr/share/wordnet"]
        tried = subprocess.run([*hidden, "true"], capture_output=True, text=True)
        if tried.returncode != 0:
            self.skipTest("nothing can be mounted here: " + tried.stderr)
        grader = {"type": "text_similarity", "name": "alike", "input": "{{sample.output_text}}", "reference": "{{item.answer}}"}
        for metric in ("meteor", "rouge_1"):
            self.put(metric + ".json", {**grader, "evaluation_metric": metric})
        line = json.dumps(self.answer("cars", "car cars")) + "\n"

        def grade(metric):
            return subprocess.run([*hidden, HONE, "grade", "--grader", metric + ".json", "--json"], cwd=self.folder, env=self.env,
                                  input=line, capture_output=True, text=True)

        told = grade("meteor")
        self.assertEqual((told.returncode, told.stdout), (1, ""))
        self.assert_sentence(told.stderr, ["evaluation_metric: meteor cannot be computed here", "/usr/share/wordnet",
                                           "apt install wordnet-base", "the other metrics need no such thing"])
        told = grade("rouge_1")
        self.assertEqual(told.returncode, 0, told.stderr)
        self.assertAlmostEqual(json.loads(told.stdout)["reward"], 2 / 3)
        self.assertGreater(self.grade({**grader, "evaluation_metric": "meteor"}, self.answer("cars", "car"))[0]["reward"], 0)

    def test_json_in_an_answer_is_there_for_the_grader(self):
        grader = python("def grade(sample, item):\n    return float(sample['output_json']['a'])\n")
        told, = self.grade(grader, {"item": {}, "sample": {"output_text": '{"a": 0.5}'}})
        self.assertEqual(told["reward"], 0.5)

    def test_a_job_lends_its_grader(self):
        job = self.put("job.json", {"method": {"type": "reinforcement", "reinforcement": {"grader": EXACT}}})
        out = self.works("grade", "--grader", job, "--json", stdin=json.dumps(self.answer()) + "\n")
        self.assertEqual(json.loads(out)["reward"], 1)
        self.put("job.json", {"method": {}})
        self.fails("grade", "--grader", job, "--json", says="job without a grader")

    def test_files_of_data_and_answers_are_graded_in_order(self):
        self.put("g.json", LIKE)
        self.put("d.jsonl", [{"answer": "a"}, {"answer": "b"}])
        self.put("a.jsonl", ["xa", {"output_text": "x"}, {"item": 0, "answer": "a"}, {"sample": {"output_text": "b"}, "item": 1}])
        words = ("grade", "--grader", "g.json", "--data", "d.jsonl", "--answers", "a.jsonl")
        told = [json.loads(line) for line in self.works(*words, "--json").splitlines()]
        self.assertEqual([line["reward"] for line in told], [1, 0, 1, 1])
        self.assertIn("4 answers over 2 rows, mean reward 0.7500", self.works(*words))

    def test_a_line_of_a_run_counts_as_often_as_it_was_given(self):
        self.put("g.json", LIKE)
        self.put("d.jsonl", [{"answer": "a"}, {"answer": "b"}])
        self.put("step-3.jsonl", [{"item": 1, "sample": 0, "count": 3, "samples": [0, 1, 3], "answer": "b"},
                                  {"item": 1, "sample": 2, "answer": "x"}])
        words = ("grade", "--grader", "g.json", "--data", "d.jsonl", "--answers", "step-3.jsonl")
        text = self.works(*words)
        self.assertIn("4 answers over 1 row, mean reward 0.7500", text)
        self.assertIn("(3 times)", text)
        self.assertEqual(len(self.works(*words, "--json").splitlines()), 2)

    def test_mistakes_in_the_files_name_file_and_line(self):
        self.put("g.json", EXACT)
        self.put("d.jsonl", [{"answer": "a"}])
        words = ("grade", "--grader", "g.json", "--data", "d.jsonl", "--answers", "a.jsonl")
        self.fails(*words, says="a.jsonl")
        self.put("a.jsonl", [{"text": "a"}])
        self.fails(*words, says=["a.jsonl, line 1", "no answer"])
        self.put("a.jsonl", ["a", "b"])
        self.fails(*words, says=["a.jsonl, line 2", "the data has 1 rows"])
        self.put("a.jsonl", '"a"\n{\n')
        self.fails(*words, says="a.jsonl, line 2")
        self.put("a.jsonl", ["a", {"item": 0, "sample": 1, "cut": True, "answer": "a"}])
        self.fails(*words, says=["a.jsonl, line 2", "cannot be graded again", "leave the line out"])
        self.put("d.jsonl", [{"answer": "a"}, {"reply": "a"}])
        self.fails(*words, says=["d.jsonl, line 2", 'item.answer', '"exact"'])

    def test_a_python_file_is_a_grader(self):
        self.put("len.py", "def grade(sample, item):\n    return len(sample['output_text']) / 10  # \u00e9\n")
        told, = self.lines("grade", "--grader", self.path("len.py"), stdin=[self.answer("abc")])
        self.assertEqual((told["reward"], told["metadata"]["name"], told["metadata"]["type"]), (0.3, "len", "python"))
        self.put("len.py", "def grade(sample, item:\n    return 1\n")
        self.fails("grade", "--grader", "len.py", "--json", says=["len.py", "SyntaxError", "line 1"])
        self.fails("check", self.job(), "--grader", "len.py", says=["len.py", "SyntaxError", "line 1"])
        self.put("len.py", b"# \xff\ndef grade(sample, item):\n    return 1\n")
        self.fails("grade", "--grader", "len.py", "--json", says=["len.py", "UTF-8"])
        self.put("len.py", "# " + "x" * (1 << 18))
        self.fails("grade", "--grader", "len.py", "--json", says="len.py")
        self.fails("grade", "--grader", "absent.py", "--json", says="absent.py")

    def test_a_grader_that_makes_no_sense_is_refused_with_its_key(self):
        for grader, says in [({}, "type"), ({"type": "guess"}, "guess"), ({**EXACT, "operation": "equals"}, "operation"),
                             ({**EXACT, "input": "{{row.a}}"}, "row"), (python("def grade(sample):\n  return 1"), "grade"),
                             (python("def grade(sample, item:\n  return 1"), "g.json")]:
            self.put("g.json", grader)
            self.fails("grade", "--grader", "g.json", "--json", says=["g.json", says])
        self.put("g.json", "{")
        self.fails("grade", "--grader", "g.json", "--json", says=["g.json", "line 1"])
        self.fails("grade", "--grader", "nothing.json", "--json", says="nothing.json")


class Misbehaving(HoneTest):
    """Each gets reward 0 and says why, and the next answer is graded as if nothing had been."""
    SOURCE = """import sys
def grade(sample, item):
    text = sample["output_text"]
    if text == "raise":
        raise ValueError("no such gene")
    if text == "hang":
        while True:
            pass
    if text == "allocate":
        return len([bytearray(1 << 20) for _ in range(1 << 20)])
    if text == "nan":
        return float("nan")
    if text == "text":
        return "good"
    if text == "print":
        for _ in range(1 << 16):
            print("x" * 1024)
        return 0.25
    if text == "exit":
        sys.exit(0)
    if text == "key":
        return item["missing"]
    return 1.0
"""

    def test_what_a_grader_may_do_wrong(self):
        self.put("g.json", python(self.SOURCE))
        deeds = ["fine", "raise", "fine", "hang", "fine", "allocate", "fine", "nan", "text", "print", "exit", "key", "fine"]
        told = self.lines("grade", "--grader", "g.json", "--grader-timeout", "5", "--grader-memory", "128", "--threads", "1",
                          stdin=[{"item": {}, "sample": {"output_text": deed}} for deed in deeds])
        says = {"raise": "no such gene", "hang": "5 s", "allocate": "emory", "nan": "nan", "text": "not a number", "exit": "",
                "key": "missing"}
        for deed, line in zip(deeds, told):
            errors = line["metadata"]["errors"]
            if deed in ("fine", "print"):
                self.assertEqual(line["reward"], 1.0 if deed == "fine" else 0.25, (deed, line))
                self.assertFalse(errors["python_grader_runtime_error"])
            else:
                self.assertEqual(line["reward"], 0, deed)
                self.assertTrue(errors["python_grader_runtime_error"], (deed, line))
                self.assertIn(says[deed], errors["python_grader_runtime_error_details"])

    def test_control_c_does_not_wait_for_a_grader(self):
        self.put("g.json", python(self.SOURCE))
        run = subprocess.Popen([HONE, "grade", "--grader", "g.json", "--json"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               text=True, cwd=self.folder, env=self.env)
        run.stdin.write("".join(json.dumps({"sample": {"output_text": deed}}) + "\n" for deed in ("fine", "hang")))
        run.stdin.flush()
        run.stdout.readline()  # now it hangs
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=60)
        self.assertEqual(run.returncode, 1)

    def test_people_are_told_how_many_and_why(self):
        self.put("g.json", python(self.SOURCE))
        self.put("d.jsonl", [{"missing": 1}] * 2)
        self.put("a.jsonl", ["raise", "fine"])
        out = self.works("grade", "--grader", "g.json", "--data", "d.jsonl", "--answers", "a.jsonl")
        self.assertIn("The grader failed on 1 answer (50.0 %)", out)
        self.assertIn("python_grader_runtime_error", out)
        self.assertIn("      ValueError: no such gene\n", out)



NOISY = """import os
def grade(sample, item):
    return float(sample["output_text"]) + os.urandom(1)[0] / 255 * item["noise"]
"""


class Told(HoneTest):
    """What is told of a grader's rewards, as text and as JSON."""

    def told(self, grader, data, answers, *options):
        """The text and the document of --json --summary."""
        self.put("g.json", grader)
        self.put("d.jsonl", data)
        self.put("a.jsonl", answers)
        words = ("grade", "--grader", "g.json", "--data", "d.jsonl", "--answers", "a.jsonl", *options)
        text = self.works(*words)
        for line in text.splitlines():
            if not line.startswith(" " * 6 + " ") and not re.match(" {6}[A-Z]", line):  # a traceback is shown as it is
                self.assertLessEqual(len(line), 80, line)
        # the document has no listings to ask for
        document = self.json(*[word for word in words if word not in ("--all", "--prints")], "--summary")
        return text, document

    def test_the_header_has_mean_interval_shares_and_time(self):
        text, told = self.told({**LIKE, "pass_threshold": 0.5}, [{"answer": "a"}] * 4,
                               [{"item": i // 2, "answer": "xa" if i < 3 else "x"} for i in range(8)])
        # rows have 1, 0.5, 0, 0: deviation 0.4787, its error half of that
        self.assertIn("8 answers over 4 rows, mean reward 0.3750  95 % interval -0.0941 to 0.8441\n", text)
        self.assertRegex(text, r"\n  at 0 +62\.5 %  of the answers\n  at 1 +37\.5 %\n")
        self.assertRegex(text, r"\n  passed +37\.5 %  with 0\.5 or more")
        self.assertRegex(text, r"\n  time +[0-9.]+ s  [0-9]+ calls a second\n")
        reward = told["reward"]
        self.assertEqual((told["answers"], told["rows"], reward["mean"], reward["passed"]), (8, 4, 0.375, 0.375))
        self.assertAlmostEqual(reward["ci95"][1], 0.375 + 1.96 * (11 / 48) ** 0.5 / 2)
        self.assertEqual((reward["share_at_low"], reward["share_at_high"], reward["distinct"]), (0.625, 0.375, 2))

    def test_one_row_has_no_interval(self):
        text, told = self.told(LIKE, [{"answer": "a"}], ["a"])
        self.assertIn("1 answer over 1 row, mean reward 1.0000\n", text)
        self.assertIsNone(told["reward"]["ci95"])
        self.assertIsNone(told["reward"]["passed"])
        self.assertNotIn("passed", text)

    def test_few_values_are_drawn_each_and_many_in_bins(self):
        text, told = self.told(LIKE, [{"answer": "a"}], [{"item": 0, "answer": "a" if i < 15 else "b"} for i in range(20)])
        self.assertRegex(text, r"\n +0\.0000  #+ +5  25\.0 %\n +1\.0000  #+ +15  75\.0 %\n2 distinct values; 25 % at 0, 75 % at 1;")
        self.assertEqual(told["histogram"], [{"from": 0, "to": 0, "count": 5}, {"from": 1, "to": 1, "count": 15}])
        bars = [line.count("#") for line in text.splitlines() if "#" in line]
        self.assertEqual(bars[0] * 3 // bars[1], 1)
        text, told = self.told(python("def grade(sample, item):\n    return len(sample['output_text']) / 40"), [{}],
                               [{"item": 0, "answer": "x" * i} for i in range(41)])
        self.assertRegex(text, r"\n +0\.1000 to +0\.2000  #+ +4   9\.8 %\n")
        self.assertEqual(sum(b["count"] for b in told["histogram"]), 41)
        self.assertEqual((told["histogram"][0]["from"], told["histogram"][-1]["to"]), (0, 1))

    def test_what_teaches_nothing_is_warned_of(self):
        def warned(answers, *says):
            text, told = self.told(LIKE, [{"answer": "a"}] * 50, answers)
            flat = " ".join(text.split())
            for part in says:
                self.assertIn(part, flat)
            self.assertEqual("Warning" in text, bool(says))
            return told["warnings"]

        each = [{"item": i, "answer": "x"} for i in range(50)]
        self.assertEqual(warned(each, "Warning: every answer got 0.0000."), ["all_equal"])
        self.assertEqual(warned([{"item": 0, "answer": "a"}, *each[1:]], "Warning: nearly every answer got 0,"), ["one_sided"])
        self.assertEqual(warned([{"item": i, "answer": "a"} if i else "x" for i in range(50)], "nearly every answer got 1,"),
                         ["one_sided"])
        self.assertEqual(warned([{"item": i, "answer": "a" if i < 9 else "x"} for i in range(50)]), [])
        self.assertEqual(warned([{"item": i // 2, "answer": "a" if i < 9 else "x"} for i in range(50)],
                                "; in 24 of 25 rows with several answers all got the same.",
                                "Warning: in most rows all answers got the same reward"), ["flat_rows"])

    def test_members_have_a_line_each(self):
        multi = {"type": "multi", "calculate_output": "like + 0 * near",
                 "graders": {"like": {**LIKE, "pass_threshold": 1}, "near": CLOSE}}
        text, told = self.told(multi, [{"answer": "a"}, {"answer": "b"}], ["a", "a", {"item": 0, "answer": "xa"}])
        self.assertRegex(text, r"\nParts +mean +min +max distinct errors s a call +r\n"
                               r"  like +0\.6667 +0\.0000 +1\.0000 +2 +0 +0\.\d+ \+1\.00\n    passed 66\.7 %: 1 or more\n"
                               r"  near +0\.\d{4} +0\.\d{4} +0\.\d{4} +\d +0 +0\.\d+ [+-]\d\.\d\d\n")
        self.assertEqual([part["name"] for part in told["parts"]], ["like", "near"])
        self.assertAlmostEqual(told["parts"][0]["correlation"], 1)
        self.assertAlmostEqual(told["parts"][0]["passed"], 2 / 3)
        self.assertEqual(told["parts"][1]["type"], "text_similarity")
        text, _ = self.told(LIKE, [{"answer": "a"}], ["a"])
        self.assertNotIn("Parts", text)

    def test_errors_have_lines_and_the_first_traceback_of_each_cause(self):
        source = """def convert(text):
    return float(text)
def grade(sample, item):
    if sample["output_text"] == "key":
        return item["absent"]["deep"] if "absent" in item else item.get("z")["q"]
    return convert(sample["output_text"])
"""
        text, told = self.told(python(source), [{}, {}], ["0.5", "0.25", {"item": 0, "answer": "x"}, {"item": 1, "answer": "key"},
                                                         {"item": 1, "answer": "y y"}])
        self.assertIn("The grader failed on 3 answers (60.0 %): mend it before training.\n"
                      "  2 times python_grader_runtime_error\n"
                      "    line 3 (row 1), line 5 (row 2)\n"
                      "      Traceback (most recent call last):\n"
                      "        File \"grader.py\", line 6, in grade\n", text)
        self.assertIn("      ValueError: could not convert string to float: 'x'\n  1 time python", text)
        self.assertIn("    line 4 (row 2)\n", text)
        self.assertIn("      TypeError: 'NoneType' object is not subscriptable\n", text)
        self.assertNotIn("'y y'", text)
        self.assertIn("  not graded     60.0 %", text)
        self.assertIn("Warning: the grader itself failed on more than half of the answers.", text)
        self.assertEqual(told["errors"]["grader_failed"], 3)
        self.assertEqual(told["errors"]["flags"], {"python_grader_runtime_error": 3})
        self.assertEqual([(c["count"], [a["line"] for a in c["at"]]) for c in told["errors"]["causes"]], [(2, [3, 5]), (1, [4])])
        self.assertIn("Traceback", told["errors"]["causes"][0]["details"])

    def test_faults_of_answers_are_told_apart_from_those_of_the_grader(self):
        source = "def grade(sample, item):\n    return 1 / len(sample['output_json']['gene'])"
        multi = {"type": "multi", "calculate_output": "right + short",
                 "graders": {"right": {**EXACT, "input": "{{sample.output_json.gene}}"}, "short": python(source)}}
        text, told = self.told(multi, [{"answer": "a"}] * 3, ['{"gene": "a"}', '{"gene": ""}', '{"gene": "b"}'])
        self.assertIn("The grader failed on 1 answer (33.3 %): mend it before training.\n"
                      "  1 time python_grader_runtime_error\n    line 2 (row 2)\n      short: Traceback", text)
        multi["graders"].pop("short")
        text, told = self.told({**multi, "calculate_output": "right"}, [{"answer": "a"}] * 3, ['{"gene": "a"}', "no JSON", "a"])
        self.assertIn("2 answers (66.7 %) could not be graded by their own fault:\n"
                      "  2 times sample_parse_error\n    line 2 (row 2), line 3 (row 3)\n", text)
        self.assertNotIn("The grader failed", text)
        self.assertEqual([(c["flags"], c["grader_failed"]) for c in told["errors"]["causes"]], [(["sample_parse_error"], False)])
        self.assertEqual(told["warnings"], [])

    def test_the_slowest_calls_name_line_and_part(self):
        slow = python("import time\ndef grade(sample, item):\n    time.sleep(float(sample['output_text']))\n    return 1")
        multi = {"type": "multi", "calculate_output": "quick + slow", "graders": {"quick": LIKE, "slow": slow}}
        text, told = self.told(multi, [{"answer": "a"}], [{"item": 0, "answer": "%g" % (i / 10)} for i in (0, 0, 6, 0, 3, 0, 0)])
        self.assertIn("\n      line      row   seconds  slowest calls, and what was slow\n", text)
        self.assertRegex(text, r"\n +3 +1 +[0-9.]+  slow +\"0\.6\"\n")
        calls = told["slowest"]  # the first of each worker is slow, too: it starts
        self.assertEqual([c["seconds"] for c in calls], sorted((c["seconds"] for c in calls), reverse=True))
        self.assertEqual((len(calls), {c["part"] for c in calls}), (5, {"slow"}))
        third, = [c for c in calls if c["line"] == 3]
        self.assertTrue(0.6 <= third["part_seconds"] <= third["seconds"], third)
        text, _ = self.told(LIKE, [{"answer": "a"}], ["a"])
        self.assertNotIn("slowest calls", text)

    def test_few_answers_are_listed_and_of_many_the_ends(self):
        grader = python("def grade(sample, item):\n    return int(sample['output_text'])")
        answers = [{"item": i % 7, "answer": str(i)} for i in range(20)]
        text, _ = self.told(grader, [{}] * 7, answers)
        self.assertIn("      line      row    reward  answer\n         1        1    0.0000  \"0\"\n", text)
        self.assertIn("        20        6   19.0000  \"19\"\n", text)
        self.assertNotIn("lowest first", text)
        answers += [{"item": 6, "answer": "20"}]
        text, told = self.told(grader, [{}] * 7, answers)
        self.assertNotIn("  answer\n", text)
        self.assertIn("\n      line      row    reward  answers, lowest first\n         1        1    0.0000  \"0\"\n         2        2    1.0000  \"1\"\n", text)
        self.assertIn("\n      line      row    reward  answers, highest first\n        21        7   20.0000  \"20\"\n        20        6   19.0000", text)
        self.assertEqual([a["line"] for a in told["best"]], [21, 20, 19, 18, 17])
        text, _ = self.told(grader, [{"messages": [], "gene": "CHD%d" % i} for i in range(7)], answers)
        self.assertIn('    0.0000  "0"\n                          row: {"gene":"CHD0"}\n', text)
        text, _ = self.told(grader, [{}] * 7, answers, "--all")
        self.assertEqual(text.count("\n", 0, text.index("21 answers over")), 23)
        self.assertIn("\nline: of a.jsonl; row: line of d.jsonl\n", text)

    def test_lines_are_those_of_the_files(self):
        self.put("g.json", LIKE)
        self.put("d.jsonl", '\n{"answer": "a"}\n\n{"answer": "b"}\n')
        self.put("a.jsonl", '"a"\n\n"b"\n')
        out = self.works("grade", "--grader", "g.json", "--data", "d.jsonl", "--answers", "a.jsonl")
        self.assertIn("         1        2    1.0000  \"a\"\n         3        4    1.0000  \"b\"\n", out)

    def test_what_a_grader_prints_is_shown(self):
        source = """def grade(sample, item):
    text = sample["output_text"]
    if text != "quiet":
        print("saw", text)
    if text == "much":
        print("x" * 20000)
    return 1 / len(text) if text != "fails" else None
"""
        answers = ["quiet", "one\ntwo\x1b[2J", "fails", "much", *"efgh"]
        text, told = self.told(python(source), [{}] * 8, answers)
        self.assertIn("\nWhat the grader printed\n         2        2 \"saw one\\ntwo\\x1b[2J\\n\"\n"
                      "         3        3 \"saw fails\\n\"\n         4        4 \"saw much\\nxxx", text)
        self.assertIn("  and 2 more calls printed: --prints shows all\n", text)
        self.assertEqual((told["prints"]["count"], [a["line"] for a in told["prints"]["first"]]), (7, [2, 3, 4, 5, 6]))
        self.assertEqual(told["prints"]["first"][0]["printed"], "saw one\ntwo\x1b[2J\n")
        text = self.works("grade", "--grader", "g.json", "--data", "d.jsonl", "--answers", "a.jsonl", "--prints")
        self.assertIn("  line 2:\n      saw one\n      two\\x1b[2J\n  line 3:\n      saw fails\n", text)
        self.assertRegex(text, r"\n  line 4:\n      saw much\n      x{3000,}\n      \.\.\. \(1\d{4} bytes more\)\n")
        self.assertIn("  line 8:\n      saw h\n", text)

    def test_noise_is_weighed_against_signal(self):
        answers = [{"item": i // 4, "answer": str(i % 4)} for i in range(40)]
        text, told = self.told(python(NOISY), [{"noise": 0}] * 10, answers, "--repeat", "3")
        self.assertIn("Grading again gave the same rewards: no noise.", text)
        self.assertEqual(told["noise"]["in_rows"], {"noise": 0, "signal": told["noise"]["in_rows"]["signal"], "reliability": 1})
        self.assertAlmostEqual(told["noise"]["in_rows"]["signal"], (5 / 3) ** 0.5)
        text, told = self.told(python(NOISY), [{"noise": 0.1}] * 10, answers, "--repeat", "3")
        self.assertRegex(" ".join(text.split()), r"Gradings of the same answer differ by 0\.0\d+ \(a standard deviation\), "
                                                 r"answers of a row by 1\.\d+: fine\.")
        self.assertAlmostEqual(told["noise"]["in_rows"]["noise"], 0.1 / 12 ** 0.5, delta=0.01)
        text, told = self.told(python(NOISY), [{"noise": 30}] * 10, answers, "--repeat", "3")
        self.assertIn("half or more of what the reward says is noise: ", " ".join(text.split()))
        self.assertIn("noise", told["warnings"])
        self.assertEqual(told["repeats"], 3)
        self.assertIn("repeated          3", text)

    def test_repeating_calls_the_grader_each_time(self):
        # scores of graders that are taken for deterministic are kept elsewhere
        _, told = self.told({**python(NOISY), "deterministic": True}, [{"noise": 1}] * 5, ["1"] * 5, "--repeat", "4")
        self.assertGreater(told["noise"]["overall"]["noise"], 0)

    def test_rewards_that_a_run_recorded_are_compared(self):
        lines = [{"item": 0, "sample": 0, "count": 2, "samples": [0, 2], "answer": "a", "reward": 1.0},
                 {"item": 0, "sample": 1, "answer": "x", "reward": 1.0},
                 {"item": 1, "sample": 0, "answer": "", "truncated": True, "reward": 0.0},
                 {"item": 1, "sample": 1, "answer": "", "thinking_tokens": 4, "truncated": False, "reward": 0.0}]
        text, told = self.told({**EXACT, "operation": "like"}, [{"answer": "a"}, {"answer": "b"}], lines)
        self.assertIn("\nRecorded rewards\n  1 of 4 lines now get another reward than the one recorded;\n"
                      "  mean recorded 0.6000, now 0.4000\n         2        1    1.0000 ->    0.0000  \"x\"\n", text)
        self.assertEqual({key: told["recorded"][key] for key in ("answers", "differ", "mean", "mean_now")},
                         {"answers": 4, "differ": 1, "mean": 0.6, "mean_now": 0.4})
        # answers that were cut off before they began, or never given, failed then and do now
        self.assertIn("1 time truncated_observation_error\n    line 3 (row 2)\n", text)
        self.assertIn("1 time unresponsive_reward_error\n    line 4 (row 2)\n", text)
        text, told = self.told(LIKE, [{"answer": "a"}], ["a"])
        self.assertNotIn("Recorded", text)
        self.assertIsNone(told["recorded"])

    def test_answers_may_carry_their_rows(self):
        self.put("g.json", EXACT)
        self.put("a.jsonl", [{"item": {"answer": "a", "n": 1}, "answer": "a"},
                             {"item": {"n": 1, "answer": "a"}, "sample": {"output_text": "b"}},
                             {"item": {"answer": "c", "n": 1}, "model_sample": "c"}])
        words = ("grade", "--grader", "g.json", "--answers", "a.jsonl")
        told = [json.loads(line)["reward"] for line in self.works(*words, "--json").splitlines()]
        self.assertEqual(told, [1, 0, 1])
        summary = self.json(*words, "--summary")
        self.assertEqual((summary["rows"], summary["rows_with_several"]), (2, 1))  # equal rows are one
        self.assertIsNone(summary["best"][0]["row_line"])
        self.assertIn("         1        -    1.0000  \"a\"\n", self.works(*words))
        self.put("d.jsonl", [{"answer": "z"}])
        self.put("a.jsonl", [{"item": 0, "answer": "z"}, {"item": {"answer": "a"}, "answer": "a"}])
        self.assertEqual(self.json(*words, "--data", "d.jsonl", "--summary")["reward"]["mean"], 1)
        self.put("a.jsonl", [{"item": {"answer": "a"}, "answer": "a"}, {"item": 1, "answer": "a"}])
        self.fails(*words, "--data", "d.jsonl", says=["a.jsonl, line 2", "the data has 1 rows"])
        self.put("a.jsonl", [{"item": {"answer": "a"}, "answer": "a"}, "a"])
        self.fails(*words, says=["a.jsonl, line 2", '"item"', "--data"])
        self.put("a.jsonl", [{"item": {"reply": "a"}, "answer": "a"}])
        self.fails(*words, says=["a.jsonl, line 1", "item.answer"])

    def test_no_answers_are_no_failure(self):
        text, told = self.told(LIKE, [{"answer": "a"}], [])
        self.assertEqual(text, "0 answers over 0 rows, mean reward 0.0000\n")
        self.assertEqual(told["answers"], 0)
        self.assertIsNone(told["reward"]["mean"])

    def test_foreign_text_is_harmless(self):
        nasty = "\x1b[2J\x1b]0;x\x07\r\n\0\u202eevil\u2066\x9b31m\u2028e" + "\u0301" * 9
        grader = python("def grade(sample, item):\n    raise ValueError(sample['output_text'][:300])")
        text, _ = self.told(grader, [{}] * 3, [nasty, nasty * 20, "x" * (3 << 20)], "--all")
        for line in text.split("\n"):
            bad = [c for c in line if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp")]
            self.assertEqual(bad, [], repr(line))
        self.assertIn(r'"\x1b[2J\x1b]0;x\x07\r\n\x00"...  not graded', text)
        self.assertIn(r'      ValueError: \x1b[2J\x1b]0;x\x07\r', text)
        self.assertLess(len(text), 10000)

    def test_options_that_do_not_fit_together_are_refused(self):
        self.put("g.json", LIKE)
        self.put("d.jsonl", [{"answer": "a"}])
        self.put("a.jsonl", ["a"])
        files = ("grade", "--grader", "g.json", "--data", "d.jsonl", "--answers", "a.jsonl")
        self.fails(*files, "--summary", status=2, says="--json")
        self.fails(*files, "--json", "--watch", status=2, says="--summary")
        self.fails(*files, "--json", "--repeat", "2", status=2, says="--summary")
        for option in (["--watch"], ["--repeat", "2"], ["--summary"], ["--all"], ["--prints"]):
            self.fails("grade", "--grader", "g.json", "--json", *option, status=2, says=[option[0], "--answers"])
        self.fails("grade", "--grader", "g.json", "--data", "d.jsonl", status=2, says="--answers")
        self.fails("grade", "--grader", "g.json", status=2, says="--answers")


class Watched(HoneTest):
    """--watch, while files are edited."""

    def setUp(self):
        super().setUp()
        self.put("g.json", LIKE)
        self.put("d.jsonl", [{"answer": "a"}, {"answer": "b"}])
        self.put("a.jsonl", ["a", "x"])

    def start(self, *options, **more):
        run = subprocess.Popen([HONE, "grade", "--grader", "g.json", "--data", "d.jsonl", "--answers", "a.jsonl", "--watch",
                                *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=self.folder,
                               env=self.env, **more)
        self.addCleanup(run.stdout.close)
        self.addCleanup(lambda: (run.poll() is None and run.kill(), run.wait()))
        lines = queue.Queue()
        threading.Thread(target=lambda: [lines.put(line) for line in run.stdout], daemon=True).start()
        return run, lines

    def until(self, lines, what):
        """All up to the line that begins with what."""
        text, end = "", time.monotonic() + 60
        while True:
            try:
                line = lines.get(timeout=max(0.01, end - time.monotonic()))
            except queue.Empty:
                self.fail("%r was not told after:\n%s" % (what, text))
            text += line
            if line.startswith(what):
                return text

    def ends(self, run):
        run.send_signal(signal.SIGINT)
        self.assertEqual(run.wait(30), 0)

    def beside(self, name, content):
        """As editors do: written beside, then renamed."""
        self.put(name + "~", content if isinstance(content, str) else json.dumps(content))
        os.rename(self.path(name + "~"), self.path(name))

    def test_each_file_that_changes_starts_another_run(self):
        run, lines = self.start()
        text = self.until(lines, "Watching g.json, a.jsonl, d.jsonl; Ctrl-C ends")
        self.assertIn("mean reward 0.5000", text)
        self.assertNotIn("Since the last run", text)
        with open(self.path("a.jsonl"), "r+") as stream:  # in place
            stream.write('"a"\n"xb"\n')
        text = self.until(lines, "Watching")
        self.assertTrue(text.startswith("\n---- a.jsonl has changed ----\n"), text)
        self.assertIn("\nSince the last run\n  mean 0.5000 -> 1.0000 (+0.5000); 1 answer got another reward\n"
                      "         2        2    0.0000 ->    1.0000  \"xb\"\n", text)
        self.beside("g.json", EXACT)
        text = self.until(lines, "Watching")
        self.assertIn("---- g.json has changed ----", text)
        self.assertIn("  mean 1.0000 -> 0.5000 (-0.5000); 1 answer got another reward\n", text)
        self.beside("d.jsonl", '{"answer": "x"}\n{"answer": "xb"}\n')
        text = self.until(lines, "Watching")
        self.assertIn("---- d.jsonl has changed ----", text)
        self.assertIn("mean 0.5000 -> 0.5000 (+0.0000); 2 answers got another reward\n", text)
        self.ends(run)

    def test_a_broken_grader_is_told_and_watched_on(self):
        run, lines = self.start()
        self.until(lines, "Watching")
        self.beside("g.json", '{"type": ')
        text = self.until(lines, "Watching")
        self.assertRegex(text, r"(?m)^hone: g\.json: not valid JSON at line 1")
        self.beside("g.json", {**LIKE, "operation": "equals"})
        self.assertIn("operation", self.until(lines, "Watching"))
        os.remove(self.path("g.json"))  # between the two steps of an editor
        time.sleep(0.5)
        self.assertTrue(lines.empty())
        self.beside("g.json", EXACT)
        text = self.until(lines, "Watching")
        self.assertIn("mean 0.5000 -> 0.5000 (+0.0000); 0 answers got another reward\n", text)
        self.ends(run)

    def test_python_is_edited_as_a_file(self):
        self.put("g.py", "def grade(sample, item):\n    return 0.25\n")
        run, lines = self.start("--grader", "g.py")
        self.assertIn("mean reward 0.2500", self.until(lines, "Watching g.py"))
        self.beside("g.py", "def grade(sample, item):\n    return 0.25 +\n")
        self.assertRegex(self.until(lines, "Watching"), r"(?m)^hone: .*g\.py.*SyntaxError.*line 2")
        self.beside("g.py", "def grade(sample, item):\n    return 0.75\n")
        self.assertIn("  mean 0.2500 -> 0.7500 (+0.5000); 2 answers got another reward\n", self.until(lines, "Watching"))
        self.ends(run)

    def test_documents_one_a_run(self):
        run, lines = self.start("--json", "--summary")
        self.assertEqual(json.loads(lines.get(timeout=60))["reward"]["mean"], 0.5)
        self.beside("g.json", {})
        self.assertEqual(json.loads(lines.get(timeout=60))["error"]["param"], "type")
        self.beside("g.json", {**EXACT, "operation": "ne"})
        self.assertEqual(json.loads(lines.get(timeout=60))["reward"]["mean"], 0.5)
        self.ends(run)
        self.assertTrue(lines.empty())

    def test_control_c_ends_a_run_that_is_under_way(self):
        self.put("g.json", python("import time\ndef grade(sample, item):\n    time.sleep(1.5)\n    return 1"))
        run, lines = self.start()
        time.sleep(1)
        run.send_signal(signal.SIGINT)
        self.assertEqual(run.wait(30), 0)

    def on_terminal(self, **env):
        """What a terminal is sent up to the end of the first run."""
        master, slave = pty.openpty()
        run = subprocess.Popen([HONE, "grade", "--grader", "g.json", "--data", "d.jsonl", "--answers", "a.jsonl", "--watch"],
                               stdout=slave, stderr=subprocess.STDOUT, stdin=slave, cwd=self.folder,
                               env={**self.env, "TERM": "xterm", **env})
        os.close(slave)
        self.addCleanup(os.close, master)
        self.addCleanup(lambda: (run.poll() is None and run.kill(), run.wait()))
        out = b""
        while b"Ctrl-C ends" not in out:
            self.assertTrue(select.select([master], [], [], 60)[0])
            out += os.read(master, 65536)
        self.ends(run)
        return out.decode()

    def test_a_terminal_is_cleared_and_has_colors(self):
        text = self.on_terminal()
        self.assertTrue(text.startswith("\x1b[H\x1b[2J"))
        self.assertIn("\x1b[1m2 answers over 2 rows", text)
        text = self.on_terminal(NO_COLOR="1")
        self.assertTrue(text.startswith("\x1b[H\x1b[2J"))
        self.assertEqual(re.findall("\x1b", text), ["\x1b"] * 2)
        self.assertNotIn("\x1b", self.on_terminal(TERM="dumb"))


if __name__ == "__main__":
    unittest.main()
