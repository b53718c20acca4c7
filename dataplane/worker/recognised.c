/* recognised.c - relay messages that are for us: one small function for each act of relay/table.c.
 */
#include "dataplane/worker/worker.h"

/* A recognised message, as the handlers see it. */
struct heard {
	uint32_t owner; /* of its streams: the circuit, or with CFX_SET a set */
	uint32_t circ;	/* where the owner is one */
	struct circ *k;
	unsigned leg; /* of a set: the row it came over */
	struct relay_msg msg;
	const uint8_t *tag;
	bool early;
};

/* Closes what brought it. */
static void shut(struct worker *w, const struct heard *h, uint8_t reason)
{
	if (h->owner & CFX_SET)
		set_leg_close(w, h->owner & ~CFX_SET, h->leg, reason);
	else
		circ_shut(w, h->circ, reason, -1);
}

static void violate(struct worker *w, const struct heard *h)
{
	count(w->counts, relay_violation);
	shut(w, h, DESTROY_TORPROTOCOL);
}

static uint32_t stream_of(struct worker *w, const struct heard *h)
{
	return edge_find_in(&w->edge, *owner_streams(w, h->owner), h->owner, h->msg.stream_id);
}

static void on_ignore(struct worker *w, struct heard *h)
{
	count(w->counts, relay_ignored);
}

static void on_drop(struct worker *w, struct heard *h)
{
	count(w->counts, relay_drop);
}

/* DATA counts for the circuit window whatever its stream (interop section 2.5), and on a leg
 * whether or not its turn has come. False when the circuit is gone. */
static bool data_counts(struct worker *w, const struct heard *h)
{
	uint8_t body[RELAY_SENDME_LEN];

	return !relay_data_in(&w->relay, h->circ) ||
	       circ_say_soon(w, h->circ, RELAY_SENDME, 0, body,
			     relay_sendme_make(&w->relay, h->circ, h->tag, body)) == 0;
}

static void on_data(struct worker *w, struct heard *h)
{
	uint32_t stream = stream_of(w, h);
	int rc;

	if (!h->msg.stream_id || stream == SLOT_NONE) {
		count(w->counts, relay_unknown_stream);
		return;
	}
	rc = edge_data(&w->edge, stream, h->msg.body, h->msg.len);
	if (rc == 1)
		rc = ctl_say(w, CTL_STREAM_READ, slots_id(&w->edge.slots, stream), 0, NULL, 0,
			     h->msg.body, h->msg.len);
	w->figures->exit_bytes_out += h->msg.len;
	if (w->edge.stream[stream].state == STREAM_OPEN)
		exit_moved(w, w->edge.stream[stream].conn, WAY_OUT, h->msg.len);
	if (rc == ERR_MALFORMED)
		violate(w, h);
	else if (rc < 0)
		stream_end(w, stream, END_RESOURCELIMIT, false);
	else
		stream_say_flow(w, stream, true, circ_say_soon);
}

static void on_end(struct worker *w, struct heard *h)
{
	uint32_t stream = stream_of(w, h);

	if (!h->msg.len) { /* interop E3 */
		violate(w, h);
		return;
	}
	if (stream != SLOT_NONE)
		stream_end(w, stream, 0, true);
}

static void circ_sendme(struct worker *w, const struct heard *h)
{
	const struct sched_leg *leg = &w->sched.leg[wid_index(h->k->leg[SIDE_P])];
	struct relay_queue q = {
		.n = leg->n, .blocked = leg->watched || leg->n >= w->params[CTL_PARAM_CELLQ_HIGH]};

	if (relay_sendme_in(&w->relay, h->circ, h->msg.body, h->msg.len, q, w->now_us) < 0)
		circ_shut(w, h->circ, DESTROY_TORPROTOCOL, -1);
	else
		circ_unblock(w, h->circ);
}

static void on_sendme(struct worker *w, struct heard *h)
{
	uint32_t stream;

	if (!h->msg.stream_id) {
		circ_sendme(w, h);
		return;
	}
	if (h->k->tied) { /* a leg has congestion control, and so no such thing */
		violate(w, h);
		return;
	}
	stream = stream_of(w, h);
	if (stream == SLOT_NONE)
		return; /* it may have ended a moment ago */
	if (edge_sendme_in(&w->edge, stream) < 0)
		violate(w, h);
	else
		edge_ready(&w->edge, stream);
}

static void on_flow(struct worker *w, struct heard *h)
{
	uint32_t stream = stream_of(w, h);

	if (stream == SLOT_NONE)
		return; /* as for SENDME */
	if (!edge_flow_in(&w->edge, stream, h->msg.command, h->msg.body, h->msg.len, w->now_us))
		edge_ready(&w->edge, stream);
}

static void on_truncate(struct worker *w, struct heard *h)
{
	uint8_t reason = DESTROY_REQUESTED;

	if (h->k->leg[SIDE_N] && !h->msg.len) {
		violate(w, h);
		return;
	}
	h->k->serial++; /* whatever control or the next hop still answers is void */
	h->k->extending = 0;
	if (h->k->asked == ASKED_EXTEND)
		h->k->asked = ASKED_NOTHING;
	if (h->k->leg[SIDE_N])
		leg_end(w, h->k->leg[SIDE_N], h->msg.body[0]);
	h->k->leg[SIDE_N] = WID_NONE;
	circ_say(w, h->circ, RELAY_TRUNCATED, 0, &reason, 1);
}

static void on_padding(struct worker *w, struct heard *h)
{
	circ_pad_negotiate(w, h->circ, h->msg.body, h->msg.len);
}

/* What a client gets when control cannot or need not be asked. */
static void stream_refuse(struct worker *w, const struct heard *h, uint8_t reason)
{
	static const char text[] = "Error resolving hostname";
	uint8_t body[6 + sizeof(text)];
	struct writer out = writer_of(body, sizeof(body));

	if (h->msg.command != RELAY_RESOLVE) {
		circ_say(w, h->owner, RELAY_END, h->msg.stream_id, &reason, 1);
		return;
	}
	wr_u8(&out, 0xF0); /* transient error (tor-spec 6.4) */
	wr_u8(&out, sizeof(text) - 1);
	wr_bytes(&out, text, sizeof(text) - 1);
	wr_u32(&out, 60);
	circ_say(w, h->owner, RELAY_RESOLVED, h->msg.stream_id, body, (uint16_t)wr_len(&out));
}

/* A token for each BEGIN and RESOLVE; whole seconds refill (interop X4, E14). */
static bool begin_allowed(struct worker *w, const struct heard *h)
{
	struct begins *b = begins_of(w, h->owner);
	uint32_t now_s = (uint32_t)(w->now_us / 1000000) + 1;
	int64_t burst = MIN(w->params[CTL_PARAM_STREAM_DOS_BURST], INT32_MAX), more;

	if (!w->params[CTL_PARAM_STREAM_DOS_ENABLED] || h->msg.command == RELAY_BEGIN_DIR)
		return true;
	more = b->at_s ? (int64_t)(now_s - b->at_s) *
				 MIN(w->params[CTL_PARAM_STREAM_DOS_RATE], INT32_MAX)
		       : burst;
	b->left = (uint32_t)MIN(b->left + more, burst);
	b->at_s = now_s;
	if (b->left) {
		b->left--;
		return true;
	}
	count(w->counts, edge_begins_over);
	return w->params[CTL_PARAM_STREAM_DOS_TYPE] < 2;
}

/* MISC, for RESOURCELIMIT would have clients shun us for hours. */
static void begin_over(struct worker *w, const struct heard *h)
{
	if (w->params[CTL_PARAM_STREAM_DOS_TYPE] > 2)
		shut(w, h, DESTROY_RESOURCELIMIT);
	else if (stream_of(w, h) != SLOT_NONE)
		count(w->counts, relay_stream_in_use);
	else
		stream_refuse(w, h, END_MISC);
}

/* Over which circuit and link a stream was asked for. */
static struct ctl_stream_recv whence(const struct worker *w, const struct heard *h)
{
	const struct cfx_leg *l;

	if (!(h->owner & CFX_SET))
		return (struct ctl_stream_recv) {.circ = circ_id_of(&w->circs, h->circ),
						 .conn = tcp_id(w->tcp, h->k->conn),
						 .command = h->msg.command};
	l = &w->conflux.set[h->owner & ~CFX_SET].leg[h->leg];
	return (struct ctl_stream_recv) {
		.circ = l->circ, .conn = l->conn, .command = h->msg.command};
}

static void on_stream(struct worker *w, struct heard *h)
{
	struct ctl_stream_recv body = whence(w, h);
	uint32_t *streams = owner_streams(w, h->owner);
	int stream;

	if (!w->params[CTL_PARAM_ACCEPTING]) {
		count(w->counts, edge_refused);
		stream_refuse(w, h, END_RESOURCELIMIT);
		return;
	}
	if (UNLIKELY(!begin_allowed(w, h))) {
		begin_over(w, h);
		return;
	}
	stream = edge_begin(&w->edge, h->owner, streams, h->msg.stream_id, h->msg.command,
			    h->owner & CFX_SET || relay_has_cc(&w->relay, h->circ));
	if (stream == ERR_NOT_NOW) {
		count(w->counts, relay_stream_in_use);
		return;
	}
	if (stream < 0) {
		count(w->counts, edge_refused);
		stream_refuse(w, h, END_RESOURCELIMIT);
		return;
	}
	if (ctl_say(w, CTL_STREAM_RECV, slots_id(&w->edge.slots, (uint32_t)stream), 0, &body,
		    sizeof(body), h->msg.body, h->msg.len) < 0) {
		edge_end(&w->edge, (uint32_t)stream, streams, false, w->now_us);
		edge_free(&w->edge, (uint32_t)stream); /* control never heard of it */
		count(w->counts, edge_refused);
		stream_refuse(w, h, END_RESOURCELIMIT);
	}
}

static void say_up(struct worker *w, struct heard *h)
{
	struct ctl_circ_msg body = {.command = h->msg.command,
				    .early = h->early,
				    .stream_id = h->msg.stream_id,
				    .serial = h->k->serial,
				    .conn = tcp_id(w->tcp, h->k->conn)};

	if (ctl_say(w, CTL_CIRC_RECV, circ_id_of(&w->circs, h->circ), 0, &body, sizeof(body),
		    h->msg.body, h->msg.len) < 0)
		circ_shut(w, h->circ, DESTROY_RESOURCELIMIT, -1);
	else if (h->msg.command == RELAY_RENDEZVOUS1 && !h->k->asked)
		h->k->asked = ASKED_SPLICE; /* what comes behind it waits */
}

static void on_extend(struct worker *w, struct heard *h)
{
	if (!h->early && !w->params[CTL_PARAM_ALLOW_NONEARLY_EXTEND]) {
		count(w->counts, relay_extend_not_early);
		return;
	}
	/* EXTEND is dead (interop H8); one circuit goes on to one next hop. */
	if (h->msg.command == RELAY_EXTEND || h->k->leg[SIDE_N] || h->k->asked || h->k->splice) {
		violate(w, h);
		return;
	}
	h->k->asked = ASKED_EXTEND;
	h->k->serial++;
	say_up(w, h);
}

/* CONNECTED and RESOLVED come from exits, never from clients (interop C19). */
static void on_answer(struct worker *w, struct heard *h)
{
	if (stream_of(w, h) != SLOT_NONE)
		violate(w, h);
	else
		count(w->counts, relay_ignored);
}

/* Of a circuit that is no leg: with one they are taken before. */
static void on_conflux(struct worker *w, struct heard *h)
{
	set_hears(w, h->circ, &h->msg);
}

static void on_violate(struct worker *w, struct heard *h)
{
	violate(w, h);
}

static void (*const acts[])(struct worker *, struct heard *) = {
	[RELAY_ACT_IGNORE] = on_ignore,	    [RELAY_ACT_DROP] = on_drop,
	[RELAY_ACT_DATA] = on_data,	    [RELAY_ACT_END] = on_end,
	[RELAY_ACT_SENDME] = on_sendme,	    [RELAY_ACT_FLOW] = on_flow,
	[RELAY_ACT_TRUNCATE] = on_truncate, [RELAY_ACT_STREAM] = on_stream,
	[RELAY_ACT_EXTEND] = on_extend,	    [RELAY_ACT_UP] = say_up,
	[RELAY_ACT_ANSWER] = on_answer,	    [RELAY_ACT_VIOLATE] = on_violate,
	[RELAY_ACT_PADDING] = on_padding,   [RELAY_ACT_CONFLUX] = on_conflux,
};

void recognised(struct worker *w, uint32_t circ, uint8_t *payload, const uint8_t *tag, bool early)
{
	struct heard h = {
		.owner = circ, .circ = circ, .k = &w->circs.circ[circ], .tag = tag, .early = early};

	if (relay_msg_read(&h.msg, payload, onion_format(&w->onion, circ)) < 0) { /* interop R8 */
		count(w->counts, relay_malformed);
		circ_shut(w, circ, DESTROY_TORPROTOCOL, -1);
	} else if (!h.msg.stream_id && relay_needs_stream(h.msg.command)) {
		count(w->counts, relay_stream_zero);
	} else if ((h.msg.command != RELAY_DATA || data_counts(w, &h)) &&
		   !(UNLIKELY(h.k->tied) && set_hears(w, circ, &h.msg))) {
		acts[relay_act_of(h.msg.command)](w, &h);
	}
}

void recognised_in_order(struct worker *w, uint32_t set, unsigned leg, const struct relay_msg *m)
{
	struct heard h = {.owner = set | CFX_SET, .circ = SLOT_NONE, .leg = leg, .msg = *m};

	acts[relay_act_of(m->command)](w, &h);
}
