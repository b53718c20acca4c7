/* test_hs.c - introduction and rendezvous with a door that only remembers. The two ESTABLISH_INTRO
 * messages were made by another implementation of SHA-3 and Ed25519, with KH = 00 01 .. 13. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

#include "controlplane/hs/internal.h"

static const char plain[] = "020020d04ab232742bb4ab3a1368bd4615e4e6d0224ab71a016baf8520a332c9"
			    "778737008999c4afc18cb60ddbc50cf5801f742c177edfb6f2f407fa0dbf1b6c"
			    "7ca834f00040676d25fc49b2d4597763f99c500e6f77bfc5cf30aef3068db794"
			    "a4cdb748c8b24584ba458cebc53f6538b745eb406b173dbafc7887ae78d6533f"
			    "85279b32e100";
static const char extended[] = /* with the DoS extension and an unknown one */
	"020020a09aa5f47a6759802ff955f8dc2d2a14a5c99d23be97f864127ff93834"
	"55a4f0020113020100000000000000190200000000000000c86300b14d4c454e"
	"2236d53f9ef1e538c1857723bbd6d2ec04ab66446781367d793752004071b952"
	"a3428c9e316f11e9f39f42eda06761b8b63329af6656bb5826c5eb8c58513d25"
	"8835b9ed4d1642561afb133dfb94f3f237aa5990c88c1604e59d146704";

/* ---- the door ---- */
static struct sent {
	uint16_t type;
	wid id;
	uint32_t arg;
	uint8_t command;
	wid other;
	size_t len;
	uint8_t tail[512];
} sent[8];
static unsigned n_sent;
static bool door_full;

int door_send(struct door *d, unsigned worker, uint16_t type, wid id, uint32_t arg,
	      const void *body, size_t body_len, const void *tail, size_t tail_len)
{
	struct sent *s = &sent[n_sent++ % ARRAY_LEN(sent)];

	assert_int_equal(worker, wid_worker(id));
	memset(s, 0, sizeof(*s));
	if (door_full) {
		n_sent--;
		return ERR_FULL;
	}
	s->type = type;
	s->id = id;
	s->arg = arg;
	s->len = tail_len;
	if (tail_len)
		memcpy(s->tail, tail, tail_len);
	if (type == CTL_CIRC_SEND)
		s->command = ((const struct ctl_circ_msg *)body)->command;
	if (type == CTL_CIRC_SPLICE)
		s->other = ((const struct ctl_circ_splice *)body)->other;
	return 0;
}

static struct hs *hs;
static uint8_t kh[20];
static struct hs_leg a, b, c, d;

static size_t unhex(uint8_t *to, const char *hex)
{
	uint8_t *p = to;

	for (; *hex; hex += 2) {
		char two[3] = {hex[0], hex[1], 0};

		*p++ = (uint8_t)strtoul(two, NULL, 16);
	}
	return (size_t)(p - to);
}

static int setup(void **state)
{
	static const uint8_t seed[16] = {7};

	for (uint8_t i = 0; i < 20; i++)
		kh[i] = i;
	a = (struct hs_leg) {.circ = wid_make(0, 1, 1)};
	b = (struct hs_leg) {.circ = wid_make(1, 2, 1)};
	c = (struct hs_leg) {.circ = wid_make(2, 3, 1)};
	d = (struct hs_leg) {.circ = wid_make(3, 4, 1)};
	n_sent = 0;
	door_full = false;
	return hs_new(&hs, NULL, seed);
}

static int teardown(void **state)
{
	hs_leg_gone(hs, &a);
	hs_leg_gone(hs, &b);
	hs_leg_gone(hs, &c);
	hs_leg_gone(hs, &d);
	assert_int_equal(hs->services.n + hs->cookies.n, 0);
	hs_free(hs);
	return 0;
}

static int establish(struct hs_leg *leg, const uint8_t *body, size_t len)
{
	struct hs_msg m = {.body = body, .len = len, .kh = kh, .edge = true};

	return hs_establish_intro(hs, leg, &m);
}

static void test_establish(void **state)
{
	uint8_t body[300];
	size_t len = unhex(body, plain);

	/* Every byte counts, and so does KH. */
	for (size_t i = 0; i < len; i++) {
		body[i] ^= 4;
		assert_int_equal(establish(&a, body, len), DESTROY_TORPROTOCOL);
		body[i] ^= 4;
	}
	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(establish(&a, body, cut), DESTROY_TORPROTOCOL);
	kh[19] ^= 1;
	assert_int_equal(establish(&a, body, len), DESTROY_TORPROTOCOL);
	kh[19] ^= 1;
	assert_int_equal(n_sent, 0);
	assert_int_equal(a.purpose, HS_OR);

	assert_int_equal(establish(&a, body, len), 0);
	assert_int_equal(n_sent, 1);
	assert_int_equal(sent[0].type, CTL_CIRC_SEND);
	assert_true(sent[0].id == a.circ);
	assert_int_equal(sent[0].command, RELAY_INTRO_ESTABLISHED);
	assert_int_equal(sent[0].len, 1);
	assert_int_equal(sent[0].tail[0], 0);
	assert_int_equal(a.purpose, HS_INTRO_POINT);
	assert_int_equal(establish(&a, body, len), DESTROY_TORPROTOCOL); /* twice on one */

	len = unhex(body, extended);
	assert_int_equal(establish(&b, body, len), 0);
	assert_int_equal(b.limit.said, HS_LIMIT_ON);
	assert_int_equal(b.limit.rate, 25);
	assert_int_equal(b.limit.burst, 200);
	assert_int_equal(hs_figures(hs)->est_intro_success, 2);
	assert_int_equal(hs->services.n, 2);
}

static void test_unsuitable(void **state)
{
	uint8_t body[300];
	size_t len = unhex(body, plain);
	struct hs_msg m = {.body = body, .len = len, .kh = kh, .edge = false};

	assert_int_equal(hs_establish_intro(hs, &a, &m), DESTROY_TORPROTOCOL);
	assert_int_equal(hs_introduce1(hs, &a, &m), DESTROY_TORPROTOCOL);
	m.len = 20;
	assert_int_equal(hs_establish_rendezvous(hs, &a, &m), DESTROY_TORPROTOCOL);
	assert_int_equal(hs_rendezvous1(hs, &a, &m), DESTROY_TORPROTOCOL);
	assert_int_equal(n_sent, 0);
	door_full = true;
	m.edge = true;
	assert_int_equal(hs_establish_rendezvous(hs, &a, &m), DESTROY_RESOURCELIMIT);
	m.len = len;
	assert_int_equal(hs_establish_intro(hs, &a, &m), DESTROY_RESOURCELIMIT);
	assert_int_equal(a.purpose, HS_OR);
}

/* The newer circuit takes over, the older is closed; its end does not unlist the newer. */
static void test_replace(void **state)
{
	uint8_t body[300];
	size_t len = unhex(body, plain);

	assert_int_equal(establish(&a, body, len), 0);
	assert_int_equal(establish(&b, body, len), 0);
	assert_int_equal(n_sent, 3);
	assert_int_equal(sent[2].type, CTL_CIRC_CLOSE);
	assert_true(sent[2].id == a.circ);
	assert_int_equal(sent[2].arg, DESTROY_FINISHED);
	hs_leg_gone(hs, &a);
	assert_ptr_equal(hs_map_find(&hs->services, b.key), &b);
}

static size_t introduce1_make(uint8_t *p, const uint8_t key[32], size_t len)
{
	memset(p, 0, len);
	p[20] = 2;
	p[22] = 32;
	memcpy(p + 23, key, 32);
	memset(p + 56, 0xab, len - 56);
	return len;
}

static void test_introduce(void **state)
{
	uint8_t body[600], key[32];
	struct hs_msg m = {.body = body, .kh = kh, .edge = true};

	memcpy(key, "not a service that is known here", 32);
	m.len = introduce1_make(body, key, 300);
	assert_int_equal(hs_introduce1(hs, &b, &m), 0); /* NACK, the circuit stays */
	assert_int_equal(n_sent, 1);
	assert_int_equal(sent[0].command, RELAY_INTRODUCE_ACK);
	assert_memory_equal(sent[0].tail, "\0\1\0", 3);
	assert_int_equal(hs_introduce1(hs, &b, &m), DESTROY_TORPROTOCOL); /* one only */

	size_t len = unhex(body, plain);
	assert_int_equal(establish(&a, body, len), 0);
	memcpy(key, a.key, 32);
	n_sent = 0;
	m.len = introduce1_make(body, key, 491); /* longer than we pass on */
	assert_int_equal(hs_introduce1(hs, &c, &m), 0);
	assert_memory_equal(sent[0].tail, "\0\2\0", 3);
	m.len = 490;
	m.from_client = true;
	assert_int_equal(hs_introduce1(hs, &d, &m), DESTROY_TORPROTOCOL);
	m.from_client = false;
	m.len = 19;
	assert_int_equal(hs_introduce1(hs, &d, &m), DESTROY_TORPROTOCOL);
	m.len = 490;
	n_sent = 0;
	assert_int_equal(hs_introduce1(hs, &d, &m), 0);
	assert_int_equal(n_sent, 2);
	assert_int_equal(sent[0].command, RELAY_INTRODUCE2);
	assert_true(sent[0].id == a.circ);
	assert_int_equal(sent[0].len, 490);
	assert_memory_equal(sent[0].tail, body, 490);
	assert_int_equal(sent[1].command, RELAY_INTRODUCE_ACK);
	assert_true(sent[1].id == d.circ);
	assert_memory_equal(sent[1].tail, "\0\0\0", 3);
	/* The service's circuit itself cannot introduce. */
	assert_int_equal(hs_introduce1(hs, &a, &m), DESTROY_TORPROTOCOL);
}

/* How many of n introductions pass at once. */
static unsigned introduced(const uint8_t key[32], unsigned n)
{
	uint8_t body[600];
	struct hs_msg m = {.body = body, .kh = kh, .edge = true};
	unsigned passed = 0;

	m.len = introduce1_make(body, key, 300);
	for (unsigned i = 0; i < n; i++) {
		n_sent = 0;
		d.introduced = false;
		assert_int_equal(hs_introduce1(hs, &d, &m), 0);
		if (n_sent == 2)
			passed++;
		else
			assert_memory_equal(sent[0].tail, "\0\1\0", 3); /* as an unknown service */
	}
	return passed;
}

/* The bucket: full at first, of which the last token is never given; then so many a second. */
static void test_limit(void **state)
{
	static const struct {
		int n;
		struct hs_limit limit;
		bool defence; /* of the consensus, with 5 a second and 10 at once */
		unsigned first, second, much_later;
	} rows[] = {
		{1, {HS_LIMIT_NONE, 0, 0}, false, 50, 50, 50},
		{2, {HS_LIMIT_NONE, 0, 0}, true, 9, 4, 9},
		{3, {HS_LIMIT_OFF, 0, 0}, true, 50, 50, 50},
		{4, {HS_LIMIT_ON, 2, 7}, true, 6, 1, 6},
		{5, {HS_LIMIT_ON, 2, 7}, false, 6, 1, 6},
		{6, {HS_LIMIT_ON, 1, 1}, false, 0, 0, 0}, /* C tor's bucket gives none either */
		{7, {HS_LIMIT_ON, 30, 40}, false, 39, 29, 39},
		{8, {HS_LIMIT_ON, INT32_MAX, INT32_MAX}, false, 50, 50, 50},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct hs_settings s = {rows[i].defence, 5, 10, false};
		uint8_t key[32] = {(uint8_t)i, 1};
		uint64_t refused = hs_figures(hs)->intro1_rate_limited;
		unsigned got[3];

		hs_configure(hs, &s);
		hs_now(hs, 1000);
		c = (struct hs_leg) {.circ = wid_make(2, 3, 1), .limit = rows[i].limit};
		assert_int_equal(hs_restore(hs, &c, HS_INTRO_POINT, key), 0);
		got[0] = introduced(key, 50);
		hs_now(hs, 1001);
		got[1] = introduced(key, 50);
		hs_now(hs, 100000);
		got[2] = introduced(key, 50);
		if (got[0] != rows[i].first || got[1] != rows[i].second ||
		    got[2] != rows[i].much_later)
			fail_msg("row %d: %u %u %u", rows[i].n, got[0], got[1], got[2]);
		assert_int_equal(hs_figures(hs)->intro1_rate_limited - refused,
				 150 - got[0] - got[1] - got[2]);
		hs_leg_gone(hs, &c);
	}
}

/* A consensus changes what waits, but not what a service asked for itself. */
static void test_limit_changes(void **state)
{
	struct hs_settings s = {true, 5, 10, false};
	uint8_t key_a[32] = {1}, key_b[32] = {2};

	hs_configure(hs, &s);
	assert_int_equal(hs_restore(hs, &a, HS_INTRO_POINT, key_a), 0);
	b.limit = (struct hs_limit) {HS_LIMIT_ON, 5, 10};
	assert_int_equal(hs_restore(hs, &b, HS_INTRO_POINT, key_b), 0);
	s.intro_burst = 4;
	hs_configure(hs, &s);
	assert_int_equal(introduced(key_a, 20), 3);
	assert_int_equal(introduced(key_b, 20), 9);
	s.intro_burst = 100;
	hs_configure(hs, &s);
	assert_int_equal(introduced(key_a, 20), 0);
	s.intro_defence = false;
	hs_configure(hs, &s);
	assert_int_equal(introduced(key_a, 20), 20);
	assert_int_equal(introduced(key_b, 20), 0);
}

/* Clients at their first hop are left without an answer, when that is wanted (interop O10). */
static void test_single_hop(void **state)
{
	uint8_t body[20] = "twenty bytes cookie";
	struct hs_msg m = {.body = body, .len = 20, .edge = true, .from_client = true};

	hs_configure(hs, &(struct hs_settings) {.refuse_single_hop = true});
	assert_int_equal(hs_establish_rendezvous(hs, &a, &m), 0);
	m.len = 3; /* not even looked at */
	assert_int_equal(hs_establish_rendezvous(hs, &a, &m), 0);
	assert_int_equal(n_sent, 0);
	assert_int_equal(hs_figures(hs)->est_rend_single_hop, 2);
	assert_int_equal(a.purpose, HS_OR);
	m.len = 20;
	m.from_client = false;
	assert_int_equal(hs_establish_rendezvous(hs, &a, &m), 0);
	assert_int_equal(n_sent, 1);
	m.from_client = true;
	assert_int_equal(hs_establish_rendezvous(hs, &a, &m), DESTROY_TORPROTOCOL);
}

static void test_rendezvous(void **state)
{
	uint8_t body[120] = "twenty bytes cookie!and what goes on";
	struct hs_msg m = {.body = body, .kh = kh, .edge = true, .from_client = true};

	m.len = 19;
	assert_int_equal(hs_establish_rendezvous(hs, &a, &m), DESTROY_TORPROTOCOL);
	m.len = 21;
	assert_int_equal(hs_establish_rendezvous(hs, &a, &m), DESTROY_TORPROTOCOL);
	m.len = 20;
	assert_int_equal(hs_establish_rendezvous(hs, &a, &m), 0);
	assert_int_equal(sent[0].command, RELAY_RENDEZVOUS_ESTABLISHED);
	assert_int_equal(sent[0].len, 0);
	assert_int_equal(hs_establish_rendezvous(hs, &b, &m), DESTROY_TORPROTOCOL); /* in use */
	assert_int_equal(hs_establish_rendezvous(hs, &a, &m), DESTROY_TORPROTOCOL); /* twice */

	m.len = 19;
	assert_int_equal(hs_rendezvous1(hs, &c, &m), DESTROY_TORPROTOCOL);
	m.len = 36;
	body[0] ^= 1;
	assert_int_equal(hs_rendezvous1(hs, &c, &m), DESTROY_TORPROTOCOL); /* nobody waits */
	body[0] ^= 1;
	assert_int_equal(hs_rendezvous1(hs, &a, &m), DESTROY_TORPROTOCOL); /* with itself */
	assert_int_equal(n_sent, 1);
	assert_int_equal(hs_rendezvous1(hs, &c, &m), 0);
	assert_int_equal(n_sent, 2);
	assert_int_equal(sent[1].type, CTL_CIRC_SPLICE);
	assert_true(sent[1].id == c.circ && sent[1].other == a.circ);
	assert_int_equal(sent[1].len, 16);
	assert_memory_equal(sent[1].tail, "and what goes on", 16);
	assert_int_equal(a.purpose, HS_REND_JOINED);
	assert_int_equal(hs_rendezvous1(hs, &d, &m), DESTROY_TORPROTOCOL); /* it is taken */
	assert_int_equal(hs_establish_rendezvous(
				 hs, &d, &(struct hs_msg) {.body = body, .len = 20, .edge = true}),
			 0); /* and free again */
}

/* What an earlier control had made is there again, once. */
static void test_restore(void **state)
{
	static const struct {
		int n;
		uint8_t purpose, key; /* the key is this byte, 32 times */
		int result;
	} rows[] = {
		{1, HS_INTRO_POINT, 1, 0},
		{2, HS_INTRO_POINT, 1, ERR_MALFORMED}, /* in use */
		{3, HS_REND_WAITING, 1, 0},	       /* a map of its own */
		{4, HS_REND_WAITING, 1, ERR_MALFORMED},
		{5, HS_REND_JOINED, 1, 0}, /* in no map */
		{6, HS_OR, 0, 0},
		{7, HS_REND_JOINED + 1, 2, ERR_MALFORMED},
		{8, 255, 2, ERR_MALFORMED},
	};
	struct hs_leg legs[ARRAY_LEN(rows)];
	uint8_t body[300], key[32];
	struct hs_msg m = {.body = body, .kh = kh, .edge = true};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		legs[i] = (struct hs_leg) {.circ = wid_make(0, (uint32_t)i + 9, 1)};
		memset(key, rows[i].key, sizeof(key));
		if (hs_restore(hs, &legs[i], rows[i].purpose, key) != rows[i].result ||
		    legs[i].purpose != (rows[i].result ? HS_OR : rows[i].purpose))
			fail_msg("row %d", rows[i].n);
	}
	memset(key, 1, sizeof(key));
	m.len = introduce1_make(body, key, 300);
	assert_int_equal(hs_introduce1(hs, &a, &m), 0);
	assert_true(sent[0].type == CTL_CIRC_SEND && sent[0].id == legs[0].circ);
	assert_int_equal(sent[0].command, RELAY_INTRODUCE2);
	memset(body, 1, 60);
	m.len = 60;
	assert_int_equal(hs_rendezvous1(hs, &b, &m), 0);
	assert_true(sent[2].type == CTL_CIRC_SPLICE && sent[2].other == legs[2].circ);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		hs_leg_gone(hs, &legs[i]);
}

/* Many cookies, so that the map has to grow, and all are found. */
static void test_many(void **state)
{
	static struct hs_leg legs[2000];
	uint8_t cookie[20] = {0};
	struct hs_msg m = {.body = cookie, .len = 20, .edge = true};

	for (unsigned i = 0; i < ARRAY_LEN(legs); i++) {
		legs[i] = (struct hs_leg) {.circ = wid_make(0, i, 1)};
		be32_put(cookie + 16, i);
		assert_int_equal(hs_establish_rendezvous(hs, &legs[i], &m), 0);
	}
	for (unsigned i = 0; i < ARRAY_LEN(legs); i++) {
		be32_put(cookie + 16, i);
		assert_ptr_equal(hs_map_find(&hs->cookies, cookie), &legs[i]);
		hs_leg_gone(hs, &legs[i]);
		assert_null(hs_map_find(&hs->cookies, cookie));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_establish, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unsuitable, setup, teardown),
		cmocka_unit_test_setup_teardown(test_replace, setup, teardown),
		cmocka_unit_test_setup_teardown(test_introduce, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limit_changes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_single_hop, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rendezvous, setup, teardown),
		cmocka_unit_test_setup_teardown(test_restore, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
