/* links_in.c - the way up of a link: records are opened, cells are cut, each goes where its command
 * says. Records lie in TCP's buffers and are given back once their cells are through the onion. */
#include "dataplane/worker/worker.h"

#include <stdlib.h>

#define READ_AHEAD 2 /* links whose keys are under way while a record is opened */

/* While control handshakes: the record goes up as it is, and is kept for the hand-over. */
static void record_up(struct worker *w, uint32_t conn, const uint8_t *record, uint32_t len)
{
	struct ctl_conn_read body = {tcp_rx_offset(w->tcp, conn)};

	if (link_keep(&w->links, conn, record, len) < 0) {
		count(w->counts, worker_handshake_long);
		link_shut(w, conn, CTL_WHY_PROTOCOL);
	} else if (ctl_say(w, CTL_CONN_READ, tcp_id(w->tcp, conn), 0, &body, sizeof(body), record,
			   len) < 0) {
		count(w->counts, worker_conn_refused);
		link_shut(w, conn, CTL_WHY_RESOURCE);
	}
}

/* Until CONN_READY every cell is control's, byte for byte. */
static void cell_up(struct worker *w, uint32_t conn, const struct cell *c)
{
	size_t len = (size_t)(c->payload - c->start) + c->len;

	if (ctl_say(w, CTL_CELL_RECV, tcp_id(w->tcp, conn), 0, NULL, 0, c->start, len) == 0)
		return;
	count(w->counts, worker_conn_refused);
	link_shut(w, conn, CTL_WHY_RESOURCE);
}

/* A client from an address that control has marked (interop X1). */
static bool create_denied(struct worker *w, uint32_t conn)
{
	struct addr local, remote;

	if (link_of(&w->links, conn)->peer != CTL_PEER_CLIENT)
		return false;
	tcp_addrs(w->tcp, conn, &local, &remote);
	return denied_whys(&w->denied, &remote, (uint32_t)(w->now_us / 1000000)) &
	       1u << CTL_DENY_CIRCUITS;
}

/* CREATE, CREATE_FAST, CREATE2: the circuit is reserved here, control answers (interop C9). */
static void on_create(struct worker *w, uint32_t conn, const struct cell *c)
{
	struct link *k = link_of(&w->links, conn);
	struct ctl_circ_create body = {tcp_id(w->tcp, conn), c->command, {0}};
	uint32_t leg = leg_find(&w->circs, conn, c->circ_id), circ;
	bool ours = (c->circ_id >> 31) == k->initiator;

	if (!c->circ_id || leg != SLOT_NONE) {
		count(w->counts, circ_id_in_use);
		return;
	}
	leg = leg_new(&w->circs, conn, c->circ_id, WID_NONE, SIDE_P);
	if (leg == SLOT_NONE)
		return; /* out of legs: nothing to remember a DESTROY by */
	if (sched_leg_start(&w->sched, leg, conn) < 0) {
		count(w->counts, circ_create_refused);
		leg_free(&w->circs, leg);
		return;
	}
	k->n_legs++;
	if (create_denied(w, conn)) {
		count(w->counts, circ_create_denied);
		leg_destroy(w, leg, DESTROY_RESOURCELIMIT);
		return;
	}
	if (ours) {
		count(w->counts, circ_id_half);
		leg_destroy(w, leg, DESTROY_TORPROTOCOL);
		return;
	}
	circ = w->circs.conn_pending[conn] < CIRC_PENDING_MAX && w->params[CTL_PARAM_ACCEPTING]
		       ? circ_new(&w->circs, CIRC_PENDING, conn)
		       : SLOT_NONE;
	if (circ == SLOT_NONE) {
		count(w->counts, circ_create_refused);
		leg_destroy(w, leg, DESTROY_RESOURCELIMIT);
		return;
	}
	w->begins[circ].at_s = 0;
	w->circs.leg[leg].circ = circ_id_of(&w->circs, circ);
	w->circs.circ[circ].leg[SIDE_P] = leg_id_of(&w->circs, leg);
	if (ctl_say(w, CTL_CIRC_CREATE, circ_id_of(&w->circs, circ), 0, &body, sizeof(body),
		    c->payload, c->len) < 0) {
		count(w->counts, circ_create_refused);
		leg_destroy(w, leg, DESTROY_RESOURCELIMIT);
		circ_free(&w->circs, circ); /* control never heard of it */
	}
}

/* leg: what was found before the cells in front of it were looked at. */
static void on_relay(struct worker *w, uint32_t conn, const struct cell *c, uint32_t leg)
{
	if (UNLIKELY(!leg_is(&w->circs, leg, conn, c->circ_id)))
		leg = leg_find(&w->circs, conn, c->circ_id);
	w->figures->cells_in++;
	if (leg == SLOT_NONE || !w->circs.leg[leg].circ) {
		count(w->counts, circ_unknown); /* never DESTROY (interop C8) */
		return;
	}
	cell_walk(w, w->circs.leg[leg].circ, w->circs.leg[leg].side, leg, c->command, c->payload);
}

static void on_created_cell(struct worker *w, uint32_t conn, const struct cell *c)
{
	uint32_t leg = leg_find(&w->circs, conn, c->circ_id);

	if (leg == SLOT_NONE || !w->circs.leg[leg].circ)
		count(w->counts, circ_unknown);
	else
		leg_created(w, leg, c);
}

static void on_destroy(struct worker *w, uint32_t conn, const struct cell *c)
{
	uint32_t leg = leg_find(&w->circs, conn, c->circ_id);

	if (leg == SLOT_NONE || !w->circs.leg[leg].circ) {
		count(w->counts, circ_unknown);
		return;
	}
	count(w->counts, circ_destroy_in);
	leg_gone(w, leg, DESTROY_DESTROYED); /* the reason is not passed on (interop C6) */
}

static void on_negotiate(struct worker *w, uint32_t conn, const struct cell *c)
{
	link_negotiate(&w->links, conn, c, w->now_us);
}

static void on_violation(struct worker *w, uint32_t conn, const struct cell *c)
{
	count(w->counts, link_out_of_season);
	link_shut(w, conn, CTL_WHY_PROTOCOL);
}

static void (*const acts[])(struct worker *, uint32_t conn, const struct cell *) = {
	[LINK_CREATE] = on_create,     [LINK_CREATED] = on_created_cell,
	[LINK_DESTROY] = on_destroy,   [LINK_NEGOTIATE] = on_negotiate,
	[LINK_VIOLATE] = on_violation,
};

/* The cells of open links that have come, looked up side by side. What is no relay cell waits for
 * those before it to be through. */
static void came_in(struct worker *w)
{
	struct came *k = &w->came;
	uint32_t circ_id[LEGS_ASKED], leg[LEGS_ASKED];

	if (!k->n)
		return;
	for (unsigned i = 0; i < k->n; i++)
		circ_id[i] = k->cell[i].circ_id;
	legs_find(&w->circs, k->conn, circ_id, k->n, leg);
	for (unsigned i = 0; i < k->n; i++) {
		const struct cell *c = &k->cell[i];
		enum link_act act = link_act_of(c->command);

		if (UNLIKELY(w->conn[k->conn[i]].shut))
			continue;
		if (LIKELY(act == LINK_RELAY)) {
			on_relay(w, k->conn[i], c, leg[i]);
			continue;
		}
		cells_flush(w);
		acts[act](w, k->conn[i], c);
	}
	k->n = 0;
}

/* All the way: afterwards nothing points into records. */
static void came_flush(struct worker *w)
{
	came_in(w);
	cells_flush(w);
}

/* Plaintext of an open link: its cells join those that have come. */
static void plain_open(struct worker *w, uint32_t conn, uint8_t *data, size_t len)
{
	struct came *k = &w->came;
	int n = link_in(&w->links, conn, data, len, &k->cell[k->n]);

	if (n < 0) {
		count(w->counts, link_broken);
		link_shut(w, conn, CTL_WHY_PROTOCOL);
		return;
	}
	link_count_in(&w->links, link_of(&w->links, conn), (unsigned)n);
	while (n--)
		k->conn[k->n++] = conn;
	if (k->n >= BATCH)
		came_in(w);
}

/* The same before CONN_READY: control's. */
static void plain_early(struct worker *w, uint32_t conn, uint8_t *data, size_t len)
{
	struct cell cells[LINK_CELLS_MAX];
	int n = link_in(&w->links, conn, data, len, cells);

	if (n < 0) {
		count(w->counts, link_broken);
		link_shut(w, conn, CTL_WHY_PROTOCOL);
		return;
	}
	for (int i = 0; i < n && !w->conn[conn].shut; i++)
		cell_up(w, conn, &cells[i]);
	if (link_of(&w->links, conn)->state == LINK_HELD)
		tcp_hold(w->tcp, conn, true);
}

static void plain_in(struct worker *w, uint32_t conn, uint8_t *data, size_t len)
{
	link_heard(&w->links, conn, w->now_us);
	if (link_of(&w->links, conn)->state == LINK_OPEN)
		plain_open(w, conn, data, len);
	else
		plain_early(w, conn, data, len);
}

/* One record through TLS and on. */
static void record_in(struct worker *w, uint32_t conn, uint8_t *record, size_t len)
{
	struct tls_got got = tls_in(&w->tls, conn, record, len);

	if (tls_pending(&w->tls, conn))
		link_flush_small(w, conn);
	switch (got.what) {
	case TLS_DATA:
		plain_in(w, conn, got.data, got.len);
		break;
	case TLS_NONE:
		break;
	case TLS_CLOSE:
		link_shut(w, conn, CTL_WHY_DONE);
		break;
	case TLS_ERROR:
		link_shut(w, conn, CTL_WHY_PROTOCOL);
		break;
	}
}

void link_replay_records(struct worker *w, uint32_t conn, uint8_t *data, size_t at, size_t len)
{
	size_t end = at + len;

	while (at + 5 <= end && !w->conn[conn].shut) {
		size_t size = 5u + be16_get(data + at + 3);
		uint8_t *copy;

		if (size > end - at)
			break;
		/* With room around it, as TCP's own buffers have, for what the ciphers overwrite.
		 */
		copy = malloc(size + 128);
		if (!copy)
			break;
		memcpy(copy + 64, data + at, size);
		record_in(w, conn, copy + 64, size);
		came_flush(w);
		free(copy);
		at += size;
	}
	free(data);
}

void link_replay_cells(struct worker *w, uint32_t conn)
{
	uint8_t *data;
	size_t len = link_take_held(&w->links, conn, &data), n;

	for (size_t at = 0; at < len && !w->conn[conn].shut; at += n) {
		n = MIN(len - at, (size_t)TLS_PAYLOAD_MAX);
		plain_in(w, conn, data + at, n);
		came_flush(w); /* cells lie in data and in the link's stash */
	}
	free(data);
}

/* The next record of one link, if it may be read now; false when there is none. Its buffer is to be
 * taken by the caller after the flush. */
static bool link_read_one(struct worker *w, uint32_t conn, size_t *bytes)
{
	struct link *k = link_of(&w->links, conn);
	uint8_t *record;
	uint32_t len;

	if (w->conn[conn].shut || k->state == LINK_HELD || k->state == LINK_NONE ||
	    !tcp_peek(w->tcp, conn, &record, &len))
		return false;
	switch (link_may(w, conn, WAY_IN)) {
	case LEAVE_NOW:
		break;
	case LEAVE_LATER:
		link_want_read(w, conn);
		return false;
	case LEAVE_TIMER:
		return false;
	}
	w->worked = true;
	*bytes += len;
	link_moved(w, conn, WAY_IN, len);
	if (k->state == LINK_TLS)
		record_up(w, conn, record, len);
	else
		record_in(w, conn, record, len);
	return true;
}

/* Asks for what opening a record of this link will touch; returns the link behind it. */
static uint32_t fetch_ahead(const struct worker *w, uint32_t conn)
{
	uint8_t *record;
	uint32_t len;

	if (conn == SLOT_NONE)
		return SLOT_NONE;
	__builtin_prefetch(&w->links.col[conn]);
	if (tcp_peek(w->tcp, conn, &record, &len))
		tls_prefetch(&w->tls, conn, true, len);
	return w->conn[conn].next_read;
}

static uint32_t pop_reading(struct worker *w)
{
	uint32_t conn = w->read_head;

	w->read_head = w->conn[conn].next_read;
	if (w->read_head == SLOT_NONE)
		w->read_tail = SLOT_NONE;
	w->conn[conn].reading = 0;
	return conn;
}

static bool may_read(struct worker *w, size_t bytes)
{
	if (w->read_head == SLOT_NONE || bytes >= TURN_BYTES)
		return false;
	if (w->sched.n_free < TURN_SLOTS) {
		count(w->counts, worker_slots_short);
		return false;
	}
	return mesh_open(w) && links_turn(w);
}

/* A pass takes one record of each of up to BATCH links, so that their cells share the batches; then
 * the buffers go back. */
static unsigned read_pass(struct worker *w, size_t *bytes)
{
	uint32_t open[BATCH], n = 0, tries = 0, ahead = w->read_head;

	for (unsigned i = 0; i < READ_AHEAD; i++)
		ahead = fetch_ahead(w, ahead);
	while (n < BATCH && tries++ < BATCH && may_read(w, *bytes)) {
		uint32_t conn = pop_reading(w);

		ahead = fetch_ahead(w, ahead);
		if (link_read_one(w, conn, bytes))
			open[n++] = conn;
	}
	came_flush(w);
	for (uint32_t i = 0; i < n; i++) {
		tcp_take(w->tcp, open[i], TCP_UNIT_MAX);
		link_want_read(w, open[i]);
	}
	return n;
}

void links_read(struct worker *w)
{
	size_t bytes = 0;

	while (read_pass(w, &bytes))
		;
}
