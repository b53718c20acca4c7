/* ntor3.c - the ntor v3 handshake: bound to the Ed25519 identity, with a message each way
 * (proposal 332; proposal 346 for the request of capabilities). */
#include "controlplane/handshake/internal.h"

#define PROTOID	      "ntor3-curve25519-sha3_256-1"
#define PROTOID_LEN   (sizeof(PROTOID) - 1)
#define TWEAK(s)      PROTOID ":" s, sizeof(PROTOID ":" s) - 1
#define VERIFY	      "circuit extend"
#define SKIN_HEAD     (32 + 32 + 32) /* ID, B, X */
#define SKIN_MIN      (SKIN_HEAD + 32)
#define REPLY_HEAD    64
#define KEYSTREAM_MAX 512
#define MATERIAL_LEN  (HANDSHAKE_CGO_LEN + HANDSHAKE_KH_LEN)

static bool last(struct hsk_hash *h, uint8_t *out, size_t len)
{
	bool ok = hsk_close(h, out, len);

	hsk_hash_free(h);
	return ok;
}

/* The keys of the client's message, from the first exponentiation alone. */
static bool msg_keys(const struct ntor3_talk *t, const uint8_t bx[32], const uint8_t id[32],
		     const uint8_t x[32], const uint8_t b[32], uint8_t keys[64])
{
	struct hsk_hash h = {0};

	hsk_open(&h, HSK_SHAKE256);
	hsk_encap(&h, TWEAK("kdf_phase1"));
	hsk_add(&h, bx, 32);
	hsk_add(&h, id, 32);
	hsk_add(&h, x, 32);
	hsk_add(&h, b, 32);
	hsk_add(&h, PROTOID, PROTOID_LEN);
	hsk_encap(&h, t->ver, t->ver_len);
	return last(&h, keys, 64);
}

static bool msg_mac(const uint8_t key[32], const uint8_t id[32], const uint8_t b[32],
		    const uint8_t x[32], const uint8_t *sealed, size_t len, uint8_t mac[32])
{
	struct hsk_hash h = {0};

	hsk_open(&h, HSK_SHA3_256);
	hsk_encap(&h, TWEAK("msg_mac"));
	hsk_encap(&h, key, 32);
	hsk_add(&h, id, 32);
	hsk_add(&h, b, 32);
	hsk_add(&h, x, 32);
	hsk_add(&h, sealed, len);
	return last(&h, mac, 32);
}

/* What both sides hash at the end. */
struct ntor3_final {
	const uint8_t *xy, *xb, *id, *b, *x, *y, *msg_mac;
};

static bool final_hash(const struct ntor3_final *f, const struct ntor3_talk *t, const void *tweak,
		       size_t tweak_len, uint8_t out[32])
{
	struct hsk_hash h = {0};

	hsk_open(&h, HSK_SHA3_256);
	hsk_encap(&h, tweak, tweak_len);
	hsk_add(&h, f->xy, 32);
	hsk_add(&h, f->xb, 32);
	hsk_add(&h, f->id, 32);
	hsk_add(&h, f->b, 32);
	hsk_add(&h, f->x, 32);
	hsk_add(&h, f->y, 32);
	hsk_add(&h, PROTOID, PROTOID_LEN);
	hsk_encap(&h, t->ver, t->ver_len);
	return last(&h, out, 32);
}

static bool final_auth(const struct ntor3_final *f, const uint8_t verify[32], const uint8_t *sealed,
		       size_t len, uint8_t auth[32])
{
	struct hsk_hash h = {0};

	hsk_open(&h, HSK_SHA3_256);
	hsk_encap(&h, TWEAK("auth_final"));
	hsk_add(&h, verify, 32);
	hsk_add(&h, f->id, 32);
	hsk_add(&h, f->b, 32);
	hsk_add(&h, f->y, 32);
	hsk_add(&h, f->x, 32);
	hsk_add(&h, f->msg_mac, 32);
	hsk_encap(&h, sealed, len);
	hsk_add(&h, PROTOID, PROTOID_LEN);
	hsk_add(&h, "Server", 6);
	return last(&h, auth, 32);
}

/* The key of the relay's message into enc, the keystream to where t says. */
static bool final_keys(const struct ntor3_final *f, const struct ntor3_talk *t, uint8_t enc[32],
		       uint8_t verify[32])
{
	uint8_t seed[32], raw[32 + KEYSTREAM_MAX];
	struct hsk_hash h = {0};
	bool ok = t->keys_len <= KEYSTREAM_MAX;

	ok &= final_hash(f, t, TWEAK("key_seed"), seed);
	ok &= final_hash(f, t, TWEAK("verify"), verify);
	hsk_open(&h, HSK_SHAKE256);
	hsk_encap(&h, TWEAK("kdf_final"));
	hsk_add(&h, seed, sizeof(seed));
	ok &= last(&h, raw, ok ? 32 + t->keys_len : 32);
	if (ok) {
		memcpy(enc, raw, 32);
		memcpy(t->keys, raw + 32, t->keys_len);
	}
	wipe(seed, sizeof(seed));
	wipe(raw, sizeof(raw));
	return ok;
}

int ntor3_open(const struct hsk_talk *t, const struct ntor3_talk *how, uint8_t *msg,
	       size_t *msg_len)
{
	size_t sealed_len = t->skin_len - SKIN_MIN;
	const uint8_t *id = t->keys->ed_id, *b = t->onion.public, *sealed = t->skin + SKIN_HEAD;
	uint8_t mk[64], mac[32];
	bool ok;

	/* As in ntor: no early end, whatever is wrong. */
	ok = same_bytes(t->skin, id, 32);
	ok &= t->known;
	ok &= hsk_shared(t);
	ok &= msg_keys(how, t->xb, id, t->x, b, mk);
	ok &= msg_mac(mk + 32, id, b, t->x, sealed, sealed_len, mac);
	ok &= same_bytes(mac, sealed + sealed_len, 32);
	ok &= hsk_ctr(msg, sealed, sealed_len, mk);
	*msg_len = sealed_len;
	wipe(mk, sizeof(mk));
	if (!ok)
		wipe(msg, sealed_len);
	return ok ? 0 : ERR_CRYPTO;
}

int ntor3_seal(const struct hsk_talk *t, const struct ntor3_talk *how, const uint8_t *msg,
	       size_t msg_len, uint8_t *reply)
{
	uint8_t enc[32], verify[32];
	struct ntor3_final f = {.xy = t->xy,
				.xb = t->xb,
				.id = t->keys->ed_id,
				.b = t->onion.public,
				.x = t->x,
				.y = t->y,
				.msg_mac = t->skin + t->skin_len - 32};
	bool ok = hsk_shared(t);

	ok &= final_keys(&f, how, enc, verify);
	memcpy(reply, t->y, 32);
	ok &= hsk_ctr(reply + REPLY_HEAD, msg, msg_len, enc);
	ok &= final_auth(&f, verify, reply + REPLY_HEAD, msg_len, reply + 32);
	wipe(enc, sizeof(enc));
	wipe(verify, sizeof(verify));
	return ok ? 0 : ERR_CRYPTO;
}

int ntor3_ask(struct handshake_client *c, const struct ntor3_talk *t, const uint8_t *msg,
	      size_t msg_len, uint8_t *skin)
{
	struct hsk_secret eph;
	uint8_t mk[64];
	bool ok;

	hsk_secret_from(&eph, &c->eph);
	ok = hsk_dh(c->bx, &eph, c->peer.onion);
	hsk_secret_free(&eph);
	memcpy(skin, c->peer.ed_id, 32);
	memcpy(skin + 32, c->peer.onion, 32);
	memcpy(skin + 64, c->eph.public, 32);
	ok &= msg_keys(t, c->bx, c->peer.ed_id, c->eph.public, c->peer.onion, mk);
	ok &= hsk_ctr(skin + SKIN_HEAD, msg, msg_len, mk);
	ok &= msg_mac(mk + 32, c->peer.ed_id, c->peer.onion, c->eph.public, skin + SKIN_HEAD,
		      msg_len, c->msg_mac);
	memcpy(skin + SKIN_HEAD + msg_len, c->msg_mac, 32);
	wipe(mk, sizeof(mk));
	return ok ? 0 : ERR_CRYPTO;
}

int ntor3_close(const struct handshake_client *c, const struct ntor3_talk *t, const uint8_t *reply,
		size_t len, uint8_t *msg)
{
	uint8_t xy[32], enc[32], verify[32], auth[32];
	struct ntor3_final f = {.xy = xy,
				.xb = c->bx,
				.id = c->peer.ed_id,
				.b = c->peer.onion,
				.x = c->eph.public,
				.y = reply,
				.msg_mac = c->msg_mac};
	struct hsk_secret eph;
	bool ok;

	if (len < REPLY_HEAD)
		return ERR_MALFORMED;
	hsk_secret_from(&eph, &c->eph);
	ok = hsk_dh(xy, &eph, reply);
	hsk_secret_free(&eph);
	ok &= final_keys(&f, t, enc, verify);
	ok &= final_auth(&f, verify, reply + REPLY_HEAD, len - REPLY_HEAD, auth);
	ok &= same_bytes(auth, reply + 32, 32);
	ok &= hsk_ctr(msg, reply + REPLY_HEAD, len - REPLY_HEAD, enc);
	wipe(xy, sizeof(xy));
	wipe(enc, sizeof(enc));
	wipe(verify, sizeof(verify));
	return ok ? 0 : ERR_CRYPTO;
}

int ntor3_start(struct hsk_talk *t)
{
	if (t->skin_len < SKIN_MIN || t->skin_len > HANDSHAKE_SKIN_MAX)
		return ERR_MALFORMED;
	t->x = t->skin + 64;
	hsk_pick(t, t->skin + 32);
	return 0;
}

/* How much of the key stream is keys depends on what was agreed. */
static void keys_take(struct handshake_done *d, const uint8_t material[MATERIAL_LEN])
{
	size_t len = handshake_keys_len(d->scheme);

	memcpy(d->keys, material, len);
	memcpy(d->kh, material + len, HANDSHAKE_KH_LEN);
}

int ntor3_reply(const struct hsk_talk *t, struct handshake_done *done)
{
	uint8_t msg[HANDSHAKE_SKIN_MAX], ours[HANDSHAKE_EXT_REPLY_MAX];
	uint8_t material[MATERIAL_LEN];
	struct ntor3_talk how = {VERIFY, sizeof(VERIFY) - 1, material, sizeof(material)};
	struct handshake_done d = {0};
	size_t msg_len, our_len;
	int error = ntor3_open(t, &how, msg, &msg_len);

	if (error)
		return error;
	error = handshake_extensions(&t->keys->terms, msg, msg_len, ours, &our_len, &d);
	if (!error)
		error = ntor3_seal(t, &how, ours, our_len, d.reply);
	if (!error) {
		d.reply_len = (uint16_t)(REPLY_HEAD + our_len);
		keys_take(&d, material);
		*done = d;
	}
	wipe(&d, sizeof(d));
	wipe(material, sizeof(material));
	return error;
}

int ntor3_begin(struct handshake_client *c, uint8_t *skin, size_t *skin_len)
{
	struct ntor3_talk t = {VERIFY, sizeof(VERIFY) - 1, NULL, 0};
	uint8_t msg[EXT_ASK_MAX];
	size_t len = ext_ask(&c->peer, msg);

	*skin_len = SKIN_MIN + len;
	return ntor3_ask(c, &t, msg, len, skin);
}

int ntor3_finish(struct handshake_client *c, const uint8_t *reply, size_t len,
		 struct handshake_done *done)
{
	uint8_t msg[HANDSHAKE_REPLY_MAX], material[MATERIAL_LEN];
	struct ntor3_talk t = {VERIFY, sizeof(VERIFY) - 1, material, sizeof(material)};
	int error = len > HANDSHAKE_REPLY_MAX ? ERR_MALFORMED : ntor3_close(c, &t, reply, len, msg);
	struct handshake_done d = {0};

	if (!error)
		error = ext_answered(&c->peer, msg, len - REPLY_HEAD, &d);
	if (!error) {
		keys_take(&d, material);
		*done = d;
	}
	wipe(&d, sizeof(d));
	wipe(material, sizeof(material));
	return error;
}
