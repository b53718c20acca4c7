/* test_link.c - cells cut from a byte stream split at every place, the hand-over, padding. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "dataplane/link/link.h"

static struct counts counts;
static struct rng rng;
static int64_t params[N_CTL_PARAMS] = {
#define X(name, value) [CTL_PARAM_##name] = value,
	CTL_PARAMS(X)
#undef X
};

static void start(struct links *l)
{
	struct link_config cf = {4, &counts, &rng, params};
	uint8_t seed[32] = {7};

	rng_seed(&rng, seed);
	counts = (struct counts) {0};
	assert_int_equal(links_init(l, &cf, 1000000), 0);
	link_start(l, 1, 1000000);
	link_secured(l, 1);
}

static size_t put_fixed(uint8_t *p, uint32_t id, uint8_t command, uint8_t fill)
{
	cell_head_put(p, id, command);
	memset(p + CELL_HEAD, fill, CELL_PAYLOAD);
	return CELL_LEN;
}

static size_t put_var(uint8_t *p, uint32_t id, uint8_t command, uint16_t len)
{
	be32_put(p, id);
	p[4] = command;
	be16_put(p + 5, len);
	for (unsigned i = 0; i < len; i++)
		p[CELL_VAR_HEAD + i] = (uint8_t)i;
	return CELL_VAR_HEAD + len;
}

static void open_link(struct links *l, uint8_t proto)
{
	static uint8_t hello[] = {0, 0, CELL_VERSIONS, 0, 2, 0, 5};
	struct ctl_conn_ready ready = {.link_proto = proto, .peer = CTL_PEER_CLIENT};
	struct cell cells[LINK_CELLS_MAX];
	uint8_t netinfo[CELL_LEN];

	assert_int_equal(link_in(l, 1, hello, sizeof(hello), cells), 1);
	assert_int_equal(cells[0].command, CELL_VERSIONS);
	assert_int_equal(cells[0].len, 2);
	put_fixed(netinfo, 0, CELL_NETINFO, 0);
	assert_int_equal(link_in(l, 1, netinfo, sizeof(netinfo), cells), 1);
	assert_int_equal(link_of(l, 1)->state, LINK_HELD);
	assert_int_equal(link_ready(l, 1, &ready, 1000000), 0);
}

/* A handshake and cells behind it, cut into two records at each byte; the cells must be the same.
 */
static void test_cut(void **state)
{
	static uint8_t stream[8192], copy[8192];
	size_t len = 0;

	len += put_fixed(stream + len, 0x80000001, CELL_RELAY, 1);
	len += put_var(stream + len, 0, CELL_VPADDING, 3);
	len += put_var(stream + len, 0, 200, 3000); /* unknown, longer than the stash */
	len += put_fixed(stream + len, 0x80000002, CELL_RELAY_EARLY, 2);
	len += put_fixed(stream + len, 0, 77, 0); /* unknown, fixed */
	len += put_fixed(stream + len, 0x80000003, CELL_DESTROY, 3);
	for (size_t cut = 0; cut <= len; cut++) {
		struct cell cells[LINK_CELLS_MAX];
		uint8_t seen = 0;
		struct links l;
		int n;

		start(&l);
		open_link(&l, 5);
		memcpy(copy, stream, len);
		for (int part = 0; part < 2; part++) {
			n = link_in(&l, 1, copy + (part ? cut : 0), part ? len - cut : cut, cells);
			assert_true(n >= 0);
			for (int i = 0; i < n; i++) {
				assert_int_equal(cells[i].payload[0], ++seen);
				assert_int_equal(cells[i].payload[CELL_PAYLOAD - 1], seen);
				assert_int_equal(cells[i].circ_id, 0x80000000 + seen);
			}
		}
		assert_int_equal(seen, 3);
		assert_int_equal(counts.v[COUNT_link_unknown_command], 2);
		links_fini(&l);
	}
}

/* Long cells behind each other, the second longer than the first, cut at two places: a long cell
 * may end and the next begin in one record. */
static void test_long_cells(void **state)
{
	static uint8_t stream[80000], copy[80000];
	struct cell cells[LINK_CELLS_MAX];
	size_t len = 0, at, n_bytes;
	uint8_t seen;
	struct links l;

	len += put_var(stream + len, 0, 200, 700);
	len += put_var(stream + len, 0, 201, 65535);
	len += put_fixed(stream + len, 0x80000001, CELL_RELAY, 1);
	for (size_t step = 97; step < 3000; step += 83) {
		start(&l);
		open_link(&l, 5);
		memcpy(copy, stream, len);
		for (at = 0, seen = 0; at < len; at += n_bytes) {
			n_bytes = MIN(step, len - at);
			int n = link_in(&l, 1, copy + at, n_bytes, cells);
			assert_true(n >= 0);
			for (int i = 0; i < n; i++)
				assert_int_equal(cells[i].payload[CELL_PAYLOAD - 1], ++seen);
		}
		assert_int_equal(seen, 1);
		assert_int_equal(counts.v[COUNT_link_unknown_command], 2);
		links_fini(&l);
	}
}

/* The same while control still wants every cell: each comes whole, and none is longer than the
 * bound. */
static void test_long_handshake(void **state)
{
	static uint8_t stream[30000], copy[30000], hello[] = {0, 0, CELL_VERSIONS, 0, 2, 0, 5};
	static const uint16_t sizes[] = {700, 6000, 3, CELL_VAR_MAX, 514};
	struct cell cells[LINK_CELLS_MAX];
	struct links l;

	for (size_t step = 97; step < 3000; step += 83) {
		size_t len = 0, n_bytes, seen = 0;

		for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
			len += put_var(stream + len, 0, CELL_CERTS, sizes[i]);
		start(&l);
		assert_int_equal(link_in(&l, 1, hello, sizeof(hello), cells), 1);
		memcpy(copy, stream, len);
		for (size_t at = 0; at < len; at += n_bytes) {
			n_bytes = MIN(step, len - at);
			int n = link_in(&l, 1, copy + at, n_bytes, cells);
			assert_true(n >= 0);
			for (int i = 0; i < n; i++) {
				assert_int_equal(cells[i].len, sizes[seen++]);
				for (unsigned b = 0; b < cells[i].len; b++)
					assert_int_equal(cells[i].payload[b], (uint8_t)b);
			}
		}
		assert_int_equal(seen, ARRAY_LEN(sizes));
		links_fini(&l);
	}
}

/* NETINFO and CREATE_FAST in one record: what is behind NETINFO waits for control. */
static void test_held(void **state)
{
	uint8_t data[2 * CELL_LEN + 10], *held;
	struct cell cells[LINK_CELLS_MAX];
	static uint8_t hello[] = {0, 0, CELL_VERSIONS, 0, 4, 0, 4, 0, 5};
	struct ctl_conn_ready ready = {.link_proto = 4};
	struct links l;
	size_t len;

	start(&l);
	assert_int_equal(link_ready(&l, 1, &ready, 0), ERR_NOT_NOW);
	assert_int_equal(link_in(&l, 1, hello, sizeof(hello), cells), 1);
	put_fixed(data, 0, CELL_NETINFO, 0);
	put_fixed(data + CELL_LEN, 0x80000001, CELL_CREATE_FAST, 9);
	memset(data + 2 * CELL_LEN, 0, 10);
	assert_int_equal(link_in(&l, 1, data, sizeof(data) - 10, cells), 1);
	assert_int_equal(cells[0].command, CELL_NETINFO);
	/* A record that came before the keys may still follow: it waits behind the rest. */
	assert_int_equal(link_in(&l, 1, data + 2 * CELL_LEN, 10, cells), 0);
	assert_int_equal(link_ready(&l, 1, &ready, 2000000), 0);
	len = link_take_held(&l, 1, &held);
	assert_int_equal(len, CELL_LEN + 10);
	assert_int_equal(link_in(&l, 1, held, len, cells), 1);
	assert_int_equal(cells[0].command, CELL_CREATE_FAST);
	free(held);
	links_fini(&l);
}

static void test_refused(void **state)
{
	uint8_t data[LINK_CELLS_MAX * 8 + 16], *p = data, *early;
	struct cell cells[LINK_CELLS_MAX];
	static uint8_t hello[] = {0, 0, CELL_VERSIONS, 0, 2, 0, 5};
	struct links l;
	size_t at;

	start(&l);
	assert_int_equal(link_in(&l, 1, hello, sizeof(hello), cells), 1);
	put_var(data, 0, CELL_CERTS, 0);
	be16_put(data + 5, CELL_VAR_MAX + 1);
	assert_int_equal(link_in(&l, 1, data, CELL_VAR_HEAD, cells), ERR_MALFORMED);
	/* A flood of tiny handshake cells in one record. */
	for (int i = 0; i <= LINK_CELLS_MAX; i++)
		p += put_var(p, 0, CELL_VPADDING, 0);
	assert_int_equal(link_in(&l, 1, data, (size_t)(p - data), cells), ERR_MALFORMED);
	links_fini(&l);
	start(&l);
	assert_int_equal(link_keep(&l, 1, data, 100), 0);
	assert_int_equal(link_take_early(&l, 1, 101, &early, &at), ERR_MALFORMED);
	assert_int_equal(link_take_early(&l, 1, 60, &early, &at), 40);
	assert_int_equal(at, 60);
	free(early);
	links_fini(&l);
}

static enum link_due run_until(struct links *l, uint64_t *now_us, uint64_t end_us)
{
	struct link_timer due[4];

	for (; *now_us < end_us; *now_us += 1000) {
		if (link_timers(l, *now_us, due, 4)) {
			assert_int_equal(due[0].conn, 1);
			return due[0].due;
		}
	}
	return LINK_DUE_NOTHING;
}

static void test_padding(void **state)
{
	uint64_t now = 1000000, sent;
	struct links l;

	start(&l);
	open_link(&l, 5);
	link_of(&l, 1)->n_legs = 1;
	/* Nothing before the link was used; then within [1.5 s, 9.5 s) of the last byte, each time.
	 */
	assert_int_equal(run_until(&l, &now, 20000000), LINK_DUE_NOTHING);
	link_used(&l, 1, LINK_USED_CIRCS);
	link_sent(&l, 1, now);
	for (int i = 0; i < 20; i++) {
		sent = now;
		assert_int_equal(run_until(&l, &now, now + 20000000), LINK_DUE_PADDING);
		assert_true(now - sent >= 1500000);
		assert_true(now - sent < (i ? 9600000u : 15000000u));
	}
	/* The client wants none. */
	uint8_t payload[CELL_PAYLOAD] = {0, 1};
	struct cell stop = {0, CELL_PADDING_NEGOTIATE, CELL_PAYLOAD, payload, payload};
	link_negotiate(&l, 1, &stop, now);
	assert_int_equal(run_until(&l, &now, now + 60000000), LINK_DUE_NOTHING);
	payload[0] = 1; /* a version that we do not know */
	link_negotiate(&l, 1, &stop, now);
	assert_int_equal(counts.v[COUNT_link_negotiate_bad], 1);
	/* Without circuits it ends: 3 to 4.5 min for a client. */
	link_of(&l, 1)->n_legs = 0;
	link_of(&l, 1)->last_leg_us = sent = now;
	while (run_until(&l, &now, now + 400000000ull) == LINK_DUE_PADDING)
		; /* keep-alive, after KeepalivePeriod */
	assert_true(now - sent >= 180000000 && now - sent <= 276000000);
	links_fini(&l);
}

/* Who is padded, after what, and how long after the last byte either way. */
static void test_padding_rules(void **state)
{
	static const struct {
		int n;
		uint8_t proto, peer, use, wants; /* wants: PADDING_NEGOTIATE command, 0 none */
		uint16_t low, high;		 /* and what it asks */
		int16_t before, relays;		 /* nf_pad_before_usage, nf_pad_relays */
		int32_t ito_low, ito_high;
		uint32_t from_ms, to_ms; /* 0, 0: never */
	} rows[] = {
		{1, 5, CTL_PEER_CLIENT, LINK_USED_CIRCS, 0, 0, 0, 1, 0, 1500, 9500, 1500, 9500},
		{2, 4, CTL_PEER_CLIENT, LINK_USED_CIRCS, 0, 0, 0, 1, 0, 1500, 9500, 0, 0},
		{3, 5, CTL_PEER_CLIENT, LINK_UNUSED, 0, 0, 0, 1, 0, 1500, 9500, 0, 0},
		{4, 5, CTL_PEER_CLIENT, LINK_USED_CIRCS, 0, 0, 0, 0, 0, 1500, 9500, 0, 0},
		{5, 5, CTL_PEER_CLIENT, LINK_USED_TRAFFIC, 0, 0, 0, 0, 0, 1500, 9500, 1500, 9500},
		{6, 5, CTL_PEER_UNKNOWN_RELAY, LINK_USED_CIRCS, 0, 0, 0, 1, 0, 1500, 9500, 1500,
		 9500},
		{7, 5, CTL_PEER_RELAY, LINK_USED_TRAFFIC, 0, 0, 0, 1, 0, 1500, 9500, 0, 0},
		{8, 5, CTL_PEER_RELAY, LINK_USED_TRAFFIC, 0, 0, 0, 1, 1, 1500, 9500, 1500, 9500},
		/* the network wants none, or no chance in it */
		{10, 5, CTL_PEER_CLIENT, LINK_USED_CIRCS, 0, 0, 0, 1, 0, 0, 0, 0, 0},
		{11, 5, CTL_PEER_CLIENT, LINK_USED_CIRCS, 0, 0, 0, 1, 0, 3000, 3000, 3000, 3000},
		{12, 5, CTL_PEER_CLIENT, LINK_USED_CIRCS, 0, 0, 0, 1, 0, 0, 2000, 0, 2000},
		/* what the peer asks makes it longer, never shorter */
		{20, 5, CTL_PEER_CLIENT, LINK_USED_CIRCS, 1, 0, 0, 1, 0, 1500, 9500, 0, 0},
		{21, 5, CTL_PEER_CLIENT, LINK_USED_CIRCS, 2, 0, 0, 1, 0, 1500, 9500, 1500, 9500},
		{22, 5, CTL_PEER_CLIENT, LINK_USED_CIRCS, 2, 100, 200, 1, 0, 1500, 9500, 1500,
		 9500},
		{23, 5, CTL_PEER_CLIENT, LINK_USED_CIRCS, 2, 9000, 14000, 1, 0, 1500, 9500, 9000,
		 14000},
		{24, 5, CTL_PEER_CLIENT, LINK_USED_CIRCS, 2, 12000, 100, 1, 0, 1500, 9500, 12000,
		 12000},
		{25, 5, CTL_PEER_CLIENT, LINK_USED_CIRCS, 2, 5000, 6000, 1, 0, 0, 0, 0, 0},
		{26, 4, CTL_PEER_CLIENT, LINK_USED_CIRCS, 2, 5000, 6000, 1, 0, 1500, 9500, 0, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t now = 1000000, heard, low = UINT64_MAX, high = 0;
		uint64_t step_us = MIN(700000, rows[i].ito_low * 500);
		uint8_t payload[CELL_PAYLOAD] = {0, rows[i].wants};
		struct cell wants = {0, CELL_PADDING_NEGOTIATE, CELL_PAYLOAD, payload, payload};
		struct links l;

		start(&l);
		params[CTL_PARAM_NF_PAD_BEFORE_USAGE] = rows[i].before;
		params[CTL_PARAM_NF_PAD_RELAYS] = rows[i].relays;
		params[CTL_PARAM_NF_ITO_LOW] = rows[i].ito_low;
		params[CTL_PARAM_NF_ITO_HIGH] = rows[i].ito_high;
		params[CTL_PARAM_KEEPALIVE_S] = 100000;
		open_link(&l, rows[i].proto);
		link_of(&l, 1)->peer = rows[i].peer;
		link_of(&l, 1)->n_legs = 1;
		link_used(&l, 1, rows[i].use);
		be16_put(payload + 2, rows[i].low);
		be16_put(payload + 4, rows[i].high);
		if (rows[i].wants)
			link_negotiate(&l, 1, &wants, now);
		while (run_until(&l, &now, now + 15000000) == LINK_DUE_PADDING)
			if (now > 60000000)
				break;
		for (int k = 0; k < 60; k++) {
			/* Cells come and go for a while, and then nothing moves. */
			for (int j = 0; j < 5; j++) {
				if (run_until(&l, &now, now + step_us) != LINK_DUE_NOTHING)
					fail_msg("row %d: padded while in use", rows[i].n);
				if (j & 1)
					link_sent(&l, 1, now);
				else
					link_heard(&l, 1, now);
			}
			heard = now;
			if (run_until(&l, &now, now + 20000000) == LINK_DUE_NOTHING)
				break;
			low = MIN(low, (now - heard) / 1000);
			high = MAX(high, (now - heard) / 1000);
		}
		if (high == 0 ? rows[i].to_ms != 0
			      : low < rows[i].from_ms || high > rows[i].to_ms + 2u ||
					low > rows[i].from_ms + 4500 || high + 3000 < rows[i].to_ms)
			fail_msg("row %d: %lu to %lu", rows[i].n, (unsigned long)low,
				 (unsigned long)high);
		links_fini(&l);
	}
	params[CTL_PARAM_NF_ITO_LOW] = 1500;
	params[CTL_PARAM_NF_ITO_HIGH] = 9500;
	params[CTL_PARAM_NF_PAD_BEFORE_USAGE] = 1;
	params[CTL_PARAM_NF_PAD_RELAYS] = 0;
	params[CTL_PARAM_KEEPALIVE_S] = 300;
}

/* What padding-counts is made of: all cells, and those of links that padding is on for. */
static void test_counts(void **state)
{
	uint8_t payload[CELL_PAYLOAD] = {0, 1}, data[4 * CELL_LEN], *p = data;
	struct cell stop = {0, CELL_PADDING_NEGOTIATE, CELL_PAYLOAD, payload, payload};
	struct cell cells[LINK_CELLS_MAX];
	struct links l;
	size_t len;

	start(&l);
	open_link(&l, 5);
	p += put_fixed(p, 0, CELL_PADDING, 0);
	p += put_fixed(p, 9, CELL_RELAY, 0);
	p += put_var(p, 0, CELL_VPADDING, 20);
	len = (size_t)(p - data);
	for (int on = 1; on >= 0; on--) {
		assert_int_equal(link_in(&l, 1, data, len, cells), 1);
		link_count_in(&l, link_of(&l, 1), 1);
		assert_int_equal(counts.v[COUNT_link_cells_in], on ? 2 : 4);
		assert_int_equal(counts.v[COUNT_link_padded_cells_in], 2);
		assert_int_equal(counts.v[COUNT_link_padded_padding_in], 1);
		link_negotiate(&l, 1, &stop, 1000000);
	}
	links_fini(&l);
}

/* A link that control gave up stays for its circuits, and ends a second after the last of them. */
static void test_retired(void **state)
{
	static const struct {
		bool used; /* padding runs: the timer comes for other reasons, too */
		unsigned legs;
	} rows[] = {{false, 0}, {true, 0}, {false, 1}, {true, 1}};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t now = 1000000, gone;
		struct links l;

		start(&l);
		open_link(&l, 5);
		now += 1000000;
		if (rows[i].used)
			link_used(&l, 1, LINK_USED_CIRCS);
		link_of(&l, 1)->n_legs = rows[i].legs;
		link_retire(&l, 1, now);
		gone = now;
		if (rows[i].legs) {
			while (now < 120000000)
				assert_int_not_equal(run_until(&l, &now, 120000000), LINK_DUE_IDLE);
			link_of(&l, 1)->n_legs = 0;
			link_of(&l, 1)->last_leg_us = gone = now;
		}
		while (run_until(&l, &now, gone + 4000000) == LINK_DUE_PADDING)
			;
		assert_true(now - gone >= 1000000 && now - gone < 3000000);
		links_fini(&l);
	}
}

/* A client that is silent for a minute is looked at again and again while it has circuits. */
static void test_stale(void **state)
{
	static const struct {
		uint8_t peer;
		unsigned legs;
		bool padded; /* what is sent then is no silence */
		bool stale;
	} rows[] = {
		{CTL_PEER_CLIENT, 1, false, true},	   {CTL_PEER_CLIENT, 3, false, true},
		{CTL_PEER_CLIENT, 0, false, false},	   {CTL_PEER_CLIENT, 1, true, false},
		{CTL_PEER_UNKNOWN_RELAY, 1, false, false}, {CTL_PEER_RELAY, 1, false, false},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t now = 1000000, seen = 0;
		struct links l;

		start(&l);
		open_link(&l, 5);
		link_of(&l, 1)->peer = rows[i].peer;
		link_of(&l, 1)->n_legs = rows[i].legs;
		link_sent(&l, 1, now);
		if (rows[i].padded)
			link_used(&l, 1, LINK_USED_TRAFFIC);
		while (now < 121000000) {
			uint64_t from = now;

			if (run_until(&l, &now, 121000000) == LINK_DUE_STALE) {
				assert_true(now >= 61000000 && (!seen || now - seen <= 6000000));
				seen = now;
			}
			now += now == from;
		}
		if (rows[i].stale != (seen >= 115000000))
			fail_msg("row %zu", i);
		links_fini(&l);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_long_cells),
		cmocka_unit_test(test_long_handshake),
		cmocka_unit_test(test_held),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_padding),
		cmocka_unit_test(test_padding_rules),
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_retired),
		cmocka_unit_test(test_stale),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
