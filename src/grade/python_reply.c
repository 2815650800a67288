#include "grade/python_reply.h"

#include "base/size.h"
#include "base/utf8.h"
#include "grade/template.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

/* ---- of loading ---- */

/* [{"keys": [texts]}] */
static bool is_loaded(const json_t *list)
{
    json_t *one, *key;
    size_t i, k;

    json_array_foreach(list, i, one)
    {
        json_array_foreach(json_object_get(one, "keys"), k, key)
        {
            if (!json_is_string(key))
                return false;
        }
    }
    return json_is_array(list);
}

bool python_loaded_read(struct str frame, json_t **loaded, size_t *at_fault, struct error *err)
{
    json_t *tree = NULL;
    bool ok = json_parse(frame, "a Python worker's answer", &tree, err);
    json_t *failed = json_object_get(tree, "failed"), *list = json_object_get(tree, "loaded");
    const struct str why = json_str(json_object_get(tree, "error"));

    if (ok && failed != NULL) {
        *at_fault = (size_t)json_integer_value(failed);
        ok = fail(err, ERR_INVALID, "%.480s",
                  why.len > 0 && why.ptr[0] != '\0' ? why.ptr : "Python does not say why");
    }
    if (ok && !is_loaded(list))
        ok = fail(err, ERR_IO, "a Python worker's answer is not understood");
    if (ok)
        *loaded = json_incref(list);
    json_decref(tree);
    return ok;
}

/* ---- of a call ---- */

enum python_outcome python_reply_fail(enum python_outcome outcome, struct str text,
                                      struct python_reply *out)
{
    struct arena a = {0};
    struct str valid = grade_utf8(&a, text);
    size_t n = size_min(valid.len, out->details_size - 1);

    while (n > 0 && n < valid.len && ((unsigned char)valid.ptr[n] & 0xc0) == 0x80)
        n--;
    memcpy(out->details, valid.ptr, n);
    out->details[n] = '\0';
    arena_release(&a);
    return outcome;
}

/* How many bytes at the start of s are one character or, with *valid false, belong to none. */
static size_t character(struct str s, bool *valid)
{
    const struct str four = {s.ptr, size_min(s.len, 4)};

    for (size_t n = 1; n <= four.len; n++) {
        if (utf8_valid((struct str){four.ptr, n}) > 0) {
            *valid = s.ptr[0] != '\0';
            return n;
        }
    }
    *valid = false;
    return 1;
}

void python_reply_printed(const struct python_worker *w, struct python_reply *out)
{
    const struct str said = {w->said, w->n_said};
    const size_t for_last_line = 40;
    size_t at = 0, n = 0;

    if (out->printed == NULL || out->printed_size == 0)
        return;
    out->printed[0] = '\0';
    if (out->printed_size <= for_last_line)
        return;
    while (at < said.len) {
        const size_t room = out->printed_size - for_last_line - n;
        bool valid;
        const size_t k = character(str_from(said, at), &valid);

        if ((valid ? k : 3) > room || (!valid && said.len - at < 4 && w->n_written > said.len))
            break; /* no room, or a character of which the rest was not kept */
        memcpy(out->printed + n, valid ? said.ptr + at : "\xef\xbf\xbd", valid ? k : 3);
        n += valid ? k : 3;
        at += k;
    }
    out->printed[n] = '\0';
    if (at < w->n_written)
        snprintf(out->printed + n, out->printed_size - n, "%s... (%llu bytes more)\n",
                 n > 0 && out->printed[n - 1] != '\n' ? "\n" : "",
                 (unsigned long long)(w->n_written - at));
}

static const char *signal_hint(int number)
{
    switch (number) {
    case SIGKILL:
        return " (SIGKILL): the system may have been out of memory";
    case SIGSEGV:
        return " (SIGSEGV): a recursion without end, or a fault in an extension module";
    case SIGXCPU:
        return " (SIGXCPU): it used more processor time than a call may";
    case SIGABRT:
        return " (SIGABRT)";
    default:
        return "";
    }
}

static enum python_outcome tell_death(unsigned status, struct python_reply *out)
{
    if (WIFSIGNALED((int)status))
        snprintf(out->details, out->details_size, "the grader's process was ended by signal %d%s",
                 WTERMSIG((int)status), signal_hint(WTERMSIG((int)status)));
    else
        snprintf(out->details, out->details_size,
                 "the grader ended its own process (exit status %d) and gave no reward",
                 WEXITSTATUS((int)status));
    return PYTHON_RUNTIME_ERROR;
}

enum python_outcome python_reply_read(struct str frame, struct python_reply *out)
{
    const struct str rest = str_from(frame, 1);
    uint32_t status;
    double value;

    switch (frame.ptr[0]) {
    case 'R':
        if (rest.len != sizeof value)
            break;
        memcpy(&value, rest.ptr, sizeof value);
        if (!isfinite(value))
            break;
        out->reward = value;
        return PYTHON_REWARD;
    case 'E':
        return python_reply_fail(PYTHON_RUNTIME_ERROR, rest, out);
    case 'F':
        return python_reply_fail(PYTHON_RUNTIME_ERROR,
                                 STR("the grader made more files than it may"), out);
    case 'D':
        if (rest.len != sizeof status)
            break;
        memcpy(&status, rest.ptr, sizeof status);
        return tell_death(status, out);
    case 'S':
        return python_reply_fail(PYTHON_SERVER_ERROR, rest, out);
    default:
        break;
    }
    return python_reply_fail(
        PYTHON_RUNTIME_ERROR,
        STR("the grader's process wrote something else than a reward to the reply"), out);
}
