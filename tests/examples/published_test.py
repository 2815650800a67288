"""examples/rare-disease/make_published.py: reading, splitting and the forms, on phenopackets made here."""
import gzip
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import unittest
import zipfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EXAMPLE = os.path.join(ROOT, "examples", "rare-disease")
sys.path.insert(0, EXAMPLE)

import forms  # noqa: E402
import make_published  # noqa: E402


def packet(case_id, gene, pmid, present, absent=(), sex="MALE", age="P3Y", onset=None, release="2024-04-26",
           status="CAUSATIVE"):
    """A phenopacket; present and absent are labels, whose ids are made of them."""
    def feature(label, **more):
        number = int(hashlib.sha256(label.lower().encode()).hexdigest(), 16) % 10 ** 7
        return {"type": {"id": "HP:%07d" % number, "label": label}, **more}

    return {
        "id": case_id, "subject": {"id": case_id, "sex": sex, "timeAtLastEncounter":
                                   {"age": {"iso8601duration": age}} if age else None},
        "phenotypicFeatures": [feature(label) for label in present] +
                              [feature(label, excluded=True) for label in absent],
        "interpretations": [{"diagnosis": {"genomicInterpretations": [{
            "interpretationStatus": status, "variantInterpretation": {"variationDescriptor": {
                "geneContext": {"symbol": gene}}}}]}}],
        "diseases": [{"term": {"id": "OMIM:1", "label": " Some syndrome"},
                      **({"onset": onset} if onset else {})}],
        "metaData": {"externalReferences": [{"id": "PMID:" + pmid}] if pmid else [],
                     "resources": [{"id": "hp", "version": release}]}}


def write(folder, packets):
    for number, content in enumerate(packets):
        path = os.path.join(folder, "notebooks", "COHORT", "phenopackets", "%04d.json" % number)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as stream:
            json.dump(content, stream)


def collection(n_genes=80, seed=5):
    """Packets of the twelve genes and of others: papers of several sizes, signs that fit the gene."""
    rng = random.Random(seed)
    packets, pmid = [], 1000000
    for kind, gene in enumerate(forms.TWELVE_GENES + ["GENE%d" % i for i in range(n_genes)]):
        typical = ["Sign %d of kind %d" % (i, kind) for i in range(8)]
        for size in rng.sample([5, 4, 3, 3, 2, 2, 1], 6 if gene in forms.TWELVE_GENES else 3):
            pmid += 1
            for patient in range(size):
                noise = "Common sign %d" % rng.randrange(30)
                absent = ["Absent sign %d" % i for i in rng.sample(range(40), rng.randrange(4))]
                packets.append(packet("PMID_%d_%d" % (pmid, patient), gene, str(pmid),
                                      rng.sample(typical, 4) + [noise], absent,
                                      sex=rng.choice(["MALE", "FEMALE", "UNKNOWN_SEX"])))
    return packets


class Reading(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = scratch.name

    def read(self, *packets):
        write(self.folder, packets)
        return make_published.read_cases(self.folder)

    def test_a_case_holds_what_the_packet_tells(self):
        cases, _, releases = self.read(packet(
            "PMID_1_A", "NF1", "123", ["Ataxia", "Gout", "Coma"], ["Seizure"], sex="FEMALE", age="P4M",
            onset={"ontologyClass": {"id": "HP:0003577", "label": "Congenital onset"}}))
        self.assertEqual(len(cases), 1)
        case = cases[0]
        self.assertEqual({key: case[key] for key in ("case_id", "gene", "pmid", "sex", "age", "onset",
                                                     "disease", "disease_id", "present", "absent")},
                         {"case_id": "PMID_1_A", "gene": "NF1", "pmid": "123", "sex": "female",
                          "age": "P4M", "onset": "Congenital onset", "disease": "Some syndrome",
                          "disease_id": "OMIM:1", "present": ["Ataxia", "Gout", "Coma"],
                          "absent": ["Seizure"]})
        self.assertEqual(releases, ("2024-04-26", "2024-04-26"))

    def test_what_makes_no_case_is_counted(self):
        signs = ["Ataxia", "Gout", "Coma"]
        two_genes = packet("C", "NF1", "3", signs)
        two_genes["interpretations"] += packet("x", "UMOD", "3", signs)["interpretations"]
        cases, counts, _ = self.read(
            packet("A", "NF1", "1", signs[:2]), packet("B", "NF1", "2", signs, status="REJECTED"),
            two_genes, packet("D", "NF1", "4", signs), packet("E", "NF1", "5", signs[::-1]),
            packet("F", "NF1", "6", signs + ["Abnormal nf1 level"]), {"not": "a phenopacket"})
        self.assertEqual([case["case_id"] for case in cases], ["D"])
        self.assertEqual(counts, {"phenopackets": 6, "left out: fewer than 3 present signs": 1,
                                  "left out: no single causative gene": 2,
                                  "left out: equal to another case": 1,
                                  "left out: a sign names the gene": 1, "files that are no phenopacket": 1})

    def test_a_sign_told_present_and_absent_is_present(self):
        cases, _, _ = self.read(packet("A", "NF1", "1", ["Ataxia", "Gout", "Coma"], ["Gout", "Tics"]))
        self.assertEqual(cases[0]["absent"], ["Tics"])

    def test_the_newest_label_of_a_sign_is_used(self):
        cases, _, releases = self.read(
            packet("A", "NF1", "1", ["ATAXIA", "Gout", "Coma"], release="2025-01-16"),
            packet("B", "NF1", "2", ["Ataxia", "Gout", "Tics"], release="2024-04-26"))
        self.assertEqual([case["present"][0] for case in cases], ["ATAXIA", "ATAXIA"])
        self.assertEqual(releases, ("2024-04-26", "2025-01-16"))

    def test_an_archive_is_read_like_its_folder(self):
        write(self.folder, collection(n_genes=2))
        archive = os.path.join(self.folder, "all.zip")
        with zipfile.ZipFile(archive, "w") as out:
            for name, data in make_published.json_files(self.folder):
                out.writestr(os.path.relpath(name, self.folder), data)
        self.assertEqual(make_published.read_cases(archive), make_published.read_cases(self.folder))

    def test_a_broken_packet_is_named(self):
        broken = packet("A", "NF1", "1", ["Ataxia", "Gout", "Coma"])
        broken["phenotypicFeatures"][1] = {"type": "HP:0001251"}
        with self.assertRaisesRegex(make_published.Refused, "0000.json is not in the form"):
            self.read(broken)

    def test_a_source_without_phenopackets_is_refused(self):
        with open(os.path.join(self.folder, "x.json"), "w") as stream:
            stream.write("{broken")
        for source, words in ((self.folder, "1 files that are no phenopacket"),
                              (os.path.join(self.folder, "absent"), "neither a folder nor a .zip"),
                              (os.path.join(self.folder, "x.json"), "neither a folder nor a .zip")):
            made = subprocess.run([sys.executable, os.path.join(EXAMPLE, "make_published.py"), source,
                                   os.path.join(self.folder, "out")], capture_output=True, text=True)
            self.assertEqual(made.returncode, 1)
            self.assertIn(words, made.stderr)
            self.assertEqual(len(made.stderr.splitlines()), 1)
        self.assertEqual(os.listdir(self.folder), ["x.json"])


class Words(unittest.TestCase):
    def test_a_person(self):
        for age, sex, text in (("P3Y", "female", "A 3-year-old girl."), ("P8Y", "male", "An 8-year-old boy."),
                               ("P11M", "male", "An 11-month-old boy."), ("P18Y", "male", "An 18-year-old man."),
                               ("P80Y", "female", "An 80-year-old woman."), ("P0D", "male", "A male patient."),
                               ("P2Y6M", "unknown", "A 2-year-old patient."), ("P0Y3M", "male",
                               "A 3-month-old boy."), ("P2W", "female", "A 2-week-old girl."),
                               (None, "female", "A female patient."), (None, "unknown", "A patient."),
                               ("Adult onset", "unknown", "A patient.")):
            self.assertEqual(forms.person({"age": age, "sex": sex}), text)

    def test_an_onset(self):
        for onset, text in ((None, "Disease onset was not specified."), ("P1Y", "Disease onset: at 1 year of age."),
                            ("P2M", "Disease onset: at 2 months of age."), ("P0D", "Disease onset: at birth."),
                            ("Young adult onset", "Disease onset: young adult."),
                            ("gestation 20 weeks", "Disease onset: gestation 20 weeks.")):
            self.assertEqual(forms.onset({"onset": onset}), text)

    def test_picking_depends_on_the_key_alone_and_keeps_the_order(self):
        items = list(range(30))
        self.assertEqual(forms.pick(items, 6, "a"), forms.pick(items, 6, "a"))
        self.assertNotEqual(forms.pick(items, 6, "a"), forms.pick(items, 6, "b"))
        self.assertEqual(forms.pick(items, 6, "a"), sorted(forms.pick(items, 6, "a")))
        self.assertEqual(forms.pick(items, 40, "a"), items)

    def test_a_gene_is_found_in_a_sign_as_a_word_only(self):
        def case(sign):
            return {"gene": "NF1", "present": [], "absent": [sign]}
        self.assertTrue(forms.names_its_gene(case("Low nf1 level")))
        self.assertFalse(forms.names_its_gene(case("Low NF12 level")))


class Grouping(unittest.TestCase):
    def group(self, *cases):
        keys = ("case_id", "pmid", "gene", "hpo_present")
        return make_published.group_papers([dict(zip(keys, case)) for case in cases])

    def test_a_case_id_that_names_another_paper_joins_them(self):
        group = self.group(("PMID_1000001_PMID_1000002_x", "1000001", "G", ["a"]),
                           ("PMID_1000002_y", "1000002", "G", ["b"]), ("PMID_1000003_z", "1000003", "G", ["c"]))
        self.assertEqual(group["1000001"], group["1000002"])
        self.assertNotEqual(group["1000001"], group["1000003"])

    def test_six_equal_signs_of_one_gene_join_papers(self):
        six = list("abcdef")
        group = self.group(("1", "p1", "G", six), ("2", "p2", "G", six[::-1]), ("3", "p3", "H", six),
                           ("4", "p4", "G", six[:5]), ("5", "p5", "G", six[:5]))
        self.assertEqual(group["p1"], group["p2"])
        self.assertEqual(len({group[p] for p in ("p1", "p3", "p4", "p5")}), 4)

    def test_a_case_without_a_paper_stands_alone(self):
        group = self.group(("1", "", "G", ["a"]), ("2", "", "G", ["b"]))
        self.assertEqual(len(set(group.values())), 2)


class Made(unittest.TestCase):
    """All files, made from a collection of synthetic phenopackets."""

    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(scratch.cleanup)
        cls.source, cls.out = (os.path.join(scratch.name, part) for part in ("source", "out"))
        write(cls.source, collection())
        cls.made = cls.make(cls.out)
        cls.rows = {}
        for name in os.listdir(cls.out):
            if name.endswith(".jsonl"):
                with open(os.path.join(cls.out, name), encoding="utf-8") as stream:
                    cls.rows[name[:-len(".jsonl")]] = [json.loads(line) for line in stream]
        with gzip.open(os.path.join(cls.out, "corpus.jsonl.gz"), "rt", encoding="utf-8") as stream:
            cls.corpus = [json.loads(line) for line in stream]

    @classmethod
    def make(cls, out, *more):
        made = subprocess.run([sys.executable, os.path.join(EXAMPLE, "make_published.py"), cls.source, out,
                               *more], capture_output=True, text=True)
        assert made.returncode == 0, made.stderr
        return made

    @staticmethod
    def sums(folder):
        digests = {}
        for name in sorted(os.listdir(folder)):
            with open(os.path.join(folder, name), "rb") as stream:
                digests[name] = hashlib.sha256(stream.read()).hexdigest()
        return digests

    def test_a_seed_gives_the_same_bytes_again_and_another_seed_others(self):
        with tempfile.TemporaryDirectory() as again, tempfile.TemporaryDirectory() as other:
            self.make(again)
            self.make(other, "--seed", "2")
            self.assertEqual(self.sums(again), self.sums(self.out))
            self.assertNotEqual(self.sums(other)["corpus.jsonl.gz"], self.sums(self.out)["corpus.jsonl.gz"])

    def test_every_split_has_cases(self):
        for name, rows in self.rows.items():
            self.assertTrue(rows, name)
        self.assertEqual({case["split"] for case in self.corpus}, set(make_published.SPLITS))

    def test_no_paper_crosses_splits(self):
        split_of = {}
        for case in self.corpus:
            self.assertEqual(split_of.setdefault(case["pmid"], case["split"]), case["split"])
        for names in (("train_1000", "valid_100", "test_300", "valid_novel_100", "test_novel_200"),
                      ("mini-letter12-train", "mini-letter12-valid", "mini-letter12-test")):
            papers = [{row["pmid"] for row in self.rows[name]} for name in names]
            self.assertEqual(len(set().union(*papers)), sum(map(len, papers)))

    def test_novel_genes_are_not_in_training(self):
        genes = {name: {case["gene"] for case in self.corpus if case["split"] == name}
                 for name in make_published.SPLITS}
        self.assertFalse(genes["train"] & (genes["valid_novel"] | genes["test_novel"]))
        self.assertFalse(genes["valid_novel"] & genes["test_novel"])
        self.assertLessEqual(genes["valid"] | genes["test"], genes["train"])
        for name, stratum in (("test_300", "seen_gene"), ("test_novel_200", "novel_gene"),
                              ("train_1000", "train")):
            self.assertEqual({row["stratum"] for row in self.rows[name]}, {stratum})

    def test_the_largest_paper_of_a_gene_stays_in_training(self):
        for gene in forms.TWELVE_GENES:
            sizes = {}
            for case in self.corpus:
                if case["gene"] == gene:
                    key = (case["split"], case["pmid"])
                    sizes[key] = sizes.get(key, 0) + 1
            largest = max(sizes.values())
            self.assertTrue(any(split == "train" and n == largest for (split, _), n in sizes.items()))

    def test_a_case_report(self):
        row = self.rows["test_novel_200"][0]
        self.assertEqual(list(row), ["messages", "gene", "disease", "disease_id", "pmid", "case_id", "stratum"])
        case = next(c for c in self.corpus if c["case_id"] == row["case_id"])
        self.assertEqual(row["messages"][0]["content"], (
            "Case report: %s Disease onset was not specified.\nSymptoms: %s.\nAbsent symptoms: %s.\n\n"
            "Based on the symptoms that are present and absent, list the genes that may be responsible for "
            "this patient's rare disease, from most likely to least likely (at most 20, HGNC symbols), and "
            "explain why.\nAnswer with one JSON object and nothing else: "
            '{"explanation": "...", "genes": ["GENE1", "GENE2", ...]}' % (
                forms.person(case), "; ".join(case["present"]),
                "; ".join(case["absent"]) or "none recorded")))

    def test_the_minis(self):
        letter, fixed = self.rows["mini-letter12-test"][0], self.rows["mini-fixed12-test"][0]
        self.assertEqual(letter["case_id"], fixed["case_id"])
        self.assertEqual(list(letter), ["messages", "answer", "gene", "candidates", "pmid", "case_id"])
        self.assertEqual(list(fixed), ["messages", "gene", "candidates", "pmid", "case_id"])
        self.assertRegex(letter["messages"][0]["content"],
                         r"\ASymptoms: .*\.\n(Absent: [^,]*\.\n)?Which gene is it\?\nA\. CHD8\nB\. FBN1\n"
                         r"(.\. \w+\n){10}Answer with one letter\.\Z")
        self.assertRegex(fixed["messages"][0]["content"],
                         r"\ASymptoms: .*\.\n(Absent: .*\.\n)?Genes: CHD8, FBN1, .*, UMOD\.\n"
                         r"Name the 3 most likely genes, best first\.\Z")
        self.assertEqual(forms.LETTERS[letter["candidates"].index(letter["gene"])], letter["answer"])

    def test_a_match_shows_a_typical_sign_of_the_right_gene(self):
        for row in self.rows["mini-match5-test"]:
            self.assertEqual(len(set(row["candidates"])), 5)
            lines = row["messages"][0]["content"].split("\n")
            shown = set(lines[0][len("Symptoms: "):-1].split(", "))
            right = lines[2 + forms.LETTERS.index(row["answer"])]
            self.assertTrue(right.startswith("%s. %s: " % (row["answer"], row["gene"])))
            self.assertTrue(shown & set(right.split(": ", 1)[1].split(", ")))

    def test_the_check_finds_what_crosses(self):
        case = {"case_id": "1", "pmid": "p", "gene": "G"}
        empty = {name: [] for name in make_published.SPLITS}
        for other, words in (({"case_id": "2"}, "the paper p is in train and in test"),
                             ({"pmid": "q"}, "the case 1 is in train and in test")):
            with self.assertRaisesRegex(make_published.Refused, words):
                make_published.check({**empty, "train": [case], "test": [{**case, **other}]})
        with self.assertRaisesRegex(make_published.Refused, "G is in test_novel and in training"):
            make_published.check({**empty, "train": [case],
                                  "test_novel": [{"case_id": "2", "pmid": "q", "gene": "G"}]})


if __name__ == "__main__":
    unittest.main()
