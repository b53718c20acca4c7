/* memory.c - the memory rule (tor-spec 8.1, interop C15): what is held in queues and buffers stays
 * under MaxMemInQueues. When it does not, what has waited longest goes, until a tenth is free:
 * first of links that never finished their handshake and of conflux sets, then cells with their
 * circuits and bytes with their streams, at last links. Beside close.c, in which everything ends.
 */
#include "dataplane/worker/worker.h"

#define OLDEST 64 /* of each kind that one walk finds */
#define WALKS  8
#define MUCH   5  /* a named consumer may hold a fifth of the bound */
#define FEW    10 /* and is cut to a tenth */

static int64_t half_open_used(const struct worker *w)
{
	return (int64_t)w->links.mem;
}

/* Bytes, all of them: a slot for a cell, a buffer for a record, whatever is in it. */
static int64_t memory_used(const struct worker *w)
{
	return (int64_t)slots_in_use(&w->sched) * (int64_t)sizeof(struct slot) +
	       (int64_t)tcp_mem_all(w->tcp) + (int64_t)w->edge.mem + half_open_used(w) +
	       (int64_t)mesh_mem(w);
}

static int64_t bound_of(const struct worker *w)
{
	return MAX(w->params[CTL_PARAM_MAX_MEM], 0);
}

void memory_bound(struct worker *w)
{
	w->edge.mem_max = (uint64_t)(bound_of(w) / w->plane->n_workers) / 4 + 1;
}

static int64_t used_by_all(const struct worker *w)
{
	int64_t sum = 0;

	for (unsigned i = 0; i < w->plane->n_workers; i++)
		sum += __atomic_load_n(&w->plane->held[i].bytes, __ATOMIC_RELAXED);
	return sum;
}

/* Whether all hold more than so many twentieths of the bound and we more than our part: then it is
 * ours to cut. Or nearly so many of what TCP's pools hold: a full one stops every connection. */
static bool is_short(const struct worker *w, int64_t used, int64_t twentieths)
{
	int64_t pools = (int64_t)w->plane->tcp.max_mem, bound = bound_of(w);

	__atomic_store_n(&w->plane->held[w->index].bytes, used, __ATOMIC_RELAXED);
	if (UNLIKELY(pools && (int64_t)tcp_mem_all(w->tcp) > pools / 20 * (twentieths - 1)))
		return true;
	return used > bound / w->plane->n_workers / 20 * twentieths &&
	       used_by_all(w) > bound / 20 * twentieths;
}

static bool still_short(const struct worker *w)
{
	return is_short(w, memory_used(w), 18);
}

/* ---- links whose handshake is not over ---- */
static void half_open_cut(struct worker *w, int64_t to)
{
	int64_t before = half_open_used(w);

	for (uint32_t i = 0; i < w->plane->n_conns && half_open_used(w) > to; i++) {
		const struct link *k = link_of(&w->links, i);

		if (k->state == LINK_NONE || k->state == LINK_OPEN || !link_mem(k))
			continue;
		count(w->counts, worker_oom_links);
		link_shut(w, i, CTL_WHY_RESOURCE);
		link_drop(&w->links, i);
	}
	count_add(w->counts, worker_oom_half_open_bytes, (uint64_t)(before - half_open_used(w)));
}

/* ---- what came to conflux sets before its turn ---- */
static int64_t sets_used(const struct worker *w)
{
	return (int64_t)w->conflux.n_held * (int64_t)sizeof(struct slot);
}

static void sets_cut(struct worker *w, int64_t to)
{
	uint32_t set;

	while (sets_used(w) > to && (set = cfx_heaviest(&w->conflux)) != SLOT_NONE)
		set_reclaim(w, set);
}

/* Those that are cut by themselves when they alone hold much, in this order. */
static const struct consumer {
	int64_t (*used)(const struct worker *w);
	void (*cut)(struct worker *w, int64_t to);
} consumers[] = {
	{half_open_used, half_open_cut},
	{sets_used, sets_cut},
};

/* ---- cells and bytes, by age ---- */
/* Far ends are cut off at once: what waits for them is what is to be freed. */
static void circ_reclaim(struct worker *w, uint32_t circ)
{
	wid set = w->circs.circ[circ].tied ? w->conflux.tie[circ].set : WID_NONE;

	if (cfx_check(&w->conflux, set) != SLOT_NONE) {
		set_reclaim(w, cfx_check(&w->conflux, set));
		return;
	}
	count(w->counts, worker_memory_killed);
	while (w->circs.circ[circ].streams != SLOT_NONE)
		stream_end(w, w->circs.circ[circ].streams, 0, false);
	circ_shut(w, circ, DESTROY_RESOURCELIMIT, -1);
}

static void leg_reclaim(struct worker *w, uint32_t leg)
{
	wid circ = w->circs.leg[leg].circ;

	if (wid_worker(circ) == w->index && circ_check(&w->circs, circ) != SLOT_NONE) {
		circ_reclaim(w, circ_check(&w->circs, circ));
	} else {
		count(w->counts, worker_memory_killed);
		leg_kill(w, leg, DESTROY_RESOURCELIMIT);
	}
}

/* A destination that neither reads nor is read; its stream may be gone already. */
static void exit_reclaim(struct worker *w, uint32_t conn)
{
	uint32_t stream = edge_stream_of(&w->edge, conn);

	count(w->counts, worker_oom_streams);
	if (stream != SLOT_NONE)
		stream_end(w, stream, END_RESOURCELIMIT, false);
	else
		tcp_abort(w->tcp, conn);
}

/* The oldest of both kinds, one after the other; false when nothing waits anywhere. */
static bool cut_oldest(struct worker *w)
{
	uint32_t leg[OLDEST], conn[OLDEST];
	unsigned n_legs = sched_oldest(&w->sched, leg, OLDEST), at_leg = 0;
	unsigned n_conns = tcp_oldest(w->tcp, CONN_EXIT, conn, OLDEST), at_conn = 0;

	while ((at_leg < n_legs || at_conn < n_conns) && still_short(w)) {
		uint64_t cell = at_leg < n_legs ? sched_since(&w->sched, leg[at_leg]) : UINT64_MAX;
		uint64_t byte = at_conn < n_conns ? tcp_since(w->tcp, conn[at_conn]) : UINT64_MAX;

		/* Either may have gone with another: then it waits since never. */
		if (cell == UINT64_MAX && byte == UINT64_MAX) {
			at_leg += at_leg < n_legs;
			at_conn += at_conn < n_conns;
			continue;
		}
		if (byte <= cell)
			exit_reclaim(w, conn[at_conn++]);
		else
			leg_reclaim(w, leg[at_leg++]);
		conns_events(w); /* TCP gives its buffers back when the end has been heard */
	}
	return n_legs || n_conns;
}

/* ---- what has no age: pipes to those that are not there yet, and what lies in links' TCP ---- */
static uint32_t heaviest_stream(const struct worker *w)
{
	uint32_t best = SLOT_NONE, most = 0;

	for (uint32_t i = 0; i < w->edge.slots.n_touched; i++) {
		const struct stream *s = &w->edge.stream[i];

		if (s->state == STREAM_FREE || s->state == STREAM_ENDED ||
		    s->in.cap + s->out.cap <= most)
			continue;
		most = s->in.cap + s->out.cap;
		best = i;
	}
	return best;
}

static uint32_t heaviest_link(const struct worker *w)
{
	uint32_t best = SLOT_NONE;
	uint64_t most = 0;

	for (uint32_t i = 0; i < w->plane->n_conns; i++) {
		const struct link *k = &w->links.col[i];
		uint64_t mem = k->state == LINK_NONE ? 0 : tcp_mem(w->tcp, i) + link_mem(k);

		if (mem <= most || w->conn[i].shut)
			continue;
		most = mem;
		best = i;
	}
	return best;
}

static bool cut_heaviest(struct worker *w)
{
	uint32_t stream = heaviest_stream(w), link;

	if (stream != SLOT_NONE) {
		count(w->counts, worker_oom_streams);
		stream_end(w, stream, END_RESOURCELIMIT, false);
		conns_events(w);
		return true;
	}
	link = heaviest_link(w);
	if (link == SLOT_NONE)
		return false;
	count(w->counts, worker_oom_links);
	link_shut(w, link, CTL_WHY_RESOURCE);
	tcp_abort(w->tcp, link); /* it does not take what is queued, or would not be here */
	conns_events(w);
	return true;
}

static void relieve(struct worker *w)
{
	int64_t part = bound_of(w) / w->plane->n_workers, before;

	count(w->counts, worker_memory_pressure);
	for (size_t i = 0; i < ARRAY_LEN(consumers); i++)
		if (consumers[i].used(w) > part / MUCH)
			consumers[i].cut(w, part / FEW);
	before = memory_used(w);
	for (unsigned walk = 0; walk < WALKS && still_short(w); walk++)
		if (!cut_oldest(w) && !cut_heaviest(w))
			break;
	count_add(w->counts, worker_oom_cell_bytes, (uint64_t)MAX(before - memory_used(w), 0));
	w->figures->mem_bytes = (uint64_t)memory_used(w);
}

void memory_watch(struct worker *w)
{
	int64_t used = memory_used(w);

	w->figures->mem_bytes = (uint64_t)used;
	if (UNLIKELY(is_short(w, used, 20)))
		relieve(w);
}
