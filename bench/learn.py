#!/usr/bin/env python3
"""Does it learn? One task, several seeds, nothing but defaults; every figure on the test file.

    bench/learn.py --model MODEL --train F --valid F --test F --grader G.json [--steps 150] [--seeds 1,2,3] [--out DIR]
                   [--set KEY=VALUE] [--hone build/release/hone] [--threads N]

Trains once per seed, answers every row of the test file four times at temperature 1 and once greedily, before and after, and
prints one line a seed and the mean with its spread. The run's best checkpoint by validation is what is measured, as users
get it. A run that is in DIR already goes on where it stopped, so that the script itself may be stopped at any time.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time


def hone(o, *args):
    command = [o.hone] + list(args) + (["--threads", str(o.threads)] if o.threads else [])
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit("%s: %s" % (" ".join(command), done.stderr.strip()[-2000:]))
    return done.stdout


def measured(o, adapter, name):
    """Mean reward of the test file, sampled and greedy; kept in a file beside the run."""
    path = os.path.join(o.out, name + ".json")
    if not os.path.exists(path):
        common = ["eval", "--model", o.model, "--data", o.test, "--grader", o.grader, "--json"]
        if adapter:
            common += ["--adapter", adapter]
        else:
            common += ["--max-tokens", str(o.max_tokens)]
        found = {"sampled": json.loads(hone(o, *common, "--samples", "4", "--seed", "7")),
                 "greedy": json.loads(hone(o, *common, "--greedy"))}
        with open(path, "w") as f:
            json.dump(found, f)
    with open(path) as f:
        return {k: reward(v) for k, v in json.load(f).items()}


def reward(told):
    return told["models"][0]["reward_mean"] if "models" in told else told["reward_mean"]


def rows(run):
    import csv
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
    figures = []
    for seed in o.seeds.split(","):
        run = os.path.join(o.out, "seed-" + seed)
        args = ["train", "--model", o.model, "--train", o.train, "--valid", o.valid, "--grader", o.grader, "--out", run,
                "--seed", seed, "--set", "max_steps=%d" % o.steps]
        for s in o.set:
            args += ["--set", s]
        began = time.time()
        if not os.path.exists(os.path.join(o.out, "seed-%s.json" % seed)):
            hone(o, *(args + (["--resume"] if os.path.exists(run) else [])))
        told = rows(run)
        after = measured(o, run, "seed-" + seed)
        line = {"seed": seed, "steps": len(told), "minutes": (time.time() - began) / 60,
                "max_dlogp": max(float(r["max_dlogp"]) for r in told), **after}
        figures.append(line)
        print("seed %(seed)s: %(steps)d steps, sampled %(sampled).3f, greedy %(greedy).3f, max|dlogp| %(max_dlogp)g, "
              "%(minutes).1f min" % line, flush=True)
    with open(os.path.join(o.out, "seed-%s" % o.seeds.split(",")[0], "job.json")) as f:
        o.max_tokens = json.load(f)["resolved"]["max_tokens"]
    before = measured(o, None, "base")
    for kind in ("sampled", "greedy"):
        x = [f[kind] for f in figures]
        print("%-8s before %.3f, after %.3f +- %.3f (%.3f to %.3f, %d seeds)" %
              (kind, before[kind], statistics.mean(x), statistics.stdev(x) if len(x) > 1 else 0, min(x), max(x), len(x)))


if __name__ == "__main__":
    main()
