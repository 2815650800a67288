/*
 * jinja_loop.c - {% for %}, and the loop object: jinja2's LoopContext.
 *
 * An iteration may be a generator, which computes an item when it is asked for; so the loop looks ahead no further
 * than the template does, and loop.length of a generator runs it to its end.
 */
#include "text/jinja_eval.h"

static struct jinja_value missing(void)
{
    return (struct jinja_value){.type = JINJA_MISSING};
}

/* The next item, which may have been looked at before. */
static bool advance(struct jinja_render *r, struct jinja_loop *loop, struct jinja_value *out,
                    bool *done)
{
    *done = false;
    if (loop->after.type != JINJA_MISSING) {
        *out = loop->after;
        loop->after = missing();
        return true;
    }
    return jinja_next(r, &loop->iter, out, done);
}

static bool peek(struct jinja_render *r, struct jinja_loop *loop)
{
    bool done;

    if (loop->after.type != JINJA_MISSING)
        return true;
    if (!jinja_next(r, &loop->iter, &loop->after, &done))
        return false;
    if (done)
        loop->after = missing();
    return true;
}

bool jinja_loop_length(struct jinja_render *r, struct jinja_loop *loop, size_t *out)
{
    struct jinja_items rest = {0};
    struct jinja_value list;
    bool done = false;

    if (!loop->has_length && !jinja_length(loop->iter.of, &loop->length)) {
        while (!done) {
            struct jinja_value item;

            if (!jinja_next(r, &loop->iter, &item, &done) ||
                (!done && !jinja_items_add(r, &rest, item)))
                return false;
        }
        if (!jinja_items_list(r, &rest, &list))
            return false;
        loop->length = rest.n + loop->n_begun + (loop->after.type != JINJA_MISSING);
        loop->iter = (struct jinja_iter){.of = list};
    }
    loop->has_length = true;
    *out = loop->length;
    return true;
}

/* ---- attributes ---- */

static bool cycle(struct jinja_call *c)
{
    const struct jinja_loop *loop = c->self.loop;

    if (c->args->n_kw > 0)
        return jinja_raise(c->r, "cycle() takes no keyword arguments");
    if (c->args->n_pos == 0)
        return jinja_raise(c->r, "no items for cycling given");
    *c->out = c->args->pos[(loop->n_begun - 1) % c->args->n_pos];
    return true;
}

static bool changed(struct jinja_call *c)
{
    struct jinja_loop *loop = c->self.loop;
    struct jinja_value *items, now;
    bool same = false;

    if (!jinja_tuple(c->r, c->args->n_pos, &items, &now))
        return false;
    for (size_t i = 0; i < c->args->n_pos; i++)
        items[i] = c->args->pos[i];
    if (loop->has_changed && !jinja_equal(c->r, loop->changed, now, &same))
        return false;
    loop->has_changed = true;
    loop->changed = now;
    *c->out = jinja_bool(!same);
    return true;
}

static const struct jinja_builtin loop_methods[] = {
    {"cycle", cycle, "*"},
    {"changed", changed, "*"},
};

static bool neighbour(struct jinja_render *r, struct jinja_loop *loop, bool next,
                      struct jinja_value *out)
{
    if (next && !peek(r, loop))
        return false;
    if (next ? loop->after.type == JINJA_MISSING : loop->n_begun == 1)
        return jinja_undefined_hint(r, out,
                                    next ? "there is no next item" : "there is no previous item");
    *out = next ? loop->after : loop->before;
    return true;
}

static bool loop_method(struct jinja_render *r, struct jinja_value loop, struct str name,
                        bool *found, struct jinja_value *out)
{
    for (size_t i = 0; i < sizeof loop_methods / sizeof *loop_methods; i++) {
        if (!str_is(name, loop_methods[i].name))
            continue;
        struct jinja_method *m = jinja_alloc(r, 1, sizeof *m);
        if (m == NULL)
            return false;
        *m = (struct jinja_method){&loop_methods[i], loop};
        *out = (struct jinja_value){.type = JINJA_METHOD, .method = m};
        return true;
    }
    *found = false;
    return true;
}

bool jinja_loop_attribute(struct jinja_render *r, struct jinja_value v, struct str name,
                          bool *found, struct jinja_value *out)
{
    struct jinja_loop *loop = v.loop;
    const int64_t index = (int64_t)loop->n_begun;
    size_t length = 0;

    *found = true;
    if (str_is(name, "index0"))
        *out = jinja_int(index - 1);
    else if (str_is(name, "index"))
        *out = jinja_int(index);
    else if (str_is(name, "first"))
        *out = jinja_bool(index == 1);
    else if (str_is(name, "depth"))
        *out = jinja_int((int64_t)loop->depth0 + 1);
    else if (str_is(name, "depth0"))
        *out = jinja_int((int64_t)loop->depth0);
    else if (str_is(name, "previtem") || str_is(name, "nextitem"))
        return neighbour(r, loop, str_is(name, "nextitem"), out);
    else if (str_is(name, "last")) {
        if (!peek(r, loop))
            return false;
        *out = jinja_bool(loop->after.type == JINJA_MISSING);
    } else if (str_is(name, "length") || str_is(name, "revindex") || str_is(name, "revindex0")) {
        if (!jinja_loop_length(r, loop, &length))
            return false;
        *out = jinja_int((int64_t)length - (str_is(name, "length")     ? 0
                                            : str_is(name, "revindex") ? index - 1
                                                                       : index));
    } else {
        return loop_method(r, v, name, found, out);
    }
    return true;
}

/* ---- running ---- */

struct filter_state {
    const struct jinja_for *f;
    struct jinja_activation *act;
    bool begun;
};

/* The items that pass the loop's "if": a generator of its own, with its own copy of the loop's targets. */
static bool next_filtered(struct jinja_render *r, struct jinja_gen *g, struct jinja_value *out,
                          bool *done)
{
    struct filter_state *s = g->state;

    if (!s->begun) {
        jinja_enter_frame(r, s->act, &s->f->test_function->frame);
        if (!jinja_iter(r, g->from.of, &g->from))
            return false;
        s->begun = true;
    }
    for (;;) {
        struct jinja_value pass;
        bool yes;

        if (!jinja_next(r, &g->from, out, done))
            return false;
        if (*done)
            return true;
        if (!jinja_assign(r, s->act, s->f->test_target, *out) ||
            !jinja_eval(r, s->act, s->f->test, &pass) || !jinja_truth(r, pass, &yes))
            return false;
        if (yes)
            return true;
    }
}

static bool filtered(struct jinja_render *r, struct jinja_activation *around,
                     const struct jinja_for *f, struct jinja_value items, struct jinja_value *out)
{
    struct filter_state *s = jinja_alloc(r, 1, sizeof *s);

    if (s == NULL)
        return false;
    s->f = f;
    s->act = jinja_activate(r, f->test_function, around);
    return s->act != NULL && jinja_generator(r, "generator", items, next_filtered, s, out);
}

/* One round; fell_through is false after break and continue. */
static bool run_round(struct jinja_render *r, struct jinja_activation *act, struct jinja_loop *loop,
                      struct jinja_value item, enum jinja_flow *flow)
{
    const struct jinja_for *f = loop->node;

    loop->n_begun++;
    loop->before = loop->current;
    loop->current = item;
    if (!jinja_assign(r, act, f->target, item))
        return false;
    if (f->extended)
        *jinja_slot(act, f->loop) = (struct jinja_value){.type = JINJA_LOOP, .loop = loop};
    jinja_enter_frame(r, act, &f->body_frame);
    return jinja_exec(r, act, &f->body, flow);
}

/* act holds the body's variables, around those of the frame outside. */
static bool run_loop(struct jinja_render *r, struct jinja_activation *act,
                     struct jinja_activation *around, const struct jinja_for *f,
                     struct jinja_value items, size_t depth0, enum jinja_flow *outer)
{
    struct jinja_loop *loop = jinja_alloc(r, 1, sizeof *loop);
    enum jinja_flow flow = JINJA_FLOW_ON;
    bool some = false;

    if (loop == NULL || (f->test != NULL && !filtered(r, around, f, items, &items)) ||
        !jinja_iter(r, items, &loop->iter))
        return false;
    loop->depth0 = depth0;
    loop->node = f;
    loop->around = around;
    while (flow != JINJA_FLOW_BREAK) {
        struct jinja_value item;
        bool done;

        if (!advance(r, loop, &item, &done))
            return false;
        if (done)
            break;
        flow = JINJA_FLOW_ON;
        if (!run_round(r, act, loop, item, &flow))
            return false;
        some =
            some || flow == JINJA_FLOW_ON; /* as there: else runs unless a round came to its end */
    }
    jinja_leave_frame(act, &f->body_frame);
    if (!f->has_else || some)
        return true;
    jinja_enter_frame(r, act, &f->else_frame);
    if (!jinja_exec(r, act, &f->orelse, outer)) /* a break in there is one of the loop outside */
        return false;
    jinja_leave_frame(act, &f->else_frame);
    return true;
}

/* loop(items) in a recursive loop: the text of the loop over these. */
static bool recurse(struct jinja_render *r, struct jinja_activation *around,
                    const struct jinja_for *f, struct jinja_value items, size_t depth0,
                    struct jinja_value *out)
{
    struct jinja_activation *act = jinja_activate(r, f->recursive_function, around);
    const size_t mark = jinja_capture_begin(r);
    enum jinja_flow flow = JINJA_FLOW_ON;

    if (act == NULL || !jinja_enter_call(r) || !run_loop(r, act, around, f, items, depth0, &flow))
        return false;
    r->depth--;
    if (!jinja_capture_end(r, mark, out))
        return false;
    out->safe = f->escapes;
    return true;
}

bool jinja_call_loop(struct jinja_render *r, struct jinja_loop *loop, const struct jinja_args *args,
                     struct jinja_value *out)
{
    if (!loop->node->recursive)
        return jinja_raise(r,
                           "The loop must have the 'recursive' marker to be called recursively.");
    if (args->n_pos != 1 || args->n_kw > 0)
        return jinja_raise(r, "loop() takes one iterable");
    return recurse(r, loop->around, loop->node, args->pos[0], loop->depth0 + 1, out);
}

bool jinja_exec_for(struct jinja_render *r, struct jinja_activation *act, const struct jinja_for *f,
                    enum jinja_flow *flow)
{
    struct jinja_value items, text;

    if (!jinja_eval(r, act, f->iter, &items))
        return false;
    if (f->recursive)
        return recurse(r, act, f, items, 0, &text) && jinja_put_str(r, text);
    if (!jinja_enter_call(r) || !run_loop(r, act, act, f, items, 0, flow))
        return false;
    r->depth--;
    return true;
}
