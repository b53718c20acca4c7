/* trio.c - RSA-2048 keys of three primes (RFC 8017 section 3.2) for the TLS certificates of links:
 * the three powers of a signature stand beside each other in one pass of cipher/'s modexp. A peer
 * sees an RSA key like any other. Primes of 683 bits are as far out of reach as the modulus: the
 * elliptic curve method needs 2^110 steps for one, the number field sieve about as many for it. */
#define OPENSSL_SUPPRESS_DEPRECATED    /* a method of one's own is reached no other way, short of a \
					  provider */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "controlplane/keys/internal.h"
#include "dataplane/cipher/cipher.h"

#define PRIMES	    3
#define DIGIT_BITS  52
#define DIGITS	    (MODEXP_RUNS * MODEXP_DIGITS)
#define BYTES	    (DIGITS * DIGIT_BITS / 8)
#define PRIME_BYTES (MODEXP_DIGITS * DIGIT_BITS / 8)

struct trio {
	struct modexp *exp;				 /* in pages of its own, locked */
	BIGNUM *prime[PRIMES], *coefficient[PRIMES - 1]; /* the RSA's own */
	BIGNUM *product;				 /* of the first two primes */
	BN_MONT_CTX *modulus;
};

static RSA_METHOD *method;
static int slot = -1;

/* ---- digits ---- */

/* p has eight bytes behind its n digits. */
static void digits_of(uint64_t *d, const uint8_t *p, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		unsigned bit = i * DIGIT_BITS;
		uint64_t v;

		memcpy(&v, p + bit / 8, 8);
		d[i] = v >> bit % 8 & ((1ull << DIGIT_BITS) - 1);
	}
}

static BIGNUM *lane_read(BIGNUM *to, const uint64_t d[MODEXP_DIGITS][MODEXP_LANES], unsigned lane)
{
	uint8_t p[PRIME_BYTES + 8] = {0};
	BIGNUM *n;

	for (unsigned i = 0; i < MODEXP_DIGITS; i++) {
		unsigned bit = i * DIGIT_BITS;
		uint64_t v;

		memcpy(&v, p + bit / 8, 8);
		v |= d[i][lane] << bit % 8;
		memcpy(p + bit / 8, &v, 8);
	}
	n = BN_lebin2bn(p, PRIME_BYTES, to);
	wipe(p, sizeof(p));
	return n;
}

/* ---- a signature ---- */

/* Garner: to the remainders s of the three primes the number below their product. */
static bool join(BIGNUM *r, BIGNUM *s[PRIMES], const struct trio *t, BN_CTX *ctx)
{
	for (unsigned i = 0; i < PRIMES; i++)
		if (BN_cmp(s[i], t->prime[i]) >= 0 && !BN_sub(s[i], s[i], t->prime[i]))
			return false;
	return BN_mod_sub(s[0], s[0], s[1], t->prime[0], ctx) &&
	       BN_mod_mul(s[0], s[0], t->coefficient[0], t->prime[0], ctx) &&
	       BN_mul(s[0], s[0], t->prime[1], ctx) && BN_add(s[0], s[0], s[1]) &&
	       BN_mod_sub(s[2], s[2], s[0], t->prime[2], ctx) &&
	       BN_mod_mul(s[2], s[2], t->coefficient[1], t->prime[2], ctx) &&
	       BN_mul(s[2], s[2], t->product, ctx) && BN_add(r, s[0], s[2]);
}

/* A wrong power of one prime would give the key away: nothing leaves that does not hold. */
static bool holds(const BIGNUM *r, const BIGNUM *in, const RSA *rsa, struct trio *t, BN_CTX *ctx)
{
	BIGNUM *again = BN_CTX_get(ctx);

	return again &&
	       BN_mod_exp_mont(again, r, RSA_get0_e(rsa), RSA_get0_n(rsa), ctx, t->modulus) &&
	       BN_cmp(again, in) == 0;
}

static int raise(BIGNUM *r, const BIGNUM *in, RSA *rsa, BN_CTX *ctx)
{
	struct trio *t = RSA_get_ex_data(rsa, slot);
	uint64_t out[MODEXP_DIGITS][MODEXP_LANES], d[DIGITS];
	uint8_t p[BYTES + 8] = {0};
	BIGNUM *s[PRIMES];
	bool ok = t && BN_bn2lebinpad(in, p, BYTES) == BYTES;

	BN_CTX_start(ctx);
	digits_of(d, p, DIGITS);
	if (ok)
		modexp_run(t->exp, d, out);
	for (unsigned i = 0; ok && i < PRIMES; i++) {
		s[i] = BN_CTX_get(ctx);
		ok = s[i] && lane_read(s[i], out, i);
	}
	ok = ok && join(r, s, t, ctx) && holds(r, in, rsa, t, ctx);
	wipe(out, sizeof(out));
	BN_CTX_end(ctx);
	return ok;
}

/* ---- a key ---- */

static void trio_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int at, long l, void *arg)
{
	struct trio *t = ptr;

	if (!t)
		return;
	BN_clear_free(t->product);
	BN_MONT_CTX_free(t->modulus);
	wipe(t->exp, sizeof(*t->exp));
	munmap(t->exp, sizeof(*t->exp));
	free(t);
}

/* Digits of n into a lane of a row of numbers. */
static bool lane_write(uint64_t row[MODEXP_DIGITS][MODEXP_LANES], unsigned lane, const BIGNUM *n)
{
	uint8_t p[PRIME_BYTES + 8] = {0};
	uint64_t d[MODEXP_DIGITS];
	bool ok = BN_bn2lebinpad(n, p, PRIME_BYTES) == PRIME_BYTES;

	digits_of(d, p, MODEXP_DIGITS);
	for (unsigned i = 0; i < MODEXP_DIGITS; i++)
		row[i][lane] = d[i];
	wipe(p, sizeof(p));
	wipe(d, sizeof(d));
	return ok;
}

static bool windows_write(struct modexp *e, unsigned lane, const BIGNUM *n)
{
	uint8_t p[MODEXP_BITS / 8];
	bool ok = BN_bn2binpad(n, p, sizeof(p)) == sizeof(p);

	for (unsigned i = 0; i < MODEXP_WINDOWS; i++)
		e->windows[i][lane] = i & 1 ? p[i / 2] & 15 : p[i / 2] >> 4;
	wipe(p, sizeof(p));
	return ok;
}

static bool lane_make(struct modexp *e, unsigned lane, const BIGNUM *prime, const BIGNUM *exponent,
		      BN_CTX *ctx)
{
	BIGNUM *n = BN_new();
	bool ok = n && BN_num_bits(prime) <= MODEXP_BITS && lane_write(e->m, lane, prime) &&
		  windows_write(e, lane, exponent);
	uint64_t inverse = 1;

	for (unsigned i = 0; ok && i < MODEXP_RUNS; i++) {
		BN_zero(n);
		ok = BN_set_bit(n, (int)(MODEXP_DIGITS * DIGIT_BITS * (i + 2))) &&
		     BN_mod(n, n, prime, ctx) && lane_write(e->lift[i], lane, n);
	}
	for (unsigned i = 0; i < 6; i++) /* right bits double each time */
		inverse *= 2 - e->m[0][lane] * inverse;
	e->k0[lane] = -inverse & ((1ull << DIGIT_BITS) - 1);
	BN_clear_free(n);
	return ok;
}

static bool modexp_make(struct modexp *e, BIGNUM *const prime[PRIMES],
			BIGNUM *const exponent[PRIMES], BN_CTX *ctx)
{
	bool ok = true;

	for (unsigned lane = 0; ok && lane < MODEXP_LANES; lane++)
		ok = lane_make(e, lane, prime[lane % PRIMES], exponent[lane % PRIMES], ctx);
	return ok;
}

static BIGNUM *number(const EVP_PKEY *key, const char *name)
{
	BIGNUM *n = NULL;

	return EVP_PKEY_get_bn_param(key, name, &n) == 1 ? n : NULL;
}

static const char *const prime_names[] = {OSSL_PKEY_PARAM_RSA_FACTOR1, OSSL_PKEY_PARAM_RSA_FACTOR2,
					  OSSL_PKEY_PARAM_RSA_FACTOR3};
static const char *const exponent_names[] = {OSSL_PKEY_PARAM_RSA_EXPONENT1,
					     OSSL_PKEY_PARAM_RSA_EXPONENT2,
					     OSSL_PKEY_PARAM_RSA_EXPONENT3};
static const char *const coefficient_names[] = {OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
						OSSL_PKEY_PARAM_RSA_COEFFICIENT2};

/* The numbers of a key, given to an RSA of ours, which frees them. Each call takes all of its
 * numbers, or none when one is missing: what is then lost is what memory was too short for. */
static bool numbers_move(RSA *rsa, struct trio *t, BIGNUM *exponent[PRIMES], const EVP_PKEY *key)
{
	BIGNUM *n = number(key, OSSL_PKEY_PARAM_RSA_N), *e = number(key, OSSL_PKEY_PARAM_RSA_E),
	       *d = number(key, OSSL_PKEY_PARAM_RSA_D);

	for (unsigned i = 0; i < PRIMES; i++) {
		t->prime[i] = number(key, prime_names[i]);
		exponent[i] = number(key, exponent_names[i]);
	}
	for (unsigned i = 0; i < PRIMES - 1; i++)
		t->coefficient[i] = number(key, coefficient_names[i]);
	return RSA_set0_key(rsa, n, e, d) && RSA_set0_factors(rsa, t->prime[0], t->prime[1]) &&
	       RSA_set0_crt_params(rsa, exponent[0], exponent[1], t->coefficient[0]) &&
	       RSA_set0_multi_prime_params(rsa, &t->prime[2], &exponent[2], &t->coefficient[1], 1);
}

/* An empty one, which goes with the RSA. */
static struct trio *trio_attach(RSA *rsa)
{
	struct trio *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->exp = mmap(NULL, sizeof(*t->exp), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		      -1, 0);
	if (t->exp == MAP_FAILED || !RSA_set_ex_data(rsa, slot, t)) {
		if (t->exp != MAP_FAILED)
			munmap(t->exp, sizeof(*t->exp));
		free(t);
		return NULL;
	}
	mlock(t->exp, sizeof(*t->exp));
	madvise(t->exp, sizeof(*t->exp), MADV_DONTDUMP);
	return t;
}

static bool trio_make(RSA *rsa, const EVP_PKEY *key)
{
	struct trio *t = trio_attach(rsa);
	BIGNUM *exponent[PRIMES];
	BN_CTX *ctx;
	bool ok;

	if (!t)
		return false;
	ctx = BN_CTX_new();
	t->product = BN_new();
	t->modulus = BN_MONT_CTX_new();
	ok = ctx && t->product && t->modulus && numbers_move(rsa, t, exponent, key) &&
	     BN_mul(t->product, t->prime[0], t->prime[1], ctx) &&
	     BN_MONT_CTX_set(t->modulus, RSA_get0_n(rsa), ctx) &&
	     modexp_make(t->exp, t->prime, exponent, ctx);
	BN_CTX_free(ctx);
	return ok;
}

static bool method_make(void)
{
	if (!method && (method = RSA_meth_dup(RSA_PKCS1_OpenSSL())))
		RSA_meth_set_mod_exp(method, raise);
	if (slot < 0)
		slot = RSA_get_ex_new_index(0, NULL, NULL, NULL, trio_free);
	return method && slot >= 0;
}

static EVP_PKEY *three_primes(void)
{
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	EVP_PKEY *key = NULL;

	if (!c || EVP_PKEY_keygen_init(c) <= 0 || EVP_PKEY_CTX_set_rsa_keygen_bits(c, 2048) <= 0 ||
	    EVP_PKEY_CTX_set_rsa_keygen_primes(c, PRIMES) <= 0 || EVP_PKEY_keygen(c, &key) <= 0)
		key = NULL;
	EVP_PKEY_CTX_free(c);
	return key;
}

EVP_PKEY *trio_new(void)
{
	EVP_PKEY *made = method_make() ? three_primes() : NULL, *key = EVP_PKEY_new();
	RSA *rsa = RSA_new();

	/* OpenSSL blinds what it hands to raise(): modexp takes the same time whatever it is given,
	 * but join() does not. */
	if (made && key && rsa && RSA_set_method(rsa, method) && trio_make(rsa, made) &&
	    EVP_PKEY_assign_RSA(key, rsa)) {
		EVP_PKEY_free(made);
		return key;
	}
	ERR_clear_error();
	RSA_free(rsa);
	EVP_PKEY_free(key);
	EVP_PKEY_free(made);
	return NULL;
}
