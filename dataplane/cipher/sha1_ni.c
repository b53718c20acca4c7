/* sha1_ni.c - SHA-1 blocks with the SHA instructions, one stream or two side by side (one alone is
 * bound by their latency). The twin is sha1_blocks_portable. */
#include <immintrin.h>

#include "dataplane/cipher/internal.h"

#define SHANI __attribute__((target("sha,sse4.1,ssse3")))
/* The working state: a..d as one register with a on top, e on top of another. */
struct lane {
	__m128i abcd, e, saved_abcd, saved_e, w[4];
};

SHANI static inline __attribute__((always_inline)) void lane_load(struct lane *l,
								  const uint32_t h[5])
{
	l->abcd = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)h), 0x1b);
	l->e = _mm_set_epi32(h[4], 0, 0, 0);
}

SHANI static inline __attribute__((always_inline)) void lane_store(const struct lane *l,
								   uint32_t h[5])
{
	_mm_storeu_si128((__m128i *)h, _mm_shuffle_epi32(l->abcd, 0x1b));
	h[4] = _mm_extract_epi32(l->e, 3);
}

SHANI static inline __attribute__((always_inline)) void lane_begin(struct lane *l, const uint8_t *p)
{
	const __m128i swap = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);

	for (unsigned i = 0; i < 4; i++)
		l->w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(p + 16 * i)), swap);
	l->saved_abcd = l->abcd;
	l->saved_e = l->e;
}

/* Four rounds, number 4 * g on; g is constant after unrolling. */
SHANI static inline __attribute__((always_inline)) void lane_rounds(struct lane *l,
								    const unsigned g)
{
	__m128i before = l->abcd, w, e;

	if (g >= 4) {
		w = _mm_sha1msg1_epu32(l->w[g % 4], l->w[(g + 1) % 4]);
		w = _mm_xor_si128(w, l->w[(g + 2) % 4]);
		l->w[g % 4] = _mm_sha1msg2_epu32(w, l->w[(g + 3) % 4]);
	}
	w = l->w[g % 4];
	/* The first e is the value itself, each later one a rotated a. */
	e = g ? _mm_sha1nexte_epu32(l->e, w) : _mm_add_epi32(l->e, w);
	if (g < 5)
		l->abcd = _mm_sha1rnds4_epu32(l->abcd, e, 0);
	else if (g < 10)
		l->abcd = _mm_sha1rnds4_epu32(l->abcd, e, 1);
	else if (g < 15)
		l->abcd = _mm_sha1rnds4_epu32(l->abcd, e, 2);
	else
		l->abcd = _mm_sha1rnds4_epu32(l->abcd, e, 3);
	l->e = before;
}

SHANI static inline __attribute__((always_inline)) void lane_end(struct lane *l)
{
	l->e = _mm_sha1nexte_epu32(l->e, l->saved_e);
	l->abcd = _mm_add_epi32(l->abcd, l->saved_abcd);
}

/* Five groups of rounds of l and, unless it is NULL, of m in between. Spelled out: the round
 * constant and the places in w must be constants, and no compiler is left to decide whether to
 * unroll. */
SHANI static inline __attribute__((always_inline)) void pair_rounds(struct lane *l, struct lane *m,
								    const unsigned g)
{
	lane_rounds(l, g);
	if (m)
		lane_rounds(m, g);
	lane_rounds(l, g + 1);
	if (m)
		lane_rounds(m, g + 1);
	lane_rounds(l, g + 2);
	if (m)
		lane_rounds(m, g + 2);
	lane_rounds(l, g + 3);
	if (m)
		lane_rounds(m, g + 3);
	lane_rounds(l, g + 4);
	if (m)
		lane_rounds(m, g + 4);
}

SHANI static inline __attribute__((always_inline)) void pair_block(struct lane *l, struct lane *m)
{
	pair_rounds(l, m, 0);
	pair_rounds(l, m, 5);
	pair_rounds(l, m, 10);
	pair_rounds(l, m, 15);
}

SHANI void sha1_blocks_ni(uint32_t h[5], const uint8_t *p, size_t n_blocks)
{
	struct lane l;

	lane_load(&l, h);
	for (size_t i = 0; i < n_blocks; i++, p += 64) {
		lane_begin(&l, p);
		pair_block(&l, NULL);
		lane_end(&l);
	}
	lane_store(&l, h);
}

SHANI void sha1_blocks_x2_ni(uint32_t *h[2], const uint8_t *p[2], size_t n_blocks)
{
	struct lane l, m;

	lane_load(&l, h[0]);
	lane_load(&m, h[1]);
	for (size_t i = 0; i < n_blocks; i++) {
		lane_begin(&l, p[0] + i * 64);
		lane_begin(&m, p[1] + i * 64);
		pair_block(&l, &m);
		lane_end(&l);
		lane_end(&m);
	}
	lane_store(&l, h[0]);
	lane_store(&m, h[1]);
}
