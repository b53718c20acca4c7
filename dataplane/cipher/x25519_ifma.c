/* x25519_ifma.c - X25519 of eight scalars and eight points at once, one in each 64-bit lane, with
 * the 52-bit multiply-add of AVX-512 IFMA. Constant time: no branch and no address depends on a
 * scalar or a point. The twin is OpenSSL, one by one (x25519.c). */
#include <immintrin.h>

#include "dataplane/cipher/forget.h"
#include "dataplane/cipher/x25519_kernel.h"

#define WIDE   __attribute__((target("avx512f,avx512dq,avx512vl,avx512ifma")))
#define INLINE static inline __attribute__((always_inline))

/* Unrolled before anything else, else the compiler keeps limbs in memory: 4 % (measured). */
#define for_each(i, from, to) _Pragma("GCC unroll 10") for (int i = from; i < (to); i++)

#define LIMBS  5
#define BITS   51
#define MASK   ((1ull << BITS) - 1)
#define A24    121665 /* (486662 - 2) / 4, RFC 7748 section 5 */
#define COFACT 3      /* bits of the cofactor: the lowest bits of a clamped scalar, all zero */

typedef __m512i v8;

/* A number modulo 2^255 - 19 in each lane, limb i weighs 2^(51 i). Two kinds:
 * fe:   limbs below 2^51 + 2^18, what the multiplier takes (it sees 52 bits of a factor);
 * wide: limbs not yet carried; narrow() makes an fe of any that stays below 2^64.
 * A product is below 125 * 2^52 < 2^59 in each limb: 77 low halves below 2^52 and 190 high ones
 * below 2^50 + 2^19 in the heaviest, limb 0. What is done with products before they are carried
 * (one sum, or one difference and 2^60) leaves them below 2^61. */
struct fe {
	v8 v[LIMBS];
};
struct wide {
	v8 v[LIMBS];
};

INLINE WIDE v8 all(uint64_t x)
{
	return _mm512_set1_epi64((long long)x);
}
INLINE WIDE v8 add(v8 a, v8 b)
{
	return _mm512_add_epi64(a, b);
}
INLINE WIDE v8 lo(v8 sum, v8 a, v8 b)
{
	return _mm512_madd52lo_epu64(sum, a, b);
}
INLINE WIDE v8 hi(v8 sum, v8 a, v8 b)
{
	return _mm512_madd52hi_epu64(sum, a, b);
}

INLINE WIDE struct wide w_of(struct fe a)
{
	struct wide r;

	for_each (i, 0, LIMBS)
		r.v[i] = a.v[i];
	return r;
}
INLINE WIDE struct wide w_small(uint64_t x)
{
	struct wide r = {{all(x)}};

	for_each (i, 1, LIMBS)
		r.v[i] = _mm512_setzero_si512();
	return r;
}
INLINE WIDE struct wide w_add(struct wide a, struct wide b)
{
	for_each (i, 0, LIMBS)
		a.v[i] = add(a.v[i], b.v[i]);
	return a;
}
/* 512 times the prime is added, limb by limb, so that none goes below zero. */
INLINE WIDE struct wide w_sub(struct wide a, struct wide b)
{
	for_each (i, 0, LIMBS) {
		v8 prime = all((MASK - (i ? 0 : 18)) << 9);

		a.v[i] = _mm512_sub_epi64(add(a.v[i], prime), b.v[i]);
	}
	return a;
}

/* One carry from each limb to the next, all at the same time; 2^255 is 19. */
INLINE WIDE struct fe narrow(struct wide w)
{
	struct fe r;
	v8 carry[LIMBS];

	for_each (i, 0, LIMBS)
		carry[i] = _mm512_srli_epi64(w.v[i], BITS);
	for_each (i, 0, LIMBS) {
		v8 rest = _mm512_and_si512(w.v[i], all(MASK));

		r.v[i] = i ? add(rest, carry[i - 1]) : lo(rest, carry[4], all(19));
	}
	return r;
}

/* Ten columns to five: the upper ones weigh 2^255 = 19 more. */
INLINE WIDE struct wide fold(const v8 c[2 * LIMBS])
{
	struct wide r;

	for_each (i, 0, LIMBS) {
		v8 x = c[i + LIMBS], x3 = add(add(x, x), x);

		r.v[i] = add(add(c[i], x3), _mm512_slli_epi64(x, 4));
	}
	return r;
}

/* A high half stands at bit 52, which is twice the next limb's weight. */
INLINE WIDE struct wide mul(struct fe a, struct fe b)
{
	v8 h[2 * LIMBS - 1], c[2 * LIMBS];

	for_each (k, 0, 2 * LIMBS - 1)
		h[k] = _mm512_setzero_si512();
	for_each (i, 0, LIMBS)
		for_each (j, 0, LIMBS)
			h[i + j] = hi(h[i + j], a.v[i], b.v[j]);
	c[0] = _mm512_setzero_si512();
	for_each (k, 1, 2 * LIMBS)
		c[k] = add(h[k - 1], h[k - 1]);
	for_each (i, 0, LIMBS)
		for_each (j, 0, LIMBS)
			c[i + j] = lo(c[i + j], a.v[i], b.v[j]);
	return fold(c);
}

/* Products of two different limbs once, then twice; factors cannot be doubled beforehand, for that
 * would take a 53rd bit. */
INLINE WIDE struct wide sqr(struct fe a)
{
	v8 h[2 * LIMBS - 1], c[2 * LIMBS];

	for_each (k, 0, 2 * LIMBS - 1)
		h[k] = _mm512_setzero_si512();
	for_each (i, 0, LIMBS)
		for_each (j, i + 1, LIMBS)
			h[i + j] = hi(h[i + j], a.v[i], a.v[j]);
	for_each (k, 1, 2 * LIMBS - 2)
		h[k] = add(h[k], h[k]);
	for_each (i, 0, LIMBS)
		h[2 * i] = hi(h[2 * i], a.v[i], a.v[i]);
	c[0] = _mm512_setzero_si512();
	for_each (k, 1, 2 * LIMBS)
		c[k] = h[k - 1];
	for_each (i, 0, LIMBS)
		for_each (j, i + 1, LIMBS)
			c[i + j] = lo(c[i + j], a.v[i], a.v[j]);
	for_each (k, 1, 2 * LIMBS)
		c[k] = add(c[k], c[k]);
	for_each (i, 0, LIMBS)
		c[2 * i] = lo(c[2 * i], a.v[i], a.v[i]);
	return fold(c);
}

/* sum + A24 * a. */
INLINE WIDE struct wide add_a24(struct wide sum, struct fe a)
{
	v8 h[LIMBS], zero = _mm512_setzero_si512();

	for_each (i, 0, LIMBS) {
		h[i] = hi(zero, a.v[i], all(A24));
		sum.v[i] = lo(sum.v[i], a.v[i], all(A24));
	}
	sum.v[0] = lo(sum.v[0], h[4], all(2 * 19));
	for_each (i, 1, LIMBS)
		sum.v[i] = add(sum.v[i], add(h[i - 1], h[i - 1]));
	return sum;
}

INLINE WIDE struct fe pick(__mmask8 second, struct fe a, struct fe b)
{
	for_each (i, 0, LIMBS)
		a.v[i] = _mm512_mask_mov_epi64(a.v[i], second, b.v[i]);
	return a;
}
INLINE WIDE void swap(__mmask8 which, struct wide *a, struct wide *b)
{
	for_each (i, 0, LIMBS) {
		v8 was = a->v[i];

		a->v[i] = _mm512_mask_mov_epi64(was, which, b->v[i]);
		b->v[i] = _mm512_mask_mov_epi64(b->v[i], which, was);
	}
}

/* ---- inversion and the way out ---- */

/* These few are called, all else is inlined. */
static WIDE __attribute__((noinline)) void times(struct fe *r, const struct fe *a,
						 const struct fe *b)
{
	*r = narrow(mul(*a, *b));
}
/* a^(2^n) * b. */
static WIDE __attribute__((noinline)) void power(struct fe *r, const struct fe *a, unsigned n,
						 const struct fe *b)
{
	struct fe t = *a;

	while (n--)
		t = narrow(sqr(t));
	*r = narrow(mul(t, *b));
}

/* a^(p - 2); zero stays zero. z_n is a^(2^n - 1). */
static WIDE void invert(struct fe *r, const struct fe *a)
{
	struct fe one = narrow(w_small(1)), a2, a11, z5, z10, z50, z100, t;

	power(&a2, a, 1, &one);
	power(&t, &a2, 2, a); /* a^9 */
	times(&a11, &t, &a2);
	power(&z5, &a11, 1, &t);
	power(&z10, &z5, 5, &z5);
	power(&t, &z10, 10, &z10); /* z_20 */
	power(&t, &t, 20, &t);	   /* z_40 */
	power(&z50, &t, 10, &z10);
	power(&z100, &z50, 50, &z50);
	power(&t, &z100, 100, &z100); /* z_200 */
	power(&t, &t, 50, &z50);      /* z_250 */
	power(r, &t, 5, &a11);
}

/* Limbs below 2^51, the number still perhaps above the prime. */
static WIDE void carry_along(v8 v[LIMBS])
{
	for (int i = 0; i < LIMBS - 1; i++) {
		v[i + 1] = add(v[i + 1], _mm512_srli_epi64(v[i], BITS));
		v[i] = _mm512_and_si512(v[i], all(MASK));
	}
}

/* The one representative below the prime. */
static WIDE struct fe canonical(struct fe a)
{
	v8 q;

	for (int round = 0; round < 2; round++) {
		carry_along(a.v);
		a.v[0] = lo(a.v[0], _mm512_srli_epi64(a.v[4], BITS), all(19));
		a.v[4] = _mm512_and_si512(a.v[4], all(MASK));
	}
	/* Adding 19 carries out of bit 255 exactly when it is not below 2^255 - 19. */
	q = _mm512_srli_epi64(add(a.v[0], all(19)), BITS);
	for (int i = 1; i < LIMBS; i++)
		q = _mm512_srli_epi64(add(a.v[i], q), BITS);
	a.v[0] = lo(a.v[0], q, all(19));
	carry_along(a.v);
	a.v[4] = _mm512_and_si512(a.v[4], all(MASK));
	return a;
}

static WIDE __mmask8 zero_lanes(struct fe a)
{
	v8 any = _mm512_setzero_si512();

	a = canonical(a);
	for (int i = 0; i < LIMBS; i++)
		any = _mm512_or_si512(any, a.v[i]);
	return _mm512_testn_epi64_mask(any, any);
}

static WIDE void store(uint64_t out[4][X25519_LANES], struct fe a)
{
	for (int i = 0; i < 4; i++) {
		v8 low = _mm512_srli_epi64(a.v[i], (unsigned)(13 * i));
		v8 high = _mm512_slli_epi64(a.v[i + 1], (unsigned)(51 - 13 * i));

		_mm512_storeu_si512(out[i], _mm512_or_si512(low, high));
	}
}

/* Bit 255 is not looked at, and a number that is not below the prime is as good (RFC 7748 5). */
static WIDE struct fe load(const uint64_t in[4][X25519_LANES])
{
	v8 w[LIMBS] = {_mm512_loadu_si512(in[0]), _mm512_loadu_si512(in[1]),
		       _mm512_loadu_si512(in[2]), _mm512_loadu_si512(in[3])};
	struct fe r = {{w[0]}};

	for (int i = 1; i < LIMBS; i++)
		r.v[i] = _mm512_or_si512(_mm512_srli_epi64(w[i - 1], (unsigned)(64 - 13 * i)),
					 _mm512_slli_epi64(w[i], (unsigned)(13 * i)));
	for (int i = 0; i < LIMBS; i++)
		r.v[i] = _mm512_and_si512(r.v[i], all(MASK));
	return r;
}

/* x / z of each group with one inversion for all; zero where z is. */
static WIDE void quotients(uint64_t (*out)[4][X25519_LANES], struct fe *x, struct fe *z, unsigned n)
{
	const struct fe zero = narrow(w_small(0)), one = narrow(w_small(1));
	struct fe upto[X25519_GROUPS], inverse, q;

	for (unsigned g = 0; g < n; g++) {
		__mmask8 none = zero_lanes(z[g]);

		x[g] = pick(none, x[g], zero);
		z[g] = pick(none, z[g], one);
		upto[g] = z[g];
		if (g)
			times(&upto[g], &upto[g - 1], &z[g]);
	}
	invert(&inverse, &upto[n - 1]);
	for (unsigned g = n; g-- > 0;) {
		q = inverse;
		if (g) {
			times(&q, &inverse, &upto[g - 1]);
			times(&inverse, &inverse, &z[g]);
		}
		times(&q, &q, &x[g]);
		store(out[g], canonical(q));
	}
	wipe(upto, sizeof(upto));
	wipe(&inverse, sizeof(inverse));
	wipe(&q, sizeof(q));
}

/* ---- any point: the ladder of RFC 7748 section 5 ---- */

/* Two points whose difference is the input, as X + Z and X - Z of each: all that a step looks at.
 */
struct rungs {
	struct fe p_sum, p_dif; /* what the last step doubled */
	struct fe q_sum, q_dif; /* what it added */
};

/* Doubles one of the two, q where the mask says so, and adds both; the sum is the same whichever is
 * which, so no more than the point to double is chosen. */
INLINE WIDE struct rungs rung(struct rungs r, __mmask8 double_q, struct fe x1)
{
	struct wide da = mul(r.q_dif, r.p_sum), cb = mul(r.q_sum, r.p_dif);
	struct wide aa = sqr(pick(double_q, r.p_sum, r.q_sum));
	struct wide bb = sqr(pick(double_q, r.p_dif, r.q_dif));
	struct fe e = narrow(w_sub(aa, bb));
	struct wide x3 = sqr(narrow(w_add(da, cb)));
	struct wide z3 = mul(narrow(sqr(narrow(w_sub(da, cb)))), x1);
	struct wide x2 = mul(narrow(aa), narrow(bb));
	struct wide z2 = mul(e, narrow(add_a24(aa, e)));

	return (struct rungs) {narrow(w_add(x2, z2)), narrow(w_sub(x2, z2)), narrow(w_add(x3, z3)),
			       narrow(w_sub(x3, z3))};
}

static WIDE __attribute__((noinline)) void ladder(struct fe *x, struct fe *z,
						  const uint64_t k[4][X25519_LANES],
						  const uint64_t u[4][X25519_LANES])
{
	struct fe x1 = load(u);
	struct fe one = narrow(w_small(1));
	struct rungs r = {one, one, narrow(w_add(w_of(x1), w_small(1))),
			  narrow(w_sub(w_of(x1), w_small(1)))};
	__mmask8 was = 0;

	for (int word = 3; word >= 0; word--) {
		v8 bits = _mm512_loadu_si512(k[word]);
		int n = 64;

		if (word == 3) { /* bit 255 of a clamped scalar is zero */
			bits = add(bits, bits);
			n = 63;
		}
		while (n--) {
			__mmask8 bit = _mm512_movepi64_mask(bits);

			r = rung(r, bit ^ was, x1);
			was = bit;
			bits = add(bits, bits);
		}
	}
	/* The last bit of a clamped scalar is zero: what was doubled is the product. Both
	 * coordinates come out doubled, which is lost in the quotient. */
	*x = narrow(w_add(w_of(r.p_sum), w_of(r.p_dif)));
	*z = narrow(w_sub(w_of(r.p_sum), w_of(r.p_dif)));
}

WIDE void x25519_ifma(uint64_t (*out)[4][X25519_LANES], const uint64_t (*k)[4][X25519_LANES],
		      const uint64_t (*u)[4][X25519_LANES], unsigned n)
{
	struct fe x[X25519_GROUPS], z[X25519_GROUPS];

	for (unsigned g = 0; g < n; g++)
		ladder(&x[g], &z[g], k[g], u[g]);
	quotients(out, x, z, n);
	wipe(x, sizeof(x));
	wipe(z, sizeof(z));
	kernel_forget();
}

/* ---- the base point: from the right, with its doublings known (Oliveira, Lopez, Hisil,
 * Faz-Hernandez, Rodriguez-Henriquez: How to (pre-)compute a ladder, SAC 2017) ----
 * With P_i = 2^i P, a bit that is set adds P_i to r, and one that is not to d, which is P_i - r all
 * the time. The difference that x-only addition asks for is the other one of the two. r begins as
 * S, a point of order four, so that nothing is ever the neutral point; the three doublings of the
 * cofactor at the end remove it. */

struct point { /* x is X / Z */
	struct wide x, z;
};

static WIDE __attribute__((noinline)) void twice(struct point *p)
{
	struct wide aa = sqr(narrow(w_add(p->x, p->z)));
	struct wide bb = sqr(narrow(w_sub(p->x, p->z)));
	struct fe e = narrow(w_sub(aa, bb));

	p->x = mul(narrow(aa), narrow(bb));
	p->z = mul(e, narrow(add_a24(aa, e)));
}

/* to + P_i, where other is their difference; mu is (x + 1) / (x - 1) of P_i. */
INLINE WIDE struct point step(struct point to, struct point other, const uint64_t mu[LIMBS])
{
	struct fe m = {{all(mu[0]), all(mu[1]), all(mu[2]), all(mu[3]), all(mu[4])}};
	struct wide sum = w_of(narrow(w_add(to.x, to.z)));
	struct wide dif = mul(narrow(w_sub(to.x, to.z)), m);
	struct fe e = narrow(sqr(narrow(w_add(dif, sum))));
	struct fe f = narrow(sqr(narrow(w_sub(dif, sum))));

	return (struct point) {mul(e, narrow(other.z)), mul(f, narrow(other.x))};
}

static WIDE __attribute__((noinline)) void
walk(struct point *out, const uint64_t k[4][X25519_LANES], const struct x25519_table *t)
{
	struct point r = {w_small(1), w_small(1)}, d = {w_small(0), w_small(1)};
	v8 word = _mm512_loadu_si512(k[0]);
	__mmask8 last = 0xff; /* r stands where a bit that is set wants it */

	for (int i = 0; i < LIMBS; i++)
		d.x.v[i] = all(t->start[i]);
	for (unsigned i = 0; i < X25519_DOUBLINGS; i++) {
		unsigned at = i + COFACT;
		__mmask8 bit;

		if (at % 64 == 0)
			word = _mm512_loadu_si512(k[at / 64]);
		bit = _mm512_test_epi64_mask(word, all(1ull << (at % 64)));
		swap(bit ^ last, &r.x, &d.x);
		swap(bit ^ last, &r.z, &d.z);
		last = bit;
		r = step(r, d, t->mu[i]);
	}
	/* Bit 254 of a clamped scalar is set: r stands in its place. */
	*out = r;
}

WIDE void x25519_base_ifma(uint64_t (*out)[4][X25519_LANES], const uint64_t (*k)[4][X25519_LANES],
			   unsigned n, const struct x25519_table *t)
{
	struct fe x[X25519_GROUPS], z[X25519_GROUPS];
	struct point r;

	for (unsigned g = 0; g < n; g++) {
		walk(&r, k[g], t);
		for (int i = 0; i < COFACT; i++)
			twice(&r);
		x[g] = narrow(r.x);
		z[g] = narrow(r.z);
	}
	quotients(out, x, z, n);
	wipe(&r, sizeof(r));
	wipe(x, sizeof(x));
	wipe(z, sizeof(z));
	kernel_forget();
}

/* ---- the table ---- */

static WIDE void table_rows(struct x25519_table *t, unsigned from, unsigned n, struct fe sum,
			    struct fe dif)
{
	struct fe mu;

	invert(&mu, &dif);
	times(&mu, &mu, &sum);
	mu = canonical(mu);
	for (int i = 0; i < LIMBS; i++) {
		uint64_t lane[X25519_LANES];

		_mm512_storeu_si512(lane, mu.v[i]);
		for (unsigned k = 0; k < n; k++)
			t->mu[from + k][i] = lane[k];
	}
}

/* Each doubling goes to the lane after the last one's; eight are inverted together. */
WIDE void x25519_table_ifma(struct x25519_table *t)
{
	/* x of the base point less S, by the addition law. With the other S of x = 1 it would be
	 * the inverse of this, and no worse. */
	static const uint64_t start[LIMBS] = {0x31e0137d48290, 0x23d69a240f02d, 0x28adc75103da9,
					      0x265a91c2fa36e, 0x215132111d835};
	struct point p = {w_small(9), w_small(1)};
	struct fe sum = narrow(w_small(1)), dif = sum;

	memcpy(t->start, start, sizeof(start));
	for (unsigned i = 0; i < X25519_DOUBLINGS; i++) {
		unsigned lane = i % X25519_LANES;

		sum = pick((__mmask8)(1u << lane), sum, narrow(w_add(p.x, p.z)));
		dif = pick((__mmask8)(1u << lane), dif, narrow(w_sub(p.x, p.z)));
		if (lane == X25519_LANES - 1 || i == X25519_DOUBLINGS - 1)
			table_rows(t, i - lane, lane + 1, sum, dif);
		twice(&p);
	}
}
