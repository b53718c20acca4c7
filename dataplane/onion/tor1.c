/* tor1.c - the old relay crypto: AES-128-CTR each way, SHA-1 running over what is ours (tor-spec
 * 5.5, 6.1). A cell that passes through touches three lines of its circuit, digests none. */
#include "dataplane/onion/chains.h"

#define RECOGNIZED_AT 1
#define DIGEST_AT     5
#define DIGEST_LEN    4
/* Circuits fetched before they are worked on; more at a time are dropped by the CPU. */
#define AHEAD 8

struct tor1_layer_pair {
	struct aes_ctr fwd, back;
};
struct tor1_edge {
	struct sha1 fwd, back;
};

static struct tor1_layer_pair *layer_of(const struct onion *o, uint32_t circ)
{
	return (struct tor1_layer_pair *)o->layer[ONION_TOR1] + circ;
}

static struct tor1_edge *edge_of(const struct onion *o, uint32_t circ)
{
	return (struct tor1_edge *)o->edge[ONION_TOR1] + circ;
}

static struct aes_ctr *ctr_of(const struct onion *o, uint32_t circ, bool back)
{
	struct tor1_layer_pair *l = layer_of(o, circ);

	return back ? &l->back : &l->fwd;
}

static struct sha1 *digest_of(const struct onion *o, uint32_t circ, bool back)
{
	struct tor1_edge *e = edge_of(o, circ);

	return back ? &e->back : &e->fwd;
}

static void tor1_start(struct onion *o, uint32_t circ, const uint8_t *keys)
{
	struct tor1_layer_pair *l = layer_of(o, circ);
	struct tor1_edge *e = edge_of(o, circ);

	sha1_init(&e->fwd);
	sha1_init(&e->back);
	sha1_update(o->cipher, &e->fwd, keys, 20);
	sha1_update(o->cipher, &e->back, keys + 20, 20);
	aes_ctr_init(o->cipher, &l->fwd, keys + 40);
	aes_ctr_init(o->cipher, &l->back, keys + 56);
}

/* ---- key stream: a pass over all items ---- */

static void fetch(const void *p, size_t len)
{
	for (size_t i = 0; i < len; i += CACHE_LINE)
		__builtin_prefetch((const uint8_t *)p + i, 1);
}

static void ctr_pass(struct onion *o, struct onion_item *const *items, unsigned n, bool back,
		     bool in_place)
{
	for (unsigned i = 0; i < n && i < AHEAD; i++)
		fetch(ctr_of(o, items[i]->circ, back), sizeof(struct aes_ctr));
	for (unsigned i = 0; i < n; i++) {
		struct onion_item *it = items[i];

		if (i + AHEAD < n)
			fetch(ctr_of(o, items[i + AHEAD]->circ, back), sizeof(struct aes_ctr));
		aes_ctr_run(o->cipher, ctr_of(o, it->circ, back), it->dst,
			    in_place ? it->dst : it->src, ONION_PAYLOAD);
	}
}

/* ---- digests: in steps of one cell each of as many circuits as the lanes take ---- */

struct step {
	struct onion_item *item[SHA1_LANES];
	struct sha1 *state[SHA1_LANES];
	const uint8_t *payload[SHA1_LANES];
	uint8_t digest[SHA1_LANES][SHA1_LEN];
	unsigned n;
};

static void put_tag(struct onion_item *it, const uint8_t digest[SHA1_LEN])
{
	memcpy(it->tag, digest, SHA1_LEN);
	it->tag_len = SHA1_LEN;
}

/* Compares in constant time; a state moves on only where its cell is ours. */
static void settle_forward(struct onion *o, struct step *t)
{
	struct sha1 before[SHA1_LANES];
	uint8_t field[SHA1_LANES][DIGEST_LEN];

	for (unsigned i = 0; i < t->n; i++) {
		uint8_t *p = t->item[i]->dst;

		memcpy(field[i], p + DIGEST_AT, DIGEST_LEN);
		memset(p + DIGEST_AT, 0, DIGEST_LEN);
		t->payload[i] = p;
		t->state[i] = digest_of(o, t->item[i]->circ, false);
		before[i] = *t->state[i];
	}
	sha1_cells(o->cipher, t->state, t->payload, t->digest, t->n);
	for (unsigned i = 0; i < t->n; i++) {
		struct onion_item *it = t->item[i];

		memcpy(it->dst + DIGEST_AT, field[i], DIGEST_LEN);
		if (UNLIKELY(!same_bytes(field[i], t->digest[i], DIGEST_LEN))) {
			count(o->counts, onion_digest_bad);
			*t->state[i] = before[i];
			continue;
		}
		count(o->counts, onion_recognized);
		it->recognized = 1;
		put_tag(it, t->digest[i]);
	}
}

static void settle_originate(struct onion *o, struct step *t)
{
	for (unsigned i = 0; i < t->n; i++) {
		memset(t->item[i]->dst + DIGEST_AT, 0, DIGEST_LEN);
		t->payload[i] = t->item[i]->dst;
		t->state[i] = digest_of(o, t->item[i]->circ, true);
	}
	sha1_cells(o->cipher, t->state, t->payload, t->digest, t->n);
	for (unsigned i = 0; i < t->n; i++) {
		memcpy(t->item[i]->dst + DIGEST_AT, t->digest[i], DIGEST_LEN);
		put_tag(t->item[i], t->digest[i]);
	}
}

/* As many lanes full as can be. */
static void digest_pass(struct onion *o, struct onion_item *const *cells, unsigned n,
			void (*settle)(struct onion *o, struct step *t))
{
	struct chains c;
	struct step t;

	chains_make(&c, cells, n);
	while ((t.n = chains_step(&c, t.item, SHA1_LANES)) != 0)
		settle(o, &t);
}

/* ---- the three ways ---- */

static void tor1_forward(struct onion *o, struct onion_item *const *items, unsigned n)
{
	struct onion_item *maybe[ONION_BATCH];
	unsigned n_maybe = 0;

	ctr_pass(o, items, n, false, false);
	for (unsigned i = 0; i < n; i++) {
		if (LIKELY(be16_get(items[i]->dst + RECOGNIZED_AT)))
			continue;
		fetch(digest_of(o, items[i]->circ, false), sizeof(struct sha1));
		maybe[n_maybe++] = items[i];
	}
	if (n_maybe)
		digest_pass(o, maybe, n_maybe, settle_forward);
}

static void tor1_back(struct onion *o, struct onion_item *const *items, unsigned n)
{
	ctr_pass(o, items, n, true, false);
}

static void tor1_originate(struct onion *o, struct onion_item *const *items, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		fetch(digest_of(o, items[i]->circ, true), sizeof(struct sha1));
		if (items[i]->dst != items[i]->src)
			memcpy(items[i]->dst, items[i]->src, ONION_PAYLOAD);
	}
	digest_pass(o, items, n, settle_originate);
	ctr_pass(o, items, n, true, true);
}

const struct onion_row onion_tor1 = {
	.name = "tor1",
	.keys_len = TOR1_KEYS,
	.tag_len = SHA1_LEN,
	.format = RELAY_V0,
	.layer_len = sizeof(struct tor1_layer_pair),
	.edge_len = sizeof(struct tor1_edge),
	.start = tor1_start,
	.forward = tor1_forward,
	.back = tor1_back,
	.originate = tor1_originate,
};
