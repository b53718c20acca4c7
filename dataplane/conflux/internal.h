/* internal.h - what the files of conflux/ share. */
#ifndef RAMSON_CONFLUX_INTERNAL_H
#define RAMSON_CONFLUX_INTERNAL_H

#include "dataplane/conflux/conflux.h"

/* What stands before a message in a slot that holds one which came early. */
struct held {
	uint64_t number;
	uint16_t stream_id;
	uint16_t len;
	uint8_t command;
};
_Static_assert(sizeof(struct held) <= sizeof(((struct slot *)0)->scratch), "fits the first line");

static inline uint64_t nonce_key(const struct conflux *c, const uint8_t nonce[CONFLUX_NONCE])
{
	uint64_t h = hash_bytes(&c->key, nonce, CONFLUX_NONCE);

	return h ? h : 1;
}

static inline bool same_nonce(const uint8_t a[CONFLUX_NONCE], const uint8_t b[CONFLUX_NONCE])
{
	return memcmp(a, b, CONFLUX_NONCE) == 0;
}

/* An index under a key that nothing has; SLOT_NONE when all are in use, or another nonce hashes the
 * same. */
static inline uint32_t named_take(struct slots *slots, struct map *map, uint64_t key)
{
	uint32_t i = map_get(map, key) == SLOT_NONE ? slots_take(slots) : SLOT_NONE;

	if (i != SLOT_NONE && map_put(map, key, i) < 0) {
		slots_give(slots, i);
		return SLOT_NONE;
	}
	return i;
}

/* order.c: drops all that a leg's queue holds. */
void queue_clear(struct conflux *c, struct cfx_set *s, struct cfx_leg *l);

#endif
