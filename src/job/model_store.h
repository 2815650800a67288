/*
 * model_store.h - the name of a model becomes the files to open.
 *
 *     models/x.gguf, a folder with config.json       a base model
 *     a folder with adapter_config.json              an adapter; its base is found by the run or the name in it
 *     a folder with job.json                         a run: the best of its checkpoints, or the last
 *     ft:BASE:ORG:SUFFIX:ID[:ckpt-step-N]            a run in HOME/runs, or one of its checkpoints
 *     anything else                                  HOME/models/NAME or HOME/models/NAME.gguf
 *
 * HOME holds hone.db, files/, models/ and runs/. What a run was given it says in job.json under "resolved": model_path,
 * fine_tuned_model, reasoning; the answers' length in its checkpoints' state.json.
 */
#ifndef HONE_JOB_MODEL_STORE_H
#define HONE_JOB_MODEL_STORE_H

#include "base/arena.h"

#include <stdint.h>

/* $HONE_HOME, else ~/.local/share/hone. */
const char *home_default(struct arena *a);

struct model_ref {
    const char *name;    /* as it was asked for */
    const char *path;    /* the base: a .gguf file or a folder in Hugging Face's layout */
    const char *adapter; /* folder of an adapter in PEFT's layout, or NULL */
    const char *run;     /* folder of the run that made the adapter, or NULL */
};
/* The run, as far as it made an adapter: one that made none decides nothing, the base is as it was. NULL: there is none. */
static inline const char *model_ref_run(const struct model_ref *ref)
{
    return ref->adapter != NULL ? ref->run : NULL;
}
/* Fails with ERR_NOT_FOUND saying where was looked and what is there; everything in out lives in the arena. */
MUST_CHECK bool model_store_find(const char *home, const char *name, struct arena *a,
                                 struct model_ref *out, struct error *err);
/* An adapter beside a base that was named apart: dir may be a run's folder, too. */
MUST_CHECK bool model_store_find_adapter(const char *home, const char *name, struct arena *a,
                                         struct model_ref *out, struct error *err);

struct model_entry {
    const char *name, *path;
    const char *base; /* of a fine-tuned one: what it was trained from; else NULL */
    uint64_t size_bytes;
    int64_t created_at;
};
/* Bytes of the files at path: a file, or the folder's. */
uint64_t model_store_bytes(const char *path, struct arena *a);
/* The base models in alphabetical order, then the runs that have a checkpoint. A home that is not there has none. */
MUST_CHECK bool model_store_list(const char *home, struct arena *a, struct model_entry **out,
                                 size_t *n, struct error *err);

/* Whether hone can use what is at path, by opening it: a language model or an encoder, which embeds. */
struct model_kind {
    char family[32];
    bool embeds;
    size_t n_layers, width; /* n_layers: 0 for an encoder */
};
MUST_CHECK bool model_store_opens(const char *path, struct model_kind *out, struct error *err);

/*
 * Puts the model at path into the store under name (NULL: the file's or folder's own), as a copy or a symbolic link. A copy is read
 * back, opened, and put in its place by one rename; parts of a GGUF file are joined, and of a folder what the loader reads is taken.
 * Fails with ERR_INVALID where the name is taken or cannot be a name, ERR_UNSUPPORTED for a link to parts, ERR_CORRUPT where the
 * copy reads back otherwise.
 */
struct model_import {
    const char *path, *name;
    bool link;
};
MUST_CHECK bool model_store_import(const char *home, const struct model_import *what,
                                   struct arena *a, const char **place, struct error *err);

/* Whether a model in the store may be called so: it stays in the store's folder, is not hidden, and is no "ft:...". */
bool model_store_is_name(const char *name);

/* Splits off the folders and ".gguf": "models/x.Q4_1.gguf" -> "x.Q4_1". */
const char *model_plain_name(const char *path, struct arena *a);
#endif
