/*
 * normal_chain.h - what is done to a text, one step after another, before it is cut into pieces.
 *
 * The steps are the normalizers of Hugging Face `tokenizers`, by their names there.
 */
#ifndef HONE_TEXT_NORMAL_CHAIN_H
#define HONE_TEXT_NORMAL_CHAIN_H

#include "text/charsmap.h"
#include "text/normalizer.h"
#include "text/wordpiece.h"

#define NORMAL_CHAIN_MAX_STEPS 16

enum normal_kind {
    NORMAL_FORM,     /* NFC, NFD, NFKC, NFKD */
    NORMAL_LOWER,    /* Lowercase */
    NORMAL_UNMARKED, /* StripAccents: without combining marks */
    NORMAL_REPLACE,  /* Replace: each match of a text or of a pattern becomes a text */
    NORMAL_PREPEND,  /* Prepend: a text in front of what is not empty */
    NORMAL_STRIP,    /* Strip: without white space at its ends */
    NORMAL_NMT,      /* Nmt: control characters go, white space becomes a blank */
    NORMAL_BERT,     /* BertNormalizer */
    NORMAL_CHARSMAP, /* Precompiled */
};

struct normal_step {
    enum normal_kind kind;
    enum normal_form form;
    struct str from;                /* REPLACE: what is looked for; len 0: code is */
    struct pcre2_real_code_8 *code; /* REPLACE, owned by the chain */
    bool has_jit;
    struct str to;    /* REPLACE, PREPEND */
    bool left, right; /* STRIP */
    struct bert_normalizer bert;
    struct charsmap map;
};

struct
    normal_chain { /* all zeros: the text stays as it is; read-only once built: any number of threads */
    size_t n_steps;
    struct normal_step steps[NORMAL_CHAIN_MAX_STEPS];
};
void normal_chain_release(struct normal_chain *n);

/*
 * Adds a step, whose code is taken over where that succeeds; a normal form behind another becomes one with it. Views in
 * step must live as long as the chain. ERR_LIMIT for too many.
 */
MUST_CHECK bool normal_chain_add(struct normal_chain *n, const struct normal_step *step,
                                 struct error *err);

struct
    normal_scratch { /* working memory, kept between calls; all zeros is fine; one thread at a time */
    struct bert_scratch bert;
    struct buf made[2];
};
void normal_scratch_release(struct normal_scratch *s);

/*
 * *out is in (valid UTF-8) normalised: in itself where nothing is to be done, else a view into s that lives until the next
 * call. *lost_head (may be NULL): nothing is left of what in began with. Fails with ERR_NO_MEMORY, with
 * ERR_LIMIT where the text grows past sixteen times what a text may have, or for a pattern that takes too many steps.
 */
MUST_CHECK bool normal_chain_run(const struct normal_chain *n, struct normal_scratch *s,
                                 struct str in, struct str *out, bool *lost_head,
                                 struct error *err);
#endif
