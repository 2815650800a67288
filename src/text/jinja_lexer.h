/*
 * jinja_lexer.h - a template's text to tokens, with whitespace control applied as jinja2 does.
 */
#ifndef HONE_TEXT_JINJA_LEXER_H
#define HONE_TEXT_JINJA_LEXER_H

#include "base/arena.h"

#include <stdint.h>

enum jinja_token_type {
    JINJA_T_EOF,
    JINJA_T_DATA,
    JINJA_T_VARIABLE_BEGIN,
    JINJA_T_VARIABLE_END,
    JINJA_T_BLOCK_BEGIN,
    JINJA_T_BLOCK_END,
    JINJA_T_NAME,
    JINJA_T_STRING, /* text is unescaped */
    JINJA_T_INTEGER,
    JINJA_T_FLOAT,
    /* operators */
    JINJA_T_ADD,
    JINJA_T_SUB,
    JINJA_T_DIV,
    JINJA_T_FLOORDIV,
    JINJA_T_MUL,
    JINJA_T_MOD,
    JINJA_T_POW,
    JINJA_T_TILDE,
    JINJA_T_LBRACKET,
    JINJA_T_RBRACKET,
    JINJA_T_LPAREN,
    JINJA_T_RPAREN,
    JINJA_T_LBRACE,
    JINJA_T_RBRACE,
    JINJA_T_EQ,
    JINJA_T_NE,
    JINJA_T_GT,
    JINJA_T_GTEQ,
    JINJA_T_LT,
    JINJA_T_LTEQ,
    JINJA_T_ASSIGN,
    JINJA_T_DOT,
    JINJA_T_COLON,
    JINJA_T_PIPE,
    JINJA_T_COMMA,
    JINJA_T_SEMICOLON,
};

struct jinja_token {
    enum jinja_token_type type;
    uint32_t line;
    struct str text;
    union {
        int64_t i;
        double d;
    };
};

struct jinja_tokens {
    size_t n, cap;
    struct jinja_token *ptr; /* the last is JINJA_T_EOF */
};

/* texts holds what tokens point to; scratch the tokens themselves. */
MUST_CHECK bool jinja_tokenize(struct str source, struct arena *texts, struct arena *scratch,
                               struct jinja_tokens *out, struct error *err);
const char *jinja_token_name(enum jinja_token_type type);
#endif
