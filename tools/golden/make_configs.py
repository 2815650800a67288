#!/usr/bin/env python3
"""make_configs.py - what transformers' classes make of config.json: what files are silent of, rotations, windows, scales.

Writes tests/golden/configs/cases.json: configs as files have them, and of each what the class and its rotary embedding make of it.

    python make_configs.py     needs torch, transformers
"""
import copy
import importlib
import json
import os

import transformers

from common import here, versions

OUT = here("configs")
SHAPE = dict(hidden_size=512, num_hidden_layers=6, num_attention_heads=32, intermediate_size=96, vocab_size=320)
KV = dict(num_key_value_heads=2, head_dim=16)
CONTEXT = dict(max_position_embeddings=512)
CLASSES = {"llama": "Llama", "mistral": "Mistral", "ministral": "Ministral", "smollm3": "SmolLM3", "granite": "Granite", "qwen2": "Qwen2",
           "qwen3": "Qwen3", "phi3": "Phi3", "olmo2": "Olmo2", "olmo3": "Olmo3", "gemma3_text": "Gemma3Text",
           "ministral3": "Ministral3", "qwen3_moe": "Qwen3Moe", "gemma2": "Gemma2"}
MINISTRAL3 = dict(rope_type="yarn", factor=16.0, original_max_position_embeddings=16384, llama_4_scaling_beta=0.1)
NEEDED = {"qwen3_moe": dict(num_experts=8, num_experts_per_tok=2, moe_intermediate_size=32),
          "ministral3": dict(rope_parameters=MINISTRAL3)}
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=64)
YARN_BARE = dict(rope_type="yarn", factor=4.0) # of the model's own context
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0)
FACTORS = dict(short_factor=[1.0 + 0.1 * i for i in range(8)], long_factor=[1.0 + 0.5 * i for i in range(8)])
ROTATIONS = [dict(type="linear", factor=2.0), dict(rope_type="default", factor=2.0), YARN, YARN_BARE, {**YARN, "type": "linear"},
             {**YARN, "beta_fast": 16.0, "beta_slow": 2.0}, {**YARN, "attention_factor": 1.5}, {**YARN, "truncate": False},
             {**YARN, "mscale": 1.2, "mscale_all_dim": 0.7}, {**YARN, "mscale": 1.2}, {**YARN, "rope_theta": 777.0},
             {**YARN, "beta_fast": None, "attention_factor": None, "mscale": None}, {**YARN, "factor": 0.5},
             LLAMA3, {**LLAMA3, "original_max_position_embeddings": 64}]
TYPES = ["sliding_attention", "full_attention", "full_attention"] * 2
FULL = ["full_attention"] * 6


def variants(family):
    """What a file may say beside what it has to."""
    yield {}
    yield {**KV, "tie_word_embeddings": True, "rms_norm_eps": 0.001}
    yield {**KV, "tie_word_embeddings": False, "rope_theta": 5e5}
    if family == "llama":
        for r in ROTATIONS:
            yield {**KV, **CONTEXT, "rope_theta": 3e4, "rope_scaling": r}
            yield {**KV, **CONTEXT, "rope_parameters": {"rope_theta": 3e4, **r}}
        yield {**KV, **CONTEXT, "rope_scaling": YARN_BARE, "original_max_position_embeddings": 128}
        yield {**KV, **CONTEXT, "rope_scaling": {"type": "longrope", **FACTORS}, "original_max_position_embeddings": 128}
        yield {**KV, "num_key_value_heads": None, "head_dim": None}
    if family == "phi3":
        for r in (dict(type="longrope"), dict(type="longrope", factor=3.0), dict(type="longrope", attention_factor=1.7)):
            yield {**KV, **CONTEXT, "rope_scaling": {**r, **FACTORS}, "original_max_position_embeddings": 128}
        yield {**KV, "partial_rotary_factor": 0.5}
    if family in ("gemma3_text", "olmo3"):
        nested = dict(full_attention={**YARN, "rope_theta": 5e4}, sliding_attention=dict(rope_type="default", rope_theta=2e4))
        yield {**KV, **CONTEXT, "rope_parameters": nested}
        yield {**KV, **CONTEXT, "rope_parameters": {**nested, "sliding_attention": None}}
        yield {**KV, "layer_types": TYPES, "sliding_window": 9}
    if family == "gemma3_text":
        yield {**KV, "rope_theta": 5e4, "rope_local_base_freq": 123.0, "rope_scaling": dict(rope_type="linear", factor=8.0)}
        yield {**KV, "sliding_window": 9, "sliding_window_pattern": 3, "query_pre_attn_scalar": 64}
    if family in ("qwen2", "qwen3"):
        for more in (dict(max_window_layers=3), dict(max_window_layers=0), {}, dict(layer_types=TYPES)):
            yield {**KV, "use_sliding_window": True, "sliding_window": 9, **more}
        yield {**KV, "use_sliding_window": True, "num_hidden_layers": 30}
        yield {**KV, "sliding_window": 9}
    if family == "qwen3_moe":
        yield {**KV, "use_sliding_window": True, "sliding_window": 9, "max_window_layers": 3, "norm_topk_prob": True}
        yield {**KV, "sliding_window": 9}
    if family in ("mistral", "phi3", "ministral", "ministral3", "gemma2"):
        yield {**KV, "sliding_window": 9, "use_sliding_window": False, "max_window_layers": 3}
        yield {**KV, "sliding_window": None}
    if family in ("ministral", "gemma2"):
        yield {**KV, "sliding_window": 9, "layer_types": TYPES}
    if family == "gemma2":
        yield {**KV, "attn_logit_softcapping": 7.0, "final_logit_softcapping": None, "query_pre_attn_scalar": 64}
    if family == "smollm3":
        yield {**KV, "no_rope_layers": [1, 0, 0, 1, 1, 1], "layer_types": FULL}
        yield {**KV, "no_rope_layer_interval": 3}
    if family == "granite":
        yield {**KV, "embedding_multiplier": 12, "residual_multiplier": 0.22, "attention_multiplier": 0.1, "logits_scaling": 8}


def rounded(x):
    return float("%.8g" % x)


def rotation(config, module, name):
    """Frequencies of all layers, or of those without and those with a window, and what cosines are multiplied by behind them."""
    emb = [getattr(module, n) for n in dir(module) if n.endswith("RotaryEmbedding") and n.startswith(name.removesuffix("Text"))][0](config)
    if emb.rope_type == "longrope":  # as for a text as long as the context
        from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
        found = [ROPE_INIT_FUNCTIONS["longrope"](config, None, seq_len=config.max_position_embeddings)]
    elif hasattr(emb, "inv_freq"):
        found = [(emb.inv_freq, emb.attention_scaling)]
    else:
        found = [(getattr(emb, t + "_inv_freq"), getattr(emb, t + "_attention_scaling")) for t in ("full_attention", "sliding_attention")]
    return [[rounded(x) for x in f.tolist()] + [rounded(a)] for f, a in found]


def windows(config, family):
    every = config.sliding_window or 0 if hasattr(config, "sliding_window") else 0
    types = getattr(config, "layer_types", None)
    if types is None:
        return [every] * config.num_hidden_layers
    return [every if t == "sliding_attention" else 0 for t in types]


def expected(c):
    name = CLASSES[c["model_type"]]
    cls = getattr(transformers, name + "Config")
    config = cls.from_dict(copy.deepcopy(c))
    module = importlib.import_module(cls.__module__.replace("configuration_", "modeling_"))
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    scale = getattr(config, "attention_multiplier", None) or getattr(config, "query_pre_attn_scalar", head) ** -0.5
    return dict(rotations=rotation(config, module, name), windows=windows(config, c["model_type"]),
                rotated=getattr(config, "no_rope_layers", None) or [1] * config.num_hidden_layers,
                head=head, kv_heads=config.num_key_value_heads, context=config.max_position_embeddings, eps=config.rms_norm_eps,
                tied=bool(config.tie_word_embeddings), attention_scale=rounded(scale),
                residual_scale=getattr(config, "residual_multiplier", 1), logit_divisor=getattr(config, "logits_scaling", 1),
                score_cap=getattr(config, "attn_logit_softcapping", None) or 0, logit_cap=getattr(config, "final_logit_softcapping", None) or 0,
                shares_of_all=not getattr(config, "norm_topk_prob", True))


README = """# configs: what transformers makes of config.json

Made by `tools/golden/make_configs.py` with {versions}.

`cases.json`: `config` as a file has it, and what the class of its `model_type` makes of it: `rotations` (frequencies and, last, what
cosines are multiplied by; of layers without and with a window where these differ), `windows` and `rotated` a layer, and numbers. Frequencies
are transformers', in float32: within 2e-6.
"""


def main():
    transformers.utils.logging.set_verbosity_error()
    os.makedirs(OUT, exist_ok=True)
    cases = []
    for family in CLASSES:
        for more in variants(family):
            config = {"model_type": family, **SHAPE, **NEEDED.get(family, {}), **more}
            cases.append({"config": config, "expected": expected(config)})
    with open(os.path.join(OUT, "cases.json"), "w", encoding="utf-8") as f:
        f.write("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]\n")
    with open(os.path.join(OUT, "README.md"), "w", encoding="utf-8") as f:
        f.write(README.format(versions=versions("torch", "transformers")))


if __name__ == "__main__":
    main()
