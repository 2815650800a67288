#!/usr/bin/env python3
"""Clauses of contracts: must a party carry insurance (yes or no)? Which of ten types is it (a letter)?

    make_clauses.py [OUT] [--source FILE]

Without --source clauses are put together by rule, from sentences of our own, those of the test from other sentences than
those of training. FILE is CUAD v1's master_clauses.csv, or the CUAD_v1.zip that holds it (The Atticus Project, CC BY 4.0);
a contract is then in one split only.
"""
import ast
import collections
import csv
import io
import os
import re
import sys
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(HERE))

import making  # noqa: E402

csv.field_size_limit(1 << 30)

# Sentences of our own by CUAD's names of types; the last two of each are kept for validation and test.
SAID = {
    "Anti-Assignment": ["{A} shall not assign this Agreement without the prior written consent of {B}.",
                        "Neither party may transfer its rights hereunder to anyone else unless the other agrees in writing.",
                        "Any assignment by {B} that {A} has not approved is void.", "This Agreement may not be assigned by {A}, by operation of law or otherwise.",
                        "{B} has no right to make a third party its successor to this Agreement.", "No delegation or transfer of duties by {A} is valid without leave of {B}."],
    "Audit Rights": ["{A} may inspect the books of {B} once a year upon {n} days' notice.", "{B} shall keep records and let an auditor of {A} examine them.",
                     "Upon {n} days' notice, {A} has access to all accounts that concern royalties.", "{B} keeps its records for {n} years and opens them to inspection.",
                     "An independent accountant chosen by {A} may review what {B} reported.", "{A} can verify the figures by looking into the ledgers of {B}."],
    "Cap On Liability": ["The liability of {A} is limited to {sum}.", "In no event shall either party owe more than the fees paid in the preceding {n} months.",
                         "{B}'s total liability under this Agreement shall not exceed {sum}.", "Damages recoverable from {A} are capped at {sum}.",
                         "The most that {B} can be made to pay, for whatever reason, is {sum}.", "Aggregate claims against {A} may not be greater than {sum}."],
    "Exclusivity": ["{B} shall buy such goods from {A} alone.", "{A} is the exclusive distributor in the Territory.",
                    "During the Term {B} will not sell the products of any competitor of {A}.", "{A} grants no one else the right to market the Products in {place}.",
                    "In {place} the Products are offered by {B} and nobody else.", "{A} promises to supply no other reseller for {n} years."],
    "Governing Law": ["This Agreement is governed by the laws of {place}.", "The laws of {place} apply, without regard to conflicts of law.",
                      "This Agreement shall be construed under the law of {place}.", "All matters hereunder are decided by the laws in force in {place}.",
                      "Interpretation follows the statutes of {place}.", "Disputes are judged as the law of {place} provides."],
    "Insurance": ["{A} shall maintain insurance of at least {sum} for each occurrence.", "{B} must carry commercial general liability coverage with limits of {sum}.",
                  "At its own expense {A} keeps a policy against fire and theft in force.", "{B} shall name {A} as additional insured on its policies.",
                  "Certificates proving coverage of {sum} are to be given to {A} within {n} days.", "{B} procures a product liability policy from a carrier rated A or better."],
    "License Grant": ["{A} grants {B} a non-exclusive license to use the Marks.", "Subject to payment, {B} receives the right to copy and distribute the Software.",
                      "{A} hereby licenses its patents to {B} for use in {place}.", "{B} may use the Technology, royalty-free, for {n} years.",
                      "Permission to reproduce the Content is given to {B} by {A}.", "{A} allows {B} to display its logo in {place}."],
    "Minimum Commitment": ["{B} shall order at least {n} units each quarter.", "{B} guarantees purchases of no less than {sum} a year.",
                           "The annual minimum is {sum}; what is lacking is paid at the end of the year.", "{B} undertakes to take {n} thousand tons a month at least.",
                           "Should orders fall below {sum}, {B} pays the difference.", "Not fewer than {n} cases per shipment must be bought."],
    "Revenue/Profit Sharing": ["{A} pays {B} {n} percent of net sales.", "Profits from the Project are shared in equal parts.",
                               "{B} receives a royalty of {n} percent of all revenue.", "Of every subscription sold, {n} percent go to {A}.",
                               "Income from advertising is split between {A} and {B}.", "{B} is entitled to a part of the margin, namely {n} percent."],
    "Termination For Convenience": ["{A} may terminate this Agreement at any time upon {n} days' notice.", "Either party may end this Agreement without cause.",
                                    "{B} can cancel for any reason or none by writing {n} days before.", "{A} has the right to terminate for convenience.",
                                    "No ground is needed for {B} to leave this Agreement after {n} days.", "Whenever it likes, {A} may withdraw by notice of {n} days."],
}
TYPES = sorted(SAID)
SLOTS = {"A": ["Company", "Licensor", "Supplier", "Manufacturer", "Owner"], "B": ["Distributor", "Licensee", "Customer", "Contractor", "Reseller"],
         "n": ["5", "10", "15", "20", "30", "45", "60", "90"], "sum": ["$250,000", "$500,000", "$1,000,000", "$2,000,000", "$5,000,000"],
         "place": ["New York", "Delaware", "Ontario", "Bavaria", "Texas", "England"]}
BEGINNINGS = ["", "", "Except as agreed otherwise, ", "During the Term, ", "For the avoidance of doubt: ", "As of the Effective Date, "]


def kind(text, label, **more):
    return making.choose('Contract clause: "%s"' % text, "Which type of clause is it?", TYPES, label, **more)


def insurance(text, labels, **more):
    return making.ask('Contract clause: "%s"\n\nDoes this clause require a party to carry insurance? Answer yes or no.' % text,
                      answer="yes" if "Insurance" in labels else "no", **more)


def files_of(pools, rng, sizes):
    """pools: part -> [(text, labels, more)]"""
    files = {}
    for part, n_types, n_yes in sizes:
        yes_no = making.balanced([insurance(t, l, **m) for t, l, m in pools[part]], "answer", n_yes, rng)
        # half and half: of the rarer answer there may be fewer than asked for
        least = min(sum(row["answer"] == a for row in yes_no) for a in ("yes", "no"))
        yes_no = making.balanced(yes_no, "answer", 2 * least, rng)
        types = making.balanced([kind(t, next(iter(l)), **m) for t, l, m in pools[part] if len(l) == 1 and next(iter(l)) in TYPES],
                                "answer", n_types, rng)
        files[part + ".jsonl"], files["types-" + part + ".jsonl"] = yes_no, types
    files["train_64.jsonl"] = making.balanced(files["train.jsonl"], "answer", 64, rng)
    return files


def by_rule(rng):
    def clause(label, sentences):
        text = rng.choice(BEGINNINGS) + rng.choice(sentences).format(**{slot: rng.choice(words) for slot, words in SLOTS.items()})
        return making.ask(text[0].upper() + text[1:], label=label)

    def some(n, part):
        return [(row["messages"][0]["content"], {label}, {}) for label in TYPES
                for row in making.distinct(lambda: clause(label, part(SAID[label])), 4 * n if label == "Insurance" else n)]
    held = some(20, lambda said: said[4:])
    rng.shuffle(held)
    pools = {"train": some(40, lambda said: said[:4]), "valid": held[:90], "test": held[90:]}
    return files_of(pools, rng, (("train", 400, 300), ("valid", 50, 50), ("test", 120, 150)))


def open_table(path):
    if not zipfile.is_zipfile(path):
        return open(path, encoding="utf-8", newline="")
    with zipfile.ZipFile(path) as archive:
        name = next((n for n in archive.namelist() if os.path.basename(n) == "master_clauses.csv"), None)
        if name is None:
            raise ValueError("%s holds no master_clauses.csv" % path)
        return io.StringIO(archive.read(name).decode("utf-8"), newline="")


def from_source(path, rng):
    skip = {"Filename", "Document Name", "Parties", "Agreement Date", "Effective Date"}
    labels, where = collections.defaultdict(set), {}
    with open_table(path) as stream:
        for line in csv.DictReader(stream):
            for column, cell in line.items():
                if column in skip or not isinstance(cell, str) or column.endswith("Answer") or not cell.startswith("["):
                    continue
                for text in ast.literal_eval(cell):
                    text = re.sub(r"\s+", " ", text).strip()
                    labels[text].add(column)
                    where.setdefault(text, line["Filename"])
    if not labels:
        raise ValueError("%s has no clauses as CUAD's master_clauses.csv has them" % path)
    names = sorted(set(where.values()))
    rng.shuffle(names)
    part = {name: "train" if i < 0.6 * len(names) else "valid" if i < 0.7 * len(names) else "test" for i, name in enumerate(names)}
    pools, seen = {"train": [], "valid": [], "test": []}, set()
    for text in sorted(labels):
        short = re.sub(r"\W+", " ", text.lower())[:80]
        if 60 <= len(text) <= 420 and short not in seen:
            seen.add(short)
            pools[part[where[text]]].append((text, labels[text], {"contract": where[text]}))
    return files_of(pools, rng, (("train", 600, 300), ("valid", 50, 50), ("test", 200, 200)))


if __name__ == "__main__":
    sys.exit(making.command(__doc__, HERE, by_rule, from_source, "CUAD's master_clauses.csv, or CUAD_v1.zip"))
