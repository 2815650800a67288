/*
 * routes_driver.c - prints every route that the server has, one a line: METHOD PATH SCOPE.
 */
#include "server/api.h"

#include <stdio.h>

static const char *method_of(enum http_method m)
{
    switch (m) {
    case HTTP_GET:
        return "GET";
    case HTTP_POST:
        return "POST";
    case HTTP_DELETE:
        return "DELETE";
    case HTTP_PUT:
        return "PUT";
    case HTTP_PATCH:
        return "PATCH";
    case HTTP_HEAD:
        return "HEAD";
    default:
        return "?";
    }
}

int main(void)
{
    for (size_t t = 0; t < n_api_tables; t++)
        for (size_t i = 0; i < api_tables[t]->n; i++) {
            const struct api_route *r = &api_tables[t]->routes[i];

            printf("%s %s %s\n", method_of(r->method), r->path,
                   r->scope == 0              ? "open"
                   : (r->scope & SCOPE_USE)   ? "use"
                   : (r->scope & SCOPE_TRAIN) ? "train"
                                              : "admin");
        }
    return 0;
}
