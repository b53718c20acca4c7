/* ctl_in.c - what comes down the wall: each message is checked once here, by a table that says its
 * length, and then acted on. Control is treated as if it had been taken over. */
#include "dataplane/worker/worker.h"

#include <stdlib.h>

#define MESSAGES_A_TURN 64

/* A message, copied out. */
struct down {
	struct ctl_head head;
	const uint8_t *body;
	const uint8_t *tail;
	size_t tail_len;
};

#define BODY(type, name, d)                                                                        \
	type name;                                                                                 \
	memcpy(&name, (d)->body, sizeof(name))

static void on_listen(struct worker *w, const struct down *d)
{
	BODY(struct ctl_listen, b, d);
	int rc;

	if (d->head.arg == 1)
		rc = tcp_unlisten(w->tcp, &b.at);
	else
		rc = tcp_listen(w->tcp, &b.at, CONN_LINK, 1024);
	if (rc < 0 && rc != ERR_NOT_NOW)
		count(w->counts, worker_listen_refused);
}

static void dial_refused(struct worker *w, uint64_t cookie, enum ctl_why why)
{
	struct ctl_conn_closed body = {cookie};

	count(w->counts, worker_dial_refused);
	ctl_say(w, CTL_CONN_CLOSED, WID_NONE, why, &body, sizeof(body), NULL, 0);
}

static void on_conn_open(struct worker *w, const struct down *d)
{
	BODY(struct ctl_conn_open, b, d);
	int conn;

	if (!b.cookie || !net_is_ours(w->net, &b.local)) {
		dial_refused(w, b.cookie, CTL_WHY_UNREACHABLE);
		return;
	}
	conn = tcp_open(w->tcp, &b.local, &b.remote, CONN_LINK, w->now_us);
	if (conn < 0) {
		dial_refused(w, b.cookie, CTL_WHY_RESOURCE);
		return;
	}
	conn_row_new(w, (uint32_t)conn, b.cookie);
}

/* The conn of a message, if it is a link that we are not closing. */
static uint32_t link_named(struct worker *w, const struct down *d)
{
	uint32_t conn = tcp_check(w->tcp, d->head.id);

	if (conn == SLOT_NONE || w->conn[conn].shut ||
	    link_of(&w->links, conn)->state == LINK_NONE) {
		count(w->counts, worker_down_unknown);
		return SLOT_NONE;
	}
	return conn;
}

static void on_conn_write(struct worker *w, const struct down *d)
{
	uint32_t conn = link_named(w, d);

	if (conn != SLOT_NONE && link_write(w, conn, d->tail, d->tail_len) < 0)
		link_shut(w, conn, CTL_WHY_RESOURCE);
}

static void dir_copy(struct tls_keys_dir *to, const struct ctl_tls_dir *from)
{
	to->seq = from->seq;
	memcpy(to->secret, from->secret, sizeof(to->secret));
	memcpy(to->iv, from->iv, sizeof(to->iv));
}

static void on_conn_keys(struct worker *w, const struct down *d)
{
	BODY(struct ctl_conn_keys, b, d);
	uint32_t conn = link_named(w, d);
	struct tls_keys keys = {.version = b.version, .suite = b.suite};
	uint8_t *early = NULL;
	size_t at;
	int len;

	dir_copy(&keys.in, &b.in);
	dir_copy(&keys.out, &b.out);
	if (conn != SLOT_NONE && link_of(&w->links, conn)->state == LINK_TLS) {
		len = link_take_early(&w->links, conn, b.in.offset, &early, &at);
		if (len < 0 || tls_start(&w->tls, conn, &keys) < 0) {
			count(w->counts, worker_keys_refused);
			free(early);
			link_shut(w, conn, CTL_WHY_PROTOCOL);
		} else {
			link_secured(&w->links, conn);
			link_replay_records(w, conn, early, at, (size_t)len);
		}
	}
	wipe(&keys, sizeof(keys));
	wipe(&b, sizeof(b));
}

static void on_conn_ready(struct worker *w, const struct down *d)
{
	BODY(struct ctl_conn_ready, b, d);
	uint32_t conn = link_named(w, d);

	if (conn == SLOT_NONE)
		return;
	if (link_ready(&w->links, conn, &b, w->now_us) < 0) {
		count(w->counts, worker_down_state);
		return;
	}
	buckets_link_ready(w, conn);
	tcp_hold(w->tcp, conn, false);
	link_replay_cells(w, conn);
	link_want_read(w, conn);
}

static void on_conn_close(struct worker *w, const struct down *d)
{
	uint32_t conn = link_named(w, d);

	if (conn == SLOT_NONE)
		return;
	if (d->head.arg == CTL_WHY_IDLE && link_of(&w->links, conn)->state == LINK_OPEN)
		link_retire(&w->links, conn, w->now_us);
	else
		link_shut(w, conn, d->head.arg < N_CTL_WHY ? d->head.arg : CTL_WHY_PROTOCOL);
}

static void on_cell_send(struct worker *w, const struct down *d)
{
	uint32_t conn = link_named(w, d);

	if (conn == SLOT_NONE)
		return;
	for (size_t at = 0; at + CELL_LEN <= d->tail_len; at += CELL_LEN) {
		const uint8_t *c = d->tail + at;

		if (link_own_cell(w, conn, be32_get(c), c[4], c + CELL_HEAD) < 0)
			count(w->counts, worker_down_full);
	}
}

static uint32_t circ_named(struct worker *w, const struct down *d, enum circ_state state)
{
	uint32_t circ = circ_check(&w->circs, d->head.id);

	if (circ == SLOT_NONE || w->circs.circ[circ].state != state) {
		count(w->counts, worker_down_unknown);
		return SLOT_NONE;
	}
	return circ;
}

/* Keys in place and the answer sent are one act. */
static void on_circ_add(struct worker *w, const struct down *d)
{
	BODY(struct ctl_circ_add, b, d);
	uint32_t circ = circ_named(w, d, CIRC_PENDING), slot;
	struct relay_terms terms = {.flow = b.flow,
				    .sendme_inc = b.sendme_inc,
				    .tag_len = (uint8_t)onion_tag_len(b.scheme),
				    .legacy = b.legacy != 0};

	if (circ != SLOT_NONE) {
		slot = slot_take(&w->sched);
		if (slot == SLOT_NONE || d->tail_len > CELL_PAYLOAD ||
		    b.keys_len > sizeof(b.keys) ||
		    /* Messages of version 1 have no stream SENDMEs (interop H6, F4). */
		    (b.scheme == ONION_CGO && b.flow != CTL_FLOW_CC) ||
		    relay_start(&w->relay, circ, &terms) < 0 ||
		    onion_start(&w->onion, circ, b.scheme, b.keys, b.keys_len) < 0) {
			count(w->counts, worker_down_state);
			if (slot != SLOT_NONE)
				slot_give(&w->sched, slot);
			circ_shut(w, circ, DESTROY_INTERNAL, -1);
		} else {
			uint8_t *payload = slot_at(&w->sched, slot)->payload;

			memset(payload, 0, CELL_PAYLOAD);
			memcpy(payload, d->tail, d->tail_len);
			memcpy(w->circs.tag[circ], b.tag, CIRC_TAG);
			circ_set_state(&w->circs, circ, CIRC_OPEN);
			circ_queue(w, circ, SIDE_P, b.created, slot);
		}
	}
	wipe(&b, sizeof(b));
}

static void on_circ_extend(struct worker *w, const struct down *d)
{
	BODY(struct ctl_circ_extend, b, d);
	uint32_t circ = circ_named(w, d, CIRC_OPEN);
	uint8_t payload[CELL_PAYLOAD] = {0};
	struct circ *k;

	if (circ == SLOT_NONE)
		return;
	k = &w->circs.circ[circ];
	if (k->asked != ASKED_EXTEND || k->serial != b.serial || k->leg[SIDE_N] ||
	    wid_worker(b.conn) >= w->plane->n_workers || d->tail_len > CELL_PAYLOAD) {
		count(w->counts, worker_extend_stale);
		return;
	}
	k->asked = 0;
	k->extending = 1;
	memcpy(payload, d->tail, d->tail_len);
	leg_make(w, circ, b.conn, CELL_CREATE2, payload);
}

static void on_circ_splice(struct worker *w, const struct down *d)
{
	BODY(struct ctl_circ_splice, b, d);
	uint32_t circ = circ_named(w, d, CIRC_OPEN);

	if (circ == SLOT_NONE)
		return;
	if (w->circs.circ[circ].splice || w->circs.circ[circ].leg[SIDE_N] ||
	    w->circs.circ[circ].tied || d->tail_len > RELAY_BODY ||
	    wid_worker(b.other) >= w->plane->n_workers || b.other == d->head.id) {
		count(w->counts, worker_down_state);
		return;
	}
	splice_make(w, circ, b.other, d->tail, (uint16_t)d->tail_len);
}

static void on_circ_send(struct worker *w, const struct down *d)
{
	BODY(struct ctl_circ_msg, b, d);
	uint32_t circ = circ_named(w, d, CIRC_OPEN);

	if (circ != SLOT_NONE && d->tail_len <= RELAY_BODY)
		circ_say(w, circ, b.command, b.stream_id, d->tail, (uint16_t)d->tail_len);
}

static void on_circ_close(struct worker *w, const struct down *d)
{
	uint32_t circ = circ_check(&w->circs, d->head.id);

	if (circ == SLOT_NONE)
		count(w->counts, worker_down_unknown);
	else
		circ_shut(w, circ, (uint8_t)d->head.arg, -1);
}

static void on_origin_open(struct worker *w, const struct down *d)
{
	BODY(struct ctl_origin_open, b, d);
	uint32_t conn = link_named(w, d), circ = SLOT_NONE;
	struct ctl_origin_opened opened = {b.cookie};
	uint8_t payload[CELL_PAYLOAD] = {0};

	if (conn != SLOT_NONE && d->tail_len <= CELL_PAYLOAD)
		circ = circ_new(&w->circs, CIRC_ORIGIN, conn);
	if (circ == SLOT_NONE) {
		ctl_say(w, CTL_ORIGIN_OPENED, WID_NONE, DESTROY_CONNECTFAILED, &opened,
			sizeof(opened), NULL, 0);
		return;
	}
	memcpy(payload, d->tail, d->tail_len);
	if (ctl_say(w, CTL_ORIGIN_OPENED, circ_id_of(&w->circs, circ), 0, &opened, sizeof(opened),
		    NULL, 0) < 0)
		circ_shut(w, circ, DESTROY_RESOURCELIMIT, -1);
	else
		leg_make(w, circ, d->head.id, b.command, payload);
	w->conn[conn].own_use_us = w->now_us;
}

static void on_origin_send(struct worker *w, const struct down *d)
{
	uint32_t circ = circ_named(w, d, CIRC_ORIGIN), slot;

	if (circ == SLOT_NONE || d->tail_len != CELL_PAYLOAD || !w->circs.circ[circ].leg[SIDE_N])
		return;
	slot = slot_take(&w->sched);
	if (slot == SLOT_NONE) {
		circ_shut(w, circ, DESTROY_RESOURCELIMIT, -1);
		return;
	}
	memcpy(slot_at(&w->sched, slot)->payload, d->tail, CELL_PAYLOAD);
	if (d->head.arg == CELL_RELAY_EARLY) /* of more than one hop */
		link_used(&w->links, w->circs.circ[circ].conn, LINK_USED_CIRCS);
	w->conn[w->circs.circ[circ].conn].own_use_us = w->now_us;
	circ_queue(w, circ, SIDE_N, (uint8_t)d->head.arg, slot);
}

static uint32_t stream_named(struct worker *w, const struct down *d)
{
	uint32_t stream = edge_check(&w->edge, d->head.id);

	if (stream == SLOT_NONE || w->edge.stream[stream].state == STREAM_ENDED) {
		count(w->counts, worker_down_unknown);
		return SLOT_NONE;
	}
	return stream;
}

static void stream_dial(struct worker *w, uint32_t stream, const struct ctl_stream_open *b)
{
	int conn = ERR_NOT_NOW;

	if (net_is_ours(w->net, &b->local) && !net_is_ours(w->net, &b->remote))
		conn = tcp_open(w->tcp, &b->local, &b->remote, CONN_EXIT, w->now_us);
	if (conn < 0) {
		count(w->counts, worker_dial_refused);
		stream_end(w, stream, END_RESOURCELIMIT, false);
		return;
	}
	conn_row_new(w, (uint32_t)conn, 0);
	buckets_conn_start(w, (uint32_t)conn);
	edge_connecting(&w->edge, stream, (uint32_t)conn, b->ttl);
}

/* Control is the far end: what came ahead goes to it, and it may write a pipe's worth. */
static void stream_to_control(struct worker *w, uint32_t stream)
{
	struct stream *s = &w->edge.stream[stream];
	wid id = slots_id(&w->edge.slots, stream);
	int rc;

	edge_dir(&w->edge, stream);
	if (circ_say(w, s->circ, RELAY_CONNECTED, s->id, NULL, 0) < 0)
		return;
	rc = ctl_say(w, CTL_STREAM_CREDIT, id, EDGE_DIR_MAX, NULL, 0, NULL, 0);
	for (uint32_t at = 0, n; rc == 0 && at < s->in.len; at += n) {
		n = MIN(s->in.len - at, (uint32_t)CTL_CHUNK);
		rc = ctl_say(w, CTL_STREAM_READ, id, 0, NULL, 0, s->in.p + s->in.at + at, n);
	}
	if (rc < 0) {
		stream_end(w, stream, END_RESOURCELIMIT, false);
		return;
	}
	w->edge.mem -= s->in.cap;
	pipe_free(&s->in);
	stream_say_flow(w, stream, false, circ_say);
}

static void on_stream_open(struct worker *w, const struct down *d)
{
	BODY(struct ctl_stream_open, b, d);
	uint32_t stream = stream_named(w, d);

	if (stream == SLOT_NONE)
		return;
	if (w->edge.stream[stream].state != STREAM_ASKED)
		count(w->counts, worker_down_state);
	else if (b.kind == CTL_STREAM_DIR)
		stream_to_control(w, stream);
	else
		stream_dial(w, stream, &b);
}

static void on_stream_write(struct worker *w, const struct down *d)
{
	uint32_t stream = stream_named(w, d);

	if (stream == SLOT_NONE || w->edge.stream[stream].state != STREAM_DIR)
		return;
	if (edge_write(&w->edge, stream, d->tail, (uint32_t)d->tail_len) < 0)
		stream_end(w, stream, END_INTERNAL, false); /* beyond its credit */
	else
		edge_ready(&w->edge, stream);
}

/* RESOLVED and END carry control's own body. An END for a directory stream waits for its bytes. */
static void on_stream_close(struct worker *w, const struct down *d)
{
	uint32_t stream = stream_named(w, d), circ;
	struct stream *s;
	uint16_t id;

	if (stream == SLOT_NONE || d->tail_len > RELAY_BODY || !d->tail_len)
		return;
	s = &w->edge.stream[stream];
	if (s->state == STREAM_DIR && s->out.len) {
		s->far_end = d->tail[0] ? d->tail[0] : END_MISC;
		edge_ready(&w->edge, stream);
		return;
	}
	circ = s->circ;
	id = s->id;
	stream_end(w, stream, 0, true);
	circ_say(w, circ, (uint8_t)d->head.arg, id, d->tail, (uint16_t)d->tail_len);
}

static void on_param(struct worker *w, const struct down *d)
{
	BODY(struct ctl_param, b, d);
	int64_t before;

	if (b.param >= N_CTL_PARAMS || b.value < 0) {
		count(w->counts, worker_down_state);
		return;
	}
	before = w->params[b.param];
	w->params[b.param] = MIN(b.value, PARAM_MAX);
	if (before != b.value && b.param >= CTL_PARAM_RATE && b.param <= CTL_PARAM_COUNT_PRIVATE)
		buckets_changed(w);
	if (b.param == CTL_PARAM_MAX_MEM)
		memory_bound(w);
	if (b.param == CTL_PARAM_ACCEPTING)
		tcp_accepting(w->tcp, b.value != 0);
	if (b.param == CTL_PARAM_LOG_LEVEL && b.value < LOG_LEVELS)
		log_set_level((enum log_level)b.value);
}

/* DESTROY on every circuit; links_stop ends each link behind its last, and the loop ends when all
 * is said. */
void worker_stop(struct worker *w)
{
	if (w->stopping)
		return;
	w->stopping = true;
	w->stop_us = w->now_us + STOP_US;
	w->params[CTL_PARAM_ACCEPTING] = 0;
	tcp_accepting(w->tcp, false);
	for (uint32_t i = 0; i < w->circs.circ_slots.n; i++)
		if (slots_live(&w->circs.circ_slots, i))
			circ_shut(w, i, DESTROY_REQUESTED, -1);
}

static void on_shutdown(struct worker *w, const struct down *d)
{
	worker_stop(w);
}

static void on_circ_tag(struct worker *w, const struct down *d)
{
	uint32_t circ = circ_named(w, d, CIRC_OPEN);

	if (circ != SLOT_NONE)
		memcpy(w->circs.tag[circ], d->body, CIRC_TAG);
}

static void on_replay(struct worker *w, const struct down *d)
{
	replay_begin(w);
}

_Static_assert((int)CTL_DENY_MARKED == (int)TCP_DENIED_MARKED &&
		       (int)CTL_DENY_CROWDED == (int)TCP_DENIED_CROWDED &&
		       N_CTL_DENY <= DENIED_WHYS,
	       "a reason of control's is one of the table's");

static void on_deny(struct worker *w, const struct down *d)
{
	uint32_t now_s = (uint32_t)(w->now_us / 1000000);
	BODY(struct ctl_addr_deny, b, d);

	if (d->head.arg >= N_CTL_DENY || !addr_ip_len(&b.at)) {
		count(w->counts, worker_down_state);
		return;
	}
	b.seconds = MIN(b.seconds, DENY_MAX_S);
	if (denied_set(&w->denied, &b.at, d->head.arg, b.seconds ? now_s + (uint32_t)b.seconds : 0,
		       now_s) < 0)
		count(w->counts, worker_deny_lost);
}

static const struct down_row {
	uint16_t body_len;
	bool tail; /* bytes may follow */
	void (*act)(struct worker *, const struct down *);
} rows[N_CTL_DOWN] = {
	[CTL_LISTEN_ADD] = {sizeof(struct ctl_listen), false, on_listen},
	[CTL_CONN_OPEN] = {sizeof(struct ctl_conn_open), false, on_conn_open},
	[CTL_CONN_WRITE] = {0, true, on_conn_write},
	[CTL_CONN_KEYS] = {sizeof(struct ctl_conn_keys), false, on_conn_keys},
	[CTL_CONN_READY] = {sizeof(struct ctl_conn_ready), false, on_conn_ready},
	[CTL_CONN_CLOSE] = {0, false, on_conn_close},
	[CTL_CELL_SEND] = {0, true, on_cell_send},
	[CTL_CIRC_ADD] = {sizeof(struct ctl_circ_add), true, on_circ_add},
	[CTL_CIRC_EXTEND] = {sizeof(struct ctl_circ_extend), true, on_circ_extend},
	[CTL_CIRC_SPLICE] = {sizeof(struct ctl_circ_splice), true, on_circ_splice},
	[CTL_CIRC_SEND] = {sizeof(struct ctl_circ_msg), true, on_circ_send},
	[CTL_CIRC_CLOSE] = {0, false, on_circ_close},
	[CTL_CIRC_TAG] = {sizeof(struct ctl_circ_tag), false, on_circ_tag},
	[CTL_ORIGIN_OPEN] = {sizeof(struct ctl_origin_open), true, on_origin_open},
	[CTL_ORIGIN_SEND] = {0, true, on_origin_send},
	[CTL_STREAM_OPEN] = {sizeof(struct ctl_stream_open), false, on_stream_open},
	[CTL_STREAM_WRITE] = {0, true, on_stream_write},
	[CTL_STREAM_CLOSE] = {0, true, on_stream_close},
	[CTL_ADDR_DENY] = {sizeof(struct ctl_addr_deny), false, on_deny},
	[CTL_PARAM_SET] = {sizeof(struct ctl_param), false, on_param},
	[CTL_SHUTDOWN] = {0, false, on_shutdown},
	[CTL_REPLAY] = {0, false, on_replay},
};

/* A control that has attached since the last look: what the one before it was deciding is void. */
static void look_at_epoch(struct worker *w)
{
	uint32_t epoch = __atomic_load_n(&w->plane->ctl->epoch, __ATOMIC_ACQUIRE);
	bool again = w->epoch != 0;

	if (epoch == w->epoch)
		return;
	w->epoch = epoch;
	w->up_stuck_us = w->now_us;
	if (again)
		replay_forget(w);
}

static void message(struct worker *w, const uint8_t *bytes, size_t len)
{
	const struct down_row *row;
	struct down d;

	if (len < sizeof(d.head)) {
		count(w->counts, worker_down_malformed);
		return;
	}
	memcpy(&d.head, bytes, sizeof(d.head));
	row = d.head.type < N_CTL_DOWN ? &rows[d.head.type] : &rows[CTL_NONE];
	d.body = bytes + sizeof(d.head);
	d.tail = d.body + row->body_len;
	if (!row->act || len < sizeof(d.head) + row->body_len ||
	    (!row->tail && len != sizeof(d.head) + row->body_len)) {
		count(w->counts, worker_down_malformed);
		return;
	}
	d.tail_len = len - sizeof(d.head) - row->body_len;
	if (d.head.epoch != w->epoch)
		look_at_epoch(w); /* it may have attached since this turn began */
	if (d.head.epoch != w->epoch)
		count(w->counts, worker_down_epoch);
	else
		row->act(w, &d);
}

/* Every message down may carry a secret: its slots are wiped as they are read. */
void ctl_in(struct worker *w)
{
	int len;

	look_at_epoch(w);
	for (int i = 0; i < MESSAGES_A_TURN; i++) {
		len = ring_recv(&w->down, w->message, true);
		if (!len)
			return;
		w->worked = true;
		if (len < 0)
			count(w->counts, worker_down_malformed);
		else
			message(w, w->message, (size_t)len);
		wipe(w->message, len < 0 ? RING_MSG_MAX : (size_t)len);
	}
}
