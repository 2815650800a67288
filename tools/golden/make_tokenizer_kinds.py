"""make_tokenizer_kinds.py - tests/golden/tokenizer_kinds: small tokenizers of every kind, and what the reference makes of strings.

    python make_tokenizer_kinds.py        needs tokenizers (Python 3.11, for Unicode 14)
"""
import gzip
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "text"))
import tokenizer_kinds as kinds
from common import here, versions
from reference_tokenizers_test import without_added

OUT = here("tokenizer_kinds")
COUNT = 1100 # hand-picked ones, most of them, and some that are random
EVERY = 3


def write_lines(name, rows):
    with gzip.GzipFile(os.path.join(OUT, name), "wb", compresslevel=9, mtime=0) as f:
        for r in rows:
            f.write((json.dumps(r, ensure_ascii=False, separators=(",", ":")) + "\n").encode())


def main():
    os.makedirs(OUT, exist_ok=True)
    strings = [s for s in kinds.strings(COUNT) if len(s) < 400][::EVERY]
    rows = []
    for name, make in kinds.KINDS.items():
        if name in ("gpt2", "llama3", "qwen2"): # tests/golden/tokenizer has ten thousand strings of these
            continue
        tok = make()
        bare = without_added(tok)
        row = {"name": name, "tokenizer": json.loads(tok.to_str()), "ids": [], "plain": [], "text": []}
        for s in strings:
            ids = tok.encode(s, add_special_tokens=False).ids
            plain = bare.encode(s, add_special_tokens=False).ids
            text = tok.decode(ids, skip_special_tokens=False)
            row["ids"].append(ids)
            row["plain"].append(None if plain == ids else plain)
            row["text"].append(None if text == s else text)
        rows.append(row)
    write_lines("strings.jsonl.gz", strings)
    write_lines("kinds.jsonl.gz", rows)
    with open(os.path.join(OUT, "README.md"), "w", encoding="utf-8") as f:
        f.write(f"""# tokenizer_kinds: every kind of tokenizer.json, and what becomes of nasty strings

Made by `tools/golden/make_tokenizer_kinds.py` with {versions("tokenizers")}. All must be equal; there is no tolerance.

| file | a line is |
|---|---|
| `strings.jsonl.gz` | a JSON string; {len(strings)} of them |
| `kinds.jsonl.gz` | one of {len(rows)} kinds: its `name`, the `tokenizer`.json, and for each string its `ids`, those as `plain` text (null: the same), and the decoded `text` (null: the string) |

`tools/golden/tokenizer_kinds.py` says what each kind is. `tests/text/reference_tokenizers_test.py` compares the same kinds with the
library itself, on as many strings as `HONE_STRINGS` says.
""")


if __name__ == "__main__":
    main()
