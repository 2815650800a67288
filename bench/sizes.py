#!/usr/bin/env python3
"""Cost against size: what one more answer, a longer prompt or another thread costs, one size at a time.

    bench/sizes.py MODEL [--only LIST] [--precision f32] [--rounds 3] [--quick] [--json FILE] [--write docs/PERFORMANCE.md]

rows        answers that are drawn at once behind one prompt: sampling
prompt      tokens of a prompt: reading it, and drawing 8 answers behind it
answer      tokens of an answer: drawing 8 of them, and training on 2
group       answers of 16 that share a prompt of 192 tokens: training
threads     reading, sampling with 32 answers, and training
vocabulary  words of a model that is MODEL in all else: sampling with 32 answers, and training; MODEL is a GGUF file, and the
            package gguf has to be there. Such a model says nothing of sense: its words are MODEL's, fewer, or again and again.

Every point is a run of `hone bench` (see there what is measured, and what the limit is). --json keeps the points: those that it
has already for the same hone and model are not measured again, so the script may be stopped at any time. --write puts the tables into the
section of a Markdown file, and the drawing beside it as performance-sizes.svg. --quick measures the ends of each row alone.
"""
import argparse
import hashlib
import json
import os
import sys
import tempfile

sys.dont_write_bytecode = True
from chart import Series, drawing  # noqa: E402
from sections import HONE, bench, processor, spread, table, write_section  # noqa: E402

SECTION = "bench/sizes.py"


class Curve:
    """name; the words for hone bench at a size"""

    def __init__(self, name, words):
        self.name, self.words = name, words


def threads():
    """1, 2, 4, ... up to the cores there are"""
    cores, sizes = len(os.sched_getaffinity(0)), []
    while not sizes or 2 * sizes[-1] <= cores:
        sizes.append(2 * sizes[-1] if sizes else 1)
    return sizes + ([cores] if sizes[-1] != cores else [])


PLANS = {
    "rows": ("answers at once", [1, 2, 4, 8, 16, 32, 64, 128, 256], [
        Curve("sampling", lambda n: ["--parts", "sample", "--answers", n, "--tokens", 32])]),
    "prompt": ("tokens of the prompt", [16, 64, 256, 1024, 2048, 4096], [
        Curve("reading", lambda n: ["--parts", "prefill", "--prompt", n]),
        Curve("8 answers behind it", lambda n: ["--parts", "sample", "--answers", 8, "--prompt", n, "--tokens", 32])]),
    "answer": ("tokens of an answer", [16, 64, 256, 1024, 2048], [
        Curve("8 answers", lambda n: ["--parts", "sample", "--answers", 8, "--tokens", n]),
        Curve("training on 2", lambda n: ["--parts", "train", "--answers", 2, "--tokens", n])]),
    "group": ("answers that share a prompt", [1, 2, 4, 8, 16], [
        Curve("training", lambda n: ["--parts", "train", "--answers", 16, "--group", n])]),
    "threads": ("threads", threads(), [
        Curve("reading", lambda n: ["--parts", "prefill", "--threads", n]),
        Curve("32 answers", lambda n: ["--parts", "sample", "--answers", 32, "--tokens", 32, "--threads", n]),
        Curve("training", lambda n: ["--parts", "train", "--answers", 4, "--threads", n])]),
    "vocabulary": ("words of the vocabulary", [1024, 4096, 16384, 49152, 131072, 262144], [
        Curve("32 answers", lambda n: ["--parts", "sample", "--answers", 32, "--tokens", 32]),
        Curve("training", lambda n: ["--parts", "train", "--answers", 4])]),
}


# ---- models of another vocabulary ----

def cut_words(tokens, merges, size):
    """The first words of a byte-level BPE, and the merges that make none but these."""
    kept = set(tokens[:size])

    def stays(merge):
        left, right = merge.split(" ")
        return {left, right, left + right} <= kept
    return tokens[:size], [m for m in merges if stays(m)]


def with_vocabulary(model, size, path):
    """Writes model to path with that many words: the first ones, or all of them and then rows without a word."""
    try:
        import gguf
        import numpy
    except ImportError:
        sys.exit("vocabulary needs the Python package gguf (pip install gguf), or leave it out with --only")
    reader = gguf.GGUFReader(model)
    out = gguf.GGUFWriter(path, reader.fields["general.architecture"].contents())
    lists = {name: reader.fields["tokenizer.ggml." + name].contents() for name in ("tokens", "merges", "token_type")}
    lists["tokens"], lists["merges"] = cut_words(lists["tokens"], lists["merges"], size)
    lists["token_type"] = lists["token_type"][:size]
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        value = size if name.endswith(".vocab_size") else lists.get(name.removeprefix("tokenizer.ggml."), field.contents())
        kind = field.types[0]
        out.add_key_value(name, value, kind, field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None)
    for t in reader.tensors:
        data = t.data
        if t.name in ("token_embd.weight", "output.weight"):
            data = numpy.resize(data, (size,) + data.shape[1:])
        out.add_tensor(t.name, data, raw_dtype=t.tensor_type)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return path


# ---- points ----

class Points:
    """What was measured, by what it was measured with; kept in a file where there is one."""

    def __init__(self, o):
        self.o, self.found = o, {}
        with open(o.hone, "rb") as stream:
            self.of = [hashlib.sha256(stream.read()).hexdigest(), os.path.basename(o.model.rstrip("/")), o.precision, o.rounds]
        if o.json and os.path.exists(o.json):
            with open(o.json, encoding="utf-8") as stream:
                self.found = json.load(stream)

    def key(self, words, size):
        return json.dumps(self.of + [str(w) for w in words] + ([size] if size else []))

    def get(self, words, model, size):
        """size: of the vocabulary, where model is one of another"""
        key = self.key(words, size)
        if key not in self.found:
            told = bench(self.o.hone, model(), "--precision", self.o.precision, "--rounds", str(self.o.rounds),
                         *(["--threads", str(self.o.threads)] if self.o.threads and "--threads" not in words else []),
                         *(str(w) for w in words))
            (self.found[key],) = told["parts"].values()
            if self.o.json:
                with open(self.o.json + ".new", "w", encoding="utf-8") as stream:
                    json.dump(self.found, stream, indent=1)
                os.replace(self.o.json + ".new", self.o.json)
        return self.found[key]


def measure(o, name, points, folder):
    """[(curve's name, [(size, part)])]"""
    what, sizes, curves = PLANS[name]
    sizes = [sizes[0], sizes[-1]] if o.quick and len(sizes) > 2 else sizes
    print("%s (%s)" % (name, what), flush=True)
    rows = {c.name: [] for c in curves}
    for n in sizes:
        path = os.path.join(folder, "vocabulary-%d.gguf" % n)

        def model():
            if name != "vocabulary":
                return o.model
            return path if os.path.exists(path) else with_vocabulary(o.model, n, path)
        for c in curves:
            part = points.get(c.words(n), model, n if name == "vocabulary" else None)
            rows[c.name].append((n, part))
            print("  %7d %-20s %10.1f tok/s %5.1f %% of the limit" % (n, c.name, part["median"], 100 * part["fraction"]),
                  flush=True)
        if os.path.exists(path):
            os.remove(path)
    return list(rows.items())


def panel_of(name, rows):
    series = [Series(curve, [(n, p["median"], p["least"], p["most"]) for n, p in points], [(n, p["limit"]) for n, p in points])
              for curve, points in rows]
    return PLANS[name][0], series


def table_of(name, rows):
    head = [PLANS[name][0]] + [text for curve, _ in rows for text in (curve + ", tok/s", "of the limit")]
    sizes = [n for n, _ in rows[0][1]]
    return table(head, [[n] + [text for _, points in rows for text in
                               (spread(points[i][1]["values"]), "%.0f %% (%s)" % (100 * points[i][1]["fraction"], points[i][1]["bound"]))]
                        for i, n in enumerate(sizes)])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model")
    p.add_argument("--only", type=lambda s: s.split(","), default=list(PLANS), metavar="LIST")
    p.add_argument("--precision", default="f32", choices=["f32", "int8"])
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--threads", type=int)
    p.add_argument("--quick", action="store_true")
    p.add_argument("--hone", default=HONE)
    p.add_argument("--json", metavar="FILE")
    p.add_argument("--svg", metavar="FILE")
    p.add_argument("--write", metavar="FILE")
    o = p.parse_args()
    for name in o.only:
        if name not in PLANS:
            p.error('--only has "%s"; there are %s' % (name, ", ".join(PLANS)))
    if not os.path.exists(o.hone):
        p.error("%s is not there: run make, or name another with --hone" % o.hone)
    points = Points(o)
    with tempfile.TemporaryDirectory() as folder:
        found = {name: measure(o, name, points, folder) for name in o.only}
    note = "%s in %s on %s, %s, %d rounds a point" % (
        points.of[1], o.precision, processor(), "%d threads" % (o.threads or len(os.sched_getaffinity(0))), o.rounds)
    svg = o.svg or (os.path.join(os.path.dirname(o.write), "performance-sizes.svg") if o.write else None)
    text = note + ".\n"
    if svg:
        with open(svg, "w", encoding="utf-8") as stream:
            stream.write(drawing("Tokens a second; dashes: the machine's limit. " + note, "tok/s",
                                 [panel_of(name, rows) for name, rows in found.items()]))
        text += "\n![Tokens a second against size, six panels; the same figures as in the tables](%s)\n" % os.path.basename(svg)
    for name, rows in found.items():
        text += "\n%s\n" % table_of(name, rows)
    if o.write:
        write_section(o.write, SECTION, text)
    else:
        print(text)


if __name__ == "__main__":
    main()
