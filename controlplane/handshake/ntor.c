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

static bool ntor_auth(struct hsk_hash *h, const struct ntor_both *k, const uint8_t *secret,
		      uint8_t auth[32])
{
	uint8_t verify[32], in[AUTH_LEN];
	struct writer w = writer_of(in, sizeof(in));
	bool ok = hsk_hmac(h, verify, TWEAK(":verify"), secret, SECRET_LEN);

	wr_bytes(&w, verify, 32);
	wr_bytes(&w, k->id, 20);
	wr_bytes(&w, k->b, 32);
	wr_bytes(&w, k->y, 32);
	wr_bytes(&w, k->x, 32);
	wr_bytes(&w, PROTOID, PROTOID_LEN);
	wr_bytes(&w, "Server", 6);
	ok &= hsk_hmac(h, auth, TWEAK(":mac"), in, sizeof(in));
	wipe(verify, sizeof(verify));
	wipe(in, sizeof(in));
	return ok;
}

static bool ntor_derive(const struct ntor_both *k, uint8_t auth[32], struct handshake_done *done)
{
	uint8_t secret[SECRET_LEN], material[MATERIAL_LEN];
	struct writer w = writer_of(secret, sizeof(secret));
	struct hsk_hash h = {0};
	bool ok;

	wr_bytes(&w, k->xy, 32);
	wr_bytes(&w, k->xb, 32);
	wr_bytes(&w, k->id, 20);
	wr_bytes(&w, k->b, 32);
	wr_bytes(&w, k->x, 32);
	wr_bytes(&w, k->y, 32);
	wr_bytes(&w, PROTOID, PROTOID_LEN);
	ok = ntor_auth(&h, k, secret, auth);
	ok &= hsk_hkdf(&h, material, sizeof(material), TWEAK(":key_extract"), secret,
		       sizeof(secret), TWEAK(":key_expand"));
	memcpy(done->keys, material, HANDSHAKE_KEYS_LEN);
	memcpy(done->kh, material + HANDSHAKE_KEYS_LEN, HANDSHAKE_KH_LEN);
	hsk_hash_free(&h);
	wipe(secret, sizeof(secret));
	wipe(material, sizeof(material));
	return ok;
}

int ntor_start(struct hsk_talk *t)
{
	if (t->skin_len != HANDSHAKE_NTOR_LEN)
		return ERR_MALFORMED;
	t->x = t->skin + 52;
	hsk_pick(t, t->skin + 20);
	return 0;
}

int ntor_reply(const struct hsk_talk *t, struct handshake_done *done)
{
	struct handshake_done d = {.reply_len = REPLY_LEN};
	struct ntor_both k = {.id = t->keys->rsa_id, .b = t->onion.public, .x = t->x, .y = t->y};
	bool ok = same_bytes(t->skin, t->keys->rsa_id, 20);

	/* Every step is taken whatever failed before, so that time does not tell what did. A key
	 * that we do not have is answered with the junk key: only the client finds out (interop
	 * H12). */
	ok &= hsk_shared(t);
	memcpy(k.xy, t->xy, 32);
	memcpy(k.xb, t->xb, 32);
	memcpy(d.reply, t->y, 32);
	ok &= ntor_derive(&k, d.reply + 32, &d);
	if (ok)
		*done = d;
	wipe(&d, sizeof(d));
	wipe(&k, sizeof(k));
	return ok ? 0 : ERR_CRYPTO;
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
