/*
 * jinja_scope.c - which variable a name is, decided before anything runs, as jinja2's compiler decides it.
 *
 * The rules are those of jinja2's idtracking.py. A frame is the template's top level, a loop's body, a macro, a block
 * that captures. In its frame, a name that is stored belongs to the frame; one that is only read belongs to the nearest
 * frame around that has it, or is looked up in the context when the frame is entered. A stored name begins as the outer
 * frame's value, which is why {% set %} in a loop starts afresh in each round and changes nothing outside. "if" makes no
 * frame, but a name first stored in one of its branches begins with the context's value.
 *
 * A frame is walked twice: first to collect its names, then to give each name its slot, entering inner frames.
 * Frames of one function at one level share the slot of a name, as they share a Python variable there.
 */
#include "base/size.h"
#include "text/jinja_ast.h"

#include <assert.h>
#include <stdlib.h>

struct variable {
    struct name *name;
    struct scope *scope;
    struct variable *outer; /* the same name further out */
    struct variable *next, *next_stored;
    enum jinja_load_action action;
    bool stored;
    uint16_t slot;
};

struct name {
    struct str text;
    struct variable *innermost;
    int root_slot; /* where the top level stores it, or -1 */
};

struct function {
    struct jinja_function *out;
    int depth;
};

struct scope {
    struct scope *parent;
    struct function *function;
    int level;
    struct variable *first, *last, *last_stored, *first_stored;
    size_t n;
};

/* Open addressing over pointers: names by their text, slots by function, level and name. */
struct table {
    void **rows;
    uint64_t *hashes;
    size_t n, mask;
};

struct slot_row {
    const struct jinja_function *function;
    int level;
    const struct name *name;
    uint16_t slot;
};

struct block_row {
    struct jinja_node *node;
    struct block_row *next;
};

/* Which of some names are read and not stored before: find_undeclared of jinja2's compiler. */
enum { READS_CALLER = 1, READS_KWARGS = 2, READS_VARARGS = 4, READS_LOOP = 8 };
struct undeclared {
    unsigned wanted, found;
};

struct scoper {
    struct arena *a;       /* of the program */
    struct arena *scratch; /* until all is resolved */
    struct error *err;
    struct scope *scope;
    struct table names, slots;
    struct block_row *first_block, *last_block;
    size_t n_blocks;
    struct undeclared reads;
    struct jinja_read *from_context; /* of the program */
    bool in_loop;                    /* break has a loop in this function */
    bool soft;                       /* an unknown filter may wait until it is reached */
};

static bool scope_fail(struct scoper *s, const struct jinja_node *n, const char *text)
{
    return fail(s->err, ERR_INVALID, "chat template, line %u: %s", n->line, text);
}

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9E3779B97F4A7C15u;
    return h ^ h >> 29;
}

static uint64_t hash_text(struct str t)
{
    uint64_t h = t.len;

    for (size_t i = 0; i < t.len; i++)
        h = mix(h, (unsigned char)t.ptr[i]);
    return h;
}

static void table_put(struct table *t, void *row, uint64_t hash)
{
    size_t at = hash & t->mask;

    while (t->rows[at] != NULL)
        at = (at + 1) & t->mask;
    t->rows[at] = row;
    t->hashes[at] = hash;
}

static void table_add(struct scoper *s, struct table *t, void *row, uint64_t hash)
{
    if (t->n * 2 >= t->mask) {
        struct table bigger = {.mask = t->mask == 0 ? 255 : t->mask * 2 + 1, .n = t->n};

        bigger.rows = ARENA_ARRAY(s->scratch, void *, bigger.mask + 1);
        bigger.hashes = ARENA_ARRAY(s->scratch, uint64_t, bigger.mask + 1);
        for (size_t i = 0; t->mask > 0 && i <= t->mask; i++)
            if (t->rows[i] != NULL)
                table_put(&bigger, t->rows[i], t->hashes[i]);
        *t = bigger;
    }
    table_put(t, row, hash);
    t->n++;
}

static struct name *name_of(struct scoper *s, struct str text)
{
    const uint64_t hash = hash_text(text);
    const struct table *t = &s->names;

    for (size_t at = hash & t->mask; t->mask > 0 && t->rows[at] != NULL; at = (at + 1) & t->mask) {
        struct name *n = t->rows[at];

        if (t->hashes[at] == hash && str_eq(n->text, text))
            return n;
    }
    struct name *n = ARENA_NEW(s->scratch, struct name);
    *n = (struct name){.text = text, .root_slot = -1};
    table_add(s, &s->names, n, hash);
    return n;
}

static bool slot_of(struct scoper *s, struct name *name, uint16_t *slot)
{
    struct jinja_function *f = s->scope->function->out;
    const int level = s->scope->level;
    const uint64_t hash =
        mix(mix((uint64_t)(uintptr_t)f, (uint64_t)(uintptr_t)name), (uint64_t)level);
    const struct table *t = &s->slots;

    for (size_t at = hash & t->mask; t->mask > 0 && t->rows[at] != NULL; at = (at + 1) & t->mask) {
        const struct slot_row *row = t->rows[at];

        if (row->function == f && row->level == level && row->name == name) {
            *slot = row->slot;
            return true;
        }
    }
    if (f->n_slots == UINT16_MAX)
        return fail(s->err, ERR_LIMIT, "a chat template with more than %d variables", UINT16_MAX);
    struct slot_row *row = ARENA_NEW(s->scratch, struct slot_row);
    *row = (struct slot_row){f, level, name, (uint16_t)f->n_slots++};
    table_add(s, &s->slots, row, hash);
    *slot = row->slot;
    return true;
}

/* ---- the variables of a frame ---- */

static struct variable *own(const struct scoper *s, const struct name *name)
{
    struct variable *v = name->innermost;

    return v != NULL && v->scope == s->scope ? v : NULL;
}

static struct variable *define(struct scoper *s, struct name *name, enum jinja_load_action action)
{
    struct variable *v = own(s, name);

    if (v == NULL) {
        struct scope *scope = s->scope;

        v = ARENA_NEW(s->scratch, struct variable);
        if (!slot_of(s, name, &v->slot))
            return NULL;
        v->name = name;
        v->scope = scope;
        v->outer = name->innermost;
        name->innermost = v;
        if (scope->last != NULL)
            scope->last->next = v;
        else
            scope->first = v;
        scope->last = v;
        scope->n++;
    }
    v->action = action;
    return v;
}

static void mark_stored(struct scope *scope, struct variable *v)
{
    if (v->stored)
        return;
    v->stored = true;
    if (scope->last_stored != NULL)
        scope->last_stored->next_stored = v;
    else
        scope->first_stored = v;
    scope->last_stored = v;
}

static struct variable *declare_parameter(struct scoper *s, struct str text)
{
    struct variable *v = define(s, name_of(s, text), JINJA_LOAD_PARAMETER);

    if (v != NULL)
        mark_stored(s->scope, v);
    return v;
}

static bool store(struct scoper *s, struct str text)
{
    struct name *name = name_of(s, text);
    struct variable *v = own(s, name);

    if (v == NULL)
        v = define(s, name, name->innermost != NULL ? JINJA_LOAD_ALIAS : JINJA_LOAD_UNDEFINED);
    if (v == NULL)
        return false;
    mark_stored(s->scope, v);
    return true;
}

static bool load(struct scoper *s, struct str text)
{
    struct name *name = name_of(s, text);

    return name->innermost != NULL || define(s, name, JINJA_LOAD_RESOLVE) != NULL;
}

static struct jinja_ref ref_to(const struct scoper *s, const struct variable *v)
{
    assert(v != NULL);
    return (struct jinja_ref){(uint16_t)(s->scope->function->depth - v->scope->function->depth),
                              v->slot};
}

static void enter_scope(struct scoper *s, struct scope *scope, struct function *function)
{
    *scope = (struct scope){.parent = s->scope,
                            .function = function,
                            .level = s->scope == NULL ? 0 : s->scope->level + 1};
    s->scope = scope;
}

/* Writes down what the frame does when it is entered. */
static void leave_scope(struct scoper *s, struct jinja_frame *out)
{
    struct scope *scope = s->scope;
    size_t i = 0;

    *out = (struct jinja_frame){.n = scope->n,
                                .loads = ARENA_ARRAY(s->a, struct jinja_load, scope->n)};
    for (struct variable *v = scope->first; v != NULL; v = v->next, i++) {
        out->loads[i] = (struct jinja_load){v->action, v->slot, {0}, v->name->text};
        if (v->action == JINJA_LOAD_ALIAS)
            out->loads[i].from = ref_to(s, v->outer);
        if (v->action == JINJA_LOAD_RESOLVE && scope->level == 0 && v->name->root_slot >= 0) {
            out->loads[i].action =
                JINJA_LOAD_EXPORTED; /* a block reads what the top level stored */
            out->loads[i].from.slot = (uint16_t)v->name->root_slot;
        }
        if (v->action == JINJA_LOAD_RESOLVE) {
            struct jinja_read *read = ARENA_ARRAY(s->a, struct jinja_read, 1);

            *read = (struct jinja_read){v->name->text, s->from_context};
            s->from_context = read;
        }
        v->name->innermost = v->outer;
    }
    s->scope = scope->parent;
}

/* ---- walking ---- */

typedef bool visit_fn(struct scoper *s, struct jinja_node *n);

static bool each(struct scoper *s, const struct jinja_nodes *list, visit_fn *visit)
{
    for (struct jinja_node *n = list->first; n != NULL; n = n->next)
        if (!visit(s, n))
            return false;
    return true;
}

static bool maybe(struct scoper *s, struct jinja_node *n, visit_fn *visit)
{
    return n == NULL || visit(s, n);
}

static bool each_of_invocation(struct scoper *s, struct jinja_invocation *call, visit_fn *visit)
{
    return maybe(s, call->target, visit) && each(s, &call->args, visit) &&
           each(s, &call->kwargs, visit) && maybe(s, call->star, visit) &&
           maybe(s, call->star_star, visit);
}

/* All children, in the order of jinja2's fields. */
static bool each_child(struct scoper *s, struct jinja_node *n, visit_fn *visit)
{
    switch ((enum jinja_kind)n->kind) {
    case JINJA_N_CONST:
    case JINJA_N_NAME:
    case JINJA_N_NSREF:
    case JINJA_N_DATA:
    case JINJA_N_BREAK:
    case JINJA_N_CONTINUE:
    case JINJA_N_REFUSED:
        return true;
    case JINJA_N_TUPLE:
    case JINJA_N_LIST:
    case JINJA_N_DICT:
    case JINJA_N_CONCAT:
    case JINJA_N_OUTPUT:
        return each(s, &n->items, visit);
    case JINJA_N_CONDITIONAL:
        return visit(s, n->conditional.test) && visit(s, n->conditional.then) &&
               maybe(s, n->conditional.otherwise, visit);
    case JINJA_N_AND:
    case JINJA_N_OR:
    case JINJA_N_NOT:
    case JINJA_N_NEGATE:
    case JINJA_N_PLUS:
    case JINJA_N_BINARY:
    case JINJA_N_OPERAND:
    case JINJA_N_GETATTR:
    case JINJA_N_GETITEM:
    case JINJA_N_KEYWORD:
        return visit(s, n->pair.left) && maybe(s, n->pair.right, visit);
    case JINJA_N_COMPARE:
        return visit(s, n->compare.first) && each(s, &n->compare.operands, visit);
    case JINJA_N_SLICE:
        return maybe(s, n->slice.start, visit) && maybe(s, n->slice.stop, visit) &&
               maybe(s, n->slice.step, visit);
    case JINJA_N_CALL:
    case JINJA_N_FILTER:
    case JINJA_N_TEST:
        return each_of_invocation(s, n->invocation, visit);
    case JINJA_N_IF:
        return visit(s, n->branch.test) && each(s, &n->branch.body, visit) &&
               each(s, &n->branch.elifs, visit) && each(s, &n->branch.orelse, visit);
    case JINJA_N_FOR:
        return visit(s, n->loop->target) && visit(s, n->loop->iter) &&
               each(s, &n->loop->body, visit) && each(s, &n->loop->orelse, visit) &&
               maybe(s, n->loop->test, visit);
    case JINJA_N_SET:
        return visit(s, n->set.target) && visit(s, n->set.value);
    case JINJA_N_SET_BLOCK:
    case JINJA_N_FILTER_BLOCK:
    case JINJA_N_WITH:
    case JINJA_N_AUTOESCAPE:
    case JINJA_N_BLOCK:
        return maybe(s, n->block.target, visit) && each(s, &n->block.targets, visit) &&
               each(s, &n->block.values, visit) && each(s, &n->block.body, visit) &&
               maybe(s, n->block.filter, visit);
    case JINJA_N_MACRO:
    case JINJA_N_CALL_BLOCK:
    case JINJA_N_GENERATION:
        return maybe(s, n->macro->call, visit) && each(s, &n->macro->params, visit) &&
               each(s, &n->macro->defaults, visit) && each(s, &n->macro->body, visit);
    }
    return true;
}

/* ---- first walk: the names of a frame ---- */

static bool collect(struct scoper *s, struct jinja_node *n);

/* What a branch was first to store begins as the outer or the context's value, since the branch may not be taken. */
static bool collect_if(struct scoper *s, struct jinja_node *n)
{
    struct variable *before = s->scope->last_stored;

    if (!each_child(s, n, collect))
        return false;
    struct variable *v = before == NULL ? s->scope->first_stored : before->next_stored;
    for (; v != NULL; v = v->next_stored)
        v->action = v->outer != NULL ? JINJA_LOAD_ALIAS : JINJA_LOAD_RESOLVE;
    return true;
}

static bool collect(struct scoper *s, struct jinja_node *n)
{
    switch ((enum jinja_kind)n->kind) {
    case JINJA_N_NAME:
        if (n->name.ctx == JINJA_CTX_LOAD)
            return load(s, n->name.name);
        if (n->name.ctx == JINJA_CTX_STORE)
            return store(s, n->name.name);
        return declare_parameter(s, n->name.name) != NULL;
    case JINJA_N_NSREF:
        return load(s, n->name.name);
    case JINJA_N_IF:
        return collect_if(s, n);
    case JINJA_N_MACRO:
        return store(s, n->macro->name);
    case JINJA_N_SET:
        return collect(s, n->set.value) && collect(s, n->set.target);
    case JINJA_N_FOR:
        return collect(s, n->loop->iter);
    case JINJA_N_CALL_BLOCK:
        return collect(s, n->macro->call);
    case JINJA_N_FILTER_BLOCK:
        return collect(s, n->block.filter);
    case JINJA_N_WITH:
        return each(s, &n->block.values, collect);
    case JINJA_N_SET_BLOCK:
        return collect(s, n->block.target);
    case JINJA_N_GENERATION:
    case JINJA_N_AUTOESCAPE:
    case JINJA_N_BLOCK:
        return true;
    default:
        return each_child(s, n, collect);
    }
}

/* A loop's targets are set by the loop. */
static bool collect_target(struct scoper *s, struct jinja_node *n)
{
    if (n->kind == JINJA_N_NAME)
        return declare_parameter(s, n->name.name) != NULL;
    return each_child(s, n, collect_target);
}

static unsigned special_name(struct str name)
{
    return str_is(name, "caller")    ? READS_CALLER
           : str_is(name, "kwargs")  ? READS_KWARGS
           : str_is(name, "varargs") ? READS_VARARGS
           : str_is(name, "loop")    ? READS_LOOP
                                     : 0;
}

static bool visit_undeclared(struct scoper *s, struct jinja_node *n)
{
    if (n->kind == JINJA_N_BLOCK)
        return true;
    if (n->kind == JINJA_N_NAME) {
        const unsigned name = special_name(n->name.name);

        if (n->name.ctx == JINJA_CTX_LOAD)
            s->reads.found |= name & s->reads.wanted;
        else
            s->reads.wanted &= ~name;
    }
    return each_child(s, n, visit_undeclared);
}

static unsigned find_undeclared(struct scoper *s, const struct jinja_nodes *body, unsigned wanted)
{
    s->reads = (struct undeclared){.wanted = wanted};
    return each(s, body, visit_undeclared) ? s->reads.found : 0;
}

static bool refuse_loop_target(struct scoper *s, struct jinja_node *n)
{
    if (n->kind == JINJA_N_NAME && n->name.ctx == JINJA_CTX_STORE && str_is(n->name.name, "loop"))
        return scope_fail(s, n, "Can't assign to special loop variable in for-loop target");
    return each_child(s, n, refuse_loop_target);
}

/* ---- second walk: slots ---- */

static bool resolve(struct scoper *s, struct jinja_node *n);

static bool resolve_name(struct scoper *s, struct jinja_node *n)
{
    struct name *name = name_of(s, n->name.name);

    if (name->innermost == NULL && !load(s, n->name.name))
        return false;
    n->name.ref = ref_to(s, name->innermost);
    return true;
}

static struct function *new_function(struct scoper *s, struct jinja_function **out)
{
    struct function *f = ARENA_NEW(s->scratch, struct function);

    *out = f->out = ARENA_NEW(s->a, struct jinja_function);
    f->depth = s->scope == NULL ? 0 : s->scope->function->depth + 1;
    return f;
}

/* A copy of a loop's target, for the loop's filter has its own variables. */
static struct jinja_node *copy_target(struct scoper *s, const struct jinja_node *n)
{
    struct jinja_node *copy = ARENA_NEW(s->a, struct jinja_node);

    *copy = *n;
    copy->next = NULL;
    if (n->kind == JINJA_N_TUPLE) {
        copy->items = (struct jinja_nodes){0};
        for (const struct jinja_node *item = n->items.first; item != NULL; item = item->next) {
            struct jinja_node *c = copy_target(s, item);

            if (copy->items.last != NULL)
                copy->items.last->next = c;
            else
                copy->items.first = c;
            copy->items.last = c;
            copy->items.n++;
        }
    }
    return copy;
}

static bool resolve_for_test(struct scoper *s, struct jinja_for *f)
{
    struct function *function = new_function(s, &f->test_function);
    struct scope scope;

    f->test_target = copy_target(s, f->target);
    enter_scope(s, &scope, function);
    const bool ok = collect_target(s, f->test_target) && collect(s, f->test) &&
                    resolve(s, f->test_target) && resolve(s, f->test);
    leave_scope(s, &f->test_function->frame);
    return ok;
}

static bool resolve_for_body(struct scoper *s, struct jinja_for *f, struct function *function)
{
    const bool was_in_loop = s->in_loop;
    struct scope scope;
    struct variable *loop = NULL;

    enter_scope(s, &scope, function);
    if (f->extended)
        loop = declare_parameter(s, STR("loop"));
    s->in_loop = true;
    bool ok = (!f->extended || loop != NULL) && collect_target(s, f->target) &&
              each(s, &f->body, collect) && resolve(s, f->target) && each(s, &f->body, resolve);
    if (loop != NULL)
        f->loop = ref_to(s, loop);
    leave_scope(s, &f->body_frame);
    s->in_loop = was_in_loop && !f->recursive;
    if (ok && f->has_else) {
        enter_scope(s, &scope, function);
        ok = each(s, &f->orelse, collect) && each(s, &f->orelse, resolve);
        leave_scope(s, &f->else_frame);
    }
    s->in_loop = was_in_loop;
    return ok;
}

static bool resolve_for(struct scoper *s, struct jinja_node *n)
{
    struct jinja_for *f = n->loop;
    struct function *function = s->scope->function;
    const bool was_soft = s->soft;

    if (!refuse_loop_target(s, n) || !resolve(s, f->iter))
        return false;
    s->soft = false;
    f->extended = f->recursive || find_undeclared(s, &f->body, READS_LOOP) != 0;
    if (f->test != NULL && !resolve_for_test(s, f))
        return false;
    if (f->recursive)
        function = new_function(s, &f->recursive_function);
    const bool ok = resolve_for_body(s, f, function);
    s->soft = was_soft;
    return ok;
}

/* A macro that names "caller" as a parameter must give it a default. */
static bool check_caller(struct scoper *s, struct jinja_node *n, unsigned reads)
{
    struct jinja_macro_node *m = n->macro;
    size_t at = 0;

    for (struct jinja_node *param = m->params.first; param != NULL; param = param->next, at++) {
        if (!str_is(param->name.name, "caller"))
            continue;
        m->explicit_caller = true;
        if ((reads & READS_CALLER) != 0 && at + m->defaults.n < m->params.n)
            return scope_fail(
                s, n,
                "When defining macros or call blocks the special \"caller\" argument must "
                "be omitted or be given a default.");
    }
    return true;
}

static bool declare_special(struct scoper *s, const char *name, bool *uses, uint16_t *slot)
{
    const struct variable *v = declare_parameter(s, str_of(name));

    if (v == NULL)
        return false;
    *uses = true;
    *slot = v->slot;
    return true;
}

static bool has_param(const struct jinja_macro_node *m, const char *name)
{
    for (const struct jinja_node *param = m->params.first; param != NULL; param = param->next)
        if (str_is(param->name.name, name))
            return true;
    return false;
}

static bool resolve_macro(struct scoper *s, struct jinja_node *n)
{
    struct jinja_macro_node *m = n->macro;
    struct function *function = new_function(s, &m->function);
    const unsigned reads =
        find_undeclared(s, &m->body, READS_CALLER | READS_KWARGS | READS_VARARGS);
    const bool was_in_loop = s->in_loop, was_soft = s->soft;
    struct scope scope;

    enter_scope(s, &scope, function);
    s->in_loop = s->soft = false;
    bool ok = each(s, &m->params, collect) && each(s, &m->defaults, collect) &&
              each(s, &m->body, collect) && check_caller(s, n, reads);
    if (ok && (reads & READS_CALLER) != 0 && !m->explicit_caller)
        ok = declare_special(s, "caller", &m->uses_caller, &m->caller);
    if (ok && (reads & READS_KWARGS) != 0 && !has_param(m, "kwargs"))
        ok = declare_special(s, "kwargs", &m->uses_kwargs, &m->kwargs);
    if (ok && (reads & READS_VARARGS) != 0 && !has_param(m, "varargs"))
        ok = declare_special(s, "varargs", &m->uses_varargs, &m->varargs);
    m->uses_caller = m->uses_caller || (reads & READS_CALLER) != 0;
    ok = ok && each(s, &m->params, resolve) && each(s, &m->defaults, resolve) &&
         each(s, &m->body, resolve);
    leave_scope(s, &m->function->frame);
    s->in_loop = was_in_loop;
    s->soft = was_soft;
    if (!ok || n->kind != JINJA_N_MACRO)
        return ok;
    m->ref = ref_to(s, name_of(s, m->name)->innermost);
    return true;
}

/* A frame within the same function: capturing blocks, with, autoescape. */
static bool resolve_inner(struct scoper *s, struct jinja_node *n)
{
    const bool was_soft = s->soft;
    struct scope scope;

    if (!each(s, &n->block.values, resolve))
        return false;
    s->soft = false;
    enter_scope(s, &scope, s->scope->function);
    for (struct jinja_node *t = n->block.targets.first; t != NULL; t = t->next)
        if (!collect_target(s, t))
            return false;
    const bool ok = each(s, &n->block.body, collect) && maybe(s, n->block.filter, collect) &&
                    each(s, &n->block.targets, resolve) && each(s, &n->block.body, resolve) &&
                    maybe(s, n->block.filter, resolve);
    leave_scope(s, &n->block.frame);
    s->soft = was_soft;
    return ok && maybe(s, n->block.target, resolve);
}

static bool resolve_block(struct scoper *s, struct jinja_node *n)
{
    struct block_row *row = ARENA_NEW(s->scratch, struct block_row);

    for (const struct block_row *b = s->first_block; b != NULL; b = b->next)
        if (str_eq(b->node->block.name, n->block.name))
            return scope_fail(s, n, "a block of this name was defined before");
    if (s->n_blocks++ == JINJA_MAX_BLOCKS)
        return fail(s->err, ERR_LIMIT, "a chat template with more than %d blocks",
                    JINJA_MAX_BLOCKS);
    row->node = n;
    if (s->last_block != NULL)
        s->last_block->next = row;
    else
        s->first_block = row;
    s->last_block = row;
    return true;
}

static bool resolve_soft(struct scoper *s, struct jinja_node *n)
{
    const bool was_soft = s->soft;

    s->soft = true;
    const bool ok = each_child(s, n, resolve);
    s->soft = was_soft;
    return ok;
}

static bool resolve_invocation(struct scoper *s, struct jinja_node *n)
{
    if (n->kind != JINJA_N_CALL && n->invocation->row == NULL && !s->soft)
        return fail(s->err, ERR_INVALID, "chat template, line %u: No %s named '" STR_FMT "'.",
                    n->line, n->kind == JINJA_N_FILTER ? "filter" : "test",
                    STR_ARG(n->invocation->name));
    return each_of_invocation(s, n->invocation, resolve);
}

static bool resolve(struct scoper *s, struct jinja_node *n)
{
    switch ((enum jinja_kind)n->kind) {
    case JINJA_N_NAME:
    case JINJA_N_NSREF:
        return resolve_name(s, n);
    case JINJA_N_FOR:
        return resolve_for(s, n);
    case JINJA_N_IF:
    case JINJA_N_CONDITIONAL:
        return resolve_soft(s, n);
    case JINJA_N_MACRO:
    case JINJA_N_GENERATION:
        return resolve_macro(s, n);
    case JINJA_N_CALL_BLOCK:
        return resolve_macro(s, n) && resolve(s, n->macro->call);
    case JINJA_N_SET_BLOCK:
    case JINJA_N_FILTER_BLOCK:
    case JINJA_N_WITH:
    case JINJA_N_AUTOESCAPE:
        return resolve_inner(s, n);
    case JINJA_N_BLOCK:
        return resolve_block(s, n);
    case JINJA_N_FILTER:
    case JINJA_N_TEST:
    case JINJA_N_CALL:
        return resolve_invocation(s, n);
    case JINJA_N_BREAK:
    case JINJA_N_CONTINUE:
        return s->in_loop ||
               scope_fail(s, n, "'break' and 'continue' have no loop around them here");
    default:
        return each_child(s, n, resolve);
    }
}

/* One function without anything around it: the template, or a block. */
static bool resolve_root(struct scoper *s, const struct jinja_nodes *body,
                         struct jinja_function **out, bool is_template)
{
    struct function *function;
    struct scope scope;

    s->in_loop = s->soft = false;
    function = new_function(s, out);
    enter_scope(s, &scope, function);
    const bool ok = each(s, body, collect) && each(s, body, resolve);
    leave_scope(s, &(*out)->frame);
    for (struct variable *v = scope.first_stored; v != NULL && is_template; v = v->next_stored)
        v->name->root_slot = v->slot;
    return ok;
}

bool jinja_resolve_scopes(struct jinja_program *p, struct error *err)
{
    struct arena scratch = {0};
    struct scoper s = {.a = &p->arena, .scratch = &scratch, .err = err};
    bool ok = resolve_root(&s, &p->body, &p->function, true);

    for (struct block_row *b = s.first_block; ok && b != NULL; b = b->next, p->n_blocks++)
        ok = resolve_root(&s, &b->node->block.body, &b->node->block.function, false);
    p->blocks = ARENA_ARRAY(&p->arena, struct jinja_node *, p->n_blocks);
    size_t i = 0;
    for (struct block_row *b = s.first_block; ok && b != NULL; b = b->next)
        p->blocks[i++] = b->node;
    p->reads = s.from_context;
    arena_release(&scratch);
    return ok;
}
