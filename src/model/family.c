/*
 * family.c - the table of families.
 */
#include "model/family.h"
#include "base/size.h"

#include <stdio.h>

static const struct family *const families[] = {
    &family_llama,  &family_mistral,    &family_ministral, &family_smollm3, &family_granite,
    &family_qwen2,  &family_qwen3,      &family_phi3,      &family_olmo2,   &family_olmo3,
    &family_gemma3, &family_ministral3, &family_qwen3_moe, &family_gemma2,  &family_gpt_oss};

const struct family *family_of_gguf(struct str arch)
{
    for (size_t i = 0; i < COUNT_OF(families); i++)
        if (families[i]->gguf_arch != NULL && str_is(arch, families[i]->gguf_arch))
            return families[i];
    return NULL;
}

const struct family *family_of_hf(struct str model_type)
{
    for (size_t i = 0; i < COUNT_OF(families); i++)
        if (str_is(model_type, families[i]->hf_type))
            return families[i];
    return NULL;
}

void family_list(bool gguf, char *out, size_t out_size)
{
    size_t n = 0;

    out[0] = '\0';
    for (size_t i = 0; i < COUNT_OF(families) && n < out_size; i++) {
        const char *name = gguf ? families[i]->gguf_arch : families[i]->hf_type;

        if (name != NULL)
            n += (size_t)snprintf(out + n, out_size - n, "%s%s", n == 0 ? "" : ", ", name);
    }
}

void family_tensor_name(const char *pattern, size_t layer, const char *suffix, char *out,
                        size_t out_size)
{
    const char *hash = strchr(pattern, '#');

    if (hash == NULL)
        snprintf(out, out_size, "%s%s", pattern, suffix);
    else
        snprintf(out, out_size, "%.*s%zu%s%s", (int)(hash - pattern), pattern, layer, hash + 1,
                 suffix);
}
