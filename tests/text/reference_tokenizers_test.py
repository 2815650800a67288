"""hone tokenize against Hugging Face's library: a tokenizer of each kind, ids, ids of plain text, and decoded text.

Skipped where the library `tokenizers` is not there. HONE_STRINGS: strings of each kind (2,000; the full check takes 100,000),
HONE_KINDS: names, or FILE.json, with commas between.
"""
import json
import os
import struct
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HONE = os.environ.get("HONE_BIN", "")
COUNT = int(os.environ.get("HONE_STRINGS", "2000"))
sys.path.insert(0, os.path.join(ROOT, "tools", "golden"))
try:
    from tokenizers import Tokenizer

    import tokenizer_kinds as kinds
except ImportError as e:
    kinds = None
    print("SKIPPED:", e)


def put_model(folder, text, n_tokens):
    """A model of zeros around a tokenizer."""
    width, shapes = 8, {}
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": width, "intermediate_size": width,
              "num_hidden_layers": 1, "num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": width, "vocab_size": n_tokens,
              "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": True, "max_position_embeddings": 64,
              "hidden_act": "silu"}
    shapes["model.embed_tokens.weight"] = [n_tokens, width]
    shapes["model.norm.weight"] = [width]
    for name in ("input_layernorm", "post_attention_layernorm"):
        shapes["model.layers.0.%s.weight" % name] = [width]
    for name in ("mlp.down_proj", "mlp.gate_proj", "mlp.up_proj", "self_attn.k_proj", "self_attn.o_proj", "self_attn.q_proj",
                 "self_attn.v_proj"):
        shapes["model.layers.0.%s.weight" % name] = [width, width]
    header, at = {}, 0
    for name, shape in shapes.items():
        size = 2
        for d in shape:
            size *= d
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    head = json.dumps(header).encode()
    with open(os.path.join(folder, "model.safetensors"), "wb") as f:
        f.write(struct.pack("<Q", len(head)) + head + bytes(at))
    for name, value in (("config.json", json.dumps(config)), ("tokenizer.json", text)):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            f.write(value)


def without_added(tok):
    """The same tokenizer to which no text is an added token; Unigram would find them in its vocabulary."""
    d = json.loads(tok.to_str())
    names = {t["content"]: t["content"] + "\U000ffffe\u0000" for t in d["added_tokens"]}
    model = d["model"]
    if model["type"] == "Unigram":
        model["vocab"] = [[names.get(t, t), s] for t, s in model["vocab"]]
    d["added_tokens"], d["post_processor"] = [], None
    return Tokenizer.from_str(json.dumps(d))


def hone(folder, rows, *args):
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    p = subprocess.run([HONE, "tokenize", "--json", "--model", folder, *args], input=data, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, timeout=1800, check=False)
    if p.returncode:
        raise AssertionError(p.stderr.decode()[-2000:])
    return [json.loads(line) for line in p.stdout.splitlines()]


@unittest.skipUnless(kinds and HONE and os.path.exists(HONE), "no tokenizers, or HONE_BIN names no hone")
class ReferenceTokenizersTest(unittest.TestCase):
    def compare(self, name, tok):
        texts = list(kinds.strings(COUNT, seed=len(name) * 131 + COUNT, everything=COUNT > 10000))
        with tempfile.TemporaryDirectory() as folder:
            put_model(folder, tok.to_str(), max(tok.get_vocab(True).values()) + 1)
            rows = [{"text": t} for t in texts]
            got = [r["ids"] for r in hone(folder, rows)]
            plain = [r["ids"] for r in hone(folder, rows, "--no-special")]
            want = [e.ids for e in tok.encode_batch(texts, add_special_tokens=False)]
            decoded = [r["text"] for r in hone(folder, [{"ids": ids} for ids in want], "--detokenize")]
        bare = [e.ids for e in without_added(tok).encode_batch(texts, add_special_tokens=False)]
        back = tok.decode_batch(want, skip_special_tokens=False)
        for what, a, b in (("ids", got, want), ("plain ids", plain, bare), ("text", decoded, back)):
            wrong = [i for i in range(len(texts)) if a[i] != b[i]]
            print("%-18s %-9s %6d of %d equal" % (name, what, len(texts) - len(wrong), len(texts)), flush=True)
            for i in wrong[:int(os.environ.get("HONE_SHOW", "3"))]:
                print("    %a\n      hone      %a\n      reference %a" % (texts[i][:300], a[i][:300], b[i][:300]))
            self.assertEqual([], wrong[:1], "%s: %s differ in %d strings" % (name, what, len(wrong)))

    def test_every_kind_gives_the_ids_and_the_text_of_the_reference(self):
        for name in os.environ.get("HONE_KINDS", ",".join(kinds.KINDS)).split(","):
            with self.subTest(kind=name):
                tok = Tokenizer.from_file(name) if name.endswith(".json") else kinds.KINDS[name]()
                tok.no_padding()  # a file may say both; they are of a batch, as transformers calls it
                tok.no_truncation()
                self.compare(os.path.basename(name), tok)


if __name__ == "__main__":
    unittest.main()
