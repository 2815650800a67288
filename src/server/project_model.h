/*
 * project_model.h - a name in a request becomes files of this machine, never by way of a path that the request wrote.
 *
 *     ft:...         a model of the project's, or one that is shared with it, in HOME/runs
 *     anything else  HOME/models/NAME or HOME/models/NAME.gguf, which are everybody's
 */
#ifndef HONE_SERVER_PROJECT_MODEL_H
#define HONE_SERVER_PROJECT_MODEL_H

#include "job/model_store.h"
#include "store/store.h"

struct project_models {
    struct store *store;
    const char *home;
    const char *project_id;
};
/* ERR_NOT_FOUND, code model_not_found, whether it is not there or another's; everything in out lives in the arena. */
MUST_CHECK bool project_model_find(const struct project_models *p, struct str name, struct arena *a,
                                   struct model_ref *out, struct error *err);
/* The sentence for one that is not; always false. */
bool project_model_missing(struct str name, struct error *err);
#endif
