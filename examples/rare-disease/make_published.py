#!/usr/bin/env python3
"""make_published.py - makes the gene tasks of published cases, from phenopackets that you have.

    make_published.py SOURCE [OUT] [--seed N]

SOURCE is a checkout of phenopacket-store, one of its release archives (.zip), or any folder or .zip of
GA4GH phenopackets (version 2, JSON); what is no phenopacket in it is passed over. A case needs one
causative gene and three signs; equal cases are kept once.

OUT (published/ beside this file) receives the same files as make_patients.py writes, case reports and
minis, and corpus.jsonl.gz: every case, compact, with the split that it is in.

How the cases are split:
- a paper is in one split whole, and papers that share patients go together: those named by one case id,
  and those with the same six or more signs of the same gene;
- a gene's largest paper stays in training, its others go to test, valid or training;
- some genes with 3 to 40 cases, whose papers tell of no other gene, are kept out of training altogether;
- in the sets that are written genes take turns, so that no large cohort decides a figure.
The result is checked before anything is written: no paper and no case id crosses splits, no novel gene is
in training, no prompt names its gene. What is written depends on the cases and the seed alone. Standard
library only.
"""
import argparse
import collections
import gzip
import json
import os
import random
import re
import sys
import zipfile

import forms
import hpo
from hpo import Refused

FEWEST_PRESENT = 3
SAME_SIGNS = 6  # so many equal signs in two papers on a gene are taken for the same patient
NOVEL_CASES = (3, 40)
MOST_NOVEL, NOVEL_SHARE = 75, 0.25  # genes kept out of training: so many, or this share of the eligible
TEST_SHARE, VALID_SHARE = 0.48, 0.18  # of the papers that need not stay in training
TWELVE_SHARES = {"train": 0.625, "test": 0.25, "valid": 0.125}
LARGEST_FILE = 16 << 20
SPLITS = ("train", "valid", "test", "valid_novel", "test_novel")


# ------------------------------------------------------------------------ reading

def json_files(source):
    """Yields (name, bytes) of every .json file of a folder or an archive, in the order of the names."""
    if os.path.isdir(source):
        for folder, subfolders, files in os.walk(source):
            subfolders.sort()
            for file in sorted(files):
                path = os.path.join(folder, file)
                if file.endswith(".json") and os.path.getsize(path) <= LARGEST_FILE:
                    with open(path, "rb") as stream:
                        yield path, stream.read()
    elif zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            for member in sorted(archive.infolist(), key=lambda m: m.filename):
                if member.filename.endswith(".json") and member.file_size <= LARGEST_FILE:
                    yield member.filename, archive.read(member)
    else:
        raise Refused("%s is neither a folder nor a .zip archive" % source)


def phenopacket(data):
    """The packet in a file's bytes, or None if they hold something else."""
    try:
        packet = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if isinstance(packet, dict) and isinstance(packet.get("id"), str) and \
            isinstance(packet.get("phenotypicFeatures"), list) and isinstance(packet.get("metaData"), dict):
        return packet
    return None


def time_of(element):
    """A phenopacket's TimeElement as an ISO 8601 duration or words."""
    element = element or {}
    if "age" in element:
        return element["age"].get("iso8601duration")
    if "ontologyClass" in element:
        return element["ontologyClass"].get("label")
    if "gestationalAge" in element:
        return "gestation %s weeks" % element["gestationalAge"].get("weeks")
    return None


def causative_genes(packet):
    genes = set()
    for interpretation in packet.get("interpretations", []):
        for of_variant in interpretation.get("diagnosis", {}).get("genomicInterpretations", []):
            if of_variant.get("interpretationStatus") == "CAUSATIVE":
                descriptor = of_variant.get("variantInterpretation", {}).get("variationDescriptor", {})
                genes.add(descriptor.get("geneContext", {}).get("symbol"))
    return genes - {None, ""}


def paper_of(packet):
    references = packet["metaData"].get("externalReferences") or [{}]
    return references[0].get("id", "").split(":")[-1]


def ontology_release(packet):
    return max((r.get("version", "") for r in packet["metaData"].get("resources", [])
                if r.get("id") == "hp"), default="")


def case_of(packet):
    """A case with ids of signs; its labels come when all are read. None if it lacks what a case needs."""
    genes = causative_genes(packet)
    present, absent = {}, {}
    for feature in packet["phenotypicFeatures"]:
        term = feature["type"]
        (absent if feature.get("excluded") else present)[term["id"]] = term["label"]
    if len(genes) != 1 or len(present) < FEWEST_PRESENT:
        return None, "no single causative gene" if len(genes) != 1 else "fewer than 3 present signs"
    disease = (packet.get("diseases") or [{}])[0]
    subject = packet.get("subject", {})
    return {"case_id": packet["id"], "pmid": paper_of(packet),
            "sex": {"MALE": "male", "FEMALE": "female"}.get(subject.get("sex"), "unknown"),
            "age": time_of(subject.get("timeAtLastEncounter")), "onset": time_of(disease.get("onset")),
            "gene": genes.pop(), "disease": disease.get("term", {}).get("label", "").strip(),
            "disease_id": disease.get("term", {}).get("id"),
            "hpo_present": list(present), "hpo_absent": [t for t in absent if t not in present]}, None


def read_cases(source):
    """(cases, counts of what was read and left out, first and last HPO release). Every sign gets its label
    in the newest release that names it."""
    counts, cases, releases = collections.Counter(), [], set()
    label = {}  # term id -> (release, label)
    for name, data in json_files(source):
        packet = phenopacket(data)
        if packet is None:
            counts["files that are no phenopacket"] += 1
            continue
        counts["phenopackets"] += 1
        try:
            case, why_not = case_of(packet)
            release = ontology_release(packet)
            for feature in packet["phenotypicFeatures"]:
                term = feature["type"]
                label[term["id"]] = max(label.get(term["id"], ("", "")), (release, term["label"]))
        except (AttributeError, KeyError, TypeError, IndexError) as error:
            raise Refused("%s is not in the form of a phenopacket: %s: %s"
                          % (name, type(error).__name__, error)) from error
        releases |= {release} - {""}
        if case:
            cases.append(case)
        else:
            counts["left out: " + why_not] += 1
    cases.sort(key=lambda c: (c["gene"], c["pmid"], c["case_id"]))
    kept, seen, ids = [], set(), set()
    for case in cases:
        same = (case["gene"], frozenset(case["hpo_present"]), frozenset(case["hpo_absent"]))
        case["present"] = [label[t][1] for t in case["hpo_present"]]
        case["absent"] = [label[t][1] for t in case["hpo_absent"]]
        if same in seen or case["case_id"] in ids:
            counts["left out: equal to another case"] += 1
        elif forms.names_its_gene(case):
            counts["left out: a sign names the gene"] += 1
        else:
            seen.add(same)
            ids.add(case["case_id"])
            kept.append(case)
    return kept, counts, (min(releases, default="unknown"), max(releases, default="unknown"))


# ---------------------------------------------------------------------- splitting

def paper(case):
    """The paper's number, or a stand-in of its own for a case without one."""
    return case["pmid"] or "case " + case["case_id"]


def group_papers(cases):
    """{paper: group}: papers that share patients have one group, named by one of them."""
    above = {paper(case): paper(case) for case in cases}

    def group(of):
        while above[of] != of:
            above[of] = above[above[of]]
            of = above[of]
        return of

    with_signs = {}
    for case in cases:
        own = paper(case)
        for other in re.findall(r"PMID[_: ]?(\d{6,9})", case["case_id"]):
            if other in above:
                above[group(other)] = group(own)
        if len(case["hpo_present"]) >= SAME_SIGNS:
            first = with_signs.setdefault((case["gene"], frozenset(case["hpo_present"])), own)
            above[group(own)] = group(first)
    return {of: group(of) for of in above}


def split(cases, rng):
    """{case id: split}"""
    group_of = group_papers(cases)
    size = collections.defaultdict(collections.Counter)  # gene -> group -> cases
    genes_of = collections.defaultdict(set)
    for case in cases:
        group = group_of[paper(case)]
        size[case["gene"]][group] += 1
        genes_of[group].add(case["gene"])

    eligible = sorted(gene for gene, groups in size.items()
                      if gene not in forms.TWELVE_GENES and all(len(genes_of[g]) == 1 for g in groups)
                      and NOVEL_CASES[0] <= sum(groups.values()) <= NOVEL_CASES[1])
    novel = rng.sample(eligible, min(MOST_NOVEL, int(len(eligible) * NOVEL_SHARE)))
    novel_valid = set(novel[:len(novel) // 3])

    where = {}
    for gene in sorted(size):
        groups = sorted(size[gene], key=lambda g: (-size[gene][g], g))
        if gene in novel:
            where.update(dict.fromkeys(groups, "valid_novel" if gene in novel_valid else "test_novel"))
            continue
        where.update(dict.fromkeys(groups, "train"))
        free = [g for g in groups[1:] if len(genes_of[g]) == 1]
        if gene in forms.TWELVE_GENES:
            rng.shuffle(free)
            total = sum(size[gene].values())
            have = collections.Counter(train=total - sum(size[gene][g] for g in free))
            for g in free:  # each paper to the split that lacks most
                where[g] = max(TWELVE_SHARES, key=lambda part: TWELVE_SHARES[part] * total - have[part])
                have[where[g]] += size[gene][g]
        else:
            for g in free:
                at = rng.random()
                where[g] = "test" if at < TEST_SHARE else \
                    "valid" if at < TEST_SHARE + VALID_SHARE else "train"
    return {case["case_id"]: where[group_of[paper(case)]] for case in cases}


def check(parts):
    """Refuses a split that would let a test be answered from memory."""
    for what, of in (("the paper", paper), ("the case", lambda case: case["case_id"])):
        split_of = {}
        for name, cases in parts.items():
            for case in cases:
                if split_of.setdefault(of(case), name) != name:
                    raise Refused("%s %s is in %s and in %s"
                                  % (what, of(case), split_of[of(case)], name))
    train = {case["gene"] for case in parts["train"]}
    for name in ("valid_novel", "test_novel"):
        for case in parts[name]:
            if case["gene"] in train:
                raise Refused("%s is in %s and in training" % (case["gene"], name))


# ------------------------------------------------------------------------- tasks

def make(cases, seed):
    """({file name: rows}, {split: cases})"""
    rng = random.Random("%d published" % seed)
    where = split(cases, rng)
    parts = {name: [case for case in cases if where[case["case_id"]] == name] for name in SPLITS}
    check(parts)

    def reports(split_name, stratum, per_gene, per_paper, limit):
        chosen = forms.spread(parts[split_name], rng, per_gene, per_paper, limit)
        return [forms.case_report(case, stratum) for case in chosen]

    files = {"train_1000": reports("train", "train", 10, 10, 1000),
             "valid_100": reports("valid", "seen_gene", 3, 2, 100),
             "test_300": reports("test", "seen_gene", 4, 3, 300),
             "valid_novel_100": reports("valid_novel", "novel_gene", 5, 5, 100),
             "test_novel_200": reports("test_novel", "novel_gene", 5, 5, 200)}
    files["train_64"] = files["train_1000"][:64]

    def of_twelve(split_name, per_gene, per_paper):
        own = [case for case in parts[split_name] if case["gene"] in forms.TWELVE_GENES]
        return forms.spread(own, rng, per_gene, per_paper)

    twelve = {"train": of_twelve("train", 50, 25), "valid": of_twelve("valid", 12, 4),
              "test": of_twelve("test", 25, 6)}
    twelve["train_64"] = twelve["train"][:64]
    for name in ("train", "train_64"):  # gene by gene would be a pattern to learn
        twelve[name] = rng.sample(twelve[name], len(twelve[name]))
    for name, chosen in twelve.items():
        files["mini-letter12-" + name] = [forms.letter12(case) for case in chosen]
        files["mini-fixed12-" + name] = [forms.fixed12(case) for case in chosen]

    files["mini-match5-train"] = forms.match5(parts["train"], rng, 600, 4)
    files["mini-match5-valid"] = forms.match5(parts["valid_novel"], rng, 100, 8)
    files["mini-match5-test"] = forms.match5(parts["test_novel"], rng, 200, 8)
    return {name + ".jsonl": rows for name, rows in files.items()}, parts


def write_corpus(folder, parts):
    keys = ("case_id", "pmid", "sex", "age", "onset", "present", "absent", "gene", "disease", "disease_id",
            "hpo_present", "hpo_absent")
    lines = [dict({key: case[key] for key in keys}, split=name)
             for name, cases in parts.items() for case in cases]
    lines.sort(key=lambda line: line["case_id"])
    path = os.path.join(folder, "corpus.jsonl.gz")
    with open(path, "wb") as out, gzip.GzipFile("", "wb", fileobj=out, mtime=0) as stream:
        for line in lines:
            stream.write((json.dumps(line, ensure_ascii=False) + "\n").encode())
    print("%6d  corpus.jsonl.gz" % len(lines))


def main(arguments):
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("out", nargs="?", default=os.path.join(here, "published"))
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    try:
        cases, counts, releases = read_cases(options.source)
        if not cases:
            raise Refused("%s holds no phenopacket that a case can be made of (%s)" % (
                options.source, ", ".join("%d %s" % (n, what) for what, n in counts.items()) or "no .json"))
        files, parts = make(cases, options.seed)
        for what, n in counts.items():
            print("%6d  %s" % (n, what))
        for name, own in parts.items():
            print("%6d  cases in %s: %d genes, %d papers"
                  % (len(own), name, len({c["gene"] for c in own}), len({paper(c) for c in own})))
        for name in sorted(files):
            forms.write_rows(options.out, name, files[name])
        write_corpus(options.out, parts)
        forms.write_case_graders(options.out)
    except (Refused, OSError, zipfile.BadZipFile) as error:
        print("make_published: %s" % error, file=sys.stderr)
        return 1
    print(hpo.ATTRIBUTION % (releases[0] if releases[0] == releases[1] else "%s to %s" % releases))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
