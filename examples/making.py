"""making.py - what the makers of tasks here share: even shares, files of JSON lines, and jobs that hold their graders' source.

Standard library of Python 3.11 alone. The same source and seed give the same bytes.
"""
import argparse
import collections
import json
import os
import random
import sys

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def ask(text, **reference):
    """A line of a task: one question, and what the grader needs, which it sees as item.KEY."""
    return {"messages": [{"role": "user", "content": text}], **reference}


def choose(head, question, options, right, **reference):
    """A question with lettered options; the answer is a letter."""
    lines = "\n".join("%s. %s" % pair for pair in zip(LETTERS, options))
    return ask("%s\n%s\n%s\nAnswer with one letter." % (head, question, lines),
               answer=LETTERS[options.index(right)], label=right, **reference)


def balanced(rows, key, n, rng):
    """At most n rows, the values of key as even as they can be, shuffled."""
    by = collections.defaultdict(list)
    for row in rows:
        by[row[key]].append(row)
    for own in by.values():
        rng.shuffle(own)
    deepest = max(map(len, by.values()), default=0)
    out = [by[value][i] for i in range(deepest) for value in sorted(by) if i < len(by[value])][:n]
    rng.shuffle(out)
    return out


def distinct(make, n, tries=200):
    """n rows of make(), no question twice; fewer where it knows no more."""
    rows = {}
    for _ in range(n * tries):
        if len(rows) == n:
            break
        row = make()
        rows.setdefault(row["messages"][-1]["content"], row)
    return list(rows.values())


def write_rows(folder, name, rows):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "w", encoding="utf-8", newline="\n") as stream:
        for row in rows:
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    print("%6d  %s" % (len(rows), os.path.join(os.path.basename(folder), name)))


def command(doc, here, by_rule, from_source, what):
    """The command line of a maker: by_rule(rng) or from_source(path, rng), each -> {file name: rows}."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", default=os.path.join(here, "data"), help="the folder for the files (data/ beside this file)")
    parser.add_argument("--source", metavar="PATH", help=what + "; made up by rule unless given")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    try:
        files = by_rule(rng) if options.source is None else from_source(options.source, rng)
    except (OSError, KeyError, ValueError) as error:
        print("%s: %s: %s" % (os.path.basename(sys.argv[0]), type(error).__name__, error), file=sys.stderr)
        return 1
    for name, rows in files.items():
        write_rows(options.out, name, rows)
    return 0
