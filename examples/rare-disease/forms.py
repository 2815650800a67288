"""forms.py - a patient's case becomes lines of a task, in each of the forms that the makers here write.

A case is a dict: case_id, gene, disease, disease_id, sex ("male", "female", "unknown"), age and onset
(ISO 8601 durations, words, or None), present and absent (labels of signs), and pmid when a paper tells it.

    case_report   the whole case  -> {"explanation": ..., "genes": [...]}, most likely first
    letter12      a few signs, always the same 12 genes  -> one letter
    fixed12       the same  -> the 3 most likely of 12 names
    match5        a few signs, 5 genes with their typical signs  -> one letter

Which signs are shown depends on the case's id alone. Standard library only.
"""
import collections
import hashlib
import json
import math
import os
import random
import re

CASE_REPORT_PRESENT, CASE_REPORT_ABSENT, CASE_REPORT_GENES = 25, 15, 20
LETTERS = "ABCDEFGHIJKL"
TWELVE_GENES = ["CHD8", "FBN1", "FBXL4", "IKZF1", "ITPR1", "KMT2D",
                "LMNA", "NF1", "RPGRIP1", "SPINK5", "TBX5", "UMOD"]
TWELVE_PRESENT, LETTER12_ABSENT, FIXED12_ABSENT = 6, 1, 2
MATCH5_GENES, MATCH5_TYPICAL, MATCH5_PRESENT, MATCH5_LONGEST = 5, 2, 5, 42


# ------------------------------------------------------------------------- words

def duration(iso):
    """The first part of an ISO 8601 duration that is not zero, as (number, unit); None without one."""
    match = re.match(r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?", iso or "")
    for number, unit in zip(match.groups() if match else (), ("year", "month", "week", "day")):
        if number and int(number):
            return int(number), unit
    return None


def person(case):
    """ "A 3-year-old girl." """
    age, sex = duration(case["age"]), case["sex"]
    if sex == "unknown":
        noun = "patient"
    elif age is None:
        noun = sex + " patient"
    else:
        grown = age[1] == "year" and age[0] >= 18
        noun = {"male": "man" if grown else "boy", "female": "woman" if grown else "girl"}[sex]
    words = "%d-%s-old %s" % (age + (noun,)) if age else noun
    return ("An " if re.match(r"(8|11-|18-|[aeiou])", words) else "A ") + words + "."


def onset(case):
    """ "Disease onset: at 1 year of age." """
    when = case["onset"]
    if not when:
        return "Disease onset was not specified."
    if not when.startswith("P"):
        return "Disease onset: %s." % when.lower().replace(" onset", "")
    age = duration(when)
    if age is None:
        return "Disease onset: at birth."
    return "Disease onset: at %d %s%s of age." % (age + ("" if age[0] == 1 else "s",))


def pick(items, most, key):
    """At most so many of the items, in their order; which ones depends on the key alone."""
    if len(items) <= most:
        return list(items)
    rng = random.Random(hashlib.sha256(key.encode()).hexdigest())
    return [items[i] for i in sorted(rng.sample(range(len(items)), most))]


# ------------------------------------------------------------------------- forms

def row(case, prompt, **reference):
    line = {"messages": [{"role": "user", "content": prompt}], **reference}
    if "pmid" in case:
        line["pmid"] = case["pmid"]
    line["case_id"] = case["case_id"]
    return line


def case_report(case, stratum):
    present = pick(case["present"], CASE_REPORT_PRESENT, case["case_id"])
    absent = pick(case["absent"], CASE_REPORT_ABSENT, case["case_id"])
    prompt = ("Case report: %s %s\nSymptoms: %s.\nAbsent symptoms: %s.\n\n"
              "Based on the symptoms that are present and absent, list the genes that may be "
              "responsible for this patient's rare disease, from most likely to least likely "
              "(at most %d, HGNC symbols), and explain why.\n"
              "Answer with one JSON object and nothing else: "
              '{"explanation": "...", "genes": ["GENE1", "GENE2", ...]}'
              % (person(case), onset(case), "; ".join(present),
                 "; ".join(absent) or "none recorded", CASE_REPORT_GENES))
    line = row(case, prompt, gene=case["gene"], disease=case["disease"], disease_id=case["disease_id"])
    line["stratum"] = stratum
    return line


def few_signs(case, most_absent):
    text = "Symptoms: %s.\n" % ", ".join(pick(case["present"], TWELVE_PRESENT, case["case_id"]))
    absent = pick(case["absent"], most_absent, case["case_id"])
    return text + ("Absent: %s.\n" % ", ".join(absent) if absent else "")


def letter12(case):
    options = "\n".join("%s. %s" % pair for pair in zip(LETTERS, TWELVE_GENES))
    prompt = "%sWhich gene is it?\n%s\nAnswer with one letter." % (
        few_signs(case, LETTER12_ABSENT), options)
    return row(case, prompt, answer=LETTERS[TWELVE_GENES.index(case["gene"])], gene=case["gene"],
               candidates=TWELVE_GENES)


def fixed12(case):
    prompt = "%sGenes: %s.\nName the 3 most likely genes, best first." % (
        few_signs(case, FIXED12_ABSENT), ", ".join(TWELVE_GENES))
    return row(case, prompt, gene=case["gene"], candidates=TWELVE_GENES)


def match5(cases, rng, limit, per_gene):
    """Rows whose candidates come with their typical signs; the right gene's are those of its other cases,
    and at least one of them is among the signs shown. Only genes with three cases or more take part."""
    by_gene = collections.defaultdict(list)
    for case in cases:
        by_gene[case["gene"]].append(case)
    genes = sorted(gene for gene, own in by_gene.items() if len(own) >= 3)
    n_genes_with = collections.Counter()
    for own in by_gene.values():
        n_genes_with.update({sign for case in own for sign in case["present"]})

    def typical(gene, without=None):
        others = [case for case in by_gene[gene] if case is not without]
        share = collections.Counter(sign for case in others for sign in case["present"])
        score = {sign: n / len(others) * math.log(1 + len(by_gene) / n_genes_with[sign])
                 for sign, n in share.items() if len(sign) <= MATCH5_LONGEST}
        return sorted(score, key=lambda sign: (-score[sign], sign))[:MATCH5_TYPICAL]

    if len(genes) < MATCH5_GENES:
        return []
    general = {gene: typical(gene) for gene in genes}
    rows = []
    for case in spread([case for gene in genes for case in by_gene[gene]], rng, per_gene):
        own = typical(case["gene"], without=case)
        matching = [sign for sign in case["present"] if sign in own]
        if not matching or len(own) < MATCH5_TYPICAL:
            continue
        candidates = rng.sample([g for g in genes if g != case["gene"]], MATCH5_GENES - 1)
        candidates.append(case["gene"])
        rng.shuffle(candidates)
        rest = [s for s in case["present"] if s not in matching and len(s) <= MATCH5_LONGEST]
        rng.shuffle(rest)
        shown = matching + rest[:MATCH5_PRESENT - len(matching)]
        rng.shuffle(shown)
        options = "\n".join(
            "%s. %s: %s" % (letter, gene, ", ".join(own if gene == case["gene"] else general[gene]))
            for letter, gene in zip(LETTERS, candidates))
        prompt = ("Symptoms: %s.\nWhich gene has the typical signs that fit best?\n%s\n"
                  "Answer with one letter." % (", ".join(shown), options))
        rows.append(row(case, prompt, answer=LETTERS[candidates.index(case["gene"])],
                        gene=case["gene"], candidates=candidates))
        if len(rows) == limit:
            break
    return rows


# -------------------------------------------------------------- choosing, writing

def spread(cases, rng, per_gene, per_paper=None, limit=None):
    """Cases of all genes in turn, so that no large cohort decides what is learned or measured: at most
    per_gene of a gene and per_paper of a paper, limit in all."""
    by_gene = collections.defaultdict(list)
    for case in cases:
        by_gene[case["gene"]].append(case)
    for gene, own in by_gene.items():
        rng.shuffle(own)
        n_of_paper, kept = collections.Counter(), []
        for case in own:
            paper = case.get("pmid")
            if len(kept) < per_gene and (per_paper is None or n_of_paper[paper] < per_paper):
                n_of_paper[paper] += 1
                kept.append(case)
        by_gene[gene] = kept
    genes = sorted(by_gene)
    rng.shuffle(genes)
    in_turn = [by_gene[gene][turn] for turn in range(per_gene) for gene in genes
               if turn < len(by_gene[gene])]
    return in_turn[:limit]


def names_its_gene(case):
    """Does a sign give the answer away, as in "Abnormal LMNA level"?"""
    symbol = re.compile(r"(?<![A-Za-z0-9])%s(?![A-Za-z0-9])" % re.escape(case["gene"]), re.IGNORECASE)
    return any(symbol.search(sign) for sign in case["present"] + case["absent"])


def python_grader(name):
    """The grader whose source is graders/NAME.py, in the form that a job takes."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "graders", name + ".py")
    with open(path, encoding="utf-8") as stream:
        return {"type": "python", "name": name, "source": stream.read()}


def genes_and_form():
    """Nine tenths for the rank of the right gene, one tenth for an answer in the form asked for."""
    return {"type": "multi", "name": "genes_and_form", "calculate_output": "0.9 * genes + 0.1 * form",
            "graders": {"genes": python_grader("genes"), "form": python_grader("form")}}


def write_json(folder, name, value):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as stream:
        json.dump(value, stream, ensure_ascii=False, indent=2)
        stream.write("\n")


def write_rows(folder, name, rows):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "w", encoding="utf-8", newline="\n") as stream:
        for line in rows:
            stream.write(json.dumps(line, ensure_ascii=False) + "\n")
    print("%6d  %s" % (len(rows), name))


def write_case_graders(folder):
    """The graders of every form above: grader.json for the case reports, the others named by their form."""
    write_json(folder, "grader.json", python_grader("genes"))
    write_json(folder, "grader_multi.json", genes_and_form())
    write_json(folder, "grader-letter.json", python_grader("letter"))
    write_json(folder, "grader-names.json", python_grader("names"))
