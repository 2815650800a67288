/*
 * chat_reply_fuzz.c - any bytes as the body of a chat completion, and as that of an error, in which no secret is left.
 */
#include "grade/chat_reply.h"
#include "grade/template.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct str of[] = {{"sk-1", 4}};
    const struct chat_secrets secrets = {1, of};
    const struct str body = {(const char *)data, size};
    struct arena a = {0};
    struct grade_reply reply = {0};
    struct error err = {0};

    if (chat_reply_parse(body, "asked", secrets, &a, &reply, &err)) {
        if (memchr(reply.model, '\0', sizeof reply.model) == NULL || reply.text.ptr == NULL ||
            grade_utf8(&a, reply.text).len != reply.text.len)
            abort();
    } else if (err.message[0] == '\0' || strstr(err.message, "sk-1") != NULL) {
        abort();
    }
    const struct chat_error told = chat_error_of(body, secrets, &a);
    if (told.message.len > 200 || str_find(told.message, of[0], 0) < told.message.len)
        abort();
    arena_release(&a);
    return 0;
}
