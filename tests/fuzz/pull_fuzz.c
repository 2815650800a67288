/*
 * pull_fuzz.c - any bytes as what a hub says of its files ('l', a page of the listing), as an index of shards ('i'), the head of a
 * reply ('h'), the address that a user names ('a'), or what a record on disk says of a file that is begun ('r'): names that stay in
 * their folder, lengths that hold together, or a sentence.
 */
#include "fuzz.h"

#include "job/pull_internal.h"

#include <stdint.h>
#include <stdlib.h>
#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_news(void *ctx, const struct pull_news *news)
{
    (void)ctx;
    check(news->event == PULL_CHOICES);
}

static void check_safe(const char *name)
{
    check(name[0] != '\0' && name[0] != '/' && strstr(name, "//") == NULL);
    for (const char *part = name; part != NULL; part = strchr(part, '/')) {
        part += part != name;
        check(strcmp(part, "..") != 0 && strncmp(part, "../", 3) != 0);
    }
}

static void listing(struct str text, struct arena *a)
{
    const struct pull_request rq = {.tell = on_news};
    const struct pull_source s = {.kind = PULL_HUB, .shown = "org/name", .repo = "org/name"};
    struct pull_list all = {0};
    struct pull_choice choice;
    struct error err = {0};
    json_t *root = NULL;

    if (!json_parse(text, "the listing", &root, &err))
        return;
    if (pull_list_page(&all, root, "the listing", a, &err)) {
        for (size_t i = 0; i < all.n; i++) {
            check_safe(all.file[i].path);
            check(strlen(all.file[i].sha256) == 64 || strlen(all.file[i].git_sha1) == 40);
            check(all.file[i].size <= (uint64_t)1 << 50);
        }
        if (pull_choose(&s, &all, &rq, a, &choice, &err))
            check(choice.files.n > 0 && (choice.gguf ? choice.files.n == 1 : true));
        else
            check(err.kind != ERR_NONE && err.message[0] != '\0');
    } else {
        check(err.kind != ERR_NONE && err.message[0] != '\0');
    }
    json_decref(root);
}

static void shards(struct str text, struct arena *a)
{
    struct error err = {0};
    json_t *root = NULL;
    const char **names;
    size_t n;

    if (!json_parse(text, "the index", &root, &err))
        return;
    if (pull_index_names(root, "the index", a, &names, &n, &err)) {
        check(n > 0);
        for (size_t i = 0; i < n; i++) {
            check_safe(names[i]);
            check(strchr(names[i], '/') == NULL && (i == 0 || strcmp(names[i - 1], names[i]) < 0));
        }
    }
    json_decref(root);
}

static void head(struct str text, struct arena *a)
{
    uint64_t first, last, total;
    struct str url;

    if (download_content_range(text, &first, &last, &total))
        check(first <= last && last < total);
    (void)download_content_length(text, &total);
    if (pull_next_page(text, &url)) {
        check(url.ptr >= text.ptr && url.ptr + url.len <= text.ptr + text.len);
        (void)download_resolve("https://host/a/b", url, a);
    }
}

static void named(const char *text, struct arena *a)
{
    const struct pull_request rq = {.source = text, .endpoint = "https://hub.example"};
    struct pull_source s;
    struct error err = {0};

    if (!pull_source_read(&rq, a, &s, &err)) {
        check(err.kind != ERR_NONE && err.message[0] != '\0');
        return;
    }
    check(s.shown != NULL && s.own_name != NULL);
    if (s.kind == PULL_HUB) {
        struct error ignored;
        const char *url = pull_url_of(&s, s.revision, "x y", a);

        check(http_check_url(url, "url", &ignored) && download_same_origin(url, s.endpoint));
    } else {
        check(strncasecmp(s.url, "https://", 8) == 0 || download_is_loopback(s.url));
    }
}

/* A record beside a file of 1000 bytes. */
static void record(struct str text, struct arena *a)
{
    static const struct pull_file file = {
        .path = "x",
        .name = "x",
        .url = "https://host/x",
        .size = 1000,
        .sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"};
    const char *dir = file_join(a, fuzz_dir(), "pull");
    struct pull_part p;
    struct error err = {0};
    uint64_t sum = 0, added;
    char bytes[1000] = {0};
    bool right;

    must(file_make_dirs(file_join(a, dir, "records"), &err), &err);
    must(file_make_dirs(file_join(a, dir, "files"), &err), &err);
    must(file_put(file_join(a, dir, "records/x"), text, &err), &err);
    must(file_put(file_join(a, dir, "files/x"), (struct str){bytes, sizeof bytes}, &err), &err);
    must(pull_part_open(&p, dir, &file, 256, a, &err), &err);
    check(p.n_pieces > 0 && p.n_pieces <= file.size);
    for (size_t i = 0; i < p.n_pieces; i++) {
        check(p.done[i] <= pull_part_piece_size(&p, i));
        sum += pull_part_piece_size(&p, i);
    }
    check(sum == file.size && (!p.checked || pull_part_there(&p) == file.size));
    sum = file.size - pull_part_there(&p);
    must(pull_part_put(&p, 0, bytes, sizeof bytes, &added, &err), &err);
    check(added == sum && pull_part_there(&p) == file.size);
    must(pull_part_check(&p, NULL, &right, &err), &err);
    check(!right);
    pull_part_close(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a = {0};

    if (size > 0) {
        const struct str text = arena_str(&a, (struct str){(const char *)data + 1, size - 1});

        switch (data[0]) {
        case 'l':
            listing(text, &a);
            break;
        case 'i':
            shards(text, &a);
            break;
        case 'h':
            head(text, &a);
            break;
        case 'a':
            named(text.ptr, &a);
            break;
        case 'r':
            record(text, &a);
            break;
        default:
            break;
        }
    }
    arena_release(&a);
    return 0;
}
