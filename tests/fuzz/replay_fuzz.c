/*
 * replay_fuzz.c - a certificate of any lines is read, gone on with, or refused with a sentence; and what a run wrote down, of any bytes,
 * is compared with what was done again.
 *
 * The input is cut at the byte 0x1E into the certificate, both runs' answers, their metrics, and job.json. The first byte says whether the
 * certificate's lines get the chain that they must have, for no fuzzer finds a hash.
 */
#include "fuzz.h"

#include "base/buf.h"
#include "base/sha256.h"
#include "job/replay.h"

#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = {"g"}, *const types[] = {"python"};

static struct str next_part(struct str *rest)
{
    const char *end = rest->len > 0 ? memchr(rest->ptr, 0x1E, rest->len) : NULL;
    const struct str part = {rest->ptr, end != NULL ? (size_t)(end - rest->ptr) : rest->len};

    *rest = end != NULL ? str_from(*rest, part.len + 1) : (struct str){rest->ptr, 0};
    return part;
}

/* Each line that ends in a brace, with its chain in front of that. */
static void put_chained(struct buf *out, struct str text)
{
    struct sha256_text chain = {""};

    while (text.len > 0) {
        const char *end = memchr(text.ptr, '\n', text.len);
        const size_t n = end != NULL ? (size_t)(end - text.ptr) : text.len;

        if (n > 0 && text.ptr[n - 1] == '}') {
            struct sha256_ctx h;

            sha256_init(&h);
            sha256_update(&h, strlen(chain.hex), (const uint8_t *)chain.hex);
            sha256_update(&h, n - 1, (const uint8_t *)text.ptr);
            chain = sha256_finish(&h);
            buf_put(out, text.ptr, n - 1);
            buf_printf(out, ",\"chain\":\"%s\"}\n", chain.hex);
        } else {
            buf_put(out, text.ptr, n);
            buf_char(out, '\n');
        }
        text = str_from(text, end != NULL ? n + 1 : n);
    }
}

/* A certificate that can be read is gone on with after any of its steps, and can be read again then. */
static void go_on(const char *path, const struct certified *was)
{
    const size_t last = certified_last(was);
    struct certified again = {0};
    struct certificate c = {0};
    struct error err;
    char gap[256];

    if (last == 0 || !certificate_resume(&c, path, was->head, last, gap, &err))
        return;
    check(gap[0] == '\0');
    must(certificate_step(&c, last + 1, NULL, "0", &err) && certificate_end(&c, &err), &err);
    certificate_close(&c);
    must(certified_read(path, &again, &err), &err);
    check(certified_last(&again) == last + 1 && again.end != NULL);
    certified_release(&again);
}

static void compare(const char *was, const char *now, const struct certified *c)
{
    const struct run_folder_options opt = {.origin = c != NULL ? c->head : NULL,
                                           .n_graders = 1,
                                           .grader_names = names,
                                           .grader_types = types};
    const struct grade_result grade = {.reward = 0.5, .n_parts = 1, .part = {0.5}};
    const struct rollout r = {.step = 1, .grade = &grade};
    const struct step_metrics m = {.step = 1, .adapter_sha256 = "0"};
    struct run_folder *folder = NULL;
    struct error err;

    must(run_folder_open(now, &opt, &folder, &err), &err);
    struct replay replay = {.opt = {.was = was, .now = folder, .certified = c, .last = 1}};
    const struct progress_sink told = run_folder_sink(folder), sink = replay_sink(&replay);
    must(told.rollout(told.ctx, &r, &err) && told.step(told.ctx, &m, &err), &err);
    check(!sink.step(sink.ctx, &m, &err));
    check(err.kind != ERR_CANCELLED || replay.end != REPLAY_GOES_ON);
    check(replay.end != REPLAY_DIFFERS || (replay.text[0] != '\0' && replay.what != NULL));
    replay_release(&replay);
    run_folder_close(folder);
}

static void look_up_grades(const char *dir, struct str job_file)
{
    struct grade_result g;
    json_t *job = NULL;
    struct error ignored;

    (void)!json_parse(job_file, "job.json", &job, &ignored);
    struct replay_grades *grades = replay_grades_open(dir, job);
    const struct known_grades known = replay_grades_known(grades);
    for (size_t item = 0; item < 3; item++)
        if (known.get(known.ctx, 1, false, item, 0, &g))
            check(isfinite(g.reward) && g.n_parts <= GRADE_MAX_PARTS);
    replay_grades_close(grades);
    json_decref(job);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = {(const char *)data, size};
    struct arena a = {0};
    struct error err = {0};
    struct certified c = {0};
    struct buf text;

    if (size == 0)
        return 0;
    const char *was = file_join(&a, fuzz_dir(), "was"), *now = file_join(&a, fuzz_dir(), "now");
    must(file_remove_tree(was, &err) && file_remove_tree(now, &err) &&
             file_make_dirs(file_join(&a, was, "rollouts"), &err),
         &err);
    rest = str_from(rest, 1);
    buf_init(&text, 1 << 20);
    const struct str certificate = next_part(&rest);
    if (data[0] % 2 == 1)
        put_chained(&text, certificate);
    else
        buf_str(&text, certificate);
    const char *path = file_join(&a, was, CERTIFICATE_FILE);
    must(file_put(path, buf_view(&text), &err) &&
             file_put(file_join(&a, was, "rollouts/step-1.jsonl"), next_part(&rest), &err) &&
             file_put(file_join(&a, was, "metrics.csv"), next_part(&rest), &err),
         &err);
    const struct str job_file = next_part(&rest);
    must(file_put(file_join(&a, was, "job.json"), job_file, &err), &err);
    const bool read = certified_read(path, &c, &err);
    check(read || err.message[0] != '\0');
    compare(was, now, read ? &c : NULL);
    look_up_grades(was, job_file);
    if (read)
        go_on(path, &c);
    certified_release(&c);
    buf_release(&text);
    arena_release(&a);
    return 0;
}
