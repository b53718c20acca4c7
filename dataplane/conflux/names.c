/* names.c - whose set a nonce is. Legs of one set come to any worker, so one worker, named by the
 * nonce's hash, sends all of them to the same owner. */
#include "dataplane/conflux/internal.h"

unsigned cfx_registrar(const struct conflux *c, const uint8_t nonce[CONFLUX_NONCE], unsigned n)
{
	return (unsigned)(nonce_key(c, nonce) % n);
}

static uint32_t name_find(const struct conflux *c, const uint8_t nonce[CONFLUX_NONCE])
{
	uint32_t i = map_get(&c->by_name, nonce_key(c, nonce));

	return i != SLOT_NONE && same_nonce(c->name[i].nonce, nonce) ? i : SLOT_NONE;
}

int cfx_ask(struct conflux *c, const uint8_t nonce[CONFLUX_NONCE], unsigned from, uint32_t *asked)
{
	uint32_t i = name_find(c, nonce);

	if (i == SLOT_NONE) {
		i = named_take(&c->name_slots, &c->by_name, nonce_key(c, nonce));
		if (i == SLOT_NONE)
			return ERR_FULL;
		c->name[i] = (struct cfx_name) {.owner = from};
		memcpy(c->name[i].nonce, nonce, CONFLUX_NONCE);
	}
	*asked = ++c->name[i].asked;
	return (int)c->name[i].owner;
}

void cfx_forget(struct conflux *c, const uint8_t nonce[CONFLUX_NONCE], uint32_t asked)
{
	uint32_t i = name_find(c, nonce);

	if (i == SLOT_NONE || c->name[i].asked != asked)
		return;
	map_del(&c->by_name, nonce_key(c, nonce));
	wipe(&c->name[i], sizeof(c->name[i]));
	slots_give(&c->name_slots, i);
}
