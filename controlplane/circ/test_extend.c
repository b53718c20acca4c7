/* test_extend.c - EXTEND2 in rows: whom a client may go on to; and what happens while the link is
 * on its way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "controlplane/circ/fake.h"

#define ID   wid_make(3, 7, 9)
#define CONN wid_make(1, 4, 2)

enum {
	PRIVATE_OK = 1, /* ExtendAllowPrivateAddresses */
	HAS_V6 = 2,	/* we have an IPv6 ORPort */
	LISTED = 4,	/* the relay is in the consensus: 20.0.0.1:9, [2600::1]:9, Ed 4444.. */
	NO_LINK = 8,	/* the client's link is gone */
};
static const struct {
	int n;
	const char *or4, *or6;
	uint8_t rsa, ed; /* every byte; ed 0: not named */
	uint16_t type, skin_len;
	int with;
	int reason;  /* 0: a link is asked for */
	int targets; /* 1: IPv4, 2: IPv6 */
	uint8_t want_ed;
} rows[] = {
	{1, "8.8.8.8:9001", NULL, 0x11, 0, 2, 84, 0, 0, 1, 0},
	{2, "8.8.8.8:9001", NULL, 0x11, 0x12, 3, 200, 0, 0, 1, 0x12},
	{3, "8.8.8.8:9001", NULL, 0x00, 0, 2, 84, 0, DESTROY_TORPROTOCOL, 0, 0},
	{4, "8.8.8.8:0", NULL, 0x11, 0, 2, 84, 0, DESTROY_TORPROTOCOL, 0, 0},
	{5, "0.0.0.0:9", NULL, 0x11, 0, 2, 84, PRIVATE_OK, DESTROY_TORPROTOCOL, 0, 0},
	{6, "10.0.0.1:9", NULL, 0x11, 0, 2, 84, 0, DESTROY_TORPROTOCOL, 0, 0},
	{7, "10.0.0.1:9", NULL, 0x11, 0, 2, 84, PRIVATE_OK, 0, 1, 0},
	{8, "8.8.8.8:9", NULL, 0x77, 0, 2, 84, 0, DESTROY_TORPROTOCOL, 0, 0}, /* whence it came */
	{9, "8.8.8.8:9", NULL, 0x11, 0x78, 2, 84, 0, DESTROY_TORPROTOCOL, 0, 0},
	{10, "8.8.8.8:9", NULL, 0x55, 0, 2, 84, 0, DESTROY_CONNECTFAILED, 0, 0}, /* us */
	{11, "8.8.8.8:9", NULL, 0x11, 0x56, 2, 84, 0, DESTROY_CONNECTFAILED, 0, 0},
	{12, NULL, "[2600::9]:9", 0x11, 0, 2, 84, 0, DESTROY_CONNECTFAILED, 0, 0},
	{13, NULL, "[2600::9]:9", 0x11, 0, 2, 84, HAS_V6, 0, 2, 0},
	{14, "8.8.8.8:9", "[2600::9]:9", 0x11, 0, 2, 84, HAS_V6, 0, 3, 0},
	{15, "8.8.8.8:9", "[2600::9]:9", 0x11, 0, 2, 84, 0, 0, 1, 0},
	{16, "8.8.8.8:9", "[fe80::9]:9", 0x11, 0, 2, 84, HAS_V6, 0, 1, 0},
	{17, "8.8.8.8:9", NULL, 0x11, 0, 2, 84, LISTED | HAS_V6, 0, 3, 0x44},
	{18, "8.8.8.8:9", NULL, 0x11, 0x12, 2, 84, LISTED, 0, 1, 0x12},
	{19, NULL, "[2600::9]:9", 0x11, 0, 2, 84, LISTED, 0, 1, 0x44},
	{20, "8.8.8.8:9", NULL, 0x11, 0, HANDSHAKE_TAP, 84, 0, DESTROY_TORPROTOCOL, 0, 0},
	{21, "8.8.8.8:9", NULL, 0x11, 0, HANDSHAKE_FAST, 20, 0, DESTROY_TORPROTOCOL, 0, 0},
	{22, "8.8.8.8:9", NULL, 0x11, 0, HANDSHAKE_NTOR, 83, 0, DESTROY_TORPROTOCOL, 0, 0},
	{23, "8.8.8.8:9", NULL, 0x11, 0, 0xff00, 7, 0, 0, 1, 0}, /* unknown: passed on */
	{24, "8.8.8.8:9", NULL, 0x11, 0, 2, 84, NO_LINK, DESTROY_CHANNEL_CLOSED, 0, 0},
};

static size_t extend_make(uint8_t *body, const char *or4, const char *or6, uint8_t rsa, uint8_t ed,
			  uint16_t type, uint16_t len)
{
	static const uint8_t skin[505] = {0xaa, 0xbb};
	struct extend2 e = {.has_ed = ed != 0, .create = {type, len, skin}};
	int n;

	memset(e.rsa_id, rsa, 20);
	memset(e.ed_id, ed, 32);
	if (or4)
		assert_int_equal(addr_parse(&e.or4, or4), 0);
	if (or6)
		assert_int_equal(addr_parse(&e.or6, or6), 0);
	n = extend2_put(&e, body, 498);
	assert_true(n > 0);
	return (size_t)n;
}

static void set_up(int with)
{
	fake_settings.extend_private = (with & PRIVATE_OK) != 0;
	fake_settings.ipv6_orport = (with & HAS_V6) != 0;
	fake_apply();
	fake.listed = (with & LISTED) != 0;
	fake.no_peer = (with & NO_LINK) != 0;
	addr_parse(&fake.node.or4, "20.0.0.1:9");
	addr_parse(&fake.node.or6, "[2600::1]:9");
	memset(fake.node.ed_id, 0x44, 32);
	fake.node.has_ed = true;
	fake.n_links = 0;
}

static void test_rows(void **state)
{
	unsigned n_waited = 0;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t body[498];
		size_t len = extend_make(body, rows[i].or4, rows[i].or6, rows[i].rsa, rows[i].ed,
					 rows[i].type, rows[i].skin_len);
		int targets = 0;

		set_up(rows[i].with);
		fake_open(ID);
		fake_relay(ID, RELAY_EXTEND2, 1, body, len);
		if (rows[i].reason) {
			if (fake_n_sent != 1 || fake_sent[0].type != CTL_CIRC_CLOSE ||
			    (int)fake_sent[0].arg != rows[i].reason || fake.n_links)
				fail_msg("row %d: %u", rows[i].n, fake_sent[0].arg);
			continue;
		}
		if (fake_n_sent || fake.n_links != 1)
			fail_msg("row %d: %u sent", rows[i].n, fake_n_sent);
		for (unsigned a = 0; a < fake.target.n_addrs; a++)
			targets |= fake.target.addrs[a].family == 4 ? 1 : 2;
		if (targets != rows[i].targets || fake.target.has_ed != (rows[i].want_ed != 0) ||
		    fake.target.ed_id[5] != rows[i].want_ed || fake.target.rsa_id[5] != rows[i].rsa)
			fail_msg("row %d: targets %d", rows[i].n, targets);
		fake_up(CTL_CIRC_CLOSED, ID, 0, NULL, NULL, 0);
		n_waited++;
	}
	assert_int_equal(fake.n_forgets, n_waited);
}

static void test_malformed(void **state)
{
	uint8_t body[498];
	size_t len = extend_make(body, "8.8.8.8:9", NULL, 0x11, 0, 2, 84);

	for (size_t cut = 0; cut < len; cut++) {
		fake_open(ID);
		fake_relay(ID, RELAY_EXTEND2, 1, body, cut);
		assert_int_equal(fake_sent[0].type, CTL_CIRC_CLOSE);
		assert_int_equal(fake_sent[0].arg, DESTROY_TORPROTOCOL);
	}
	assert_int_equal(circ_figures(fake_circs)->extend_malformed, len);
}

static void assert_extended(unsigned at, uint32_t serial)
{
	struct ctl_circ_extend b;

	assert_int_equal(fake_sent[at].type, CTL_CIRC_EXTEND);
	assert_true(fake_sent[at].id == ID);
	memcpy(&b, fake_sent[at].body, sizeof(b));
	assert_int_equal(b.serial, serial);
	assert_true(b.conn == CONN);
	assert_int_equal(fake_sent[at].len, 88);
	assert_memory_equal(fake_sent[at].tail, "\0\2\0\x54\xaa\xbb", 6);
}

static void done(uint32_t serial, bool ok)
{
	struct ctl_circ_done b = {.serial = serial, .ok = ok, .reason = 1};

	fake_up(CTL_CIRC_DONE, ID, 0, &b, NULL, 0);
}

static void test_link_there(void **state)
{
	uint8_t body[498];
	size_t len = extend_make(body, "8.8.8.8:9", NULL, 0x11, 0, 2, 84);

	fake.link_now = CONN;
	fake_open(ID);
	fake_relay(ID, RELAY_EXTEND2, 4, body, len);
	assert_int_equal(fake_n_sent, 1);
	assert_extended(0, 4);
	done(3, false); /* of an older one */
	done(4, true);
	assert_int_equal(circ_figures(fake_circs)->extend_open, 1);
	done(4, true);
	assert_int_equal(circ_figures(fake_circs)->extend_open, 1);
	/* It does not end here any more, */
	fake_relay(ID, RELAY_ESTABLISH_RENDEZVOUS, 4, "12345678901234567890", 20);
	assert_int_equal(fake_sent[1].type, CTL_CIRC_CLOSE);
	/* unless it was truncated, which a newer serial tells. */
	fake_open(ID);
	fake_relay(ID, RELAY_EXTEND2, 4, body, len);
	done(4, true);
	fake_relay(ID, RELAY_ESTABLISH_RENDEZVOUS, 5, "12345678901234567890", 20);
	assert_int_equal(fake_sent[1].type, CTL_CIRC_SEND);
}

static void test_link_later(void **state)
{
	uint8_t body[498];
	size_t len = extend_make(body, "8.8.8.8:9", NULL, 0x11, 0, 2, 84);
	link_cb cb;
	void *arg;

	fake_open(ID);
	fake_relay(ID, RELAY_EXTEND2, 1, body, len);
	assert_int_equal(fake_n_sent, 0);
	fake.cb(fake.cb_arg, CONN, 0);
	assert_extended(0, 1);
	assert_int_equal(fake.n_forgets, 0);
	/* The dial fails. */
	fake_open(ID);
	fake_relay(ID, RELAY_EXTEND2, 1, body, len);
	fake.cb(fake.cb_arg, WID_NONE, DESTROY_OR_IDENTITY);
	assert_int_equal(fake_sent[0].type, CTL_CIRC_CLOSE);
	assert_int_equal(fake_sent[0].arg, DESTROY_CHANNEL_CLOSED);
	assert_int_equal(fake.n_forgets, 0);
	assert_int_equal(circ_figures(fake_circs)->n_circs, 0);
	/* Truncated and extended again while waiting: the first wait is forgotten. */
	fake_open(ID);
	fake_relay(ID, RELAY_EXTEND2, 1, body, len);
	fake_relay(ID, RELAY_EXTEND2, 3, body, len);
	assert_int_equal(fake.n_forgets, 1);
	cb = fake.cb;
	arg = fake.cb_arg;
	cb(arg, CONN, 0);
	assert_extended(0, 3);
	/* A second one under the same serial is a violation. */
	fake_relay(ID, RELAY_EXTEND2, 3, body, len);
	assert_int_equal(fake_sent[1].arg, DESTROY_TORPROTOCOL);
	/* Refused at once. */
	fake.link_why = DESTROY_CONNECTFAILED;
	fake_open(ID);
	fake_relay(ID, RELAY_EXTEND2, 1, body, len);
	assert_int_equal(fake_sent[0].type, CTL_CIRC_CLOSE);
	assert_int_equal(fake_sent[0].arg, DESTROY_CONNECTFAILED);
	assert_int_equal(circ_figures(fake_circs)->extend_no_link, 2);
	/* The door is full when the link comes. */
	fake.link_why = 0;
	fake_open(ID);
	fake_relay(ID, RELAY_EXTEND2, 1, body, len);
	fake_door_full = true;
	fake.cb(fake.cb_arg, CONN, 0);
	assert_int_equal(circ_figures(fake_circs)->n_circs, 0);
}

#define WITH(t) cmocka_unit_test_setup_teardown(t, fake_setup, fake_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(test_rows),
		WITH(test_malformed),
		WITH(test_link_there),
		WITH(test_link_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
