/*
 * wordnet_internal.h - WordNet from bytes in memory: what the fuzzer gives.
 */
#ifndef HONE_GRADE_WORDNET_INTERNAL_H
#define HONE_GRADE_WORDNET_INTERNAL_H

#include "grade/wordnet.h"

enum wordnet_part { WORDNET_NOUN, WORDNET_VERB, WORDNET_ADJ, WORDNET_ADV, WORDNET_PARTS };
struct wordnet_files {
    struct str data, index, exceptions;
};

/* As wordnet_open, from the text of the files, which is not needed any more afterwards. */
MUST_CHECK bool wordnet_read(const struct wordnet_files files[WORDNET_PARTS], struct wordnet **out,
                             struct error *err);
#endif
