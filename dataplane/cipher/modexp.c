/* modexp.c - modular powers with AVX-512 IFMA: eight of them side by side, a lane each, in digits
 * of 52 bits. The twin is OpenSSL's BN_mod_exp, which whoever asks uses where modexp_here() says
 * no.
 *
 * R is 2^728 and a modulus stays below 2^704, so sums of a few values below 2m go into a product
 * without being reduced first: a, b < 2^20 m gives ab/R + m < 2m. Every step is the same whatever
 * the values are; a window's table entry is taken by reading all of them. */
#include <immintrin.h>

#include "dataplane/cipher/cipher.h"
#include "dataplane/cipher/forget.h"

#define IFMA   __attribute__((target("avx512f,avx512ifma")))
#define INLINE static inline __attribute__((always_inline))
#define N      MODEXP_DIGITS
#define TABLE  (1 << MODEXP_WINDOW)

#define UNROLL _Pragma("GCC unroll 16")

bool modexp_here(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512ifma");
}

IFMA INLINE __m512i lo(__m512i sum, __m512i a, __m512i b)
{
	return _mm512_madd52lo_epu64(sum, a, b);
}

IFMA INLINE __m512i hi(__m512i sum, __m512i a, __m512i b)
{
	return _mm512_madd52hi_epu64(sum, a, b);
}

/* Adds the multiple of m that clears the lowest digit, and moves all down by one. */
IFMA INLINE void reduce(__m512i t[N + 1], const __m512i m[N], __m512i k0)
{
	__m512i u = lo(_mm512_setzero_si512(), t[0], k0), carry;

	carry = _mm512_srli_epi64(lo(t[0], u, m[0]), 52);
	UNROLL
	for (unsigned j = 1; j < N; j++)
		t[j] = lo(t[j], u, m[j]);
	UNROLL
	for (unsigned j = 0; j < N; j++)
		t[j] = hi(t[j + 1], u, m[j]);
	t[N] = _mm512_setzero_si512();
	t[0] = _mm512_add_epi64(t[0], carry);
}

/* Digits of 52 bits again. */
IFMA INLINE void settle(__m512i r[N], const __m512i t[N])
{
	const __m512i mask = _mm512_set1_epi64((1ll << 52) - 1);
	__m512i carry = _mm512_setzero_si512();

	UNROLL
	for (unsigned j = 0; j < N; j++) {
		__m512i d = _mm512_add_epi64(t[j], carry);

		carry = _mm512_srli_epi64(d, 52);
		r[j] = _mm512_and_si512(d, mask);
	}
}

/* r = ab/R; r may be one of them. */
IFMA static void mul(__m512i r[N], const __m512i a[N], const __m512i b[N], const __m512i m[N],
		     __m512i k0)
{
	__m512i t[N + 1];

	UNROLL
	for (unsigned j = 0; j <= N; j++)
		t[j] = _mm512_setzero_si512();
	UNROLL
	for (unsigned i = 0; i < N; i++) {
		UNROLL
		for (unsigned j = 0; j < N; j++)
			t[j] = lo(t[j], a[j], b[i]);
		UNROLL
		for (unsigned j = 0; j < N; j++)
			t[j + 1] = hi(t[j + 1], a[j], b[i]);
		reduce(t, m, k0);
	}
	settle(r, t);
}

/* r = aa/R. A product of two different digits counts twice: row i is a[i] times the digits of 2a
 * above i, of which the first must not hold the bit that 2a[i] carried into it. */
IFMA static void square(__m512i r[N], const __m512i a[N], const __m512i m[N], __m512i k0)
{
	const __m512i mask = _mm512_set1_epi64((1ll << 52) - 1);
	__m512i t[N + 1], twice[N], bare[N];

	t[0] = t[N] = twice[0] = bare[0] = _mm512_setzero_si512();
	UNROLL
	for (unsigned j = 1; j < N; j++) {
		t[j] = _mm512_setzero_si512();
		bare[j] = _mm512_and_si512(_mm512_add_epi64(a[j], a[j]), mask);
		twice[j] = _mm512_or_si512(bare[j], _mm512_srli_epi64(a[j - 1], 51));
	}
	UNROLL
	for (unsigned i = 0; i < N; i++) {
		UNROLL
		for (unsigned j = i; j < N; j++)
			t[j] = lo(t[j], a[i], j == i ? a[i] : j == i + 1 ? bare[j] : twice[j]);
		UNROLL
		for (unsigned j = i; j < N; j++)
			t[j + 1] = hi(t[j + 1], a[i],
				      j == i	   ? a[i]
				      : j == i + 1 ? bare[j]
						   : twice[j]);
		reduce(t, m, k0);
	}
	settle(r, t);
}

/* Each lane's own entry, by reading all entries. */
IFMA static void take(__m512i r[N], const __m512i table[TABLE][N], const uint8_t which[8])
{
	__m512i at = _mm512_cvtepu8_epi64(_mm_loadl_epi64((const __m128i *)which));
	__m512i got[N];

	UNROLL
	for (unsigned j = 0; j < N; j++)
		got[j] = table[0][j];
	for (int k = 1; k < TABLE; k++) {
		__mmask8 here = _mm512_cmpeq_epi64_mask(at, _mm512_set1_epi64(k));

		UNROLL
		for (unsigned j = 0; j < N; j++)
			got[j] = _mm512_mask_mov_epi64(got[j], here, table[k][j]);
	}
	UNROLL
	for (unsigned j = 0; j < N; j++)
		r[j] = got[j];
}

struct work { /* all of it secret */
	__m512i table[TABLE][N], x[N], y[N];
};

/* x R of the value in three runs of digits: each times the power of R that lifts it. */
IFMA static void lift(struct work *w, const struct modexp *e, const uint64_t *in, __m512i k0)
{
	const __m512i *m = (const __m512i *)e->m;

	memset(w->y, 0, sizeof(w->y));
	for (unsigned run = 0; run < MODEXP_RUNS; run++) {
		for (unsigned j = 0; j < N; j++)
			w->x[j] = _mm512_set1_epi64((long long)in[run * N + j]);
		mul(w->x, w->x, (const __m512i *)e->lift[run], m, k0);
		for (unsigned j = 0; j < N; j++)
			w->y[j] = _mm512_add_epi64(w->y[j], w->x[j]);
	}
	settle(w->y, w->y);
}

IFMA void modexp_run(const struct modexp *e, const uint64_t in[MODEXP_RUNS * MODEXP_DIGITS],
		     uint64_t out[MODEXP_DIGITS][MODEXP_LANES])
{
	const __m512i *m = (const __m512i *)e->m;
	const __m512i k0 = _mm512_load_si512(e->k0);
	struct work w;

	lift(&w, e, in, k0);
	memset(w.x, 0, sizeof(w.x));
	w.x[0] = _mm512_set1_epi64(1);
	mul(w.table[0], w.x, (const __m512i *)e->lift[0], m, k0);
	memcpy(w.table[1], w.y, sizeof(w.y));
	for (unsigned k = 2; k < TABLE; k++)
		mul(w.table[k], w.table[k - 1], w.y, m, k0);
	take(w.x, w.table, e->windows[0]);
	for (unsigned i = 1; i < MODEXP_WINDOWS; i++) {
		for (unsigned k = 0; k < MODEXP_WINDOW; k++)
			square(w.x, w.x, m, k0);
		take(w.y, w.table, e->windows[i]);
		mul(w.x, w.x, w.y, m, k0);
	}
	memset(w.y, 0, sizeof(w.y));
	w.y[0] = _mm512_set1_epi64(1);
	mul(w.x, w.x, w.y, m, k0);
	memcpy(out, w.x, sizeof(w.x));
	wipe(&w, sizeof(w));
	kernel_forget();
}
