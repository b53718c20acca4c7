/* chains.h - a batch in steps: no step of onion/ has two cells of one circuit, and the order of
 * each circuit is kept. */
#ifndef RAMSON_ONION_CHAINS_H
#define RAMSON_ONION_CHAINS_H

#include "dataplane/onion/internal.h"

/* The cells of a batch as chains, one for each circuit (circuits that share a bucket share a chain,
 * which keeps the order of each), and the chains by how many cells they have left. */
struct chains {
	struct onion_item *const *cells;
	uint8_t n, longest;
	uint8_t head[ONION_BATCH], len[ONION_BATCH]; /* by chain */
	uint8_t next[ONION_BATCH];		     /* by cell */
	uint8_t same[ONION_BATCH];		     /* by chain: another of its length */
	uint8_t of_len[ONION_BATCH + 1];
};
enum { CHAIN_NONE = 0xff };

static inline void chain_put(struct chains *c, uint8_t chain)
{
	c->same[chain] = c->of_len[c->len[chain]];
	c->of_len[c->len[chain]] = chain;
}

/* n at most ONION_BATCH. */
static inline void chains_make(struct chains *c, struct onion_item *const *cells, unsigned n)
{
	uint8_t in_bucket[256], tail[ONION_BATCH];

	memset(in_bucket, CHAIN_NONE, sizeof(in_bucket));
	memset(c->of_len, CHAIN_NONE, sizeof(c->of_len));
	c->cells = cells;
	c->n = 0;
	c->longest = (uint8_t)n;
	for (unsigned i = 0; i < n; i++) {
		uint8_t *k = &in_bucket[cells[i]->circ % 256];

		c->next[i] = CHAIN_NONE;
		if (*k == CHAIN_NONE) {
			*k = c->n++;
			c->head[*k] = (uint8_t)i;
			c->len[*k] = 0;
		} else {
			c->next[tail[*k]] = (uint8_t)i;
		}
		tail[*k] = (uint8_t)i;
		c->len[*k]++;
	}
	for (uint8_t k = 0; k < c->n; k++)
		chain_put(c, k);
}

/* Takes the first cells of the longest chains, so that as few steps as can be are short of max;
 * max at most 16. How many; 0: the batch is done. */
static inline unsigned chains_step(struct chains *c, struct onion_item **step, unsigned max)
{
	uint8_t taken[16];
	unsigned n = 0;

	while (c->longest && c->of_len[c->longest] == CHAIN_NONE)
		c->longest--;
	for (unsigned len = c->longest; len && n < max; len--) {
		uint8_t k;

		while (n < max && (k = c->of_len[len]) != CHAIN_NONE) {
			c->of_len[len] = c->same[k];
			taken[n] = k;
			step[n++] = c->cells[c->head[k]];
		}
	}
	for (unsigned i = 0; i < n; i++) {
		c->head[taken[i]] = c->next[c->head[taken[i]]];
		c->len[taken[i]]--;
		chain_put(c, taken[i]);
	}
	return n;
}

#endif
