/*
 * export.h - a model on disk and its adapter become files that other programs read.
 *
 *     export_peft         adapter_config.json, adapter_model.safetensors          PEFT
 *     export_folder       config.json, tokenizer.json, *.safetensors, ...         transformers; W + s B A, merged
 *     export_gguf         model.gguf                                              llama.cpp; merged
 *     export_gguf_lora    adapter.gguf                                            llama.cpp's --lora
 *
 * All write into a folder that is there. Tensors are made a block of rows at a time, so a model need not fit into memory twice.
 */
#ifndef HONE_MODEL_EXPORT_H
#define HONE_MODEL_EXPORT_H

#include "model/adapter.h"
#include "model/model_files.h"

#include <stdatomic.h>

#define EXPORT_SHARD_BYTES ((size_t)5000000000) /* as transformers parts its files */

struct export_options {
    const struct model_files *files;
    const struct adapter *adapter; /* NULL: the base as it is */
    /* Of merged tensors: F32, F16, BF16, and in GGUF Q8_0. A folder has all its tensors in it, a GGUF file those that the adapter
       changes: the others are copied as they are. */
    enum dtype dtype;
    struct str template;     /* in place of the model's own; ptr NULL: its own */
    const char *base_name;   /* for adapter_config.json; NULL: the adapter's own */
    const char *name;        /* general.name of an adapter; NULL: none */
    size_t shard_bytes;      /* a folder's weights are parted where they are more */
    const atomic_bool *stop; /* or NULL; looked at once a block of rows: ends with ERR_CANCELLED */
};

/*
 * "f32", "f16", "bf16", "q8_0"; false: there is none of this name. What is written unless the user asks for another: the type that the
 * base has; where that is quantised, F32 in a folder, for that is what transformers makes of it and loses nothing, and F16 in GGUF, as
 * llama.cpp's own merging does.
 */
bool export_dtype_named(struct str name, enum dtype *out);
const char *export_dtype_name(enum dtype t);
enum dtype export_dtype_default(const struct model_files *f, bool gguf);

/*
 * Where a family has fused tensors (Phi-3), its parts' matrices are put together: the rank is that of all parts, and B has zeros where
 * a row belongs to another part. adapter_load takes them apart again.
 */
MUST_CHECK bool export_peft(const struct export_options *o, const char *dir, struct error *err);
/* Of a base in GGUF config.json and tokenizer.json are made; ERR_UNSUPPORTED where its family or tokenizer is none that they are
   made for. */
MUST_CHECK bool export_folder(const struct export_options *o, const char *dir, struct error *err);
/* Of a base in a folder keys, tokenizer and rows are made as llama.cpp's converter does; ERR_UNSUPPORTED for a family or a tokenizer
   that they are not made of, or where GGUF's keys cannot say what config.json does. */
MUST_CHECK bool export_gguf(const struct export_options *o, const char *dir, struct error *err);
/*
 * Whether the file says one thing otherwise than this folder: gpt-oss's config has the ends of YaRN's ramp between pairs ("truncate"
 * false), GGUF has no key for it, and llama.cpp takes them to be whole in every file of gpt-oss that there is.
 */
bool export_gguf_rounds_pairs(const struct model_files *f);
MUST_CHECK bool export_gguf_lora(const struct export_options *o, const char *dir,
                                 struct error *err);
/* Reads what export_gguf_lora wrote for this base. */
MUST_CHECK bool export_gguf_lora_read(const struct model_files *f, const char *path,
                                      struct adapter **out, struct error *err);
/*
 * Whether what is in dir is, bit for bit, what the function of that name writes: weights, and in GGUF keys; nothing is rounded away. Fails with ERR_CORRUPT
 * and the place: a tensor and its row, a key.
 */
MUST_CHECK bool export_peft_same(const struct export_options *o, const char *dir,
                                 struct error *err);
MUST_CHECK bool export_folder_same(const struct export_options *o, const char *dir,
                                   struct error *err);
MUST_CHECK bool export_gguf_same(const struct export_options *o, const char *dir,
                                 struct error *err);
MUST_CHECK bool export_gguf_lora_same(const struct export_options *o, const char *dir,
                                      struct error *err);
#endif
