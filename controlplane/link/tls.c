/* tls.c - TLS handshakes by OpenSSL over memory: records in, bytes out, and when it is done the
 * secrets for the worker's record layer. No application record enters OpenSSL. */
#define OPENSSL_SUPPRESS_DEPRECATED /* EVP_PKEY_METHOD */
#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>

#include "controlplane/link/internal.h"

/* Only what the record layer serves. */
#define SUITES_12                                                                                  \
	"ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384:"                                 \
	"ECDHE-RSA-CHACHA20-POLY1305"
#define SUITES_12_TOR                                                                              \
	"ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256:"                                 \
	"ECDHE-RSA-CHACHA20-POLY1305"
#define SUITES_13     "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define SUITES_13_TOR "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"
/* The order of a dialling C tor. */
#define SUITES_13_DIAL "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384"
/* P-256 always: older C tor servers know no X25519. */
#define GROUPS "P-256:X25519:P-224"

static const char exporter_label[] = "EXPORTER FOR TOR TLS CLIENT BINDING AUTH0003";

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One line of the key log: "LABEL client-random secret", in hex. */
static void keylog(const SSL *ssl, const char *line)
{
	static const char *const labels[2] = {"CLIENT_TRAFFIC_SECRET_0 ",
					      "SERVER_TRAFFIC_SECRET_0 "};
	struct shake *s = SSL_get_app_data(ssl);

	for (unsigned i = 0; s && i < 2; i++) {
		const char *hex;
		size_t n = 0;

		if (strncmp(line, labels[i], strlen(labels[i])))
			continue;
		hex = strchr(line + strlen(labels[i]), ' ');
		for (; hex && n < sizeof(s->secret[i]) && hex_digit(hex[1]) >= 0 &&
		       hex_digit(hex[2]) >= 0;
		     n++, hex += 2)
			s->secret[i][n] = (uint8_t)(hex_digit(hex[1]) << 4 | hex_digit(hex[2]));
		s->secret_len[i] = n;
	}
}

static bool context_set(SSL_CTX *c, const struct link_certs *certs, bool tor_order)
{
	SSL_CTX_set_security_level(c, 1);
	SSL_CTX_set_options(c, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
				       SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_SINGLE_ECDH_USE);
	SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(c, 0);
	SSL_CTX_set_verify(c, SSL_VERIFY_NONE, NULL);
	/* the certificate goes alone; OpenSSL would look for a chain in each handshake */
	SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
	SSL_CTX_set_keylog_callback(c, keylog);
	return SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION) == 1 &&
	       SSL_CTX_set_max_proto_version(c, TLS1_3_VERSION) == 1 &&
	       SSL_CTX_set_cipher_list(c, tor_order ? SUITES_12_TOR : SUITES_12) == 1 &&
	       SSL_CTX_set_ciphersuites(c, tor_order ? SUITES_13_TOR : SUITES_13) == 1 &&
	       SSL_CTX_set1_groups_list(c, GROUPS) == 1 &&
	       SSL_CTX_use_certificate(c, certs->tls_cert) == 1 &&
	       SSL_CTX_use_PrivateKey(c, certs->tls_key) == 1 && SSL_CTX_check_private_key(c) == 1;
}

/* ECDH by OpenSSL's own method, but under a name of the application's: the way through the provider
 * multiplies the peer's point by the order of the curve first, which for a curve of prime order
 * says nothing that the check of its equation (made in both ways when the point is read) does not
 * say. Where OpenSSL has such methods no more, its slower way is taken. */
static void ecdh_method(void)
{
	static bool done;
	const EVP_PKEY_METHOD *own = EVP_PKEY_meth_find(EVP_PKEY_EC);
	EVP_PKEY_METHOD *m = own && !done ? EVP_PKEY_meth_new(EVP_PKEY_EC, 0) : NULL;

	done = true;
	if (!m)
		return;
	EVP_PKEY_meth_copy(m, own);
	if (EVP_PKEY_meth_add0(m) != 1)
		EVP_PKEY_meth_free(m);
}

struct tls_context *tls_context_new(struct keys *keys, bool tor_order)
{
	struct tls_context *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	ecdh_method();
	c->refs = 1;
	c->certs = keys_link_certs_get(keys);
	c->ssl = SSL_CTX_new(TLS_method());
	if (!c->ssl || !context_set(c->ssl, c->certs, tor_order)) {
		log_warn("OpenSSL refuses a TLS context: %s",
			 ERR_reason_error_string(ERR_peek_error()));
		ERR_clear_error();
		tls_context_put(c);
		return NULL;
	}
	return c;
}

void tls_context_put(struct tls_context *c)
{
	if (!c || --c->refs)
		return;
	SSL_CTX_free(c->ssl);
	link_certs_put(c->certs);
	free(c);
}

/* SNI as C tor makes it: "www." 4 to 25 of base32 ".com". */
static bool name_set(SSL *ssl)
{
	static const char b32[] = "abcdefghijklmnopqrstuvwxyz234567";
	uint8_t raw[26];
	char label[26], host[40];
	unsigned n;

	if (RAND_bytes(raw, sizeof(raw)) != 1)
		return false;
	n = 4 + raw[25] % 22;
	for (unsigned i = 0; i < n; i++)
		label[i] = b32[raw[i] & 31];
	snprintf(host, sizeof(host), "www.%.*s.com", (int)n, label);
	return SSL_set_tlsext_host_name(ssl, host) == 1;
}

static int shake_setup(struct shake *s, bool initiator)
{
	s->ssl = SSL_new(s->context->ssl);
	s->in = BIO_new(BIO_s_mem());
	s->out = BIO_new(BIO_s_mem());
	s->said = EVP_MD_CTX_new();
	s->heard = EVP_MD_CTX_new();
	if (!s->ssl || !s->in || !s->out || !s->said || !s->heard ||
	    EVP_DigestInit_ex(s->said, EVP_sha256(), NULL) != 1 ||
	    EVP_DigestInit_ex(s->heard, EVP_sha256(), NULL) != 1) {
		BIO_free(s->in);
		BIO_free(s->out);
		return ERR_FULL;
	}
	BIO_set_mem_eof_return(s->in, -1); /* an empty one means: wait */
	SSL_set_bio(s->ssl, s->in, s->out);
	SSL_set_app_data(s->ssl, s);
	if (!initiator)
		SSL_set_accept_state(s->ssl);
	else
		SSL_set_connect_state(s->ssl);
	if (initiator && (!name_set(s->ssl) || SSL_set_ciphersuites(s->ssl, SUITES_13_DIAL) != 1))
		return ERR_CRYPTO;
	return 0;
}

int shake_new(struct links *l, struct link *k)
{
	struct shake *s = calloc(1, sizeof(*s));

	if (!s)
		return ERR_FULL;
	k->shake = s;
	s->context = l->context;
	s->context->refs++;
	if (shake_setup(s, k->peer.initiator) < 0) {
		shake_free(k);
		return ERR_FULL;
	}
	return 0;
}

void shake_free(struct link *k)
{
	struct shake *s = k->shake;

	if (!s)
		return;
	SSL_free(s->ssl);
	EVP_MD_CTX_free(s->said);
	EVP_MD_CTX_free(s->heard);
	tls_context_put(s->context);
	wipe(s, sizeof(*s));
	free(s);
	k->shake = NULL;
}

int shake_step(struct shake *s, const uint8_t *record, size_t len)
{
	int n;

	if (record &&
	    (s->in_offset + len > HEARD_MAX || BIO_write(s->in, record, (int)len) != (int)len))
		return ERR_FULL;
	s->in_offset += len;
	ERR_clear_error();
	n = SSL_do_handshake(s->ssl);
	if (n == 1)
		return BIO_pending(s->in) ? ERR_MALFORMED : 1;
	n = SSL_get_error(s->ssl, n);
	if (n == SSL_ERROR_WANT_READ)
		return 0;
	if (log_enabled(LOG_DEBUG))
		log_debug("TLS handshake: %s", ERR_reason_error_string(ERR_peek_error()));
	ERR_clear_error();
	return ERR_MALFORMED;
}

/* TLS 1.2: the key block (RFC 5246 section 6.3, RFC 5288, RFC 7905). */
static int key_block(struct shake *s, uint8_t *block, size_t len)
{
	const SSL_CIPHER *suite = SSL_get_current_cipher(s->ssl);
	const EVP_MD *md = SSL_CIPHER_get_handshake_digest(suite);
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_TLS1_PRF, NULL);
	EVP_KDF_CTX *c = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	uint8_t master[48], seed[13 + 64];
	size_t master_len = SSL_SESSION_get_master_key(SSL_get_session(s->ssl), master, 48);
	OSSL_PARAM params[4];
	int ok;

	memcpy(seed, "key expansion", 13);
	SSL_get_server_random(s->ssl, seed + 13, 32);
	SSL_get_client_random(s->ssl, seed + 45, 32);
	params[0] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST,
						     md ? (char *)EVP_MD_get0_name(md) : "", 0);
	params[1] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SECRET, master, master_len);
	params[2] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, seed, sizeof(seed));
	params[3] = OSSL_PARAM_construct_end();
	ok = c && md && master_len == 48 && EVP_KDF_derive(c, block, len, params) == 1;
	EVP_KDF_CTX_free(c);
	EVP_KDF_free(kdf);
	wipe(master, sizeof(master));
	return ok ? 0 : ERR_CRYPTO;
}

/* Key and implicit nonce of the suites that we offer in TLS 1.2. */
static const struct suite_12 {
	uint16_t id;
	uint8_t key_len, iv_len;
} suites_12[] = {{0xC02F, 16, 4}, {0xC030, 32, 4}, {0xCCA8, 32, 12}};

static int keys_12(struct shake *s, struct ctl_tls_dir *client, struct ctl_tls_dir *server,
		   uint16_t id)
{
	const struct suite_12 *row = suites_12;
	uint8_t block[2 * (32 + 12)];
	size_t key, iv;

	while (row < suites_12 + ARRAY_LEN(suites_12) && row->id != id)
		row++;
	if (row == suites_12 + ARRAY_LEN(suites_12))
		return ERR_UNKNOWN;
	key = row->key_len;
	iv = row->iv_len;
	if (key_block(s, block, 2 * (key + iv)) < 0)
		return ERR_CRYPTO;
	memcpy(client->secret, block, key);
	memcpy(server->secret, block + key, key);
	memcpy(client->iv, block + 2 * key, iv);
	memcpy(server->iv, block + 2 * key + iv, iv);
	client->seq = server->seq = 1; /* Finished was 0 */
	wipe(block, sizeof(block));
	return 0;
}

int shake_keys(struct shake *s, bool initiator, struct ctl_conn_keys *keys)
{
	struct ctl_tls_dir *client = initiator ? &keys->out : &keys->in;
	struct ctl_tls_dir *server = initiator ? &keys->in : &keys->out;

	memset(keys, 0, sizeof(*keys));
	keys->version = (uint16_t)SSL_version(s->ssl);
	keys->suite = (uint16_t)SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(s->ssl));
	keys->in.offset = s->in_offset;
	keys->out.offset = s->out_offset;
	if (keys->version == TLS1_2_VERSION)
		return keys_12(s, client, server, keys->suite);
	if (s->secret_len[0] < 32 || s->secret_len[0] != s->secret_len[1])
		return ERR_CRYPTO;
	memcpy(client->secret, s->secret[0], sizeof(client->secret));
	memcpy(server->secret, s->secret[1], sizeof(server->secret));
	return 0;
}

int shake_peer_digest(struct shake *s, uint8_t digest[32])
{
	X509 *x = SSL_get0_peer_certificate(s->ssl);
	unsigned len = 32;

	return x && X509_digest(x, EVP_sha256(), digest, &len) == 1 ? 0 : ERR_CRYPTO;
}

int shake_export(struct shake *s, const uint8_t cid[32], uint8_t secrets[32])
{
	return SSL_export_keying_material(s->ssl, secrets, 32, exporter_label,
					  sizeof(exporter_label) - 1, cid, 32, 1) == 1
		       ? 0
		       : ERR_CRYPTO;
}
