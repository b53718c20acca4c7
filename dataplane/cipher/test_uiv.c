/* test_uiv.c - POLYVAL against RFC 8452, UIV+ and a client's layers against the public vectors, and
 * each kernel against its twin. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "dataplane/cipher/cipher.h"
#include "dataplane/cipher/vectors.h"

static struct cipher best, portable, no_avx512;
static struct cipher *const ciphers[] = {&best, &portable, &no_avx512};
static struct rng rng;

static int setup(void **state)
{
	static const uint8_t seed[32] = "uiv";

	rng_seed(&rng, seed);
	assert_int_equal(cipher_init(&best, 0), 0);
	assert_int_equal(cipher_init(&portable, CIPHER_PORTABLE), 0);
	assert_int_equal(cipher_init(&no_avx512, CIPHER_NO_AVX512), 0);
	print_message("best: %s; without AVX-512: %s; portable: %s\n", best.uiv_name,
		      no_avx512.uiv_name, portable.uiv_name);
	return 0;
}

static int teardown(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(ciphers); i++)
		cipher_fini(ciphers[i]);
	return 0;
}

/* A kernel for each CPU: what is left out is not taken, and what the CPU has is. */
static void test_choice(void **state)
{
	const bool ni = __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("aes") &&
			__builtin_cpu_supports("sse4.1");

	assert_string_equal(portable.uiv_name, "portable");
	assert_string_equal(no_avx512.uiv_name, ni ? "pclmulqdq" : "portable");
	if (!__builtin_cpu_supports("vpclmulqdq"))
		assert_ptr_equal(best.uiv, no_avx512.uiv);
}

/* ---- POLYVAL ---- */

/* RFC 8452, appendix A. */
static void test_rfc(void **state)
{
	static const uint8_t key[16] = "\x25\x62\x93\x47\x58\x92\x42\x76"
				       "\x1d\x31\xf8\x26\xba\x4b\x75\x7b",
			     x[32] = "\x4f\x4f\x95\x66\x8c\x83\xdf\xb6"
				     "\x40\x17\x62\xbb\x2d\x01\xa2\x62"
				     "\xd1\xa2\x4d\xdd\x27\x21\xd0\x06"
				     "\xbb\xe4\x5f\x20\xd3\xc9\xf3\x62",
			     two[16] = "\xf7\xa3\xb4\x7b\x84\x61\x19\xfa"
				       "\xe5\xb7\x86\x6c\xf5\xe5\xb7\x7e",
			     none[16];
	_Alignas(64) uint8_t p[POLYVAL_POWERS][POLYVAL_LEN];
	uint8_t out[16];

	for (size_t i = 0; i < ARRAY_LEN(ciphers); i++) {
		polyval_powers(ciphers[i], p, key);
		assert_memory_equal(p[POLYVAL_POWERS - 1], key, 16);
		polyval(ciphers[i], p, x, 0, out);
		assert_memory_equal(out, none, 16);
		polyval(ciphers[i], p, x, 2, out);
		assert_memory_equal(out, two, 16);
	}
}

/* Every number of blocks up to past two rounds of the kernel, and keys at the edges. */
static void hash_twins(struct cipher *c)
{
	static const uint8_t edges[] = {0x00, 0x01, 0x80, 0xff};
	uint8_t key[16], blocks[34 * 16 + 16], want[16], got[16];
	_Alignas(64) uint8_t p[POLYVAL_POWERS][POLYVAL_LEN], q[POLYVAL_POWERS][POLYVAL_LEN];

	for (unsigned round = 0; round < 200; round++) {
		size_t at = rng_below(&rng, 16), n = round % 35;

		rng_bytes(&rng, key, sizeof(key));
		rng_bytes(&rng, blocks, sizeof(blocks));
		if (round < 70)
			memset(round & 1 ? key : blocks, edges[round / 2 % 4], sizeof(key));
		polyval_powers(&portable, p, key);
		polyval_powers(c, q, key);
		assert_memory_equal(p, q, sizeof(p));
		polyval(&portable, p, blocks + at, n, want);
		polyval(c, q, blocks + at, n, got);
		assert_memory_equal(want, got, 16);
	}
}

static void test_hash_twins(void **state)
{
	hash_twins(&best);
	hash_twins(&no_avx512);
}

/* ---- the public vectors ---- */

/* ET is what UIV+ does to the left part, whatever S is. */
static void vector_et(struct cipher *c, const struct vector *v, bool encrypt)
{
	const uint8_t *tweak = vector_get(v, "tweak", 16 + 1 + 493);
	uint8_t keys[UIV_KEYS] = {0}, p[RELAY_PAYLOAD], stream[RELAY_PAYLOAD] = {0};
	struct uiv u;
	struct uiv_cell cell = {&u, p, p, tweak[16], NULL}, look = {&u, stream, stream, 0, NULL};

	memcpy(keys, vector_get(v, "keys", 32), 32);
	uiv_init(c, &u, keys);
	memcpy(p, vector_get(v, "in", 16), 16);
	memcpy(p + 16, tweak + 17, 493);
	if (!encrypt) { /* S comes off first: it is put on here */
		memcpy(stream, p, 16);
		uiv_decrypt(c, &look);
		for (unsigned i = 16; i < RELAY_PAYLOAD; i++)
			p[i] ^= stream[i];
	}
	memcpy(u.last, tweak, 16);
	encrypt ? uiv_encrypt(c, &cell, 1) : uiv_decrypt(c, &cell);
	assert_memory_equal(p, vector_get(v, "out", 16), 16);
	if (!encrypt)
		assert_memory_equal(p + 16, tweak + 17, 493);
}

/* The key stream is what a right part of zeroes becomes, and what an update makes keys of. */
static void vector_prf(struct cipher *c, const struct vector *v, unsigned t)
{
	uint8_t keys[UIV_KEYS] = {0}, p[RELAY_PAYLOAD] = {0}, got[UIV_KEYS];
	struct uiv u, *us = &u;
	struct uiv_cell cell = {&u, p, p, 3, NULL};

	memcpy(keys + 32, vector_get(v, "keys", 32), 32);
	memcpy(keys + 64, vector_get(v, "in", 16), 16);
	uiv_init(c, &u, keys);
	if (t == 0) {
		memcpy(p, vector_get(v, "in", 16), 16);
		uiv_decrypt(c, &cell);
		assert_memory_equal(p + 16, vector_get(v, "out", 493), 493);
		return;
	}
	uiv_update(c, &us, 1);
	memcpy(got, u.j[0], 16);
	memcpy(got + 16, u.powers[POLYVAL_POWERS - 1], 16);
	memcpy(got + 32, u.s[0], 16);
	memcpy(got + 48, u.s_hash, 16);
	memcpy(got + 64, u.nonce, 16);
	assert_memory_equal(got, vector_get(v, "out", 80), 80);
}

static void vector_uiv(struct cipher *c, const struct vector *v, bool encrypt)
{
	const uint8_t *tweak = vector_get(v, "tweak", 17), *out = vector_get(v, "out", 509);
	uint8_t keys[UIV_KEYS] = {0}, p[RELAY_PAYLOAD];
	struct uiv u;
	struct uiv_cell cell = {&u, vector_get(v, "in", 509), p, tweak[16], NULL};

	memcpy(keys, vector_get(v, "keys", 64), 64);
	uiv_init(c, &u, keys);
	memcpy(u.last, tweak, 16);
	encrypt ? uiv_encrypt(c, &cell, 1) : uiv_decrypt(c, &cell);
	assert_memory_equal(p, out, 509);
	assert_memory_equal(u.last, encrypt ? out : cell.src, 16);
}

/* keys, N, T' */
#define STATE (UIV_KEYS + UIV_TAG)
static void state_set(struct cipher *c, struct uiv *u, const uint8_t *from)
{
	uiv_init(c, u, from);
	memcpy(u->last, from + UIV_KEYS, UIV_TAG);
}

static void state_is(struct cipher *c, const struct uiv *u, const uint8_t *want)
{
	struct uiv w;

	state_set(c, &w, want);
	assert_memory_equal(u, &w, offsetof(struct uiv, s) + sizeof(w.s));
}

static void vector_update(struct cipher *c, const struct vector *v)
{
	uint8_t want[STATE] = {0};
	struct uiv u, *us = &u;

	uiv_init(c, &u, vector_get(v, "keys", 80));
	uiv_update(c, &us, 1);
	memcpy(want, vector_get(v, "out", 80), 80);
	state_is(c, &u, want);
}

static void vector_client(struct cipher *c, const struct vector *v)
{
	const uint8_t *in = vector_get(v, "state", 3 * STATE),
		      *after = vector_get(v, "after", 3 * STATE);
	unsigned hop = vector_get(v, "hop", 1)[0] - 1u;
	uint8_t command = vector_get(v, "command", 1)[0], p[RELAY_PAYLOAD], tag[UIV_TAG];
	struct cgo_layer l[3];

	for (unsigned i = 0; i < 3; i++)
		state_set(c, &l[i].fwd, in + i * STATE);
	memcpy(p, vector_get(v, "in", 509), 509);
	cgo_client_seal(c, &l[hop], command, p, tag);
	for (unsigned i = hop; i-- > 0;)
		cgo_client_pass(c, &l[i], command, p);
	assert_memory_equal(p, vector_get(v, "out", 509), 509);
	for (unsigned i = 0; i < 3; i++)
		state_is(c, &l[i].fwd, after + i * STATE);
}

/* The relay's vectors are held against onion/. */
static unsigned vector_run(struct cipher *c, const struct vector *v)
{
	if (vector_is(v, "et encrypt") || vector_is(v, "et decrypt"))
		vector_et(c, v, vector_is(v, "et encrypt"));
	else if (vector_is(v, "prf t0") || vector_is(v, "prf t1"))
		vector_prf(c, v, vector_is(v, "prf t1"));
	else if (vector_is(v, "uiv encrypt") || vector_is(v, "uiv decrypt"))
		vector_uiv(c, v, vector_is(v, "uiv encrypt"));
	else if (vector_is(v, "uiv update"))
		vector_update(c, v);
	else if (vector_is(v, "client originate"))
		vector_client(c, v);
	else
		return 0;
	return 1;
}

static void test_vectors(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(ciphers); i++) {
		FILE *f = fopen(TESTDATA "/cgo.txt", "r");
		struct vector v;
		unsigned n = 0;

		assert_non_null(f);
		while (vector_next(f, &v))
			n += vector_run(ciphers[i], &v);
		fclose(f);
		assert_int_equal(n, 4 + 10 + 8 + 5 + 6);
	}
}

/* ---- twins ---- */

static uint8_t texts[UIV_BATCH][64 + RELAY_PAYLOAD], slots[UIV_BATCH][128 + RELAY_PAYLOAD + 64];
static struct uiv ours[UIV_BATCH], theirs[UIV_BATCH];

static void twins_encrypt(struct cipher *c, unsigned n, bool in_place)
{
	struct uiv_cell a[UIV_BATCH] = {{0}}, b[UIV_BATCH] = {{0}};
	uint8_t want[UIV_BATCH][RELAY_PAYLOAD];

	for (unsigned i = 0; i < n; i++) {
		size_t from = rng_below(&rng, 64), to = 64 + rng_below(&rng, 64);
		uint8_t command = rng_below(&rng, 2) ? 3 : 9;

		rng_bytes(&rng, texts[i], sizeof(texts[i]));
		memset(slots[i], 0xa5, sizeof(slots[i]));
		a[i] = (struct uiv_cell) {&theirs[i], texts[i] + from, want[i], command, NULL};
		b[i] = (struct uiv_cell) {&ours[i], texts[i] + from, slots[i] + to, command, NULL};
		if (in_place) {
			memcpy(slots[i] + to, texts[i] + from, RELAY_PAYLOAD);
			b[i].src = b[i].dst;
		}
	}
	uiv_encrypt(&portable, a, n);
	uiv_encrypt(c, b, n);
	for (unsigned i = 0; i < n; i++) {
		size_t to = (size_t)(b[i].dst - slots[i]);
		uint8_t back[RELAY_PAYLOAD], back_too[RELAY_PAYLOAD];
		struct uiv copy = ours[i], copy_too = ours[i];

		assert_memory_equal(b[i].dst, want[i], RELAY_PAYLOAD);
		for (size_t k = 0; k < sizeof(slots[i]); k++)
			if ((k < to || k >= to + RELAY_PAYLOAD) && slots[i][k] != 0xa5)
				fail_msg("byte %zu beside dst is written", k);
		/* The right part needs no T'. */
		uiv_decrypt(&portable,
			    &(struct uiv_cell) {&copy, want[i], back, a[i].command, NULL});
		assert_memory_equal(back + UIV_TAG, a[i].src + UIV_TAG, RELAY_PAYLOAD - UIV_TAG);
		uiv_decrypt(c,
			    &(struct uiv_cell) {&copy_too, want[i], back_too, a[i].command, NULL});
		assert_memory_equal(back_too, back, RELAY_PAYLOAD);
	}
}

static void twins(struct cipher *c)
{
	struct uiv *a[UIV_BATCH], *b[UIV_BATCH];
	uint8_t keys[UIV_KEYS];

	for (unsigned i = 0; i < UIV_BATCH; i++) {
		rng_bytes(&rng, keys, sizeof(keys));
		uiv_init(c, &ours[i], keys);
		uiv_init(&portable, &theirs[i], keys);
		a[i] = &theirs[i];
		b[i] = &ours[i];
	}
	assert_memory_equal(ours, theirs, sizeof(ours));
	for (unsigned round = 0; round < 100; round++) {
		unsigned n = 1 + rng_below(&rng, UIV_BATCH);

		twins_encrypt(c, n, round & 1);
		n = 1 + rng_below(&rng, UIV_BATCH);
		uiv_update(&portable, a, n);
		uiv_update(c, b, n);
		assert_memory_equal(ours, theirs, sizeof(ours));
	}
}

static void test_twins(void **state)
{
	twins(&best);
	twins(&no_avx512);
}

/* What one kernel encrypts the other decrypts, T' and all. */
static void test_round(void **state)
{
	for (unsigned round = 0; round < 64; round++) {
		struct cipher *to = ciphers[round % 3], *from = ciphers[round / 3 % 3];
		uint8_t keys[UIV_KEYS], text[RELAY_PAYLOAD], p[RELAY_PAYLOAD];
		uint8_t command = round & 1 ? 3 : 9;
		struct uiv x, y;

		rng_bytes(&rng, keys, sizeof(keys));
		uiv_init(to, &x, keys);
		uiv_init(from, &y, keys);
		for (unsigned i = 0; i < 4; i++) {
			rng_bytes(&rng, text, sizeof(text));
			uiv_encrypt(to, &(struct uiv_cell) {&x, text, p, command, NULL}, 1);
			uiv_decrypt(from, &(struct uiv_cell) {&y, p, p, command, NULL});
			assert_memory_equal(p, text, sizeof(p));
			assert_memory_equal(x.last, y.last, UIV_TAG);
		}
		/* The command is in the tweak. */
		uiv_encrypt(to, &(struct uiv_cell) {&x, text, p, command, NULL}, 1);
		uiv_decrypt(from, &(struct uiv_cell) {&y, p, p, (uint8_t)(command ^ 10), NULL});
		assert_memory_not_equal(p, text, UIV_TAG);
		assert_memory_equal(p + UIV_TAG, text + UIV_TAG, RELAY_PAYLOAD - UIV_TAG);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_choice),	   cmocka_unit_test(test_rfc),
		cmocka_unit_test(test_hash_twins), cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_twins),	   cmocka_unit_test(test_round),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
