/*
 * live_test.c - the picture of a run: what it says, that it fits, and that a terminal ends up showing it.
 */
#include "support/support.h"

#include "cli/live.h"
#include "cli/live_view.h"
#include "job/fake_run.h"

#include <fcntl.h>
#include <pty.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utf8proc.h>

static struct error err;
static struct fake_words words;

/* ---- a sink that fills a view ---- */

static bool on_event(void *ctx, enum event_level level, const char *message, struct error *e)
{
    (void)e;
    live_view_event(ctx, level, message);
    return true;
}
static bool on_rollout(void *ctx, const struct rollout *r, struct error *e)
{
    (void)e;
    live_view_rollout(ctx, r);
    return true;
}
static bool on_step(void *ctx, const struct step_metrics *m, struct error *e)
{
    (void)e;
    live_view_step(ctx, m, 100);
    return true;
}
static bool on_checkpoint(void *ctx, const struct checkpoint_info *c, struct error *e)
{
    (void)ctx;
    (void)c;
    (void)e;
    return true;
}
static void on_tick(void *ctx, const char *phase, size_t done, size_t total)
{
    live_view_tick(ctx, phase, done, total);
}

static struct progress_sink view_sink(struct live_view *v)
{
    return (struct progress_sink){.ctx = v,
                                  .event = on_event,
                                  .rollout = on_rollout,
                                  .step = on_step,
                                  .checkpoint = on_checkpoint,
                                  .tick = on_tick};
}

static struct live_view *new_view(void)
{
    struct live_view *v = calloc(1, sizeof *v);

    assert_non_null(v);
    v->title = "organ, SmolLM2-135M-Instruct";
    return v;
}

static void free_view(struct live_view *v)
{
    live_view_release(v);
    free(v);
}

static void tell(struct live_view *v, const struct fake_run *f, size_t last)
{
    ASSERT_OK(fake_run_tell(f, view_sink(v), &words, 0, last, &err));
}

static struct buf picture_of(const struct live_view *v, struct live_frame frame)
{
    struct buf b;

    buf_init(&b, 1 << 20);
    frame.now = 130;
    (void)live_view_render(v, &frame, &b);
    return b;
}

static void assert_picture(const struct live_view *v, struct live_frame frame, const char *want)
{
    struct buf b = picture_of(v, frame);

    if (!str_is(buf_view(&b), want))
        fail_msg("the picture is\n%s\nand not\n%s", b.ptr == NULL ? "" : b.ptr, want);
    buf_release(&b);
}

/* ---- pictures ---- */

static void before_the_first_step_there_is_little_to_say(void **state)
{
    struct live_view *v = new_view();

    (void)state;
    live_view_event(v, EVENT_INFO, "Fine-tuning job started: 480 rows");
    live_view_tick(v, "sampling", 3, 64);
    assert_picture(v, (struct live_frame){.width = 60, .height = 20, .ascii = true},
                   "organ, SmolLM2-135M-Instruct                        starting\n"
                   "............................................................\n"
                   "sampling 3 of 64\n"
                   "reward\n"
                   "step 0    Fine-tuning job started: 480 rows\n");
    free_view(v);
}

/* A run of four steps, told by hand. */
static void tell_four(struct live_view *v)
{
    static const float zero[1];
    static const int32_t token[1];
    static const double train[] = {0.10, 0.25, 0.60, 0.80};

    for (size_t i = 0; i < 4; i++) {
        for (size_t k = 0; k < 4; k++) {
            const struct grade_result g = {.reward = k % 2 == 0};
            const struct rollout r = {
                .step = i + 1,
                .item = k / 2,
                .sample = k % 2,
                .prompt = k < 2 ? STR("user: Osteopenia: which organ?")
                                : STR("user: Retinal scar: which organ?"),
                .n_tokens = 1,
                .tokens = token,
                .logprobs = zero,
                .answer = k == 1 ? STR("I think\n\tthat it is\x1b[31m the skin") : STR("bone"),
                .grade = &g,
                .advantage = k == 0 ? 1.0f : -1.0f};

            live_view_rollout(v, &r);
        }
        const struct step_metrics m = {.step = i + 1,
                                       .total_steps = 8,
                                       .n_samples = 4,
                                       .n_groups = 2,
                                       .n_flat_groups = 1,
                                       .train_mean_reward = train[i],
                                       .completion_tokens_mean = 3,
                                       .entropy = 1.2 / (double)(i + 1),
                                       .kl = 0.0123,
                                       .has_valid = i % 2 == 1,
                                       .valid_mean_reward = 0.3 + 0.1 * (double)i,
                                       .seconds_sampling = 2,
                                       .tokens_sampled = 900,
                                       .truncated_share = 0.25,
                                       .seconds_left = 340};
        live_view_step(v, &m, 100);
    }
    live_view_tick(v, "training", 1, 2);
    live_view_event(v, EVENT_WARN, "Step 3: 5 of 8 prompts carry no signal: every answer got 0.");
    live_view_event(v, EVENT_INFO, "Checkpoint created");
    live_view_event(v, EVENT_WARN, "Step 5: 6 of 8 prompts carry no signal: every answer got 0.");
}

static void a_running_job_is_shown(void **state)
{
    struct live_view *v = new_view();

    (void)state;
    tell_four(v);
    assert_picture(v, (struct live_frame){.width = 72, .height = 22, .ascii = true},
                   "organ, SmolLM2-135M-Instruct                                 step 4 of 8\n"
                   "##########################################..............................\n"
                   "training 1 of 2                                               6 min left\n"
                   "reward 0.80 in training  0.60 in validation, step 4\n"
                   "1.00 |\n"
                   "     |                             *****\n"
                   "     |                      ********   o\n"
                   "     |                o *****\n"
                   "     |         **********\n"
                   "0.00 |        **\n"
                   "      0                                                                8\n"
                   "entropy 0.30 #=,,   KL 0.0123   no signal 1 of 2 prompts   cut off 25 %\n"
                   "length 3 tokens   speed 450 tokens/s\n"
                   "best  1.00  Osteopenia > bone\n"
                   "worst 0.00  Osteopenia > I think that it is?[31m the skin\n"
                   "step 4    Checkpoint created\n"
                   "step 5    ! 6 of 8 prompts carry no signal: every answer go... (2 times)\n");
    free_view(v);
}

static void shadow_graders_are_shown_as_such(void **state)
{
    static const char spec[] = "{\"type\":\"string_check\",\"name\":\"paid\",\"input\":\"x\","
                               "\"reference\":\"x\",\"operation\":\"eq\"}";
    struct grade_options opt = grade_defaults();
    struct live_view *v = new_view();
    struct grader *g;
    json_t *grader;

    (void)state;
    ASSERT_OK(json_parse(STR(spec), "the grader", &grader, &err));
    json_t *shadows = json_pack("{s:O, s:O}", "judge\x1b[2J", grader, "silent", grader);
    opt.shadows = shadows;
    ASSERT_OK(grader_open(grader, &opt, &g, &err));
    v->grader = g;
    tell_four(v);
    v->last.n_graders = 3;
    v->last.grader_train_mean[1] = 0.25;
    v->last.grader_train_mean[2] = (double)NAN; /* it failed on every answer */
    assert_picture(v, (struct live_frame){.width = 72, .height = 9, .ascii = true},
                   "organ, SmolLM2-135M-Instruct                                 step 4 of 8\n"
                   "##########################################..............................\n"
                   "training 1 of 2                                               6 min left\n"
                   "reward 0.80 in training  0.60 in validation, step 4\n"
                   "entropy 0.30 #=,,   KL 0.0123   no signal 1 of 2 prompts   cut off 25 %\n"
                   "length 3 tokens   speed 450 tokens/s   shadow judge?[2J 0.25\n"
                   "best  1.00  Osteopenia > bone\n"
                   "worst 0.00  Osteopenia > I think that it is?[31m the skin\n"
                   "step 5    ! 6 of 8 prompts carry no signal: every answer go... (2 times)\n");
    free_view(v);
    grader_close(g);
    json_decref(shadows);
    json_decref(grader);
}

static void a_narrow_and_a_low_terminal_show_what_matters_most(void **state)
{
    struct live_view *v = new_view();

    (void)state;
    tell_four(v);
    assert_picture(v, (struct live_frame){.width = 23, .height = 6, .ascii = true},
                   "step 4 of 8\n"
                   "#############..........\n"
                   "training 1 of 2\n"
                   "reward 0.80 in training\n"
                   "best  1.00  bone\n"
                   "worst 0.00  I think ...\n");
    assert_picture(v, (struct live_frame){.width = 40, .height = 1},
                   "organ, SmolLM2-135M-Instru\xE2\x80\xA6  step 4 of 8\n");
    free_view(v);
}

/* Columns that a line takes, colours not counted; fails for other control characters. */
static int columns_of(struct str line)
{
    int columns = 0;

    for (size_t at = 0; at < line.len;) {
        utf8proc_int32_t c;
        const utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)line.ptr + at,
                                                    (utf8proc_ssize_t)(line.len - at), &c);

        assert_true(n > 0);
        if (c == 0x1B) {
            const size_t end = str_find(line, STR("m"), at);

            assert_true(line.ptr[at + 1] == '[' && end < line.len);
            for (size_t i = at + 2; i < end; i++)
                assert_true((line.ptr[i] >= '0' && line.ptr[i] <= '9') || line.ptr[i] == ';');
            at = end + 1;
            continue;
        }
        assert_true(c >= 0x20 && (c < 0x7F || c >= 0xA0));
        columns += utf8proc_charwidth(c);
        at += (size_t)n;
    }
    return columns;
}

static void a_picture_fits_whatever_an_answer_holds(void **state)
{
    struct fake_run f = fake_run_defaults();
    struct live_view *v = new_view();

    (void)state;
    f.n_steps = 30;
    f.hostile = true;
    tell(v, &f, 29);
    live_view_event(
        v, EVENT_ERROR,
        "\x1b[2J\x1b]0;title\x07 \xE4\xBD\xA0\xE5\xA5\xBD e\xCC\x81\xCC\x81\xCC\x81\xCC\x81\xCC\x81 \xE2\x80\xAE \xFF\xFE\r\n\xC2\x9B"
        "5m");
    for (int width = 10; width <= 130; width += 3)
        for (int height = 1; height <= 30; height++)
            for (int kind = 0; kind < 4; kind++) {
                const struct live_frame frame = {.width = width,
                                                 .height = height,
                                                 .ascii = kind & 1,
                                                 .color = kind & 2,
                                                 .now = 3};
                struct buf b;
                size_t lines = 0;

                buf_init(&b, 1 << 20);
                const size_t n = live_view_render(v, &frame, &b);
                assert_true(n <= (size_t)height);
                for (size_t at = 0; at < b.len; lines++) {
                    const size_t end = str_find(buf_view(&b), STR("\n"), at);
                    const int columns = columns_of((struct str){b.ptr + at, end - at});

                    if (columns > width)
                        fail_msg("%d columns at width %d: %.*s", columns, width, (int)(end - at),
                                 b.ptr + at);
                    at = end + 1;
                }
                assert_int_equal(lines, n);
                buf_release(&b);
            }
    free_view(v);
}

static void foreign_text_becomes_one_harmless_line(void **state)
{
    static const struct {
        const char *text, *want;
        int columns;
        bool ascii;
    } cases[] = {
        {"a\n\t b\r\nc  ", "a b c", 20, false},
        {"\x1b[31mred\x07", "\xC2\xB7[31mred\xC2\xB7", 20, false},
        {"\xE4\xBD\xA0\xE5\xA5\xBD", "\xE4\xBD\xA0\xE2\x80\xA6", 3, false}, /* two columns each */
        {"\xE4\xBD\xA0\xE5\xA5\xBD", "\xE4\xBD\xA0\xE5\xA5\xBD", 4, false},
        {"e\xCC\x81\xCC\x81\xCC\x81\xCC\x81x", "e\xCC\x81\xCC\x81x", 9, false},
        {"\xE2\x80\xAE"
         "abc",
         "abc", 9, false},
        {"\xFFz", "\xEF\xBF\xBDz", 9, false},
        {"caf\xC3\xA9", "caf?", 9, true},
        {"a\x1b\x7fz", "a??z", 9, true},
        {"a\x7fz", "a\xC2\xB7z", 9, false},
        {"abcdef", "ab...", 5, true},
        {"abcde", "abcde", 5, true},
        {"abc", "", 0, false},
        {"", "", 5, false},
    };
    struct buf b;

    (void)state;
    buf_init(&b, 1000);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buf_clear(&b);
        const int n = live_text(&b, str_of(cases[i].text), cases[i].columns, cases[i].ascii);
        ASSERT_STR(buf_view(&b), cases[i].want);
        assert_true(n <= cases[i].columns);
        assert_int_equal(n, columns_of(buf_view(&b)));
    }
    buf_release(&b);
}

static void going_back_forgets_later_steps_and_keeps_the_earlier_curve(void **state)
{
    static const char *const columns[] = {"step", "total_steps", "train_mean_reward"};
    static const double cells[] = {1, 8, 0.1, 2, 8, 0.2, 3, 8, 0.3};
    const struct run_metrics m = {.n_columns = 3, .n_rows = 3, .column = columns, .cell = cells};
    struct live_view *v = new_view();

    (void)state;
    tell_four(v);
    live_view_rewind(v, 2, &m);
    assert_int_equal(v->n_points, 2);
    assert_true(v->point[1].train == 0.2);
    assert_int_equal(v->last.step, 2);
    live_view_rewind(v, 0, NULL);
    assert_int_equal(v->n_points, 0);
    free_view(v);
}

static void a_log_has_a_line_a_step(void **state)
{
    const struct step_metrics m = {.step = 3,
                                   .total_steps = 150,
                                   .n_samples = 128,
                                   .train_mean_reward = 0.4216,
                                   .has_valid = true,
                                   .valid_mean_reward = 0.5,
                                   .valid_ci95 = 0.04,
                                   .entropy = 1.25,
                                   .kl = 0.0031,
                                   .n_flat_groups = 2,
                                   .n_groups = 8,
                                   .truncated_share = 0.03,
                                   .seconds_sampling = 2,
                                   .tokens_sampled = 2480,
                                   .seconds_left = 4000};
    struct buf b;

    (void)state;
    buf_init(&b, 10000);
    live_view_step_line(&m, &b);
    ASSERT_STR(
        buf_view(&b),
        "step 3/150  reward 0.422  validation 0.500 +- 0.040  entropy 1.250  kl 0.0031  no signal 2/8  cut off 3 %  "
        "1240 tokens/s  1 h 06 min left\n");
    buf_clear(&b);
    live_view_event_line(EVENT_WARN, "two\nlines \x1b[2J", &b);
    ASSERT_STR(buf_view(&b), "warning: two lines \xC2\xB7[2J\n");
    buf_release(&b);
}

/* ---- on a terminal ---- */

#define ROWS 30
#define COLUMNS 90

/* As much of a terminal as is needed to see where lines come to stand. */
struct screen {
    char cell[ROWS][COLUMNS + 1];
    size_t row, column;
};

static void new_row(struct screen *s)
{
    if (++s->row == ROWS) {
        memmove(s->cell[0], s->cell[1], sizeof s->cell - sizeof s->cell[0]);
        s->row--;
        memset(s->cell[s->row], ' ', COLUMNS);
    }
}

static void erase(struct screen *s, size_t row, size_t column)
{
    for (; row < ROWS && column < COLUMNS; column++)
        s->cell[row][column] = ' ';
}

/* One sequence after ESC [; returns its length. */
static size_t sequence(struct screen *s, const char *p)
{
    const size_t n = strspn(p, "?;0123456789");
    const size_t number = (size_t)atoi(p);

    if (p[n] == 'A') {
        assert_true(s->row >= number); /* it never has to go above what it drew */
        s->row -= number;
    } else if (p[n] == 'K') {
        erase(s, s->row, s->column);
    } else if (p[n] == 'J') {
        erase(s, s->row, s->column);
        for (size_t r = s->row + 1; r < ROWS; r++)
            erase(s, r, 0);
    } else {
        assert_true(p[n] == 'm' || ((p[n] == 'h' || p[n] == 'l') && p[0] == '?'));
    }
    return n + 1;
}

static void show(struct screen *s, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '\x1b') {
            assert_true(p[i + 1] == '[');
            i += 1 + sequence(s, p + i + 2);
        } else if (p[i] == '\r') {
            s->column = 0;
        } else if (p[i] == '\n') {
            new_row(s);
        } else if (((unsigned char)p[i] & 0xC0) != 0x80) {
            assert_true(s->column < COLUMNS);
            s->cell[s->row][s->column++] = (unsigned char)p[i] < 0x80 ? p[i] : '?';
        }
    }
}

/* Runs a job in a child on a terminal of its own, and returns all that it wrote. */
static struct buf watch(bool plain, const char *no_color, size_t last)
{
    struct winsize size = {.ws_row = ROWS, .ws_col = COLUMNS};
    struct buf all;
    int master;

    buf_init(&all, 1 << 26);
    const pid_t child = forkpty(&master, NULL, NULL, &size);
    assert_true(child >= 0);
    if (child == 0) {
        struct fake_run f = fake_run_defaults();
        const struct live_options opt = {.fd = STDERR_FILENO, .plain = plain, .title = "organ"};
        struct live *l = NULL;

        setenv("TERM", "xterm-256color", 1);
        setenv("LC_ALL", "C.UTF-8", 1);
        unsetenv("NO_COLOR");
        if (no_color != NULL)
            setenv("NO_COLOR", no_color, 1);
        f.n_steps = 20;
        fputs("$ hone train\r\n", stderr);
        const bool ok =
            live_open(&opt, &l, &err) && fake_run_tell(&f, live_sink(l), &words, 0, last, &err);
        live_close(l);
        fputs("$ ", stderr);
        _exit(ok ? 0 : 1);
    }
    for (;;) {
        char block[4096];
        const ssize_t n = read(master, block, sizeof block);

        if (n <= 0)
            break;
        buf_put(&all, block, (size_t)n);
    }
    int status;
    waitpid(child, &status, 0);
    close(master);
    assert_int_equal(status, 0);
    return all;
}

static void pictures_are_drawn_over_each_other(void **state)
{
    struct screen s = {.row = 0};
    struct buf all = watch(false, NULL, 20);
    int titles = 0, row = 0;

    (void)state;
    memset(s.cell, ' ', sizeof s.cell);
    show(&s, all.ptr, all.len);
    for (int r = 0; r < ROWS; r++) {
        s.cell[r][COLUMNS] = '\0';
        titles += strstr(s.cell[r], "step 20 of 20") != NULL;
        row = strstr(s.cell[r], "step 20 of 20") != NULL ? r : row;
    }
    assert_int_equal(titles, 1);
    assert_int_equal(row, 1); /* right below the command */
    assert_true(strncmp(s.cell[0], "$ hone train ", 13) == 0);
    assert_true(strncmp(s.cell[row + 2], "done", 4) == 0);
    assert_true(strncmp(s.cell[s.row], "$ ", 2) == 0 && s.row > 12); /* what follows stands below */
    /* nothing stays switched off */
    assert_non_null(strstr(all.ptr + all.len - 24, "\x1b[?7h\x1b[?2026l$ "));
    buf_release(&all);
}

static void lines_are_written_where_no_picture_is_wanted(void **state)
{
    for (int kind = 0; kind < 2; kind++) {
        struct buf all = watch(kind == 0, kind == 1 ? "1" : NULL, 3);

        (void)state;
        assert_null(strchr(all.ptr, '\x1b'));
        assert_non_null(strstr(all.ptr, "step 3/20  reward "));
        assert_non_null(strstr(all.ptr, "Fine-tuning job started"));
        buf_release(&all);
    }
}

static bool refuses(void *ctx, const struct step_metrics *m, struct error *e)
{
    (void)ctx;
    return m->step < 2 || fail(e, ERR_IO, "the disk is full");
}

static bool refuses_checkpoint(void *ctx, size_t step, struct error *e)
{
    (void)ctx;
    return fail(e, ERR_IO, "the disk is full before checkpoint %zu", step);
}

static void the_next_sink_is_asked_before_a_checkpoint(void **state)
{
    const struct progress_sink next = {.before_checkpoint = refuses_checkpoint};
    const struct live_options opt = {
        .fd = open("/dev/null", O_WRONLY | O_CLOEXEC), .title = "organ", .next = &next};
    struct live *l = NULL;

    (void)state;
    ASSERT_OK(live_open(&opt, &l, &err));
    const struct progress_sink sink = live_sink(l);
    ASSERT_FAILS(sink.before_checkpoint(sink.ctx, 7, &err), ERR_IO, "checkpoint 7");
    live_close(l);
    close(opt.fd);
}

static void what_the_next_sink_refuses_stops_the_run(void **state)
{
    const struct progress_sink next = {.step = refuses};
    const struct live_options opt = {
        .fd = open("/dev/null", O_WRONLY | O_CLOEXEC), .title = "organ", .next = &next};
    struct fake_run f = fake_run_defaults();
    struct live *l = NULL;

    (void)state;
    f.n_steps = 3;
    ASSERT_OK(live_open(&opt, &l, &err));
    ASSERT_FAILS(fake_run_tell(&f, live_sink(l), &words, 0, 3, &err), ERR_IO, "the disk is full");
    live_close(l);
    live_close(NULL);
    close(opt.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(before_the_first_step_there_is_little_to_say),
        cmocka_unit_test(a_running_job_is_shown),
        cmocka_unit_test(shadow_graders_are_shown_as_such),
        cmocka_unit_test(a_narrow_and_a_low_terminal_show_what_matters_most),
        cmocka_unit_test(a_picture_fits_whatever_an_answer_holds),
        cmocka_unit_test(foreign_text_becomes_one_harmless_line),
        cmocka_unit_test(going_back_forgets_later_steps_and_keeps_the_earlier_curve),
        cmocka_unit_test(a_log_has_a_line_a_step),
        cmocka_unit_test(pictures_are_drawn_over_each_other),
        cmocka_unit_test(lines_are_written_where_no_picture_is_wanted),
        cmocka_unit_test(what_the_next_sink_refuses_stops_the_run),
        cmocka_unit_test(the_next_sink_is_asked_before_a_checkpoint),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
