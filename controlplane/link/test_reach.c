/* test_reach.c - who a peer is and which link reaches it: reuse, dials, failures, time-outs,
 * limits, and both sides of the wall starting again. */
#include "controlplane/link/test_relays.h"

#include <stdio.h>
#include <stdlib.h>

#include <setjmp.h>
#include <cmocka.h>

/* ---- peers ---- */

static void kinds_and_canonical(void **state)
{
	struct addr elsewhere = {.family = 4, .port = 1, .ip = {7, 7, 7, 7}};
	struct link_target t = target_of(SERVES);
	struct wire w;

	SERVES->knows = false;
	links_set_addresses(SERVES->links, &elsewhere, 1);
	w = dial_whole();
	assert_int_equal(link_peer(SERVES->links, w.b->conn)->kind, CTL_PEER_UNKNOWN_RELAY);
	assert_false(link_peer(SERVES->links, w.b->conn)->named_us);
	assert_false(link_peer(DIALS->links, w.a->conn)->canonical);
	assert_int_equal(SERVES->n_suggested, 1);
	assert_true(addr_same_ip(&SERVES->suggested, &SERVES->at));
	SERVES->knows = true;
	links_reclassify(SERVES->links);
	assert_int_equal(link_peer(SERVES->links, w.b->conn)->kind, CTL_PEER_RELAY);
	/* not canonical: good for who names that address, not for another */
	unsigned reason;
	assert_int_equal(link_get(DIALS->links, &t, on_link, NULL, &reason), w.a->conn);
	t.addrs[0] = elsewhere;
	assert_int_equal(link_get(DIALS->links, &t, on_link, NULL, &reason), WID_NONE);
	assert_int_equal(reason, 0);
	assert_non_null(fake_dialled(DIALS->links));
}

/* ---- reaching ---- */

static void wrong_identity(void **state)
{
	struct link_target t = target_of(SERVES);
	struct wire w;
	unsigned reason;

	t.ed_id[5] ^= 1;
	w = dial(&t);
	fake_pump(w.a, w.b, 65536);
	assert_true(w.a->closed && !w.a->ready);
	assert_int_equal(w.a->close_why, CTL_WHY_IDENTITY);
	assert_int_equal(answered.n, 1);
	assert_int_equal(answered.conn, WID_NONE);
	assert_int_equal(answered.reason, DESTROY_OR_IDENTITY);
	/* within the minute nobody dials that again */
	assert_int_equal(link_get(DIALS->links, &t, on_link, NULL, &reason), WID_NONE);
	assert_int_equal(reason, DESTROY_CONNECTFAILED);
	clock_to(now_us + 60000001);
	assert_int_equal(link_get(DIALS->links, &t, on_link, NULL, &reason), WID_NONE);
	assert_int_equal(reason, 0);
	t.rsa_id[0] ^= 1;
	t.addrs[0].port = 0; /* no address to dial */
	assert_int_equal(link_get(DIALS->links, &t, on_link, NULL, &reason), WID_NONE);
	assert_int_equal(reason, DESTROY_CONNECTFAILED);
	t = target_of(DIALS);
	assert_int_equal(link_get(DIALS->links, &t, on_link, NULL, &reason), WID_NONE);
	assert_int_equal(reason, DESTROY_CONNECTFAILED); /* ourselves */
}

static void next_address(void **state)
{
	struct link_target t = target_of(SERVES);
	struct fake_end *e;
	struct wire w;
	unsigned reason;

	t.n_addrs = 2;
	t.addrs[1] = SERVES->at;
	t.addrs[0] = (struct addr) {.family = 6, .port = 443, .ip = {0x20, 1}};
	assert_int_equal(link_get(DIALS->links, &t, on_link, NULL, &reason), WID_NONE);
	e = fake_dialled(DIALS->links);
	assert_int_equal(e->dialled.family, 6);
	fake_close(e, CTL_WHY_REFUSED);
	assert_int_equal(answered.n, 0);
	e = fake_dialled(DIALS->links);
	assert_int_equal(e->dialled.family, 4);
	w = connect_ends(e);
	fake_pump(w.a, w.b, 65536);
	assert_int_equal(answered.n, 1);
	assert_int_equal(answered.conn, w.a->conn);
	fake_close(w.a, CTL_WHY_DONE);
	/* the v6 address is still remembered as bad: v4 at once */
	assert_int_equal(link_get(DIALS->links, &t, on_link, NULL, &reason), WID_NONE);
	e = fake_dialled(DIALS->links);
	assert_int_equal(e->dialled.family, 4);
	fake_close(e, CTL_WHY_TIMEOUT);
	assert_int_equal(answered.n, 2);
	assert_int_equal(answered.reason, DESTROY_CHANNEL_CLOSED);
	assert_int_equal(links_stats(DIALS->links)->n_dials, 0);
}

static void waiting_together(void **state)
{
	struct link_target t = target_of(SERVES);
	struct wire w = dial(&t);
	unsigned reason;
	int mark;

	assert_int_equal(link_get(DIALS->links, &t, on_link, &mark, &reason), WID_NONE);
	assert_int_equal(link_get(DIALS->links, &t, on_link, &mark, &reason), WID_NONE);
	assert_int_equal(link_get(DIALS->links, &t, on_link, &t, &reason), WID_NONE);
	assert_int_equal(reason, 0);
	assert_null(fake_dialled(DIALS->links)); /* one dial serves them all */
	link_forget(DIALS->links, on_link, &mark);
	fake_pump(w.a, w.b, 65536);
	assert_int_equal(answered.n, 2);
}

/* Two relays dial each other at once: both links stand, who waits gets the first. */
static void crossing_dials(void **state)
{
	struct link_target to_b = target_of(SERVES), to_a = target_of(DIALS);
	struct addr from = SERVES->at;
	struct fake_end *back, *in;
	struct wire w = dial(&to_b);
	unsigned reason;

	assert_int_equal(link_get(SERVES->links, &to_a, on_link, NULL, &reason), WID_NONE);
	back = fake_dialled(SERVES->links);
	from.port = 50000;
	in = fake_accept(DIALS->links, &DIALS->at, &from);
	fake_answer(back, &from);
	fake_pump(w.a, w.b, 65536); /* the first opens: both sides' waiters are served by it */
	assert_int_equal(answered.n, 2);
	assert_true(answered.conn == w.a->conn || answered.conn == w.b->conn);
	clock_to(now_us + 1000);
	fake_pump(back, in, 65536);
	assert_true(back->ready && in->ready);
	assert_int_equal(answered.n, 2);
	assert_int_equal(links_stats(DIALS->links)->n_relays, 2);
	/* the older one goes on to be used, the other is given up on both sides */
	assert_true(in->retired && back->retired);
	assert_false(w.a->retired || w.b->retired);
	assert_int_equal(link_get(DIALS->links, &to_b, on_link, NULL, &reason), w.a->conn);
	link_mark_bad(DIALS->links, w.a->conn);
	assert_true(w.a->retired);
	assert_int_equal(link_get(DIALS->links, &to_b, on_link, NULL, &reason), WID_NONE);
	assert_int_equal(links_stats(DIALS->links)->retired, 2);
	fake_close(in, CTL_WHY_DONE);
	fake_close(w.a, CTL_WHY_DONE);
}

/* Of two links to one relay: which stays (interop L24). The first is the older one. */
static void the_better_stays(void **state)
{
	enum { NEITHER, FIRST, SECOND };
	static const struct {
		bool canonical[2], named_us[2];
		uint8_t last_octet[2]; /* of the peer's address */
		bool same_ed;
		int goes;
	} rows[] = {
		{{true, true}, {true, true}, {1, 1}, true, SECOND},    /* age */
		{{true, true}, {false, true}, {1, 1}, true, FIRST},    /* canonical to the peer */
		{{false, true}, {true, false}, {1, 1}, true, FIRST},   /* canonical comes first */
		{{true, false}, {false, true}, {1, 2}, true, SECOND},  /* also to another address */
		{{false, false}, {true, true}, {1, 2}, true, NEITHER}, /* else only to the same */
		{{false, false}, {true, true}, {1, 1}, true, SECOND},
		{{true, true}, {true, true}, {1, 1}, false, NEITHER}, /* another relay */
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fake_end *e[2];

		relay_start(SERVES, 8);
		for (unsigned k = 0; k < 2; k++) {
			relay_start(DIALS, 8);
			clock_to(now_us + 1000000);
			e[k] = dial_whole().b;
		}
		for (unsigned k = 0; k < 2; k++) {
			struct link *link = link_find(SERVES->links, e[k]->conn);

			link->bad = e[k]->retired = false;
			link->peer.canonical = rows[i].canonical[k];
			link->peer.named_us = rows[i].named_us[k];
			link->peer.remote.ip[3] = rows[i].last_octet[k];
			link->peer.ed_id[0] ^= k && !rows[i].same_ed;
		}
		reach_rank(SERVES->links, link_find(SERVES->links, e[0]->conn));
		assert_int_equal(e[0]->retired, rows[i].goes == FIRST);
		assert_int_equal(e[1]->retired, rows[i].goes == SECOND);
	}
}

/* Which links stand in the way of a proof that our ORPort of a family is reachable. */
static void other_ways(void **state)
{
	struct wire w = dial_whole();
	const uint8_t *a = keys_rsa_id(DIALS->keys), *b = keys_rsa_id(SERVES->keys);

	assert_false(links_other_way(SERVES->links, b, 4, true)); /* no link at all */
	assert_false(links_other_way(SERVES->links, a, 4, true)); /* dialled us, over IPv4 */
	assert_true(links_other_way(SERVES->links, a, 6, false));
	assert_false(w.b->retired);
	assert_true(links_other_way(SERVES->links, a, 6, true));
	assert_true(w.b->retired);
	assert_true(links_other_way(DIALS->links, b, 4, false)); /* we dialled */
	fake_close(w.a, CTL_WHY_DONE);
	assert_false(links_other_way(DIALS->links, b, 4, false));
}

static void old_links(void **state)
{
	struct wire w = dial_whole();
	struct link_target t = target_of(SERVES);
	unsigned reason;

	clock_to(now_us + 7 * 86400 * 1000000ull);
	assert_int_equal(link_get(DIALS->links, &t, on_link, NULL, &reason), w.a->conn);
	clock_to(now_us + 1);
	assert_int_equal(link_get(DIALS->links, &t, on_link, NULL, &reason), WID_NONE);
	assert_non_null(link_peer(DIALS->links, w.a->conn));
	assert_false(w.a->retired);
	fake_door_full = true;
	links_tick(DIALS->links);
	fake_door_full = false;
	assert_false(w.a->retired);
	clock_to(now_us + 60000000);
	links_tick(DIALS->links);
	assert_true(w.a->retired);
}

static void time_outs(void **state)
{
	struct addr from = {.family = 4, .port = 999, .ip = {9, 9, 9, 9}};
	struct fake_end *silent = fake_accept(SERVES->links, &SERVES->at, &from), *e;
	struct link_target t = target_of(SERVES);
	unsigned reason;

	assert_int_equal(link_get(DIALS->links, &t, on_link, NULL, &reason), WID_NONE);
	e = fake_dialled(DIALS->links);
	clock_to(now_us + 299999999);
	links_tick(SERVES->links);
	links_tick(DIALS->links);
	assert_false(silent->closed);
	clock_to(now_us + 1);
	links_tick(SERVES->links);
	links_tick(DIALS->links);
	assert_true(silent->closed);
	assert_int_equal(silent->close_why, CTL_WHY_TIMEOUT);
	assert_int_equal(answered.n, 1);
	assert_int_equal(answered.reason, DESTROY_CHANNEL_CLOSED);
	/* the dial was given up: an answer that comes late is closed */
	fake_answer(e, &from);
	assert_true(e->closed);
	assert_int_equal(links_stats(SERVES->links)->n_links, 1); /* until CONN_CLOSED */
	fake_close(silent, CTL_WHY_DONE);
	assert_int_equal(links_stats(SERVES->links)->n_links, 0);
}

static void hear_deny(void *arg, const struct addr *at, enum ctl_deny why, uint64_t seconds)
{
	++*(unsigned *)arg;
}

/* Connections are counted from before TLS to their end, by the address that they come from; those
 * of an earlier control too. */
static void counted(void **state)
{
	struct addr from = {.family = 4, .port = 999, .ip = {9, 9, 9, 9}}, other = from;
	struct dos_settings set = {
		.conns = true, .max_concurrent = 2, .conn_type = DOS_REFUSE, .connect_burst = 1000};
	unsigned n_denied = 0;
	struct dos_setup setup = {.max = 16, .deny = hear_deny, .arg = &n_denied};
	struct fake_end *e[5];
	struct wire w;

	SERVES->dos = dos_new(&setup);
	dos_configure(SERVES->dos, &set, 1);
	relay_start(SERVES, 0);
	other.ip[3] = 8;
	for (unsigned i = 0; i < 5; i++) {
		e[i] = fake_accept(SERVES->links, &SERVES->at, &from);
		assert_int_equal(e[i]->closed, i >= 3);
	}
	assert_false(fake_accept(SERVES->links, &SERVES->at, &other)->closed);
	assert_int_equal(links_stats(SERVES->links)->refused_dos, 2);
	assert_int_equal(n_denied, 1);
	fake_close(e[0], CTL_WHY_DONE);
	assert_int_equal(n_denied, 2);
	e[0] = fake_accept(SERVES->links, &SERVES->at, &from);
	assert_false(e[0]->closed);
	w = dial_whole(); /* a third address, and an open link */
	assert_int_equal(dos_figures(SERVES->dos)->n_addresses, 3);
	assert_int_equal(links_replayed(SERVES->links, wid_make(0, 77, 1), &SERVES->at, &from,
					&w.b->is_ready),
			 0);
	fake_close(e[0], CTL_WHY_DONE);
	assert_true(fake_accept(SERVES->links, &SERVES->at, &from)->closed);
	links_free(SERVES->links); /* each is uncounted */
	SERVES->links = NULL;
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(dos_connected(SERVES->dos, &from, 1), DOS_CONN_COUNTED);
	dos_free(SERVES->dos);
	SERVES->dos = NULL;
}

static void limits(void **state)
{
	struct addr from = {.family = 4, .port = 999, .ip = {9, 9, 9, 9}};
	struct link_target t = target_of(DIALS);
	struct fake_end *e[8];
	unsigned reason;

	for (unsigned i = 0; i < 8; i++) {
		e[i] = fake_accept(SERVES->links, &SERVES->at, &from);
		assert_int_equal(e[i]->closed, i >= 6); /* a quarter is kept for our own dials */
	}
	assert_int_equal(links_stats(SERVES->links)->refused_full, 2);
	for (unsigned i = 0; i < 3; i++) {
		t.rsa_id[0]++;
		link_get(SERVES->links, &t, on_link, NULL, &reason);
		assert_int_equal(reason, i < 2 ? 0 : DESTROY_RESOURCELIMIT);
	}
	fake_close(e[0], CTL_WHY_DONE);
	link_get(SERVES->links, &t, on_link, NULL, &reason);
	assert_int_equal(reason, 0);
}

/* The door is full: links close as soon as it takes messages again, nothing is leaked. */
static void full_door(void **state)
{
	struct addr from = {.family = 4, .port = 999, .ip = {9, 9, 9, 9}};
	struct link_target t = target_of(SERVES);
	struct wire w = dial(&t);
	uint8_t piece[4096];
	size_t n = fake_take(w.a, piece, sizeof(piece));
	unsigned reason;

	fake_door_full = true;
	fake_feed(w.b, piece, n);
	assert_false(w.b->closed);
	t.rsa_id[1] ^= 1;
	link_get(DIALS->links, &t, on_link, NULL, &reason);
	assert_int_equal(reason, DESTROY_RESOURCELIMIT);
	fake_accept(SERVES->links, &SERVES->at, &from);
	fake_door_full = false;
	clock_to(now_us + 2000000);
	links_tick(SERVES->links);
	assert_true(w.b->closed);
	assert_int_equal(w.b->close_why, CTL_WHY_RESOURCE);
}

/* ---- control restarts; the dataplane restarts ---- */

static void replayed(void **state)
{
	struct wire w = dial_whole();
	struct ctl_conn_ready ready = w.a->is_ready, bad = ready;
	const struct link_peer *p;
	struct link_target t = target_of(SERVES);
	unsigned reason;

	wall_s += 3600;
	now_us += 10ull * 86400 * 1000000;
	relay_start(DIALS, 8);
	w.a->links = DIALS->links;
	bad.tag[0] = 99;
	assert_int_equal(links_replayed(DIALS->links, w.a->conn, &DIALS->at, &SERVES->at, &bad),
			 ERR_MALFORMED);
	assert_int_equal(links_replayed(DIALS->links, w.a->conn, &DIALS->at, &SERVES->at, &ready),
			 0);
	/* Told twice, or of one that was made since: it stays what it is. */
	assert_int_equal(links_replayed(DIALS->links, w.a->conn, &DIALS->at, &SERVES->at, &bad), 0);
	assert_int_equal(links_stats(DIALS->links)->n_links, 1);
	p = link_peer(DIALS->links, w.a->conn);
	assert_memory_equal(p->ed_id, keys_ed_id(SERVES->keys), KEYS_ED_ID);
	assert_true(p->initiator && p->canonical && p->has_ed);
	assert_int_equal(now_us - p->since_us, 3600000000ull);
	assert_int_equal(link_get(DIALS->links, &t, on_link, NULL, &reason), w.a->conn);
	fake_close(w.a, CTL_WHY_DONE);
	assert_int_equal(links_stats(DIALS->links)->n_links, 0);
}

static void dataplane_gone(void **state)
{
	struct link_target t = target_of(SERVES);

	dial_whole();
	memset(&answered, 0, sizeof(answered));
	t.rsa_id[3] ^= 4;
	dial(&t);
	links_lost(DIALS->links);
	assert_int_equal(answered.n, 1);
	assert_int_equal(answered.conn, WID_NONE);
	assert_int_equal(links_stats(DIALS->links)->n_links, 0);
	assert_int_equal(links_stats(DIALS->links)->n_handshakes, 0);
	assert_int_equal(links_stats(DIALS->links)->n_dials, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(kinds_and_canonical), T(wrong_identity), T(next_address),
		T(waiting_together),	T(crossing_dials), T(old_links),
		T(time_outs),		T(counted),	   T(limits),
		T(full_door),		T(replayed),	   T(dataplane_gone),
		T(the_better_stays),	T(other_ways),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
