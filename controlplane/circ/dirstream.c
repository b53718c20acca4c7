/* dirstream.c - a directory stream as a byte pipe: a request gathered from STREAM_READ, its answer
 * written with STREAM_WRITE as far as credit goes, END behind it (interop E10). */
#include "controlplane/circ/internal.h"

#include "controlplane/dir/dir.h"

#include <stdlib.h>

void dirstream_drop(struct circs *c, struct dirstream *d)
{
	if (d->answer)
		c->at.out.dir_free(c->at.out.arg, d->answer);
	c->figures.dir_bytes -= d->cap;
	table_del(&c->dirstreams, d);
	free(d->request);
	free(d);
}

/* The stream is over: END, and nothing of it is kept. */
static void dirstream_end(struct circs *c, struct dirstream *d, uint8_t reason)
{
	stream_end_with(c, d->id, reason, NULL, 0);
	dirstream_drop(c, d);
}

void dirstream_begin(struct circs *c, wid stream, const struct addr *peer)
{
	struct ctl_stream_open open = {.kind = CTL_STREAM_DIR};
	struct dirstream *d = table_find(&c->dirstreams, stream);

	if (d) /* never, unless the dataplane is mad */
		dirstream_drop(c, d);
	d = calloc(1, sizeof(*d));
	if (d) {
		d->id = stream;
		d->peer = *peer;
	}
	if (!d || table_add(&c->dirstreams, d)) {
		free(d);
		stream_end_with(c, stream, END_RESOURCELIMIT, NULL, 0);
		return;
	}
	if (circ_send(c, CTL_STREAM_OPEN, stream, 0, &open, sizeof(open), NULL, 0))
		dirstream_drop(c, d);
}

/* Writes what credit allows; at the end of the answer the stream ends. */
static void pump(struct circs *c, struct dirstream *d)
{
	uint8_t chunk[CTL_CHUNK];

	while (d->credit) {
		size_t n = c->at.out.dir_read(c->at.out.arg, d->answer, chunk,
					      MIN(d->credit, sizeof(chunk)));

		if (!n) {
			dirstream_end(c, d, END_DONE);
			return;
		}
		if (circ_send(c, CTL_STREAM_WRITE, d->id, 0, NULL, 0, chunk, n)) {
			dirstream_end(c, d, END_RESOURCELIMIT);
			return;
		}
		d->credit -= n;
		d->since_s = 0;
	}
}

/* As tor, which asks only when it has last written: who reads nothing and who asks nothing. */
void circ_tick(struct circs *c, uint64_t now_s)
{
	struct dirstream *next;

	for (struct dirstream *d = table_next(&c->dirstreams, NULL); d; d = next) {
		next = table_next(&c->dirstreams, d);
		if (!d->since_s)
			d->since_s = now_s;
		if (!c->set.dir_stall_s || now_s - d->since_s <= c->set.dir_stall_s)
			continue;
		c->figures.dir_stalled++;
		dirstream_end(c, d, END_DONE);
	}
}

/* 0, or ERR_FULL beyond the bound of one request or of all. */
static int request_add(struct circs *c, struct dirstream *d, struct bytes more)
{
	size_t need = d->len + more.len, cap = d->cap ? d->cap : 1024;
	uint8_t *wide;

	if (need > DIR_REQUEST_MAX)
		return ERR_FULL;
	while (cap < need)
		cap *= 2;
	if (cap != d->cap) {
		if (c->figures.dir_bytes + (cap - d->cap) > c->at.dir_bytes_max)
			return ERR_FULL;
		wide = realloc(d->request, cap);
		if (!wide)
			return ERR_FULL;
		c->figures.dir_bytes += cap - d->cap;
		d->request = wide;
		d->cap = cap;
	}
	memcpy(d->request + d->len, more.p, more.len);
	d->len = need;
	return 0;
}

void circ_in_stream_read(const struct circ_in *m)
{
	struct circs *c = m->c;
	struct dirstream *d = table_find(&c->dirstreams, m->head->id);
	int served;

	if (!d) {
		c->figures.unknown++;
		return;
	}
	if (d->answer || !m->tail.len)
		return; /* one request a stream: what follows it is not read */
	if (request_add(c, d, m->tail)) {
		c->figures.dir_hung_up++;
		dirstream_end(c, d, END_RESOURCELIMIT);
		return;
	}
	served = c->at.out.dir_serve(c->at.out.arg, d->request, d->len, &d->peer, &d->answer);
	if (served == DIR_SERVE_MORE)
		return;
	if (served != DIR_SERVE_ANSWER) {
		c->figures.dir_hung_up++;
		d->answer = NULL;
		dirstream_end(c, d, END_DONE);
		return;
	}
	c->figures.dir_answered++;
	pump(c, d);
}

void circ_in_stream_credit(const struct circ_in *m)
{
	struct dirstream *d = table_find(&m->c->dirstreams, m->head->id);

	if (!d) {
		m->c->figures.unknown++;
		return;
	}
	d->credit += m->head->arg;
	if (d->answer)
		pump(m->c, d);
}

void circ_in_stream_closed(const struct circ_in *m)
{
	struct dirstream *d = table_find(&m->c->dirstreams, m->head->id);

	if (d)
		dirstream_drop(m->c, d);
}
