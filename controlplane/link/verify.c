/* verify.c - does a CERTS cell show who the peer is? (tor-spec section 4.2, cert-spec.) With a type
 * 4 certificate the whole Ed25519 chain must hold; without one the RSA chain alone still counts. */
#include <openssl/rsa.h>
#include <openssl/sha.h>

#include "controlplane/link/internal.h"

#define PAST_SLOP_S   (2 * 86400)
#define FUTURE_SLOP_S (30 * 86400)

/* An X.509 certificate that is exactly its DER; NULL otherwise. */
static X509 *x509_read(const struct bytes *b)
{
	const uint8_t *p = b->p;
	X509 *x = b->p ? d2i_X509(NULL, &p, (long)b->len) : NULL;
	uint8_t *again = NULL;
	int len;

	if (!x)
		return NULL;
	len = i2d_X509(x, &again);
	if (p != b->p + b->len || len != (int)b->len || memcmp(again, b->p, b->len)) {
		X509_free(x);
		x = NULL;
	}
	OPENSSL_free(again);
	return x;
}

static bool lives(const X509 *x, int64_t wall_s)
{
	time_t soon = (time_t)(wall_s + FUTURE_SLOP_S), late = (time_t)(wall_s - PAST_SLOP_S);
	int begins = X509_cmp_time(X509_get0_notBefore(x), &soon);
	int ends = X509_cmp_time(X509_get0_notAfter(x), &late);

	return begins < 0 && ends > 0;
}

/* Signed by issuer's key, alive, with an RSA-1024 key when told so. */
static bool x509_good(X509 *x, X509 *issuer, int64_t wall_s, bool rsa_1024)
{
	EVP_PKEY *by = issuer ? X509_get0_pubkey(issuer) : NULL,
		 *key = x ? X509_get0_pubkey(x) : NULL;
	int min = key && EVP_PKEY_get_base_id(key) == EVP_PKEY_EC ? 128 : 1024;

	if (!by || !key || X509_verify(x, by) != 1 || !lives(x, wall_s))
		return false;
	if (rsa_1024)
		return EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA && EVP_PKEY_get_bits(key) == 1024;
	return EVP_PKEY_get_bits(key) >= min;
}

/* The identity certificate, and who it names. */
static int id_read(struct shown *out, X509 *id, int64_t wall_s)
{
	uint8_t der[512];
	size_t len;

	if (!x509_good(id, id, wall_s, true))
		return ERR_CRYPTO;
	len = rsa_public_der(X509_get0_pubkey(id), der, sizeof(der));
	if (!len)
		return ERR_CRYPTO;
	SHA1(der, len, out->rsa_id);
	SHA256(der, len, out->rsa_digest);
	return 0;
}

static bool cross_good(const struct bytes *b, EVP_PKEY *rsa, const uint8_t ed_id[32],
		       int64_t wall_s)
{
	static const char prefix[] = RSA_ED_CROSS_PREFIX;
	uint8_t word[sizeof(prefix) - 1 + 36], digest[32];
	struct rsa_ed_cross c;

	if (!b->p || rsa_ed_cross_parse(&c, b->p, b->len) < 0 || memcmp(c.ed_id, ed_id, 32) ||
	    (int64_t)c.expires_h * 3600 < wall_s)
		return false;
	memcpy(word, prefix, sizeof(prefix) - 1);
	memcpy(word + sizeof(prefix) - 1, c.signed_part.p, 36);
	SHA256(word, sizeof(word), digest);
	return rsa_check(rsa, digest, sizeof(digest), c.sig.p, c.sig.len);
}

/* Ed25519 certificates of the cell that parse; the others count as absent. */
static bool ed_read(struct ed_cert *c, const struct bytes *b)
{
	return b->p && ed_cert_parse(c, b->p, b->len) == 0;
}

static int chain_ed(struct shown *out, const struct certs_body *b, const struct ed_cert *signing,
		    struct shake *s, bool initiator, X509 *id, int64_t wall_s)
{
	const struct bytes *own = &b->cert[initiator ? CERTS_ED_LINK : CERTS_ED_AUTH];
	struct ed_cert leaf;
	uint8_t digest[32];

	if (!signing->has_signer || !ed_read(&leaf, own) || signing->type != CERTS_ED_SIGNING ||
	    signing->key_type != CERT_KEY_ED25519)
		return ERR_CRYPTO;
	if (leaf.type != (initiator ? CERTS_ED_LINK : CERTS_ED_AUTH) ||
	    leaf.key_type != (initiator ? CERT_KEY_SHA256_X509 : CERT_KEY_ED25519))
		return ERR_CRYPTO;
	if (initiator && (shake_peer_digest(s, digest) < 0 || memcmp(digest, leaf.key, 32)))
		return ERR_CRYPTO;
	if (!ed_cert_check(signing, NULL, wall_s) || !ed_cert_check(&leaf, signing->key, wall_s))
		return ERR_CRYPTO;
	if (id_read(out, id, wall_s) < 0 ||
	    !cross_good(&b->cert[CERTS_RSA_ED_CROSS], X509_get0_pubkey(id), signing->signer,
			wall_s))
		return ERR_CRYPTO;
	out->has_ed = true;
	memcpy(out->ed_id, signing->signer, 32);
	if (!initiator)
		memcpy(out->auth_key, leaf.key, 32);
	return 0;
}

static int chain_rsa(struct shown *out, X509 *leaf, X509 *id, struct shake *s, bool initiator,
		     int64_t wall_s)
{
	X509 *tls = initiator ? SSL_get0_peer_certificate(s->ssl) : NULL;

	if (!leaf || !id || id_read(out, id, wall_s) < 0 ||
	    !x509_good(leaf, id, wall_s, !initiator))
		return ERR_CRYPTO;
	if (initiator && (!tls || EVP_PKEY_eq(X509_get0_pubkey(tls), X509_get0_pubkey(leaf)) != 1))
		return ERR_CRYPTO;
	return 0;
}

/* A type that came twice closes the link if at least two of them decode; we do not tell these cases
 * apart and refuse every repeated type. */
int verify_certs(struct shown *out, const uint8_t *p, size_t len, struct shake *s, bool initiator,
		 int64_t wall_s)
{
	struct shown shown = {0};
	struct certs_body b;
	struct ed_cert signing;
	X509 *id, *leaf;
	int err;

	if (certs_parse(&b, p, len) < 0 || b.dup)
		return ERR_MALFORMED;
	id = x509_read(&b.cert[CERTS_ID_X509]);
	leaf = x509_read(&b.cert[initiator ? CERTS_LINK_X509 : CERTS_AUTH_X509]);
	if (ed_read(&signing, &b.cert[CERTS_ED_SIGNING]))
		err = chain_ed(&shown, &b, &signing, s, initiator, id, wall_s);
	else
		err = chain_rsa(&shown, leaf, id, s, initiator, wall_s);
	X509_free(id);
	X509_free(leaf);
	ERR_clear_error();
	if (err)
		return err;
	shown.certs = true;
	*out = shown;
	return 0;
}
