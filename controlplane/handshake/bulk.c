/* bulk.c - many handshakes answered together: the first half of each, then all products in lanes of
 * eight, then the second half of each. */
#include "controlplane/handshake/internal.h"
#include "dataplane/cipher/x25519.h"

#include <openssl/rand.h>

/* The talks of a batch, and its products: xy of talk i at 2 i, xb behind it. */
struct batch {
	struct hsk_talk talk[HANDSHAKE_BATCH];
	unsigned ask[HANDSHAKE_BATCH]; /* whose talk it is */
	unsigned n;
	uint8_t secret[2 * HANDSHAKE_BATCH][32], point[2 * HANDSHAKE_BATCH][32];
};

/* Pairs that nobody has asked for yet are not tied to anything: making them early gives away no
 * more than making them late. */
static int refill(struct handshake_bulk *b)
{
	uint8_t secret[ARRAY_LEN(b->fresh)][32], public[ARRAY_LEN(b->fresh)][32];
	int error = RAND_priv_bytes(secret[0], sizeof(secret)) == 1 ? 0 : ERR_CRYPTO;

	if (!error)
		error = x25519_public(b->x, public, secret, ARRAY_LEN(b->fresh));
	for (unsigned i = 0; !error && i < ARRAY_LEN(b->fresh); i++) {
		memcpy(b->fresh[i].secret, secret[i], 32);
		memcpy(b->fresh[i].public, public[i], 32);
	}
	b->n_fresh = error ? 0 : ARRAY_LEN(b->fresh);
	wipe(secret, sizeof(secret));
	return error;
}

static int fresh_pair(struct handshake_bulk *b, uint8_t secret[32], uint8_t public[32])
{
	struct handshake_pair *p;
	int error = b->n_fresh ? 0 : refill(b);

	if (error)
		return error;
	p = &b->fresh[--b->n_fresh];
	memcpy(secret, p->secret, 32);
	memcpy(public, p->public, 32);
	wipe(p, sizeof(*p));
	return 0;
}

/* The first half, and what is to be multiplied. */
static int talk_add(struct handshake_bulk *b, struct batch *k, const struct handshake_ask *a,
		    const struct handshake *h)
{
	struct hsk_talk *t = &k->talk[k->n];
	uint8_t(*secret)[32] = &k->secret[2 * k->n], (*point)[32] = &k->point[2 * k->n];
	int error;

	*t = (struct hsk_talk) {.keys = a->keys, .skin = a->skin, .skin_len = a->skin_len};
	error = h->start(t);
	if (!error)
		error = fresh_pair(b, secret[0], t->y);
	if (error)
		return error;
	memcpy(secret[1], t->onion.secret, 32);
	memcpy(point[0], t->x, 32);
	memcpy(point[1], t->x, 32);
	k->n++;
	return 0;
}

static void start(struct handshake_bulk *b, struct batch *k, struct handshake_ask *asks, unsigned i)
{
	struct handshake_ask *a = &asks[i];
	const struct handshake *h = handshake_find(a->type);

	if (!b->x->lanes || !h || !h->start) {
		a->error = handshake_answer(a->type, a->keys, a->skin, a->skin_len, a->done);
		return;
	}
	k->ask[k->n] = i;
	if (a->skin_len < h->skin_min || a->skin_len > h->skin_max)
		a->error = ERR_MALFORMED;
	else
		a->error = talk_add(b, k, a, h);
}

void handshake_answer_many(struct handshake_bulk *b, struct handshake_ask *asks, unsigned n)
{
	struct batch k = {.n = 0};

	for (unsigned i = 0; i < n && i < HANDSHAKE_BATCH; i++)
		start(b, &k, asks, i);
	x25519_many(b->x, k.point, k.secret, k.point, 2 * k.n);
	for (unsigned i = 0; i < k.n; i++) {
		struct handshake_ask *a = &asks[k.ask[i]];
		struct hsk_talk *t = &k.talk[i];

		memcpy(t->xy, k.point[2 * i], 32);
		memcpy(t->xb, k.point[2 * i + 1], 32);
		a->error = handshake_find(a->type)->reply(t, a->done);
	}
	wipe(&k, sizeof(k));
}
