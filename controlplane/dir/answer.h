/* answer.h - the answer to one directory request: a head, and a body made of texts that others hold
 * too, packed while it is read. */
#ifndef RAMSON_DIR_ANSWER_H
#define RAMSON_DIR_ANSWER_H

#include "controlplane/dir/internal.h"

struct dir_answer {
	struct dir *d;
	struct text head;
	size_t head_at;
	struct blob **parts;
	unsigned n_parts, cap_parts, part;
	size_t part_at;
	struct packer *packer; /* NULL: as they are */
	bool packed_all;
};
/* NULL when memory is short. */
struct dir_answer *answer_new(struct dir *d);
/* Takes a reference of b; NULL b is passed over. */
int answer_add(struct dir_answer *a, struct blob *b);
size_t answer_len(const struct dir_answer *a);
/* "HTTP/1.0 404 Not found" and a date: the whole of a short answer. */
void answer_short(struct dir_answer *a, int status, const char *reason, int64_t now);
/* The head of a 200. lifetime: seconds that it may be cached, 0: not, -1: say nothing; len -1: not
 * said. extra: whole header lines or "". */
struct answer_head {
	const struct addr *peer;
	enum encoding encoding;
	int64_t len, lifetime, now;
	const char *extra;
};
void answer_head(struct dir_answer *a, const struct answer_head *h);

#endif
