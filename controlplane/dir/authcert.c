/* authcert.c - certificates of authorities: parsed, checked, kept (dir-spec section 3.1). */
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "controlplane/config/config.h"
#include "controlplane/dir/docs.h"
#include "controlplane/keys/keys.h"

#define KEY_DER_MAX   2048
#define CERT_MAX      16384
#define PER_AUTHORITY 4 /* newest ones kept */

/* What was read of one certificate, before it is believed. */
struct raw_cert {
	struct auth_cert *c;
	bool has_version, has_print, has_published, has_expires;
	EVP_PKEY *identity;
	uint8_t identity_digest[20];
	struct bytes cross, certification; /* base64 */
	const uint8_t *start, *signed_end;
};

static EVP_PKEY *key_read(const struct line *l, uint8_t digest[20])
{
	uint8_t der[KEY_DER_MAX];
	const uint8_t *p = der;
	EVP_PKEY *key;
	size_t len;

	if (!bytes_are(l->tag, "RSA PUBLIC KEY") || base64_get(l->object, der, sizeof(der), &len))
		return NULL;
	key = d2i_PublicKey(EVP_PKEY_RSA, NULL, &p, (long)len);
	if (key && (p != der + len || EVP_PKEY_bits(key) > 8192)) {
		EVP_PKEY_free(key);
		return NULL;
	}
	digest_sha1(der, len, digest);
	return key;
}

static int take_version(struct raw_cert *r, const struct line *l)
{
	r->has_version = bytes_are(l->args, "3");
	return r->has_version ? 0 : ERR_MALFORMED;
}

static int take_print(struct raw_cert *r, const struct line *l)
{
	r->has_print = true;
	return hex_get(l->args, r->c->v3ident, 20);
}

static int take_published(struct raw_cert *r, const struct line *l)
{
	r->has_published = true;
	return time_get(l->args, &r->c->published);
}

static int take_expires(struct raw_cert *r, const struct line *l)
{
	r->has_expires = true;
	return time_get(l->args, &r->c->expires);
}

static int take_identity(struct raw_cert *r, const struct line *l)
{
	if (r->identity)
		return ERR_MALFORMED;
	r->identity = key_read(l, r->identity_digest);
	return r->identity ? 0 : ERR_MALFORMED;
}

static int take_signing(struct raw_cert *r, const struct line *l)
{
	if (r->c->signing_key)
		return ERR_MALFORMED;
	r->c->signing_key = key_read(l, r->c->signing_digest);
	return r->c->signing_key ? 0 : ERR_MALFORMED;
}

static int take_cross(struct raw_cert *r, const struct line *l)
{
	r->cross = l->object;
	return l->object.len ? 0 : ERR_MALFORMED;
}

static int take_certification(struct raw_cert *r, const struct line *l)
{
	const uint8_t *nl = memchr(l->start, '\n', (size_t)(l->end - l->start));

	r->certification = l->object;
	r->signed_end = nl + 1; /* the signature covers its keyword's line */
	return l->object.len ? 0 : ERR_MALFORMED;
}

static const struct {
	const char *keyword;
	int (*take)(struct raw_cert *r, const struct line *l);
} rows[] = {
	{"dir-key-certificate-version", take_version},
	{"fingerprint", take_print},
	{"dir-key-published", take_published},
	{"dir-key-expires", take_expires},
	{"dir-identity-key", take_identity},
	{"dir-signing-key", take_signing},
	{"dir-key-crosscert", take_cross},
	{"dir-key-certification", take_certification},
};

static bool sig_holds(EVP_PKEY *key, const uint8_t digest[20], struct bytes base64)
{
	uint8_t sig[1024];
	size_t len;

	return base64_get(base64, sig, sizeof(sig), &len) == 0 &&
	       rsa_check(key, digest, 20, sig, len);
}

static int raw_check(const struct raw_cert *r)
{
	uint8_t digest[20];

	if (!r->has_version || !r->has_print || !r->has_published || !r->has_expires ||
	    !r->identity || !r->c->signing_key || !r->cross.len || !r->certification.len)
		return ERR_MALFORMED;
	if (memcmp(r->identity_digest, r->c->v3ident, 20) != 0 || r->c->expires < r->c->published)
		return ERR_CRYPTO;
	digest_sha1(r->start, (size_t)(r->signed_end - r->start), digest);
	if (!sig_holds(r->c->signing_key, r->identity_digest, r->cross) ||
	    !sig_holds(r->identity, digest, r->certification))
		return ERR_CRYPTO;
	return 0;
}

static int raw_read(struct raw_cert *r, struct bytes text)
{
	struct lines ls = lines_of(text.p, text.len);
	struct line l;
	int more;

	r->start = text.p;
	while ((more = lines_next(&ls, &l)) == 1) {
		for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
			if (bytes_are(l.keyword, rows[i].keyword) && rows[i].take(r, &l))
				return ERR_MALFORMED;
		if (r->certification.len)
			return ls.p == ls.end ? 0 : ERR_MALFORMED;
	}
	return ERR_MALFORMED;
}

#define CERT_HEAD "dir-key-certificate-version "

/* Cuts the next certificate off rest: up to the next one's head. */
static struct bytes cert_cut(struct bytes *rest)
{
	const uint8_t *at = bytes_find(*rest, CERT_HEAD), *next;
	struct bytes b = {NULL, 0};

	if (!at) {
		*rest = bytes_of(rest->p + rest->len, 0);
		return b;
	}
	b = bytes_of(at, (size_t)(rest->p + rest->len - at));
	next = bytes_find(bytes_of(at + 1, b.len - 1), "\n" CERT_HEAD);
	if (next)
		b.len = (size_t)(next + 1 - at);
	*rest = bytes_of(b.p + b.len, (size_t)(rest->p + rest->len - b.p - b.len));
	return b;
}

int auth_cert_parse(struct auth_cert *c, struct bytes *rest)
{
	struct auth_cert got = {0};
	struct raw_cert r = {.c = &got};
	struct bytes text = cert_cut(rest);
	int error = ERR_MALFORMED;

	if (!text.p)
		return 0;
	if (text.len <= CERT_MAX)
		error = raw_read(&r, text);
	if (!error)
		error = raw_check(&r);
	EVP_PKEY_free(r.identity);
	if (!error) {
		got.text = blob_new(text.p, text.len);
		error = got.text ? 0 : ERR_FULL;
	}
	if (error) {
		auth_cert_free(&got);
		return error;
	}
	*c = got;
	return 1;
}

void auth_cert_free(struct auth_cert *c)
{
	EVP_PKEY_free(c->signing_key);
	blob_put(c->text);
	memset(c, 0, sizeof(*c));
}

static void certs_remove(struct auth_certs *cs, unsigned i)
{
	auth_cert_free(&cs->v[i]);
	cs->v[i] = cs->v[--cs->n];
	memset(&cs->v[cs->n], 0, sizeof(cs->v[0]));
	cs->dirty = true;
}

static bool is_voter(const struct config *config, const uint8_t v3ident[20])
{
	for (int i = 0; i < config->n_dir_auths; i++)
		if (config->dir_auth[i].has_v3ident &&
		    memcmp(config->dir_auth[i].v3ident, v3ident, 20) == 0)
			return true;
	return false;
}

/* Keeps room: the oldest certificate of an authority goes when it has too many. */
static void certs_prune(struct auth_certs *cs, const uint8_t v3ident[20])
{
	unsigned n = 0, oldest = 0;

	for (unsigned i = 0; i < cs->n; i++) {
		if (memcmp(cs->v[i].v3ident, v3ident, 20) != 0)
			continue;
		if (!n++ || cs->v[i].published < cs->v[oldest].published)
			oldest = i;
	}
	if (n > PER_AUTHORITY || (n && cs->n == AUTH_CERTS_MAX))
		certs_remove(cs, oldest);
}

unsigned auth_certs_add(struct auth_certs *cs, const struct config *config, struct bytes text)
{
	struct auth_cert c;
	unsigned n_new = 0;
	int got;

	while ((got = auth_cert_parse(&c, &text)) != 0) {
		if (got < 0) {
			log_info("An authority certificate was refused.");
			continue;
		}
		if (!is_voter(config, c.v3ident) || cs->n == AUTH_CERTS_MAX ||
		    auth_certs_find(cs, c.v3ident, c.signing_digest)) {
			auth_cert_free(&c);
			continue;
		}
		cs->v[cs->n++] = c;
		cs->dirty = true;
		n_new++;
		certs_prune(cs, c.v3ident);
	}
	return n_new;
}

const struct auth_cert *auth_certs_find(const struct auth_certs *cs, const uint8_t v3ident[20],
					const uint8_t *signing_digest)
{
	const struct auth_cert *best = NULL;

	for (unsigned i = 0; i < cs->n; i++) {
		const struct auth_cert *c = &cs->v[i];

		if (memcmp(c->v3ident, v3ident, 20) != 0 ||
		    (signing_digest && memcmp(c->signing_digest, signing_digest, 20) != 0))
			continue;
		if (!best || c->published > best->published)
			best = c;
	}
	return best;
}

void auth_certs_drop_expired(struct auth_certs *cs, int64_t now)
{
	for (unsigned i = 0; i < cs->n;)
		if (cs->v[i].expires < now)
			certs_remove(cs, i);
		else
			i++;
}

void auth_certs_fini(struct auth_certs *cs)
{
	while (cs->n)
		certs_remove(cs, cs->n - 1);
}
