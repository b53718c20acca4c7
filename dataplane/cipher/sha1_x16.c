/* sha1_x16.c - SHA-1 of sixteen streams at once, one in each 32-bit lane of 512-bit registers: pays
 * from ten streams on. The twins are the kernels that take one stream. */
#include <immintrin.h>

#include "dataplane/cipher/internal.h"

#define WIDE   __attribute__((target("avx512f,avx512bw,avx512vl")))
#define INLINE static inline __attribute__((always_inline))

/* Four by four transposes within 128-bit quarters, then of the quarters. */
WIDE INLINE void transpose(__m512i r[16])
{
	__m512i t[16];

	for (unsigned i = 0; i < 16; i += 4) {
		__m512i ab_lo = _mm512_unpacklo_epi32(r[i], r[i + 1]);
		__m512i ab_hi = _mm512_unpackhi_epi32(r[i], r[i + 1]);
		__m512i cd_lo = _mm512_unpacklo_epi32(r[i + 2], r[i + 3]);
		__m512i cd_hi = _mm512_unpackhi_epi32(r[i + 2], r[i + 3]);

		t[i] = _mm512_unpacklo_epi64(ab_lo, cd_lo);
		t[i + 1] = _mm512_unpackhi_epi64(ab_lo, cd_lo);
		t[i + 2] = _mm512_unpacklo_epi64(ab_hi, cd_hi);
		t[i + 3] = _mm512_unpackhi_epi64(ab_hi, cd_hi);
	}
	for (unsigned i = 0; i < 4; i++) {
		__m512i even_lo = _mm512_shuffle_i32x4(t[i], t[i + 4], 0x88);
		__m512i odd_lo = _mm512_shuffle_i32x4(t[i], t[i + 4], 0xdd);
		__m512i even_hi = _mm512_shuffle_i32x4(t[i + 8], t[i + 12], 0x88);
		__m512i odd_hi = _mm512_shuffle_i32x4(t[i + 8], t[i + 12], 0xdd);

		r[i] = _mm512_shuffle_i32x4(even_lo, even_hi, 0x88);
		r[i + 8] = _mm512_shuffle_i32x4(even_lo, even_hi, 0xdd);
		r[i + 4] = _mm512_shuffle_i32x4(odd_lo, odd_hi, 0x88);
		r[i + 12] = _mm512_shuffle_i32x4(odd_lo, odd_hi, 0xdd);
	}
}

WIDE INLINE void load_words(__m512i w[16], const uint8_t *const block[16])
{
	const __m512i swap = _mm512_broadcast_i32x4(
		_mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3));

	for (unsigned i = 0; i < 16; i++)
		w[i] = _mm512_shuffle_epi8(_mm512_loadu_si512(block[i]), swap);
	transpose(w);
}

/* Truth tables of the three round functions over (b, c, d). */
enum { CHOOSE = 0xca, PARITY = 0x96, MAJORITY = 0xe8 };

#define ROUND(t, table, k)                                                                         \
	do {                                                                                       \
		if ((t) >= 16)                                                                     \
			w[(t) % 16] = _mm512_rol_epi32(                                            \
				_mm512_xor_si512(_mm512_ternarylogic_epi32(                        \
							 w[((t) + 13) % 16], w[((t) + 8) % 16],    \
							 w[((t) + 2) % 16], PARITY),               \
						 w[(t) % 16]),                                     \
				1);                                                                \
		__m512i next = _mm512_add_epi32(                                                   \
			_mm512_add_epi32(e, _mm512_add_epi32(w[(t) % 16], k)),                     \
			_mm512_add_epi32(_mm512_rol_epi32(a, 5),                                   \
					 _mm512_ternarylogic_epi32(b, c, d, table)));              \
		e = d;                                                                             \
		d = c;                                                                             \
		c = _mm512_rol_epi32(b, 30);                                                       \
		b = a;                                                                             \
		a = next;                                                                          \
	} while (0)
#define ROUNDS_5(t, table, k)                                                                      \
	ROUND(t, table, k);                                                                        \
	ROUND(t + 1, table, k);                                                                    \
	ROUND(t + 2, table, k);                                                                    \
	ROUND(t + 3, table, k);                                                                    \
	ROUND(t + 4, table, k)
#define ROUNDS_20(t, table, k)                                                                     \
	ROUNDS_5(t, table, k);                                                                     \
	ROUNDS_5(t + 5, table, k);                                                                 \
	ROUNDS_5(t + 10, table, k);                                                                \
	ROUNDS_5(t + 15, table, k)

/* One block in each lane of on; the state of the others stays. */
WIDE static void step(__m512i h[5], const uint8_t *const block[16], __mmask16 on)
{
	const __m512i k0 = _mm512_set1_epi32(0x5a827999), k1 = _mm512_set1_epi32(0x6ed9eba1);
	const __m512i k2 = _mm512_set1_epi32((int)0x8f1bbcdc);
	const __m512i k3 = _mm512_set1_epi32((int)0xca62c1d6);
	__m512i w[16], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];

	load_words(w, block);
	ROUNDS_20(0, CHOOSE, k0);
	ROUNDS_20(20, PARITY, k1);
	ROUNDS_20(40, MAJORITY, k2);
	ROUNDS_20(60, PARITY, k3);
	h[0] = _mm512_mask_add_epi32(h[0], on, h[0], a);
	h[1] = _mm512_mask_add_epi32(h[1], on, h[1], b);
	h[2] = _mm512_mask_add_epi32(h[2], on, h[2], c);
	h[3] = _mm512_mask_add_epi32(h[3], on, h[3], d);
	h[4] = _mm512_mask_add_epi32(h[4], on, h[4], e);
}

WIDE void sha1_lanes_avx512(struct sha1_lanes *l)
{
	const __m128i n_data = _mm_loadu_si128((const __m128i *)l->n_data);
	const __m128i n_all = _mm_loadu_si128((const __m128i *)l->n_all);
	__m512i h[5];

	for (unsigned i = 0; i < 5; i++)
		h[i] = _mm512_loadu_si512(l->h[i]);
	for (unsigned t = 0; t < SHA1_LANE_BLOCKS; t++) {
		__mmask16 on = _mm_cmpgt_epi8_mask(n_all, _mm_set1_epi8(t));
		__mmask16 last = _mm_cmpeq_epi8_mask(n_data, _mm_set1_epi8(t + 1));

		if (!on)
			break;
		step(h, l->block[t], on);
		for (unsigned i = 0; last && i < 5; i++)
			_mm512_mask_storeu_epi32(l->h[i], last, h[i]);
	}
	for (unsigned i = 0; i < 5; i++)
		_mm512_storeu_si512(l->end[i], h[i]);
}
