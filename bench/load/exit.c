/* exit.c - streams through the relay to a destination that is ourselves: the client's side with
 * windows and authenticated SENDMEs (tor-spec section 7), and the destination's TCP. A stream is
 * eight bytes that say where in the pattern it begins, then the pattern round and round. */
#include "bench/load/load.h"

#include "dataplane/wire/begin.h"

#include <stdlib.h>

#define MAGIC	      0x524c4431u
#define STREAM_HEAD   8
#define CIRC_WINDOW   1000 /* with congestion control too: ours does not grow */
#define TAGS	      1024 /* SENDMEs outstanding at most: that many cells, if each has one */
#define STREAM_WINDOW 500
#define STREAM_STEP   50
#define CHUNK	      16384

static struct stream *stream_of(struct load *ld, uint32_t i, unsigned k)
{
	return &ld->stream[(size_t)i * ld->opt.n_streams + k];
}

/* Writes the next len bytes of a stream that has sent so many. */
static void stream_put(const struct load *ld, uint8_t *p, size_t len, uint64_t sent, uint32_t phase)
{
	if (sent < STREAM_HEAD) { /* len is more than that: first bytes go out together */
		be32_put(p, MAGIC);
		be32_put(p + 4, phase);
		p += STREAM_HEAD;
		len -= STREAM_HEAD;
		sent = STREAM_HEAD;
	}
	memcpy(p, ld->pattern + ((phase + sent - STREAM_HEAD) & (PATTERN_LEN - 1)), len);
}

/* The next len bytes that came; they are cut as the relay pleased. */
static void stream_check(struct load *ld, const uint8_t *p, size_t len, uint64_t *got,
			 uint32_t *phase, unsigned way)
{
	static const uint8_t magic[] = {MAGIC >> 24, MAGIC >> 16 & 255, MAGIC >> 8 & 255,
					MAGIC & 255};

	ld->sum.bytes[way] += len;
	for (; len && *got < STREAM_HEAD; p++, len--, (*got)++) {
		if (*got >= 4)
			*phase = *phase << 8 | *p;
		else if (*p != magic[*got])
			load_fail(ld, "a stream does not begin with what was sent");
	}
	while (len) {
		size_t n = MIN(len, (size_t)PATTERN_LEN);

		if (memcmp(p, ld->pattern + ((*phase + *got - STREAM_HEAD) & (PATTERN_LEN - 1)), n))
			load_fail(ld, "byte %llu of a stream or one near is not what was sent",
				  (unsigned long long)*got);
		*got += n;
		p += n;
		len -= n;
	}
}

/* ---- the client ---- */
void exit_begin(struct load *ld, uint32_t i)
{
	struct circ *c = &ld->circ[i];
	struct begin b = {.port = DEST_PORT(CONN_DEST_DOWN)};
	uint8_t body[RELAY_BODY], tag[SHA1_LEN];
	int len;

	if (ld->opt.direction != DIR_DOWN)
		b.port = ld->opt.direction == DIR_UP ? DEST_PORT(CONN_DEST_UP)
						     : DEST_PORT(CONN_DEST_BOTH);
	addr_text(&ld->opt.address.ip, b.host);
	len = begin_put(&b, body, sizeof(body));
	c->package = c->deliver = 0;
	if (!c->tags)
		c->tags = calloc(TAGS, sizeof(*c->tags));
	if (!c->tags) {
		load_fail(ld, "no memory for the tags of a circuit");
		return;
	}
	for (unsigned k = 0; k < ld->opt.n_streams; k++) {
		struct stream *s = stream_of(ld, i, k);

		*s = (struct stream) {
			.state = 1, .package = STREAM_WINDOW, .phase_out = rng_u32(&ld->rng)};
		circuit_say(ld, i, RELAY_BEGIN, (uint16_t)(k + 1), body, (uint16_t)len, false, tag);
	}
}

static void connected(struct load *ld, uint32_t i, struct stream *s)
{
	struct circ *c = &ld->circ[i];

	if (s->state != 1)
		return;
	s->state = 2;
	ld->n_streams_open++;
	if (++c->deliver < (int)ld->opt.n_streams)
		return;
	c->deliver = 0;
	c->package = CIRC_WINDOW;
	circuit_open(ld, i);
}

static void data(struct load *ld, uint32_t i, const struct relay_msg *m, const uint8_t *tag)
{
	struct circ *c = &ld->circ[i];
	struct stream *s = stream_of(ld, i, m->stream_id - 1u);
	uint16_t len = layer_tag_len(c);
	uint8_t body[3 + SHA1_LEN] = {1, 0, (uint8_t)len}, ignored[SHA1_LEN];

	ld->sum.cells[DOWN]++;
	stream_check(ld, m->body, m->len, &s->got, &s->phase_in, DOWN);
	if (++c->deliver == c->inc) {
		c->deliver = 0;
		memcpy(body + 3, tag, len);
		circuit_say(ld, i, RELAY_SENDME, 0, body, 3 + len, false, ignored);
	}
	if (!c->cc && ++s->deliver == STREAM_STEP) {
		s->deliver = 0;
		circuit_say(ld, i, RELAY_SENDME, m->stream_id, NULL, 0, false, ignored);
	}
}

static void sendme(struct load *ld, uint32_t i, const struct relay_msg *m)
{
	struct circ *c = &ld->circ[i];

	if (m->stream_id) {
		if (c->cc)
			load_fail(ld, "circuit %u: a stream SENDME beside congestion control", i);
		stream_of(ld, i, m->stream_id - 1u)->package += STREAM_STEP;
	} else {
		const uint8_t *want = c->tags[c->n_acked % TAGS];

		if (c->n_acked == c->n_tags || m->len < 3 + layer_tag_len(c) || m->body[0] != 1 ||
		    memcmp(m->body + 3, want, layer_tag_len(c)))
			load_fail(ld, "circuit %u: a SENDME without the tag that it must have", i);
		c->n_acked++;
		c->package += c->inc;
	}
	middle_flow(ld, i);
}

/* XON's rate is not kept: the relay says XOFF again if that was too fast. */
static void heard_flow(struct load *ld, uint32_t i, const struct relay_msg *m)
{
	stream_of(ld, i, m->stream_id - 1u)->package = m->command == RELAY_XON ? STREAM_WINDOW : 0;
	middle_flow(ld, i);
}

static void message(struct load *ld, uint32_t i, uint8_t *payload, const uint8_t *tag, bool ours)
{
	struct circ *c = &ld->circ[i];
	struct relay_msg m;

	if (!ours || relay_msg_read(&m, payload, layer_format(c)) < 0 ||
	    m.stream_id > ld->opt.n_streams) {
		load_fail(ld, "circuit %u: a cell that is not the relay's own", i);
		return;
	}
	if (m.command == RELAY_DATA && m.stream_id)
		data(ld, i, &m, tag);
	else if (m.command == RELAY_SENDME)
		sendme(ld, i, &m);
	else if ((m.command == RELAY_XOFF || m.command == RELAY_XON) && m.stream_id && c->cc)
		heard_flow(ld, i, &m);
	else if (m.command == RELAY_CONNECTED && m.stream_id)
		connected(ld, i, stream_of(ld, i, m.stream_id - 1u));
	else if (m.command == RELAY_END)
		load_fail(ld, "circuit %u: the relay ended a stream, reason %u", i,
			  m.len ? m.body[0] : 0);
}

void exit_settle(struct load *ld)
{
	if (!ld->late.n)
		return;
	late_open(ld);
	for (unsigned k = 0; k < ld->late.n; k++) {
		const struct onion_item *it = &ld->late.item[k];

		message(ld, it->circ, it->dst, it->tag, it->recognized);
	}
	ld->late.n = 0;
}

void exit_cell(struct load *ld, uint32_t i, uint8_t *payload)
{
	struct circ *c = &ld->circ[i];
	uint8_t tag[SHA1_LEN];
	bool ours;

	if (c->cgo) {
		ours = layer_open(ld, c, payload, tag);
		message(ld, i, payload, tag, ours);
	} else if (UNLIKELY(!late_put(ld, i, payload))) {
		exit_settle(ld);
		late_put(ld, i, payload);
	}
}

/* One DATA cell of the next stream that may; false when none may. */
static bool put_data(struct load *ld, uint32_t i, uint8_t *p)
{
	struct circ *c = &ld->circ[i];
	uint8_t *payload = p + CELL_HEAD, tag[SHA1_LEN];
	unsigned at = relay_body_at(layer_format(c), RELAY_DATA), k;
	uint16_t len = (uint16_t)(CELL_PAYLOAD - at);
	struct stream *s = NULL;

	for (unsigned tries = 0; tries < ld->opt.n_streams; tries++) {
		k = c->turn++ % ld->opt.n_streams;
		s = stream_of(ld, i, k);
		if (s->package > 0)
			break;
		s = NULL;
	}
	if (!s)
		return false;
	relay_msg_write(payload, layer_format(c), RELAY_DATA, (uint16_t)(k + 1), len);
	stream_put(ld, payload + at, len, s->sent, s->phase_out);
	s->sent += len;
	s->package -= !c->cc; /* there XOFF says when none may go */
	c->package--;
	layer_seal(ld, c, CELL_RELAY, payload, tag);
	if (++c->n_data_out % c->inc == 0)
		memcpy(c->tags[c->n_tags++ % TAGS], tag, layer_tag_len(c));
	cell_head_put(p, c->id, CELL_RELAY);
	return true;
}

unsigned exit_pack(struct load *ld, uint32_t conn, uint8_t *p, unsigned n)
{
	struct queue *q = &ld->conn[conn].ready;
	unsigned k = 0;

	while (k < n && q->n) {
		uint32_t i = q->head;
		struct circ *c = &ld->circ[i];
		bool more = true;

		q->head = c->next[UP];
		q->n--;
		c->queued[UP] = false;
		for (unsigned b = 0; b < ld->opt.run && k < n && c->package > 0 && more; b++) {
			more = put_data(ld, i, p + k * CELL_LEN);
			k += more;
		}
		if (more)
			middle_flow(ld, i); /* else a stream's SENDME brings it back */
	}
	return k;
}

/* ---- the destination ---- */
static bool is_source(const struct conn *c)
{
	return c->kind == CONN_DEST_DOWN || c->kind == CONN_DEST_BOTH;
}

static void dest_write(struct load *ld, uint32_t conn)
{
	struct conn *c = &ld->conn[conn];

	while (ld->flowing && tcp_unsent(ld->tcp, conn) < CHUNK) {
		uint32_t room = tcp_room(ld->tcp, conn);
		uint32_t n = MIN(MAX(room, 1024u), (uint32_t)CHUNK);
		uint8_t *p = room ? tcp_reserve(ld->tcp, conn, n) : NULL;

		if (!p)
			return;
		stream_put(ld, p, n, c->sent, c->phase_out);
		tcp_push(ld->tcp, conn, n);
		c->sent += n;
	}
}

void dest_opened(struct load *ld, uint32_t conn)
{
	struct conn *c = &ld->conn[conn];

	c->state = CONN_OPEN;
	c->phase_out = rng_u32(&ld->rng);
}

void dest_event(struct load *ld, uint32_t conn)
{
	struct conn *c = &ld->conn[conn];
	uint8_t *p;
	uint32_t len;

	while (tcp_peek(ld->tcp, conn, &p, &len)) {
		stream_check(ld, p, len, &c->got, &c->phase_in, UP);
		tcp_take(ld->tcp, conn, len);
	}
	if (is_source(c))
		dest_write(ld, conn);
}
