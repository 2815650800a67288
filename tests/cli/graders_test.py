"""graders: an environment of packages that appears whole or not at all, and what the doctor says."""
import json
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import time
import unittest

from cli import HONE, HoneTest, python

# Stands in for a Python with venv and pip: makes folders, says what it is told to say.
STAND_IN = """#!/bin/sh
case "$2 $3" in
"venv "*)
    [ -z "$NO_VENV" ] || { echo "The virtual environment was not created successfully because ensurepip is not available."; exit 1; }
    mkdir -p "$3/bin" && cp "$0" "$3/bin/python3" ;;
"pip install")
    echo "$@" >> "$SEEN"
    echo "Collecting something"
    [ -z "$HANG" ] || { touch "$HANG"; sleep 100; }
    [ -z "$SAY" ] || { echo "$SAY"; exit 1; }
    case "$*" in *scikit-bio) [ -z "$NO_COMPILER" ] || { echo "ERROR: gcc failed"; exit 1; } ;; esac ;;
*) exit 3 ;;
esac
"""


class Install(HoneTest):
    def setUp(self):
        super().setUp()
        # not in memory and not in /tmp: a sandbox has its own /dev and /tmp
        scratch = tempfile.TemporaryDirectory(dir="/var/tmp")
        self.addCleanup(scratch.cleanup)
        self.home = self.env["HONE_HOME"] = os.path.join(scratch.name, "home")
        os.chmod(scratch.name, 0o755)
        self.base = self.put("python3", STAND_IN)
        os.chmod(self.base, 0o755)
        self.env["SEEN"] = self.path("seen")
        self.place = os.path.join(self.home, "graders", "python")

    def install(self, *words, **env):
        return self.hone("graders", "install", "--python", self.base, *words, env=env)

    def made(self):
        return sorted(os.listdir(os.path.join(self.home, "graders")))

    def test_every_package_is_installed_in_the_version_of_the_list(self):
        run = self.install("--json")
        self.assertEqual(run.returncode, 0, run.stderr)
        told = json.loads(run.stdout)
        self.assertEqual(told, {"python": self.place + "/bin/python3", "packages": 16})
        with open(self.place + "/grader-packages.txt") as stream:
            pins = [line.split("#")[0].strip() for line in stream if line.split("#")[0].strip()]
        self.assertIn("numpy==2.2.4", pins)
        self.assertTrue(all(pin.count("==") == 1 for pin in pins), pins)
        seen = self.read("seen")
        self.assertIn("--constraint", seen)
        self.assertIn(" numpy scipy ", seen)
        self.assertTrue(seen.endswith(" scikit-bio\n"))
        self.assertEqual(self.made(), ["python"])

    def test_a_part_can_be_asked_for(self):
        run = self.install("--only", "numpy,rapidfuzz")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("2 packages", run.stdout)
        self.assertTrue(self.read("seen").endswith("grader-packages.txt numpy rapidfuzz\n"))
        self.fails("graders", "install", "--only", "nmpy", status=2, says='did you mean "numpy"?')
        self.fails("graders", "install", "--only", "torch", status=2, says="not among")
        self.fails("graders", "doctor", "--only", "numpy", status=2, says="--only")

    def test_a_package_that_cannot_be_built_does_not_cost_the_others(self):
        run = self.install(NO_COMPILER="1")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("15 packages", run.stdout)
        self.assertIn("scikit-bio is not", run.stdout)

    def test_what_fails_leaves_what_was_there(self):
        self.assertEqual(self.install().returncode, 0)
        open(self.place + "/mark", "w").close()
        for env, says in [({"NO_VENV": "1"}, "apt install python3-venv"),
                          ({"SAY": "WARNING: Retrying after NewConnectionError: refused"}, "needs the network"),
                          ({"SAY": "ERROR: No matching distribution found for x"}, "No matching distribution")]:
            run = self.install(**env)
            self.assertEqual(run.returncode, 1)
            self.assertIn(says, run.stderr)
            self.assertEqual(self.made(), ["python"])
            self.assertTrue(os.path.exists(self.place + "/mark"))
        self.assertEqual(self.install().returncode, 0)
        self.assertFalse(os.path.exists(self.place + "/mark"))
        self.assertEqual(self.made(), ["python"])

    def test_an_interrupted_installation_is_begun_anew(self):
        hang = self.path("hanging")
        for how in (signal.SIGINT, signal.SIGKILL):
            run = subprocess.Popen([HONE, "graders", "install", "--python", self.base], stderr=subprocess.PIPE, text=True,
                                   env={**self.env, "HANG": hang}, stdout=subprocess.DEVNULL, start_new_session=True)
            for _ in range(1000):
                if os.path.exists(hang):
                    break
                time.sleep(0.01)
            self.assertIn("another hone graders install", self.install().stderr)
            os.killpg(run.pid, how)
            said = run.communicate(timeout=20)[1]
            os.remove(hang)
            self.assertFalse(os.path.exists(self.place))
            if how == signal.SIGINT:
                self.assertEqual(run.returncode, 1)
                self.assertIn("stopped on request", said)
                self.assertEqual(self.made(), [])
            else:
                self.assertEqual(self.made(), ["python.making"])
        self.assertEqual(self.install().returncode, 0)
        self.assertEqual(self.made(), ["python"])

    def test_a_place_that_the_sandbox_has_of_its_own_is_refused_at_once(self):
        self.env["HONE_HOME"] = "/tmp/hone-of-a-test-that-makes-nothing"
        run = self.install()
        self.assertEqual(run.returncode, 1)
        self.assert_sentence(run.stderr, ["is in /tmp", "/tmp/hone-of-a-test"])
        self.assertFalse(os.path.exists(self.path("seen")))
        shutil.rmtree(self.env["HONE_HOME"], ignore_errors=True)

    @unittest.skipUnless(hasattr(os, "geteuid") and os.geteuid() == 0, "only root's sandbox has another user")
    def test_a_home_that_root_alone_can_reach_is_shown_all_the_same(self):
        with open("/proc/self/mounts") as stream:
            before = stream.read()
        os.chmod(os.path.dirname(self.home), stat.S_IRWXU)
        self.test_graders_use_the_environment_that_is_there_and_its_corpora()
        with open("/proc/self/mounts") as stream:
            self.assertEqual(stream.read(), before)

    def test_graders_use_the_environment_that_is_there_and_its_corpora(self):
        os.makedirs(os.path.join(self.home, "graders", "nltk_data", "corpora"))
        subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", self.place], check=True)
        self.put("g.json", python("import os, sys\ndef grade(sample, item):\n"
                                  "    assert sys.prefix == %r, sys.prefix\n"
                                  "    assert os.listdir(os.environ['NLTK_DATA']) == ['corpora']\n"
                                  "    try:\n        open(sys.prefix + '/x', 'w')\n    except OSError:\n        return 1\n"
                                  % self.place))
        told, = self.lines("grade", "--grader", "g.json", stdin=[{"sample": {"output_text": ""}}])
        self.assertEqual(told["reward"], 1, told)
        self.put("g.json", python("import sys\ndef grade(sample, item):\n    return sys.prefix == '/usr'\n"))
        told, = self.lines("grade", "--grader", "g.json", "--python", "/usr/bin/python3",
                           stdin=[{"sample": {"output_text": ""}}])
        self.assertEqual(told["reward"], 1, told)


class Doctor(HoneTest):
    def test_it_says_what_holds_and_what_is_there(self):
        told = self.json("graders", "doctor", "--grader-timeout", "7", "--grader-memory", "512")
        self.assertEqual([t["tier"] for t in told["tiers"]], [1, 2, 3])
        self.assertEqual(told["tier"], min(t["tier"] for t in told["tiers"] if t["holds"]))
        self.assertTrue(all(t["text"] for t in told["tiers"]))
        self.assertEqual(told["limits"], {"seconds": 7, "memory_bytes": 512 << 20})
        self.assertGreater(told["calls_per_second"], 1)
        self.assertEqual(len(told["packages"]), 17)
        self.assertEqual(told["packages"][0]["name"], "python")
        self.assertTrue(all((p["version"] is None) <= (p["problem"] is not None) for p in told["packages"]))
        text = self.works("graders", "doctor")
        for word in ("isolation", "<- in force", "numpy", "calls a second"):
            self.assertIn(word, text)

    def test_a_tier_that_does_not_hold_says_why(self):
        told = self.hone("graders", "doctor", "--python", "/nowhere/python3", "--json")
        self.assertEqual(told.returncode, 1)
        self.assert_sentence(told.stderr, "no sandbox holds")
        for tier in json.loads(told.stdout)["tiers"]:
            self.assertFalse(tier["holds"])
            self.assertIn("/nowhere/python3", tier["text"])

    def test_alone_it_is_help(self):
        self.assertEqual(self.works("graders"), self.works("graders", "--help"))
        self.fails("graders", "frob", status=2, says="frob")


if __name__ == "__main__":
    unittest.main()
