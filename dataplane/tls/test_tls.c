/* test_tls.c - the record layer against RFC 8448 and against itself: every refusal by its name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "dataplane/tls/internal.h"

static struct cipher cipher;
static struct counts counts;
static struct tls tls;
static const struct tls_keys_dir zero_dir;

enum { US, PEER };

static int setup(void **state)
{
	assert_int_equal(cipher_init(&cipher, 0), 0);
	assert_int_equal(tls_init(&tls, 2, &cipher, &counts), 0);
	return 0;
}

static int teardown(void **state)
{
	tls_fini(&tls);
	cipher_fini(&cipher);
	return 0;
}

/* Two conns that are each other's peer. */
static void pair(uint16_t version, uint16_t suite)
{
	struct tls_keys keys = {.version = version, .suite = suite}, turned;

	memset(keys.in.secret, 0x11, 48);
	memset(keys.out.secret, 0x22, 48);
	memset(keys.in.iv, 0x33, 16);
	memset(keys.out.iv, 0x44, 16);
	keys.in.seq = keys.out.seq = version == VERSION_12;
	turned = keys;
	turned.in = keys.out;
	turned.out = keys.in;
	tls_stop(&tls, US);
	tls_stop(&tls, PEER);
	assert_int_equal(tls_start(&tls, US, &keys), 0);
	assert_int_equal(tls_start(&tls, PEER, &turned), 0);
	memset(&counts, 0, sizeof(counts));
}

/* Seals anything as PEER would: the inner type, content, zero bytes behind it (1.3). */
static size_t forge(uint8_t type, const void *text, size_t len, size_t pad, uint8_t *record)
{
	struct tls_conn *c = &tls.conns[PEER];
	uint8_t nonce[AEAD_NONCE], aad[AAD_12], *data = record + c->head_len;
	const bool is_13 = c->suite->version == VERSION_13;
	size_t sealed = is_13 ? len + 1 + pad : len;

	memmove(data, text, len);
	if (is_13) {
		data[len] = type;
		memset(data + len + 1, 0, pad);
	}
	record_put(record, (struct record) {is_13 ? RECORD_DATA : type, VERSION_12,
					    c->head_len - RECORD_HEAD + sealed + AEAD_TAG});
	tls_nonce(&c->out, nonce);
	memcpy(record + RECORD_HEAD, nonce + 4, c->suite->explicit_nonce_len);
	tls_aad_12(&c->out, type, len, aad);
	aead_seal(&cipher, &c->out.key, nonce, is_13 ? record : aad, is_13 ? RECORD_HEAD : AAD_12,
		  data, sealed);
	tls_half_at(&c->out, c->out.seq + 1);
	return c->head_len + sealed + AEAD_TAG;
}

static struct tls_got forge_in(uint8_t type, const void *text, size_t len, size_t pad)
{
	static uint8_t record[RECORD_MAX + 1024];

	return tls_in(&tls, US, record, forge(type, text, len, pad, record));
}

/* ---- RFC 8448, section 3 ---- */

static const uint8_t client_secret[32] = {0x9e, 0x40, 0x64, 0x6c, 0xe7, 0x9a, 0x7f, 0x9d,
					  0xc0, 0x5a, 0xf8, 0x88, 0x9b, 0xce, 0x65, 0x52,
					  0x87, 0x5a, 0xfa, 0x0b, 0x06, 0xdf, 0x00, 0x87,
					  0xf7, 0x92, 0xeb, 0xb7, 0xc1, 0x75, 0x04, 0xa5};
static const uint8_t server_secret[32] = {0xa1, 0x1a, 0xf9, 0xf0, 0x55, 0x31, 0xf8, 0x56,
					  0xad, 0x47, 0x11, 0x6b, 0x45, 0xa9, 0x50, 0x32,
					  0x82, 0x04, 0xb4, 0xf4, 0x4b, 0xfb, 0x6b, 0x3a,
					  0x4b, 0x4f, 0x1f, 0x3f, 0xcb, 0x63, 0x16, 0x43};
static const uint8_t client_data[72] = {
	0x17, 0x03, 0x03, 0x00, 0x43, 0xa2, 0x3f, 0x70, 0x54, 0xb6, 0x2c, 0x94, 0xd0, 0xaf, 0xfa,
	0xfe, 0x82, 0x28, 0xba, 0x55, 0xcb, 0xef, 0xac, 0xea, 0x42, 0xf9, 0x14, 0xaa, 0x66, 0xbc,
	0xab, 0x3f, 0x2b, 0x98, 0x19, 0xa8, 0xa5, 0xb4, 0x6b, 0x39, 0x5b, 0xd5, 0x4a, 0x9a, 0x20,
	0x44, 0x1e, 0x2b, 0x62, 0x97, 0x4e, 0x1f, 0x5a, 0x62, 0x92, 0xa2, 0x97, 0x70, 0x14, 0xbd,
	0x1e, 0x3d, 0xea, 0xe6, 0x3a, 0xee, 0xbb, 0x21, 0x69, 0x49, 0x15, 0xe4};
static const uint8_t client_close[24] = {0x17, 0x03, 0x03, 0x00, 0x13, 0xc9, 0x87, 0x27,
					 0x60, 0x65, 0x56, 0x66, 0xb7, 0x4d, 0x7f, 0xf1,
					 0x15, 0x3e, 0xfd, 0x6d, 0xb6, 0xd0, 0xb0, 0xe3};
static const uint8_t server_close[24] = {0x17, 0x03, 0x03, 0x00, 0x13, 0xb5, 0x8f, 0xd6,
					 0x71, 0x66, 0xeb, 0xf5, 0x99, 0xd2, 0x47, 0x20,
					 0xcf, 0xbe, 0x7e, 0xfa, 0x7a, 0x88, 0x64, 0xa9};

static void test_rfc8448(void **state)
{
	struct tls_keys keys = {.version = VERSION_13, .suite = 0x1301};
	uint8_t text[50], record[128], small[TLS_SMALL_MAX];
	struct tls_got got;

	for (unsigned i = 0; i < sizeof(text); i++)
		text[i] = i;
	memcpy(keys.in.secret, client_secret, 32);
	memcpy(keys.out.secret, server_secret, 32);
	keys.out.seq = 2; /* behind its ticket and its data */
	tls_stop(&tls, US);
	assert_int_equal(tls_start(&tls, US, &keys), 0);
	assert_int_equal(tls_start(&tls, US, &keys), ERR_NOT_NOW);
	memcpy(record, client_data, sizeof(client_data));
	got = tls_in(&tls, US, record, sizeof(client_data));
	assert_int_equal(got.what, TLS_DATA);
	assert_int_equal(got.len, sizeof(text));
	assert_memory_equal(got.data, text, sizeof(text));
	memcpy(record, client_close, sizeof(client_close));
	assert_int_equal(tls_in(&tls, US, record, sizeof(client_close)).what, TLS_CLOSE);
	tls_close(&tls, US);
	assert_true(tls_pending(&tls, US));
	assert_int_equal(tls_make(&tls, US, small), sizeof(server_close));
	assert_memory_equal(small, server_close, sizeof(server_close));

	/* The other way: what the client would write. */
	tls_stop(&tls, US);
	keys.out = keys.in;
	assert_int_equal(tls_start(&tls, US, &keys), 0);
	memcpy(record + tls_head_len(&tls, US), text, sizeof(text));
	assert_int_equal(tls_seal(&tls, US, record, sizeof(text)), sizeof(client_data));
	assert_memory_equal(record, client_data, sizeof(client_data));
}

/* ---- start and stop ---- */

static void test_start(void **state)
{
	static const struct {
		uint16_t version, suite;
		int want;
	} rows[] = {
		/* 0 */ {0x0304, 0x1301, 0},
		/* 1 */ {0x0303, 0x1301, ERR_UNKNOWN},
		/* 2 */ {0x0304, 0xc02f, ERR_UNKNOWN},
		/* 3 */ {0x0303, 0xc02f, 0},
		/* 4 */ {0x0302, 0xc02f, ERR_UNKNOWN},
		/* 5 */ {0x0304, 0x1304, ERR_UNKNOWN},
		/* 6 */ {0x0303, 0x009c, ERR_UNKNOWN},
		/* 7 */ {0x0303, 0xcca8, 0},
	};
	uint8_t record[64] = {23, 3, 3, 0, 17};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct tls_keys keys = {rows[i].version, rows[i].suite, zero_dir, zero_dir};

		tls_stop(&tls, US);
		assert_int_equal(tls_start(&tls, US, &keys), rows[i].want);
		assert_int_equal(tls_started(&tls, US), rows[i].want == 0);
		assert_int_equal(tls_start(&tls, 2, &keys), ERR_UNKNOWN);
	}
	tls_stop(&tls, US);
	for (size_t i = 0; i < sizeof(struct tls_conn); i++)
		assert_int_equal(((uint8_t *)&tls.conns[US])[i], 0);
	assert_int_equal(tls_in(&tls, US, record, 22).why, TLS_OVER);
	assert_int_equal(tls_in(&tls, 7, record, 22).why, TLS_OVER);
	assert_int_equal(tls_seal(&tls, US, record, 1), 0);
	assert_int_equal(tls_make(&tls, US, record), 0);
	assert_false(tls_pending(&tls, US));
}

/* ---- refusals: what comes inside a well-sealed record ---- */

static uint8_t big[TLS_PAYLOAD_MAX + 512];

static const struct {
	uint16_t version;
	uint8_t type;
	const char *text;
	size_t len, pad;
	enum tls_outcome what;
	enum tls_why why;
	uint8_t alert; /* ours that follows; 0: none */
} inside[] = {
	/* 0 */ {0x0304, 23, "a", 1, 0, TLS_DATA, 0, 0},
	/* 1 */ {0x0304, 23, "a", 1, 200, TLS_DATA, 0, 0},
	/* 2 */ {0x0304, 23, "", 0, 0, TLS_NONE, 0, 0},
	/* 3 */ {0x0304, 0, "", 0, 0, TLS_ERROR, TLS_BAD_PLAINTEXT, 10},
	/* 4 */ {0x0304, 0, "", 0, 300, TLS_ERROR, TLS_BAD_PLAINTEXT, 10},
	/* 5 */ {0x0304, 20, "\1", 1, 0, TLS_ERROR, TLS_BAD_TYPE, 10},
	/* 6 */ {0x0304, 24, "\1", 1, 0, TLS_ERROR, TLS_BAD_TYPE, 10},
	/* 7 */ {0x0304, 23, NULL, 16384, 0, TLS_DATA, 0, 0},
	/* 8 */ {0x0304, 23, NULL, 16385, 0, TLS_ERROR, TLS_BAD_LENGTH, 22},
	/* 9 */ {0x0304, 23, NULL, 16384, 1, TLS_ERROR, TLS_BAD_LENGTH, 22},
	/* 10 */ {0x0304, 23, NULL, 1, 16383, TLS_DATA, 0, 0},
	/* 11 */ {0x0304, 21, "\1\0", 2, 0, TLS_CLOSE, 0, 0},
	/* 12 */ {0x0304, 21, "\2\0", 2, 0, TLS_CLOSE, 0, 0},
	/* 13 */ {0x0304, 21, "\1\132", 2, 0, TLS_NONE, 0, 0},
	/* 14 */ {0x0304, 21, "\1\12", 2, 0, TLS_ERROR, TLS_PEER_ALERT, 0},
	/* 15 */ {0x0304, 21, "\2\24", 2, 0, TLS_ERROR, TLS_PEER_ALERT, 0},
	/* 16 */ {0x0304, 21, "\2", 1, 0, TLS_ERROR, TLS_BAD_ALERT, 50},
	/* 17 */ {0x0304, 21, "", 0, 0, TLS_ERROR, TLS_BAD_ALERT, 50},
	/* 18 */ {0x0304, 21, "\1\0\1", 3, 0, TLS_ERROR, TLS_BAD_ALERT, 50},
	/* 19 */ {0x0304, 21, "\3\0", 2, 0, TLS_ERROR, TLS_BAD_ALERT, 50},
	/* 20 */ {0x0304, 22, "", 0, 0, TLS_ERROR, TLS_BAD_HANDSHAKE, 10},
	/* 21 */ {0x0304, 22, "\30\0\0\1\2", 5, 0, TLS_ERROR, TLS_BAD_HANDSHAKE, 10},
	/* 22 */ {0x0304, 22, "\30\0\0\0", 4, 0, TLS_ERROR, TLS_BAD_HANDSHAKE, 10},
	/* 23 */ {0x0304, 22, "\30\0\0\2\0\0", 6, 0, TLS_ERROR, TLS_BAD_HANDSHAKE, 10},
	/* 24 */ {0x0304, 22, "\30\0\0\1\0\30", 6, 0, TLS_ERROR, TLS_BAD_HANDSHAKE, 10},
	/* 25 */ {0x0304, 22, "\4\0\0\3abc", 7, 0, TLS_NONE, 0, 0},
	/* 26 */ {0x0304, 22, "\4\0\0\0\4\0\0\1x", 9, 0, TLS_NONE, 0, 0},
	/* 27 */ {0x0304, 22, "\4\1\0\1a", 5, 0, TLS_ERROR, TLS_BAD_HANDSHAKE, 10},
	/* 28 */ {0x0304, 22, "\1\0\0\1a", 5, 0, TLS_ERROR, TLS_BAD_HANDSHAKE, 10},
	/* 29 */ {0x0304, 22, "\15\0\0\1a", 5, 0, TLS_ERROR, TLS_BAD_HANDSHAKE, 10},
	/* 30 */ {0x0303, 23, "a", 1, 0, TLS_DATA, 0, 0},
	/* 31 */ {0x0303, 23, "", 0, 0, TLS_NONE, 0, 0},
	/* 32 */ {0x0303, 23, NULL, 16384, 0, TLS_DATA, 0, 0},
	/* 33 */ {0x0303, 23, NULL, 16385, 0, TLS_ERROR, TLS_BAD_LENGTH, 22},
	/* 34 */ {0x0303, 21, "\1\0", 2, 0, TLS_CLOSE, 0, 0},
	/* 35 */ {0x0303, 21, "\1\12", 2, 0, TLS_NONE, 0, 0},
	/* 36 */ {0x0303, 21, "\2\12", 2, 0, TLS_ERROR, TLS_PEER_ALERT, 0},
	/* 37 */ {0x0303, 22, "\0\0\0\0", 4, 0, TLS_NONE, 0, 100},
	/* 38 */ {0x0303, 22, "\0\0\0\1a", 5, 0, TLS_ERROR, TLS_BAD_HANDSHAKE, 10},
	/* 39 */ {0x0303, 22, "\1\0\0\2ab", 6, 0, TLS_NONE, 0, 100},
	/* 40 */ {0x0303, 22, "\1\0\100\1a", 5, 0, TLS_ERROR, TLS_BAD_HANDSHAKE, 10},
	/* 41 */ {0x0303, 22, "\30\0\0\1\0", 5, 0, TLS_ERROR, TLS_BAD_HANDSHAKE, 10},
	/* 42 */ {0x0303, 20, "\1", 1, 0, TLS_ERROR, TLS_BAD_TYPE, 10},
};

/* The alert that stands pending on US, as PEER would read it; 0 when there is none. */
static uint8_t alert_made(void)
{
	uint8_t small[TLS_SMALL_MAX];
	size_t len = tls_make(&tls, US, small);
	struct tls_conn *peer = &tls.conns[PEER];
	uint8_t nonce[AEAD_NONCE], aad[AAD_12], *data = small + peer->head_len;
	const bool is_13 = peer->suite->version == VERSION_13;

	if (!len)
		return 0;
	tls_nonce(&peer->in, nonce);
	tls_aad_12(&peer->in, 21, 2, aad);
	assert_int_equal(aead_open(&cipher, &peer->in.key, nonce, is_13 ? small : aad,
				   is_13 ? RECORD_HEAD : AAD_12, data, 2 + is_13),
			 0);
	tls_half_at(&peer->in, peer->in.seq + 1);
	return data[1];
}

static void test_inside(void **state)
{
	memset(big, 'x', sizeof(big));
	for (size_t i = 0; i < ARRAY_LEN(inside); i++) {
		struct tls_got got;

		pair(inside[i].version, inside[i].version == VERSION_13 ? 0x1301 : 0xc02f);
		got = forge_in(inside[i].type, inside[i].text ? inside[i].text : (char *)big,
			       inside[i].len, inside[i].pad);
		if (got.what != inside[i].what || got.why != inside[i].why)
			fail_msg("row %zu: %d, %s", i, got.what, tls_why_name(got.why));
		if (got.what == TLS_DATA) {
			assert_int_equal(got.len, inside[i].len);
			assert_memory_equal(got.data, inside[i].text ? inside[i].text : (char *)big,
					    got.len);
		}
		assert_int_equal(tls_pending(&tls, US), inside[i].alert != 0);
		assert_int_equal(alert_made(), inside[i].alert);
		if (got.what == TLS_ERROR) { /* nothing goes either way any more */
			uint8_t room[64];

			assert_int_equal(forge_in(23, "a", 1, 0).why, TLS_OVER);
			assert_int_equal(tls_seal(&tls, US, room, 1), 0);
			assert_false(tls_ready(&tls, US));
		}
	}
}

/* ---- refusals: the outside of a record ---- */

static const struct {
	uint16_t version, suite;
	uint8_t head[RECORD_HEAD];
	size_t len;
	enum tls_why why;
} outside[] = {
	/* 0 */ {0x0304, 0x1301, {23, 3, 3, 0, 17}, 4, TLS_BAD_LENGTH},
	/* 1 */ {0x0304, 0x1301, {23, 3, 3, 0, 17}, 0, TLS_BAD_LENGTH},
	/* 2 */ {0x0304, 0x1301, {23, 3, 3, 0, 17}, 21, TLS_BAD_LENGTH},
	/* 3 */ {0x0304, 0x1301, {23, 3, 3, 0, 17}, 23, TLS_BAD_LENGTH},
	/* 4 */ {0x0304, 0x1301, {23, 3, 3, 0, 17}, 22, TLS_BAD_TAG},
	/* 5 */ {0x0304, 0x1301, {23, 3, 3, 0, 0}, 5, TLS_BAD_TAG},
	/* 6 */ {0x0304, 0x1301, {23, 3, 3, 0, 15}, 20, TLS_BAD_TAG},
	/* 7 */ {0x0304, 0x1301, {23, 3, 1, 0, 17}, 22, TLS_BAD_VERSION},
	/* 8 */ {0x0304, 0x1301, {23, 3, 4, 0, 17}, 22, TLS_BAD_VERSION},
	/* 9 */ {0x0304, 0x1301, {21, 3, 3, 0, 17}, 22, TLS_BAD_TYPE},
	/* 10 */ {0x0304, 0x1301, {21, 3, 3, 0, 2}, 7, TLS_BAD_TAG},
	/* 11 */ {0x0304, 0x1301, {20, 3, 3, 0, 1}, 6, TLS_BAD_TAG},
	/* 12 */ {0x0304, 0x1301, {99, 3, 3, 0, 17}, 22, TLS_BAD_TYPE},
	/* 13 */ {0x0304, 0x1301, {23, 3, 3, 0x41, 0}, 5 + 16640, TLS_BAD_TAG},
	/* 14 */ {0x0304, 0x1301, {23, 3, 3, 0x41, 1}, 5 + 16641, TLS_BAD_LENGTH},
	/* 15 */ {0x0303, 0xc02f, {23, 3, 3, 0, 23}, 28, TLS_BAD_TAG},
	/* 16 */ {0x0303, 0xc02f, {23, 3, 3, 0, 24}, 29, TLS_BAD_TAG},
	/* 17 */ {0x0303, 0xc02f, {23, 3, 2, 0, 24}, 29, TLS_BAD_VERSION},
	/* 18 */ {0x0303, 0xcca8, {23, 3, 3, 0, 15}, 20, TLS_BAD_TAG},
	/* 19 */ {0x0303, 0xcca8, {23, 3, 3, 0x48, 0}, 5 + 18432, TLS_BAD_TAG},
};

static void test_outside(void **state)
{
	static uint8_t record[RECORD_MAX + 64];

	for (size_t i = 0; i < ARRAY_LEN(outside); i++) {
		struct tls_got got;

		pair(outside[i].version, outside[i].suite);
		memset(record, 0x5c, sizeof(record));
		memcpy(record, outside[i].head, RECORD_HEAD);
		got = tls_in(&tls, US, record, outside[i].len);
		if (got.what != TLS_ERROR || got.why != outside[i].why)
			fail_msg("row %zu: %d, %s", i, got.what, tls_why_name(got.why));
		assert_true(tls_pending(&tls, US));
		assert_int_not_equal(alert_made(), 0);
	}
}

static void test_flip(void **state)
{
	static const uint16_t suites[][2] = {{0x0304, 0x1301}, {0x0304, 0x1302}, {0x0304, 0x1303},
					     {0x0303, 0xc02f}, {0x0303, 0xc030}, {0x0303, 0xcca8}};
	uint8_t record[256];

	for (size_t s = 0; s < ARRAY_LEN(suites); s++) {
		for (unsigned bit = 0;; bit++) {
			struct tls_got got;
			size_t len;

			pair(suites[s][0], suites[s][1]);
			memcpy(record + tls_head_len(&tls, PEER), "hello", 5);
			len = tls_seal(&tls, PEER, record, 5);
			if (bit == len * 8)
				break;
			record[bit / 8] ^= 1 << bit % 8;
			got = tls_in(&tls, US, record, len);
			assert_int_equal(got.what, TLS_ERROR);
			assert_null(got.data);
		}
	}
}

/* A record that comes twice or out of order is no record. */
static void test_replay(void **state)
{
	uint8_t record[64], copy[64];
	size_t len;

	pair(VERSION_13, 0x1301);
	memcpy(record + 5, "one", 3);
	len = tls_seal(&tls, PEER, record, 3);
	memcpy(copy, record, len);
	assert_int_equal(tls_in(&tls, US, record, len).what, TLS_DATA);
	assert_int_equal(tls_in(&tls, US, copy, len).why, TLS_BAD_TAG);
}

/* ---- handshake messages in parts ---- */

static void test_split(void **state)
{
	static const uint8_t ticket[] = {4, 0, 0, 5, 1, 2, 3, 4, 5}, update[] = {24, 0, 0, 1, 1};

	for (size_t cut = 1; cut < sizeof(ticket); cut++) {
		pair(VERSION_13, 0x1303);
		assert_int_equal(forge_in(22, ticket, cut, 0).what, TLS_NONE);
		assert_int_equal(counts.v[COUNT_tls_tickets], 0);
		assert_int_equal(forge_in(22, ticket + cut, sizeof(ticket) - cut, 0).what,
				 TLS_NONE);
		assert_int_equal(counts.v[COUNT_tls_tickets], 1);
		assert_int_equal(forge_in(23, "a", 1, 0).what, TLS_DATA);
		/* Data between the parts is refused. */
		assert_int_equal(forge_in(22, ticket, cut, 0).what, TLS_NONE);
		assert_int_equal(forge_in(23, "a", 1, 0).why, TLS_BAD_HANDSHAKE);
	}
	for (size_t cut = 1; cut < sizeof(update); cut++) {
		pair(VERSION_13, 0x1302);
		assert_int_equal(forge_in(22, update, cut, 0).what, TLS_NONE);
		assert_int_equal(forge_in(22, update + cut, sizeof(update) - cut, 0).what,
				 TLS_NONE);
		tls_half_update(&tls, tls.conns[PEER].suite, &tls.conns[PEER].out);
		assert_int_equal(forge_in(23, "new key", 7, 0).what, TLS_DATA);
		assert_true(tls_pending(&tls, US)); /* it asked for one of ours */
	}
}

/* ---- limits ---- */

static void peer_update(uint8_t asked)
{
	const uint8_t update[] = {24, 0, 0, 1, asked};

	assert_int_equal(forge_in(22, update, sizeof(update), 0).what, TLS_NONE);
	tls_half_update(&tls, tls.conns[PEER].suite, &tls.conns[PEER].out);
}

static void test_update_limit(void **state)
{
	static const uint8_t update[] = {24, 0, 0, 1, 0};
	unsigned n;

	pair(VERSION_13, 0x1301);
	for (n = 0; n < UPDATE_CREDIT; n++) {
		peer_update(0);
		assert_int_equal(forge_in(23, "a", 1, 0).what, TLS_DATA);
	}
	for (n = 0; n < UPDATE_CREDIT_FOR - UPDATE_CREDIT % UPDATE_CREDIT_FOR; n++)
		assert_int_equal(forge_in(23, "a", 1, 0).what, TLS_DATA);
	peer_update(0); /* the one that came back */
	assert_int_equal(forge_in(22, update, sizeof(update), 0).why, TLS_TOO_MANY_UPDATES);
}

static void test_idle_limit(void **state)
{
	pair(VERSION_13, 0x1301);
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned n = 0; n < IDLE_MAX; n++)
			assert_int_equal(forge_in(23, "", 0, 0).what, TLS_NONE);
		if (!round)
			assert_int_equal(forge_in(23, "a", 1, 0).what, TLS_DATA);
	}
	assert_int_equal(forge_in(23, "", 0, 0).why, TLS_TOO_IDLE);
}

static size_t seal_text(unsigned conn, const char *text, uint8_t *record)
{
	memcpy(record + tls_head_len(&tls, conn), text, strlen(text));
	return tls_seal(&tls, conn, record, strlen(text));
}

static void test_asked_update(void **state)
{
	uint8_t record[64], small[TLS_SMALL_MAX];
	size_t len;

	pair(VERSION_13, 0x1301);
	peer_update(1);
	peer_update(1); /* asking twice gives one */
	assert_false(tls_ready(&tls, US));
	assert_int_equal(seal_text(US, "too early", record), 0);
	len = tls_make(&tls, US, small);
	assert_true(len > 0 && len <= TLS_SMALL_MAX);
	assert_int_equal(tls_make(&tls, US, record), 0);
	assert_int_equal(tls_in(&tls, PEER, small, len).what, TLS_NONE);
	assert_false(tls_pending(&tls, PEER));
	assert_true(tls_ready(&tls, US));
	len = seal_text(US, "now", record);
	assert_int_equal(tls_in(&tls, PEER, record, len).what, TLS_DATA);
}

static void test_renewal(void **state)
{
	uint8_t record[64], small[TLS_SMALL_MAX];
	size_t len;

	pair(VERSION_13, 0x1301);
	tls.conns[US].out.seq = tls.conns[PEER].in.seq = GCM_RECORDS_RENEW - 1;
	len = seal_text(US, "last", record);
	assert_int_equal(tls_in(&tls, PEER, record, len).what, TLS_DATA);
	assert_false(tls_pending(&tls, US));
	len = seal_text(US, "one more", record); /* it is due, not overdue */
	assert_int_equal(tls_in(&tls, PEER, record, len).what, TLS_DATA);
	assert_true(tls_pending(&tls, US));
	tls.conns[US].out.seq = tls.conns[PEER].in.seq = GCM_RECORDS_MAX;
	assert_false(tls_ready(&tls, US));
	assert_int_equal(seal_text(US, "overdue", record), 0);
	len = tls_make(&tls, US, small);
	assert_int_equal(tls_in(&tls, PEER, small, len).what, TLS_NONE);
	assert_int_equal(tls.conns[US].out.seq, 0);
	len = seal_text(US, "fresh", record);
	assert_int_equal(tls_in(&tls, PEER, record, len).what, TLS_DATA);
	assert_false(tls_worn(&tls, US));

	pair(VERSION_13, 0x1303); /* ChaCha20 has no such limit */
	tls.conns[US].out.seq = GCM_RECORDS_MAX;
	assert_int_not_equal(seal_text(US, "on", record), 0);
	assert_false(tls_pending(&tls, US));

	pair(VERSION_12, 0xc02f);
	assert_false(tls_worn(&tls, US));
	tls.conns[US].out.seq = GCM_RECORDS_MAX;
	assert_true(tls_worn(&tls, US));
	assert_int_not_equal(seal_text(US, "on", record), 0);

	tls.conns[US].out.seq = UINT64_MAX;
	assert_int_equal(seal_text(US, "end", record), 0);
	assert_int_equal(counts.v[COUNT_tls_seq_end], 1);
	tls.conns[US].in.seq = UINT64_MAX;
	assert_int_equal(forge_in(23, "a", 1, 0).why, TLS_SEQ_END);
}

static void test_close_order(void **state)
{
	uint8_t record[64], small[TLS_SMALL_MAX];
	size_t len;

	pair(VERSION_13, 0x1301);
	peer_update(1);
	tls_close(&tls, US);
	len = tls_make(&tls, US, small); /* the update owed, then close_notify, then nothing */
	assert_int_equal(tls_in(&tls, PEER, small, len).what, TLS_NONE);
	len = seal_text(US, "still", record);
	assert_int_equal(tls_in(&tls, PEER, record, len).what, TLS_DATA);
	len = tls_make(&tls, US, small);
	assert_int_equal(tls_in(&tls, PEER, small, len).what, TLS_CLOSE);
	assert_int_equal(tls_make(&tls, US, small), 0);
	assert_int_equal(seal_text(US, "no", record), 0);
	tls_close(&tls, US);
	assert_false(tls_pending(&tls, US));
	assert_int_equal(tls_seal(&tls, PEER, record, 0), 0);
	assert_int_equal(tls_seal(&tls, PEER, record, TLS_PAYLOAD_MAX + 1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc8448),	   cmocka_unit_test(test_start),
		cmocka_unit_test(test_inside),	   cmocka_unit_test(test_outside),
		cmocka_unit_test(test_flip),	   cmocka_unit_test(test_replay),
		cmocka_unit_test(test_split),	   cmocka_unit_test(test_update_limit),
		cmocka_unit_test(test_idle_limit), cmocka_unit_test(test_asked_update),
		cmocka_unit_test(test_renewal),	   cmocka_unit_test(test_close_order),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
