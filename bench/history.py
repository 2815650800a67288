#!/usr/bin/env python3
"""Speed by commit: measures with hone bench, adds lines to bench/history.csv, and tells what has become slower.

    bench/history.py --model MODEL [--precision f32,int8] [--rounds 5] [--threads N] [--machine NAME]
    bench/history.py --from FILE ...     what hone bench --json has printed, at this commit and on this machine
    bench/history.py --show              the last two measurements of each phase

One line for each commit, machine, model, number of threads, precision and phase; a commit that is measured again gets its lines
anew. The tree must hold nothing that is not committed, and hone is built from it first (unless --hone or --from says what was).
A phase has become slower where its median is worse than at the last commit measured on the same machine, with the same sizes, by
more than the spread (most less least) of either: then the exit status is 1. Another name for the machine begins another history.
"""
import argparse
import csv
import json
import os
import subprocess
import sys

sys.dont_write_bytecode = True
from sections import HERE, HONE, ROOT, bench, processor  # noqa: E402

COLUMNS = ["commit", "date", "machine", "kernels", "threads", "model", "precision", "phase", "sizes", "rounds", "unit", "median",
           "least", "most", "limit", "fraction", "load"]
SAME = ["machine", "threads", "model", "precision", "phase"]  # lines that are one history
SIZES = ["prompts", "sequences", "prompt_tokens", "group", "answers", "tokens"]


def git(*words):
    done = subprocess.run(["git", "-C", ROOT, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit("git %s: %s" % (words[0], done.stderr.strip()))
    return done.stdout


def refuse_changes(path):
    """Ends the program where the tree has what no commit names, the history itself aside."""
    for line in git("status", "--porcelain").splitlines():
        name = line[3:]
        if os.path.abspath(os.path.join(ROOT, name)) != os.path.abspath(path):
            sys.exit("%s has changed since the last commit: what is measured must have a name; commit it or take it away" % name)


def read(path):
    if not os.path.exists(path):
        return []
    with open(path, newline="", encoding="utf-8") as stream:
        rows = csv.DictReader(stream)
        if rows.fieldnames != COLUMNS:
            sys.exit("%s: its columns are not %s" % (path, ", ".join(COLUMNS)))
        return list(rows)


def write(path, lines):
    with open(path + ".new", "w", newline="", encoding="utf-8") as stream:
        out = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        out.writeheader()
        out.writerows(lines)
    os.replace(path + ".new", path)


def lines_of(told, commit, date, machine):
    """Those of one object of hone bench --json."""
    for name, part in told["parts"].items():
        line = {"commit": commit, "date": date, "machine": machine, "kernels": told["kernels"], "threads": told["threads"],
                "model": os.path.basename(told["model"].rstrip("/")), "precision": told["precision"], "phase": name,
                "sizes": " ".join("%s=%d" % (key, part[key]) for key in SIZES if key in part), "rounds": told["rounds"],
                "unit": part["unit"], "load": "" if told["load_before"] is None else "%.1f" % told["load_before"],
                "fraction": "%.4f" % part["fraction"]}
        line.update((key, "%.5g" % part[key]) for key in ("median", "least", "most", "limit"))
        yield {key: str(value) for key, value in line.items()}


def key_of(line):
    return tuple(line[k] for k in SAME)


def add(history, new):
    """The history with the new lines behind; those of the same commit that they stand for are gone."""
    keys = {(line["commit"],) + key_of(line) for line in new}
    return [line for line in history if (line["commit"],) + key_of(line) not in keys] + new


def before(history, line):
    """The last one of another commit that line can be compared with, or None."""
    for old in reversed(history):
        if old["commit"] != line["commit"] and key_of(old) == key_of(line) and old["sizes"] == line["sizes"]:
            return old
    return None


def change(old, new):
    """By how much faster new is, as a share, and by how much more than either's spread it is slower (0 or less: it is not)."""
    def spread(line):
        return float(line["most"]) - float(line["least"])
    a, b = float(old["median"]), float(new["median"])
    worse = a - b if new["unit"] == "tok/s" else b - a
    return (b / a if new["unit"] == "tok/s" else a / b) - 1, worse - max(spread(old), spread(new))


def tell(history, lines):
    """Prints each line beside the one before it; returns how many have become slower."""
    slower = 0
    for line in lines:
        old = before(history, line)
        text = "%-4s %-10s %9s %-5s %5.1f %% of the limit" % (
            line["precision"], line["phase"], line["median"], line["unit"], 100 * float(line["fraction"]))
        if old is not None:
            faster, beyond = change(old, line)
            text += "   %+6.1f %% since %s" % (100 * faster, old["commit"][:9])
            if beyond > 0:
                text += "   SLOWER: it was %s (%s to %s), and is %s (%s to %s)" % tuple(
                    x[k] for x in (old, line) for k in ("median", "least", "most"))
                slower += 1
        print(text)
    return slower


def last_of_each(history):
    last = {}
    for line in history:
        last[key_of(line)] = line
    return list(last.values())


def measure(o):
    if o.hone == HONE:
        built = subprocess.run(["cmake", "--build", os.path.dirname(HONE), "--target", "hone"], stdout=subprocess.DEVNULL)
        if built.returncode != 0:
            sys.exit("hone could not be built in %s: run make" % os.path.dirname(HONE))
    words = ["--rounds", str(o.rounds)] + (["--threads", str(o.threads)] if o.threads else [])
    return [bench(o.hone, o.model, *words, "--precision", p) for p in o.precision.split(",")]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = p.add_mutually_exclusive_group(required=True)
    what.add_argument("--model")
    what.add_argument("--from", dest="files", nargs="+", metavar="FILE")
    what.add_argument("--show", action="store_true")
    p.add_argument("--precision", default="f32,int8")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--threads", type=int)
    p.add_argument("--machine", help="the processor's name and the number of cores unless given")
    p.add_argument("--csv", default=os.path.join(HERE, "history.csv"))
    p.add_argument("--hone", default=HONE)
    o = p.parse_args()
    history = read(o.csv)
    if o.show:
        return tell(history, last_of_each(history)) > 0
    refuse_changes(o.csv)
    told = measure(o) if o.model else [json.load(open(f, encoding="utf-8")) for f in o.files]
    refuse_changes(o.csv)  # nor while it was measured
    commit, date = git("log", "-1", "--format=%H %cs").split()
    machine = o.machine or "%s, %d cores" % (processor(), told[0]["cores"])
    new = [line for t in told for line in lines_of(t, commit, date, machine)]
    history = add(history, new)
    write(o.csv, history)
    return tell(history, new) > 0


if __name__ == "__main__":
    sys.exit(main())
