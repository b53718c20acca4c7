/* ed25519.c - Ed25519 signatures by an expanded secret key, the form in which tor keeps and derives
 * its keys and which OpenSSL does not take. Field of 2^255-19 in five limbs of 51 bits; complete
 * addition formulas; no branch and no index depends on a secret. Rarely run: plain beats fast. */
#include <openssl/evp.h>
#include <openssl/sha.h>

#include "controlplane/keys/keys.h"

typedef unsigned __int128 u128;
struct fe {
	uint64_t v[5];
};
struct point { /* extended: x = X/Z, y = Y/Z, T = XY/Z */
	struct fe x, y, z, t;
};

#define LIMB (((uint64_t)1 << 51) - 1)

static const struct fe one = {{1}};
/* 2d, where d = -121665/121666 */
static const struct fe two_d = {
	{0x69b9426b2f159, 0x35050762add7a, 0x3cf44c0038052, 0x6738cc7407977, 0x2406d9dc56dff}};
static const struct fe base_x = {
	{0x62d608f25d51a, 0x412a4b4f6592a, 0x75b7171a4b31d, 0x1ff60527118fe, 0x216936d3cd6e5}};
static const struct fe base_y = {
	{0x6666666666658, 0x4cccccccccccc, 0x1999999999999, 0x3333333333333, 0x6666666666666}};
/* The order of the base point: 2^252 + 27742317777372353535851937790883648493. */
static const uint64_t order[4] = {0x5812631a5cf5d3ed, 0x14def9dea2f79cd6, 0, 0x1000000000000000};

static struct fe fe_carry(struct fe a)
{
	uint64_t c = 0;

	for (int i = 0; i < 5; i++) {
		a.v[i] += c;
		c = a.v[i] >> 51;
		a.v[i] &= LIMB;
	}
	a.v[0] += 19 * c;
	return a;
}

static struct fe fe_add(struct fe a, struct fe b)
{
	for (int i = 0; i < 5; i++)
		a.v[i] += b.v[i];
	return fe_carry(a);
}

/* a - b + 4p: no limb goes below zero, since each is below 2^52. */
static struct fe fe_sub(struct fe a, struct fe b)
{
	for (int i = 0; i < 5; i++)
		a.v[i] += 4 * (LIMB - (i ? 0 : 18)) - b.v[i];
	return fe_carry(a);
}

/* Products of limbs that pass 2^255 come back at the bottom, times 19. */
static struct fe fe_mul(struct fe x, struct fe y)
{
	const uint64_t *a = x.v, *b = y.v;
	uint64_t b1 = 19 * b[1], b2 = 19 * b[2], b3 = 19 * b[3], b4 = 19 * b[4];
	u128 t[5], c = 0;
	struct fe r;

	t[0] = (u128)a[0] * b[0] + (u128)a[1] * b4 + (u128)a[2] * b3 + (u128)a[3] * b2 +
	       (u128)a[4] * b1;
	t[1] = (u128)a[0] * b[1] + (u128)a[1] * b[0] + (u128)a[2] * b4 + (u128)a[3] * b3 +
	       (u128)a[4] * b2;
	t[2] = (u128)a[0] * b[2] + (u128)a[1] * b[1] + (u128)a[2] * b[0] + (u128)a[3] * b4 +
	       (u128)a[4] * b3;
	t[3] = (u128)a[0] * b[3] + (u128)a[1] * b[2] + (u128)a[2] * b[1] + (u128)a[3] * b[0] +
	       (u128)a[4] * b4;
	t[4] = (u128)a[0] * b[4] + (u128)a[1] * b[3] + (u128)a[2] * b[2] + (u128)a[3] * b[1] +
	       (u128)a[4] * b[0];
	for (int i = 0; i < 5; i++) {
		t[i] += c;
		r.v[i] = (uint64_t)t[i] & LIMB;
		c = t[i] >> 51;
	}
	r.v[0] += (uint64_t)c * 19;
	r.v[1] += r.v[0] >> 51;
	r.v[0] &= LIMB;
	return r;
}

/* a to the power of p-2, which is 2^255 - 21: all bits set but 2 and 4 of the low five. */
static struct fe fe_invert(struct fe a)
{
	struct fe r = one;

	for (int bit = 254; bit >= 0; bit--) {
		r = fe_mul(r, r);
		if (bit != 2 && bit != 4)
			r = fe_mul(r, a);
	}
	return r;
}

static void fe_bytes(struct fe a, uint8_t out[32])
{
	uint64_t q, w[4];

	a = fe_carry(fe_carry(a));
	/* q: 1 when a is at least p, found by carrying a + 19 through to bit 255 */
	q = (a.v[0] + 19) >> 51;
	for (int i = 1; i < 5; i++)
		q = (a.v[i] + q) >> 51;
	a.v[0] += 19 * q;
	for (int i = 0; i < 4; i++) {
		a.v[i + 1] += a.v[i] >> 51;
		a.v[i] &= LIMB;
	}
	a.v[4] &= LIMB;
	w[0] = a.v[0] | a.v[1] << 51;
	w[1] = a.v[1] >> 13 | a.v[2] << 38;
	w[2] = a.v[2] >> 26 | a.v[3] << 25;
	w[3] = a.v[3] >> 39 | a.v[4] << 12;
	memcpy(out, w, 32);
}

static struct fe fe_from(const uint8_t in[32])
{
	uint64_t w[4];

	memcpy(w, in, 32);
	return (struct fe) {{w[0] & LIMB, (w[0] >> 51 | w[1] << 13) & LIMB,
			     (w[1] >> 38 | w[2] << 26) & LIMB, (w[2] >> 25 | w[3] << 39) & LIMB,
			     (w[3] >> 12) & LIMB}};
}

/* add-2008-hwcd-3 for a = -1; holds for doubling and for the neutral element as well. */
static struct point point_add(const struct point *p, const struct point *q)
{
	struct fe a = fe_mul(fe_sub(p->y, p->x), fe_sub(q->y, q->x));
	struct fe b = fe_mul(fe_add(p->y, p->x), fe_add(q->y, q->x));
	struct fe c = fe_mul(fe_mul(p->t, q->t), two_d);
	struct fe d = fe_mul(fe_add(p->z, p->z), q->z);
	struct fe e = fe_sub(b, a), f = fe_sub(d, c), g = fe_add(d, c), h = fe_add(b, a);

	return (struct point) {fe_mul(e, f), fe_mul(g, h), fe_mul(f, g), fe_mul(e, h)};
}

static void point_pick(struct point *p, const struct point *q, uint64_t pick)
{
	uint64_t mask = 0 - pick, *to = p->x.v;
	const uint64_t *from = q->x.v;

	for (size_t i = 0; i < sizeof(*p) / sizeof(uint64_t); i++)
		to[i] ^= mask & (to[i] ^ from[i]);
}

static void point_bytes(const struct point *p, uint8_t out[32])
{
	struct fe zi = fe_invert(p->z);
	uint8_t x[32];

	fe_bytes(fe_mul(p->x, zi), x);
	fe_bytes(fe_mul(p->y, zi), out);
	out[31] |= (uint8_t)((x[0] & 1) << 7);
}

/* The point scalar * base, encoded. */
static void base_times(const uint8_t scalar[32], uint8_t out[32])
{
	struct point base = {base_x, base_y, one, fe_mul(base_x, base_y)};
	struct point r = {{{0}}, one, one, {{0}}}, sum;

	for (int bit = 255; bit >= 0; bit--) {
		r = point_add(&r, &r);
		sum = point_add(&r, &base);
		point_pick(&r, &sum, scalar[bit / 8] >> (bit % 8) & 1);
	}
	point_bytes(&r, out);
	wipe(&r, sizeof(r));
	wipe(&sum, sizeof(sum));
}

/* r = 2r + bit, less the order when that is not below it. r stays below the order. */
static void order_step(uint64_t r[4], uint64_t bit)
{
	uint64_t d[4], borrow = 0, keep;

	for (int i = 0; i < 4; i++) {
		uint64_t top = r[i] >> 63;

		r[i] = r[i] << 1 | bit;
		bit = top;
	}
	for (int i = 0; i < 4; i++) {
		u128 t = (u128)r[i] - order[i] - borrow;

		d[i] = (uint64_t)t;
		borrow = (uint64_t)(t >> 64) & 1;
	}
	keep = 0 - borrow;
	for (int i = 0; i < 4; i++)
		r[i] = (r[i] & keep) | (d[i] & ~keep);
}

static void order_reduce(const uint64_t wide[8], uint8_t out[32])
{
	uint64_t r[4] = {0};

	for (int bit = 511; bit >= 0; bit--)
		order_step(r, wide[bit / 64] >> (bit % 64) & 1);
	memcpy(out, r, 32);
	wipe(r, sizeof(r));
}

/* out = (a * b + c) mod order */
static void order_mul_add(const uint8_t a[32], const uint8_t b[32], const uint8_t c[32],
			  uint8_t out[32])
{
	uint64_t x[4], y[4], wide[8] = {0};

	memcpy(x, a, 32);
	memcpy(y, b, 32);
	memcpy(wide, c, 32);
	for (int i = 0; i < 4; i++) {
		uint64_t carry = 0;

		for (int j = 0; j < 4; j++) {
			u128 t = (u128)x[i] * y[j] + wide[i + j] + carry;

			wide[i + j] = (uint64_t)t;
			carry = (uint64_t)(t >> 64);
		}
		for (int j = i + 4; j < 8; j++) {
			wide[j] += carry;
			carry = wide[j] < carry;
		}
	}
	order_reduce(wide, out);
	wipe(x, sizeof(x));
	wipe(wide, sizeof(wide));
}

/* SHA-512 of some runs, reduced to a scalar. False when OpenSSL has no memory. */
static bool hash_scalar(const struct bytes *runs, unsigned n, uint8_t out[32])
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	uint64_t wide[8];
	bool ok = c && EVP_DigestInit_ex(c, EVP_sha512(), NULL) == 1;

	for (unsigned i = 0; i < n && ok; i++)
		ok = EVP_DigestUpdate(c, runs[i].p, runs[i].len) == 1;
	ok = ok && EVP_DigestFinal_ex(c, (uint8_t *)wide, NULL) == 1;
	if (ok)
		order_reduce(wide, out);
	wipe(wide, sizeof(wide));
	EVP_MD_CTX_free(c);
	return ok;
}

void ed25519_expand(const uint8_t seed[32], uint8_t secret[64])
{
	SHA512(seed, 32, secret);
	secret[0] &= 248;
	secret[31] &= 127;
	secret[31] |= 64;
}

void ed25519_public(const uint8_t secret[64], uint8_t public_key[32])
{
	base_times(secret, public_key);
}

int ed25519_sign(const void *msg, size_t len, const uint8_t secret[64],
		 const uint8_t public_key[32], uint8_t sig[64])
{
	uint8_t nonce[32], challenge[32];
	struct bytes runs[3] = {{secret + 32, 32}, {msg, len}};
	int err = ERR_CRYPTO;

	if (!hash_scalar(runs, 2, nonce))
		return ERR_CRYPTO;
	base_times(nonce, sig);
	runs[0] = (struct bytes) {sig, 32};
	runs[1] = (struct bytes) {public_key, 32};
	runs[2] = (struct bytes) {msg, len};
	if (hash_scalar(runs, 3, challenge)) {
		order_mul_add(challenge, secret, nonce, sig + 32);
		err = 0;
	}
	wipe(nonce, sizeof(nonce));
	return err;
}

bool ed25519_check(const void *msg, size_t len, const uint8_t public_key[32], const uint8_t sig[64])
{
	EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, 32);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = key && ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
		  EVP_DigestVerify(ctx, sig, ED_SIG, msg, len) == 1;

	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
	return ok;
}

void ed25519_of_curve25519(const uint8_t curve_secret[32], uint8_t secret[64],
			   uint8_t public_key[32])
{
	static const char word[] = "Derive high part of ed25519 key from curve25519 key";
	uint8_t in[32 + sizeof(word)], out[64];

	memcpy(in, curve_secret, 32);
	memcpy(in + 32, word, sizeof(word));
	SHA512(in, sizeof(in), out);
	memcpy(secret, curve_secret, 32);
	memcpy(secret + 32, out, 32);
	ed25519_public(secret, public_key);
	wipe(in, sizeof(in));
	wipe(out, sizeof(out));
}

bool ed25519_public_of_curve25519(const uint8_t curve_public[32], unsigned sign,
				  uint8_t public_key[32])
{
	struct fe u = fe_from(curve_public), denominator = fe_add(u, one);
	uint8_t zero[32] = {0}, bytes[32];

	fe_bytes(denominator, bytes);
	if (!memcmp(bytes, zero, 32)) /* u = -1 has no image */
		return false;
	fe_bytes(fe_mul(fe_sub(u, one), fe_invert(denominator)), public_key);
	public_key[31] |= (uint8_t)((sign & 1) << 7);
	return true;
}

bool ed_cert_check(const struct ed_cert *c, const uint8_t *key, int64_t now_s)
{
	if (!key && !c->has_signer)
		return false;
	if (now_s && now_s > (int64_t)c->expires_h * 3600)
		return false;
	return ed25519_check(c->body.p, c->body.len, key ? key : c->signer, c->sig);
}
