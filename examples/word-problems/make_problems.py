#!/usr/bin/env python3
"""Sums in words: think step by step, end with "Answer: NUMBER".

    make_problems.py [OUT] [--source FOLDER]

Without --source problems of one to three steps are made up by rule. FOLDER has GSM8K's train.jsonl and test.jsonl (OpenAI, MIT).
"""
import json
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(HERE))

import making  # noqa: E402

NAMES = ["Amara", "Bo", "Carla", "Dev", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas"]
THINGS = ["apples", "stickers", "books", "coins", "tickets", "eggs", "marbles", "stamps"]


def row_of(question, answer, steps):
    return making.ask(question + "\n\nThink step by step, then end with a line 'Answer: NUMBER'.", answer=str(answer), steps=steps)


def problem(rng):
    """A start, then one to three things that happen to it; never below zero, and whole numbers alone."""
    name, thing = rng.choice(NAMES), rng.choice(THINGS)
    have = rng.randrange(4, 40)
    said, steps = ["%s has %d %s." % (name, have, thing)], rng.randrange(1, 4)
    for _ in range(steps):
        n = rng.randrange(2, 12)
        kind = rng.randrange(4)
        if kind == 0:
            have += n
            said.append(rng.choice(["A friend gives %s %d more.", "%s finds another %d.", "%s buys %d more."]) % (name, n))
        elif kind == 1 and have > n:
            have -= n
            said.append(rng.choice(["%s loses %d of them.", "%s gives away %d.", "%s sells %d."]) % (name, n))
        elif kind == 2:
            have *= 2
            said.append("Then %s doubles what there is." % name)
        else:
            have += n * 3
            said.append("Three boxes of %d %s each are delivered to %s." % (n, thing, name))
    return row_of(" ".join(said) + " How many %s does %s have now?" % (thing, name), have, steps)


def by_rule(rng):
    rows = making.distinct(lambda: problem(rng), 650)
    return {"train.jsonl": rows[:400], "train_64.jsonl": rows[:64], "valid.jsonl": rows[400:450], "test.jsonl": rows[450:]}


def from_source(folder, rng):
    def read(name):
        rows = []
        with open(os.path.join(folder, name), encoding="utf-8") as stream:
            for line in stream:
                problem_ = json.loads(line)
                solution, answer = problem_["answer"].split("####")
                rows.append(row_of(problem_["question"].strip(), answer.strip().replace(",", ""), len(re.findall("<<", solution))))
        rng.shuffle(rows)
        return rows
    train, test = read("train.jsonl"), read("test.jsonl")
    n_valid = min(50, len(train) // 4)
    train, valid = train[n_valid:], train[:n_valid]
    return {"train.jsonl": train[:1000], "train_64.jsonl": train[:64], "valid.jsonl": valid, "test.jsonl": test[:200]}


if __name__ == "__main__":
    sys.exit(making.command(__doc__, HERE, by_rule, from_source, "the folder of GSM8K's files"))
