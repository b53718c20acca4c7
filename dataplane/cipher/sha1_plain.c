/* sha1_plain.c - SHA-1 blocks in plain C: the twin of the kernels, and what runs where the CPU has
 * none of their instructions (RFC 3174). */
#include "dataplane/cipher/internal.h"

#define BLOCK 64

static inline uint32_t rol(uint32_t v, unsigned n)
{
	return v << n | v >> (32 - n);
}

/* The three round functions; constant which, so that no round asks. */
static inline __attribute__((always_inline)) uint32_t f_of(unsigned which, uint32_t b, uint32_t c,
							   uint32_t d)
{
	return which == 0   ? (d ^ (b & (c ^ d)))
	       : which == 2 ? ((b & c) | (d & (b | c)))
			    : b ^ c ^ d;
}

/* Rounds from on. The schedule keeps sixteen words and goes along with the rounds: a loop of its
 * own over eighty is made into vectors whose stores the next loads must wait for. */
static inline __attribute__((always_inline)) void
rounds_20(uint32_t v[5], uint32_t w[16], unsigned from, unsigned which, uint32_t k)
{
	uint32_t a = v[0], b = v[1], c = v[2], d = v[3], e = v[4];

	for (unsigned t = from; t < from + 20; t++) {
		uint32_t next, *x = &w[t % 16];

		if (t >= 16)
			*x = rol(w[(t + 13) % 16] ^ w[(t + 8) % 16] ^ w[(t + 2) % 16] ^ *x, 1);
		next = rol(a, 5) + f_of(which, b, c, d) + e + k + *x;
		e = d;
		d = c;
		c = rol(b, 30);
		b = a;
		a = next;
	}
	v[0] = a;
	v[1] = b;
	v[2] = c;
	v[3] = d;
	v[4] = e;
}

static void one_block(uint32_t h[5], const uint8_t *p)
{
	uint32_t w[16], v[5];

	memcpy(v, h, sizeof(v));
	for (unsigned t = 0; t < 16; t++)
		w[t] = be32_get(p + 4 * t);
	rounds_20(v, w, 0, 0, 0x5a827999);
	rounds_20(v, w, 20, 1, 0x6ed9eba1);
	rounds_20(v, w, 40, 2, 0x8f1bbcdc);
	rounds_20(v, w, 60, 3, 0xca62c1d6);
	for (unsigned i = 0; i < 5; i++)
		h[i] += v[i];
}

void sha1_blocks_portable(uint32_t h[5], const uint8_t *p, size_t n_blocks)
{
	for (size_t i = 0; i < n_blocks; i++)
		one_block(h, p + i * BLOCK);
}

void sha1_blocks_x2_portable(uint32_t *h[2], const uint8_t *p[2], size_t n_blocks)
{
	sha1_blocks_portable(h[0], p[0], n_blocks);
	sha1_blocks_portable(h[1], p[1], n_blocks);
}
