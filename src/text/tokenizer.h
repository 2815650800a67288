/*
 * tokenizer.h - text becomes tokens, and tokens become bytes.
 *
 * Four kinds: BPE of bytes and BPE of characters (bpe.h) and Unigram (unigram.h), for models that write, and WordPiece
 * (wordpiece.h), for encoders of BERT's kind. Added tokens are cut out first (where asked for), what lies between is normalised
 * (normal_chain.h) and cut into pieces (pretokenizer.h), each of which becomes tokens. Equal, id for id, to Hugging Face
 * `tokenizers` 0.23.3 on the
 * same file, with these exceptions:
 *
 *   - characters younger than Unicode 14 may be letters there and not here
 *   - an id is the one that the file gives, also where `tokenizers` would count anew because the vocabulary has holes
 *   - an added token past ASCII decodes to its own text, also where it could be read as a byte-level spelling
 *   - Unigram's added tokens are in its vocabulary, too: plain text (see tokenizer_encode) is not read as one of them
 *   - WordPiece: what is decoded has a blank before every word and
 *     punctuation character, the first too, for the spaces of the text are not in its tokens
 *
 * A tokenizer is read-only after _open: any number of threads may use it.
 */
#ifndef HONE_TEXT_TOKENIZER_H
#define HONE_TEXT_TOKENIZER_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/utf8.h"

#include <stdint.h>

typedef int32_t token_id; /* 0..n_tokens-1; -1 is none */

struct token_list { /* grows; all zeros is empty; put stops the process when memory is out */
    token_id *ids;
    size_t n, cap;
};
void token_list_put(struct token_list *l, token_id id);
void token_list_release(struct token_list *l);

/* What a model file says of its tokenizer; the views must live until tokenizer_open returns. */
struct tokenizer_spec {
    size_t n_tokens;
    const struct str
        *tokens; /* [n_tokens]; "gpt2": in the byte-level alphabet (GPT-2's bytes-to-unicode) */
    const int32_t *
        types; /* [n_tokens] or NULL: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte */
    const float *scores; /* [n_tokens], "llama" alone: what has the greatest is merged first */
    bool prefix_blank;   /* "llama" alone: a text begins with a blank of its own */
    size_t n_merges;
    const struct str *merges; /* [n_merges] "left right", best first */
    struct str
        model; /* "gpt2": byte-level BPE; "llama": SentencePiece's BPE; "gemma4": the same with merges; "bert":
                         WordPiece; anything else is ERR_UNSUPPORTED and named */
    struct str
        pre; /* GGUF's tokenizer.ggml.pre: "smollm", "gpt-2", "llama-bpe", "qwen2", ...; "gpt2" alone */
    /* "bert" alone: ids of the tokens around a text and of the unknown one; NULL: [CLS], [SEP] and [UNK] */
    const token_id *first, *last, *unknown;
};

/* What a name of tokenizer.ggml.pre ("": "default") stands for, as tokenizer.json would say it. False: it is not known. */
struct named_pre {
    const char *const *patterns; /* [n] pieces are cut by each in turn, "Isolated" */
    size_t n;
    bool nfc;           /* the text is brought into NFC first */
    bool ignore_merges; /* a piece that is a token is one, whatever the merges say */
};
bool tokenizer_named_pre(struct str name, struct named_pre *out);
/* The name for just these steps: the one that llama.cpp's converter writes. False: they have none. */
bool tokenizer_pre_name(const struct named_pre *steps, struct str *out);
const char *tokenizer_pattern_gpt2(void); /* what ByteLevel splits by, unless told not to */

/*
 * All fail with ERR_UNSUPPORTED for what is none of these kinds or is not known to come out equal, naming it;
 * ERR_CORRUPT for what contradicts itself; ERR_LIMIT past base/limits.h; those that read JSON with ERR_INVALID for
 * what is none.
 */
struct tokenizer;
MUST_CHECK bool tokenizer_open(const struct tokenizer_spec *spec, struct tokenizer **out,
                               struct error *err);
/* tokenizer.json's text; what names the file in errors. */
MUST_CHECK bool tokenizer_open_json(struct str json, const char *what, struct tokenizer **out,
                                    struct error *err);
/*
 * WordPiece of vocab.txt's text, a token a line, with tokenizer_config.json's (len 0: there is none, and the defaults of
 * BertTokenizer hold: lower case, no accents). what names vocab.txt in errors.
 */
MUST_CHECK bool tokenizer_open_vocab(struct str vocab, struct str config, const char *what,
                                     struct tokenizer **out, struct error *err);
void tokenizer_close(struct tokenizer *t);

size_t tokenizer_size(const struct tokenizer *t); /* ids are below it */
/* Whether decoding gives back what was encoded, normal forms apart: BPE; WordPiece loses blanks, and often case. */
bool tokenizer_keeps_text(const struct tokenizer *t);

/*
 * What an encoder reads before and after a text: [CLS] and [SEP] of a WordPiece tokenizer, by its post-processor; -1:
 * nothing. Always -1 for BPE, where a chat template says what stands around a text.
 */
struct token_ends {
    token_id first, last;
};
struct token_ends tokenizer_ends(const struct tokenizer *t);

/*
 * Appends the ids of text. No token is added at either end.
 *
 *   parse_special   true: the texts of added tokens, special or not, become their ids
 *                   false: all is plain text, so that nobody can forge one
 *
 * Time is n log n in the length of the text at worst, patterns apart: those of the known tokenizers are
 * linear. Fails with ERR_INVALID where text is not UTF-8, naming the byte, with ERR_LIMIT past LIMIT_RENDER_BYTES or for
 * a pattern that takes too many steps, or with ERR_NO_MEMORY; out is then as it was.
 */
MUST_CHECK bool tokenizer_encode(const struct tokenizer *t, struct str text, bool parse_special,
                                 struct token_list *out, struct error *err);

/*
 * The same with parse_special, but for spans of the text, in order, that are plain text: no added token lies in one, begins
 * or ends in one, or goes across an empty one. So what came from others stays text beside what a template writes.
 */
struct plain_span {
    size_t from, to; /* bytes from..to-1 */
};
MUST_CHECK bool tokenizer_encode_guarded(const struct tokenizer *t, struct str text,
                                         const struct plain_span *plain, size_t n_plain,
                                         struct token_list *out, struct error *err);

/*
 * The bytes that an id stands for: they may be part of a character. An added token's are its own text; {"", 0} out of
 * range.
 */
struct str tokenizer_bytes(const struct tokenizer *t, token_id id);
bool tokenizer_is_special(const struct tokenizer *t,
                          token_id id); /* control and added special tokens */
/* A whole token by its text (added tokens) or its byte-level spelling (all others); -1: there is none. */
token_id tokenizer_find(const struct tokenizer *t, struct str token);

/* Appends the text of ids; bytes that form no character become U+FFFD (see utf8.h), ids out of range nothing. */
void tokenizer_decode(const struct tokenizer *t, const token_id *ids, size_t n, bool skip_special,
                      struct buf *out);

/*
 * The same for ids that are a text from its beginning: without the blank that the tokenizer puts in front of a text, and
 * whatever else the tokenizer.json's decoder takes away at its ends.
 */
void tokenizer_text(const struct tokenizer *t, const token_id *ids, size_t n, bool skip_special,
                    struct buf *out);

/*
 * Of the bytes of the first token of a text, how many decoding takes away in front: the blank that the tokenizer has put
 * there. An answer, which begins a text of its own for those who read it, is without them, as in the reference.
 */
size_t tokenizer_front(const struct tokenizer *t, struct str bytes);

/* A token at a time: utf8_stream_put(&stream, tokenizer_bytes(t, id), &out), and utf8_stream_end(). See utf8.h. */
#endif
