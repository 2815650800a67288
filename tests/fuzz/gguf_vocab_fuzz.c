/*
 * gguf_vocab_fuzz.c - a tokenizer.json of any bytes on its way into GGUF's keys: where it is a tokenizer at all, it is refused by a
 * sentence, or the keys are those of a GGUF file, and the tokenizer that is made of them has as many tokens.
 */
#include "fuzz.h"

#include "base/arena.h"
#include "base/size.h"
#include "model/export_internal.h"
#include "model/gguf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define VOCAB 400 /* rows of the embedding: more than the kept inputs have tokens */

static void try_keys(const struct export_options *o, struct gguf_head *h)
{
    struct arena a = {0};
    struct gguf *g = NULL;
    struct str *tokens = NULL;
    size_t n = 0;
    struct buf b;
    struct error err = {0};

    if (vocab_put(o, &a, h, &err)) {
        buf_init(&b, 2 * GGUF_MAX_HEAD);
        gguf_head_put(h, NULL, 0, &b);
        must(buf_ok(&b, "the keys", &err) && gguf_open_bytes(b.ptr, b.len, "the keys", &g, &err) &&
                 gguf_get_strs(g, "tokenizer.ggml.tokens", &a, &tokens, &n, &err),
             &err);
        check(n == VOCAB && gguf_get(g, "tokenizer.ggml.model") != NULL);
        gguf_close(g);
        buf_release(&b);
    } else {
        check(err.kind != ERR_NONE && err.message[0] != '\0');
    }
    arena_release(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct str text = {(const char *)data, size};
    struct model_files files = {.config = {.family = "llama", .vocab = VOCAB, .bos = -1},
                                .path = fuzz_dir()};
    const struct export_options o = {.files = &files};
    struct arena a = {0};
    struct gguf_head head;
    struct error err = {0};

    if (!tokenizer_open_json(text, "fuzz", &files.tokenizer, &err))
        return 0;
    if (tokenizer_size(files.tokenizer) <= VOCAB) {
        must(file_put(file_join(&a, files.path, "tokenizer.json"), text, &err), &err);
        gguf_head_init(&head);
        try_keys(&o, &head);
        gguf_head_release(&head);
    }
    tokenizer_close(files.tokenizer);
    arena_release(&a);
    return 0;
}
