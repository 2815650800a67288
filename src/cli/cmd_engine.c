/*
 * cmd_engine.c - the engine process of `hone serve`, which starts it and speaks with it over a socket (server/engine_client.h).
 *
 * For hone itself: people have nothing to say to it. It ends when the server closes the socket, or dies.
 */
#include "base/size.h"
#include "cli/commands.h"
#include "cli/session.h"
#include "server/engine_host.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#define SOCKET_FD 3

static bool run(struct cli *c, struct error *err)
{
    const struct engine_host_options opt = {
        .memory_bytes = option_int(c->options, OPT_MEMORY) << 20,
        .max_positions = (size_t)option_int(c->options, OPT_CONTEXT),
        .precision = option_text_if_given(c->options, OPT_PRECISION),
        .kv_cache = option_text_if_given(c->options, OPT_KV_CACHE),
    };
    int type = 0;
    socklen_t size = sizeof type;

    if (getsockopt(SOCKET_FD, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_STREAM)
        return misuse(c, err, "hone engine is started by hone serve, over a socket");
    /* the socket's end says the same, but not to one that is busy opening a model */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    return machine_setup(c, err) && engine_host_run(SOCKET_FD, &opt, err);
}

static const enum option_id ids[] = {OPT_THREADS, OPT_PRECISION, OPT_KV_CACHE, OPT_KERNELS,
                                     OPT_CONTEXT, OPT_MEMORY,    OPT_HOME};

const struct command cmd_engine = {
    .set = {.command = "engine",
            .args = "",
            .summary = "the process in which hone serve computes",
            .details = "",
            .examples = "",
            .ids = ids,
            .n_ids = COUNT_OF(ids)},
    .run = run,
    .hidden = true,
};
