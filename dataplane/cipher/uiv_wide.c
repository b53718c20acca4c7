/* uiv_wide.c - POLYVAL and UIV+ with VPCLMULQDQ and VAES on 512-bit registers. The twin is
 * uiv_portable.c. */
#define UIV_TARGET                                                                                 \
	__attribute__((target(                                                                     \
		"avx512f,avx512bw,avx512vl,avx512dq,vaes,aes,pclmul,vpclmulqdq,bmi2,sse4.1")))
#define UIV_XOR3(a, b, c) _mm_ternarylogic_epi64(a, b, c, 0x96)
#include "dataplane/cipher/uiv_x86.h"

/* ---- POLYVAL ---- */

/* struct raw, by lanes of 128 bits. */
struct sum {
	__m512i lo, mid, hi;
};

UIV_STEP struct sum product(__m512i a, __m512i b)
{
	return (struct sum) {_mm512_clmulepi64_epi128(a, b, 0x00),
			     _mm512_xor_si512(_mm512_clmulepi64_epi128(a, b, 0x01),
					      _mm512_clmulepi64_epi128(a, b, 0x10)),
			     _mm512_clmulepi64_epi128(a, b, 0x11)};
}

UIV_STEP __m512i xor3(__m512i a, __m512i b, __m512i c)
{
	return _mm512_ternarylogic_epi64(a, b, c, 0x96);
}

/* fold() in each lane. */
UIV_STEP __m512i reduce(struct sum s)
{
	const __m512i poly = _mm512_set1_epi64((long long)0xc200000000000000);
	__m512i lo = _mm512_xor_si512(s.lo, _mm512_bslli_epi128(s.mid, 8));
	__m512i hi = _mm512_xor_si512(s.hi, _mm512_bsrli_epi128(s.mid, 8));

	lo = _mm512_xor_si512(_mm512_shuffle_epi32(lo, 78),
			      _mm512_clmulepi64_epi128(lo, poly, 0x00));
	return xor3(hi, _mm512_shuffle_epi32(lo, 78), _mm512_clmulepi64_epi128(lo, poly, 0x00));
}

/* The same for what stands in all four lanes together. */
UIV_STEP __m128i across(__m512i v)
{
	__m256i h = _mm256_xor_si256(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));

	return _mm_xor_si128(_mm256_castsi256_si128(h), _mm256_extracti128_si256(h, 1));
}

struct powers {
	__m512i high, low; /* powers 8 to 5, and 4 to 1 */
};

UIV_STEP struct powers powers_of(const uint8_t powers[POLYVAL_POWERS][POLYVAL_LEN])
{
	return (struct powers) {_mm512_load_si512(powers[0]), _mm512_load_si512(powers[4])};
}

/* Takes eight more blocks; the sum so far stands in the first of them. */
UIV_STEP __m128i take8(struct powers k, __m512i first, __m512i last)
{
	struct sum a = product(first, k.high), b = product(last, k.low);

	return fold((struct raw) {across(_mm512_xor_si512(a.lo, b.lo)),
				  across(_mm512_xor_si512(a.mid, b.mid)),
				  across(_mm512_xor_si512(a.hi, b.hi))});
}

UIV_STEP __m512i add_low(__m512i v, __m128i sum)
{
	return _mm512_xor_si512(v, _mm512_zextsi128_si512(sum));
}

UIV_TARGET static void hash_wide(const uint8_t powers[POLYVAL_POWERS][POLYVAL_LEN],
				 const uint8_t *blocks, size_t n, uint8_t out[POLYVAL_LEN])
{
	const struct powers k = powers_of(powers);
	__m128i sum = _mm_setzero_si128();
	uint8_t first[128] = {0}; /* blocks of zeroes before the first change nothing */
	size_t some = n % 8;

	if (some) {
		memcpy(first + (8 - some) * 16, blocks, some * 16);
		sum = take8(k, _mm512_loadu_si512(first), _mm512_loadu_si512(first + 64));
		blocks += some * 16;
	}
	for (; n >= 8; n -= 8, blocks += 128)
		sum = take8(k, add_low(_mm512_loadu_si512(blocks), sum),
			    _mm512_loadu_si512(blocks + 64));
	_mm_storeu_si128((__m128i *)out, sum);
}

/* By doubling: 1; 2; 3 and 4; 5 to 8. */
UIV_STEP void powers_from(uint8_t powers[POLYVAL_POWERS][POLYVAL_LEN], __m128i h)
{
	__m128i h2 = dot(h, h);
	__m512i two = _mm512_inserti64x2(_mm512_castsi128_si512(h2), h, 1); /* 2, 1 */
	__m512i four = reduce(product(two, _mm512_broadcast_i32x4(h2)));    /* 4, 3 */

	two = _mm512_shuffle_i64x2(four, two, 0x44); /* 4, 3, 2, 1 */
	_mm512_store_si512(powers[4], two);
	four = _mm512_broadcast_i32x4(_mm512_castsi512_si128(four));
	_mm512_store_si512(powers[0], reduce(product(two, four)));
}

UIV_TARGET static void powers_wide(uint8_t powers[POLYVAL_POWERS][POLYVAL_LEN],
				   const uint8_t key[POLYVAL_LEN])
{
	_Alignas(64) uint8_t aligned[POLYVAL_POWERS][POLYVAL_LEN];

	powers_from(aligned, _mm_loadu_si128((const __m128i *)key));
	memcpy(powers, aligned, sizeof(aligned));
	wipe(aligned, sizeof(aligned));
}

/* ---- AES ---- */

/* Both schedules of a state at once. With all columns alike ShiftRows moves nothing, so the last
 * round of AES is SubWord, and cheaper than the instruction for it. */
UIV_STEP void expand(struct uiv *u, __m128i j, __m128i s)
{
	static const uint32_t rcon[10] = {1, 2, 4, 8, 16, 32, 64, 128, 0x1b, 0x36};
	const __m256i rot = _mm256_set1_epi32(0x0c0f0e0d); /* bytes 13, 14, 15, 12 */
	__m256i k = _mm256_inserti128_si256(_mm256_castsi128_si256(j), s, 1);

	for (unsigned r = 0; r <= 10; r++) {
		_mm_store_si128((__m128i *)u->j[r], _mm256_castsi256_si128(k));
		_mm_store_si128((__m128i *)u->s[r], _mm256_extracti128_si256(k, 1));
		if (r == 10)
			break;
		__m256i sub = _mm256_aesenclast_epi128(_mm256_shuffle_epi8(k, rot),
						       _mm256_set1_epi32((int)rcon[r]));

		k = _mm256_xor_si256(k, _mm256_bslli_epi128(k, 4));
		k = _mm256_xor_si256(k, _mm256_bslli_epi128(k, 8));
		k = _mm256_xor_si256(k, sub);
	}
}

/* ---- UIV+ ---- */

UIV_STEP void start(struct uiv *u, __m512i keys, __m128i nonce)
{
	_mm_store_si128((__m128i *)u->nonce, nonce);
	_mm_store_si128((__m128i *)u->s_hash, _mm512_extracti64x2_epi64(keys, 3));
	expand(u, _mm512_castsi512_si128(keys), _mm512_extracti64x2_epi64(keys, 2));
	powers_from(u->powers, _mm512_extracti64x2_epi64(keys, 1));
}

UIV_TARGET static void init_wide(const struct cipher *c, struct uiv *u,
				 const uint8_t keys[UIV_KEYS])
{
	start(u, _mm512_loadu_si512(keys), at16(keys + 64));
}

/* A right part as it is hashed: behind T' and the command, zeroes behind it. The loads begin one
 * byte before it; what lies there and behind it is masked off. */
UIV_STEP __m128i mask_of(const struct uiv *u, uint8_t command, const uint8_t *right)
{
	const struct powers k = powers_of(u->powers);
	const uint8_t *at = (const uint8_t *)((uintptr_t)right - 17);
	__m512i first = _mm512_maskz_loadu_epi8(~0ull << 17, at);
	__m128i sum;

	first = _mm512_mask_set1_epi8(first, 1ull << 16, (char)command);
	sum = take8(k, add_low(first, at16(u->last)), _mm512_loadu_si512(at + 64));
	sum = take8(k, add_low(_mm512_loadu_si512(at + 128), sum), _mm512_loadu_si512(at + 192));
	sum = take8(k, add_low(_mm512_loadu_si512(at + 256), sum), _mm512_loadu_si512(at + 320));
	return take8(k, add_low(_mm512_loadu_si512(at + 384), sum),
		     _mm512_maskz_loadu_epi8(~0ull >> 2, at + 448));
}

/* Counter blocks iv + from on, four of them. The low six bits of iv are zero. */
UIV_STEP __m512i counters(__m128i iv, unsigned from)
{
	const __m512i step = _mm512_set_epi64(3ll << 56, 0, 2ll << 56, 0, 1ll << 56, 0, 0, 0);
	const __m512i base = _mm512_set_epi64((long long)from << 56, 0, (long long)from << 56, 0,
					      (long long)from << 56, 0, (long long)from << 56, 0);

	return _mm512_xor_si512(_mm512_broadcast_i32x4(iv), _mm512_add_epi64(step, base));
}

UIV_STEP void run_stream(const uint8_t k[11][16], __m128i iv, uint8_t *dst, const uint8_t *src)
{
	const __mmask64 tail = ~0ull >> (512 - UIV_RIGHT);
	__m512i b[8], key = _mm512_broadcast_i32x4(at16(k[0]));

	for (unsigned i = 0; i < 8; i++)
		b[i] = _mm512_xor_si512(counters(iv, 4 * i), key);
	for (unsigned r = 1; r < 10; r++) {
		key = _mm512_broadcast_i32x4(at16(k[r]));
		for (unsigned i = 0; i < 8; i++)
			b[i] = _mm512_aesenc_epi128(b[i], key);
	}
	key = _mm512_broadcast_i32x4(at16(k[10]));
	for (unsigned i = 0; i < 7; i++) {
		__m512i d = _mm512_loadu_si512(src + 64 * i);

		b[i] = _mm512_aesenclast_epi128(b[i], _mm512_xor_si512(d, key));
		_mm512_storeu_si512(dst + 64 * i, b[i]);
	}
	b[7] = _mm512_aesenclast_epi128(
		b[7], _mm512_xor_si512(_mm512_maskz_loadu_epi8(tail, src + 448), key));
	_mm512_mask_storeu_epi8(dst + 448, tail, b[7]);
}

UIV_TARGET static void encrypt_wide(const struct cipher *c, const struct uiv_cell *cells,
				    unsigned n)
{
	encrypt_by(mask_of, run_stream, cells, n);
}

UIV_TARGET static void decrypt_wide(const struct cipher *c, const struct uiv_cell *cell)
{
	decrypt_by(mask_of, run_stream, cell);
}

UIV_TARGET static void update_wide(const struct cipher *c, struct uiv *const *us, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct uiv *u = us[i];
		__m128i iv = stream_of(u, at16(u->nonce));
		__m512i keys = _mm512_xor_si512(counters(iv, UIV_T1),
						_mm512_broadcast_i32x4(at16(u->s[0])));
		__m128i nonce = _mm_xor_si128(iv, _mm_set_epi64x((UIV_T1 + 4ll) << 56, 0));

		nonce = aes_encrypt(u->s, nonce);
		for (unsigned r = 1; r < 10; r++)
			keys = _mm512_aesenc_epi128(keys, _mm512_broadcast_i32x4(at16(u->s[r])));
		keys = _mm512_aesenclast_epi128(keys, _mm512_broadcast_i32x4(at16(u->s[10])));
		start(u, keys, nonce);
	}
}

const struct uiv_kernel uiv_wide = {
	.name = "vpclmulqdq512",
	.powers = powers_wide,
	.hash = hash_wide,
	.init = init_wide,
	.encrypt = encrypt_wide,
	.decrypt = decrypt_wide,
	.update = update_wide,
};
