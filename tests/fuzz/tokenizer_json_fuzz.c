/*
 * tokenizer_json_fuzz.c - a tokenizer.json that may be anything, and behind its first zero byte a text to encode.
 *
 * Whatever opens has to encode the text or say why not, and with a text that is encoded, streaming and whole decoding
 * agree.
 */
#include "fuzz.h"

#include "text/tokenizer.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void encode_and_decode(const struct tokenizer *t, struct str text, bool parse_special)
{
    struct token_list list = {0};
    struct error err;
    struct buf whole, streamed;
    struct utf8_stream stream = {0};

    buf_init(&whole, 64 << 20);
    buf_init(&streamed, 64 << 20);
    if (tokenizer_encode(t, text, parse_special, &list, &err)) {
        tokenizer_decode(t, list.ids, list.n, false, &whole);
        for (size_t i = 0; i < list.n; i++) {
            check(list.ids[i] >= 0 && (size_t)list.ids[i] < tokenizer_size(t));
            const size_t before = streamed.len; /* whole characters, so what comes is some, too */

            utf8_stream_put(&stream, tokenizer_bytes(t, list.ids[i]), &streamed);
            const struct str more = str_from(buf_view(&streamed), before);
            check(stream.n_held < 4 && utf8_valid(more) == more.len);
        }
        utf8_stream_end(&stream, &streamed);
        check(str_eq(buf_view(&whole), buf_view(&streamed)));
        buf_clear(&whole);
        tokenizer_text(t, list.ids, list.n, parse_special, &whole);
        check(whole.len == 0 || utf8_valid(buf_view(&whole)) == whole.len);
    } else {
        check(list.n == 0 && err.message[0] != '\0');
    }
    buf_release(&whole);
    buf_release(&streamed);
    token_list_release(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct str input = {(const char *)data, size};
    const size_t end = str_find(input, STR("\0"), 0);
    struct tokenizer *t = NULL;
    struct error err = {0};

    if (!tokenizer_open_json((struct str){input.ptr, end}, "tokenizer.json", &t, &err)) {
        check(err.kind != ERR_NONE && err.message[0] != '\0');
        return 0;
    }
    const struct str text =
        end < size ? str_from(input, end + 1) : STR("It's 1234 naïve <|a|> \r\n  tokens\t한국");
    encode_and_decode(t, text, true);
    encode_and_decode(t, text, false);
    tokenizer_close(t);
    return 0;
}
