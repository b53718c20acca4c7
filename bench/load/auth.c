/* auth.c - the client as a relay: CERTS and AUTHENTICATE in its link handshake (tor-spec section
 * 4.4.2). An exit serves nobody on a circuit of one hop that comes from a client. */
#include <openssl/evp.h>
#include <openssl/ssl.h>

#include "bench/load/load.h"
#include "controlplane/keys/keys.h"

#include <stdlib.h>

static const char exporter_label[] = "EXPORTER FOR TOR TLS CLIENT BINDING AUTH0003";

struct auth {
	EVP_MD_CTX *said, *heard;
	uint8_t sid[32], sid_ed[32];
};

static struct role client;
static struct link_certs *certs;

void auth_start(struct load *ld)
{
	role_open(ld, &client, "client");
	certs = keys_link_certs_get(client.keys);
}

void auth_stop(void)
{
	if (certs)
		link_certs_put(certs);
	certs = NULL;
	role_close(&client);
}

struct auth *auth_new(struct load *ld)
{
	struct auth *a = certs ? calloc(1, sizeof(*a)) : NULL;

	if (!a)
		return NULL;
	a->said = EVP_MD_CTX_new();
	a->heard = EVP_MD_CTX_new();
	if (!a->said || !a->heard || EVP_DigestInit_ex(a->said, EVP_sha256(), NULL) != 1 ||
	    EVP_DigestInit_ex(a->heard, EVP_sha256(), NULL) != 1)
		load_fail(ld, "not enough memory for a hash");
	return a;
}

void auth_free(struct auth *a)
{
	if (!a)
		return;
	EVP_MD_CTX_free(a->said);
	EVP_MD_CTX_free(a->heard);
	free(a);
}

void auth_said(struct auth *a, const void *cell, size_t len)
{
	if (a)
		EVP_DigestUpdate(a->said, cell, len);
}

void auth_heard(struct auth *a, const void *cell, size_t len)
{
	if (a)
		EVP_DigestUpdate(a->heard, cell, len);
}

/* Whom the relay's CERTS name: the digests of both its identities. */
void auth_peer(struct auth *a, const struct certs_body *b, const uint8_t ed_id[32])
{
	const struct bytes *id = &b->cert[CERTS_ID_X509];
	const uint8_t *p = id->p;
	X509 *x = p ? d2i_X509(NULL, &p, (long)id->len) : NULL;
	uint8_t der[512];
	size_t n = x ? rsa_public_der(X509_get0_pubkey(x), der, sizeof(der)) : 0;

	if (a && n)
		EVP_Digest(der, n, a->sid, NULL, EVP_sha256(), NULL);
	if (a)
		memcpy(a->sid_ed, ed_id, 32);
	X509_free(x);
}

static bool variable(struct load *ld, uint32_t conn, struct auth *a, uint8_t command,
		     struct writer *w)
{
	be32_put(w->start, 0);
	w->start[4] = command;
	be16_put(w->start + 5, (uint16_t)(wr_len(w) - CELL_VAR_HEAD));
	auth_said(a, w->start, wr_len(w));
	return !w->bad && peer_send(ld, conn, w->start, wr_len(w));
}

void auth_certs(struct load *ld, uint32_t conn, struct auth *a)
{
	static const uint8_t types[] = {CERTS_AUTH_X509, CERTS_ID_X509, CERTS_ED_SIGNING,
					CERTS_ED_AUTH, CERTS_RSA_ED_CROSS};
	uint8_t cell[4096];
	struct writer w = writer_of(cell, sizeof(cell));

	wr_space(&w, CELL_VAR_HEAD);
	certs_write(&w, certs->certs, types, sizeof(types));
	if (!variable(ld, conn, a, CELL_CERTS, &w))
		load_fail(ld, "our CERTS cannot be sent");
}

static bool digest_now(const EVP_MD_CTX *running, uint8_t digest[32])
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	bool ok = c && EVP_MD_CTX_copy_ex(c, running) == 1 &&
		  EVP_DigestFinal_ex(c, digest, NULL) == 1;

	EVP_MD_CTX_free(c);
	return ok;
}

static bool fields(struct auth *a, SSL *ssl, struct auth_fields *f)
{
	X509 *x = SSL_get0_peer_certificate(ssl);
	unsigned n = 32;

	memcpy(f->cid, certs->rsa_digest, 32);
	memcpy(f->sid, a->sid, 32);
	memcpy(f->cid_ed, certs->ed_id, 32);
	memcpy(f->sid_ed, a->sid_ed, 32);
	return digest_now(a->heard, f->slog) && digest_now(a->said, f->clog) && x &&
	       X509_digest(x, EVP_sha256(), f->scert, &n) == 1 &&
	       SSL_export_keying_material(ssl, f->tls_secrets, 32, exporter_label,
					  sizeof(exporter_label) - 1, f->cid, 32, 1) == 1;
}

void auth_answer(struct load *ld, uint32_t conn, struct auth *a, struct ssl_st *ssl)
{
	uint8_t cell[1024], random[24], sig[ED_SIG], *body;
	struct writer w = writer_of(cell, sizeof(cell));
	struct auth_fields f;

	rng_bytes(&ld->rng, random, sizeof(random));
	wr_space(&w, CELL_VAR_HEAD);
	wr_u16(&w, AUTH_METHOD_ED25519);
	wr_u16(&w, AUTH_BODY_LEN + ED_SIG);
	body = w.p;
	if (!fields(a, ssl, &f)) {
		load_fail(ld, "AUTHENTICATE cannot be made");
		return;
	}
	auth_fixed_write(&w, &f);
	wr_bytes(&w, random, sizeof(random));
	if (ed25519_sign(body, AUTH_BODY_LEN, certs->auth_secret, certs->auth_public, sig) < 0)
		load_fail(ld, "AUTHENTICATE cannot be signed");
	wr_bytes(&w, sig, sizeof(sig));
	wipe(&f, sizeof(f));
	if (!variable(ld, conn, a, CELL_AUTHENTICATE, &w))
		load_fail(ld, "AUTHENTICATE cannot be sent");
}
