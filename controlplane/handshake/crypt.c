/* crypt.c - the primitives below the handshakes, as OpenSSL gives them. */
#include "controlplane/handshake/internal.h"

#include <openssl/hmac.h>

static int pair_from(struct handshake_pair *pair, EVP_PKEY *key)
{
	size_t secret_len = 32, public_len = 32;
	int ok = key && EVP_PKEY_get_raw_private_key(key, pair->secret, &secret_len) == 1 &&
		 EVP_PKEY_get_raw_public_key(key, pair->public, &public_len) == 1;

	EVP_PKEY_free(key);
	return ok ? 0 : ERR_CRYPTO;
}

int handshake_pair_new(struct handshake_pair *pair)
{
	return pair_from(pair, EVP_PKEY_Q_keygen(NULL, NULL, "X25519"));
}

int handshake_pair_public(struct handshake_pair *pair)
{
	return pair_from(pair,
			 EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, pair->secret, 32));
}

int hsk_secret_new(struct hsk_secret *s)
{
	size_t len = sizeof(s->public);

	s->key = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
	return s->key && EVP_PKEY_get_raw_public_key(s->key, s->public, &len) == 1 ? 0 : ERR_CRYPTO;
}

void hsk_secret_from(struct hsk_secret *s, const struct handshake_pair *pair)
{
	s->key = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, pair->secret, 32);
	memcpy(s->public, pair->public, 32);
}

void hsk_secret_free(struct hsk_secret *s)
{
	EVP_PKEY_free(s->key);
	s->key = NULL;
}

bool hsk_dh(uint8_t out[32], const struct hsk_secret *own, const uint8_t public[32])
{
	EVP_PKEY *peer = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, public, 32);
	EVP_PKEY_CTX *ctx = own->key ? EVP_PKEY_CTX_new(own->key, NULL) : NULL;
	size_t len = 32;
	bool ok;

	memset(out, 0, 32);
	/* A point of low order gives zero, which OpenSSL reports as a failure. */
	ok = ctx && peer && EVP_PKEY_derive_init(ctx) == 1 &&
	     EVP_PKEY_derive_set_peer_ex(ctx, peer, 0) == 1 &&
	     EVP_PKEY_derive(ctx, out, &len) == 1 && len == 32;
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(peer);
	return ok;
}

bool hsk_hmac(uint8_t out[32], const void *key, size_t key_len, const void *data, size_t len)
{
	return HMAC(EVP_sha256(), key, (int)key_len, data, len, out, NULL) != NULL;
}

bool hsk_hkdf(uint8_t *out, size_t out_len, const void *salt, size_t salt_len, const void *ikm,
	      size_t ikm_len, const void *info, size_t info_len)
{
	uint8_t prk[32], block[32 + 64 + 1], k[32];
	size_t have = 0, n;
	uint8_t i = 1;
	bool ok = info_len <= 64 && hsk_hmac(prk, salt, salt_len, ikm, ikm_len);

	for (; ok && have < out_len; have += n, i++) {
		size_t head = i > 1 ? 32 : 0;

		memcpy(block, k, head);
		memcpy(block + head, info, info_len);
		block[head + info_len] = i;
		ok = hsk_hmac(k, prk, sizeof(prk), block, head + info_len + 1);
		n = MIN(out_len - have, sizeof(k));
		memcpy(out + have, k, n);
	}
	wipe(prk, sizeof(prk));
	wipe(block, sizeof(block));
	wipe(k, sizeof(k));
	return ok;
}

bool hsk_ctr(uint8_t *out, const uint8_t *in, size_t len, const uint8_t key[32])
{
	static const uint8_t iv[16];
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int n = 0;
	bool ok = ctx && EVP_EncryptInit_ex(ctx, EVP_aes_256_ctr(), NULL, key, iv) == 1 &&
		  EVP_EncryptUpdate(ctx, out, &n, in, (int)len) == 1 && (size_t)n == len;

	EVP_CIPHER_CTX_free(ctx);
	return ok;
}

/* The bytes of from over those of to, or not, in the same time. */
static void take_if(uint8_t take, void *to, const void *from, size_t len)
{
	volatile uint8_t mask = (uint8_t)-take;
	const uint8_t *f = from;
	uint8_t *t = to;

	for (size_t i = 0; i < len; i++)
		t[i] ^= mask & (t[i] ^ f[i]);
}

bool hsk_pick(struct hsk_secret *s, const struct handshake_keys *keys, const uint8_t public[32])
{
	struct handshake_pair pair = keys->junk;
	EVP_PKEY *ready = keys->ready[2];
	uint8_t found = 0;

	for (unsigned i = 0; i < keys->n_onion && i < ARRAY_LEN(keys->onion); i++) {
		uint8_t take = same_bytes(keys->onion[i].public, public, 32);

		take_if(take, &pair, &keys->onion[i], sizeof(pair));
		take_if(take, &ready, &keys->ready[i], sizeof(ready));
		found |= take;
	}
	if (ready && EVP_PKEY_up_ref(ready) == 1) {
		s->key = ready;
		memcpy(s->public, pair.public, 32);
	} else {
		hsk_secret_from(s, &pair);
	}
	wipe(&pair, sizeof(pair));
	return found;
}

void hsk_keys_unpack(struct handshake_keys *keys)
{
	const struct handshake_pair *pairs[] = {&keys->onion[0], &keys->onion[1], &keys->junk};
	struct hsk_secret s;

	for (unsigned i = 0; i < ARRAY_LEN(pairs); i++) {
		hsk_secret_from(&s, pairs[i]);
		keys->ready[i] = s.key;
	}
}

void hsk_keys_pack(struct handshake_keys *keys)
{
	for (unsigned i = 0; i < ARRAY_LEN(keys->ready); i++) {
		EVP_PKEY_free(keys->ready[i]);
		keys->ready[i] = NULL;
	}
}

void hsk_open(struct hsk_hash *h, const EVP_MD *md)
{
	h->ctx = EVP_MD_CTX_new();
	h->ok = h->ctx && EVP_DigestInit_ex(h->ctx, md, NULL) == 1;
}

void hsk_add(struct hsk_hash *h, const void *data, size_t len)
{
	h->ok = h->ok && EVP_DigestUpdate(h->ctx, data, len) == 1;
}

void hsk_encap(struct hsk_hash *h, const void *data, size_t len)
{
	uint8_t wide[8];

	be64_put(wide, len);
	hsk_add(h, wide, sizeof(wide));
	hsk_add(h, data, len);
}

bool hsk_close(struct hsk_hash *h, uint8_t *out, size_t out_len)
{
	bool xof = h->ok && (EVP_MD_get_flags(EVP_MD_CTX_get0_md(h->ctx)) & EVP_MD_FLAG_XOF);

	if (h->ok)
		h->ok = (xof ? EVP_DigestFinalXOF(h->ctx, out, out_len)
			     : EVP_DigestFinal_ex(h->ctx, out, NULL)) == 1;
	EVP_MD_CTX_free(h->ctx);
	h->ctx = NULL;
	return h->ok;
}
