/* ciphers.c - the primitives: CTR, SHA-1, POLYVAL and UIV+ by the cell, GCM by the record. */
#include "bench/micro/micro.h"

#include "dataplane/wire/cell.h"

#include <rte_cycles.h>
#include <stdlib.h>

#define CTR_LIMIT 22.4 /* 32.5 blocks, four in a cycle at 80 to 85 cycles a cell */
#define GCM128	  (514 * 14.2 / 64 / 3.68)
#define GCM256	  (514 * 18.2 / 64 / 3.68)

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

#define SEALED 16 /* records that are sealed, then opened */

struct gcm {
	struct aead_key key;
	uint8_t nonce[AEAD_NONCE], aad[5];
	size_t cells;
	size_t step; /* from one record to the next */
	uint8_t data[SEALED * (CELLS_A_RECORD * CELL_LEN + 2 * CACHE_LINE)];
};

static struct gcm *gcm_make(uint64_t cells, enum aead_alg alg)
{
	struct gcm *g = micro_new(1, sizeof(*g));
	uint8_t key[32];

	micro_fill(key, sizeof(key));
	micro_fill(g->data, sizeof(g->data));
	aead_key_init(micro_cipher(), &g->key, alg, key);
	g->cells = cells;
	g->step = (cells * CELL_LEN + AEAD_TAG + CACHE_LINE) & ~(size_t)(CACHE_LINE - 1);
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

static uint64_t gcm_part(struct gcm *g, unsigned n, bool open)
{
	uint64_t tsc = 0, t0, t1, t2;
	size_t len = g->cells * CELL_LEN;
	unsigned done = 0;

	for (; done < n; done += SEALED * (unsigned)g->cells) {
		t0 = rte_rdtsc();
		for (unsigned i = 0; i < SEALED; i++)
			aead_seal(micro_cipher(), &g->key, g->nonce, g->aad, sizeof(g->aad),
				  g->data + i * g->step, len);
		t1 = rte_rdtsc();
		for (unsigned i = 0; i < SEALED; i++)
			if (aead_open(micro_cipher(), &g->key, g->nonce, g->aad, sizeof(g->aad),
				      g->data + i * g->step, len) < 0)
				abort();
		t2 = rte_rdtsc();
		tsc += open ? t2 - t1 : t1 - t0;
	}
	return (uint64_t)((double)tsc * n / done);
}

static uint64_t gcm_seal_part(void *state, unsigned n)
{
	return gcm_part(state, n, false);
}

static uint64_t gcm_open_part(void *state, unsigned n)
{
	return gcm_part(state, n, true);
}

/* ---- what moving the bytes costs at the least ---- */
struct copy {
	size_t len;
	uint8_t from[2048], to[2048];
};

static void *copy_make(uint64_t len)
{
	struct copy *c = micro_new(1, sizeof(*c));

	c->len = len;
	return c;
}

static void copy_run(void *state, unsigned n)
{
	struct copy *c = state;

	while (n--) {
		memcpy(c->to, c->from, c->len);
		__asm__ volatile("" ::: "memory");
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

/* ---- what Counter Galois Onion is made of ---- */
struct uiv_set {
	struct cipher *c;
	unsigned n; /* cells of one call */
	struct uiv u[UIV_BATCH], *p[UIV_BATCH];
	struct uiv_cell cell[UIV_BATCH];
	uint8_t from[UIV_BATCH][512], to[UIV_BATCH][512], hash[POLYVAL_LEN];
};

static void *uiv_make_with(struct cipher *c, uint64_t size)
{
	struct uiv_set *set = micro_new(1, sizeof(*set));
	uint8_t keys[UIV_KEYS];

	set->c = c;
	set->n = (unsigned)size;
	micro_fill(set->from, sizeof(set->from));
	for (unsigned i = 0; i < UIV_BATCH; i++) {
		micro_fill(keys, sizeof(keys));
		uiv_init(c, &set->u[i], keys);
		set->p[i] = &set->u[i];
		set->cell[i] = (struct uiv_cell) {&set->u[i], set->from[i], set->to[i], 3, NULL};
	}
	return set;
}

static void *uiv_make(uint64_t size)
{
	return uiv_make_with(micro_cipher(), size);
}

/* With kernels left out, as on a lesser CPU. */
static struct cipher *without(struct cipher *c, unsigned flags)
{
	if (!c->mgr && cipher_init(c, flags) < 0)
		exit(1);
	return c;
}

static void *uiv_make_128(uint64_t size)
{
	static struct cipher c;

	return uiv_make_with(without(&c, CIPHER_NO_AVX512), size);
}

static void *uiv_make_plain(uint64_t size)
{
	static struct cipher c;

	return uiv_make_with(without(&c, CIPHER_PORTABLE), size);
}

static void polyval_run(void *state, unsigned n)
{
	struct uiv_set *set = state;

	for (unsigned i = 0; i < n; i++)
		polyval(set->c, set->u[i % UIV_BATCH].powers, set->from[i % UIV_BATCH], 32,
			set->hash);
}

static void uiv_run(void *state, unsigned n)
{
	struct uiv_set *set = state;

	for (unsigned i = 0; i < n; i += set->n)
		uiv_encrypt(set->c, set->cell, set->n);
}

static void update_run(void *state, unsigned n)
{
	struct uiv_set *set = state;

	for (unsigned i = 0; i < n; i += set->n)
		uiv_update(set->c, set->p, set->n);
}

const struct row cipher_rows[] = {
	{"copy", "memcpy of so many bytes, hot", 514, 0, copy_make, copy_run, NULL},
	{"copy", "", 1448, 0, copy_make, copy_run, NULL},
	{"ctr", "one cell's AES-128-CTR, circuits hot or cold", 1, CTR_LIMIT, ctr_make, ctr_run,
	 NULL},
	{"ctr", "", 100, CTR_LIMIT, ctr_make, ctr_run, NULL},
	{"ctr", "", 10000, 25, ctr_make, ctr_run, NULL},
	{"ctr", "", 100000, 26, ctr_make, ctr_run, NULL},
	{"gcm128 open", "a cell, in records of so many", 1, GCM128, gcm128_make, NULL,
	 gcm_open_part},
	{"gcm128 seal", "", 1, GCM128, gcm128_make, NULL, gcm_seal_part},
	{"gcm128 open", "", 4, GCM128, gcm128_make, NULL, gcm_open_part},
	{"gcm128 seal", "", 4, GCM128, gcm128_make, NULL, gcm_seal_part},
	{"gcm128 open", "", 8, GCM128, gcm128_make, NULL, gcm_open_part},
	{"gcm128 seal", "", 8, GCM128, gcm128_make, NULL, gcm_seal_part},
	{"gcm128 open", "", 31, GCM128, gcm128_make, NULL, gcm_open_part},
	{"gcm128 seal", "", 31, GCM128, gcm128_make, NULL, gcm_seal_part},
	{"gcm256 open", "", 1, GCM256, gcm256_make, NULL, gcm_open_part},
	{"gcm256 seal", "", 1, GCM256, gcm256_make, NULL, gcm_seal_part},
	{"gcm256 open", "", 4, GCM256, gcm256_make, NULL, gcm_open_part},
	{"gcm256 seal", "", 4, GCM256, gcm256_make, NULL, gcm_seal_part},
	{"gcm256 open", "", 8, GCM256, gcm256_make, NULL, gcm_open_part},
	{"gcm256 seal", "", 8, GCM256, gcm256_make, NULL, gcm_seal_part},
	{"gcm256 open", "", 31, GCM256, gcm256_make, NULL, gcm_open_part},
	{"gcm256 seal", "", 31, GCM256, gcm256_make, NULL, gcm_seal_part},
	{"sha1", "one cell's running digest, so many at once", 1, 236, sha_make, sha_run, NULL},
	{"sha1", "", 2, 142, sha_make, sha_run, NULL},
	{"sha1", "", 16, 74, sha_make, sha_run, NULL},
	{"sha1", "", 64, 74, sha_make, sha_run, NULL},
	{"polyval", "32 blocks, a cell's", 32, 22, uiv_make, polyval_run, NULL},
	{"uiv", "one cell's UIV+, so many at once", 1, 95, uiv_make, uiv_run, NULL},
	{"uiv", "", 8, 65, uiv_make, uiv_run, NULL},
	{"uiv", "", 16, 65, uiv_make, uiv_run, NULL},
	{"uiv update", "its next keys, so many at once", 1, 60, uiv_make, update_run, NULL},
	{"uiv update", "", 8, 60, uiv_make, update_run, NULL},
	{"uiv no avx512", "the same with kernels left out", 8, 0, uiv_make_128, uiv_run, NULL},
	{"uiv no avx512 update", "", 8, 0, uiv_make_128, update_run, NULL},
	{"uiv plain", "", 8, 0, uiv_make_plain, uiv_run, NULL},
	{"uiv plain update", "", 8, 0, uiv_make_plain, update_run, NULL},
	{NULL, NULL, 0, 0, NULL, NULL, NULL},
};
