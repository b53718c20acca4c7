/* uiv_x86.h - what uiv_ni.c and uiv_wide.c share: POLYVAL's product and AES on 128-bit registers,
 * and the order of UIV+'s steps. Who includes it says for which CPUs (UIV_TARGET) and how three
 * values are added (UIV_XOR3), or takes what stands here.
 *
 * One cell is a chain: hash, one AES block, a product, key stream. So each step is done for all
 * cells of a call before the next step, and the CPU works on several chains at once. */
#ifndef RAMSON_CIPHER_UIV_X86_H
#define RAMSON_CIPHER_UIV_X86_H

#include <immintrin.h>

#include "dataplane/cipher/internal.h"

#ifndef UIV_TARGET
#define UIV_TARGET	  __attribute__((target("aes,pclmul,sse4.1")))
#define UIV_XOR3(a, b, c) _mm_xor_si128(_mm_xor_si128(a, b), c)
#endif
#define UIV_STEP UIV_TARGET static inline __attribute__((always_inline))

UIV_STEP __m128i at16(const uint8_t *p)
{
	return _mm_loadu_si128((const __m128i *)p);
}

UIV_STEP void put16(uint8_t *p, __m128i v)
{
	_mm_storeu_si128((__m128i *)p, v);
}

/* ---- POLYVAL's field: polynomials modulo x^128 + x^127 + x^126 + x^121 + 1, the lowest
 * coefficient in the lowest bit; every product is divided by x^128 (RFC 8452, section 3) ---- */

/* Products, or a sum of them, that are still to be reduced. */
struct raw {
	__m128i lo, mid, hi;
};

UIV_STEP struct raw times(__m128i a, __m128i b)
{
	return (struct raw) {
		_mm_clmulepi64_si128(a, b, 0x00),
		_mm_xor_si128(_mm_clmulepi64_si128(a, b, 0x01), _mm_clmulepi64_si128(a, b, 0x10)),
		_mm_clmulepi64_si128(a, b, 0x11)};
}

/* Two foldings, each of 64 bits: x^128 + x^127 + x^126 + x^121 + 1 times the low word clears it. */
UIV_STEP __m128i fold(struct raw r)
{
	const __m128i poly = _mm_set1_epi64x((long long)0xc200000000000000);
	__m128i lo = _mm_xor_si128(r.lo, _mm_slli_si128(r.mid, 8));
	__m128i hi = _mm_xor_si128(r.hi, _mm_srli_si128(r.mid, 8));

	lo = _mm_xor_si128(_mm_shuffle_epi32(lo, 78), _mm_clmulepi64_si128(lo, poly, 0x00));
	return UIV_XOR3(hi, _mm_shuffle_epi32(lo, 78), _mm_clmulepi64_si128(lo, poly, 0x00));
}

UIV_STEP __m128i dot(__m128i a, __m128i b)
{
	return fold(times(a, b));
}

/* ---- AES ---- */

UIV_STEP __m128i aes_encrypt(const uint8_t k[11][16], __m128i b)
{
	b = _mm_xor_si128(b, at16(k[0]));
	for (unsigned r = 1; r < 10; r++)
		b = _mm_aesenc_si128(b, at16(k[r]));
	return _mm_aesenclast_si128(b, at16(k[10]));
}

UIV_STEP __m128i aes_decrypt(const uint8_t k[11][16], __m128i b)
{
	b = _mm_xor_si128(b, at16(k[10]));
	for (unsigned r = 9; r > 0; r--)
		b = _mm_aesdec_si128(b, _mm_aesimc_si128(at16(k[r])));
	return _mm_aesdeclast_si128(b, at16(k[0]));
}

/* ---- UIV+ ---- */

/* The first counter block of the key stream that belongs to a left part. */
UIV_STEP __m128i stream_of(const struct uiv *u, __m128i left)
{
	return _mm_and_si128(dot(left, at16(u->s_hash)),
			     _mm_set_epi64x((long long)0xc0ffffffffffffff, -1));
}

/* What ET's block is masked with: the hash of T', the command and the right part. */
typedef __m128i mask_fn(const struct uiv *u, uint8_t command, const uint8_t *right);
/* Puts the key stream that begins at iv on a right part; iv's low six bits are zero. */
typedef void stream_fn(const uint8_t k[11][16], __m128i iv, uint8_t *dst, const uint8_t *src);

UIV_STEP void encrypt_by(mask_fn *mask_of, stream_fn *run_stream, const struct uiv_cell *cells,
			 unsigned n)
{
	__m128i mask[UIV_BATCH];

	for (unsigned i = 0; i < n; i++) {
		uiv_fetch(cells[i].u, 1);
		mask[i] = mask_of(cells[i].u, cells[i].command, cells[i].src + UIV_TAG);
	}
	for (unsigned i = 0; i < n; i++) {
		struct uiv *u = cells[i].u;

		uiv_fetch(u, 2);
		__m128i left = _mm_xor_si128(at16(cells[i].src), mask[i]);

		left = _mm_xor_si128(aes_encrypt(u->j, left), mask[i]);
		put16(cells[i].dst, left);
		put16(u->last, left);
		mask[i] = stream_of(u, left);
	}
	for (unsigned i = 0; i < n; i++) {
		if (cells[i].next)
			uiv_fetch(cells[i].next, 0);
		run_stream(cells[i].u->s, mask[i], cells[i].dst + UIV_TAG, cells[i].src + UIV_TAG);
	}
}

UIV_STEP void decrypt_by(mask_fn *mask_of, stream_fn *run_stream, const struct uiv_cell *k)
{
	struct uiv *u = k->u;
	__m128i sealed = at16(k->src), mask;

	run_stream(u->s, stream_of(u, sealed), k->dst + UIV_TAG, k->src + UIV_TAG);
	mask = mask_of(u, k->command, k->dst + UIV_TAG);
	put16(k->dst, _mm_xor_si128(aes_decrypt(u->j, _mm_xor_si128(sealed, mask)), mask));
	put16(u->last, sealed);
}

#endif
