/*
 * jobs.c - jobs in any state.
 */
#include "support/jobs.h"

const char *const job_states[8] = {"validating_files", "queued",    "running", "pausing",
                                   "paused",           "succeeded", "failed",  "cancelled"};

struct job_row test_job(struct test_store *t, const char *project)
{
    struct error err = {0};
    struct arena *a = &t->arena;
    struct job_row j = {.project_id = arena_text(a, str_of(project)),
                        .method = arena_text(a, STR("reinforcement")),
                        .model = arena_text(a, STR("qwen3-0.6b")),
                        .training_file = arena_text(a, STR("file-train")),
                        .body = arena_text(a, STR("{\"model\":\"qwen3-0.6b\"}")),
                        .seed = 42};

    ASSERT_OK(jobs_add(t->s, &j, NULL, 0, a, &err));
    return j;
}

struct job_row test_job_now(struct test_store *t, const char *id)
{
    struct error err = {0};
    struct job_row j;

    ASSERT_OK(jobs_get(t->s, NULL, str_of(id), &t->arena, &j, &err));
    return j;
}

struct lease test_take(struct test_store *t, const char *worker)
{
    const struct worker_offer w = {
        .worker = worker, .machine = "m", .machine_bytes = INT64_MAX / 2, .lease_seconds = 60};
    struct error err = {0};
    struct lease l = {0};
    struct job_row j;
    bool found;

    ASSERT_OK(jobs_take(t->s, &w, &t->arena, &found, &j, &l, &err));
    assert_true(found);
    return l;
}

bool test_change(struct test_store *t, const struct lease *l, const char *status, struct error *err)
{
    struct job_change c = job_change_none();

    c.status = status;
    return jobs_change(t->s, l, &c, NULL, 0, err);
}

static void ask(struct test_store *t, const char *id, enum job_ask what)
{
    struct error err = {0};
    struct job_row j;

    ASSERT_OK(jobs_ask(t->s, t->project, str_of(id), what, &t->arena, &j, &err));
}

struct job_row test_job_in(struct test_store *t, const char *state, struct lease *lease)
{
    const struct job_row j = test_job(t, t->project);
    struct error err = {0};

    *lease = (struct lease){0};
    if (strcmp(state, "validating_files") != 0) {
        *lease = test_take(t, "worker");
        assert_string_equal(lease->job_id, j.id);
        if (strcmp(state, "cancelled") != 0)
            ASSERT_OK(test_change(t, lease, "queued", &err));
        else
            ask(t, j.id, JOB_CANCEL);
    }
    if (strcmp(state, "running") == 0 || strcmp(state, "pausing") == 0 ||
        strcmp(state, "paused") == 0 || strcmp(state, "succeeded") == 0)
        ASSERT_OK(test_change(t, lease, "running", &err));
    if (strcmp(state, "pausing") == 0 || strcmp(state, "paused") == 0)
        ask(t, j.id, JOB_PAUSE);
    if (strcmp(state, "paused") == 0 || strcmp(state, "succeeded") == 0 ||
        strcmp(state, "failed") == 0)
        ASSERT_OK(test_change(t, lease, state, &err));

    const struct job_row now = test_job_now(t, j.id);

    assert_string_equal(now.status, state);
    return now;
}
