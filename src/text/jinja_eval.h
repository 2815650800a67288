/*
 * jinja_eval.h - what the parts of the interpreter share: variables, expressions, statements, loops.
 */
#ifndef HONE_TEXT_JINJA_EVAL_H
#define HONE_TEXT_JINJA_EVAL_H

#include "text/jinja_ast.h"
#include "text/jinja_builtin.h"

/* Expressions, statements and values inside each other, on the C stack; all of them take less than a megabyte of it. */
#define JINJA_MAX_EVAL_DEPTH 2000

/* The variables of one running function. */
struct jinja_activation {
    struct jinja_activation *around;
    struct jinja_value slots[];
};

enum jinja_flow { JINJA_FLOW_ON, JINJA_FLOW_BREAK, JINJA_FLOW_CONTINUE };

struct jinja_loop {
    struct jinja_iter iter;
    struct jinja_value before, current, after; /* JINJA_MISSING where there is none */
    bool has_length, has_changed;
    size_t length, n_begun; /* rounds begun */
    size_t depth0;
    struct jinja_value changed; /* a tuple: what changed() was last asked about */
    const struct jinja_for *node;
    struct jinja_activation *around; /* of a recursive loop */
};

MUST_CHECK struct jinja_activation *jinja_activate(struct jinja_render *r,
                                                   const struct jinja_function *f,
                                                   struct jinja_activation *around);
static inline struct jinja_value *jinja_slot(struct jinja_activation *act, struct jinja_ref ref)
{
    for (unsigned i = 0; i < ref.up; i++)
        act = act->around;
    return &act->slots[ref.slot];
}
/* What a frame does when it is entered and left. */
void jinja_enter_frame(struct jinja_render *r, struct jinja_activation *act,
                       const struct jinja_frame *frame);
void jinja_leave_frame(struct jinja_activation *act, const struct jinja_frame *frame);

/* One level deeper on the C stack; undone by r->nesting--. */
MUST_CHECK bool jinja_nest(struct jinja_render *r);
/* One level deeper in calls and loops; undone by r->depth--. */
MUST_CHECK bool jinja_enter_call(struct jinja_render *r);

MUST_CHECK bool jinja_eval(struct jinja_render *r, struct jinja_activation *act,
                           const struct jinja_node *n, struct jinja_value *out);
/* Applies the filters of a block to what it captured. */
MUST_CHECK bool jinja_apply_filters(struct jinja_render *r, struct jinja_activation *act,
                                    const struct jinja_node *n, struct jinja_value captured,
                                    struct jinja_value *out);
MUST_CHECK bool jinja_eval_call(struct jinja_render *r, struct jinja_activation *act,
                                const struct jinja_node *n, const struct jinja_value *caller,
                                struct jinja_value *out);
MUST_CHECK bool jinja_call_macro(struct jinja_render *r, const struct jinja_macro *m,
                                 const struct jinja_args *args, struct jinja_value *out);

MUST_CHECK bool jinja_exec(struct jinja_render *r, struct jinja_activation *act,
                           const struct jinja_nodes *body, enum jinja_flow *flow);
MUST_CHECK bool jinja_assign(struct jinja_render *r, struct jinja_activation *act,
                             const struct jinja_node *target, struct jinja_value v);
MUST_CHECK bool jinja_exec_for(struct jinja_render *r, struct jinja_activation *act,
                               const struct jinja_for *f, enum jinja_flow *flow);
MUST_CHECK bool jinja_call_loop(struct jinja_render *r, struct jinja_loop *loop,
                                const struct jinja_args *args, struct jinja_value *out);

/* The text of a block. */
MUST_CHECK bool jinja_call_block(struct jinja_render *r, const struct jinja_node *n,
                                 struct jinja_value *out);

/* Output goes into a value between begin and end. */
size_t jinja_capture_begin(struct jinja_render *r);
MUST_CHECK bool jinja_capture_end(struct jinja_render *r, size_t mark, struct jinja_value *out);
void jinja_capture_drop(struct jinja_render *r, size_t mark);
#endif
