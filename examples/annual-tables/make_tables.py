#!/usr/bin/env python3
"""Sums over a table of an annual report: the answer is a number and its scale, as JSON on the last line.

    make_tables.py [OUT] [--source FOLDER]

Without --source tables and questions are made up by rule. FOLDER has TAT-QA's tatqa_dataset_dev.json and
tatqa_dataset_test_gold.json (NExT++, National University of Singapore, CC BY 4.0).
"""
import json
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(HERE))

import making  # noqa: E402

LINES = ["Revenues", "Cost of sales", "Research and development", "Net income", "Deferred taxes", "Depreciation", "Marketing",
         "Interest expense", "Inventories", "Trade receivables", "Cash", "Goodwill"]
SCALES = {"thousand": "in thousands", "million": "in millions"}
LONGEST = 1400


def row_of(table, question, answer, scale, **more):
    return making.ask(
        "Table from an annual report:\n%s\n\nQuestion: %s\nWork it out step by step, then end with one JSON object on the last line: "
        '{"answer": number, "scale": "" or "thousand" or "million" or "billion" or "percent"}' % (table, question),
        answer=answer, scale=scale, **more)


def question_of(lines, years, scale, rng):
    """(question, answer, its scale, how it is worked out)"""
    name, other = rng.sample(sorted(lines), 2)
    old, new = lines[name]
    kind = rng.randrange(4)
    if kind == 0:
        return ("What is the change in %s from %d to %d?" % (name.lower(), years[0], years[1]), round(new - old, 2), scale,
                "%s - %s" % (new, old))
    if kind == 1:
        return ("By how many percent did %s change from %d to %d?" % (name.lower(), years[0], years[1]),
                round((new - old) / old * 100, 2), "percent", "(%s - %s) / %s" % (new, old, old))
    if kind == 2:
        return ("What is the average of %s in %d and %d?" % (name.lower(), years[0], years[1]), round((new + old) / 2, 3), scale,
                "(%s + %s) / 2" % (new, old))
    return ("What do %s and %s sum up to in %d?" % (name.lower(), other.lower(), years[1]), round(new + lines[other][1], 2), scale,
            "%s + %s" % (new, lines[other][1]))


def by_rule(rng):
    def make():
        scale = rng.choice(sorted(SCALES))
        years = (rng.randrange(2012, 2022),)
        years += (years[0] + 1,)
        lines = {}
        for name in rng.sample(LINES, rng.randrange(3, 6)):
            old = rng.randrange(200, 90000) / 10
            lines[name] = (old, round(old * rng.uniform(0.7, 1.5), 1))
        table = "\n".join(["(Dollars %s) | %d | %d" % ((SCALES[scale],) + years)] +
                          ["%s | $%s | $%s" % ((name,) + tuple("{:,.1f}".format(x) for x in values)) for name, values in lines.items()])
        question, answer, unit, how = question_of(lines, years, scale, rng)
        return row_of(table, question, answer, unit, derivation=how)
    rows = making.distinct(make, 500)
    return {"train.jsonl": rows[:300], "train_64.jsonl": rows[:64], "valid.jsonl": rows[300:350], "test.jsonl": rows[350:]}


def number(value):
    """What TAT-QA has as an answer: 1,234.5, $12, (3.4) for -3.4, 12%, or one of those in a list; None where it is none."""
    text = re.sub(r"[,$%\s]", "", str((value[0] if value else "") if isinstance(value, list) else value))
    if re.fullmatch(r"\(.*\)", text):
        text = "-" + text[1:-1]
    try:
        return float(text)
    except ValueError:
        return None


def from_source(folder, rng):
    def read(name):
        with open(os.path.join(folder, name), encoding="utf-8") as stream:
            documents = json.load(stream)
        rows = []
        for document in documents:
            table = "\n".join(" | ".join(cell.strip() for cell in line) for line in document["table"]["table"])
            for q in document["questions"] if len(table) <= LONGEST else ():
                value = number(q["answer"])
                if q["answer_type"] == "arithmetic" and q["answer_from"] == "table" and value is not None:
                    rows.append(row_of(table, q["question"], value, q["scale"], derivation=q["derivation"],
                                       table_uid=document["table"]["uid"]))
        return rows
    known, test = read("tatqa_dataset_dev.json"), read("tatqa_dataset_test_gold.json")
    tables = sorted({row["table_uid"] for row in known})
    rng.shuffle(tables)
    held = set(tables[:len(tables) // 3])
    train = [row for row in known if row["table_uid"] not in held]
    valid = [row for row in known if row["table_uid"] in held]
    for rows in (train, valid, test):
        rng.shuffle(rows)
    return {"train.jsonl": train, "train_64.jsonl": train[:64], "valid.jsonl": valid[:50], "test.jsonl": test[:200]}


if __name__ == "__main__":
    sys.exit(making.command(__doc__, HERE, by_rule, from_source, "the folder of TAT-QA's files"))
