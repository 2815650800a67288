/*
 * embedder.h - the embedding function that graders are given: an encoder, and what it said of texts it has seen.
 *
 * The cosine metric compares every answer with a reference, and the same references come again in each step, for each
 * answer of a group; equal answers come, too. So vectors are kept by their text, the least lately used going first when
 * the room is taken. What is kept changes no vector: they are the same bits each time.
 */
#ifndef HONE_SAMPLE_EMBEDDER_H
#define HONE_SAMPLE_EMBEDDER_H

#include "base/arena.h"
#include "model/encoder.h"

struct embedder; /* any number of threads at once */

/*
 * An encoder of path (see encoder_open, whose errors are these) and room for cache_bytes of texts and vectors; 0 keeps
 * nothing. EMBEDDER_CACHE_BYTES holds some 40,000 short texts of a model of width 384.
 */
#define EMBEDDER_CACHE_BYTES ((size_t)64 << 20)
MUST_CHECK bool embedder_open(const char *path, size_t cache_bytes, struct embedder **out,
                              struct error *err);
void embedder_close(struct embedder *e); /* NULL is fine; nobody may be inside */
const struct encoder *embedder_encoder(const struct embedder *e);

/*
 * Of the type that graders take: embedder is a struct embedder. *vector is of length 1 (L2), has *n components and lies
 * in a. Errors are encoder_embed's, and ERR_NO_MEMORY.
 */
MUST_CHECK bool embedder_embed(void *embedder, struct str text, struct arena *a,
                               const float **vector, size_t *n, struct error *err);

/* Since it was opened: a text that is longer than the model reads is told apart, for its end counts for nothing. */
struct embedder_counts {
    size_t n_texts;     /* asked for */
    size_t n_known;     /* of these answered from the cache */
    size_t n_truncated; /* of these longer than the model reads, known ones included */
    size_t cache_bytes; /* in use */
};
struct embedder_counts embedder_counts(struct embedder *e);
#endif
