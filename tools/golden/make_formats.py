#!/usr/bin/env python3
"""make_formats.py - small Llamas whose weights are in the formats that make_tiny.py has not, and their logits.

Writes tests/golden/formats/: a GGUF file in three parts, whose matrices have as many types as there are, and the tiny model as a
sharded folder of FP8 with blocks. gguf-py has no quantiser for K-quants and IQ4, so of those blocks the bytes are random and the
scales such that values are about as large as a model's.

    python make_formats.py     after make_tiny.py; needs torch, transformers, safetensors, gguf
"""
import json
import os
import shutil

import gguf
import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

import make_tiny as tiny
import reference as ref

OUT, TINY = ref.here("formats"), ref.here("tiny")
WIDTH, HEADS, KV_HEADS, HEAD_DIM, FFN, VOCAB = 256, 2, 1, 16, 32, 320
TYPES = gguf.GGMLQuantizationType
# layer by layer: every type that is not in make_tiny.py, each twice or more
KINDS = {"embed_tokens": "Q5_K",
         "0.self_attn.q_proj": "Q2_K", "0.self_attn.k_proj": "Q3_K", "0.self_attn.v_proj": "Q5_K",
         "0.self_attn.o_proj": "Q5_0", "0.mlp.gate_proj": "IQ4_XS", "0.mlp.up_proj": "Q2_K", "0.mlp.down_proj": "Q5_1",
         "1.self_attn.q_proj": "Q6_K", "1.self_attn.k_proj": "IQ4_XS", "1.self_attn.v_proj": "Q4_K",
         "1.self_attn.o_proj": "IQ4_NL", "1.mlp.gate_proj": "MXFP4", "1.mlp.up_proj": "Q3_K", "1.mlp.down_proj": "MXFP4"}
# what d is of a value's size, where d stands, and where the scale of minima with its share of d
SCALES = {"Q2_K": (12, 80, 82, 1.5), "Q3_K": (42, 108), "Q4_K": (200, 0, 2, 7.5), "Q5_K": (400, 0, 2, 15.5),
          "Q6_K": (1300, 208), "IQ4_NL": (70, 0), "IQ4_XS": (1300, 0)}
BLOCK = (40, 48) # of FP8: neither divides what it cuts


def random_blocks(rng, kind, rows, cols, size):
    if kind not in SCALES:
        return gguf.quants.quantize((rng.standard_normal((rows, cols)) * size).astype(np.float32), TYPES[kind])
    n, n_bytes = gguf.GGML_QUANT_SIZES[TYPES[kind]]
    raw = rng.integers(0, 256, (rows, cols // n, n_bytes), dtype=np.uint8)
    share, at, *least = SCALES[kind]
    d = size / share * (0.5 + rng.random((rows, cols // n)))
    raw[..., at:at + 2] = d.astype(np.float16)[..., None].view(np.uint8)
    if least:
        raw[..., least[0]:least[0] + 2] = (d * least[1]).astype(np.float16)[..., None].view(np.uint8)
    return raw.reshape(rows, -1)


def tokens_of(tok, w):
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("smollm")
    names = sorted(tok["model"]["vocab"], key=tok["model"]["vocab"].get)
    w.add_token_list(names)
    w.add_token_types([gguf.TokenType.CONTROL if n in tiny.SPECIAL else gguf.TokenType.NORMAL for n in names])
    w.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in tok["model"]["merges"]])
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    w.add_add_bos_token(False)
    w.add_chat_template(tiny.CHATML)


def save_gguf(tok):
    """The model in three parts; returns it with the weights that a loader finds in them."""
    rng = np.random.default_rng(9)
    config = LlamaConfig(vocab_size=VOCAB, hidden_size=WIDTH, intermediate_size=FFN, num_hidden_layers=2,
                         num_attention_heads=HEADS, num_key_value_heads=KV_HEADS, head_dim=HEAD_DIM,
                         max_position_embeddings=512, rms_norm_eps=1e-5, tie_word_embeddings=True,
                         rope_parameters={"rope_type": "default", "rope_theta": 100000.0}, dtype="float32")
    model = LlamaForCausalLM(config).eval()
    w = gguf.GGUFWriter(os.path.join(OUT, "mixed.gguf"), "llama", split_max_tensors=7)
    w.add_name("small random llama of many types")
    w.add_quantization_version(2)
    w.add_vocab_size(VOCAB)
    w.add_context_length(config.max_position_embeddings)
    w.add_embedding_length(WIDTH)
    w.add_block_count(2)
    w.add_feed_forward_length(FFN)
    w.add_rope_dimension_count(HEAD_DIM)
    w.add_rope_freq_base(100000.0)
    w.add_head_count(HEADS)
    w.add_head_count_kv(KV_HEADS)
    w.add_key_length(HEAD_DIM)
    w.add_value_length(HEAD_DIM)
    w.add_layer_norm_rms_eps(config.rms_norm_eps)
    tokens_of(tok, w)
    weights = {}
    for name, p in model.named_parameters():
        if p.ndim == 1:
            x = (1 + 0.2 * rng.standard_normal(p.shape)).astype(np.float32)
            w.add_tensor(tiny.gguf_name(name), x)
        else:
            kind = KINDS[name.removeprefix("model.").removeprefix("layers.").removesuffix(".weight")]
            raw = random_blocks(rng, kind, *p.shape, 0.1 if "embed" in name else 1.2 / p.shape[1] ** 0.5)
            w.add_tensor(tiny.gguf_name(name), raw, raw_dtype=TYPES[kind])
            x = gguf.quants.dequantize(raw, TYPES[kind])
            heads = HEADS if "q_proj" in name else KV_HEADS if "k_proj" in name else 0
            x = tiny.unpermute(x, heads) if heads else x
        weights[name] = torch.from_numpy(np.array(x))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    return tiny.with_weights(model, weights)


def to_fp8(x, kind):
    """The values, their factors, and what both mean together."""
    n = [-(-s // b) for s, b in zip(x.shape, BLOCK)]
    scale = torch.ones(n)
    for i in range(n[0]):
        for j in range(n[1]):
            part = x[i * BLOCK[0]:(i + 1) * BLOCK[0], j * BLOCK[1]:(j + 1) * BLOCK[1]]
            scale[i, j] = part.abs().max() / torch.finfo(kind).max
    scale = scale.bfloat16().float() if kind == torch.float8_e5m2 else scale
    full = scale.repeat_interleave(BLOCK[0], 0).repeat_interleave(BLOCK[1], 1)[:x.shape[0], :x.shape[1]]
    q = (x / full).clamp(-torch.finfo(kind).max, torch.finfo(kind).max).to(kind)
    return q, scale, q.float() * full


def save_fp8():
    """The tiny model, its linear layers in FP8: layer 1's o_proj e5m2 with factors in BF16, the rest e4m3."""
    folder, shards, weights = os.path.join(OUT, "fp8"), [{}, {}], {}
    os.makedirs(folder)
    with safe_open(os.path.join(TINY, "hf", "model.safetensors"), "pt") as f:
        for name in f.keys():
            x, shard = f.get_tensor(name), shards["layers.2" in name]
            if x.ndim == 1 or "embed" in name:
                shard[name] = x.bfloat16()
                weights[name] = shard[name].float()
                continue
            odd = "layers.1.self_attn.o_proj" in name
            shard[name], scale, weights[name] = to_fp8(x, torch.float8_e5m2 if odd else torch.float8_e4m3fn)
            shard[name + ("_scale" if odd else "_scale_inv")] = scale.bfloat16() if odd else scale
    index = {}
    for i, shard in enumerate(shards):
        file = f"model-{i + 1:05}-of-00002.safetensors"
        save_file(shard, os.path.join(folder, file), metadata={"format": "pt"})
        index.update({n: file for n in shard})
    ref.write_json(os.path.join(folder, "model.safetensors.index.json"), {"metadata": {}, "weight_map": index})
    with open(os.path.join(TINY, "hf", "config.json"), encoding="utf-8") as f:
        config = json.load(f)
    config["quantization_config"] = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic",
                                     "weight_block_size": list(BLOCK)}
    ref.write_json(os.path.join(folder, "config.json"), config)
    for f in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        shutil.copy(os.path.join(TINY, "hf", f), folder)
    return tiny.with_weights(LlamaForCausalLM.from_pretrained(os.path.join(TINY, "hf"), dtype=torch.float32), weights)


def save_logits(models):
    with open(os.path.join(TINY, "logits.json"), encoding="utf-8") as f:
        cases = [{k: c[k] for k in ("name", "ids")} for c in json.load(f)["cases"]]
    tensors, worst = {}, {k: 0.0 for k in models}
    for i, case in enumerate(cases):
        case["logprobs"] = {}
        for kind, model in models.items():
            with torch.no_grad():
                logits, lp = ref.logprobs_of(model, case["ids"])
                truth = ref.DoubleLlama(model.config, dict(model.named_parameters()))
                worst[kind] = max(worst[kind], (logits - ref.logprobs_of(truth, case["ids"])[0]).abs().max().item())
            case["logprobs"][kind] = [None] + ref.floats(lp)
            if i == 2:
                tensors[f"{i}.{kind}"] = logits
    ref.write_json(os.path.join(OUT, "logits.json"), {"cases": cases})
    ref.save_tensors(os.path.join(OUT, "logits.safetensors"), tensors)
    return worst


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    os.makedirs(OUT)
    torch.set_num_threads(1)
    with open(os.path.join(TINY, "hf", "tokenizer.json"), encoding="utf-8") as f:
        tok = json.load(f)
    worst = save_logits({"mixed": save_gguf(tok), "fp8": save_fp8()})
    kinds = ", ".join(sorted(set(KINDS.values())))
    with open(os.path.join(OUT, "README.md"), "w", encoding="utf-8") as f:
        f.write(f"""# formats: models in types that `tiny/` has not

Made by `tools/golden/make_formats.py` with {ref.versions("torch", "transformers", "safetensors", "gguf", "numpy")}.

| file | what it is |
|---|---|
| `mixed-0000?-of-00003.gguf` | a random Llama, width {WIDTH}, 2 layers, in three parts; matrices in {kinds}, norms F32 |
| `fp8/` | `tiny/hf` as a folder of two shards: linear layers F8_E4M3 with F32 factors for blocks of {BLOCK[0]} by {BLOCK[1]}, one F8_E5M2 with BF16 ones; the rest BF16 |
| `logits.json` | `cases[i]`: `name`, `ids`, `logprobs` = {{"mixed": [null, ...], "fp8": [null, ...]}}, as in `tiny/` |
| `logits.safetensors` | `2.mixed`, `2.fp8`: all logits of case 2 |

They are computed in fp32 from the weights a loader finds, dequantised; from the same in double precision logits differ by at most
{worst["mixed"]:.1e} (mixed) and {worst["fp8"]:.1e} (fp8). A test should allow 1e-4 for logits and 5e-5 for log-probabilities.
""")
    print(worst)


if __name__ == "__main__":
    main()
