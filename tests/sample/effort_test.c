/*
 * effort_test.c - each family's template is given the effort in its own form, which its variables tell.
 */
#include "sample/effort.h"
#include "support/said.h"
#include "support/support.h"

static struct arena arena;
static struct error err;
static struct model *model;

static int open_model(void **state)
{
    (void)state;
    return model_open(golden_path(&arena, "tiny/hf"), 0, &model, &err) ? 0 : -1;
}

static int close_model(void **state)
{
    (void)state;
    model_close(model);
    arena_release(&arena);
    return 0;
}

/* What comes of "Hi" with this effort. */
static struct str rendered(const char *template, const char *effort, const char *system)
{
    struct prompter *p = NULL;
    struct prompt out;
    json_t *messages = json_pack("[{s:s, s:s}]", "role", "user", "content", "Hi");

    if (system != NULL)
        json_array_insert_new(messages, 0,
                              json_pack("{s:s, s:s}", "role", "system", "content", system));
    ASSERT_OK(prompter_open(model, template, &p, &err));
    json_t *vars = effort_variables(effort_of(str_of(effort)), p, NULL);
    ASSERT_OK(prompter_render(p, messages, NULL, vars, &arena, &out, &err));
    json_decref(vars);
    json_decref(messages);
    prompter_close(p);
    return out.text;
}

/* As gpt-oss has it. */
#define HARMONY                                                                                    \
    "{% if reasoning_effort is not defined %}{% set reasoning_effort = 'medium' %}{% endif %}"     \
    "Reasoning: {{ reasoning_effort }}"
/* As Hunyuan's. */
#define RAISES                                                                                     \
    "{% if reasoning_effort is not defined %}{% set reasoning_effort = 'no_think' %}"              \
    "{% elif reasoning_effort not in ['high', 'low', 'no_think'] %}"                               \
    "{{ raise_exception('no such effort') }}{% endif %}{{ reasoning_effort }}"
/* As Kimi's. */
#define OWN_SCALE                                                                                  \
    "{% if thinking is undefined %}{% set thinking = true %}{% endif %}"                           \
    "{% if thinking_effort is undefined %}{% set thinking_effort = 'max' %}{% endif %}"            \
    "{% if thinking and thinking_effort not in ['low', 'high', 'max'] %}"                          \
    "{{ raise_exception('no such effort') }}{% endif %}{{ thinking_effort if thinking else '-' }}"
/* As Qwen3's, SmolLM3's and GLM's; DeepSeek V3.1's; Granite's. */
#define QWEN                                                                                       \
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>{% endif %}"
#define DEEPSEEK                                                                                   \
    "{% if not thinking is defined %}{% set thinking = false %}{% endif %}"                        \
    "{{ '<think>' if thinking else '</think>' }}"
#define GRANITE "{% if thinking %}Think.{% endif %}"
#define SEED                                                                                       \
    "{% if not thinking_budget is defined %}{% set thinking_budget = -1 %}{% endif %}"             \
    "{{ thinking_budget }}"
#define LING                                                                                       \
    "{% if thinking_option is not defined %}{% set thinking_option = 'on' %}{% endif %}"           \
    "detailed thinking {{ thinking_option }}"
/* As Nemotron's. */
#define WORD                                                                                       \
    "{% for m in messages %}{{ '[off]' if '/no_think' in m.content }}{{ m.content }}{% endfor %}"
#define ATTRIBUTE "{% set thinking = 1 %}{{ messages[0].enable_thinking is defined }}{{ thinking }}"

static void the_template_is_given_the_effort_in_its_own_form(void **state)
{
    static const struct {
        const char *template, *effort, *text;
    } rows[] = {
        {HARMONY, "", "Reasoning: medium"},
        {HARMONY, "low", "Reasoning: low"},
        {HARMONY, "high", "Reasoning: high"},
        {HARMONY, "none", "Reasoning: low"}, /* it has three */
        {HARMONY, "max", "Reasoning: high"},
        {RAISES, "", "no_think"},
        {RAISES, "none", "no_think"},
        {RAISES, "minimal", "low"},
        {RAISES, "medium", "high"},
        {RAISES, "xhigh", "high"},
        {OWN_SCALE, "", "max"},
        {OWN_SCALE, "none", "-"},
        {OWN_SCALE, "low", "low"},
        {OWN_SCALE, "medium", "high"},
        {OWN_SCALE, "xhigh", "max"},
        {QWEN "x", "", "x"},
        {QWEN "x", "none", "<think>\n\n</think>x"},
        {QWEN "x", "low", "x"},
        {DEEPSEEK, "", "</think>"},
        {DEEPSEEK, "none", "</think>"},
        {DEEPSEEK, "high", "<think>"},
        {GRANITE "x", "none", "x"},
        {GRANITE "x", "low", "Think.x"},
        {SEED, "", "-1"},
        {SEED, "none", "0"},
        {SEED, "low", "1024"},
        {SEED, "max", "-1"},
        {LING, "none", "detailed thinking off"},
        {LING, "low", "detailed thinking on"},
        {WORD, "", "Hi"},
        {WORD, "low", "Hi"},
        {WORD, "none", "[off]/no_thinkHi"},
        {ATTRIBUTE, "none", "False1"}, /* neither is a variable of the caller's */
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        ASSERT_STR(rendered(rows[i].template, rows[i].effort, NULL), rows[i].text);
    ASSERT_STR(rendered(WORD, "none", "Be brief."), "[off]Be brief. /no_thinkHi");
}

/* A template's tags are known, and an answer is parted by them. */
static void tags_and_channels_are_found_from_the_template(void **state)
{
    static const struct {
        const char *template, *said, *thinking, *text;
        size_t n_thinking; /* tokens; one for each byte */
    } rows[] = {
        {"{# </think> #}x", "<think>a</think>b", "a", "b", 16},
        {"{# [/THINK] #}x", "[THINK]a[/THINK]b", "a", "b", 16},
        {"{# </reasoning> #}x", "<reasoning>a</reasoning>b", "a", "b", 24},
        {"{# </seed:think> #}x", "<seed:think>a</seed:think>b", "a", "b", 26},
        {"{# <|END_THINKING|> #}x", "<|START_THINKING|>a<|END_THINKING|>b", "a", "b", 35},
        {"{# <channel|> #}x", "<|channel>thought\na<channel|>b", "a", "b", 29},
        {"{# <|channel|>analysis<|message|> #}x",
         "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b",
         "a", "b", 83},
        {"{# <|channel|>analysis<|message|> #}x", "<|channel|>final<|message|>b", "", "b", 0},
        {"x", "<think>a</think>b", "", "<think>a</think>b", 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct prompter *p = NULL;
        struct sample s = sample_of_text(model, rows[i].said, &arena);
        struct answer got;

        ASSERT_OK(prompter_open(model, rows[i].template, &p, &err));
        s.n_thinking = rows[i].n_thinking;
        s.stop_bytes = SIZE_MAX;
        prompter_answer(p, &s, &arena, &got);
        ASSERT_STR(got.thinking, rows[i].thinking);
        ASSERT_STR(got.text, rows[i].text);
        prompter_close(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_template_is_given_the_effort_in_its_own_form),
        cmocka_unit_test(tags_and_channels_are_found_from_the_template),
    };

    return cmocka_run_group_tests(tests, open_model, close_model);
}
