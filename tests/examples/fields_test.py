"""The examples of the fields (contracts, bank messages, annual tables, word problems): their makers, graders and jobs, each in a short form.

The short form: rows made by rule, a tiny model of random weights in the job's place for one, two steps, answers of a few tokens. What is
shown is that every piece fits: the maker's rows, the grader, the job and hone. HONE_EXAMPLES=1 trains the real model (CTest: long).
"""
import csv
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest
import zipfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EXAMPLES = os.path.join(ROOT, "examples")
HONE = os.environ.get("HONE_BIN", "")
TINY = os.path.join(ROOT, "tests", "golden", "tiny", "tiny-q8_0.gguf")
MODEL = os.path.join(ROOT, "models", "SmolLM2-135M-Instruct.Q4_1.gguf")

# folder -> maker, its jobs and the graders that they have the source of
FIELDS = {
    "contracts": ("make_clauses.py", {"job.json": ["yes_no"], "job-types.json": ["letter"]}),
    "bank-messages": ("make_messages.py", {"job.json": ["letter"]}),
    "annual-tables": ("make_tables.py", {"job.json": ["value", "scale"]}),
    "word-problems": ("make_problems.py", {"job.json": ["number"]}),
}


def make(field, *arguments):
    return subprocess.run([sys.executable, os.path.join(EXAMPLES, field, FIELDS[field][0]), *arguments], capture_output=True,
                          text=True)


def read(path):
    with open(path, encoding="utf-8") as stream:
        return [json.loads(line) for line in stream] if path.endswith(".jsonl") else json.load(stream)


def job_of(field, name="job.json"):
    return read(os.path.join(EXAMPLES, field, name))


def question(row):
    return row["messages"][-1]["content"]


class Folder(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = scratch.name

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def put(self, name, content):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w", encoding="utf-8", newline="") as stream:
            stream.write(content if isinstance(content, str) else json.dumps(content))
        return self.path(name)

    def made(self, field, *arguments):
        run = make(field, self.path("data"), *arguments)
        self.assertEqual(run.returncode, 0, run.stderr)
        return {name: read(self.path("data", name)) for name in sorted(os.listdir(self.path("data")))}


class ByRule(Folder):
    def test_splits_share_no_question_and_come_out_the_same(self):
        for field in FIELDS:
            with self.subTest(field):
                files = self.made(field)
                for part in {name.removesuffix("train.jsonl") for name in files if name.endswith("train.jsonl")}:
                    train, valid, test = ({question(r) for r in files[part + n + ".jsonl"]} for n in ("train", "valid", "test"))
                    self.assertFalse(train & valid or train & test or valid & test)
                    self.assertGreaterEqual(min(len(train), 6 * len(valid), 4 * len(test)), 300)
                self.assertEqual(len(files["train_64.jsonl"]), 64)
                self.assertEqual(files, self.made(field))
                self.assertNotEqual(files, self.made(field, "--seed", "2"))

    def test_answers_are_shared_evenly(self):
        for field in ("contracts", "bank-messages"):
            for name, rows in self.made(field).items():
                answers = [row["answer"] for row in rows]
                shares = [answers.count(a) for a in set(answers)]
                self.assertLessEqual(max(shares) - min(shares), 0.3 * len(rows) / len(shares) + 2, (field, name, shares))

    def test_the_sums_are_right(self):
        for row in self.made("annual-tables")["train.jsonl"]:
            value = eval(row["derivation"], {"__builtins__": {}}) * (100 if row["scale"] == "percent" else 1)  # of our own making
            self.assertAlmostEqual(value, row["answer"], delta=0.0051)
            for number in re.findall(r"[\d.]+", row["derivation"]):
                self.assertTrue(number == "2" or number in question(row).replace(",", ""), row)
        for row in self.made("word-problems")["train.jsonl"]:
            text = question(row)
            have = int(re.match(r"\w+ has (\d+)", text).group(1))
            for sentence in text.split(". ")[1:]:
                n = int((re.findall(r"\d+", sentence) or [0])[0])
                have = (have * 2 if "doubles" in sentence else have + 3 * n if "boxes" in sentence
                        else have - n if re.search("loses|gives away|sells", sentence) else have + n)
                if "How many" in sentence:
                    break
            self.assertEqual(str(have), row["answer"], text)


class FromSource(Folder):
    """Files in the form that the public sources have, with contents of our own."""

    def test_bank_messages(self):
        for name, n in (("train.csv", 30), ("test.csv", 5)):
            text = io.StringIO()
            lines = csv.writer(text)
            lines.writerow(["text", "category"])
            for i in range(n):
                lines.writerow(["%s message\n number %d" % (name, i), "change_pin" if i % 2 else "lost_or_stolen_card"])
            lines.writerow(["not one of the ten", "atm_support"])
            self.put("bank/" + name, text.getvalue())
        files = self.made("bank-messages", "--source", self.path("bank"))
        self.assertEqual({row["label"] for row in files["test.jsonl"]}, {"pin change", "lost card"})
        self.assertEqual(len(files["test.jsonl"]), 5)
        self.assertIn("Customer: test.csv message number 1\n", question(sorted(files["test.jsonl"], key=question)[1]))

    def clauses(self):
        text = io.StringIO()
        lines = csv.writer(text)
        lines.writerow(["Filename", "Document Name", "Insurance", "Insurance-Answer", "Governing Law", "Governing Law-Answer"])
        for i in range(20):
            lines.writerow(["%d.pdf" % i, "['A name']", str(["Clause %d of a contract: a policy of insurance is to be kept by all." % i]), "Yes",
                            str(["Clause %d of a contract: this is to be read by the law of New York." % i]), "New York"])
        return text.getvalue()

    def test_contracts(self):
        self.put("master_clauses.csv", self.clauses())
        files = self.made("contracts", "--source", self.path("master_clauses.csv"))
        contracts = [{row["contract"] for row in files[n + ".jsonl"]} for n in ("train", "valid", "test")]
        self.assertEqual([len(c) for c in contracts], [12, 2, 6])
        self.assertFalse(contracts[0] & contracts[1] or contracts[0] & contracts[2] or contracts[1] & contracts[2])
        self.assertEqual({row["label"] for row in files["types-test.jsonl"]}, {"Insurance", "Governing Law"})
        for row in files["train.jsonl"]:
            self.assertEqual(row["answer"] == "yes", "policy of insurance" in question(row))
        with zipfile.ZipFile(self.path("CUAD_v1.zip"), "w") as archive:
            archive.writestr("CUAD_v1/master_clauses.csv", self.clauses())
        self.assertEqual(self.made("contracts", "--source", self.path("CUAD_v1.zip")), files)

    def test_annual_tables(self):
        def document(uid):
            return {"table": {"uid": uid, "table": [["", "2019", "2018"], ["Net income ", "$106.4", "$70.5"]]}, "questions": [
                {"question": "The average?", "answer": 88.45, "answer_type": "arithmetic", "answer_from": "table", "scale": "million",
                 "derivation": "(106.4 + 70.5) / 2"},
                {"question": "The loss?", "answer": ["(3.5)"], "answer_type": "arithmetic", "answer_from": "table", "scale": "",
                 "derivation": ""},
                {"question": "Which?", "answer": ["x"], "answer_type": "span", "answer_from": "text", "scale": "", "derivation": ""}]}
        self.put("t/tatqa_dataset_dev.json", [document("t%d" % i) for i in range(9)])
        self.put("t/tatqa_dataset_test_gold.json", [document("u")])
        files = self.made("annual-tables", "--source", self.path("t"))
        self.assertEqual({name: len(rows) for name, rows in files.items()},
                         {"train.jsonl": 12, "train_64.jsonl": 12, "valid.jsonl": 6, "test.jsonl": 2})
        self.assertEqual({row["answer"] for row in files["test.jsonl"]}, {88.45, -3.5})
        self.assertIn("Net income | $106.4 | $70.5", question(files["test.jsonl"][0]))

    def test_word_problems(self):
        for name in ("train.jsonl", "test.jsonl"):
            self.put("g/" + name, "".join(json.dumps({"question": " %s: what is %d? " % (name, i), "answer": "It is <<1+1=2>>2.\n#### 1,%03d" % i}) + "\n"
                                          for i in range(8)))
        files = self.made("word-problems", "--source", self.path("g"))
        row = min(files["test.jsonl"], key=question)
        self.assertEqual((row["answer"], row["steps"]), ("1000", 1))
        self.assertTrue(question(row).startswith("test.jsonl: what is 0?\n"))
        self.assertEqual((len(files["train.jsonl"]), len(files["valid.jsonl"]), len(files["test.jsonl"])), (6, 2, 8))

    def test_a_source_that_is_none_is_told_in_a_sentence(self):
        for field in FIELDS:
            run = make(field, self.path("data"), "--source", self.path("nowhere"))
            self.assertEqual((run.returncode, run.stderr.count("\n")), (1, 1), run.stderr)
            self.assertIn("nowhere", run.stderr)
            self.assertFalse(os.path.exists(self.path("data")))


class Jobs(unittest.TestCase):
    def test_a_job_holds_its_graders_source(self):
        for field, (_, jobs) in FIELDS.items():
            for name, graders in jobs.items():
                grader = job_of(field, name)["method"]["reinforcement"]["grader"]
                sources = {g["name"]: g["source"] for g in grader.get("graders", {"": grader}).values()}
                self.assertEqual(sorted(sources), sorted(graders))
                for one in graders:
                    with open(os.path.join(EXAMPLES, field, "graders", one + ".py"), encoding="utf-8") as stream:
                        self.assertEqual(sources[one], stream.read(), "%s/%s" % (field, one))

    def test_a_readme_tells_what_to_expect(self):
        for field, (maker, _) in FIELDS.items():
            with open(os.path.join(EXAMPLES, field, "README.md"), encoding="utf-8") as stream:
                text = stream.read()
            for part in (maker, "hone check job.json", "hone train job.json", "## What to expect", "## Source", "icence"):
                self.assertIn(part, text, field)

    def test_graders_pay_for_what_is_right_and_for_nothing_else(self):
        def grades(field, name, item, answers):
            scope = {}
            with open(os.path.join(EXAMPLES, field, "graders", name + ".py"), encoding="utf-8") as stream:
                exec(compile(stream.read(), name, "exec"), scope)
            return [scope["grade"]({"output_text": text}, item) for text in answers]
        self.assertEqual(grades("contracts", "yes_no", {"answer": "no"}, ["no", "No.", "yes", "", None, "no no no no no no", "yes, no"]),
                         [1, 1, 0, 0, 0, 0, 0])
        for field in ("contracts", "bank-messages"):
            self.assertEqual(grades(field, "letter", {"answer": "A"}, ["A", " (A)", "A. Audit", "A clause", "B", "ABCDEFGHIJ", "", None]),
                             [1, 1, 1, 0, 0, 0, 0, 0])
        self.assertEqual(grades("word-problems", "number", {"answer": "1200"},
                                ["2 * 600\nAnswer: 1,200", "Answer: $1200.0", "Answer: 7", "1200", "Answer: many", "", None]),
                         [1, 1, 0.1, 0, 0, 0, 0])
        self.assertEqual(grades("annual-tables", "value", {"answer": 88.45},
                                ['so\n{"answer": 88.45, "scale": "million"}', '{"answer": "88.4"}', '{"answer": 91}', '{"answer": -88.45}',
                                 '{"answer": 5}', '{"answer": NaN}', "88.45", None]), [1, 1, 0.5, 0.3, 0, 0, 0, 0])
        self.assertEqual(grades("annual-tables", "scale", {"scale": "million"}, ['{"scale": "Million"}', '{"scale": ""}', "million"]), [1, 0, 0])


@unittest.skipUnless(HONE and os.path.exists(HONE), "HONE_BIN names no hone")
class Short(Folder):
    """Each job as it stands, with the tiny model and two short steps."""

    def hone(self, *words):
        env = {key: value for key, value in os.environ.items() if not key.startswith("HONE_")}
        return subprocess.run([HONE, *words], capture_output=True, text=True, timeout=300, cwd=self.folder,
                              env={**env, "HONE_HOME": self.path("home")})

    def test_every_job_trains(self):
        for field, (_, jobs) in FIELDS.items():
            self.made(field)
            for name in jobs:
                with self.subTest(field + "/" + name):
                    job = job_of(field, name)
                    for file in ("training_file", "validation_file"):
                        rows = read(self.path(job[file]))
                        self.put("short/" + job[file], "".join(json.dumps(row) + "\n" for row in rows[:4]))
                    job.update(model=TINY, hone={**job["hone"], "max_steps": 2, "group_size": 4, "max_tokens": 4, "lora_rank": 4})
                    job["method"]["reinforcement"]["hyperparameters"]["batch_size"] = 2
                    run = self.hone("train", self.put("short/" + name, job), "--out", self.path("run-" + field + name), "--json")
                    self.assertEqual(run.returncode, 0, run.stderr)
                    result = json.loads(run.stdout.splitlines()[-1])
                    self.assertEqual((result["type"], result["steps"], result["max_dlogp"]), ("result", 2, 0))

    def test_reference_answers_earn_everything(self):
        right = {"annual-tables": lambda row: json.dumps({"answer": row["answer"], "scale": row["scale"]}),
                 "word-problems": lambda row: "Answer: " + row["answer"]}
        for field, (_, jobs) in FIELDS.items():
            self.made(field)
            for name in jobs:
                job = job_of(field, name)
                rows = read(self.path(job["training_file"]))[:20]
                self.put("rows.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
                answers = [right.get(field, lambda row: row["answer"])(row) for row in rows]
                self.put("answers.jsonl", "".join(json.dumps(text) + "\n" for text in answers))
                run = self.hone("grade", "--grader", os.path.join(EXAMPLES, field, name), "--data", "rows.jsonl", "--answers", "answers.jsonl",
                                "--json")
                self.assertEqual(run.returncode, 0, run.stderr)
                self.assertEqual({json.loads(line)["reward"] for line in run.stdout.splitlines()}, {1.0}, field)


@unittest.skipUnless(os.environ.get("HONE_EXAMPLES"), "HONE_EXAMPLES=1 trains the real model for half an hour")
class Long(Folder):
    def test_insurance_is_learned(self):
        self.made("contracts")
        job = {**job_of("contracts"), "model": MODEL}
        run = subprocess.run([HONE, "train", self.put("job.json", job), "--out", self.path("run"), "--json"], capture_output=True, text=True)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertGreater(json.loads(run.stdout.splitlines()[-1])["best_valid_reward"], 0.8)


if __name__ == "__main__":
    unittest.main()
