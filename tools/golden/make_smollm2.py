#!/usr/bin/env python3
"""make_smollm2.py HF_DIR MODEL.gguf - what the reference says about the demo model, SmolLM2-135M-Instruct.

HF_DIR is what gguf_to_hf.py makes of MODEL.gguf: fp32 weights, and the tokenizer that splits digits one by one.
Writes tests/golden/smollm2/: cases.jsonl, logits.safetensors, batch.json, gradients.safetensors, README.md.

    python make_smollm2.py HF_DIR MODEL.gguf        a few minutes on two cores; needs torch, transformers, peft
"""
import hashlib
import json
import os
import sys

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

import reference as ref

OUT = ref.here("smollm2")
TOP, GREEDY, EOS = 8, 64, 2
SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"


def chat(*turns):
    """The demo model's template, written out: it puts a system turn in front where there is none."""
    turns = turns if turns[0][0] == "system" else (("system", SYSTEM), *turns)
    return "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in turns) + "<|im_start|>assistant\n"


TEXTS = [
    ("one word", "Hello"),
    ("an unfinished sentence", "The capital of France is"),
    ("encyclopedic", "Photosynthesis is the process by which green plants, algae and some bacteria turn light into chemical energy. In "
     "plants it takes place in the chloroplasts, where chlorophyll absorbs light, mostly red and blue, and"),
    ("a story", "Once upon a time, in a village between two rivers, there lived a clockmaker who had never been late. One morning "
     "every clock in her shop had stopped at ten past four, and nobody in the village could say why. She put on her coat,"),
    ("python", "def binary_search(items, target):\n    low, high = 0, len(items) - 1\n    while low <= high:\n        mid = (low + high) // 2\n"
     "        if items[mid] == target:\n            return mid\n        elif items[mid] < target:\n"),
    ("c", "#include <stdio.h>\n\nint main(void)\n{\n\tfor (int i = 0; i < 10; i++)\n\t\tprintf(\"%d\\n\", i * i);\n\treturn 0;\n}\n"),
    ("json", "{\"genes\": [\"CHD8\", \"FBN1\"], \"score\": 0.75, \"patient\": {\"age\": 34, \"sex\": \"f\", \"phenotypes\": [\"HP:0001250\", "),
    ("html", "<!DOCTYPE html>\n<html>\n  <head>\n    <title>Report</title>\n  </head>\n  <body>\n    <h1>"),
    ("numbers", "3.14159 26535 89793; 2 + 2 = 4, 12 * 12 = 144, 1000000 / 8 = 125000; 1999, 2000, 2001, 2002,"),
    ("arithmetic", "Question: Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. How many clips did "
     "Natalia sell altogether in April and May?\nAnswer:"),
    ("german", "Die Würde des Menschen ist unantastbar. Sie zu achten und zu schützen ist Verpflichtung aller staatlichen Gewalt."),
    ("french", "Être ou ne pas être, voilà la question : où l'âme a-t-elle le plus de noblesse ? Ça dépend, répondit-il,"),
    ("chinese and japanese", "人工知能は人間の知能を機械で再現する試みである。机器学习是人工智能的一个分支。"),
    ("russian, greek, hebrew, arabic, hindi", "Привет, мир! Καλημέρα κόσμε. שלום עולם. مرحبا بالعالم. नमस्ते दुनिया."),
    ("emoji and symbols", "I \u2764\ufe0f pizza \U0001F355\U0001F468\u200D\U0001F469\u200D\U0001F467 \u2014 \u201cbest\u201d \u2026 \u221a2 \u2248 1.414 \u2260 \u221e \u2192 \u00bd \u20ac5"),
    ("white space", "a  b   c\t\td\n\n\n   e\r\nf \u00a0g          h\n"),
    ("a chat", chat(("user", "What is the capital of France? Answer in one word."))),
    ("a chat with a system turn", chat(("system", "You name the gene behind a rare disease."), ("user", "A boy of 7 with tall stature, long fingers "
     "and a dislocated lens. Candidates: CHD8, FBN1, FBXL4. Which one? Answer with the gene name only."))),
    ("a chat of three turns", chat(("user", "Give me a number between 1 and 10."), ("assistant", "7"), ("user", "Double it, and say how you got there."))),
    ("long", "The history of medicine shows how societies have changed in their approach to illness and disease from ancient times to the "
     "present. Early medical traditions include those of Babylon, China, Egypt and India. The Greeks introduced the concepts of medical "
     "diagnosis, prognosis and advanced medical ethics. The Hippocratic Oath was written in ancient Greece in the 5th century BCE, and is "
     "a direct inspiration for oaths of office that physicians swear upon entry into the profession today. In the Middle Ages, surgical "
     "practices inherited from the ancient masters were improved and then systematised in Rogerius's The Practice of Surgery. Universities "
     "began systematic training of physicians around 1220 CE in Italy. Invention of the microscope was a consequence of improved "
     "understanding, during the Renaissance. Prior to the 19th century, humorism was thought to explain the cause of disease but it was "
     "gradually replaced by the germ theory of disease, leading to effective treatments and even cures for many infectious diseases. "
     "Military doctors advanced the methods of trauma treatment and surgery. Public health measures were developed especially in the 19th "
     "century as the rapid growth of cities required systematic sanitary measures. Advanced research centers opened in the early 20th "
     "century, often connected with major hospitals. The mid-20th century was characterized by new biological treatments, such as "
     "antibiotics. These advancements, along with developments in chemistry, genetics and radiography, led to modern medicine."),
]
FULL = {16: -1}  # case index -> position whose whole row of logits is kept
LORA = {"rank": 8, "alpha": 16, "scale_a": 1 / 16, "scale_b": 1 / 64, "entries": 64}
ADAMW = {"lr": 1e-4, "betas": [0.9, 0.95], "eps": 1e-8, "weight_decay": 0.0, "max_grad_norm": 1.0}


def mix(x):
    """splitmix64 of each counter: the only random source of the adapter, a few lines in any language."""
    with np.errstate(over="ignore"):
        z = np.asarray(x, np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def uniform(ordinal, shape, scale):
    """Element e of tensor `ordinal` is ((mix(ordinal * 2^32 + e) >> 40) - 2^23) / 2^23 * scale, exact in float32."""
    u = mix(np.uint64(ordinal << 32) + np.arange(int(np.prod(shape)), dtype=np.uint64)) >> np.uint64(40)
    x = (u.astype(np.int64) - (1 << 23)).astype(np.float64) / (1 << 23) * scale
    return torch.from_numpy(x.astype(np.float32)).reshape(shape)


def greedy(model, ids):
    """Up to GREEDY tokens with a KV cache; each with the margin of its logit over the second best."""
    out, margins = [], []
    with torch.no_grad():
        step = model(torch.tensor([ids]), use_cache=True)
        for _ in range(GREEDY):
            top = torch.topk(step.logits[0, -1], 2)
            out.append(int(top.indices[0]))
            margins.append((top.values[0] - top.values[1]).item())
            if out[-1] == EOS:
                break
            step = model(torch.tensor([out[-1:]]), past_key_values=step.past_key_values, use_cache=True)
    return out, margins


def save_cases(model, tok):
    tensors, worst = {}, {"logits": 0.0, "logprobs": 0.0, "mean": []}
    double = ref.DoubleLlama(model.config, dict(model.named_parameters()))
    with open(os.path.join(OUT, "cases.jsonl"), "w", encoding="utf-8") as f:
        for i, (name, text) in enumerate(TEXTS):
            ids = tok.encode(text).ids
            with torch.no_grad():
                logits, lp = ref.logprobs_of(model, ids)
                truth, tlp = ref.logprobs_of(double, ids)
            worst["logits"] = max(worst["logits"], (logits - truth).abs().max().item())
            worst["mean"].append((logits - truth).abs().mean().item())
            worst["logprobs"] = max(worst["logprobs"], (lp - tlp).abs().max().item() if len(lp) else 0.0)
            top = torch.topk(logits, TOP, dim=-1)
            tensors[f"{i}.top_ids"] = top.indices.to(torch.int32)
            tensors[f"{i}.top_logits"] = top.values
            tensors[f"{i}.logsumexp"] = torch.logsumexp(logits.double(), -1)
            if i in FULL:
                tensors[f"{i}.last_logits"] = logits[FULL[i]]
            new, margins = greedy(model, ids)
            case = {"name": name, "text": text, "ids": ids, "logprobs": [None] + ref.floats(lp),
                    "greedy": {"ids": new, "margins": ref.floats(margins), "text": tok.decode(new)}}
            f.write(json.dumps(case, ensure_ascii=False) + "\n")
            print(name, len(ids), "mean logprob %.3f" % lp.mean().item() if len(lp) else "", repr(case["greedy"]["text"])[:90],
                  "smallest margin %.4f" % min(margins), flush=True)
    ref.save_tensors(os.path.join(OUT, "logits.safetensors"), tensors)
    return worst


def make_batch(model, tok):
    g = torch.Generator().manual_seed(3)
    prompts = []
    for text in (TEXTS[17][1], chat(("user", "Name a colour of the sky at 5 in the evening."))):
        ids, answers = tok.encode(text).ids, []
        for n in (8, 16, 24):
            out = ref.sample(model, ids, n, g, stop=(EOS,))
            c = torch.randn(len(out), generator=g) * 0.25
            c[len(out) // 2] = 0.0
            answers.append({"ids": out, "coefficients": ref.floats(c)})
        prompts.append({"text": text, "ids": ids, "continuations": answers})
    return {"prompts": prompts}


def adapter_names(layers):
    """(module path, PEFT name of its A, of its B) in the order of the ordinals: layer, then ref.LINEARS."""
    for i in range(layers):
        for w in ref.LINEARS:
            part = "self_attn" if w[0] in "qkvo" and w[1] == "_" else "mlp"
            path = f"base_model.model.model.layers.{i}.{part}.{w}"
            yield path + ".lora_A.weight", path + ".lora_B.weight"


def save_gradients(base, batch):
    model = get_peft_model(base, LoraConfig(r=LORA["rank"], lora_alpha=LORA["alpha"], lora_dropout=0.0, bias="none",
                                            task_type="CAUSAL_LM", target_modules=ref.LINEARS)).eval()
    params = {n.replace(".default", ""): p for n, p in model.named_parameters() if p.requires_grad}
    names = [n for pair in adapter_names(base.config.num_hidden_layers) for n in pair]
    assert sorted(names) == sorted(params)
    with torch.no_grad():
        for k, n in enumerate(names):
            params[n].copy_(uniform(k, tuple(params[n].shape), LORA["scale_a" if k % 2 == 0 else "scale_b"]))
        for p in batch["prompts"]:
            for a in p["continuations"]:
                a["logprobs"] = ref.floats(ref.logprobs_of(model, p["ids"] + a["ids"])[1][len(p["ids"]) - 1:])
    loss, grads = ref.gradients(model, batch)
    grads = {n.replace(".default", ""): g for n, g in grads.items()}

    frozen = {n.removeprefix("base_model.model.").replace(".base_layer", ""): p
              for n, p in model.named_parameters() if "lora_" not in n}
    double = ref.DoubleLlama(base.config, {**frozen, **params}, scale=LORA["alpha"] / LORA["rank"])
    loss64, grads64 = double.gradients(batch, names)
    worst = {"loss": abs(loss - loss64),
             "entry": max(((grads[n] - grads64[n]).abs().max() / grads64[n].abs().max()).item() for n in names),
             "norm": max((grads[n].norm() / grads64[n].norm() - 1).abs().item() for n in names)}

    entries = LORA["entries"]
    index = torch.stack([torch.from_numpy((mix(np.uint64(0xE << 60) + np.arange(k * entries, (k + 1) * entries, dtype=np.uint64))
                                           % np.uint64(params[n].numel())).astype(np.int32)) for k, n in enumerate(names)])
    optimizer = torch.optim.AdamW(list(params.values()), lr=ADAMW["lr"], betas=ADAMW["betas"], eps=ADAMW["eps"],
                                  weight_decay=ADAMW["weight_decay"])
    _, norm = ref.adamw_step(model, optimizer, batch, ADAMW["max_grad_norm"])
    pick = lambda tensors: torch.stack([tensors[n].detach().flatten()[index[k].long()] for k, n in enumerate(names)])
    ref.save_tensors(os.path.join(OUT, "gradients.safetensors"), {
        "index": index, "gradient": pick(grads), "stepped": pick(params),
        "norm": torch.stack([grads[n].double().norm() for n in names]),
        "largest": torch.stack([grads[n].abs().max() for n in names])})
    with torch.no_grad():
        after = ref.batch_loss(model, batch).item()
    batch.update(lora=LORA, adamw=ADAMW, loss=loss, grad_norm=norm, loss_after_step=after, tensors=names)
    ref.write_json(os.path.join(OUT, "batch.json"), batch)
    return worst


def write_readme(gguf_path, worst, gradients, model):
    with open(gguf_path, "rb") as f:
        digest = hashlib.file_digest(f, "sha256").hexdigest()
    with open(os.path.join(OUT, "README.md"), "w", encoding="utf-8") as f:
        f.write(f"""# smollm2: what the reference says about the demo model

Made by `tools/golden/make_smollm2.py` with {ref.versions("torch", "transformers", "peft", "tokenizers", "safetensors", "gguf", "numpy")}.
Model: `{os.path.basename(gguf_path)}`, sha256 `{digest}`, dequantised, everything in fp32.

`cases.jsonl`, one case a line: `name`, `text`, `ids` (special tokens parsed, digits one by one), `logprobs` (null for the first
token, then ln p(ids[t] | ids before t)), `greedy`: `ids` (up to {GREEDY}, an end token is kept), `margins` (first minus second logit
at each step), `text`. Where a margin is below 1e-3 another rounding may choose otherwise: compare up to there.

`logits.safetensors`, for case i: `<i>.top_ids` I32 [T, {TOP}], `<i>.top_logits` F32 [T, {TOP}], `<i>.logsumexp` F32 [T];
`{list(FULL)[0]}.last_logits` F32 [{model.config.vocab_size}], the whole row of that case's last position.

`batch.json`: `prompts[i]`: `text`, `ids`, `continuations[j]`: `ids`, `coefficients`, `logprobs` (with the adapter); `loss`,
`loss_after_step`, `grad_norm` before clipping, `lora`, `adamw`, `tensors`: the {2 * 7 * model.config.num_hidden_layers} names of A and B in the order of their ordinals k.

    loss = sum over i, j, t of coefficients[t] * -ln p(ids[t] | prompt, ids before t)        no mean anywhere

The adapter (rank {LORA["rank"]}, alpha {LORA["alpha"]}, on all seven linears) is not stored but counted. Element e (row-major) of tensor k, A even, B odd:

    z = k * 2^32 + e + 0x9E3779B97F4A7C15;  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;  z = (z ^ z >> 27) * 0x94D049BB133111EB;
    value = (((z ^ z >> 31) >> 40) - 2^23) / 2^23 * scale,    scale 1/16 for A, 1/64 for B,    all modulo 2^64, exact in float32

`gradients.safetensors`, row k = tensor k: `norm` F32 [n], `largest` F32 [n] (largest magnitude), `index` I32 [n, {LORA["entries"]}] (flat), `gradient`
F32 [n, {LORA["entries"]}] at these, before clipping, and `stepped` F32 [n, {LORA["entries"]}]: A and B there after one clipped AdamW step.

Largest differences between this float32 and the same mathematics in double precision: logits {worst["logits"]:.1e} (mean
{np.mean(worst["mean"]):.1e}), log-probabilities {worst["logprobs"]:.1e}, loss {gradients["loss"]:.1e}, a gradient's norm {gradients["norm"]:.1e} of itself, an entry
{gradients["entry"]:.1e} of the largest in its tensor.
""")


def main(folder, gguf_path):
    os.makedirs(OUT, exist_ok=True)
    torch.set_num_threads(2)
    tok = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    worst = save_cases(model, tok)
    batch = make_batch(model, tok)
    gradients = save_gradients(model, batch)
    write_readme(gguf_path, worst, gradients, model)
    print(worst["logits"], worst["logprobs"], gradients)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main(sys.argv[1], sys.argv[2])
