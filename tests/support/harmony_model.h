/*
 * harmony_model.h - the tiny model with gpt-oss's special tokens: the last that its tokenizer merges give theirs up for them.
 */
#ifndef HONE_TESTS_HARMONY_MODEL_H
#define HONE_TESTS_HARMONY_MODEL_H

#include "base/file.h"
#include "model/model.h"
#include "support/support.h"
#include "text/json.h"

#include <stdio.h>
#include <unistd.h>

/* What gpt-oss's template does with a conversation, in short; a call is rendered as it does it. */
#define HARMONY_TEMPLATE                                                                            \
    "{{ '<|start|>system<|message|>Reasoning: low<|end|>' }}"                                       \
    "{%- if tools %}{{- '<|start|>developer<|message|>' }}"                                         \
    "{%- for t in tools %}{{- 'type ' + t.function.name + '\\n' }}{%- endfor %}"                    \
    "{{- '<|end|>' }}{%- endif %}"                                                                  \
    "{%- set last = namespace(name=none) %}{%- for m in messages %}"                                \
    "{%- if m.role == 'assistant' %}{%- if 'tool_calls' in m %}"                                    \
    "{%- if m.content and m.thinking %}{{- raise_exception('both content and thinking') }}"         \
    "{%- elif m.content or m.thinking %}{{- '<|start|>assistant<|channel|>analysis<|message|>' + "  \
    "(m.content or m.thinking) + '<|end|>' }}{%- endif %}"                                          \
    "{%- set last.name = m.tool_calls[0].function.name %}"                                          \
    "{{- '<|start|>assistant to=functions.' + last.name + '<|channel|>commentary json<|message|>' " \
    "}}{{- m.tool_calls[0].function.arguments | tojson }}{{- '<|call|>' }}"                         \
    "{%- elif loop.last and not add_generation_prompt %}"                                           \
    "{%- if m.thinking %}{{- '<|start|>assistant<|channel|>analysis<|message|>' + m.thinking + "    \
    "'<|end|>' }}{%- endif %}"                                                                      \
    "{{- '<|start|>assistant<|channel|>final<|message|>' + m.content + '<|return|>' }}"             \
    "{%- else %}{{- '<|start|>assistant<|channel|>final<|message|>' + m.content + '<|end|>' }}"     \
    "{%- endif %}{%- elif m.role == 'tool' %}{{- '<|start|>functions.' + last.name + "              \
    "' to=assistant<|channel|>commentary<|message|>' + (m.content | tojson) + '<|end|>' }}"         \
    "{%- else %}{{- '<|start|>' + m.role + '<|message|>' + m.content + '<|end|>' }}{%- endif %}"    \
    "{%- endfor %}{%- if add_generation_prompt %}{{- '<|start|>assistant' }}{%- endif %}"

static inline json_t *harmony_tokenizer(struct arena *a)
{
    static const struct {
        int id;
        const char *text;
    } special[] = {{0, "<|call|>"},       {1, "<|start|>"},     {2, "<|return|>"},
                   {316, "<|end|>"},      {317, "<|message|>"}, {318, "<|channel|>"},
                   {319, "<|constrain|>"}};
    struct error err = {0};
    json_t *t = NULL, *id;
    const char *text;
    void *next;

    ASSERT_OK(json_read_file(golden_path(a, "tiny/hf/tokenizer.json"), &t, &err));
    json_t *vocab = json_object_get(json_object_get(t, "model"), "vocab"),
           *merges = json_object_get(json_object_get(t, "model"), "merges"), *added = json_array();
    json_object_foreach_safe(vocab, next, text, id)
    {
        if (json_integer_value(id) < 3 || json_integer_value(id) >= 316)
            json_object_del(vocab, text);
    }
    for (int i = 0; i < 4; i++)
        json_array_remove(merges, json_array_size(merges) - 1);
    for (size_t i = 0; i < sizeof special / sizeof *special; i++) {
        json_object_set_new(vocab, special[i].text, json_integer(special[i].id));
        json_array_append_new(added,
                              json_pack("{s:i, s:s, s:b, s:b, s:b, s:b, s:b}", "id", special[i].id,
                                        "content", special[i].text, "single_word", 0, "lstrip", 0,
                                        "rstrip", 0, "normalized", 0, "special", 1));
    }
    json_object_set_new(t, "added_tokens", added);
    return t;
}

/* The folder is gone once the model is open. */
static inline struct model *harmony_model_open(struct arena *a)
{
    const char *dir = test_dir_make(a), *config = arena_printf(a, "%s/tokenizer_config.json", dir);
    json_t *t = harmony_tokenizer(a), *said = json_pack("{s:s, s:s}", "eos_token", "<|return|>",
                                                        "chat_template", HARMONY_TEMPLATE);
    static const char *const same[] = {"config.json", "model.safetensors"};
    struct model *m = NULL;
    struct error err = {0};

    assert_int_equal(json_dump_file(t, arena_printf(a, "%s/tokenizer.json", dir), 0), 0);
    assert_int_equal(json_dump_file(said, config, 0), 0);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(symlink(golden_path(a, arena_printf(a, "tiny/hf/%s", same[i])),
                                 arena_printf(a, "%s/%s", dir, same[i])),
                         0);
    ASSERT_OK(model_open(dir, 0, &m, &err));
    test_dir_remove(dir);
    json_decref(said);
    json_decref(t);
    return m;
}
#endif
