/*
 * cmd_version.c - what was built in, and what is in force on this machine.
 */
#include "base/parallel.h"
#include "base/size.h"
#include "cli/commands.h"
#include "cli/grader_env.h"
#include "cli/output.h"
#include "cli/session.h"
#include "grade/grader.h"
#include "sample/machine.h"
#include "store/db.h"

#include <curl/curl.h>
#include <nettle/version.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <seccomp.h>
#include <stdio.h>
#include <sys/utsname.h>
#include <utf8proc.h>

struct library {
    const char *name;
    char version[64];
};

static size_t libraries(struct library *out, size_t max)
{
    const struct scmp_version *seccomp = seccomp_version();
    struct library *at = out;
    char pcre2[64] = "";

    if (max < 8)
        return 0;
    pcre2_config(PCRE2_CONFIG_VERSION, pcre2);
    *at = (struct library){.name = "jansson"};
    snprintf((at++)->version, sizeof at->version, "%s", jansson_version_str());
    *at = (struct library){.name = "pcre2"};
    snprintf((at++)->version, sizeof at->version, "%.*s", (int)strcspn(pcre2, " "), pcre2);
    *at = (struct library){.name = "utf8proc"};
    snprintf((at++)->version, sizeof at->version, "%s", utf8proc_version());
    *at = (struct library){.name = "nettle"};
    snprintf((at++)->version, sizeof at->version, "%d.%d", nettle_version_major(),
             nettle_version_minor());
    *at = (struct library){.name = "libseccomp"};
    snprintf((at++)->version, sizeof at->version, "%u.%u.%u", seccomp->major, seccomp->minor,
             seccomp->micro);
    *at = (struct library){.name = "libcurl"};
    snprintf((at++)->version, sizeof at->version, "%s",
             curl_version_info(CURLVERSION_NOW)->version);
    *at = (struct library){.name = "sqlite"};
    snprintf((at++)->version, sizeof at->version, "%s", db_sqlite_version());
    if (db_postgres_version() != NULL) { /* left out of the build where it is not found */
        *at = (struct library){.name = "libpq"};
        snprintf((at++)->version, sizeof at->version, "%s", db_postgres_version());
    }
    return (size_t)(at - out);
}

static json_t *as_json(struct cli *c, const char *sandbox, const char *machine)
{
    struct library lib[8];
    const size_t n = libraries(lib, COUNT_OF(lib));
    json_t *libs = json_object(), *kernels = json_array();
    struct buf list;

    buf_init(&list, 1 << 10);
    machine_list_kernels(&list);
    for (const char *at = list.ptr; at != NULL && *at != '\0';) {
        const size_t len = strcspn(at, ",");

        json_array_append_new(kernels, json_stringn(at, len));
        at += len + strspn(at + len, ", ");
    }
    buf_release(&list);
    for (size_t i = 0; i < n; i++)
        json_object_set_new(libs, lib[i].name, json_string(lib[i].version));
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:i, s:[s], s:s, s:o, s:s}", "version",
                     HONE_VERSION, "compiler", __VERSION__, "machine", machine, "kernels",
                     machine_kernels(), "kernels_available", kernels, "threads", parallel_threads(),
                     "devices", "cpu", "sandbox", sandbox, "libraries", libs, "home", c->home);
}

static bool run(struct cli *c, struct error *err)
{
    struct grade_options opt = grade_defaults();
    struct library lib[8];
    const size_t n = libraries(lib, COUNT_OF(lib));
    struct utsname host;
    char sandbox[512];
    struct error none = {0};
    struct buf list;

    if (!machine_setup(c, err))
        return false;
    opt.python = grader_env_python(c);
    opt.sandbox_tier = (int)option_int(c->options, OPT_SANDBOX);
    if (!grade_sandbox_describe(&opt, sandbox, sizeof sandbox, &none))
        snprintf(sandbox, sizeof sandbox, "none: %s", none.message);
    const char *machine = uname(&host) == 0 ? host.machine : "unknown";
    if (c->json)
        return out_json_new(as_json(c, sandbox, machine), err);
    buf_init(&list, 1 << 10);
    machine_list_kernels(&list);
    bool ok =
        out_printf(err,
                   "hone %s\n"
                   "  machine    %s, %d thread%s\n"
                   "  kernels    %s (this machine runs %s)\n"
                   "  devices    cpu\n"
                   "  sandbox    %s\n"
                   "  home       %s\n"
                   "  compiler   %s\n"
                   "  store      SQLite%s\n"
                   "  libraries ",
                   HONE_VERSION, machine, parallel_threads(), parallel_threads() == 1 ? "" : "s",
                   machine_kernels(), list.ptr, sandbox, c->home, __VERSION__,
                   db_postgres_version() != NULL ? ", PostgreSQL" : "; built without PostgreSQL");
    buf_release(&list);
    for (size_t i = 0; ok && i < n; i++)
        ok = out_printf(err, "%s %s %s", i > 0 ? "," : "", lib[i].name, lib[i].version);
    return ok && out_printf(err, "\n");
}

static const enum option_id ids[] = {OPT_THREADS, OPT_KERNELS, OPT_PYTHON, OPT_SANDBOX, OPT_HOME};

const struct command cmd_version = {
    .set = {.command = "version",
            .args = "",
            .summary = "what was built in, and what is in force on this machine",
            .details = "",
            .examples = "  hone version\n",
            .ids = ids,
            .n_ids = COUNT_OF(ids)},
    .run = run,
};
