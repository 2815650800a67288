/*
 * tool_replies_fuzz.c - the body of a tool's reply ('r' first), or the record of what tools said (else, from a step that the
 * first byte tells).
 *
 * A record that is taken can be added to, and what was added is found; it is then taken again as it is.
 */
#include "fuzz.h"

#include "train/tool_record.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_reply(struct str body)
{
    struct arena a = {0};
    struct error err;
    struct str out = {NULL, 0};

    if (tool_reply_read(body, STR("call_1"), "a tool", &a, &out, &err))
        check(out.ptr != NULL || out.len == 0);
    arena_release(&a);
}

static void read_record(struct str bytes, size_t from)
{
    const struct tool_key key = {.use = TOOL_TRAIN, .step = from + 5, .item = 7, .sample = 2};
    struct arena a = {0};
    const struct tool_ask said = {.name = STR("f"), .arguments = STR("{}"), .output = STR("new")};
    struct tool_ask found = {.name = STR("f"), .arguments = STR("{}"), .arena = &a};
    const char *path = file_join(&a, fuzz_dir(), "record");
    struct tool_record *r = NULL;
    struct error err;

    must(file_put(path, bytes, &err), &err);
    if (tool_record_open(path, false, from, &r, &err)) {
        (void)!tool_record_find(r, &key, &found);
        must(tool_record_put(r, &key, &said, &err), &err);
        tool_record_close(r);
        must(tool_record_open(path, false, from, &r, &err), &err);
        check(tool_record_find(r, &key, &found) && str_is(found.output, "new"));
        tool_record_begin_step(r);
        must(tool_record_undo_step(r, &err), &err);
        tool_record_close(r);
        must(tool_record_open_done(path, &r, &err), &err);
        (void)!tool_record_find(r, &key, &found);
        tool_record_close(r);
    }
    arena_release(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const struct str rest = {(const char *)data + 1, size - 1};
    if (data[0] == 'r')
        read_reply(rest);
    else
        read_record(rest, data[0]);
    return 0;
}
