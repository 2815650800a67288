/*
 * job_request_fuzz.c - any bytes as the body of a job: refused, or read and shown again.
 */
#include "server/job_request.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct job_rules rules = {.request_addresses = n > 0 && (bytes[n - 1] & 1) != 0};
    struct job_request r;
    struct arena a = {0};
    struct error err = {0};
    json_t *body = NULL;

    if (n > 4096 || !json_parse((struct str){(const char *)bytes, n}, "body", &body, &err))
        return 0;
    if (job_request_read(body, &rules, &a, &r, &err)) {
        json_t *shown = job_method_shown(body, r.method, NULL);

        if (!json_is_object(json_object_get(shown, r.method)))
            abort();
        json_decref(shown);
        for (const char *s = r.suffix; s != NULL && *s != '\0'; s++)
            if (*s == ':' || *s == '/')
                abort();
    } else if (err.message[0] == '\0') {
        abort();
    }
    json_decref(body);
    arena_release(&a);
    return 0;
}
