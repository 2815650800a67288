/*
 * json_schema_fuzz.c - any JSON as a schema; and where it is one, a text grown byte by byte among those that may come, one
 * for each byte of the input behind the schema and a zero: it never comes to a dead end, and where it may end it is JSON.
 */
#include "text/json_schema.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_end(const struct grammar *g, const struct grammar_state *s, struct str text)
{
    json_error_t e;
    json_t *v;

    if (!grammar_complete(g, s))
        return;
    v = json_loadb(text.ptr, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &e);
    if (v == NULL)
        abort();
    json_decref(v);
}

/* The bytes that may come next. */
static size_t next_bytes(const struct grammar *g, struct grammar_walk *w,
                         const struct grammar_state *s, unsigned char out[256])
{
    const struct grammar_level *top = grammar_load(w, s);
    const size_t mark = w->used;
    size_t n = 0;

    for (unsigned b = 0; b < 256; b++) {
        if (grammar_step(g, w, top, (unsigned char)b) != NULL)
            out[n++] = (unsigned char)b;
        grammar_rewind(w, mark);
    }
    grammar_rewind(w, 0);
    return n;
}

static void grow(const struct grammar *g, const uint8_t *choices, size_t n)
{
    struct grammar_walk w;
    struct grammar_state s;
    struct error err = {0};
    struct buf text;

    if (!grammar_walk_open(&w, &err))
        abort();
    buf_init(&text, 1 << 20);
    grammar_begin(&s);
    for (size_t i = 0; i < n && i < 200; i++) {
        unsigned char bytes[256];
        const size_t n_bytes = next_bytes(g, &w, &s, bytes);

        check_end(g, &s, buf_view(&text));
        if (n_bytes == 0 && !grammar_complete(g, &s))
            abort();
        if (n_bytes == 0)
            break;
        const char byte = (char)bytes[choices[i] % n_bytes];
        if (!grammar_advance(g, &w, &s, (struct str){&byte, 1}))
            abort();
        buf_char(&text, byte);
    }
    check_end(g, &s, buf_view(&text));
    buf_release(&text);
    grammar_walk_close(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *const text = (const char *)data;
    size_t n = 0;
    struct error err = {0};
    struct grammar *g = NULL;
    json_t *schema = NULL;

    while (n < size && data[n] != 0)
        n++;
    if (!json_parse((struct str){text, n}, "a schema", &schema, &err))
        return 0;
    if (json_schema_grammar(schema, "a schema", &g, &err))
        grow(g, data + n, size - n);
    else if (err.kind == ERR_NONE || err.message[0] == '\0')
        abort();
    grammar_close(g);
    json_decref(schema);
    return 0;
}
