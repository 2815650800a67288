#!/usr/bin/env python3
"""hone beside its peers: each measured in turn, several times, in one sitting; medians and ranges.

    bench/compare.py MODEL.gguf [--llama PATH/llama-batched-bench [--llama-models FILE ...]]
                     [--hf FOLDER --python VENV/bin/python] [--only LIST] [--rounds 5] [--write docs/PERFORMANCE.md]

decode   32 answers behind a prompt of 128 tokens, 64 new tokens each; the best of llama.cpp over the files of --llama-models,
         which bench/quantise.py makes of one model (without: MODEL alone)
one      the same with one answer; llama.cpp on MODEL
prefill  a prompt of 2,048 tokens; llama.cpp on MODEL
train    forward and backward with LoRA (rank 16, all linear layers), 8 sequences of 256 tokens; PyTorch + peft in FP32
share    forward and backward of 8 answers of 64 tokens that share a prompt of 192; hone without sharing
step     a whole step: 4 prompts of 90 tokens, 8 answers of 64 each; TRL's GRPOTrainer in FP32, 8 answers at a time, which is
         its leanest, and hone with 0.8 GB for what it keeps

hone is measured in each --precision by `hone bench` (build/release/hone unless --hone says otherwise), which tells the share of
the machine's limit as well. A peer that is not given is left out. All work on as many threads. What is measured is warmed up by
one round of its own; sides change their order from round to round. A peer that fails is left out, told at the end, and makes
the exit status 1. Memory is the most that a process had. The machine is best
left alone meanwhile: load is printed with the figures.
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
from sections import HONE, bench, processor, spread, table, write_section  # noqa: E402

TORCH = r"""
import sys, time, torch, transformers, peft
from transformers import AutoModelForCausalLM
torch.set_num_threads(int(sys.argv[2])); torch.manual_seed(0)
m = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32)
m = peft.get_peft_model(m, peft.LoraConfig(r=16, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM"))
x = torch.randint(0, m.config.vocab_size, (8, 256))
for i in range(2):
    t = time.time(); m(input_ids=x, labels=x).loss.backward(); d = time.time() - t
    m.zero_grad()
print("versions torch %s, transformers %s, peft %s" % (torch.__version__, transformers.__version__, peft.__version__))
print("figure %.2f" % (2048 / d), flush=True)
"""

TRL = r"""
import sys, time, torch, trl
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer
torch.set_num_threads(int(sys.argv[2])); torch.manual_seed(0)
tok = AutoTokenizer.from_pretrained(sys.argv[1])
if tok.pad_token is None: tok.pad_token = tok.eos_token
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32)
words = "seizures fever hypotonia delay of speech short stature family history and feeding difficulties in infancy".split()
def prompt(i):
    text, k = "Case %d:" % i, i
    while len(tok(text)["input_ids"]) < 90: text += " " + words[k % len(words)]; k += 1
    return text
data = Dataset.from_list([{"prompt": prompt(i)} for i in range(64)])
def reward(completions, **kw): return [float(i % 2) for i in range(len(completions))]
class Clock(TrainerCallback):
    def on_step_begin(self, *a, **k): self.t = time.time()
    def on_step_end(self, args, state, control, **k): self.seconds = time.time() - self.t
args = GRPOConfig(output_dir=sys.argv[3], use_cpu=True, bf16=False, per_device_train_batch_size=8,
    gradient_accumulation_steps=4, num_generations=8, max_completion_length=64, temperature=1.0, beta=0.0,
    max_steps=2, logging_steps=1000, save_strategy="no", report_to=[], disable_tqdm=True,
    generation_kwargs={"min_new_tokens": 64}, gradient_checkpointing=False)
clock = Clock()
GRPOTrainer(model=model, args=args, train_dataset=data, reward_funcs=reward, processing_class=tok, callbacks=[clock],
    peft_config=LoraConfig(r=16, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")).train()
print("versions trl %s, prompts of %d to %d tokens" % (trl.__version__, *(f(len(tok(d["prompt"])["input_ids"]) for d in data)
    for f in (min, max))))
print("figure %.3f" % clock.seconds, flush=True)
"""


class Figure:
    def __init__(self, value, peak_bytes, fraction=None):
        self.value, self.peak_bytes, self.fraction = value, peak_bytes, fraction


class Failed(Exception):
    """A peer that said nothing of use."""


class Side:
    """One that is measured. precision: of hone's, or of the hone that a peer stands beside; None: it stands beside all."""

    def __init__(self, name, ours, precision, measure):
        self.name, self.ours, self.precision, self.measure, self.figures = name, ours, precision, measure, []

    @property
    def values(self):
        return [f.value for f in self.figures]

    @property
    def median(self):
        return statistics.median(self.values)

    @property
    def peak_bytes(self):
        return max(f.peak_bytes for f in self.figures)


class Comparison:
    def __init__(self, what, unit, asked, sides, memory=False):
        self.what, self.unit, self.asked, self.sides, self.memory = what, unit, asked, sides, memory
        self.larger_is_better = unit == "tok/s"

    def measure(self, rounds):
        """A peer that fails once is left out; returns what such peers said."""
        failures = []
        print(self.what, flush=True)
        for i in range(rounds):
            for side in list(self.sides if i % 2 == 0 else self.sides[::-1]):
                try:
                    side.figures.append(side.measure())
                except Failed as failure:
                    print("  round %d %s: %s" % (i + 1, side.name, failure), flush=True)
                    failures.append("%s, %s: %s" % (self.what, side.name, failure))
                    self.sides.remove(side)
                    continue
                print("  round %d %s: %.2f %s, load %.1f" %
                      (i + 1, side.name, side.values[-1], self.unit, os.getloadavg()[0]), flush=True)
        for side in self.sides:
            print("%-28s median %8.1f  min %8.1f  max %8.1f %s  memory %6.0f MB%s  (%d runs)" %
                  (side.name, side.median, min(side.values), max(side.values), self.unit, side.peak_bytes / 1e6,
                   self.share(side, "  %s of limit"), len(side.figures)))
        for side in self.sides:
            peer = self.peer_of(side)
            if side.ours and peer:
                print("ratio %.2f %s to %s (above 1: %s is faster)%s" %
                      (self.ratio(side, peer), side.name, peer.name, side.name,
                       ", memory %.2f" % (side.peak_bytes / peer.peak_bytes) if self.memory else ""))
        print(flush=True)
        return failures

    @staticmethod
    def share(side, form):
        fractions = [f.fraction for f in side.figures if f.fraction is not None]
        return form % ("%.0f %%" % (100 * statistics.median(fractions))) if fractions else ""

    def peer_of(self, side):
        """The best of those that side stands beside; None where there is none."""
        peers = [s for s in self.sides if not s.ours and s.precision in (None, side.precision)]
        return (max if self.larger_is_better else min)(peers, key=lambda s: s.median) if peers else None

    def ratio(self, side, peer):
        return side.median / peer.median if self.larger_is_better else peer.median / side.median

    def rows(self):
        """Of the table: one for each of hone's sides."""
        for side in (s for s in self.sides if s.ours):
            peer = self.peer_of(side)

            def memory(s):
                return ", %.2f GB" % (s.peak_bytes / 1e9) if self.memory else ""
            yield [self.what, side.precision, "%s %s%s" % (spread(side.values), self.unit, memory(side)),
                   "%s: %s%s" % (peer.name, spread(peer.values), memory(peer)) if peer else "not measured",
                   ("**%.2f**" % self.ratio(side, peer) +
                    (", %.2f of the memory" % (side.peak_bytes / peer.peak_bytes) if self.memory else "")) if peer else "",
                   self.asked, self.share(side, "%s")]

    def as_json(self):
        return {"what": self.what, "unit": self.unit, "asked": self.asked,
                "sides": [{"name": s.name, "precision": s.precision, "values": s.values, "median": s.median,
                           "peak_bytes": s.peak_bytes, "fractions": [f.fraction for f in s.figures]} for s in self.sides]}


def run_once(command):
    """Exit status, all that was said, and the most memory that it had."""
    env = dict(os.environ)
    beside = os.path.dirname(os.path.abspath(command[0]))
    if os.path.exists(os.path.join(beside, "libllama.so")):
        env["LD_LIBRARY_PATH"] = os.pathsep.join([beside] + env.get("LD_LIBRARY_PATH", "").split(os.pathsep)).rstrip(os.pathsep)
    with tempfile.TemporaryFile("w+") as said:
        child = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, env=env)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        return child.returncode, said.read(), usage.ru_maxrss * 1024


def run(command, pattern, versions):
    """The figure behind pattern of what another program says. What it says of versions is kept."""
    for _ in range(3):  # llama.cpp writes its table from a thread of its own, and has ended without it on a busy machine
        status, out, peak_bytes = run_once(command)
        found = [float(x) for x in re.findall(pattern, out)]
        if status != 0 or found:
            break
    if status != 0 or not found:
        raise Failed("%s said nothing of use (exit status %d): %s" % (command[0], status, out.strip()[-1000:]))
    versions.update(re.findall(r"^versions (.*)$", out, re.M))
    return Figure(found[-1], peak_bytes)


class Maker:
    """The sides of each comparison, from the options."""

    def __init__(self, o, folder):
        self.o, self.folder, self.versions = o, folder, set()

    def hone(self, part, *words):
        def side(precision):
            def measure():
                told = bench(self.o.hone, self.o.model, "--parts", part, "--rounds", "1", "--threads",
                             str(self.o.threads), "--precision", precision, *words)
                (found,) = told["parts"].values()
                return Figure(found["median"], told["peak_bytes"], found["fraction"])
            return measure
        return [Side("hone %s" % p, True, p, side(p)) for p in self.o.precision]

    def llama(self, models, tokens, new, answers, column):
        """column: of batched-bench's table, counted from 0: 5 prompt, 7 decoding"""
        def side(model):
            command = [self.o.llama, "-m", model, "-c", "4096", "-npp", str(tokens), "-ntg", str(new), "-npl", str(answers),
                       "-pps", "-t", str(self.o.threads), "-tb", str(self.o.threads), "-b", "2048", "-ub", "512"]
            # | PP | TG | B | N_KV | T_PP s | S_PP t/s | T_TG s | S_TG t/s | ...
            line = r"\|\s*%d \|\s*%d \|\s*%d \|" % (tokens, new, answers) + r"[^|]*\|" * (column - 3) + r"\s*([\d.]+) \|"
            return lambda: run(command, line, self.versions)
        return [Side("llama.cpp %s" % os.path.basename(m), False, None, side(m)) for m in models] if self.o.llama else []

    def python(self, name, script, *words):
        if not self.o.python:
            return []
        command = [self.o.python, "-c", script, self.o.hf, str(self.o.threads), *words]
        return [Side(name, False, None, lambda: run(command, r"figure ([\d.]+)", self.versions))]

    def all(self):
        o = self.o

        def apart():
            sides = self.hone("train", "--group", "1")
            for side in sides:
                side.name, side.ours = side.name + " apart", False
            return sides
        return {
            "decode": lambda: Comparison(
                "decode, 32 answers behind one prompt of 128, 64 new tokens", "tok/s", "3 (2 without VNNI); 45 % of the limit",
                self.hone("sample", "--answers", "32") + self.llama(o.llama_models or [o.model], 128, 64, 32, 7)),
            "one": lambda: Comparison(
                "decode, one answer", "tok/s", "1.2",
                self.hone("sample", "--answers", "1") + self.llama([o.model], 128, 64, 1, 7)),
            "prefill": lambda: Comparison(
                "prefill of 2,048 tokens", "tok/s", "1.2",
                self.hone("prefill", "--prompt", "2048") + self.llama([o.model], 2048, 1, 1, 5)),
            "train": lambda: Comparison(
                "forward and backward, LoRA r 16, 8 x 256 tokens", "tok/s",
                "1.5 in FP32, 2.5 with a BF16 dot; 0.25 of the memory; 60 % of the limit",
                self.hone("train") + self.python("PyTorch + peft", TORCH), memory=True),
            "share": lambda: Comparison(
                "the same, 8 answers of 64 that share a prompt of 192", "tok/s", "2.5", self.hone("train", "--group", "8") + apart()),
            "step": lambda: Comparison(
                "a whole step, 4 prompts of 90 x 8 answers of 64", "s", "8 with a BF16 dot and VNNI, 5 with AVX2; 0.25 of the memory",
                self.hone("step", "--prompt", "90", "--memory-bytes", "8e8") +
                self.python("TRL GRPOTrainer", TRL, self.folder), memory=True),
        }


def read_options(names):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model")
    p.add_argument("--hone", default=HONE)
    p.add_argument("--precision", type=lambda s: s.split(","), default=["f32", "int8"], metavar="LIST")
    p.add_argument("--llama", metavar="FILE")
    p.add_argument("--llama-models", nargs="+", metavar="FILE")
    p.add_argument("--hf", metavar="FOLDER")
    p.add_argument("--python", metavar="FILE")
    p.add_argument("--only", type=lambda s: s.split(","), metavar="LIST", help=", ".join(names))
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--json", metavar="FILE", help="all figures go there")
    p.add_argument("--write", metavar="FILE", help="the table goes into this Markdown file, between the lines of its section")
    o = p.parse_args()
    if (o.hf is None) != (o.python is None):
        p.error("--hf and --python belong together")
    for path in filter(None, (o.llama, o.python)):
        if not os.access(path, os.X_OK):
            p.error("%s is no program" % path)
    for name in o.only or []:
        if name not in names:
            p.error('--only has "%s"; there are %s' % (name, ", ".join(names)))
    return o


def main():
    names = list(Maker(argparse.Namespace(), "").all())
    o = read_options(names)
    with tempfile.TemporaryDirectory() as folder:
        maker = Maker(o, folder)
        made = maker.all()
        comparisons = [made[name]() for name in o.only or names]
        failures = [failure for c in comparisons for failure in c.measure(o.rounds)]
    head = ["what", "precision", "hone, median (range)", "reference", "ratio", "at least", "of the limit"]
    note = "%s, %d threads, %d rounds each, alternating%s." % (
        processor(), o.threads, o.rounds, "".join("; " + v for v in sorted(maker.versions)))
    text = note + "\n\n" + table(head, [row for c in comparisons for row in c.rows()])
    print(text)
    if o.json:
        with open(o.json, "w") as stream:
            json.dump({"note": note, "comparisons": [c.as_json() for c in comparisons]}, stream, indent=1)
    if o.write:
        write_section(o.write, "bench/compare.py", text)
    return "\n".join(failures) or 0


if __name__ == "__main__":
    sys.exit(main())
