/* ctr_vaes.c - AES-128-CTR with VAES on 512-bit registers. The twin is ctr_portable.
 *
 * A stretch that begins o bytes into a block is treated as one that begins at the block: the
 * pointers move back by o and byte masks keep both ends from being read or written ("aligned
 * superset"; a relay payload then covers 33 blocks). So only the byte position is kept from cell to
 * cell, no left-over key stream. The data is folded into the last round's key. */
#include <immintrin.h>

#include "dataplane/cipher/internal.h"

#define VAES __attribute__((target("avx512f,avx512bw,avx512vl,vaes,aes,bmi2")))
#define WIDE 9 /* registers in flight: a whole relay payload at any offset */

struct keys {
	__m512i k[11];
};

/* Counter blocks are big-endian in their last half; ours never leave 64 bits. */
VAES static inline __m512i to_wire(__m512i counter)
{
	const __m512i swap = _mm512_broadcast_i32x4(
		_mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 15, 14, 13, 12, 11, 10, 9, 8));

	return _mm512_shuffle_epi8(counter, swap);
}

VAES static inline __m512i counters_from(uint64_t block)
{
	return _mm512_add_epi64(_mm512_set_epi64(0, 3, 0, 2, 0, 1, 0, 0),
				_mm512_set_epi64(0, block, 0, block, 0, block, 0, block));
}

/* n (constant) registers from block number block on; of the n * 64 bytes at src those in
 * [from, to) are taken: from lies in the first register, to in or behind the last. */
VAES static inline __attribute__((always_inline)) void run(const struct keys *keys, uint64_t block,
							   uint8_t *dst, const uint8_t *src,
							   size_t from, size_t to, const unsigned n)
{
	const __m512i four = _mm512_set_epi64(0, 4, 0, 4, 0, 4, 0, 4);
	__m512i b[WIDE], counter = counters_from(block);
	__mmask64 m[WIDE];

	for (unsigned i = 0; i < n; i++) {
		b[i] = _mm512_xor_si512(to_wire(counter), keys->k[0]);
		counter = _mm512_add_epi64(counter, four);
		m[i] = ~0ull;
	}
	m[0] <<= from;
	m[n - 1] &= _bzhi_u64(~0ull, MIN(to - (n - 1) * 64, 64));
	for (unsigned r = 1; r < 10; r++)
		for (unsigned i = 0; i < n; i++)
			b[i] = _mm512_aesenc_epi128(b[i], keys->k[r]);
	for (unsigned i = 0; i < n; i++) {
		__m512i d = _mm512_maskz_loadu_epi8(m[i], src + i * 64);

		b[i] = _mm512_aesenclast_epi128(b[i], _mm512_xor_si512(d, keys->k[10]));
		_mm512_mask_storeu_epi8(dst + i * 64, m[i], b[i]);
	}
}

VAES void ctr_vaes(const struct cipher *c, const struct aes_ctr *s, uint8_t *dst,
		   const uint8_t *src, size_t len)
{
	size_t from = s->pos % 16, to = from + len, n;
	uint64_t block = s->pos / 16;
	struct keys keys;

	if (!len)
		return;
	for (unsigned i = 0; i < 11; i++)
		keys.k[i] =
			_mm512_broadcast_i32x4(_mm_load_si128((const __m128i *)s->round_keys[i]));
	/* What lies in front of from is masked off: these are only bases for what is inside. */
	dst = (uint8_t *)((uintptr_t)dst - from);
	src = (const uint8_t *)((uintptr_t)src - from);
	for (;; from = 0) {
		if (to > 512) {
			run(&keys, block, dst, src, from, to, 9);
			n = 9;
		} else if (to > 448) {
			run(&keys, block, dst, src, from, to, 8);
			n = 8;
		} else if (to > 128) {
			run(&keys, block, dst, src, from, to, 3);
			n = 3;
		} else {
			run(&keys, block, dst, src, from, to, 1);
			n = 1;
		}
		if (to <= n * 64)
			return;
		to -= n * 64;
		dst += n * 64;
		src += n * 64;
		block += n * 4;
	}
}
