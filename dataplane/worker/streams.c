/* streams.c - the way from the far ends: bytes into DATA cells, and the words of a stream's life.
 */
#include "dataplane/worker/worker.h"

#define STREAMS_A_TURN 64
#define CELLS_A_STREAM 32 /* at most, before the next stream has its turn */

static struct circ *circ_of(struct worker *w, const struct stream *s)
{
	return &w->circs.circ[s->circ];
}

void stream_end(struct worker *w, uint32_t stream, uint8_t reason, bool flush)
{
	struct stream *s = &w->edge.stream[stream];
	uint32_t circ = s->circ;
	uint16_t id = s->id;

	if (s->state == STREAM_ENDED || s->state == STREAM_FREE)
		return;
	edge_end(&w->edge, stream, &circ_of(w, s)->streams, flush, w->now_us);
	ctl_say_closed(w, CTL_STREAM_CLOSED, stream, reason ? reason : END_DONE);
	if (reason)
		circ_say(w, circ, RELAY_END, id, &reason, 1);
}

void stream_say_sendmes(struct worker *w, uint32_t stream)
{
	struct stream *s = &w->edge.stream[stream];
	uint32_t circ = s->circ;
	uint16_t id = s->id;

	for (unsigned n = edge_sendmes(&w->edge, stream); n; n--)
		if (circ_say(w, circ, RELAY_SENDME, id, NULL, 0) < 0)
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
	if (edge_opened(&w->edge, stream) < 0)
		stream_end(w, stream, END_RESOURCELIMIT, false);
	else
		stream_say_sendmes(w, stream);
}

void circ_unblock(struct worker *w, uint32_t circ)
{
	struct circ *k = &w->circs.circ[circ];

	if (!k->blocked)
		return;
	k->blocked = 0;
	for (uint32_t i = k->streams; i != SLOT_NONE; i = w->edge.stream[i].next)
		edge_ready(&w->edge, i);
}

/* Whether the circuit takes one more DATA cell: its window, and its queue below cellq_high. */
static bool circ_takes(struct worker *w, uint32_t circ, unsigned ahead)
{
	struct circ *k = &w->circs.circ[circ];
	uint32_t leg = wid_index(k->leg[SIDE_P]);

	if (w->relay.window[circ].in_flight + ahead < w->params[CTL_PARAM_CIRCWINDOW] &&
	    w->sched.leg[leg].n + ahead < w->params[CTL_PARAM_CELLQ_HIGH])
		return true;
	k->blocked = 1;
	sched_watch(&w->sched, leg);
	return false;
}

static bool has_bytes(struct worker *w, const struct stream *s)
{
	uint8_t *p;
	uint32_t len;

	return s->state == STREAM_DIR
		       ? s->out.len != 0
		       : s->state == STREAM_OPEN && tcp_peek(w->tcp, s->conn, &p, &len);
}

/* Packs one DATA message; false when there is no slot. */
static bool pack_one(struct worker *w, uint32_t stream, struct onion_item *item, uint32_t *slot)
{
	struct stream *s = &w->edge.stream[stream];
	uint16_t len, room;
	uint8_t *payload;

	*slot = slot_take(&w->sched);
	if (*slot == SLOT_NONE)
		return false;
	payload = slot_at(&w->sched, *slot)->payload;
	room = relay_data_room(&w->relay, s->circ, &w->rng);
	len = edge_pack(&w->edge, stream, payload + RELAY_HEAD, room);
	relay_msg_head(payload, RELAY_DATA, s->id, len);
	relay_pad(payload, len, &w->rng);
	*item = (struct onion_item) {
		.src = payload, .dst = payload, .circ = s->circ, .command = CELL_RELAY};
	s->in_flight++;
	w->figures->exit_bytes_in += len;
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

/* Seals and queues what was packed for one circuit. */
static void send_packed(struct worker *w, uint32_t circ, struct onion_item *items, uint32_t *slots,
			unsigned n)
{
	wid id = circ_id_of(&w->circs, circ);

	onion_originate(&w->onion, items, n);
	for (unsigned i = 0; i < n; i++) {
		if (circ_check(&w->circs, id) == SLOT_NONE ||
		    w->circs.circ[circ].state != CIRC_OPEN) {
			slot_give(&w->sched, slots[i]);
			continue;
		}
		relay_data_out(&w->relay, circ, items[i].tag);
		circ_queue(w, circ, SIDE_P, CELL_RELAY, slots[i]);
	}
}

static void stream_read(struct worker *w, uint32_t stream)
{
	struct onion_item items[CELLS_A_STREAM];
	uint32_t slots[CELLS_A_STREAM], n = 0, circ, before;
	struct stream *s = &w->edge.stream[stream];

	circ = s->circ;
	before = s->out.len;
	while (n < CELLS_A_STREAM && has_bytes(w, s) && edge_may_send(&w->edge, stream) &&
	       circ_takes(w, circ, n) && pack_one(w, stream, &items[n], &slots[n]))
		n++;
	if (n) {
		w->worked = true;
		send_packed(w, circ, items, slots, n);
	}
	if (s->circ != circ || s->state == STREAM_ENDED || s->state == STREAM_FREE)
		return; /* its circuit was closed for a queue beyond its bound */
	dir_credit(w, stream, before);
	if (s->state == STREAM_ENDED || s->state == STREAM_FREE)
		return;
	if (n == CELLS_A_STREAM)
		edge_ready(&w->edge, stream);
	else if (s->far_end && !has_bytes(w, s))
		stream_end(w, stream, s->far_end, true);
}

void streams_read(struct worker *w)
{
	uint32_t stream;

	for (unsigned n = 0; n < STREAMS_A_TURN && w->sched.n_free >= TURN_SLOTS; n++) {
		stream = edge_next_ready(&w->edge);
		if (stream == SLOT_NONE)
			break;
		stream_read(w, stream);
	}
}
