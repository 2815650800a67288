/*
 * stored_rows_fuzz.c - rows of a store that somebody else has filled, as a backup's are: a call in the first line, and in each line behind
 * it "TABLE COLUMN ROW VALUE", what stands there in place of what the server wrote. Whatever is read back, there is an answer, and one
 * that failed says so.
 */
#include "fuzz.h"

#include "api_rig.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct str next_word(struct str *s, const char *by)
{
    const size_t end = str_find(*s, str_of(by), 0);
    const struct str word = {s->ptr, end};

    *s = str_from(*s, end < s->len ? end + 1 : end);
    return word;
}

/* "~" is null, "#12" a number, anything else a text. */
static bool value_of(struct str s, struct db_value *out)
{
    if (str_is(s, "~")) {
        *out = (struct db_value){.type = DB_NULL};
    } else if (s.len > 1 && s.ptr[0] == '#' && s.len < 24) {
        char text[24] = "";

        memcpy(text, s.ptr + 1, s.len - 1);
        *out = db_int(strtoll(text, NULL, 10));
    } else {
        *out = db_str(s);
    }
    return true;
}

static void set(struct str line)
{
    const struct str table = next_word(&line, " "), column = next_word(&line, " "),
                     row = next_word(&line, " ");
    struct db_value value;

    if (row.len == 1 && row.ptr[0] >= '0' && row.ptr[0] <= '9' && value_of(line, &value))
        (void)api_rig_set(table, column, row.ptr[0] - '0', value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = {(const char *)data, size};
    struct arena a = {0};
    struct api_answer answer;
    enum http_method method;
    struct str target;

    if (size > 1 << 14)
        return 0;
    struct str line = next_word(&in, "\n");
    if (!api_rig_line(line, &method, &target))
        return 0;
    api_rig_open();
    const struct str path = next_word(&target, " ");
    for (int n = 0; in.len > 0 && n < 8; n++)
        set(next_word(&in, "\n"));
    api_rig_call(method, path, target, &a, &answer);
    check(answer.status >= 200);
    api_rig_restore();
    arena_release(&a);
    return 0;
}
