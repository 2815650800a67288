/*
 * feedback.h - what people say of an answer that is stored, and how that is learned from.
 *
 * A record keeps the prompt and the answer beside what was said of it, so it outlives the stored completion, and goes only when
 * it is deleted itself. As a document: kind "feedback", state the id of the answer, model the model that gave it.
 *
 *     {"object_id", "model", "rating": "up"|"down"|null, "correction", "comment", "prompt": [messages], "tools"|null,
 *      "answer": {the assistant's message}, "metadata"}
 *
 * Exported for a method, one JSON row a record; what has nothing to teach by that method is left out:
 *
 *     supervised      the prompt and the correction, or the answer itself where it was rated up
 *     dpo             the correction before the answer
 *     reinforcement   the prompt, with answer, rating, reference (the correction, or the answer rated up) and comment
 *                     beside it for graders
 */
#ifndef HONE_SERVER_FEEDBACK_H
#define HONE_SERVER_FEEDBACK_H

#include "store/documents.h"
#include "text/dataset.h"

#define FEEDBACK_KIND "feedback"
#define FEEDBACK_TEXT_BYTES ((size_t)1 << 20) /* of a correction */
#define FEEDBACK_NOTE_BYTES ((size_t)64 << 10)

/* "supervised", "dpo" (or "preference"), "rft" (or "reinforcement"). False: none of these. */
bool feedback_format(struct str name, enum dataset_format *out);

/*
 * Adds what request says: {"object_id", "rating"?, "correction"?, "comment"?}. Fails with the parameter's name; ERR_NOT_FOUND,
 * "object_id", where no stored answer of the project has that id. labels: its metadata. *out: as it was stored.
 */
MUST_CHECK bool feedback_add(struct store *s, const char *project_id, const json_t *request,
                             const struct label *labels, size_t n_labels, struct arena *a,
                             struct document *out, struct error *err);
json_t *feedback_json(const struct document *d); /* as the API shows it */
/* The row of a record, or NULL where it has none in this format: what the job of the method accepts. */
json_t *feedback_row(const struct document *d, enum dataset_format format);

/* Every record of a project, oldest first, as JSONL. model NULL: of any. */
MUST_CHECK bool feedback_export(struct store *s, const char *project_id, const char *model,
                                enum dataset_format format, struct buf *out, size_t *n_rows,
                                size_t *n_left_out, struct error *err);
#endif
