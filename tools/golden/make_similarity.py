#!/usr/bin/env python3
"""make_similarity.py - pairs of texts and how alike rapidfuzz, nltk and rouge-score find them.

Writes tests/golden/similarity/: pairs.jsonl.gz, process.jsonl.gz, words.jsonl.gz, characters.txt.gz, README.md.

    python make_similarity.py        needs rapidfuzz, nltk 3.9.1, rouge-score 0.1.2
"""
import gzip
import itertools
import json
import os
import random
import re
import unicodedata

from nltk.tokenize import wordpunct_tokenize
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
from nltk.translate.gleu_score import sentence_gleu
from rapidfuzz import fuzz
from rapidfuzz.utils import default_process
from rouge_score.rouge_scorer import RougeScorer

import common as ref

OUT = ref.here("similarity")
COUNT = 2000
WORD_COUNT = 2500
SENTENCES = [
    "The patient has a pathogenic variant in FBN1.", "FBN1", "CHD8", "Marfan syndrome", "Pathogenic variants of FBN1 cause Marfan syndrome, type 1.",
    "The insurer shall indemnify the insured against all losses arising from fire, lightning or explosion.", "all losses arising from fire",
    "the quick brown fox jumps over the lazy dog", "The dog, lazy, jumps over: the quick brown fox!", "new york mets vs atlanta braves", "atlanta braves vs new york mets",
    "Total revenue for 2023 was $1,234.5 million.", "1234.5", "1,234.50", "12/31/2023", "yes", "no", "Yes.", "I don't know", "N/A", "a", "b", "ab", "ba",
    "Grüße aus München", "GRÜSSE AUS MÜNCHEN", "naïve café", "naive cafe", "東京都港区", "東京都新宿区", "Привет, мир", "привет мир", "שלום עולם", "\U0001F600\U0001F601", "e\u0301te\u0301", "été",
    "İstanbul", "istanbul", "ΣΊΣΥΦΟΣ", "σίσυφος", "ǅ ǆ Ǆ", "②½Ⅷ", "हिन्दी भाषा", "a_b_c", "__", "...", "?!", " ", "\t\n", "", "\u00a0x\u3000", "\u200b", "x" * 63, "x" * 64, "x" * 65, "xy" * 100,
    "card_arrival", "card_delivery_estimate", "card arrival", "lost or stolen card", "stolen or lost card", "my card was lost or stolen yesterday in the city",
    "answer: 42", "42", "forty-two", "The answer is 42", "{\"genes\": [\"CHD8\", \"FBN1\"]}", "CHD8, FBN1, FBXL4", "FBXL4, CHD8, FBN1", "FBN1 FBN1 FBN1 CHD8",
]
LETTERS = "abcdefghijklmnopqrstuvwxyz ABC.,-'0123456789éßøλжяאب漢字\U0001F600\U0001F9EC\U00020000"

WORDS = ("the the the of of and a in to is was patient gene FBN1 Marfan syndrome variant insurer shall indemnify losses fire The Of x y 1 2 42 3.14 "
         "isn't e-mail a_b U.S. (see) \"so\" 'tis well-known, end. what? no! ... -- $5 5% C++ été naïve Grüße STRASSE straße ſo ﬁn \u212aelvin a\u212ab "
         "İstanbul Iİi \u212bngström ΣΊΣΥΦΟΣ σς привет МИР שלום हिन्दी ภาษา 東京都 一二三 ①② Ⅷ ½ ٣٤ x² H₂O e\u0301 a\u200bb \U0001F600 \U0001F600! \U0001D400\U0001D401 ａＢ１").split()
BLANKS = [" "] * 12 + ["  ", "\n", "\t", "\u00a0", "\u2003", "\u3000", "\x1c", "\x85", "\u200b", ""]


def edited(rng, s, n):
    s = list(s)
    for _ in range(n):
        kind, at = rng.random(), rng.randint(0, len(s))
        if kind < 0.3 and s:
            del s[min(at, len(s) - 1)]
        elif kind < 0.6:
            s.insert(at, rng.choice(LETTERS))
        elif kind < 0.8 and s:
            s[min(at, len(s) - 1)] = rng.choice(LETTERS)
        elif len(s) > 1:
            i = min(at, len(s) - 2)
            s[i], s[i + 1] = s[i + 1], s[i]
    return "".join(s)


def pairs(rng):
    for a in SENTENCES: # each with itself, with nothing, with its neighbours
        yield a, a
        yield a, ""
        yield "", a
    for _ in range(500):
        yield rng.choice(SENTENCES), rng.choice(SENTENCES)
    while True:
        a = rng.choice(SENTENCES)
        if rng.random() < 0.3: # longer than one machine word, and than four
            a = " ".join(rng.choices(SENTENCES, k=rng.randint(2, 8)))
        kind = rng.random()
        if kind < 0.35:
            b = edited(rng, a, rng.randint(1, 1 + len(a) // 3))
        elif kind < 0.5:
            words = a.split()
            rng.shuffle(words)
            b = " ".join(words[:rng.randint(0, len(words))] if rng.random() < 0.5 else words)
        elif kind < 0.65: # a part of the other: the partial ratios, at length ratios around 1.5 and 8
            n = rng.randint(0, len(a))
            i = rng.randint(0, len(a) - n)
            b = edited(rng, a[i:i + n], rng.randint(0, 2))
        elif kind < 0.75:
            b = rng.choice([a.upper(), a.lower(), a.title(), a.replace(" ", ""), a + "!", " " + a + "  ", a.replace(" ", "_")])
        elif kind < 0.85:
            b = " ".join(rng.choices(a.split() + rng.choice(SENTENCES).split() + ["the"], k=rng.randint(1, 12)))
        else:
            a = "".join(rng.choices(LETTERS, k=rng.randint(0, 90)))
            b = edited(rng, a, rng.randint(0, 12)) if rng.random() < 0.7 else "".join(rng.choices(LETTERS, k=rng.randint(0, 90)))
        yield (a, b) if rng.random() < 0.5 else (b, a)


def word_pairs(rng):
    """Pairs of texts of words: a few of the pairs above, then long and short ones, some of few words often repeated."""
    yield "", ""
    yield from itertools.islice(pairs(rng), 500)
    while True:
        some = rng.sample(WORDS, rng.choice([2, 5, len(WORDS)])) if rng.random() < 0.5 else WORDS
        a = rng.choices(some, k=300 if rng.random() < 0.01 else rng.choice([1, 2, 3, 4, 6, 8, 12, 24, 48]))
        b = list(a)
        for _ in range(rng.choice([0, 1, 2, 4, 8])):
            i, j, kind = rng.randint(0, len(b)), rng.randint(0, len(b)), rng.random()
            if kind < 0.3:
                b.insert(i, rng.choice(some))
            elif kind < 0.5:
                del b[i:i + rng.randint(1, 3)]
            elif kind < 0.7: # some words to another place
                i, j = min(i, j), max(i, j)
                b = b[j:] + b[i:j] + b[:i]
            elif kind < 0.8:
                b = b + b[i:j]
            elif i < len(b):
                b[i] = rng.choice([b[i].upper(), b[i].lower(), rng.choice(some)])
        a, b = ("".join(w + rng.choice(BLANKS) for w in words) for words in (a, b))
        yield (a, b) if rng.random() < 0.5 else (b, a)


ROUGE = ["rouge1", "rouge2", "rouge3", "rouge4", "rouge5", "rougeL"]
scorer = RougeScorer(ROUGE, use_stemmer=False)


def by_words(a, b):
    """Each metric of words with a as the answer and b as the reference; 12 decimals."""
    hypothesis, references = wordpunct_tokenize(a), [wordpunct_tokenize(b)]
    rouge = scorer.score(target=b, prediction=a)
    scores = {"bleu": sentence_bleu(references, hypothesis, smoothing_function=SmoothingFunction().method1),
              "gleu": sentence_gleu(references, hypothesis)}
    scores.update({"rouge_" + r[5:].lower(): rouge[r].fmeasure for r in ROUGE})
    return {"a": a, "b": b, **{k: round(v, 12) for k, v in scores.items()}}


def characters():
    """[first, last, what Python takes each character for], without those that it does not know."""
    runs = []
    for c in range(0x110000):
        ch = chr(c)
        if unicodedata.category(ch) in ("Cn", "Cs", "Co"):
            continue
        kind = "word" if re.match(r"\w", ch) else "blank" if re.match(r"\s", ch) else "punctuation"
        if re.search("[a-z0-9]", ch.lower()):
            kind += "+rouge"
        if runs and runs[-1][1:] == [c - 1, kind]:
            runs[-1][1] = c
        else:
            runs.append([c, c, kind])
    return runs


def write_lines(name, rows):
    with gzip.GzipFile(os.path.join(OUT, name), "wb", compresslevel=9, mtime=0) as f:
        for r in rows:
            f.write((json.dumps(r, ensure_ascii=False) + "\n").encode())


def main():
    os.makedirs(OUT, exist_ok=True)
    rng, rows, seen = random.Random(9), [], set()
    for a, b in pairs(rng):
        if (a, b) in seen:
            continue
        seen.add((a, b))
        rows.append({"a": a, "b": b, "ratio": fuzz.ratio(a, b), "ratio_processed": fuzz.ratio(a, b, processor=default_process),
                     "partial_ratio": fuzz.partial_ratio(a, b), "token_ratio": fuzz.token_ratio(a, b), "partial_token_ratio": fuzz.partial_token_ratio(a, b),
                     "wratio": fuzz.WRatio(a, b), "wratio_processed": fuzz.WRatio(a, b, processor=default_process)})
        if len(rows) == COUNT:
            break
    write_lines("pairs.jsonl.gz", rows)
    texts = sorted({t for r in rows for t in (r["a"], r["b"])})
    write_lines("process.jsonl.gz", [{"text": t, "processed": default_process(t)} for t in texts[::3]])
    words, seen = [], set()
    for a, b in word_pairs(rng):
        if (a, b) not in seen:
            seen.add((a, b))
            words.append(by_words(a, b))
        if len(words) == WORD_COUNT:
            break
    write_lines("words.jsonl.gz", words)
    with gzip.GzipFile(os.path.join(OUT, "characters.txt.gz"), "wb", compresslevel=9, mtime=0) as f:
        f.write("".join(f"{first:x} {last:x} {kind}\n" for first, last, kind in characters()).encode())
    with open(os.path.join(OUT, "README.md"), "w", encoding="utf-8") as f:
        f.write(f"""# similarity: how alike rapidfuzz, nltk and rouge-score find two texts

Made by `tools/golden/make_similarity.py` with {ref.versions("rapidfuzz", "nltk", "rouge-score")}. Tolerance: 1e-9 (rapidfuzz's scores are
ratios of integers times 100; the others stand with 12 decimals).

`pairs.jsonl.gz`, {len(rows)} lines: `a`, `b`, and from 0 to 100 `ratio`, `partial_ratio`, `token_ratio`, `partial_token_ratio`, `wratio` of the texts
as they are, `ratio_processed` and `wratio_processed` after default_process. Lengths count code points.
`process.jsonl.gz`: `text`, `processed`: what default_process makes of it: every character that is no letter and no number (of Unicode 13:
later ones count as none; `_` is none) becomes a space, each letter its simple lower case (İ becomes i), and white space at both ends goes.

`words.jsonl.gz`, {len(words)} lines: `a`, `b`, and each metric of words with `a` as the answer and `b` as the reference. `bleu`: nltk's
sentence_bleu with method1; `gleu`: sentence_gleu; both over wordpunct_tokenize. `rouge_1` to `rouge_5`, `rouge_l`: rouge-score's fmeasure,
no stemming.
`characters.txt.gz`: `first last kind` with hexadecimal code points: `word` (Python's \\w), `blank` (\\s) or `punctuation` (neither); `+rouge`
where str.lower makes a letter or digit of ASCII of it. Of the characters of Unicode {unicodedata.unidata_version}: later ones, surrogates and private ones are left out.

Worth knowing: two empty texts have ratio 100 but WRatio 0, as has a text that default_process leaves empty.
""")
    print(len(rows), [(r["a"][:20], r["b"][:20], r["ratio"], r["wratio_processed"]) for r in rows[::250]])
    print([(n, fuzz.__dict__[n]("", ""), fuzz.__dict__[n]("", "a")) for n in ("ratio", "partial_ratio", "token_ratio", "partial_token_ratio", "WRatio")])


if __name__ == "__main__":
    main()
