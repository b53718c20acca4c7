/* test_brief.c - brief.c beside OpenSSL: the same ClientHello and the same second flight go to
 * both, and what a peer can see must be the same. */
#include "controlplane/link/internal.h"

#include <stdio.h>
#include <stdlib.h>

#include <setjmp.h>
#include <cmocka.h>

#define WALL ((int64_t)1790000000)

static struct links l;
static struct keys *keys;
static char root[] = "/tmp/ramson-brief-XXXXXX";

/* One client and whom it talks to. */
struct pair {
	struct link k;
	SSL_CTX *context;
	SSL *client;
	BIO *in, *out;
	uint8_t secret[32]; /* of what the client sends until its Finished */
	uint8_t flight[8192];
	size_t flight_len;
};

static void keylog(const SSL *ssl, const char *line)
{
	static const char label[] = "CLIENT_HANDSHAKE_TRAFFIC_SECRET ";
	struct pair *p = SSL_get_app_data(ssl);

	if (strncmp(line, label, strlen(label)))
		return;
	line += strlen(label) + 64 + 1;
	for (unsigned i = 0; i < 32; i++)
		assert_int_equal(sscanf(line + 2 * i, "%2hhx", &p->secret[i]), 1);
}

struct asks { /* what a client offers; NULL: OpenSSL's own */
	const char *groups, *suites, *sigs, *host;
	int version;
	bool no_session; /* no session id of 32 bytes */
	bool status;	 /* an extension that hello.c does not know */
};

static void client_new(struct pair *p, const struct asks *a)
{
	memset(p, 0, sizeof(*p));
	p->context = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_keylog_callback(p->context, keylog);
	SSL_CTX_set_max_proto_version(p->context, a->version);
	assert_int_equal(SSL_CTX_set1_groups_list(p->context, a->groups ? a->groups : "P-256"), 1);
	if (a->suites)
		assert_int_equal(SSL_CTX_set_ciphersuites(p->context, a->suites), 1);
	if (a->sigs)
		assert_int_equal(SSL_CTX_set1_sigalgs_list(p->context, a->sigs), 1);
	if (a->no_session)
		SSL_CTX_clear_options(p->context, SSL_OP_ENABLE_MIDDLEBOX_COMPAT);
	p->client = SSL_new(p->context);
	SSL_set_app_data(p->client, p);
	if (a->host)
		SSL_set_tlsext_host_name(p->client, a->host);
	if (a->status)
		SSL_set_tlsext_status_type(p->client, TLSEXT_STATUSTYPE_ocsp);
	p->in = BIO_new(BIO_s_mem());
	p->out = BIO_new(BIO_s_mem());
	BIO_set_mem_eof_return(p->in, -1);
	SSL_set_bio(p->client, p->in, p->out);
	SSL_set_connect_state(p->client);
	SSL_do_handshake(p->client);
}

static void pair_end(struct pair *p)
{
	shake_free(&p->k);
	SSL_free(p->client);
	SSL_CTX_free(p->context);
	ERR_clear_error();
}

/* A record to the responder; what it answers stands in flight. */
static int say(struct pair *p, const uint8_t *record, size_t len)
{
	int rc = shake_step(p->k.shake, record, len);

	p->flight_len = shake_take(p->k.shake, p->flight, sizeof(p->flight));
	return rc;
}

static int begin(struct pair *p, bool brief, const uint8_t *hello, size_t len)
{
	l.context->brief = brief;
	shake_free(&p->k);
	assert_int_equal(shake_new(&l, &p->k), 0);
	return say(p, hello, len);
}

/* Both flights show the same: records, and in the first all but random and point. */
static void assert_alike(struct pair *a, struct pair *b)
{
	size_t hello = 5u + be16_get(a->flight + 3);

	assert_int_equal(a->flight_len, b->flight_len);
	assert_true(hello > 11 + 32 + 65);
	memset(a->flight + 11, 0, 32);
	memset(b->flight + 11, 0, 32);
	memset(a->flight + hello - 64, 0, 64);
	memset(b->flight + hello - 64, 0, 64);
	assert_memory_equal(a->flight, b->flight, hello);
	for (size_t at = hello; at < a->flight_len; at += 5u + be16_get(a->flight + at + 3))
		assert_memory_equal(a->flight + at, b->flight + at, 5);
}

static void offers(void **state)
{
	static const struct {
		struct asks asks;
		bool brief;
	} rows[] = {
		/*  0 */ {{.groups = "P-256"}, true},
		/*  1 */ {{.groups = "P-256:X25519"}, true},
		/*  2 */ {{.groups = "P-256:X25519:P-384:P-521", .host = "www.abcd.com"}, true},
		/*  3 */ {{.groups = "X25519:P-256"}, false},
		/*  4 */ {{.groups = "X25519"}, false},
		/*  5 */ {{.groups = "P-384:P-256"}, false}, /* is asked again */
		/*  6 */ {{.suites = "TLS_AES_256_GCM_SHA384"}, false},
		/*  7 */ {{.suites = "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256"}, true},
		/*  8 */ {{.sigs = "RSA-PSS+SHA384:RSA-PSS+SHA256"}, true},
		/*  9 */ {{.sigs = "RSA-PSS+SHA384"}, false},
		/* 10 */ {{.version = TLS1_2_VERSION}, false},
		/* 11 */ {{.no_session = true}, false},
		/* 12 */ {{.status = true}, false},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t hello[2048];
		struct pair p, q = {0};
		size_t len;

		client_new(&p, &rows[i].asks);
		len = (size_t)BIO_read(p.out, hello, sizeof(hello));
		assert_int_equal(begin(&q, false, hello, len), 0);
		assert_int_equal(begin(&p, true, hello, len), 0);
		assert_int_equal(p.k.shake->brief != NULL, rows[i].brief);
		if (rows[i].brief)
			assert_alike(&p, &q);
		pair_end(&p);
		pair_end(&q);
	}
}

/* Whatever a changed ClientHello makes of brief, OpenSSL does alike. */
static void changed_offers(void **state)
{
	static const struct asks asks = {.groups = "P-256:X25519", .host = "www.abcdefgh.com"};
	uint8_t hello[2048], changed[2048];
	struct pair p, q = {0};
	unsigned n_brief = 0;
	size_t len;

	client_new(&p, &asks);
	len = (size_t)BIO_read(p.out, hello, sizeof(hello));
	for (size_t i = 0; i < 4 * len; i++) {
		static const uint8_t flips[4] = {1, 2, 0x80, 0xff};

		memcpy(changed, hello, len);
		changed[i / 4] ^= flips[i % 4];
		if (i / 4 == 3 || i / 4 == 4)
			continue; /* the worker cuts records by it */
		begin(&p, true, changed, len);
		if (!p.k.shake->brief)
			continue;
		n_brief++;
		assert_int_equal(begin(&q, false, changed, len), 0);
		assert_alike(&p, &q);
	}
	assert_in_range(n_brief, 4 * 64, 4 * len - 4 * 64); /* random and session id; not all */
	for (size_t cut = 5; cut < len; cut++) {
		memcpy(changed, hello, cut);
		be16_put(changed + 3, (uint16_t)(cut - 5));
		begin(&p, true, changed, cut);
		assert_null(p.k.shake->brief);
	}
	pair_end(&p);
	pair_end(&q);
}

/* ---- the client's second flight ---- */

static size_t seal(const struct pair *p, unsigned seq, uint8_t type, const uint8_t *inner,
		   size_t len, unsigned padding, uint8_t *record)
{
	uint8_t key[16], nonce[AEAD_NONCE];
	struct aead_key k;

	hkdf_expand_label(&l.cipher, HASH_SHA256, p->secret, "key", key, sizeof(key));
	hkdf_expand_label(&l.cipher, HASH_SHA256, p->secret, "iv", nonce, sizeof(nonce));
	aead_key_init(&l.cipher, &k, AEAD_AES128_GCM, key);
	nonce[11] ^= (uint8_t)seq;
	memcpy(record, "\x17\3\3", 3);
	be16_put(record + 3, (uint16_t)(len + (type != 0) + padding + AEAD_TAG));
	memcpy(record + 5, inner, len);
	if (type)
		record[5 + len++] = type;
	memset(record + 5 + len, 0, padding);
	aead_seal(&l.cipher, &k, nonce, record, 5, record + 5, len + padding);
	return 5 + len + padding + AEAD_TAG;
}

/* The client's Finished as it was meant, out of its record. */
static void finished_take(struct pair *p, uint8_t finished[36])
{
	uint8_t buf[1024], key[16], nonce[AEAD_NONCE];
	size_t n = (size_t)BIO_read(p->out, buf, sizeof(buf));
	struct aead_key k;

	assert_int_equal(n, 6 + 5 + 37 + AEAD_TAG); /* behind a ChangeCipherSpec */
	hkdf_expand_label(&l.cipher, HASH_SHA256, p->secret, "key", key, sizeof(key));
	hkdf_expand_label(&l.cipher, HASH_SHA256, p->secret, "iv", nonce, sizeof(nonce));
	aead_key_init(&l.cipher, &k, AEAD_AES128_GCM, key);
	assert_int_equal(aead_open(&l.cipher, &k, nonce, buf + 6, 5, buf + 11, 37), 0);
	memcpy(finished, buf + 11, 36);
}

struct ends {
	size_t cut; /* the Finished in two pieces; 0: in one */
	unsigned padding;
	int flip;	    /* byte of the Finished that is changed; -1: none */
	unsigned more;	    /* bytes behind it */
	uint8_t type;	    /* of the records; 0: none, only padding */
	bool broken;	    /* a bit of the tag */
	unsigned n_changes; /* ChangeCipherSpec before it */
	const char *plain;  /* an unprotected record before it */
	size_t plain_len;
};

/* What came of it: 1000 done, the alert's description, or -1 for an end without one. */
static int outcome(struct pair *p, int rc)
{
	uint8_t byte;

	if (rc == 1)
		return 1000;
	assert_true(rc < 0);
	if (!p->flight_len)
		return -1;
	BIO_write(p->in, p->flight, (int)p->flight_len);
	ERR_clear_error();
	assert_true(SSL_read(p->client, &byte, 1) <= 0);
	return ERR_GET_REASON(ERR_peek_last_error()) - SSL_AD_REASON_OFFSET;
}

static int send_ends(struct pair *p, const struct ends *e, uint8_t *finished)
{
	static const uint8_t change[] = {20, 3, 3, 0, 1, 1};
	uint8_t record[20000];
	size_t cut = e->cut ? e->cut : 36 + e->more, len;
	int rc = 0;

	for (unsigned i = 0; !rc && i < e->n_changes; i++)
		rc = say(p, change, sizeof(change));
	if (!rc && e->plain)
		rc = say(p, (const uint8_t *)e->plain, e->plain_len);
	if (rc)
		return rc;
	len = seal(p, 0, e->type, finished, cut, e->padding, record);
	record[len - 1] ^= e->broken;
	rc = say(p, record, len);
	if (rc || !e->cut)
		return rc;
	len = seal(p, 1, e->type, finished + cut, 36 + e->more - cut, e->padding, record);
	return say(p, record, len);
}

static int run_ends(const struct ends *e, bool brief)
{
	static const struct asks asks = {.groups = "P-256"};
	uint8_t hello[2048], finished[36 + 64] = {0};
	struct pair p;
	int got;

	client_new(&p, &asks);
	assert_int_equal(begin(&p, brief, hello, (size_t)BIO_read(p.out, hello, sizeof(hello))), 0);
	assert_int_equal(p.k.shake->brief != NULL, brief);
	BIO_write(p.in, p.flight, (int)p.flight_len);
	assert_int_equal(SSL_do_handshake(p.client), 1);
	finished_take(&p, finished);
	if (e->flip >= 0)
		finished[e->flip] ^= 1;
	got = outcome(&p, send_ends(&p, e, finished));
	pair_end(&p);
	return got;
}

static void ends(void **state)
{
#define PLAIN(bytes) .plain = (bytes), .plain_len = sizeof(bytes) - 1
	static const struct {
		struct ends ends;
		int want;
	} rows[] = {
		/*  0 */ {{.flip = -1, .type = 22}, 1000},
		/*  1 */ {{.flip = -1, .type = 22, .n_changes = 1}, 1000},
		/*  2 */ {{.flip = -1, .type = 22, .n_changes = 32}, 1000},
		/*  3 */ {{.flip = -1, .type = 22, .n_changes = 40}, 10},
		/*  4 */ {{.flip = -1, .type = 22, .padding = 1}, 1000},
		/*  5 */ {{.flip = -1, .type = 22, .padding = 16000}, 1000},
		/*  6 */ {{.flip = -1, .type = 22, .cut = 1}, 1000},
		/*  7 */ {{.flip = -1, .type = 22, .cut = 4}, 1000},
		/*  8 */ {{.flip = -1, .type = 22, .cut = 35, .padding = 9}, 1000},
		/*  9 */ {{.flip = 4, .type = 22}, 51},
		/* 10 */ {{.flip = 35, .type = 22}, 51},
		/* 11 */ {{.flip = 35, .type = 22, .cut = 20}, 51},
		/* 12 */ {{.flip = 0, .type = 22}, 10},
		/* 13 */ {{.flip = -1, .type = 22, .more = 1}, 10},
		/* 14 */ {{.flip = -1, .type = 22, .broken = true}, 20},
		/* 15 */ {{.flip = -1, .type = 23}, 10},
		/* 16 */ {{.flip = -1, .type = 99}, 10},
		/* 17 */ {{.flip = -1, .type = 22, PLAIN("\x15\3\3\0\2\2\50")}, -1},
		/* 18 */ {{.flip = -1, .type = 22, PLAIN("\x16\3\3\0\4\x14\0\0\0")}, 10},
		/* 19 */ {{.flip = -1, .type = 22, PLAIN("\x14\3\3\0\1\2")}, 47},
		/* 20 */ {{.flip = -1, .type = 22, PLAIN("\x14\3\3\0\2\1\1")}, 47},
		/* 21 */ {{.flip = -1, .type = 22, PLAIN("\x17\3\3\0\0")}, 20},
		/* 22 */ {{.flip = -1, .type = 22, PLAIN("\x63\3\3\0\1\1")}, 10},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int brief = run_ends(&rows[i].ends, true), ssl = run_ends(&rows[i].ends, false);

		if (brief != rows[i].want || ssl != brief)
			fail_msg("row %zu: %d, OpenSSL %d", i, brief, ssl);
	}
}

/* Secrets and exporter are those that the client has. */
static void exports(void **state)
{
	static const struct asks asks = {.groups = "P-256"};
	static const char label[] = "EXPORTER FOR TOR TLS CLIENT BINDING AUTH0003";
	uint8_t buf[2048], cid[32] = {7}, ours[32], theirs[32];
	struct ctl_conn_keys k;
	struct pair p;
	size_t n;

	client_new(&p, &asks);
	begin(&p, true, buf, (size_t)BIO_read(p.out, buf, sizeof(buf)));
	assert_non_null(p.k.shake->brief);
	BIO_write(p.in, p.flight, (int)p.flight_len);
	assert_int_equal(SSL_do_handshake(p.client), 1);
	n = (size_t)BIO_read(p.out, buf, sizeof(buf));
	assert_int_equal(say(&p, buf, 6), 0);
	assert_int_equal(say(&p, buf + 6, n - 6), 1);
	assert_int_equal(shake_keys(p.k.shake, false, &k), 0);
	assert_int_equal(k.version, 0x0304);
	assert_int_equal(k.suite, 0x1301);
	assert_int_equal(k.in.seq + k.out.seq, 0);
	assert_int_equal(shake_export(p.k.shake, cid, ours), 0);
	assert_int_equal(SSL_export_keying_material(p.client, theirs, 32, label, sizeof(label) - 1,
						    cid, 32, 1),
			 1);
	assert_memory_equal(ours, theirs, 32);
	pair_end(&p);
}

static int setup(void **state)
{
	struct keys_config kc = {.data_dir = mkdtemp(root), .nickname = "brief"};
	char why[KEYS_WHY_MAX];

	keys = keys_open(&kc, WALL, why);
	if (!keys || cipher_init(&l.cipher, 0) < 0)
		return -1;
	l.context = tls_context_new(keys, &l.cipher, true);
	if (!l.context || l.context->brief) /* C tor's order is OpenSSL's to serve */
		return -1;
	tls_context_put(l.context);
	l.context = tls_context_new(keys, &l.cipher, false);
	return l.context && l.context->brief ? 0 : -1;
}

static int teardown(void **state)
{
	char cmd[64];

	tls_context_put(l.context);
	keys_close(keys);
	cipher_fini(&l.cipher);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", root);
	return system(cmd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(offers),
		cmocka_unit_test(changed_offers),
		cmocka_unit_test(ends),
		cmocka_unit_test(exports),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
