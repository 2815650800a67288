/*
 * item_path.h - "item.gene" and "sample.output_json.genes": where in a row or an answer something stands.
 */
#ifndef HONE_CLI_ITEM_PATH_H
#define HONE_CLI_ITEM_PATH_H

#include "text/json.h"

/* The value at path, whose first word is root ("item"); later ones are keys or indices. NULL: nothing is there. */
const json_t *item_path_get(const json_t *value, const char *root, const char *path);
bool item_path_begins(const char *path, const char *root);
#endif
