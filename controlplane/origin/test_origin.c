/* test_origin.c - fetches and self-tests against a wall and relays made up in this process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "controlplane/config/config.h"
#include "controlplane/keys/keys.h"
#include "controlplane/dir/test_world.h"
#include "controlplane/origin/fake_relay.h"

struct scene {
	struct config config;
	struct dir *dir;
	struct keys *keys;
	struct fake fake;
	char home[64];
	/* the outcome */
	unsigned n_done;
	int status;
	size_t len;
	uint32_t sum;
};
static struct scene w;

static uint32_t sum_of(const uint8_t *p, size_t len)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 16777619u;
	return h;
}

static void fetched(void *arg, int status, const uint8_t *body, size_t len)
{
	assert_ptr_equal(arg, &w);
	w.n_done++;
	w.status = status;
	w.len = len;
	w.sum = body ? sum_of(body, len) : 0;
}

static int no_fetch(void *ctx, const struct dir_target *to, const uint8_t *request, size_t len,
		    size_t max_len, dir_fetched done, void *arg)
{
	return ERR_SYSTEM;
}

static void scene_make(void)
{
	static const char torrc[] = "Nickname test\nORPort 10.0.0.9:9001\nAddress 10.0.0.9\n"
				    "DataplanePort tap:x\nDataplaneAddress 10.0.0.9/24\n"
				    "TestingTorNetwork 1\nDirAuthority a orport=5000 "
				    "v3ident=0000000000000000000000000000000000000001 10.0.0.1:80 "
				    "0000000000000000000000000000000000000002\n";
	struct config_messages m = {0};
	struct dir_setup ds = {.fetch = no_fetch};
	struct origin_setup os = {0};
	struct keys_config kc = {0};
	char why[KEYS_WHY_MAX];

	memset(&w, 0, sizeof(w));
	assert_int_equal(config_parse(torrc, sizeof(torrc) - 1, &w.config, &m), 0);
	config_messages_free(&m);
	snprintf(w.home, sizeof(w.home), "/tmp/test_origin.XXXXXX");
	assert_non_null(mkdtemp(w.home));
	kc.data_dir = w.home;
	kc.nickname = "test";
	w.keys = keys_open(&kc, 1800000000, why);
	assert_non_null(w.keys);
	free(w.config.cache_dir);
	w.config.cache_dir = NULL; /* nothing on disk */
	free(w.config.data_directory);
	w.config.data_directory = NULL;
	ds.config = &w.config;
	ds.keys = w.keys;
	w.dir = dir_new(&ds, 1800000000);
	assert_non_null(w.dir);
	fake_init(&w.fake, &os.ops);
	os.config = &w.config;
	os.keys = w.keys;
	os.dir = w.dir;
	w.fake.o = origin_new(&os, 0);
	assert_non_null(w.fake.o);
}

static void scene_free(void)
{
	char cmd[96];

	origin_free(w.fake.o);
	fake_fini(&w.fake);
	dir_free(w.dir);
	keys_close(w.keys);
	config_free(&w.config);
	snprintf(cmd, sizeof(cmd), "rm -r %s", w.home);
	assert_int_equal(system(cmd), 0);
}

static void target_make(struct dir_target *t, bool with_ntor)
{
	memset(t, 0, sizeof(*t));
	memset(t->rsa_id, 0x11, 20);
	memset(t->ed_id, 0x22, 32);
	if (with_ntor)
		memcpy(t->ntor_key, w.fake.keys.onion[0].public, 32);
	assert_int_equal(addr_parse(&t->or4, "10.0.0.1:5000"), 0);
}

/* An answer with a body of len bytes, and what its sum must be. */
static uint8_t *answer_make(size_t len, size_t *total, uint32_t *sum)
{
	char head[128];
	int n = snprintf(head, sizeof(head), "HTTP/1.0 200 OK\r\nContent-Length: %zu\r\n\r\n", len);
	uint8_t *p = malloc((size_t)n + len + 1);

	memcpy(p, head, (size_t)n);
	for (size_t i = 0; i < len; i++)
		p[(size_t)n + i] = (uint8_t)(i * 7 + i / 256);
	*total = (size_t)n + len;
	*sum = sum_of(p + n, len);
	return p;
}

static void fetch_one(const char *request, size_t len, size_t max_len, bool with_ntor)
{
	struct dir_target t;

	target_make(&t, with_ntor);
	w.n_done = 0;
	w.fake.request_min = len;
	assert_int_equal(
		origin_fetch(w.fake.o, &t, (const uint8_t *)request, len, max_len, fetched, &w), 0);
	assert_int_equal(w.n_done, 0); /* never from inside the call */
	fake_run(&w.fake);
	origin_tick(w.fake.o, w.fake.now_us);
}

static void bodies_of_all_sizes(void **state)
{
	static const size_t sizes[] = {0,	   1,	       497,	  498,	     499,
				       49 * 498,   50 * 498,   100 * 498, 101 * 498, 500 * 498,
				       1000 * 498, 1100 * 498, 3000000};
	struct origin_status s;

	scene_make();
	for (unsigned i = 0; i < 2 * ARRAY_LEN(sizes); i++) {
		size_t size = sizes[i / 2], total;
		uint32_t sum;
		uint8_t *answer = answer_make(size, &total, &sum);
		struct fake_circ *c = &w.fake.circ[w.fake.n_circs % FAKE_CIRCS];

		w.fake.answer = answer;
		w.fake.answer_len = total;
		fetch_one("GET /x HTTP/1.0\r\n\r\n", 19, 4000000, i & 1);
		assert_int_equal(w.n_done, 1);
		assert_int_equal(w.status, 200);
		if (size) {
			assert_int_equal(w.len, size);
			assert_int_equal(w.sum, sum);
		}
		assert_int_equal(c->n_sendme, c->n_data / 100);
		assert_int_equal(c->n_tags_ok, MIN(c->n_sendme, 64));
		assert_int_equal(c->n_stream_sendme, c->n_data / 50);
		free(answer);
	}
	assert_int_equal(w.fake.n_fast, ARRAY_LEN(sizes));
	assert_int_equal(w.fake.n_ntor, ARRAY_LEN(sizes));
	assert_int_equal(w.fake.n_closed, w.fake.n_circs);
	origin_status(w.fake.o, &s);
	assert_int_equal(s.n_circs, 0);
	assert_int_equal(s.n_fetches, 0);
	assert_int_equal(s.n_failed, 0);
	scene_free();
}

static void a_large_upload_keeps_the_windows(void **state)
{
	static char request[700000];
	static const char answer[] = "HTTP/1.0 200 Fine\r\n\r\n";

	scene_make();
	memset(request, 'r', sizeof(request));
	w.fake.answer = (const uint8_t *)answer;
	w.fake.answer_len = sizeof(answer) - 1;
	fetch_one(request, sizeof(request), 1000, true);
	assert_int_equal(w.n_done, 1);
	assert_int_equal(w.status, 200);
	assert_int_equal(w.fake.circ[0].request_len, sizeof(request));
	assert_memory_equal(w.fake.circ[0].request, request, sizeof(request));
	/* some cells were short, for tags that cannot be guessed */
	assert_true(w.fake.circ[0].n_got > (sizeof(request) + RELAY_BODY - 1) / RELAY_BODY);
	scene_free();
}

static void a_reason_stands_in_for_a_body(void **state)
{
	static const char answer[] = "HTTP/1.0 400 Your descriptor is bad\r\n\r\n";

	scene_make();
	w.fake.answer = (const uint8_t *)answer;
	w.fake.answer_len = sizeof(answer) - 1;
	fetch_one("POST / HTTP/1.0\r\n\r\n", 19, 1000, false);
	assert_int_equal(w.status, 400);
	assert_int_equal(w.sum, sum_of((const uint8_t *)"Your descriptor is bad", 22));
	scene_free();
}

static void each_trouble_is_told_once(void **state)
{
	static const struct {
		enum fake_trouble trouble;
		int status;
		bool waits; /* only the clock ends it */
	} rows[] = {
		{FAKE_LINK_REFUSED, ERR_SYSTEM, false},
		{FAKE_LINK_FAILED, ERR_SYSTEM, false},
		{FAKE_OPEN_REFUSED, ERR_SYSTEM, false},
		{FAKE_DESTROY_AT_CREATE, ERR_SYSTEM, false},
		{FAKE_BAD_CREATED, ERR_CRYPTO, false},
		{FAKE_SILENT, ERR_SYSTEM, true},
		{FAKE_END_AT_BEGIN, ERR_SYSTEM, false},
		{FAKE_DATA_BEFORE_CONNECTED, ERR_MALFORMED, false},
		{FAKE_DESTROY_IN_BODY, ERR_SYSTEM, false},
		{FAKE_END_MISC, ERR_SYSTEM, false},
		{FAKE_GARBAGE, ERR_MALFORMED, false},
		{FAKE_SENDME_EARLY, ERR_MALFORMED, false},
		{FAKE_NONE, ERR_FULL, false}, /* longer than allowed */
	};
	uint32_t sum;
	size_t total;
	uint8_t *answer = answer_make(200000, &total, &sum);

	scene_make();
	w.fake.answer = answer;
	w.fake.answer_len = total;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct origin_status s;

		w.fake.trouble = rows[i].trouble;
		fetch_one("GET /x HTTP/1.0\r\n\r\n", 19,
			  rows[i].status == ERR_FULL ? 100000 : 300000, false);
		assert_int_equal(w.n_done, rows[i].waits ? 0 : 1);
		w.fake.now_us += 61000000;
		origin_tick(w.fake.o, w.fake.now_us);
		assert_int_equal(w.n_done, 1);
		assert_int_equal(w.status, rows[i].status);
		origin_status(w.fake.o, &s);
		assert_int_equal(s.n_circs, 0);
	}
	free(answer);
	scene_free();
}

static void a_wrong_sendme_tag_ends_the_circuit(void **state)
{
	static char request[200 * 498];

	scene_make();
	w.fake.trouble = FAKE_SENDME_TAG;
	memset(request, 'r', sizeof(request));
	fetch_one(request, sizeof(request), 1000, true);
	assert_int_equal(w.n_done, 1);
	assert_int_equal(w.status, ERR_MALFORMED);
	scene_free();
}

static void a_link_that_comes_late(void **state)
{
	static const char answer[] = "HTTP/1.0 200 OK\r\n\r\nhello";
	struct dir_target t;

	scene_make();
	w.fake.late_links = 1;
	w.fake.answer = (const uint8_t *)answer;
	w.fake.answer_len = sizeof(answer) - 1;
	fetch_one("GET /x HTTP/1.0\r\n\r\n", 19, 100, false);
	assert_int_equal(w.n_done, 1);
	assert_int_equal(w.len, 5);
	/* the fetch gives up first: the link then finds nobody */
	w.n_done = 0;
	target_make(&t, false);
	assert_int_equal(origin_fetch(w.fake.o, &t, (const uint8_t *)"x", 1, 100, fetched, &w), 0);
	w.fake.now_us += 61000000;
	origin_tick(w.fake.o, w.fake.now_us);
	assert_int_equal(w.n_done, 1);
	assert_int_equal(w.status, ERR_SYSTEM);
	fake_run(&w.fake);
	assert_int_equal(w.n_done, 1);
	assert_int_equal(w.fake.n_circs, 1);
	/* and the room goes first */
	assert_int_equal(origin_fetch(w.fake.o, &t, (const uint8_t *)"x", 1, 100, fetched, &w), 0);
	origin_free(w.fake.o);
	w.fake.link_done(w.fake.link_arg, wid_make(0, 7, 1), 0);
	w.fake.o = NULL;
	assert_int_equal(w.n_done, 1);
	scene_free();
}

static void too_many_fetches_are_refused(void **state)
{
	struct dir_target t;
	unsigned n = 0;

	scene_make();
	w.fake.trouble = FAKE_SILENT;
	target_make(&t, false);
	while (n < 1000 && origin_fetch(w.fake.o, &t, (const uint8_t *)"x", 1, 9, fetched, &w) == 0)
		n++;
	assert_int_equal(n, 64);
	w.fake.now_us += 61000000;
	origin_tick(w.fake.o, w.fake.now_us);
	assert_int_equal(w.n_done, 64);
	assert_int_equal(origin_fetch(w.fake.o, &t, (const uint8_t *)"x", 1, 9, fetched, &w), 0);
	scene_free();
}

static void stray_messages_do_nothing(void **state)
{
	uint8_t payload[CELL_PAYLOAD] = {0};

	scene_make();
	origin_recv(w.fake.o, wid_make(3, 4, 5), CELL_RELAY, payload, sizeof(payload), 1);
	origin_recv(w.fake.o, WID_NONE, CELL_RELAY, payload, 3, 1);
	origin_closed(w.fake.o, wid_make(3, 4, 5), 1, 1);
	origin_opened(w.fake.o, 99, wid_make(3, 4, 5), 0, 1);
	assert_int_equal(origin_selftest(w.fake.o, 4, 1), ERR_NOT_NOW); /* nobody is known */
	assert_int_equal(origin_selftest(w.fake.o, 6, 1), ERR_NOT_NOW);
	assert_int_equal(origin_bandwidth_test(w.fake.o, 1), ERR_NOT_NOW);
	scene_free();
}

/* dir's own test world, six relays of a real network, whose secrets the fake relay has. */
static void test_world_open(struct world *dw)
{
	struct origin_setup os = {0};
	struct onion_keys *ours;
	struct fake *f = &w.fake;

	world_open(dw, real_authorities, true, REAL_NOW);
	fake_init(f, &os.ops);
	ours = keys_onion_get(dw->keys);
	memcpy(f->keys.onion[1].secret, ours->ntor[0].secret, 32);
	memcpy(f->keys.onion[1].public, ours->ntor[0].public_key, 32);
	f->keys.n_onion = 2;
	memcpy(f->keys.ed_id, keys_ed_id(dw->keys), 32);
	onion_keys_put(ours);
	for (unsigned i = 0; i < dir_n_nodes(dw->dir); i++)
		memcpy(dw->dir->current[FLAVOUR_MICRODESC]->nodes[i].ntor_key,
		       f->keys.onion[0].public, 32);
	os.config = &dw->config;
	os.keys = dw->keys;
	os.dir = dw->dir;
	f->o = origin_new(&os, 0);
}

static void test_world_close(struct world *dw)
{
	origin_free(w.fake.o);
	fake_fini(&w.fake);
	world_close(dw);
}

/* Who dials us has no link with us; a test that opened and proved nothing does not stand in the way
 * of the next. (In the private network every relay had a link over IPv4 right after a restart: IPv6
 * stayed unproven, and the descriptor unpublished.) */
static void tests_in_vain_are_replaced(void **state)
{
	struct world dw;
	struct fake *f = &w.fake;
	struct origin_status s;
	static const uint8_t nobody[20];

	test_world_open(&dw);
	dw.config.assume_reachable = false;
	assert_true(dir_wants_selftest(dw.dir, 4));
	for (unsigned k = 0; k < dir_n_nodes(dw.dir); k++) {
		unsigned first = f->n_circs;

		f->alone = dir_node_at(dw.dir, k)->rsa_id;
		assert_int_equal(origin_selftest(f->o, 4, 1 + k * 10000000), 0);
		fake_run(f);
		origin_tick(f->o, 1 + k * 10000000);
		origin_status(f->o, &s);
		assert_int_equal(s.n_circs, ORIGIN_TESTS); /* the vain ones are gone */
		assert_int_equal(f->n_circs, first + ORIGIN_TESTS);
		for (unsigned i = 0; i < ORIGIN_TESTS; i++)
			assert_memory_equal(f->circ[(first + i) % FAKE_CIRCS].extended_to[1],
					    f->alone, 20);
		assert_int_equal(f->n_retired, 0);
	}
	/* All have links: nothing is begun in vain, one is asked to go. */
	f->alone = nobody;
	assert_int_equal(origin_selftest(f->o, 4, 90000000), ERR_FULL);
	assert_int_equal(f->n_retired, 1);
	/* Proven: whoever has a link will do, for the DROP cells. */
	dir_set_reachable(dw.dir, 4);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(origin_selftest(f->o, 4, 100000000), 0);
		fake_run(f);
		origin_tick(f->o, 100000000);
		origin_status(f->o, &s);
		assert_int_equal(s.n_circs, ORIGIN_TESTS);
	}
	assert_int_equal(f->n_retired, 1);
	test_world_close(&dw);
}

/* Four circuits through two others each to ourselves, then DROP cells over them. */
static void self_tests(void **state)
{
	struct world dw;
	struct fake *f = &w.fake;
	struct origin_status s;
	unsigned n_drop = 0;

	test_world_open(&dw);
	assert_int_equal(origin_selftest(f->o, 6, 1), ERR_NOT_NOW);    /* we have no such address */
	assert_int_equal(origin_bandwidth_test(f->o, 1), ERR_NOT_NOW); /* but begins to build */
	assert_int_equal(origin_selftest(f->o, 4, 1), 0);
	fake_run(f);
	assert_int_equal(f->n_circs, ORIGIN_TESTS);
	origin_status(f->o, &s);
	assert_int_equal(s.n_opened, ORIGIN_TESTS);
	for (unsigned i = 0; i < ORIGIN_TESTS; i++) {
		assert_int_equal(f->circ[i].n_hops, 3);
		assert_int_equal(f->circ[i].n_early, 2);
		assert_memory_equal(f->circ[i].extended_to[2], keys_rsa_id(dw.keys), 20);
		assert_non_null(dir_node_by_rsa(dw.dir, f->circ[i].extended_to[1]));
	}
	assert_int_equal(origin_bandwidth_test(f->o, 2), ORIGIN_TESTS);
	for (unsigned i = 0; i < 20; i++)
		origin_tick(f->o, 3 + i);
	for (unsigned i = 0; i < ORIGIN_TESTS; i++)
		n_drop += f->circ[i].n_drop;
	assert_int_equal(n_drop, 1000);
	dw.config.relay_rate = 5140; /* ten seconds of it are a hundred cells */
	assert_int_equal(origin_bandwidth_test(f->o, 30), ORIGIN_TESTS);
	for (unsigned i = 0; i < 20; i++)
		origin_tick(f->o, 40 + i);
	for (unsigned i = 0; i < ORIGIN_TESTS; i++)
		n_drop += f->circ[i].n_drop;
	assert_int_equal(n_drop, 1000 + 1000 + 100);
	/* spent they go soon, unused after a while */
	origin_tick(f->o, 4900000);
	origin_status(f->o, &s);
	assert_int_equal(s.n_circs, ORIGIN_TESTS);
	origin_tick(f->o, 5100000);
	origin_status(f->o, &s);
	assert_int_equal(s.n_circs, 0);
	f->now_us = 6000000;
	assert_int_equal(origin_selftest(f->o, 4, f->now_us), 0);
	fake_run(f);
	origin_tick(f->o, 305000000);
	origin_status(f->o, &s);
	assert_int_equal(s.n_circs, ORIGIN_TESTS);
	origin_tick(f->o, 307000000);
	origin_status(f->o, &s);
	assert_int_equal(s.n_circs, 0);
	assert_int_equal(f->n_closed, 2 * ORIGIN_TESTS);
	test_world_close(&dw);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bodies_of_all_sizes),
		cmocka_unit_test(a_large_upload_keeps_the_windows),
		cmocka_unit_test(a_reason_stands_in_for_a_body),
		cmocka_unit_test(each_trouble_is_told_once),
		cmocka_unit_test(a_wrong_sendme_tag_ends_the_circuit),
		cmocka_unit_test(a_link_that_comes_late),
		cmocka_unit_test(too_many_fetches_are_refused),
		cmocka_unit_test(stray_messages_do_nothing),
		cmocka_unit_test(tests_in_vain_are_replaced),
		cmocka_unit_test(self_tests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
