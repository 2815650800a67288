#!/usr/bin/env python3
"""make_tiny.py - a tiny random Llama, and what the reference implementation says about it.

Writes tests/golden/tiny/ (model, adapter, logits, gradients, optimizer steps) and tests/golden/quants/ (raw blocks of
each weight type and their values). Everything follows from the seeds below; torch's own generators are used, so another
torch may draw other numbers: the files are the reference, the script tells how they came to be.

    python make_tiny.py        needs torch, transformers, peft, tokenizers, safetensors, gguf
"""
import hashlib
import json
import os
import shutil

import gguf
import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from safetensors import safe_open
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import reference as ref

OUT = ref.here("tiny")
HIDDEN, LAYERS, HEADS, KV_HEADS, HEAD_DIM, FFN, VOCAB = 64, 3, 4, 2, 16, 96, 320
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CHATML = ("{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>'"
          " + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
TEXTS = [
    "The patient has a variant in the gene, and the gene explains the fever.",
    "What is the name of the gene? Answer with the name of one gene only.",
    "In 2024 the answer was 42; in 1999 it was 17, and that's that. We're sure they'll agree.",
    "def answer(question):\n    return question.strip().lower()\n\nprint(answer('What?'))\n",
    "Grüße aus München: die Antwort ist schön. Übung macht den Meister. La réponse est à côté.",
    "You are a helpful assistant. Think, then answer.  Two  spaces.\tA tab.\r\nA line.",
]
PROBES = [
    ("one token", [70]),
    ("plain text", "The patient has a fever. What is the gene?"),
    ("a chat", "<|im_start|>user\nName one gene.<|im_end|>\n<|im_start|>assistant\n"),
    ("digits and other scripts", "In 2024: 12345 Übungen, 答え \U0001F9EC\U0001F469‍\U0001F52C."),
    ("the same token again and again", [101] * 24),
    ("long", ("".join(TEXTS))[:380]),
]
ADAMW = {"lr": 1e-3, "betas": [0.9, 0.95], "eps": 1e-8, "weight_decay": 0.0, "max_grad_norm": 1.0}


def make_tokenizer():
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                                 pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    tok.decoder = decoders.ByteLevel()
    tok.train_from_iterator(TEXTS, trainers.BpeTrainer(
        vocab_size=VOCAB, special_tokens=[AddedToken(t, special=True, normalized=False) for t in SPECIAL],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    assert tok.get_vocab_size() == VOCAB
    return tok


def make_model():
    torch.manual_seed(20240924)
    config = LlamaConfig(vocab_size=VOCAB, hidden_size=HIDDEN, intermediate_size=FFN, num_hidden_layers=LAYERS,
                         num_attention_heads=HEADS, num_key_value_heads=KV_HEADS, head_dim=HEAD_DIM,
                         max_position_embeddings=512, rms_norm_eps=1e-5, tie_word_embeddings=True,
                         rope_parameters={"rope_type": "default", "rope_theta": 100000.0},
                         bos_token_id=1, eos_token_id=2, pad_token_id=0, dtype="float32")
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.ndim == 1: # a norm that forgets its weight must be seen
                p.copy_(1 + 0.2 * torch.randn(p.shape))
            else:
                p.copy_(torch.randn(p.shape) * (0.25 if "embed" in name else 1.2 / p.shape[1] ** 0.5))
    return model


def save_folders(model, tok):
    fast = PreTrainedTokenizerFast(tokenizer_object=tok, bos_token="<|im_start|>", eos_token="<|im_end|>",
                                   unk_token="<|endoftext|>", pad_token="<|endoftext|>", chat_template=CHATML,
                                   clean_up_tokenization_spaces=False, model_max_length=512)
    model.save_pretrained(os.path.join(OUT, "hf"))
    fast.save_pretrained(os.path.join(OUT, "hf"), save_jinja_files=False)

    # the same model as two BF16 shards, as large models come
    folder = os.path.join(OUT, "hf-bf16-sharded")
    half = LlamaForCausalLM(model.config)
    half.load_state_dict(model.state_dict())
    half = half.to(torch.bfloat16)
    half.config.dtype = torch.bfloat16
    half.save_pretrained(folder, max_shard_size="125KB")
    shards = [f for f in os.listdir(folder) if f.endswith(".safetensors")]
    assert len(shards) == 2, shards
    for f in ("tokenizer.json", "tokenizer_config.json"): # the same files: a link would not survive every checkout
        shutil.copy(os.path.join(OUT, "hf", f), folder)
    model.config.dtype = torch.float32
    # not half.float(): .to(bfloat16) has rounded the rotary frequencies too, and they stay rounded
    return with_weights(model, {n: p.float() for n, p in half.named_parameters()})


def permute(w, heads):
    """What llama.cpp's converter does to q and k: rotated pairs become neighbours instead of half a head apart."""
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def unpermute(w, heads):
    return w.reshape(heads, w.shape[0] // heads // 2, 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


GGUF_NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
              "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
              "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}


def gguf_name(name):
    if name.startswith("model.layers."):
        _, _, i, rest = name.split(".", 3)
        return f"blk.{i}.{GGUF_NAMES[rest.removesuffix('.weight')]}.weight"
    return {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}[name]


def save_gguf(model, tok, kind, embedding_kind):
    """Writes the model as GGUF; returns the weights a loader finds in it, dequantised, under their HF names."""
    types, files = gguf.GGMLQuantizationType, gguf.LlamaFileType
    w = gguf.GGUFWriter(os.path.join(OUT, f"tiny-{kind.lower()}.gguf"), "llama")
    c = model.config
    w.add_name("tiny random llama")
    w.add_file_type({"F32": files.ALL_F32, "F16": files.MOSTLY_F16, "Q8_0": files.MOSTLY_Q8_0,
                     "Q4_0": files.MOSTLY_Q4_0, "Q4_1": files.MOSTLY_Q4_1}[kind])
    w.add_quantization_version(2)
    w.add_vocab_size(VOCAB)
    w.add_context_length(c.max_position_embeddings)
    w.add_embedding_length(HIDDEN)
    w.add_block_count(LAYERS)
    w.add_feed_forward_length(FFN)
    w.add_rope_dimension_count(HEAD_DIM)
    w.add_rope_freq_base(c.rope_parameters["rope_theta"])
    w.add_head_count(HEADS)
    w.add_head_count_kv(KV_HEADS)
    w.add_key_length(HEAD_DIM)
    w.add_value_length(HEAD_DIM)
    w.add_layer_norm_rms_eps(c.rms_norm_eps)
    described = json.loads(tok.to_str())
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("smollm")
    w.add_token_list([tok.id_to_token(i) for i in range(VOCAB)])
    w.add_token_types([gguf.TokenType.CONTROL if tok.id_to_token(i) in SPECIAL else gguf.TokenType.NORMAL
                       for i in range(VOCAB)])
    w.add_token_merges([" ".join(m) for m in described["model"]["merges"]])
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    w.add_unk_token_id(0)
    w.add_pad_token_id(0)
    w.add_add_bos_token(False)
    w.add_add_space_prefix(False)
    w.add_chat_template(CHATML)

    read_back = {}
    for name, p in model.named_parameters():
        x = p.detach().numpy()
        heads = HEADS if "q_proj" in name else KV_HEADS if "k_proj" in name else 0
        x = permute(x, heads) if heads else x
        qtype = types.F32 if x.ndim == 1 else types[embedding_kind if "embed" in name else kind]
        raw = gguf.quants.quantize(np.ascontiguousarray(x), qtype)
        w.add_tensor(gguf_name(name), raw, raw_dtype=qtype)
        back = gguf.quants.dequantize(raw, qtype)
        read_back[name] = torch.from_numpy(np.array(unpermute(back, heads) if heads else back))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    return read_back


def with_weights(model, weights):
    other = LlamaForCausalLM(model.config).eval()
    other.load_state_dict(weights, strict=False)
    other.tie_weights()
    return other


def probe_ids(tok):
    return [(name, x if isinstance(x, list) else tok.encode(x).ids, x if isinstance(x, str) else None)
            for name, x in PROBES]


def save_logits(models, tok):
    """logits.json: the probes and their log-probabilities under every file; logits.safetensors: all logits."""
    cases, tensors, worst = [], {}, {}
    for i, (name, ids, text) in enumerate(probe_ids(tok)):
        case = {"name": name, "text": text, "ids": ids, "logprobs": {}}
        for kind, model in models.items():
            with torch.no_grad():
                logits, lp = ref.logprobs_of(model, ids)
                truth, tlp = ref.logprobs_of(ref.DoubleLlama(model.config, dict(model.named_parameters())), ids)
            case["logprobs"][kind] = [None] + ref.floats(lp)
            d = worst.setdefault(kind, [0.0, 0.0])
            d[0] = max(d[0], (logits - truth).abs().max().item())
            d[1] = max(d[1], (lp - tlp).abs().max().item() if len(lp) else 0.0)
            if kind == "F32" or i == 2: # every file once, the F32 model everywhere
                tensors[f"{i}.{kind}"] = logits
        cases.append(case)
    ref.write_json(os.path.join(OUT, "logits.json"), {"cases": cases})
    ref.save_tensors(os.path.join(OUT, "logits.safetensors"), tensors)
    return worst


def make_batch(model, tok):
    g = torch.Generator().manual_seed(7)
    prompts = []
    for text in ("<|im_start|>user\nName one gene.<|im_end|>\n<|im_start|>assistant\n",
                 "The patient has a fever in 2024; the gene"):
        ids = tok.encode(text).ids
        answers = []
        for n in (5, 9, 12):
            out = ref.sample(model, ids, n, g, stop=(2,))
            # coefficients of both signs, one of them zero (a masked token)
            c = (torch.randn(len(out), generator=g) * 0.5).float()
            c[len(out) // 2] = 0.0
            answers.append({"ids": out, "coefficients": ref.floats(c)})
        prompts.append({"text": text, "ids": ids, "continuations": answers})
    return {"prompts": prompts}


def add_logprobs(model, batch):
    with torch.no_grad():
        for p in batch["prompts"]:
            for a in p["continuations"]:
                a["logprobs"] = ref.floats(ref.logprobs_of(model, p["ids"] + a["ids"])[1][len(p["ids"]) - 1:])


def peft_state(model):
    """The adapter under the names of PEFT's file."""
    return {n.replace(".default", ""): p for n, p in model.named_parameters() if "lora_" in n}


def worst_of(a, b):
    """Largest difference, as a fraction of the largest entry of its tensor."""
    return max(((a[n] - b[n]).abs().max() / b[n].abs().max().clamp(min=1e-30)).item() for n in b)


def save_adapter_goldens(base, batch):
    torch.manual_seed(11)
    model = get_peft_model(base, LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, bias="none", task_type="CAUSAL_LM",
                                            target_modules=ref.LINEARS)).eval()
    with torch.no_grad():
        for n, p in model.named_parameters():
            if "lora_" in n: # B too is not zero: with a zero B no gradient reaches A
                p.copy_(torch.randn(p.shape) * (0.15 if "lora_A" in n else 0.1))
    folder = os.path.join(OUT, "adapter")
    model.save_pretrained(folder)
    if os.path.exists(os.path.join(folder, "README.md")): # PEFT's empty model card
        os.remove(os.path.join(folder, "README.md"))
    clean_config(os.path.join(folder, "adapter_config.json"))

    add_logprobs(model, batch)
    loss, grads = ref.gradients(model, batch)
    grads = {n.replace(".default", ""): g for n, g in grads.items()}
    frozen = {n.removeprefix("base_model.model.").replace(".base_layer", ""): p
              for n, p in model.named_parameters() if "lora_" not in n}
    double = ref.DoubleLlama(base.config, {**frozen, **peft_state(model)}, scale=8 / 4)
    loss64, grads64 = double.gradients(batch, list(grads))
    ref.save_tensors(os.path.join(OUT, "adapter-gradients.safetensors"), grads)

    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=ADAMW["lr"],
                                  betas=ADAMW["betas"], eps=ADAMW["eps"], weight_decay=ADAMW["weight_decay"])
    steps, stepped = [], {}
    for step in (1, 2, 3):
        step_loss, norm = ref.adamw_step(model, optimizer, batch, ADAMW["max_grad_norm"])
        steps.append({"loss": step_loss, "grad_norm": norm})
        if step in (1, 3):
            stepped[step] = {n: p.detach().clone() for n, p in peft_state(model).items()}
            ref.save_tensors(os.path.join(OUT, f"adapter-step{step}.safetensors"), stepped[step])
    batch.update(loss=loss, adamw=ADAMW, steps=steps)
    ref.write_json(os.path.join(OUT, "adapter-batch.json"), batch)
    return abs(loss - loss64), worst_of(grads, grads64), step_error(double, list(grads), batch, stepped)


def step_error(double, names, batch, stepped):
    """Largest and mean difference of `stepped` {1: state, 3: state} from the same AdamW steps in double precision."""
    m, v, worst = {n: 0.0 for n in names}, {n: 0.0 for n in names}, {}
    b1, b2 = ADAMW["betas"]
    for step in range(1, max(stepped) + 1):
        grads = double.gradients(batch, names)[1]
        norm = sum(g.pow(2).sum() for g in grads.values()).sqrt()
        for n in names:
            g = grads[n] * min(1.0, ADAMW["max_grad_norm"] / (norm + 1e-6))
            m[n], v[n] = b1 * m[n] + (1 - b1) * g, b2 * v[n] + (1 - b2) * g * g
            with torch.no_grad():
                double.p[n] -= ADAMW["lr"] * (m[n] / (1 - b1 ** step)) / ((v[n] / (1 - b2 ** step)).sqrt() + ADAMW["eps"])
        if step in stepped:
            d = torch.cat([(double.p[n] - stepped[step][n]).abs().flatten() for n in names])
            worst[step] = (d.max().item(), d.mean().item())
    return worst


def clean_config(path):
    with open(path, encoding="utf-8") as f:
        config = json.load(f)
    config["base_model_name_or_path"] = "tiny"
    config["target_modules"] = sorted(config["target_modules"])
    with open(path, "w", encoding="utf-8") as f:
        json.dump(config, f, indent=2, sort_keys=True)
        f.write("\n")


def save_full_goldens(model, batch):
    add_logprobs(model, batch)
    loss, grads = ref.gradients(model, batch)
    double = ref.DoubleLlama(model.config, dict(model.named_parameters()))
    loss64, grads64 = double.gradients(batch, list(grads))
    ref.save_tensors(os.path.join(OUT, "full-gradients.safetensors"), grads)
    optimizer = torch.optim.AdamW(model.parameters(), lr=ADAMW["lr"], betas=ADAMW["betas"], eps=ADAMW["eps"],
                                  weight_decay=ADAMW["weight_decay"])
    step_loss, norm = ref.adamw_step(model, optimizer, batch, ADAMW["max_grad_norm"])
    kept = {n: p for n, p in model.named_parameters() if p.ndim == 1 or "layers.1.self_attn.k_proj" in n}
    ref.save_tensors(os.path.join(OUT, "full-step1.safetensors"), kept)
    batch.update(loss=loss, adamw=ADAMW, steps=[{"loss": step_loss, "grad_norm": norm}])
    ref.write_json(os.path.join(OUT, "full-batch.json"), batch)
    return abs(loss - loss64), worst_of(grads, grads64)


def save_quants():
    """quants.safetensors: "<TYPE>.raw" U8 [rows, bytes], "<TYPE>.f32" F32 [rows, n]; "source.f32" and what it becomes."""
    out = ref.here("quants")
    os.makedirs(out, exist_ok=True)
    rng = np.random.default_rng(5)
    types, tensors = gguf.GGMLQuantizationType, {}
    rows, blocks = 4, 3
    # where each block type keeps its f16 scales (byte offsets in a block)
    scales = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
              "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}
    for name, offsets in scales.items():
        n, size = gguf.GGML_QUANT_SIZES[types[name]]
        count = blocks * 256 // n
        raw = rng.integers(0, 256, (rows, count, size), dtype=np.uint8)
        for off in offsets: # sane scales of both signs, and in each first block a subnormal one
            d = (rng.standard_normal((rows, count)) * 0.02).astype(np.float16)
            d[:, 0] = np.float16(3e-7)
            raw[:, :, off:off + 2] = d[..., None].view(np.uint8)
        raw = raw.reshape(rows, count * size)
        tensors[name + ".raw"] = raw
        tensors[name + ".f32"] = gguf.quants.dequantize(raw, types[name])
    # every f16 and bf16 exponent, both signs, zeros and infinities, subnormals; no NaN
    for name, mantissa in (("F16", 10), ("BF16", 7)):
        bits = np.arange(0, 1 << 16, 1 << (mantissa - 2), dtype=np.uint32) + rng.integers(0, 2)
        exponent = (bits >> mantissa) & ((1 << (15 - mantissa)) - 1)
        top = exponent == (1 << (15 - mantissa)) - 1
        bits = np.where(top, (bits >> 15) << 15 | ((1 << (15 - mantissa)) - 1) << mantissa, bits).astype(np.uint16)
        bits = np.concatenate([bits, np.array([0x0000, 0x8000, 0x0001, 0x8001], np.uint16)])
        raw = bits[None].view(np.uint8)
        tensors[name + ".raw"] = raw
        tensors[name + ".f32"] = (bits.view(np.float16).astype(np.float32) if name == "F16"
                                  else (bits.astype(np.uint32) << 16).view(np.float32))[None]
    # quantising: one source, what each writable type makes of it
    source = (rng.standard_normal((rows, 256)) * 10.0 ** rng.integers(-3, 2, (rows, 1))).astype(np.float32)
    source[0, :32] = 0.0           # a block of zeros
    source[1, :32] = 0.75          # a block of equal values
    source[2, 3] = -source[2, :32].max() # the largest magnitude on both sides
    tensors["source.f32"] = source
    for name in ("F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"):
        raw = gguf.quants.quantize(source, types[name])
        tensors["source." + name] = np.ascontiguousarray(raw).view(np.uint8).reshape(rows, -1)
    more_quants(tensors, rows, blocks)
    ref.save_file({k: torch.from_numpy(np.array(v)) for k, v in sorted(tensors.items())},
                  os.path.join(out, "quants.safetensors"))
    ref.write_json(os.path.join(out, "scales.json"), {name: sha256_of_all_scales(name) for name in SCALES})
    write_quants_readme(out, rows)


# the block types that are read, and where each keeps its f16 scales (byte offsets in a block)
SCALES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
          "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0], "MXFP4": []}


def more_quants(tensors, rows, blocks):
    """What came later has numbers of its own, so that the older types keep theirs."""
    rng = np.random.default_rng(6)
    types = gguf.GGMLQuantizationType
    for name in ("IQ4_NL", "IQ4_XS", "MXFP4"):
        n, size = gguf.GGML_QUANT_SIZES[types[name]]
        count = blocks * 256 // n
        raw = rng.integers(0, 256, (rows, count, size), dtype=np.uint8)
        for off in SCALES[name]:
            d = (rng.standard_normal((rows, count)) * 0.02).astype(np.float16)
            d[:, 0] = np.float16(3e-7)
            raw[:, :, off:off + 2] = d[..., None].view(np.uint8)
        if name == "MXFP4": # exponents of normal size, and the smallest
            raw[:, :, 0] = rng.integers(110, 130, (rows, count))
            raw[:, :3, 0] = [0, 1, 2]
        raw = raw.reshape(rows, count * size)
        tensors[name + ".raw"] = raw
        tensors[name + ".f32"] = gguf.quants.dequantize(raw, types[name])
    for name, kind in (("F8_E4M3", torch.float8_e4m3fn), ("F8_E5M2", torch.float8_e5m2)): # every byte but NaN
        raw = torch.arange(256, dtype=torch.uint8)
        raw = raw[~raw.view(kind).float().isnan()][None]
        tensors[name + ".raw"] = raw.numpy()
        tensors[name + ".f32"] = raw.view(kind).float().numpy()


def sha256_of_all_scales(name):
    """Of the values of 65536 blocks, one for each bit pattern of an f16 that is finite, in their order (MXFP4: 256, of its
    exponent); a second scale has the other sign and fraction. The other bytes are (at * 2654435761 mod 2^32) >> 13."""
    kind = gguf.GGMLQuantizationType[name]
    size = gguf.GGML_QUANT_SIZES[kind][1]
    bits = np.arange(256 if name == "MXFP4" else 65536, dtype=np.uint32)
    at = bits[:, None] * np.uint32(size) + np.arange(size, dtype=np.uint32)
    raw = ((at * np.uint32(2654435761)) >> 13).astype(np.uint8)
    if name == "MXFP4":
        raw[:, 0] = bits
    for which, off in enumerate(SCALES[name]):
        half = bits.astype(np.uint16)
        half = half if which == 0 else half ^ np.uint16(0x83ff) # the same exponent: finite, too
        raw[:, off:off + 2] = half[:, None].view(np.uint8)
    if SCALES[name]:
        raw = raw[(bits & 0x7c00) != 0x7c00]
    digest = hashlib.sha256()
    for part in np.array_split(raw, 16):
        with np.errstate(over="ignore"):
            digest.update(gguf.quants.dequantize(part, kind).astype(np.float32).tobytes())
    return digest.hexdigest()


def write_quants_readme(out, rows):
    with open(os.path.join(out, "README.md"), "w", encoding="utf-8") as f:
        f.write(f"""# quants: what the blocks of each weight type mean

Made by `tools/golden/make_tiny.py` with {ref.versions("gguf", "numpy", "torch", "safetensors")}.

`quants.safetensors` holds, for each type in F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q2_K Q3_K Q4_K Q5_K Q6_K
IQ4_NL IQ4_XS MXFP4 F8_E4M3 F8_E5M2:

- `<TYPE>.raw`, U8 [rows, bytes]: the bytes as they stand in a GGUF file, quants random, f16 scales of normal size
  with both signs, and a subnormal scale in the first block of each row;
- `<TYPE>.f32`, F32 [rows, n]: the values `gguf.quants.dequantize` finds in them (F16 and BF16: infinities, no NaN); of FP8,
  those of every byte but NaN in torch's float8_e4m3fn and float8_e5m2.

`scales.json` has for each block type the SHA-256 of the values of a block for each f16 that is finite as its scale
(`sha256_of_all_scales` says which bytes these are).

The other way: `source.f32`, F32 [{rows}, 256] (a block of zeros, one of equal values, one with both extremes), and
`source.<TYPE>`, U8: what `gguf.quants.quantize` makes of it, for F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1.

Tolerance: none. Both ways are exact if each product and sum is rounded to float32 by itself, in the order of llama.cpp's
formulas; a compiler that contracts `d * q - m` to one fused multiply-add differs in the last bit.
""")


def write_readme(tolerances):
    rows = "\n".join(f"| {k} | {v[0]:.1e} | {v[1]:.1e} |" for k, v in tolerances["logits"].items())
    with open(os.path.join(OUT, "README.md"), "w", encoding="utf-8") as f:
        f.write(f"""# tiny: a random Llama and what the reference says about it

Made by `tools/golden/make_tiny.py` with {ref.versions("torch", "transformers", "peft", "tokenizers", "safetensors", "gguf", "numpy")}.

Hidden {HIDDEN}, {LAYERS} layers, {HEADS} heads over {KV_HEADS} key-value heads of {HEAD_DIM}, feed-forward {FFN},
vocabulary {VOCAB} (byte-level BPE, digits one by one, {", ".join(SPECIAL)}), tied embedding, rope theta 100000.

| file | what it is |
|---|---|
| `hf/` | the model: `model.safetensors` F32, `config.json`, `tokenizer.json`, `tokenizer_config.json` with a ChatML template |
| `hf-bf16-sharded/` | the same rounded to BF16, in two shards with an index |
| `tiny-{{f32,f16,q8_0,q4_0,q4_1}}.gguf` | the same as GGUF; norms F32; q and k permuted as llama.cpp's converter does; in q4_1 the embedding is Q8_0 |
| `logits.json` | `cases[i]`: `name`, `text` or null, `ids`, `logprobs` = {{file kind: [null, ln p(ids[1] / ids[0]), ...]}} |
| `logits.safetensors` | `<i>.<kind>` F32 [T, {VOCAB}]: every case for F32, case 2 for every kind (F32 F16 Q8_0 Q4_0 Q4_1 BF16) |
| `adapter/` | LoRA, rank 4, alpha 8, all seven linears, A and B random, in PEFT's layout |
| `adapter-batch.json` | `prompts[i]`: `text`, `ids`, `continuations[j]`: `ids`, `coefficients`, `logprobs` (with the adapter); `loss`, `adamw`, `steps[k]`: `loss` before step k+1, `grad_norm` before clipping |
| `adapter-gradients.safetensors` | d loss / d A and B, under the names of the adapter's own file |
| `adapter-step1.safetensors`, `adapter-step3.safetensors` | the adapter after one and after three AdamW steps on that batch |
| `full-batch.json`, `full-gradients.safetensors`, `full-step1.safetensors` | the same without adapter, every weight trained; after the step only the norms and layer 1's k_proj are kept |

The pad token is `<|endoftext|>`, which no batch contains: transformers gives the embedding row of the pad token no gradient
from the input side (`padding_idx`), so a batch with pad tokens (SmolLM2's is `<|im_end|>`!) has wrong embedding gradients there.

    loss = sum over i, j, t of coefficients[t] * -ln p(ids[t] | prompt, ids before t)        no mean anywhere

`logprobs` of kind X is computed in fp32 from the weights a loader finds in file X, dequantised; activations are not rounded.
AdamW: {", ".join(f"{k} {v}" for k, v in ADAMW.items())}; the norm is over all trained tensors, the scale
`min(1, max / (norm + 1e-6))` as in torch.

How far this float32 lies from the same mathematics in double precision (`DoubleLlama` in `tools/golden/reference.py`):

| kind | logits, largest difference | log-probabilities |
|---|---|---|
{rows}

Gradients, largest difference as a fraction of the largest entry in the tensor: adapter {tolerances["adapter"][1]:.1e}, full
{tolerances["full"][1]:.1e}; loss {tolerances["adapter"][0]:.1e}, {tolerances["full"][0]:.1e}. A test should allow some five times as
much: logits 1e-4, log-probabilities 5e-5, gradients 2e-5 of the tensor's largest entry. An AdamW step divides a gradient by its own size, so
an entry with a tiny gradient may move differently. The adapter's entries differ from the same steps in double precision by at
most {tolerances["adapter"][2][1][0]:.1e} (mean {tolerances["adapter"][2][1][1]:.1e}) after one step, {tolerances["adapter"][2][3][0]:.1e} (mean {tolerances["adapter"][2][3][1]:.1e}) after three.
""")


def main():
    if os.path.isdir(OUT):
        shutil.rmtree(OUT)
    os.makedirs(OUT)
    torch.set_num_threads(1)
    tok, model = make_tokenizer(), make_model()
    variants = {"F32": model}
    half = save_folders(model, tok)
    for kind, embedding in (("F32", "F32"), ("F16", "F16"), ("Q8_0", "Q8_0"), ("Q4_0", "Q4_0"), ("Q4_1", "Q8_0")):
        weights = save_gguf(model, tok, kind, embedding)
        if kind == "F32":
            assert all(torch.equal(weights[n], p) for n, p in model.named_parameters())
        else:
            variants[kind] = with_weights(model, weights)
    variants["BF16"] = half
    tolerances = {"logits": save_logits(variants, tok)}
    batch = make_batch(model, tok)
    tolerances["full"] = save_full_goldens(with_weights(model, dict(model.named_parameters())), json.loads(json.dumps(batch)))
    tolerances["adapter"] = save_adapter_goldens(model, batch)
    save_quants()
    write_readme(tolerances)
    print(tolerances)


if __name__ == "__main__":
    main()
