/*
 * response_input_fuzz.c - any JSON as a request to /v1/responses: refused by a sentence, or items with ids that become a chat request.
 */
#include "fuzz.h"

#include "server/response_input.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static json_t *find(void *ctx, struct str id)
{
    (void)id;
    return json_copy(ctx); /* a reference to something that was said before */
}

static void check_items(const json_t *items)
{
    check(json_is_array(items));
    for (size_t i = 0; i < json_array_size(items); i++)
        check(json_is_string(json_object_get(json_array_get(items, i), "id")) &&
              json_is_string(json_object_get(json_array_get(items, i), "type")));
}

static void check_messages(const json_t *messages)
{
    check(json_is_array(messages));
    for (size_t i = 0; i < json_array_size(messages); i++)
        check(json_is_string(json_object_get(json_array_get(messages, i), "role")));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    json_t *body = NULL, *items = NULL, *chat = NULL, *before, *messages;
    struct error err = {0};

    if (n > 4096 || !json_parse((struct str){(const char *)bytes, n}, "body", &body, &err))
        return 0;
    before = json_pack("{s:s, s:s, s:s, s:[{s:s, s:s}]}", "type", "message", "id", "msg_1", "role",
                       "user", "content", "type", "input_text", "text", "before");
    messages = json_array();
    if (response_items(body, "resp", find, before, &items, &err)) {
        check_items(items);
        response_messages(items, messages);
        check_messages(messages);
        if (response_chat_body(body, messages, &chat, &err))
            check_messages(json_object_get(chat, "messages"));
        else
            check(err.message[0] != '\0');
    } else {
        json_decref(messages);
        check(err.message[0] != '\0');
    }
    json_decref(chat);
    json_decref(items);
    json_decref(before);
    json_decref(body);
    return 0;
}
