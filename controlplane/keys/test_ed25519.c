/* test_ed25519.c - our signatures by expanded keys against RFC 8032 and against OpenSSL, and keys
 * that were curve25519 keys. */
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>

#include <setjmp.h>
#include <cmocka.h>

#include "controlplane/keys/keys.h"

static void unhex(const char *text, uint8_t *out)
{
	for (; *text; text += 2)
		sscanf(text, "%2hhx", out++);
}

/* RFC 8032 section 7.1 */
static const struct {
	const char *seed, *public_key, *msg, *sig;
} vectors[] = {
	/* 0: empty message */
	{"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
	 "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
	 "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701"
	 "c"
	 "f9b46bd25bf5f0595bbe24655141438e7a100b"},
	/* 1: one byte */
	{"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
	 "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
	 "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d"
	 "0"
	 "f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
	/* 2: two bytes */
	{"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
	 "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
	 "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f7609"
	 "84"
	 "dc6594a7c15e9716ed28dc027beceea1ec40a"},
};

static void vectors_hold(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		uint8_t seed[32], public_key[32], msg[8], sig[64], secret[64], got[64];
		size_t len = strlen(vectors[i].msg) / 2;

		unhex(vectors[i].seed, seed);
		unhex(vectors[i].public_key, public_key);
		unhex(vectors[i].msg, msg);
		unhex(vectors[i].sig, sig);
		ed25519_expand(seed, secret);
		ed25519_public(secret, got);
		assert_memory_equal(got, public_key, 32);
		assert_int_equal(ed25519_sign(msg, len, secret, public_key, got), 0);
		assert_memory_equal(got, sig, 64);
		assert_true(ed25519_check(msg, len, public_key, sig));
		sig[7] ^= 1;
		assert_false(ed25519_check(msg, len, public_key, sig));
	}
}

static void same_as_openssl(void **state)
{
	for (unsigned i = 0; i < 200; i++) {
		uint8_t seed[32], secret[64], public_key[32], sig[64], msg[300], want[64];
		size_t len = 32, sig_len = 64;
		EVP_MD_CTX *c = EVP_MD_CTX_new();
		EVP_PKEY *key;

		RAND_bytes(seed, sizeof(seed));
		RAND_bytes(msg, sizeof(msg));
		ed25519_expand(seed, secret);
		ed25519_public(secret, public_key);
		key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, 32);
		assert_int_equal(EVP_PKEY_get_raw_public_key(key, want, &len), 1);
		assert_memory_equal(public_key, want, 32);
		assert_int_equal(EVP_DigestSignInit(c, NULL, NULL, NULL, key), 1);
		assert_int_equal(EVP_DigestSign(c, want, &sig_len, msg, i), 1);
		assert_int_equal(ed25519_sign(msg, i, secret, public_key, sig), 0);
		assert_memory_equal(sig, want, 64);
		EVP_MD_CTX_free(c);
		EVP_PKEY_free(key);
	}
}

static void curve_keys_convert(void **state)
{
	uint8_t minus_one[32], out[32];

	for (unsigned i = 0; i < 50; i++) {
		uint8_t curve[32], curve_public[32], secret[64], public_key[32], sig[64];
		size_t len = 32;
		EVP_PKEY *key;

		RAND_bytes(curve, sizeof(curve));
		curve[0] &= 248;
		curve[31] = (curve[31] & 127) | 64;
		key = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, curve, 32);
		assert_int_equal(EVP_PKEY_get_raw_public_key(key, curve_public, &len), 1);
		EVP_PKEY_free(key);
		ed25519_of_curve25519(curve, secret, public_key);
		assert_true(ed25519_public_of_curve25519(curve_public, public_key[31] >> 7, out));
		assert_memory_equal(out, public_key, 32);
		assert_int_equal(ed25519_sign("x", 1, secret, public_key, sig), 0);
		assert_true(ed25519_check("x", 1, out, sig));
	}
	memset(minus_one, 0xff, 32); /* p - 1: 2^255 - 20 */
	minus_one[0] = 0xec;
	minus_one[31] = 0x7f;
	assert_false(ed25519_public_of_curve25519(minus_one, 0, out));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors_hold),
		cmocka_unit_test(same_as_openssl),
		cmocka_unit_test(curve_keys_convert),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
