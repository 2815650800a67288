/*
 * item_path.c - word by word.
 */
#include "cli/item_path.h"

#include <stdlib.h>

bool item_path_begins(const char *path, const char *root)
{
    const size_t n = strlen(root);

    return strncmp(path, root, n) == 0 && (path[n] == '.' || path[n] == '\0');
}

const json_t *item_path_get(const json_t *value, const char *root, const char *path)
{
    if (!item_path_begins(path, root))
        return NULL;
    path += strlen(root);
    while (*path == '.' && value != NULL) {
        const size_t n = strcspn(++path, ".");

        if (json_is_array(value)) {
            char *end;
            const unsigned long i = strtoul(path, &end, 10);

            value = end == path + n && n > 0 ? json_array_get(value, i) : NULL;
        } else {
            value = json_object_getn(value, path, n);
        }
        path += n;
    }
    return value;
}
