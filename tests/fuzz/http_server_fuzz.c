/*
 * http_server_fuzz.c - any bytes on a connection to the server: what its handlers see is sound, each exchange ends once, and whatever is
 * said to the client begins as an answer does. The first byte says in pieces of how many bytes it is sent (0: at once).
 */
#include "fuzz.h"

#include "base/file.h"
#include "base/utf8.h"
#include "server/http.h"
#include "server/http_query.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MOST_BODY 1024

static struct http_server *server;
static atomic_size_t n_begun, n_handled, n_done;

static void check_head(const struct http_exchange *x)
{
    size_t n_hosts = 0;

    check(http_is_token(x->method_name));
    check(x->path.len > 0 && (x->path.ptr[0] == '/' || str_is(x->path, "*")));
    for (size_t i = 0; i < x->n_headers; i++) {
        const struct str name = x->headers[i].name, value = x->headers[i].value;

        check(http_is_token(name));
        n_hosts += name.len == 4 && strncasecmp(name.ptr, "host", 4) == 0;
        for (size_t k = 0; k < value.len; k++)
            check(((unsigned char)value.ptr[k] >= ' ' || value.ptr[k] == '\t') &&
                  value.ptr[k] != 0x7f);
    }
    check(n_hosts <= 1);
    for (size_t i = 0; i < x->n_query; i++)
        check(utf8_valid(x->query[i].name) == x->query[i].name.len &&
              utf8_valid(x->query[i].value) == x->query[i].value.len);
}

static const char *incoming(void *ctx, struct http_exchange *x, struct error *err)
{
    (void)ctx;
    (void)err;
    return arena_printf(&x->arena, "%s/in-%p", fuzz_folder, (void *)x);
}

/* "/f..." takes a form, "/b..." a body, anything else none. */
static bool begin(void *ctx, struct http_exchange *x, struct http_plan *plan)
{
    const char kind = x->path.len > 1 ? x->path.ptr[1] : ' ';

    (void)ctx;
    check_head(x);
    atomic_fetch_add(&n_begun, 1);
    *plan = (struct http_plan){.body = kind == 'f'   ? HTTP_BODY_MULTIPART
                                       : kind == 'b' ? HTTP_BODY_MEMORY
                                                     : HTTP_BODY_NONE,
                               .max_bytes = MOST_BODY,
                               .incoming = incoming};
    return true;
}

static void handle(void *ctx, struct http_exchange *x)
{
    const bool form = x->path.len > 1 && x->path.ptr[1] == 'f';

    (void)ctx;
    check_head(x);
    atomic_fetch_add(&n_handled, 1);
    check(x->body.len <= MOST_BODY && (form || x->n_parts == 0));
    for (size_t i = 0; i < x->n_parts; i++)
        check(x->parts[i].bytes <= MOST_BODY &&
              (x->parts[i].path == NULL || file_exists(x->parts[i].path)));
    http_answer(x, 200, "text/plain", x->body, NULL, 0);
}

static void done(void *ctx, const struct http_exchange *x, int status, uint64_t bytes)
{
    (void)ctx;
    (void)bytes;
    check(status == 0 || (status >= 200 && status <= 599));
    for (size_t i = 0; i < x->n_parts; i++)
        check(x->parts[i].path == NULL || !file_exists(x->parts[i].path));
    atomic_fetch_add(&n_done, 1);
}

static void close_server(void)
{
    http_server_close(server);
}

static void open_server(void)
{
    const struct http_options opt = {
        .n_handlers = 2, .begin = begin, .handle = handle, .done = done};
    struct error err = {0};

    if (server != NULL)
        return;
    (void)fuzz_dir(); /* made before there are threads, and gone behind them */
    check(http_server_open(&opt, &server, &err));
    atexit(close_server);
}

static int connected(void)
{
    const struct sockaddr_in to = {.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)http_server_port(server)),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct linger at_once = {.l_onoff = 1};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    check(fd >= 0 && connect(fd, (const struct sockaddr *)&to, sizeof to) == 0);
    check(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) == 0 &&
          setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char answer[4096];
    size_t n = 0;
    ssize_t got;

    if (size < 1 || size > 4096)
        return 0;
    open_server();
    const struct str in = {(const char *)data + 1, size - 1};
    const size_t piece = data[0] % 64 == 0 ? size : 16 * (size_t)(data[0] % 64);
    const int fd = connected();
    struct pollfd can_read = {.fd = fd, .events = POLLIN};
    for (size_t at = 0; at < in.len; at += piece)
        if (send(fd, in.ptr + at, in.len - at < piece ? in.len - at : piece, MSG_NOSIGNAL) < 0)
            break; /* refused, and closed */
    /* a request that is not whole waits for its rest: this client does not, and leaves */
    while (poll(&can_read, 1, n == 0 ? 5 : 1) == 1 &&
           (got = recv(fd, answer + n, sizeof answer - n, 0)) > 0)
        n = n + (size_t)got < sizeof answer ? n + (size_t)got : sizeof answer - 1;
    check(n < 7 || memcmp(answer, "HTTP/1.", 7) == 0);
    close(fd);
    for (int i = 0; i < 8000 && http_server_counts(server).connections > 0; i++)
        usleep(i < 100 ? 50 : 1000); /* what is said of it belongs to this input */
    check(http_server_counts(server).connections == 0);
    check(atomic_load(&n_handled) <= atomic_load(&n_begun));
    return 0;
}
