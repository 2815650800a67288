/*
 * report_test.c - the page says what the run's files say, stands alone, and nothing from outside is markup on it.
 */
#include "support/support.h"

#include "base/file.h"
#include "job/fake_run.h"
#include "job/report.h"
#include "job/report_chart.h"
#include "job/report_data.h"
#include "job/report_score.h"
#include "job/run_folder.h"

#include <math.h>
#include <nettle/base64.h>
#include <stdlib.h>

static struct error err;
static struct arena arena;
static struct fake_words words;

static char *make_run(struct fake_run f)
{
    char *dir = test_dir_make(&arena);
    struct run_folder *folder = NULL;

    f.dir = dir;
    ASSERT_OK(fake_folder_open(dir, &f, &words, false, &folder, &err));
    ASSERT_OK(fake_run_tell(&f, run_folder_sink(folder), &words, 0, f.n_steps, &err));
    run_folder_close(folder);
    return dir;
}

static struct fake_run small_run(void)
{
    struct fake_run f = fake_run_defaults();

    f.n_steps = 40;
    f.n_groups = 4;
    f.n_samples = 6;
    f.n_valid = 20;
    return f;
}

static struct str page_of(const char *dir)
{
    struct str page;

    ASSERT_OK(report_write(dir, NULL, &err));
    ASSERT_OK(file_read(file_join(&arena, dir, "report.html"), 1 << 26, &arena, &page, &err));
    return page;
}

static size_t count(struct str s, const char *needle)
{
    size_t n = 0;

    for (size_t at = 0; (at = str_find(s, str_of(needle), at)) < s.len; at++)
        n++;
    return n;
}

#define ASSERT_HAS(page, text)                                                                     \
    do {                                                                                           \
        if (count(page, text) == 0)                                                                \
            fail_msg("the page does not say \"%s\"", text);                                        \
    } while (0)
#define ASSERT_LACKS(page, text)                                                                   \
    do {                                                                                           \
        if (count(page, text) != 0)                                                                \
            fail_msg("the page says \"%s\"", text);                                                \
    } while (0)

/* Every element that is opened is closed, in order; attributes are quoted. Style and script are passed over. */
static void assert_well_formed(struct str page)
{
    static const char *const empty[] = {"meta", "!doctype", "br"};
    char stack[200][16];
    size_t depth = 0;

    for (size_t at = 0; (at = str_find(page, STR("<"), at)) < page.len;) {
        const size_t end = str_find(page, STR(">"), at);
        const bool closes = page.ptr[at + 1] == '/', closed = page.ptr[end - 1] == '/';
        char name[16];
        size_t n = 0;
        bool is_empty = closed;

        for (size_t i = at + 1 + closes; n < 15 && strchr(" >/\n", page.ptr[i]) == NULL; i++)
            name[n++] = page.ptr[i];
        name[n] = '\0';
        if (count((struct str){page.ptr + at, end - at}, "\"") % 2 != 0)
            fail_msg("a quote is missing in %.80s", page.ptr + at);
        at = end + 1;
        for (size_t i = 0; i < sizeof empty / sizeof *empty; i++)
            is_empty |= strcmp(name, empty[i]) == 0;
        if (closes) {
            if (depth == 0 || strcmp(stack[depth - 1], name) != 0)
                fail_msg("</%s> closes <%s> before %.60s", name, depth > 0 ? stack[depth - 1] : "",
                         page.ptr + at);
            depth--;
        } else if (!is_empty) {
            assert_true(depth < 200);
            memcpy(stack[depth++], name, sizeof name);
        }
        if (!closes && (strcmp(name, "style") == 0 || strcmp(name, "script") == 0))
            at = str_find(page, str_of(name[1] == 't' ? "</style>" : "</script>"), at);
    }
    assert_int_equal(depth, 0);
}

static void put_eval(const char *dir, const char *name, double mean, double low, double high)
{
    json_t *v = json_pack("{s:i,s:f,s:[f,f],s:{s:f}}", "n", 150, "reward_mean", mean, "reward_ci95",
                          low, high, "pass_at_k", "8", 0.5);

    ASSERT_OK(run_folder_put_eval(dir, name, v, &err));
    json_decref(v);
}

static void the_page_says_what_changed(void **state)
{
    const char *dir = make_run(small_run());
    struct str page = page_of(dir);

    (void)state;
    assert_well_formed(page);
    ASSERT_HAS(page, "In validation, the mean reward rose from <b>");
    ASSERT_HAS(page, "Measured at step 0 and at step 40.");
    ASSERT_HAS(page, "max\xE2\x80\x89|\xCE\x94logp| = 0 in all 40 steps");
    ASSERT_HAS(page, "The same prompts, before and after");
    ASSERT_HAS(page, "Most strengthened tokens");
    ASSERT_HAS(page, "python_grader_runtime_error");
    ASSERT_HAS(page, "Checkpoint created at step 40");
    put_eval(dir, "before", 0.013, 0.002, 0.047);
    put_eval(dir, "after", 0.653, 0.575, 0.724);
    page = page_of(dir);
    ASSERT_HAS(page,
               "On 150 held-out cases, the mean reward rose from <b>0.01</b> to <b>0.65</b>.");
    ASSERT_HAS(page, "far more than chance explains");
    ASSERT_HAS(page, "pass@8");
    put_eval(dir, "before", 0.60, 0.52, 0.68);
    page = page_of(dir);
    ASSERT_HAS(page, "the mean reward went from <b>0.60</b> to <b>0.65</b>, which may be chance.");
    put_eval(dir, "before", 0.90, 0.85, 0.94);
    page = page_of(dir);
    ASSERT_HAS(page, "the mean reward fell from <b>0.90</b> to <b>0.65</b>.");
    test_dir_remove(dir);
}

static void the_page_stands_alone(void **state)
{
    const char *dir = make_run(small_run());
    const struct str page = page_of(dir);

    (void)state;
    ASSERT_LACKS(page, "http:");
    ASSERT_LACKS(page, "https:");
    ASSERT_LACKS(page, "src=");
    ASSERT_LACKS(page, "url(");
    ASSERT_LACKS(page, "@import");
    ASSERT_LACKS(page, " style=");
    ASSERT_LACKS(page, dir); /* nor does it tell where it was made */
    test_dir_remove(dir);
}

/* The policy allows exactly the style and the script that the page has. */
static void the_policy_allows_its_own_style_and_script_alone(void **state)
{
    static const struct {
        const char *open, *close, *directive;
    } parts[] = {{"<style>", "</style>", "style-src"}, {"<script>", "</script>", "script-src"}};
    const char *dir = make_run(small_run());
    const struct str page = page_of(dir);

    (void)state;
    ASSERT_HAS(page, "content=\"default-src 'none'; base-uri 'none'; form-action 'none'; ");
    for (size_t i = 0; i < 2; i++) {
        const size_t from = str_find(page, str_of(parts[i].open), 0) + strlen(parts[i].open);
        const size_t to = str_find(page, str_of(parts[i].close), from);
        struct sha256_ctx ctx;
        uint8_t digest[SHA256_DIGEST_SIZE];
        char text[BASE64_ENCODE_RAW_LENGTH(SHA256_DIGEST_SIZE) + 1] = "";

        sha256_init(&ctx);
        sha256_update(&ctx, to - from, (const uint8_t *)page.ptr + from);
        sha256_digest(&ctx, sizeof digest, digest);
        base64_encode_raw(text, sizeof digest, digest);
        ASSERT_HAS(page, arena_printf(&arena, "%s 'sha256-%s'", parts[i].directive, text));
    }
    test_dir_remove(dir);
}

static void nothing_from_outside_is_markup(void **state)
{
    static const char *const names[] = {"</script><script>alert(1)</script>", "<b>\"&'"},
                             *const types[] = {"python", "python"};
    struct fake_run f = small_run();
    char *dir = test_dir_make(&arena);
    struct run_folder *folder = NULL;
    json_t *job = json_pack("{s:s,s:s,s:s,s:{s:s}}", "model", "<img src=x onerror=alert(1)>",
                            "suffix", "</title><script>x()</script>", "training_file",
                            "\"><svg onload=y()>", "metadata", "<k>", "<v>");
    const struct run_folder_options opt = {.job = job,
                                           .n_graders = 2,
                                           .grader_names = names,
                                           .grader_types = types,
                                           .tokens = {.text = fake_token_text, .ctx = &words}};

    (void)state;
    f.dir = dir;
    f.hostile = true;
    f.n_thinking = 4;
    ASSERT_OK(run_folder_open(dir, &opt, &folder, &err));
    struct progress_sink sink = run_folder_sink(folder);
    ASSERT_OK(fake_run_tell(&f, sink, &words, 0, f.n_steps, &err));
    ASSERT_OK(sink.event(sink.ctx, EVENT_ERROR,
                         "<iframe srcdoc=\"x\"> --> ]]> <!-- \x1b[2J \xE2\x80\xA8", &err));
    run_folder_close(folder);
    const struct str page = page_of(dir);
    assert_well_formed(page);
    assert_int_equal(count(page, "<script"), 2);
    assert_int_equal(count(page, "</script"), 2);
    ASSERT_LACKS(page, "<img");
    ASSERT_LACKS(page, "<iframe");
    ASSERT_LACKS(page, "<svg onload");
    ASSERT_LACKS(page, "\x1b");
    ASSERT_HAS(page, "&lt;iframe srcdoc=&quot;x&quot;&gt; --&gt; ]]&gt; &lt;!-- &#x241B;[2J");
    ASSERT_HAS(page, "&lt;script&gt;document.title=");
    ASSERT_HAS(page, "\"\\u003c/script\\u003e\\u003cscript\\u003ealert(1)");
    json_decref(job);
    test_dir_remove(dir);
}

/* A page is made to be passed on; the keys that a job sends to endpoints are not. */
static void what_is_sent_to_endpoints_is_not_told(void **state)
{
    static const char *const names[] = {"organ", "form"}, *const types[] = {"endpoint", "python"};
    struct fake_run f = small_run();
    char *dir = test_dir_make(&arena);
    struct run_folder *folder = NULL;
    json_t *endpoint = json_pack("{s:s, s:s, s:{s:s, s:s}}", "type", "endpoint", "url",
                                 "https://scores.example/v1", "headers", "Authorization",
                                 "Bearer sk-very-secret", "X-Key", "sk-very-secret-2"),
           *job = json_pack("{s:s, s:{s:{s:{s:s, s:{s:O}}}}, s:{s:{s:O}}}", "model", "m", "method",
                            "reinforcement", "grader", "type", "multi", "graders", "organ",
                            endpoint, "hone", "shadow_graders", "beside", endpoint);
    const struct run_folder_options opt = {.job = job,
                                           .n_graders = 2,
                                           .grader_names = names,
                                           .grader_types = types,
                                           .tokens = {.text = fake_token_text, .ctx = &words}};

    (void)state;
    assert_non_null(job);
    f.dir = dir;
    ASSERT_OK(run_folder_open(dir, &opt, &folder, &err));
    ASSERT_OK(fake_run_tell(&f, run_folder_sink(folder), &words, 0, f.n_steps, &err));
    run_folder_close(folder);
    const struct str page = page_of(dir);
    assert_well_formed(page);
    ASSERT_HAS(page, "https://scores.example/v1");
    ASSERT_HAS(page, "X-Key");
    ASSERT_LACKS(page, "sk-very-secret");
    json_decref(job);
    json_decref(endpoint);
    test_dir_remove(dir);
}

static const struct report_word *word_of(const struct report_data *d, struct str text)
{
    for (size_t i = 0; i < d->n_up + d->n_down; i++) {
        const struct report_word *w = i < d->n_up ? &d->up[i] : &d->down[i - d->n_up];

        if (str_eq(w->text, text))
            return w;
    }
    return NULL;
}

/* One line of several samples says what a line of each said. */
static void equal_answers_on_one_line_weigh_what_they_did_on_their_own(void **state)
{
    struct fake_run f = small_run();
    struct report_data one = {0}, each = {0};
    size_t n_shared = 0, n_several = 0;

    (void)state;
    f.n_thinking = 1;
    const char *dir = make_run(f);
    ASSERT_OK(report_data_read(dir, &arena, &one, &err));
    f.lone = true;
    const char *lone = make_run(f);
    ASSERT_OK(report_data_read(lone, &arena, &each, &err));

    assert_true(one.n_pairs > 0);
    assert_int_equal(one.n_pairs, each.n_pairs);
    for (size_t i = 0; i < one.n_pairs; i++) {
        assert_int_equal(one.pair[i].before->item, each.pair[i].before->item);
        ASSERT_NEAR(one.pair[i].reward_before, each.pair[i].reward_before, 1e-12);
        ASSERT_NEAR(one.pair[i].reward_after, each.pair[i].reward_after, 1e-12);
    }
    for (size_t i = 0; i < one.n_up + one.n_down; i++) {
        const struct report_word *w = i < one.n_up ? &one.up[i] : &one.down[i - one.n_up];
        const struct report_word *v = word_of(&each, w->text);

        if (v == NULL) /* of equal ones the last may be another */
            continue;
        assert_int_equal(v->n, w->n);
        ASSERT_NEAR(v->push, w->push, 1e-9 * fabs(v->push));
        n_shared++;
    }
    assert_true(n_shared > 5);
    assert_int_equal(one.n_groups, 3);
    assert_int_equal(each.n_groups, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(one.group[i].n_all, each.group[i].n_all);
        assert_int_equal(each.group[i].n_different, 6); /* for all that is known */
        assert_true(one.group[i].n_different <= 6);
        n_several += one.group[i].n_different < 6;
    }
    assert_true(n_several > 0);
    const struct str page = page_of(dir);
    assert_well_formed(page);
    ASSERT_HAS(page, "<span>given 2 times</span>");
    ASSERT_HAS(page, " different answers, 6 in all");
    ASSERT_LACKS(page_of(lone), "given 2 times");
    report_data_release(&one);
    report_data_release(&each);
    test_dir_remove(dir);
    test_dir_remove(lone);
}

/* ---- tokens that training changed ---- */

/* A line of the file: of c's tokens, or of others; under the base each token has -3, under step-40 what change adds. */
static void put_changes(const char *dir, const struct report_changed *c, const double *change,
                        bool others)
{
    json_t *base = json_array(), *after = json_array(), *ids = json_deep_copy(c->ids);
    struct buf b;

    for (size_t i = 0; i < c->n; i++) {
        json_array_append_new(base, json_real(-3));
        json_array_append_new(after, json_real(-3 + change[i % 4]));
    }
    if (others)
        json_array_set_new(ids, 0, json_integer(123456));
    json_t *line = json_pack(
        "{s:s, s:I, s:I, s:I, s:o, s:{s:o, s:o}}", "split", c->answer->valid ? "valid" : "train",
        "step", (json_int_t)c->answer->step, "item", (json_int_t)c->answer->item, "sample",
        (json_int_t)c->answer->sample, "tokens", ids, "logprobs", "base", base, "step-40", after);
    buf_init(&b, 1 << 20);
    json_write(&b, line, NULL);
    buf_char(&b, '\n');
    ASSERT_OK(file_append(file_join(&arena, dir, TOKEN_CHANGES_FILE), buf_view(&b), &err));
    buf_release(&b);
    json_decref(line);
}

/* The tokens of an answer on the page, up to the strip's end. */
static struct str strip_of(struct str page, size_t index)
{
    const char *open = arena_printf(&arena, "data-changed=\"%zu\"", index);
    const size_t at = str_find(page, str_of(open), 0), from = str_find(page, STR(">"), at) + 1;

    if (at == page.len)
        fail_msg("the page does not show the tokens of answer %zu", index);
    return (struct str){page.ptr + from, str_find(page, STR("</div>"), from) - from};
}

static void tokens_are_coloured_by_what_training_changed(void **state)
{
    static const double change[4] = {2.5, 0.04, -2.5, 0.6};
    static const char *const classes[4] = {" class=\"u4\"", "", " class=\"d4\"", " class=\"u2\""};
    struct fake_run f = small_run();
    struct report_data d = {0};
    struct buf expected;
    size_t shown, other;

    (void)state;
    f.hostile = true;
    const char *dir = make_run(f);
    ASSERT_LACKS(page_of(dir), "data-changed=");
    ASSERT_HAS(page_of(dir), "is not in this file");
    ASSERT_OK(report_data_read(dir, &arena, &d, &err));
    assert_true(d.n_pairs > 0 && d.n_groups == 3);
    assert_true(d.n_changed > d.n_changed_of_pairs && d.n_changed_of_pairs > 4);
    for (shown = 0; d.changed[shown].n < 4; shown++)
        assert_true(shown + 1 < d.n_changed);
    other = shown == 0;
    put_changes(dir, &d.changed[shown], change, false);
    put_changes(dir, &d.changed[other], change, true);
    ASSERT_OK(file_append(file_join(&arena, dir, TOKEN_CHANGES_FILE),
                          STR("rubbish\n[1]\n{\"logprobs\":{\"<b>\":[]}}\n"), &err));

    const struct str page = page_of(dir);
    assert_well_formed(page);
    ASSERT_LACKS(page, "is not in this file");
    ASSERT_HAS(page, "from <span id=\"from-name\">the base model</span> to <span "
                     "id=\"to-name\">the checkpoint of step 40");
    assert_int_equal(count(page, "data-changed="), 1); /* what is of other tokens is passed over */
    buf_init(&expected, 1 << 20);
    for (size_t i = 0; i < d.changed[shown].n; i++) {
        buf_printf(&expected, "<i%s>", classes[i % 4]);
        html_text(&expected, d.changed[shown].piece[i]);
        buf_text(&expected, "</i>");
    }
    ASSERT_STR(strip_of(page, shown), arena_text(&arena, buf_view(&expected)));
    ASSERT_HAS(page, "Likelier: log-probability +");
    ASSERT_HAS(page, "\"changes\":{\"least\":0.05,\"full\":2,");
    buf_release(&expected);
    report_data_release(&d);
    test_dir_remove(dir);
}

/* ---- what became of rows, what stands out, what was warned of ---- */

static void rows_lists_and_warnings_are_shown(void **state)
{
    struct fake_run f = small_run();
    char *dir = test_dir_make(&arena);
    struct run_folder *folder = NULL;

    (void)state;
    f.dir = dir;
    ASSERT_OK(fake_folder_open(dir, &f, &words, false, &folder, &err));
    struct progress_sink sink = run_folder_sink(folder);
    ASSERT_OK(fake_run_tell(&f, sink, &words, 0, f.n_steps, &err));
    ASSERT_OK(sink.event(sink.ctx, EVENT_WARN,
                         "Step 40: answers repeat themselves. (1) step 7, item 3, sample 5, reward "
                         "1.00, shadow 0.20: \"<b>again</b> and again\"",
                         &err));
    run_folder_close(folder);
    const struct str page = page_of(dir);
    assert_well_formed(page);
    ASSERT_HAS(page, "<h2 id=\"h-warnings\">");
    ASSERT_HAS(page,
               "Answers repeat themselves.</p><details><summary>1 answer that shows it</summary>");
    ASSERT_HAS(page, "Step 7, row 3, sample 5, reward 1.00, shadow 0.20");
    assert_int_equal(count(page, "&lt;b&gt;again&lt;/b&gt; and again"),
                     1); /* not among the events, too */
    ASSERT_HAS(page, "Rows of the validation: of 20 that were answered again");
    ASSERT_HAS(page, "<p class=\"followed\"><span>Row ");
    ASSERT_HAS(page, "data-list=\"Most strengthened\"");
    ASSERT_HAS(page, "data-list=\"Most weakened\"");
    ASSERT_HAS(page, "data-list=\"Grader errors\"");
    ASSERT_HAS(page, "data-list=\"Cut off\"");
    ASSERT_HAS(page, "Reward by grader, validation");
    ASSERT_HAS(page, "<h3>Grader errors</h3>");
    ASSERT_HAS(page, "<h3>Time of a grader");
    test_dir_remove(dir);
}

static void marks_of_direction_are_shown_as_signs(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 200);
    html_text(&b, STR("a\xE2\x80\xAE"
                      "b\xE2\x81\xA9\xD8\x9C\xD8\xA7\xE2\x80\xA8\xE2\x80"));
    ASSERT_STR(buf_view(&b), "a\xE2\x9F\xA8U+202E\xE2\x9F\xA9"
                             "b\xE2\x9F\xA8U+2069\xE2\x9F\xA9\xE2\x9F\xA8U+061C\xE2\x9F\xA9"
                             "\xD8\xA7\xE2\x80\xA8\xE2\x80");
    buf_release(&b);
}

static void a_run_without_validation_compares_early_and_late_prompts(void **state)
{
    struct fake_run f = small_run();
    struct str page;

    (void)state;
    f.n_steps = 130; /* an epoch is 120 steps */
    f.n_valid = 0;
    const char *dir = make_run(f);
    page = page_of(dir);
    assert_well_formed(page);
    ASSERT_HAS(page, "In training, the mean reward rose from");
    ASSERT_HAS(page, "Training prompts that came early and late");
    ASSERT_HAS(page, "Before, step 10");
    ASSERT_HAS(page, "After, step 130");
    test_dir_remove(dir);
}

static void a_run_that_has_just_begun_has_a_page(void **state)
{
    struct fake_run f = small_run();
    char *dir = test_dir_make(&arena);
    struct run_folder *folder = NULL;
    struct str page;

    (void)state;
    ASSERT_FAILS(report_write(dir, NULL, &err), ERR_NOT_FOUND, "writing the report of");
    ASSERT_OK(fake_folder_open(dir, &f, &words, false, &folder, &err));
    page = page_of(dir);
    assert_well_formed(page);
    ASSERT_HAS(page, "No step of this run has ended yet.");
    ASSERT_LACKS(page, "id=\"learning\"");
    ASSERT_LACKS(page, "id=\"health\"");
    f.n_valid = 0;
    ASSERT_OK(fake_run_tell(&f, run_folder_sink(folder), &words, 0, 2, &err));
    run_folder_close(folder);
    page = page_of(dir);
    assert_well_formed(page);
    ASSERT_HAS(page, "The run has just begun.");
    ASSERT_HAS(page, "id=\"learning\"");
    test_dir_remove(dir);
}

static void a_damaged_run_has_a_page_that_says_so(void **state)
{
    const char *dir = make_run(small_run());
    struct str page;

    (void)state;
    ASSERT_OK(file_append(file_join(&arena, dir, "events.jsonl"), STR("rubbish\n\xFF\xFE\n{\"torn"),
                          &err));
    ASSERT_OK(file_append(file_join(&arena, dir, "rollouts/step-40.jsonl"), STR("[]\n"), &err));
    ASSERT_OK(file_put(file_join(&arena, dir, "evals/before.json"), STR("[1"), &err));
    page = page_of(dir);
    assert_well_formed(page);
    ASSERT_HAS(page, " 4 damaged lines of the run");
    ASSERT_OK(file_remove_tree(file_join(&arena, dir, "rollouts"), &err));
    ASSERT_OK(file_remove_tree(file_join(&arena, dir, "metrics.csv"), &err));
    page = page_of(dir);
    assert_well_formed(page);
    ASSERT_LACKS(page, "The same prompts, before and after");
    test_dir_remove(dir);
}

static void the_page_of_a_long_run_stays_small(void **state)
{
    struct fake_run f = fake_run_defaults();

    (void)state;
    f.n_steps = 640;
    f.n_groups = 2;
    f.n_samples = 4;
    f.n_thinking = 20;
    f.hostile = true;
    const char *dir = make_run(f);
    const struct str page = page_of(dir);
    assert_well_formed(page);
    assert_true(page.len < 1500000);
    test_dir_remove(dir);
}

static void numbers_read_well(void **state)
{
    static const struct {
        double x;
        enum chart_unit unit;
        const char *text;
    } cases[] = {
        {0.4216, CHART_NUMBER, "0.42"},
        {0, CHART_NUMBER, "0"},
        {0.0123, CHART_NUMBER, "0.012"},
        {1.5e-4, CHART_NUMBER,
         "1.5e\xE2\x88\x92"
         "4"},
        {12345, CHART_NUMBER,
         "12\xE2\x80\xAF"
         "345"},
        {1234, CHART_COUNT, "1234"},
        {-0.5, CHART_SCORE,
         "\xE2\x88\x92"
         "0.50"},
        {-0.001, CHART_SCORE, "0.00"},
        {(double)NAN, CHART_SCORE, "\xE2\x80\x93"},
        {0.38, CHART_SHARE, "38\xE2\x80\xAF%"},
        {0.004, CHART_SHARE, "0.4\xE2\x80\xAF%"},
        {125, CHART_SECONDS, "2\xE2\x80\xAFmin 05\xE2\x80\xAFs"},
        {4000, CHART_SECONDS, "1\xE2\x80\xAFh 06\xE2\x80\xAFmin"},
        {3.21, CHART_SECONDS, "3.2\xE2\x80\xAFs"},
        {1.2e9, CHART_BYTES, "1.2\xE2\x80\xAFGB"},
    };
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buf_clear(&b);
        chart_number(&b, cases[i].x, cases[i].unit);
        ASSERT_STR(buf_view(&b), cases[i].text);
    }
    buf_release(&b);
}

static void a_chart_says_in_words_what_it_shows(void **state)
{
    static const double x[] = {1, 2, 3, 4}, y[] = {0.1, (double)NAN, 0.9, 0.5};
    const struct chart c = {.id = "r",
                            .title = "Reward",
                            .unit = CHART_SCORE,
                            .n = 4,
                            .x = x,
                            .n_series = 1,
                            .series = {{.name = "training", .style = "train", .y = y}},
                            .width = 300,
                            .height = 200};
    struct buf b;

    (void)state;
    buf_init(&b, 1 << 16);
    chart_sentence(&b, &c);
    ASSERT_STR(
        buf_view(&b),
        "Reward. training: 0.10 at step 1, 0.50 at step 4; least 0.10, most 0.90 at step 3.");
    buf_clear(&b);
    chart_svg(&b, &c);
    assert_well_formed(buf_view(&b));
    buf_clear(&b);
    chart_data(&b, &c);
    ASSERT_STR(
        buf_view(&b),
        "{\"x\":[1,2,3,4],\"unit\":\"score\",\"series\":[[\"training\",[0.1,null,0.9,0.5]]]}");
    buf_release(&b);
}

static int teardown(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_page_says_what_changed),
        cmocka_unit_test(the_page_stands_alone),
        cmocka_unit_test(the_policy_allows_its_own_style_and_script_alone),
        cmocka_unit_test(nothing_from_outside_is_markup),
        cmocka_unit_test(what_is_sent_to_endpoints_is_not_told),
        cmocka_unit_test(equal_answers_on_one_line_weigh_what_they_did_on_their_own),
        cmocka_unit_test(tokens_are_coloured_by_what_training_changed),
        cmocka_unit_test(rows_lists_and_warnings_are_shown),
        cmocka_unit_test(marks_of_direction_are_shown_as_signs),
        cmocka_unit_test(a_run_without_validation_compares_early_and_late_prompts),
        cmocka_unit_test(a_run_that_has_just_begun_has_a_page),
        cmocka_unit_test(a_damaged_run_has_a_page_that_says_so),
        cmocka_unit_test(the_page_of_a_long_run_stays_small),
        cmocka_unit_test(numbers_read_well),
        cmocka_unit_test(a_chart_says_in_words_what_it_shows),
    };

    return cmocka_run_group_tests(tests, NULL, teardown);
}
