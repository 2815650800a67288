/*
 * http_reply_fuzz.c - any bytes as what a remote server answers with ('r'; the server is a thread of this process, and
 * says what stands behind a byte 0x1E to a second request), or as an address ('u') or a
 * header ('h') that somebody names: a reply within its bounds or a sentence, and nothing is told of an address but its host and port.
 */
#include "fuzz.h"

#include "base/clock.h"
#include "base/http.h"

#include <arpa/inet.h>
#include <math.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MOST_BYTES 4096

static int listener = -1;
static char address[64];
static struct http *client;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards bytes, which lasts a call */
static struct str bytes;

/* Reads up to the request's end, says its bytes, and hangs up. */
static void *serve(void *ctx)
{
    char request[2048];

    (void)ctx;
    for (;;) {
        const int fd = accept(listener, NULL, NULL);
        size_t n = 0;
        ssize_t got = 1;

        while (fd >= 0 && got > 0 && n < sizeof request - 1) {
            got = read(fd, request + n, sizeof request - 1 - n);
            n += got > 0 ? (size_t)got : 0;
            request[n] = '\0';
            if (strstr(request, "\r\n\r\n") != NULL)
                break;
        }
        pthread_mutex_lock(&lock);
        if (fd >= 0 && send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL) < 0)
            got = 0; /* the client has left */
        pthread_mutex_unlock(&lock);
        if (fd >= 0) {
            shutdown(fd, SHUT_WR);
            while (read(fd, request, sizeof request) > 0) /* so that what was said is not lost */
                continue;
            close(fd);
        }
    }
    return NULL;
}

static void open_server(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    struct error err = {0};
    pthread_t thread;

    if (client != NULL)
        return;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check(listener >= 0 && bind(listener, (struct sockaddr *)&at, n) == 0 &&
          listen(listener, 16) == 0 && getsockname(listener, (struct sockaddr *)&at, &n) == 0);
    snprintf(address, sizeof address, "http://127.0.0.1:%d/v1/secret", ntohs(at.sin_port));
    check(setenv("no_proxy", "127.0.0.1", 1) == 0);
    check(http_open(&client, &err));
    check(pthread_create(&thread, NULL, serve, NULL) == 0);
    pthread_detach(thread);
}

static bool is_plain(const char *text)
{
    for (; *text != '\0'; text++)
        if (*text < ' ' || *text >= 0x7f)
            return false;
    return true;
}

static void reply(struct str said)
{
    const struct http_header key = {"authorization", "Bearer geheim"};
    const struct http_request rq = {.method = "POST",
                                    .url = address,
                                    .n_headers = 1,
                                    .headers = &key,
                                    .body = STR("{}"),
                                    .max_reply_bytes = 512,
                                    .deadline = clock_seconds() + 0.5};
    struct arena a = {0};
    struct error err = {0};
    struct http_reply r = {0};

    open_server();
    pthread_mutex_lock(&lock);
    bytes = said;
    pthread_mutex_unlock(&lock);
    if (http_send(client, &rq, &a, &r, &err)) {
        check(r.status >= 100 && r.status <= 999 && r.body.len <= rq.max_reply_bytes &&
              r.body.ptr[r.body.len] == '\0');
        check(is_plain(r.content_type) && is_plain(r.location));
        check(isfinite(r.retry_after_s) && (r.retry_after_s >= 0 || r.retry_after_s == -1));
        check(r.should_retry >= -1 && r.should_retry <= 1);
        (void)http_may_pass(&r);
    } else {
        check(err.kind != ERR_NONE && err.message[0] != '\0');
        check(strstr(err.message, "secret") == NULL && strstr(err.message, "geheim") == NULL);
    }
    arena_release(&a);
    pthread_mutex_lock(&lock); /* the input's bytes end with this call */
    bytes = (struct str){0};
    pthread_mutex_unlock(&lock);
}

static void replies(struct str in)
{
    const size_t end = str_find(in, STR("\x1e"), 0);

    reply((struct str){in.ptr, end});
    if (end < in.len)
        reply(str_from(in, end + 1));
}

static void address_of(struct str in)
{
    struct arena a = {0};
    struct error err = {0};
    const char *url = arena_text(&a, in);

    if (!http_check_url(url, "url", &err))
        check(err.message[0] != '\0');
    const struct http_place place = http_place_of(url);
    check(strlen(place.text) < sizeof place.text);
    arena_release(&a);
}

static void header_of(struct str in)
{
    const size_t colon = str_find(in, STR(":"), 0);
    struct arena a = {0};
    struct error err = {0};
    const char *name = arena_text(&a, (struct str){in.ptr, colon}),
               *value = arena_text(&a, str_from(in, colon < in.len ? colon + 1 : colon));

    if (http_check_header(name, value, "headers", &err))
        check(name[0] != '\0' && strpbrk(name, " :\r\n") == NULL && strpbrk(value, "\r\n") == NULL);
    else
        check(err.message[0] != '\0' && (strlen(value) < 40 || strstr(err.message, value) == NULL));
    arena_release(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > MOST_BYTES)
        return 0;
    const struct str rest = {(const char *)data + 1, size - 1};

    switch (data[0]) {
    case 'r':
        replies(rest);
        break;
    case 'u':
        address_of(rest);
        break;
    case 'h':
        header_of(rest);
        break;
    }
    return 0;
}
