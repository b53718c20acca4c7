/* fast.c - CREATE_FAST: two random halves and SHA-1, for first hops that TLS already protects
 * (tor-spec sections 5.1.5 and 5.2.1). */
#include "controlplane/handshake/internal.h"

#include <openssl/rand.h>
#include <openssl/sha.h>

#define HALF HANDSHAKE_FAST_LEN

/* KDF-TOR over both halves: KH first, then the keys. */
static int fast_derive(const uint8_t x[HALF], const uint8_t y[HALF], struct handshake_done *done)
{
	uint8_t in[2 * HALF + 1], out[5 * SHA_DIGEST_LENGTH];
	struct hsk_hash h = {0};
	bool ok = true;

	_Static_assert(sizeof(out) >= HANDSHAKE_KH_LEN + HANDSHAKE_KEYS_LEN, "enough rounds");
	memcpy(in, x, HALF);
	memcpy(in + HALF, y, HALF);
	for (uint8_t i = 0; i < 5; i++) {
		in[2 * HALF] = i;
		hsk_open(&h, HSK_SHA1);
		hsk_add(&h, in, sizeof(in));
		ok &= hsk_close(&h, out + i * SHA_DIGEST_LENGTH, SHA_DIGEST_LENGTH);
	}
	hsk_hash_free(&h);
	memcpy(done->kh, out, HANDSHAKE_KH_LEN);
	memcpy(done->keys, out + HANDSHAKE_KH_LEN, HANDSHAKE_KEYS_LEN);
	wipe(in, sizeof(in));
	wipe(out, sizeof(out));
	return ok ? 0 : ERR_CRYPTO;
}

int fast_answer(const struct handshake_keys *keys, const uint8_t *skin, size_t skin_len,
		struct handshake_done *done)
{
	struct handshake_done d = {.reply_len = 2 * HALF};
	int error;

	if (skin_len != HALF)
		return ERR_MALFORMED;
	if (RAND_bytes(d.reply, HALF) != 1)
		return ERR_CRYPTO;
	error = fast_derive(skin, d.reply, &d);
	memcpy(d.reply + HALF, d.kh, HANDSHAKE_KH_LEN);
	if (!error)
		*done = d;
	wipe(&d, sizeof(d));
	return error;
}

int fast_begin(struct handshake_client *c, uint8_t *skin, size_t *skin_len)
{
	if (RAND_bytes(c->eph.public, HALF) != 1)
		return ERR_CRYPTO;
	memcpy(skin, c->eph.public, HALF);
	*skin_len = HALF;
	return 0;
}

int fast_finish(struct handshake_client *c, const uint8_t *reply, size_t len,
		struct handshake_done *done)
{
	struct handshake_done d = {0};
	int error;

	if (len < 2 * HALF)
		return ERR_MALFORMED;
	error = fast_derive(c->eph.public, reply, &d);
	if (!error && !same_bytes(d.kh, reply + HALF, HANDSHAKE_KH_LEN))
		error = ERR_CRYPTO;
	if (!error)
		*done = d;
	wipe(&d, sizeof(d));
	return error;
}
