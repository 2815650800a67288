#include "support/tls_server.h"
#include "support/support.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

bool tls_certificate_make(const char *dir)
{
    struct arena a = {0};
    const bool made = system(arena_printf(
                          &a,
                          "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=hone "
                          "-addext subjectAltName=IP:127.0.0.1 -keyout %s/key.pem -out %s/cert.pem "
                          ">/dev/null 2>&1",
                          dir, dir)) == 0;

    arena_release(&a);
    return made;
}

pid_t tls_server_start(const char *dir, const char *what, int *port)
{
    char line[256];
    int out[2];
    pid_t pid;

    assert_int_equal(pipe(out), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(out[1], STDOUT_FILENO);
        dup2(open("/dev/null", O_RDWR), STDERR_FILENO);
        if (chdir(dir) == 0)
            execlp("openssl", "openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", "cert.pem",
                   "-key", "key.pem", what, NULL);
        _exit(127);
    }
    close(out[1]);
    FILE *f = fdopen(out[0], "r");
    *port = 0;
    while (*port == 0 && fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "ACCEPT 127.0.0.1:%d", port) != 1)
            *port = 0;
    fclose(f);
    assert_true(*port > 0);
    return pid;
}

void tls_server_stop(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}
