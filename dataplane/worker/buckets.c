/* buckets.c - the bytes that conns may read and write (interop B1 to B5): two token buckets that
 * all workers share, and one for each link to a peer that is no known relay. A worker draws a slice
 * at the start of its turn and gives back at the end what it did not use. Beside links_in.c,
 * links_out.c and streams.c, which ask before they move. */
#include "dataplane/worker/worker.h"

#define REFILL_US     1000ull
#define REFILL_MAX_US 1000000ull /* a stall longer than this earns no more */
#define NO_BOUND      (INT64_MAX / 4)
#define SHARE	      8 /* of what is left, one link takes at most this part (interop B4) */
#define CELLS_LEAST   4
#define OWN_WAIT_US                                                                                \
	1000000ull /* longest wait for a link's own bucket, before it is asked again               \
		    */
#define TIGHT_US   100000ull
#define OWN_USE_US 30000000ull /* after a cell of our own circuits a link relays nothing (B2) */

/* ---- the buckets that all share ---- */
static int64_t rate_of(const struct worker *w, enum ctl_param_id id)
{
	return w->params[id] ? w->params[id] : PARAM_MAX;
}

/* A bucket that is not set has no bound of its own. */
static bool is_set(const struct worker *w, enum bucket_id b)
{
	return b == BUCKET_ALL || w->params[CTL_PARAM_RELAY_RATE];
}

static void pour(int64_t *left, int64_t gain, int64_t burst)
{
	int64_t now = __atomic_add_fetch(left, gain, __ATOMIC_RELAXED);

	if (now > burst)
		__atomic_sub_fetch(left, now - burst, __ATOMIC_RELAXED);
}

void buckets_refill(struct worker *w)
{
	static const enum ctl_param_id rate[N_BUCKETS] = {CTL_PARAM_RATE, CTL_PARAM_RELAY_RATE},
				       burst[N_BUCKETS] = {CTL_PARAM_BURST, CTL_PARAM_RELAY_BURST};
	struct plane *p = w->plane;
	uint64_t last = __atomic_load_n(&p->refill_us, __ATOMIC_RELAXED), us;

	if (w->now_us < last + REFILL_US ||
	    !__atomic_compare_exchange_n(&p->refill_us, &last, w->now_us, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_RELAXED))
		return; /* too soon, or another worker has done it */
	us = MIN(w->now_us - last, REFILL_MAX_US);
	for (int b = 0; b < N_BUCKETS; b++) {
		int64_t r = rate_of(w, rate[b]);

		/* Millionths of a byte that this leaves over would make a slow rate slower. */
		p->over[b] += (uint64_t)r * us;
		for (int way = 0; way < N_WAYS; way++)
			pour(&p->bucket[b].left[way], (int64_t)(p->over[b] / 1000000),
			     w->params[rate[b]] ? rate_of(w, burst[b]) : PARAM_MAX);
		p->over[b] %= 1000000;
	}
}

void buckets_draw(struct worker *w)
{
	for (int b = 0; b < N_BUCKETS; b++) {
		for (int way = 0; way < N_WAYS; way++) {
			int64_t *left = &w->plane->bucket[b].left[way], take = NO_BOUND;

			if (is_set(w, b)) {
				take = __atomic_load_n(left, __ATOMIC_RELAXED);
				take = take > 0 ? (take + w->plane->n_workers - 1) /
							  w->plane->n_workers
						: 0;
				if (take)
					__atomic_sub_fetch(left, take, __ATOMIC_RELAXED);
			}
			w->purse[b][way] = take;
		}
	}
	w->drawn_relayed = is_set(w, BUCKET_RELAYED);
	if (UNLIKELY(w->short_of & SHORT(BUCKET_ALL, WAY_IN)))
		w->tight_until_us = w->now_us + TIGHT_US;
	w->short_of = 0;
	w->tight = w->now_us < w->tight_until_us;
	if (!w->tight || !w->edge.n_ready || w->read_head == SLOT_NONE)
		w->lead = 0; /* nobody waits for the other */
}

bool links_turn(struct worker *w)
{
	if (LIKELY(w->purse[BUCKET_ALL][WAY_IN] > 0))
		return LIKELY(!w->tight) || w->lead <= 0 || !w->edge.n_ready;
	w->short_of |= SHORT(BUCKET_ALL, WAY_IN);
	return w->n_free != 0;
}

bool exits_turn(struct worker *w)
{
	if (LIKELY(w->purse[BUCKET_ALL][WAY_IN] > 0))
		return LIKELY(!w->tight) || w->lead >= 0 || w->read_head == SLOT_NONE;
	w->short_of |= SHORT(BUCKET_ALL, WAY_IN);
	return w->n_free != 0;
}

/* What is over, or what was taken too much: a record is not cut. */
void buckets_return(struct worker *w)
{
	for (int b = 0; b < N_BUCKETS; b++)
		for (int way = 0; way < N_WAYS; way++)
			if (w->purse[b][way] && (b == BUCKET_ALL || w->drawn_relayed))
				__atomic_add_fetch(&w->plane->bucket[b].left[way], w->purse[b][way],
						   __ATOMIC_RELAXED);
	if (LIKELY(!w->short_of))
		return;
	count_add(w->counts, worker_rate_read, !!(w->short_of & SHORT(BUCKET_ALL, WAY_IN)));
	count_add(w->counts, worker_rate_write, !!(w->short_of & SHORT(BUCKET_ALL, WAY_OUT)));
	count_add(
		w->counts, worker_rate_relayed,
		!!(w->short_of & (SHORT(BUCKET_RELAYED, WAY_IN) | SHORT(BUCKET_RELAYED, WAY_OUT))));
}

/* ---- a link's own ---- */
static void own_refill(struct worker *w, struct own_bucket *o)
{
	int64_t rate = rate_of(w, CTL_PARAM_PERCONN_RATE);
	int64_t burst = rate_of(w, CTL_PARAM_PERCONN_BURST);
	int64_t us = (int64_t)MIN(w->now_us - o->at_us, REFILL_MAX_US);

	if (us * rate < 1000000)
		return;						       /* not a byte yet */
	o->at_us = w->now_us - (uint64_t)(us * rate % 1000000 / rate); /* of the next byte */
	for (int way = 0; way < N_WAYS; way++)
		o->left[way] = MIN(o->left[way] + us * rate / 1000000, burst);
}

/* Whether its bucket has something; if not, its timer is set for when it will. */
static bool own_has(struct worker *w, uint32_t conn, enum way way)
{
	struct own_bucket *o = &w->own[conn];
	uint64_t wait;

	own_refill(w, o);
	if (o->left[way] > 0)
		return true;
	count(w->counts, worker_rate_conn);
	wait = (uint64_t)(1 - o->left[way]) * 1000000 /
	       (uint64_t)rate_of(w, CTL_PARAM_PERCONN_RATE);
	if (!wheel_is_set(&w->own_timers, conn))
		wheel_set(&w->own_timers, conn, w->now_us + MIN(wait, OWN_WAIT_US));
	return false;
}

void buckets_timers(struct worker *w)
{
	uint32_t due[BATCH], n;

	do {
		n = wheel_due(&w->own_timers, w->now_us, due, BATCH);
		for (uint32_t i = 0; i < n; i++) {
			if (link_of(&w->links, due[i])->state == LINK_NONE)
				continue;
			link_want_read(w, due[i]);
			sched_wake(&w->sched, due[i]);
		}
	} while (n == BATCH);
}

/* ---- who counts where ---- */
static void set_free(struct worker *w, struct conn *k, bool yes)
{
	w->n_free += (uint32_t)yes - k->free;
	k->free = yes;
}

void buckets_conn_start(struct worker *w, uint32_t conn)
{
	struct addr local, remote;

	tcp_addrs(w->tcp, conn, &local, &remote);
	set_free(w, &w->conn[conn],
		 !w->params[CTL_PARAM_COUNT_PRIVATE] && addr_is_private(&remote));
}

void buckets_conn_end(struct worker *w, uint32_t conn)
{
	set_free(w, &w->conn[conn], false);
	w->conn[conn].has_own = 0;
	wheel_clear(&w->own_timers, conn);
}

/* Known relays have what all have together (interop B3). */
static void own_set(struct worker *w, uint32_t conn, uint8_t peer)
{
	struct conn *k = &w->conn[conn];
	bool had = k->has_own;

	k->has_own = peer != CTL_PEER_RELAY &&
		     (rate_of(w, CTL_PARAM_PERCONN_RATE) < rate_of(w, CTL_PARAM_RATE) ||
		      rate_of(w, CTL_PARAM_PERCONN_BURST) < rate_of(w, CTL_PARAM_BURST));
	if (!had && k->has_own) {
		int64_t full = rate_of(w, CTL_PARAM_PERCONN_BURST);

		w->own[conn] = (struct own_bucket) {{full, full}, w->now_us};
	}
}

void buckets_link_ready(struct worker *w, uint32_t conn)
{
	own_set(w, conn, link_of(&w->links, conn)->peer);
}

void buckets_changed(struct worker *w)
{
	for (uint32_t i = 0; i < w->plane->n_conns; i++) {
		const struct link *k = link_of(&w->links, i);

		if (tcp_live(w->tcp, i))
			buckets_conn_start(w, i);
		if (k->state == LINK_OPEN)
			own_set(w, i, k->peer);
	}
}

/* ---- asking and paying ---- */
/* Links of our own circuits are a client's for a while, and exits are never relayed traffic. */
static bool is_relayed(const struct worker *w, const struct conn *k)
{
	return LIKELY(!k->own_use_us) || w->now_us > k->own_use_us + OWN_USE_US;
}

enum leave link_may(struct worker *w, uint32_t conn, enum way way)
{
	const struct conn *k = &w->conn[conn];

	if (UNLIKELY(k->free))
		return LEAVE_NOW;
	if (UNLIKELY(w->purse[BUCKET_ALL][way] <= 0)) {
		w->short_of |= SHORT(BUCKET_ALL, way);
		return LEAVE_LATER;
	}
	if (UNLIKELY(w->purse[BUCKET_RELAYED][way] <= 0) && is_relayed(w, k)) {
		w->short_of |= SHORT(BUCKET_RELAYED, way);
		return LEAVE_LATER;
	}
	return LIKELY(!k->has_own) || own_has(w, conn, way) ? LEAVE_NOW : LEAVE_TIMER;
}

void link_moved(struct worker *w, uint32_t conn, enum way way, size_t bytes)
{
	const struct conn *k = &w->conn[conn];

	*(way == WAY_IN ? &w->figures->link_bytes_in : &w->figures->link_bytes_out) += bytes;
	if (UNLIKELY(k->free))
		return;
	w->purse[BUCKET_ALL][way] -= (int64_t)bytes;
	w->lead += way == WAY_IN ? (int64_t)bytes : 0;
	if (is_relayed(w, k))
		w->purse[BUCKET_RELAYED][way] -= (int64_t)bytes;
	if (UNLIKELY(k->has_own))
		w->own[conn].left[way] -= (int64_t)bytes;
}

bool exit_may_read(struct worker *w, uint32_t conn)
{
	if (LIKELY(w->purse[BUCKET_ALL][WAY_IN] > 0) || (w->n_free && w->conn[conn].free))
		return true;
	w->short_of |= SHORT(BUCKET_ALL, WAY_IN);
	return false;
}

void exit_moved(struct worker *w, uint32_t conn, enum way way, size_t bytes)
{
	if (UNLIKELY(w->n_free) && w->conn[conn].free)
		return;
	w->purse[BUCKET_ALL][way] -= (int64_t)bytes;
	w->lead -= way == WAY_IN ? (int64_t)bytes : 0;
}

/* When tokens are short links take turns in small shares, so that none waits for long ones of
 * others. */
unsigned share_cells(const struct worker *w)
{
	int64_t left = MIN(w->purse[BUCKET_ALL][WAY_OUT], w->purse[BUCKET_RELAYED][WAY_OUT]);
	int64_t cells = left / (SHARE * CELL_LEN);

	return (unsigned)MIN(MAX(cells, CELLS_LEAST), CELLS_A_RECORD);
}
