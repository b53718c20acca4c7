/* test_dos.c - what one address may do, event by event, as tor 0.4.9 counts it; the table's bound.
 */
#include "controlplane/guardrail/dos.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

static struct dos *d;
static struct {
	unsigned n, n_lifts;
	enum ctl_deny why;
	uint64_t seconds;
	struct addr at;
} told;

static void hear_deny(void *arg, const struct addr *at, enum ctl_deny why, uint64_t seconds)
{
	told.n++;
	told.n_lifts += seconds == 0;
	told.why = why;
	told.seconds = seconds;
	told.at = *at;
}

static const struct dos_settings usual = {
	.circuits = true,
	.circ_min_conns = 3,
	.circ_rate = 3,
	.circ_burst = 90,
	.circ_type = DOS_REFUSE,
	.circ_period_s = 3600,
	.conns = true,
	.max_concurrent = 100,
	.conn_type = DOS_REFUSE,
	.connect_rate = 20,
	.connect_burst = 40,
	.connect_period_s = 86400,
	.max_outq = 3,
};

static void begin(uint32_t max, const struct dos_settings *s)
{
	struct dos_setup setup = {.max = max, .key = {{1, 2}}, .seed = {3}, .deny = hear_deny};

	memset(&told, 0, sizeof(told));
	d = dos_new(&setup);
	assert_non_null(d);
	dos_configure(d, s, 1);
}

static struct addr host(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(&a, text), 0);
	return a;
}

/* n connections at once; how many are let in. */
static unsigned connects(const struct addr *a, unsigned n, uint64_t now_s)
{
	unsigned in = 0;

	for (unsigned i = 0; i < n; i++)
		in += dos_connected(d, a, now_s) != DOS_CONN_REFUSED;
	return in;
}

static unsigned creates(const struct addr *a, unsigned n, uint64_t now_s)
{
	unsigned ok = 0;

	for (unsigned i = 0; i < n; i++)
		ok += dos_create(d, a, now_s);
	return ok;
}

/* Bucket 40, 20 a second: the fortieth empties it and marks, and is let in itself. */
static void test_connect_rate(void **state)
{
	struct addr a = host("192.0.2.1"), b = host("192.0.2.2");

	begin(0, &usual);
	assert_int_equal(connects(&a, 39, 100), 39);
	assert_int_equal(told.n, 0);
	assert_int_equal(connects(&a, 1, 100), 1);
	assert_int_equal(told.n, 1);
	assert_int_equal(told.why, CTL_DENY_MARKED);
	assert_true(addr_same(&told.at, &a));
	assert_in_range(told.seconds, 86400, 86400 * 3 / 2 + 2);
	assert_int_equal(connects(&a, 5, 100), 0);
	assert_int_equal(dos_figures(d)->conns_refused, 5);
	assert_int_equal(connects(&b, 39, 100), 39); /* others are others */
	for (unsigned i = 0; i < 40; i++)
		dos_disconnected(d, &a, 110);
	assert_int_equal(connects(&a, 1, 100 + 86400), 0); /* the mark holds */
	assert_int_equal(connects(&a, 1, 101 + 86400 * 3 / 2 + 1), 1);
	dos_free(d);
	/* twenty a second for ever is fine */
	begin(0, &usual);
	for (uint64_t s = 100; s < 104; s++)
		assert_int_equal(connects(&a, 20, s), 20);
	assert_int_equal(told.n, 0);
	dos_free(d);
}

/* More than a hundred is too many: the hundred and first is the last to come in. */
static void test_concurrent(void **state)
{
	struct dos_settings s = usual;
	struct addr a = host("192.0.2.1");

	s.connect_burst = 1000000;
	begin(0, &s);
	assert_int_equal(connects(&a, 100, 100), 100);
	assert_int_equal(told.n, 0);
	assert_int_equal(connects(&a, 4, 100), 1);
	assert_int_equal(told.why, CTL_DENY_CROWDED);
	assert_int_equal(told.n, 1);
	assert_int_equal(dos_figures(d)->concurrent_refused, 3);
	dos_disconnected(d, &a, 101);
	assert_int_equal(told.n, 2);
	assert_int_equal(told.seconds, 0);
	assert_int_equal(connects(&a, 2, 101), 1);
	assert_int_equal(told.n, 3);
	assert_int_equal(connects(&a, 1, 400), 0); /* told again once the first word is old */
	assert_int_equal(told.n, 4);
	dos_free(d);
}

static void test_circuits(void **state)
{
	struct addr a = host("192.0.2.1"), b = host("192.0.2.9");

	begin(0, &usual);
	assert_int_equal(creates(&b, 200, 100), 200); /* never seen to connect */
	connects(&a, 2, 100);
	assert_int_equal(creates(&a, 500, 100), 500); /* two connections are no crowd */
	assert_int_equal(told.n, 0);
	connects(&a, 1, 130);
	assert_int_equal(creates(&a, 200, 130), 89); /* thirty seconds have filled it again */
	assert_int_equal(told.why, CTL_DENY_CIRCUITS);
	assert_int_equal(told.n, 1);
	assert_true(told.seconds >= 1 && told.seconds <= 60);
	assert_int_equal(dos_figures(d)->marked, 1);
	assert_int_equal(dos_figures(d)->circuits_refused, 111);
	/* Whoever goes on stays marked, and the dataplane is told again. */
	assert_int_equal(creates(&a, 100, 150), 0);
	assert_int_equal(told.n, 2);
	assert_int_equal(creates(&a, 100, 150 + 3500), 0);
	assert_int_equal(creates(&a, 1, 150 + 3500 + 3600), 0);
	assert_int_equal(creates(&a, 80, 150 + 3500 + 5403), 80);
	assert_int_equal(dos_figures(d)->marked, 1);
	dos_free(d);
}

static void test_queue_full(void **state)
{
	struct addr a = host("192.0.2.1");

	begin(0, &usual);
	connects(&a, 1, 100);
	dos_queue_full(d, &a, 100);
	dos_queue_full(d, &a, 100);
	assert_int_equal(creates(&a, 1, 100), 1);
	dos_queue_full(d, &a, 100);
	assert_int_equal(told.why, CTL_DENY_CIRCUITS);
	assert_int_equal(creates(&a, 1, 100), 0);
	assert_int_equal(dos_figures(d)->marked_outq, 1);
	assert_int_equal(dos_figures(d)->marked, 0);
	dos_free(d);
}

/* What is only counted, what is off, and what is switched off while it holds. */
static void test_settings(void **state)
{
	struct dos_settings s = usual;
	struct addr a = host("192.0.2.1");

	s.circ_type = s.conn_type = DOS_COUNT_ONLY;
	begin(0, &s);
	assert_int_equal(connects(&a, 200, 100), 200);
	assert_int_equal(creates(&a, 200, 100), 200);
	assert_int_equal(told.n, 0);
	assert_int_equal(dos_figures(d)->circuits_refused, 111);
	assert_int_equal(dos_figures(d)->conns_refused, 160);
	dos_free(d);
	s.circuits = s.conns = false;
	begin(0, &s);
	assert_int_equal(dos_connected(d, &a, 100), DOS_CONN_FREE);
	assert_int_equal(dos_figures(d)->n_addresses, 0);
	assert_int_equal(creates(&a, 200, 100), 200);
	dos_free(d);
	begin(0, &usual);
	connects(&a, 40, 100);
	creates(&a, 90, 100);
	assert_int_equal(told.n, 2);
	dos_configure(d, &s, 101);
	assert_int_equal(told.n_lifts, 2);
	dos_configure(d, &usual, 102);
	assert_int_equal(connects(&a, 1, 103), 1);
	assert_int_equal(told.n, 4);
	dos_free(d);
	assert_int_equal(dos_connected(NULL, &a, 1), DOS_CONN_FREE);
	assert_true(dos_create(NULL, &a, 1));
	dos_disconnected(NULL, &a, 1);
	dos_queue_full(NULL, &a, 1);
}

static void test_ipv6(void **state)
{
	struct addr a = host("2001:db8:1:2::1"), b = host("2001:db8:1:2:ffff::9"),
		    c = host("2001:db8:1:3::1");

	begin(0, &usual);
	connects(&a, 20, 100);
	connects(&b, 20, 100);
	assert_int_equal(told.n, 1);
	assert_int_equal(connects(&b, 1, 100), 0);
	assert_int_equal(connects(&c, 1, 100), 1);
	assert_int_equal(dos_figures(d)->n_addresses, 2);
	dos_free(d);
}

/* As many addresses as strangers like: the table holds its bound, unmarked ones go first, those
 * with a connection never, and a day without one is enough to be forgotten. */
static void test_bound(void **state)
{
	struct addr a = {.family = 4}, stays = host("192.0.2.1"), marked = host("192.0.2.2");

	begin(64, &usual);
	connects(&stays, 1, 100);
	connects(&marked, 40, 100);
	for (unsigned i = 0; i < 40; i++)
		dos_disconnected(d, &marked, 100);
	for (uint32_t i = 0; i < 10000; i++) {
		be32_put(a.ip, 0x0a000000 + i);
		assert_int_equal(dos_connected(d, &a, 100), DOS_CONN_COUNTED);
		dos_disconnected(d, &a, 100);
	}
	assert_int_equal(dos_figures(d)->n_addresses, 64);
	assert_int_equal(dos_figures(d)->forgotten, 10000 - 62);
	assert_int_equal(connects(&marked, 1, 100), 0);
	/* all rows with a connection: the next is let in and not counted */
	for (uint32_t i = 0; i < 100; i++) {
		be32_put(a.ip, 0x0b000000 + i);
		assert_int_equal(dos_connected(d, &a, 200),
				 i < 63 ? DOS_CONN_COUNTED : DOS_CONN_FREE);
	}
	assert_int_equal(dos_figures(d)->n_addresses, 64);
	for (uint32_t i = 0; i < 63; i++) {
		be32_put(a.ip, 0x0b000000 + i);
		dos_disconnected(d, &a, 200);
		dos_disconnected(d, &a, 200); /* once too often */
	}
	for (uint32_t i = 0; i < 40; i++)
		connects(&stays, 1, 200 + 86401 + i);
	assert_int_equal(dos_figures(d)->n_addresses, 64 - 40);
	assert_true(dos_was_connected(d, &a, 200 + 86500));
	dos_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_connect_rate), cmocka_unit_test(test_concurrent),
		cmocka_unit_test(test_circuits),     cmocka_unit_test(test_queue_full),
		cmocka_unit_test(test_settings),     cmocka_unit_test(test_ipv6),
		cmocka_unit_test(test_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
