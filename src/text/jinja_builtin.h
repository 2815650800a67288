/*
 * jinja_builtin.h - filters, tests, methods and global functions: one table row each.
 *
 * A row names its parameters as Python does; the call has them bound by position or by keyword.
 */
#ifndef HONE_TEXT_JINJA_BUILTIN_H
#define HONE_TEXT_JINJA_BUILTIN_H

#include "text/jinja_value.h"

struct jinja_keyword {
    struct str name;
    struct jinja_value value;
};
struct jinja_args {
    const struct jinja_value *pos;
    size_t n_pos;
    const struct jinja_keyword *kw;
    size_t n_kw;
};

#define JINJA_MAX_PARAMS 6
struct jinja_call {
    struct jinja_render *r;
    const struct jinja_builtin *row;
    struct jinja_value self;                /* what is filtered, tested, or has the method */
    struct jinja_value a[JINJA_MAX_PARAMS]; /* by the row's names; JINJA_MISSING where not given */
    const struct jinja_args *args;          /* as they were given */
    struct jinja_value *out;
};

typedef bool jinja_builtin_fn(struct jinja_call *c);
struct jinja_builtin {
    const char *name;
    jinja_builtin_fn *fn; /* NULL: Python has it, we do not offer it */
    const char *params;   /* "old! new! count": ! must be given; "*": any, see args */
};

/* NULL where there is none of that name. */
const struct jinja_builtin *jinja_find_filter(struct str name);
const struct jinja_builtin *jinja_find_test(struct str name);
/* Puts the global functions into a context. */
MUST_CHECK bool jinja_add_globals(struct jinja_render *r, struct jinja_dict *context);
/* Methods of a type: NULL where Python's type has no attribute of that name; unsafe where the sandbox refuses it. */
const struct jinja_builtin *jinja_find_method(struct jinja_value obj, struct str name,
                                              bool *unsafe);

/* Binds the arguments and calls. */
MUST_CHECK bool jinja_call_builtin(struct jinja_render *r, const struct jinja_builtin *row,
                                   struct jinja_value self, const struct jinja_args *args,
                                   struct jinja_value *out);
/* Calls anything that can be called, jinja_eval.c. */
MUST_CHECK bool jinja_call_value(struct jinja_render *r, struct jinja_value f,
                                 const struct jinja_args *args, struct jinja_value *out);

/* str.format and str % args, jinja_format.c. */
MUST_CHECK bool jinja_format(struct jinja_render *r, struct jinja_value format,
                             const struct jinja_args *args, struct jinja_value *out);
/* Rounds to digits behind the point, as Python's round(). */
double jinja_round(double d, int64_t digits);

/* Attributes of a loop, jinja_loop.c. */
MUST_CHECK bool jinja_loop_attribute(struct jinja_render *r, struct jinja_value loop,
                                     struct str name, bool *found, struct jinja_value *out);
MUST_CHECK bool jinja_loop_length(struct jinja_render *r, struct jinja_loop *loop, size_t *out);

/* What the tables are made of: rows of sorted-by-hand names, ended by a row without name. */
extern const struct jinja_builtin jinja_filters_text[], jinja_filters_list[], jinja_tests[];
extern const struct jinja_builtin jinja_str_methods[], jinja_dict_methods[], jinja_list_methods[];

/* In jinja_wrap.c. */
jinja_builtin_fn jinja_f_pprint, jinja_f_wordwrap;

/* Typed arguments; each names the parameter in its error. def where the argument is missing. */
MUST_CHECK bool jinja_arg_int(struct jinja_call *c, size_t i, int64_t def, int64_t *out);
MUST_CHECK bool jinja_arg_bool(struct jinja_call *c, size_t i, bool def, bool *out);
MUST_CHECK bool jinja_arg_str(struct jinja_call *c, size_t i, struct str def, struct str *out);
static inline bool jinja_given(const struct jinja_call *c, size_t i)
{
    return c->a[i].type != JINJA_MISSING;
}
#endif
