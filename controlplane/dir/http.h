/* http.h - as much of HTTP/1.0 as directory requests and answers need (dir-spec section 6). */
#ifndef RAMSON_DIR_HTTP_H
#define RAMSON_DIR_HTTP_H

#include "controlplane/dir/compress.h"

#define HTTP_DIFFS 16
struct http_request {
	bool is_get, is_post;
	struct bytes url;	/* as it came */
	unsigned encodings;	/* mask of enum encoding; identity always */
	int64_t modified_since; /* 0: not given */
	int64_t content_len;
	struct bytes diff_from; /* hex digests between blanks */
	size_t head_len;
};
/* Reads the head of a request. 0 and *r; ERR_NOT_NOW: it is not whole; ERR_MALFORMED. */
int http_request_get(struct http_request *r, const uint8_t *p, size_t len);

struct http_answer {
	int status;
	struct bytes reason;
	enum encoding encoding; /* N_ENCODINGS: one that we do not know */
	int64_t content_len;	/* -1: not given */
	size_t head_len;
};
/* The same for an answer. */
int http_answer_get(struct http_answer *a, const uint8_t *p, size_t len);

#endif
