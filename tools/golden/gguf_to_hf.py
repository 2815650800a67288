#!/usr/bin/env python3
"""gguf_to_hf.py MODEL.gguf OUT_DIR - a Llama-family GGUF becomes an fp32 Hugging Face folder.

The weights are dequantised by transformers. The tokenizer is built here, straight from the GGUF's own
tables, because transformers' conversion forgets `tokenizer.ggml.pre`: SmolLM2 ("smollm") splits digits
one by one, and the converted tokenizer does not. Needs torch, transformers, tokenizers, gguf.
"""
import json
import os
import sys

import gguf
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

NORMAL, UNKNOWN, CONTROL, USER_DEFINED = 1, 2, 3, 4


def pre_tokenizer(name):
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    if name == "smollm":
        return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])
    if name == "gpt-2":
        return byte_level
    raise SystemExit(f"tokenizer.ggml.pre = {name!r} is not known to this script")


def field(reader, key, default=None):
    f = reader.get_field(key)
    return default if f is None else f.contents()


def tokenizer_of(reader):
    """The tokenizer a GGUF describes, as a `tokenizers.Tokenizer`."""
    assert field(reader, "tokenizer.ggml.model") == "gpt2", "only byte-level BPE is built here"
    tokens = field(reader, "tokenizer.ggml.tokens")
    types = field(reader, "tokenizer.ggml.token_type")
    merges = [tuple(m.split(" ")) for m in field(reader, "tokenizer.ggml.merges")]
    tok = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges))
    tok.pre_tokenizer = pre_tokenizer(field(reader, "tokenizer.ggml.pre"))
    tok.decoder = decoders.ByteLevel()
    added = [i for i, kind in enumerate(types) if kind in (CONTROL, USER_DEFINED)]
    for i in added: # in the order of their ids, so that none gets a new one
        token = AddedToken(tokens[i], special=types[i] == CONTROL, normalized=False)
        (tok.add_special_tokens if types[i] == CONTROL else tok.add_tokens)([token])
        assert tok.token_to_id(tokens[i]) == i
    assert tok.get_vocab_size(with_added_tokens=True) == len(tokens)
    return tok


def main(path, out):
    folder, name = os.path.split(os.path.abspath(path))
    reader = gguf.GGUFReader(path)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
    config = AutoConfig.from_pretrained(folder, gguf_file=name)
    config.dtype = torch.float32
    fresh = AutoModelForCausalLM.from_config(config) # transformers 5 will not save what came from a GGUF
    fresh.load_state_dict(model.state_dict())
    fresh.tie_weights()
    fresh.generation_config = model.generation_config
    fresh.save_pretrained(out)

    tokens = field(reader, "tokenizer.ggml.tokens")
    special = {k: tokens[i] for k in ("bos", "eos", "unk", "pad")
               if (i := field(reader, f"tokenizer.ggml.{ {'unk': 'unknown', 'pad': 'padding'}.get(k, k) }_token_id"))
               is not None}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer_of(reader),
                                   chat_template=field(reader, "tokenizer.chat_template"),
                                   clean_up_tokenization_spaces=False,
                                   model_max_length=config.max_position_embeddings,
                                   **{f"{k}_token": v for k, v in special.items()})
    fast.save_pretrained(out)
    print(json.dumps({"parameters": sum(p.numel() for p in fresh.parameters()),
                      "tied": config.tie_word_embeddings, "special": special,
                      "digits": fast("In 2024, 1234567", add_special_tokens=False)["input_ids"]}))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main(sys.argv[1], sys.argv[2])
