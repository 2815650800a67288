/*
 * jinja_limits_test.c - hostile templates meet a limit that has a name, and neither hang nor grow.
 */
#include "text/jinja_render.h"

#include <stdlib.h>

static void work_is_counted(void **state)
{
    static const char *const templates[] = {
        "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
        "{% set b = 'a' * 10000 %}{% for i in range(100000) %}{% set c = b | replace('a', 'b') %}"
        "{% endfor %}",
        "{% set b = 'a' * 1000000 %}{% set n = 'a' * 500000 + 'b' %}{{ b.rfind(n) }}",
        "{% set b = 'a' * 1000000 %}{% set c = 'a' * 1000000 %}{% for i in range(100000) %}"
        "{% if b == c %}{% endif %}{% endfor %}",
        "{% set ns = namespace(t=(1,)) %}{% for i in range(60) %}{% set ns.t = (ns.t, ns.t) %}"
        "{% endfor %}{{ {}[ns.t] }}",
        "{% set ns = namespace(a=[1], b=[1]) %}{% for i in range(60) %}{% set ns.a = [ns.a, ns.a] %}"
        "{% set ns.b = [ns.b, ns.b] %}{% endfor %}{{ ns.a == ns.b }}",
        "{% set b = range(100000) | list %}{% for i in range(1000) %}{% set c = b | sort %}"
        "{% endfor %}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof templates / sizeof *templates; i++)
        check_refusal(str_of(templates[i]), ERR_LIMIT, "more than 10000000 steps");
}

static void output_and_texts_are_bounded(void **state)
{
    (void)state;
    check_refusal(STR("{% for i in range(100000) %}{{ 'x' * 1000 }}{% endfor %}"), ERR_LIMIT,
                  "the text grows past 67108864 bytes");
    check_refusal(STR("{{ 'a' * 1000000000000 }}"), ERR_LIMIT, "a text repeated to more than");
    check_refusal(STR("{{ 'a'.ljust(10 ** 12) }}"), ERR_LIMIT, "a text padded to more than");
    check_refusal(STR("{{ '%1000000000d' % 1 }}"), ERR_LIMIT, "a text padded to more than");
    check_refusal(STR("{{ '%.1000000f' % 1 }}"), ERR_LIMIT, "a format precision of more than 1000");
    check_refusal(STR("{{ [1] | tojson(indent=1000000000) }}"), ERR_LIMIT, "padded to more than");
}

static void memory_is_bounded(void **state)
{
    (void)state;
    check_refusal(STR("{{ [1] * 100000000000 }}"), ERR_LIMIT, "a list repeated to more than");
    check_refusal(STR("{% set ns = namespace(l=[1]) %}{% for i in range(100) %}"
                      "{% set ns.l = ns.l + ns.l %}{% endfor %}"),
                  ERR_LIMIT, "values take more than 536870912 bytes");
    check_refusal(STR("{{ [1] | batch(1000000000, 'x') | list }}"), ERR_LIMIT, "values take more");
}

static void calls_and_values_are_only_so_deep(void **state)
{
    (void)state;
    check_refusal(STR("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"), ERR_LIMIT,
                  "calls and loops nested more than 200 deep");
    check_refusal(STR("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}"), ERR_LIMIT,
                  "nested more than 200 deep");
    check_refusal(STR("{% set ns = namespace(g=[1]) %}{% for i in range(999) %}"
                      "{% set ns.g = ns.g | map('string') %}{% endfor %}{{ ns.g | list }}"),
                  ERR_LIMIT, "nested more than 200 deep");
    check_refusal(STR("{% set ns = namespace(l=[]) %}{% for i in range(9999) %}"
                      "{% set ns.l = [ns.l] %}{% endfor %}{{ ns.l }}"),
                  ERR_LIMIT, "values nested more than 600 deep");
}

/* "{{ " open * n "1" close * n " }}" */
static struct str nested(struct arena *a, const char *open, const char *close, size_t n)
{
    const size_t n_open = strlen(open), n_close = strlen(close);
    char *text = arena_alloc(a, 8 + n * (n_open + n_close));
    size_t at = 3;

    memcpy(text, "{{ ", 3);
    for (size_t i = 0; i < n; i++, at += n_open)
        memcpy(text + at, open, n_open);
    text[at++] = '1';
    for (size_t i = 0; i < n; i++, at += n_close)
        memcpy(text + at, close, n_close);
    memcpy(text + at, " }}", 3);
    return (struct str){text, at + 3};
}

static void nesting_is_bounded_before_it_is_parsed(void **state)
{
    struct arena a = {0};

    (void)state;
    check_refusal(nested(&a, "(", ")", 100000), ERR_LIMIT, "more than 500 brackets");
    check_refusal(nested(&a, "(", ")", 300), ERR_LIMIT, "nested more than 250 deep");
    check_refusal(nested(&a, "[", "]", 300), ERR_LIMIT, "nested more than 250 deep");
    check_refusal(nested(&a, "not ", "", 100000), ERR_LIMIT, "nested more than 250 deep");
    check_refusal(nested(&a, "-", "", 100000), ERR_LIMIT, "nested more than 250 deep");
    check_refusal(nested(&a, "1 + ", "", 100000), ERR_LIMIT, "nested more than 250 deep");
    check_refusal(nested(&a, "", ".a", 100000), ERR_LIMIT, "nested more than 250 deep");
    check_refusal(nested(&a, "", "|abs", 100000), ERR_LIMIT, "nested more than 250 deep");
    check_refusal(nested(&a, "1 if 0 else ", "", 80000), ERR_LIMIT, "nested more than 250 deep");
    arena_release(&a);
}

static void a_template_has_only_so_many_bytes_and_names(void **state)
{
    struct arena a = {0};
    char *text = arena_alloc(&a, LIMIT_TEMPLATE_BYTES + 1);
    size_t n = 0;

    (void)state;
    check_refusal((struct str){text, LIMIT_TEMPLATE_BYTES + 1}, ERR_LIMIT,
                  "longer than the 1048576");
    for (int i = 0; i < 70000; i++)
        n += (size_t)sprintf(text + n, "{{a%d}}", i);
    check_refusal((struct str){text, n}, ERR_LIMIT, "more than 65535 variables");
    n = 0;
    for (int i = 0; i < 2000; i++)
        n += (size_t)sprintf(text + n, "{%% block a%d %%}{%% endblock %%}", i);
    check_refusal((struct str){text, n}, ERR_LIMIT, "more than 1000 blocks");
    arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(work_is_counted),
        cmocka_unit_test(output_and_texts_are_bounded),
        cmocka_unit_test(memory_is_bounded),
        cmocka_unit_test(calls_and_values_are_only_so_deep),
        cmocka_unit_test(nesting_is_bounded_before_it_is_parsed),
        cmocka_unit_test(a_template_has_only_so_many_bytes_and_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
