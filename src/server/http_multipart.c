#include "server/http_multipart.h"

#include <ctype.h>
#include <strings.h>

#define MAX_HEAD_BYTES 8192 /* of a part's headers */
#define MAX_BOUNDARY 70     /* RFC 2046, section 5.1.1 */

enum state {
    BEFORE,  /* the first delimiter: what is there has no meaning */
    PADDING, /* behind a delimiter, up to the end of its line */
    CLOSING, /* behind a delimiter and one '-' */
    HEAD,    /* a part's headers */
    DATA,
    AFTER /* the last delimiter */
};

struct multipart {
    struct multipart_sink sink;
    struct arena scratch; /* a part's headers */
    enum state state;
    bool failed, skipping_blanks;
    char delimiter[4 + MAX_BOUNDARY]; /* "\r\n--" and the boundary: its only '\r' is the first */
    size_t n_delimiter, n_matched;
    char line[MAX_HEAD_BYTES];
    size_t n_line, n_head;
    struct multipart_head head;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct str trim(struct str s)
{
    while (s.len > 0 && is_blank(s.ptr[0]))
        s = str_from(s, 1);
    while (s.len > 0 && is_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

static bool same_word(struct str s, const char *word)
{
    return s.len == strlen(word) && strncasecmp(s.ptr, word, s.len) == 0;
}

/* What stands for itself in quotes behind a backslash, and the three that browsers write as %XX. */
static size_t unquote(struct str s, char *out)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];

        if (c == '\\' && i + 1 < s.len && (s.ptr[i + 1] == '"' || s.ptr[i + 1] == '\\')) {
            c = s.ptr[++i];
        } else if (c == '%' && i + 2 < s.len) {
            static const struct {
                const char *code;
                char c;
            } codes[] = {{"22", '"'}, {"0D", '\r'}, {"0A", '\n'}};

            for (size_t k = 0; k < 3; k++)
                if (strncasecmp(s.ptr + i + 1, codes[k].code, 2) == 0) {
                    c = codes[k].c;
                    i += 2;
                    break;
                }
        }
        out[n++] = c;
    }
    return n;
}

/* One "name=value" or "name=\"value\"" at the beginning of s, which it shortens. */
static bool take_parameter(struct str *s, struct str *name, struct str *value, bool *quoted)
{
    const char *equals = memchr(s->ptr, '=', s->len);
    size_t end;

    if (equals == NULL)
        return false;
    *name = trim((struct str){s->ptr, (size_t)(equals - s->ptr)});
    *s = str_from(*s, (size_t)(equals - s->ptr) + 1);
    while (s->len > 0 && is_blank(s->ptr[0]))
        *s = str_from(*s, 1);
    *quoted = s->len > 0 && s->ptr[0] == '"';
    if (*quoted) {
        for (end = 1; end < s->len && s->ptr[end] != '"'; end++)
            if (s->ptr[end] == '\\' && end + 1 < s->len)
                end++;
        if (end >= s->len)
            return false;
        *value = (struct str){s->ptr + 1, end - 1};
        end++;
    } else {
        for (end = 0; end < s->len && s->ptr[end] != ';'; end++)
            continue;
        *value = trim((struct str){s->ptr, end});
    }
    *s = trim(str_from(*s, end));
    if (s->len > 0 && s->ptr[0] != ';')
        return false;
    return name->len > 0;
}

bool header_parameter(struct str header, const char *name, struct arena *a, struct str *out)
{
    const char *semicolon = memchr(header.ptr, ';', header.len);

    *out = (struct str){0};
    if (header.len == 0 || semicolon == NULL)
        return true;
    struct str rest = str_from(header, (size_t)(semicolon - header.ptr));
    while (rest.len > 0) {
        struct str key, value;
        bool quoted;

        rest = trim(str_from(rest, 1)); /* the ';' */
        if (rest.len == 0)
            return true;
        if (!take_parameter(&rest, &key, &value, &quoted))
            return false;
        if (!same_word(key, name))
            continue;
        if (out->ptr != NULL)
            return false; /* twice: which one holds? */
        char *copy = arena_alloc(a, value.len + 1);
        if (quoted) {
            *out = (struct str){copy, unquote(value, copy)};
        } else {
            memcpy(copy, value.ptr, value.len);
            *out = (struct str){copy, value.len};
        }
    }
    return true;
}

static struct str before_semicolon(struct str s)
{
    const char *semicolon = s.len == 0 ? NULL : memchr(s.ptr, ';', s.len);

    return trim(semicolon == NULL ? s : (struct str){s.ptr, (size_t)(semicolon - s.ptr)});
}

bool multipart_boundary(struct str content_type, struct arena *a, struct str *out,
                        struct error *err)
{
    struct str boundary;

    if (!same_word(before_semicolon(content_type), "multipart/form-data"))
        return fail(err, ERR_INVALID,
                    "the body's Content-Type is \"%.*s\"; it must be multipart/form-data with a "
                    "boundary",
                    (int)(content_type.len > 100 ? 100 : content_type.len),
                    content_type.ptr == NULL ? "" : content_type.ptr);
    if (!header_parameter(content_type, "boundary", a, &boundary) || boundary.ptr == NULL ||
        boundary.len == 0 || boundary.len > MAX_BOUNDARY)
        return fail(err, ERR_INVALID,
                    "the Content-Type multipart/form-data has no boundary of 1 to 70 characters");
    for (size_t i = 0; i < boundary.len; i++)
        if ((unsigned char)boundary.ptr[i] < 0x20 || (unsigned char)boundary.ptr[i] > 0x7e)
            return fail(err, ERR_INVALID, "the boundary of the multipart body is not plain text");
    *out = boundary;
    return true;
}

struct multipart *multipart_new(struct arena *a, struct str boundary,
                                const struct multipart_sink *sink)
{
    struct multipart *m = ARENA_NEW(a, struct multipart);

    m->sink = *sink;
    memcpy(m->delimiter, "\r\n--", 4);
    memcpy(m->delimiter + 4, boundary.ptr, boundary.len);
    m->n_delimiter = 4 + boundary.len;
    m->n_matched = 2; /* as if a line had ended before the first byte */
    return m;
}

/* A header of a part, without its line's end. What is neither of the two has no meaning (RFC 7578, section 4.8). */
static bool read_header(struct multipart *m, struct str line, struct error *err)
{
    const char *colon = line.len == 0 ? NULL : memchr(line.ptr, ':', line.len);

    if (colon == NULL)
        return fail(err, ERR_INVALID, "a part of the multipart body has a header without a colon");
    const struct str name = {line.ptr, (size_t)(colon - line.ptr)};
    const struct str value = trim(str_from(line, name.len + 1));

    if (same_word(name, "content-type")) {
        m->head.content_type = arena_str(&m->scratch, value);
    } else if (same_word(name, "content-disposition")) {
        if (m->head.name.ptr != NULL)
            return fail(err, ERR_INVALID,
                        "a part of the multipart body has two Content-Dispositions");
        if (!same_word(before_semicolon(value), "form-data") ||
            !header_parameter(value, "name", &m->scratch, &m->head.name) ||
            !header_parameter(value, "filename", &m->scratch, &m->head.filename) ||
            m->head.name.ptr == NULL)
            return fail(
                err, ERR_INVALID,
                "a part's Content-Disposition must be form-data with a name, and is \"%.*s\"",
                (int)(value.len > 200 ? 200 : value.len), value.ptr);
    }
    return true;
}

static bool end_line(struct multipart *m, struct error *err)
{
    struct str line = {m->line, m->n_line};

    if (line.len > 0 && line.ptr[line.len - 1] == '\r')
        line.len--;
    m->n_line = 0;
    if (line.len > 0)
        return read_header(m, line, err);
    if (m->head.name.ptr == NULL)
        return fail(err, ERR_INVALID, "a part of the multipart body has no name");
    m->state = DATA;
    m->n_matched = 0;
    return m->sink.begin(m->sink.ctx, &m->head, err);
}

static bool head_byte(struct multipart *m, char c, struct error *err)
{
    if (c == '\n')
        return end_line(m, err);
    if (m->n_line == sizeof m->line || ++m->n_head > MAX_HEAD_BYTES)
        return fail(err, ERR_LIMIT,
                    "a part of the multipart body has more than %d bytes of headers",
                    MAX_HEAD_BYTES);
    m->line[m->n_line++] = c;
    return true;
}

static bool give(struct multipart *m, struct str bytes, struct error *err)
{
    if (m->state != DATA || bytes.len == 0)
        return true;
    return m->sink.data(m->sink.ctx, bytes, err);
}

static bool delimiter_found(struct multipart *m, struct error *err)
{
    const bool was_data = m->state == DATA;

    m->n_matched = 0;
    m->state = PADDING;
    m->skipping_blanks = false;
    return !was_data || m->sink.end(m->sink.ctx, err);
}

/* Data, or what comes before the first delimiter. Returns how much of it was used; 0 with err told. */
static size_t take_data(struct multipart *m, struct str in, struct error *err)
{
    size_t at = 0;

    if (m->n_matched == 0) {
        const char *cr = memchr(in.ptr, '\r', in.len);
        const size_t plain = cr == NULL ? in.len : (size_t)(cr - in.ptr);

        if (!give(m, (struct str){in.ptr, plain}, err))
            return 0;
        if (plain == in.len)
            return plain;
        m->n_matched = 1;
        at = plain + 1;
    }
    while (at < in.len && m->n_matched < m->n_delimiter &&
           in.ptr[at] == m->delimiter[m->n_matched]) {
        at++;
        m->n_matched++;
    }
    if (m->n_matched == m->n_delimiter)
        return delimiter_found(m, err) ? at : 0;
    if (at < in.len) { /* no delimiter after all: what looked like one is data */
        const size_t n = m->n_matched;

        m->n_matched = 0;
        if (!give(m, (struct str){m->delimiter, n}, err))
            return 0;
        if (at == 0) /* a byte that is no '\r' is data, too; one that is begins anew */
            return take_data(m, in, err);
    }
    return at;
}

static bool behind_delimiter(struct multipart *m, char c, struct error *err)
{
    if (m->state == CLOSING && c == '-') {
        m->state = AFTER;
        return true;
    }
    if (m->state == PADDING && c == '-' && !m->skipping_blanks) {
        m->state = CLOSING;
        return true;
    }
    if (m->state == PADDING && (is_blank(c) || c == '\r')) {
        m->skipping_blanks = true;
        return true;
    }
    if (m->state == PADDING && c == '\n') {
        m->state = HEAD;
        m->n_line = m->n_head = 0;
        m->head = (struct multipart_head){0};
        arena_reset(&m->scratch);
        return true;
    }
    return fail(err, ERR_INVALID,
                "the multipart body has something else than a line's end behind a boundary");
}

static bool feed(struct multipart *m, struct str bytes, struct error *err)
{
    size_t at = 0;

    while (at < bytes.len) {
        if (m->state == AFTER)
            return true;
        if (m->state == BEFORE || m->state == DATA) {
            struct error told = {0};
            const size_t used = take_data(m, str_from(bytes, at), &told);

            if (told.kind != ERR_NONE) {
                if (err != NULL)
                    *err = told;
                return false;
            }
            at += used;
        } else if (m->state == HEAD) {
            if (!head_byte(m, bytes.ptr[at++], err))
                return false;
        } else if (!behind_delimiter(m, bytes.ptr[at++], err)) {
            return false;
        }
    }
    return true;
}

bool multipart_feed(struct multipart *m, struct str bytes, struct error *err)
{
    if (m->failed)
        return fail(err, ERR_INVALID, "the multipart body is broken");
    m->failed = !feed(m, bytes, err);
    return !m->failed;
}

bool multipart_finish(struct multipart *m, struct error *err)
{
    return (!m->failed && m->state == AFTER) ||
           fail(err, ERR_INVALID,
                "the multipart body ends before its last boundary; it was cut short");
}

void multipart_release(struct multipart *m)
{
    if (m != NULL)
        arena_release(&m->scratch);
}
