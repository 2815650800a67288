/*
 * checkpoint_fuzz.c - a checkpoint of any bytes, which may come with a run, a backup or an adapter from elsewhere: the first byte says which
 * of its files the rest is ('c' adapter_config.json, 'w' adapter_model.safetensors, 'o' optimizer.safetensors, 's' state.json). It is
 * refused by a sentence, or loaded, and then saved and loaded again the same.
 */
#include "fuzz.h"

#include "base/file.h"
#include "base/size.h"
#include "train/checkpoint.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define STEP 3

static const char *dir;
static struct arena kept;
static struct model model = {.config = {.family = "llama",
                                        .n_layers = 1,
                                        .width = 4,
                                        .n_heads = 2,
                                        .n_kv_heads = 1,
                                        .head_width = 2,
                                        .hidden = 4,
                                        .vocab = 8,
                                        .context = 8}};
static const struct optimizer_options usual = {
    .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .max_grad_norm = 1};

static const struct {
    char letter;
    const char *name;
} files[] = {{'c', "adapter_config.json"},
             {'w', "adapter_model.safetensors"},
             {'o', "optimizer.safetensors"},
             {'s', "state.json"}};
static struct str good[COUNT_OF(files)];

/* One training run: its adapter, moments and state. */
struct run {
    struct arena arena;
    struct adapter *adapter;
    struct optimizer optimizer;
    struct train_state state;
};

static void run_open(struct run *r)
{
    struct error err = {0};

    *r = (struct run){0};
    must(adapter_new(&model.config, 1, 2, 7, &r->adapter, &err), &err);
    must(optimizer_init(&r->optimizer, &usual, r->adapter->n_values, false, &r->arena, &err), &err);
}

static void run_close(struct run *r)
{
    adapter_close(r->adapter);
    arena_release(&r->arena);
}

static void save(struct run *r, const char *to, struct arena *a)
{
    const struct checkpoint_parts parts = {.adapter = r->adapter,
                                           .model = &model,
                                           .optimizer = &r->optimizer,
                                           .state = &r->state,
                                           .stays = true};
    const char *made;
    struct error err = {0};

    must(checkpoint_save(to, &parts, a, &made, &err), &err);
}

static const char *file_of(const char *run, const char *name, uint64_t step, struct arena *a)
{
    return arena_printf(a, "%s/checkpoints/step-%llu/%s", run, (unsigned long long)step, name);
}

static void let_go(void)
{
    arena_release(&kept);
}

static void open_dir(void)
{
    struct error err = {0};
    struct run r;

    if (dir != NULL)
        return;
    dir = fuzz_dir();
    atexit(let_go);
    run_open(&r);
    r.state = (struct train_state){
        .step = STEP, .n_best = 1, .best_step = {2}, .best_reward = {0.5}, .group_size = 4};
    save(&r, file_join(&kept, dir, "a"), &kept);
    run_close(&r);
    for (size_t i = 0; i < COUNT_OF(files); i++)
        must(file_read(file_of(file_join(&kept, dir, "a"), files[i].name, STEP, &kept), 1 << 20,
                       &kept, &good[i], &err),
             &err);
}

static void put(const char *path, struct str bytes)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    check(fd >= 0 && write(fd, bytes.ptr, bytes.len) == (ssize_t)bytes.len);
    close(fd);
}

static bool load(struct run *r, const char *from, uint64_t step, struct error *err)
{
    run_open(r);
    return checkpoint_load(from, step, &model, r->adapter, &r->optimizer, &r->state, err);
}

static bool same_file(const char *one, const char *other, struct arena *a)
{
    struct error err = {0};
    struct str x = {0}, y = {0};

    must(file_read(one, 1 << 20, a, &x, &err) && file_read(other, 1 << 20, a, &y, &err), &err);
    return str_eq(x, y);
}

/* What was loaded is saved, loaded and saved again: the files of both are the same. */
static void save_twice(struct run *r, struct arena *a)
{
    const char *b = file_join(a, dir, "b"), *c = file_join(a, dir, "c");
    const uint64_t step = r->state.step;
    struct run again;
    struct error err = {0};

    save(r, b, a);
    must(load(&again, b, step, &err), &err);
    check(again.state.step == step && again.state.n_best == r->state.n_best);
    save(&again, c, a);
    run_close(&again);
    for (size_t i = 0; i < COUNT_OF(files); i++)
        check(same_file(file_of(b, files[i].name, step, a), file_of(c, files[i].name, step, a), a));
    must(file_remove_tree(b, &err) && file_remove_tree(c, &err), &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a = {0};
    struct error err = {0};
    struct run r;
    size_t which = COUNT_OF(files);

    if (size < 1 || size > 1 << 14)
        return 0;
    for (size_t i = 0; i < COUNT_OF(files); i++)
        if (data[0] == files[i].letter)
            which = i;
    if (which == COUNT_OF(files))
        return 0;
    open_dir();
    const char *path = file_of(file_join(&a, dir, "a"), files[which].name, STEP, &a);
    put(path, (struct str){(const char *)data + 1, size - 1});
    if (load(&r, file_join(&a, dir, "a"), STEP, &err)) {
        check(isfinite(r.adapter->scale) && r.state.n_best <= CHECKPOINT_BEST);
        save_twice(&r, &a);
    } else {
        check(err.kind != ERR_NONE && err.message[0] != '\0');
    }
    (void)checkpoint_stays(file_join(&a, dir, "a"), STEP);
    run_close(&r);
    put(path, good[which]);
    arena_release(&a);
    return 0;
}
