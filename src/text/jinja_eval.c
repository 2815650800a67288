/*
 * jinja_eval.c - expressions, and calls of whatever can be called.
 */
#include "text/jinja_eval.h"
#include "base/size.h"

#include <assert.h>

bool jinja_nest(struct jinja_render *r)
{
    if (r->nesting++ < JINJA_MAX_EVAL_DEPTH)
        return true;
    return jinja_limit(r, "calls and expressions nested more than %d deep", JINJA_MAX_EVAL_DEPTH);
}

bool jinja_enter_call(struct jinja_render *r)
{
    if (r->depth++ < JINJA_MAX_DEPTH)
        return true;
    return jinja_limit(r, "calls and loops nested more than %d deep", JINJA_MAX_DEPTH);
}

/* ---- variables ---- */

struct jinja_activation *jinja_activate(struct jinja_render *r, const struct jinja_function *f,
                                        struct jinja_activation *around)
{
    struct jinja_activation *act =
        jinja_alloc(r, 1, sizeof *act + f->n_slots * sizeof(struct jinja_value));

    if (act != NULL)
        act->around = around;
    return act;
}

static struct jinja_value resolve(const struct jinja_render *r, struct str name)
{
    const struct jinja_value *hit = jinja_dict_find(r->context, name);

    return hit == NULL ? (struct jinja_value){.type = JINJA_MISSING} : *hit;
}

void jinja_enter_frame(struct jinja_render *r, struct jinja_activation *act,
                       const struct jinja_frame *frame)
{
    for (size_t i = 0; i < frame->n; i++) {
        const struct jinja_load *load = &frame->loads[i];
        struct jinja_value *slot = &act->slots[load->slot];

        switch (load->action) {
        case JINJA_LOAD_PARAMETER:
            break;
        case JINJA_LOAD_RESOLVE:
            *slot = resolve(r, load->name);
            break;
        case JINJA_LOAD_EXPORTED:
            *slot = r->root->slots[load->from.slot];
            if (slot->type == JINJA_MISSING)
                *slot = resolve(r, load->name);
            break;
        case JINJA_LOAD_ALIAS:
            *slot = *jinja_slot(act, load->from);
            break;
        case JINJA_LOAD_UNDEFINED:
            slot->type = JINJA_MISSING;
            break;
        }
    }
}

void jinja_leave_frame(struct jinja_activation *act, const struct jinja_frame *frame)
{
    for (size_t i = 0; i < frame->n; i++)
        act->slots[frame->loads[i].slot].type = JINJA_MISSING;
}

static bool eval_name(struct jinja_render *r, struct jinja_activation *act,
                      const struct jinja_node *n, struct jinja_value *out)
{
    *out = *jinja_slot(act, n->name.ref);
    return out->type != JINJA_MISSING || jinja_undefined_name(r, n->name.name, out);
}

/* ---- calls ---- */

static bool same_keyword(const struct jinja_keyword *kw, size_t n, struct str name)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(kw[i].name, name))
            return true;
    return false;
}

static bool add_keyword(struct jinja_render *r, struct jinja_keyword *kw, size_t *n,
                        struct str name, struct jinja_value v)
{
    if (same_keyword(kw, *n, name))
        return jinja_raise(r, "got multiple values for keyword argument '" STR_FMT "'",
                           STR_ARG(name));
    kw[(*n)++] = (struct jinja_keyword){name, v};
    return jinja_charge(r, *n);
}

/* **mapping */
static bool add_keywords(struct jinja_render *r, struct jinja_value map, struct jinja_keyword *kw,
                         size_t *n)
{
    for (size_t i = 0; i < map.dict->n; i++) {
        const struct jinja_entry *e = &map.dict->entries[i];

        if (e->key.type != JINJA_STR)
            return jinja_raise(r, "keywords must be strings");
        if (!add_keyword(r, kw, n, (struct str){e->key.text->ptr, e->key.text->len}, e->value))
            return false;
    }
    return true;
}

static bool eval_args(struct jinja_render *r, struct jinja_activation *act,
                      const struct jinja_invocation *call, const struct jinja_value *caller,
                      struct jinja_args *out)
{
    struct jinja_items pos = {.cap = call->args.n};
    struct jinja_value v, map = {0};
    size_t n_kw = 0;

    pos.ptr = call->args.n == 0 ? NULL : jinja_alloc(r, call->args.n, sizeof *pos.ptr);
    if (call->args.n > 0 && pos.ptr == NULL)
        return false;
    for (const struct jinja_node *n = call->args.first; n != NULL; n = n->next)
        if (!jinja_eval(r, act, n, &v) || !jinja_items_add(r, &pos, v))
            return false;
    if (call->star != NULL && (!jinja_eval(r, act, call->star, &v) || !jinja_collect(r, v, &pos)))
        return false;
    *out = (struct jinja_args){.pos = pos.ptr, .n_pos = pos.n};
    if (call->kwargs.n == 0 && call->star_star == NULL && caller == NULL)
        return true;
    struct jinja_value *values = jinja_alloc(r, call->kwargs.n, sizeof *values);
    if (values == NULL)
        return false;
    size_t i = 0;
    for (const struct jinja_node *n = call->kwargs.first; n != NULL; n = n->next)
        if (!jinja_eval(r, act, n->pair.left, &values[i++]))
            return false;
    if (call->star_star != NULL) {
        if (!jinja_eval(r, act, call->star_star, &map))
            return false;
        if (map.type != JINJA_DICT)
            return jinja_raise(r, "argument after ** must be a mapping, not %s",
                               jinja_type_name(map));
    }
    struct jinja_keyword *kw =
        jinja_alloc(r, call->kwargs.n + 1 + (map.type == JINJA_DICT ? map.dict->n : 0), sizeof *kw);
    if (kw == NULL)
        return false;
    i = 0;
    for (const struct jinja_node *n = call->kwargs.first; n != NULL; n = n->next)
        if (!add_keyword(r, kw, &n_kw, n->pair.name, values[i++]))
            return false;
    if (caller != NULL && !add_keyword(r, kw, &n_kw, STR("caller"), *caller))
        return false;
    if (map.type == JINJA_DICT && !add_keywords(r, map, kw, &n_kw))
        return false;
    out->kw = kw;
    out->n_kw = n_kw;
    return true;
}

/* The keyword of this name, taken out of kw. */
static bool take_keyword(struct jinja_keyword *kw, size_t *n, struct str name,
                         struct jinja_value *out)
{
    for (size_t i = 0; i < *n; i++) {
        if (!str_eq(kw[i].name, name))
            continue;
        *out = kw[i].value;
        memmove(kw + i, kw + i + 1, (*n - i - 1) * sizeof *kw);
        (*n)--;
        return true;
    }
    return false;
}

static bool bind_rest(struct jinja_render *r, const struct jinja_macro *m,
                      struct jinja_activation *act, const struct jinja_args *args,
                      struct jinja_keyword *kw, size_t n_kw)
{
    const struct jinja_macro_node *node = m->node;
    const size_t n_rest = args->n_pos > node->params.n ? args->n_pos - node->params.n : 0;

    if (node->uses_caller && !node->explicit_caller) {
        struct jinja_value *caller = &act->slots[node->caller];

        if ((!take_keyword(kw, &n_kw, STR("caller"), caller) || caller->type == JINJA_NONE) &&
            !jinja_undefined_hint(r, caller, "No caller defined"))
            return false;
    }
    if (node->uses_kwargs) {
        struct jinja_dict *rest = jinja_dict_new(r, n_kw);

        if (rest == NULL)
            return false;
        for (size_t i = 0; i < n_kw; i++) {
            struct jinja_value key;

            if (!jinja_str_view(r, kw[i].name, &key) || !jinja_dict_set(r, rest, key, kw[i].value))
                return false;
        }
        act->slots[node->kwargs] = jinja_dict_value(rest);
    } else if (n_kw > 0) {
        return jinja_raise(r, "macro '" STR_FMT "' takes no keyword argument '" STR_FMT "'",
                           STR_ARG(m->name), STR_ARG(kw[0].name));
    }
    if (node->uses_varargs) {
        struct jinja_value *items;

        if (!jinja_tuple(r, n_rest, &items, &act->slots[node->varargs]))
            return false;
        for (size_t i = 0; i < n_rest; i++)
            items[i] = args->pos[node->params.n + i];
    } else if (n_rest > 0) {
        return jinja_raise(r, "macro '" STR_FMT "' takes not more than %zu argument(s)",
                           STR_ARG(m->name), node->params.n);
    }
    return true;
}

/* Parameters by position, by keyword, by default. */
static bool bind_macro(struct jinja_render *r, const struct jinja_macro *m,
                       struct jinja_activation *act, const struct jinja_args *args)
{
    struct jinja_keyword *kw = jinja_alloc(r, args->n_kw, sizeof *kw);
    size_t n_kw = args->n_kw, i = 0;

    if (kw == NULL || !jinja_charge(r, n_kw * m->node->params.n / 16))
        return false;
    if (n_kw > 0)
        memcpy(kw, args->kw, n_kw * sizeof *kw);
    for (const struct jinja_node *p = m->node->params.first; p != NULL; p = p->next, i++) {
        struct jinja_value *slot = &act->slots[p->name.ref.slot];

        if (i < args->n_pos)
            *slot = args->pos[i];
        else if (!take_keyword(kw, &n_kw, p->name.name, slot))
            slot->type = JINJA_MISSING;
    }
    return bind_rest(r, m, act, args, kw, n_kw);
}

static bool fill_defaults(struct jinja_render *r, const struct jinja_macro_node *node,
                          struct jinja_activation *act)
{
    const size_t first_default = node->params.n - node->defaults.n;
    const struct jinja_node *def = node->defaults.first;
    size_t i = 0;

    for (const struct jinja_node *p = node->params.first; p != NULL; p = p->next, i++) {
        struct jinja_value *slot = &act->slots[p->name.ref.slot];

        if (slot->type == JINJA_MISSING) {
            if (i >= first_default) {
                if (!jinja_eval(r, act, def, slot))
                    return false;
            } else if (!jinja_undefined_hint(r, slot, "parameter '" STR_FMT "' was not provided",
                                             STR_ARG(p->name.name))) {
                return false;
            }
        }
        if (i >= first_default)
            def = def->next;
    }
    return true;
}

bool jinja_call_macro(struct jinja_render *r, const struct jinja_macro *m,
                      const struct jinja_args *args, struct jinja_value *out)
{
    struct jinja_activation *act = jinja_activate(r, m->node->function, m->around);
    enum jinja_flow flow = JINJA_FLOW_ON;
    const size_t mark = jinja_capture_begin(r);

    if (act == NULL || !jinja_enter_call(r) || !bind_macro(r, m, act, args))
        return false;
    jinja_enter_frame(r, act, &m->node->function->frame);
    if (!fill_defaults(r, m->node, act) || !jinja_exec(r, act, &m->node->body, &flow))
        return false;
    r->depth--;
    if (!jinja_capture_end(r, mark, out))
        return false;
    out->safe = r->autoescape;
    return true;
}

/* The next parameter's name of a row, and whether it must be given. */
static bool next_param(const char **params, struct str *name, bool *required)
{
    const char *p = *params + strspn(*params, " ");
    const size_t n = strcspn(p, " !");

    *name = (struct str){p, n};
    *required = p[n] == '!';
    *params = p + n + *required;
    return n > 0;
}

static bool bind_builtin(struct jinja_call *c)
{
    const struct jinja_args *args = c->args;
    const char *params = c->row->params;
    size_t n = 0, n_used = 0;
    struct str name;
    bool required;

    while (next_param(&params, &name, &required)) {
        assert(n < JINJA_MAX_PARAMS);
        if (n < args->n_pos)
            c->a[n] = args->pos[n];
        for (size_t i = 0; i < args->n_kw; i++) {
            if (!str_eq(args->kw[i].name, name))
                continue;
            if (n < args->n_pos)
                return jinja_raise(c->r, "%s() got multiple values for argument '" STR_FMT "'",
                                   c->row->name, STR_ARG(name));
            c->a[n] = args->kw[i].value;
            n_used++;
        }
        if (required && c->a[n].type == JINJA_MISSING)
            return jinja_raise(c->r, "%s() missing a required argument: '" STR_FMT "'",
                               c->row->name, STR_ARG(name));
        n++;
    }
    if (args->n_pos > n)
        return jinja_raise(c->r, "%s() takes at most %zu arguments (%zu given)", c->row->name, n,
                           args->n_pos);
    if (args->n_kw > n_used)
        return jinja_raise(c->r, "%s() got an unexpected keyword argument", c->row->name);
    return true;
}

bool jinja_call_builtin(struct jinja_render *r, const struct jinja_builtin *row,
                        struct jinja_value self, const struct jinja_args *args,
                        struct jinja_value *out)
{
    struct jinja_call c = {.r = r, .row = row, .self = self, .args = args, .out = out};

    if (row->fn == NULL)
        return jinja_unsupported(r, "%s is not supported", row->name);
    if (!jinja_nest(r) || (strcmp(row->params, "*") != 0 && !bind_builtin(&c)) || !row->fn(&c))
        return false;
    r->nesting--;
    return true;
}

bool jinja_call_value(struct jinja_render *r, struct jinja_value f, const struct jinja_args *args,
                      struct jinja_value *out)
{
    switch ((enum jinja_type)f.type) {
    case JINJA_UNDEFINED:
        return jinja_raise_undefined(r, f);
    case JINJA_MACRO:
        return jinja_call_macro(r, f.macro, args, out);
    case JINJA_FUNCTION:
        return jinja_call_builtin(r, f.function, jinja_none(), args, out);
    case JINJA_METHOD:
        return jinja_call_builtin(r, f.method->function, f.method->self, args, out);
    case JINJA_LOOP:
        return jinja_call_loop(r, f.loop, args, out);
    case JINJA_JOINER:
        *out = f.cycler->sep;
        return f.cycler->at++ > 0 || jinja_str_view(r, STR(""), out);
    case JINJA_BLOCK:
        return jinja_call_block(r, f.block, out);
    default:
        return jinja_raise(r, "'%s' object is not callable", jinja_type_name(f));
    }
}

bool jinja_eval_call(struct jinja_render *r, struct jinja_activation *act,
                     const struct jinja_node *n, const struct jinja_value *caller,
                     struct jinja_value *out)
{
    struct jinja_value f;
    struct jinja_args args;

    if (!jinja_eval(r, act, n->invocation->target, &f) ||
        !eval_args(r, act, n->invocation, caller, &args))
        return false;
    r->line = n->line;
    return jinja_call_value(r, f, &args, out);
}

static bool call_row(struct jinja_render *r, struct jinja_activation *act,
                     const struct jinja_node *n, struct jinja_value v, struct jinja_value *out)
{
    struct jinja_args args;

    if (n->invocation->row == NULL)
        return jinja_raise(r, "No %s named '" STR_FMT "' found.",
                           n->kind == JINJA_N_FILTER ? "filter" : "test",
                           STR_ARG(n->invocation->name));
    if (!eval_args(r, act, n->invocation, NULL, &args))
        return false;
    r->line = n->line;
    return jinja_call_builtin(r, n->invocation->row, v, &args, out);
}

bool jinja_apply_filters(struct jinja_render *r, struct jinja_activation *act,
                         const struct jinja_node *n, struct jinja_value captured,
                         struct jinja_value *out)
{
    const struct jinja_node *inner = n->invocation->target;
    struct jinja_value v = captured;

    if (inner != NULL && !jinja_apply_filters(r, act, inner, captured, &v))
        return false;
    return call_row(r, act, n, v, out);
}

static bool eval_row(struct jinja_render *r, struct jinja_activation *act,
                     const struct jinja_node *n, struct jinja_value *out)
{
    struct jinja_value v;

    return jinja_eval(r, act, n->invocation->target, &v) && call_row(r, act, n, v, out);
}

/* ---- operators ---- */

static bool eval_truth(struct jinja_render *r, struct jinja_activation *act,
                       const struct jinja_node *n, bool *out)
{
    struct jinja_value v;

    return jinja_eval(r, act, n, &v) && jinja_truth(r, v, out);
}

static bool eval_sequence(struct jinja_render *r, struct jinja_activation *act,
                          const struct jinja_node *n, struct jinja_value *out)
{
    struct jinja_value *items;
    size_t i = 0;

    if (!(n->kind == JINJA_N_LIST ? jinja_list(r, n->items.n, &items, out)
                                  : jinja_tuple(r, n->items.n, &items, out)))
        return false;
    for (const struct jinja_node *item = n->items.first; item != NULL; item = item->next)
        if (!jinja_eval(r, act, item, &items[i++]))
            return false;
    return true;
}

static bool eval_dict(struct jinja_render *r, struct jinja_activation *act,
                      const struct jinja_node *n, struct jinja_value *out)
{
    struct jinja_dict *d = jinja_dict_new(r, n->items.n / 2);
    struct jinja_value key, value;

    if (d == NULL)
        return false;
    for (const struct jinja_node *item = n->items.first; item != NULL; item = item->next->next) {
        if (!jinja_eval(r, act, item, &key) || !jinja_eval(r, act, item->next, &value))
            return false;
        r->line = n->line;
        if (!jinja_dict_set(r, d, key, value))
            return false;
    }
    *out = jinja_dict_value(d);
    return true;
}

static bool eval_conditional(struct jinja_render *r, struct jinja_activation *act,
                             const struct jinja_node *n, struct jinja_value *out)
{
    bool yes;

    if (!eval_truth(r, act, n->conditional.test, &yes))
        return false;
    if (yes)
        return jinja_eval(r, act, n->conditional.then, out);
    if (n->conditional.otherwise != NULL)
        return jinja_eval(r, act, n->conditional.otherwise, out);
    return jinja_undefined_hint(
        r, out,
        "the inline if-expression on line %u evaluated to false and no else "
        "section was defined.",
        n->line);
}

/* and, or: an operand, not a truth value */
static bool eval_logic(struct jinja_render *r, struct jinja_activation *act,
                       const struct jinja_node *n, struct jinja_value *out)
{
    bool yes;

    if (!jinja_eval(r, act, n->pair.left, out) || !jinja_truth(r, *out, &yes))
        return false;
    return yes == (n->kind == JINJA_N_OR) || jinja_eval(r, act, n->pair.right, out);
}

static bool eval_unary(struct jinja_render *r, struct jinja_activation *act,
                       const struct jinja_node *n, struct jinja_value *out)
{
    struct jinja_value v;
    bool yes;

    if (!jinja_eval(r, act, n->pair.left, &v))
        return false;
    r->line = n->line;
    if (n->kind != JINJA_N_NOT)
        return jinja_negate(r, n->kind == JINJA_N_NEGATE, v, out);
    if (!jinja_truth(r, v, &yes))
        return false;
    *out = jinja_bool(!yes);
    return true;
}

static bool eval_binary(struct jinja_render *r, struct jinja_activation *act,
                        const struct jinja_node *n, struct jinja_value *out)
{
    struct jinja_value a, b;

    if (!jinja_eval(r, act, n->pair.left, &a) || !jinja_eval(r, act, n->pair.right, &b))
        return false;
    r->line = n->line;
    return jinja_binary(r, (enum jinja_op)n->op, a, b, out);
}

static bool eval_concat(struct jinja_render *r, struct jinja_activation *act,
                        const struct jinja_node *n, struct jinja_value *out)
{
    struct jinja_value *items, all;
    bool safe = false; /* within autoescape, one Markup makes all of it one */
    size_t mark;

    if (!eval_sequence(r, act, n, &all)) /* first all, for they may capture output of their own */
        return false;
    items = all.seq->items;
    for (size_t i = 0; i < n->items.n; i++)
        safe = safe || (n->escapes && items[i].type == JINJA_STR && items[i].safe);
    for (size_t i = 0; safe && i < n->items.n; i++)
        if (!jinja_escape(r, items[i], &items[i]))
            return false;
    mark = jinja_mark(r);
    for (size_t i = 0; i < n->items.n; i++)
        if (!jinja_put_str(r, items[i]))
            return false;
    if (!jinja_take(r, mark, out))
        return false;
    out->safe = safe;
    return true;
}

/* a < b < c: each operand once, stopping at the first that fails */
static bool eval_compare(struct jinja_render *r, struct jinja_activation *act,
                         const struct jinja_node *n, struct jinja_value *out)
{
    struct jinja_value left, right;

    if (!jinja_eval(r, act, n->compare.first, &left))
        return false;
    for (const struct jinja_node *op = n->compare.operands.first; op != NULL; op = op->next) {
        if (!jinja_eval(r, act, op->pair.left, &right))
            return false;
        r->line = n->line;
        if (!jinja_binary(r, (enum jinja_op)op->op, left, right, out))
            return false;
        if (!out->b)
            return true;
        left = right;
    }
    return true;
}

static bool eval_getattr(struct jinja_render *r, struct jinja_activation *act,
                         const struct jinja_node *n, struct jinja_value *out)
{
    struct jinja_value v;

    if (!jinja_eval(r, act, n->pair.left, &v))
        return false;
    r->line = n->line;
    return jinja_getattr(r, v, n->pair.name, out);
}

static bool eval_bound(struct jinja_render *r, struct jinja_activation *act,
                       const struct jinja_node *n, struct jinja_value *out)
{
    *out = jinja_none();
    return n == NULL || jinja_eval(r, act, n, out);
}

static bool eval_slice(struct jinja_render *r, struct jinja_activation *act,
                       const struct jinja_node *n, struct jinja_value *out)
{
    const struct jinja_node *s = n->pair.right;
    struct jinja_value v, start, stop, step;

    if (!jinja_eval(r, act, n->pair.left, &v) || !eval_bound(r, act, s->slice.start, &start) ||
        !eval_bound(r, act, s->slice.stop, &stop) || !eval_bound(r, act, s->slice.step, &step))
        return false;
    r->line = n->line;
    return jinja_slice(r, v, start, stop, step, out);
}

static bool eval_getitem(struct jinja_render *r, struct jinja_activation *act,
                         const struct jinja_node *n, struct jinja_value *out)
{
    struct jinja_value v, key;

    if (n->pair.right->kind == JINJA_N_SLICE)
        return eval_slice(r, act, n, out);
    if (!jinja_eval(r, act, n->pair.left, &v) || !jinja_eval(r, act, n->pair.right, &key))
        return false;
    r->line = n->line;
    return jinja_getitem(r, v, key, out);
}

static bool eval(struct jinja_render *r, struct jinja_activation *act, const struct jinja_node *n,
                 struct jinja_value *out)
{
    switch ((enum jinja_kind)n->kind) {
    case JINJA_N_CONST:
        *out = n->constant;
        return true;
    case JINJA_N_NAME:
        return eval_name(r, act, n, out);
    case JINJA_N_TUPLE:
    case JINJA_N_LIST:
        return eval_sequence(r, act, n, out);
    case JINJA_N_DICT:
        return eval_dict(r, act, n, out);
    case JINJA_N_CONDITIONAL:
        return eval_conditional(r, act, n, out);
    case JINJA_N_AND:
    case JINJA_N_OR:
        return eval_logic(r, act, n, out);
    case JINJA_N_NOT:
    case JINJA_N_NEGATE:
    case JINJA_N_PLUS:
        return eval_unary(r, act, n, out);
    case JINJA_N_BINARY:
        return eval_binary(r, act, n, out);
    case JINJA_N_CONCAT:
        return eval_concat(r, act, n, out);
    case JINJA_N_COMPARE:
        return eval_compare(r, act, n, out);
    case JINJA_N_GETATTR:
        return eval_getattr(r, act, n, out);
    case JINJA_N_GETITEM:
        return eval_getitem(r, act, n, out);
    case JINJA_N_CALL:
        return jinja_eval_call(r, act, n, NULL, out);
    case JINJA_N_FILTER:
    case JINJA_N_TEST:
        return eval_row(r, act, n, out);
    default: /* a slice among several subscripts: no type of ours takes that */
        return jinja_raise(r, "a slice is not understood here");
    }
}

bool jinja_eval(struct jinja_render *r, struct jinja_activation *act, const struct jinja_node *n,
                struct jinja_value *out)
{
    r->line = n->line;
    if (!jinja_charge(r, 1) || !jinja_nest(r) || !eval(r, act, n, out))
        return false;
    r->nesting--;
    return true;
}
