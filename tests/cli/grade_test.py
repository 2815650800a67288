"""grade: a grader on given answers, and graders that do what they should not."""
import json
import signal
import subprocess
import unittest

from cli import EXACT, HONE, LIKE, HoneTest, python


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
                                           "apt install wordnet-base", "the other metrics need no such files"])
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
        self.assertIn("4 answers, mean reward 0.7500", self.works(*words))

    def test_a_line_of_a_run_counts_as_often_as_it_was_given(self):
        self.put("g.json", LIKE)
        self.put("d.jsonl", [{"answer": "a"}, {"answer": "b"}])
        self.put("step-3.jsonl", [{"item": 1, "sample": 0, "count": 3, "samples": [0, 1, 3], "answer": "b"},
                                  {"item": 1, "sample": 2, "answer": "x"}])
        words = ("grade", "--grader", "g.json", "--data", "d.jsonl", "--answers", "step-3.jsonl")
        text = self.works(*words)
        self.assertIn("4 answers, mean reward 0.7500", text)
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
        self.put("d.jsonl", [{"answer": "a"}, {"reply": "a"}])
        self.fails(*words, says=["d.jsonl, line 2", 'item.answer', '"exact"'])

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

    def test_control_c_twice_does_not_wait_for_a_grader(self):
        self.put("g.json", python(self.SOURCE))
        run = subprocess.Popen([HONE, "grade", "--grader", "g.json", "--json"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               text=True, cwd=self.folder, env=self.env)
        run.stdin.write("".join(json.dumps({"sample": {"output_text": deed}}) + "\n" for deed in ("fine", "hang")))
        run.stdin.flush()
        run.stdout.readline()  # now it hangs
        run.send_signal(signal.SIGINT)
        with self.assertRaises(subprocess.TimeoutExpired):
            run.wait(1)
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=10)
        self.assertEqual(run.returncode, -signal.SIGINT)

    def test_people_are_told_how_many_and_why(self):
        self.put("g.json", python(self.SOURCE))
        self.put("d.jsonl", [{"missing": 1}] * 2)
        self.put("a.jsonl", ["raise", "fine"])
        out = self.works("grade", "--grader", "g.json", "--data", "d.jsonl", "--answers", "a.jsonl")
        self.assertIn("1 answers could not be graded and count as 0: python_grader_runtime_error 1", out)
        self.assertIn("no such gene", out)


if __name__ == "__main__":
    unittest.main()
