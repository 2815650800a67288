/*
 * eval_source_fuzz.c - {"schema", "item", "messages"}: a row held against any schema, and any template filled in from it.
 */
#include "fuzz.h"

#include "server/eval_messages.h"
#include "server/eval_schema.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void fill_in(const json_t *input, const json_t *item, bool responses)
{
    struct arena a = {0};
    struct error err = {0};
    json_t *messages = NULL;

    if (input != NULL && !eval_messages_check(input, &err)) {
        check(err.message[0] != '\0');
    } else if (eval_messages(input, responses, item, &a, &messages, &err)) {
        json_t *shown = eval_messages_shown(messages);

        check(json_is_array(messages));
        for (size_t i = 0; i < json_array_size(shown); i++)
            check(json_is_string(json_object_get(json_array_get(shown, i), "content")));
        json_decref(shown);
        json_decref(messages);
    } else {
        check(err.message[0] != '\0');
    }
    arena_release(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct error err = {0};
    json_t *body = NULL;

    if (n > 4096 || !json_parse((struct str){(const char *)bytes, n}, "body", &body, &err))
        return 0;
    const json_t *schema = json_object_get(body, "schema"), *item = json_object_get(body, "item");

    if (!eval_schema_is_sane(schema, "item_schema", &err))
        check(err.message[0] != '\0' && err.param[0] != '\0');
    else if (item != NULL && !eval_schema_check(schema, item, "item", &err))
        check(err.message[0] != '\0');
    fill_in(json_object_get(body, "messages"), item, false);
    fill_in(json_object_get(body, "messages"), item, true);
    json_decref(body);
    return 0;
}
