"""scripts/deps: installs what is missing and nothing else, and says what it needs when it cannot.

dpkg-query, apt-get, sudo and id are stand-ins here; no package is touched.
"""
import os
import shutil
import subprocess
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SCRIPT = os.path.join(ROOT, "scripts", "deps")


class Deps(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.bin = scratch.name
        self.log = os.path.join(self.bin, "log")
        for tool in ("sh", "env"):
            os.symlink(shutil.which(tool), os.path.join(self.bin, tool))

    def stand_in(self, name, body):
        path = os.path.join(self.bin, name)
        with open(path, "w") as stream:
            stream.write("#!%s\n%s\n" % (shutil.which("sh"), body))
        os.chmod(path, 0o755)

    def deps(self, *groups, missing=(), uid=0, sudo=False, dpkg=True, apt="exit 0"):
        """The finished run, and the lines that apt-get was called with."""
        if dpkg:
            cases = "".join("%s) echo 'deinstall ok config-files'; exit 0 ;;\n" % p for p in missing)
            self.stand_in("dpkg-query", 'case $4 in\n%s*) echo "install ok installed" ;;\nesac' % cases)
        self.stand_in("id", "echo %d" % uid)
        self.stand_in("apt-get", 'echo "$*" >>"%s"\n%s' % (self.log, apt))
        if sudo:
            self.stand_in("sudo", 'echo sudo >>"%s"\nexec "$@"' % self.log)
        run = subprocess.run([os.path.join(self.bin, "sh"), SCRIPT, *groups], capture_output=True, text=True,
                             env={"PATH": self.bin})
        calls = []
        if os.path.exists(self.log):
            with open(self.log) as stream:
                calls = [line.rstrip("\n") for line in stream]
        return run, calls

    def test_nothing_is_done_when_nothing_is_missing(self):
        run, calls = self.deps()
        self.assertEqual((run.returncode, run.stdout, run.stderr, calls), (0, "", "", []))

    def test_only_what_is_missing_is_installed(self):
        run, calls = self.deps(missing=("strace", "cmake"))
        self.assertEqual(run.returncode, 0, run.stderr)
        installs = [call for call in calls if " install " in call]
        self.assertEqual(len(installs), 1)
        self.assertTrue(installs[0].endswith("install -y --no-install-recommends cmake strace"), installs)

    def test_a_group_that_was_not_asked_for_is_left_alone(self):
        run, calls = self.deps("build", missing=("strace",))
        self.assertEqual((run.returncode, calls), (0, []))

    def test_a_package_of_two_groups_is_named_once(self):
        _, calls = self.deps("test", "demo", missing=("python3-venv",))
        self.assertTrue(calls[-1].endswith("--no-install-recommends python3-venv"))

    def test_sudo_is_used_when_not_root(self):
        run, calls = self.deps(missing=("cmake",), uid=1000, sudo=True)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual(calls[-2], "sudo")
        self.assertIn("install -y", calls[-1])

    def test_without_root_and_sudo_the_command_for_root_is_told(self):
        run, calls = self.deps(missing=("cmake",), uid=1000)
        self.assertEqual((run.returncode, calls), (1, []))
        self.assertIn("apt-get install -y cmake", run.stderr)

    def test_old_lists_are_fetched_again_once(self):
        run, calls = self.deps(missing=("cmake",), apt='case $* in *install*) exit 100 ;; esac')
        self.assertEqual(run.returncode, 1)
        self.assertEqual(sum(" install " in call for call in calls), 2)
        self.assertTrue(any(call.endswith(" update") for call in calls))
        self.assertIn("could not install: cmake", run.stderr)

    def test_another_system_gets_the_list(self):
        run, calls = self.deps("build", dpkg=False)
        self.assertEqual((run.returncode, calls), (0, []))
        self.assertIn("libjansson-dev", run.stderr)

    def test_an_unknown_group_is_wrong_use(self):
        run, _ = self.deps("tests")
        self.assertEqual(run.returncode, 2)


if __name__ == "__main__":
    unittest.main()
