#include "server/request_fields.h"

#include "base/limits.h"
#include "base/size.h"

#include <errno.h>
#include <stdlib.h>

static const char what[] = "the request";

bool field_float(const json_t *body, const char *key, double least, double most, float *out,
                 struct error *err)
{
    double x = (double)*out;

    if (!json_get_double(body, key, what, x, &x, err))
        return false;
    if (!(x >= least && x <= most))
        return fail_param(err, ERR_INVALID, key, "%s: \"%s\" is %g, expected %g to %g", what, key,
                          x, least, most);
    *out = (float)x;
    return true;
}

bool field_size(const json_t *body, const char *key, size_t least, size_t most, size_t *out,
                struct error *err)
{
    const json_t *v = json_object_get(body, key);
    int64_t x = 0;

    if (v == NULL || json_is_null(v))
        return true;
    if (!json_get_int(body, key, what, 0, (int64_t)least, (int64_t)most, &x, err))
        return false;
    *out = (size_t)x;
    return true;
}

bool field_bool(const json_t *body, const char *key, bool *out, struct error *err)
{
    return json_get_bool(body, key, what, *out, out, err);
}

bool field_pick(const json_t *body, struct pick_options *o, struct error *err)
{
    if (!field_float(body, "temperature", 0, 2, &o->temperature, err) ||
        !field_float(body, "top_p", 0, 1, &o->top_p, err) ||
        !field_size(body, "top_k", 0, (size_t)1 << 20, &o->top_k, err) ||
        !field_float(body, "min_p", 0, 1, &o->min_p, err) ||
        !field_float(body, "frequency_penalty", -2, 2, &o->frequency_penalty, err) ||
        !field_float(body, "presence_penalty", -2, 2, &o->presence_penalty, err) ||
        !field_float(body, "repetition_penalty", 0.01, 100, &o->repetition_penalty, err))
        return false;
    if (o->top_p <= 0)
        o->top_p = 1e-6f; /* none but the likeliest */
    return true;
}

static bool read_bias(const char *key, const json_t *value, struct token_bias *out,
                      struct error *err)
{
    char *end;

    errno = 0;
    const long long id = strtoll(key, &end, 10);
    if (key[0] < '0' || key[0] > '9' || *end != '\0' || errno != 0 || id >= (long long)LIMIT_VOCAB)
        return fail_param(err, ERR_INVALID, "logit_bias",
                          "%s: \"logit_bias\" has the key \"%.32s\", a token's number was expected",
                          what, key);
    if (!json_is_number(value) || !(json_number_value(value) >= -100) ||
        !(json_number_value(value) <= 100))
        return fail_param(err, ERR_INVALID, "logit_bias",
                          "%s: \"logit_bias\" of token %lld is no number from -100 to 100", what,
                          id);
    *out = (struct token_bias){.id = (token_id)id, .bias = (float)json_number_value(value)};
    return true;
}

bool field_logit_bias(const json_t *body, struct arena *a, struct pick_options *o,
                      struct error *err)
{
    json_t *given = json_object_get(body, "logit_bias"), *value;
    const char *key;
    size_t n = 0;

    if (given == NULL || json_is_null(given))
        return true;
    if (!json_is_object(given))
        return fail_param(err, ERR_INVALID, "logit_bias",
                          "%s: \"logit_bias\" is %s, an object was expected", what,
                          json_kind(given));
    struct token_bias *list = ARENA_ARRAY(a, struct token_bias, json_object_size(given) + 1);
    json_object_foreach(given, key, value)
    {
        if (!read_bias(key, value, &list[n], err))
            return false;
        for (size_t i = 0; n <= LIMIT_LOGIT_BIAS && i < n; i++)
            if (list[i].id == list[n].id) /* "7" and "07" */
                return fail_param(err, ERR_INVALID, "logit_bias",
                                  "%s: \"logit_bias\" names the token %d twice", what,
                                  (int)list[n].id);
        if (++n > LIMIT_LOGIT_BIAS)
            return fail_param(err, ERR_LIMIT, "logit_bias",
                              "%s: \"logit_bias\" has more than %zu tokens", what,
                              LIMIT_LOGIT_BIAS);
    }
    o->bias = list;
    o->n_bias = n;
    return true;
}

bool field_stop(const json_t *body, size_t max, struct str *stop, size_t *n, struct error *err)
{
    const json_t *v = json_object_get(body, "stop");
    const size_t given = json_is_array(v) ? json_array_size(v) : json_is_string(v) ? 1 : 0;

    if (v != NULL && !json_is_null(v) && !json_is_array(v) && !json_is_string(v))
        return fail_param(err, ERR_INVALID, "stop",
                          "%s: \"stop\" is %s, a text or a list of texts was expected", what,
                          json_kind(v));
    if (given > max)
        return fail_param(err, ERR_INVALID, "stop",
                          "%s: \"stop\" has %zu texts, at most %zu are possible", what, given, max);
    for (size_t i = 0; i < given; i++) {
        stop[i] = json_str(json_is_array(v) ? json_array_get(v, i) : v);
        if (stop[i].len == 0)
            return fail_param(err, ERR_INVALID, "stop",
                              "%s: \"stop\" holds something that is no text, or an empty one",
                              what);
    }
    *n = given;
    return true;
}
