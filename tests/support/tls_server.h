/*
 * tls_server.h - an HTTPS server on the loopback: the openssl program, with a certificate that nobody else has.
 */
#ifndef HONE_TESTS_TLS_SERVER_H
#define HONE_TESTS_TLS_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

/* cert.pem and key.pem in dir, for 127.0.0.1; false where there is no openssl program. */
bool tls_certificate_make(const char *dir);
/* Starts it on a free port; what: "-www", a page about the connection, or "-HTTP", replies that lie in dir. Fails the test. */
pid_t tls_server_start(const char *dir, const char *what, int *port);
void tls_server_stop(pid_t pid);
#endif
