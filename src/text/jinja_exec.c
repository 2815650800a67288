/*
 * jinja_exec.c - statements: what a template writes, captures, assigns and defines.
 */
#include "text/jinja_eval.h"

#include <assert.h>

/* ---- capturing ---- */

size_t jinja_capture_begin(struct jinja_render *r)
{
    if (r->n_captures++ == 0)
        r->outermost_capture = r->out.len;
    return r->out.len;
}

bool jinja_capture_end(struct jinja_render *r, size_t mark, struct jinja_value *out)
{
    r->n_captures--;
    return jinja_take(r, mark, out);
}

void jinja_capture_drop(struct jinja_render *r, size_t mark)
{
    r->n_captures--;
    r->out.len = mark;
}

/* ---- assigning ---- */

static bool assign_namespace(struct jinja_render *r, struct jinja_activation *act,
                             const struct jinja_node *target, struct jinja_value v)
{
    const struct jinja_value ns = *jinja_slot(act, target->name.ref);
    const struct str name = target->name.attribute;
    struct jinja_value key;

    if (ns.type != JINJA_NAMESPACE)
        return jinja_raise(r, "cannot assign attribute on non-namespace object");
    if (name.ptr[0] == '_')
        return jinja_raise(
            r,
            "Chat templates cannot store underscore-prefixed attributes on a namespace, "
            "but got '" STR_FMT "'. Please rename the attribute.",
            STR_ARG(name));
    return jinja_str_view(r, name, &key) && jinja_dict_set(r, ns.dict, key, v);
}

static bool unpack(struct jinja_render *r, struct jinja_activation *act,
                   const struct jinja_node *target, struct jinja_value v)
{
    const size_t n = target->items.n;
    struct jinja_items items = {0};
    struct jinja_iter it;
    bool done = false;

    if (!jinja_iterable(v))
        return jinja_raise(r, "cannot unpack non-iterable %s object", jinja_type_name(v));
    if (!jinja_iter(r, v, &it))
        return false;
    while (!done && items.n <= n) {
        struct jinja_value item;

        if (!jinja_next(r, &it, &item, &done) || (!done && !jinja_items_add(r, &items, item)))
            return false;
    }
    if (items.n < n)
        return jinja_raise(r, "not enough values to unpack (expected %zu, got %zu)", n, items.n);
    if (items.n > n)
        return jinja_raise(r, "too many values to unpack (expected %zu)", n);
    assert(n == 0 || items.ptr != NULL);
    const struct jinja_node *t = target->items.first;
    for (size_t i = 0; i < n; i++, t = t->next)
        if (!jinja_assign(r, act, t, items.ptr[i]))
            return false;
    return true;
}

bool jinja_assign(struct jinja_render *r, struct jinja_activation *act,
                  const struct jinja_node *target, struct jinja_value v)
{
    if (target->kind == JINJA_N_NAME) {
        *jinja_slot(act, target->name.ref) = v;
        return true;
    }
    r->line = target->line;
    if (target->kind == JINJA_N_NSREF)
        return assign_namespace(r, act, target, v);
    assert(target->kind == JINJA_N_TUPLE);
    return unpack(r, act, target, v);
}

/* What a filter block or a call gives goes out as it is, and must be a str. */
static bool put_result(struct jinja_render *r, struct jinja_value v)
{
    if (v.type != JINJA_STR)
        return jinja_raise(r, "expected str instance, %s found", jinja_type_name(v));
    return jinja_put_str(r, v);
}

/* ---- statements ---- */

static bool exec_output(struct jinja_render *r, struct jinja_activation *act,
                        const struct jinja_node *n)
{
    for (const struct jinja_node *item = n->items.first; item != NULL; item = item->next) {
        struct jinja_value v;

        if (!jinja_eval(r, act, item, &v) || (n->escapes && !jinja_escape(r, v, &v)) ||
            !jinja_put_str(r, v))
            return false;
    }
    return true;
}

static bool exec_if(struct jinja_render *r, struct jinja_activation *act,
                    const struct jinja_node *n, enum jinja_flow *flow)
{
    const struct jinja_node *branch = n;
    struct jinja_value v;
    bool yes;

    for (;;) {
        if (!jinja_eval(r, act, branch->branch.test, &v) || !jinja_truth(r, v, &yes))
            return false;
        if (yes)
            return jinja_exec(r, act, &branch->branch.body, flow);
        branch = branch == n ? n->branch.elifs.first : branch->next;
        if (branch == NULL)
            return jinja_exec(r, act, &n->branch.orelse, flow);
    }
}

static bool exec_set(struct jinja_render *r, struct jinja_activation *act,
                     const struct jinja_node *n)
{
    struct jinja_value v;

    return jinja_eval(r, act, n->set.value, &v) && jinja_assign(r, act, n->set.target, v);
}

/* The text of a body as a value, through the block's filter. *flow says whether the body came to its end. */
static bool capture_block(struct jinja_render *r, struct jinja_activation *act,
                          const struct jinja_node *n, struct jinja_value *out,
                          enum jinja_flow *flow)
{
    const size_t mark = jinja_capture_begin(r);

    jinja_enter_frame(r, act, &n->block.frame);
    if (!jinja_exec(r, act, &n->block.body, flow))
        return false;
    if (*flow != JINJA_FLOW_ON) {
        jinja_capture_drop(r, mark);
        return true;
    }
    if (!jinja_capture_end(r, mark, out))
        return false;
    out->safe = n->escapes;
    return n->block.filter == NULL || jinja_apply_filters(r, act, n->block.filter, *out, out);
}

static bool exec_capture(struct jinja_render *r, struct jinja_activation *act,
                         const struct jinja_node *n, enum jinja_flow *flow)
{
    struct jinja_value v;

    if (!capture_block(r, act, n, &v, flow))
        return false;
    if (*flow != JINJA_FLOW_ON)
        return true;
    if (n->kind == JINJA_N_SET_BLOCK && r->autoescape) {
        if (!jinja_to_str(r, v, &v))
            return false;
        v.safe = true;
    }
    if (!(n->kind == JINJA_N_SET_BLOCK ? jinja_assign(r, act, n->block.target, v)
                                       : put_result(r, v)))
        return false;
    jinja_leave_frame(act, &n->block.frame);
    return true;
}

static bool exec_with(struct jinja_render *r, struct jinja_activation *act,
                      const struct jinja_node *n, enum jinja_flow *flow)
{
    const struct jinja_node *value = n->block.values.first;
    struct jinja_value v;

    jinja_enter_frame(r, act, &n->block.frame);
    for (const struct jinja_node *t = n->block.targets.first; t != NULL; t = t->next) {
        if (!jinja_eval(r, act, value, &v) || !jinja_assign(r, act, t, v))
            return false;
        value = value->next;
    }
    if (!jinja_exec(r, act, &n->block.body, flow))
        return false;
    jinja_leave_frame(act, &n->block.frame);
    return true;
}

static bool make_macro(struct jinja_render *r, struct jinja_activation *act,
                       const struct jinja_node *n, struct jinja_value *out)
{
    struct jinja_macro *m = jinja_alloc(r, 1, sizeof *m);

    if (m == NULL)
        return false;
    *m = (struct jinja_macro){n->macro->name, n->macro, act};
    *out = (struct jinja_value){.type = JINJA_MACRO, .macro = m};
    return true;
}

static bool exec_macro(struct jinja_render *r, struct jinja_activation *act,
                       const struct jinja_node *n)
{
    return make_macro(r, act, n, jinja_slot(act, n->macro->ref));
}

static bool exec_call_block(struct jinja_render *r, struct jinja_activation *act,
                            const struct jinja_node *n)
{
    struct jinja_value caller, v;

    return make_macro(r, act, n, &caller) && jinja_eval_call(r, act, n->macro->call, &caller, &v) &&
           put_result(r, v);
}

/*
 * What a model said. The span is where the text lands if it is written at once. Inside a macro or another capture
 * it is counted from where that begins, as in transformers, which is only right for a capture that begins with it.
 */
static bool exec_generation(struct jinja_render *r, struct jinja_activation *act,
                            const struct jinja_node *n)
{
    static const struct jinja_args none = {0};
    struct jinja_value body, text;

    if (!make_macro(r, act, n, &body) || !jinja_call_macro(r, body.macro, &none, &text))
        return false;
    const size_t from = r->n_captures > 0 ? r->outermost_capture : r->out.len;
    if (r->n_spans < r->max_spans)
        r->spans[r->n_spans] = (struct jinja_span){from, from + text.text->len};
    r->n_spans++;
    return jinja_put_str(r, text);
}

static bool exec_autoescape(struct jinja_render *r, struct jinja_activation *act,
                            const struct jinja_node *n, enum jinja_flow *flow)
{
    const bool outer = r->autoescape;

    r->autoescape = n->block.on;
    jinja_enter_frame(r, act, &n->block.frame);
    if (!jinja_exec(r, act, &n->block.body, flow))
        return false;
    r->autoescape = outer;
    jinja_leave_frame(act, &n->block.frame);
    return true;
}

static bool exec_block(struct jinja_render *r, const struct jinja_node *n)
{
    struct jinja_activation *act = jinja_activate(r, n->block.function, NULL);
    enum jinja_flow flow = JINJA_FLOW_ON;

    if (act == NULL || !jinja_enter_call(r))
        return false;
    jinja_enter_frame(r, act, &n->block.function->frame);
    if (!jinja_exec(r, act, &n->block.body, &flow))
        return false;
    r->depth--;
    return true;
}

bool jinja_call_block(struct jinja_render *r, const struct jinja_node *n, struct jinja_value *out)
{
    const size_t mark = jinja_capture_begin(r);

    if (!exec_block(r, n) || !jinja_capture_end(r, mark, out))
        return false;
    out->safe = r->autoescape;
    return true;
}

bool jinja_find_block(const struct jinja_render *r, struct str name, struct jinja_value *out)
{
    for (size_t i = 0; i < r->program->n_blocks; i++) {
        if (str_eq(r->program->blocks[i]->block.name, name)) {
            *out = (struct jinja_value){.type = JINJA_BLOCK, .block = r->program->blocks[i]};
            return true;
        }
    }
    return false;
}

static bool exec_one(struct jinja_render *r, struct jinja_activation *act,
                     const struct jinja_node *n, enum jinja_flow *flow)
{
    switch ((enum jinja_kind)n->kind) {
    case JINJA_N_DATA:
        return jinja_put_str(r, n->constant);
    case JINJA_N_OUTPUT:
        return exec_output(r, act, n);
    case JINJA_N_IF:
        return exec_if(r, act, n, flow);
    case JINJA_N_FOR:
        return jinja_exec_for(r, act, n->loop, flow);
    case JINJA_N_SET:
        return exec_set(r, act, n);
    case JINJA_N_SET_BLOCK:
    case JINJA_N_FILTER_BLOCK:
        return exec_capture(r, act, n, flow);
    case JINJA_N_WITH:
        return exec_with(r, act, n, flow);
    case JINJA_N_AUTOESCAPE:
        return exec_autoescape(r, act, n, flow);
    case JINJA_N_MACRO:
        return exec_macro(r, act, n);
    case JINJA_N_CALL_BLOCK:
        return exec_call_block(r, act, n);
    case JINJA_N_GENERATION:
        return exec_generation(r, act, n);
    case JINJA_N_BLOCK:
        return exec_block(r, n);
    case JINJA_N_BREAK:
        *flow = JINJA_FLOW_BREAK;
        return true;
    case JINJA_N_CONTINUE:
        *flow = JINJA_FLOW_CONTINUE;
        return true;
    case JINJA_N_REFUSED:
        return jinja_unsupported(r, "'" STR_FMT "' needs other templates, and there are none",
                                 STR_ARG(n->pair.name));
    default:
        assert(false && "an expression among statements");
        return false;
    }
}

bool jinja_exec(struct jinja_render *r, struct jinja_activation *act,
                const struct jinja_nodes *body, enum jinja_flow *flow)
{
    if (!jinja_nest(r))
        return false;
    for (const struct jinja_node *n = body->first; n != NULL && *flow == JINJA_FLOW_ON;
         n = n->next) {
        r->line = n->line;
        if (!jinja_charge(r, 1) || !exec_one(r, act, n, flow))
            return false;
    }
    r->nesting--;
    return true;
}

bool jinja_run(struct jinja_render *r, const struct jinja_program *p)
{
    enum jinja_flow flow = JINJA_FLOW_ON;

    r->program = p;
    r->root = jinja_activate(r, p->function, NULL);
    if (r->root == NULL)
        return false;
    jinja_enter_frame(r, r->root, &p->function->frame);
    return jinja_exec(r, r->root, &p->body, &flow);
}
