/* cells.c - relay cells through the onion, in batches across circuits, and on to their next queue.
 */
#include "dataplane/worker/worker.h"

static void walk_add(struct worker *w, struct walk *k, wid circ, uint32_t index, uint8_t command,
		     const uint8_t *payload)
{
	uint32_t slot = slot_take(&w->sched);

	if (slot ==
	    SLOT_NONE) { /* TURN_SLOTS keeps this away; a lost cell would break the stream */
		count(w->counts, worker_slots_out);
		circ_shut(w, index, DESTROY_RESOURCELIMIT, -1);
		return;
	}
	k->item[k->n] = (struct onion_item) {.src = payload,
					     .dst = slot_at(&w->sched, slot)->payload,
					     .circ = index,
					     .command = command};
	k->circ[k->n] = circ;
	k->slot[k->n] = slot;
	k->n++;
	if (k->n == BATCH)
		cells_flush(w);
}

/* A circuit that control began: its cells go up as they are. */
static void origin_up(struct worker *w, uint32_t circ, uint8_t command, const uint8_t *payload)
{
	w->conn[w->circs.circ[circ].conn].own_use_us = w->now_us;
	if (ctl_say(w, CTL_ORIGIN_RECV, circ_id_of(&w->circs, circ), command, NULL, 0, payload,
		    CELL_PAYLOAD) < 0)
		circ_shut(w, circ, DESTROY_RESOURCELIMIT, -1);
}

/* Links are padded once they carry circuits of more than one hop: a client's link that only fetches
 * directories is not (interop P1). command: RELAY or RELAY_EARLY, whichever way it goes. */
static void note_use(struct worker *w, struct circ *k, uint8_t command)
{
	if (!k->leg[SIDE_N] && link_of(&w->links, k->conn)->peer == CTL_PEER_CLIENT)
		return;
	k->noted = command == CELL_RELAY;
	link_used(&w->links, k->conn, k->noted ? LINK_USED_TRAFFIC : LINK_USED_CIRCS);
}

void cell_walk(struct worker *w, wid id, enum circ_side side, uint32_t leg, uint8_t command,
	       const uint8_t *payload)
{
	uint32_t circ;
	struct circ *k;

	if (wid_worker(id) != w->index) {
		mesh_send(w, MESH_CIRC_CELL, id, leg_id_of(&w->circs, leg), command, payload,
			  CELL_PAYLOAD);
		return;
	}
	circ = circ_check(&w->circs, id);
	if (circ == SLOT_NONE)
		return;
	k = &w->circs.circ[circ];
	if (k->state == CIRC_ORIGIN) {
		cells_flush(w);
		origin_up(w, circ, command, payload);
	} else if (k->state != CIRC_OPEN) {
		cells_flush(w);
		if (k->state == CIRC_PENDING) { /* interop C18 */
			count(w->counts, circ_cell_too_soon);
			circ_shut(w, circ, DESTROY_TORPROTOCOL, -1);
		}
	} else if (command == CELL_RELAY_EARLY &&
		   (side == SIDE_N || ++k->n_early > CIRC_MAX_EARLY)) {
		cells_flush(w);
		count(w->counts, circ_early);
		circ_shut(w, circ, DESTROY_TORPROTOCOL, -1);
	} else {
		if (UNLIKELY(!k->noted))
			note_use(w, k, command);
		walk_add(w, side == SIDE_P ? &w->fwd : &w->back, id, circ, command, payload);
	}
}

bool walk_put(struct worker *w, struct walk *k, uint32_t circ, uint32_t slot, bool data)
{
	uint8_t *payload = slot_at(&w->sched, slot)->payload;

	k->item[k->n] = (struct onion_item) {
		.src = payload, .dst = payload, .circ = circ, .command = CELL_RELAY};
	k->circ[k->n] = circ_id_of(&w->circs, circ);
	k->slot[k->n] = slot;
	k->data[k->n] = data;
	return ++k->n == BATCH;
}

void walk_originate(struct worker *w, struct walk *k)
{
	unsigned n = k->n;

	k->n = 0;
	onion_originate(&w->onion, k->item, n);
	for (unsigned i = 0; i < n; i++) {
		uint32_t circ = circ_check(&w->circs, k->circ[i]);

		if (circ == SLOT_NONE || w->circs.circ[circ].state != CIRC_OPEN) {
			slot_give(&w->sched, k->slot[i]);
			continue;
		}
		/* What we say ourselves closes with another reason than what we pass on (C13). */
		if (UNLIKELY(leg_full(w, wid_index(w->circs.circ[circ].leg[SIDE_P])))) {
			slot_give(&w->sched, k->slot[i]);
			circ_shut(w, circ, DESTROY_INTERNAL, -1);
			continue;
		}
		if (k->data[i] && relay_data_out(&w->relay, circ, k->item[i].tag, w->now_us) < 0) {
			slot_give(&w->sched, k->slot[i]);
			circ_shut(w, circ, DESTROY_RESOURCELIMIT, -1);
			continue;
		}
		circ_queue(w, circ, SIDE_P, CELL_RELAY, k->slot[i]);
	}
}

/* What circ_say_soon has gathered. */
static void said_flush(struct worker *w)
{
	if (w->said.n)
		walk_originate(w, &w->said);
}

void circ_queue(struct worker *w, uint32_t circ, enum circ_side side, uint8_t command,
		uint32_t slot)
{
	struct circ *k = &w->circs.circ[circ];

	w->figures->cells_relayed++;
	if (side == SIDE_P) {
		w->figures->cells_back++;
		if (UNLIKELY(k->padded))
			circ_pad_sent(w, circ);
	}
	leg_send(w, k->leg[side], command, slot);
}

void splice_cell(struct worker *w, wid id, wid from, const uint8_t *payload)
{
	uint32_t circ = circ_check(&w->circs, id), slot;
	struct onion_item item;

	if (wid_worker(id) != w->index) {
		mesh_send(w, MESH_SPLICE_CELL, id, from, CELL_RELAY, payload, CELL_PAYLOAD);
		return;
	}
	if (circ == SLOT_NONE || w->circs.circ[circ].state != CIRC_OPEN ||
	    w->circs.circ[circ].splice != from) {
		count(w->counts, circ_unknown);
		return;
	}
	slot = slot_take(&w->sched);
	if (slot == SLOT_NONE) {
		count(w->counts, worker_slots_out);
		circ_shut(w, circ, DESTROY_RESOURCELIMIT, -1);
		return;
	}
	item = (struct onion_item) {.src = payload,
				    .dst = slot_at(&w->sched, slot)->payload,
				    .circ = circ,
				    .command = CELL_RELAY};
	if (UNLIKELY(!w->circs.circ[circ].noted))
		note_use(w, &w->circs.circ[circ], CELL_RELAY);
	onion_back(&w->onion, &item, 1);
	circ_queue(w, circ, SIDE_P, CELL_RELAY, slot);
}

static void flush_back(struct worker *w);

/* The same within this worker and a batch: the slot goes on, and the layers of all such cells are
 * put on side by side. */
static void splice_here(struct worker *w, wid id, wid from, uint32_t slot)
{
	uint32_t circ = circ_check(&w->circs, id);

	if (circ == SLOT_NONE || w->circs.circ[circ].state != CIRC_OPEN ||
	    w->circs.circ[circ].splice != from) {
		count(w->counts, circ_unknown);
		slot_give(&w->sched, slot);
		return;
	}
	if (UNLIKELY(!w->circs.circ[circ].noted))
		note_use(w, &w->circs.circ[circ], CELL_RELAY);
	if (walk_put(w, &w->back, circ, slot, false))
		flush_back(w);
}

/* One cell that came from the client's side and is not for us. It goes behind CREATE2 when that has
 * not been answered yet, as in C tor; while there is no leg at all the circuit ends here. */
static void pass_forward(struct worker *w, uint32_t circ, const struct onion_item *item,
			 uint32_t slot)
{
	struct circ *k = &w->circs.circ[circ];

	if (k->leg[SIDE_N]) {
		circ_queue(w, circ, SIDE_N, item->command, slot);
		return;
	}
	if (k->splice && wid_worker(k->splice) == w->index) {
		splice_here(w, k->splice, circ_id_of(&w->circs, circ), slot);
		return;
	}
	if (k->splice) {
		splice_cell(w, k->splice, circ_id_of(&w->circs, circ), item->dst);
	} else if (cell_hold(w, circ, slot)) {
		return;
	} else { /* nobody it could be for (interop R7) */
		count(w->counts, relay_unrecognized);
		circ_shut(w, circ, DESTROY_TORPROTOCOL, -1);
	}
	slot_give(&w->sched, slot);
}

/* Circuits with streams are an exit's: what their cells will touch is fetched while the onion runs.
 * Others (SLOT_NONE) are left alone. */
static void fetch_streams(struct worker *w, const struct walk *k, uint32_t stream[BATCH])
{
	for (unsigned i = 0; i < k->n; i++) {
		uint32_t circ = k->item[i].circ;

		stream[i] = w->circs.circ[circ].streams;
		if (LIKELY(stream[i] == SLOT_NONE))
			continue;
		__builtin_prefetch(&w->relay.window[circ], 1);
		__builtin_prefetch(&w->edge.stream[stream[i]], 1);
	}
	for (unsigned i = 0; i < k->n; i++)
		if (stream[i] != SLOT_NONE)
			edge_fetch(&w->edge, stream[i]);
}

/* What the cells of a batch will touch of the legs they leave by, fetched while the onion runs. */
static void fetch_legs(struct worker *w, const struct walk *k, enum circ_side side)
{
	for (unsigned i = 0; i < k->n; i++) {
		wid id = w->circs.circ[k->item[i].circ].leg[side];
		uint32_t leg = wid_index(id);

		if (!id || wid_worker(id) != w->index)
			continue;
		leg_fetch(&w->circs, leg);
		sched_leg_fetch(&w->sched, leg);
	}
}

static void flush_forward(struct worker *w)
{
	struct walk *k = &w->fwd;
	unsigned n = k->n;
	uint32_t stream[BATCH];

	fetch_streams(w, k, stream);
	fetch_legs(w, k, SIDE_N);
	k->n = 0;
	onion_forward(&w->onion, k->item, n);
	for (unsigned i = 0; i < n; i++)
		if (stream[i] != SLOT_NONE)
			edge_fetch_far(&w->edge, stream[i]);
	for (unsigned i = 0; i < n; i++) {
		const struct onion_item *item = &k->item[i];
		uint32_t circ = circ_check(&w->circs, k->circ[i]);

		/* An earlier cell of this batch may have ended the circuit. */
		if (circ == SLOT_NONE || w->circs.circ[circ].state != CIRC_OPEN) {
			slot_give(&w->sched, k->slot[i]);
		} else if (item->recognized) {
			recognised(w, circ, item->dst, item->tag,
				   item->command == CELL_RELAY_EARLY);
			slot_give(&w->sched, k->slot[i]);
		} else {
			pass_forward(w, circ, item, k->slot[i]);
		}
	}
}

static void flush_back(struct worker *w)
{
	struct walk *k = &w->back;
	unsigned n = k->n;

	fetch_legs(w, k, SIDE_P);
	k->n = 0;
	onion_back(&w->onion, k->item, n);
	for (unsigned i = 0; i < n; i++) {
		uint32_t circ = circ_check(&w->circs, k->circ[i]);

		if (circ == SLOT_NONE || w->circs.circ[circ].state != CIRC_OPEN)
			slot_give(&w->sched, k->slot[i]);
		else
			circ_queue(w, circ, SIDE_P, CELL_RELAY, k->slot[i]);
	}
}

void cells_flush(struct worker *w)
{
	if (w->fwd.n)
		flush_forward(w);
	if (w->back.n)
		flush_back(w);
	said_flush(w);
}

/* Whether who said something is still there to say more. */
static bool owner_open(const struct worker *w, uint32_t owner)
{
	return owner & CFX_SET ? slots_live(&w->conflux.slots, owner & ~CFX_SET)
			       : w->circs.circ[owner].state == CIRC_OPEN;
}

int circ_say_soon(struct worker *w, uint32_t circ, uint8_t command, uint16_t stream_id,
		  const uint8_t *body, uint16_t len)
{
	enum relay_format format;
	unsigned at;
	uint32_t slot;
	uint8_t *payload;

	if (UNLIKELY(circ & CFX_SET))
		return set_say(w, circ, command, stream_id, body, len);
	format = onion_format(&w->onion, circ);
	at = relay_body_at(format, command);
	if (UNLIKELY(len > relay_body_max(format, command))) {
		count(w->counts, relay_too_long);
		circ_shut(w, circ, DESTROY_INTERNAL, -1);
		return ERR_FULL;
	}
	slot = slot_take(&w->sched);
	if (slot == SLOT_NONE) {
		count(w->counts, worker_slots_out);
		circ_shut(w, circ, DESTROY_RESOURCELIMIT, -1);
		return ERR_FULL;
	}
	payload = slot_at(&w->sched, slot)->payload;
	relay_msg_write(payload, format, command, stream_id, len);
	if (len)
		memcpy(payload + at, body, len);
	relay_pad(&w->relay, payload, at + len);
	if (walk_put(w, &w->said, circ, slot, command == RELAY_DATA))
		said_flush(w);
	return w->circs.circ[circ].state == CIRC_OPEN ? 0 : ERR_FULL;
}

int circ_say(struct worker *w, uint32_t circ, uint8_t command, uint16_t stream_id,
	     const uint8_t *body, uint16_t len)
{
	int rc = circ_say_soon(w, circ, command, stream_id, body, len);

	said_flush(w);
	return owner_open(w, circ) ? rc : ERR_FULL;
}
