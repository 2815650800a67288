"""How hone is called: help, exit statuses, what is said of a wrong call, settings from all three places."""
import json
import re
import subprocess
import unittest

from cli import GGUF, HF, HONE, HoneTest

COMMANDS = ["check", "train", "watch", "eval", "export", "grade", "chat", "report", "replay", "score", "tokenize", "render", "models", "pull",
            "import", "graders", "serve", "worker", "org", "project", "key", "feedback", "audit", "backup", "restore", "bench", "version"]


class Usage(HoneTest):
    def test_without_a_command_the_commands_are_listed(self):
        run = self.hone()
        self.assertEqual((run.returncode, run.stdout), (2, ""))
        for command in COMMANDS:
            self.assertRegex(run.stderr, r"\n  %s +\w" % command)
        for way in ("help", "--help", "-h"):
            self.assertEqual(self.works(way), run.stderr)

    def test_what_is_not_there_is_not_listed(self):
        listed = re.findall(r"^  (\w+)", self.works("help"), re.M)
        self.assertEqual(sorted(listed), sorted(COMMANDS))

    def test_every_command_has_a_page_of_help_with_an_example(self):
        for command in COMMANDS:
            page = self.works(command, "--help")
            self.assertTrue(page.startswith("hone %s" % command))
            self.assertRegex(page, r"\nExamples?:\n(.*\n)*.*hone %s" % command)
            self.assertIn("--json", page)
            self.assertLessEqual(max(map(len, page.splitlines())), 100)
            self.assertEqual(page, self.works("help", command))

    def test_help_needs_nothing_else_to_be_right(self):
        self.put("home/hone.conf", "nonsense")
        self.assertIn("Options:", self.works("eval", "--help"))

    def test_an_unknown_command_is_told_with_its_neighbour(self):
        self.fails("trian", status=2, says='there is no command "trian"; did you mean "train"?')
        self.fails("fly", status=2, says='there is no command "fly"')
        self.fails("help", "trian", status=2, says='did you mean "train"?')

    def test_an_unknown_option_is_told_with_its_neighbour(self):
        self.fails("eval", "--sampels", "3", status=2, says="did you mean --samples?")

    def test_a_wrong_call_is_no_failure(self):
        self.fails("score", status=2, says="score needs --model M")
        self.fails("score", "--model", HF, "--threads", "-1", status=2, says="--threads")
        self.fails("render", status=2, says="--model M or --template F")
        self.fails("train", status=2, says="JOB.json, or --model M, --train F and --grader G.json")
        self.fails("train", "--resume", status=2, says="JOB.json")
        self.fails("eval", "--model", HF, status=2, says="eval needs --data F")
        self.fails("report", status=2, says="report needs DIR")
        self.fails("replay", status=2, says="replay needs DIR")
        self.fails("models", "x", status=2, says="too much")
        self.fails("tokenize", "--model", HF, "--json", "text", status=2, says="lines")

    def test_a_device_that_is_not_there_is_refused(self):
        self.fails("score", "--model", HF, "--device", "cuda", status=2, says="this hone offers cpu")
        self.fails("score", "--model", HF, "--precision", "fast", status=2, says="this hone offers f32|int8")
        self.fails("score", "--model", HF, "--kv-cache", "q4_0", status=2, says="this hone offers auto|f32|f16|q8_0")

    def test_a_full_disk_behind_standard_output_is_told(self):
        with open("/dev/full", "w") as full:
            run = subprocess.run([HONE, "version"], stdout=full, stderr=subprocess.PIPE, text=True, env=self.env)
        self.assertEqual(run.returncode, 1)
        self.assert_sentence(run.stderr, "cannot write standard output: No space left on device")

    def test_a_reader_that_has_gone_is_told(self):
        run = subprocess.Popen([HONE, "tokenize", "--model", HF, "--json"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.env)
        run.stdout.close()
        _, said = run.communicate('{"text": "a"}\n')
        self.assertEqual(run.returncode, 1)
        self.assert_sentence(said, "has gone")


class Settings(HoneTest):
    def threads(self, *words, **env):
        return self.json("version", *words, env=env)["threads"]

    def test_an_option_beats_a_variable_which_beats_the_file(self):
        self.put("home/hone.conf", "threads = 3\n")
        self.assertEqual(self.threads(), 3)
        self.assertEqual(self.threads(HONE_THREADS="2"), 2)
        self.assertEqual(self.threads("--threads", "1", HONE_THREADS="2"), 1)

    def test_a_file_of_settings_can_be_named(self):
        other = self.put("other.conf", "threads = 4\n")
        self.assertEqual(self.threads("--config", other), 4)
        self.fails("version", "--config", "nowhere.conf", status=2, says="nowhere.conf")

    def test_a_mistake_in_a_setting_is_named(self):
        self.fails("version", env={"HONE_THREADS": "x"}, status=2, says='HONE_THREADS is "x"')
        self.put("home/hone.conf", "\nthreds = 3\n")
        self.fails("version", status=2, says=["hone.conf, line 2", 'did you mean "threads"?'])

    def test_a_model_can_be_a_setting(self):
        self.assertIn("1 tokens", self.works("tokenize", "a", env={"HONE_MODEL": GGUF}))


class Version(HoneTest):
    def test_it_tells_what_is_in_force(self):
        text = self.works("version")
        self.assertRegex(text, r"\Ahone \d+\.\d+\.\d+\n")
        for word in ("kernels", "sandbox", "libraries", "jansson", "pcre2", "libseccomp", "sqlite"):
            self.assertIn(word, text)
        self.assertTrue(self.works("--version").startswith("hone "))

    def test_the_same_as_json(self):
        told = self.json("version")
        self.assertIn(told["kernels"], told["kernels_available"])
        self.assertEqual(told["devices"], ["cpu"])
        self.assertEqual(told["home"], self.home)

    def test_the_kernels_can_be_chosen(self):
        for name in self.json("version")["kernels_available"]:
            self.assertEqual(self.json("version", "--kernels", name)["kernels"], name)
        self.fails("version", "--kernels", "sse", status=2, says="plain")


if __name__ == "__main__":
    unittest.main()
