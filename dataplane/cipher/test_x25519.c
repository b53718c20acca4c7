/* test_x25519.c - X25519 in bulk: the vectors of RFC 7748, points and numbers at the edges, every
 * lane, every size of batch, all against OpenSSL one by one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "dataplane/cipher/x25519.h"

#define MOST 40

static struct x25519 best, portable;
static struct x25519 *const both[] = {&best, &portable};
static struct rng rng;

static int setup(void **state)
{
	static const uint8_t seed[32] = "x25519";

	rng_seed(&rng, seed);
	x25519_init(&best, 0);
	x25519_init(&portable, X25519_PORTABLE);
	print_message("best: %s; portable: %s\n", best.name, portable.name);
	assert_false(portable.lanes);
	return 0;
}

static void unhex(uint8_t to[32], const char *hex)
{
	for (unsigned i = 0; i < 32; i++) {
		char two[3] = {hex[2 * i], hex[2 * i + 1], 0};

		to[i] = (uint8_t)strtoul(two, NULL, 16);
	}
}

static void assert_hex(const uint8_t got[32], const char *hex)
{
	uint8_t want[32];

	unhex(want, hex);
	assert_memory_equal(got, want, 32);
}

/* RFC 7748 sections 5.2 and 6.1; no point: the base point. */
#define ALICE	     "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"
#define ALICE_PUBLIC "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
#define BOB	     "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"
#define BOB_PUBLIC   "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
#define BOTH	     "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"
#define NINE	     "0900000000000000000000000000000000000000000000000000000000000000"

static const struct {
	const char *secret, *point, *product;
} vectors[] = {
	{"a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
	 "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
	 "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"},
	{"4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
	 "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
	 "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957"},
	{ALICE, NINE, ALICE_PUBLIC},
	{BOB, NINE, BOB_PUBLIC},
	{ALICE, NULL, ALICE_PUBLIC},
	{BOB, NULL, BOB_PUBLIC},
	{ALICE, BOB_PUBLIC, BOTH},
	{BOB, ALICE_PUBLIC, BOTH},
};

/* Each row in each lane, others beside it. */
static void test_vectors(void **state)
{
	uint8_t secret[X25519_LANES][32], point[X25519_LANES][32], out[X25519_LANES][32];

	for (size_t x = 0; x < ARRAY_LEN(both); x++)
		for (size_t i = 0; i < ARRAY_LEN(vectors); i++)
			for (unsigned lane = 0; lane < X25519_LANES; lane++) {
				rng_bytes(&rng, secret, sizeof(secret));
				rng_bytes(&rng, point, sizeof(point));
				unhex(secret[lane], vectors[i].secret);
				if (vectors[i].point) {
					unhex(point[lane], vectors[i].point);
					x25519_many(both[x], out, secret, point, X25519_LANES);
				} else {
					assert_int_equal(
						x25519_public(both[x], out, secret, X25519_LANES),
						0);
				}
				assert_hex(out[lane], vectors[i].product);
			}
}

/* RFC 7748 section 5.2, once and a thousand times, in every lane. */
static void test_thousand(void **state)
{
	uint8_t k[X25519_LANES][32], u[X25519_LANES][32], was[X25519_LANES][32];

	for (unsigned lane = 0; lane < X25519_LANES; lane++) {
		unhex(k[lane], NINE);
		unhex(u[lane], NINE);
	}
	for (unsigned i = 0; i < 1000; i++) {
		memcpy(was, k, sizeof(was));
		x25519_many(&best, k, was, u, X25519_LANES);
		memcpy(u, was, sizeof(u));
		if (i == 0)
			assert_hex(k[0], "422c8e7a6227d7bca1350b3e2bb7279f"
					 "7897b87bb6854b783c60e80311ae3079");
	}
	for (unsigned lane = 0; lane < X25519_LANES; lane++)
		assert_hex(k[lane], "684cf59ba83309552800ef566f2f4d3c"
				    "1c3887c49360e3875f2eb94d99532c51");
}

/* All points of order 1, 2, 4 and 8 on the curve and its twist, as they may be written. */
static const char *const low_order[] = {
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
	"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
};

static void test_low_order(void **state)
{
	static const uint8_t zero[32];
	uint8_t secret[X25519_LANES][32], point[X25519_LANES][32];
	uint8_t out[X25519_LANES][32], want[X25519_LANES][32];

	for (size_t x = 0; x < ARRAY_LEN(both); x++)
		for (size_t i = 0; i < 2 * ARRAY_LEN(low_order); i++) {
			unsigned lane = i % X25519_LANES;

			rng_bytes(&rng, secret, sizeof(secret));
			rng_bytes(&rng, point, sizeof(point));
			unhex(point[lane], low_order[i / 2]);
			point[lane][31] |= i & 1 ? 0x80 : 0; /* a bit that does not count */
			x25519_many(both[x], out, secret, point, X25519_LANES);
			assert_memory_equal(out[lane], zero, 32);
			x25519_many(&portable, want, secret, point, X25519_LANES);
			assert_memory_equal(out, want, sizeof(out)); /* neighbours are untouched */
		}
}

/* Numbers from the prime to 2^255 - 1, and the same below. */
static void test_not_canonical(void **state)
{
	uint8_t secret[19][32], high[19][32], low[19][32], a[19][32], b[19][32], c[19][32];

	rng_bytes(&rng, secret, sizeof(secret));
	memset(high, 0xff, sizeof(high));
	memset(low, 0, sizeof(low));
	for (unsigned i = 0; i < 19; i++) {
		high[i][0] = (uint8_t)(0xed + i);
		high[i][31] = i & 1 ? 0xff : 0x7f;
		low[i][0] = (uint8_t)i;
	}
	x25519_many(&best, a, secret, high, 19);
	x25519_many(&best, b, secret, low, 19);
	x25519_many(&portable, c, secret, high, 19);
	assert_memory_equal(a, b, sizeof(a));
	assert_memory_equal(a, c, sizeof(a));
}

/* Scalars and points of few bits and of many: limbs at their ends. */
static void test_edges(void **state)
{
	static const uint8_t bytes[] = {0x00, 0x01, 0x07, 0x08, 0x40, 0x7f, 0x80, 0xf8, 0xff};
	uint8_t secret[MOST][32], point[MOST][32], got[MOST][32], want[MOST][32];
	unsigned n = 2 * ARRAY_LEN(bytes);

	for (unsigned i = 0; i < n; i++) {
		memset(secret[i], i & 1 ? bytes[i / 2] : 0, 32);
		memset(point[i], i & 1 ? 0xff : 0, 32);
		secret[i][i % 32] = bytes[i / 2];
		point[i][(7 * i) % 32] = bytes[(i + 3) % ARRAY_LEN(bytes)];
	}
	x25519_many(&best, got, secret, point, n);
	x25519_many(&portable, want, secret, point, n);
	assert_memory_equal(got, want, 32 * n);
	assert_int_equal(x25519_public(&best, got, secret, n), 0);
	assert_int_equal(x25519_public(&portable, want, secret, n), 0);
	assert_memory_equal(got, want, 32 * n);
}

static void assert_untouched(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		assert_int_equal(p[i], 0xa5);
}

/* Whole and ragged groups; nothing is written behind them. */
static void test_sizes(void **state)
{
	uint8_t secret[MOST][32], point[MOST][32], got[MOST][32], want[MOST][32];

	for (unsigned n = 0; n < MOST; n++) {
		rng_bytes(&rng, secret, sizeof(secret));
		rng_bytes(&rng, point, sizeof(point));
		memset(got, 0xa5, sizeof(got));
		x25519_many(&best, got, secret, point, n);
		x25519_many(&portable, want, secret, point, n);
		assert_memory_equal(got, want, 32 * n);
		assert_untouched(got[n], 32 * (MOST - n));
		memset(got, 0xa5, sizeof(got));
		assert_int_equal(x25519_public(&best, got, secret, n), 0);
		assert_int_equal(x25519_public(&portable, want, secret, n), 0);
		assert_memory_equal(got, want, 32 * n);
		assert_untouched(got[n], 32 * (MOST - n));
	}
}

/* Random ones, and the outcome where the points were. */
static void test_random(void **state)
{
	uint8_t secret[MOST][32], point[MOST][32], want[MOST][32];

	for (unsigned i = 0; i < 50; i++) {
		rng_bytes(&rng, secret, sizeof(secret));
		rng_bytes(&rng, point, sizeof(point));
		x25519_many(&portable, want, secret, point, MOST);
		x25519_many(&best, point, secret, point, MOST);
		assert_memory_equal(point, want, sizeof(want));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),	  cmocka_unit_test(test_thousand),
		cmocka_unit_test(test_low_order), cmocka_unit_test(test_not_canonical),
		cmocka_unit_test(test_edges),	  cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
