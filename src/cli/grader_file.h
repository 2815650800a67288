/*
 * grader_file.h - a file becomes a grader's spec: JSON as the API has it, or Python as an editor knows it.
 */
#ifndef HONE_CLI_GRADER_FILE_H
#define HONE_CLI_GRADER_FILE_H

#include "text/json.h"

/*
 * The document in path, the caller's. A path that ends in .py is the source of a Python grader, named as the file:
 * {"type": "python", "name": "grade", "source": "..."}. Fails naming the path.
 */
MUST_CHECK bool grader_file_read(const char *path, json_t **out, struct error *err);
#endif
