/*
 * cmd_score.c - the log-probability of each token, given those before it.
 */
#include "base/size.h"
#include "cli/commands.h"
#include "cli/ids.h"
#include "cli/lines.h"
#include "cli/output.h"
#include "cli/session.h"

#include <math.h>

struct scoring {
    struct session *s;
    const struct tokenizer *tokenizer;
    bool special;
};

/* The ids of text, begun as the model wants a text begun. */
static bool ids_of(const struct scoring *x, struct str text, struct token_list *out,
                   struct error *err)
{
    const struct model_config *c = &x->s->model->config;
    struct token_list ids = {0};
    bool ok = tokenizer_encode(x->tokenizer, text, x->special, &ids, err);

    if (ok && c->add_bos && c->bos >= 0 && (ids.n == 0 || ids.ids[0] != c->bos))
        token_list_put(out, c->bos);
    for (size_t i = 0; ok && i < ids.n; i++)
        token_list_put(out, ids.ids[i]);
    token_list_release(&ids);
    return ok;
}

/* out has room for one number a token, and one more. */
static bool score(const struct scoring *x, const struct token_list *ids, float *out,
                  struct error *err)
{
    if (ids->n > session_context(x->s))
        return fail_param(
            err, ERR_LIMIT, "text",
            "the text has %zu tokens, more than the %zu positions available (--context)", ids->n,
            session_context(x->s));
    return engine_score(x->s->engine, x->s->adapter, ids->ids, ids->n, 1.0f, out, err);
}

static bool answer(void *ctx, const struct input_line *in, struct arena *a, json_t **out,
                   struct error *err)
{
    const struct scoring *x = ctx;
    const json_t *given = json_object_get(in->value, "ids");
    struct token_list ids = {0};
    json_t *list;
    struct str text;
    bool ok;

    if (given != NULL)
        ok = ids_from_json(given, x->s->model->config.vocab, &ids, err);
    else
        ok = json_get_str(in->value, "text", in->what, &text, err) && ids_of(x, text, &ids, err);
    float *logprobs = ARENA_ARRAY(a, float, ids.n + 1);
    ok = ok && score(x, &ids, logprobs, err);
    if (ok) {
        list = json_array();
        for (size_t i = 0; i < ids.n; i++)
            json_array_append_new(list, i == 0 ? json_null() : json_real(digits_of(logprobs[i])));
        *out = json_pack("{s:o, s:o}", "ids", ids_to_json(ids.ids, ids.n), "logprobs", list);
    }
    token_list_release(&ids);
    return ok;
}

static bool tell(const struct scoring *x, const struct token_list *ids, const float *logprobs,
                 struct error *err)
{
    struct buf line;
    double sum = 0;
    bool ok = true;

    buf_init(&line, 1 << 24);
    for (size_t i = 0; ok && i < ids->n; i++) {
        buf_clear(&line);
        if (i == 0)
            buf_printf(&line, "%7d            ", (int)ids->ids[i]);
        else
            buf_printf(&line, "%7d  %9.4f ", (int)ids->ids[i], (double)logprobs[i]);
        put_visible(&line, tokenizer_bytes(x->tokenizer, ids->ids[i]));
        buf_char(&line, '\n');
        sum += i == 0 ? 0 : (double)logprobs[i];
        ok = out_str(buf_view(&line), err);
    }
    buf_release(&line);
    if (ok && ids->n > 1)
        ok = out_printf(err, "%zu tokens, ln p = %.4f, perplexity %.4f\n", ids->n, sum,
                        exp(-sum / (double)(ids->n - 1)));
    return ok;
}

static bool plain(struct cli *c, const struct scoring *x, struct error *err)
{
    struct token_list ids = {0};
    struct str text;
    bool ok = read_input(c, &text, err) && ids_of(x, text, &ids, err);
    float *logprobs = ARENA_ARRAY(c->arena, float, ids.n + 1);

    ok = ok && score(x, &ids, logprobs, err) && tell(x, &ids, logprobs, err);

    token_list_release(&ids);
    return ok;
}

static bool run(struct cli *c, struct error *err)
{
    struct session s = {0};
    bool ok = session_open_options(c, false, &s, err);

    if (ok && s.ref.adapter == NULL && !option_given(c->options, OPT_PRECISION))
        s.model->precision = PRECISION_F32; /* for whoever compares with another program */
    if (ok) {
        struct scoring x = {.s = &s,
                            .tokenizer = model_files_tokenizer(s.model->files),
                            .special = !option_on(c->options, OPT_NO_SPECIAL)};

        ok = c->json ? lines_answer(c, answer, &x, err) : plain(c, &x, err);
    }
    session_close(&s);
    return ok;
}

static const enum option_id ids[] = {OPT_MODEL,  OPT_ADAPTER, OPT_IN,        OPT_NO_SPECIAL,
                                     OPT_DEVICE, OPT_THREADS, OPT_PRECISION, OPT_KV_CACHE,
                                     OPT_SEED,   OPT_CONTEXT, OPT_KERNELS,   OPT_HOME};

const struct command cmd_score = {
    .set = {.command = "score",
            .args = "",
            .summary = "token ids of a text and their log-probabilities",
            .details = "Reads one text from standard input; with --json a line {\"text\": \"...\"} "
                       "or {\"ids\": [...]} becomes {\"ids\": [...], \"logprobs\": [null, -1.2, "
                       "...]}: natural logarithms. A text is begun with the beginning-of-text "
                       "token where the model's files ask for it; ids are taken as they are. "
                       "A base model is computed in f32 unless --precision says otherwise, so "
                       "that other programs' numbers can be compared; a trained one as it was "
                       "trained. "
                       "Nothing here is random: --seed changes nothing.",
            .examples =
                "  echo \"Cataract is a sign of the eye\" | hone score --model model.gguf\n"
                "  hone score --model model.gguf --adapter runs/demo --json < texts.jsonl\n",
            .ids = ids,
            .n_ids = COUNT_OF(ids)},
    .run = run,
};
