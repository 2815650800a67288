#!/usr/bin/env python3
"""make_meteor.py - what nltk's stemmer, WordNet reader and METEOR say, over the WordNet of Debian's wordnet-base.

Writes tests/golden/meteor/: pairs.jsonl.gz, words.txt.gz (for the pairs of similarity/words.jsonl.gz), stems.txt.gz,
synonyms.txt.gz, README.md.

    python make_meteor.py [FOLDER]        needs nltk 3.9.1 and the WordNet files, in /usr/share/wordnet unless given
"""
import gzip
import json
import os
import random
import subprocess
import sys
import tempfile
import warnings

from nltk.corpus import WordNetCorpusReader
from nltk.stem.porter import PorterStemmer
from nltk.tokenize import wordpunct_tokenize
from nltk.translate.meteor_score import meteor_score

import common as ref

OUT = ref.here("meteor")
FOLDER = sys.argv[1] if len(sys.argv) > 1 else "/usr/share/wordnet"
PAIRS, STEMS, SYNONYMS = 3000, 12000, 5000
DECIDED = 2200 # of the pairs: those with another score without stems or without synonyms

stem = PorterStemmer().stem

# Stems that are words, so that nltk finds synonyms of them; irregular forms; what splits, folds or does neither.
CHOSEN = ("car auto machine big great quick fast speedy sick ill buy purchase begin start commence end finish help aid assist wrong incorrect bad "
          "forest wood fear dread job task happen occur geese goose better good well best went go gone men man women woman feet foot worst "
          "children child mice mouse was be were is are dying die skies sky news innings proceed succeed lying lie agreed feed relational "
          "flies fly spied spy died happily happy enjoy hopping hoped falling sing controlling analogies archaeology geology usefully generally "
          "new_york a_bit U.S. 's o'clock well-known all-arounder e-mail 1 2 ten 10 X 3rd isn't don't "
          "IBM Paris paris DNA dna October İstanbul ΟΔΥΣΣΕΥΣ ὈΔΥΣΣΕΎΣ ΣΑΣ Σ naïve naïvely cafés ÉTÉS Größen ﬁnding \u212aings \u212bngström ǅing "
          "привет МИР 東京都 हिन्दी ②③ ½ x² ééing éss ies sies ing ed eed s ss y yy yying ayed ying aed").split()
PLAIN = "the a of in to and is not was with for , . ; : ! ? ( ) - -- ... \" '".split()
BLANKS = [" "] * 16 + ["  ", "\n", "\t", "\u00a0", "\u3000", ""]
ENDINGS = ["s", "es", "ed", "ing", "er", "est", "ly", "ness", "ies", "ied", "ful", "ation", "ization", "able", "al", "'s", "-like"]


def open_wordnet():
    """nltk's reader over the files as they are; lexnames, which the package lacks and no synset's names depend on, is made up."""
    scratch = tempfile.mkdtemp()
    for name in os.listdir(FOLDER):
        os.symlink(os.path.join(FOLDER, name), os.path.join(scratch, name))
    if not os.path.exists(os.path.join(scratch, "lexnames")):
        with open(os.path.join(scratch, "lexnames"), "w") as f:
            f.write("".join(f"{i:02}\tfile.{i}\t1\n" for i in range(45)))
    warnings.filterwarnings("ignore", message="The multilingual functions")
    WordNetCorpusReader.map_wn = lambda self, version="wordnet": None # a map between versions, which wants index.sense
    return WordNetCorpusReader(scratch, None)


wordnet = open_wordnet()


class Nothing:
    """A stemmer that leaves words alone, and a WordNet without any."""
    stem = staticmethod(lambda word: word)
    synsets = staticmethod(lambda word: [])


def meteor(a, b, **parts):
    """a is the answer, b the reference."""
    return meteor_score([wordpunct_tokenize(b)], wordpunct_tokenize(a), **{"wordnet": wordnet, **parts})


def synonyms(word):
    """What meteor_score takes for synonyms of a word, which are those without a blank."""
    return {lemma.name() for synset in wordnet.synsets(word) for lemma in synset.lemmas() if "_" not in lemma.name()}


def exceptions():
    """[form, base, ...] of every list of irregular forms."""
    for part in ("noun", "verb", "adj", "adv"):
        with open(os.path.join(FOLDER, part + ".exc"), encoding="utf-8") as f:
            yield from (line.split() for line in f)


def inflected(rng, word):
    ending = rng.choice(ENDINGS)
    kind = rng.random()
    if kind < 0.3 and len(word) > 2:
        return word[:-1] + ending
    if kind < 0.5:
        return word + word[-1] + ending
    return word + ending


def related(rng, word, irregular):
    """Another word that may count as the same: a synonym, a form, the word in capitals, or something else."""
    kind = rng.random()
    if kind < 0.45:
        some = sorted(synonyms(rng.choice([word.lower(), stem(word)])))
        return rng.choice(some) if some else inflected(rng, word)
    if kind < 0.65:
        return inflected(rng, word)
    if kind < 0.75:
        return rng.choice([word.upper(), word.title(), word.lower(), stem(word)])
    if kind < 0.85:
        return rng.choice(irregular.get(word, [word]))
    return rng.choice(CHOSEN)


def pairs(rng):
    lemmas = sorted(wordnet._lemma_pos_offset_map)
    single = [w for w in lemmas if w.isalpha() and len(w) > 2]
    # words that stay themselves as stems and have synonyms that do: on these WordNet decides
    rich = [w for w in rng.sample(single, 6000) if stem(w) == w and any(stem(s) == s != w for s in synonyms(w))]
    irregular = {}
    for form, *bases in exceptions():
        irregular.setdefault(form, []).extend(bases)
        for base in bases:
            irregular.setdefault(base, []).append(form)
    forms = sorted(irregular)
    yield from (("", ""), ("a", ""), ("", "a"), (" \n", "a"), ("...", "..."), ("\u200b", "\u200b"))
    for i, w in enumerate(CHOSEN): # one word against another, in either order
        for v in (w, CHOSEN[(i + 1) % len(CHOSEN)], CHOSEN[i - 1], related(rng, w, irregular)):
            yield w, v
    for form in rng.sample(forms, 200):
        yield form, irregular[form][0]
    while True:
        pool = rng.choice([rich, rich, rich, single, forms, CHOSEN, lemmas])
        pool = rng.sample(pool, rng.choice([3, 8, 30]))
        a = [rng.choice(PLAIN) if rng.random() < 0.35 else rng.choice(pool) for _ in range(150 if rng.random() < 0.01 else rng.choice([1, 2, 3, 5, 8, 12, 20, 30]))]
        b = [w if rng.random() < 0.4 or w in PLAIN else related(rng, w, irregular) for w in a]
        for _ in range(rng.choice([0, 0, 1, 2, 4])):
            i, j = sorted((rng.randint(0, len(b)), rng.randint(0, len(b))))
            kind = rng.random()
            if kind < 0.4: # some words to another place
                b = b[j:] + b[i:j] + b[:i]
            elif kind < 0.6:
                del b[i:i + 2]
            elif kind < 0.8:
                b = b + b[i:j]
            else:
                b.insert(i, rng.choice(pool))
        a, b = ("".join(w + rng.choice(BLANKS) for w in words) for words in (a, b))
        yield (a, b) if rng.random() < 0.5 else (b, a)


def odd_words(rng):
    """Words that no dictionary has: every ending on stems of every shape, letters beyond ASCII, runs of y, and noise."""
    suffixes = ("s es ies ied sses ss eed ed ing at ated bl bled iz ized y ational tional enci anci izer bli abli alli entli eli ousli ization ation ator "
                "alism iveness fulness ousness aliti iviti biliti fulli logi icate ative alize iciti ical ful ness al ance ence er ic able ible ant ement "
                "ment ent ion sion tion ou ism ate iti ous ive ize e ll le alalli allialli lly").split()
    starts = ["", "a", "b", "y", "by", "ay", "tr", "hop", "fil", "fal", "hiss", "fizz", "tann", "contro", "gener", "archaeo", "ge", "yyy", "aya", "bow", "box", "boy",
              "oa", "éa", "aé", "éé", "naïv", "груп", "東", "a東", "x1", "1a", "a_b", "_"]
    for start in starts:
        for suffix in suffixes:
            yield start + suffix
            yield start + suffix + "ing"
    while True:
        yield "".join(rng.choices("aeiouybcdlsztgnxwé_1", k=rng.randint(1, 9))) + rng.choice(suffixes)


def unique(words, count, seen):
    out = []
    for w in words:
        if w not in seen:
            seen.add(w)
            out.append(w)
        if len(out) == count:
            break
    return out


def write(name, lines):
    with gzip.GzipFile(os.path.join(OUT, name), "wb", compresslevel=9, mtime=0) as f:
        f.write("".join(line + "\n" for line in lines).encode())


def main():
    os.makedirs(OUT, exist_ok=True)
    rng = random.Random(11)
    lemmas = sorted(wordnet._lemma_pos_offset_map)
    irregular = sorted({w for line in exceptions() for w in line})
    single = [w for w in lemmas if "_" not in w]

    seen = set()
    stems = unique(PorterStemmer().pool, 100, seen) + unique(rng.sample(irregular, 2000), 2000, seen) + unique(rng.sample(single, 5500), 4500, seen)
    stems += unique((inflected(rng, rng.choice(single)) for _ in range(9999)), 2000, seen)
    stems += unique(odd_words(rng), STEMS - len(stems), seen)
    write("stems.txt.gz", (w + " " + stem(w) for w in stems))

    seen = set()
    asked = unique((w.lower() for w in CHOSEN), 1000, seen) + unique(rng.sample(irregular, 900), 900, seen) + unique(rng.sample(single, 2500), 2500, seen) + unique(rng.sample(lemmas, 500), 500, seen)
    asked += unique((inflected(rng, rng.choice(single)) for _ in range(9999)), 700, seen)
    asked += unique((stem(rng.choice(single)) for _ in range(9999)), SYNONYMS - len(asked), seen)
    write("synonyms.txt.gz", (" ".join([w, *sorted(synonyms(w))]) for w in asked))

    rows, by_stems, by_synonyms, others, seen = [], 0, 0, 0, set()
    for a, b in pairs(rng):
        score = meteor(a, b)
        stems_matter = abs(meteor(a, b, stemmer=Nothing) - score) > 1e-9
        synonyms_matter = abs(meteor(a, b, wordnet=Nothing) - score) > 1e-9
        other = not stems_matter and not synonyms_matter
        if (a, b) in seen or (other and others == PAIRS - DECIDED):
            continue
        seen.add((a, b))
        rows.append({"a": a, "b": b, "meteor": round(score, 12)})
        by_stems, by_synonyms, others = by_stems + stems_matter, by_synonyms + synonyms_matter, others + other
        if len(rows) == PAIRS:
            break
    write("pairs.jsonl.gz", (json.dumps(r, ensure_ascii=False) for r in rows))
    with gzip.open(ref.here("similarity", "words.jsonl.gz"), "rt", encoding="utf-8") as f:
        words = [json.loads(line) for line in f]
    write("words.txt.gz", (repr(round(meteor(w["a"], w["b"]), 12)) for w in words))

    with_synonyms = sum(len(synonyms(w)) > 1 for w in asked)
    package = subprocess.run(["dpkg-query", "-W", "wordnet-base"], capture_output=True, text=True).stdout.split() or [FOLDER]
    with open(os.path.join(OUT, "README.md"), "w", encoding="utf-8") as f:
        f.write(f"""# meteor: what nltk's stemmer, WordNet reader and METEOR say

Made by `tools/golden/make_meteor.py` with {ref.versions("nltk")} over the files of Debian's {" ".join(package)} (WordNet
{wordnet.get_version()}), read by nltk's own reader. Tolerance: 1e-9 for scores, which stand with 12 decimals; the rest is equal.

`pairs.jsonl.gz`, {len(rows)} lines: `a`, the answer, `b`, the reference, `meteor`: nltk's meteor_score of the two after wordpunct_tokenize, with
its own defaults. The texts are drawn from WordNet's words: without stems {by_stems} of the scores would be others, without synonyms {by_synonyms}.
`words.txt.gz`, {len(words)} lines: the same score for each line of `../similarity/words.jsonl.gz`.
`stems.txt.gz`, {len(stems)} lines: `word stem` by nltk's PorterStemmer in its default mode.
`synonyms.txt.gz`, {len(asked)} lines: a word, then all that meteor_score takes for its synonyms: names without `_` in any of its synsets; {with_synonyms}
of the words have some beside themselves.
""")
    print(len(rows), len(words), len(stems), len(asked), sum(r["meteor"] > 0 for r in rows), by_stems, by_synonyms, others, with_synonyms)


if __name__ == "__main__":
    main()
