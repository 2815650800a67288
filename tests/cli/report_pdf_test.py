"""report --pdf: printed by the browser that is there, and a sentence where none is, or where it does not print."""
import json
import os
import re
import shutil
import stat
import subprocess
import unittest

from cli import HONE, HoneTest

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable",
                                               "microsoft-edge", "chrome"))), None)
if BROWSER is None:
    print("SKIPPED in part: no chromium or google-chrome here, so nothing is printed", flush=True)


class Pdf(HoneTest):
    def setUp(self):
        super().setUp()
        self.works("train", self.job(steps=2), "--out", "run")

    def stand_in(self, script):
        """A browser of our own, and nothing else in PATH but a shell's tools."""
        path = self.put("bin/chromium", "#!/bin/sh\n" + script)
        os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)
        return {"PATH": self.path("bin") + ":/usr/bin:/bin", "TMPDIR": self.path("tmp")}

    @unittest.skipUnless(BROWSER, "no chromium or google-chrome here")
    def test_a_run_is_printed(self):
        os.mkdir(self.path("tmp"))
        run = subprocess.run([HONE, "report", "run", "--pdf", "--json"], capture_output=True, text=True, timeout=240,
                             cwd=self.folder, env={**self.env, "TMPDIR": self.path("tmp")})
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual(json.loads(run.stdout), {"report": "run/report.html", "pdf": "run/report.pdf"})
        with open(self.path("run", "report.pdf"), "rb") as stream:
            pdf = stream.read()
        self.assertTrue(pdf.startswith(b"%PDF-"))
        self.assertIn(b"%%EOF", pdf[-64:])
        self.assertGreater(len(re.findall(rb"/Type\s*/Page\b", pdf)), 0)
        self.assertEqual(os.listdir(self.path("tmp")), [], "the profile is gone")

    def test_without_a_browser_it_is_said_and_the_page_is_there(self):
        os.mkdir(self.path("none"))
        said = self.fails("report", "run", "--pdf", env={"PATH": self.path("none")},
                          says=["no browser", "chromium", "google-chrome", "run/report.html"])
        self.assertIn("open the page in any browser", said)
        self.assertTrue(os.path.exists(self.path("run", "report.html")))
        self.assertFalse(os.path.exists(self.path("run", "report.pdf")))

    def test_what_the_browser_is_told(self):
        env = self.stand_in('for word; do echo "$word" >>"%s"; case $word in --print-to-pdf=*) '
                            'printf "%%%%PDF-1.4 stand-in" >"${word#*=}";; esac; done\n' % self.path("words"))
        os.mkdir(self.path("tmp"))
        self.works("report", "run", "--out", "a b#1.html", "--pdf", env=env)
        self.assertEqual(self.read("a b#1.pdf"), "%PDF-1.4 stand-in")
        words = self.read("words").splitlines()
        self.assertIn("file://%s/a%%20b%%231.html" % os.path.realpath(self.folder), words)
        self.assertIn("--host-resolver-rules=MAP * ~NOTFOUND", words)
        self.assertEqual("--no-sandbox" in words, os.geteuid() == 0)
        self.assertEqual(os.listdir(self.path("tmp")), [])

    def test_a_browser_that_prints_nothing(self):
        env = self.stand_in("echo starting; echo 'cannot open display' >&2; exit 1\n")
        os.mkdir(self.path("tmp"))
        self.put("run/report.pdf", "an older one")
        self.fails("report", "run", "--pdf", env=env, says=["printed nothing", "cannot open display"])
        self.assertEqual(self.read("run", "report.pdf"), "an older one")
        self.assertEqual(os.listdir(self.path("tmp")), [])


if __name__ == "__main__":
    unittest.main()
