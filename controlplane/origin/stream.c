/* stream.c - one directory stream on a circuit of ours: BEGIN_DIR, the request under the windows,
 * the answer up to its END (tor-spec sections 6.2, 7.3, 7.4). */
#include <stdlib.h>

#include "controlplane/origin/internal.h"

#define HEAD_ROOM 65536 /* beside max_len, for the head of an answer */
#define SHORT_BY  20	/* bytes that a cell for randomness leaves: four zeroes, 16 of noise */

void fetch_begin(struct circuit *c)
{
	struct fetch *f = &c->fetch;
	uint8_t tag[SHA1_LEN];

	do
		f->stream_id = (uint16_t)rng_u32(&c->o->rng);
	while (!f->stream_id);
	f->package_window = STREAM_WINDOW;
	f->until_short = rng_below(&c->o->rng, STREAM_STEP);
	circuit_send(c, CELL_RELAY, RELAY_BEGIN_DIR, f->stream_id, NULL, 0, tag);
}

/* The tag of each hundredth DATA cell is what its SENDME must bring. */
static void tag_keep(struct circuit *c, const uint8_t tag[SHA1_LEN])
{
	if (c->package_window % CIRC_STEP == 0 && c->n_tags < TAGS_MAX)
		memcpy(c->tags[c->n_tags++], tag, SHA1_LEN);
}

void fetch_pump(struct circuit *c)
{
	struct fetch *f = &c->fetch;
	uint8_t tag[SHA1_LEN];

	if (!f->connected)
		return;
	while (f->request_at < f->request_len && f->package_window > 0 && c->package_window > 0) {
		size_t n = RELAY_BODY;

		if (f->until_short-- == 0) {
			n -= SHORT_BY;
			f->until_short = STREAM_STEP + rng_below(&c->o->rng, STREAM_STEP);
		}
		n = MIN(n, f->request_len - f->request_at);
		if (circuit_send(c, CELL_RELAY, RELAY_DATA, f->stream_id,
				 f->request + f->request_at, n, tag))
			return;
		f->request_at += n;
		f->package_window--;
		c->package_window--;
		tag_keep(c, tag);
	}
}

static int raw_add(struct fetch *f, const uint8_t *p, size_t len)
{
	size_t cap = f->raw_cap ? f->raw_cap : 4096;
	uint8_t *q;

	if (f->raw_len + len > f->max_len + HEAD_ROOM)
		return ERR_FULL;
	while (cap < f->raw_len + len)
		cap *= 2;
	if (cap != f->raw_cap) {
		q = realloc(f->raw, cap);
		if (!q)
			return ERR_FULL;
		f->raw = q;
		f->raw_cap = cap;
	}
	memcpy(f->raw + f->raw_len, p, len);
	f->raw_len += len;
	return 0;
}

static void take_data(struct circuit *c, const struct relay_msg *m)
{
	struct fetch *f = &c->fetch;
	uint8_t tag[SHA1_LEN];

	if (!f->connected) {
		c->o->n_cells_bad++;
		circuit_kill(c, ERR_MALFORMED);
		return;
	}
	if (raw_add(f, m->body, m->len)) {
		circuit_kill(c, ERR_FULL);
		return;
	}
	if (++f->deliver_count == STREAM_STEP) {
		f->deliver_count = 0;
		circuit_send(c, CELL_RELAY, RELAY_SENDME, f->stream_id, NULL, 0, tag);
	}
}

static void take_connected(struct circuit *c, const struct relay_msg *m)
{
	c->fetch.connected = true;
	fetch_pump(c);
}

static void take_sendme(struct circuit *c, const struct relay_msg *m)
{
	if (c->fetch.package_window + STREAM_STEP > STREAM_WINDOW) {
		c->o->n_cells_bad++;
		circuit_kill(c, ERR_MALFORMED);
		return;
	}
	c->fetch.package_window += STREAM_STEP;
	fetch_pump(c);
}

static void take_end(struct circuit *c, const struct relay_msg *m)
{
	bool done = m->len && m->body[0] == END_DONE;

	c->fetch.ended = true;
	circuit_kill(c, done && c->fetch.raw_len ? 0 : ERR_SYSTEM);
}

static const struct {
	uint8_t command;
	void (*take)(struct circuit *c, const struct relay_msg *m);
} rows[] = {
	{RELAY_DATA, take_data},
	{RELAY_CONNECTED, take_connected},
	{RELAY_SENDME, take_sendme},
	{RELAY_END, take_end},
};

void fetch_message(struct circuit *c, const struct relay_msg *m, const uint8_t tag[SHA1_LEN])
{
	if (m->stream_id != c->fetch.stream_id)
		return;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].command == m->command)
			rows[i].take(c, m);
}

void fetch_deliver(struct circuit *c)
{
	struct fetch *f = &c->fetch;
	dir_fetched done = f->done;
	uint8_t *body = NULL;
	size_t len = 0;
	int status = f->status;

	if (!done)
		return;
	f->done = NULL;
	c->o->n_fetches--;
	if (status == 0)
		status = dir_http_answer(f->raw, f->raw_len, f->max_len, &body, &len);
	done(f->arg, status, status < 0 ? NULL : body, status < 0 ? 0 : len);
	if (status >= 0)
		free(body);
}
