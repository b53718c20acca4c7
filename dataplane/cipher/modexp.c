/* modexp.c - modular powers with AVX-512 IFMA: four of them side by side, a lane each, in digits
 * of 52 bits. The twin is OpenSSL's BN_mod_exp, which whoever asks uses where modexp_here() says
 * no. Registers of 256 bits: a signature fills three lanes, more would stand empty, and these find
 * a third port for additions.
 *
 * R is 2^728 and a modulus stays below 2^704, so sums of a few values below 2m go into a product
 * without being reduced first: a, b < 2^20 m gives ab/R + m < 2m. A product stands whole before it
 * is reduced: no sum of digits passes 4 N 2^52. Every step is the same whatever the values are; a
 * window's table entry is taken by reading all of them. */
#include <immintrin.h>

#include "dataplane/cipher/cipher.h"
#include "dataplane/cipher/forget.h"

#define IFMA   __attribute__((target("avx512f,avx512vl,avx512ifma")))
#define INLINE static inline __attribute__((always_inline))
#define N      MODEXP_DIGITS
#define TABLE  (1 << MODEXP_WINDOW)

/* Into registers; a compiler that watches every access would need minutes for it. */
#ifdef __SANITIZE_ADDRESS__
#define UNROLL _Pragma("GCC unroll 1")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif

bool modexp_here(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
	       __builtin_cpu_supports("avx512ifma");
}

IFMA INLINE __m256i lo(__m256i sum, __m256i a, __m256i b)
{
	return _mm256_madd52lo_epu64(sum, a, b);
}

IFMA INLINE __m256i hi(__m256i sum, __m256i a, __m256i b)
{
	return _mm256_madd52hi_epu64(sum, a, b);
}

/* Digits of 52 bits again. */
IFMA INLINE void settle(__m256i r[N], const __m256i t[N])
{
	const __m256i mask = _mm256_set1_epi64x((1ll << 52) - 1);
	__m256i carry = _mm256_setzero_si256();

	UNROLL
	for (unsigned j = 0; j < N; j++) {
		__m256i d = _mm256_add_epi64(t[j], carry);

		carry = _mm256_srli_epi64(d, 52);
		r[j] = _mm256_and_si256(d, mask);
	}
}

/* r = t/R. Step i adds the multiple of m that clears digit i; of that digit only the carry is
 * wanted, and it is one more than what stands above the digit, unless the digit was clear. */
IFMA INLINE void reduce(__m256i r[N], __m256i t[2 * N], const __m256i m[N], __m256i k0)
{
	const __m256i mask = _mm256_set1_epi64x((1ll << 52) - 1);

	UNROLL
	for (unsigned i = 0; i < N; i++) {
		__m256i u = lo(_mm256_setzero_si256(), t[i], k0), carry;

		carry = _mm256_srli_epi64(_mm256_add_epi64(t[i], mask), 52);
		carry = hi(carry, u, m[0]);
		t[i + 1] = _mm256_add_epi64(lo(t[i + 1], u, m[1]), carry);
		UNROLL
		for (unsigned j = 2; j < N; j++)
			t[i + j] = lo(t[i + j], u, m[j]);
		UNROLL
		for (unsigned j = 1; j < N; j++)
			t[i + j + 1] = hi(t[i + j + 1], u, m[j]);
	}
	settle(r, t + N);
}

/* r = ab/R; r may be one of them. */
IFMA static void mul(__m256i r[N], const __m256i a[N], const __m256i b[N], const __m256i m[N],
		     __m256i k0)
{
	__m256i t[2 * N];

	UNROLL
	for (unsigned j = 0; j < 2 * N; j++)
		t[j] = _mm256_setzero_si256();
	UNROLL
	for (unsigned i = 0; i < N; i++) {
		UNROLL
		for (unsigned j = 0; j < N; j++)
			t[i + j] = lo(t[i + j], a[j], b[i]);
		UNROLL
		for (unsigned j = 0; j < N; j++)
			t[i + j + 1] = hi(t[i + j + 1], a[j], b[i]);
	}
	reduce(r, t, m, k0);
}

/* r = aa/R: products of two different digits once, twice their sum, and the squares. */
IFMA static void square(__m256i r[N], const __m256i a[N], const __m256i m[N], __m256i k0)
{
	__m256i t[2 * N];

	UNROLL
	for (unsigned j = 0; j < 2 * N; j++)
		t[j] = _mm256_setzero_si256();
	UNROLL
	for (unsigned i = 0; i < N - 1; i++) {
		UNROLL
		for (unsigned j = i + 1; j < N; j++)
			t[i + j] = lo(t[i + j], a[i], a[j]);
		UNROLL
		for (unsigned j = i + 1; j < N; j++)
			t[i + j + 1] = hi(t[i + j + 1], a[i], a[j]);
	}
	UNROLL
	for (unsigned j = 1; j < 2 * N - 1; j++)
		t[j] = _mm256_add_epi64(t[j], t[j]);
	UNROLL
	for (unsigned i = 0; i < N; i++) {
		t[2 * i] = lo(t[2 * i], a[i], a[i]);
		t[2 * i + 1] = hi(t[2 * i + 1], a[i], a[i]);
	}
	reduce(r, t, m, k0);
}

/* Each lane's own entry, by reading all entries. */
IFMA static void take(__m256i r[N], const __m256i table[TABLE][N], const uint8_t which[4])
{
	__m256i at = _mm256_cvtepu8_epi64(_mm_loadu_si32(which));
	__m256i got[N];

	UNROLL
	for (unsigned j = 0; j < N; j++)
		got[j] = table[0][j];
	for (int k = 1; k < TABLE; k++) {
		__mmask8 here = _mm256_cmpeq_epi64_mask(at, _mm256_set1_epi64x(k));

		UNROLL
		for (unsigned j = 0; j < N; j++)
			got[j] = _mm256_mask_mov_epi64(got[j], here, table[k][j]);
	}
	UNROLL
	for (unsigned j = 0; j < N; j++)
		r[j] = got[j];
}

struct work { /* all of it secret */
	__m256i table[TABLE][N], x[N], y[N];
};

/* x R of the value in three runs of digits: each times the power of R that lifts it. */
IFMA static void lift(struct work *w, const struct modexp *e, const uint64_t *in, __m256i k0)
{
	const __m256i *m = (const __m256i *)e->m;

	memset(w->y, 0, sizeof(w->y));
	for (unsigned run = 0; run < MODEXP_RUNS; run++) {
		for (unsigned j = 0; j < N; j++)
			w->x[j] = _mm256_set1_epi64x((long long)in[run * N + j]);
		mul(w->x, w->x, (const __m256i *)e->lift[run], m, k0);
		for (unsigned j = 0; j < N; j++)
			w->y[j] = _mm256_add_epi64(w->y[j], w->x[j]);
	}
	settle(w->y, w->y);
}

IFMA void modexp_run(const struct modexp *e, const uint64_t in[MODEXP_RUNS * MODEXP_DIGITS],
		     uint64_t out[MODEXP_DIGITS][MODEXP_LANES])
{
	const __m256i *m = (const __m256i *)e->m;
	const __m256i k0 = _mm256_load_si256((const __m256i *)e->k0);
	struct work w;

	lift(&w, e, in, k0);
	memset(w.x, 0, sizeof(w.x));
	w.x[0] = _mm256_set1_epi64x(1);
	mul(w.table[0], w.x, (const __m256i *)e->lift[0], m, k0);
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
	w.y[0] = _mm256_set1_epi64x(1);
	mul(w.x, w.x, w.y, m, k0);
	memcpy(out, w.x, sizeof(w.x));
	wipe(&w, sizeof(w));
	kernel_forget();
}
