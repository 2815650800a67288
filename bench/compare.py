#!/usr/bin/env python3
"""hone beside its peers: each measured in turn, several times, in one sitting; medians and ranges.

    bench/compare.py MODEL.gguf --llama PATH/llama-batched-bench [--rounds 5]
    bench/compare.py MODEL.gguf --hf FOLDER --python VENV/bin/python [--rounds 5]
    bench/compare.py MODEL.gguf --hf FOLDER --python VENV/bin/python --trl

--llama  sampling: 32 answers behind a prompt of 128 tokens, 64 new tokens each; llama.cpp on the same file
--python forward and backward with LoRA (rank 16, all linear layers), 8 sequences of 256 tokens; PyTorch + peft in FP32
--trl    a whole step: 4 prompts of 79 tokens, 8 answers of 64 tokens each; TRL's GRPOTrainer on the CPU, FP32

hone's side is `hone bench`, whose sizes these are (build/release/hone unless --hone says otherwise). The peers run on as
many threads. The machine is best left alone meanwhile: load is printed with the figures.
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
HONE = os.path.join(HERE, "..", "build", "release", "hone")

TORCH = r"""
import sys, time, torch
from transformers import AutoModelForCausalLM
from peft import LoraConfig, get_peft_model
torch.set_num_threads(int(sys.argv[2])); torch.manual_seed(0)
m = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32)
m = get_peft_model(m, LoraConfig(r=16, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM"))
x = torch.randint(0, 49152, (8, 256))
for i in range(int(sys.argv[3]) + 1):
    t = time.time(); m(input_ids=x, labels=x).loss.backward(); d = time.time() - t
    if i: print("torch tok_s=%.1f seconds=%.2f" % (2048 / d, d), flush=True)
    m.zero_grad()
"""

TRL = r"""
import os, sys, time, torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer
torch.set_num_threads(int(sys.argv[2])); torch.manual_seed(0)
tok = AutoTokenizer.from_pretrained(sys.argv[1])
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32)
model.generation_config.eos_token_id = None
words = tok.decode(torch.randint(1000, 40000, (70,)).tolist())
data = Dataset.from_list([{"prompt": words + " %d" % i} for i in range(64)])
def reward(completions, **kw): return [float(i % 2) for i in range(len(completions))]
class Clock(TrainerCallback):
    def on_step_begin(self, *a, **k): self.t = time.time()
    def on_step_end(self, args, state, control, **k):
        if state.global_step > 1: print("trl seconds=%.2f" % (time.time() - self.t), flush=True)
args = GRPOConfig(output_dir=sys.argv[4], use_cpu=True, bf16=False, per_device_train_batch_size=32,
    gradient_accumulation_steps=1, num_generations=8, max_completion_length=64, temperature=1.0, beta=0.0,
    max_steps=int(sys.argv[3]) + 1, logging_steps=1000, save_strategy="no", report_to=[],
    generation_kwargs={"min_new_tokens": 64}, gradient_checkpointing=False)
GRPOTrainer(model=model, args=args, train_dataset=data, reward_funcs=reward, processing_class=tok,
    callbacks=[Clock()], peft_config=LoraConfig(r=16, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")).train()
"""


def run(command, pattern):
    out = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
    found = [float(x) for x in re.findall(pattern, out)]
    if not found:
        sys.exit("%s said nothing of use:\n%s" % (command[0], out[-2000:]))
    return found


def hone(o, part):
    """One round of a part of hone bench, warmed up as the peers are."""
    words = [o.hone, "bench", "--model", o.model, "--parts", part, "--rounds", "1", "--threads", str(o.threads), "--json"]
    try:
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    except OSError as error:
        sys.exit("%s: %s" % (o.hone, error.strerror))
    if done.returncode != 0:
        sys.exit(done.stderr.strip())
    return json.loads(done.stdout)["parts"][part]["values"]


def tell(name, values, unit):
    print("%-28s median %8.1f  min %8.1f  max %8.1f %s  (%d runs)" %
          (name, statistics.median(values), min(values), max(values), unit, len(values)))


def beside(ours, theirs, rounds, what, unit, larger_is_better):
    """ours, theirs: name and a function that measures once, giving numbers"""
    figures = {ours[0]: [], theirs[0]: []}
    for i in range(rounds):
        for name, measure in ((ours, theirs) if i % 2 == 0 else (theirs, ours)):
            figures[name] += measure()
            print("  round %d %s: %s %s, load %.1f" % (i + 1, name, figures[name][-1], unit, os.getloadavg()[0]), flush=True)
    print(what)
    for name, values in figures.items():
        tell(name, values, unit)
    a, b = statistics.median(figures[ours[0]]), statistics.median(figures[theirs[0]])
    print("ratio %.2f (above 1: %s is faster)" % (a / b if larger_is_better else b / a, ours[0]))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model")
    p.add_argument("--hone", default=HONE)
    p.add_argument("--llama")
    p.add_argument("--hf")
    p.add_argument("--python")
    p.add_argument("--trl", action="store_true")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    o = p.parse_args()
    t = str(o.threads)
    if o.llama:
        llama = [o.llama, "-m", o.model, "-c", "4096", "-npp", "128", "-ntg", "64", "-npl", "32", "-pps", "-t", t, "-tb", t,
                 "-b", "2048", "-ub", "512"]
        # | PP | TG | B | N_KV | T_PP s | S_PP t/s | T_TG s | S_TG t/s | ...
        beside(("hone", lambda: hone(o, "sample")),
               ("llama.cpp", lambda: run(llama, r"\|\s*128 \|\s*64 \|\s*32 \|[^|]*\|[^|]*\|[^|]*\|[^|]*\|\s*([\d.]+) \|")),
               o.rounds, "decode, 32 answers behind one prompt", "tok/s", True)
    elif o.trl:
        with tempfile.TemporaryDirectory() as d:
            beside(("hone", lambda: hone(o, "step")),
                   ("TRL", lambda: run([o.python, "-c", TRL, o.hf, t, "1", d], r"trl seconds=([\d.]+)")),
                   o.rounds, "a whole step: 4 prompts, 8 answers of 64 tokens", "s", False)
    else:
        beside(("hone", lambda: hone(o, "train")),
               ("PyTorch + peft", lambda: run([o.python, "-c", TORCH, o.hf, t, "1"], r"tok_s=([\d.]+)")),
               o.rounds, "forward and backward, LoRA rank 16, 8 x 256 tokens", "tok/s", True)


if __name__ == "__main__":
    main()
