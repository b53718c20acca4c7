/* rsa.c - RSA as Tor uses it: PKCS#1 v1.5 padding around the bare digest, PKCS#1 DER for names. */
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "controlplane/keys/keys.h"

int rsa_sign(EVP_PKEY *key, const uint8_t *digest, size_t len, uint8_t *sig, size_t *sig_len)
{
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(key, NULL);
	bool ok = c && EVP_PKEY_sign_init(c) > 0 &&
		  EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_PADDING) > 0 &&
		  EVP_PKEY_sign(c, sig, sig_len, digest, len) > 0;

	EVP_PKEY_CTX_free(c);
	return ok ? 0 : ERR_CRYPTO;
}

bool rsa_check(EVP_PKEY *key, const uint8_t *digest, size_t len, const uint8_t *sig, size_t sig_len)
{
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(key, NULL);
	uint8_t out[1024];
	size_t out_len = sizeof(out);
	bool ok = c && EVP_PKEY_get_size(key) <= (int)sizeof(out) &&
		  EVP_PKEY_verify_recover_init(c) > 0 &&
		  EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_PADDING) > 0 &&
		  EVP_PKEY_verify_recover(c, out, &out_len, sig, sig_len) > 0;

	EVP_PKEY_CTX_free(c);
	return ok && out_len >= len && !memcmp(out, digest, len);
}

size_t rsa_public_der(EVP_PKEY *key, uint8_t *der, size_t cap)
{
	uint8_t *p = der;
	int len = i2d_PublicKey(key, NULL);

	if (len <= 0 || (size_t)len > cap)
		return 0;
	return (size_t)i2d_PublicKey(key, &p);
}
