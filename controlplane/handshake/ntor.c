/* ntor.c - the ntor handshake, bound to the RSA identity (tor-spec section 5.1.4). */
#include "controlplane/handshake/internal.h"

#define PROTOID	     "ntor-curve25519-sha256-1"
#define PROTOID_LEN  (sizeof(PROTOID) - 1)
#define SECRET_LEN   (32 + 32 + 20 + 32 + 32 + 32 + PROTOID_LEN)
#define AUTH_LEN     (32 + 20 + 32 + 32 + 32 + PROTOID_LEN + 6)
#define REPLY_LEN    64
#define TWEAK(s)     PROTOID s, sizeof(PROTOID s) - 1
#define MATERIAL_LEN (HANDSHAKE_KEYS_LEN + HANDSHAKE_KH_LEN)

/* All that both sides know after the two exponentiations. */
struct ntor_both {
	uint8_t xy[32], xb[32];
	const uint8_t *id, *b, *x, *y;
};

static bool ntor_auth(const struct ntor_both *k, const uint8_t *secret, uint8_t auth[32])
{
	uint8_t verify[32], in[AUTH_LEN];
	struct writer w = writer_of(in, sizeof(in));
	bool ok = hsk_hmac(verify, TWEAK(":verify"), secret, SECRET_LEN);

	wr_bytes(&w, verify, 32);
	wr_bytes(&w, k->id, 20);
	wr_bytes(&w, k->b, 32);
	wr_bytes(&w, k->y, 32);
	wr_bytes(&w, k->x, 32);
	wr_bytes(&w, PROTOID, PROTOID_LEN);
	wr_bytes(&w, "Server", 6);
	ok &= hsk_hmac(auth, TWEAK(":mac"), in, sizeof(in));
	wipe(verify, sizeof(verify));
	wipe(in, sizeof(in));
	return ok;
}

static bool ntor_derive(const struct ntor_both *k, uint8_t auth[32], struct handshake_done *done)
{
	uint8_t secret[SECRET_LEN], material[MATERIAL_LEN];
	struct writer w = writer_of(secret, sizeof(secret));
	bool ok;

	wr_bytes(&w, k->xy, 32);
	wr_bytes(&w, k->xb, 32);
	wr_bytes(&w, k->id, 20);
	wr_bytes(&w, k->b, 32);
	wr_bytes(&w, k->x, 32);
	wr_bytes(&w, k->y, 32);
	wr_bytes(&w, PROTOID, PROTOID_LEN);
	ok = ntor_auth(k, secret, auth);
	ok &= hsk_hkdf(material, sizeof(material), TWEAK(":key_extract"), secret, sizeof(secret),
		       TWEAK(":key_expand"));
	memcpy(done->keys, material, HANDSHAKE_KEYS_LEN);
	memcpy(done->kh, material + HANDSHAKE_KEYS_LEN, HANDSHAKE_KH_LEN);
	wipe(secret, sizeof(secret));
	wipe(material, sizeof(material));
	return ok;
}

int ntor_answer_with(const struct handshake_keys *keys, const uint8_t *skin,
		     const struct hsk_secret *eph, struct handshake_done *done)
{
	const uint8_t *x = skin + 52;
	struct handshake_done d = {.reply_len = REPLY_LEN};
	struct hsk_secret onion;
	struct ntor_both k = {.id = keys->rsa_id, .x = x, .y = eph->public};
	bool ok = same_bytes(skin, keys->rsa_id, 20);

	/* Every step is taken whatever failed before, so that time does not tell what did. A key
	 * that we do not have is answered with the junk key: only the client finds out (interop
	 * H12). */
	hsk_pick(&onion, keys, skin + 20);
	k.b = onion.public;
	ok &= hsk_dh(k.xy, eph, x);
	ok &= hsk_dh(k.xb, &onion, x);
	memcpy(d.reply, eph->public, 32);
	ok &= ntor_derive(&k, d.reply + 32, &d);
	if (ok)
		*done = d;
	wipe(&d, sizeof(d));
	wipe(&k, sizeof(k));
	hsk_secret_free(&onion);
	return ok ? 0 : ERR_CRYPTO;
}

int ntor_answer(const struct handshake_keys *keys, const uint8_t *skin, size_t skin_len,
		struct handshake_done *done)
{
	struct hsk_secret eph;
	int error;

	if (skin_len != HANDSHAKE_NTOR_LEN)
		return ERR_MALFORMED;
	error = hsk_secret_new(&eph);
	if (!error)
		error = ntor_answer_with(keys, skin, &eph, done);
	hsk_secret_free(&eph);
	return error;
}

int ntor_begin(struct handshake_client *c, uint8_t *skin, size_t *skin_len)
{
	memcpy(skin, c->peer.rsa_id, 20);
	memcpy(skin + 20, c->peer.onion, 32);
	memcpy(skin + 52, c->eph.public, 32);
	*skin_len = HANDSHAKE_NTOR_LEN;
	return 0;
}

int ntor_finish(struct handshake_client *c, const uint8_t *reply, size_t len,
		struct handshake_done *done)
{
	struct ntor_both k = {
		.id = c->peer.rsa_id, .b = c->peer.onion, .x = c->eph.public, .y = reply};
	struct handshake_done d = {0};
	struct hsk_secret eph;
	uint8_t auth[32];
	bool ok;

	if (len < REPLY_LEN)
		return ERR_MALFORMED;
	hsk_secret_from(&eph, &c->eph);
	ok = hsk_dh(k.xy, &eph, reply);
	ok &= hsk_dh(k.xb, &eph, c->peer.onion);
	hsk_secret_free(&eph);
	ok &= ntor_derive(&k, auth, &d);
	ok &= same_bytes(auth, reply + 32, 32);
	if (ok)
		*done = d;
	wipe(&d, sizeof(d));
	wipe(&k, sizeof(k));
	return ok ? 0 : ERR_CRYPTO;
}
