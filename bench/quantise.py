#!/usr/bin/env python3
"""One GGUF model in llama.cpp's formats, for bench/compare.py --llama-models: FOLDER/<name>-<format>.gguf for each.

    bench/quantise.py MODEL.gguf FOLDER --llama DIR [--formats f32,f16,bf16,q8_0,q4_0,q4_1]

DIR has llama-quantize, or libllama.so, which is called directly where the program is missing. What is quantised already is
quantised again, so all files carry MODEL's weights and none is more exact. A file that is there already is left as it is.
"""
import argparse
import ctypes
import glob
import os
import subprocess
import sys

FORMATS = {"f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q8_0": 7, "bf16": 32}  # enum llama_ftype of llama.h


class Params(ctypes.Structure):
    """llama_model_quantize_params: what is set here has stood at its beginning since 2023; what follows is left as it is."""
    _fields_ = [("nthread", ctypes.c_int32), ("ftype", ctypes.c_int), ("output_tensor_type", ctypes.c_int),
                ("token_embedding_type", ctypes.c_int), ("allow_requantize", ctypes.c_bool), ("rest", ctypes.c_char * 1003)]


def open_library(folder):
    for name in ("libggml-base.so", "libggml-cpu.so", "libggml.so"):  # it needs them, and may not know where they are
        for path in glob.glob(os.path.join(folder, name)):
            ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
    llama = ctypes.CDLL(os.path.join(folder, "libllama.so"))
    llama.llama_model_quantize_default_params.restype = Params
    llama.llama_model_quantize.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.POINTER(Params)]
    llama.llama_model_quantize.restype = ctypes.c_uint32
    return llama


def by_library(folder, model, out, name):
    llama = open_library(folder)
    llama.llama_backend_init()
    params = llama.llama_model_quantize_default_params()
    params.ftype, params.allow_requantize = FORMATS[name], True
    return llama.llama_model_quantize(model.encode(), out.encode(), ctypes.byref(params)) == 0


def by_program(program, model, out, name):
    env = dict(os.environ, LD_LIBRARY_PATH=os.path.dirname(os.path.abspath(program)))
    return subprocess.run([program, "--allow-requantize", model, out, name], env=env).returncode == 0


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model")
    p.add_argument("folder")
    p.add_argument("--llama", required=True, metavar="DIR")
    p.add_argument("--formats", default=",".join(FORMATS))
    o = p.parse_args()
    program = os.path.join(o.llama, "llama-quantize")
    if not os.path.exists(program) and not os.path.exists(os.path.join(o.llama, "libllama.so")):
        p.error("%s has neither llama-quantize nor libllama.so" % o.llama)
    os.makedirs(o.folder, exist_ok=True)
    base = os.path.basename(o.model).split(".")[0]
    for name in o.formats.split(","):
        if name not in FORMATS:
            p.error('--formats has "%s"; there are %s' % (name, ", ".join(FORMATS)))
        out = os.path.join(o.folder, "%s-%s.gguf" % (base, name))
        if os.path.exists(out):
            continue
        part = out + ".part"
        done = by_program(program, o.model, part, name) if os.path.exists(program) else by_library(o.llama, o.model, part, name)
        if not done:
            sys.exit("%s was not made: llama.cpp refused, and says above why" % out)
        os.replace(part, out)
        print(out, flush=True)


if __name__ == "__main__":
    main()
