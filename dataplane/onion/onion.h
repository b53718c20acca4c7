/* onion.h - one layer of relay-cell crypto per circuit, in batches across circuits: the step
 * between link and relay, both ways. A column per circ index; schemes are rows of table.c. */
#ifndef RAMSON_ONION_H
#define RAMSON_ONION_H

#include "dataplane/base/base.h"
#include "dataplane/wire/relay_msg.h"

#define ONION_PAYLOAD 509
#define ONION_TAG_MAX 20

enum onion_scheme_id { ONION_TOR1, ONION_CGO, N_ONION_SCHEMES };

struct cipher;
struct onion {
	struct cipher *cipher;
	struct counts *counts;
	uint32_t n;
	uint8_t *scheme;		     /* per circ: 1 + row of table.c; 0: none */
	void *layer[N_ONION_SCHEMES];	     /* per scheme and circ: what every cell touches */
	void *edge[N_ONION_SCHEMES];	     /* what only recognised and originated cells touch */
	uint8_t format[1 + N_ONION_SCHEMES]; /* enum relay_format, by what stands in scheme */
};
/* 0, or ERR_FULL when memory is short. cipher and counts are borrowed. */
int onion_init(struct onion *o, uint32_t n_circs, struct cipher *cipher, struct counts *counts);
void onion_fini(struct onion *o);

/* Bytes of key that a scheme takes, 0 for an unknown one. tor1: 72 = Df, Db, Kf, Kb; CGO: 160, five
 * of 16 for each direction. */
size_t onion_keys_len(unsigned scheme);
/* Bytes of its SENDME tag: 20 for tor1, 16 for CGO. */
size_t onion_tag_len(unsigned scheme);
/* 0; ERR_UNKNOWN for a scheme without a row; ERR_MALFORMED when keys_len is not its own;
 * ERR_NOT_NOW when circ has a layer already. The caller wipes keys. */
int onion_start(struct onion *o, uint32_t circ, unsigned scheme, const uint8_t *keys,
		size_t keys_len);
/* Wipes the layer; also when there is none. */
void onion_stop(struct onion *o, uint32_t circ);
static inline bool onion_started(const struct onion *o, uint32_t circ)
{
	return circ < o->n && o->scheme[circ] != 0;
}

/* How relay messages stand in a circuit's cells. */
static inline enum relay_format onion_format(const struct onion *o, uint32_t circ)
{
	return (enum relay_format)o->format[o->scheme[circ]];
}

/* One cell. src is its payload where it lies (any alignment); dst takes the result and is src or
 * does not overlap it: the layer is the copy. Nothing beside dst[0..509) is written. */
struct onion_item {
	const uint8_t *src;
	uint8_t *dst;
	uint32_t circ;
	uint8_t command;	    /* link command of the cell: RELAY or RELAY_EARLY */
	uint8_t recognized;	    /* out, forward only: 1 when the cell is for us */
	uint8_t failed;		    /* out: circ has no layer; dst is not written */
	uint8_t tag_len;	    /* out: 0 when there is no tag */
	uint8_t tag[ONION_TAG_MAX]; /* out: SENDME tag of a recognised or originated cell; it may
				       be written for others too */
	uint8_t _pad[4];
};
/* All three take items in order; a circ may stand in a batch many times, and its cells are then
 * treated in that order.
 *
 * forward: a cell from the previous hop: takes our layer off, then looks whether it is for us
 * (tor-spec 5.5.2.2, 6.1). When recognised dst is the relay message; else it goes on as it is. */
void onion_forward(struct onion *o, struct onion_item *items, unsigned n);
/* back: a cell on its way to the client that is not ours: puts our layer on. */
void onion_back(struct onion *o, struct onion_item *items, unsigned n);
/* originate: a relay message of ours for the client: fills its digest field (bytes 5..8 for tor1,
 * 0..15 for CGO, whatever stood there), gives its tag, puts our layer on. */
void onion_originate(struct onion *o, struct onion_item *items, unsigned n);

#endif
