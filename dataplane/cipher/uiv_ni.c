/* uiv_ni.c - POLYVAL and UIV+ with PCLMULQDQ and AES instructions on 128-bit registers, for CPUs
 * without AVX-512. The twin is uiv_portable.c. */
#include "dataplane/cipher/uiv_x86.h"

#define BLOCKS 8 /* that AES takes at once: as many as hide its latency, and half the registers */
#define SHARE  (UIV_RIGHT % 16) /* of the last block of a right part */

/* ---- POLYVAL ---- */

UIV_STEP struct raw add(struct raw a, struct raw b)
{
	return (struct raw) {_mm_xor_si128(a.lo, b.lo), _mm_xor_si128(a.mid, b.mid),
			     _mm_xor_si128(a.hi, b.hi)};
}

UIV_TARGET static void hash_ni(const uint8_t powers[POLYVAL_POWERS][POLYVAL_LEN],
			       const uint8_t *blocks, size_t n, uint8_t out[POLYVAL_LEN])
{
	__m128i sum = _mm_setzero_si128();

	while (n) {
		size_t some = n % POLYVAL_POWERS ? n % POLYVAL_POWERS : POLYVAL_POWERS;
		const uint8_t(*k)[POLYVAL_LEN] = powers + POLYVAL_POWERS - some;
		struct raw r = times(_mm_xor_si128(sum, at16(blocks)), at16(k[0]));

		for (size_t i = 1; i < some; i++)
			r = add(r, times(at16(blocks + 16 * i), at16(k[i])));
		sum = fold(r);
		blocks += 16 * some;
		n -= some;
	}
	put16(out, sum);
}

/* By doubling: 1; 2; 3 and 4; 5 to 8. */
UIV_STEP void powers_from(uint8_t powers[POLYVAL_POWERS][POLYVAL_LEN], __m128i h)
{
	__m128i p[POLYVAL_POWERS + 1];

	p[1] = h;
	for (unsigned have = 1; have < POLYVAL_POWERS; have *= 2)
		for (unsigned i = 1; i <= have; i++)
			p[have + i] = dot(p[have], p[i]);
	for (unsigned i = 1; i <= POLYVAL_POWERS; i++)
		put16(powers[POLYVAL_POWERS - i], p[i]);
}

UIV_TARGET static void powers_ni(uint8_t powers[POLYVAL_POWERS][POLYVAL_LEN],
				 const uint8_t key[POLYVAL_LEN])
{
	powers_from(powers, at16(key));
}

/* ---- AES ---- */

/* With all columns alike ShiftRows moves nothing, so the last round of AES is SubWord, and cheaper
 * than the instruction for it. */
UIV_STEP void expand(uint8_t round_keys[11][16], __m128i k)
{
	static const uint32_t rcon[10] = {1, 2, 4, 8, 16, 32, 64, 128, 0x1b, 0x36};
	const __m128i rot = _mm_set1_epi32(0x0c0f0e0d); /* bytes 13, 14, 15, 12 */

	put16(round_keys[0], k);
	for (unsigned r = 0; r < 10; r++) {
		__m128i sub = _mm_aesenclast_si128(_mm_shuffle_epi8(k, rot),
						   _mm_set1_epi32((int)rcon[r]));

		k = _mm_xor_si128(k, _mm_slli_si128(k, 4));
		k = _mm_xor_si128(k, _mm_slli_si128(k, 8));
		k = _mm_xor_si128(k, sub);
		put16(round_keys[r + 1], k);
	}
}

/* Key stream: n (constant) blocks from iv + from on. */
UIV_STEP void stream_blocks(const uint8_t k[11][16], __m128i iv, unsigned from, __m128i *b,
			    const unsigned n)
{
	__m128i key = at16(k[0]);

	for (unsigned i = 0; i < n; i++)
		b[i] = _mm_xor_si128(
			key, _mm_xor_si128(iv, _mm_set_epi64x((long long)(from + i) << 56, 0)));
	for (unsigned r = 1; r < 10; r++) {
		key = at16(k[r]);
		for (unsigned i = 0; i < n; i++)
			b[i] = _mm_aesenc_si128(b[i], key);
	}
	key = at16(k[10]);
	for (unsigned i = 0; i < n; i++)
		b[i] = _mm_aesenclast_si128(b[i], key);
}

/* ---- UIV+ ---- */

UIV_STEP void start(struct uiv *u, const __m128i keys[UIV_KEYS / 16])
{
	expand(u->j, keys[0]);
	powers_from(u->powers, keys[1]);
	expand(u->s, keys[2]);
	put16(u->s_hash, keys[3]);
	put16(u->nonce, keys[4]);
}

UIV_TARGET static void init_ni(const struct cipher *c, struct uiv *u, const uint8_t keys[UIV_KEYS])
{
	__m128i k[UIV_KEYS / 16];

	for (unsigned i = 0; i < ARRAY_LEN(k); i++)
		k[i] = at16(keys + 16 * i);
	start(u, k);
}

/* A right part as it is hashed stands behind T' and the command, with zeroes behind it. So its
 * blocks begin one byte before it; the last is loaded from where it still lies inside. */
UIV_STEP __m128i hashed(const struct uiv *u, uint8_t command, const uint8_t *right, unsigned block)
{
	if (block == 0)
		return at16(u->last);
	if (block == 1)
		return _mm_insert_epi8(at16(right - 1), command, 0);
	if (block == UIV_T1)
		return _mm_srli_si128(at16(right + UIV_RIGHT - 16), 15 - SHARE);
	return at16(right - 1 + 16 * (block - 1));
}

UIV_STEP __m128i mask_of(const struct uiv *u, uint8_t command, const uint8_t *right)
{
	__m128i sum = _mm_setzero_si128();

#pragma GCC unroll 4
	for (unsigned at = 0; at <= UIV_T1; at += POLYVAL_POWERS) {
		struct raw r = times(_mm_xor_si128(sum, hashed(u, command, right, at)),
				     at16(u->powers[0]));

#pragma GCC unroll 8
		for (unsigned i = 1; i < POLYVAL_POWERS; i++)
			r = add(r, times(hashed(u, command, right, at + i), at16(u->powers[i])));
		sum = fold(r);
	}
	return sum;
}

/* The last block and its share are taken together with the end of the block before: loads and
 * stores stay inside. */
UIV_STEP void run_stream(const uint8_t k[11][16], __m128i iv, uint8_t *dst, const uint8_t *src)
{
	__m128i b[BLOCKS], end = at16(src + UIV_RIGHT - 16);

	for (unsigned at = 0; at < UIV_T1 / BLOCKS * BLOCKS; at += BLOCKS) {
		stream_blocks(k, iv, at, b, BLOCKS);
		for (unsigned i = 0; i < BLOCKS; i++)
			put16(dst + 16 * (at + i), _mm_xor_si128(b[i], at16(src + 16 * (at + i))));
	}
	stream_blocks(k, iv, UIV_T1 / BLOCKS * BLOCKS, b, UIV_T1 % BLOCKS);
	for (unsigned i = 0; i < UIV_T1 % BLOCKS - 1; i++) {
		const unsigned at = 16 * (UIV_T1 / BLOCKS * BLOCKS + i);

		put16(dst + at, _mm_xor_si128(b[i], at16(src + at)));
	}
	put16(dst + UIV_RIGHT - 16,
	      _mm_xor_si128(
		      end, _mm_alignr_epi8(b[UIV_T1 % BLOCKS - 1], b[UIV_T1 % BLOCKS - 2], SHARE)));
}

UIV_TARGET static void encrypt_ni(const struct cipher *c, const struct uiv_cell *cells, unsigned n)
{
	encrypt_by(mask_of, run_stream, cells, n);
}

UIV_TARGET static void decrypt_ni(const struct cipher *c, const struct uiv_cell *cell)
{
	decrypt_by(mask_of, run_stream, cell);
}

UIV_TARGET static void update_ni(const struct cipher *c, struct uiv *const *us, unsigned n)
{
	__m128i keys[UIV_KEYS / 16];

	for (unsigned i = 0; i < n; i++) {
		struct uiv *u = us[i];

		stream_blocks(u->s, stream_of(u, at16(u->nonce)), UIV_T1, keys, ARRAY_LEN(keys));
		start(u, keys);
	}
}

const struct uiv_kernel uiv_ni = {
	.name = "pclmulqdq",
	.powers = powers_ni,
	.hash = hash_ni,
	.init = init_ni,
	.encrypt = encrypt_ni,
	.decrypt = decrypt_ni,
	.update = update_ni,
};
