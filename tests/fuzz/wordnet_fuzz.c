/*
 * wordnet_fuzz.c - any text as WordNet's nouns: refused or read, and then every word of it looked up.
 *
 * The input is data.noun, index.noun and noun.exc, parted by form feeds; the other parts of speech are small and whole.
 */
#include "grade/wordnet_internal.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_name(void *to, struct str name)
{
    if (name.len == 0 || memchr(name.ptr, '_', name.len) != NULL)
        abort();
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] <= ' ' || name.ptr[i] > '~')
            abort();
    ++*(size_t *)to;
}

static struct str next_part(struct str *rest, char separator)
{
    const char *end = memchr(rest->ptr, separator, rest->len);
    const struct str part = {rest->ptr, end == NULL ? rest->len : (size_t)(end - rest->ptr)};

    *rest = str_from(*rest, part.len + (end != NULL));
    return part;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = {size == 0 ? "" : (const char *)data, size};
    struct wordnet_files files[WORDNET_PARTS] = {
        [WORDNET_VERB] = {STR("00000000 00 v 01 a 0 000 | x\n"), STR("a v 1 0 1 0 00000000\n"),
                          STR("")},
        [WORDNET_ADJ] = {STR("00000000 00 s 01 a(p) 0 000\n"), STR("a a 1 0 1 0 00000000\n"),
                         STR("")},
        [WORDNET_ADV] = {STR("00000000 00 r 01 a 0"), STR("a r 1 0 1 0 00000000"), STR("best a")},
    };
    struct error err = {0};
    struct wordnet *w = NULL;
    size_t n = 0;

    files[WORDNET_NOUN].data = next_part(&rest, '\f');
    files[WORDNET_NOUN].index = next_part(&rest, '\f');
    files[WORDNET_NOUN].exceptions = rest;
    if (wordnet_read(files, &w, &err)) {
        wordnet_synonyms(w, STR("a"), check_name, &n);
        if (n < 3)
            abort();
        for (rest = (struct str){(const char *)data, size}; rest.len > 0;) {
            struct str line = next_part(&rest, '\n');

            while (line.len > 0)
                wordnet_synonyms(w, next_part(&line, ' '), check_name, &n);
        }
    } else if (err.kind == ERR_NONE || err.message[0] == '\0' || w != NULL) {
        abort();
    }
    wordnet_close(w);
    return 0;
}
