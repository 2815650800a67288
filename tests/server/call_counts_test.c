/*
 * call_counts_test.c - calls are counted by route and status, and told in the text format.
 */
#include "server/call_counts.h"
#include "support/support.h"

#include <stdio.h>
#include <string.h>

static const struct api_route *route_of(const char *path)
{
    for (size_t t = 0; t < n_api_tables; t++)
        for (size_t i = 0; i < api_tables[t]->n; i++)
            if (strcmp(api_tables[t]->routes[i].path, path) == 0 &&
                api_tables[t]->routes[i].method == HTTP_GET)
                return &api_tables[t]->routes[i];
    return NULL;
}

static char *told(struct call_counts *c, struct arena *a)
{
    struct buf b;

    buf_init(&b, 1 << 20);
    call_counts_write(c, &b);
    char *text = arena_text(a, buf_view(&b));
    buf_release(&b);
    return text;
}

static void calls_are_counted_by_route_and_status(void **state)
{
    struct call_counts *c = call_counts_open();
    struct arena a = {0};

    (void)state;
    assert_null(strstr(told(c, &a), "{"));
    for (int i = 0; i < 3; i++)
        call_counts_add(c, route_of("/v1/models/{}"), i < 2 ? 200 : 404, 0.02 * i);
    call_counts_add(c, NULL, 404, 100);
    const char *text = told(c, &a);
#define MODELS "{method=\"GET\",route=\"/v1/models/{}\","
    assert_non_null(strstr(text, "\nhone_http_requests_total" MODELS "status=\"200\"} 2\n"));
    assert_non_null(strstr(text, "\nhone_http_requests_total" MODELS "status=\"404\"} 1\n"));
    assert_non_null(strstr(text, "_bucket" MODELS "le=\"0.001\"} 1\n"));
    assert_non_null(strstr(text, "_bucket" MODELS "le=\"0.025\"} 2\n"));
    assert_non_null(strstr(text, "_bucket" MODELS "le=\"0.05\"} 3\n"));
    assert_non_null(strstr(text, "_bucket" MODELS "le=\"+Inf\"} 3\n"));
    assert_non_null(strstr(text, "_sum{method=\"GET\",route=\"/v1/models/{}\"} 0.060000\n"));
    assert_non_null(strstr(text, "_bucket{method=\"\",route=\"\",le=\"60\"} 0\n"));
    assert_non_null(strstr(text, "_count{method=\"\",route=\"\"} 1\n"));
    arena_release(&a);
    call_counts_close(c);
}

static void more_statuses_than_there_is_room_for_are_one(void **state)
{
    struct call_counts *c = call_counts_open();
    struct arena a = {0};

    (void)state;
    for (int i = 0; i < 40; i++)
        call_counts_add(c, route_of("/v1/models"), 400 + i, 0);
    const char *text = told(c, &a);
    assert_non_null(strstr(text, "route=\"/v1/models\",status=\"400\"} 1\n"));
    assert_non_null(strstr(text, "route=\"/v1/models\",status=\"0\"} 29\n"));
    arena_release(&a);
    call_counts_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_are_counted_by_route_and_status),
        cmocka_unit_test(more_statuses_than_there_is_room_for_are_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
