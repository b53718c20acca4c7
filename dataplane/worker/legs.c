/* legs.c - between a circuit and its legs. Each step has a sender and a receiver; when both live on
 * this worker the receiver is called at once, else the mesh carries the message. */
#include "dataplane/worker/worker.h"

static bool here(const struct worker *w, wid id)
{
	return wid_worker(id) == w->index;
}

/* ---- extending: the next conn's worker draws the circuit id and sends CREATE2 ---- */
void leg_make(struct worker *w, uint32_t circ, wid conn, uint8_t command, const uint8_t *payload)
{
	wid id = circ_id_of(&w->circs, circ);

	if (here(w, conn))
		on_leg_make(w, id, conn, command, payload);
	else
		mesh_send(w, MESH_LEG_MAKE, conn, id, command, payload, CELL_PAYLOAD);
}

static void leg_refuse(struct worker *w, wid circ, uint8_t reason)
{
	count(w->counts, circ_extend_refused);
	if (here(w, circ))
		on_leg_gone(w, circ, WID_NONE, reason);
	else
		mesh_send(w, MESH_LEG_GONE, circ, WID_NONE, reason, NULL, 0);
}

void on_leg_make(struct worker *w, wid circ, wid conn_id, uint8_t command, const uint8_t *payload)
{
	uint32_t conn = tcp_check(w->tcp, conn_id), leg, slot;
	struct link *k;

	if (conn == SLOT_NONE || w->conn[conn].shut || tls_worn(&w->tls, conn) ||
	    link_of(&w->links, conn)->state != LINK_OPEN) {
		leg_refuse(w, circ, DESTROY_CHANNEL_CLOSED);
		return;
	}
	k = link_of(&w->links, conn);
	leg = leg_draw(&w->circs, conn, k->initiator, circ, SIDE_N, &w->rng);
	slot = leg == SLOT_NONE ? SLOT_NONE : slot_take(&w->sched);
	if (slot == SLOT_NONE || sched_leg_start(&w->sched, leg, conn) < 0) {
		if (slot != SLOT_NONE)
			slot_give(&w->sched, slot);
		if (leg != SLOT_NONE)
			leg_free(&w->circs, leg);
		leg_refuse(w, circ, DESTROY_RESOURCELIMIT);
		return;
	}
	k->n_legs++;
	if (here(w, circ))
		on_leg_made(w, circ, leg_id_of(&w->circs, leg));
	else
		mesh_send(w, MESH_LEG_MADE, circ, leg_id_of(&w->circs, leg), 0, NULL, 0);
	memcpy(slot_at(&w->sched, slot)->payload, payload, CELL_PAYLOAD);
	leg_send(w, leg_id_of(&w->circs, leg), command, slot);
}

void on_leg_made(struct worker *w, wid id, wid leg)
{
	uint32_t circ = circ_check(&w->circs, id);
	struct circ *k = circ == SLOT_NONE ? NULL : &w->circs.circ[circ];

	if (!k || (k->state != CIRC_OPEN && k->state != CIRC_ORIGIN) || k->leg[SIDE_N] ||
	    (k->state == CIRC_OPEN && !k->extending)) {
		leg_end(w, leg, DESTROY_DESTROYED); /* truncated or closed in the meantime */
		return;
	}
	k->leg[SIDE_N] = leg;
}

/* ---- CREATED2 comes back ---- */
void leg_created(struct worker *w, uint32_t leg, const struct cell *c)
{
	const struct leg *k = &w->circs.leg[leg];

	if (k->side != SIDE_N) { /* interop C5: from the client's side it is a violation */
		count(w->counts, circ_created_wrong);
		wid circ = k->circ;
		if (here(w, circ) && circ_check(&w->circs, circ) != SLOT_NONE)
			circ_shut(w, circ_check(&w->circs, circ), DESTROY_TORPROTOCOL, -1);
		return;
	}
	if (here(w, k->circ))
		on_created(w, k->circ, leg_id_of(&w->circs, leg), c->command, c->payload);
	else
		mesh_send(w, MESH_CREATED, k->circ, leg_id_of(&w->circs, leg), c->command,
			  c->payload, CELL_PAYLOAD);
}

/* Tells control how an extend went. */
static void extend_done(struct worker *w, uint32_t circ, bool ok, uint8_t reason)
{
	struct ctl_circ_done body = {
		.serial = w->circs.circ[circ].serial, .ok = ok, .reason = reason};

	ctl_say(w, CTL_CIRC_DONE, circ_id_of(&w->circs, circ), 0, &body, sizeof(body), NULL, 0);
}

void on_created(struct worker *w, wid id, wid leg, uint8_t command, const uint8_t *payload)
{
	uint32_t circ = circ_check(&w->circs, id);
	struct circ *k = circ == SLOT_NONE ? NULL : &w->circs.circ[circ];
	uint16_t len = be16_get(payload);

	if (!k || k->leg[SIDE_N] != leg) { /* truncated while this was on its way */
		count(w->counts, circ_unknown);
		return;
	}
	if (k->state == CIRC_ORIGIN) {
		if (ctl_say(w, CTL_ORIGIN_RECV, id, command, NULL, 0, payload, CELL_PAYLOAD) < 0)
			circ_shut(w, circ, DESTROY_RESOURCELIMIT, -1);
		return;
	}
	/* An answer longer than EXTENDED2 holds, which depends on our layer, closes the circuit
	 * (interop H1, C5). */
	if (k->state != CIRC_OPEN || !k->extending || command != CELL_CREATED2 ||
	    len + 2 > relay_body_max(onion_format(&w->onion, circ), RELAY_EXTENDED2)) {
		count(w->counts, circ_created_wrong);
		circ_shut(w, circ, DESTROY_TORPROTOCOL, -1);
		return;
	}
	k->extending = 0;
	extend_done(w, circ, true, 0);
	circ_say(w, circ, RELAY_EXTENDED2, 0, payload, (uint16_t)(len + 2));
}

/* ---- cells ---- */
bool leg_full(struct worker *w, uint32_t leg)
{
	bool out = w->circs.leg[leg].side == SIDE_N;

	if (LIKELY(w->sched.leg[leg].n <
		   w->params[out ? CTL_PARAM_CELL_QUEUE_MAX_OUT : CTL_PARAM_CELL_QUEUE_MAX]))
		return false;
	count(w->counts, circ_queue_full);
	if (out)
		count(w->counts, circ_queue_full_out);
	return true;
}

void leg_send(struct worker *w, wid id, uint8_t command, uint32_t slot)
{
	struct slot *cell = slot_at(&w->sched, slot);
	uint32_t leg;

	if (!here(w, id)) {
		mesh_send(w, MESH_LEG_CELL, id, WID_NONE, command, cell->payload, CELL_PAYLOAD);
		slot_give(&w->sched, slot);
		return;
	}
	leg = leg_check(&w->circs, id);
	if (leg == SLOT_NONE || !w->circs.leg[leg].circ) {
		count(w->counts, circ_unknown);
		slot_give(&w->sched, slot);
		return;
	}
	if (UNLIKELY(leg_full(w, leg))) { /* interop C13 */
		slot_give(&w->sched, slot);
		leg_kill(w, leg, LEG_OVERRAN);
		return;
	}
	cell_head_put(cell->head, w->circs.leg[leg].circ_id, command);
	sched_add(&w->sched, leg, slot, w->now_us);
}

/* ---- endings ---- */
void leg_end(struct worker *w, wid leg, uint8_t reason)
{
	if (here(w, leg))
		on_leg_end(w, leg, reason);
	else
		mesh_send(w, MESH_LEG_END, leg, WID_NONE, reason, NULL, 0);
}

void on_leg_end(struct worker *w, wid id, uint8_t reason)
{
	uint32_t leg = leg_check(&w->circs, id);

	if (leg != SLOT_NONE && w->circs.leg[leg].circ)
		leg_destroy(w, leg, reason);
}

void on_leg_gone(struct worker *w, wid id, wid leg, uint8_t why)
{
	uint32_t circ = circ_check(&w->circs, id);
	uint8_t reason = why == LEG_OVERRAN ? DESTROY_RESOURCELIMIT : why;
	struct circ *k;
	int side;

	if (circ == SLOT_NONE)
		return;
	k = &w->circs.circ[circ];
	/* Not ours any more: the circuit was truncated while this was on its way. */
	if (leg && leg != k->leg[SIDE_P] && leg != k->leg[SIDE_N])
		return;
	if (!leg && !k->extending && k->state != CIRC_ORIGIN)
		return;
	side = leg && leg == k->leg[SIDE_P] ? SIDE_P : SIDE_N;
	if (k->extending && side == SIDE_N)
		extend_done(w, circ, false, reason);
	/* What a client pushes onward faster than it is taken is held against it (interop X5). */
	if (side == SIDE_N && k->state == CIRC_OPEN)
		reason = why;
	circ_shut(w, circ, reason, side);
}

/* ---- rendezvous: the service's circuit knows its partner before the client hears of it ---- */
void splice_make(struct worker *w, uint32_t circ, wid other, const uint8_t *body, uint16_t len)
{
	wid id = circ_id_of(&w->circs, circ);

	w->circs.circ[circ].splice = other;
	if (here(w, other))
		on_splice(w, other, id, body, len);
	else
		mesh_send(w, MESH_SPLICE, other, id, 0, body, len);
	held_cross(w, circ);
}

void on_splice(struct worker *w, wid id, wid from, const uint8_t *body, uint16_t len)
{
	uint32_t circ = circ_check(&w->circs, id);
	struct circ *k = circ == SLOT_NONE ? NULL : &w->circs.circ[circ];

	if (!k || k->state != CIRC_OPEN || k->splice || k->leg[SIDE_N] || k->tied ||
	    len > relay_body_max(onion_format(&w->onion, circ), RELAY_RENDEZVOUS2)) {
		splice_end(w, from, id, DESTROY_TORPROTOCOL);
		return;
	}
	k->splice = from;
	circ_say(w, circ, RELAY_RENDEZVOUS2, 0, body, len);
}

void splice_end(struct worker *w, wid circ, wid from, uint8_t reason)
{
	if (here(w, circ))
		on_splice_end(w, circ, from, reason);
	else
		mesh_send(w, MESH_SPLICE_END, circ, from, reason, NULL, 0);
}

void on_splice_end(struct worker *w, wid id, wid from, uint8_t reason)
{
	uint32_t circ = circ_check(&w->circs, id);

	if (circ == SLOT_NONE || w->circs.circ[circ].splice != from)
		return;			       /* it took another partner, or none */
	w->circs.circ[circ].splice = WID_NONE; /* the other end needs no second word */
	circ_shut(w, circ, reason, -1);
}
