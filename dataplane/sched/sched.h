/* sched.h - who sends next. Cells wait here in slots, in one queue per leg, until their link is
 * served; the choice of circuit is made then (EWMA, interop C10). Below it everything is pulled. */
#ifndef RAMSON_SCHED_H
#define RAMSON_SCHED_H

#include "dataplane/base/base.h"
#include "dataplane/ctl.h"
#include "dataplane/wire/cell.h"

/* One waiting cell. Header and payload are one run, and the payload is line-aligned. */
struct slot {
	uint32_t next;
	uint32_t leg; /* SLOT_NONE: the link's own cell */
	uint64_t arrival_us;
	uint8_t scratch[CACHE_LINE - 16 -
			CELL_HEAD]; /* of who holds a slot that is in no queue here */
	uint8_t head[CELL_HEAD];
	uint8_t payload[CELL_PAYLOAD];
	uint8_t _tail[3];
};
_Static_assert(sizeof(struct slot) == 576, "a slot is nine lines");
_Static_assert(offsetof(struct slot, payload) == CACHE_LINE, "the payload begins a line");

struct sched_leg {
	_Alignas(CACHE_LINE) uint32_t head; /* slots */
	uint32_t tail;
	uint32_t n;
	uint32_t conn;
	double sent; /* cells sent, each weighed by 2^(time / half-life): less goes first */
	uint32_t next_destroy;
	uint8_t waiting; /* in its conn's heap */
	uint8_t destroy; /* a DESTROY waits, for this reason */
	uint8_t destroy_reason;
	uint8_t watched; /* its edge waits for room in the queue */
};
_Static_assert(sizeof(struct sched_leg) == CACHE_LINE, "one line for a cell added or picked");
/* Where a conn with something to send stands. */
enum sched_list_id {
	SCHED_NONE,  /* nothing to send, or no room in TCP */
	SCHED_READY, /* to be served in this turn */
	SCHED_LATER, /* for a fuller record; the one that came first is due first, or nearly so */
	N_SCHED_LISTS
};
struct sched_list {
	uint32_t head, tail;
};
struct sched_conn {
	_Alignas(CACHE_LINE) uint64_t root; /* heap of waiting legs: heap.c */
	uint64_t *below;
	uint32_t cap, n_waiting;
	uint32_t n_legs;  /* begun on it: as many may wait */
	uint32_t n_cells; /* waiting in legs */
	uint32_t own_head, own_tail;
	uint32_t destroy_head, destroy_tail;
	uint32_t next, prev; /* in its list */
	uint16_t n_own;
	uint8_t list;	    /* enum sched_list_id */
	uint8_t destroyed;  /* the last cell was a DESTROY: data goes next */
	uint32_t served_us; /* it wraps: a link may wait its interval once an hour for that */
};
_Static_assert(sizeof(struct sched_conn) == CACHE_LINE, "one line for a link that is served");

struct sched_config {
	uint32_t n_conns, n_legs, n_slots;
	struct counts *counts;
	const int64_t *params;
};
struct sched {
	struct sched_config cf;
	struct slot *slots;
	uint32_t *free_slots, n_free, n_touched;
	struct sched_leg *leg;
	uint32_t *heap_at; /* by leg: where it stands in its conn's heap */
	struct sched_conn *conn;
	uint32_t n_legs, n_conns; /* the first ones were ever in use */
	struct sched_list list[N_SCHED_LISTS];
	uint64_t now_us, interval_us; /* of sched_begin */
	uint64_t epoch_us;	      /* time 0 of the weights */
	uint64_t weight_us;	      /* when a cell weighed weight: asked once a turn */
	double weight;
	int64_t half_ms; /* the half-life of these weights; a new one begins a new epoch */
	double halves_a_us;
};

int sched_init(struct sched *s, const struct sched_config *cf, uint64_t now_us);
void sched_fini(struct sched *s);

/* ---- slots: the only memory for waiting cells ---- */
/* A slot, or SLOT_NONE. The worker reads nothing while fewer than a turn's worth are free. */
uint32_t slot_take(struct sched *s);
void slot_give(struct sched *s, uint32_t slot);
static inline struct slot *slot_at(struct sched *s, uint32_t slot)
{
	return &s->slots[slot];
}
/* Asks for a slot's lines, which are read soon; SLOT_NONE is nothing. */
static inline void slot_fetch(const struct sched *s, uint32_t slot)
{
	const uint8_t *p = (const uint8_t *)&s->slots[slot];

	for (size_t i = 0; slot != SLOT_NONE && i < sizeof(struct slot); i += CACHE_LINE)
		__builtin_prefetch(p + i);
}
static inline uint32_t slots_in_use(const struct sched *s)
{
	return s->cf.n_slots - s->n_free;
}

/* ---- in ---- */
/* A conn begins, with nothing that waits: call once before anything else of it. */
void sched_conn_start(struct sched *s, uint32_t conn);
/* A leg begins to wait on its conn: call once before its first cell. ERR_FULL without memory. */
int sched_leg_start(struct sched *s, uint32_t leg, uint32_t conn);
/* It ends: its cells are dropped. */
void sched_leg_stop(struct sched *s, uint32_t leg);
/* Asks for a leg's line, to which a cell will be added. */
static inline void sched_leg_fetch(const struct sched *s, uint32_t leg)
{
	__builtin_prefetch(&s->leg[leg], 1);
}
/* Queues a filled slot (head and payload) behind the leg's others. The queue's length after it. */
uint32_t sched_add(struct sched *s, uint32_t leg, uint32_t slot, uint64_t now_us);
/* Its edge waits: sched_pick says once when no more than cellq_low cells are queued. */
static inline void sched_watch(struct sched *s, uint32_t leg)
{
	s->leg[leg].watched = 1;
}
/* Drops all cells of a leg. */
void sched_leg_clear(struct sched *s, uint32_t leg);
/* Drops the leg's cells; a DESTROY for it waits on the link (interop C12). The leg is to be freed
 * when sched_pick gives it back. */
void sched_destroy(struct sched *s, uint32_t leg, uint8_t reason);
/* A cell of the link itself: padding, or what control sends. ERR_FULL beyond SCHED_OWN_MAX. */
#define SCHED_OWN_MAX 256
int sched_own(struct sched *s, uint32_t conn, uint32_t slot);
/* The conn is gone: drops what waits on it. Its legs are cleared by the caller, one by one. */
void sched_conn_clear(struct sched *s, uint32_t conn);

/* ---- out ---- */
/* Cells that wait on a conn, of whatever kind; a lower bound of at least 1 if any does. */
uint32_t sched_waiting(const struct sched *s, uint32_t conn);
struct sched_pick {
	uint32_t slot;	 /* to be packed and given back; SLOT_NONE: a DESTROY */
	uint32_t leg;	 /* SLOT_NONE: the link's own cell */
	bool drained;	 /* that leg was watched, and few cells are left */
	uint8_t destroy; /* its reason, with slot == SLOT_NONE */
};
/* Asks for what serving a conn, whose row is near, will touch: the row of the leg that is next;
 * then, once that is there, its first cell. */
static inline void sched_fetch(const struct sched *s, uint32_t conn)
{
	const struct sched_conn *c = &s->conn[conn];

	if (c->n_waiting)
		__builtin_prefetch(&s->leg[(uint32_t)c->root], 1);
}
static inline void sched_fetch_far(const struct sched *s, uint32_t conn)
{
	const struct sched_conn *c = &s->conn[conn];

	if (c->n_waiting)
		slot_fetch(s, s->leg[(uint32_t)c->root].head);
}
/* The next cell of a conn: DESTROYs alternate with data, the link's own cells go first. False when
 * nothing waits; the conn then leaves its list. */
bool sched_pick(struct sched *s, uint32_t conn, uint64_t now_us, struct sched_pick *pick);
/* A turn of serving: conns are due when a full record or a cell of their own waits, or interval_us
 * after they were last served; those that are due now join the ready ones. */
void sched_begin(struct sched *s, uint64_t now_us, uint64_t interval_us);
static inline struct sched_list sched_ready(const struct sched *s)
{
	return s->list[SCHED_READY];
}
/* Puts a conn into a list again if something waits (its TCP has room again). */
void sched_wake(struct sched *s, uint32_t conn);
/* It was served: the others go before it. */
void sched_served(struct sched *s, uint32_t conn);
/* Takes it off: TCP has no room. */
void sched_sleep(struct sched *s, uint32_t conn);

/* ---- memory pressure ---- */
/* The legs whose oldest cells have waited longest, at most max, longest first; how many. Walks all
 * legs that were ever in use: for emergencies. */
unsigned sched_oldest(const struct sched *s, uint32_t *legs, unsigned max);
/* Since when a leg's oldest cell has waited; UINT64_MAX: none does. */
static inline uint64_t sched_since(const struct sched *s, uint32_t leg)
{
	return s->leg[leg].n ? s->slots[s->leg[leg].head].arrival_us : UINT64_MAX;
}

#endif
