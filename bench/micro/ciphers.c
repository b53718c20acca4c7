/* ciphers.c - the primitives: CTR and SHA-1 by the cell, GCM by the record. */
#include "bench/micro/micro.h"

#include "dataplane/wire/cell.h"

#include <stdlib.h>

#define CTR_LIMIT 22.4 /* 32.5 blocks, four in a cycle at 80 to 85 cycles a cell */
#define GCM128(n) ((n)*514 * 14.2 / 64 / 3.68)
#define GCM256(n) ((n)*514 * 18.2 / 64 / 3.68)

struct ctr_set {
	uint64_t n, at;
	struct aes_ctr *s;
	uint8_t from[512], to[512];
};

static void *ctr_make(uint64_t size)
{
	struct ctr_set *set = micro_new(1, sizeof(*set));
	uint8_t key[16];

	set->n = size;
	set->s = micro_new(size, sizeof(*set->s));
	micro_fill(set->from, sizeof(set->from));
	for (uint64_t i = 0; i < size; i++) {
		micro_fill(key, sizeof(key));
		aes_ctr_init(micro_cipher(), &set->s[i], key);
	}
	return set;
}

static void ctr_run(void *state, unsigned n)
{
	struct ctr_set *set = state;

	while (n--) { /* a walk that no prefetcher follows */
		set->at = (set->at + 7919) % set->n;
		aes_ctr_run(micro_cipher(), &set->s[set->at], set->to, set->from, RELAY_PAYLOAD);
	}
}

struct gcm {
	struct aead_key key;
	uint8_t nonce[AEAD_NONCE], aad[5];
	uint8_t data[CELLS_A_RECORD * CELL_LEN + AEAD_TAG];
	size_t len;
};

static struct gcm *gcm_make(uint64_t cells, enum aead_alg alg)
{
	struct gcm *g = micro_new(1, sizeof(*g));
	uint8_t key[32];

	micro_fill(key, sizeof(key));
	micro_fill(g->data, sizeof(g->data));
	aead_key_init(micro_cipher(), &g->key, alg, key);
	g->len = cells * CELL_LEN;
	return g;
}

static void *gcm128_make(uint64_t cells)
{
	return gcm_make(cells, AEAD_AES128_GCM);
}

static void *gcm256_make(uint64_t cells)
{
	return gcm_make(cells, AEAD_AES256_GCM);
}

static void gcm_seal(void *state, unsigned n)
{
	struct gcm *g = state;

	while (n--)
		aead_seal(micro_cipher(), &g->key, g->nonce, g->aad, sizeof(g->aad), g->data,
			  g->len);
}

/* What opens holds its tag, so sealing it again under the same nonce gives the next one to open. */
static void gcm_both(void *state, unsigned n)
{
	struct gcm *g = state;

	while (n--) {
		aead_seal(micro_cipher(), &g->key, g->nonce, g->aad, sizeof(g->aad), g->data,
			  g->len);
		if (aead_open(micro_cipher(), &g->key, g->nonce, g->aad, sizeof(g->aad), g->data,
			      g->len) < 0)
			abort();
	}
}

struct sha_set {
	unsigned n;
	struct sha1 s[64], *p[64];
	uint8_t payload[64][512], digest[64][SHA1_LEN];
	const uint8_t *from[64];
};

static void *sha_make(uint64_t size)
{
	struct sha_set *set = micro_new(1, sizeof(*set));

	set->n = (unsigned)size;
	micro_fill(set->payload, sizeof(set->payload));
	for (unsigned i = 0; i < 64; i++) {
		sha1_init(&set->s[i]);
		set->p[i] = &set->s[i];
		set->from[i] = set->payload[i];
	}
	return set;
}

static void sha_run(void *state, unsigned n)
{
	struct sha_set *set = state;

	for (unsigned i = 0; i < n; i += set->n)
		sha1_cells(micro_cipher(), set->p, set->from, set->digest, set->n);
}

const struct row cipher_rows[] = {
	{"ctr", "one cell's AES-128-CTR, circuits hot or cold", 1, CTR_LIMIT, ctr_make, ctr_run},
	{"ctr", "", 100, CTR_LIMIT, ctr_make, ctr_run},
	{"ctr", "", 10000, 0, ctr_make, ctr_run},
	{"ctr", "", 100000, 0, ctr_make, ctr_run},
	{"gcm128 seal", "a record of so many cells", 1, GCM128(1), gcm128_make, gcm_seal},
	{"gcm128 seal", "", 4, GCM128(4), gcm128_make, gcm_seal},
	{"gcm128 seal", "", 31, GCM128(31), gcm128_make, gcm_seal},
	{"gcm256 seal", "", 31, GCM256(31), gcm256_make, gcm_seal},
	{"gcm128 seal+open", "", 31, 2 * GCM128(31), gcm128_make, gcm_both},
	{"gcm256 seal+open", "", 31, 2 * GCM256(31), gcm256_make, gcm_both},
	{"sha1", "one cell's running digest, so many at once", 1, 0, sha_make, sha_run},
	{"sha1", "", 2, 0, sha_make, sha_run},
	{"sha1", "", 16, 0, sha_make, sha_run},
	{"sha1", "", 64, 0, sha_make, sha_run},
	{NULL, NULL, 0, 0, NULL, NULL},
};
