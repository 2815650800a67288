/*
 * grammar_internal.h - a grammar as tables, and the builder that fills them.
 *
 * States are made rule by rule, edges between states of one rule; text is laid down as a tree, so that texts which begin
 * alike share their states. An edge may count (its rule allows so many) or close (its rule demands so many).
 */
#ifndef HONE_TEXT_GRAMMAR_INTERNAL_H
#define HONE_TEXT_GRAMMAR_INTERNAL_H

#include "text/grammar.h"

#define GRAMMAR_NONE UINT32_MAX
#define GRAMMAR_FREE UINT32_MAX /* a most that is none */
#define GRAMMAR_NEVER 255       /* levels needed by a state that cannot be completed */
#define LIMIT_GRAMMAR_STATES ((uint32_t)1 << 16)
#define LIMIT_GRAMMAR_EDGES ((uint32_t)1 << 20)

enum { STATE_DEAD, STATE_ROOT, STATE_END, N_FIXED_STATES };

/*
 * An edge: the state it leads to, and what it does.
 *
 * Constants that come once each: a rule that is once calls another one that is, whose values they are; both count which have
 * come, as bits. There EDGE_ONCE goes on in a constant, and is taken where one that it may become has not come yet; here, with
 * EDGE_COUNT or EDGE_CLOSE, it is taken where more may come or enough have.
 */
#define EDGE_COUNT ((uint32_t)1 << 31)
#define EDGE_CLOSE ((uint32_t)1 << 30)
#define EDGE_BOUND                                                                                 \
    ((uint32_t)1 << 29) /* set by build_grammar: what the state it leads to can count to matters */
#define EDGE_ONCE ((uint32_t)1 << 28)
#define EDGE_STATE (((uint32_t)1 << 28) - 1)

/* Whether a value is complete in a state; NEW: where its constant has not come yet. */
enum accepts { ACCEPTS_NOT, ACCEPTS, ACCEPTS_NEW };

struct grammar_rule {
    uint32_t start;
    uint32_t min, max;    /* of what it counts; max GRAMMAR_FREE: no most */
    uint32_t least, most; /* the greatest of its states' that are finite */
    bool
        once; /* what it counts is which of up to 32 constants came, a bit for each; see EDGE_ONCE */
};

struct grammar_union {
    uint32_t first, n; /* in members[] */
};

struct grammar {
    struct arena arena; /* all that follows */
    uint32_t n_states, n_classes;
    unsigned most_needed;
    uint8_t class_of[256]; /* bytes that no state tells apart are one class */
    uint32_t *next;        /* [n_states, n_classes] edges; 0: none */
    uint32_t *value;       /* [n_states] the union called there; GRAMMAR_NONE */
    uint32_t *after;       /* [n_states] where it goes on after that */
    uint32_t *rule_of;     /* [n_states] */
    uint8_t *accepts;      /* [n_states] enum accepts */
    uint8_t *need;         /* [n_states] least levels on top that complete its rule */
    uint32_t *least;       /* [n_states] what it counts at least until its rule is complete, */
    uint32_t *
        most; /* and at most; GRAMMAR_FREE: no most. Of a constant that comes once: its bit where it is whole, and */
              /* all that it may be or become */
    struct grammar_rule *rules;
    struct grammar_union *unions;
    uint32_t *members; /* rules */
    bool nests[256];
};

struct built_state {
    uint32_t edges; /* the newest; GRAMMAR_NONE */
    uint32_t value, after, rule;
    uint32_t constant; /* of a rule that is once: the bit of the one that is whole there */
    bool accepts;
};
struct built_edge {
    uint32_t more; /* an older one of the same state */
    uint32_t to;   /* with what it does */
    uint8_t from_byte, to_byte;
};
struct built_member {
    uint32_t of, rule;
};

struct grammar_builder { /* all zeros, then grammar_builder_init */
    struct built_state *states;
    struct built_edge *edges;
    struct grammar_rule *rules;
    struct built_member *members;
    uint32_t n_states, n_edges, n_rules, n_members, n_unions;
    uint32_t cap_states, cap_edges, cap_rules, cap_members;
    bool full; /* a limit was met, or memory is out: what is made from then on is not to be used */
};
void grammar_builder_init(struct grammar_builder *b);
void grammar_builder_release(struct grammar_builder *b);

uint32_t build_rule(struct grammar_builder *b, uint32_t min, uint32_t max);
uint32_t build_state(struct grammar_builder *b, uint32_t rule);
/* Bytes lo .. hi lead from one state to another; do: 0, EDGE_COUNT or EDGE_CLOSE. */
void build_edge(struct grammar_builder *b, uint32_t from, unsigned lo, unsigned hi, uint32_t to,
                uint32_t does);
/* The state after text, along states that are there already or new ones, to which edges lead that do `does`. */
uint32_t build_text(struct grammar_builder *b, uint32_t from, struct str text, uint32_t does);
void build_accept(struct grammar_builder *b, uint32_t state);
/* A value of the union `of` stands between the two states. */
void build_value(struct grammar_builder *b, uint32_t from, uint32_t of, uint32_t after);
uint32_t build_union(struct grammar_builder *b);
void build_member(struct grammar_builder *b, uint32_t of, uint32_t rule);

/* A grammar of the values of one union; ERR_LIMIT where a limit was met, ERR_INVALID where no text is one. */
MUST_CHECK bool build_grammar(const struct grammar_builder *b, uint32_t root, struct grammar **out,
                              struct error *err);
#endif
