/*
 * chat_template_fuzz.c - a chat template that may be anything, and behind its first zero byte its variables as JSON.
 *
 * Whatever opens has to render or say why not; rendering again gives the same, what fails leaves the output alone,
 * text stays UTF-8, and spans lie in the output.
 */
#include "fuzz.h"

#include "base/utf8.h"
#include "text/chat_template_internal.h"

#include <stdint.h>
#include <stdlib.h>

#define MAX_STEPS 100000
#define MAX_SPANS 8
#define BEFORE "what was there"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char plain_vars[] =
    "{\"messages\": [{\"role\": \"system\", \"content\": \"Be \\u00e9.\"}, {\"role\": \"user\","
    " \"content\": [{\"type\": \"text\", \"text\": \" a<b \"}]}, {\"role\": \"assistant\","
    " \"content\": null, \"tool_calls\": [{\"function\": {\"name\": \"f\", \"arguments\": {\"n\": 1.5}}}]}],"
    " \"tools\": [{\"type\": \"function\"}], \"add_generation_prompt\": true, \"x\": 7, \"s\": \"abc\"}";

/* Appends to out; false where it fails. */
static bool render(const struct chat_template *t, const json_t *vars, struct buf *out)
{
    struct generation_span ptr[MAX_SPANS];
    struct chat_template_spans spans = {.ptr = ptr, .max = MAX_SPANS};
    struct error err = {0};

    buf_init(out, 16 << 20);
    buf_text(out, BEFORE);
    if (!chat_template_render_within(t, vars, MAX_STEPS, out, &spans, &err)) {
        check(err.kind != ERR_NONE && err.message[0] != '\0' && str_is(buf_view(out), BEFORE));
        return false;
    }
    check(str_starts(buf_view(out), STR(BEFORE)) && utf8_valid(buf_view(out)) == out->len);
    for (size_t i = 0; i < spans.n && i < MAX_SPANS; i++)
        check(ptr[i].from >= sizeof BEFORE - 1 && ptr[i].from <= ptr[i].to &&
              ptr[i].to <= out->len);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct str all = {(const char *)data, size};
    const size_t end = str_find(all, STR("\0"), 0);
    const struct str rest = end < size ? str_from(all, end + 1) : STR("");
    struct chat_template *t = NULL;
    struct error err = {0};
    struct buf first, again;
    json_t *vars = NULL;

    if (!chat_template_open((struct str){all.ptr, end}, &t, &err)) {
        check(t == NULL && err.kind != ERR_NONE && err.message[0] != '\0');
        return 0;
    }
    if (json_parse(rest, "vars", &vars, &err) || json_parse(STR(plain_vars), "vars", &vars, &err)) {
        const bool ok = render(t, vars, &first);

        const bool timeless = str_find(all, STR("strftime_now"), 0) == size;

        check(render(t, vars, &again) == ok || !timeless);
        check(str_eq(buf_view(&first), buf_view(&again)) || !timeless);
        buf_release(&first);
        buf_release(&again);
    }
    json_decref(vars);
    chat_template_close(t);
    return 0;
}
