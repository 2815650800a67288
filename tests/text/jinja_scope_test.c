/*
 * jinja_scope_test.c - which variable a name is: loops, macros, captures and branches, as in jinja2.
 */
#include "text/jinja_render.h"

static void a_set_in_a_loop_changes_nothing_outside(void **state)
{
    (void)state;
    CHECK_RENDERINGS(
        {"{% set a = 0 %}{% for i in [1, 2] %}{{ a }}{% set a = i %}{{ a }} {% endfor %}{{ a }}",
         "{}", "01 02 0"},
        {"{% set ns = namespace(n=0) %}{% for i in [1, 2] %}{% set ns.n = ns.n + i %}{% endfor %}"
         "{{ ns.n }}",
         "{}", "3"},
        {"{% for i in [1] %}{{ i }}{% endfor %}{{ i }}", "{}", "1"},
        {"{% for x in [1, 2] %}{{ x }}{% else %}{% endfor %}{{ x }}", "{\"x\": 9}", "129"});
}

static void a_branch_stores_in_the_frame_around_it(void **state)
{
    (void)state;
    CHECK_RENDERINGS(
        {"{% if t %}{% set a = 1 %}{% endif %}{{ a }}", "{\"t\": true, \"a\": 7}", "1"},
        {"{% if t %}{% set a = 1 %}{% endif %}{{ a }}", "{\"t\": false, \"a\": 7}", "7"},
        {"{% if t %}{% set a = 1 %}{% else %}{% set a = 2 %}{% endif %}{{ a }}", "{\"t\": false}",
         "2"},
        {"{% set a = 1 %}{% for i in [0, 1] %}{% if i %}{% set a = 5 %}{% endif %}{{ a }}"
         "{% endfor %}{{ a }}",
         "{}", "151"});
}

static void a_macro_sees_what_is_around_it_when_it_is_called(void **state)
{
    (void)state;
    CHECK_RENDERINGS(
        {"{% set a = 1 %}{% macro m() %}{{ a }}{% endmacro %}{{ m() }}{% set a = 2 %}{{ m() }}",
         "{}", "12"},
        {"{% macro m() %}{{ a }}{% endmacro %}{{ m() }}{% set a = 1 %}{{ m() }}", "{\"a\": 7}",
         "1"}, /* a is stored later on, and so never the caller's */
        {"{% macro m(a, b=a, c=3) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }}{{ m(1, c=5) }}",
         "{}", "113115"},
        {"{% macro m() %}{% set a = 2 %}{{ a }}{% endmacro %}{{ m() }}{{ a }}", "{\"a\": 1}", "21"},
        {"{% macro f(n) %}{{ n }}{% if n %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}", "{}",
         "3210"},
        {"{% set a %}{% macro q() %}w{% endmacro %}{{ q() }}{% endset %}{{ a }}{{ q is defined }}",
         "{}", "wFalse"});
}

static void a_macro_takes_more_than_it_names(void **state)
{
    (void)state;
    CHECK_RENDERINGS(
        {"{% macro m(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, 3, k=4) }}",
         "{}", "1(2, 3){'k': 4}"},
        {"{% macro m() %}[{{ caller(1) }}]{% endmacro %}{% call(u) m() %}<{{ u }}>{% endcall %}",
         "{}", "[<1>]"},
        {"{% macro m(a) %}{{ a is defined }}{% endmacro %}{{ m() }}", "{}", "False"});
    check_refusal(STR("{% macro m(a) %}{% endmacro %}\n{{ m(1, 2) }}"), ERR_INVALID,
                  "line 2: macro 'm' takes not more than 1 argument(s)");
    check_refusal(STR("{% macro m() %}{% endmacro %}{{ m(z=1) }}"), ERR_INVALID,
                  "macro 'm' takes no keyword argument 'z'");
    check_refusal(STR("{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}"), ERR_INVALID,
                  "No caller defined");
    check_refusal(STR("{% macro m(a, a) %}{% endmacro %}"), ERR_INVALID, "duplicate argument 'a'");
}

static void with_and_captures_have_frames_of_their_own(void **state)
{
    (void)state;
    CHECK_RENDERINGS(
        {"{% with a = 1, b = a %}{{ a }}{{ b }}{% endwith %}{{ a }}", "{\"a\": 7}", "177"},
        {"{% set b %}{% set a = 2 %}{{ a }}{% endset %}{{ a }}{{ b }}", "{\"a\": 1}", "12"},
        {"{% filter upper %}{% set a = 'x' %}{{ a }}{% endfilter %}{{ a }}", "{\"a\": \"y\"}",
         "Xy"},
        {"{% set a = 1 %}{% block b %}{{ a }}{{ i }}{% endblock %}", "{\"i\": 3}", "13"});
}

static void a_loops_filter_runs_when_the_next_item_is_needed(void **state)
{
    (void)state;
    CHECK_RENDERINGS(
        {"{% set ns = namespace(on=true) %}{% for i in [1, 2, 3] if ns.on %}{{ i }}"
         "{% set ns.on = i < 2 %}{% endfor %}",
         "{}", "12"},
        {"{% for i in [1, 2, 3, 4] if i is odd %}{{ loop.index }}{{ i }}{{ loop.last }} {% endfor %}",
         "{}", "11False 23True "},
        {"{% for a, b in [[1, 2], [3, 4]] if a > 1 %}{{ b }}{{ loop.length }}{% endfor %}", "{}",
         "41"});
}

static void else_follows_unless_a_round_came_to_its_end(void **state)
{
    (void)state;
    CHECK_RENDERINGS({"{% for i in [] %}x{% else %}e{% endfor %}", "{}", "e"},
                     {"{% for i in [1, 2] %}{{ i }}{% break %}{% else %}e{% endfor %}", "{}", "1e"},
                     {"{% for i in [1, 2] %}{% continue %}{% else %}e{% endfor %}", "{}", "e"},
                     {"{% for j in [1, 2] %}{{ j }}{% for i in [] %}{% else %}{% break %}"
                      "{% endfor %}{% endfor %}",
                      "{}", "1"});
}

static void loops_know_where_they_are(void **state)
{
    (void)state;
    CHECK_RENDERINGS(
        {"{% for i in 'abc' %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}"
         "{{ loop.revindex0 }}{{ loop.first }}{{ loop.previtem }}{{ loop.nextitem }} {% endfor %}",
         "{}", "1032Trueb 2121Falseac 3210Falseb "},
        {"{% for i in [1, 1, 2] %}{{ loop.changed(i) }}{{ loop.cycle('o', 'e') }} {% endfor %}",
         "{}", "Trueo Falsee Trueo "},
        {"{% for n in t recursive %}{{ n.v }}{{ loop.depth }}({{ loop(n.c) }}){% endfor %}",
         "{\"t\": [{\"v\": 1, \"c\": [{\"v\": 2, \"c\": []}]}]}", "11(22())"});
    check_refusal(STR("{% for i in l %}{{ loop(l) }}{% endfor %}"), ERR_INVALID,
                  "must have the 'recursive' marker");
    check_refusal(STR("{% for i in l %}{% set loop = 1 %}{% endfor %}"), ERR_INVALID,
                  "special loop variable");
}

static void break_needs_a_loop_in_its_function(void **state)
{
    (void)state;
    check_refusal(STR("{% break %}"), ERR_INVALID, "no loop around them");
    check_refusal(STR("{% for i in l %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}"),
                  ERR_INVALID, "no loop around them");
    CHECK_RENDERINGS(
        {"{% for i in [1] %}{% set a %}x{% break %}{% endset %}{% endfor %}{{ a }}y", "{}", "y"});
}

static void an_unknown_filter_may_wait_in_a_branch(void **state)
{
    (void)state;
    CHECK_RENDERINGS({"{% if false %}{{ x | nope }}{% endif %}ok", "{}", "ok"},
                     {"{{ 1 if true else x is nope }}", "{}", "1"},
                     {"{% if false %}{% include 'a' %}{% endif %}ok", "{}", "ok"});
    check_refusal(STR("\n{{ x | nope }}"), ERR_INVALID, "line 2: No filter named 'nope'.");
    check_refusal(STR("{% if x %}{{ x is nope }}{% endif %}"), ERR_INVALID, "No test named 'nope'");
    check_refusal(STR("\n{% include 'a' %}"), ERR_UNSUPPORTED,
                  "line 2: 'include' needs other templates");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_set_in_a_loop_changes_nothing_outside),
        cmocka_unit_test(a_branch_stores_in_the_frame_around_it),
        cmocka_unit_test(a_macro_sees_what_is_around_it_when_it_is_called),
        cmocka_unit_test(a_macro_takes_more_than_it_names),
        cmocka_unit_test(with_and_captures_have_frames_of_their_own),
        cmocka_unit_test(a_loops_filter_runs_when_the_next_item_is_needed),
        cmocka_unit_test(else_follows_unless_a_round_came_to_its_end),
        cmocka_unit_test(loops_know_where_they_are),
        cmocka_unit_test(break_needs_a_loop_in_its_function),
        cmocka_unit_test(an_unknown_filter_may_wait_in_a_branch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
