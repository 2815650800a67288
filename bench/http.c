/*
 * http.c - how many requests the HTTP server answers with a handler that does nothing: 16 clients, a connection each, one
 * request after another. The clients are threads of this process and cost about as much as the server.
 *
 *     build/release/bench_http [SECONDS] [CLIENTS]
 */
#include "server/http.h"
#include "base/clock.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_TIMES 2000000

static int port;
static double until;
static float *times; /* [MAX_TIMES] milliseconds */
static atomic_size_t n_times;

static bool begin(void *ctx, struct http_exchange *x, struct http_plan *plan)
{
    (void)ctx;
    (void)x;
    (void)plan;
    return true;
}

static void handle(void *ctx, struct http_exchange *x)
{
    (void)ctx;
    http_answer(x, 200, "application/json", STR("{\"ok\":true}"), NULL, 0);
}

static void *client(void *ctx)
{
    static const char ask[] = "GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n";
    const struct sockaddr_in to = {.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    char reply[4096];

    (void)ctx;
    if (connect(fd, (const struct sockaddr *)&to, sizeof to) != 0)
        abort();
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    for (double start; (start = clock_seconds()) < until;) {
        size_t n = 0;

        if (send(fd, ask, sizeof ask - 1, 0) < 0)
            abort();
        do { /* the body's last byte is the reply's last */
            const ssize_t got = recv(fd, reply + n, sizeof reply - n, 0);
            if (got <= 0)
                abort();
            n += (size_t)got;
        } while (reply[n - 1] != '}');
        const size_t at = atomic_fetch_add(&n_times, 1);
        if (at < MAX_TIMES)
            times[at] = (float)((clock_seconds() - start) * 1e3);
    }
    close(fd);
    return NULL;
}

static int by_size(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    const double seconds = argc > 1 ? atof(argv[1]) : 3;
    const int n = argc > 2 ? atoi(argv[2]) : 16;
    const struct http_options opt = {.begin = begin, .handle = handle};
    struct http_server *s = NULL;
    struct error err = {0};
    pthread_t threads[1024];

    times = calloc(MAX_TIMES, sizeof *times);
    if (times == NULL || n < 1 || n > 1024 || !http_server_open(&opt, &s, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    port = http_server_port(s);
    until = clock_seconds() + seconds;
    for (int i = 0; i < n; i++)
        pthread_create(&threads[i], NULL, client, NULL);
    for (int i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    const size_t total = atomic_load(&n_times), kept = total < MAX_TIMES ? total : MAX_TIMES;
    qsort(times, kept, sizeof *times, by_size);
    printf("http: %d connections, %.0f requests/s, p50 %.2f ms, p99 %.2f ms\n", n,
           (double)total / seconds, (double)times[kept / 2], (double)times[kept * 99 / 100]);
    http_server_close(s);
    free(times);
    return 0;
}
