/*
 * json_formats.c - each format is a pattern, and where that is simpler said, another one that its texts do not match.
 */
#include "text/json_formats.h"
#include "base/size.h"
#include "text/json_compiler_internal.h"
#include "text/string_pattern.h"

/* RFC 3339 without the year 0, which Python's dates do not have. */
#define DATE                                                                                        \
    "(?:\\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|" \
    "02-(?:0[1-9]|1\\d|2[0-8]))|"                                                                   \
    "(?:\\d\\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)"
#define NO_DATE "^0000"
/* A leap second where it is plain to see that it is one: at midnight UTC. */
#define TIME                                                                                       \
    "(?:(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d+)?(?:[Zz]|[+-](?:[01]\\d|2[0-3]):[0-5]\\d)|" \
    "23:59:60(?:\\.\\d+)?(?:[Zz]|[+-]00:00))"

/* RFC 3339, appendix A. */
#define DURATION_TIME "T(?:\\d+H(?:\\d+M(?:\\d+S)?)?|\\d+M(?:\\d+S)?|\\d+S)"
#define DURATION                                                                                   \
    "P(?:\\d+W|(?:\\d+Y(?:\\d+M(?:\\d+D)?)?|\\d+M(?:\\d+D)?|\\d+D)(?:" DURATION_TIME               \
    ")?|" DURATION_TIME ")"

/* RFC 1123. Labels with "--" in their third and fourth place are left out: what they may hold is IDNA's (RFC 5891). */
#define LABEL "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
#define HOST LABEL "(?:\\." LABEL ")*"
#define NO_HOST "(?:^|[.@])[^.@\"]{2}--[^@]*$"

/* RFC 5321: a local part of up to 64 characters, in quotes or not, at a host. */
#define ATOM "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
#define LOCAL ATOM "+(?:\\." ATOM "+)*"
#define LONG_LOCAL "^[^@]{65}"

#define OCTET "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)"
#define IPV4 OCTET "(?:\\." OCTET "){3}"
#define H16 "[0-9A-Fa-f]{1,4}"
#define LS32 "(?:" H16 ":" H16 "|" IPV4 ")"
/* RFC 3986, section 3.2.2, which writes out RFC 4291. */
#define IPV6                                                                                       \
    "(?:(?:" H16 ":){6}" LS32 "|::(?:" H16 ":){5}" LS32 "|(?:" H16 ")?::(?:" H16 ":){4}" LS32      \
    "|(?:(?:" H16 ":){0,1}" H16 ")?::(?:" H16 ":){3}" LS32 "|(?:(?:" H16 ":){0,2}" H16             \
    ")?::(?:" H16 ":){2}" LS32 "|(?:(?:" H16 ":){0,3}" H16 ")?::" H16 ":" LS32 "|(?:(?:" H16       \
    ":){0,4}" H16 ")?::" LS32 "|(?:(?:" H16 ":){0,5}" H16 ")?::" H16 "|(?:(?:" H16 ":){0,6}" H16   \
    ")?::)"

/* RFC 3986, appendix A. A name is of what an IPv4 address is of, too. */
#define PERCENT "%[0-9A-Fa-f]{2}"
#define NAME_CHARACTER "-A-Za-z0-9._~!$&'()*+,;="
#define SEGMENT "(?:[" NAME_CHARACTER ":@]|" PERCENT ")"
#define LITERAL "\\[(?:" IPV6 "|[Vv][0-9A-Fa-f]+\\.[" NAME_CHARACTER ":]+)\\]"
#define AUTHORITY                                                                                  \
    "//(?:(?:[" NAME_CHARACTER ":]|" PERCENT ")*@)?(?:" LITERAL "|(?:[" NAME_CHARACTER             \
    "]|" PERCENT ")*)(?::\\d*)?(?:/" SEGMENT "*)*"
#define ABSOLUTE "/(?:" SEGMENT "+(?:/" SEGMENT "*)*)?"
#define END_OF_URI "(?:\\?(?:" SEGMENT "|[/?])*)?(?:#(?:" SEGMENT "|[/?])*)?"
#define URI                                                                                        \
    "[A-Za-z][A-Za-z0-9+.-]*:(?:" AUTHORITY "|" ABSOLUTE "|" SEGMENT "+(?:/" SEGMENT               \
    "*)*)?" END_OF_URI
#define RELATIVE                                                                                   \
    "(?:" AUTHORITY "|" ABSOLUTE "|(?:[" NAME_CHARACTER "@]|" PERCENT ")+(?:/" SEGMENT             \
    "*)*)?" END_OF_URI

/* RFC 6901 */
#define POINTER "(?:/(?:[^/~]|~[01])*)*"

static const struct {
    const char *name, *pattern, *but; /* but: what no text of it matches; NULL */
    uint32_t longest;                 /* characters; AUTOMATON_FREE */
} formats[] = {
    {"date-time", "^" DATE "[Tt]" TIME "$", NO_DATE, AUTOMATON_FREE},
    {"date", "^" DATE "$", NO_DATE, AUTOMATON_FREE},
    {"time", "^" TIME "$", NULL, AUTOMATON_FREE},
    {"duration", "^" DURATION "$", NULL, AUTOMATON_FREE},
    {"email", "^" LOCAL "@" HOST "$", LONG_LOCAL "|" NO_HOST, AUTOMATON_FREE},
    {"hostname", "^" HOST "$", NO_HOST, 253},
    {"ipv4", "^" IPV4 "$", NULL, AUTOMATON_FREE},
    {"ipv6", "^" IPV6 "$", NULL, AUTOMATON_FREE},
    {"uri", "^" URI "$", NULL, AUTOMATON_FREE},
    {"uri-reference", "^(?:" URI "|" RELATIVE ")$", NULL, AUTOMATON_FREE},
    {"json-pointer", "^" POINTER "$", NULL, AUTOMATON_FREE},
    {"relative-json-pointer", "^(?:0|[1-9]\\d*)(?:#|" POINTER ")$", NULL, AUTOMATON_FREE},
    {"uuid", "^[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$", NULL, AUTOMATON_FREE},
};

bool json_format_is_foreign(const char *name)
{
    static const char *const others[] = {"idn-email",     "idn-hostname", "iri",
                                         "iri-reference", "uri-template", "regex"};

    for (size_t i = 0; i < COUNT_OF(formats); i++)
        if (schema_is_slip(name, formats[i].name))
            return false;
    for (size_t i = 0; i < COUNT_OF(others); i++)
        if (schema_is_slip(name, others[i]))
            return false;
    return true;
}

bool json_format_texts(struct arena *a, struct str name, struct automaton *out, uint32_t *longest,
                       struct error *err)
{
    struct automaton but;

    for (size_t i = 0; i < COUNT_OF(formats); i++) {
        if (!str_is(name, formats[i].name))
            continue;
        *longest = formats[i].longest;
        return string_pattern(a, str_of(formats[i].pattern), PATTERN_BOTH, out, err) &&
               (formats[i].but == NULL ||
                (string_pattern(a, str_of(formats[i].but), PATTERN_BOTH, &but, err) &&
                 automaton_join(a, out, &but, AUTOMATON_NOT, 0, out, err)));
    }
    return fail(err, ERR_UNSUPPORTED,
                "\"%.*s\" is not offered; date-time, date, time, duration, email, hostname, ipv4, "
                "ipv6, uri, uri-reference, json-pointer, relative-json-pointer and uuid are",
                (int)size_min(name.len, 64), name.ptr);
}
