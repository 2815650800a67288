/*
 * wordnet_test.c - synonyms are those that nltk finds, in the installed WordNet and in small ones made here; what is no
 * WordNet is refused with its file and line.
 */
#include "base/file.h"
#include "base/limits.h"
#include "grade/wordnet_internal.h"
#include "support/support.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

/* ---- what a look-up gives ---- */

struct names {
    size_t n;
    struct str name[4096];
};

static void put_name(void *to, struct str name)
{
    struct names *names = to;

    if (names->n < 4096)
        names->name[names->n++] = name;
}

static int by_text(const void *a, const void *b)
{
    const struct str *x = a, *y = b;
    const size_t n = x->len < y->len ? x->len : y->len;
    const int order = memcmp(x->ptr, y->ptr, n);

    return order != 0 ? order : (x->len > y->len) - (x->len < y->len);
}

/* The synonyms in order, each once, parted by blanks. Each thread has its own room. */
static const char *synonyms(const struct wordnet *w, const char *word)
{
    static _Thread_local struct names names;
    static _Thread_local char out[1 << 16];
    size_t len = 0;

    names.n = 0;
    wordnet_synonyms(w, str_of(word), put_name, &names);
    qsort(names.name, names.n, sizeof *names.name, by_text);
    for (size_t i = 0; i < names.n; i++)
        if (i == 0 || !str_eq(names.name[i], names.name[i - 1]))
            len += (size_t)snprintf(out + len, sizeof out - len, "%s" STR_FMT, len > 0 ? " " : "",
                                    STR_ARG(names.name[i]));
    out[len] = '\0';
    return out;
}

/* ---- the installed one ---- */

static const struct wordnet *installed(void)
{
    struct error err = {0};
    const struct wordnet *w = NULL;

    ASSERT_OK(wordnet_shared(&w, &err));
    return w;
}

/* How many words of the golden file have the synonyms that stand there; wrong: the first that has not. No asserts: threads. */
static int golden_synonyms(const struct wordnet *w, char wrong[512])
{
    struct arena paths = {0};
    gzFile f = gzopen(golden_path(&paths, "meteor/synonyms.txt.gz"), "rb");
    char line[1 << 14];
    int n = 0;

    wrong[0] = '\0';
    while (f != NULL && gzgets(f, line, sizeof line) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *blank = strchr(line, ' ');
        const char *want = blank == NULL ? "" : blank + 1;

        if (blank != NULL)
            *blank = '\0';
        if (strcmp(synonyms(w, line), want) == 0)
            n++;
        else if (wrong[0] == '\0')
            snprintf(wrong, 512, "%s has %s, not %s", line, synonyms(w, line), want);
    }
    gzclose(f);
    arena_release(&paths);
    return n;
}

static void five_thousand_words_have_nltks_synonyms(void **state)
{
    (void)state;
    char wrong[512];
    const int n = golden_synonyms(installed(), wrong);

    assert_string_equal(wrong, "");
    assert_int_equal(n, 5000);
}

static void irregular_forms_and_endings_lead_to_their_bases(void **state)
{
    (void)state;
    const struct wordnet *w = installed();

    assert_string_equal(synonyms(w, "geese"), synonyms(w, "goose"));
    assert_non_null(strstr(synonyms(w, "geese"), "goose"));
    assert_non_null(strstr(synonyms(w, "churches"), "church"));
    assert_non_null(strstr(synonyms(w, "went"), "travel"));
    assert_non_null(strstr(synonyms(w, "better"), "well"));
    assert_string_equal(synonyms(w, "hous"), ""); /* the stem of "house" is no word */
    assert_string_equal(synonyms(w, ""), "");
}

/* ---- small ones ---- */

struct made {
    char data[WORDNET_PARTS][4096], index[WORDNET_PARTS][4096], exceptions[WORDNET_PARTS][512];
    struct wordnet_files files[WORDNET_PARTS];
};
static const char *const part_names[WORDNET_PARTS] = {"noun", "verb", "adj", "adv"};

/* Adds a synset of words parted by blanks; gives where it begins. */
static unsigned add_synset(struct made *m, int part, const char *words)
{
    char *data = m->data[part], copy[256];
    const size_t at = strlen(data);
    unsigned n = 0;
    char list[512] = "", *rest = NULL;

    snprintf(copy, sizeof copy, "%s", words);
    for (char *word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        snprintf(list + strlen(list), sizeof list - strlen(list), " %s %x", word, n % 16);
        n++;
    }
    snprintf(data + at, sizeof m->data[part] - at,
             "%08zu 03 %c %02x%s 001 @ 00000000 n 0000 | a gloss; \"so\"  \n", at, "nvsr"[part], n,
             list);
    return (unsigned)at;
}

static void add_line(char *text, size_t size, const char *line)
{
    const size_t len = strlen(text);

    snprintf(text + len, size - len, "%s\n", line);
}

static void add_lemma(struct made *m, int part, const char *lemma, int n, const unsigned *synsets)
{
    char line[256];
    int len = snprintf(line, sizeof line, "%s %c %d 2 @ ~ %d 0", lemma, "nvar"[part], n, n);

    for (int i = 0; i < n; i++)
        len += snprintf(line + len, sizeof line - (size_t)len, " %08u", synsets[i]);
    add_line(m->index[part], sizeof m->index[part], strcat(line, "  "));
}

static void add_exception(struct made *m, int part, const char *line)
{
    add_line(m->exceptions[part], sizeof m->exceptions[part], line);
}

static void update(struct made *m)
{
    for (int i = 0; i < WORDNET_PARTS; i++)
        m->files[i] = (struct wordnet_files){.data = str_of(m->data[i]),
                                             .index = str_of(m->index[i]),
                                             .exceptions = str_of(m->exceptions[i])};
}

/* Two nouns, a verb, an adjective with a marker, an adverb. */
static void make(struct made *m)
{
    unsigned at[2];

    memset(m, 0, sizeof *m);
    for (int i = 0; i < WORDNET_PARTS; i++) {
        add_line(m->data[i], sizeof m->data[i], "  1 This software is provided");
        add_line(m->index[i], sizeof m->index[i], "  1 This software is provided");
    }
    at[0] = add_synset(m, WORDNET_NOUN, "wolf loup gray_wolf Canis");
    at[1] = add_synset(m, WORDNET_NOUN, "masher wolf skirt-chaser");
    add_lemma(m, WORDNET_NOUN, "gray_wolf", 1, at);
    add_lemma(m, WORDNET_NOUN, "wolf", 2, at);
    at[0] = add_synset(m, WORDNET_NOUN, "box case");
    add_lemma(m, WORDNET_NOUN, "box", 1, at);
    add_lemma(m, WORDNET_NOUN, "leaf", 1, at);
    at[0] = add_synset(m, WORDNET_VERB, "wolf devour");
    add_lemma(m, WORDNET_VERB, "wolf", 1, at);
    at[0] = add_synset(m, WORDNET_ADJ, "big(a) great(ip) large");
    add_lemma(m, WORDNET_ADJ, "big", 1, at);
    at[0] = add_synset(m, WORDNET_ADV, "well good");
    add_lemma(m, WORDNET_ADV, "well", 1, at);
    add_exception(m, WORDNET_NOUN, "wolves wolf");
    add_exception(m, WORDNET_NOUN, "boxes nothing wolf");
    add_exception(m, WORDNET_NOUN, "cases box");
    add_exception(m, WORDNET_NOUN, "cases wolf");
    add_exception(m, WORDNET_ADV, "best well");
    update(m);
}

static void a_small_wordnet_is_looked_up_by_the_rules(void **state)
{
    (void)state;
    static struct made m;
    struct error err = {0};
    struct wordnet *w = NULL;

    make(&m);
    ASSERT_OK(wordnet_read(m.files, &w, &err));
    assert_string_equal(synonyms(w, "wolf"), "Canis devour loup masher skirt-chaser wolf");
    assert_string_equal(synonyms(w, "gray_wolf"), "Canis loup wolf");
    assert_string_equal(synonyms(w, "wolves"), "Canis loup masher skirt-chaser wolf");
    assert_string_equal(synonyms(w, "wolfs"), synonyms(w, "wolf")); /* noun and verb */
    assert_string_equal(synonyms(w, "wolfed"), "devour wolf");
    assert_string_equal(synonyms(w, "wolfing"), "devour wolf");
    assert_string_equal(synonyms(w, "wolfinging"), ""); /* one ending, once */
    assert_string_equal(synonyms(w, "big"), "big great large");
    assert_string_equal(synonyms(w, "biger"), "big great large");
    assert_string_equal(synonyms(w, "great"), ""); /* in no index */
    assert_string_equal(synonyms(w, "leaves"), "box case");
    assert_string_equal(synonyms(w, "leafs"), "box case");
    assert_string_equal(synonyms(w, "best"), "good well");
    assert_string_equal(synonyms(w, "welled"), ""); /* adverbs have no endings */
    /* an irregular form keeps the endings from being tried; of two with one form the later counts */
    assert_string_equal(synonyms(w, "boxes"), synonyms(w, "wolves"));
    assert_string_equal(synonyms(w, "cases"), synonyms(w, "wolves"));
    assert_string_equal(synonyms(w, "Wolf"), "");
    assert_string_equal(synonyms(w, "s"), "");
    wordnet_close(w);
    wordnet_close(NULL);
}

static void the_longest_name_is_found_and_a_longer_one_refused(void **state)
{
    (void)state;
    static struct made m;
    struct error err = {0};
    struct wordnet *w = NULL;
    char name[300];

    for (int longer = 0; longer < 2; longer++) {
        make(&m);
        memset(name, 'a', sizeof name);
        name[255 + longer] = '\0';
        char words[320], line[320];

        snprintf(words, sizeof words, "%.200s b", name);
        const unsigned at = add_synset(&m, WORDNET_NOUN, words);
        snprintf(line, sizeof line, "%s n 1 0 1 0 %08u", name, at);
        add_line(m.index[WORDNET_NOUN], sizeof m.index[WORDNET_NOUN], line);
        update(&m);
        if (longer) {
            ASSERT_FAILS(wordnet_read(m.files, &w, &err), ERR_CORRUPT,
                         "index.noun, line 6: expected a lemma");
        } else {
            ASSERT_OK(wordnet_read(m.files, &w, &err));
            assert_non_null(strstr(synonyms(w, name), " b"));
            name[0] = 's';
            assert_string_equal(synonyms(w, name), "");
            name[0] = 'a';
            wordnet_close(w);
            w = NULL;
        }
    }
    assert_null(w);
}

/* Each is a noun's line that cannot be read. */
static void what_is_no_wordnet_is_refused_by_its_line(void **state)
{
    (void)state;
    static struct made m;
    static const struct {
        char *text;
        size_t size;
        const char *line, *says;
    } cases[] = {
        {m.data[0], sizeof m.data[0], "x",
         "data.noun, line 5: expected a synset, which begins with its place"},
        {m.data[0], sizeof m.data[0], "",
         "data.noun, line 5: expected a synset, which begins with its place"},
        {m.data[0], sizeof m.data[0], "00000001 03 n 01 a 0", "begins with its place"},
        {m.data[0], sizeof m.data[0], "99999999999999999999 03 n 01 a 0", "begins with its place"},
        {m.data[0], sizeof m.data[0], "@ 03 n 00", "expected a synset's file, type and number"},
        {m.data[0], sizeof m.data[0], "@ 03 noun 01 a 0", "expected a synset's file, type and"},
        {m.data[0], sizeof m.data[0], "@ 03 n 0g a 0", "expected a synset's file, type and"},
        {m.data[0], sizeof m.data[0], "@ 03 n 02 a 0",
         "expected as many words as the synset counts"},
        {m.data[0], sizeof m.data[0], "@ 03 n ffffffff a 0",
         "expected as many words as the synset counts"},
        {m.data[0], sizeof m.data[0], "@ 03 n 01 a", "expected as many words as the synset counts"},
        {m.data[0], sizeof m.data[0], "@ 03 n 01 (p) 0",
         "expected as many words as the synset counts"},
        {m.data[0], sizeof m.data[0], "@ 03 n 01 \xc3\xa9 0",
         "expected as many words as the synset counts"},
        {m.data[0], sizeof m.data[0], "@ 03 n 01 alone 0",
         "index.noun, line 5: it ends, and no lemma led to the synset at"},
        {m.index[0], sizeof m.index[0], "", "index.noun, line 6: expected a lemma and its part"},
        {m.index[0], sizeof m.index[0], "a v 1 0 1 0 00000030",
         "expected a lemma and its part of speech"},
        {m.index[0], sizeof m.index[0], "a n x 0 1 0 00000030",
         "expected counts of synsets and of pointers"},
        {m.index[0], sizeof m.index[0], "a n 1 99999999 @", "expected as many pointers"},
        {m.index[0], sizeof m.index[0], "a n 1 0 2 0 00000030", "the same count of synsets again"},
        {m.index[0], sizeof m.index[0], "a n 0 0 0 0", "the same count of synsets again"},
        {m.index[0], sizeof m.index[0], "a n 1 0 1", "the same count of synsets again"},
        {m.index[0], sizeof m.index[0], "a n 1 0 1 0", "as many places as the lemma has synsets"},
        {m.index[0], sizeof m.index[0], "a n 1 0 1 0 00000031", "as many places as the lemma has"},
        {m.index[0], sizeof m.index[0], "a n 99999999 0 99999999 0 00000030", "as many places"},
        {m.exceptions[0], sizeof m.exceptions[0], "",
         "noun.exc, line 5: expected an irregular form"},
        {m.exceptions[0], sizeof m.exceptions[0], "\x01 a",
         "noun.exc, line 5: expected an irregular form"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err = {0};
        struct wordnet *w = NULL;
        char line[256];

        make(&m);
        /* @: the place where the line stands */
        if (cases[i].line[0] == '@')
            snprintf(line, sizeof line, "%08zu%s", strlen(cases[i].text), cases[i].line + 1);
        else
            snprintf(line, sizeof line, "%s", cases[i].line);
        add_line(cases[i].text, cases[i].size, line);
        update(&m);
        ASSERT_FAILS(wordnet_read(m.files, &w, &err), ERR_CORRUPT, cases[i].says);
        assert_null(w);
    }
    for (int part = 0; part < WORDNET_PARTS; part++) { /* no word of one part at all */
        struct error err = {0};
        struct wordnet *w = NULL;

        make(&m);
        m.files[part] = (struct wordnet_files){.data = STR(""), .index = STR("")};
        ASSERT_FAILS(wordnet_read(m.files, &w, &err), ERR_CORRUPT, "expected a synset");
        assert_non_null(strstr(err.message, part_names[part]));
    }
}

/* From every length of every file; an exact copy lets the sanitizer see what is read beyond it. */
static void a_file_that_is_cut_short_is_refused_or_read(void **state)
{
    (void)state;
    static struct made m;
    int refused = 0, n = 0;

    make(&m);
    for (int which = 0; which < 3 * WORDNET_PARTS; which++) {
        struct str *file = which % 3 == 0   ? &m.files[which / 3].data
                           : which % 3 == 1 ? &m.files[which / 3].index
                                            : &m.files[which / 3].exceptions;
        const struct str whole = *file;

        for (size_t len = 0; len < whole.len; len++, n++) {
            struct error err = {0};
            struct wordnet *w = NULL;
            char *copy = malloc(len + 1);

            memcpy(copy, whole.ptr, len);
            *file = (struct str){copy, len};
            copy = realloc(copy, len > 0 ? len : 1);
            file->ptr = copy;
            if (wordnet_read(m.files, &w, &err)) {
                (void)synonyms(w, "wolves");
            } else {
                assert_int_equal(err.kind, ERR_CORRUPT);
                refused++;
            }
            wordnet_close(w);
            free(copy);
        }
        *file = whole;
    }
    /* what remains readable: glosses without their ends, fewer irregular forms, a lemma too few for a synset of two */
    assert_true(n > 1000 && refused > n / 2);
}

/* A few lines could ask for gigabytes: each irregular form has all the synsets of its base. */
static void more_than_there_is_room_for_is_refused(void **state)
{
    (void)state;
    static struct made m;
    struct arena a = {0};
    struct error err = {0};
    struct wordnet *w = NULL;
    const size_t n_synsets = 4000, n_forms = LIMIT_WORDNET_POOL / (n_synsets * 4) + 1;
    char *index = ARENA_ARRAY(&a, char, sizeof m.index[0] + n_synsets * 9 + 100);
    char *forms = ARENA_ARRAY(&a, char, n_forms * 16 + 1);
    size_t len, len_forms = 0;

    make(&m);
    len = (size_t)sprintf(index, "%sbeast n %zu 0 %zu 0", m.index[0], n_synsets, n_synsets);
    for (size_t i = 0; i < n_synsets; i++)
        len += (size_t)sprintf(index + len, " %08zu", strlen("  1 This software is provided\n"));
    index[len++] = '\n';
    for (size_t i = 0; i < n_forms; i++)
        len_forms += (size_t)sprintf(forms + len_forms, "x%zu beast\n", i);
    m.files[0].index = (struct str){index, len};
    m.files[0].exceptions = (struct str){forms, len_forms / 2};
    ASSERT_OK(wordnet_read(m.files, &w, &err));
    wordnet_close(w);
    w = NULL;
    m.files[0].exceptions.len = len_forms;
    ASSERT_FAILS(wordnet_read(m.files, &w, &err), ERR_LIMIT, "WordNet");
    assert_null(w);
    arena_release(&a);
}

/* ---- folders ---- */

static void write_made(struct arena *a, const char *dir, const struct made *m)
{
    struct error err = {0};

    for (int i = 0; i < WORDNET_PARTS; i++) {
        const char *name = part_names[i];

        ASSERT_OK(file_put(arena_printf(a, "%s/data.%s", dir, name), m->files[i].data, &err));
        ASSERT_OK(file_put(arena_printf(a, "%s/index.%s", dir, name), m->files[i].index, &err));
        ASSERT_OK(file_put(arena_printf(a, "%s/%s.exc", dir, name), m->files[i].exceptions, &err));
    }
}

static void a_folder_is_read_once_and_for_all(void **state)
{
    (void)state;
    static struct made m;
    struct arena a = {0};
    char *dir = test_dir_make(&a);
    struct error err = {0};
    struct wordnet *w = NULL;

    make(&m);
    write_made(&a, dir, &m);
    ASSERT_OK(wordnet_open(dir, &w, &err));
    for (int i = 0; i < WORDNET_PARTS; i++) /* a file that shrinks would take a mapping away */
        ASSERT_OK(file_cut(arena_printf(&a, "%s/data.%s", dir, part_names[i]), 0, &err));
    test_dir_remove(dir);
    assert_string_equal(synonyms(w, "wolves"), "Canis loup masher skirt-chaser wolf");
    wordnet_close(w);
    arena_release(&a);
}

static void a_folder_without_wordnet_is_refused(void **state)
{
    (void)state;
    static struct made m;
    struct arena a = {0};
    char *dir = test_dir_make(&a);
    struct error err = {0};
    struct wordnet *w = NULL;

    ASSERT_FAILS(wordnet_open("/nowhere", &w, &err), ERR_UNSUPPORTED,
                 "there is no WordNet in /nowhere");
    ASSERT_FAILS(wordnet_open(dir, &w, &err), ERR_UNSUPPORTED, "there is no WordNet in");
    make(&m);
    write_made(&a, dir, &m);
    ASSERT_OK(file_remove_tree(file_join(&a, dir, "adv.exc"), &err));
    ASSERT_FAILS(wordnet_open(dir, &w, &err), ERR_NOT_FOUND, "adv.exc: No such file");
    assert_non_null(strstr(err.message, "while reading WordNet in"));
    write_made(&a, dir, &m);
    ASSERT_OK(file_append(file_join(&a, dir, "index.adj"), STR("broken\n"), &err));
    ASSERT_FAILS(wordnet_open(dir, &w, &err), ERR_CORRUPT, "index.adj, line 3: expected a lemma");
    write_made(&a, dir, &m);
    /* longer than there is room for, with nothing on the disk */
    ASSERT_OK(file_cut(file_join(&a, dir, "verb.exc"), LIMIT_WORDNET_BYTES + 1, &err));
    ASSERT_FAILS(wordnet_open(dir, &w, &err), ERR_LIMIT, "longer than");
    assert_null(w);
    test_dir_remove(dir);
    arena_release(&a);
}

/* ---- threads ---- */

struct looker {
    pthread_t thread;
    const struct wordnet *wordnet;
    int n;
};

static void *look_up(void *arg)
{
    struct looker *l = arg;
    struct error err = {0};
    char wrong[512];

    if (wordnet_shared(&l->wordnet, &err))
        l->n = golden_synonyms(l->wordnet, wrong);
    return NULL;
}

static void one_copy_serves_every_thread(void **state)
{
    (void)state;
    struct looker lookers[8] = {0};

    for (int i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&lookers[i].thread, NULL, look_up, &lookers[i]), 0);
    for (int i = 0; i < 8; i++)
        assert_int_equal(pthread_join(lookers[i].thread, NULL), 0);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(lookers[i].n, 5000);
        assert_ptr_equal(lookers[i].wordnet, lookers[0].wordnet);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_copy_serves_every_thread), /* first: they open it */
        cmocka_unit_test(five_thousand_words_have_nltks_synonyms),
        cmocka_unit_test(irregular_forms_and_endings_lead_to_their_bases),
        cmocka_unit_test(a_small_wordnet_is_looked_up_by_the_rules),
        cmocka_unit_test(the_longest_name_is_found_and_a_longer_one_refused),
        cmocka_unit_test(what_is_no_wordnet_is_refused_by_its_line),
        cmocka_unit_test(a_file_that_is_cut_short_is_refused_or_read),
        cmocka_unit_test(more_than_there_is_room_for_is_refused),
        cmocka_unit_test(a_folder_is_read_once_and_for_all),
        cmocka_unit_test(a_folder_without_wordnet_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
