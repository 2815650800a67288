/*
 * prefix.h - beginnings of texts that were read lately, so that the next text that begins so need not be read again.
 *
 * A tree of tokens beside the tree of keys and values (model/kv.h): an entry is a run of whole pages that follows its
 * parent's last one, and holds one segment. Where two texts part inside an entry it is cut, pages and all. A kept position
 * has the bits that reading it anew would give, so what is answered does not change. What was longest without use goes
 * first. Each adapter's texts lie apart: their keys are another's to nobody.
 */
#ifndef HONE_SAMPLE_PREFIX_H
#define HONE_SAMPLE_PREFIX_H

#include "model/kv.h"
#include "text/tokenizer.h"

struct prefix_cache;
/* Entries hold at most max_bytes of the pool's pages, those aside that somebody else holds, too. */
MUST_CHECK bool prefix_open(const struct model_config *c, struct kv_pool *pool, size_t max_bytes,
                            struct prefix_cache **out, struct error *err);
void prefix_close(struct prefix_cache *c); /* NULL is fine */
size_t prefix_pages(const struct prefix_cache *c);

/*
 * The longest kept beginning of tokens [n], shorter than n: the segment that it ends with, and a reference that the caller
 * owns; kv_end says how long it is. NULL: there is none. adapter: adapter_version.
 */
struct kv_segment *prefix_find(struct prefix_cache *c, uint64_t adapter, const token_id *tokens,
                               size_t n);
/*
 * Keeps the whole pages of s, which ends the path of tokens [kv_end(s)]: they move into segments that s hangs on, and of
 * what was kept already the second copy goes back to the pool. s stays the caller's, with what is left, and may grow on.
 */
void prefix_keep(struct prefix_cache *c, uint64_t adapter, const token_id *tokens,
                 struct kv_segment *s);
void prefix_forget(struct prefix_cache *c, uint64_t adapter); /* all that an adapter's texts left */
#endif
