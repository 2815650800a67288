"""A run that is killed again and again, whenever, ends as one that was not. HONE_KILLS=100: as often as that."""
import json
import os
import random
import shutil
import subprocess
import sys
import time
import unittest

from cli import HONE, HoneTest

KILLS = int(os.environ.get("HONE_KILLS", 10))
MEASURED = ("timing", "seconds", "per_second", "bytes", "created_at", "latency",
            "cache_hit_rate")  # a run that goes on begins with an empty cache


def unmeasured(value):
    """The value without what a clock or the machine's memory gave."""
    if isinstance(value, dict):
        return {key: unmeasured(v) for key, v in value.items() if not any(word in key for word in MEASURED)}
    return [unmeasured(v) for v in value] if isinstance(value, list) else value


class Kills(HoneTest):
    STEPS = 40

    def setUp(self):
        super().setUp()
        self.job(steps=self.STEPS, hone={"checkpoint_interval": 3})

    def on(self, folder):
        return ["--resume"] if os.path.exists(self.path(folder, "job.json")) else []

    def killed(self, folder, after):
        """Whether a run that goes on for that many seconds has to be killed."""
        run = subprocess.Popen([HONE, "train", "job.json", "--out", folder, "--json", *self.on(folder)], text=True,
                               cwd=self.folder, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            run.communicate(timeout=after)
        except subprocess.TimeoutExpired:
            run.kill()
            run.communicate()
            return True
        self.assertEqual(run.returncode, 0)
        return False

    def told(self, folder):
        """The columns of the steps that no clock filled, and every rollout."""
        lines = [line.split(",") for line in self.read(folder, "metrics.csv").splitlines()]
        kept = [i for i, name in enumerate(lines[0]) if not any(word in name for word in MEASURED)]
        rollouts = {name: [unmeasured(json.loads(line)) for line in self.read(folder, "rollouts", name).splitlines()]
                    for name in sorted(os.listdir(self.path(folder, "rollouts")))}
        return [[line[i] for i in kept] for line in lines], rollouts

    def test_what_a_kill_left_behind_the_last_checkpoint_goes(self):
        self.train("job.json", "--out", "run")
        there = sorted(os.listdir(self.path("run", "checkpoints")))
        for step in (1, self.STEPS - 1):  # as if the others had not been removed yet
            shutil.copytree(self.path("run", "checkpoints", there[-1]), self.path("run", "checkpoints", "step-%d" % step),
                            dirs_exist_ok=True)
        self.assertNotEqual(sorted(os.listdir(self.path("run", "checkpoints"))), there)
        self.train("job.json", "--out", "run", "--resume")
        self.assertEqual(sorted(os.listdir(self.path("run", "checkpoints"))), there)

    def test_however_often_it_is_killed_it_ends_the_same(self):
        dice = random.Random(7)
        begin = time.monotonic()
        whole = self.train("job.json", "--out", "unbroken")[-1]
        seconds = time.monotonic() - begin
        kills = runs = 0
        while kills < KILLS:
            folder = "run-%d" % runs
            while kills < KILLS and self.killed(folder, dice.uniform(0, seconds / 2)):
                kills += 1
            result = self.train("job.json", "--out", folder, *self.on(folder))[-1]
            runs += 1
            with self.subTest(folder):
                self.assertEqual(result["adapter_sha256"], whole["adapter_sha256"])
                self.assertEqual(self.told(folder), self.told("unbroken"))
                self.assertEqual(self.read(folder, "certificate.jsonl"), self.read("unbroken", "certificate.jsonl"))
                self.assertEqual(sorted(os.listdir(self.path(folder, "checkpoints"))),
                                 sorted(os.listdir(self.path("unbroken", "checkpoints"))))
        print("killed %d times in %d runs" % (kills, runs), file=sys.stderr)


if __name__ == "__main__":
    unittest.main()
