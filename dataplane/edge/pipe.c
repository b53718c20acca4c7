/* pipe.c - bytes that wait at an edge: what a client sent before its stream was connected, and what
 * control wrote and no cell has carried yet. */
#include "dataplane/edge/edge.h"

#include <stdlib.h>

int pipe_put(struct pipe *p, const void *from, uint32_t len, uint32_t max)
{
	uint32_t cap = p->cap ? p->cap : 512;
	uint8_t *more;

	if (len > max || p->len > max - len)
		return ERR_FULL;
	if (!len)
		return 0;
	if (p->at && p->at + p->len + len > p->cap) {
		memmove(p->p, p->p + p->at, p->len);
		p->at = 0;
	}
	while (cap < p->len + len)
		cap *= 2;
	if (cap != p->cap) {
		more = realloc(p->p, cap);
		if (!more)
			return ERR_FULL;
		p->p = more;
		p->cap = cap;
	}
	memcpy(p->p + p->at + p->len, from, len);
	p->len += len;
	return 0;
}

void pipe_skip(struct pipe *p, uint32_t len)
{
	p->at += len;
	p->len -= len;
	if (!p->len)
		p->at = 0;
}

void pipe_free(struct pipe *p)
{
	free(p->p);
	*p = (struct pipe) {0};
}
