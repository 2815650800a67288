/*
 * limits.h - every limit on what comes from outside, in one place.
 */
#ifndef HONE_BASE_LIMITS_H
#define HONE_BASE_LIMITS_H

#define LIMIT_JSON_DEPTH 512                /* nested arrays and objects */
#define LIMIT_JSON_VALUES ((size_t)1000000) /* of a request, of a line of a JSONL file */
#define LIMIT_JSON_BYTES ((size_t)1 << 30)  /* one JSON document */
#define LIMIT_LINE_BYTES ((size_t)16 << 20) /* one line of a JSONL file */
#define LIMIT_DATA_BYTES ((size_t)4 << 30)  /* one dataset file */
#define LIMIT_DATA_ROWS ((size_t)10000000)
#define LIMIT_VOCAB ((size_t)1 << 20) /* tokens of a model */
#define LIMIT_WIDTH ((size_t)1 << 17) /* any one dimension of a weight but the vocabulary */
#define LIMIT_LAYERS ((size_t)512)
#define LIMIT_EXPERTS ((size_t)1024)    /* of a layer */
#define LIMIT_CONTEXT ((size_t)1 << 22) /* positions */
#define LIMIT_TENSORS ((size_t)1 << 17) /* tensors of a model file */
#define LIMIT_TEMPLATE_BYTES ((size_t)1 << 20)
#define LIMIT_RENDER_BYTES ((size_t)64 << 20)   /* output of a chat template */
#define LIMIT_GRADER_SOURCE ((size_t)256 << 10) /* Python source of a grader */
#define LIMIT_GRADER_KEYS ((size_t)64)          /* graders of a multi grader */
#define LIMIT_WORDNET_BYTES ((size_t)64 << 20)  /* one file of WordNet's */
#define LIMIT_WORDNET_POOL ((size_t)64 << 20)   /* what is kept of all of them */
#define LIMIT_ENGINE_ASK ((size_t)64 << 20)     /* one request to the engine process, as text */
#define LIMIT_ENGINE_HELD ((size_t)1 << 30)     /* all requests that are open, as text */
#define LIMIT_ENGINE_EVENT ((size_t)1 << 30)    /* one event of its */
#define LIMIT_ENGINE_CHOICES ((size_t)4096)     /* answers to one request, prompts times n */
#define LIMIT_LOGIT_BIAS ((size_t)1024)         /* tokens */
#define LIMIT_EMBED_INPUTS ((size_t)2048)       /* texts of one request for vectors */
#define LIMIT_EMBED_TOKENS ((size_t)65536)      /* of a text that is given as tokens */
#endif
