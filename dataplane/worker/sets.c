/* sets.c - the life of conflux sets: a circuit asks to join, the worker that keeps the name of its
 * nonce says whose set that is, the owner adds the leg, and one function ends a set. Each step has
 * a sender and a receiver as in legs.c. What goes between legs and their set is ways.c. */
#include "dataplane/worker/worker.h"

static bool here(const struct worker *w, wid id)
{
	return wid_worker(id) == w->index;
}

static wid worker_id(unsigned worker)
{
	return wid_make(worker, 0, 1);
}

bool conflux_on(const struct worker *w, uint32_t circ)
{
	return w->params[CTL_PARAM_CFX_ENABLED] && relay_has_cc(&w->relay, circ);
}

/* The circuit is no part of a set any more. */
static void untie(struct worker *w, uint32_t circ)
{
	w->circs.circ[circ].tied = CFX_LOOSE;
	w->conflux.tie[circ] = (struct cfx_tie) {0};
}

/* ---- a circuit asks ---- */
/* LINK comes first on a circuit that ends here and does nothing else yet (interop F9). */
static bool may_link(const struct circ *k)
{
	return !k->leg[SIDE_N] && !k->asked && !k->extending && !k->splice &&
	       k->streams == SLOT_NONE;
}

int set_link(struct worker *w, uint32_t circ, const struct relay_msg *m)
{
	struct circ *k = &w->circs.circ[circ];
	struct set_ask ask = {
		.conn = tcp_id(w->tcp, k->conn),
		.body = relay_body_max(onion_format(&w->onion, circ), RELAY_DATA),
	};
	wid id = circ_id_of(&w->circs, circ);
	unsigned registrar;

	if (!may_link(k) || conflux_link_get(&ask.link, m->body, m->len) < 0)
		return ERR_MALFORMED;
	k->tied = CFX_ASKED;
	registrar = cfx_registrar(&w->conflux, ask.link.nonce, w->plane->n_workers);
	if (registrar == w->index)
		on_set_ask(w, id, &ask);
	else
		mesh_send(w, MESH_SET_ASK, worker_id(registrar), id, 0, (uint8_t *)&ask,
			  sizeof(ask));
	return 0;
}

/* ---- the name's keeper ---- */
static void leg_dismiss(struct worker *w, wid circ, wid set, uint8_t reason)
{
	if (here(w, circ))
		on_set_end(w, circ, set, reason);
	else
		mesh_send(w, MESH_SET_END, circ, set, reason, NULL, 0);
}

void on_set_ask(struct worker *w, wid circ, struct set_ask *ask)
{
	int owner = cfx_ask(&w->conflux, ask->link.nonce, wid_worker(circ), &ask->asked);

	if (owner < 0) {
		count(w->counts, conflux_refused);
		leg_dismiss(w, circ, WID_NONE, DESTROY_RESOURCELIMIT);
	} else if ((unsigned)owner == w->index) {
		on_set_join(w, circ, ask);
	} else {
		mesh_send(w, MESH_SET_JOIN, worker_id((unsigned)owner), circ, 0, (uint8_t *)ask,
			  sizeof(*ask));
	}
}

/* No set of ours has that nonce after the ask of that number. */
static void name_forget(struct worker *w, const uint8_t nonce[CONFLUX_NONCE], uint32_t asked)
{
	unsigned registrar = cfx_registrar(&w->conflux, nonce, w->plane->n_workers);
	uint8_t body[CONFLUX_NONCE + 4];

	if (registrar == w->index) {
		cfx_forget(&w->conflux, nonce, asked);
		return;
	}
	memcpy(body, nonce, CONFLUX_NONCE);
	be32_put(body + CONFLUX_NONCE, asked);
	mesh_send(w, MESH_SET_FORGET, worker_id(registrar), WID_NONE, 0, body, sizeof(body));
}

/* ---- the owner ---- */
static void join_refused(struct worker *w, wid circ, const struct set_ask *ask, uint32_t set,
			 int error)
{
	uint8_t reason = DESTROY_INTERNAL; /* as C tor, when messages are lost */

	if (error == ERR_FULL)
		reason = set == SLOT_NONE ? DESTROY_RESOURCELIMIT : DESTROY_TORPROTOCOL;
	if (error == ERR_FULL)
		count(w->counts, conflux_refused);
	else
		count(w->counts, conflux_data_lost);
	if (set == SLOT_NONE)
		name_forget(w, ask->link.nonce, ask->asked);
	else if (error == ERR_MALFORMED)
		set_shut(w, set, DESTROY_TORPROTOCOL);
	leg_dismiss(w, circ, WID_NONE, reason);
}

void on_set_join(struct worker *w, wid circ, const struct set_ask *ask)
{
	struct conflux_link answer;
	uint32_t set;
	int row = cfx_join(&w->conflux, &ask->link, ask->asked, circ, ask->conn, &set, &answer);

	if (row < 0) {
		join_refused(w, circ, ask, set, row);
		return;
	}
	count(w->counts, conflux_legs);
	if (w->conflux.set[set].n_legs == 1) {
		count(w->counts, conflux_sets);
		begins_of(w, set | CFX_SET)->at_s = 0;
	}
	w->conflux.set[set].leg[row].body = ask->body;
	if (here(w, circ))
		on_set_joined(w, circ, cfx_id(&w->conflux, set), &answer);
	else
		mesh_send(w, MESH_SET_JOINED, circ, cfx_id(&w->conflux, set), 0, (uint8_t *)&answer,
			  sizeof(answer));
}

/* ---- the circuit hears ---- */
static void leg_left(struct worker *w, wid set, wid circ, bool in_flight, uint32_t taken)
{
	if (here(w, set))
		on_set_left(w, set, circ, in_flight, taken);
	else
		mesh_send(w, MESH_SET_LEFT, set, circ, in_flight, (const uint8_t *)&taken,
			  sizeof(taken));
}

/* The leg is the set's before LINKED leaves: BEGIN may overtake its ACK (interop F9). */
void on_set_joined(struct worker *w, wid id, wid set, const struct conflux_link *answer)
{
	uint32_t circ = circ_check(&w->circs, id);
	uint8_t body[CONFLUX_LINK_LEN];

	if (circ == SLOT_NONE || w->circs.circ[circ].tied != CFX_ASKED) {
		leg_left(w, set, id, false, 0); /* it was closed in the meantime */
		return;
	}
	w->circs.circ[circ].tied = CFX_TIED;
	w->conflux.tie[circ] = (struct cfx_tie) {.set = set, .linked_us = w->now_us};
	conflux_link_put(body, answer);
	if (circ_say(w, circ, RELAY_CONFLUX_LINKED, 0, body, sizeof(body)) == 0)
		leg_moved(w, circ);
}

void on_set_end(struct worker *w, wid id, wid set, uint8_t reason)
{
	uint32_t circ = circ_check(&w->circs, id);

	if (circ == SLOT_NONE || w->circs.circ[circ].tied == CFX_LOOSE ||
	    w->conflux.tie[circ].set != set)
		return; /* it was faster */
	untie(w, circ);
	circ_shut(w, circ, reason, -1);
}

/* ---- endings ---- */
void set_circ_gone(struct worker *w, uint32_t circ)
{
	const struct relay_window *window = &w->relay.window[circ];
	bool in_flight = window->in_flight >= window->inc;
	enum cfx_tie_state was = w->circs.circ[circ].tied;
	struct cfx_tie tie = w->conflux.tie[circ];

	untie(w, circ);
	if (was == CFX_TIED)
		leg_left(w, tie.set, circ_id_of(&w->circs, circ), in_flight, tie.taken);
}

/* DATA that a leg on another worker was given and that it did not take is lost between them: no
 * window counts it. */
void on_set_left(struct worker *w, wid id, wid circ, bool in_flight, uint32_t taken)
{
	uint32_t set = cfx_check(&w->conflux, id);
	unsigned leg = set == SLOT_NONE ? CFX_NONE : cfx_leg_of(&w->conflux, set, circ);

	if (leg == CFX_NONE)
		return; /* the set ended, or this leg by its wish */
	if (!here(w, circ))
		in_flight |= w->conflux.set[set].leg[leg].given != taken;
	if (!cfx_leave(&w->conflux, set, leg, in_flight)) {
		set_unblock(w, set);
		return;
	}
	if (w->conflux.set[set].n_legs)
		count(w->counts, conflux_torn);
	set_shut(w, set, DESTROY_FINISHED);
}

void set_leg_close(struct worker *w, uint32_t set, unsigned leg, uint8_t reason)
{
	wid id = cfx_id(&w->conflux, set), circ = w->conflux.set[set].leg[leg].circ;

	if (!circ)
		return;
	if (here(w, circ)) {
		circ_shut(w, wid_index(circ), reason, -1);
		return;
	}
	mesh_send(w, MESH_SET_END, circ, id, reason, NULL, 0);
	on_set_left(w, id, circ, true, 0); /* what is in flight is not known here */
}

/* The one end of a set. Its id goes before its circuits do, so that whatever they bring about finds
 * nothing of it any more. */
void set_shut(struct worker *w, uint32_t set, uint8_t reason)
{
	struct cfx_set *s = &w->conflux.set[set];
	wid id = cfx_id(&w->conflux, set), circ[CFX_LEGS];
	uint8_t nonce[CONFLUX_NONCE];
	uint32_t asked = s->asked;

	memcpy(nonce, s->nonce, sizeof(nonce));
	for (unsigned i = 0; i < CFX_LEGS; i++)
		circ[i] = s->leg[i].circ;
	streams_close(w, set | CFX_SET);
	cfx_free(&w->conflux, set);
	name_forget(w, nonce, asked);
	for (unsigned i = 0; i < CFX_LEGS; i++)
		if (circ[i])
			leg_dismiss(w, circ[i], id, reason);
}
