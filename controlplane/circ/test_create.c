/* test_create.c - CREATE_FAST and CREATE2 from the wall to keys, in rows and races; onion-service
 * messages on what was made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "controlplane/circ/fake.h"

#define ID wid_make(3, 7, 9)

static const struct {
	int n;
	uint8_t command;
	uint16_t type, len;
	uint16_t payload; /* bytes that come; the rest of a cell is zero */
	int reason;	  /* of CIRC_CLOSE */
} rows[] = {
	{1, CELL_CREATE, 0, 0, 509, DESTROY_TORPROTOCOL},
	{2, CELL_CREATE_FAST, 0, 0, 19, DESTROY_TORPROTOCOL},
	{3, CELL_CREATE2, HANDSHAKE_TAP, 186, 509, DESTROY_TORPROTOCOL},
	{4, CELL_CREATE2, HANDSHAKE_FAST, 20, 509, DESTROY_TORPROTOCOL},
	{5, CELL_CREATE2, 9, 84, 509, DESTROY_TORPROTOCOL},
	{6, CELL_CREATE2, HANDSHAKE_NTOR, 83, 509, DESTROY_TORPROTOCOL},
	{7, CELL_CREATE2, HANDSHAKE_NTOR, 85, 509, DESTROY_TORPROTOCOL},
	{8, CELL_CREATE2, HANDSHAKE_NTOR, 84, 87, DESTROY_TORPROTOCOL},
	{9, CELL_CREATE2, HANDSHAKE_NTOR3, 506, 509, DESTROY_TORPROTOCOL},
	{10, CELL_CREATE2, HANDSHAKE_NTOR, 84, 509, DESTROY_TORPROTOCOL}, /* junk: by the pool */
	{11, CELL_CREATE2, HANDSHAKE_NTOR3, 200, 509, DESTROY_TORPROTOCOL},
	{12, CELL_CREATE2, HANDSHAKE_NTOR3, 0, 509, DESTROY_TORPROTOCOL},
	{13, CELL_CREATE2, 2, 84, 3, DESTROY_TORPROTOCOL},
};

static void test_refused(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t payload[509] = {0};

		be16_put(payload, rows[i].type);
		be16_put(payload + 2, rows[i].len);
		fake_n_sent = 0;
		fake_create(ID, rows[i].command, payload, rows[i].payload);
		fake_run(1);
		if (fake_sent[0].type != CTL_CIRC_CLOSE || (int)fake_sent[0].arg != rows[i].reason)
			fail_msg("row %d", rows[i].n);
		assert_true(fake_sent[0].id == ID);
		assert_int_equal(circ_figures(fake_circs)->n_circs, 0);
		fake_up(CTL_CIRC_CLOSED, ID, DESTROY_TORPROTOCOL, NULL, NULL, 0);
	}
}

static void test_fast(void **state)
{
	struct handshake_client c;
	struct handshake_done done;
	uint8_t payload[509] = {0};
	struct ctl_circ_add add;
	size_t len;

	assert_int_equal(handshake_begin(&c, HANDSHAKE_FAST, NULL, payload, &len), 0);
	fake_create(ID, CELL_CREATE_FAST, payload, sizeof(payload));
	assert_int_equal(fake_n_sent, 1);
	assert_int_equal(fake_sent[0].type, CTL_CIRC_ADD);
	assert_int_equal(fake_sent[0].len, 40);
	memcpy(&add, fake_sent[0].body, sizeof(add));
	assert_int_equal(add.created, CELL_CREATED_FAST);
	assert_int_equal(add.legacy, 1);
	assert_int_equal(add.scheme, 0);
	assert_int_equal(add.keys_len, 72);
	assert_int_equal(handshake_finish(&c, fake_sent[0].tail, 40, &done), 0);
	assert_memory_equal(done.keys, add.keys, 72);
	assert_memory_equal(done.kh, add.tag, 20);
	fake_up(CTL_CIRC_CLOSED, ID, 0, NULL, NULL, 0);
	assert_int_equal(circ_figures(fake_circs)->n_circs, 0);
}

/* A CREATE2 payload of an honest client. */
static size_t skin_make(struct handshake_client *c, uint16_t type, uint8_t payload[509])
{
	struct handshake_peer peer = {0};
	size_t len;

	memcpy(peer.onion, fake_keys.onion[0].public, 32);
	assert_int_equal(handshake_begin(c, type, &peer, payload + 4, &len), 0);
	be16_put(payload, type);
	be16_put(payload + 2, (uint16_t)len);
	return 4 + len;
}

static void test_create2(void **state)
{
	static const uint16_t types[] = {HANDSHAKE_NTOR, HANDSHAKE_NTOR3};

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		struct handshake_client c;
		struct handshake_done done;
		uint8_t payload[509] = {0};
		struct ctl_circ_add add;
		struct bytes data;

		skin_make(&c, types[i], payload);
		fake_n_sent = 0;
		fake_create(ID + i, CELL_CREATE2, payload, sizeof(payload));
		assert_int_equal(fake_n_sent, 0);
		fake_run(1);
		assert_int_equal(fake_sent[0].type, CTL_CIRC_ADD);
		memcpy(&add, fake_sent[0].body, sizeof(add));
		assert_int_equal(add.created, CELL_CREATED2);
		assert_int_equal(add.legacy, 0);
		assert_int_equal(created2_get(&data, fake_sent[0].tail, fake_sent[0].len), 0);
		assert_int_equal(handshake_finish(&c, data.p, data.len, &done), 0);
		assert_memory_equal(done.keys, add.keys, 72);
		assert_memory_equal(done.kh, add.tag, 20);
	}
	assert_int_equal(circ_figures(fake_circs)->create_open, 2);
	circ_forget_all(fake_circs);
	assert_int_equal(circ_figures(fake_circs)->n_circs, 0);
}

/* What was agreed goes down with the keys. The terms are those of the time when the handshake was
 * queued (interop H11). */
static void test_cc(void **state)
{
	static const struct {
		uint8_t ask, grant, after;
		uint8_t flow, inc;
		uint8_t scheme; /* asked and granted */
	} terms[] = {
		{0, 1, 1, CTL_FLOW_FIXED, 0, 0}, {1, 0, 0, CTL_FLOW_FIXED, 0, 0},
		{1, 1, 1, CTL_FLOW_CC, 40, 0},	 {1, 1, 0, CTL_FLOW_CC, 40, 0},
		{1, 0, 1, CTL_FLOW_FIXED, 0, 0}, {1, 1, 1, CTL_FLOW_CC, 40, 1},
	};

	for (size_t i = 0; i < ARRAY_LEN(terms); i++) {
		struct handshake_peer peer = {.ask_cc = terms[i].ask, .ask_cgo = terms[i].scheme};
		struct handshake_client c;
		struct handshake_done done;
		uint8_t payload[509] = {0};
		struct ctl_circ_add add;
		struct bytes data;
		size_t len;

		fake_keys.terms = (struct handshake_terms) {terms[i].grant, 40, terms[i].scheme};
		handshake_pool_keys(fake_pool, &fake_keys);
		memcpy(peer.onion, fake_keys.onion[0].public, 32);
		assert_int_equal(handshake_begin(&c, HANDSHAKE_NTOR3, &peer, payload + 4, &len), 0);
		be16_put(payload, HANDSHAKE_NTOR3);
		be16_put(payload + 2, (uint16_t)len);
		fake_n_sent = 0;
		fake_create(ID + i, CELL_CREATE2, payload, sizeof(payload));
		fake_keys.terms = (struct handshake_terms) {terms[i].after, 50, 0};
		handshake_pool_keys(fake_pool, &fake_keys);
		fake_run(1);
		assert_int_equal(fake_sent[0].type, CTL_CIRC_ADD);
		memcpy(&add, fake_sent[0].body, sizeof(add));
		assert_int_equal(add.flow, terms[i].flow);
		assert_int_equal(add.sendme_inc, terms[i].inc);
		assert_int_equal(add.scheme, terms[i].scheme);
		assert_int_equal(add.keys_len, terms[i].scheme ? 160 : 72);
		assert_int_equal(created2_get(&data, fake_sent[0].tail, fake_sent[0].len), 0);
		assert_int_equal(handshake_finish(&c, data.p, data.len, &done), 0);
		assert_int_equal(done.sendme_inc, terms[i].inc);
		assert_memory_equal(done.keys, add.keys, add.keys_len);
		assert_memory_equal(done.kh, add.tag, 20); /* behind the keys (pitfall 21) */
	}
	fake_keys.terms = (struct handshake_terms) {0};
	handshake_pool_keys(fake_pool, &fake_keys);
	circ_forget_all(fake_circs);
}

static void test_races(void **state)
{
	struct handshake_client c;
	struct handshake_result late = {.circ = ID};
	uint8_t payload[509] = {0};

	/* Closed while the handshake is under way: nothing is said. */
	skin_make(&c, HANDSHAKE_NTOR, payload);
	for (unsigned i = 0; i < 50; i++)
		fake_create(ID + i, CELL_CREATE2, payload, sizeof(payload));
	for (unsigned i = 0; i < 50; i++)
		fake_up(CTL_CIRC_CLOSED, ID + i, 0, NULL, NULL, 0);
	circ_handshake_done(fake_circs, &late);
	assert_int_equal(fake_n_sent, 0);
	assert_int_equal(circ_figures(fake_circs)->create_stale, 1);
	assert_int_equal(circ_figures(fake_circs)->n_circs, 0);
	/* A result for an open circuit of the same id changes nothing. */
	fake_open(ID);
	circ_handshake_done(fake_circs, &late);
	assert_int_equal(fake_n_sent, 0);
	/* The same id again: the older one is void. */
	fake_create(ID, CELL_CREATE2, payload, sizeof(payload));
	fake_run(1);
	assert_int_equal(circ_figures(fake_circs)->n_circs, 1);
	/* Messages about circuits that do not exist. */
	fake_relay(ID + 99, RELAY_EXTEND2, 1, "x", 1);
	assert_int_equal(fake_n_sent, 2); /* there is no entry, so its client must not wait */
	assert_int_equal(fake_sent[1].type, CTL_CIRC_CLOSE);
	assert_int_equal(fake_sent[1].arg, DESTROY_RESOURCELIMIT);
	fake_up(CTL_CIRC_CLOSED, ID + 99, 0, NULL, NULL, 0);
	fake_up(CTL_STREAM_READ, ID + 99, 0, NULL, "x", 1);
	fake_up(CTL_STREAM_CREDIT, ID + 99, 5, NULL, NULL, 0);
	fake_up(CTL_STREAM_CLOSED, ID + 99, 0, NULL, NULL, 0);
	fake_up(CTL_CONN_OPENED, ID, 0, NULL, NULL, 0);
	assert_int_equal(fake_n_sent, 2);
}

static void test_full(void **state)
{
	struct handshake_limits none = {.n_most = 0};
	struct handshake_client c;
	uint8_t payload[509] = {0};

	handshake_pool_limits(fake_pool, &none);
	skin_make(&c, HANDSHAKE_NTOR, payload);
	fake_create(ID, CELL_CREATE2, payload, sizeof(payload));
	assert_int_equal(fake_n_sent, 1);
	assert_int_equal(fake_sent[0].arg, DESTROY_RESOURCELIMIT);
	fake_door_full = true;
	fake_create(ID, CELL_CREATE_FAST, payload, sizeof(payload));
	assert_int_equal(circ_figures(fake_circs)->n_circs, 0);
	fake_door_full = false;
	fake_settings.hibernating = true;
	fake_apply();
	fake_create(ID, CELL_CREATE_FAST, payload, sizeof(payload));
	assert_int_equal(fake_sent[1].arg, DESTROY_HIBERNATING);
}

/* What relays ask for is noted, and what is let fall of it; of clients nothing. */
static void test_skins(void **state)
{
	struct handshake_limits none = {.n_most = 0};
	const struct circ_figures *f = circ_figures(fake_circs);
	struct handshake_client c;
	uint8_t payload[509] = {0};

	for (unsigned i = 0; i < 3; i++) {
		if (i == 2)
			handshake_pool_limits(fake_pool, &none);
		fake.peer.kind = i == 0 ? CTL_PEER_CLIENT : CTL_PEER_UNKNOWN_RELAY;
		skin_make(&c, HANDSHAKE_NTOR, payload);
		fake_n_sent = 0;
		fake_create(ID, CELL_CREATE2, payload, sizeof(payload));
		fake_run(1);
		fake_up(CTL_CIRC_CLOSED, ID, 0, NULL, NULL, 0);
		assert_int_equal(f->skins_ntor, i);
		assert_int_equal(f->drops_ntor, i == 2);
	}
	assert_int_equal(f->skins_ntor3, 0);
}

/* What dos/ says of the address: asked for each CREATE, told of a queue that was full. */
static void test_defences(void **state)
{
	uint8_t payload[509] = {0};

	fake.no_create = true;
	fake_create(ID, CELL_CREATE_FAST, payload, sizeof(payload));
	assert_int_equal(fake_sent[0].type, CTL_CIRC_CLOSE);
	assert_int_equal(fake_sent[0].arg, DESTROY_RESOURCELIMIT);
	assert_int_equal(circ_figures(fake_circs)->create_denied, 1);
	assert_int_equal(fake.n_creates, 1);
	fake.no_create = false;
	fake_open(ID);
	assert_int_equal(fake.n_creates, 2);
	fake_up(CTL_CIRC_CLOSED, ID, DESTROY_RESOURCELIMIT, NULL, NULL, 0);
	assert_int_equal(fake.n_queue_full, 0);
	fake_up(CTL_CIRC_CLOSED, ID, DESTROY_RESOURCELIMIT | CTL_CLOSED_OUTQ, NULL, NULL, 0);
	assert_int_equal(fake.n_queue_full, 0); /* it is gone already */
	fake_open(ID);
	fake_up(CTL_CIRC_CLOSED, ID, DESTROY_RESOURCELIMIT | CTL_CLOSED_OUTQ, NULL, NULL, 0);
	assert_int_equal(fake.n_queue_full, 1);
	fake_open(ID);
	fake.no_peer = true;
	fake_up(CTL_CIRC_CLOSED, ID, DESTROY_RESOURCELIMIT | CTL_CLOSED_OUTQ, NULL, NULL, 0);
	assert_int_equal(fake.n_queue_full, 1);
	fake_create(ID, CELL_CREATE_FAST, payload, sizeof(payload)); /* its link went meanwhile */
	assert_int_equal(fake.n_creates, 4);
}

/* Two circuits meet at a cookie; what is not allowed closes the one that tried. */
static void test_rendezvous(void **state)
{
	uint8_t body[60] = "twenty bytes cookie!and a handshake";
	wid client = ID, service = wid_make(1, 2, 3);
	struct ctl_circ_splice splice;

	fake_open(client);
	fake_open(service);
	fake_relay(client, RELAY_ESTABLISH_RENDEZVOUS, 0, body, 20);
	assert_int_equal(fake_n_sent, 2);
	assert_int_equal(fake_sent[0].type, CTL_CIRC_SEND);
	assert_int_equal(fake_sent[1].type, CTL_CIRC_TAG);
	fake_relay(service, RELAY_RENDEZVOUS1, 0, body, 35);
	assert_int_equal(fake_sent[2].type, CTL_CIRC_SPLICE);
	assert_true(fake_sent[2].id == service);
	memcpy(&splice, fake_sent[2].body, sizeof(splice));
	assert_true(splice.other == client);
	fake_relay(service, RELAY_RENDEZVOUS1, 0, body, 35);
	assert_int_equal(fake_sent[4].type, CTL_CIRC_CLOSE);
	assert_int_equal(fake_sent[4].arg, DESTROY_TORPROTOCOL);
	/* A relay command that the table does not have is dropped. */
	fake_relay(client, RELAY_DATA, 0, body, 20);
	assert_int_equal(fake_n_sent, 5);
	/* The client's link decides whether INTRODUCE1 may come. */
	fake_open(service);
	fake.peer.kind = CTL_PEER_CLIENT;
	fake_relay(service, RELAY_INTRODUCE1, 0, body, 60);
	assert_int_equal(fake_sent[0].type, CTL_CIRC_CLOSE);
	/* A circuit that ends leaves the map: its cookie is free. */
	fake_open(service);
	fake_relay(service, RELAY_ESTABLISH_RENDEZVOUS, 0, body, 20);
	fake_up(CTL_CIRC_CLOSED, service, 0, NULL, NULL, 0);
	fake_open(service);
	fake_relay(service, RELAY_ESTABLISH_RENDEZVOUS, 0, body, 20);
	assert_int_equal(fake_sent[0].type, CTL_CIRC_SEND);
}

static void replay(wid id, const uint8_t *tag, bool extended, bool spliced)
{
	struct ctl_circ_replay b = {
		.conn = wid_make(0, 5, 1), .serial = 3, .extended = extended, .spliced = spliced};

	memcpy(b.tag, tag, sizeof(b.tag));
	fake_n_sent = 0;
	fake_up(CTL_CIRC_REPLAY, id, 0, &b, NULL, 0);
}

/* A control that starts anew takes up what the tags of the old one say. */
static void test_replay(void **state)
{
	uint8_t body[60] = "twenty bytes cookie!and a handshake", tag[CTL_TAG_LEN],
		plain[CTL_TAG_LEN];
	wid client = ID, other = wid_make(1, 2, 3);
	struct circ *k;

	fake_open(client);
	k = circ_find(fake_circs, client);
	circ_tag_put(k, plain);
	assert_memory_equal(plain, k->kh, 20);
	fake_relay(client, RELAY_ESTABLISH_RENDEZVOUS, 0, body, 20);
	memcpy(tag, fake_sent[1].body, sizeof(tag));
	circ_forget_all(fake_circs);
	replay(client, tag, false, false);
	replay(other, plain, false, false);
	assert_int_equal(fake_n_sent, 0);
	assert_memory_equal(circ_find(fake_circs, client)->kh, tag, 20);
	fake_relay(other, RELAY_RENDEZVOUS1, 3, body, 35);
	assert_int_equal(fake_sent[0].type, CTL_CIRC_SPLICE);
	circ_forget_all(fake_circs);
	/* Spliced already: nobody waits at the cookie any more. */
	replay(client, tag, false, true);
	replay(other, plain, false, false);
	fake_relay(other, RELAY_RENDEZVOUS1, 3, body, 35);
	assert_int_equal(fake_sent[0].type, CTL_CIRC_CLOSE);
	/* Extended: it does not end here. */
	replay(other, plain, true, false);
	fake_relay(other, RELAY_ESTABLISH_RENDEZVOUS, 3, body, 20);
	assert_int_equal(fake_sent[0].type, CTL_CIRC_CLOSE);
	/* A cookie twice, and a tag that nobody wrote. */
	circ_forget_all(fake_circs);
	replay(client, tag, false, false);
	replay(client, tag, false, false); /* told twice: the same circuit */
	assert_int_equal(fake_n_sent, 0);
	replay(other, tag, false, false);
	assert_int_equal(fake_sent[0].type, CTL_CIRC_CLOSE);
	tag[21] = 77;
	replay(other, tag, false, false);
	assert_int_equal(fake_sent[0].type, CTL_CIRC_CLOSE);
	assert_int_equal(circ_figures(fake_circs)->n_circs, 1);
}

/* So many that the table has to grow. */
static void test_many(void **state)
{
	for (uint32_t i = 0; i < 5000; i++)
		fake_open(wid_make(i & 3, i, 1));
	assert_int_equal(circ_figures(fake_circs)->n_circs, 5000);
	for (uint32_t i = 0; i < 5000; i += 2)
		fake_up(CTL_CIRC_CLOSED, wid_make(i & 3, i, 1), 0, NULL, NULL, 0);
	assert_int_equal(circ_figures(fake_circs)->n_circs, 2500);
	for (uint32_t i = 1; i < 5000; i += 2)
		assert_non_null(circ_find(fake_circs, wid_make(i & 3, i, 1)));
}

#define WITH(t) cmocka_unit_test_setup_teardown(t, fake_setup, fake_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(test_refused), WITH(test_fast),	 WITH(test_create2), WITH(test_cc),
		WITH(test_races),   WITH(test_replay),	 WITH(test_full),    WITH(test_rendezvous),
		WITH(test_many),    WITH(test_defences), WITH(test_skins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
