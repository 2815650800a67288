/*
 * chat_request_fuzz.c - any JSON as a request for chat ('c') or a completion ('p'): refused by a sentence, or ready for the engine within
 * its bounds.
 */
#include "fuzz.h"

#include "base/size.h"
#include "server/chat_completion.h"
#include "server/completion.h"
#include "server/request_fields.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static struct model *model;
static struct prompter *prompter;

static void open_model(void)
{
    struct error err = {0};

    if (model != NULL)
        return;
    check(model_open(TEST_DIR "/golden/tiny/hf", 0, &model, &err) &&
          prompter_open(model, NULL, &prompter, &err));
}

static void chat(const json_t *body)
{
    const struct chat_defaults def = {
        .model = "tiny", .pick = pick_defaults(), .max_positions = model->max_positions};
    struct arena a = {0};
    struct error err = {0};
    struct chat_request r;

    if (!chat_request_read(body, prompter, &def, &a, &r, &err)) {
        check(err.message[0] != '\0');
    } else {
        check(r.prompt.n >= 1 && r.sample.n_samples >= 1 && r.sample.max_tokens >= 1);
        check(r.prompt.n + r.sample.max_tokens <= model->max_positions);
        for (size_t i = 0; i < r.prompt.n; i++)
            check(r.prompt.tokens[i] >= 0 && (size_t)r.prompt.tokens[i] < model->config.vocab);
        chat_request_release(&r);
    }
    arena_release(&a);
}

static void completion(const json_t *body, bool stream)
{
    struct arena a = {0};
    struct error err = {0};
    struct completion_request r;

    if (!completion_read(body, model, stream, &a, &r, &err)) {
        check(err.message[0] != '\0');
    } else {
        check(r.n_prompts >= 1 && r.n >= 1 && r.best_of >= r.n);
        for (size_t i = 0; i < r.n_prompts; i++) {
            /* how much of max_tokens there is room for, one at least, is seen when it is asked (engine_request.c) */
            check(r.prompts[i].n >= 1 &&
                  r.prompts[i].n + size_min(r.max_tokens, 1) <= model->max_positions);
            for (size_t k = 0; k < r.prompts[i].n; k++)
                check(r.prompts[i].tokens[k] >= 0 &&
                      (size_t)r.prompts[i].tokens[k] < model->config.vocab);
        }
    }
    arena_release(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct error err = {0};
    json_t *body = NULL;

    open_model();
    if (n < 1 || n > 4096 ||
        !json_parse((struct str){(const char *)bytes + 1, n - 1}, "body", &body, &err))
        return 0;
    if (bytes[0] == 'c')
        chat(body);
    else
        completion(body, bytes[0] == 's');
    json_decref(body);
    return 0;
}
