/* sha1_x16.c - SHA-1 of sixteen streams at once, a relay payload each, one stream in each 32-bit
 * lane of 512-bit registers. The twins are the kernels that take one stream.
 *
 * A payload of 509 bytes behind the have bytes that an earlier cell left makes one block that both
 * share, six or seven whole blocks, and one or two that close the digest: nine in all, or ten. */
#include <immintrin.h>

#include "dataplane/cipher/internal.h"

#define WIDE   __attribute__((target("avx512f,avx512bw,avx512vl")))
#define INLINE static inline __attribute__((always_inline))
#define BLOCK  64

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

WIDE INLINE void load_words(__m512i w[16], const uint8_t *const block[16], size_t at)
{
	const __m512i swap = _mm512_broadcast_i32x4(
		_mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3));

	for (unsigned i = 0; i < 16; i++)
		w[i] = _mm512_shuffle_epi8(_mm512_loadu_si512(block[i] + at), swap);
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

/* The block of each lane that lies at bytes behind block[lane]. */
WIDE static void step(__m512i h[5], const uint8_t *const block[16], size_t at)
{
	const __m512i k0 = _mm512_set1_epi32(0x5a827999), k1 = _mm512_set1_epi32(0x6ed9eba1);
	const __m512i k2 = _mm512_set1_epi32((int)0x8f1bbcdc);
	const __m512i k3 = _mm512_set1_epi32((int)0xca62c1d6);
	__m512i w[16], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];

	load_words(w, block, at);
	ROUNDS_20(0, CHOOSE, k0);
	ROUNDS_20(20, PARITY, k1);
	ROUNDS_20(40, MAJORITY, k2);
	ROUNDS_20(60, PARITY, k3);
	h[0] = _mm512_add_epi32(h[0], a);
	h[1] = _mm512_add_epi32(h[1], b);
	h[2] = _mm512_add_epi32(h[2], c);
	h[3] = _mm512_add_epi32(h[3], d);
	h[4] = _mm512_add_epi32(h[4], e);
}

/* A lane's own copies of the blocks that do not lie in the payload. */
struct lane_room {
	_Alignas(BLOCK) uint8_t first[BLOCK], last[2 * BLOCK];
};

struct lanes {
	struct lane_room room[SHA1_LANES];
	/* by number of the block: the first; the next six; the three after those */
	const uint8_t *first[SHA1_LANES], *whole[SHA1_LANES], *end[3][SHA1_LANES];
	uint32_t h[5][SHA1_LANES];
	__mmask16 is_short; /* six whole blocks, not seven */
	__mmask16 is_long;  /* ten blocks, not nine */
};

/* Lays out one lane's blocks, and keeps in s what its next cell begins with. */
WIDE INLINE void lane_fill(struct lanes *l, unsigned i, struct sha1 *s, const uint8_t *payload)
{
	const unsigned have = s->len % BLOCK, rest = (have + RELAY_PAYLOAD) % BLOCK;
	const bool is_short = have + RELAY_PAYLOAD < 8 * BLOCK;
	const uint8_t *whole = payload + BLOCK - have;
	struct lane_room *room = &l->room[i];
	__m512i first, tail, bits;

	/* What lies in front of the payload is masked off. */
	first = _mm512_mask_loadu_epi8(_mm512_loadu_si512(s->buf), ~0ull << have,
				       (const uint8_t *)((uintptr_t)payload - have));
	_mm512_store_si512(room->first, first);
	tail = _mm512_maskz_loadu_epi8((1ull << rest) - 1,
				       whole + (is_short ? 6 * BLOCK : 7 * BLOCK));
	_mm512_storeu_si512(s->buf, tail);
	s->len += RELAY_PAYLOAD;
	/* RFC 3174 4: a one bit, zeroes, the length in bits. */
	bits = _mm512_maskz_set1_epi64(0x80, (long long)__builtin_bswap64(s->len * 8));
	tail = _mm512_mask_set1_epi8(tail, 1ull << rest, (char)0x80);
	tail = _mm512_mask_mov_epi64(tail, rest < BLOCK - 8 ? 0x80 : 0, bits);
	_mm512_store_si512(room->last, tail);
	_mm512_store_si512(room->last + BLOCK, bits);
	l->first[i] = room->first;
	l->whole[i] = whole;
	l->end[0][i] = is_short ? room->last : whole + 6 * BLOCK;
	l->end[1][i] = is_short ? room->last + BLOCK : room->last;
	l->end[2][i] = room->last + BLOCK;
	l->is_short |= is_short << i;
	l->is_long |= (!is_short && rest >= BLOCK - 8) << i;
	for (unsigned k = 0; k < 5; k++)
		l->h[k][i] = s->h[k];
}

/* A lane that is not used: any blocks, nobody looks at what becomes of them. */
static void lane_idle(struct lanes *l, unsigned i)
{
	l->first[i] = l->first[0];
	l->whole[i] = l->whole[0];
	for (unsigned k = 0; k < 3; k++)
		l->end[k][i] = l->end[k][0];
	for (unsigned k = 0; k < 5; k++)
		l->h[k][i] = 0;
}

WIDE INLINE void choose(__m512i to[5], __mmask16 on, const __m512i from[5])
{
	for (unsigned k = 0; k < 5; k++)
		to[k] = _mm512_mask_mov_epi32(to[k], on, from[k]);
}

/* The state after the data to l->h, the digests' words to end. */
WIDE static void run(struct lanes *l, uint32_t end[5][SHA1_LANES])
{
	const __m512i swap = _mm512_broadcast_i32x4(
		_mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3));
	__m512i h[5], data[5], before[5];

	for (unsigned k = 0; k < 5; k++)
		h[k] = _mm512_loadu_si512(l->h[k]);
	step(h, l->first, 0);
	for (size_t i = 0; i < 6; i++)
		step(h, l->whole, i * BLOCK);
	memcpy(before, h, sizeof(before));
	step(h, l->end[0], 0);
	memcpy(data, h, sizeof(data));
	choose(data, l->is_short, before);
	step(h, l->end[1], 0);
	if (UNLIKELY(l->is_long)) {
		memcpy(before, h, sizeof(before));
		step(h, l->end[2], 0);
		choose(h, (__mmask16)~l->is_long, before);
	}
	for (unsigned k = 0; k < 5; k++) {
		_mm512_storeu_si512(l->h[k], data[k]);
		_mm512_storeu_si512(end[k], _mm512_shuffle_epi8(h[k], swap));
	}
}

WIDE void sha1_cells_x16(struct sha1 *const *s, const uint8_t *const *payload,
			 uint8_t (*digest)[SHA1_LEN], unsigned n)
{
	uint32_t end[5][SHA1_LANES], words[5];
	struct lanes l;

	if (!n)
		return;
	l.is_short = l.is_long = 0;
	lane_fill(&l, 0, s[0], payload[0]);
	for (unsigned i = 1; i < SHA1_LANES; i++) {
		if (i < n)
			lane_fill(&l, i, s[i], payload[i]);
		else
			lane_idle(&l, i);
	}
	run(&l, end);
	for (unsigned i = 0; i < n; i++) {
		for (unsigned k = 0; k < 5; k++) {
			s[i]->h[k] = l.h[k][i];
			words[k] = end[k][i];
		}
		memcpy(digest[i], words, SHA1_LEN);
	}
}
