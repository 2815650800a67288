/*
 * report.c - fills the template's slots and puts the page in its place.
 *
 * Template: {{name}} is a slot; {{?name}}...{{/name}} is left out where the slot is empty. What the slots write has been
 * made harmless already. Style and script are allowed by their SHA-256 alone, so that markup from outside, should it ever get
 * through, could neither run nor load anything.
 */
#include "job/report.h"
#include "base/file.h"
#include "base/size.h"
#include "job/report_internal.h"

#include <nettle/base64.h>
#include <nettle/sha2.h>

#define MAX_PAGE ((size_t)64 << 20)

extern const char asset_report_html[], asset_colours_css[], asset_report_css[], asset_report_js[];
extern const size_t asset_report_html_size, asset_colours_css_size, asset_report_css_size,
    asset_report_js_size;

static void write_style(struct report_page *p, struct buf *out)
{
    (void)p;
    buf_put(out, asset_colours_css, asset_colours_css_size); /* the dashboard's */
    buf_put(out, asset_report_css, asset_report_css_size);
}

static void write_script(struct report_page *p, struct buf *out)
{
    (void)p;
    buf_put(out, asset_report_js, asset_report_js_size);
}

static void write_source(struct buf *out, const char *directive, report_slot_fn *fill)
{
    struct sha256_ctx ctx;
    uint8_t digest[SHA256_DIGEST_SIZE];
    char text[BASE64_ENCODE_RAW_LENGTH(SHA256_DIGEST_SIZE) + 1] = "";
    struct buf bytes;

    buf_init(&bytes, MAX_PAGE);
    fill(NULL, &bytes);
    sha256_init(&ctx);
    sha256_update(&ctx, bytes.len, (const uint8_t *)buf_view(&bytes).ptr);
    buf_release(&bytes);
    sha256_digest(&ctx, sizeof digest, digest);
    base64_encode_raw(text, sizeof digest, digest);
    buf_printf(out, "; %s 'sha256-%s'", directive, text);
}

static void write_policy(struct report_page *p, struct buf *out)
{
    (void)p;
    buf_text(out, "default-src 'none'; base-uri 'none'; form-action 'none'");
    write_source(out, "style-src", write_style);
    write_source(out, "script-src", write_script);
}

static void write_data(struct report_page *p, struct buf *out)
{
    buf_char(out, '{');
    buf_str(out, buf_view(&p->chart_data));
    buf_char(out, '}');
}

static const struct slot {
    const char *name;
    report_slot_fn *fill;
} slots[] = {
    {"style", write_style},
    {"script", write_script},
    {"policy", write_policy},
    {"title", report_title},
    {"kicker", report_kicker},
    {"headline", report_headline},
    {"lead", report_lead},
    {"compare", report_compare},
    {"tiles", report_tiles},
    {"evals", report_evals},
    {"reward", report_reward},
    {"rolled_back", report_rolled_back},
    {"pairs", report_pairs},
    {"pairs_note", report_pairs_note},
    {"newest", report_newest},
    {"newest_note", report_newest_note},
    {"warnings", report_warnings},
    {"warnings_title", report_warnings_title},
    {"rows", report_rows},
    {"changes", report_changes},
    {"changes_note", report_changes_note},
    {"changes_lack", report_changes_lack},
    {"tokens", report_tokens},
    {"exactness", report_exactness},
    {"charts", report_charts},
    {"failures", report_failures},
    {"events", report_events},
    {"settings", report_settings},
    {"checkpoints", report_checkpoints},
    {"job", report_job},
    {"table", report_table},
    {"table_caption", report_table_caption},
    {"footer", report_footer},
    {"data", write_data}, /* after all that draw */
};

/* The slot's text by its name; a name that the table lacks is a mistake of ours, and shows. */
static struct str slot_text(const struct buf *filled, struct str name)
{
    for (size_t i = 0; i < COUNT_OF(slots); i++)
        if (str_is(name, slots[i].name))
            return buf_view(&filled[i]);
    return STR("(no such slot)");
}

static void render(struct buf *out, struct str t, const struct buf *filled)
{
    char end[64];

    for (size_t at = 0; at < t.len;) {
        const size_t open = str_find(t, STR("{{"), at), close = str_find(t, STR("}}"), open);

        buf_put(out, t.ptr + at, open - at);
        if (close >= t.len)
            return;
        const bool is_block = t.ptr[open + 2] == '?';
        const size_t from = open + 2 + is_block;
        const struct str name = {t.ptr + from, close - from};
        at = close + 2;
        if (!is_block) {
            buf_str(out, slot_text(filled, name));
            continue;
        }
        const int n = snprintf(end, sizeof end, "{{/" STR_FMT "}}", STR_ARG(name));
        const size_t stop = str_find(t, (struct str){end, (size_t)n}, at);
        if (slot_text(filled, name).len > 0)
            render(out, (struct str){t.ptr + at, stop - at}, filled);
        at = size_min(t.len, stop + (size_t)n);
    }
}

/* The page tells of answers and what they earned: of graders, which only a run of reinforcement has. */
static bool has_graders(const struct report_data *d, struct error *err)
{
    const json_t *graders = json_object_get(d->job_file, "graders");
    const json_t *type =
        json_object_get(json_object_get(json_object_get(d->job_file, "job"), "method"), "type");

    if (!json_is_array(graders) || json_array_size(graders) > 0)
        return true;
    return fail(err, ERR_UNSUPPORTED,
                "the run is of method %s, and the report shows answers and their rewards, which it "
                "has none of: its losses are in metrics.csv",
                json_is_string(type) ? json_string_value(type) : "supervised");
}

bool report_write(const char *run_dir, const char *out_path, struct error *err)
{
    struct arena a = {0};
    struct report_data d = {0};
    struct report_page page = {.d = &d};
    struct buf filled[COUNT_OF(slots)], out;
    bool ok = report_data_read(run_dir, &a, &d, err) && report_look(run_dir, &d, err) &&
              run_warnings_read(run_dir, &a, &d.warning, &d.n_warnings, err) &&
              has_graders(&d, err);

    buf_init(&out, MAX_PAGE);
    buf_init(&page.chart_data, MAX_PAGE);
    for (size_t i = 0; i < COUNT_OF(slots); i++)
        buf_init(&filled[i], MAX_PAGE);
    if (ok) {
        report_find_same(&page);
        for (size_t i = 0; i < COUNT_OF(slots); i++)
            slots[i].fill(&page, &filled[i]);
        render(&out, (struct str){asset_report_html, asset_report_html_size}, filled);
        ok = buf_ok(&out, "the report", err) &&
             file_put(out_path != NULL ? out_path : file_join(&a, run_dir, "report.html"),
                      buf_view(&out), err);
    }
    for (size_t i = 0; i < COUNT_OF(slots); i++)
        buf_release(&filled[i]);
    buf_release(&page.chart_data);
    buf_release(&out);
    report_data_release(&d);
    arena_release(&a);
    return ok || fail_while(err, "writing the report of %s", run_dir);
}
