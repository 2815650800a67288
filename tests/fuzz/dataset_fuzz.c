/*
 * dataset_fuzz.c - a dataset that may be anything: every row that is let through has what the header promises.
 */
#include "fuzz.h"

#include "text/dataset.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct looked {
    size_t n_good, n_bad;
    char first[512];
};

static bool look(void *ctx, const struct dataset_line *line)
{
    struct looked *k = ctx;

    check((line->row == NULL) == (line->why->kind != ERR_NONE));
    if (line->row != NULL)
        check(json_is_object(line->row->item) && line->row->line == line->line);
    else if (k->n_bad++ == 0)
        snprintf(k->first, sizeof k->first, "%s", line->why->message);
    k->n_good += line->row != NULL;
    return true;
}

/* What is looked at is what would be opened. */
static void look_at(const char *path, const struct dataset *d, const struct error *why)
{
    struct looked k = {0};
    struct error err = {0};

    (void)dataset_guess(path);
    if (!dataset_look(path, path, DATASET_PROMPTS, look, &k, &err))
        check(strcmp(err.message, why->message) == 0);
    else if (d->n_rows > 0)
        check(k.n_bad == 0 && k.n_good == d->n_rows);
    else
        check(k.n_bad + k.n_good == 0 || strcmp(k.first, why->message) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const int fd = memfd_create("dataset", 0);
    char path[64];
    struct dataset d = {0};
    struct error err = {0};

    check(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (dataset_open(path, &d, &err)) {
        check(d.n_rows > 0 && d.size_bytes == size);
        for (size_t i = 0; i < d.n_rows; i++) {
            const size_t n = json_array_size(d.rows[i].messages);

            check(n > 0 && d.rows[i].line > (i > 0 ? d.rows[i - 1].line : 0));
            check(
                str_is(json_str(json_object_get(json_array_get(d.rows[i].messages, n - 1), "role")),
                       "user"));
        }
    } else {
        check(err.kind != ERR_NONE && err.message[0] != '\0' && d.rows == NULL);
    }
    look_at(path, &d, &err);
    dataset_close(&d);
    close(fd);
    return 0;
}
