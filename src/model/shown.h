/*
 * shown.h - a name from a stranger's file, made fit for an error message: short, and on one line.
 */
#ifndef HONE_MODEL_SHOWN_H
#define HONE_MODEL_SHOWN_H

#include "base/str.h"

struct shown {
    char text[72];
};

/* The first bytes of s; control characters and quotes become '?', and what is left out becomes "...". */
static inline struct shown shown(struct str s)
{
    const size_t room = sizeof((struct shown *)0)->text - 4;
    struct shown out = {""};
    size_t n = 0;

    for (; n < s.len && n < room; n++) {
        const unsigned char c = (unsigned char)s.ptr[n];

        out.text[n] = (char)(c < 0x20 || c == 0x7f || c == '"' ? '?' : c);
    }
    if (n < s.len) {
        while (n > 0 && ((unsigned char)s.ptr[n] & 0xc0) == 0x80)
            n--; /* not in the middle of a character */
        memcpy(out.text + n, "...", 4);
    }
    return out;
}
#endif
