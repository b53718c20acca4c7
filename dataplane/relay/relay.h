/* relay.h - recognised cells: what each relay command is, and the fixed windows with their
 * authenticated SENDMEs (tor-spec sections 6 and 7.3). Between onion/ and edge/ or sched/. */
#ifndef RAMSON_RELAY_H
#define RAMSON_RELAY_H

#include "dataplane/base/base.h"
#include "dataplane/cipher/cipher.h"
#include "dataplane/ctl.h"
#include "dataplane/wire/relay_msg.h"

/* What is done with a message by its command: relay/table.c. */
enum relay_act {
	RELAY_ACT_IGNORE, /* unknown or of no meaning at a relay: counted and dropped */
	RELAY_ACT_DROP,	  /* long-range padding */
	RELAY_ACT_DATA,
	RELAY_ACT_END,
	RELAY_ACT_SENDME,
	RELAY_ACT_TRUNCATE,
	RELAY_ACT_PADDING, /* PADDING_NEGOTIATE */
	RELAY_ACT_STREAM,  /* BEGIN, BEGIN_DIR, RESOLVE: a stream is reserved, control decides */
	RELAY_ACT_EXTEND,  /* to control, if it came in RELAY_EARLY */
	RELAY_ACT_UP,	   /* to control */
	RELAY_ACT_ANSWER,  /* CONNECTED, RESOLVED: a violation on an open stream, else dropped */
	RELAY_ACT_VIOLATE, /* closes the circuit */
};
enum relay_act relay_act_of(uint8_t command);
/* Stream id 0 is not allowed with this command: the message is dropped (interop C17). */
bool relay_needs_stream(uint8_t command);

#define RELAY_TAG	 20
#define RELAY_INCREMENT	 100 /* DATA cells that one circuit SENDME stands for */
#define RELAY_TAGS	 10  /* increments in the largest window */
#define RELAY_SENDME_LEN 23  /* version 1, length 2, tag */

/* One circuit's windows, as an edge. All zero is a fresh one. */
struct relay_window {
	uint16_t in_flight;  /* DATA cells sent and not yet acknowledged */
	uint8_t sent;	     /* DATA cells since the last recorded tag */
	uint8_t received;    /* DATA cells since our last SENDME */
	uint8_t first, n;    /* of the tags, a ring */
	uint8_t legacy;	     /* made by CREATE_FAST: SENDME version 0 is accepted always */
	uint8_t until_short; /* DATA cells until one is left short (interop R10) */
};
struct relay {
	uint32_t n;
	struct relay_window *window; /* per circ */
	/* What the recorded cells' SENDMEs must say: only circuits that we send data on have any.
	 */
	uint8_t (*tags)[RELAY_TAGS][RELAY_TAG];
	struct counts *counts;
	const int64_t *params;
	const struct cipher *cipher;
	struct aes_ctr *padding; /* its key stream */
};

/* cipher, counts and params are borrowed; rng gives a key for the padding. */
int relay_init(struct relay *r, uint32_t n_circs, const struct cipher *cipher, struct rng *rng,
	       struct counts *counts, const int64_t *params);
void relay_fini(struct relay *r);
void relay_start(struct relay *r, uint32_t circ, bool legacy);

/* A DATA cell was recognised, whatever its stream: true when a SENDME is due now, for its tag. */
bool relay_data_in(struct relay *r, uint32_t circ);
/* Writes the body of that SENDME for an RELAY_TAG-byte tag; its length (0 for version 0). */
uint16_t relay_sendme_make(const struct relay *r, uint32_t circ, const uint8_t *tag, uint8_t *body);
/* A circuit SENDME came. 0, or ERR_MALFORMED: unexpected, wrong tag or refused version, each
 * counted; the circuit is then closed. */
int relay_sendme_in(struct relay *r, uint32_t circ, const uint8_t *body, size_t len);
/* Whether the circuit's window lets one more DATA cell go. */
static inline bool relay_may_send(const struct relay *r, uint32_t circ)
{
	return r->window[circ].in_flight < r->params[CTL_PARAM_CIRCWINDOW];
}
/* A DATA cell was originated, with this tag. */
void relay_data_out(struct relay *r, uint32_t circ, const uint8_t *tag);
/* Longest body of the next DATA cell: now and then 16 bytes and more are left to chance, so that
 * tags cannot be foretold. */
uint16_t relay_data_room(struct relay *r, uint32_t circ, struct rng *rng);
/* Fills what is behind a message's body: four zero bytes, then random ones (tor-spec 6.1.1). */
void relay_pad(struct relay *r, uint8_t *payload, uint16_t body_len);

#endif
