#!/usr/bin/env python3
"""make_tokenizer.py HF_DIR - nasty strings, and the ids the reference tokenizers give them.

HF_DIR is what gguf_to_hf.py makes of the demo model. Writes tests/golden/tokenizer/: strings.jsonl.gz, <name>.jsonl.gz,
<name>-plain.jsonl.gz, and the small tokenizers gpt2.json, llama3.json, qwen2.json, trained here on a few sentences.

Only code points assigned in Unicode 14 appear: with later ones the regular-expression libraries disagree among themselves.
Python's unicodedata must be of that version (Python 3.11).

    python make_tokenizer.py HF_DIR        needs tokenizers
"""
import gzip
import json
import os
import random
import sys
import unicodedata

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import common as ref

OUT = ref.here("tokenizer")
COUNT, PLAIN = 10000, 1000
assert unicodedata.unidata_version == "14.0.0"

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")

CORPUS = [
    "The patient has a variant in the gene, and the gene explains the fever. What is the name of the gene?",
    "It's what they'd said: we're sure you'll agree that I've seen 1234 of 56789 cases. THEY'RE CERTAIN, IT'S DONE.",
    "def answer(question):\n    return question.strip().lower()\n\n\nif __name__ == '__main__':\n    print(answer('What?'))\n",
    "Grüße aus München: die Antwort ist schön. Être ou ne pas être, voilà la question. El niño comió la piña.",
    "Привет, мир! Как дела? Καλημέρα κόσμε. שלום עולם. مرحبا بالعالم. नमस्ते दुनिया. สวัสดีชาวโลก",
    "人工知能は人間の知能を機械で再現する試みである。机器学习是人工智能的一个分支。한국어 문장입니다.",
    "    indented\n\tand tabbed  text   with    runs     of      spaces\r\nand\r\n\r\nCRLF lines.\n\n\n\nEnd...   !!!  ??? --- ===",
    "\U0001F600 \U0001F468\u200D\U0001F469\u200D\U0001F467 \u2764\ufe0f \U0001F1E9\U0001F1EA 1\ufe0f\u20e3 \u00b2 \u2167 \u00bd",
]
WORDS = (" ".join(CORPUS) + " naïve café Straße ŒUVRE ΣΊΣΥΦΟΣ ǅ ǆ İstanbul ıI ﬁne ﬀ Å Å K K").split()
CONTRACTIONS = ["s", "t", "re", "ve", "m", "ll", "d"]
SPACES = list(" \t\n\v\f\r\x1c\x1d\x1e\x1f\x85\xa0\u1680\u180e\u2000\u2003\u2007\u2009\u200a\u200b\u2028\u2029\u202f\u205f\u2060\u3000\ufeff")
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>", "<|begin_of_text|>", "<|eot_id|>", "<think>", "</think>",
            "<think>\n\n", "<|pad|>"]


def by_category():
    table = {}
    for cp in range(0x110000):
        c = unicodedata.category(chr(cp))
        if c not in ("Cn", "Cs"):
            table.setdefault(c, []).append(chr(cp))
    return table


def fixed_strings():
    """The cases a person would think of."""
    out = ["", " ", "  ", "   ", "\n", "\r", "\r\n", "\n\n", "\r\n\r\n", " \n", "\n ", " \r\n ", "\t", "\t\t", "a", " a", "a ", " a ", "  a", "a  ", "a  b",
           "a   b", "a\nb", "a\n\nb", "a \n b", "a\r\nb", "a\n  b", "a  \n\n  b", "\x00", "a\x00b", "\x7f", "\x80", "\u0100", "\ufffd", "\ufeffa",
           "\U0010fffd", "\ue000", "\U000f0000", "x" * 300, " " * 300, "\n" * 100, "\r\n" * 50, "!" * 200, "1" * 100, "한" * 60, "é" * 60, "e\u0301" * 40,
           " " * 99 + "x", "\t" * 50 + "x", " \n" * 40, "a" * 31 + " " * 31 + "\n", "<" * 50, "'" * 20, "''s", "'s", " 's", "s's", "'S", "'ſ", "x'ſ", "X'ſt",
           "'l", "'ll", "'lL", "'Ll", "'LL", "'LLL", "'re", "'rE", "'RE", "’s", "it’s", "I'm I'M i'd I'D we've WE'VE", "don't DON'T don'T", "'Kelvin \u212a",
           "İ'S", "ı", "1", "12", "123", "1234", "12345", "1234567890", "1,234,567.89", "0x1F", "1e-5", "v1.2.3", "²³", "x²", "½ ¾", "ⅧⅣ", "①②③", "٣٤٥٦", "१२३४",
           "๑๒๓", "1２３", "𝟙𝟚𝟛", "a1b2c3", "1a", "12ab34", " 1", "  12", "\u0967\u0301", "1\u0301", "1\ufe0f\u20e3", "〇", "一二三", "𐄇𐄈", "৴",
           "\U0001F1E9\U0001F1EA", "\U0001F468\u200D\U0001F469\u200D\U0001F467\u200D\U0001F466", "\U0001F44D\U0001F3FD", "\u2764\ufe0f", "☺", "a\u0301\u0323\u0308", "\u0301", " \u0301",
           "\u200d", "\u200b", "a\u200bb", "\u202eabc\u202c", "שָׁלוֹם", "مُحَمَّد", "لا إله", "क्षत्रिय", "நி", "กำ", "각", "ᄀ", "ﷺ", "Å Å Å", "ﬁ", "Ω Ω", "\u1e9b\u0323",
           "\u0344", "\u0958", "豈", "\U0002F800", "ｶﾞ", "が", "か\u3099", "c\u0327\u0301", "a\u0328\u0301", "\u0f77", "\u1f82",
           "http://example.com/a?b=c&d=%20#e", "foo@example.org", "C:\\dir\\file.txt", "a_b-c.d/e", "#include <x>", "$1.00", "€5", "50%", "a=b;", "(a)[b]{c}",
           "--flag=\"value\"", "```c\nint x;\n```", "# Title\n\n- item\n- item\n", "...", "....", "?!", "?!\n", "?!\r\n\r\n", " ?!", "  ?!", "\n?!", "!\n!", "! \n !", "hello_world", "camelCase",
           "\u180e", "a\u180eb", " \u180e ", "!\u180e", "\u180e\n", "\x85", "a\x85b", " \x85 ", "\xa0a", "a\xa0\xa0b", "\u3000a", "a\u2028b", "\x0ba\x0cb", "\x1ca\x1fb"]
    for c in CONTRACTIONS:
        for v in (c, c.upper(), c.capitalize()):
            out += ["x'" + v, "x'" + v + "y", "x '" + v, "'" + v + "'" + v, "1'" + v, "!'" + v, "\n'" + v + "\n"]
    for s in SPECIALS:
        out += [s, s + s, " " + s, s + " ", " " + s + " ", "a" + s + "b", "a " + s + " b", s[:-1], s[1:], s[:-1] + " " + s[-1:], s.upper(), s + "\n", s + "\n\n", s + "\n\n\n",
                "<" + s + ">", s.replace("|", "||"), "\u0301" + s + "\u0301", s + "'s", "1" + s + "1", s[:4] + s + s[4:], s.replace("<", "\uff1c")]
    out += ["<|im_start|>user\nHi!<|im_end|>\n<|im_start|>assistant\n", "<think>\nWhy?\n</think>\n\nBecause.", "<think></think>", "<thinking>", "<|im_start|><|im_end|>" * 20]
    return out


def random_strings(rng, table):
    """Endless: code points of every category in small contexts, then random mixtures of everything."""
    names = sorted(table)
    for c in names: # each category alone, beside letters, spaces, digits, punctuation and its own kind
        for form in ("{0}", "a{0}b", " {0}", "{0} ", "{0}{1}{2}", "1{0}2", "!{0}?", "  {0}\n", "A{0}{1} {2}b", "{0}'s"):
            for _ in range(4):
                yield form.format(*(rng.choice(table[c]) for _ in range(3)))
    weights = {"Lu": 8, "Ll": 16, "Lo": 10, "Nd": 8, "No": 4, "Nl": 4, "Mn": 8, "Po": 8, "Zs": 8, "Cc": 5, "Cf": 4, "So": 6}
    cum = [weights.get(n, 2) for n in names]
    spans = {"latin": (0x20, 0x24f), "greek, cyrillic": (0x370, 0x52f), "hebrew, arabic": (0x590, 0x6ff), "indic": (0x900, 0xd7f), "thai, lao": (0xe00, 0xeff),
             "kana": (0x3040, 0x30ff), "han": (0x4e00, 0x9fff), "hangul": (0xac00, 0xd7a3), "jamo": (0x1100, 0x11ff), "emoji": (0x1f300, 0x1faff),
             "general punctuation": (0x2000, 0x206f), "letterlike": (0x2100, 0x218b), "mathematical": (0x1d400, 0x1d7ff), "ancient": (0x10000, 0x10fff), "han, astral": (0x20000, 0x2a6df)}
    pools = [[chr(c) for c in range(a, b + 1) if unicodedata.category(chr(c)) not in ("Cn", "Cs")] for a, b in spans.values()]
    parts = [
        lambda: rng.choice(WORDS), lambda: rng.choice(WORDS).upper(), lambda: " " + rng.choice(WORDS), lambda: " " + rng.choice(WORDS),
        lambda: rng.choice(table[rng.choices(names, cum)[0]]), lambda: rng.choice(table[rng.choices(names, cum)[0]]),
        lambda: "".join(rng.choices(rng.choice(pools), k=rng.randint(1, 4))), lambda: " " * rng.choice([1, 1, 2, 3, 4, 7, 17]),
        lambda: "".join(rng.choices(SPACES, k=rng.randint(1, 4))), lambda: rng.choice(["\n", "\r\n", "\r", "\n\n", "\t", " \n"]) * rng.randint(1, 3),
        lambda: "".join(rng.choices("0123456789", k=rng.randint(1, 7))), lambda: "".join(rng.choices(table["Nd"] + table["No"], k=rng.randint(1, 3))),
        lambda: rng.choice("'’`") + rng.choice(CONTRACTIONS + [c.upper() for c in CONTRACTIONS] + ["ſ", "l"]), lambda: "".join(rng.choices("!?.,:;-_/\\|<>()[]{}@#$%^&*+=~\"'`", k=rng.randint(1, 5))),
        lambda: rng.choice(["\U0001F468\u200D\U0001F469\u200D\U0001F467", "\U0001F1E9\U0001F1EA", "\u2764\ufe0f", "\U0001F44D\U0001F3FD", "1\ufe0f\u20e3"]), lambda: rng.choice(table["Mn"]),
    ]
    while True:
        s = "".join(rng.choice(parts)() for _ in range(rng.choice([1, 2, 2, 3, 3, 4, 4, 5, 6, 8])))
        if rng.random() < 0.06:
            at = rng.randint(0, len(s))
            t = rng.choice(SPECIALS)
            s = s[:at] + (t if rng.random() < 0.7 else t[:rng.randint(1, len(t) - 1)]) + s[at:]
        yield s


def make_strings():
    rng, seen, out = random.Random(14), set(), []
    table = by_category()
    source = iter(fixed_strings())
    more = random_strings(rng, table)
    while len(out) < COUNT:
        s = next(source, None)
        s = next(more) if s is None else s
        if s not in seen:
            assert all(unicodedata.category(c) not in ("Cn", "Cs") for c in s), ascii(s)
            seen.add(s)
            out.append(s)
    return out


def train(vocab_size, pre, normalizer=None):
    tok = Tokenizer(models.BPE())
    if normalizer is not None:
        tok.normalizer = normalizer
    tok.pre_tokenizer = pre
    tok.decoder = decoders.ByteLevel()
    tok.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=vocab_size, show_progress=False, min_frequency=1,
                                                       initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return tok


def split_by(regex):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(regex), behavior="isolated", invert=False),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def make_gpt2():
    tok = train(700, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True))
    tok.add_special_tokens([AddedToken("<|endoftext|>", special=True, normalized=False)])
    tok.add_tokens([AddedToken("<|pad|>", special=False, normalized=False, rstrip=True)]) # eats the white space after it
    return tok


def make_llama3():
    """Llama 3's: ignore_merges, so that a word in the vocabulary is taken whole even if no merge leads to it."""
    tok = train(700, split_by(LLAMA3))
    d = json.loads(tok.to_str())
    merges = d["model"]["merges"]
    long = [m for m in merges if len("".join(m)) >= 4]
    unreachable = {tuple(m) for m in long[::5]}
    d["model"]["merges"] = [m for m in merges if tuple(m) not in unreachable]
    d["model"]["ignore_merges"] = True
    tok = Tokenizer.from_str(json.dumps(d))
    tok.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in ("<|begin_of_text|>", "<|eot_id|>")])
    tok.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(
        single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", tok.token_to_id("<|begin_of_text|>"))])])
    return tok


def make_qwen2():
    """Qwen2's: text is normalised to NFC between the added tokens; some of these are not special, one begins another."""
    tok = train(700, split_by(QWEN2), normalizers.NFC())
    tok.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")])
    tok.add_tokens([AddedToken(t, special=False, normalized=False) for t in ("<think>", "</think>", "<think>\n\n")])
    return tok


def without_added(tok):
    d = json.loads(tok.to_str())
    d["added_tokens"], d["post_processor"] = [], None
    return Tokenizer.from_str(json.dumps(d))


def write_lines(path, rows):
    with gzip.GzipFile(os.path.join(OUT, path), "wb", compresslevel=9, mtime=0) as f:
        for r in rows:
            f.write((json.dumps(r, ensure_ascii=False, separators=(",", ":")) + "\n").encode())


def main(folder):
    os.makedirs(OUT, exist_ok=True)
    strings = make_strings()
    write_lines("strings.jsonl.gz", strings)
    look_alike = [i for i, s in enumerate(strings) if "<" in s and (">" in s or "|" in s)]
    plain = sorted((look_alike + [i for i in range(0, len(strings), 9) if i not in set(look_alike)])[:PLAIN])
    tokenizers = {"smollm2": Tokenizer.from_file(os.path.join(folder, "tokenizer.json")),
                  "gpt2": make_gpt2(), "llama3": make_llama3(), "qwen2": make_qwen2()}
    lossy = {}
    for name, tok in tokenizers.items():
        if name != "smollm2":
            tok.save(os.path.join(OUT, f"{name}.json"))
        ids = [tok.encode(s, add_special_tokens=False).ids for s in strings]
        write_lines(f"{name}.jsonl.gz", ids)
        bare = without_added(tok)
        write_lines(f"{name}-plain.jsonl.gz", [[i, *bare.encode(strings[i], add_special_tokens=False).ids] for i in plain])
        lossy[name] = sum(tok.decode(x, skip_special_tokens=False) != s for x, s in zip(ids, strings))
        print(name, "vocabulary", tok.get_vocab_size(), "not given back by decoding:", lossy[name],
              "plain differs:", sum(bare.encode(strings[i], add_special_tokens=False).ids != ids[i] for i in plain))
    write_readme(lossy, len(plain))


def write_readme(lossy, n_plain):
    with open(os.path.join(OUT, "README.md"), "w", encoding="utf-8") as f:
        f.write(f"""# tokenizer: nasty strings and their ids

Made by `tools/golden/make_tokenizer.py` with {ref.versions("tokenizers")}. Ids must be equal; there is no tolerance.

| file | a line is |
|---|---|
| `strings.jsonl.gz` | a JSON string; {COUNT} of them: hand-picked ones first, then each general category of Unicode 14 in small contexts, then random mixtures |
| `smollm2.jsonl.gz` | the list of ids of the string on the same line, by the demo model's tokenizer (not kept here: it is in the model), added tokens recognised, none put in front |
| `gpt2.jsonl.gz`, `llama3.jsonl.gz`, `qwen2.jsonl.gz` | the same by the tokenizers `gpt2.json`, `llama3.json`, `qwen2.json` |
| `<name>-plain.jsonl.gz` | [line number from 0, id, id, ...]: that string as plain text, in which nothing that looks like an added token is one; {n_plain} lines |

The three small tokenizers have 700 tokens and the regular expression of the model family they are called after, and:

- `gpt2`: one added token with `rstrip`, which takes the white space after it along;
- `llama3`: `ignore_merges`, with tokens that no merge leads to; a `post_processor` that puts `<|begin_of_text|>` in front (not in
  the ids here);
- `qwen2`: text between added tokens is normalised to NFC; `<think>` is added but not special, and `<think>\\n\\n` is longer.

Worth knowing:

- `smollm2` splits digits before the regular expression, and a digit is every character of category Nd, Nl or No (also ² Ⅷ ½ ①).
- Its vocabulary lacks the bytes 04 06 13 14 16 1D F1 F2 (and those no UTF-8 has). The reference drops them without a word: U+0004 gives
  no id at all. Strings not given back by decoding: {", ".join(f"{k} {v}" for k, v in lossy.items())} (qwen2: NFC, gpt2: `rstrip`).
- U+180E is not white space; U+0085 is; under `(?i:'s)` the letter ſ (U+017F) counts as s.
""")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(sys.argv[1])
