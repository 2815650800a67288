/*
 * wordpiece.h - BERT's way from text to tokens: clean the text, cut it into words, cut words into the longest tokens.
 *
 *     normalise   control characters go and white space becomes a blank; Chinese characters stand apart; accents go
 *                 (NFD without its nonspacing marks); capitals become small letters, each character by itself
 *     words       white space parts words, and each punctuation character is a word of its own
 *     pieces      from the left, the longest piece that is a token; all but a word's first are looked for behind the
 *                 prefix ("##"). A word of which some part is no token is one unknown token as a whole, and so is one
 *                 of too many characters
 *
 * Devlin et al., arXiv:1810.04805, as in Hugging Face `tokenizers` 0.23.3 (BertNormalizer, BertPreTokenizer,
 * WordPiece), whose classes of characters are those of Unicode 8: a mark or punctuation character that is younger is a
 * letter like others.
 */
#ifndef HONE_TEXT_WORDPIECE_H
#define HONE_TEXT_WORDPIECE_H

#include "text/normalizer.h"
#include "text/pretokenizer.h"
#include "text/text_table.h"

#include <stdint.h>

struct bert_normalizer {
    bool clean;    /* without U+0000, U+FFFD and control characters; white space is a blank */
    bool part_han; /* a blank before and behind each Chinese character */
    bool
        strip_accents; /* what a null in the file means ("as lowercase") is decided by who reads it */
    bool lower;
};

struct
    bert_scratch { /* working memory, kept between calls; all zeros is fine; one thread at a time */
    struct normalizer normalizer;
    struct buf cleaned, lowered;
};
void bert_scratch_release(struct bert_scratch *s);

/*
 * *out is in (valid UTF-8) normalised: in itself where nothing is to be done, else a view into s that lives until the
 * next call. Linear in in.len. Fails with ERR_NO_MEMORY.
 */
MUST_CHECK bool bert_normalize(const struct bert_normalizer *how, struct bert_scratch *s,
                               struct str in, struct str *out, struct error *err);

/* What BERT takes for punctuation: also the signs of ASCII, such as $. */
bool bert_is_punctuation(uint32_t c);

/* Calls fn for each word of text (valid UTF-8), in order; false (with err) stops. */
MUST_CHECK bool bert_words(struct str text, piece_fn *fn, void *ctx, struct error *err);

struct wordpiece {                   /* read-only once built: any number of threads */
    struct text_table first, later;  /* tokens; tokens that have the prefix, without it */
    size_t first_bytes, later_bytes; /* of the longest in each */
    size_t max_chars;                /* of a word */
    token_id unknown;
};

/*
 * spelling[0..n) lives as long as w; an entry with a NULL pointer is no token. unknown is the caller's to set, and
 * max_chars. Fails as text_table_put does, and with ERR_NO_MEMORY.
 */
MUST_CHECK bool wordpiece_build(struct wordpiece *w, const struct str *spelling, size_t n,
                                struct str prefix, struct arena *a, struct error *err);

/* Appends the tokens of one word. Time is linear in it: no piece is longer than the longest token. ERR_NO_MEMORY. */
MUST_CHECK bool wordpiece_encode(const struct wordpiece *w, struct str word, struct token_list *out,
                                 struct error *err);
#endif
