"""The manual and the completion: made of what --help says, and read by man, groff and bash without a complaint."""
import glob
import os
import re
import shutil
import subprocess
import unittest

from cli import HONE, ROOT, HoneTest

MAN, GROFF, BASH, LEXGROG = map(shutil.which, ("man", "groff", "bash", "lexgrog"))
for name, found in (("man", MAN), ("groff", GROFF), ("bash", BASH)):
    if not found:
        print("SKIPPED in part: there is no %s here" % name, flush=True)


def plain(text):
    return re.sub(r"\s+", " ", re.sub(".\x08", "", text))


class Manual(HoneTest):
    def setUp(self):
        super().setUp()
        run = subprocess.run(["cmake", "-DHONE=" + HONE, "-DOUT=" + self.path("share"), "-P",
                              os.path.join(ROOT, "cmake", "manual.cmake")], capture_output=True, text=True, env=self.env)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.pages = sorted(glob.glob(self.path("share", "man", "man1", "*.1")))
        self.commands = re.findall(r"^  (\w+) ", self.works("help"), re.M)

    def test_every_command_has_a_page(self):
        self.assertEqual([os.path.basename(page) for page in self.pages],
                         sorted(["hone.1"] + ["hone-%s.1" % name for name in self.commands]))
        with open(self.path("share", "man", "man1", "hone.1")) as stream:
            overview = stream.read()
        for name in self.commands:
            self.assertIn(r"\fBhone\-%s\fR(1)" % name, overview)

    @unittest.skipUnless(MAN, "no man here")
    def test_man_shows_it_without_a_warning(self):
        for page in self.pages:
            run = subprocess.run([MAN, "--warnings", "-l", "-Tutf8", page], capture_output=True, text=True,
                                 env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80"})
            self.assertEqual((run.returncode, run.stderr), (0, ""), page)
            for part in ("NAME", "SYNOPSIS", "EXIT STATUS", "EXAMPLES"):
                self.assertIn(part, plain(run.stdout), page)

    @unittest.skipUnless(GROFF, "no groff here")
    def test_groff_has_nothing_to_say(self):
        for page in self.pages:
            run = subprocess.run([GROFF, "-ww", "-man", "-Tascii", "-z", page], capture_output=True, text=True)
            self.assertEqual((run.returncode, run.stderr), (0, ""), page)

    @unittest.skipUnless(LEXGROG, "no lexgrog here")
    def test_whatis_finds_name_and_summary(self):
        for page in self.pages:
            run = subprocess.run([LEXGROG, page], capture_output=True, text=True)
            name = os.path.basename(page)[:-2]
            self.assertRegex(run.stdout, r': "%s - .+"\n' % re.escape(name))

    @unittest.skipUnless(MAN, "no man here")
    def test_it_says_what_help_says(self):
        for name in self.commands:
            shown = subprocess.run([MAN, "-l", "-Tascii", self.path("share", "man", "man1", "hone-%s.1" % name)],
                                   capture_output=True, text=True, env={**os.environ, "MANWIDTH": "20000"}).stdout
            page = plain(shown)
            text = self.works(name, "--help")
            options = re.findall(r"^  (--\S+)", text, re.M)
            self.assertGreater(len(options), 2)
            for option in options:
                self.assertIn(option, page)
            for example in text[text.index("\nExample"):].splitlines()[2:]:
                self.assertIn(plain(example).strip(), page)


class Completion(HoneTest):
    def complete(self, *words):
        script = ('source <("$1" manual --completion); shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _hone; '
                  'printf "%s\\n" "${COMPREPLY[@]}"')
        run = subprocess.run([BASH, "-c", script, "bash", HONE, *words], capture_output=True, text=True, env=self.env)
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        return run.stdout.split()

    @unittest.skipUnless(BASH, "no bash here")
    def test_commands_options_and_choices(self):
        self.assertEqual(self.complete("hone", "tr"), ["train"])
        self.assertIn("watch", self.complete("hone", ""))
        self.assertNotIn("engine", self.complete("hone", ""))
        self.assertEqual(self.complete("hone", "train", "--res"), ["--resume"])
        self.assertEqual(self.complete("hone", "train", "--precision", ""), ["f32", "int8"])
        self.assertEqual(self.complete("hone", "export", "--format", "gg"), ["gguf", "gguf-lora"])
        self.assertEqual(self.complete("hone", "train", "job"), [], "files are bash's own")
        for option in re.findall(r"^  (--\S+)", self.works("eval", "--help"), re.M):
            self.assertEqual(self.complete("hone", "eval", option)[:1] and option in self.complete("hone", "eval", option), True)


if __name__ == "__main__":
    unittest.main()
