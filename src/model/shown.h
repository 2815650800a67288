/*
 * shown.h - a name from a stranger's file, made fit for an error message: short, and on one line.
 */
#ifndef HONE_MODEL_SHOWN_H
#define HONE_MODEL_SHOWN_H

#include "base/utf8.h"

struct shown {
    char text[72];
};

/* The first bytes of s; control characters and quotes become '?', and what is left out becomes "...". */
static inline struct shown shown(struct str s)
{
    struct shown out = {""};
    const struct str cut = utf8_cut(s, sizeof out.text - 4);

    for (size_t i = 0; i < cut.len; i++) {
        const unsigned char c = (unsigned char)cut.ptr[i];

        out.text[i] = (char)(c < 0x20 || c == 0x7f || c == '"' ? '?' : c);
    }
    if (cut.len < s.len)
        memcpy(out.text + cut.len, "...", 4);
    return out;
}
#endif
