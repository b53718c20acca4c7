/* circ.h - who is joined to whom. A circuit has two legs: P towards the client, N onward. A leg is
 * a circuit id on a link and lives with that link's worker; the circuit lives with its P leg. */
#ifndef RAMSON_CIRC_H
#define RAMSON_CIRC_H

#include "dataplane/base/base.h"
#include "dataplane/wire/cell.h"

enum circ_side { SIDE_P, SIDE_N };

#define CIRC_MAX_EARLY	 8  /* RELAY_EARLY cells that one circuit passes on (tor-spec 5.6) */
#define CIRC_ID_TRIES	 64 /* random draws for a free circuit id (tor-spec 5.1.1) */
#define CIRC_TAG	 128
#define CIRC_PENDING_MAX 1000 /* CREATEs of one link that wait for control */

struct leg {
	wid circ; /* its circuit, perhaps on another worker; 0: only the DESTROY is still to go */
	uint32_t conn, circ_id;
	uint32_t next, prev; /* legs of the same conn */
	uint32_t gen;	     /* of its slot */
	uint8_t side;
	uint8_t _pad[3];
};
_Static_assert(sizeof(struct leg) == 32, "two to a line, and none on two");

enum circ_state {
	CIRC_FREE,
	CIRC_PENDING, /* its CREATE is with control */
	CIRC_OPEN,
	CIRC_ORIGIN, /* begun by control: cells go up as they are */
	CIRC_CLOSED, /* dead; control has not been told yet */
};

/* What went up and is not decided. */
enum circ_asked {
	ASKED_NOTHING,
	ASKED_EXTEND, /* EXTEND2, under this serial */
	ASKED_SPLICE, /* RENDEZVOUS1 */
};

struct circ {
	_Alignas(CACHE_LINE) wid leg[2]; /* by side; 0: none */
	wid splice;			 /* the other circuit of a rendezvous; 0: none */
	uint32_t serial;		 /* of the extend in progress; moves on when that is void */
	uint32_t conn;			 /* of the P leg (of the N leg when CIRC_ORIGIN) */
	uint8_t state, n_early, extending, reason;
	uint8_t asked;	   /* enum circ_asked */
	uint8_t blocked;   /* its edge streams wait for room in its queue */
	uint8_t padded;	   /* a padding machine listens to what goes to the client */
	uint8_t noted : 1; /* its link is known to carry user traffic */
	uint8_t tied : 2;  /* what it is to a conflux set: enum cfx_tie_state */
	uint32_t streams;  /* head of the list in edge/ */
	uint32_t padding;  /* row in padding/; SLOT_NONE: never asked for any */
	uint32_t gen;	   /* of its slot */
};
_Static_assert(sizeof(struct circ) == CACHE_LINE, "one line for a cell that passes");

struct circs {
	struct slots circ_slots, leg_slots;
	struct circ *circ;
	struct leg *leg;
	uint8_t (*tag)[CIRC_TAG]; /* control's, kept unread for a replay */
	uint32_t *conn_legs; /* 1 + head of the legs of each conn: 0, as memory begins, is none */
	uint16_t *conn_pending; /* CREATEs of each conn with control */
	uint32_t n_conns;
	struct map by_id; /* (conn, circuit id) -> leg */
};

int circs_init(struct circs *c, unsigned worker, uint32_t n_circs, uint32_t n_legs,
	       uint32_t n_conns, struct hash_key key);
void circs_fini(struct circs *c);

/* A circuit in state, with no legs. SLOT_NONE when all are in use. */
uint32_t circ_new(struct circs *c, enum circ_state state, uint32_t conn);
void circ_free(struct circs *c, uint32_t circ);
/* A new state; keeps the count of pending CREATEs of its conn. */
void circ_set_state(struct circs *c, uint32_t circ, enum circ_state state);

/* A leg with a given circuit id. SLOT_NONE when the id is in use on that conn or memory is short.
 */
uint32_t leg_new(struct circs *c, uint32_t conn, uint32_t circ_id, wid circ, enum circ_side side);
/* A leg with a circuit id drawn at random from our half (the top bit is set by the side that
 * dialled, tor-spec 5.1.1). SLOT_NONE when none was free. */
uint32_t leg_draw(struct circs *c, uint32_t conn, bool initiator, wid circ, enum circ_side side,
		  struct rng *rng);
void leg_free(struct circs *c, uint32_t leg);
/* The first leg of a conn, or SLOT_NONE. */
static inline uint32_t conn_legs(const struct circs *c, uint32_t conn)
{
	return c->conn_legs[conn] - 1;
}

static inline uint64_t leg_key(uint32_t conn, uint32_t circ_id)
{
	return (uint64_t)(conn + 1) << 32 | circ_id;
}
/* The leg of a circuit id, or SLOT_NONE; legs that only wait for their DESTROY are found too. */
static inline uint32_t leg_find(const struct circs *c, uint32_t conn, uint32_t circ_id)
{
	return map_get(&c->by_id, leg_key(conn, circ_id));
}
/* The legs of many (conn, circuit id), side by side, into leg[]: one look-up alone waits for memory
 * three times, and many wait together. n at most LEGS_ASKED. */
#define LEGS_ASKED 128
void legs_find(const struct circs *c, const uint32_t *conn, const uint32_t *circ_id, unsigned n,
	       uint32_t *leg);
/* Asks for a leg's row. */
static inline void leg_fetch(const struct circs *c, uint32_t leg)
{
	__builtin_prefetch(&c->leg[leg]);
}
/* Whether what legs_find gave still is the leg of that circuit id. */
static inline bool leg_is(const struct circs *c, uint32_t leg, uint32_t conn, uint32_t circ_id)
{
	return slots_live(&c->leg_slots, leg) && c->leg[leg].conn == conn &&
	       c->leg[leg].circ_id == circ_id;
}
static inline uint32_t circ_check(const struct circs *c, wid id)
{
	return slots_check(&c->circ_slots, id);
}
static inline uint32_t leg_check(const struct circs *c, wid id)
{
	return slots_check(&c->leg_slots, id);
}
static inline wid circ_id_of(const struct circs *c, uint32_t circ)
{
	return slots_id(&c->circ_slots, circ);
}
static inline wid leg_id_of(const struct circs *c, uint32_t leg)
{
	return slots_id(&c->leg_slots, leg);
}

#endif
