/* test_stream.c - BEGIN, RESOLVE and BEGIN_DIR in rows: the decision, its reason, the address; and
 * directory streams under credit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "controlplane/circ/fake.h"

#define ID     wid_make(3, 7, 9)
#define STREAM wid_make(3, 1, 1)

static void stream_up(uint8_t command, const void *body, size_t len)
{
	struct ctl_stream_recv r = {.circ = ID, .conn = wid_make(0, 5, 1), .command = command};

	fake_n_sent = 0;
	fake.n_asked = 0;
	fake_up(CTL_STREAM_RECV, STREAM, 0, &r, body, len);
}

enum {
	CLIENT = 1,
	UNKNOWN = 2,
	UNKNOWN_OK = 4,
	NO_V6 = 8, /* IPv6Exit 0 */
	HIBERNATING = 16,
	REENTRY = 32,
	REENTRY_OK = 64,
	NO_PEER = 128,
	NO_LOCAL = 256,
	DENY = 512,
	DNS_BAD = 1024,
	DNS_BUSY = 2048,
};
enum { ASKED = 100 }; /* a name is looked up */

static void set_up(int with)
{
	static struct addr deny;

	fake.peer.kind = with & CLIENT	  ? CTL_PEER_CLIENT
			 : with & UNKNOWN ? CTL_PEER_UNKNOWN_RELAY
					  : CTL_PEER_RELAY;
	fake.no_peer = (with & NO_PEER) != 0;
	fake.reentry = (with & REENTRY) != 0;
	fake.dns_error = with & DNS_BAD ? ERR_MALFORMED : with & DNS_BUSY ? ERR_FULL : 0;
	fake_settings.refuse_unknown_exits = !(with & UNKNOWN_OK);
	fake_settings.ipv6_exit = !(with & NO_V6);
	fake_settings.hibernating = (with & HIBERNATING) != 0;
	fake_settings.allow_reentry = (with & REENTRY_OK) != 0;
	fake_settings.exit4.family = with & NO_LOCAL ? 0 : 4;
	addr_parse(&deny, "8.8.4.4");
	fake_settings.deny = &deny;
	fake_settings.n_deny = with & DENY ? 1 : 0;
	fake_apply();
}

static const struct {
	int n;
	const char *target;
	uint32_t flags;
	int with;
	int want; /* END reason; 0: opened; ASKED */
} rows[] = {
	{1, "8.8.8.8:80", 0, 0, 0},
	{2, "8.8.8.8:25", 0, 0, END_EXITPOLICY},
	{3, "127.0.0.1:80", 0, 0, END_EXITPOLICY},
	{4, "[2600::1]:80", 0, 0, 0},
	{5, "[2600::1]:80", 0, NO_V6, END_EXITPOLICY},
	{6, "[2001:db8:bad::1]:80", 0, 0, END_EXITPOLICY},
	{7, "[::ffff:8.8.8.8]:80", 0, 0, END_EXITPOLICY},
	{8, "8.8.8.8:80", 0, CLIENT, END_TORPROTOCOL},
	{9, "8.8.8.8:80", 0, UNKNOWN, END_MISC},
	{10, "8.8.8.8:80", 0, UNKNOWN | UNKNOWN_OK, 0},
	{11, "8.8.8.8:80", 0, CLIENT | UNKNOWN_OK, END_TORPROTOCOL},
	{12, "8.8.8.8:80", 0, NO_PEER, END_TORPROTOCOL},
	{13, "8.8.8.8:80", 0, HIBERNATING, END_HIBERNATING},
	{14, "8.8.8.8:80", 0, REENTRY, END_CONNECTREFUSED},
	{15, "8.8.8.8:80", 0, REENTRY | REENTRY_OK, 0},
	{16, "8.8.8.8:80", 0, NO_LOCAL, END_NOROUTE},
	{17, "8.8.4.4:53", 0, DENY, END_EXITPOLICY},
	{18, "8.8.8.8:53", 0, DENY, 0},
	{19, "example.com:80", 0, 0, ASKED},
	{20, "example.com:80", BEGIN_IPV4_NOT_OK | BEGIN_IPV6_OK, NO_V6, END_EXITPOLICY},
	{21, "example.com:80", 0, DNS_BAD, END_RESOLVEFAILED},
	{22, "example.com:80", 0, DNS_BUSY, END_RESOURCELIMIT},
	{23, "4.3.2.1.in-addr.arpa:80", 0, 0, END_RESOLVEFAILED},
	{24, "3.2.1.in-addr.arpa:80", 0, 0, END_RESOLVEFAILED},
	{25, "example.com:0", 0, 0, END_TORPROTOCOL},
	{26, "example.com", 0, 0, END_TORPROTOCOL},
};

static void test_begin(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t body[300];
		size_t len = strlen(rows[i].target) + 1;

		set_up(rows[i].with);
		memcpy(body, rows[i].target, len);
		be32_put(body + len, rows[i].flags);
		stream_up(RELAY_BEGIN, body, len + 4);
		if (rows[i].want == ASKED) {
			assert_int_equal(fake.n_asked, 1);
			assert_int_equal(fake_n_sent, 0);
			fake.dns_fn(fake.dns_arg, &(struct dns_answer) {.outcome4 = DNS_NO_SUCH});
			assert_int_equal(fake_sent[0].tail[0], END_RESOLVEFAILED);
			continue;
		}
		assert_int_equal(fake_n_sent, 1);
		if (rows[i].want &&
		    (fake_sent[0].type != CTL_STREAM_CLOSE || fake_sent[0].arg != RELAY_END ||
		     fake_sent[0].tail[0] != rows[i].want))
			fail_msg("row %d: %u", rows[i].n, fake_sent[0].tail[0]);
		if (!rows[i].want) {
			struct ctl_stream_open o;

			memcpy(&o, fake_sent[0].body, sizeof(o));
			if (fake_sent[0].type != CTL_STREAM_OPEN || o.kind != CTL_STREAM_TCP ||
			    o.ttl != 1800 || o.local.family != o.remote.family || o.local.port)
				fail_msg("row %d", rows[i].n);
		}
	}
	/* Refused by policy: the address and its TTL go along. */
	set_up(0);
	stream_up(RELAY_BEGIN, "8.8.8.8:25", 11);
	assert_int_equal(fake_sent[0].len, 9);
	assert_memory_equal(fake_sent[0].tail, "\4\x8\x8\x8\x8\0\0\x7\x8", 9);
	stream_up(RELAY_BEGIN, "no end", 6);
	assert_int_equal(fake_sent[0].tail[0], END_TORPROTOCOL);
}

static const struct {
	int n;
	const char *a4, *a6;
	uint16_t port;
	uint32_t flags;
	int with, want; /* 4, 6: the family; else an END reason, negative */
} name_rows[] = {
	{1, "8.8.8.8", NULL, 80, 0, 0, 4},
	{2, "8.8.8.8", "2600::1", 80, 0, 0, 4},
	{3, "8.8.8.8", "2600::1", 80, BEGIN_IPV6_OK, 0, 4},
	{4, "8.8.8.8", "2600::1", 80, BEGIN_IPV6_OK | BEGIN_IPV6_PREFERRED, 0, 6},
	{5, "8.8.8.8", "2600::1", 80, BEGIN_IPV6_OK | BEGIN_IPV4_NOT_OK, 0, 6},
	{6, "8.8.8.8", "2600::1", 80, BEGIN_IPV6_OK | BEGIN_IPV6_PREFERRED, NO_V6, 4},
	{7, "8.8.8.8", "2001:db8:bad::1", 80, BEGIN_IPV6_OK | BEGIN_IPV6_PREFERRED, 0, 4},
	{8, "10.0.0.1", "2600::1", 80, BEGIN_IPV6_OK, 0, 6},
	{9, "10.0.0.1", NULL, 80, BEGIN_IPV6_OK, 0, -END_EXITPOLICY},
	{10, NULL, "2600::1", 80, 0, 0, -END_RESOLVEFAILED},
	{11, NULL, "2600::1", 80, BEGIN_IPV6_OK, 0, 6},
	{12, NULL, "2600::1", 80, BEGIN_IPV6_OK, NO_V6, -END_RESOLVEFAILED},
	{13, NULL, NULL, 80, BEGIN_IPV6_OK, 0, -END_RESOLVEFAILED},
	{14, "8.8.8.8", NULL, 25, 0, 0, -END_EXITPOLICY},
	{15, "8.8.8.8", NULL, 80, 0, REENTRY, -END_CONNECTREFUSED},
};

static void test_names(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(name_rows); i++) {
		struct begin b = {.host = "example.com",
				  .port = name_rows[i].port,
				  .flags = name_rows[i].flags};
		struct dns_answer a = {.outcome4 = DNS_NO_SUCH,
				       .outcome6 = DNS_NO_SUCH,
				       .ttl4 = 304,
				       .ttl6 = 3606};
		struct ctl_stream_open o;
		uint8_t body[64];

		if (name_rows[i].a4)
			addr_parse(&a.a4, name_rows[i].a4);
		if (name_rows[i].a6)
			addr_parse(&a.a6, name_rows[i].a6);
		set_up(name_rows[i].with);
		stream_up(RELAY_BEGIN, body, (size_t)begin_put(&b, body, sizeof(body)));
		assert_int_equal(fake_n_sent, 0);
		assert_string_equal(fake.asked, "example.com");
		fake.dns_fn(fake.dns_arg, &a);
		assert_int_equal(fake_n_sent, 1);
		memcpy(&o, fake_sent[0].body, sizeof(o));
		int got = fake_sent[0].type == CTL_STREAM_OPEN ? o.remote.family
							       : -fake_sent[0].tail[0];
		if (got != name_rows[i].want)
			fail_msg("row %d: %d", name_rows[i].n, got);
		if (got > 0) {
			assert_int_equal(o.ttl, got == 4 ? 304 : 3606);
			assert_int_equal(o.remote.port, name_rows[i].port);
		}
	}
}

static void test_resolve(void **state)
{
	struct dns_answer a = {.outcome6 = DNS_NO_SUCH};

	set_up(0);
	stream_up(RELAY_RESOLVE, "Example.COM", 11);
	assert_string_equal(fake.asked, "example.com");
	addr_parse(&a.a4, "1.2.3.4");
	addr_parse(&a.a6, "2600::1");
	fake.dns_fn(fake.dns_arg, &a);
	assert_int_equal(fake_sent[0].type, CTL_STREAM_CLOSE);
	assert_int_equal(fake_sent[0].arg, RELAY_RESOLVED);
	assert_int_equal(fake_sent[0].len, 32);
	assert_memory_equal(fake_sent[0].tail, "\4\4\1\2\3\4\0\0\0\x3c\6\x10\x26", 13);

	stream_up(RELAY_RESOLVE, "x.com\0", 6);
	fake.dns_fn(fake.dns_arg, &(struct dns_answer) {.outcome4 = DNS_TRANSIENT});
	assert_int_equal(fake_sent[0].tail[0], RESOLVED_TRANSIENT);
	assert_memory_equal(fake_sent[0].tail + 1,
			    "\x18"
			    "Error resolving hostname\0\0\0\x3c",
			    29);
	stream_up(RELAY_RESOLVE, "x.com", 5);
	fake.dns_fn(fake.dns_arg, &(struct dns_answer) {.outcome4 = DNS_NO_SUCH});
	assert_int_equal(fake_sent[0].tail[0], RESOLVED_ERROR);
	/* IPv6 alone where we do not carry it */
	set_up(NO_V6);
	stream_up(RELAY_RESOLVE, "x.com", 5);
	a.a4.family = 0;
	a.outcome4 = DNS_NO_SUCH;
	fake.dns_fn(fake.dns_arg, &a);
	assert_int_equal(fake_sent[0].tail[0], RESOLVED_ERROR);
	/* a client may ask over one hop: RESOLVE is not an exit */
	set_up(CLIENT);
	stream_up(RELAY_RESOLVE, "8.8.8.8.in-addr.arpa", 20);
	assert_int_equal(fake.n_asked, 1);
	fake.dns_fn(fake.dns_arg, &(struct dns_answer) {.name = "dns.example"});
	assert_memory_equal(fake_sent[0].tail,
			    "\0\x0b"
			    "dns.example\0\0\0\x3c",
			    17);

	static const char *const refused[] = {"1.2.3.4", "[::1]", "1.0.0.127.in-addr.arpa",
					      "1.2.3.in-addr.arpa"};
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		stream_up(RELAY_RESOLVE, refused[i], strlen(refused[i]));
		assert_int_equal(fake.n_asked, 0);
		assert_int_equal(fake_sent[0].tail[0], RESOLVED_ERROR);
	}
	set_up(DNS_BUSY);
	stream_up(RELAY_RESOLVE, "x.com", 5);
	assert_int_equal(fake_sent[0].tail[0], RESOLVED_TRANSIENT);
}

/* A relay that is no exit looks nothing up. */
static void test_no_exit(void **state)
{
	struct policy_setup s = {.exit_relay = 0};
	char why[POLICY_ERROR];
	struct policy *none;

	assert_int_equal(policy_new(&none, &s, why), 0);
	fake_settings.policy = none;
	assert_int_equal(circ_configure(fake_circs, &fake_settings), 0);
	stream_up(RELAY_BEGIN, "example.com:80", 15);
	assert_int_equal(fake_sent[0].tail[0], END_RESOLVEFAILED);
	stream_up(RELAY_BEGIN, "8.8.8.8:80", 11);
	assert_int_equal(fake_sent[0].tail[0], END_EXITPOLICY);
	stream_up(RELAY_RESOLVE, "example.com", 11);
	assert_int_equal(fake_sent[0].tail[0], RESOLVED_ERROR);
	assert_int_equal(fake.n_asked, 0);
	policy_free(none);
}

/* ---- directory streams ---- */

static void dir_open(void)
{
	struct ctl_stream_open o;

	fake_open(ID);
	stream_up(RELAY_BEGIN_DIR, NULL, 0);
	assert_int_equal(fake_n_sent, 1);
	assert_int_equal(fake_sent[0].type, CTL_STREAM_OPEN);
	memcpy(&o, fake_sent[0].body, sizeof(o));
	assert_int_equal(o.kind, CTL_STREAM_DIR);
	fake_n_sent = 0;
}

static void test_dir_refused(void **state)
{
	stream_up(RELAY_BEGIN_DIR, NULL, 0); /* no such circuit */
	assert_int_equal(fake_sent[0].tail[0], END_NOTDIRECTORY);
	fake_open(ID);
	fake_settings.dir_cache = false;
	fake_apply();
	stream_up(RELAY_BEGIN_DIR, NULL, 0);
	assert_int_equal(fake_sent[0].tail[0], END_NOTDIRECTORY);
	fake_settings.dir_cache = fake_settings.hibernating = true;
	fake_apply();
	stream_up(RELAY_BEGIN_DIR, NULL, 0);
	assert_int_equal(fake_sent[0].tail[0], END_HIBERNATING);
	fake_settings.hibernating = false;
	fake_apply();
	fake_relay(ID, RELAY_ESTABLISH_RENDEZVOUS, 0, "12345678901234567890", 20);
	stream_up(RELAY_BEGIN_DIR, NULL, 0); /* a circuit with another purpose */
	assert_int_equal(fake_sent[0].tail[0], END_NOTDIRECTORY);
	assert_int_equal(circ_figures(fake_circs)->n_dir_streams, 0);
}

/* The answer goes out in step with credit, whole and in order, then END. */
static void test_dir_answer(void **state)
{
	size_t got = 0;

	dir_open();
	fake.answer_len = 100000;
	fake_up(CTL_STREAM_CREDIT, STREAM, 20000, NULL, NULL, 0);
	fake_up(CTL_STREAM_READ, STREAM, 0, NULL, "GET /tor/", 9);
	assert_int_equal(fake_n_sent, 0); /* not whole yet */
	fake.served = 1;
	fake_up(CTL_STREAM_READ, STREAM, 0, NULL, "x HTTP/1.0\r\n\r\n", 14);
	assert_int_equal(fake_n_sent, 2);
	assert_int_equal(fake_sent[0].len, CTL_CHUNK);
	assert_int_equal(fake_sent[1].len, 20000 - CTL_CHUNK);
	fake_up(CTL_STREAM_READ, STREAM, 0, NULL, "more", 4); /* not looked at */
	for (unsigned i = 0; i < 9; i++)
		fake_up(CTL_STREAM_CREDIT, STREAM, 10000, NULL, NULL, 0);
	for (unsigned i = 0; i < fake_n_sent - 1; i++) {
		assert_int_equal(fake_sent[i].type, CTL_STREAM_WRITE);
		for (size_t b = 0; b < fake_sent[i].len; b += 997)
			assert_int_equal(fake_sent[i].tail[b], (uint8_t)(got + b));
		got += fake_sent[i].len;
	}
	assert_int_equal(got, 100000);
	assert_int_equal(fake_sent[fake_n_sent - 1].type, CTL_STREAM_CLOSE);
	assert_int_equal(fake_sent[fake_n_sent - 1].tail[0], END_DONE);
	assert_int_equal(fake.n_dir_freed, 1);
	assert_int_equal(circ_figures(fake_circs)->dir_bytes, 0);
	assert_int_equal(circ_figures(fake_circs)->n_dir_streams, 0);
}

static void test_dir_ends(void **state)
{
	static uint8_t chunk[16000];

	dir_open();
	fake.served = ERR_MALFORMED;
	fake_up(CTL_STREAM_READ, STREAM, 0, NULL, "BREW /\r\n\r\n", 10);
	assert_int_equal(fake_sent[0].tail[0], END_DONE);
	/* A request without end is bounded. */
	dir_open();
	fake.served = 0;
	for (unsigned i = 0; i < 4; i++)
		fake_up(CTL_STREAM_READ, STREAM, 0, NULL, chunk, sizeof(chunk));
	assert_int_equal(fake_n_sent, 0);
	assert_int_equal(circ_figures(fake_circs)->dir_bytes, 65536);
	fake_up(CTL_STREAM_READ, STREAM, 0, NULL, chunk, sizeof(chunk));
	assert_int_equal(fake_sent[0].tail[0], END_RESOURCELIMIT);
	assert_int_equal(circ_figures(fake_circs)->dir_bytes, 0);
	/* The client hangs up with an answer half sent. */
	dir_open();
	fake.served = 1;
	fake.answer_len = 10;
	fake_up(CTL_STREAM_READ, STREAM, 0, NULL, "x", 1);
	fake_up(CTL_STREAM_CREDIT, STREAM, 4, NULL, NULL, 0);
	fake_up(CTL_STREAM_CLOSED, STREAM, 0, NULL, NULL, 0);
	assert_int_equal(fake.n_dir_freed, 1);
	fake_up(CTL_STREAM_CREDIT, STREAM, 4, NULL, NULL, 0);
	assert_int_equal(fake_n_sent, 1);
	/* The room ends with streams open. */
	dir_open();
	fake_up(CTL_STREAM_READ, STREAM, 0, NULL, "x", 1);
}

/* A stream on which nothing is sent is ended in time, whatever the client says on it. */
static void test_dir_stalls(void **state)
{
	static const struct {
		uint32_t stall_s;
		bool asked;
		uint32_t credit_at[2]; /* when the client takes more; 0: never */
		uint32_t ends;	       /* 0: never */
	} cases[] = {
		{300, false, {0, 0}, 301},    {300, true, {0, 0}, 301}, {300, true, {200, 0}, 501},
		{300, true, {200, 450}, 751}, {30, false, {0, 0}, 31},	{0, true, {0, 0}, 0},
	};

	fake_settings.dir_cache = true;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint32_t ended = 0;

		fake_settings.dir_stall_s = cases[i].stall_s;
		fake_apply();
		dir_open();
		fake.served = cases[i].asked;
		fake.answer_len = 10000;
		for (uint32_t s = 0; s < 1000 && !ended; s++) {
			if (s == 10)
				fake_up(CTL_STREAM_READ, STREAM, 0, NULL, "x", 1);
			for (unsigned k = 0; k < 2; k++)
				if (s && s == cases[i].credit_at[k])
					fake_up(CTL_STREAM_CREDIT, STREAM, 100, NULL, NULL, 0);
			circ_tick(fake_circs, 1000 + s);
			if (!circ_figures(fake_circs)->n_dir_streams)
				ended = s;
		}
		if (ended != cases[i].ends)
			fail_msg("case %zu ended after %u s", i, ended);
		if (ended)
			assert_int_equal(fake_sent[fake_n_sent - 1].tail[0], END_DONE);
		fake_up(CTL_STREAM_CLOSED, STREAM, 0, NULL, NULL, 0);
		fake_up(CTL_CIRC_CLOSED, ID, 0, NULL, NULL, 0);
		fake_n_sent = 0;
	}
	assert_int_equal(circ_figures(fake_circs)->dir_stalled, 5);
	assert_int_equal(circ_figures(fake_circs)->dir_bytes, 0);
}

#define WITH(t) cmocka_unit_test_setup_teardown(t, fake_setup, fake_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(test_begin),    WITH(test_names),	     WITH(test_resolve),
		WITH(test_no_exit),  WITH(test_dir_refused), WITH(test_dir_answer),
		WITH(test_dir_ends), WITH(test_dir_stalls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
