/*
 * rollout_index_internal.h - what the sources of the index share.
 */
#ifndef HONE_JOB_ROLLOUT_INDEX_INTERNAL_H
#define HONE_JOB_ROLLOUT_INDEX_INTERNAL_H

#include "job/rollout_index.h"

#define ROLLOUT_INDEX_FILE "rollouts.index"

struct indexed_file {
    uint32_t step;
    bool valid;
    uint64_t inode, size; /* as the folder has it now */
    uint64_t seen;        /* bytes of its lines that are in the index */
    uint64_t tried;       /* of this size nothing more can be read */
    uint32_t n, cap;
    struct rollout_entry *entry; /* [n] */
};

/* The file that lines are read of. */
struct rollout_file_reader {
    int fd_plus_1;
    uint32_t file;
    char *bytes; /* [cap]: the last line */
    size_t cap;
};

struct rollout_index {
    char *dir;
    struct indexed_file *file; /* [n_files] by step, training before validation */
    size_t n_files, n_lines;
    uint64_t unkept_bytes;  /* of lines that were read since the index was kept */
    int64_t folder_changed; /* when names came or went last, in nanoseconds; 0: to be looked at */
    struct rollout_file_reader reader;
    char *chunk; /* while it reads */
    size_t n_chunk, cap_chunk;
};

void rollout_index_clear(struct rollout_index *ix);
/* From DIR/rollouts.index; what is not as it should be leaves the index empty. */
void rollout_index_load(struct rollout_index *ix);
/* To there; what fails leaves what was there, or nothing. */
void rollout_index_keep(struct rollout_index *ix);
#endif
