/* hello.c - how the client opens a link: TLS 1.3 by OpenSSL over memory, then VERSIONS to NETINFO
 * without AUTHENTICATE, as tor clients do (tor-spec section 4). */
#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>

#include "bench/load/load.h"
#include "controlplane/keys/keys.h"

#include <stdio.h>
#include <stdlib.h>

#define CHECKED_ALWAYS 32 /* links whose certificates are checked; then one of sixteen */

struct hello {
	SSL *ssl;
	BIO *in, *out;
	uint8_t secret[2][48]; /* ours, the relay's */
	struct auth *auth;
};

static SSL_CTX *context;

static void keylog(const SSL *ssl, const char *line)
{
	static const char *const labels[2] = {"CLIENT_TRAFFIC_SECRET_0 ",
					      "SERVER_TRAFFIC_SECRET_0 "};
	struct hello *h = SSL_get_app_data(ssl);

	for (unsigned i = 0; h && i < 2; i++) {
		const char *hex;

		if (strncmp(line, labels[i], strlen(labels[i])))
			continue;
		hex = strchr(line + strlen(labels[i]), ' ');
		for (size_t n = 0; hex && n < sizeof(h->secret[i]) &&
				   sscanf(hex + 1 + 2 * n, "%2hhx", &h->secret[i][n]) == 1;
		     n++)
			;
	}
}

static const struct {
	const char *name, *suite;
} suites[] = {{"aes128", "TLS_AES_128_GCM_SHA256"},
	      {"aes256", "TLS_AES_256_GCM_SHA384"},
	      {"chacha", "TLS_CHACHA20_POLY1305_SHA256"}};

void hello_init(struct load *ld)
{
	const char *suite = NULL;

	for (size_t i = 0; i < ARRAY_LEN(suites); i++)
		if (!strcmp(suites[i].name, ld->opt.suite))
			suite = suites[i].suite;
	context = SSL_CTX_new(TLS_client_method());
	if (!suite || !context || SSL_CTX_set_ciphersuites(context, suite) != 1 ||
	    SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1 ||
	    SSL_CTX_set1_groups_list(context, "P-256:X25519") != 1) {
		fprintf(stderr, "ramson-load: --suite %s: aes128, aes256 or chacha\n",
			ld->opt.suite);
		exit(2);
	}
	SSL_CTX_set_security_level(context, 1);
	SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_keylog_callback(context, keylog);
}

void hello_free(struct conn *c)
{
	if (!c->hello)
		return;
	SSL_free(c->hello->ssl);
	auth_free(c->hello->auth);
	wipe(c->hello, sizeof(*c->hello));
	free(c->hello);
	c->hello = NULL;
}

static void drain(struct load *ld, uint32_t conn)
{
	uint8_t buf[4096];
	int n;

	while ((n = BIO_read(ld->conn[conn].hello->out, buf, sizeof(buf))) > 0)
		peer_raw(ld, conn, buf, (size_t)n);
}

void hello_start(struct load *ld, uint32_t conn)
{
	struct hello *h = calloc(1, sizeof(*h));

	ld->conn[conn].hello = h;
	if (!h || !(h->ssl = SSL_new(context)) || !(h->in = BIO_new(BIO_s_mem())) ||
	    !(h->out = BIO_new(BIO_s_mem()))) {
		load_fail(ld, "not enough memory for TLS");
		return;
	}
	h->auth = auth_new(ld);
	BIO_set_mem_eof_return(h->in, -1);
	SSL_set_bio(h->ssl, h->in, h->out);
	SSL_set_app_data(h->ssl, h);
	SSL_set_tlsext_host_name(h->ssl, "www.ramsonload.com");
	SSL_set_connect_state(h->ssl);
	SSL_do_handshake(h->ssl);
	drain(ld, conn);
}

static void keys_over(struct load *ld, uint32_t conn, struct hello *h)
{
	static const uint8_t versions[] = {0, 0, CELL_VERSIONS, 0, 4, 0, 4, 0, 5};
	struct tls_keys k = {.version = 0x0304};

	k.suite = (uint16_t)SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(h->ssl));
	memcpy(k.out.secret, h->secret[0], 48);
	memcpy(k.in.secret, h->secret[1], 48);
	peer_keys(ld, conn, &k);
	wipe(&k, sizeof(k));
	peer_send(ld, conn, versions, sizeof(versions));
	auth_said(h->auth, versions, sizeof(versions));
}

void hello_record(struct load *ld, uint32_t conn, const uint8_t *record, size_t len)
{
	struct hello *h = ld->conn[conn].hello;
	int n;

	BIO_write(h->in, record, (int)len);
	ERR_clear_error();
	n = SSL_do_handshake(h->ssl);
	drain(ld, conn);
	if (n == 1)
		keys_over(ld, conn, h);
	else if (SSL_get_error(h->ssl, n) != SSL_ERROR_WANT_READ)
		load_fail(ld, "TLS handshake: %s", ERR_reason_error_string(ERR_peek_error()));
}

/* The master key signs a signing key, that signs the TLS certificate (tor-spec section 4.2). */
static bool chain_holds(struct load *ld, struct hello *h, const struct certs_body *b)
{
	const struct bytes *signing = &b->cert[CERTS_ED_SIGNING], *tls = &b->cert[CERTS_ED_LINK];
	X509 *x = SSL_get1_peer_certificate(h->ssl);
	struct ed_cert s, l;
	uint8_t digest[32];
	unsigned n = sizeof(digest);
	bool ok = x && X509_digest(x, EVP_sha256(), digest, &n) == 1;

	X509_free(x);
	if (!ok || !signing->p || !tls->p || ed_cert_parse(&s, signing->p, signing->len) < 0 ||
	    ed_cert_parse(&l, tls->p, tls->len) < 0 || !s.has_signer)
		return false;
	if (ld->relay.known && memcmp(s.signer, ld->relay.keys.ed_id, 32))
		return false;
	return ed_cert_check(&s, s.signer, 0) && ed_cert_check(&l, s.key, 0) &&
	       !memcmp(l.key, digest, 32);
}

static void on_certs(struct load *ld, struct hello *h, const struct cell *c)
{
	struct certs_body body;
	struct ed_cert s;

	if (ld->sum.connects >= CHECKED_ALWAYS && ld->sum.connects % 16 && !h->auth)
		return;
	if (certs_parse(&body, c->payload, c->len) < 0 || !chain_holds(ld, h, &body))
		load_fail(ld, "the relay's certificates are not those of the relay that was meant");
	else if (h->auth &&
		 !ed_cert_parse(&s, body.cert[CERTS_ED_SIGNING].p, body.cert[CERTS_ED_SIGNING].len))
		auth_peer(h->auth, &body, s.signer);
}

static void say_netinfo(struct load *ld, uint32_t conn)
{
	struct netinfo n = {.other = ld->relay.at};
	uint8_t payload[CELL_PAYLOAD] = {0};
	struct writer w = writer_of(payload, sizeof(payload));

	n.other.port = 0;
	netinfo_write(&w, &n);
	peer_cell(ld, conn, 0, CELL_NETINFO, payload, sizeof(payload));
}

void hello_cell(struct load *ld, uint32_t conn, uint8_t *cell, size_t len)
{
	struct conn *k = &ld->conn[conn];
	struct hello *h = k->hello;
	struct cell c;

	cell_split(&c, cell, len, k->versions ? 4 : 2);
	auth_heard(h->auth, cell, len);
	if (!k->versions && versions_pick(c.payload, c.len, 1u << 4 | 1u << 5) <= 0)
		load_fail(ld, "the relay has no link protocol in common with us");
	else if (!k->versions && h->auth)
		auth_certs(ld, conn, h->auth);
	if (k->versions && c.command == CELL_CERTS)
		on_certs(ld, h, &c);
	if (k->versions && c.command == CELL_AUTH_CHALLENGE && h->auth)
		auth_answer(ld, conn, h->auth, h->ssl);
	if (k->versions && c.command == CELL_NETINFO) {
		say_netinfo(ld, conn);
		peer_open(ld, conn);
	}
}
