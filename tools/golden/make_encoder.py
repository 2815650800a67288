#!/usr/bin/env python3
"""make_encoder.py MINILM - texts, and the vectors that transformers' BERT gives them.

MINILM is the folder all-MiniLM-L6-v2 (scripts/embedding-model gets it). Writes tests/golden/encoder/: tiny random encoders
in each form, and the vectors of a few texts by each of them and by MiniLM. All in double precision, with the weights
rounded to what the files hold.

    python make_encoder.py models/all-MiniLM-L6-v2        needs torch, transformers, tokenizers, safetensors, gguf
"""
import json
import os
import random
import shutil
import sys

import gguf
import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertForMaskedLM, BertModel

import make_tokenizer as nasty
from common import here, versions

OUT = here("encoder")
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TEXTS = ["", " ", "a", "The patient has a fever.", "the patient has a fever", "The gene explains the fever.", "What is the name of the gene?", "Answer: BRCA2", "BRCA2",
         "naïve café — Grüße", "人工知能", "Привет, мир!", "שלום", "\U0001F600 \u200d", "1234.5678", "a b c d e f g h i j k l m n o p", "\t\n\x00\ufffd", "x" * 101, "e\u0301" * 30,
         "The contract may be ended by either party with thirty days' notice in writing.", "Either side can terminate the agreement by giving a month's written notice.",
         "A cat sat on the mat.", "A kitten was resting on the rug.", "Stock prices fell sharply on Monday.", "def f(x): return x + 1", "yes", "no", "not yes", "?!...", "$5 + €6 = £7"]
LONG = " ".join(nasty.CORPUS)


def train_tokenizer(size):
    tok = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tok.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=None)
    tok.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tok.train_from_iterator(nasty.CORPUS[:3], trainers.WordPieceTrainer(vocab_size=size, show_progress=False, min_frequency=1, special_tokens=SPECIALS))
    tok.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[(t, tok.token_to_id(t)) for t in ("[CLS]", "[SEP]")])
    return tok


def random_bert(cls, seed, **shape):
    """Every weight counts: norms and biases are random, too, and matrices large enough for a sharp softmax."""
    torch.manual_seed(seed)
    model = cls(BertConfig(**shape)).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            norm = "LayerNorm.weight" in name
            p.copy_((1 if norm else 0) + torch.randn_like(p) * (0.3 if p.dim() == 1 else 0.7 if "embeddings" in name else 1.5 / p.shape[1] ** 0.5))
    return model


def embed(model, tok, text, longest, pooling):
    """(vector in float64, number of tokens, whether it was cut)"""
    ids = tok.encode(text, add_special_tokens=False).ids
    cut = len(ids) + 2 > longest
    ids = [tok.token_to_id("[CLS]")] + ids[:longest - 2] + [tok.token_to_id("[SEP]")]
    with torch.no_grad():
        x = model(torch.tensor([ids])).last_hidden_state[0]
    v = x[0] if pooling == "cls" else x.mean(0)
    return (v / v.norm()).numpy(), len(ids), cut


def rows(model, tok, texts, longest, pooling, keep=None):
    model = model.double()
    out = []
    for t in texts:
        v, n, cut = embed(model, tok, t, longest, pooling)
        out.append({"text": t, "tokens": n, "truncated": cut, "vector": [float(f"{x:.8f}") for x in v[:keep]]})
    return out


def save_rows(name, values):
    with open(os.path.join(OUT, name + ".jsonl"), "w", encoding="utf-8") as f:
        f.writelines(json.dumps(r, ensure_ascii=False) + "\n" for r in values)


def write_json(path, value):
    with open(os.path.join(OUT, path), "w", encoding="utf-8") as f:
        json.dump(value, f, indent=1)
        f.write("\n")


def hf_folder(name, tensors, config, **files):
    folder = os.path.join(OUT, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(os.path.join(folder, "1_Pooling"))
    save_file({k: v.contiguous() for k, v in tensors.items()}, os.path.join(folder, "model.safetensors"))
    keep = {k: v for k, v in config.to_dict().items() if k in BertConfig().to_dict() and k in (
        "model_type hidden_size num_hidden_layers num_attention_heads intermediate_size vocab_size max_position_embeddings type_vocab_size layer_norm_eps "
        "hidden_act position_embedding_type").split()}
    write_json(f"{name}/config.json", keep)
    for path, value in files.items():
        write_json(f"{name}/{path.replace('__', '/')}.json", value)


GGUF_NAMES = {"embeddings.word_embeddings": "token_embd", "embeddings.position_embeddings": "position_embd", "embeddings.token_type_embeddings": "token_types",
              "embeddings.LayerNorm": "token_embd_norm", "attention.self.query": "attn_q", "attention.self.key": "attn_k", "attention.self.value": "attn_v",
              "attention.output.dense": "attn_output", "attention.output.LayerNorm": "attn_output_norm", "intermediate.dense": "ffn_up", "output.dense": "ffn_down",
              "output.LayerNorm": "layer_output_norm"}


def gguf_name(name):
    stem, end = name.rsplit(".", 1)
    if stem.startswith("encoder.layer."):
        _, _, layer, rest = stem.split(".", 3)
        return f"blk.{layer}.{GGUF_NAMES[rest]}.{end}"
    return f"{GGUF_NAMES[stem]}.{end}"


def write_gguf(path, model, tok, kind):
    """As convert_hf_to_gguf.py does BERT. Returns the weights as the file holds them."""
    c = model.config
    w = gguf.GGUFWriter(os.path.join(OUT, path), "bert")
    w.add_block_count(c.num_hidden_layers)
    w.add_context_length(c.max_position_embeddings)
    w.add_embedding_length(c.hidden_size)
    w.add_feed_forward_length(c.intermediate_size)
    w.add_head_count(c.num_attention_heads)
    w.add_layer_norm_eps(c.layer_norm_eps)
    w.add_causal_attention(False)
    w.add_pooling_type(gguf.PoolingType.MEAN)
    w.add_token_type_count(c.type_vocab_size)
    by_id = [t for _, t in sorted((i, t) for t, i in tok.get_vocab().items())]
    w.add_tokenizer_model("bert")
    w.add_tokenizer_pre("default")
    w.add_token_list([t if t in SPECIALS else t[2:] if t.startswith("##") else "\u2581" + t for t in by_id])
    w.add_token_types([gguf.TokenType.CONTROL if t in SPECIALS else gguf.TokenType.NORMAL for t in by_id])
    w.add_unk_token_id(1)
    w.add_bos_token_id(2) # as llama.cpp calls [CLS]
    w.add_sep_token_id(3)
    w.add_pad_token_id(0)
    w.add_mask_token_id(4)
    held = {}
    for name, p in model.state_dict().items():
        x = p.float().numpy()
        if name.startswith("pooler") or name.endswith("position_ids"):
            continue
        quant = kind if x.ndim == 2 and "position" not in name and "token_type" not in name else gguf.GGMLQuantizationType.F32
        data = gguf.quants.quantize(x, quant)
        w.add_tensor(gguf_name(name), data, raw_dtype=quant)
        held[name] = torch.from_numpy(gguf.quants.dequantize(data, quant).reshape(x.shape).copy())
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    return held


def minilm_texts():
    rng = random.Random(6)
    words = [w for w in LONG.split() if w.isascii()] + "heart kidney liver brain court judge contract loan market price stock river mountain music guitar".split()
    out = list(TEXTS) + [LONG, " ".join(["fever"] * 300), "gene " * 254, "gene " * 255]
    while len(out) < 65:
        out.append(" ".join(rng.choices(words, k=rng.choice([2, 4, 8, 16, 40]))))
    return out


def with_cosines(full):
    """Each line's cosines to all lines before it; of its vector the beginning."""
    for i, r in enumerate(full):
        r["cosines"] = [float(f"{np.dot(r['vector'], before['vector']):.7f}") for before in full[:i]]
    for r in full:
        r["vector"] = r["vector"][:16]
    return full


def main(minilm):
    os.makedirs(OUT, exist_ok=True)
    tok = train_tokenizer(260)
    texts = TEXTS + [LONG, LONG[:200]]

    mean = random_bert(BertModel, 1, vocab_size=tok.get_vocab_size(), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
                       max_position_embeddings=48)
    hf_folder("mean", {k: v for k, v in mean.state_dict().items() if not k.startswith("pooler")}, mean.config)
    os.rmdir(os.path.join(OUT, "mean", "1_Pooling"))
    tok.save(os.path.join(OUT, "mean", "tokenizer.json"), pretty=False)
    save_rows("mean", rows(mean, tok, texts, 48, "mean"))
    mean.float()
    for name, kind in (("f32", gguf.GGMLQuantizationType.F32), ("f16", gguf.GGMLQuantizationType.F16), ("q8_0", gguf.GGMLQuantizationType.Q8_0)):
        held = write_gguf(f"{name}.gguf", mean, tok, kind)
        copy = BertModel(mean.config).eval()
        copy.load_state_dict(held, strict=False)
        save_rows(name, rows(copy, tok, texts, 48, "mean"))

    # heads narrower than a vector, three types of token, [CLS], pretraining heads and position_ids beside it, half precision
    cls = random_bert(BertForMaskedLM, 2, vocab_size=tok.get_vocab_size(), hidden_size=40, num_hidden_layers=3, num_attention_heads=5, intermediate_size=72,
                      max_position_embeddings=40, type_vocab_size=3, layer_norm_eps=1e-5).half().float()
    tensors = {k: v.half() for k, v in cls.state_dict().items() if k != "cls.predictions.decoder.weight"}
    tensors["bert.embeddings.position_ids"] = torch.arange(40)[None]
    hf_folder("cls", tensors, cls.config, sentence_bert_config={"max_seq_length": 24, "do_lower_case": False},
              modules=[{"idx": i, "name": str(i), "path": p, "type": "sentence_transformers.models." + t} for i, (p, t) in
                       enumerate([("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")])],
              tokenizer_config={"do_lower_case": True, "tokenizer_class": "BertTokenizer"},
              **{"1_Pooling__config": {"word_embedding_dimension": 40, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}})
    with open(os.path.join(OUT, "cls", "vocab.txt"), "w", encoding="utf-8") as f:
        f.writelines(t + "\n" for _, t in sorted((i, t) for t, i in tok.get_vocab().items()))
    save_rows("cls", rows(cls.bert, tok, texts, 24, "cls"))

    real = BertModel.from_pretrained(minilm).eval()
    real_tok = Tokenizer.from_file(os.path.join(minilm, "tokenizer.json"))
    real_tok.no_truncation()
    real_tok.no_padding()
    save_rows("minilm", with_cosines(rows(real, real_tok, minilm_texts(), 256, "mean")))
    with open(os.path.join(OUT, "README.md"), "w", encoding="utf-8") as f:
        f.write(f"""# encoder: texts and their vectors

Made by `tools/golden/make_encoder.py` with {versions("torch", "transformers", "tokenizers", "safetensors", "gguf")}, in double
precision with the weights that the files hold. Vectors have length 1. Tolerance: 2e-6 a component, 1e-6 a cosine.

| file | what |
|---|---|
| `mean/` | a random BertModel of 2 layers in a folder with tokenizer.json and no word about pooling; `mean.jsonl` |
| `f32.gguf`, `f16.gguf`, `q8_0.gguf` | the same in GGUF, as llama.cpp's converter writes BERT; `<name>.jsonl` is of the weights as rounded |
| `cls/` | a random BertForMaskedLM of 3 layers in half precision, heads of width 8, with vocab.txt, [CLS] pooling, 24 tokens at most, its pretraining head and position_ids; `cls.jsonl` |
| `minilm.jsonl` | all-MiniLM-L6-v2, which is not kept here: the first 16 components, and the cosines to the vectors of all lines before: 2,080 pairs |

A line of `<name>.jsonl` is {{"text", "tokens", "truncated", "vector"}}.
""")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(sys.argv[1])
