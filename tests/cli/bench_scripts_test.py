"""bench/*.py: what they make of hone's figures and of peers that only say how fast they were; never how fast it was."""
import csv
import json
import os
import shutil
import subprocess
import sys
import unittest
import xml.etree.ElementTree

from cli import GGUF, HF, HONE, ROOT, HoneTest

BENCH = os.path.join(ROOT, "bench")
sys.dont_write_bytecode = True
sys.path.insert(0, BENCH)
import chart  # noqa: E402
import sizes  # noqa: E402

# hone, as far as bench/compare.py sees it: twice as fast in int8, four times where answers share, with half a GB of memory
FAKE_HONE = """#!/bin/sh
x=100
case "$*" in *int8*) x=200;; esac
case "$*" in *"--group 8"*) x=${x}0; x=$((x * 4 / 10));; esac
echo '{"peak_bytes":5e8,"parts":{"any":{"median":'$x',"fraction":0.5}}}'
"""
TABLE = """# Figures

before
<!-- %s -->
old
<!-- end of %s -->
after
"""


class Scripts(HoneTest):
    def program(self, name, text):
        path = self.put(name, text)
        os.chmod(path, 0o755)
        return path

    def script(self, name, *words, folder=BENCH, status=0):
        run = subprocess.run([sys.executable, os.path.join(folder, name), *words], capture_output=True, text=True, timeout=300,
                             cwd=self.folder, env=self.env)
        self.assertEqual(run.returncode, status, run.stdout + run.stderr)
        return run.stdout if status == 0 else run.stdout + run.stderr


class Compare(Scripts):
    def compare(self, *words, hone=None, rounds=2, **options):
        return self.script("compare.py", GGUF, "--hone", hone or self.program("hone", FAKE_HONE), "--rounds", str(rounds),
                           "--threads", "1", *words, **options)

    def llama(self):
        """Says of each model how fast it is by its name."""
        return self.program("llama", """#!/bin/sh
name=$(basename $2 .gguf)
test $name = tiny-q8_0 && name=10
echo "|  $6 |  $8 |  ${10} | 2176 | 1.0 | $name.5 | 20.0 | $name.0 | 21.0 | 103 |"
""")

    def test_hone_stands_beside_the_best_of_the_formats(self):
        text = self.compare("--only", "decode,one,prefill", "--llama", self.llama(), "--llama-models", "40.gguf", "50.gguf", "30.gguf")
        self.assertIn("ratio 2.00 hone f32 to llama.cpp 50.gguf (above 1: hone f32 is faster)", text)
        self.assertIn("ratio 4.00 hone int8 to llama.cpp 50.gguf", text)
        self.assertIn("ratio 10.00 hone f32 to llama.cpp tiny-q8_0.gguf", text)  # one answer, of the model itself
        self.assertIn("ratio 9.52 hone f32 to llama.cpp tiny-q8_0.gguf", text)  # the prompt's column
        self.assertIn("| f32 | 100 (100 to 100) tok/s | llama.cpp 50.gguf: 50.0 (50.0 to 50.0) | **2.00** |", text)
        self.assertIn("| 50 % |", text)

    def test_peers_in_python_are_told_with_their_memory(self):
        python = self.program("python", "#!/bin/sh\necho versions of nothing\necho figure 800\n")
        text = self.compare("--only", "train,step", "--hf", "x", "--python", python)
        self.assertIn("ratio 0.12 hone f32 to PyTorch + peft", text)
        self.assertIn("ratio 8.00 hone f32 to TRL GRPOTrainer", text)  # seconds: less is better
        self.assertIn("ratio 4.00 hone int8 to TRL GRPOTrainer", text)
        self.assertRegex(text, r"100 \(100 to 100\) s, 0\.50 GB \| TRL GRPOTrainer: 800 .*, \d+\.\d\d of the memory")
        self.assertIn("2 rounds each, alternating; of nothing.", text)

    def test_sharing_stands_beside_the_same_precision_without(self):
        text = self.compare("--only", "share")
        for precision in ("f32", "int8"):
            self.assertIn("ratio 4.00 hone %s to hone %s apart" % (precision, precision), text)

    def test_hone_alone_is_measured_where_there_is_no_peer(self):
        text = self.compare("--only", "one", "--precision", "int8", hone=HONE, rounds=1)
        self.assertEqual(text.count("| not measured |"), 1)
        self.assertNotIn("hone f32", text)

    def test_the_order_changes_from_round_to_round(self):
        text = self.compare("--only", "one", "--llama", self.llama(), "--json", "all.json")
        order = [line.split(":")[0].split(" ", 4)[-1] for line in text.splitlines() if line.startswith("  round")]
        self.assertEqual(order[:3], order[:2:-1])
        with open(self.path("all.json")) as stream:
            (found,) = json.load(stream)["comparisons"]
        self.assertEqual([side["values"] for side in found["sides"]], [[100, 100], [200, 200], [10, 10]])

    def test_the_table_goes_into_its_section(self):
        path = self.put("figures.md", TABLE % (("bench/compare.py",) * 2))
        for _ in range(2):
            self.compare("--only", "share", "--write", path)
            text = self.read("figures.md")
            self.assertTrue(text.startswith("# Figures\n\nbefore\n<!-- bench/compare.py -->\n\n"))
            self.assertTrue(text.endswith("|\n\n<!-- end of bench/compare.py -->\nafter\n"))
            self.assertEqual(text.count("| what |"), 1)
            self.assertNotIn("old", text)
        self.put("other.md", "nothing\n")
        self.assertIn("other.md: there is no place for this", self.compare("--only", "share", "--write", "other.md", status=1))
        self.assertEqual(self.read("other.md"), "nothing\n")

    def test_a_failure_is_told(self):
        self.assertIn("nowhere: No such file", self.compare("--only", "one", hone="nowhere", status=1))
        self.assertIn("nowhere is no program", self.compare("--only", "one", "--llama", "nowhere", status=2))
        self.assertIn('--only has "all"; there are decode, one', self.compare("--only", "all", status=2))
        self.assertIn("belong together", self.compare("--hf", "x", status=2))


    def test_a_peer_that_fails_is_left_out_and_told(self):
        broken = self.program("broken", """#!/bin/sh
case $2 in *30*) echo nothing; exit 3;; esac
echo "|  $6 |  $8 |  ${10} | 2176 | 1.0 | 1.0 | 20.0 | 50.0 | 21.0 | 103 |"
""")
        text = self.compare("--only", "decode", "--llama", broken, "--llama-models", "30.gguf", "40.gguf", status=1)
        self.assertIn("ratio 2.00 hone f32 to llama.cpp 40.gguf", text)
        self.assertEqual(text.count("llama.cpp 30.gguf: %s said nothing of use (exit status 3): nothing" % broken), 2)
        text = self.compare("--only", "decode", "--llama", broken, "--llama-models", "30.gguf", status=1)
        self.assertIn("| not measured |", text)


class History(Scripts):
    told = None  # what hone bench says, once for all tests

    def setUp(self):
        super().setUp()
        self.repo = self.path("repo")
        shutil.copytree(BENCH, os.path.join(self.repo, "bench"), ignore=shutil.ignore_patterns("*.csv", "*.c", "__pycache__"))
        self.git("init", "-q")
        self.commit("first")
        History.told = History.told or self.json("bench", "--model", HF, "--parts", "prefill,train", "--prompt", "9",
                                                 "--tokens", "5", "--rounds", "2")

    def git(self, *words):
        subprocess.run(["git", "-C", self.repo, "-c", "user.name=n", "-c", "user.email=e", *words], check=True, stdout=subprocess.DEVNULL)

    def commit(self, text):
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", text)

    def history(self, median=100, part="prefill", status=0, machine="here", **other):
        """Of one part that is so fast, give or take 2."""
        told = dict(self.told, parts={part: dict(self.told["parts"][part], median=median, least=median - 2, most=median + 2, **other)})
        return self.script("history.py", "--from", self.put("told.json", json.dumps(told)), "--machine", machine,
                           folder=os.path.join(self.repo, "bench"), status=status)

    def lines(self):
        with open(os.path.join(self.repo, "bench", "history.csv"), newline="") as stream:
            return list(csv.DictReader(stream))

    def test_a_line_for_each_phase(self):
        path = self.put("told.json", json.dumps(self.told))
        self.script("history.py", "--from", path, folder=os.path.join(self.repo, "bench"))
        head = subprocess.run(["git", "-C", self.repo, "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
        self.assertEqual([(x["phase"], x["precision"], x["commit"], x["unit"]) for x in self.lines()],
                         [("prefill", "int8", head, "tok/s"), ("train", "int8", head, "tok/s")])
        self.assertEqual([x["sizes"] for x in self.lines()], ["prompt_tokens=9", "sequences=8 tokens=5"])
        for line in self.lines():
            self.assertTrue(0 < float(line["least"]) <= float(line["median"]) <= float(line["most"]))
            self.assertRegex(line["machine"], r"^\S.*, \d+ cores$")

    def test_a_commit_that_is_measured_again_gets_its_line_anew(self):
        self.history(100)
        self.history(103)
        self.assertEqual([x["median"] for x in self.lines()], ["103"])
        self.commit("second")
        self.history(104)
        self.assertEqual([x["median"] for x in self.lines()], ["103", "104"])

    def test_what_is_slower_by_more_than_the_spread_is_told(self):
        self.history(100)
        self.commit("second")
        self.assertIn("-4.0 % since", self.history(96))  # the spread is 4
        self.assertIn("SLOWER: it was 100 (98 to 102), and is 95.9 (93.9 to 97.9)", self.history(95.9, status=1))
        self.assertNotIn("SLOWER", self.history(130))
        self.assertNotIn("since", self.history(10, machine="elsewhere"))
        self.assertNotIn("since", self.history(10, part="train"))
        self.assertNotIn("since", self.history(10, prompt_tokens=10))

    def test_of_a_step_more_seconds_are_slower(self):
        self.history(100, unit="s")
        self.commit("second")
        self.assertNotIn("SLOWER", self.history(90, unit="s"))
        self.assertIn("SLOWER", self.history(110, unit="s", status=1))

    def test_the_last_ones_are_shown(self):
        self.history(100)
        self.commit("second")
        self.history(50, status=1)
        text = self.script("history.py", "--show", folder=os.path.join(self.repo, "bench"), status=1)
        self.assertIn("SLOWER: it was 100", text)
        self.assertEqual(len(text.splitlines()), 1)

    def test_a_tree_with_changes_is_refused(self):
        self.put(os.path.join("repo", "new.c"), "int x;\n")
        self.assertIn("new.c has changed since the last commit", self.history(status=1))
        self.assertFalse(os.path.exists(os.path.join(self.repo, "bench", "history.csv")))

    def test_a_history_of_another_form_is_refused(self):
        self.put(os.path.join("repo", "bench", "history.csv"), "a,b\n1,2\n")
        self.assertIn("history.csv: its columns are not commit, date", self.history(status=1))


class Sizes(Scripts):
    def sizes(self, *words, **options):
        return self.script("sizes.py", HF, "--hone", HONE, "--quick", "--rounds", "1", *words, **options)

    def test_tables_and_a_drawing(self):
        path = self.put("figures.md", TABLE % (("bench/sizes.py",) * 2))
        self.sizes("--only", "rows,group", "--write", path, "--threads", "1")
        text = self.read("figures.md")
        self.assertIn("\n![", text)
        self.assertIn("](performance-sizes.svg)", text)
        self.assertIn("| answers at once | sampling, tok/s | of the limit |\n|---|---|---|\n| 1 | ", text)
        self.assertRegex(text, r"\n\| 256 \| [\d.]+ \| \d+ % \((read|multiply)\) \|\n")
        self.assertIn("| answers that share a prompt | training, tok/s |", text)
        root = xml.etree.ElementTree.parse(self.path("performance-sizes.svg")).getroot()
        self.assertTrue(root.tag.endswith("svg"))
        self.assertEqual(len(root.findall("{*}polyline")), 4)  # two panels: what was measured, and the limit

    def test_points_are_kept(self):
        self.sizes("--only", "rows", "--json", "points.json")
        with open(self.path("points.json")) as stream:
            points = json.load(stream)
        self.assertEqual(len(points), 2)
        for part in points.values():
            part["values"] = [12345]
        self.put("points.json", json.dumps(points))
        self.assertIn("| 1 | 12345 |", self.sizes("--only", "rows", "--json", "points.json"))

    def test_a_wrong_call_is_told(self):
        self.assertIn('--only has "all"; there are rows', self.sizes("--only", "all", status=2))
        self.assertIn("nowhere is not there: run make", self.script("sizes.py", HF, "--hone", "nowhere", status=2))

    def test_a_smaller_vocabulary_has_merges_of_its_own_words_alone(self):
        tokens = ["a", "b", "c", "ab", "bc", "abc"]
        self.assertEqual(sizes.cut_words(tokens, ["a b", "b c", "ab c"], 4), (["a", "b", "c", "ab"], ["a b"]))
        self.assertEqual(sizes.cut_words(tokens, ["a b", "b c", "ab c"], 9), (tokens, ["a b", "b c", "ab c"]))

    def test_the_axis_has_round_numbers(self):
        self.assertEqual(chart.ticks(10), [0, 2, 4, 6, 8, 10])
        self.assertEqual(chart.ticks(730), [0, 200, 400, 600, 800])
        for most in (0.013, 1, 3.3, 47, 99.9, 100, 12345):
            marked = chart.ticks(most)
            self.assertGreaterEqual(marked[-1] * (1 + 1e-9), most)
            self.assertTrue(3 <= len(marked) <= 7, (most, marked))


if __name__ == "__main__":
    unittest.main()
