/* handshake.h - circuit handshakes, both sides: ntor, ntor v3 and CREATE_FAST, and the pool of
 * threads that answers them. It stands beside the walk: a CREATE2 comes up here, keys go down. */
#ifndef RAMSON_HANDSHAKE_H
#define RAMSON_HANDSHAKE_H

#include "dataplane/base/base.h"

struct event_base;
struct hsk_talk;
struct x25519;

/* Numbers of the wire (tor-spec section 5.1); TAP is refused, FAST never comes in a CREATE2. */
enum handshake_type {
	HANDSHAKE_TAP = 0,
	HANDSHAKE_FAST = 1,
	HANDSHAKE_NTOR = 2,
	HANDSHAKE_NTOR3 = 3,
};

#define HANDSHAKE_SKIN_MAX  505 /* of a CREATE2 */
#define HANDSHAKE_REPLY_MAX 496 /* longest CREATED2 data that any relay takes */
#define HANDSHAKE_KEYS_LEN  72	/* tor1: Df, Db, Kf, Kb */
#define HANDSHAKE_CGO_LEN   160 /* CGO: five keys of 16 bytes for each direction */
#define HANDSHAKE_KH_LEN    20
#define HANDSHAKE_FAST_LEN  20
#define HANDSHAKE_NTOR_LEN  84

struct handshake_pair {
	uint8_t secret[32], public[32];
};

/* What we grant to a client of ntor v3 that asks for it; as the consensus has it. */
struct handshake_terms {
	uint8_t cc;	    /* congestion control */
	uint8_t sendme_inc; /* cells that one SENDME then stands for */
	uint8_t cgo;	    /* Counter Galois Onion, with congestion control only */
};

/* What a relay answers with. A copy is taken where it is handed over, and wiped after use. */
struct handshake_keys {
	struct handshake_terms terms;
	uint8_t rsa_id[20];
	uint8_t ed_id[32];
	unsigned n_onion;		/* 1 or 2 */
	struct handshake_pair onion[2]; /* the current key, and the previous while in grace */
	struct handshake_pair junk;	/* stands in for a key that we do not have */
	struct evp_pkey_st *ready[3];	/* the pool's own: onion and junk, unpacked; else NULL */
};

/* The outcome on either side: the answer (server side only) and the keys. A secret: wipe it. */
struct handshake_done {
	uint16_t reply_len;
	uint8_t reply[HANDSHAKE_REPLY_MAX];
	uint8_t keys[HANDSHAKE_CGO_LEN]; /* handshake_keys_len() of them; forward first */
	uint8_t kh[HANDSHAKE_KH_LEN];	 /* for ESTABLISH_INTRO (rend-spec 3.1.1) */
	uint8_t scheme;			 /* of onion/table.c: 0 tor1, 1 CGO */
	uint8_t cc;			 /* congestion control was granted */
	uint8_t sendme_inc;		 /* then, else 0 */
};

/* Bytes of keys that a scheme of onion/table.c takes out of a handshake; KH is what comes behind
 * them (interop H13). */
static inline uint8_t handshake_keys_len(uint8_t scheme)
{
	return scheme ? HANDSHAKE_CGO_LEN : HANDSHAKE_KEYS_LEN;
}

/* A row of the table of handshakes. */
struct handshake {
	uint16_t type;
	const char *name;
	uint16_t skin_min, skin_max; /* length of the client's part */
	/* The relay's side in two halves around X25519, or in one where there is none. Each gives
	 * 0, or ERR_MALFORMED or ERR_CRYPTO with *done untouched. */
	int (*start)(struct hsk_talk *t);
	int (*reply)(const struct hsk_talk *t, struct handshake_done *done);
	int (*answer)(const struct handshake_keys *keys, const uint8_t *skin, size_t skin_len,
		      struct handshake_done *done);
};
/* The row of a type that we answer, or NULL (TAP and unknown types). */
const struct handshake *handshake_find(uint16_t type);

/* Answers one handshake on this thread (CREATE_FAST; the pool does it for the others). 0, or
 * ERR_MALFORMED, ERR_CRYPTO (both: DESTROY TORPROTOCOL); *done is written on success only.
 * keys may be NULL for HANDSHAKE_FAST. tor-spec section 5.1, proposal 332. */
int handshake_answer(uint16_t type, const struct handshake_keys *keys, const uint8_t *skin,
		     size_t skin_len, struct handshake_done *done);

/* ---- many at once: the products of all of them side by side ---- */
#define HANDSHAKE_BATCH 16 /* taken together at most */
struct handshake_ask {
	uint16_t type;
	const struct handshake_keys *keys;
	const uint8_t *skin;
	size_t skin_len;
	struct handshake_done *done; /* written on success only */
	int error;		     /* what handshake_answer would have returned */
};
/* One per thread: our fresh points are made many at a time, before they are asked for. A secret:
 * wipe it. It begins with x set (x25519_init has been called on it) and the rest zero. */
struct handshake_bulk {
	const struct x25519 *x;
	unsigned n_fresh;
	struct handshake_pair fresh[HANDSHAKE_BATCH];
};
/* Answers n of them, at most HANDSHAKE_BATCH. Where X25519 has no lanes it is the same as
 * handshake_answer for each. */
void handshake_answer_many(struct handshake_bulk *b, struct handshake_ask *asks, unsigned n);

/* A fresh X25519 pair. 0 or ERR_CRYPTO. */
int handshake_pair_new(struct handshake_pair *pair);
/* Fills pair->public from pair->secret. 0 or ERR_CRYPTO. */
int handshake_pair_public(struct handshake_pair *pair);

/* ---- the client's side, for circuits that begin here ---- */

/* Whom we extend to, and what we ask of it; only what the type needs is read (FAST: nothing; ntor:
 * rsa_id and onion; ntor v3: ed_id, onion and what is asked). */
struct handshake_peer {
	uint8_t rsa_id[20];
	uint8_t ed_id[32];
	uint8_t onion[32];
	uint8_t ask_cc;	 /* congestion control; the peer may not grant it */
	uint8_t ask_cgo; /* Counter Galois Onion, with it; else the peer refuses */
};
struct handshake_client { /* between the two halves; a secret */
	uint16_t type;
	struct handshake_peer peer;
	struct handshake_pair eph;   /* x, X; FAST: X in public[0..19] */
	uint8_t bx[32], msg_mac[32]; /* ntor v3 */
};
/* Makes the onion skin (up to HANDSHAKE_SKIN_MAX bytes at skin). 0, ERR_UNKNOWN for a type that
 * we do not speak, ERR_CRYPTO. */
int handshake_begin(struct handshake_client *c, uint16_t type, const struct handshake_peer *peer,
		    uint8_t *skin, size_t *skin_len);
/* Takes the answer; all but the reply is written to done on success. c is wiped in any case.
 * 0, ERR_MALFORMED, ERR_CRYPTO; ERR_NOT_NOW for an answer to what was not asked. */
int handshake_finish(struct handshake_client *c, const uint8_t *reply, size_t reply_len,
		     struct handshake_done *done);

/* ---- extensions of ntor v3 (proposals 332 and 346) ---- */
#define HANDSHAKE_EXT_CC_REQUEST  1
#define HANDSHAKE_EXT_CC_RESPONSE 2
#define HANDSHAKE_EXT_SUBPROTO	  3

#define HANDSHAKE_EXT_REPLY_MAX 4 /* bytes of the longest message of ours */

/* Reads the client's message, decides by our terms and writes ours to reply; scheme, cc and
 * sendme_inc of done say what was agreed. As C tor: types that we do not know are passed over, of a
 * type that comes twice the first counts, bytes behind the list are nothing. ERR_MALFORMED when it
 * does not parse (an empty message does not) or its capabilities do not ascend; ERR_NOT_NOW when
 * one of them is not served, or is CGO without congestion control. Nothing is written then. */
int handshake_extensions(const struct handshake_terms *terms, const uint8_t *msg, size_t len,
			 uint8_t reply[HANDSHAKE_EXT_REPLY_MAX], size_t *reply_len,
			 struct handshake_done *done);

/* ---- the pool: threads that answer, one bounded queue before them ---- */
struct handshake_pool;

struct handshake_result {
	wid circ;
	int error; /* 0; ERR_MALFORMED, ERR_CRYPTO: TORPROTOCOL; ERR_FULL: too old, RESOURCELIMIT */
	uint16_t type;
	struct handshake_done done; /* when error is 0; wiped after the call-back */
};
typedef void handshake_result_fn(void *arg, const struct handshake_result *r);

struct handshake_limits {
	uint32_t max_delay_ms;	 /* MaxOnionQueueDelay: refuse when the projected wait is longer */
	uint32_t wait_cutoff_ms; /* onion_queue_wait_cutoff: what waited longer is dropped */
	uint32_t n_always;	 /* this many may wait whatever the projection says */
	uint32_t n_most;	 /* never more than this */
};
#define HANDSHAKE_LIMITS_DEFAULT ((struct handshake_limits) {1750, 5000, 50, 65536})

/* What happened to handshakes so far, by type (index HANDSHAKE_FAST to HANDSHAKE_NTOR3). */
struct handshake_figures {
	uint64_t asked[4], answered[4], failed[4], refused[4], too_old[4];
	uint32_t n_waiting, n_threads;
	uint32_t usec_each; /* measured mean */
};

/* Starts n_threads (0: one for each CPU) that answer with the keys given by handshake_pool_keys.
 * Results are delivered on the thread of base's loop. 0, ERR_SYSTEM, ERR_FULL. */
int handshake_pool_new(struct handshake_pool **pool, struct event_base *base, unsigned n_threads,
		       handshake_result_fn *fn, void *arg);
/* Waits for the threads; nothing is delivered any more. NULL is allowed. */
void handshake_pool_free(struct handshake_pool *pool);
/* New keys for jobs queued from now on (rotation); jobs that wait keep theirs. 0 or ERR_FULL. */
int handshake_pool_keys(struct handshake_pool *pool, const struct handshake_keys *keys);
void handshake_pool_limits(struct handshake_pool *pool, const struct handshake_limits *limits);
/* Queues one. *ticket names it for handshake_pool_cancel. 0; ERR_FULL when overloaded (DESTROY
 * RESOURCELIMIT); ERR_UNKNOWN or ERR_MALFORMED for a type or length that we never answer
 * (TORPROTOCOL); ERR_NOT_NOW before the first handshake_pool_keys. */
int handshake_pool_submit(struct handshake_pool *pool, wid circ, uint16_t type, const uint8_t *skin,
			  size_t skin_len, uint64_t *ticket);
/* The circuit is gone: its job gives up its place in the queue if it still has one. A result that
 * was already on its way may still be delivered. */
void handshake_pool_cancel(struct handshake_pool *pool, uint64_t ticket);
void handshake_pool_figures(struct handshake_pool *pool, struct handshake_figures *f);

#endif
