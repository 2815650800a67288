/*
 * wordnet.c - the files of WordNet, read into records that a hash table finds.
 *
 * The pool holds two kinds of records, with numbers of 32 bits in the machine's order:
 *
 *     synset   number of names, then each as length (1 byte) and letters
 *     entry    kind (1 byte), length of name (1 byte), name, number of synsets, where in the pool each begins
 *
 * An entry is a lemma of one part of speech with its synsets, or an irregular form with those of all its bases.
 */
#include "grade/wordnet_internal.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/size.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Where distributions (Debian first) and WordNet's own installation put the files. */
static const char *const usual_folders[] = {"/usr/share/wordnet", "/usr/local/WordNet-3.0/dict"};

struct ending {
    const char *suffix, *instead;
};
/* _morphy's endings; each is tried, and none makes a word longer */
static const struct part {
    const char *name;
    const char *letter; /* in the index */
    size_t n_endings;
    struct ending endings[9];
} parts[WORDNET_PARTS] = {
    {"noun",
     "n",
     9,
     {{"s", ""},
      {"ses", "s"},
      {"ves", "f"},
      {"xes", "x"},
      {"zes", "z"},
      {"ches", "ch"},
      {"shes", "sh"},
      {"men", "man"},
      {"ies", "y"}}},
    {"verb",
     "v",
     8,
     {{"s", ""},
      {"ies", "y"},
      {"es", "e"},
      {"es", ""},
      {"ed", "e"},
      {"ed", ""},
      {"ing", "e"},
      {"ing", ""}}},
    {"adj", "a", 4, {{"er", ""}, {"est", ""}, {"er", "e"}, {"est", "e"}}},
    {"adv", "r", 0, {{0}}},
};
#define LONGEST_NAME 255 /* a length is one byte */

struct wordnet {
    struct buf pool;
    uint32_t *slots; /* [mask + 1] 1 + where an entry begins in the pool; 0: free */
    size_t mask;     /* slots - 1; slots are a power of two, at least twice the entries */
};

/* ---- records ---- */

static uint8_t byte_at(const struct wordnet *w, size_t at)
{
    return (uint8_t)w->pool.ptr[at];
}

static uint32_t number_at(const struct wordnet *w, size_t at)
{
    uint32_t value;

    memcpy(&value, w->pool.ptr + at, sizeof value);
    return value;
}

static void put_number(struct wordnet *w, size_t value)
{
    const uint32_t number = (uint32_t)value;

    buf_put(&w->pool, &number, sizeof number);
}

static void put_name(struct wordnet *w, struct str name)
{
    buf_char(&w->pool, (char)(uint8_t)name.len);
    buf_str(&w->pool, name);
}

/* An entry's kind: a lemma of a part of speech, or an irregular form. */
static uint8_t kind_of(enum wordnet_part part, bool irregular)
{
    return (uint8_t)(part + (irregular ? WORDNET_PARTS : 0));
}

static struct str entry_name(const struct wordnet *w, size_t entry)
{
    return (struct str){w->pool.ptr + entry + 2, byte_at(w, entry + 1)};
}

/* Where the numbers of the entry begin: how many synsets, then the synsets. */
static size_t entry_synsets(const struct wordnet *w, size_t entry)
{
    return entry + 2 + byte_at(w, entry + 1);
}

/* The slot of an entry, or the free one where it would be. */
static size_t slot_of(const struct wordnet *w, uint8_t kind, struct str name)
{
    for (size_t i = (size_t)(str_hash(name) + kind) & w->mask;; i = (i + 1) & w->mask) {
        if (w->slots[i] == 0)
            return i;
        const size_t entry = w->slots[i] - 1;
        if (byte_at(w, entry) == kind && str_eq(entry_name(w, entry), name))
            return i;
    }
}

/* Where the numbers of an entry begin; 0: there is none. */
static size_t find(const struct wordnet *w, uint8_t kind, struct str name)
{
    const uint32_t slot = w->slots[slot_of(w, kind, name)];

    return slot == 0 ? 0 : entry_synsets(w, slot - 1);
}

/* ---- look-up ---- */

struct visit {
    const struct wordnet *w;
    wordnet_name_fn *put;
    void *to;
};

static void visit_synsets(const struct visit *v, size_t numbers)
{
    const uint32_t n_synsets = number_at(v->w, numbers);

    for (uint32_t i = 1; i <= n_synsets; i++) {
        size_t at = number_at(v->w, numbers + i * sizeof(uint32_t));
        const uint32_t n_names = number_at(v->w, at);

        at += sizeof(uint32_t);
        for (uint32_t k = 0; k < n_names; k++) {
            const struct str name = {v->w->pool.ptr + at + 1, byte_at(v->w, at)};

            v->put(v->to, name);
            at += 1 + name.len;
        }
    }
}

static void visit_lemma(const struct visit *v, enum wordnet_part part, struct str lemma)
{
    const size_t numbers = find(v->w, kind_of(part, false), lemma);

    if (numbers != 0)
        visit_synsets(v, numbers);
}

static void visit_bases(const struct visit *v, enum wordnet_part part, struct str word)
{
    char base[LONGEST_NAME];

    for (size_t i = 0; i < parts[part].n_endings; i++) {
        const struct ending *e = &parts[part].endings[i];
        const struct str instead = str_of(e->instead);

        if (str_ends(word, str_of(e->suffix))) {
            const size_t kept = word.len - strlen(e->suffix);

            memcpy(base, word.ptr, kept);
            memcpy(base + kept, instead.ptr, instead.len);
            visit_lemma(v, part, (struct str){base, kept + instead.len});
        }
    }
}

void wordnet_synonyms(const struct wordnet *w, struct str word, wordnet_name_fn *put, void *to)
{
    const struct visit v = {w, put, to};

    if (word.len == 0 || word.len > LONGEST_NAME)
        return;
    for (enum wordnet_part part = 0; part < WORDNET_PARTS; part++) {
        const size_t irregular = find(w, kind_of(part, true), word);

        visit_lemma(&v, part, word);
        if (irregular != 0)
            visit_synsets(&v, irregular);
        else
            visit_bases(&v, part, word);
    }
}

/* ---- reading ---- */

/* The lines of a file, and the fields of a line, which blanks part. */
struct lines {
    struct str text;
    size_t at;     /* where the next line begins */
    size_t number; /* of the line that is being read, from 1 */
    char file[16]; /* "index.noun" */
};

static bool next_line(struct lines *l, struct str *line)
{
    if (l->at == l->text.len)
        return false;
    const char *from = l->text.ptr + l->at;
    const char *end = memchr(from, '\n', l->text.len - l->at);

    *line = (struct str){from, end == NULL ? l->text.len - l->at : (size_t)(end - from)};
    l->at += line->len + (end != NULL);
    l->number++;
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* The next field, "" behind the last. */
static struct str next_field(struct str *line)
{
    size_t from = 0, end;

    while (from < line->len && is_blank(line->ptr[from]))
        from++;
    for (end = from; end < line->len && !is_blank(line->ptr[end]); end++)
        ;
    const struct str field = {line->ptr + from, end - from};
    *line = str_from(*line, end);
    return field;
}

/* A field of up to eight digits. */
static bool next_number(struct str *line, unsigned base, uint32_t *out)
{
    const struct str field = next_field(line);
    uint32_t value = 0;

    for (size_t i = 0; i < field.len; i++) {
        const char c = field.ptr[i];
        const unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                               : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                                                      : base;

        if (digit >= base)
            return false;
        value = value * base + digit;
    }
    *out = value;
    return field.len > 0 && field.len <= 8;
}

static bool is_name(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] <= ' ' || s.ptr[i] > '~')
            return false;
    return s.len > 0 && s.len <= LONGEST_NAME;
}

static bool broken(const struct lines *l, struct error *err, const char *what)
{
    return fail(err, ERR_CORRUPT, "%s, line %zu: %s", l->file, l->number, what);
}

/* A synset of the part that is being read. */
struct synset {
    uint32_t in_file, in_pool; /* where it begins */
    bool named;                /* a lemma leads to it */
};

struct reading {
    struct wordnet *w;
    enum wordnet_part part;
    struct lines lines;
    struct synset *synsets; /* [n_synsets] as in the file, so by in_file */
    size_t n_synsets;
};

static void begin(struct reading *r, struct str text, const char *before, const char *behind)
{
    r->lines = (struct lines){.text = text};
    snprintf(r->lines.file, sizeof r->lines.file, "%s%s%s", before, parts[r->part].name, behind);
}

/* "galore(ip)" says where an adjective may stand; the word is "galore". */
static struct str without_marker(struct str name)
{
    const char *open = str_ends(name, STR(")")) ? memchr(name.ptr, '(', name.len) : NULL;

    return open == NULL ? name : (struct str){name.ptr, (size_t)(open - name.ptr)};
}

/* "02084071 05 n 03 dog 0 domestic_dog 0 Canis_familiaris 0 ...": what follows the words is not needed. */
static bool read_synset(struct reading *r, size_t in_file, struct str line, struct error *err)
{
    struct wordnet *w = r->w;
    uint32_t place, file, n_words, n_names = 0, id;
    const size_t in_pool = w->pool.len;

    if (!next_number(&line, 10, &place) || place != in_file)
        return broken(&r->lines, err, "expected a synset, which begins with its place in the file");
    if (!next_number(&line, 10, &file) || next_field(&line).len != 1 ||
        !next_number(&line, 16, &n_words) || n_words == 0)
        return broken(&r->lines, err, "expected a synset's file, type and number of words");
    put_number(w, 0);
    for (uint32_t i = 0; i < n_words; i++) {
        const struct str name = without_marker(next_field(&line));

        if (!is_name(name) || !next_number(&line, 16, &id))
            return broken(&r->lines, err,
                          "expected as many words as the synset counts, each with a number");
        if (memchr(name.ptr, '_', name.len) == NULL) {
            put_name(w, name);
            n_names++;
        }
    }
    if (w->pool.overflowed)
        return buf_ok(&w->pool, "WordNet", err);
    memcpy(w->pool.ptr + in_pool, &n_names, sizeof n_names);
    r->synsets[r->n_synsets++] =
        (struct synset){.in_file = (uint32_t)in_file, .in_pool = (uint32_t)in_pool};
    return true;
}

static bool read_data(struct reading *r, struct error *err)
{
    struct str line;

    for (size_t at = 0; next_line(&r->lines, &line); at = r->lines.at)
        if (!str_starts(line, STR(" ")) && !read_synset(r, at, line, err)) /* the licence */
            return false;
    return r->n_synsets > 0 || broken(&r->lines, err, "expected a synset");
}

static struct synset *find_synset(const struct reading *r, uint32_t in_file)
{
    size_t low = 0, high = r->n_synsets;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;

        if (r->synsets[middle].in_file < in_file)
            low = middle + 1;
        else
            high = middle;
    }
    return low < r->n_synsets && r->synsets[low].in_file == in_file ? &r->synsets[low] : NULL;
}

/* Begins an entry; its synsets are to follow. */
static uint32_t begin_entry(struct wordnet *w, uint8_t kind, struct str name)
{
    const uint32_t entry = (uint32_t)w->pool.len;

    buf_char(&w->pool, (char)kind);
    put_name(w, name);
    return entry;
}

/* Puts a whole entry into the table. Where two have one name the later one counts, as in nltk. */
static bool end_entry(struct wordnet *w, uint32_t entry, struct error *err)
{
    if (!buf_ok(&w->pool, "WordNet", err))
        return false;
    w->slots[slot_of(w, byte_at(w, entry), entry_name(w, entry))] = entry + 1;
    return true;
}

/* "dog n 7 5 @ ~ #m #p %p 7 1 02084071 10114209 ...": counts of synsets, of pointers, of synsets, of those in use. */
static bool read_lemma(struct reading *r, struct str line, struct error *err)
{
    const struct str lemma = next_field(&line);
    uint32_t n_synsets, n_pointers, again, used;

    if (!is_name(lemma) || !str_is(next_field(&line), parts[r->part].letter))
        return broken(&r->lines, err, "expected a lemma and its part of speech");
    if (!next_number(&line, 10, &n_synsets) || !next_number(&line, 10, &n_pointers))
        return broken(&r->lines, err, "expected counts of synsets and of pointers");
    for (uint32_t i = 0; i < n_pointers; i++)
        if (next_field(&line).len == 0)
            return broken(&r->lines, err, "expected as many pointers as the lemma counts");
    if (!next_number(&line, 10, &again) || again != n_synsets || n_synsets == 0 ||
        !next_number(&line, 10, &used))
        return broken(&r->lines, err, "expected the same count of synsets again, at least one");
    const uint32_t entry = begin_entry(r->w, kind_of(r->part, false), lemma);

    put_number(r->w, n_synsets);
    for (uint32_t i = 0; i < n_synsets; i++) {
        uint32_t place;
        struct synset *s = next_number(&line, 10, &place) ? find_synset(r, place) : NULL;

        if (s == NULL)
            return broken(
                &r->lines, err,
                "expected as many places as the lemma has synsets, each where one begins");
        s->named = true;
        put_number(r->w, s->in_pool);
    }
    return end_entry(r->w, entry, err);
}

static bool read_index(struct reading *r, struct error *err)
{
    struct str line;

    while (next_line(&r->lines, &line))
        if (!str_starts(line, STR(" ")) && !read_lemma(r, line, err))
            return false;
    for (size_t i = 0; i < r->n_synsets; i++)
        if (!r->synsets[i].named)
            return fail(err, ERR_CORRUPT,
                        "%s, line %zu: it ends, and no lemma led to the synset at %" PRIu32
                        " of data.%s",
                        r->lines.file, r->lines.number, r->synsets[i].in_file, parts[r->part].name);
    return true;
}

/* "geese goose": bases that are no lemmas count for nothing, but keep the endings from being tried. */
static bool read_exception(struct reading *r, struct str line, struct error *err)
{
    struct wordnet *w = r->w;
    const struct str form = next_field(&line);
    uint32_t n_synsets = 0;

    if (!is_name(form))
        return broken(&r->lines, err, "expected an irregular form");
    const uint32_t entry = begin_entry(w, kind_of(r->part, true), form);
    const size_t count = w->pool.len;

    put_number(w, 0);
    for (struct str base; (base = next_field(&line)).len > 0;) {
        const size_t numbers = find(w, kind_of(r->part, false), base);
        const uint32_t n = numbers == 0 ? 0 : number_at(w, numbers);

        for (uint32_t i = 1; i <= n; i++)
            put_number(w, number_at(w, numbers + i * sizeof(uint32_t)));
        n_synsets += n;
    }
    if (w->pool.overflowed)
        return buf_ok(&w->pool, "WordNet", err);
    memcpy(w->pool.ptr + count, &n_synsets, sizeof n_synsets);
    return end_entry(w, entry, err);
}

static bool read_exceptions(struct reading *r, struct error *err)
{
    struct str line;

    while (next_line(&r->lines, &line))
        if (!read_exception(r, line, err))
            return false;
    return true;
}

/* A line more than there are line ends: the last may have none. */
static size_t count_lines(struct str text)
{
    struct lines l = {.text = text};
    struct str line;

    while (next_line(&l, &line))
        ;
    return l.number;
}

static bool read_part(struct reading *r, const struct wordnet_files *f, struct arena *scratch,
                      struct error *err)
{
    r->n_synsets = 0;
    r->synsets =
        arena_try(scratch, count_lines(f->data) + 1, sizeof *r->synsets, "WordNet's synsets", err);
    if (r->synsets == NULL)
        return false;
    begin(r, f->data, "data.", "");
    if (!read_data(r, err))
        return false;
    begin(r, f->index, "index.", "");
    if (!read_index(r, err))
        return false;
    begin(r, f->exceptions, "", ".exc");
    return read_exceptions(r, err);
}

static bool make_slots(struct wordnet *w, const struct wordnet_files files[WORDNET_PARTS],
                       struct error *err)
{
    size_t n_lines = 0, slots = 16;

    for (size_t i = 0; i < WORDNET_PARTS; i++)
        n_lines += count_lines(files[i].index) + count_lines(files[i].exceptions);
    while (slots < 2 * n_lines)
        slots *= 2;
    w->mask = slots - 1;
    w->slots = calloc(slots, sizeof *w->slots);
    return w->slots != NULL || fail(err, ERR_NO_MEMORY, "there is no memory for WordNet's words");
}

bool wordnet_read(const struct wordnet_files files[WORDNET_PARTS], struct wordnet **out,
                  struct error *err)
{
    struct arena scratch = {0};
    struct reading r = {.w = calloc(1, sizeof *r.w)};
    bool ok = r.w != NULL || fail(err, ERR_NO_MEMORY, "there is no memory for WordNet");

    for (size_t i = 0; ok && i < WORDNET_PARTS; i++)
        if (files[i].data.len > LIMIT_WORDNET_BYTES || files[i].index.len > LIMIT_WORDNET_BYTES ||
            files[i].exceptions.len > LIMIT_WORDNET_BYTES)
            ok = fail(err, ERR_LIMIT, "a file of WordNet's is longer than %zu bytes",
                      LIMIT_WORDNET_BYTES);
    if (ok) {
        buf_init(&r.w->pool, LIMIT_WORDNET_POOL);
        ok = make_slots(r.w, files, err);
    }
    for (r.part = 0; ok && r.part < WORDNET_PARTS; r.part++) {
        ok = read_part(&r, &files[r.part], &scratch, err);
        arena_reset(&scratch);
    }
    arena_release(&scratch);
    if (ok)
        *out = r.w;
    else
        wordnet_close(r.w);
    return ok;
}

void wordnet_close(struct wordnet *w)
{
    if (w == NULL)
        return;
    buf_release(&w->pool);
    free(w->slots);
    free(w);
}

/* ---- files ---- */

static bool map_file(const char *folder, const char *name, struct arena *a, struct file_map *map,
                     struct str *text, struct error *err)
{
    if (!file_map_open(file_join(a, folder, name), map, err))
        return false;
    *text = (struct str){(const char *)map->ptr, map->len};
    return true;
}

static bool has_wordnet(const char *folder, struct arena *a)
{
    return file_exists(file_join(a, folder, "index.noun"));
}

static bool find_folder(const char **folder, struct arena *a, struct error *err)
{
    if (*folder != NULL && !has_wordnet(*folder, a))
        return fail(err, ERR_UNSUPPORTED, "there is no WordNet in %s", *folder);
    for (size_t i = 0; *folder == NULL && i < COUNT_OF(usual_folders); i++)
        if (has_wordnet(usual_folders[i], a))
            *folder = usual_folders[i];
    return *folder != NULL ||
           fail(err, ERR_UNSUPPORTED, "there is no WordNet in %s or %s (apt install wordnet-base)",
                usual_folders[0], usual_folders[1]);
}

bool wordnet_open(const char *folder, struct wordnet **out, struct error *err)
{
    struct arena a = {0};
    struct file_map maps[WORDNET_PARTS][3] = {0};
    struct wordnet_files files[WORDNET_PARTS];
    bool ok = find_folder(&folder, &a, err);

    if (ok) {
        for (size_t i = 0; ok && i < WORDNET_PARTS; i++) {
            const char *name = parts[i].name;

            ok = map_file(folder, arena_printf(&a, "data.%s", name), &a, &maps[i][0],
                          &files[i].data, err) &&
                 map_file(folder, arena_printf(&a, "index.%s", name), &a, &maps[i][1],
                          &files[i].index, err) &&
                 map_file(folder, arena_printf(&a, "%s.exc", name), &a, &maps[i][2],
                          &files[i].exceptions, err);
        }
        ok = (ok && wordnet_read(files, out, err)) ||
             fail_while(err, "reading WordNet in %s", folder);
    }
    for (size_t i = 0; i < WORDNET_PARTS; i++)
        for (size_t k = 0; k < 3; k++)
            file_map_close(&maps[i][k]);
    arena_release(&a);
    return ok;
}

bool wordnet_shared(const struct wordnet **out, struct error *err)
{
    static _Atomic(struct wordnet *) shared;
    struct wordnet *w = atomic_load(&shared), *none = NULL;

    if (w == NULL) {
        if (!wordnet_open(NULL, &w, err))
            return false;
        if (!atomic_compare_exchange_strong(&shared, &none, w)) {
            wordnet_close(w); /* another thread was first */
            w = none;
        }
    }
    *out = w;
    return true;
}
