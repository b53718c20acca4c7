/* mesh.c - between workers: one ring for each ordered pair. Cells are only sent while every ring
 * has room for a whole turn, because a lost cell breaks its circuit's stream; the other messages
 * are kept aside when a ring is full, in order, because a lost closing would be for good. */
#include "dataplane/worker/worker.h"

#include <rte_ring.h>
#include <rte_ring_elem.h>
#include <stdio.h>
#include <stdlib.h>

#define MESH_SLOTS  4096
#define MESH_TURN   1024 /* messages that one turn may send to one worker */
#define MESH_BURST  32
#define READY_READS (CTL_RING_SLOTS / 64) /* turns of ctl_in that empty any ring */

struct mesh_msg {
	wid to, from;
	uint8_t op, command;
	uint16_t len;
	uint32_t _pad;
	uint8_t payload[512];
};
_Static_assert(sizeof(struct mesh_msg) % 4 == 0, "rte_ring elements are whole words");

/* What did not fit: a list that its one producer drains. */
struct spill {
	struct mesh_msg *rows;
	size_t n, cap;
};
struct mesh {
	unsigned n;
	struct rte_ring *ring[CTL_WORKERS][CTL_WORKERS]; /* from, to */
	struct spill spill[CTL_WORKERS][CTL_WORKERS];
};

struct mesh *mesh_new(unsigned n_workers)
{
	struct mesh *m = calloc(1, sizeof(*m));
	char name[RTE_RING_NAMESIZE];

	if (!m)
		return NULL;
	m->n = n_workers;
	for (unsigned i = 0; i < n_workers; i++) {
		for (unsigned j = 0; j < n_workers; j++) {
			if (i == j)
				continue;
			snprintf(name, sizeof(name), "mesh%u-%u", i, j);
			m->ring[i][j] =
				rte_ring_create_elem(name, sizeof(struct mesh_msg), MESH_SLOTS,
						     SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
			if (!m->ring[i][j]) {
				mesh_free(m);
				return NULL;
			}
		}
	}
	return m;
}

void mesh_free(struct mesh *m)
{
	for (unsigned i = 0; m && i < m->n; i++) {
		for (unsigned j = 0; j < m->n; j++) {
			rte_ring_free(m->ring[i][j]);
			free(m->spill[i][j].rows);
		}
	}
	free(m);
}

static void spill_add(struct worker *w, struct spill *s, const struct mesh_msg *msg)
{
	if (s->n == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 64;
		struct mesh_msg *rows = realloc(s->rows, cap * sizeof(*rows));

		if (!rows) {
			count(w->counts, worker_mesh_lost);
			return;
		}
		s->rows = rows;
		s->cap = cap;
	}
	s->rows[s->n++] = *msg;
	count(w->counts, worker_mesh_spilled);
}

/* Sends what was kept aside; true when nothing is left. */
static bool spill_drain(struct rte_ring *ring, struct spill *s)
{
	unsigned n;

	if (!s->n)
		return true;
	n = rte_ring_sp_enqueue_burst_elem(ring, s->rows, sizeof(*s->rows), (unsigned)s->n, NULL);
	memmove(s->rows, s->rows + n, (s->n - n) * sizeof(*s->rows));
	s->n -= n;
	if (s->n)
		return false;
	free(s->rows); /* it was a bad moment */
	*s = (struct spill) {NULL, 0, 0};
	return true;
}

size_t mesh_mem(const struct worker *w)
{
	const struct spill *s = w->plane->mesh->spill[w->index];
	size_t rows = 0;

	for (unsigned i = 0; i < w->plane->mesh->n; i++)
		rows += s[i].cap;
	return rows * sizeof(struct mesh_msg);
}

void mesh_send(struct worker *w, enum mesh_op op, wid to, wid from, uint8_t command,
	       const uint8_t *payload, uint16_t len)
{
	struct mesh *m = w->plane->mesh;
	unsigned there = wid_worker(to);
	struct mesh_msg msg = {to, from, (uint8_t)op, command, len, 0, {0}};

	if (there >= m->n || there == w->index || len > sizeof(msg.payload)) {
		count(w->counts, worker_mesh_lost);
		return;
	}
	if (len)
		memcpy(msg.payload, payload, len);
	count(w->counts, worker_mesh_sent);
	if (!spill_drain(m->ring[w->index][there], &m->spill[w->index][there]) ||
	    rte_ring_sp_enqueue_elem(m->ring[w->index][there], &msg, sizeof(msg)) != 0)
		spill_add(w, &m->spill[w->index][there], &msg);
}

bool mesh_open(const struct worker *w)
{
	struct mesh *m = w->plane->mesh;

	for (unsigned i = 0; i < m->n; i++)
		if (i != w->index && (m->spill[w->index][i].n ||
				      rte_ring_free_count(m->ring[w->index][i]) < MESH_TURN))
			return false;
	return true;
}

void mesh_share_neighbours(struct worker *w, const struct net_neigh *n, unsigned k)
{
	for (unsigned i = 0; k && i < w->plane->n_workers; i++)
		for (unsigned j = 0; i != w->index && j < k; j++)
			mesh_send(w, MESH_NEIGHBOUR, wid_make(i, 0, 1), WID_NONE, 0,
				  (const uint8_t *)&n[j], sizeof(n[j]));
}

static void do_leg_make(struct worker *w, const struct mesh_msg *m)
{
	uint32_t conn = tcp_check(w->tcp, m->to);

	/* Control wrote CONN_READY into our ring before it had the circuit's worker extend, but
	 * that came here faster: what stands in the ring is read first. */
	for (int i = 0; ring_waits(&w->down) && i < READY_READS && conn != SLOT_NONE &&
			link_of(&w->links, conn)->state == LINK_HELD;
	     i++)
		ctl_in(w);
	on_leg_make(w, m->from, m->to, m->command, m->payload);
}
static void do_leg_made(struct worker *w, const struct mesh_msg *m)
{
	on_leg_made(w, m->to, m->from);
}
static void do_leg_cell(struct worker *w, const struct mesh_msg *m)
{
	uint32_t slot = slot_take(&w->sched);

	if (slot == SLOT_NONE) {
		uint32_t leg = leg_check(&w->circs, m->to);

		count(w->counts, worker_slots_out);
		if (leg != SLOT_NONE)
			leg_kill(w, leg, DESTROY_RESOURCELIMIT);
		return;
	}
	memcpy(slot_at(&w->sched, slot)->payload, m->payload, CELL_PAYLOAD);
	leg_send(w, m->to, m->command, slot);
}
static void do_leg_end(struct worker *w, const struct mesh_msg *m)
{
	on_leg_end(w, m->to, m->command);
}
static void do_leg_gone(struct worker *w, const struct mesh_msg *m)
{
	on_leg_gone(w, m->to, m->from, m->command);
}
/* What comes from another worker is from the next hop: the P leg is always with the circuit. It may
 * have been truncated while this was on its way. */
static void do_circ_cell(struct worker *w, const struct mesh_msg *m)
{
	uint32_t circ = circ_check(&w->circs, m->to);

	if (circ == SLOT_NONE || w->circs.circ[circ].leg[SIDE_N] != m->from)
		count(w->counts, circ_unknown);
	else
		cell_walk(w, m->to, SIDE_N, SLOT_NONE, m->command, m->payload);
}
static void do_created(struct worker *w, const struct mesh_msg *m)
{
	on_created(w, m->to, m->from, m->command, m->payload);
}
static void do_splice(struct worker *w, const struct mesh_msg *m)
{
	on_splice(w, m->to, m->from, m->payload, m->len);
}
static void do_splice_cell(struct worker *w, const struct mesh_msg *m)
{
	splice_cell(w, m->to, m->from, m->payload);
}
static void do_splice_end(struct worker *w, const struct mesh_msg *m)
{
	on_splice_end(w, m->to, m->from, m->command);
}
static void do_neighbour(struct worker *w, const struct mesh_msg *m)
{
	struct net_neigh n;

	memcpy(&n, m->payload, sizeof(n));
	net_learn(w->net, &n, 1, w->now_us);
}

/* A structure as the sender wrote it; false when it is not one. */
static bool body_is(const struct mesh_msg *m, void *to, size_t len)
{
	if (m->len != len)
		return false;
	memcpy(to, m->payload, len);
	return true;
}
static void do_set_ask(struct worker *w, const struct mesh_msg *m)
{
	struct set_ask ask;

	if (body_is(m, &ask, sizeof(ask)))
		on_set_ask(w, m->from, &ask);
}
static void do_set_join(struct worker *w, const struct mesh_msg *m)
{
	struct set_ask ask;

	if (body_is(m, &ask, sizeof(ask)))
		on_set_join(w, m->from, &ask);
}
static void do_set_forget(struct worker *w, const struct mesh_msg *m)
{
	cfx_forget(&w->conflux, m->payload, be32_get(m->payload + CONFLUX_NONCE));
}
static void do_set_joined(struct worker *w, const struct mesh_msg *m)
{
	struct conflux_link answer;

	if (body_is(m, &answer, sizeof(answer)))
		on_set_joined(w, m->to, m->from, &answer);
}
static void do_set_end(struct worker *w, const struct mesh_msg *m)
{
	on_set_end(w, m->to, m->from, m->command);
}
static void do_set_left(struct worker *w, const struct mesh_msg *m)
{
	uint32_t taken;

	if (body_is(m, &taken, sizeof(taken)))
		on_set_left(w, m->to, m->from, m->command != 0, taken);
}
/* A relay message behind its stream id. */
static struct relay_msg carried(const struct mesh_msg *m)
{
	return (struct relay_msg) {.command = m->command,
				   .stream_id = be16_get(m->payload),
				   .len = (uint16_t)(m->len - 2),
				   .body = (uint8_t *)(uintptr_t)m->payload + 2};
}
static void do_set_heard(struct worker *w, const struct mesh_msg *m)
{
	struct relay_msg msg = carried(m);

	on_set_heard(w, m->to, m->from, &msg);
}
static void do_set_news(struct worker *w, const struct mesh_msg *m)
{
	on_set_news(w, m->to, m->from, be32_get(m->payload), be32_get(m->payload + 4));
}
static void do_set_say(struct worker *w, const struct mesh_msg *m)
{
	struct relay_msg msg = carried(m);

	on_set_say(w, m->to, m->from, &msg);
}

static void (*const ops[N_MESH_OPS])(struct worker *, const struct mesh_msg *) = {
	[MESH_LEG_MAKE] = do_leg_make,	     [MESH_LEG_MADE] = do_leg_made,
	[MESH_LEG_CELL] = do_leg_cell,	     [MESH_LEG_END] = do_leg_end,
	[MESH_LEG_GONE] = do_leg_gone,	     [MESH_CIRC_CELL] = do_circ_cell,
	[MESH_CREATED] = do_created,	     [MESH_SPLICE] = do_splice,
	[MESH_SPLICE_CELL] = do_splice_cell, [MESH_SPLICE_END] = do_splice_end,
	[MESH_NEIGHBOUR] = do_neighbour,     [MESH_SET_ASK] = do_set_ask,
	[MESH_SET_JOIN] = do_set_join,	     [MESH_SET_FORGET] = do_set_forget,
	[MESH_SET_JOINED] = do_set_joined,   [MESH_SET_END] = do_set_end,
	[MESH_SET_LEFT] = do_set_left,	     [MESH_SET_HEARD] = do_set_heard,
	[MESH_SET_NEWS] = do_set_news,	     [MESH_SET_SAY] = do_set_say,
};

static void ring_in(struct worker *w, struct rte_ring *ring)
{
	static __thread struct mesh_msg msgs[MESH_BURST];
	unsigned n;

	for (unsigned taken = 0; taken < MESH_TURN; taken += n) {
		n = rte_ring_sc_dequeue_burst_elem(ring, msgs, sizeof(msgs[0]), MESH_BURST, NULL);
		if (!n)
			return;
		w->worked = true;
		for (unsigned i = 0; i < n; i++) {
			/* Cells gather for a batch; anything else keeps its place behind them. */
			if (msgs[i].op != MESH_CIRC_CELL && msgs[i].op != MESH_SET_SAY)
				cells_flush(w);
			ops[msgs[i].op](w, &msgs[i]);
		}
		cells_flush(w); /* the payloads lie in msgs */
	}
}

void mesh_in(struct worker *w)
{
	struct mesh *m = w->plane->mesh;

	for (unsigned i = 0; i < m->n; i++) {
		if (i == w->index)
			continue;
		spill_drain(m->ring[w->index][i], &m->spill[w->index][i]);
		ring_in(w, m->ring[i][w->index]);
	}
}
