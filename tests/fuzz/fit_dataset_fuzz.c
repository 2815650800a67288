/*
 * fit_dataset_fuzz.c - a file of what to answer that may be anything: the first byte picks supervised or preference, and
 * every row that is let through has what the header promises.
 */
#include "fuzz.h"

#include "text/dataset.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_of(const json_t *message, const char *role)
{
    return str_is(json_str(json_object_get(message, "role")), role);
}

static void check_conversation(const struct dataset_row *row)
{
    const size_t n = json_array_size(row->messages);

    if (row->messages == NULL) {
        check(json_is_string(row->prompt) && json_is_string(row->completion));
        return;
    }
    check(n > 0 && is_of(json_array_get(row->messages, n - 1), "assistant"));
    for (size_t i = 0; i < n; i++) {
        const json_t *m = json_array_get(row->messages, i),
                     *calls = json_object_get(m, "tool_calls");

        check(!is_of(m, "function"));
        for (size_t k = 0; is_of(m, "assistant") && k < json_array_size(calls); k++)
            check(json_is_object(json_object_get(
                json_object_get(json_array_get(calls, k), "function"), "arguments")));
    }
}

static void check_pair(const struct dataset_row *row)
{
    const size_t n = json_array_size(row->messages);

    check(n > 0 && !is_of(json_array_get(row->messages, n - 1), "assistant"));
    check(is_of(row->preferred, "assistant") && is_of(row->rejected, "assistant"));
    check(json_object_get(row->preferred, "content") != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const bool pairs = size > 0 && data[0] == 'P';
    const int fd = memfd_create("dataset", 0);
    char path[64];
    struct dataset d = {0};
    struct error err = {0};

    if (size > 0) {
        data++;
        size--;
    }
    check(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (dataset_open_as(path, pairs ? DATASET_PREFERENCE : DATASET_SUPERVISED, &d, &err)) {
        check(d.n_rows > 0 && d.size_bytes == size);
        for (size_t i = 0; i < d.n_rows; i++) {
            if (pairs)
                check_pair(&d.rows[i]);
            else
                check_conversation(&d.rows[i]);
            check(d.rows[i].tools == NULL || json_is_array(d.rows[i].tools));
        }
    } else {
        check(err.kind != ERR_NONE && err.message[0] != '\0' && d.rows == NULL);
    }
    dataset_close(&d);
    close(fd);
    return 0;
}
