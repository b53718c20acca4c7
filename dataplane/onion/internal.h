/* internal.h - what a relay-crypto scheme gives to onion/: its row. */
#ifndef RAMSON_ONION_INTERNAL_H
#define RAMSON_ONION_INTERNAL_H

#include "dataplane/cipher/cipher.h"
#include "dataplane/onion/onion.h"

#define ONION_BATCH 64 /* most items that a row is given at once */

/* A scheme. Its batch functions get 1..ONION_BATCH items, all of its own circuits, in order;
 * failed, recognized and tag_len come in as 0. */
typedef void onion_batch(struct onion *o, struct onion_item *const *items, unsigned n);
struct onion_row {
	const char *name;
	size_t keys_len, tag_len;
	enum relay_format format;
	size_t layer_len, edge_len; /* bytes per circ in each column */
	void (*start)(struct onion *o, uint32_t circ, const uint8_t *keys);
	onion_batch *forward, *back, *originate;
};
extern const struct onion_row *const onion_rows[N_ONION_SCHEMES];
extern const struct onion_row onion_tor1, onion_cgo;

/* What cgo.c keeps of a circuit: eighteen lines. */
struct cgo_pair {
	struct uiv fwd, back;
};

#endif
