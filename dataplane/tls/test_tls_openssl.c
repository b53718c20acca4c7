/* test_tls_openssl.c - the record layer takes over from OpenSSL in the middle of a connection, on
 * either side of it, for every suite, and talks to the OpenSSL that stayed at the other end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "dataplane/cipher/cipher.h"
#include "dataplane/tls/tls.h"
#include "dataplane/wire/record.h"

static const struct row {
	uint16_t version, suite;
	const char *name;
	bool ecdsa;
	size_t key_len, iv_len; /* 1.2: shapes of the key block */
} rows[] = {
	/* 0 */ {0x0304, 0x1301, "TLS_AES_128_GCM_SHA256", false, 0, 0},
	/* 1 */ {0x0304, 0x1302, "TLS_AES_256_GCM_SHA384", false, 0, 0},
	/* 2 */ {0x0304, 0x1303, "TLS_CHACHA20_POLY1305_SHA256", true, 0, 0},
	/* 3 */ {0x0303, 0xc02f, "ECDHE-RSA-AES128-GCM-SHA256", false, 16, 4},
	/* 4 */ {0x0303, 0xc030, "ECDHE-RSA-AES256-GCM-SHA384", false, 32, 4},
	/* 5 */ {0x0303, 0xcca8, "ECDHE-RSA-CHACHA20-POLY1305", false, 32, 12},
	/* 6 */ {0x0303, 0xc02b, "ECDHE-ECDSA-AES128-GCM-SHA256", true, 16, 4},
	/* 7 */ {0x0303, 0xc02c, "ECDHE-ECDSA-AES256-GCM-SHA384", true, 32, 4},
	/* 8 */ {0x0303, 0xcca9, "ECDHE-ECDSA-CHACHA20-POLY1305", true, 32, 12},
};

enum { CLIENT, SERVER };
struct side {
	SSL *ssl;
	BIO *in, *out;
};

static struct cipher cipher;
static struct counts counts;
static struct tls tls;
static struct rng rng;
static struct side sides[2];
static uint8_t traffic[2][48]; /* 1.3: secrets of what each side writes */
static EVP_PKEY *rsa, *ec;
static X509 *rsa_cert, *ec_cert;

static X509 *self_signed(EVP_PKEY *key)
{
	X509 *x = X509_new();

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -86400);
	X509_gmtime_adj(X509_getm_notAfter(x), 86400);
	X509_set_pubkey(x, key);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	return x;
}

static int setup(void **state)
{
	static const uint8_t seed[32] = "tls";

	rng_seed(&rng, seed);
	assert_int_equal(cipher_init(&cipher, 0), 0);
	assert_int_equal(tls_init(&tls, 1, &cipher, &counts), 0);
	rsa = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
	ec = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	rsa_cert = self_signed(rsa);
	ec_cert = self_signed(ec);
	return 0;
}

static int teardown(void **state)
{
	tls_fini(&tls);
	cipher_fini(&cipher);
	X509_free(rsa_cert);
	X509_free(ec_cert);
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(ec);
	return 0;
}

/* ---- the handshake ---- */

static void keep_secret(const SSL *ssl, const char *line)
{
	static const char *const names[] = {"CLIENT_TRAFFIC_SECRET_0 ", "SERVER_TRAFFIC_SECRET_0 "};

	for (unsigned i = 0; i < 2; i++) {
		const char *hex = strrchr(line, ' ');

		if (strncmp(line, names[i], strlen(names[i])) || !hex)
			continue;
		hex++;
		for (size_t k = 0; k < sizeof(traffic[i]) && hex[2 * k]; k++) {
			unsigned byte = 0;

			sscanf(hex + 2 * k, "%2x", &byte);
			traffic[i][k] = byte;
		}
	}
}

static void side_open(struct side *s, const struct row *row, bool server)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());

	SSL_CTX_set_min_proto_version(ctx, row->version);
	SSL_CTX_set_max_proto_version(ctx, row->version);
	if (row->version == 0x0304)
		assert_int_equal(SSL_CTX_set_ciphersuites(ctx, row->name), 1);
	else
		assert_int_equal(SSL_CTX_set_cipher_list(ctx, row->name), 1);
	SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	SSL_CTX_set_keylog_callback(ctx, keep_secret);
	SSL_CTX_use_certificate(ctx, row->ecdsa ? ec_cert : rsa_cert);
	SSL_CTX_use_PrivateKey(ctx, row->ecdsa ? ec : rsa);
	s->ssl = SSL_new(ctx);
	SSL_CTX_free(ctx);
	s->in = BIO_new(BIO_s_mem());
	s->out = BIO_new(BIO_s_mem());
	SSL_set_bio(s->ssl, s->in, s->out);
	if (server)
		SSL_set_accept_state(s->ssl);
	else
		SSL_set_connect_state(s->ssl);
}

static void carry(struct side *from, struct side *to)
{
	uint8_t buf[4096];
	int n;

	while ((n = BIO_read(from->out, buf, sizeof(buf))) > 0)
		BIO_write(to->in, buf, n);
}

static void handshake(const struct row *row)
{
	side_open(&sides[CLIENT], row, false);
	side_open(&sides[SERVER], row, true);
	for (unsigned i = 0; i < 10; i++) {
		SSL_do_handshake(sides[CLIENT].ssl);
		carry(&sides[CLIENT], &sides[SERVER]);
		SSL_do_handshake(sides[SERVER].ssl);
		carry(&sides[SERVER], &sides[CLIENT]);
	}
	assert_true(SSL_is_init_finished(sides[CLIENT].ssl));
	assert_true(SSL_is_init_finished(sides[SERVER].ssl));
	assert_int_equal(SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(sides[CLIENT].ssl)),
			 row->suite);
}

/* n records each way that both OpenSSLs see: the hand-over is then in mid-stream. */
static void chat(unsigned n)
{
	uint8_t buf[100];

	for (unsigned i = 0; i < n; i++) {
		for (unsigned s = 0; s < 2; s++) {
			assert_int_equal(SSL_write(sides[s].ssl, "text", 4), 4);
			carry(&sides[s], &sides[!s]);
			assert_int_equal(SSL_read(sides[!s].ssl, buf, sizeof(buf)), 4);
		}
	}
}

/* client key, server key, client iv, server iv (RFC 5246 6.3). */
static void key_block(SSL *ssl, uint8_t *out, size_t len)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "TLS1-PRF", NULL);
	EVP_KDF_CTX *x = EVP_KDF_CTX_new(kdf);
	const EVP_MD *md = SSL_CIPHER_get_handshake_digest(SSL_get_current_cipher(ssl));
	uint8_t master[48], seed[13 + 64] = "key expansion";
	OSSL_PARAM params[4];

	SSL_SESSION_get_master_key(SSL_get_session(ssl), master, sizeof(master));
	SSL_get_server_random(ssl, seed + 13, 32);
	SSL_get_client_random(ssl, seed + 45, 32);
	params[0] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST,
						     (char *)EVP_MD_get0_name(md), 0);
	params[1] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SECRET, master, 48);
	params[2] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, seed, sizeof(seed));
	params[3] = OSSL_PARAM_construct_end();
	assert_int_equal(EVP_KDF_derive(x, out, len, params), 1);
	EVP_KDF_CTX_free(x);
	EVP_KDF_free(kdf);
}

/* We become side us, after n_chat records of data each way. */
static void take_over(const struct row *row, unsigned us, unsigned n_chat)
{
	struct tls_keys keys = {.version = row->version, .suite = row->suite};
	struct tls_keys_dir *of[2]; /* by who writes */
	uint8_t block[2 * (32 + 12)];

	of[us] = &keys.out;
	of[!us] = &keys.in;
	if (row->version == 0x0303)
		key_block(sides[us].ssl, block, 2 * (row->key_len + row->iv_len));
	for (unsigned s = 0; s < 2; s++) {
		of[s]->seq = n_chat + (row->version == 0x0303); /* Finished was 0 */
		memcpy(of[s]->secret, traffic[s], 48);
		if (row->version == 0x0304)
			continue;
		memcpy(of[s]->secret, block + s * row->key_len, row->key_len);
		memcpy(of[s]->iv, block + 2 * row->key_len + s * row->iv_len, row->iv_len);
	}
	assert_int_equal(tls_start(&tls, 0, &keys), 0);
}

/* ---- after it ---- */

/* The next record that OpenSSL has written, opened by us. */
static struct tls_got next_record(struct side *peer, uint8_t *record)
{
	struct record head;
	int n;

	assert_int_equal(BIO_read(peer->out, record, RECORD_HEAD), RECORD_HEAD);
	assert_int_equal(record_parse(&head, record, RECORD_HEAD), 0);
	n = head.len ? BIO_read(peer->out, record + RECORD_HEAD, head.len) : 0;
	assert_int_equal(n, head.len);
	return tls_in(&tls, 0, record, RECORD_HEAD + head.len);
}

static void send_small(struct side *peer)
{
	uint8_t small[TLS_SMALL_MAX];
	size_t len;

	while (tls_pending(&tls, 0)) {
		len = tls_make(&tls, 0, small);
		assert_in_range(len, 1, TLS_SMALL_MAX);
		BIO_write(peer->in, small, len);
	}
}

static void we_say(struct side *peer)
{
	static uint8_t record[TLS_RECORD_MAX], text[TLS_PAYLOAD_MAX], got[TLS_PAYLOAD_MAX];
	size_t len = 1 + rng_below(&rng, rng_below(&rng, 4) ? 2000 : TLS_PAYLOAD_MAX), n = 0;

	rng_bytes(&rng, text, len);
	memcpy(record + tls_head_len(&tls, 0), text, len);
	assert_int_equal(tls_seal(&tls, 0, record, len),
			 tls_head_len(&tls, 0) + len + tls_tail_len(&tls, 0));
	BIO_write(peer->in, record, tls_head_len(&tls, 0) + len + tls_tail_len(&tls, 0));
	while (n < len) {
		int k = SSL_read(peer->ssl, got + n, sizeof(got) - n);

		assert_true(k > 0);
		n += k;
	}
	assert_int_equal(n, len);
	assert_memory_equal(got, text, len);
}

static void peer_says(struct side *peer)
{
	static uint8_t record[RECORD_MAX], text[TLS_PAYLOAD_MAX];
	size_t len = 1 + rng_below(&rng, rng_below(&rng, 4) ? 2000 : TLS_PAYLOAD_MAX);
	struct tls_got got;

	rng_bytes(&rng, text, len);
	assert_int_equal(SSL_write(peer->ssl, text, len), len);
	do
		got = next_record(peer, record);
	while (got.what == TLS_NONE); /* a KeyUpdate in front of it */
	assert_int_equal(got.what, TLS_DATA);
	assert_int_equal(got.len, len);
	assert_memory_equal(got.data, text, len);
	send_small(peer);
}

static void talk(const struct row *row, struct side *peer)
{
	for (unsigned i = 0; i < 60; i++) {
		unsigned what = rng_below(&rng, 8);

		if (what < 4)
			we_say(peer);
		else if (what < 7 || row->version == 0x0303)
			peer_says(peer);
		else
			SSL_key_update(peer->ssl, rng_below(&rng, 2)
							  ? SSL_KEY_UPDATE_REQUESTED
							  : SSL_KEY_UPDATE_NOT_REQUESTED);
	}
	peer_says(peer);
	we_say(peer);
}

static void say_goodbye(struct side *peer, bool first)
{
	uint8_t record[RECORD_MAX], buf[16];

	if (first) {
		tls_close(&tls, 0);
		send_small(peer);
		assert_int_equal(SSL_read(peer->ssl, buf, sizeof(buf)), 0);
		assert_int_equal(SSL_get_error(peer->ssl, 0), SSL_ERROR_ZERO_RETURN);
	} else {
		SSL_shutdown(peer->ssl);
		assert_int_equal(next_record(peer, record).what, TLS_CLOSE);
	}
}

static void close_sides(void)
{
	tls_stop(&tls, 0);
	for (unsigned s = 0; s < 2; s++)
		SSL_free(sides[s].ssl);
}

static void test_take_over(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		for (unsigned us = 0; us < 2; us++) {
			unsigned n_chat = rng_below(&rng, 4);

			handshake(&rows[i]);
			chat(n_chat);
			take_over(&rows[i], us, n_chat);
			talk(&rows[i], &sides[!us]);
			say_goodbye(&sides[!us], rng_below(&rng, 2));
			close_sides();
		}
	}
}

/* An alert of ours is one that OpenSSL understands. */
static void test_bad_tag_alert(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t junk[64] = {23, 3, 3, 0, 59}, buf[16];
		struct side *peer = &sides[CLIENT];

		handshake(&rows[i]);
		take_over(&rows[i], SERVER, 0);
		assert_int_equal(tls_in(&tls, 0, junk, sizeof(junk)).why, TLS_BAD_TAG);
		send_small(peer);
		assert_true(SSL_read(peer->ssl, buf, sizeof(buf)) <= 0);
		assert_int_equal(ERR_GET_REASON(ERR_peek_last_error()),
				 SSL_R_SSLV3_ALERT_BAD_RECORD_MAC);
		ERR_clear_error();
		close_sides();
	}
}

/* Renegotiation, asked for by a 1.2 peer on either side, is declined. */
static void test_renegotiation(void **state)
{
	for (unsigned us = 0; us < 2; us++) {
		struct side *peer = &sides[!us];
		uint8_t record[RECORD_MAX];

		handshake(&rows[3]);
		take_over(&rows[3], us, 0);
		memset(&counts, 0, sizeof(counts));
		assert_int_equal(SSL_renegotiate(peer->ssl), 1);
		SSL_do_handshake(peer->ssl);
		assert_int_equal(next_record(peer, record).what, TLS_NONE);
		assert_int_equal(counts.v[COUNT_tls_renegotiations], 1);
		assert_true(tls_pending(&tls, 0));
		send_small(peer);
		assert_int_equal(counts.v[COUNT_tls_alerts_out], 1);
		close_sides();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_take_over),
		cmocka_unit_test(test_bad_tag_alert),
		cmocka_unit_test(test_renegotiation),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
