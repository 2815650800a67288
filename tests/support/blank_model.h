/*
 * blank_model.h - the tiny model with a tokenizer as Llama 2 has it: BPE of characters with bytes to fall back on, and a blank
 * in front of a text and of what follows a special token.
 */
#ifndef HONE_TESTS_BLANK_MODEL_H
#define HONE_TESTS_BLANK_MODEL_H

#include "base/file.h"
#include "model/model.h"
#include "support/support.h"

#include <stdio.h>
#include <unistd.h>

#define BLANK "\xE2\x96\x81"

static inline void put_blank_tokens(struct buf *b)
{
    static const char *const merged[] = {BLANK,     "h",        "i",       "y",       "o",
                                         "u",       "[",        "]",       "I",       "/",
                                         BLANK "h", BLANK "hi", BLANK "y", BLANK "yo"};

    buf_text(b, "{\"<unk>\":0,\"<s>\":1,\"</s>\":2");
    for (int i = 0; i < 256; i++)
        buf_printf(b, ",\"<0x%02X>\":%d", (unsigned)i, 3 + i);
    for (size_t i = 0; i < sizeof merged / sizeof *merged; i++)
        buf_printf(b, ",\"%s\":%zu", merged[i], 259 + i);
    buf_text(b, "}");
}

static inline void put_blank_tokenizer(struct buf *b)
{
    static const char *const special[] = {"<unk>", "<s>", "</s>"};

    buf_text(b, "{\"version\":\"1.0\",\"added_tokens\":[");
    for (int i = 0; i < 3; i++)
        buf_printf(
            b,
            "%s{\"id\":%d,\"content\":\"%s\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false,\"special\":true}",
            i > 0 ? "," : "", i, special[i]);
    buf_text(
        b,
        "],\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"" BLANK
        "\"},"
        "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"" BLANK
        "\"}]},\"pre_tokenizer\":null,\"post_processor\":null,"
        "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":\"" BLANK
        "\"},\"content\":\" \"},"
        "{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"},{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}]},"
        "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":\"<unk>\",\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,"
        "\"fuse_unk\":true,\"byte_fallback\":true,\"ignore_merges\":false,\"vocab\":");
    put_blank_tokens(b);
    buf_text(b,
             ",\"merges\":[\"" BLANK " h\",\"" BLANK "h i\",\"" BLANK " y\",\"" BLANK "y o\"]}}");
}

static inline void write_text(const char *path, struct str text)
{
    FILE *f = fopen(path, "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(text.ptr, 1, text.len, f), text.len);
    assert_int_equal(fclose(f), 0);
}

/* The folder is gone once the model is open. */
static inline struct model *blank_model_open(struct arena *a)
{
    const char *dir = test_dir_make(a);
    struct model *m = NULL;
    struct error err;
    struct str config;
    struct buf b;

    ASSERT_OK(file_read(golden_path(a, "tiny/hf/config.json"), 1 << 20, a, &config, &err));
    write_text(arena_printf(a, "%s/config.json", dir), config);
    assert_int_equal(symlink(golden_path(a, "tiny/hf/model.safetensors"),
                             arena_printf(a, "%s/model.safetensors", dir)),
                     0);
    buf_init(&b, 1 << 20);
    put_blank_tokenizer(&b);
    write_text(arena_printf(a, "%s/tokenizer.json", dir), buf_view(&b));
    buf_release(&b);
    write_text(arena_printf(a, "%s/tokenizer_config.json", dir),
               STR("{\"bos_token\":\"<s>\",\"eos_token\":\"</s>\"}"));
    ASSERT_OK(model_open(dir, 0, &m, &err));
    test_dir_remove(dir);
    return m;
}
#endif
