/* link.h - the Tor channel over one conn: cells are cut from what TLS opened on the way up, and
 * padding, keep-alive and idle rules are kept on the way down. Behind tls/, before circ/. */
#ifndef RAMSON_LINK_H
#define RAMSON_LINK_H

#include "dataplane/base/base.h"
#include "dataplane/ctl.h"
#include "dataplane/wire/cell.h"

/* DESIGN section 1, "Link hand-over". */
enum link_state {
	LINK_NONE,	/* this conn carries no link */
	LINK_TLS,	/* control handshakes TLS: whole records go up */
	LINK_HANDSHAKE, /* every cell goes up byte for byte */
	LINK_HELD,	/* NETINFO went up: nothing is cut until control says so */
	LINK_OPEN,
};

/* What the open link does with a command: link/table.c. */
enum link_act {
	LINK_IGNORE,	/* unknown, or out of season: counted and dropped */
	LINK_PADDING,	/* counted and dropped */
	LINK_NEGOTIATE, /* PADDING_NEGOTIATE: ours to obey */
	LINK_CREATE,
	LINK_CREATED,
	LINK_RELAY,
	LINK_DESTROY,
	LINK_VIOLATE, /* ends the link */
};
enum link_act link_act_of(uint8_t command);

#define LINK_STASH     520 /* an unfinished fixed cell */
#define LINK_CELLS_MAX 64  /* cells that one call of link_in gives at most */

struct link {
	/* what a record touches, in or out */
	_Alignas(CACHE_LINE) uint8_t state;
	uint8_t id_len, proto, peer, initiator, canonical, used;
	uint8_t side;	   /* which stash holds the unfinished cell */
	uint8_t padded;	   /* the peer may be padded: from version 5 on, until it says no */
	uint32_t part_len; /* bytes of the unfinished cell */
	size_t skip;	   /* bytes of a variable cell that is only dropped, still to come */
	uint8_t *done;	   /* the long cell that the last call of link_in gave */
	uint64_t last_in_us, last_out_us;
	uint64_t pad_at_us; /* 0: to be drawn */
	uint32_t n_legs;    /* circuits on it: kept by the worker */
	uint32_t done_len;
	/* the rest */
	uint32_t identity;
	uint32_t held_len, early_len, big_len;
	uint8_t *held;	 /* what came behind NETINFO */
	uint8_t *early;	 /* LINK_TLS: every byte that went up, for what lies behind the hand-over */
	uint8_t *big;	 /* an unfinished variable cell longer than the stash */
	uint32_t idle_s; /* how long it may live without circuits; drawn once, see link_retire */
	uint16_t pad_low_ms, pad_high_ms; /* what the peer asked for; 0: nothing */
	uint64_t opened_us, last_leg_us;
	uint8_t *tag;
};
_Static_assert(offsetof(struct link, identity) == CACHE_LINE, "one line for a record");

struct link_config {
	uint32_t n_conns;
	struct counts *counts;
	struct rng *rng;
	const int64_t *params; /* N_CTL_PARAMS values, live */
};

struct links {
	struct link_config cf;
	struct link *col;
	uint8_t *stash; /* two of LINK_STASH bytes per conn */
	uint32_t n_open;
	uint64_t
		mem; /* bytes that links hold beside their rows: of unfinished handshakes, mostly */
	struct wheel timers;
};

int links_init(struct links *l, const struct link_config *cf, uint64_t now_us);
void links_fini(struct links *l);

static inline struct link *link_of(struct links *l, uint32_t conn)
{
	return &l->col[conn];
}

/* A conn becomes a link in state LINK_TLS; after keys it is LINK_HANDSHAKE. */
void link_start(struct links *l, uint32_t conn, uint64_t now_us);
void link_secured(struct links *l, uint32_t conn);
/* Control has judged the handshake: cells flow. 0, or ERR_NOT_NOW when it is not held. */
int link_ready(struct links *l, uint32_t conn, const struct ctl_conn_ready *ready, uint64_t now_us);
/* An open link is to end as soon as no circuit is on it. */
void link_retire(struct links *l, uint32_t conn, uint64_t now_us);
/* Frees what the link holds; the conn carries no link any more. */
void link_stop(struct links *l, uint32_t conn);

/* While control handshakes, whole records go up and are kept too, because only CONN_KEYS tells
 * where the handshake ended. 0, ERR_MALFORMED beyond LINK_EARLY_MAX, ERR_FULL. */
#define LINK_EARLY_MAX 65536
int link_keep(struct links *l, uint32_t conn, const uint8_t *record, size_t len);
/* The records from stream offset on; the caller frees *data, of which the rest begins at *at.
 * Length of that rest, or ERR_MALFORMED when the offset was never reached. */
int link_take_early(struct links *l, uint32_t conn, uint64_t offset, uint8_t **data, size_t *at);

/* Bytes that a link holds beside its row; gives back those of a handshake that is given up. */
static inline uint64_t link_mem(const struct link *k)
{
	return (uint64_t)k->early_len + k->held_len + k->big_len + k->done_len;
}
void link_drop(struct links *l, uint32_t conn);

/* Cuts data, which TLS opened, into cells: they point into data or into the link's stash and are
 * valid until the next call for this conn. In LINK_HANDSHAKE all cells are given (for control), and
 * what follows NETINFO is kept aside, and all of it in LINK_HELD; in LINK_OPEN the fixed cells that
 * somebody above wants are, the rest is counted and dropped. Returns the number of cells, at most
 * LINK_CELLS_MAX; ERR_MALFORMED when the peer broke the link protocol; ERR_FULL without memory. */
int link_in(struct links *l, uint32_t conn, uint8_t *data, size_t len, struct cell *cells);
/* The bytes kept aside, for link_in once the link is open; the caller frees *data. */
size_t link_take_held(struct links *l, uint32_t conn, uint8_t **data);

/* Cells that went over an open link, for padding-counts (interop P9). */
static inline void link_count_in(struct links *l, const struct link *k, unsigned n)
{
	count_add(l->cf.counts, link_cells_in, n);
	if (k->padded)
		count_add(l->cf.counts, link_padded_cells_in, n);
}
static inline void link_count_out(struct links *l, const struct link *k, unsigned n)
{
	count_add(l->cf.counts, link_cells_out, n);
	if (k->padded)
		count_add(l->cf.counts, link_padded_cells_out, n);
}

/* PADDING_NEGOTIATE (padding-spec section 2.5): obeyed or ignored, never answered. */
void link_negotiate(struct links *l, uint32_t conn, const struct cell *c, uint64_t now_us);
/* Bytes went out on this link, or came: padding counts from here. */
static inline void link_sent(struct links *l, uint32_t conn, uint64_t now_us)
{
	l->col[conn].last_out_us = now_us;
	l->col[conn].pad_at_us = 0; /* the next look draws anew from this moment */
}
static inline void link_heard(struct links *l, uint32_t conn, uint64_t now_us)
{
	l->col[conn].last_in_us = now_us;
	l->col[conn].pad_at_us = 0;
}
/* What the link was seen to carry for others; it is padded only then (interop P1). */
enum link_use { LINK_UNUSED, LINK_USED_CIRCS, LINK_USED_TRAFFIC };
static inline void link_used(struct links *l, uint32_t conn, enum link_use use)
{
	l->col[conn].used = (uint8_t)MAX(l->col[conn].used, use);
}

/* What a link's timer asks for. */
enum link_due {
	LINK_DUE_NOTHING,
	LINK_DUE_PADDING,
	LINK_DUE_IDLE,
	LINK_DUE_STALE, /* a client's, long silent: circuits that end here unused are to go */
};
struct link_timer {
	uint32_t conn;
	enum link_due due;
};
/* Links whose timer has come, at most max; the padding cell is the caller's to queue. */
unsigned link_timers(struct links *l, uint64_t now_us, struct link_timer *out, unsigned max);

#endif
