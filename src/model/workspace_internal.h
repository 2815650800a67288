/*
 * workspace_internal.h - what a workspace holds: memory that is kept from pass to pass, for what the system gives anew it clears first.
 */
#ifndef HONE_MODEL_WORKSPACE_INTERNAL_H
#define HONE_MODEL_WORKSPACE_INTERNAL_H

#include "base/arena.h"
#include "model/forward.h"

#include <stdbool.h>

struct workspace {
    const struct model *model;
    struct arena step;    /* one forward pass: reset at its start */
    struct arena *shares; /* [n_shares] the same of the shares of a pass but the first */
    size_t n_shares;
    size_t n_divided;      /* passes that had more than one share */
    struct arena training; /* one training pass, from its forward until it is released */
    struct arena layer;    /* what a training pass needs for a layer at a time */
    bool in_training;
    size_t peak_bytes;
};
#endif
