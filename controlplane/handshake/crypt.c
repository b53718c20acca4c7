/* crypt.c - the primitives below the handshakes, as OpenSSL gives them. */
#include "controlplane/handshake/internal.h"

#include <pthread.h>

static struct {
	pthread_once_t once;
	EVP_MD *md[N_HSK_MDS];
	EVP_CIPHER *ctr;
} known = {.once = PTHREAD_ONCE_INIT};

static void look_up(void)
{
	static const char *const names[N_HSK_MDS] = {[HSK_SHA1] = "SHA1",
						     [HSK_SHA256] = "SHA2-256",
						     [HSK_SHA3_256] = "SHA3-256",
						     [HSK_SHAKE256] = "SHAKE-256"};

	for (unsigned i = 0; i < N_HSK_MDS; i++)
		known.md[i] = EVP_MD_fetch(NULL, names[i], NULL);
	known.ctr = EVP_CIPHER_fetch(NULL, "AES-256-CTR", NULL);
}

/* What is missing is NULL, and fails where it is used. */
static EVP_MD *md_of(enum hsk_md md)
{
	pthread_once(&known.once, look_up);
	return known.md[md];
}

static EVP_CIPHER *ctr_cipher(void)
{
	pthread_once(&known.once, look_up);
	return known.ctr;
}

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

bool hsk_ctr(uint8_t *out, const uint8_t *in, size_t len, const uint8_t key[32])
{
	static const uint8_t iv[16];
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int n = 0;
	bool ok = ctx && ctr_cipher() &&
		  EVP_EncryptInit_ex2(ctx, ctr_cipher(), key, iv, NULL) == 1 &&
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

void hsk_pick(struct hsk_talk *t, const uint8_t public[32])
{
	const struct handshake_keys *keys = t->keys;

	t->onion = keys->junk;
	t->ready = keys->ready[2];
	t->known = false;
	for (unsigned i = 0; i < keys->n_onion && i < ARRAY_LEN(keys->onion); i++) {
		uint8_t take = same_bytes(keys->onion[i].public, public, 32);

		take_if(take, &t->onion, &keys->onion[i], sizeof(t->onion));
		take_if(take, &t->ready, &keys->ready[i], sizeof(t->ready));
		t->known |= take;
	}
}

void hsk_multiply(struct hsk_talk *t, const struct hsk_secret *eph)
{
	struct hsk_secret onion = {.key = t->ready};

	if (!t->ready)
		hsk_secret_from(&onion, &t->onion);
	memcpy(t->y, eph->public, 32);
	/* hsk_dh leaves zero where it fails. */
	hsk_dh(t->xy, eph, t->x);
	hsk_dh(t->xb, &onion, t->x);
	if (!t->ready)
		hsk_secret_free(&onion);
}

bool hsk_shared(const struct hsk_talk *t)
{
	static const uint8_t zero[32];

	return !(same_bytes(t->xy, zero, 32) | same_bytes(t->xb, zero, 32));
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

void hsk_open(struct hsk_hash *h, enum hsk_md md)
{
	if (!h->ctx)
		h->ctx = EVP_MD_CTX_new();
	h->ok = h->ctx && md_of(md) && EVP_DigestInit_ex2(h->ctx, md_of(md), NULL) == 1;
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
	return h->ok;
}

void hsk_hash_free(struct hsk_hash *h)
{
	EVP_MD_CTX_free(h->ctx); /* wiped by OpenSSL */
	h->ctx = NULL;
}

/* ---- HMAC and HKDF: the pads by hand, for OpenSSL's HMAC looks its hash up by name ---- */

#define HMAC_BLOCK 64

static void pad_flip(uint8_t pad[HMAC_BLOCK], uint8_t with)
{
	for (unsigned i = 0; i < HMAC_BLOCK; i++)
		pad[i] ^= with;
}

static bool hash_two(struct hsk_hash *h, uint8_t out[32], const uint8_t pad[HMAC_BLOCK],
		     const void *data, size_t len)
{
	hsk_open(h, HSK_SHA256);
	hsk_add(h, pad, HMAC_BLOCK);
	hsk_add(h, data, len);
	return hsk_close(h, out, 32);
}

bool hsk_hmac(struct hsk_hash *h, uint8_t out[32], const void *key, size_t key_len,
	      const void *data, size_t len)
{
	uint8_t pad[HMAC_BLOCK] = {0}, inner[32];
	bool ok = key_len <= sizeof(pad);

	if (!ok)
		return false;
	memcpy(pad, key, key_len);
	pad_flip(pad, 0x36);
	ok = hash_two(h, inner, pad, data, len);
	pad_flip(pad, 0x36 ^ 0x5c);
	ok &= hash_two(h, out, pad, inner, sizeof(inner));
	wipe(pad, sizeof(pad));
	wipe(inner, sizeof(inner));
	return ok;
}

bool hsk_hkdf(struct hsk_hash *h, uint8_t *out, size_t out_len, const void *salt, size_t salt_len,
	      const void *ikm, size_t ikm_len, const void *info, size_t info_len)
{
	uint8_t prk[32], block[32 + 64 + 1], k[32];
	size_t have = 0, n;
	uint8_t i = 1;
	bool ok = info_len <= 64 && hsk_hmac(h, prk, salt, salt_len, ikm, ikm_len);

	for (; ok && have < out_len; have += n, i++) {
		size_t head = i > 1 ? 32 : 0;

		memcpy(block, k, head);
		memcpy(block + head, info, info_len);
		block[head + info_len] = i;
		ok = hsk_hmac(h, k, prk, sizeof(prk), block, head + info_len + 1);
		n = MIN(out_len - have, sizeof(k));
		memcpy(out + have, k, n);
	}
	wipe(prk, sizeof(prk));
	wipe(block, sizeof(block));
	wipe(k, sizeof(k));
	return ok;
}
