/*
 * episodes.h - answers that call tools: their calls are sent out, and what comes back is what the model is given next.
 *
 *     turn of an answer -> its calls -> tool_record, else tool_servers -> prompter_tool_turn -> the next turn
 *
 * An answer's turn is its last where it calls nothing, where it calls a function that no server is named for (then the grader
 * reads what it would call, as without servers), or where max_episode_steps are used up. An output that is longer than the room that is left is replaced by a
 * sentence that says so. One lost call (TOOL_LOST), and the answer is nobody's fault: it ends with SAMPLE_CANCELLED.
 */
#ifndef HONE_TRAIN_EPISODES_H
#define HONE_TRAIN_EPISODES_H

#include "sample/effort.h"
#include "text/dataset.h"
#include "train/tool_record.h"

/* The tools of a run. */
struct tools {
    struct tool_servers *servers;
    struct tool_record *record; /* or NULL; of a run that is done: no server is asked */
    size_t max_given;           /* tokens that an answer may be given */
};

/* max_given, where a job says `asked` of it; 0: 1,024, or a quarter of the model's positions. */
size_t tools_room(size_t asked, size_t positions);

struct episodes_options {
    const struct tools *tools;
    const struct prompter *prompter;
    const struct dataset *data;
    const size_t *items; /* [n_rows] rows of the data */
    size_t n_rows, n_samples;
    enum effort effort;
    enum tool_use use;
    size_t step;
};

/* What tools were to an answer. */
struct episode {
    const json_t *
        calls; /* [{"turn","name","arguments","end","output"}] in order, as the model was told; NULL: none */
    size_t n_calls, n_refused;
    double seconds;   /* of all of them */
    const char *lost; /* why the answer does not count; or NULL */
};

struct episodes; /* those of a run of the engine; one thread */
struct episodes *episodes_open(const struct episodes_options *opt);
/* Forgets what is under way. NULL is fine. */
void episodes_close(struct episodes *e);
/* As engine_hooks wants them. */
bool episodes_goes_on(struct episodes *e, size_t row, size_t sample, const struct sample *s);
bool episodes_given(struct episodes *e, bool wait, struct given *out);
/* False where a record could not be written, or a turn not be rendered: answers ended because of it. */
MUST_CHECK bool episodes_ok(const struct episodes *e, struct error *err);
struct episode episodes_of(const struct episodes *e, size_t row, size_t sample);
#endif
