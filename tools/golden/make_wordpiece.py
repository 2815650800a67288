#!/usr/bin/env python3
"""make_wordpiece.py - nasty strings, and the ids that the reference's WordPiece tokenizers give them.

Writes tests/golden/wordpiece/: strings.jsonl.gz, two small tokenizers trained here on a few sentences (uncased.json,
cased.json), uncased's vocabulary as vocab.txt, and <name>.jsonl.gz, the ids.

    python make_wordpiece.py        needs tokenizers; Python 3.11, whose unicodedata is of Unicode 14
"""
import json
import os
import random
import unicodedata

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import make_tokenizer as nasty
from common import here, versions

OUT = here("wordpiece")
COUNT = 12000
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def fixed_strings():
    yield from ["", " ", "a", "A", "hello", "Hello, World!", "unaffable", "un##aff", "##a", "#", "##", "# #", "x" * 99, "x" * 100, "x" * 101, "é" * 100, "é" * 101,
                "e\u0301" * 100, "e\u0301" * 101, "\u0130stanbul", "I\u0307", "ΣΊΣΥΦΟΣ", "ǅ ß ẞ ŉ", "a\x00b", "a\ufffdb", "a\x7fb", "a\tb\nc\rd\x0be\x0cf\x85g", "a\u200bb", "a\u00adb",
                "a\u2028b\u2029c", "一二三", "ab一cd二", "\U00020000\U0002b820\U0002b920", "カタカナ", "한국어", "\uf900", "\u3400", "naïve café", "Ångström Å Å", "가각", "ﬁ", "½", "ﷺ",
                "don't", "U.S.A.", "a_b-c", "a…b", "«a»", "a·b", "¡a!", "$5 + €6 = £7", "a^b`c~d|e<f>g", "\U0001F600", "\U0001F468\u200D\U0001F469", "\u0301", "a\u0301", "\u0301a", "\u0300\u0301",
                "[CLS]", "[SEP]a", "a[MASK]b", "[ MASK ]", "[mask]", "[PAD][PAD]", "[UNK]", "[unk]", "[CLS", "CLS]", "[[CLS]]", "ｆｕｌｌ　ｗｉｄｔｈ", "x" * 5000, "ab " * 3000, "a" * 100 + " " + "b" * 101, "." * 500]
    for s in SPECIALS:
        yield from [s + s, " " + s + " ", "a " + s + " b", s.lower(), s + ".", "\u0301" + s + "\u0301", s[:3] + s + s[3:], s.replace("[", "［")]


def make_strings():
    rng, seen, out = random.Random(30522), set(), []
    fixed = fixed_strings()
    words = ["the", "unaffable", "genes", "Patient", "FEVER", "naïve", "Grüße", "123", "4.5", "[MASK]", "[SEP]", "##s", "人工知能", "x" * 98]

    def more():
        yield from fixed
        yield from nasty.fixed_strings()
        for s in nasty.random_strings(rng, nasty.by_category()):
            yield s + rng.choice(["", "", " "]) + rng.choice(words) if rng.random() < 0.3 else s
    for s in more():
        if s not in seen and "\U00011938" not in s and not any(unicodedata.category(c) == "Cn" for c in s):
            seen.add(s)
            out.append(s)
        if len(out) == COUNT:
            return out


def train(lowercase):
    tok = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tok.normalizer = normalizers.BertNormalizer(lowercase=lowercase, strip_accents=None)
    tok.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tok.decoder = decoders.WordPiece()
    tok.train_from_iterator(nasty.CORPUS, trainers.WordPieceTrainer(vocab_size=900, show_progress=False, min_frequency=1, special_tokens=SPECIALS))
    # all alone standing letters and marks, so that random strings are not all unknown
    vocab = json.loads(tok.to_str())["model"]["vocab"]
    for a, b in ((0x21, 0x7f), (0xa1, 0x180), (0x391, 0x3ca), (0x410, 0x450), (0x5d0, 0x5eb), (0x621, 0x64b), (0x1100, 0x1113), (0x1161, 0x1176), (0x2010, 0x2028), (0x3041, 0x3097), (0x4e00, 0x4e20)):
        for cp in range(a, b):
            c = tok.normalizer.normalize_str(chr(cp)).strip()
            for piece in (c, "##" + c):
                if len(c) == 1 and c != "#":
                    vocab.setdefault(piece, len(vocab))
    vocab.setdefault("#", len(vocab))
    d = json.loads(tok.to_str())
    d["model"]["vocab"] = vocab
    tok = Tokenizer.from_str(json.dumps(d))
    tok.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", tok.token_to_id("[CLS]")), ("[SEP]", tok.token_to_id("[SEP]"))])
    return tok


def main():
    os.makedirs(OUT, exist_ok=True)
    strings = make_strings()
    nasty.OUT = OUT
    nasty.write_lines("strings.jsonl.gz", strings)
    uncased, cased = train(True), train(False)
    cased.add_tokens([AddedToken("Naïve word", special=False, normalized=True), AddedToken("<x>", special=False, normalized=False, rstrip=True)])
    for name, tok in (("uncased", uncased), ("cased", cased)):
        tok.save(os.path.join(OUT, name + ".json"), pretty=False)
        nasty.write_lines(name + ".jsonl.gz", [tok.encode(s, add_special_tokens=False).ids for s in strings])
        bare = nasty.without_added(tok)
        ids = [bare.encode(s, add_special_tokens=False).ids for s in strings]
        nasty.write_lines(name + "-plain.jsonl.gz", ids)
        print(name, tok.get_vocab_size(), "unknown", sum(i == 1 for x in ids for i in x), "of", sum(map(len, ids)))
    by_id = sorted((i, t) for t, i in uncased.get_vocab().items())
    assert [i for i, _ in by_id] == list(range(len(by_id)))
    with open(os.path.join(OUT, "vocab.txt"), "w", encoding="utf-8") as f:
        f.writelines(t + "\n" for _, t in by_id)
    with open(os.path.join(OUT, "README.md"), "w", encoding="utf-8") as f:
        f.write(f"""# wordpiece: nasty strings and their ids

Made by `tools/golden/make_wordpiece.py` with {versions("tokenizers")}. Ids must be equal; there is no tolerance.

| file | a line is |
|---|---|
| `strings.jsonl.gz` | a JSON string; {COUNT} of them |
| `uncased.jsonl.gz`, `cased.jsonl.gz` | the list of ids of the string on the same line, by `uncased.json` and `cased.json`: added tokens recognised, none put around |
| `<name>-plain.jsonl.gz` | the same as plain text, in which nothing that looks like an added token is one |
| `vocab.txt` | the vocabulary of `uncased.json` by id, a token a line |

`cased` keeps capitals and accents, and has two added tokens that are not special: `Naïve word` (looked for in the normalised
text) and `<x>` (which takes white space behind it along).

U+11938 is in none of the strings: the reference does not know its decomposition.
""")


if __name__ == "__main__":
    main()
