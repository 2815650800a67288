"""reference.py - what the makers of models' golden files share: saving, the loss, one AdamW step.

The loss of every gradient golden is that of a policy-gradient step with its coefficients written out:

    loss = sum over prompts i, continuations j, tokens t of  c[i][j][t] * -log p(token t | prompt i, tokens before t)

No mean is taken anywhere, so that a test needs no rule about what is divided by what.
"""
import json
import re

import numpy as np
import torch
from safetensors.torch import save_file

from common import here, versions # noqa: F401, for the makers

LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def save_tensors(path, tensors):
    save_file({k: v.detach().to(torch.float32).contiguous() if v.is_floating_point() else v.contiguous()
               for k, v in tensors.items()}, path)


def floats(x):
    """Float32 values as the shortest decimals that read back as the same float32."""
    return [float(np.format_float_scientific(np.float32(v), unique=True)) for v in x]


def write_json(path, value):
    text = json.dumps(value, ensure_ascii=False, indent=1)
    # lists of numbers on one line: they are columns, not structure
    text = re.sub(r"\[\s+((?:[-+0-9.eE]+|null)(?:,\s+(?:[-+0-9.eE]+|null))*)\s+\]",
                  lambda m: "[" + re.sub(r"\s+", " ", m.group(1)) + "]", text)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text + "\n")


def logprobs_of(model, ids):
    """(logits [T, V], log p(ids[t] | ids[..t]) for t = 1..T-1), in the model's own precision."""
    logits = model(torch.tensor([ids])).logits[0]
    lp = torch.log_softmax(logits, -1)
    return logits, lp[:-1].gather(1, torch.tensor(ids[1:])[:, None])[:, 0]


def sample(model, ids, n, generator, stop=()):
    """n tokens at temperature 1, fewer if one of `stop` is drawn (which is kept)."""
    out = []
    with torch.no_grad():
        for _ in range(n):
            p = torch.softmax(model(torch.tensor([ids + out])).logits[0, -1].double(), -1)
            out.append(int(torch.multinomial(p, 1, generator=generator)))
            if out[-1] in stop:
                break
    return out


def batch_loss(model, batch):
    """The loss above, one sequence at a time: no padding, so no attention mask can be wrong."""
    total = 0.0
    for prompt in batch["prompts"]:
        for answer in prompt["continuations"]:
            _, lp = logprobs_of(model, prompt["ids"] + answer["ids"])
            lp = lp[len(prompt["ids"]) - 1:]
            total = total - (torch.tensor(answer["coefficients"], dtype=lp.dtype) * lp).sum()
    return total


def gradients(model, batch):
    """(loss, {name: gradient}) for every parameter that wants one; a tied head is counted in the embedding."""
    model.zero_grad(set_to_none=True)
    loss = batch_loss(model, batch)
    loss.backward()
    return loss.item(), {n: p.grad.clone() for n, p in model.named_parameters() if p.requires_grad}


def adamw_step(model, optimizer, batch, max_norm):
    """One clipped step; returns (loss, gradient norm before clipping)."""
    loss, _ = gradients(model, batch)
    norm = torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], max_norm)
    optimizer.step()
    return loss, norm.item()


class DoubleLlama:
    """The same mathematics as transformers' Llama, written out in double precision.

    It tells how far float32 may lie from the truth: the tolerances beside the golden files come from it.
    `state` maps Hugging Face names to tensors, a LoRA adapter's PEFT names included; `scale` is alpha / rank.
    """

    def __init__(self, config, state, scale=0.0):
        self.c, self.scale = config, scale
        self.p = {k: v.detach().double().requires_grad_() for k, v in state.items()}
        self.theta = config.rope_parameters["rope_theta"]

    def linear(self, x, name):
        y = x @ self.p[name + ".weight"].T
        a = f"base_model.model.{name}.lora_A.weight"
        if a in self.p:
            y = y + self.scale * (x @ self.p[a].T) @ self.p[a.replace("lora_A", "lora_B")].T
        return y

    def norm(self, x, name):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.c.rms_norm_eps) * self.p[name + ".weight"]

    def rope(self, x): # [H, T, D]: the first half of a head turns with the second half
        T, D = x.shape[1:]
        angle = torch.arange(T).double()[:, None] * self.theta ** (-torch.arange(0, D, 2).double() / D)[None]
        cos, sin = angle.cos(), angle.sin()
        a, b = x[..., : D // 2], x[..., D // 2:]
        return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)

    def __call__(self, ids):
        c, T = self.c, ids.shape[1]
        x = self.p["model.embed_tokens.weight"][ids[0]]
        mask = torch.full((T, T), -torch.inf, dtype=torch.double).triu(1)
        for i in range(c.num_hidden_layers):
            n = f"model.layers.{i}."
            h = self.norm(x, n + "input_layernorm")
            q, k, v = (self.linear(h, n + f"self_attn.{w}_proj").view(T, -1, c.head_dim).transpose(0, 1) for w in "qkv")
            q, k = self.rope(q), self.rope(k)
            k, v = (t.repeat_interleave(c.num_attention_heads // c.num_key_value_heads, 0) for t in (k, v))
            a = torch.softmax(q @ k.transpose(1, 2) / c.head_dim ** 0.5 + mask, -1) @ v
            x = x + self.linear(a.transpose(0, 1).reshape(T, -1), n + "self_attn.o_proj")
            h = self.norm(x, n + "post_attention_layernorm")
            h = torch.nn.functional.silu(self.linear(h, n + "mlp.gate_proj")) * self.linear(h, n + "mlp.up_proj")
            x = x + self.linear(h, n + "mlp.down_proj")
        head = self.p.get("lm_head.weight", self.p["model.embed_tokens.weight"])
        logits = self.norm(x, "model.norm") @ head.T
        return type("Output", (), {"logits": logits[None]})

    def gradients(self, batch, names):
        loss = batch_loss(self, batch)
        return loss.item(), dict(zip(names, torch.autograd.grad(loss, [self.p[n] for n in names])))
