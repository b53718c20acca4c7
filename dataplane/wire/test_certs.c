/* test_certs.c - certificates and the bodies of the link handshake: round trips, cuts at every
 * byte, and tables of what must not parse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "dataplane/wire/certs.h"

static const uint8_t key[32] = {1, 2, 3, [31] = 9}, signer[32] = {7, [31] = 8};

/* A certificate with a signature of 0x55. */
static size_t cert_of(uint8_t *out, bool show_signer)
{
	struct writer w = writer_of(out, ED_CERT_MAX);

	ed_cert_write(&w, CERTS_ED_SIGNING, CERT_KEY_ED25519, key, 3601,
		      show_signer ? signer : NULL);
	memset(wr_space(&w, ED_SIG), 0x55, ED_SIG);
	return wr_len(&w);
}

static void ed_cert_round_trip(void **state)
{
	uint8_t p[ED_CERT_MAX + 1] = {0};
	struct ed_cert c;

	for (int shown = 0; shown < 2; shown++) {
		size_t len = cert_of(p, shown);

		assert_int_equal(len, shown ? 140 : 104);
		assert_int_equal(ed_cert_parse(&c, p, len), 0);
		assert_int_equal(c.type, 4);
		assert_int_equal(c.key_type, 1);
		assert_int_equal(c.expires_h, 2); /* rounded up */
		assert_memory_equal(c.key, key, 32);
		assert_int_equal(c.has_signer, shown);
		if (shown)
			assert_memory_equal(c.signer, signer, 32);
		assert_int_equal(c.body.len, len - ED_SIG);
		assert_ptr_equal(c.sig, p + len - ED_SIG);
		for (size_t cut = 0; cut < len; cut++)
			assert_int_equal(ed_cert_parse(&c, p, cut), ERR_MALFORMED);
		assert_int_equal(ed_cert_parse(&c, p, len + 1), ERR_MALFORMED);
	}
}

/* One extension, as bytes after the count, ahead of the signature. */
static void ed_cert_extensions(void **state)
{
	static const struct {
		uint8_t n;
		uint8_t ext[48];
		size_t len;
		int err;
	} rows[] = {
		/* 0 none */ {0, {0}, 0, 0},
		/* 1 unknown, does not matter */ {1, {0, 2, 9, 0, 1, 2}, 6, 0},
		/* 2 unknown, affects validation */ {1, {0, 2, 9, 1, 1, 2}, 6, ERR_MALFORMED},
		/* 3 empty unknown */ {1, {0, 0, 9, 0}, 4, 0},
		/* 4 other flags do not matter */ {1, {0, 0, 9, 2}, 4, 0},
		/* 5 signer, one byte short */ {1, {0, 31, 4, 0}, 35, ERR_MALFORMED},
		/* 6 signer, one byte long */ {1, {0, 33, 4, 0}, 37, ERR_MALFORMED},
		/* 7 counted but absent */ {1, {0}, 0, ERR_MALFORMED},
		/* 8 length past the end */ {1, {255, 255, 9, 0}, 4, ERR_MALFORMED},
		/* 9 present but not counted */ {0, {0, 0, 9, 0}, 4, ERR_MALFORMED},
		/* 10 signer, whole */ {1, {0, 32, 4, 1}, 36, 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t p[256];
		struct writer w = writer_of(p, sizeof(p));
		struct ed_cert c;

		ed_cert_write(&w, 4, 1, key, 0, NULL);
		p[39] = rows[i].n;
		wr_bytes(&w, rows[i].ext, rows[i].len);
		memset(wr_space(&w, ED_SIG), 0, ED_SIG);
		if (ed_cert_parse(&c, p, wr_len(&w)) != rows[i].err)
			print_error("row %zu\n", i);
		assert_int_equal(ed_cert_parse(&c, p, wr_len(&w)), rows[i].err);
	}
}

static void ed_cert_twice_signed(void **state)
{
	uint8_t p[256];
	struct writer w = writer_of(p, sizeof(p));
	struct ed_cert c;

	ed_cert_write(&w, 4, 1, key, 0, signer);
	p[39] = 2;
	wr_u32(&w, 0x00200400);
	wr_bytes(&w, signer, 32);
	memset(wr_space(&w, ED_SIG), 0, ED_SIG);
	assert_int_equal(ed_cert_parse(&c, p, wr_len(&w)), ERR_MALFORMED);
	p[0] = 2; /* another version */
	assert_int_equal(ed_cert_parse(&c, p, wr_len(&w)), ERR_MALFORMED);
}

static void cross_cert(void **state)
{
	uint8_t p[200] = {0};
	struct writer w = writer_of(p, sizeof(p));
	struct rsa_ed_cross c;
	size_t len;

	wr_bytes(&w, key, 32);
	wr_u32(&w, 77);
	wr_u8(&w, 128);
	wr_space(&w, 128);
	len = wr_len(&w);
	assert_int_equal(rsa_ed_cross_parse(&c, p, len), 0);
	assert_int_equal(c.expires_h, 77);
	assert_int_equal(c.signed_part.len, 36);
	assert_int_equal(c.sig.len, 128);
	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(rsa_ed_cross_parse(&c, p, cut), ERR_MALFORMED);
	assert_int_equal(rsa_ed_cross_parse(&c, p, len + 1), ERR_MALFORMED);
}

static void certs_body_rows(void **state)
{
	static const uint8_t types[] = {2, 4, 7};
	struct bytes in[N_CERTS_TYPES] = {[2] = {(const uint8_t *)"two", 3},
					  [4] = {(const uint8_t *)"four", 4},
					  [7] = {(const uint8_t *)"", 0}};
	uint8_t p[64] = {0};
	struct writer w = writer_of(p, sizeof(p));
	struct certs_body c;
	size_t len;

	certs_write(&w, in, types, 3);
	len = wr_len(&w);
	assert_int_equal(certs_parse(&c, p, len), 0);
	assert_memory_equal(c.cert[4].p, "four", 4);
	assert_int_equal(c.cert[2].len, 3);
	assert_non_null(c.cert[7].p);
	assert_null(c.cert[1].p);
	assert_int_equal(c.dup, 0);
	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(certs_parse(&c, p, cut), ERR_MALFORMED);
	assert_int_equal(certs_parse(&c, p, len + 5),
			 0); /* as C tor: what follows is not looked at */
	p[1] = 4;
	assert_int_equal(certs_parse(&c, p, len), 0);
	assert_int_equal(c.dup, 1 << 4);
	p[1] = 200; /* an unknown type is passed over */
	assert_int_equal(certs_parse(&c, p, len), 0);
	assert_null(c.cert[2].p);
	assert_memory_equal(c.cert[4].p, "four", 4);
	assert_int_equal(certs_parse(&c, (const uint8_t *)"\0", 1), 0);
}

static void versions_rows(void **state)
{
	static const struct {
		uint8_t p[8];
		size_t len;
		int want;
	} rows[] = {
		/* 0 */ {{0}, 0, 0},
		/* 1 */ {{0, 3}, 2, 0},
		/* 2 */ {{0, 4}, 2, 4},
		/* 3 */ {{0, 3, 0, 5, 0, 4}, 6, 5},
		/* 4 */ {{0, 3, 0, 4, 0, 99}, 6, 4},
		/* 5 */ {{1, 5}, 2, 0},
		/* 6 */ {{0, 36}, 2, 0}, /* 36 mod 32 is 4 */
		/* 7 */ {{0, 4, 0}, 3, ERR_MALFORMED},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(versions_pick(rows[i].p, rows[i].len, 1 << 4 | 1 << 5),
				 rows[i].want);
}

static void challenge_rows(void **state)
{
	uint8_t challenge[32] = {1}, p[64];
	struct writer w = writer_of(p, sizeof(p));

	auth_challenge_write(&w, challenge);
	assert_int_equal(wr_len(&w), 36);
	assert_int_equal(auth_challenge_has(p, 36, 3), 1);
	assert_int_equal(auth_challenge_has(p, 36, 1), 0);
	for (size_t cut = 0; cut < 36; cut++)
		assert_int_equal(auth_challenge_has(p, cut, 3), ERR_MALFORMED);
	p[33] = 2; /* two announced, one there */
	assert_int_equal(auth_challenge_has(p, 36, 3), ERR_MALFORMED);
	p[33] = 0;
	assert_int_equal(auth_challenge_has(p, 36, 3), 0);
}

static void authenticate_rows(void **state)
{
	static const uint8_t p[] = {0, 3, 0, 2, 8, 9, 7};
	struct bytes body;
	uint16_t method;

	assert_int_equal(authenticate_parse(p, 7, &method, &body),
			 0); /* bytes behind are ignored */
	assert_int_equal(method, 3);
	assert_int_equal(body.len, 2);
	assert_int_equal(body.p[1], 9);
	for (size_t cut = 0; cut < 6; cut++)
		assert_int_equal(authenticate_parse(p, cut, &method, &body), ERR_MALFORMED);
}

static void netinfo_rows(void **state)
{
	static const struct {
		uint8_t p[64];
		size_t len;
		int err;
		unsigned n_mine;
	} rows[] = {
		/* 0 a client's */ {{0, 0, 0, 0, 4, 4, 1, 2, 3, 4, 0}, 64, 0, 0},
		/* 1 v6 */ {{0, 0, 0, 1, 6, 16}, 64, 0, 0},
		/* 2 a name */ {{0, 0, 0, 0, 0, 1, 'x', 0}, 64, ERR_MALFORMED, 0},
		/* 3 v4 of five bytes */
		{{0, 0, 0, 0, 4, 5, 1, 2, 3, 4, 5, 0}, 64, ERR_MALFORMED, 0},
		/* 4 v6 of four */ {{0, 0, 0, 0, 6, 4, 1, 2, 3, 4, 0}, 64, ERR_MALFORMED, 0},
		/* 5 error types */ {{0, 0, 0, 0, 0xf0, 0, 0}, 64, ERR_MALFORMED, 0},
		/* 6 mine of an unknown type */
		{{0, 0, 0, 0, 4, 4, 1, 2, 3, 4, 2, 9, 2, 1, 1, 4, 4, 5, 6, 7, 8}, 64, 0, 1},
		/* 7 mine is v4 of three bytes */
		{{0, 0, 0, 0, 4, 4, 1, 2, 3, 4, 1, 4, 3, 1, 1, 1}, 64, ERR_MALFORMED, 0},
		/* 8 fewer than announced */
		{{0, 0, 0, 0, 4, 4, 1, 2, 3, 4, 2, 4, 4, 5, 6, 7, 8}, 17, ERR_MALFORMED, 0},
		/* 9 cut in the time */ {{0, 0, 0}, 3, ERR_MALFORMED, 0},
		/* 10 cut before the count */
		{{0, 0, 0, 0, 4, 4, 1, 2, 3, 4}, 10, ERR_MALFORMED, 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct netinfo n = {.n_mine = 99};

		if (netinfo_parse(&n, rows[i].p, rows[i].len) != rows[i].err)
			print_error("row %zu\n", i);
		assert_int_equal(netinfo_parse(&n, rows[i].p, rows[i].len), rows[i].err);
		assert_int_equal(n.n_mine, rows[i].err ? 99 : rows[i].n_mine);
	}
}

static void netinfo_round_trip(void **state)
{
	struct netinfo in = {.time_s = 5, .n_mine = 2}, out;
	uint8_t p[509] = {0};
	struct writer w = writer_of(p, sizeof(p));

	assert_int_equal(addr_parse(&in.other, "1.2.3.4"), 0);
	assert_int_equal(addr_parse(&in.mine[0], "5.6.7.8"), 0);
	assert_int_equal(addr_parse(&in.mine[1], "2001:db8::1"), 0);
	netinfo_write(&w, &in);
	assert_int_equal(netinfo_parse(&out, p, sizeof(p)), 0);
	assert_int_equal(out.time_s, 5);
	assert_true(addr_same(&in.other, &out.other));
	assert_int_equal(out.n_mine, 2);
	assert_true(addr_same(&in.mine[0], &out.mine[0]) && addr_same(&in.mine[1], &out.mine[1]));
	/* as many addresses as a cell holds, and more */
	p[10] = 255;
	for (size_t at = 11; at + 6 <= sizeof(p); at += 6)
		memcpy(p + at, "\4\4\1\1\1\1", 6);
	assert_int_equal(netinfo_parse(&out, p, sizeof(p)), ERR_MALFORMED);
	p[10] = 83;
	assert_int_equal(netinfo_parse(&out, p, sizeof(p)), 0);
	assert_int_equal(out.n_mine, 83);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ed_cert_round_trip),	cmocka_unit_test(ed_cert_extensions),
		cmocka_unit_test(ed_cert_twice_signed), cmocka_unit_test(cross_cert),
		cmocka_unit_test(certs_body_rows),	cmocka_unit_test(versions_rows),
		cmocka_unit_test(challenge_rows),	cmocka_unit_test(authenticate_rows),
		cmocka_unit_test(netinfo_rows),		cmocka_unit_test(netinfo_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
