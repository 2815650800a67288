/*
 * said.h - a text as if a model had said it.
 */
#ifndef HONE_TESTS_SAID_H
#define HONE_TESTS_SAID_H

#include "sample/engine.h"

/* A token for each byte, so that the text need not be UTF-8; a vocabulary without one of them fails the test. */
struct sample sample_of_text(const struct model *m, const char *text, struct arena *a);
#endif
