"""tokenizer_kinds.py - one small tokenizer of each kind that models in circulation have, and strings to try them on.

The vocabularies are trained here on a few sentences; patterns, normalizers, decoders and flags are those of the models'
own files. make_tokenizer_kinds.py makes golden files of them, tests/text/reference_tokenizers_test.py compares many more
strings where the library is there.
"""
import base64
import json
import random
import struct

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

import make_tokenizer as mt

BLANKS = r"\s*[\r\n]+|\s+(?!\S)|\s+"
CL100K = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + BLANKS
CL100K_POSSESSIVE = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|"
                     r"\s+(?!\S)|\s+")
O200K = "|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", BLANKS])
TEKKEN = "|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
    r"\p{N}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", BLANKS])
DEEPSEEK = [r"\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
            r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|""" + BLANKS]
SIGN = "\u2581"
SPECIALS = ["<s>", "</s>", "<unk>", "<pad>", "<mask>", "<start_of_turn>", "<end_of_turn>", "[INST]", "[/INST]", "<0x0A>",
            "<0xE2>", "<extra_id_0>", "\u2581", "\u2581\u2581", "a\u2581b", "word", "<n>"]


def corpus():
    return mt.CORPUS * 2


def split(*regexes):
    return [pre_tokenizers.Split(Regex(r), behavior="isolated", invert=False) for r in regexes]


def byte_level(pre, size=700, normalizer=None, special=("<|endoftext|>", "<s>", "</s>"), **model):
    tok = mt.train(size, pre_tokenizers.Sequence(pre), normalizer)
    if model:
        d = json.loads(tok.to_str())
        d["model"].update(model)
        tok = Tokenizer.from_str(json.dumps(d))
    tok.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special])
    return tok


def by_regex(*regexes, **kw):
    return byte_level(split(*regexes) + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)], **kw)


def pieces(size, normalizer=None, pre=None, fallback=True, alphabet=120):
    """BPE of characters: <unk>, <s>, </s>, the bytes, then what training finds."""
    first = ["<unk>", "<s>", "</s>"] + (["<0x%02X>" % b for b in range(256)] if fallback else [])
    tok = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=fallback))
    if normalizer is not None:
        tok.normalizer = normalizer
    tok.pre_tokenizer = pre or pre_tokenizers.Metaspace(replacement=SIGN, prepend_scheme="always")
    tok.train_from_iterator(corpus(), trainers.BpeTrainer(vocab_size=size, show_progress=False, min_frequency=1,
                                                          special_tokens=first, limit_alphabet=alphabet))
    d = json.loads(tok.to_str())
    d["added_tokens"] = [t for t in d["added_tokens"] if not t["content"].startswith("<0x")]
    return d


def llama_decoder(strip):
    steps = [{"type": "Replace", "pattern": {"String": SIGN}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]
    return {"type": "Sequence", "decoders": steps + ([{"type": "Strip", "content": " ", "start": 1, "stop": 0}] if strip else [])}


def done(d):
    return Tokenizer.from_str(json.dumps(d))


def llama2():
    """Llama 2: no pre-tokenizer, so that a text is one piece; the blank in front is the normalizer's."""
    d = pieces(800)
    d["pre_tokenizer"] = None
    d["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": SIGN},
                                                           {"type": "Replace", "pattern": {"String": " "}, "content": SIGN}]}
    d["decoder"] = llama_decoder(True)
    return done(d)


def mistral():
    """Mistral 7B of 2024: Metaspace, in front of what a text begins with alone."""
    d = pieces(800)
    d["pre_tokenizer"] = {"type": "Metaspace", "replacement": SIGN, "prepend_scheme": "first", "split": False}
    d["decoder"] = llama_decoder(True)
    tok = done(d)
    tok.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in ("[INST]", "[/INST]")])
    return tok


def gemma3():
    d = pieces(800)
    d["normalizer"] = {"type": "Replace", "pattern": {"String": " "}, "content": SIGN}
    d["pre_tokenizer"] = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
    d["decoder"] = llama_decoder(False)
    tok = done(d)
    tok.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in ("<start_of_turn>", "<end_of_turn>")])
    tok.add_tokens([AddedToken(t, special=False, normalized=False) for t in ("\n\n", SIGN + SIGN, SIGN * 3)])
    return tok


def metaspace(scheme, fallback=False, split_up=True, ignore=False):
    d = pieces(600, fallback=fallback)
    d["pre_tokenizer"] = {"type": "Metaspace", "replacement": SIGN, "prepend_scheme": scheme, "split": split_up}
    d["decoder"] = {"type": "Metaspace", "replacement": SIGN, "prepend_scheme": scheme, "split": split_up}
    d["model"]["fuse_unk"] = fallback
    if ignore: # tokens that no merge leads to
        d["model"]["ignore_merges"] = True
        d["model"]["merges"] = [m for i, m in enumerate(d["model"]["merges"]) if i % 7]
    tok = done(d)
    tok.add_tokens([AddedToken("<n>", normalized=True), AddedToken("word", single_word=True, normalized=True),
                    AddedToken("<mask>", lstrip=True, normalized=False), AddedToken("<pad>", rstrip=True, normalized=True)])
    return tok


def unigram(fallback=False, normalizer=None, pre=None, decoder=None, size=900):
    """T5, XLM-R, ALBERT: the most probable tokens."""
    first = ["<pad>", "</s>", "<unk>"] + (["<0x%02X>" % b for b in range(256)] if fallback else [])
    tok = Tokenizer(models.Unigram())
    tok.normalizer = normalizer or normalizers.NFKC()
    tok.pre_tokenizer = pre or pre_tokenizers.Metaspace(replacement=SIGN, prepend_scheme="always")
    tok.decoder = decoder or decoders.Metaspace(replacement=SIGN, prepend_scheme="always")
    tok.train_from_iterator(corpus(), trainers.UnigramTrainer(vocab_size=size, show_progress=False, special_tokens=first,
                                                              unk_token="<unk>", max_piece_length=16))
    d = json.loads(tok.to_str())
    d["added_tokens"] = [t for t in d["added_tokens"] if not t["content"].startswith("<0x")]
    d["model"]["byte_fallback"] = fallback
    tok = done(d)
    tok.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in ("<extra_id_0>", "<mask>")])
    return tok


def charsmap(rules):
    """SentencePiece's table: a double array (darts-clone's units) of {text: text}, then the replacements."""
    texts, trie = b"", {}
    for key, value in sorted(rules.items()):
        node = trie
        for byte in key.encode():
            node = node.setdefault(byte, {})
        node[None] = len(texts)
        texts += value.encode() + b"\0"
    units, used, bases = {0: [0, 0, None]}, {0}, set()

    def place(at, node):
        children = sorted(k for k in node if k is not None)
        base = 1
        while base in bases or any((base ^ c) in used for c in children + ([0] if None in node else [])):
            base += 1
        bases.add(base)
        units[at][0] = at ^ base
        units[at][1] = None in node
        for c in children + ([0] if None in node else []):
            used.add(base ^ c)
        if None in node:
            units[base] = node[None]
        for c in children:
            units[base ^ c] = [0, 0, c]
        for c in children:
            place(base ^ c, node[c])
    place(0, trie)
    out = []
    for i in range((max(units) | 255) + 1):
        u = units.get(i)
        out.append(0 if u is None else u | 1 << 31 if isinstance(u, int) else u[0] << 10 | u[1] << 8 | (u[2] or 0))
    table = struct.pack("<%dI" % len(out), *out)
    return base64.b64encode(struct.pack("<I", len(table)) + table + texts).decode()


RULES = {"\u00a0": " ", "\u3000": " ", "\t": " ", "\n": " ", "\r": " ", "\u200b": " ", "\u2581": " ", "\ufb01": "fi", "\ufb00": "ff", "\u212b": "\u00c5",
         "e\u0301": "\u00e9", "a\u0308": "\u00e4", "o\u0308": "\u00f6", "\u2460": "1", "\u00bd": "1\u20442", "\u2167": "VIII", "\uff21": "A", "\u0301": "", "\x00": "?",
         "\u304b\u3099": "\u304c", "A\u030a": "\u00c5", "\u2026": "...", "\u00df": "ss", "\u0344": "\u0308\u0301", "\u00ad": "", "\x7f": ""}


def t5():
    precompiled = {"type": "Precompiled", "precompiled_charsmap": charsmap(RULES)}
    d = json.loads(unigram().to_str())
    d["normalizer"] = {"type": "Sequence", "normalizers": [precompiled, {"type": "Strip", "strip_left": False, "strip_right": True},
                                                           {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": SIGN}]}
    d["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
        {"type": "WhitespaceSplit"}, {"type": "Metaspace", "replacement": SIGN, "prepend_scheme": "always", "split": True}]}
    return done(d)


def normal(steps, scheme="first"):
    """Normalizers one after another in front of BPE of characters, whose decoder has nothing to undo."""
    d = json.loads(metaspace(scheme, fallback=True).to_str())
    tok = done(d)
    tok.normalizer = normalizers.Sequence(steps)
    return tok


def words(pre):
    d = json.loads(metaspace("never").to_str())
    tok = done(d)
    tok.pre_tokenizer = pre
    return tok


N, P = normalizers, pre_tokenizers
KINDS = {
    "gpt2": mt.make_gpt2, "llama3": mt.make_llama3, "qwen2": mt.make_qwen2,
    "o200k": lambda: by_regex(O200K), "tekken": lambda: by_regex(TEKKEN, ignore_merges=True),
    "deepseek": lambda: by_regex(*DEEPSEEK), "phi4": lambda: by_regex(CL100K_POSSESSIVE), "olmo2": lambda: by_regex(CL100K),
    "smollm3": lambda: by_regex(CL100K, ignore_merges=True),
    "granite": lambda: byte_level([P.Digits(individual_digits=True), P.ByteLevel(add_prefix_space=False, use_regex=True)]),
    "falcon": lambda: byte_level([P.Punctuation("contiguous"), P.ByteLevel(add_prefix_space=False, use_regex=True), P.Digits(individual_digits=False)] +
                                 split("[0-9][0-9][0-9]")),
    "letters": lambda: byte_level([P.ByteLevel(add_prefix_space=True, use_regex=False), P.Split(Regex("\\u0120[a-z]|\\w\\W"), "merged_with_next"), P.Punctuation("isolated"),
                                   P.Whitespace(), P.BertPreTokenizer()]),
    "prefixed": lambda: byte_level([P.ByteLevel(add_prefix_space=True, use_regex=True)]),
    "llama2": llama2, "mistral": mistral, "gemma3": gemma3,
    "metaspace-always": lambda: metaspace("always"), "metaspace-never": lambda: metaspace("never", fallback=True, split_up=False),
    "metaspace-ignore": lambda: metaspace("first", fallback=True, ignore=True),
    "unigram": unigram, "unigram-bytes": lambda: unigram(fallback=True, decoder=decoders.Sequence(
        [decoders.Replace(SIGN, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])),
    "unigram-whole": lambda: unigram(fallback=True, normalizer=N.Sequence([N.Nmt(), N.NFKC(), N.Replace(Regex(" {2,}"), " ")]),
                                     pre=P.Metaspace(replacement=SIGN, prepend_scheme="first", split=False)),
    "t5": t5,
    "normal-lower": lambda: normal([N.NFD(), N.StripAccents(), N.Lowercase()]),
    "normal-nmt": lambda: normal([N.Nmt(), N.NFKD(), N.Replace("''", '"'), N.Strip(left=True, right=True)], "always"),
    "normal-strip": lambda: normal([N.Strip(left=True, right=False), N.Prepend("\u00bf"), N.NFC()], "always"),
    "normal-bert": lambda: normal([N.BertNormalizer(), N.Replace(Regex("[ae]{2,}"), "_")], "always"),
    "words": lambda: words(P.Whitespace()), "words-bert": lambda: words(P.BertPreTokenizer()),
    "words-punctuation": lambda: words(P.Sequence([P.WhitespaceSplit(), P.Punctuation("merged_with_previous")])),
    "words-delimiter": lambda: words(P.Sequence([P.CharDelimiterSplit("e"), P.Punctuation("contiguous")])),
}


def strings(n, seed=14, everything=False):
    """Hand-picked ones, then random ones; everything: of all planes, assigned or not."""
    rng = random.Random(seed)
    table = mt.by_category()
    fixed = mt.fixed_strings()
    for s in SPECIALS:
        fixed += [s, s + s, " " + s, s + " ", "  " + s + "  x", "a" + s + "b", "a " + s + " b", s[:-1], s.upper(), "\n" + s + "\n", s + "s"]
    fixed += [SIGN, SIGN + "a", "a" + SIGN, " " + SIGN + " ", SIGN * 5, "the" + SIGN + "gene", " the  gene ", "\u00e9\u00e9\u00e9", "\U0001f600\U0001f601 \U0001f602",
              "\u4e2d\u6587the", "x\u4e2dx", "e\u0301 a\u0308 A\u030a", "\u304b\u3099", "\r\n a", "\u2026\u00df\u00bd", "''a''", "aaaeeea"]
    fixed += [c * k for c in ("a", "e", " ", "\n", "\u00e9", "\u4e2d", "\U0001f600", SIGN, "1", "!", "\u0301") for k in (49, 200, 1000)]
    yield from fixed[:n]
    more = mt.random_strings(rng, table)
    for i in range(n - len(fixed)):
        s = next(more)
        if rng.random() < 0.1:
            at = rng.randint(0, len(s))
            s = s[:at] + rng.choice(SPECIALS) + s[at:]
        if everything and i % 10 == 0:
            s += "".join(chr(rng.choice([rng.randint(0, 0xD7FF), rng.randint(0xE000, 0xFFFF), rng.randint(0x10000, 0x10FFFF)])) for _ in range(rng.randint(1, 4)))
        yield s
