/*
 * web_files.h - the files of web/ as they were when the program was built (cmake/embed.cmake makes the table).
 */
#ifndef HONE_SERVER_WEB_FILES_H
#define HONE_SERVER_WEB_FILES_H

#include <stddef.h>

struct web_file {
    const char *path; /* from web/: "lib/api.js" */
    const char *bytes, *end;
};
extern const struct web_file web_files[]; /* by path */
extern const size_t n_web_files;
#endif
