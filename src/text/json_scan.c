/*
 * json_scan.c - one state for each place of the grammar, and a bit for each level: object or array.
 */
#include "text/json_scan.h"

#include <assert.h>
#include <string.h>

enum {
    AT_OBJECT, /* the outermost brace */
    AT_FIRST_KEY,
    AT_KEY,
    AT_COLON,
    AT_VALUE,
    AT_FIRST_ITEM, /* a value or ] */
    BEHIND,        /* a value: comma or closing */
    IN_STRING,
    IN_ESCAPE,
    IN_HEX,
    IN_LITERAL,
    N_MINUS,
    N_ZERO,
    N_WHOLE,
    N_POINT,
    N_FRACTION,
    N_E,
    N_SIGN,
    N_EXPONENT,
};

static bool is_space(unsigned char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_digit(unsigned char c)
{
    return c >= '0' && c <= '9';
}

static bool in_array(const struct json_scan *s)
{
    return (s->arrays[s->depth / 64] >> (s->depth % 64) & 1) != 0;
}

static bool open_level(struct json_scan *s, bool array)
{
    if (s->depth == LIMIT_JSON_DEPTH)
        return false;
    s->depth++;
    const uint64_t bit = (uint64_t)1 << (s->depth % 64);
    uint64_t *word = &s->arrays[s->depth / 64];
    *word = array ? *word | bit : *word & ~bit;
    s->state = array ? AT_FIRST_ITEM : AT_FIRST_KEY;
    return true;
}

static bool close_level(struct json_scan *s, enum json_event *event, size_t *level)
{
    s->depth--;
    s->state = BEHIND;
    s->done = s->depth == 0;
    *event = JSON_VALUE_ENDS;
    *level = s->depth;
    return true;
}

static bool begin_string(struct json_scan *s, bool key)
{
    s->key = key;
    s->state = IN_STRING;
    return true;
}

static bool begin_value(struct json_scan *s, unsigned char c, enum json_event *event, size_t *level)
{
    static const char *const literals[] = {"true", "false", "null"};

    *event = JSON_VALUE_BEGINS;
    *level = s->depth;
    if (c == '{' || c == '[')
        return open_level(s, c == '[');
    if (c == '"')
        return begin_string(s, false);
    if (c == '-' || is_digit(c)) {
        s->state = c == '-' ? N_MINUS : c == '0' ? N_ZERO : N_WHOLE;
        return true;
    }
    for (size_t i = 0; i < sizeof literals / sizeof *literals; i++) {
        if ((unsigned char)literals[i][0] != c)
            continue;
        s->literal = literals[i];
        s->at = 1;
        s->state = IN_LITERAL;
        return true;
    }
    return false;
}

static bool behind_value(struct json_scan *s, unsigned char c, enum json_event *event,
                         size_t *level)
{
    s->state = BEHIND;
    if (is_space(c))
        return true;
    if (c == ',') {
        s->state = in_array(s) ? AT_VALUE : AT_KEY;
        return true;
    }
    return c == (in_array(s) ? ']' : '}') && close_level(s, event, level);
}

static bool in_number(struct json_scan *s, unsigned char c, enum json_event *event, size_t *level)
{
    const bool digit = is_digit(c), e = c == 'e' || c == 'E';
    unsigned next = 0;

    switch (s->state) {
    case N_MINUS:
        next = c == '0' ? N_ZERO : digit ? N_WHOLE : 0;
        break;
    case N_ZERO:
    case N_WHOLE:
        next = digit && s->state == N_WHOLE ? N_WHOLE : c == '.' ? N_POINT : e ? N_E : BEHIND;
        break;
    case N_POINT:
        next = digit ? N_FRACTION : 0;
        break;
    case N_FRACTION:
        next = digit ? N_FRACTION : e ? N_E : BEHIND;
        break;
    case N_E:
        next = c == '+' || c == '-' ? N_SIGN : digit ? N_EXPONENT : 0;
        break;
    case N_SIGN:
        next = digit ? N_EXPONENT : 0;
        break;
    default:
        next = digit ? N_EXPONENT : BEHIND;
        break;
    }
    s->state = (uint8_t)next;
    return next == BEHIND ? behind_value(s, c, event, level) : next != 0;
}

static bool in_string(struct json_scan *s, unsigned char c, enum json_event *event, size_t *level)
{
    if (c == '\\') {
        s->state = IN_ESCAPE;
        return true;
    }
    if (c != '"')
        return c >= 0x20;
    s->state = s->key ? AT_COLON : BEHIND;
    *event = s->key ? JSON_KEY_ENDS : JSON_VALUE_ENDS;
    *level = s->depth;
    return true;
}

static bool in_escape(struct json_scan *s, unsigned char c)
{
    s->hex = 4;
    s->state = c == 'u' ? IN_HEX : IN_STRING;
    return c == 'u' || (c != '\0' && strchr("\"\\/bfnrt", c) != NULL);
}

static bool in_hex(struct json_scan *s, unsigned char c)
{
    if (--s->hex == 0)
        s->state = IN_STRING;
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool in_literal(struct json_scan *s, unsigned char c)
{
    const bool same = (unsigned char)s->literal[s->at++] == c;

    if (s->literal[s->at] == '\0')
        s->state = BEHIND;
    return same;
}

static bool at_key(struct json_scan *s, unsigned char c, enum json_event *event, size_t *level)
{
    if (c == '}' && s->state == AT_FIRST_KEY)
        return close_level(s, event, level);
    *event = JSON_KEY_BEGINS;
    *level = s->depth;
    return c == '"' && begin_string(s, true);
}

static bool at_colon(struct json_scan *s, unsigned char c)
{
    s->state = AT_VALUE;
    return c == ':';
}

bool json_scan_put(struct json_scan *s, unsigned char c, enum json_event *event, size_t *level)
{
    *event = JSON_NOTHING;
    *level = s->depth;
    assert(!s->done);
    if (is_space(c) && s->state < BEHIND)
        return true;
    switch (s->state) {
    case AT_OBJECT:
        return c == '{' && begin_value(s, c, event, level);
    case AT_FIRST_KEY:
    case AT_KEY:
        return at_key(s, c, event, level);
    case AT_COLON:
        return at_colon(s, c);
    case AT_FIRST_ITEM:
        if (c == ']')
            return close_level(s, event, level);
        return begin_value(s, c, event, level);
    case AT_VALUE:
        return begin_value(s, c, event, level);
    case BEHIND:
        return behind_value(s, c, event, level);
    case IN_STRING:
        return in_string(s, c, event, level);
    case IN_ESCAPE:
        return in_escape(s, c);
    case IN_HEX:
        return in_hex(s, c);
    case IN_LITERAL:
        return in_literal(s, c);
    default:
        return in_number(s, c, event, level);
    }
}
