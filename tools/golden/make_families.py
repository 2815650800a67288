#!/usr/bin/env python3
"""make_families.py - a tiny random model of each family, and what transformers says about it.

Writes tests/golden/families/<case>/: the model as a Hugging Face folder (BF16, made by transformers' own config class), for
some cases as GGUF, written by llama.cpp's own converter, a LoRA adapter, and logits, log-probabilities and gradients in
float32. Each model is made so that what its family has matters: texts are longer than windows, and than the context that a
stretched rotation was made for. `off` of a test says how far the logits go when one of them is left out.

    python make_families.py LLAMA_CPP      needs torch, transformers, safetensors, gguf; LLAMA_CPP: a checkout of llama.cpp
"""
import copy
import json
import os
import shutil
import sys

import torch
import transformers
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

import reference as ref

OUT = ref.here("families")
VOCAB, RANK, ALPHA, TEXT, FROM, SHORT = 48, 1, 2, 70, 30, 12
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
SHAPE = dict(vocab_size=VOCAB, hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
             num_key_value_heads=1, max_position_embeddings=128, bos_token_id=1, eos_token_id=2, pad_token_id=0,
             attn_implementation="eager")
THETA = {"rope_theta": 1000.0} # short texts: frequencies must differ within them
PLAIN = {"rope_type": "default", **THETA}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32, "beta_fast": 4.0, "beta_slow": 1.0,
        **THETA}
FACTORS = dict(short_factor=[1.0, 1.1, 1.3, 1.2, 1.5, 1.7], long_factor=[1.0, 1.5, 2.0, 3.0, 4.0, 6.0])

# case: (class, its config, also as GGUF)
CASES = {
    "llama3": ("Llama", dict(head_dim=16, tie_word_embeddings=True, rope_parameters={
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32, **THETA}), True),
    "smollm3": ("SmolLM3", dict(num_hidden_layers=4, tie_word_embeddings=True, rope_parameters=PLAIN), True),
    "qwen2": ("Qwen2", dict(tie_word_embeddings=False, rope_parameters=PLAIN), True),
    "qwen2-window": ("Qwen2", dict(tie_word_embeddings=True, rope_parameters=YARN, use_sliding_window=True, sliding_window=9,
                                   max_window_layers=1), False),
    "qwen3": ("Qwen3", dict(head_dim=32, tie_word_embeddings=True, rope_parameters=PLAIN), True),
    "mistral": ("Mistral", dict(head_dim=32, sliding_window=9, tie_word_embeddings=False, rope_parameters=PLAIN), False),
    "mistral-yarn": ("Mistral", dict(head_dim=16, sliding_window=None, tie_word_embeddings=False, rope_parameters=YARN), True),
    "ministral": ("Ministral", dict(head_dim=16, sliding_window=9, tie_word_embeddings=True, rope_parameters=PLAIN,
                                    layer_types=["sliding_attention", "full_attention"]), False),
    "phi3": ("Phi3", dict(sliding_window=20, original_max_position_embeddings=32, tie_word_embeddings=False, rope_parameters={
        "rope_type": "longrope", "partial_rotary_factor": 0.75, "original_max_position_embeddings": 32, **THETA, **FACTORS}),
             True),
    "granite": ("Granite", dict(tie_word_embeddings=True, rope_parameters=PLAIN, embedding_multiplier=6.0,
                                residual_multiplier=0.3, attention_multiplier=0.15, logits_scaling=4.0), True),
    "olmo2": ("Olmo2", dict(tie_word_embeddings=False, rope_parameters=PLAIN), True),
    "olmo3": ("Olmo3", dict(sliding_window=9, tie_word_embeddings=False,
                            layer_types=["sliding_attention", "full_attention"], rope_parameters={
        "sliding_attention": PLAIN, "full_attention": YARN}), True),
    "gemma3": ("Gemma3Text", dict(num_hidden_layers=3, layer_types=["sliding_attention", "full_attention", "sliding_attention"],
                                  head_dim=16, query_pre_attn_scalar=64, sliding_window=9,
                                  tie_word_embeddings=True, rope_parameters={
                                      "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
                                      "full_attention": {"rope_type": "linear", "factor": 4.0, **THETA}}), False),
    # as llama.cpp takes it to be: queries scaled by the width of heads
    "gemma3-heads": ("Gemma3Text", dict(num_hidden_layers=6, head_dim=16, query_pre_attn_scalar=16, sliding_window=9,
                                        tie_word_embeddings=True, rope_parameters={
                                            "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
                                            "full_attention": {"rope_type": "linear", "factor": 4.0, **THETA}}), True),
    "ministral3": ("Ministral3", dict(head_dim=16, tie_word_embeddings=False, rope_parameters={
        **YARN, "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.4}), True),
    "qwen3-moe": ("Qwen3Moe", dict(head_dim=16, intermediate_size=64, moe_intermediate_size=16, num_experts=6,
                                   num_experts_per_tok=3, norm_topk_prob=True, tie_word_embeddings=False,
                                   rope_parameters=PLAIN), True),
    "qwen3-moe-shares": ("Qwen3Moe", dict(head_dim=16, intermediate_size=64, moe_intermediate_size=16, num_experts=5,
                                          num_experts_per_tok=2, norm_topk_prob=False, tie_word_embeddings=True,
                                          rope_parameters=PLAIN), False),
    "gemma2": ("Gemma2", dict(head_dim=16, query_pre_attn_scalar=16, sliding_window=9, attn_logit_softcapping=3.0,
                              final_logit_softcapping=8.0, tie_word_embeddings=True,
                              rope_parameters={"rope_type": "default", "rope_theta": 10000.0}), True), # the converter does not tell another
    # YaRN's pairs whole, as llama.cpp takes them to be
    "gpt-oss": ("GptOss", dict(head_dim=32, num_local_experts=5, num_experts_per_tok=2, sliding_window=9,
                               layer_types=["sliding_attention", "full_attention"], tie_word_embeddings=False,
                               rope_parameters={**YARN, "truncate": True}), True),
    # as transformers saves it: experts transposed, in BF16; and YaRN's pairs as OpenAI's config has them
    "gpt-oss-plain": ("GptOss", dict(head_dim=16, intermediate_size=24, num_local_experts=4, num_experts_per_tok=2,
                                     sliding_window=9, tie_word_embeddings=False,
                                     rope_parameters={**YARN, "truncate": False}), False),
    # rows of several blocks, and as many as no other side has
    "gpt-oss-blocks": ("GptOss", dict(hidden_size=64, head_dim=16, intermediate_size=96, num_local_experts=3,
                                      num_experts_per_tok=2, sliding_window=9, tie_word_embeddings=False,
                                      rope_parameters={**YARN, "truncate": True}), True),
}


def make_tokenizer():
    letters = [c for c in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQR.,?"][:VOCAB - len(SPECIAL) - 1]
    vocab = {t: i for i, t in enumerate(SPECIAL + letters + ["ab"])}
    tok = Tokenizer(models.BPE(vocab=vocab, merges=[("a", "b")]))
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tok.decoder = decoders.ByteLevel()
    tok.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL])
    return PreTrainedTokenizerFast(tokenizer_object=tok, bos_token=SPECIAL[1], eos_token=SPECIAL[2], pad_token=SPECIAL[0],
                                   clean_up_tokenization_spaces=False) # its model_max_length is 10^30, as in many files


def make_model(kind, more, seed, in_blocks):
    torch.manual_seed(seed)
    config = getattr(transformers, kind + "Config")(**{**SHAPE, **more})
    cls = {"Gemma3Text": "Gemma3ForCausalLM"}.get(kind, kind + "ForCausalLM")
    config.architectures, config.dtype = [cls], "bfloat16"
    model = getattr(transformers, cls)._from_config(config, dtype=torch.float32).eval()
    less = 1.0 if kind.startswith("Gemma") else 0.0
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.endswith(".bias"):
                p.copy_(0.5 * torch.randn(p.shape))
            elif p.ndim == 1:
                p.copy_(1 - less + 0.3 * torch.randn(p.shape))
            elif "embed" in name:
                p.copy_(torch.randn(p.shape) * (0.5 if kind not in ("Granite",) else 0.2))
            else:
                p.copy_(torch.randn(p.shape) * 2.0 / p.shape[-1] ** 0.5)
            p.copy_(p.to(torch.bfloat16).float())
    if in_blocks:
        make_blocks(model)
    return model, config


def make_blocks(model):
    """Experts in MXFP4: 16 bytes of two numbers each and an exponent; some reach the gate's limit."""
    for name, p in model.named_parameters():
        if name.endswith("experts.gate_up_proj") or name.endswith("experts.down_proj"):
            experts, cols, rows = p.shape
            blocks = torch.randint(0, 256, (experts, rows, cols // 32, 16), dtype=torch.uint8)
            scales = torch.randint(124, 126, (experts, rows, cols // 32), dtype=torch.uint8)
            p.data = convert_moe_packed_tensors(blocks, scales, dtype=torch.float32)
            p.in_blocks = {name + "_blocks": blocks, name + "_scales": scales}


def save_folder(model, config, tok, folder):
    tok.save_pretrained(folder)
    config.save_pretrained(folder)
    if any(hasattr(p, "in_blocks") for p in model.parameters()):
        config.quantization_config = {"quant_method": "mxfp4", "modules_to_not_convert": [
            "model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"]}
        config.save_pretrained(folder)
        state = {}
        for n, p in model.named_parameters():
            state.update(getattr(p, "in_blocks", None) or {n: p.to(torch.bfloat16).contiguous()})
        save_file(state, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
    elif hasattr(config, "num_experts_per_tok"): # its own saving takes fused experts apart
        copy.deepcopy(model).to(torch.bfloat16).save_pretrained(folder)
        os.remove(os.path.join(folder, "generation_config.json"))
    else:
        state = {n: p.to(torch.bfloat16).contiguous() for n, p in model.named_parameters()}
        save_file(state, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
    path = os.path.join(folder, "tokenizer_config.json")
    described = json.load(open(path, encoding="utf-8"))
    described["tokenizer_class"] = "GPT2Tokenizer" # what llama.cpp's converter of Phi-3 asks for
    ref.write_json(path, described)


def save_gguf(folder, path, llama_cpp):
    sys.path[:0] = [llama_cpp, os.path.join(llama_cpp, "gguf-py")]
    import gguf
    from conversion import base, get_model_class
    base.TextModel.get_vocab_base_pre = lambda self, tokenizer: "gpt-2" # it knows tokenizers by their hashes
    from pathlib import Path
    hparams = base.ModelBase.load_hparams(Path(folder), False)
    cls = get_model_class(hparams["architectures"][0])
    getattr(cls, "Ministral3Model", cls).set_vocab = lambda self: self._set_vocab_gpt2() # not SentencePiece's
    with torch.inference_mode():
        cls(Path(folder), gguf.LlamaFileType.MOSTLY_BF16, Path(path), use_temp_file=False, eager=True).write()


FUSED = {"qkv_proj": ["q_proj", "k_proj", "v_proj"], "gate_up_proj": ["gate_proj", "up_proj"]}


def add_lora(model, config):
    """A and B of every linear layer of the core, by the names of PEFT's file; parts of fused ones apart."""
    state = {}
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    rows = {"q_proj": config.num_attention_heads * head, "k_proj": config.num_key_value_heads * head,
            "v_proj": config.num_key_value_heads * head, "gate_proj": config.intermediate_size,
            "up_proj": config.intermediate_size}
    for name, module in model.named_modules():
        last = name.split(".")[-1]
        if not isinstance(module, torch.nn.Linear) or ".layers." not in name:
            continue
        parts = []
        for part in FUSED.get(last, [last]):
            key = "base_model.model." + name.removesuffix(last) + part
            n = rows[part] if last in FUSED else module.out_features
            a = (torch.randn(RANK, module.in_features) * 0.15).requires_grad_()
            b = (torch.randn(n, RANK) * 0.1).requires_grad_()
            state[key + ".lora_A.weight"], state[key + ".lora_B.weight"] = a, b
            parts.append((a, b))
        module.register_forward_hook(lambda m, x, y, parts=parts: y + ALPHA / RANK * torch.cat(
            [x[0] @ a.T @ b.T for a, b in parts], -1))
    return state


def make_batch(g):
    prompts = []
    for n, answers in ((41, (9, 14)), (33, (3, 20))): # longer than 32: LongRoPE's long factors
        ids = [int(i) for i in torch.randint(3, VOCAB, (n,), generator=g)]
        prompts.append({"text": "", "ids": ids, "continuations": [
            {"ids": [int(i) for i in torch.randint(3, VOCAB, (k,), generator=g)],
             "coefficients": ref.floats(torch.randn(k, generator=g) * 0.5)} for k in answers]})
    return {"prompts": prompts}


def save_goldens(model, config, folder):
    g = torch.Generator().manual_seed(5)
    ids = [int(i) for i in torch.randint(3, VOCAB, (TEXT,), generator=g)]
    with torch.no_grad():
        logits, lp = ref.logprobs_of(model, ids)
        short = ref.logprobs_of(model, ids[:SHORT])[0]
    batch = make_batch(g)
    for p in model.parameters():
        p.requires_grad_(False)
    lora = add_lora(model, config)
    loss = ref.batch_loss(model, batch)
    grads = torch.autograd.grad(loss, list(lora.values()))
    with torch.no_grad():
        for p in batch["prompts"]:
            for a in p["continuations"]:
                a["logprobs"] = ref.floats(ref.logprobs_of(model, p["ids"] + a["ids"])[1][len(p["ids"]) - 1:])
    batch.update(loss=loss.item(), ids=ids, logprobs=[None] + ref.floats(lp))
    ref.write_json(os.path.join(folder, "batch.json"), batch)
    ref.save_tensors(os.path.join(folder, "reference.safetensors"),
                     {"logits": logits[FROM:], "short": short, **{n: d for n, d in zip(lora, grads)}})
    os.makedirs(os.path.join(folder, "adapter"))
    ref.save_tensors(os.path.join(folder, "adapter", "adapter_model.safetensors"), lora)
    ref.write_json(os.path.join(folder, "adapter", "adapter_config.json"), {
        "base_model_name_or_path": "tiny", "bias": "none", "fan_in_fan_out": False, "lora_alpha": ALPHA,
        "lora_dropout": 0.0, "peft_type": "LORA", "r": RANK, "target_modules": sorted({n.split(".")[-3] for n in lora}),
        "task_type": "CAUSAL_LM"})
    return logits.abs().max().item()


README = """# families: a tiny random model of each family, and what transformers says about it

Made by `tools/golden/make_families.py` with {versions}, and llama.cpp's converter.

Width 32, feed-forward 32, vocabulary {VOCAB}, 2 to 6 layers, weights BF16 of random numbers; what each case has beside Llama, and other
sizes, stand in its `hf/config.json`. Experts of gpt-oss are MXFP4, but for `gpt-oss-plain`.

| file | what it is |
|---|---|
| `<case>/hf/` | the model as a folder |
| `<case>/model.gguf` | the same as llama.cpp's converter writes it; of some cases |
| `<case>/adapter/` | LoRA of rank {RANK}, alpha {ALPHA}, on all seven linear layers (of models with experts on the attention's four), in PEFT's layout, with the parts of Phi-3's fused layers apart |
| `<case>/batch.json` | `ids` of a text of {TEXT} tokens and its `logprobs` without adapter; `prompts` with continuations, coefficients and log-probabilities with the adapter, and their `loss` (see `tiny/`) |
| `<case>/reference.safetensors` | `logits` [{ROWS}, {VOCAB}] of the text, from position {FROM} on, and `short` [{SHORT}, {VOCAB}] of its beginning alone; d loss / d A and B by the names of the adapter's file |

All in float32, with eager attention. transformers computes rotary frequencies and angles in float32, which at these positions moves
logits by some 1e-5.
"""


def main():
    llama_cpp = sys.argv[1]
    only = sys.argv[2:]
    torch.set_num_threads(1)
    tok = make_tokenizer()
    os.makedirs(OUT, exist_ok=True)
    for seed, (case, (kind, more, as_gguf)) in enumerate(CASES.items()):
        if only and case not in only:
            continue
        folder = os.path.join(OUT, case)
        shutil.rmtree(folder, ignore_errors=True)
        model, config = make_model(kind, more, 100 + seed, in_blocks=case in ("gpt-oss", "gpt-oss-blocks"))
        save_folder(model, config, tok, os.path.join(folder, "hf"))
        if as_gguf:
            save_gguf(os.path.join(folder, "hf"), os.path.join(folder, "model.gguf"), llama_cpp)
        print(case, "largest logit", save_goldens(model, config, folder))
        if case == "gemma3-heads": # gemma3 has a folder
            shutil.rmtree(os.path.join(folder, "hf"))
        for where, _, files in os.walk(folder):
            for f in files:
                os.chmod(os.path.join(where, f), 0o644)
    with open(os.path.join(OUT, "README.md"), "w", encoding="utf-8") as f:
        f.write(README.format(versions=ref.versions("torch", "transformers", "safetensors", "gguf"), VOCAB=VOCAB, RANK=RANK,
                              ALPHA=ALPHA, TEXT=TEXT, FROM=FROM, SHORT=SHORT, ROWS=TEXT - FROM))


if __name__ == "__main__":
    main()
