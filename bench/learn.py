#!/usr/bin/env python3
"""Does it learn? One task, several seeds, nothing but defaults; every figure on the test file.

    bench/learn.py --model MODEL --train F --valid F --test F --grader G.json [--steps 150] [--seeds 1,2,3] [--out DIR]
                   [--set KEY=VALUE] [--hone build/release/hone] [--threads N]

Trains once per seed, answers every row of the test file four times at temperature 1 and once greedily, before and after, and
prints one line a seed and the mean with its spread. The run's best checkpoint by validation is what is measured, as users
get it. A run that is in DIR already goes on where it stopped, so that the script itself may be stopped at any time.
"""
import argparse
import csv
import json
import os
import statistics
import subprocess
import sys

KINDS = ("sampled", "greedy")


def hone(o, *args):
    command = [o.hone] + list(args) + (["--threads", str(o.threads)] if o.threads else [])
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit("%s: %s" % (" ".join(command), done.stderr.strip()[-2000:]))
    return done.stdout


def measured(o, run, seed, base):
    """Mean reward of the test file, sampled and greedy, and the base model's where it is asked for; kept in a file."""
    path = os.path.join(o.out, "seed-%s.json" % seed)
    if not os.path.exists(path):
        common = ["eval", "--model", o.model, "--adapter", run, "--data", o.test, "--grader", o.grader, "--json"]
        if base:
            common += ["--compare", o.model]
        found = {"sampled": json.loads(hone(o, *common, "--samples", "4", "--seed", "7")),
                 "greedy": json.loads(hone(o, *common, "--greedy"))}
        with open(path, "w") as f:
            json.dump(found, f)
    with open(path) as f:
        return json.load(f)


def rows(run):
    with open(os.path.join(run, "metrics.csv")) as f:
        return list(csv.DictReader(f))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--model", "--train", "--valid", "--test", "--grader"):
        p.add_argument(name, required=True)
    p.add_argument("--steps", type=int, default=150)
    p.add_argument("--seeds", default="1,2,3")
    p.add_argument("--out", default="runs/learn")
    p.add_argument("--set", action="append", default=[], help="for experiments; what is published is without")
    p.add_argument("--hone", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "build", "release", "hone"))
    p.add_argument("--threads", type=int, default=0)
    o = p.parse_args()
    os.makedirs(o.out, exist_ok=True)
    seeds, found = o.seeds.split(","), {}
    for seed in seeds:
        run = os.path.join(o.out, "seed-" + seed)
        args = ["train", "--model", o.model, "--train", o.train, "--valid", o.valid, "--grader", o.grader, "--out", run,
                "--seed", seed, "--set", "max_steps=%d" % o.steps]
        for s in o.set:
            args += ["--set", s]
        if not os.path.exists(os.path.join(o.out, "seed-%s.json" % seed)):
            hone(o, *(args + (["--resume"] if os.path.exists(run) else [])))
        told = rows(run)
        found[seed] = measured(o, run, seed, seed == seeds[0])
        line = {"seed": seed, "steps": len(told), "minutes": sum(float(r["timing/step/full_iteration"]) for r in told) / 60,
                "max_dlogp": max(float(r["max_dlogp"]) for r in told),
                **{kind: found[seed][kind]["reward_mean"] for kind in KINDS}}
        print("seed %(seed)s: %(steps)d steps, sampled %(sampled).3f, greedy %(greedy).3f, max|dlogp| %(max_dlogp)g, "
              "%(minutes).1f min of steps" % line, flush=True)
    for kind in KINDS:
        before = found[seeds[0]][kind]["compare"][0]["reward_mean"]
        x = [found[seed][kind]["reward_mean"] for seed in seeds]
        print("%-8s before %.3f, after %.3f +- %.3f (%.3f to %.3f, %d seeds)" %
              (kind, before, statistics.mean(x), statistics.stdev(x) if len(x) > 1 else 0, min(x), max(x), len(x)))


if __name__ == "__main__":
    main()
