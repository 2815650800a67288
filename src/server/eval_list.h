/*
 * eval_list.h - a page of a list that is made when it is asked for.
 */
#ifndef HONE_SERVER_EVAL_LIST_H
#define HONE_SERVER_EVAL_LIST_H

#include "server/api.h"

/* all: objects with "id", oldest first; taken. Answers the call with the page. An unknown page->after: ERR_NOT_FOUND. */
MUST_CHECK bool eval_reply_page(struct api_call *c, json_t *all, const struct store_page *page,
                                struct error *err);
#endif
