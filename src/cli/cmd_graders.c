/*
 * cmd_graders.c - what Python graders have on this machine: packages, isolation, speed.
 */
#include "base/clock.h"
#include "base/parallel.h"
#include "base/size.h"
#include "cli/commands.h"
#include "cli/grader_env.h"
#include "cli/output.h"
#include "grade/grade_queue.h"
#include "grade/sandbox.h"

#define N_CALLS 1000 /* that are measured */

/* ---- install ---- */

static bool install(struct cli *c, struct error *err)
{
    struct grader_env_result r = {0};

    if (!grader_env_install(c, option_text(c->options, OPT_ONLY), &r, err))
        return false;
    if (c->json)
        return out_json_new(json_pack("{s:s, s:I, s:s*}", "python", r.python, "packages",
                                      (json_int_t)r.n_packages, "missing", r.missing),
                            err);
    return out_printf(err, "%zu packages are there for Python graders, which run with %s\n",
                      r.n_packages, r.python) &&
           (r.missing == NULL ||
            out_printf(err,
                       "%s is not: there is no ready-made build of it, and building it needs a C "
                       "compiler and Python's headers (on Debian: apt install build-essential "
                       "python3-dev)\n",
                       r.missing)) &&
           out_printf(err,
                      "Corpora of nltk (punkt, stopwords, wordnet, omw-1.4, names) are not "
                      "downloaded; put them into %s/graders/nltk_data, where graders find them.\n",
                      c->home);
}

/* ---- doctor: isolation ---- */

struct tier {
    bool holds;
    char text[sizeof((struct error *)NULL)->message]; /* what it is, or why it does not hold */
};

static struct grade_options grade_options_of(struct cli *c)
{
    struct grade_options opt = grade_defaults();

    opt.timeout_s = option_real(c->options, OPT_GRADER_TIMEOUT);
    opt.memory_bytes = (size_t)option_int(c->options, OPT_GRADER_MEMORY) << 20;
    opt.n_workers = (int)option_int(c->options, OPT_GRADER_WORKERS);
    opt.python = grader_env_python(c);
    opt.cache_bytes = 0;
    return opt;
}

/* Attacks each tier; returns the strongest that holds, or 0. */
static int try_tiers(struct cli *c, struct tier tiers[SANDBOX_N_TIERS])
{
    struct grade_options opt = grade_options_of(c);
    int best = 0;

    for (int i = 0; i < SANDBOX_N_TIERS; i++) {
        struct error err = {0};

        opt.sandbox_tier = i + 1;
        tiers[i].holds = grade_sandbox_describe(&opt, tiers[i].text, sizeof tiers[i].text, &err);
        if (!tiers[i].holds)
            snprintf(tiers[i].text, sizeof tiers[i].text, "%s", err.message);
        best = best == 0 && tiers[i].holds ? i + 1 : best;
    }
    return best;
}

/* ---- doctor: packages ---- */

/*
 * A grader that imports each package while it is loaded, and prints of each a line: name, version, and if it does not
 * work why. It goes through the sandbox as any grader does, so what it says is what graders will meet.
 */
static const char *look_source(struct arena *a)
{
    size_t n;
    const struct grader_package *all = grader_env_packages(a, &n);
    struct buf b;

    buf_init(&b, 1 << 16);
    buf_text(&b, "import importlib, importlib.metadata, sys\n"
                 "found = ['python\\t%d.%d.%d\\t' % sys.version_info[:3]]\n"
                 "def look(name, module):\n"
                 "    version = why = ''\n"
                 "    try:\n"
                 "        version = importlib.metadata.version(name)\n"
                 "        importlib.import_module(module)\n"
                 "    except importlib.metadata.PackageNotFoundError:\n"
                 "        why = 'not installed'\n"
                 "    except BaseException as e:\n"
                 "        why = ('%s: %s' % (type(e).__name__, e)).split('\\n')[0][:80]\n"
                 "    found.append('%s\\t%s\\t%s' % (name, version, why))\n");
    for (size_t i = 0; i < n; i++)
        buf_printf(&b, "look('%s', '%s')\n", all[i].name, all[i].module);
    buf_text(&b, "def grade(sample, item):\n"
                 "    print('\\n'.join(found))\n"
                 "    return 1.0\n");
    const char *out = arena_text(a, buf_view(&b));
    buf_release(&b);
    return out;
}

static bool open_source(struct cli *c, const char *source, struct grader **out, struct error *err)
{
    const struct grade_options opt = grade_options_of(c);
    json_t *spec =
        json_pack("{s:s, s:s, s:s}", "type", "python", "name", "doctor", "source", source);
    const bool ok = grader_open(spec, &opt, out, err);

    json_decref(spec);
    return ok;
}

/* [{"name", "version" or null, "problem" or null}], Python itself first. */
static bool look(struct cli *c, json_t **out, struct error *err)
{
    char printed[GRADE_PRINTED_BYTES];
    const struct grade_sample sample = {
        .output_text = STR(""), .printed = printed, .printed_size = sizeof printed};
    struct grade_result r;
    struct grader *g = NULL;

    if (!open_source(c, look_source(c->arena), &g, err))
        return false;
    grader_run(g, NULL, &sample, &r);
    grader_close(g);
    if (r.flags != 0)
        return fail(err, ERR_UNSUPPORTED, "looking for the packages: %.300s", r.details);
    *out = json_array();
    const struct str text = str_of(printed);
    for (size_t at = 0; at < text.len;) {
        const size_t end = str_find(text, STR("\n"), at), a = str_find(text, STR("\t"), at);
        const size_t b = str_find(text, STR("\t"), a + 1);

        if (a >= end || b >= end)
            break;
        json_array_append_new(
            *out,
            json_pack("{s:s%, s:o, s:o}", "name", text.ptr + at, a - at, "version",
                      b > a + 1 ? json_stringn(text.ptr + a + 1, b - a - 1) : json_null(),
                      "problem",
                      end > b + 1 ? json_stringn(text.ptr + b + 1, end - b - 1) : json_null()));
        at = end + 1;
    }
    return true;
}

/* ---- doctor: speed ---- */

struct speed {
    double start_s, calls_per_s;
};

static bool measure(struct cli *c, struct speed *out, struct error *err)
{
    static struct grade_result results[N_CALLS];
    const struct grade_sample sample = {.output_text = STR("a")};
    struct grade_queue *q = NULL;
    struct grader *g = NULL;
    const double before = clock_seconds();
    bool ok = open_source(c, "def grade(sample, item):\n    return 1.0\n", &g, err);
    double start = clock_seconds();

    out->start_s = start - before;
    ok = ok && grade_queue_open(g, 0, &q, err);
    for (int round = 0; ok && round < 2; round++) { /* in the first the workers start */
        start = clock_seconds();
        for (size_t i = 0; i < N_CALLS; i++)
            grade_queue_put(q, NULL, &sample, &results[i]);
        const struct grade_waiter waiter = {.stop = c->stop};
        if (!grade_queue_wait(q, &waiter))
            ok = fail(err, ERR_CANCELLED, "stopped on request");
    }
    out->calls_per_s = N_CALLS / (clock_seconds() - start);
    grade_queue_close(q);
    grader_close(g);
    for (size_t i = 0; ok && i < N_CALLS; i++)
        if (results[i].flags != 0)
            ok = fail(err, ERR_UNSUPPORTED, "a trivial grader failed: %.300s", results[i].details);
    return ok;
}

/* ---- doctor: telling ---- */

struct findings {
    struct tier tiers[SANDBOX_N_TIERS];
    int tier; /* in force; 0: none holds */
    json_t *packages;
    struct speed speed;
};

static json_t *as_json(struct cli *c, const struct findings *f)
{
    const struct grade_options opt = grade_options_of(c);
    json_t *tiers = json_array();

    for (int i = 0; i < SANDBOX_N_TIERS; i++)
        json_array_append_new(tiers, json_pack("{s:i, s:b, s:s}", "tier", i + 1, "holds",
                                               f->tiers[i].holds, "text", f->tiers[i].text));
    return json_pack("{s:o, s:i, s:s?, s:O?, s:{s:f, s:I}, s:f, s:f}", "tiers", tiers, "tier",
                     f->tier, "python", opt.python, "packages", f->packages, "limits", "seconds",
                     opt.timeout_s, "memory_bytes", (json_int_t)opt.memory_bytes, "start_seconds",
                     f->speed.start_s, "calls_per_second", f->speed.calls_per_s);
}

static bool tell_packages(const struct findings *f, struct error *err)
{
    const json_t *p;
    bool ok = true;
    size_t i;

    json_array_foreach(f->packages, i, p)
    {
        const char *version = json_string_value(json_object_get(p, "version"));
        const char *problem = json_string_value(json_object_get(p, "problem"));

        ok = ok &&
             out_printf(err, "  %-14s %-10s%s%s\n", json_string_value(json_object_get(p, "name")),
                        version != NULL ? version : "-", problem != NULL ? " " : "",
                        problem != NULL ? problem : "");
    }
    return ok;
}

static bool tell(struct cli *c, const struct findings *f, struct error *err)
{
    const struct grade_options opt = grade_options_of(c);
    bool ok = out_printf(err, "isolation\n");

    for (int i = 0; ok && i < SANDBOX_N_TIERS; i++)
        ok = out_printf(err, "  %s%s%s\n", f->tiers[i].holds ? "" : "no: ", f->tiers[i].text,
                        i + 1 == f->tier ? "   <- in force" : "");
    if (!ok || f->tier == 0)
        return ok;
    return out_printf(err, "interpreter\n  %s\n",
                      opt.python != NULL ? opt.python : "the system's python3") &&
           out_printf(err, "packages, as a grader finds them\n") && tell_packages(f, err) &&
           out_printf(err,
                      "limits of a call\n  %g s, %zu MB of memory, no network, no files but a "
                      "small /tmp, no other processes\n",
                      opt.timeout_s, opt.memory_bytes >> 20) &&
           out_printf(err, "speed\n  %.0f calls a second of a trivial grader; %.2f s to start\n",
                      f->speed.calls_per_s, f->speed.start_s);
}

static bool doctor(struct cli *c, struct error *err)
{
    struct findings f = {.tier = 0};
    bool ok = true;

    parallel_set_threads((int)option_int(c->options, OPT_THREADS));
    f.tier = try_tiers(c, f.tiers);
    if (f.tier > 0)
        ok = look(c, &f.packages, err) && measure(c, &f.speed, err);
    ok = ok && (c->json ? out_json_new(as_json(c, &f), err) : tell(c, &f, err));
    json_decref(f.packages);
    return ok && (f.tier > 0 || fail(err, ERR_UNSUPPORTED,
                                     "no sandbox holds on this host: Python graders are refused"));
}

/* ---- which of them ---- */

static bool help(struct cli *c, struct error *err)
{
    struct buf b;

    buf_init(&b, 1 << 16);
    options_help(c->set, &b);
    const bool ok = out_str(buf_view(&b), err);
    buf_release(&b);
    return ok;
}

static bool run(struct cli *c, struct error *err)
{
    const char *what = c->options->n_args > 0 ? c->options->args[0] : "";

    if (what[0] == '\0')
        return help(c, err);
    if (strcmp(what, "install") == 0)
        return install(c, err);
    if (option_given(c->options, OPT_ONLY))
        return misuse(c, err, "--only is for hone graders install");
    if (strcmp(what, "doctor") == 0)
        return doctor(c, err);
    return misuse(c, err, "graders takes install or doctor, and \"%.100s\" is neither", what);
}

static const enum option_id ids[] = {
    OPT_ONLY,           OPT_PYTHON,  OPT_GRADER_TIMEOUT, OPT_GRADER_MEMORY,
    OPT_GRADER_WORKERS, OPT_THREADS, OPT_HOME,
};

const struct command cmd_graders = {
    .set =
        {.command = "graders",
         .args = "install|doctor",
         .max_args = 1,
         .summary = "packages, isolation and speed of Python graders here",
         .details =
             "install makes a Python in HONE_HOME/graders with the packages that graders have at "
             "the service, in its versions; Python graders use it from then on. doctor attacks "
             "each kind of sandbox from the inside and says which hold, imports each package as "
             "a grader would, and measures.",
         .examples = "  hone graders install\n"
                     "  hone graders install --only numpy,rapidfuzz\n"
                     "  hone graders doctor\n",
         .ids = ids,
         .n_ids = COUNT_OF(ids)},
    .run = run,
};
