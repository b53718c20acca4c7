/* x25519.c - X25519 in bulk: what is there goes to the kernel in groups of eight; without one
 * OpenSSL takes it number by number. */
#include <openssl/evp.h>

#include "dataplane/cipher/x25519_kernel.h"

#define WORDS	 4
#define TOGETHER (X25519_GROUPS * X25519_LANES)

/* The builtin also asks whether the operating system saves the wide registers. */
static bool cpu_has_ifma(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
	       __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512ifma");
}

void x25519_init(struct x25519 *x, unsigned flags)
{
	memset(x, 0, sizeof(*x));
	x->lanes = !(flags & X25519_PORTABLE) && cpu_has_ifma();
	x->name = x->lanes ? "avx512-ifma x8" : "openssl";
	if (x->lanes)
		x25519_table_ifma(&x->table);
}

/* ---- one by one ---- */

static EVP_PKEY *secret_key(const uint8_t secret[X25519_LEN])
{
	return EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, secret, X25519_LEN);
}

static void multiply(uint8_t out[X25519_LEN], const uint8_t secret[X25519_LEN],
		     const uint8_t point[X25519_LEN])
{
	EVP_PKEY *key = secret_key(secret);
	EVP_PKEY *peer = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, point, X25519_LEN);
	EVP_PKEY_CTX *ctx = key && peer ? EVP_PKEY_CTX_new(key, NULL) : NULL;
	uint8_t product[X25519_LEN];
	size_t len = X25519_LEN;

	/* out may be point; a product of zero is a failure to OpenSSL. */
	if (!ctx || EVP_PKEY_derive_init(ctx) != 1 ||
	    EVP_PKEY_derive_set_peer_ex(ctx, peer, 0) != 1 ||
	    EVP_PKEY_derive(ctx, product, &len) != 1)
		memset(product, 0, sizeof(product));
	memcpy(out, product, sizeof(product));
	wipe(product, sizeof(product));
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(key);
	EVP_PKEY_free(peer);
}

static int public_of(uint8_t out[X25519_LEN], const uint8_t secret[X25519_LEN])
{
	EVP_PKEY *key = secret_key(secret);
	size_t len = X25519_LEN;
	int ok = key && EVP_PKEY_get_raw_public_key(key, out, &len) == 1;

	EVP_PKEY_free(key);
	return ok ? 0 : ERR_CRYPTO;
}

/* ---- eight at a time ---- */

/* One number's words into its lane; the machine is little-endian, as the wire is here. */
static void lane_put(uint64_t lanes[WORDS][X25519_LANES], unsigned lane,
		     const uint8_t from[X25519_LEN])
{
	uint64_t w[WORDS];

	memcpy(w, from, sizeof(w));
	for (unsigned i = 0; i < WORDS; i++)
		lanes[i][lane] = w[i];
	wipe(w, sizeof(w));
}

static void lane_get(uint64_t lanes[WORDS][X25519_LANES], unsigned lane, uint8_t to[X25519_LEN])
{
	for (unsigned i = 0; i < WORDS; i++)
		memcpy(to + 8 * i, &lanes[i][lane], 8);
}

/* RFC 7748 section 5: decodeScalar25519. The kernel counts on it. Lanes that stand empty count to
 * 2^254 as well. */
static void clamp(uint64_t k[WORDS][X25519_LANES])
{
	for (unsigned lane = 0; lane < X25519_LANES; lane++) {
		k[0][lane] &= ~7ull;
		k[3][lane] &= ~(1ull << 63);
		k[3][lane] |= 1ull << 62;
	}
}

/* Up to TOGETHER; without points, times the base point. */
static void together(const struct x25519 *x, uint8_t (*out)[X25519_LEN],
		     const uint8_t (*secret)[X25519_LEN], const uint8_t (*point)[X25519_LEN],
		     unsigned n)
{
	uint64_t k[X25519_GROUPS][WORDS][X25519_LANES] = {{{0}}};
	uint64_t u[X25519_GROUPS][WORDS][X25519_LANES] = {{{0}}};
	unsigned n_groups = (n + X25519_LANES - 1) / X25519_LANES;

	for (unsigned i = 0; i < n; i++) {
		lane_put(k[i / X25519_LANES], i % X25519_LANES, secret[i]);
		if (point)
			lane_put(u[i / X25519_LANES], i % X25519_LANES, point[i]);
	}
	for (unsigned g = 0; g < n_groups; g++)
		clamp(k[g]);
	if (point)
		x25519_ifma(u, k, u, n_groups);
	else
		x25519_base_ifma(u, k, n_groups, &x->table);
	for (unsigned i = 0; i < n; i++)
		lane_get(u[i / X25519_LANES], i % X25519_LANES, out[i]);
	wipe(k, sizeof(k));
	wipe(u, sizeof(u));
}

void x25519_many(const struct x25519 *x, uint8_t (*out)[X25519_LEN],
		 const uint8_t (*secret)[X25519_LEN], const uint8_t (*point)[X25519_LEN],
		 unsigned n)
{
	unsigned step = x->lanes ? TOGETHER : 1;

	for (unsigned i = 0; i < n; i += step) {
		if (x->lanes)
			together(x, out + i, secret + i, point + i, MIN(n - i, step));
		else
			multiply(out[i], secret[i], point[i]);
	}
}

int x25519_public(const struct x25519 *x, uint8_t (*out)[X25519_LEN],
		  const uint8_t (*secret)[X25519_LEN], unsigned n)
{
	unsigned step = x->lanes ? TOGETHER : 1;
	int error = 0;

	for (unsigned i = 0; i < n && !error; i += step) {
		if (x->lanes)
			together(x, out + i, secret + i, NULL, MIN(n - i, step));
		else
			error = public_of(out[i], secret[i]);
	}
	return error;
}
