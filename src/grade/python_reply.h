/*
 * python_reply.h - what a Python worker says becomes a reward, a reason why there is none, and what was printed.
 *
 * A worker's process has run what somebody else wrote: its frames are bytes from outside.
 */
#ifndef HONE_GRADE_PYTHON_REPLY_H
#define HONE_GRADE_PYTHON_REPLY_H

#include "grade/python_pool.h"
#include "grade/python_worker.h"

/*
 * The answer to the sources: {"loaded": [{"keys": [texts]}]}, whose list becomes the caller's; or {"failed": number of the source,
 * "error"}, ERR_INVALID with *at_fault set. ERR_CORRUPT or ERR_IO: it is neither.
 */
MUST_CHECK bool python_loaded_read(struct str frame, json_t **loaded, size_t *at_fault,
                                   struct error *err);
/* The answer to a call, of a byte or more. */
enum python_outcome python_reply_read(struct str frame, struct python_reply *out);
/* text into the details, as valid UTF-8, cut to the room there is; returns the outcome. */
enum python_outcome python_reply_fail(enum python_outcome outcome, struct str text,
                                      struct python_reply *out);
/*
 * What the worker heard, as valid UTF-8 without zero bytes; where that is not all there was or is more than the room,
 * the last line says how many bytes there were besides.
 */
void python_reply_printed(const struct python_worker *w, struct python_reply *out);
#endif
