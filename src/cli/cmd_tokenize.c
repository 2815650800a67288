/*
 * cmd_tokenize.c - text to token ids, and back.
 */
#include "base/limits.h"
#include "base/size.h"
#include "cli/commands.h"
#include "cli/ids.h"
#include "cli/lines.h"
#include "cli/output.h"
#include "job/model_store.h"
#include "model/model_files.h"

#include <ctype.h>
#include <stdlib.h>

static bool encode_line(void *ctx, const struct input_line *in, struct arena *a, json_t **out,
                        struct error *err)
{
    const struct tokenizing *t = ctx;
    struct token_list ids = {0};
    struct str text;
    bool ok = json_get_str(in->value, "text", in->what, &text, err) &&
              tokenizer_encode(t->tokenizer, text, t->special, &ids, err);

    (void)a;
    if (ok)
        *out = json_pack("{s:o, s:o}", "ids", ids_to_json(ids.ids, ids.n), "tokens",
                         pieces_to_json(t->tokenizer, ids.ids, ids.n));
    token_list_release(&ids);
    return ok;
}

static bool decode_line(void *ctx, const struct input_line *in, struct arena *a, json_t **out,
                        struct error *err)
{
    const struct tokenizing *t = ctx;
    struct token_list ids = {0};
    struct buf text;
    bool ok =
        ids_from_json(json_object_get(in->value, "ids"), tokenizer_size(t->tokenizer), &ids, err);

    (void)a;
    buf_init(&text, LIMIT_RENDER_BYTES);
    if (ok)
        tokenizer_text(t->tokenizer, ids.ids, ids.n, false, &text);
    ok = ok && buf_ok(&text, "the text", err);
    if (ok)
        *out = json_pack("{s:s%}", "text", buf_view(&text).ptr, text.len);
    buf_release(&text);
    token_list_release(&ids);
    return ok;
}

/* "12 34, 56" */
static bool ids_from_text(struct str text, size_t n_tokens, struct token_list *out,
                          struct error *err)
{
    size_t at = 0;

    for (;;) {
        while (at < text.len &&
               (isspace((unsigned char)text.ptr[at]) || strchr(",[]", text.ptr[at]) != NULL))
            at++;
        if (at == text.len)
            return true;
        const size_t from = at;
        uint64_t id = 0;
        while (at < text.len && isdigit((unsigned char)text.ptr[at]) && id < LIMIT_VOCAB)
            id = id * 10 + (uint64_t)(text.ptr[at++] - '0');
        if (at == from || id >= n_tokens)
            return fail(err, ERR_INVALID, "\"%.*s\" is no token id; there are ids from 0 to %zu",
                        (int)size_min(20, text.len - from), text.ptr + from, n_tokens - 1);
        token_list_put(out, (token_id)id);
    }
}

static bool tell_ids(const struct tokenizer *t, const struct token_list *ids, struct error *err)
{
    struct buf line;
    bool ok = true;

    buf_init(&line, LIMIT_RENDER_BYTES);
    for (size_t i = 0; ok && i < ids->n; i++) {
        buf_clear(&line);
        buf_printf(&line, "%7d  ", (int)ids->ids[i]);
        put_visible(&line, tokenizer_bytes(t, ids->ids[i]));
        buf_printf(&line, "%s\n", tokenizer_is_special(t, ids->ids[i]) ? "   (special)" : "");
        ok = out_str(buf_view(&line), err);
    }
    buf_release(&line);
    return ok && out_printf(err, "%zu tokens\n", ids->n);
}

/* Without --json: everything is one text. */
static bool plain(struct cli *c, const struct tokenizing *t, bool back, struct error *err)
{
    struct token_list ids = {0};
    struct str text;
    struct buf decoded;
    bool ok = true;

    buf_init(&decoded, LIMIT_RENDER_BYTES);
    if (c->options->n_args > 0)
        text = str_of(c->options->args[0]);
    else
        ok = read_input(c, &text, err);
    if (ok && back) {
        ok = ids_from_text(text, tokenizer_size(t->tokenizer), &ids, err);
        if (ok)
            tokenizer_text(t->tokenizer, ids.ids, ids.n, false, &decoded);
        ok = ok && buf_ok(&decoded, "the text", err) && out_str(buf_view(&decoded), err) &&
             (decoded.len == 0 || decoded.ptr[decoded.len - 1] == '\n' || out_printf(err, "\n"));
    } else if (ok) {
        ok = tokenizer_encode(t->tokenizer, text, t->special, &ids, err) &&
             tell_ids(t->tokenizer, &ids, err);
    }
    token_list_release(&ids);
    buf_release(&decoded);
    return ok;
}

static bool run(struct cli *c, struct error *err)
{
    const bool back = option_on(c->options, OPT_DETOKENIZE);
    struct model_files *files = NULL;
    struct model_ref ref;
    const char *model;
    bool ok = need_option(c, OPT_MODEL, &model, err);

    if (ok && c->json && c->options->n_args > 0)
        ok = misuse(c, err,
                    "with --json the texts come as lines, {\"text\": \"...\"}, not as an argument");
    ok = ok && model_store_find(c->home, model, c->arena, &ref, err) &&
         model_files_open(ref.path, &files, err);
    if (ok) {
        struct tokenizing t = {.tokenizer = model_files_tokenizer(files),
                               .special = !option_on(c->options, OPT_NO_SPECIAL)};

        ok = c->json ? lines_answer(c, back ? decode_line : encode_line, &t, err)
                     : plain(c, &t, back, err);
    }
    model_files_close(files);
    return ok;
}

static const enum option_id ids[] = {OPT_MODEL, OPT_DETOKENIZE, OPT_NO_SPECIAL, OPT_IN, OPT_HOME};

const struct command cmd_tokenize = {
    .set =
        {.command = "tokenize",
         .args = "[TEXT]",
         .max_args = 1,
         .summary = "text to token ids, and back",
         .details = "Without TEXT it comes from standard input. Nothing is added at either end; "
                    "special tokens in the text become their ids. With --json a line {\"text\": "
                    "\"...\"} becomes {\"ids\": [...], \"tokens\": [\"...\"]}, and with "
                    "--detokenize {\"ids\": [...]} becomes {\"text\": \"...\"}.",
         .examples =
             "  hone tokenize --model SmolLM2-135M-Instruct.Q4_1 \"Cataract: is it a sign of the eye?\"\n"
             "  hone tokenize --model model.gguf --json < texts.jsonl\n",
         .ids = ids,
         .n_ids = COUNT_OF(ids)},
    .run = run,
};
