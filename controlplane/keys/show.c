/* show.c - what links show: a fresh RSA-2048 TLS key with a certificate of the shape that C tor
 * gives it, the RSA certificates, and the Ed25519 ones over them; made anew every two hours. */
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <sys/mman.h>

#include "controlplane/keys/internal.h"
#include "dataplane/cipher/cipher.h"

#define RENEW_S	      (2 * 3600)
#define CERT_LIFE_S   (2 * DAY_S)
#define CROSS_LIFE_S  (6 * 30 * DAY_S)
#define CROSS_EARLY_S (30 * DAY_S)
#define ID_LIFE_S     (365 * DAY_S)

struct box { /* in pages of its own, locked */
	struct link_certs c;
	size_t blob_len;
	uint8_t blob[4096];
};

static int random_below(uint32_t n, uint32_t *out)
{
	uint64_t v;

	if (keys_random(&v, sizeof(v)) < 0)
		return ERR_CRYPTO;
	*out = (uint32_t)(v % n); /* off uniform by n / 2^64 */
	return 0;
}

/* "www.<8 to 20 of base32>.<tld>" */
static int host_name(char name[40], const char *tld)
{
	static const char b32[] = "abcdefghijklmnopqrstuvwxyz234567";
	char label[21];
	uint8_t raw[20];
	uint32_t n;

	if (random_below(13, &n) < 0 || keys_random(raw, sizeof(raw)) < 0)
		return ERR_CRYPTO;
	n += 8;
	for (uint32_t i = 0; i < n; i++)
		label[i] = b32[raw[i] & 31];
	snprintf(name, 40, "www.%.*s.%s", (int)n, label, tld);
	return 0;
}

/* A past midnight as start, so that at least a day of life is left. */
static int life_start(int64_t now_s, int64_t life_s, int64_t *start_s)
{
	int64_t earliest = life_s <= 2 * DAY_S ? now_s - 1 : now_s + 2 * DAY_S - life_s;
	uint32_t off;

	if (random_below((uint32_t)(now_s - earliest), &off) < 0)
		return ERR_CRYPTO;
	*start_s = earliest + off;
	*start_s -= *start_s % DAY_S;
	return 0;
}

static int name_set(X509_NAME *name, const char *host)
{
	return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)host, -1, -1,
					  0)
		       ? 0
		       : ERR_CRYPTO;
}

static int serial_set(X509 *x)
{
	BIGNUM *n = NULL;
	uint8_t raw[8];
	bool ok;

	if (keys_random(raw, sizeof(raw)) < 0)
		return ERR_CRYPTO;
	n = BN_bin2bn(raw, sizeof(raw), NULL);
	ok = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x));
	BN_free(n);
	return ok ? 0 : ERR_CRYPTO;
}

/* A certificate of key by the identity: version 3, no extension (tor-spec section 2). */
static X509 *x509_make(EVP_PKEY *key, EVP_PKEY *identity, const char *subject, const char *issuer,
		       int64_t now_s, int64_t life_s)
{
	X509 *x = X509_new();
	int64_t start_s;

	if (x && X509_set_version(x, X509_VERSION_3) && serial_set(x) == 0 &&
	    name_set(X509_get_subject_name(x), subject) == 0 &&
	    name_set(X509_get_issuer_name(x), issuer) == 0 &&
	    life_start(now_s, life_s, &start_s) == 0 &&
	    ASN1_TIME_set(X509_getm_notBefore(x), (time_t)start_s) &&
	    ASN1_TIME_set(X509_getm_notAfter(x), (time_t)(start_s + life_s)) &&
	    X509_set_pubkey(x, key) && X509_sign(x, identity, EVP_sha256()))
		return x;
	X509_free(x);
	return NULL;
}

static int put_bytes(struct box *b, unsigned type, const uint8_t *p, size_t len)
{
	if (sizeof(b->blob) - b->blob_len < len)
		return ERR_FULL;
	memcpy(b->blob + b->blob_len, p, len);
	b->c.certs[type] = (struct bytes) {b->blob + b->blob_len, len};
	b->blob_len += len;
	return 0;
}

static int put_x509(struct box *b, unsigned type, X509 *x)
{
	uint8_t *der = NULL;
	int len = x ? i2d_X509(x, &der) : -1, err;

	if (len <= 0)
		return ERR_CRYPTO;
	err = put_bytes(b, type, der, (size_t)len);
	OPENSSL_free(der);
	return err;
}

/* SSLKeyLifetime, or whole days from 5 to 365, every other time less a second. */
static int tls_life(const struct keys *k, int64_t *life_s)
{
	uint32_t days, flip;

	*life_s = k->config.tls_lifetime_s;
	if (*life_s)
		return 0;
	if (random_below(361, &days) < 0 || random_below(2, &flip) < 0)
		return ERR_CRYPTO;
	*life_s = (int64_t)(days + 5) * DAY_S - flip;
	return 0;
}

static int put_rsa_certs(struct keys *k, struct box *b, int64_t now_s)
{
	char subject[40], issuer[40];
	EVP_PKEY *auth = keys_rsa_new(1024); /* only its certificate is shown */
	X509 *id = NULL, *auth_cert = NULL;
	int64_t life_s;
	int err = ERR_CRYPTO;

	b->c.tls_key = modexp_here() ? trio_new() : NULL;
	if (!b->c.tls_key)
		b->c.tls_key = keys_rsa_new(2048);
	if (!auth || !b->c.tls_key || host_name(subject, "net") < 0 ||
	    host_name(issuer, "com") < 0 || tls_life(k, &life_s) < 0)
		goto out;
	b->c.tls_cert = x509_make(b->c.tls_key, k->rsa, subject, issuer, now_s, life_s);
	auth_cert = x509_make(auth, k->rsa, subject, issuer, now_s, life_s);
	id = x509_make(k->rsa, k->rsa, issuer, issuer, now_s, ID_LIFE_S);
	err = put_x509(b, CERTS_LINK_X509, b->c.tls_cert);
	if (!err)
		err = put_x509(b, CERTS_ID_X509, id);
	if (!err)
		err = put_x509(b, CERTS_AUTH_X509, auth_cert);
	if (!err)
		SHA256(b->c.certs[CERTS_LINK_X509].p, b->c.certs[CERTS_LINK_X509].len,
		       b->c.tls_digest);
out:
	X509_free(id);
	X509_free(auth_cert);
	EVP_PKEY_free(auth);
	return err;
}

static int cross_make(struct keys *k, int64_t now_s)
{
	int64_t expires_s = now_s + CROSS_LIFE_S;
	uint8_t word[sizeof(RSA_ED_CROSS_PREFIX) - 1 + 36], digest[32], sig[KEYS_RSA_SIG];
	struct writer w = writer_of(word, sizeof(word));
	size_t sig_len = sizeof(sig);

	wr_bytes(&w, RSA_ED_CROSS_PREFIX, sizeof(RSA_ED_CROSS_PREFIX) - 1);
	wr_bytes(&w, k->ed_id, 32);
	wr_u32(&w, (uint32_t)((expires_s + 3599) / 3600));
	SHA256(word, sizeof(word), digest);
	if (rsa_sign(k->rsa, digest, sizeof(digest), sig, &sig_len) < 0)
		return ERR_CRYPTO;
	w = writer_of(k->cross, sizeof(k->cross));
	wr_bytes(&w, word + sizeof(RSA_ED_CROSS_PREFIX) - 1, 36);
	wr_u8(&w, (uint8_t)sig_len);
	wr_bytes(&w, sig, sig_len);
	k->cross_len = wr_len(&w);
	k->cross_expires_s = expires_s;
	return 0;
}

static int put_ed_certs(struct keys *k, struct box *b, int64_t now_s)
{
	uint8_t cert[ED_CERT_MAX], seed[32];
	int n;

	if ((!k->cross_len || k->cross_expires_s < now_s + CROSS_EARLY_S) &&
	    cross_make(k, now_s) < 0)
		return ERR_CRYPTO;
	if (keys_random(seed, sizeof(seed)) < 0)
		return ERR_CRYPTO;
	ed25519_expand(seed, b->c.auth_secret);
	ed25519_public(b->c.auth_secret, b->c.auth_public);
	wipe(seed, sizeof(seed));
	n = put_bytes(b, CERTS_ED_SIGNING, k->signing_cert, k->signing_cert_len);
	if (!n)
		n = put_bytes(b, CERTS_RSA_ED_CROSS, k->cross, k->cross_len);
	if (!n)
		n = identity_certify(&k->secrets->signing, CERTS_ED_LINK, CERT_KEY_SHA256_X509,
				     b->c.tls_digest, now_s + CERT_LIFE_S, false, cert);
	if (n > 0)
		n = put_bytes(b, CERTS_ED_LINK, cert, (size_t)n);
	if (!n)
		n = identity_certify(&k->secrets->signing, CERTS_ED_AUTH, CERT_KEY_ED25519,
				     b->c.auth_public, now_s + CERT_LIFE_S, false, cert);
	return n > 0 ? put_bytes(b, CERTS_ED_AUTH, cert, (size_t)n) : n;
}

static void box_free(struct box *b)
{
	EVP_PKEY_free(b->c.tls_key);
	X509_free(b->c.tls_cert);
	wipe(b, sizeof(*b));
	munmap(b, sizeof(*b));
}

int show_renew(struct keys *k, int64_t now_s)
{
	struct box *b =
		mmap(NULL, sizeof(*b), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int err;

	if (b == MAP_FAILED)
		return ERR_FULL;
	mlock(b, sizeof(*b));
	madvise(b, sizeof(*b), MADV_DONTDUMP);
	b->c.refs = 1;
	memcpy(b->c.rsa_digest, k->rsa_digest, sizeof(b->c.rsa_digest));
	memcpy(b->c.rsa_id, k->rsa_id, sizeof(b->c.rsa_id));
	memcpy(b->c.ed_id, k->ed_id, sizeof(b->c.ed_id));
	err = put_rsa_certs(k, b, now_s);
	if (!err)
		err = put_ed_certs(k, b, now_s);
	if (err) {
		box_free(b);
		return err;
	}
	link_certs_put(k->link);
	k->link = &b->c;
	k->link_made_s = now_s;
	return 0;
}

void show_tick(struct keys *k, int64_t now_s, unsigned *changed)
{
	bool due = now_s >= k->link_made_s + RENEW_S || now_s < k->link_made_s;

	if (!due && !(*changed & KEYS_SIGNING))
		return;
	if (show_renew(k, now_s) == 0)
		*changed |= KEYS_LINK;
	else
		log_warn("Cannot make new link certificates; keeping the old ones.");
}

void show_close(struct keys *k)
{
	link_certs_put(k->link);
}

struct link_certs *keys_link_certs_get(struct keys *k)
{
	k->link->refs++;
	return k->link;
}

void link_certs_put(struct link_certs *c)
{
	if (c && --c->refs == 0)
		box_free((struct box *)c); /* c stands first in it */
}
