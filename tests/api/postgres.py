"""A PostgreSQL of the tests' own, as any user but root may run one; skipped, aloud, where there is none."""
import glob
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import unittest


class Postgres:
    """with Postgres() as p: p.database() is the address of a fresh database."""

    def __enter__(self):
        bins = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
        if not bins:
            print("there is no PostgreSQL here: its half of this test is left out", file=sys.stderr)
            raise unittest.SkipTest("there is no PostgreSQL here: its half of this test is left out")
        self.bin = os.path.dirname(bins[-1])
        self.user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        self.folder = tempfile.mkdtemp(dir="/tmp")
        os.chmod(self.folder, 0o755)
        if self.user:
            shutil.chown(self.folder, "postgres")
        self.data = os.path.join(self.folder, "data")
        self.numbers = itertools.count()
        self.run("initdb", "-D", self.data, "-A", "trust", "-U", "hone", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8")
        self.run("pg_ctl", "-D", self.data, "-w", "-l", os.path.join(self.folder, "log"), "-o",
                 "-k %s -h '' -c fsync=off" % self.folder, "start")
        return self

    def run(self, program, *args):
        subprocess.run(self.user + [os.path.join(self.bin, program), *args], check=True, cwd="/tmp",
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def database(self):
        name = "d%d" % next(self.numbers)
        self.run("createdb", "-h", self.folder, "-U", "hone", name)
        return "postgresql://hone@/%s?host=%s" % (name, self.folder)

    def __exit__(self, *why):
        self.run("pg_ctl", "-D", self.data, "-m", "immediate", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)
