/* brief.c - the TLS 1.3 handshake as responder with TLS_AES_128_GCM_SHA256 and P-256, which is what
 * nearly all peers ask for, without OpenSSL's state machine: its curve, its RSA and its SHA-256 are
 * used directly (RFC 8446). A peer sees the same records as from OpenSSL. Where hello.c does not
 * recognise a ClientHello, nothing has been said yet, and OpenSSL takes it from the start. */
#define OPENSSL_SUPPRESS_DEPRECATED /* SHA256_CTX, RSA */
#include <openssl/ec.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <stdlib.h>

#include "controlplane/link/internal.h"
#include "dataplane/cipher/cipher.h"

#define HASH	    SHA256_DIGEST_LENGTH
#define FINISHED    (4 + HASH)
#define SIG	    256 /* RSA-2048 */
#define FLIGHT_MAX  4096
#define RECORD_MAX  (5 + 16384 + 256)
#define CHANGES_MAX 32 /* ChangeCipherSpec records, which mean nothing; OpenSSL takes as many */
#define AES_KEY	    16

enum { RECORD_CHANGE = 20, RECORD_ALERT = 21, RECORD_HANDSHAKE = 22, RECORD_DATA = 23 };
enum {
	MSG_SERVER_HELLO = 2,
	MSG_EXTENSIONS = 8,
	MSG_CERTIFICATE = 11,
	MSG_VERIFY = 15,
	MSG_FINISHED = 20
};
enum {
	ALERT_UNEXPECTED_MESSAGE = 10,
	ALERT_BAD_RECORD_MAC = 20,
	ALERT_RECORD_OVERFLOW = 22,
	ALERT_ILLEGAL_PARAMETER = 47,
	ALERT_DECRYPT_ERROR = 51,
};

struct brief {
	const struct tls_context *context;
	SHA256_CTX said;	  /* every handshake message so far */
	uint8_t master[HASH];	  /* until the secrets of the traffic are made of it */
	uint8_t client[HASH];	  /* secret of what the client sends until its Finished */
	uint8_t traffic[2][HASH]; /* of what follows: client's, ours */
	uint8_t exporter[HASH];
	uint8_t want[HASH];    /* in the client's Finished */
	uint8_t got[FINISHED]; /* of its bytes, which may come in several records */
	unsigned n_got, n_changes;
	uint64_t seq;
	size_t out_len, out_at;
	uint8_t out[FLIGHT_MAX];
};

/* What seals or opens one direction. */
struct half {
	struct aead_key key;
	uint8_t iv[AEAD_NONCE];
	uint64_t seq;
};

/* ---- the key schedule (RFC 8446 section 7.1) ---- */

static void digest_now(const SHA256_CTX *running, uint8_t digest[HASH])
{
	SHA256_CTX c = *running;

	SHA256_Final(digest, &c);
}

/* HKDF-Expand-Label with a hash as its context; a label has at most 48 characters. */
static void derive(const struct cipher *c, const uint8_t secret[HASH], const char *label,
		   const uint8_t context[HASH], uint8_t out[HASH])
{
	uint8_t info[2 + 1 + 6 + 48 + 1 + HASH + 1];
	struct writer w = writer_of(info, sizeof(info));

	wr_u16(&w, HASH);
	wr_u8(&w, (uint8_t)(6 + strlen(label)));
	wr_bytes(&w, "tls13 ", 6);
	wr_bytes(&w, label, strlen(label));
	wr_u8(&w, HASH);
	wr_bytes(&w, context, HASH);
	wr_u8(&w, 1);
	hmac(c, HASH_SHA256, secret, HASH, info, wr_len(&w), out);
}

static void empty_hash(uint8_t digest[HASH])
{
	SHA256(NULL, 0, digest);
}

static void finished_of(const struct cipher *c, const uint8_t secret[HASH],
			const SHA256_CTX *running, uint8_t mac[HASH])
{
	uint8_t key[HASH], digest[HASH];

	digest_now(running, digest);
	hkdf_expand_label(c, HASH_SHA256, secret, "finished", key, HASH);
	hmac(c, HASH_SHA256, key, HASH, digest, HASH, mac);
	wipe(key, sizeof(key));
}

static void half_begin(const struct cipher *c, struct half *h, const uint8_t secret[HASH])
{
	uint8_t key[AES_KEY];

	hkdf_expand_label(c, HASH_SHA256, secret, "key", key, sizeof(key));
	hkdf_expand_label(c, HASH_SHA256, secret, "iv", h->iv, sizeof(h->iv));
	aead_key_init(c, &h->key, AEAD_AES128_GCM, key);
	h->seq = 0;
	wipe(key, sizeof(key));
}

static void nonce_of(const struct half *h, uint8_t nonce[AEAD_NONCE])
{
	memcpy(nonce, h->iv, AEAD_NONCE);
	be64_put(nonce + 4, be64_get(nonce + 4) ^ h->seq);
}

/* Both sides' secrets of the handshake; master waits for our Finished. */
static void secrets_begin(struct brief *b, const uint8_t shared[HASH], uint8_t server[HASH])
{
	const struct cipher *c = b->context->cipher;
	uint8_t secret[HASH], digest[HASH], zero[HASH] = {0};

	hmac(c, HASH_SHA256, b->context->early, HASH, shared, HASH, secret);
	digest_now(&b->said, digest);
	derive(c, secret, "c hs traffic", digest, b->client);
	derive(c, secret, "s hs traffic", digest, server);
	empty_hash(digest);
	derive(c, secret, "derived", digest, secret);
	hmac(c, HASH_SHA256, secret, HASH, zero, HASH, b->master);
	wipe(secret, sizeof(secret));
}

/* After our Finished: what the traffic will use, and what the client's Finished must say. */
static void secrets_end(struct brief *b)
{
	const struct cipher *c = b->context->cipher;
	uint8_t digest[HASH];

	digest_now(&b->said, digest);
	derive(c, b->master, "c ap traffic", digest, b->traffic[0]);
	derive(c, b->master, "s ap traffic", digest, b->traffic[1]);
	derive(c, b->master, "exp master", digest, b->exporter);
	finished_of(c, b->client, &b->said, b->want);
	wipe(b->master, sizeof(b->master));
}

/* ---- curve and signature ---- */

/* Our point for a secret of this handshake alone, and the x of it times the peer's point. False
 * also for a point that is not of the curve. */
static bool agree(const struct tls_context *t, const uint8_t peer[HELLO_POINT],
		  uint8_t ours[HELLO_POINT], uint8_t shared[HASH])
{
	const EC_GROUP *g = t->curve;
	BN_CTX *c = BN_CTX_new();
	EC_POINT *p = EC_POINT_new(g), *q = EC_POINT_new(g);
	BIGNUM *k = BN_secure_new(), *x = BN_secure_new();
	bool ok = c && p && q && k && x && EC_POINT_oct2point(g, p, peer, HELLO_POINT, c) == 1;

	do
		ok = ok && BN_priv_rand_range(k, EC_GROUP_get0_order(g)) == 1;
	while (ok && BN_is_zero(k));
	if (ok)
		BN_set_flags(k, BN_FLG_CONSTTIME);
	ok = ok && EC_POINT_mul(g, q, k, NULL, NULL, c) == 1 &&
	     EC_POINT_point2oct(g, q, POINT_CONVERSION_UNCOMPRESSED, ours, HELLO_POINT, c) ==
		     HELLO_POINT &&
	     EC_POINT_mul(g, q, NULL, p, k, c) == 1 && !EC_POINT_is_at_infinity(g, q) &&
	     EC_POINT_get_affine_coordinates(g, q, x, NULL, c) == 1 &&
	     BN_bn2binpad(x, shared, HASH) == HASH;
	EC_POINT_free(p);
	EC_POINT_clear_free(q);
	BN_clear_free(k);
	BN_clear_free(x);
	BN_CTX_free(c);
	return ok;
}

/* EMSA-PSS with SHA-256 and a salt of 32 bytes, for a modulus of 2048 bits (RFC 8017 9.1.1). */
static bool pss_encode(const uint8_t digest[HASH], uint8_t em[SIG])
{
	uint8_t *h = em + SIG - 1 - HASH, *salt = h - HASH, mask[HASH], m[8 + 2 * HASH] = {0};
	uint8_t seed[HASH + 4] = {0};

	memset(em, 0, SIG);
	if (RAND_bytes(salt, HASH) != 1)
		return false;
	memcpy(m + 8, digest, HASH);
	memcpy(m + 8 + HASH, salt, HASH);
	SHA256(m, sizeof(m), h);
	salt[-1] = 1;
	memcpy(seed, h, HASH);
	for (unsigned at = 0; at < SIG - 1 - HASH; at += HASH, seed[HASH + 3]++) {
		SHA256(seed, sizeof(seed), mask);
		for (unsigned i = 0; i < HASH && at + i < SIG - 1 - HASH; i++)
			em[at + i] ^= mask[i];
	}
	em[0] &= 0x7f;
	em[SIG - 1] = 0xbc;
	return true;
}

/* CertificateVerify over all that was said (RFC 8446 section 4.4.3). */
static bool sign(struct brief *b, uint8_t sig[SIG])
{
	static const char what[] = "TLS 1.3, server CertificateVerify"; /* its zero is signed too */
	RSA *rsa = (RSA *)EVP_PKEY_get0_RSA(b->context->certs->tls_key);
	uint8_t text[64 + sizeof(what) + HASH], digest[HASH], em[SIG];

	memset(text, ' ', 64);
	memcpy(text + 64, what, sizeof(what));
	digest_now(&b->said, text + 64 + sizeof(what));
	SHA256(text, sizeof(text), digest);
	return rsa && pss_encode(digest, em) &&
	       RSA_private_encrypt(SIG, em, sig, rsa, RSA_NO_PADDING) == SIG;
}

/* ---- what we say ---- */

static uint8_t *record_begin(struct writer *w, uint8_t type)
{
	wr_u8(w, type);
	wr_u16(w, 0x0303);
	wr_u16(w, 0);
	return w->p;
}

static void record_end(struct writer *w, uint8_t *start)
{
	if (!w->bad)
		be16_put(start - 2, (uint16_t)(w->p - start));
}

/* What stands from start on becomes a protected record of that type. */
static void record_seal(const struct cipher *c, struct half *h, struct writer *w, uint8_t *start,
			uint8_t type)
{
	uint8_t nonce[AEAD_NONCE];
	size_t len;

	wr_u8(w, type);
	wr_space(w, AEAD_TAG);
	record_end(w, start);
	if (w->bad)
		return;
	len = (size_t)(w->p - start) - AEAD_TAG;
	nonce_of(h, nonce);
	aead_seal(c, &h->key, nonce, start - 5, 5, start, len);
	h->seq++;
}

/* One message in a record of its own, as OpenSSL sends them. */
static void say(struct brief *b, struct half *h, struct writer *w, uint8_t type, const void *body,
		size_t len)
{
	uint8_t *start = record_begin(w, RECORD_DATA);

	wr_u32(w, (uint32_t)type << 24 | (uint32_t)len);
	wr_bytes(w, body, len);
	if (!w->bad)
		SHA256_Update(&b->said, start, 4 + len);
	record_seal(b->context->cipher, h, w, start, RECORD_HANDSHAKE);
}

static bool say_hello(struct brief *b, const struct hello *h, const uint8_t point[HELLO_POINT],
		      struct writer *w)
{
	static const uint8_t versions[] = {0, 43, 0, 2, 3, 4};
	static const uint8_t share[] = {0, 51, 0, 4 + HELLO_POINT, 0, 23, 0, HELLO_POINT};
	static const uint8_t change[] = {RECORD_CHANGE, 3, 3, 0, 1, 1};
	uint8_t *start = record_begin(w, RECORD_HANDSHAKE), *random;

	wr_u32(w, MSG_SERVER_HELLO << 24 | (2 + 32 + 1 + 32 + 2 + 1 + 2 + sizeof(versions) +
					    sizeof(share) + HELLO_POINT));
	wr_u16(w, 0x0303);
	random = wr_space(w, 32);
	wr_u8(w, 32);
	wr_bytes(w, h->session, 32);
	wr_u16(w, BRIEF_SUITE);
	wr_u8(w, 0); /* compression: none */
	wr_u16(w, sizeof(versions) + sizeof(share) + HELLO_POINT);
	wr_bytes(w, versions, sizeof(versions));
	wr_bytes(w, share, sizeof(share));
	wr_bytes(w, point, HELLO_POINT);
	record_end(w, start);
	if (w->bad || RAND_bytes(random, 32) != 1)
		return false;
	SHA256_Update(&b->said, start, (size_t)(w->p - start));
	wr_bytes(w, change, sizeof(change));
	return true;
}

/* EncryptedExtensions (none) to Finished. */
static bool say_rest(struct brief *b, struct half *h, const uint8_t server[HASH], struct writer *w)
{
	const struct tls_context *t = b->context;
	uint8_t verify[4 + SIG] = {0x08, 0x04, SIG >> 8, SIG & 255}, mac[HASH];

	half_begin(t->cipher, h, server);
	say(b, h, w, MSG_EXTENSIONS, "\0", 2);
	say(b, h, w, MSG_CERTIFICATE, t->certificate, t->certificate_len);
	if (w->bad || !sign(b, verify + 4))
		return false;
	say(b, h, w, MSG_VERIFY, verify, sizeof(verify));
	finished_of(t->cipher, server, &b->said, mac);
	say(b, h, w, MSG_FINISHED, mac, sizeof(mac));
	return !w->bad;
}

static bool answer(struct brief *b, const struct hello *h)
{
	struct writer w = writer_of(b->out, sizeof(b->out));
	uint8_t point[HELLO_POINT], shared[HASH], server[HASH];
	struct half half;
	bool ok;

	SHA256_Init(&b->said);
	SHA256_Update(&b->said, h->message, h->len);
	ok = agree(b->context, h->share, point, shared) && say_hello(b, h, point, &w);
	if (ok) {
		secrets_begin(b, shared, server);
		ok = say_rest(b, &half, server, &w);
		wipe(&half, sizeof(half));
	}
	if (ok)
		secrets_end(b);
	b->out_len = wr_len(&w);
	wipe(shared, sizeof(shared));
	wipe(server, sizeof(server));
	return ok;
}

struct brief *brief_begin(const struct tls_context *t, const uint8_t *record, size_t len)
{
	struct hello h;
	struct brief *b;

	if (!t->brief || !hello_read(&h, record, len) || !(b = calloc(1, sizeof(*b))))
		return NULL;
	b->context = t;
	if (answer(b, &h))
		return b;
	ERR_clear_error();
	brief_free(b);
	return NULL;
}

/* ---- what the client says then ---- */

/* It is over, and the peer is told why. */
static int refuse(struct brief *b, uint8_t why)
{
	struct writer w = writer_of(b->out, sizeof(b->out));
	struct half h;
	uint8_t *start;

	half_begin(b->context->cipher, &h, b->traffic[1]);
	start = record_begin(&w, RECORD_DATA);
	wr_u8(&w, 2); /* fatal */
	wr_u8(&w, why);
	record_seal(b->context->cipher, &h, &w, start, RECORD_ALERT);
	wipe(&h, sizeof(h));
	b->out_len = wr_len(&w);
	b->out_at = 0;
	return ERR_MALFORMED;
}

/* Handshake bytes: of a Finished and of nothing else. */
static int take(struct brief *b, const uint8_t *p, size_t len)
{
	static const uint8_t head[4] = {MSG_FINISHED, 0, 0, HASH};

	if (!len || len > sizeof(b->got) - b->n_got)
		return refuse(b, ALERT_UNEXPECTED_MESSAGE);
	memcpy(b->got + b->n_got, p, len);
	b->n_got += (unsigned)len;
	if (memcmp(b->got, head, MIN(b->n_got, (unsigned)sizeof(head))))
		return refuse(b, ALERT_UNEXPECTED_MESSAGE);
	if (b->n_got < sizeof(b->got))
		return 0;
	if (!same_bytes(b->got + sizeof(head), b->want, HASH))
		return refuse(b, ALERT_DECRYPT_ERROR);
	return 1;
}

static int open_record(struct brief *b, uint8_t *record, size_t len)
{
	const struct cipher *c = b->context->cipher;
	uint8_t nonce[AEAD_NONCE];
	struct half h;
	int err;

	half_begin(c, &h, b->client);
	h.seq = b->seq++;
	nonce_of(&h, nonce);
	err = aead_open(c, &h.key, nonce, record, 5, record + 5, len - 5 - AEAD_TAG);
	wipe(&h, sizeof(h));
	return err;
}

static int step_data(struct brief *b, const uint8_t *record, size_t len)
{
	uint8_t copy[RECORD_MAX];

	if (len > sizeof(copy))
		return refuse(b, ALERT_RECORD_OVERFLOW);
	memcpy(copy, record, len);
	if (len < 5 + 1 + AEAD_TAG || open_record(b, copy, len) < 0)
		return refuse(b, ALERT_BAD_RECORD_MAC);
	len -= AEAD_TAG;
	while (len > 5 && !copy[len - 1]) /* padding */
		len--;
	if (len > 5 && copy[len - 1] == RECORD_ALERT)
		return ERR_MALFORMED;
	if (len == 5 || copy[len - 1] != RECORD_HANDSHAKE)
		return refuse(b, ALERT_UNEXPECTED_MESSAGE);
	return take(b, copy + 5, len - 6);
}

static int step_change(struct brief *b, const uint8_t *record, size_t len)
{
	if (len != 6 || record[5] != 1)
		return refuse(b, ALERT_ILLEGAL_PARAMETER);
	return ++b->n_changes > CHANGES_MAX ? refuse(b, ALERT_UNEXPECTED_MESSAGE) : 0;
}

int brief_step(struct brief *b, const uint8_t *record, size_t len)
{
	switch (record[0]) {
	case RECORD_DATA:
		return step_data(b, record, len);
	case RECORD_CHANGE:
		return step_change(b, record, len);
	case RECORD_ALERT: /* the client could not protect it yet; it gets no answer */
		return ERR_MALFORMED;
	}
	return refuse(b, ALERT_UNEXPECTED_MESSAGE);
}

size_t brief_take(struct brief *b, uint8_t *to, size_t cap)
{
	size_t n = MIN(cap, b->out_len - b->out_at);

	memcpy(to, b->out + b->out_at, n);
	b->out_at += n;
	return n;
}

void brief_secrets(const struct brief *b, uint8_t client[48], uint8_t server[48])
{
	memcpy(client, b->traffic[0], HASH);
	memcpy(server, b->traffic[1], HASH);
}

/* RFC 8446 section 7.5. */
void brief_export(const struct brief *b, const char *label, const uint8_t *context, size_t len,
		  uint8_t out[32])
{
	uint8_t secret[HASH], digest[HASH];

	empty_hash(digest);
	derive(b->context->cipher, b->exporter, label, digest, secret);
	SHA256(context, len, digest);
	derive(b->context->cipher, secret, "exporter", digest, out);
	wipe(secret, sizeof(secret));
}

void brief_free(struct brief *b)
{
	if (!b)
		return;
	wipe(b, sizeof(*b));
	free(b);
}

/* ---- what all links of a context share ---- */

static bool certificate_make(struct tls_context *t)
{
	uint8_t *der = NULL;
	int len = i2d_X509(t->certs->tls_cert, &der);
	struct writer w;

	t->certificate = len > 0 ? malloc((size_t)len + 9) : NULL;
	t->certificate_len = (size_t)len + 9;
	w = writer_of(t->certificate, t->certificate ? t->certificate_len : 0);
	wr_u32(&w, (uint32_t)len + 5); /* no context; the list */
	wr_u8(&w, 0);
	wr_u16(&w, (uint16_t)len);
	wr_bytes(&w, der, len > 0 ? (size_t)len : 0);
	wr_u16(&w, 0); /* no extensions */
	OPENSSL_free(der);
	return !w.bad;
}

void brief_context(struct tls_context *t, const struct cipher *cipher)
{
	uint8_t zero[HASH] = {0}, secret[HASH], digest[HASH];

	t->cipher = cipher;
	t->curve = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
	hmac(cipher, HASH_SHA256, zero, HASH, zero, HASH, secret);
	empty_hash(digest);
	derive(cipher, secret, "derived", digest, t->early);
	t->brief = t->curve && EVP_PKEY_get_size(t->certs->tls_key) == SIG && certificate_make(t);
}

void brief_context_free(struct tls_context *t)
{
	EC_GROUP_free(t->curve);
	free(t->certificate);
}
