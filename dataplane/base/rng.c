/* rng.c - random bytes from a seed: ChaCha20 (RFC 8439 section 2.3) in counter mode. */
#include "dataplane/base/base.h"

static inline uint32_t rotl(uint32_t v, int n)
{
	return v << n | v >> (32 - n);
}

static inline void quarter(uint32_t *x, int a, int b, int c, int d)
{
	x[a] += x[b];
	x[d] = rotl(x[d] ^ x[a], 16);
	x[c] += x[d];
	x[b] = rotl(x[b] ^ x[c], 12);
	x[a] += x[b];
	x[d] = rotl(x[d] ^ x[a], 8);
	x[c] += x[d];
	x[b] = rotl(x[b] ^ x[c], 7);
}

static void rng_block(struct rng *r)
{
	uint32_t in[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
	uint32_t x[16];

	memcpy(in + 4, r->key, 32);
	in[12] = (uint32_t)r->counter;
	in[13] = (uint32_t)(r->counter >> 32);
	memcpy(x, in, sizeof(x));
	for (int i = 0; i < 10; i++) {
		for (int c = 0; c < 4; c++)
			quarter(x, c, c + 4, c + 8, c + 12);
		for (int c = 0; c < 4; c++)
			quarter(x, c, 4 + (c + 1) % 4, 8 + (c + 2) % 4, 12 + (c + 3) % 4);
	}
	for (int i = 0; i < 16; i++)
		x[i] += in[i];
	memcpy(r->block, x, 64);
	r->counter++;
	r->used = 0;
}

void rng_seed(struct rng *r, const uint8_t seed[32])
{
	*r = (struct rng) {.used = 64};
	memcpy(r->key, seed, 32);
}

void rng_bytes(struct rng *r, void *to, size_t len)
{
	uint8_t *p = to;

	while (len) {
		size_t n;

		if (r->used == 64)
			rng_block(r);
		n = MIN(len, 64u - r->used);
		memcpy(p, r->block + r->used, n);
		memset(r->block + r->used, 0, n); /* what was given out is not kept */
		r->used += n;
		p += n;
		len -= n;
	}
}

uint32_t rng_u32(struct rng *r)
{
	uint32_t v;

	rng_bytes(r, &v, sizeof(v));
	return v;
}

uint64_t rng_u64(struct rng *r)
{
	uint64_t v;

	rng_bytes(r, &v, sizeof(v));
	return v;
}

uint32_t rng_below(struct rng *r, uint32_t n)
{
	/* Lemire's multiplication with rejection of the short tail: no bias. */
	uint64_t v = (uint64_t)rng_u32(r) * n;
	uint32_t floor = n ? -n % n : 0;

	while ((uint32_t)v < floor)
		v = (uint64_t)rng_u32(r) * n;
	return v >> 32;
}
