/* test_cipher.c - every kernel against OpenSSL and its twins: edges, then seeded random shapes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "dataplane/cipher/cipher.h"

static struct cipher best, portable, no_avx512, lanes;
static struct cipher *const ciphers[] = {&best, &portable, &no_avx512, &lanes};
static struct rng rng;

static int setup(void **state)
{
	static const uint8_t seed[32] = "cipher";

	rng_seed(&rng, seed);
	assert_int_equal(cipher_init(&best, 0), 0);
	assert_int_equal(cipher_init(&portable, CIPHER_PORTABLE), 0);
	assert_int_equal(cipher_init(&no_avx512, CIPHER_NO_AVX512), 0);
	assert_int_equal(cipher_init(&lanes, 0), 0);
	lanes.sha1_lanes_from = 1; /* where there are lanes, never anything else */
	print_message("best: %s, ctr %s, sha1 %s; portable: %s, ctr %s, sha1 %s\n", best.arch,
		      best.ctr_name, best.sha1_name, portable.arch, portable.ctr_name,
		      portable.sha1_name);
	return 0;
}

static int teardown(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(ciphers); i++)
		cipher_fini(ciphers[i]);
	return 0;
}

/* ---- CTR ---- */

static void ctr_shapes(struct cipher *c, size_t fixed_len)
{
	static uint8_t plain[4096 + 64], got[4096 + 256], want[4096 + 64];
	EVP_CIPHER_CTX *ref = EVP_CIPHER_CTX_new();
	uint8_t key[16], iv[16] = {0};
	struct aes_ctr s;
	int n;

	rng_bytes(&rng, key, sizeof(key));
	aes_ctr_init(c, &s, key);
	EVP_EncryptInit_ex(ref, EVP_aes_128_ctr(), NULL, key, iv);
	for (unsigned i = 0; i < 400; i++) {
		size_t len = fixed_len ? fixed_len : i < 100 ? i : rng_below(&rng, 4096);
		size_t from = rng_below(&rng, 64), to = 64 + rng_below(&rng, 64);
		bool in_place = i & 1;

		rng_bytes(&rng, plain, sizeof(plain));
		memset(got, 0xa5, sizeof(got));
		EVP_EncryptUpdate(ref, want, &n, plain + from, len);
		if (in_place) {
			memcpy(got + to, plain + from, len);
			aes_ctr_run(c, &s, got + to, got + to, len);
		} else {
			aes_ctr_run(c, &s, got + to, plain + from, len);
		}
		assert_memory_equal(got + to, want, len);
		for (size_t k = 0; k < sizeof(got); k++)
			if (got[k] != 0xa5 && (k < to || k >= to + len))
				fail_msg("len %zu: byte %zd beside dst is written", len,
					 (ssize_t)k - (ssize_t)to);
	}
	EVP_CIPHER_CTX_free(ref);
}

static void test_ctr(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(ciphers); i++) {
		ctr_shapes(ciphers[i], 0);
		ctr_shapes(ciphers[i], RELAY_PAYLOAD);
	}
}

/* Far into a stream the block number is wider than 32 bits. */
static void test_ctr_far(void **state)
{
	static const uint64_t at[] = {0xfffffff0ull * 16 + 3, 0xffffffffull * 16 + 15,
				      0x123456789aull * 16 + 7};
	uint8_t key[16] = {1, 2, 3}, iv[16] = {0}, zero[1024] = {0}, want[1024], got[1024];
	EVP_CIPHER_CTX *ref = EVP_CIPHER_CTX_new();
	struct aes_ctr s;
	int n;

	for (size_t i = 0; i < ARRAY_LEN(at); i++) {
		for (size_t k = 0; k < ARRAY_LEN(ciphers); k++) {
			be64_put(iv + 8, at[i] / 16);
			EVP_EncryptInit_ex(ref, EVP_aes_128_ctr(), NULL, key, iv);
			EVP_EncryptUpdate(ref, want, &n, zero, sizeof(zero));
			aes_ctr_init(ciphers[k], &s, key);
			s.pos = at[i];
			aes_ctr_run(ciphers[k], &s, got, zero, 900);
			assert_memory_equal(got, want + at[i] % 16, 900);
			assert_int_equal(s.pos, at[i] + 900);
		}
	}
	EVP_CIPHER_CTX_free(ref);
}

/* ---- AEAD ---- */

static const EVP_CIPHER *evp_of(enum aead_alg alg)
{
	return alg == AEAD_AES128_GCM	? EVP_aes_128_gcm()
	       : alg == AEAD_AES256_GCM ? EVP_aes_256_gcm()
					: EVP_chacha20_poly1305();
}

static void evp_seal(enum aead_alg alg, const uint8_t *key, const uint8_t *nonce,
		     const uint8_t *aad, size_t aad_len, const uint8_t *in, size_t len,
		     uint8_t *out)
{
	EVP_CIPHER_CTX *x = EVP_CIPHER_CTX_new();
	int n;

	EVP_EncryptInit_ex(x, evp_of(alg), NULL, key, nonce);
	EVP_EncryptUpdate(x, NULL, &n, aad, aad_len);
	if (len)
		EVP_EncryptUpdate(x, out, &n, in, len);
	EVP_EncryptFinal_ex(x, out + len, &n);
	EVP_CIPHER_CTX_ctrl(x, EVP_CTRL_AEAD_GET_TAG, 16, out + len);
	EVP_CIPHER_CTX_free(x);
}

static void aead_shape(struct cipher *c, enum aead_alg alg, size_t len, size_t aad_len)
{
	static uint8_t plain[17000], want[17000], room[17000];
	uint8_t key[32], nonce[12], aad[32], *data = room + 64 + rng_below(&rng, 16);
	static struct aead_key k;
	size_t flip;

	rng_bytes(&rng, key, sizeof(key));
	rng_bytes(&rng, nonce, sizeof(nonce));
	rng_bytes(&rng, aad, sizeof(aad));
	rng_bytes(&rng, plain, len);
	aead_key_init(c, &k, alg, key);
	evp_seal(alg, key, nonce, aad, aad_len, plain, len, want);
	memcpy(data, plain, len);
	aead_seal(c, &k, nonce, aad, aad_len, data, len);
	assert_memory_equal(data, want, len + 16);
	assert_int_equal(aead_open(c, &k, nonce, aad, aad_len, data, len), 0);
	assert_memory_equal(data, plain, len);
	/* One bit anywhere, and nothing of the plaintext is left. */
	memcpy(data, want, len + 16);
	flip = rng_below(&rng, (len + 16) * 8);
	data[flip / 8] ^= 1 << flip % 8;
	assert_int_equal(aead_open(c, &k, nonce, aad, aad_len, data, len), ERR_CRYPTO);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(data[i], 0);
	memcpy(data, want, len + 16);
	aad[0] ^= 1;
	if (aad_len)
		assert_int_equal(aead_open(c, &k, nonce, aad, aad_len, data, len), ERR_CRYPTO);
	wipe(&k, sizeof(k));
}

static void test_aead(void **state)
{
	static const size_t lens[] = {0, 1, 15, 16, 17, 63, 64, 255, 256, 514, 515, 4096, 16384};

	for (size_t c = 0; c < ARRAY_LEN(ciphers); c++) {
		for (int alg = 0; alg < N_AEAD_ALGS; alg++) {
			for (size_t i = 0; i < ARRAY_LEN(lens); i++)
				aead_shape(ciphers[c], alg, lens[i], i & 1 ? 5 : 13);
			for (unsigned i = 0; i < 100; i++)
				aead_shape(ciphers[c], alg, rng_below(&rng, 2000), 5);
		}
	}
}

/* ---- SHA-1 ---- */

static void sha1_of(const uint8_t *p, size_t len, uint8_t out[20])
{
	EVP_Digest(p, len, out, NULL, EVP_sha1(), NULL);
}

static void test_sha1_edges(void **state)
{
	uint8_t text[300], want[20], got[20];
	struct sha1 s;

	rng_bytes(&rng, text, sizeof(text));
	for (size_t c = 0; c < ARRAY_LEN(ciphers); c++) {
		for (size_t len = 0; len <= sizeof(text); len++) {
			size_t cut = len ? rng_below(&rng, len) : 0;

			sha1_of(text, len, want);
			sha1_init(&s);
			sha1_update(ciphers[c], &s, text, cut);
			sha1_peek(ciphers[c], &s, got); /* a look disturbs nothing */
			sha1_update(ciphers[c], &s, text + cut, len - cut);
			sha1_peek(ciphers[c], &s, got);
			assert_memory_equal(got, want, 20);
		}
	}
}

/* Groups of any size, each state at its own place in its stream. */
static void test_sha1_cells(void **state)
{
	enum { MAX = 19 };
	static uint8_t payload[MAX][RELAY_PAYLOAD], got[MAX][20];
	struct sha1 s[MAX], *ps[MAX];
	EVP_MD_CTX *ref[MAX], *end = EVP_MD_CTX_new();
	const uint8_t *pp[MAX];
	uint8_t want[20], seed[100];

	for (unsigned k = 0; k < ARRAY_LEN(ciphers); k++) {
		for (unsigned i = 0; i < MAX; i++) {
			size_t len = rng_below(&rng, sizeof(seed));

			rng_bytes(&rng, seed, sizeof(seed));
			ref[i] = EVP_MD_CTX_new();
			EVP_DigestInit_ex(ref[i], EVP_sha1(), NULL);
			EVP_DigestUpdate(ref[i], seed, len);
			sha1_init(&s[i]);
			sha1_update(ciphers[k], &s[i], seed, len);
		}
		for (unsigned round = 0; round < 200; round++) {
			unsigned n = 0, first = rng_below(&rng, MAX);
			unsigned at[MAX];

			for (unsigned i = 0; i < MAX && n < round % (MAX + 1); i++, n++) {
				at[n] = (first + i) % MAX;
				rng_bytes(&rng, payload[n], RELAY_PAYLOAD);
				ps[n] = &s[at[n]];
				pp[n] = payload[n];
			}
			sha1_cells(ciphers[k], ps, pp, got, n);
			for (unsigned i = 0; i < n; i++) {
				EVP_DigestUpdate(ref[at[i]], payload[i], RELAY_PAYLOAD);
				EVP_MD_CTX_copy_ex(end, ref[at[i]]);
				EVP_DigestFinal_ex(end, want, NULL);
				assert_memory_equal(got[i], want, 20);
			}
		}
		for (unsigned i = 0; i < MAX; i++)
			EVP_MD_CTX_free(ref[i]);
	}
	EVP_MD_CTX_free(end);
}

/* ---- HMAC, HKDF ---- */

static void test_hmac(void **state)
{
	uint8_t key[200], msg[513], want[64], got[64];

	for (unsigned i = 0; i < 200; i++) {
		enum hash_alg alg = i & 1;

		rng_bytes(&rng, key, sizeof(key));
		rng_bytes(&rng, msg, sizeof(msg));
		HMAC(alg ? EVP_sha384() : EVP_sha256(), key, i, msg, 2 * i, want, NULL);
		assert_int_equal(hmac(&best, alg, key, i, msg, 2 * i, got), 0);
		assert_memory_equal(got, want, hash_len(alg));
		assert_int_equal(hmac(&portable, alg, key, i, msg, 2 * i, got), 0);
		assert_memory_equal(got, want, hash_len(alg));
	}
	assert_int_equal(hmac(&best, HASH_SHA256, key, 32, msg, sizeof(msg), got), ERR_FULL);
}

/* ---- tor1 as a client ---- */

static void test_tor1_client(void **state)
{
	static struct tor1_layer client[3], relay[3];
	uint8_t keys[TOR1_KEYS], sent[RELAY_PAYLOAD], payload[RELAY_PAYLOAD];
	uint8_t tag[20], relay_tag[20];

	for (unsigned i = 0; i < 3; i++) {
		rng_bytes(&rng, keys, sizeof(keys));
		tor1_layer_init(&best, &client[i], keys);
		tor1_layer_init(&portable, &relay[i], keys);
	}
	for (unsigned round = 0; round < 300; round++) {
		unsigned hop = rng_below(&rng, 3);

		rng_bytes(&rng, sent, sizeof(sent));
		memset(sent + 1, 0, 2);
		memcpy(payload, sent, sizeof(sent));
		tor1_client_seal(&best, client, hop, payload, tag);
		for (unsigned i = 0; i <= hop; i++) {
			aes_ctr_run(&portable, &relay[i].fwd, payload, payload, RELAY_PAYLOAD);
			bool ours =
				tor1_recognize(&portable, &relay[i].fwd_digest, payload, relay_tag);

			assert_int_equal(ours, i == hop);
		}
		assert_memory_equal(tag, relay_tag, 20);
		memcpy(sent + 5, payload + 5, 4);
		assert_memory_equal(payload, sent, sizeof(sent));

		memset(payload + 5, 0, 4);
		sha1_update(&portable, &relay[hop].back_digest, payload, RELAY_PAYLOAD);
		sha1_peek(&portable, &relay[hop].back_digest, relay_tag);
		memcpy(payload + 5, relay_tag, 4);
		for (unsigned i = hop + 1; i-- > 0;)
			aes_ctr_run(&portable, &relay[i].back, payload, payload, RELAY_PAYLOAD);
		assert_int_equal(tor1_client_open(&best, client, 3, payload, tag), hop);
		assert_memory_equal(tag, relay_tag, 20);
	}
	rng_bytes(&rng, payload, sizeof(payload));
	assert_int_equal(tor1_client_open(&best, client, 3, payload, tag), ERR_CRYPTO);
}

/* ---- modular powers, beside OpenSSL's ---- */

#define DIGIT 52

static void digits_put(uint64_t *d, unsigned step, const BIGNUM *n, unsigned n_digits)
{
	BIGNUM *rest = BN_dup(n);

	for (unsigned i = 0; i < n_digits; i++, BN_rshift(rest, rest, DIGIT)) {
		BIGNUM *low = BN_dup(rest);

		if (BN_num_bits(low) > DIGIT)
			BN_mask_bits(low, DIGIT);
		d[i * step] = BN_get_word(low);
		BN_free(low);
	}
	assert_true(BN_is_zero(rest));
	BN_free(rest);
}

static BIGNUM *lane_get(uint64_t d[MODEXP_DIGITS][MODEXP_LANES], unsigned lane)
{
	BIGNUM *n = BN_new();

	for (unsigned i = MODEXP_DIGITS; i-- > 0;) {
		assert_true(BN_lshift(n, n, DIGIT));
		assert_true(d[i][lane] >> DIGIT == 0 && BN_add_word(n, d[i][lane]));
	}
	return n;
}

static void lane_put(struct modexp *e, unsigned lane, const BIGNUM *m, const BIGNUM *exponent,
		     BN_CTX *ctx)
{
	BIGNUM *n = BN_new(), *word = BN_new();
	uint8_t top[MODEXP_BITS / 8];

	digits_put(&e->m[0][lane], MODEXP_LANES, m, MODEXP_DIGITS);
	for (unsigned run = 0; run < MODEXP_RUNS; run++) {
		BN_zero(n);
		BN_set_bit(n, (int)(MODEXP_DIGITS * DIGIT * (run + 2)));
		BN_mod(n, n, m, ctx);
		digits_put(&e->lift[run][0][lane], MODEXP_LANES, n, MODEXP_DIGITS);
	}
	BN_zero(word);
	BN_set_bit(word, DIGIT);
	assert_non_null(BN_mod_inverse(n, m, word, ctx));
	e->k0[lane] = (1ull << DIGIT) - BN_get_word(n);
	assert_int_equal(BN_bn2binpad(exponent, top, sizeof(top)), sizeof(top));
	for (unsigned i = 0; i < MODEXP_WINDOWS; i++)
		e->windows[i][lane] = i & 1 ? top[i / 2] & 15 : top[i / 2] >> 4;
	BN_free(n);
	BN_free(word);
}

/* Edges of what is raised and of the exponent, a modulus of each length, then anything. */
static void modexp_round(unsigned round, BN_CTX *ctx)
{
	BIGNUM *m[MODEXP_LANES], *x[MODEXP_LANES], *in = BN_new(), *want = BN_new();
	uint64_t d[MODEXP_RUNS * MODEXP_DIGITS], out[MODEXP_DIGITS][MODEXP_LANES];
	struct modexp e;

	BN_rand(in, MODEXP_RUNS * MODEXP_DIGITS * DIGIT, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY);
	if (round < 2)
		BN_set_word(in, round);
	if (round == 2) {
		BN_zero(in);
		BN_set_bit(in, MODEXP_RUNS * MODEXP_DIGITS * DIGIT);
		BN_sub_word(in, 1);
	}
	for (unsigned i = 0; i < MODEXP_LANES; i++) {
		m[i] = BN_new();
		x[i] = BN_new();
		BN_rand(m[i], round % 3 ? MODEXP_BITS - (int)i : 2 + 80 * (int)i, BN_RAND_TOP_ONE,
			BN_RAND_BOTTOM_ODD);
		BN_rand(x[i], MODEXP_BITS, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY);
		if (round % 4 == 3 && i < 3)
			BN_set_word(x[i], i);
		if (i == 3 && round % 4 == 3) /* all digits full: carries as far as they go */
			for (int k = 0; k < MODEXP_BITS; k++)
				BN_set_bit(m[i], k), BN_set_bit(x[i], k);
		lane_put(&e, i, m[i], x[i], ctx);
	}
	digits_put(d, 1, in, MODEXP_RUNS * MODEXP_DIGITS);
	modexp_run(&e, d, out);
	for (unsigned i = 0; i < MODEXP_LANES; i++) {
		BIGNUM *got = lane_get(out, i);

		BN_mod_exp(want, in, x[i], m[i], ctx);
		assert_true(BN_cmp(got, m[i]) <= 0);
		BN_mod(got, got, m[i], ctx);
		assert_int_equal(BN_cmp(got, want), 0);
		BN_free(got);
		BN_free(m[i]);
		BN_free(x[i]);
	}
	BN_free(in);
	BN_free(want);
}

static void test_modexp(void **state)
{
	BN_CTX *ctx = BN_CTX_new();

	if (!modexp_here()) {
		print_message("no IFMA here: nothing to compare\n");
		BN_CTX_free(ctx);
		return;
	}
	for (unsigned round = 0; round < 40; round++)
		modexp_round(round, ctx);
	BN_CTX_free(ctx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ctr),	    cmocka_unit_test(test_ctr_far),
		cmocka_unit_test(test_aead),	    cmocka_unit_test(test_sha1_edges),
		cmocka_unit_test(test_sha1_cells),  cmocka_unit_test(test_hmac),
		cmocka_unit_test(test_tor1_client), cmocka_unit_test(test_modexp),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
