/* streams.c - the way from the far ends: bytes into DATA cells, and the words of a stream's life.
 */
#include "dataplane/worker/worker.h"

#define STREAMS_A_TURN	256
#define STREAMS_AT_ONCE 16 /* so many digests go side by side */
#define STREAMS_A_PASS	64 /* when each has one cell */
/* Of one stream in one turn at most. What a burst of few streams brought waits where it is, so that
 * under load many streams are ready and their digests share the lanes. */
#define CELLS_A_STREAM 8

void stream_end(struct worker *w, uint32_t stream, uint8_t reason, bool flush)
{
	struct stream *s = &w->edge.stream[stream];
	uint32_t circ = s->circ;
	uint16_t id = s->id;

	if (s->state == STREAM_ENDED || s->state == STREAM_FREE)
		return;
	edge_end(&w->edge, stream, owner_streams(w, circ), flush, w->now_us);
	ctl_say_closed(w, CTL_STREAM_CLOSED, stream, reason ? reason : END_DONE);
	if (reason)
		circ_say(w, circ, RELAY_END, id, &reason, 1);
}

/* XOFF or XON, if one is due: on circuits with congestion control there are no stream SENDMEs. */
static void say_flow(struct worker *w, uint32_t stream, bool came, circ_say_fn *say)
{
	const struct stream *s = &w->edge.stream[stream];
	uint8_t body[EDGE_XON_LEN];
	enum edge_word word =
		edge_look(&w->edge, stream, came, !w->relay.clock_bad, w->now_us, body);

	if (word == EDGE_XOFF)
		say(w, s->circ, RELAY_XOFF, s->id, body, EDGE_XOFF_LEN);
	else if (word == EDGE_XON)
		say(w, s->circ, RELAY_XON, s->id, body, EDGE_XON_LEN);
}

void stream_say_flow(struct worker *w, uint32_t stream, bool came, circ_say_fn *say)
{
	struct stream *s = &w->edge.stream[stream];
	uint32_t circ = s->circ;
	uint16_t id = s->id;

	if (edge_has_flow(&w->edge, stream)) {
		say_flow(w, stream, came, say);
		return;
	}
	for (unsigned n = edge_sendmes(&w->edge, stream); n; n--)
		if (say(w, circ, RELAY_SENDME, id, NULL, 0) < 0)
			return;
}

/* CONNECTED's body (interop E2): the address that was reached, and how long the name is good. */
static uint16_t connected_body(struct worker *w, const struct stream *s, uint8_t body[25])
{
	struct writer out = writer_of(body, 25);
	struct addr local, remote;

	tcp_addrs(w->tcp, s->conn, &local, &remote);
	if (remote.family == 6) {
		wr_u32(&out, 0);
		wr_u8(&out, 6);
	}
	wr_bytes(&out, remote.ip, addr_ip_len(&remote));
	wr_u32(&out, s->ttl);
	return (uint16_t)wr_len(&out);
}

void stream_connected(struct worker *w, uint32_t stream)
{
	struct stream *s = &w->edge.stream[stream];
	uint8_t body[25];

	if (s->state != STREAM_CONNECTING ||
	    circ_say(w, s->circ, RELAY_CONNECTED, s->id, body, connected_body(w, s, body)) < 0)
		return;
	exit_moved(w, s->conn, WAY_OUT, s->in.len);
	if (edge_opened(&w->edge, stream) < 0)
		stream_end(w, stream, END_RESOURCELIMIT, false);
	else
		stream_say_flow(w, stream, false, circ_say);
}

void circ_unblock(struct worker *w, uint32_t circ)
{
	struct circ *k = &w->circs.circ[circ];

	if (UNLIKELY(k->tied == CFX_TIED))
		leg_moved(w, circ);
	if (!k->blocked)
		return;
	k->blocked = 0;
	for (uint32_t i = k->streams; i != SLOT_NONE; i = w->edge.stream[i].next)
		edge_ready(&w->edge, i);
}

/* DATA cells for which a circuit's queue has room below cellq_high. */
static int64_t queue_room(const struct worker *w, uint32_t circ)
{
	uint32_t leg = wid_index(w->circs.circ[circ].leg[SIDE_P]);

	return w->params[CTL_PARAM_CELLQ_HIGH] - (int64_t)w->sched.leg[leg].n;
}

/* DATA cells that the circuit takes: as many as its window and its queue have room for, when so
 * many are on their way already. */
static unsigned circ_room(const struct worker *w, uint32_t circ, unsigned ahead)
{
	int64_t room = MIN(queue_room(w, circ), (int64_t)relay_room(&w->relay, circ));

	return room > ahead ? (unsigned)(room - ahead) : 0;
}

/* Its streams have more than it takes. */
static void circ_block(struct worker *w, uint32_t circ, unsigned ahead)
{
	struct circ *k = &w->circs.circ[circ];

	k->blocked = 1;
	if (queue_room(w, circ) <= ahead)
		sched_watch(&w->sched, wid_index(k->leg[SIDE_P])); /* else a SENDME or time does */
}

bool stream_has_bytes(struct worker *w, const struct stream *s)
{
	return s->state == STREAM_DIR ? s->out.len != 0
				      : s->state == STREAM_OPEN && tcp_has(w->tcp, s->conn);
}

/* A stream in a pass. */
struct visit {
	uint32_t stream, circ;
	uint32_t before; /* bytes of control's that waited */
	unsigned n;	 /* cells packed */
	bool waits;	 /* for tokens */
};
/* Cells of some streams on their way through the onion together. */
struct pass {
	unsigned n_visits;
	struct visit visit[STREAMS_A_PASS];
	struct walk walk;
};

uint16_t stream_take(struct worker *w, uint32_t stream, uint8_t *body, uint16_t room)
{
	struct stream *s = &w->edge.stream[stream];
	uint16_t len = edge_pack(&w->edge, stream, body, room);

	s->in_flight += s->step;
	if (UNLIKELY(s->rated))
		edge_spent(&w->edge, stream, len, w->now_us);
	w->figures->exit_bytes_in += len;
	count(w->counts, edge_data_packed);
	if (s->state == STREAM_OPEN)
		exit_moved(w, s->conn, WAY_IN, len);
	return len;
}

/* Packs one DATA message; false when there is no slot. */
static bool pack_one(struct worker *w, uint32_t stream, enum relay_format format, struct pass *p)
{
	const struct stream *s = &w->edge.stream[stream];
	unsigned at = relay_body_at(format, RELAY_DATA);
	uint32_t slot = slot_take(&w->sched);
	uint16_t len, room;
	uint8_t *payload;

	if (slot == SLOT_NONE)
		return false;
	payload = slot_at(&w->sched, slot)->payload;
	room = relay_data_room(&w->relay, s->circ, (uint16_t)(CELL_PAYLOAD - at), &w->rng);
	len = stream_take(w, stream, payload + at, room);
	relay_msg_write(payload, format, RELAY_DATA, s->id, len);
	relay_pad(&w->relay, payload, at + len);
	walk_put(w, &p->walk, s->circ, slot, true);
	return true;
}

/* Control may write as much more as was just packed. */
static void dir_credit(struct worker *w, uint32_t stream, uint32_t before)
{
	struct stream *s = &w->edge.stream[stream];

	/* Told in larger pieces, or when the pipe is dry: one message is not one cell. */
	if (s->state == STREAM_DIR && (before - s->out.len) &&
	    ctl_say(w, CTL_STREAM_CREDIT, slots_id(&w->edge.slots, stream), before - s->out.len,
		    NULL, 0, NULL, 0) < 0)
		stream_end(w, stream, END_RESOURCELIMIT, false);
}

/* The next streams that may have bytes; how many. */
static unsigned pass_gather(struct worker *w, struct pass *p, unsigned max)
{
	unsigned from = p->n_visits;
	uint32_t stream;

	max = MIN(from + max, (unsigned)STREAMS_A_PASS);
	while (p->n_visits < max && (stream = edge_next_ready(&w->edge)) != SLOT_NONE) {
		const struct stream *s = &w->edge.stream[stream];

		p->visit[p->n_visits++] = (struct visit) {stream, s->circ, s->out.len, 0, false};
		edge_fetch(&w->edge, stream);
		if (UNLIKELY(s->circ & CFX_SET))
			continue;
		__builtin_prefetch(&w->circs.circ[s->circ], 1);
		__builtin_prefetch(&w->relay.window[s->circ], 1);
	}
	for (unsigned i = from; i < p->n_visits; i++)
		edge_fetch_far(&w->edge, p->visit[i].stream);
	return p->n_visits - from;
}

/* Cells of a circuit that this pass holds already, of other streams. */
static unsigned ahead_of(const struct pass *p, uint32_t circ)
{
	unsigned n = 0;

	for (unsigned i = 0; i < p->n_visits; i++)
		n += p->visit[i].circ == circ ? p->visit[i].n : 0;
	return n;
}

/* For tokens. */
static bool stream_waits(struct worker *w, const struct stream *s)
{
	return s->state == STREAM_OPEN && !exit_may_read(w, s->conn);
}

/* Whether it has bytes, and the client and the tokens let them go. */
static bool visit_goes_on(struct worker *w, struct visit *v)
{
	const struct stream *s = &w->edge.stream[v->stream];

	v->waits = stream_waits(w, s);
	return !v->waits && stream_has_bytes(w, s) && edge_may_send(&w->edge, v->stream);
}

static void visit_pack(struct worker *w, struct pass *p, struct visit *v, unsigned share)
{
	enum relay_format format = onion_format(&w->onion, v->circ);
	unsigned ahead = ahead_of(p, v->circ);
	unsigned most = MIN(share, circ_room(w, v->circ, ahead));

	while (v->n < most && visit_goes_on(w, v) && pack_one(w, v->stream, format, p))
		v->n++;
	if (UNLIKELY(v->n == most && most < share) && visit_goes_on(w, v))
		circ_block(w, v->circ, ahead + v->n);
}

/* Fills a batch with cells of as many streams, of n at most, as it takes. */
static void pass_pack(struct worker *w, struct pass *p, unsigned n, unsigned share)
{
	unsigned some = MIN(n, (unsigned)STREAMS_AT_ONCE);

	while (some && (some = pass_gather(w, p, some))) {
		for (unsigned i = p->n_visits - some; i < p->n_visits; i++)
			if (LIKELY(!(p->visit[i].circ & CFX_SET)))
				visit_pack(w, p, &p->visit[i], share);
		some = MIN(n - p->n_visits, (BATCH - p->walk.n) / share);
	}
}

/* Those of sets come behind the others: over which leg each goes is seen as it is packed. */
static void pass_sets(struct worker *w, struct pass *p, unsigned share)
{
	bool any = false;

	for (unsigned i = 0; i < p->n_visits; i++) {
		struct visit *v = &p->visit[i];

		if (LIKELY(!(v->circ & CFX_SET)))
			continue;
		v->waits = stream_waits(w, &w->edge.stream[v->stream]);
		v->n = v->waits ? 0 : set_read(w, v->stream, share);
		any |= v->n != 0;
	}
	if (!any)
		return;
	w->worked = true;
	cells_flush(w);
}

static bool stream_over(const struct stream *s)
{
	return s->state == STREAM_ENDED || s->state == STREAM_FREE;
}

/* What is to be said after the cells of a stream: they are sealed and queued by now. */
static void visit_end(struct worker *w, const struct visit *v, unsigned share)
{
	struct stream *s = &w->edge.stream[v->stream];

	if (stream_over(s))
		return; /* its circuit was closed */
	dir_credit(w, v->stream, v->before);
	if (stream_over(s))
		return;
	if (v->n == share || v->waits)
		edge_ready(&w->edge, v->stream);
	else if (s->far_end && !stream_has_bytes(w, s))
		stream_end(w, v->stream, s->far_end, true);
}

/* Circuits that SENDMEs have given more than they let go at once. */
static void windows_open(struct worker *w)
{
	uint32_t circs[BATCH], n = relay_opened(&w->relay, w->now_us, circs, ARRAY_LEN(circs));

	for (uint32_t i = 0; i < n; i++)
		circ_unblock(w, circs[i]);
}

void streams_read(struct worker *w)
{
	unsigned n, share;
	struct pass p;

	edge_refill(&w->edge, w->now_us);
	windows_open(w);
	/* Those that are made ready by this turn have the next one. */
	n = MIN(w->edge.n_ready, (uint32_t)STREAMS_A_TURN);
	for (; n && exits_turn(w) && w->sched.n_free >= TURN_SLOTS; n -= p.n_visits) {
		share = MIN(BATCH / MIN(n, (unsigned)STREAMS_AT_ONCE), (unsigned)CELLS_A_STREAM);
		p.walk.n = p.n_visits = 0;
		/* When tokens are short, one at a time: the next keeps its place. */
		pass_pack(w, &p, UNLIKELY(w->tight) ? 1 : n, share);
		if (!p.n_visits)
			break;
		w->worked |= p.walk.n != 0;
		walk_originate(w, &p.walk);
		pass_sets(w, &p, share);
		for (unsigned i = 0; i < p.n_visits; i++)
			visit_end(w, &p.visit[i], share);
		/* Too few to share the lanes: they are the first of the next turn. */
		if (n - p.n_visits < STREAMS_AT_ONCE && !w->tight)
			break;
	}
	w->worked |= w->edge.n_ready && !(w->short_of & SHORT(BUCKET_ALL, WAY_IN));
}
