/* ways.c - messages of conflux sets: what a leg hears goes to its set and takes its place in the
 * order; what the set has to say goes over the leg that its policy picks. Windows, SENDMEs and
 * crypto stay with each leg. */
#include "dataplane/worker/worker.h"

static bool here(const struct worker *w, wid id)
{
	return wid_worker(id) == w->index;
}

/* ---- how it stands with a leg ---- */
/* DATA of a circuit that is not sealed yet. */
static uint32_t said_ahead(const struct worker *w, uint32_t circ)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < w->said.n; i++)
		n += w->said.item[i].circ == circ && w->said.data[i];
	return n;
}

static uint32_t less(int64_t of, uint32_t n)
{
	return of > (int64_t)n ? (uint32_t)MIN(of - n, (int64_t)INT32_MAX) : 0;
}

/* Cells that its queue takes. */
static uint32_t queue_room(const struct worker *w, uint32_t circ)
{
	uint32_t leg = wid_index(w->circs.circ[circ].leg[SIDE_P]);

	return less(w->params[CTL_PARAM_CELLQ_HIGH], w->sched.leg[leg].n);
}

/* What congestion control has measured counts more than the first round trip. */
static struct cfx_view circ_view(const struct worker *w, uint32_t circ)
{
	const struct relay_window *window = &w->relay.window[circ];
	uint64_t rtt_us = w->relay.cc[circ].rtt_us;
	uint32_t ahead = said_ahead(w, circ);

	return (struct cfx_view) {
		.rtt_us = rtt_us ? (uint32_t)MIN(rtt_us, UINT32_MAX) : w->conflux.tie[circ].rtt_us,
		.room = MIN(less(window->limit, window->in_flight + ahead),
			    less(queue_room(w, circ), ahead)),
	};
}

static void set_view(const struct worker *w, uint32_t set, struct cfx_view view[CFX_LEGS])
{
	for (unsigned i = 0; i < CFX_LEGS; i++) {
		const struct cfx_leg *l = &w->conflux.set[set].leg[i];

		if (!l->circ)
			view[i] = (struct cfx_view) {0};
		else if (here(w, l->circ))
			view[i] = circ_view(w, wid_index(l->circ));
		else
			view[i] = (struct cfx_view) {l->rtt_us,
						     less((int32_t)(l->limit - l->given), 0)};
	}
}

/* A queue that stopped a leg says when it has drained; else a SENDME will. */
static void watch(struct worker *w, uint32_t circ, uint32_t least)
{
	if (queue_room(w, circ) < least)
		sched_watch(&w->sched, wid_index(w->circs.circ[circ].leg[SIDE_P]));
}

void set_unblock(struct worker *w, uint32_t set)
{
	struct cfx_set *s = &w->conflux.set[set];

	if (!s->blocked)
		return;
	s->blocked = 0;
	for (uint32_t i = s->streams; i != SLOT_NONE; i = w->edge.stream[i].next)
		edge_ready(&w->edge, i);
}

static void set_block(struct worker *w, uint32_t set)
{
	struct cfx_set *s = &w->conflux.set[set];

	s->blocked = 1;
	for (unsigned i = 0; i < CFX_LEGS; i++)
		if (s->leg[i].circ && here(w, s->leg[i].circ))
			watch(w, wid_index(s->leg[i].circ), 1);
}

/* To a set on another worker: after less than an increment it would hear no SENDME, so a short
 * queue is watched too. */
void leg_moved(struct worker *w, uint32_t circ)
{
	struct cfx_tie *t = &w->conflux.tie[circ];
	struct cfx_view view = circ_view(w, circ);
	uint8_t body[8];

	if (here(w, t->set)) {
		set_unblock(w, wid_index(t->set));
		return;
	}
	watch(w, circ, w->relay.window[circ].inc);
	be32_put(body, view.rtt_us);
	be32_put(body + 4, t->taken + view.room);
	mesh_send(w, MESH_SET_NEWS, t->set, circ_id_of(&w->circs, circ), 0, body, sizeof(body));
}

/* The set and the row of a message from a leg; false when either is gone. */
static bool leg_named(struct worker *w, wid id, wid circ, uint32_t *set, unsigned *leg)
{
	*set = cfx_check(&w->conflux, id);
	*leg = *set == SLOT_NONE ? CFX_NONE : cfx_leg_of(&w->conflux, *set, circ);
	if (*leg == CFX_NONE)
		count(w->counts, conflux_unknown);
	return *leg != CFX_NONE;
}

void on_set_news(struct worker *w, wid id, wid circ, uint32_t rtt_us, uint32_t limit)
{
	uint32_t set;
	unsigned leg;

	if (!leg_named(w, id, circ, &set, &leg))
		return;
	w->conflux.set[set].leg[leg].rtt_us = rtt_us;
	w->conflux.set[set].leg[leg].limit = limit;
	set_unblock(w, set);
}

/* ---- up: a leg hears ---- */
static void violate(struct worker *w, uint32_t circ)
{
	count(w->counts, conflux_violation);
	circ_shut(w, circ, DESTROY_TORPROTOCOL, -1);
}

/* A message with its stream, as it goes over the mesh. */
static uint16_t carry(uint8_t body[2 + RELAY_BODY], const struct relay_msg *m)
{
	be16_put(body, m->stream_id);
	if (m->len)
		memcpy(body + 2, m->body, m->len);
	return (uint16_t)(2 + m->len);
}

static void to_set(struct worker *w, uint32_t circ, const struct relay_msg *m)
{
	wid set = w->conflux.tie[circ].set, id = circ_id_of(&w->circs, circ);
	uint8_t body[2 + RELAY_BODY];

	if (here(w, set)) {
		on_set_heard(w, set, id, m);
		return;
	}
	count(w->counts, conflux_carried);
	mesh_send(w, MESH_SET_HEARD, set, id, m->command, body, carry(body, m));
}

static void on_ack(struct worker *w, uint32_t circ)
{
	struct cfx_tie *t = &w->conflux.tie[circ];

	t->rtt_us = (uint32_t)MIN(MAX(w->now_us - t->linked_us, 1), UINT32_MAX);
	leg_moved(w, circ);
}

bool set_hears(struct worker *w, uint32_t circ, const struct relay_msg *m)
{
	enum cfx_act act = cfx_act_of(w->circs.circ[circ].tied, m->command);

	if (act == CFX_PASS)
		return false;
	if (act == CFX_VIOLATE || (act != CFX_ORDER && act != CFX_NO_DIR && !conflux_on(w, circ)) ||
	    (act == CFX_LINK && set_link(w, circ, m) < 0))
		violate(w, circ);
	else if (act == CFX_ACK)
		on_ack(w, circ);
	else if (act != CFX_LINK)
		to_set(w, circ, m);
	return true;
}

/* ---- in the order of the set ---- */
/* Keeps a message whose turn has not come. When all sets together hold too much, the one with most
 * goes. */
static void hold(struct worker *w, uint32_t set, unsigned leg, const struct relay_msg *m)
{
	uint32_t most = cfx_full(&w->conflux) ? cfx_heaviest(&w->conflux) : SLOT_NONE;

	if (most != SLOT_NONE && most != set)
		set_shut(w, most, DESTROY_RESOURCELIMIT);
	if (cfx_hold(&w->conflux, set, leg, m) < 0)
		set_leg_close(w, set, leg, DESTROY_RESOURCELIMIT);
}

/* Those whose turn has come by the last one. Each may end the set. */
static void drain(struct worker *w, wid id)
{
	struct relay_msg m;
	uint32_t set, slot;
	unsigned leg;
	enum cfx_next next;

	while ((set = cfx_check(&w->conflux, id)) != SLOT_NONE &&
	       (next = cfx_next(&w->conflux, set, &m, &slot, &leg)) != CFX_NOTHING) {
		if (next == CFX_LIED) {
			set_leg_close(w, set, leg, DESTROY_INTERNAL);
			continue;
		}
		recognised_in_order(w, set, leg, &m);
		slot_give(&w->sched, slot);
	}
}

static void in_order(struct worker *w, uint32_t set, unsigned leg, const struct relay_msg *m)
{
	wid id = cfx_id(&w->conflux, set);

	switch (cfx_in(&w->conflux, set, leg)) {
	case CFX_NOW:
		recognised_in_order(w, set, leg, m);
		drain(w, id);
		return;
	case CFX_EARLY:
		hold(w, set, leg, m);
		return;
	case CFX_STALE:
		set_leg_close(w, set, leg, DESTROY_INTERNAL);
	}
}

void on_set_heard(struct worker *w, wid id, wid circ, const struct relay_msg *m)
{
	static const uint8_t no_directory = END_NOTDIRECTORY;
	uint32_t set;
	unsigned leg;

	if (!leg_named(w, id, circ, &set, &leg))
		return;
	if (m->command == RELAY_CONFLUX_SWITCH) {
		cfx_switched(&w->conflux, set, leg, conflux_switch_get(m->body, m->len));
	} else if (m->command == RELAY_BEGIN_DIR) { /* interop E10, C19 */
		count(w->counts, conflux_begin_dir);
		if (edge_find(&w->edge, set | CFX_SET, m->stream_id) == SLOT_NONE)
			set_say(w, set | CFX_SET, RELAY_END, m->stream_id, &no_directory, 1);
	} else {
		in_order(w, set, leg, m);
	}
}

/* ---- down: a set says ---- */
static void leg_say(struct worker *w, uint32_t set, unsigned leg, const struct relay_msg *m)
{
	struct cfx_leg *l = &w->conflux.set[set].leg[leg];
	uint8_t body[2 + RELAY_BODY];

	if (here(w, l->circ)) {
		circ_say_soon(w, wid_index(l->circ), m->command, m->stream_id, m->body, m->len);
		return;
	}
	l->given += m->command == RELAY_DATA;
	count(w->counts, conflux_carried);
	mesh_send(w, MESH_SET_SAY, l->circ, cfx_id(&w->conflux, set), m->command, body,
		  carry(body, m));
}

void on_set_say(struct worker *w, wid id, wid set, const struct relay_msg *m)
{
	uint32_t circ = circ_check(&w->circs, id);

	if (circ == SLOT_NONE || w->conflux.tie[circ].set != set ||
	    w->circs.circ[circ].tied != CFX_TIED) {
		count(w->counts, conflux_unknown);
		return;
	}
	w->conflux.tie[circ].taken += m->command == RELAY_DATA;
	circ_say_soon(w, circ, m->command, m->stream_id, m->body, m->len);
}

/* The leg for the next message, told of it by a SWITCH when it is another than before. CFX_WAIT: no
 * leg takes DATA; CFX_BROKEN: the set is gone. */
static unsigned way(struct worker *w, uint32_t set, const struct cfx_view view[CFX_LEGS], bool data)
{
	wid id = cfx_id(&w->conflux, set);
	uint8_t body[CONFLUX_SWITCH_LEN];
	struct relay_msg m = {RELAY_CONFLUX_SWITCH, 0, sizeof(body), body};
	uint32_t delta;
	bool switched;
	unsigned leg = cfx_pick(&w->conflux, set, view, data, &switched, &delta);

	if (leg == CFX_BROKEN) {
		set_shut(w, set, DESTROY_TORPROTOCOL);
		return leg;
	}
	if (!switched)
		return leg;
	be32_put(body, delta);
	leg_say(w, set, leg, &m);
	return cfx_check(&w->conflux, id) == SLOT_NONE ? CFX_BROKEN : leg;
}

int set_say(struct worker *w, uint32_t owner, uint8_t command, uint16_t stream_id,
	    const uint8_t *body, uint16_t len)
{
	uint32_t set = owner & ~CFX_SET;
	struct relay_msg m = {command, stream_id, len, (uint8_t *)(uintptr_t)body};
	struct cfx_view view[CFX_LEGS];
	unsigned leg;
	wid id;

	if (!slots_live(&w->conflux.slots, set))
		return ERR_FULL;
	id = cfx_id(&w->conflux, set);
	set_view(w, set, view);
	leg = way(w, set, view, false);
	if (leg >= CFX_LEGS)
		return ERR_FULL;
	cfx_sent(&w->conflux.set[set], leg);
	leg_say(w, set, leg, &m);
	return cfx_check(&w->conflux, id) == SLOT_NONE ? ERR_FULL : 0;
}

/* Longest DATA for a leg. */
static uint16_t leg_room(struct worker *w, uint32_t set, unsigned leg)
{
	struct cfx_leg *l = &w->conflux.set[set].leg[leg];

	if (here(w, l->circ))
		return relay_data_room(&w->relay, wid_index(l->circ), l->body, &w->rng);
	return l->body - relay_left_short(&l->until_short, &w->rng);
}

unsigned set_read(struct worker *w, uint32_t stream, unsigned most)
{
	struct stream *s = &w->edge.stream[stream];
	uint32_t set = s->circ & ~CFX_SET;
	wid id = cfx_id(&w->conflux, set);
	struct cfx_view view[CFX_LEGS];
	uint8_t body[RELAY_BODY];
	unsigned n = 0, leg;

	set_view(w, set, view);
	for (; n < most && stream_has_bytes(w, s) && edge_may_send(&w->edge, stream); n++) {
		struct relay_msg m = {RELAY_DATA, s->id, 0, body};

		leg = way(w, set, view, true);
		if (leg == CFX_WAIT)
			set_block(w, set);
		if (leg >= CFX_LEGS)
			break;
		m.len = stream_take(w, stream, body, leg_room(w, set, leg));
		cfx_sent(&w->conflux.set[set], leg);
		view[leg].room--;
		leg_say(w, set, leg, &m);
		if (cfx_check(&w->conflux, id) == SLOT_NONE)
			break; /* and the stream with it */
	}
	return n;
}

void set_reclaim(struct worker *w, uint32_t set)
{
	count(w->counts, worker_memory_killed);
	while (w->conflux.set[set].streams != SLOT_NONE)
		stream_end(w, w->conflux.set[set].streams, 0, false);
	set_shut(w, set, DESTROY_RESOURCELIMIT);
}
