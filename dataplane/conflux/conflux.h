/* conflux.h - circuits of one client that carry its streams together (proposal 329; interop
 * F9-F11). A set lives on one worker, owns streams, order and the choice of a leg; its legs may be
 * circuits of any worker. Sans-I/O: the worker carries what is said between a leg and its set.
 * Behind sched/, whose slots hold what came early; before worker/. */
#ifndef RAMSON_CONFLUX_H
#define RAMSON_CONFLUX_H

#include "dataplane/base/base.h"
#include "dataplane/ctl.h"
#include "dataplane/sched/sched.h"
#include "dataplane/wire/conflux.h"
#include "dataplane/wire/relay_msg.h"

#define CFX_LEGS       8	/* most of one set, whatever cfx_max_legs_set says beyond it */
#define CFX_NONE       CFX_LEGS /* no leg */
#define CFX_HELD_SHARE 4	/* of all slots, one in so many may hold messages that came early */
#define CFX_SET	       (1u << 31) /* owner of streams: with this bit a set, else a circuit */

/* ---- what a circuit is to a set: table.c ---- */
enum cfx_tie_state {
	CFX_LOOSE, /* no part of any */
	CFX_ASKED, /* its LINK is on the way to the owner of the nonce */
	CFX_TIED,  /* a leg */
	N_CFX_TIES
};
enum cfx_act {
	CFX_PASS,    /* served as on any circuit */
	CFX_VIOLATE, /* the circuit closes */
	CFX_LINK,
	CFX_ACK,
	CFX_SWITCH,
	CFX_ORDER,  /* takes its place in the set's order */
	CFX_NO_DIR, /* END(NOTDIRECTORY) */
};
/* What a recognised message does to a circuit in that state. */
enum cfx_act cfx_act_of(enum cfx_tie_state state, uint8_t command);
/* Whether a command is numbered across legs (interop F10). */
bool cfx_sequenced(uint8_t command);

/* A circuit's part, on its own worker; all zero is none. */
struct cfx_tie {
	wid set;
	uint64_t linked_us; /* LINKED left: until its ACK the round trip */
	uint32_t rtt_us;    /* what was last known; 0: nothing */
	uint32_t taken;	    /* DATA of a set on another worker that came here */
};

/* ---- sets ---- */
enum cfx_policy { CFX_MINRTT, CFX_LOWRTT };
struct cfx_leg {		       /* one line: what a message touches */
	_Alignas(CACHE_LINE) wid circ; /* 0: no leg; it may still have messages that came early */
	uint64_t received;	       /* number of the last message that came over it */
	uint64_t sent;
	uint32_t head, tail, n; /* those that came early, in slots, in their order */
	uint32_t rtt_us;	/* 0: not known yet */
	uint32_t given, limit;	/* leg on another worker: DATA given to it, and how much may be */
	wid conn;		/* its link: control asks whence a stream comes */
	uint16_t body;		/* longest DATA */
	uint8_t until_short; /* leg on another worker: DATA until one is left short (interop R10) */
	uint8_t _pad[5];
};
_Static_assert(sizeof(struct cfx_leg) == CACHE_LINE, "a leg is one line");

struct cfx_set {
	_Alignas(CACHE_LINE) uint8_t nonce[CONFLUX_NONCE];
	uint64_t delivered; /* number of the last message that streams have seen */
	uint32_t streams;   /* head of the list in edge/ */
	uint32_t asked;	    /* the last ask of its nonce that came here */
	uint8_t n_legs;
	uint8_t current; /* the leg that was last sent on, or CFX_NONE */
	uint8_t policy;	 /* enum cfx_policy */
	uint8_t blocked; /* its streams wait for room on a leg */
	uint32_t n_held; /* messages that came early, of all legs */
	struct cfx_leg leg[CFX_LEGS];
};

/* Who owns a nonce: kept by the worker that its hash names, so that legs of any worker meet. */
struct cfx_name {
	uint8_t nonce[CONFLUX_NONCE];
	uint32_t owner; /* a worker */
	uint32_t asked; /* asks that were sent to it, a running number */
};

struct conflux {
	struct slots slots;
	struct cfx_set *set;
	struct map by_nonce;
	struct slots name_slots;
	struct cfx_name *name;
	struct map by_name;
	struct hash_key key;
	struct cfx_tie *tie; /* per circ */
	uint32_t n_circs;
	uint32_t n_held; /* messages in all queues */
	struct sched *sched;
	struct counts *counts;
	const int64_t *params;
};

/* sched, counts and params are borrowed; key is the same on all workers. 0 or ERR_FULL. */
int cfx_init(struct conflux *c, unsigned worker, uint32_t n_sets, uint32_t n_circs,
	     struct hash_key key, struct sched *sched, struct counts *counts,
	     const int64_t *params);
void cfx_fini(struct conflux *c);

static inline uint32_t cfx_check(const struct conflux *c, wid id)
{
	return slots_check(&c->slots, id);
}
static inline wid cfx_id(const struct conflux *c, uint32_t set)
{
	return slots_id(&c->slots, set);
}
/* The leg of a set that is this circuit, or CFX_NONE. */
unsigned cfx_leg_of(const struct conflux *c, uint32_t set, wid circ);

/* ---- names.c: whose set a nonce is ---- */
unsigned cfx_registrar(const struct conflux *c, const uint8_t nonce[CONFLUX_NONCE], unsigned n);
/* On the registrar: the worker that owns the nonce, from when nobody does; *asked is the number of
 * this ask, which goes with it. ERR_FULL: all rows are in use. */
int cfx_ask(struct conflux *c, const uint8_t nonce[CONFLUX_NONCE], unsigned from, uint32_t *asked);
/* The owner has no set of that nonce after the ask of that number. While a later one is under way
 * the row stays: the owner makes a new set when that arrives. */
void cfx_forget(struct conflux *c, const uint8_t nonce[CONFLUX_NONCE], uint32_t asked);

/* ---- sets.c: life of a set ---- */
/* The set of a nonce, or SLOT_NONE. */
uint32_t cfx_find(const struct conflux *c, const uint8_t nonce[CONFLUX_NONCE]);
/* A circuit joins the set of its LINK, which is made when there is none. The leg's row and *set,
 * and what LINKED has to say in *answer; ERR_FULL: no more legs or sets; ERR_MALFORMED: messages
 * that were sent on other legs are lost, the whole set is to close (*set, if there is one; else
 * SLOT_NONE). On ERR_* a set made for it is gone again. */
int cfx_join(struct conflux *c, const struct conflux_link *l, uint32_t asked, wid circ, wid conn,
	     uint32_t *set, struct conflux_link *answer);
/* A leg leaves. in_flight: DATA of it is not acknowledged. True when the set cannot go on without
 * it: that leg was in use (C tor's rule), or the last. */
bool cfx_leave(struct conflux *c, uint32_t set, unsigned leg, bool in_flight);
/* The set ends: its nonce, what it holds, its id. The worker has its legs and streams already. */
void cfx_free(struct conflux *c, uint32_t set);
/* The set with most messages that came early, or SLOT_NONE. Walks all sets: for emergencies. */
uint32_t cfx_heaviest(const struct conflux *c);

/* ---- order.c: what comes in ---- */
enum cfx_in {
	CFX_NOW,   /* the next one: serve it, then what cfx_next gives */
	CFX_EARLY, /* to be kept by cfx_hold */
	CFX_STALE, /* its number was delivered already: a lie, the leg closes */
};
/* A sequenced message came over a leg. */
enum cfx_in cfx_in(struct conflux *c, uint32_t set, unsigned leg);
/* Keeps it. 0; ERR_FULL: the set's bound (cfx_max_oooq_bytes), no slot, or all sets hold too much.
 */
int cfx_hold(struct conflux *c, uint32_t set, unsigned leg, const struct relay_msg *m);
/* Whether all queues together are at their bound. */
static inline bool cfx_full(const struct conflux *c)
{
	return c->n_held >= c->sched->cf.n_slots / CFX_HELD_SHARE;
}
/* SWITCH: the leg's numbers go on from there. */
void cfx_switched(struct conflux *c, uint32_t set, unsigned leg, uint32_t delta);
enum cfx_next {
	CFX_NOTHING,
	CFX_NEXT, /* *m, in *slot, which the caller gives back */
	CFX_LIED, /* a leg brought a number that another had brought already: it closes */
};
/* The next message whose turn it is; *leg: the row it came over, whose leg may have left. */
enum cfx_next cfx_next(struct conflux *c, uint32_t set, struct relay_msg *m, uint32_t *slot,
		       unsigned *leg);

/* ---- pick.c: over which leg to send ---- */
struct cfx_view {	 /* of a leg, by the worker's accessor; all zero for a row without one */
	uint32_t rtt_us; /* 0: not known */
	uint32_t room;	 /* DATA that it takes now: window, queue */
};
enum { CFX_WAIT = CFX_LEGS, CFX_BROKEN };
/* The leg for the next message: its row, which is the current one from now; CFX_WAIT: it is DATA
 * and no leg may take it; CFX_BROKEN: the numbers of the two sides do not fit, the set is to close.
 * When *switched, a SWITCH of *delta goes before it on that leg. */
unsigned cfx_pick(struct conflux *c, uint32_t set, const struct cfx_view view[CFX_LEGS], bool data,
		  bool *switched, uint32_t *delta);
/* A sequenced message was given to a leg. */
static inline void cfx_sent(struct cfx_set *s, unsigned leg)
{
	s->leg[leg].sent++;
}

#endif
