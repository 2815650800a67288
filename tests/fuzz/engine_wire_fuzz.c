/*
 * engine_wire_fuzz.c - bytes of the engine's socket that may be anything: the lines are the same however they were cut, and each is
 * a message that holds together, or a sentence.
 */
#include "fuzz.h"

#include "server/engine_wire.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_line(struct str line)
{
    struct wire_message m = {0};
    struct error err = {0};
    struct buf again;

    if (!wire_read(line, &m, &err)) {
        check(err.kind == ERR_CORRUPT && err.message[0] != '\0' && m.tree == NULL);
        return;
    }
    buf_init(&again, 1 << 24);
    switch (m.kind) {
    case WIRE_ASK:
        check(m.id > 0 && m.model.name != NULL && m.model.path != NULL && m.op <= ENGINE_SCORE);
        wire_put_ask(&again, m.id, m.op, m.stream, &m.model);
        break;
    case WIRE_CANCEL:
        check(m.id > 0);
        wire_put_cancel(&again, m.id);
        break;
    case WIRE_EVENT:
        check(m.id > 0 && json_is_object(m.event));
        (void)wire_is_last(m.event);
        check(wire_is_no_error(m.event, &err) || err.kind != ERR_NONE);
        wire_put_event(&again, m.id, m.event);
        break;
    case WIRE_FIGURES:
        check(m.figures.resident_bytes >= 0);
        wire_put_figures(&again, &m.figures);
        break;
    }
    check(again.len > 0 && again.ptr[again.len - 1] == '\n');
    buf_release(&again);
    wire_message_release(&m);
}

/* A hash of all whole lines. */
static uint64_t lines_of(struct str bytes, size_t piece, bool read)
{
    struct wire w;
    struct str line;
    uint64_t sum = 0;

    wire_init(&w, -1, 1 << 16);
    for (size_t at = 0; at < bytes.len; at += piece) {
        const size_t left = bytes.len - at;

        if (!wire_put(&w, (struct str){bytes.ptr + at, left < piece ? left : piece}))
            break;
        while (wire_line(&w, &line)) {
            sum = sum * 1099511628211u + str_hash(line);
            if (read)
                read_line(line);
        }
    }
    wire_release(&w);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct str bytes = {(const char *)data, size};

    if (size > 1 << 15)
        return 0;
    const uint64_t whole = lines_of(bytes, size + 1, true);
    check(lines_of(bytes, 1, false) == whole && lines_of(bytes, 7, false) == whole);
    return 0;
}
