/* test_linked.c - conflux sets through a whole house: a client whose streams come and go over
 * several circuits, on one worker and on two; what it may not say; what is lost with a leg; and a
 * row for each class of fault that C tor had here in 2026. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "dataplane/worker/house.h"

#define LEGS   10
#define NUMBER 65536 /* messages of one set */
#define INC    31

static struct house h;
static const uint8_t done[] = {END_DONE};

/* The client's end of a set. */
struct my_leg {
	struct peer_circ *c;
	uint64_t received, sent;
	bool linked, no_ack;
};
struct got {
	uint8_t command;
	uint16_t len;
	uint8_t body[RELAY_BODY];
};
static struct client {
	uint8_t nonce[CONFLUX_NONCE];
	struct my_leg leg[LEGS];
	unsigned n_legs, current;
	uint64_t sent, delivered, newest;
	struct got got[NUMBER];
	bool connected, ended;
	uint8_t end_reason;
	uint64_t bytes, hash, bytes_out, hash_out;
	struct conflux_link answer; /* the last LINKED */
} me;

static void client_reset(uint8_t nonce)
{
	memset(&me, 0, offsetof(struct client, got));
	for (unsigned i = 0; i < NUMBER; i++)
		me.got[i].command = 0;
	me.connected = me.ended = false;
	me.bytes = me.bytes_out = 0;
	me.hash = me.hash_out = 1;
	me.current = LEGS;
	memset(me.nonce, nonce, sizeof(me.nonce));
}

static struct my_leg *leg_of(const struct peer_circ *c)
{
	for (unsigned i = 0; i < me.n_legs; i++)
		if (me.leg[i].c == c)
			return &me.leg[i];
	return NULL;
}

static void deliver(const struct got *g)
{
	me.connected |= g->command == RELAY_CONNECTED;
	if (g->command == RELAY_DATA) {
		me.bytes += g->len;
		me.hash = house_fold(me.hash, g->body, g->len);
	}
	if (g->command == RELAY_END) {
		me.ended = true;
		me.end_reason = g->body[0];
	}
}

static void sequenced(struct my_leg *l, const struct relay_msg *m)
{
	struct got *g = &me.got[++l->received % NUMBER];

	assert_true(l->received > me.delivered && !g->command);
	g->command = m->command;
	g->len = m->len;
	if (m->len)
		memcpy(g->body, m->body, m->len);
	me.newest = MAX(me.newest, l->received);
	while (me.got[(me.delivered + 1) % NUMBER].command) {
		g = &me.got[++me.delivered % NUMBER];
		deliver(g);
		g->command = 0;
	}
}

static void ack(struct my_leg *l)
{
	house_say(&h, l->c, RELAY_CONFLUX_LINKED_ACK, 0, NULL, 0, false);
}

static void heard(struct house *house, struct peer_circ *c, const struct relay_msg *m)
{
	struct my_leg *l = leg_of(c);

	if (!l)
		return;
	if (m->command == RELAY_CONFLUX_LINKED) {
		assert_int_equal(conflux_link_get(&me.answer, m->body, m->len), 0);
		assert_int_equal(m->len, CONFLUX_LINK_LEN);
		assert_memory_equal(me.answer.nonce, me.nonce, CONFLUX_NONCE);
		assert_int_equal(me.answer.ux, CONFLUX_UX_LATENCY);
		l->linked = true;
		if (!l->no_ack)
			ack(l);
	} else if (m->command == RELAY_CONFLUX_SWITCH) {
		assert_int_equal(m->len, CONFLUX_SWITCH_LEN);
		l->received += conflux_switch_get(m->body, m->len);
	} else if (cfx_sequenced(m->command)) {
		sequenced(l, m);
	}
}

static void open_house(unsigned n_workers, uint64_t seed, const struct wire_impair *impair)
{
	house_open(&h, n_workers, seed, impair);
	h.cc_inc = INC;
	h.heard = heard;
	client_reset((uint8_t)seed);
}

static struct peer_circ *made(struct peer_link *l)
{
	struct peer_circ *c = house_create(&h, l);

	assert_true(house_until(&h, &c->created, 20000));
	return c;
}

/* A link that lands on that worker. */
static struct peer_link *link_on(unsigned worker)
{
	for (;;) {
		struct peer_link *l = house_link(&h);

		if (wid_worker(h.last[CTL_CONN_OPENED]) == worker)
			return l;
	}
}

static void say_link(struct peer_circ *c, uint64_t sent, uint64_t received, uint8_t ux)
{
	struct conflux_link l = {.sent = sent, .received = received, .ux = ux};
	uint8_t body[CONFLUX_LINK_LEN];

	memcpy(l.nonce, me.nonce, sizeof(l.nonce));
	conflux_link_put(body, &l);
	house_say(&h, c, RELAY_CONFLUX_LINK, 0, body, sizeof(body), false);
}

/* A circuit more, which asks to be a leg. */
static struct my_leg *leg_asks(struct peer_link *link)
{
	struct my_leg *l = &me.leg[me.n_legs++];

	*l = (struct my_leg) {.c = made(link)};
	say_link(l->c, 0, 0, CONFLUX_UX_THROUGHPUT);
	return l;
}

static struct my_leg *joined(struct peer_link *link)
{
	struct my_leg *l = leg_asks(link);

	assert_true(house_until(&h, &l->linked, 5000));
	house_run(&h, 20);
	return l;
}

/* As a client numbers what it sends. */
static void say(unsigned leg, uint8_t command, uint16_t stream, const void *body, uint16_t len)
{
	struct my_leg *l = &me.leg[leg];
	uint8_t delta[4];

	if (l->sent != me.sent) {
		be32_put(delta, (uint32_t)(me.sent - l->sent));
		house_say(&h, l->c, RELAY_CONFLUX_SWITCH, 0, delta, sizeof(delta), false);
	}
	l->sent = ++me.sent;
	house_say(&h, l->c, command, stream, body, len, false);
}

static void begin(unsigned leg)
{
	static const char dest[] = "dest:7";

	say(leg, RELAY_BEGIN, 7, dest, sizeof(dest));
}

static void say_data(unsigned leg, uint16_t len)
{
	uint8_t body[RELAY_BODY];

	rng_bytes(&h.rng, body, len);
	me.bytes_out += len;
	me.hash_out = house_fold(me.hash_out, body, len);
	say(leg, RELAY_DATA, 7, body, len);
}

static bool all_came(void)
{
	return me.bytes == me.bytes_out && me.hash == me.hash_out;
}

/* Of all that sets held nothing is left. */
static void nothing_left(void)
{
	house_run(&h, 500);
	for (unsigned i = 0; i < h.n_workers; i++) {
		struct worker *w = &h.workers[i];

		assert_int_equal(w->conflux.slots.n_used, 0);
		assert_int_equal(w->conflux.name_slots.n_used, 0);
		assert_int_equal(w->conflux.by_nonce.n, 0);
		assert_int_equal(w->conflux.n_held, 0);
		assert_int_equal(w->edge.slots.n_used, 0);
		assert_int_equal(slots_in_use(&w->sched), 0);
	}
	assert_int_equal(h.n_up[CTL_STREAM_RECV], h.n_up[CTL_STREAM_CLOSED]);
	assert_int_equal(house_count(&h, COUNT_onion_no_layer), 0);
}

static unsigned n_sets(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < h.n_workers; i++)
		n += h.workers[i].conflux.slots.n_used;
	return n;
}

static void destroy_all(void)
{
	for (unsigned i = 0; i < me.n_legs; i++)
		house_destroy(&h, me.leg[i].c);
	nothing_left();
}

/* ---- bytes ---- */
static const struct wire_impair distant = {.delay_us = 20000};
static const struct wire_impair lossy = {.loss_ppm = 10000, .delay_us = 3000, .jitter_us = 2000};

/* Workers; the worker of each leg, or none; a bad wire. */
static const struct shape {
	unsigned n_workers;
	int on[3];
	bool bad_wire;
} shapes[] = {
	/* 1 */ {1, {0, -1, -1}, false}, /* 2 */ {1, {0, 0, -1}, false},
	/* 3 */ {1, {0, 0, 0}, true},	 /* 4 */ {2, {0, 1, -1}, false},
	/* 5 */ {2, {1, 0, -1}, true},	 /* 6 */ {2, {0, 1, 1}, true},
	/* 7 */ {4, {2, 3, 0}, false},
};

static void open_shape(const struct shape *s, uint64_t seed)
{
	open_house(s->n_workers, seed, s->bad_wire ? &lossy : &distant);
	for (unsigned i = 0; i < 3 && s->on[i] >= 0; i++)
		joined(link_on((unsigned)s->on[i]));
	assert_int_equal(n_sets(), 1);
}

static void test_download(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
		uint64_t n_far = 0;

		open_shape(&shapes[i], 200 + i);
		h.dest = DEST_SOURCE;
		h.source = 2000000;
		h.source_hash = 1;
		begin(0);
		assert_true(house_until(&h, &me.ended, 60000));
		assert_int_equal(me.end_reason, END_DONE);
		assert_int_equal(me.bytes, 2000000);
		assert_true(me.hash == h.source_hash);
		for (unsigned k = 0; k < me.n_legs; k++) {
			assert_false(me.leg[k].c->destroyed);
			assert_true(me.n_legs > 2 || me.leg[k].c->n_data_in > 0);
			n_far += shapes[i].on[k] == shapes[i].on[0] ? 0 : me.leg[k].c->n_data_in;
		}
		assert_int_equal(house_count(&h, COUNT_conflux_carried) > 0,
				 shapes[i].n_workers > 1);
		assert_true(house_count(&h, COUNT_conflux_carried) >= n_far);
		if (me.n_legs > 1)
			assert_true(house_count(&h, COUNT_conflux_switches) > 0);
		destroy_all();
		house_close(&h);
	}
}

/* Up and back by an echo, over a leg drawn for each message. */
static void test_echo(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
		open_shape(&shapes[i], 220 + i);
		begin(0);
		assert_true(house_until(&h, &me.connected, 5000));
		for (unsigned k = 0; k < 3000; k++) {
			say_data(rng_below(&h.rng, me.n_legs),
				 (uint16_t)(1 + rng_below(&h.rng, RELAY_BODY)));
			if (k % 4 == 0)
				house_step(&h);
		}
		for (unsigned k = 0; k < 200 && !all_came(); k++)
			house_run(&h, 100);
		assert_true(all_came());
		say(0, RELAY_END, 7, done, 1);
		destroy_all();
		house_close(&h);
	}
}

/* One leg is far ahead of the other; what it brought waits and then comes in order. */
static void test_ahead(void **state)
{
	enum { AHEAD = 500 };
	static uint8_t first[AHEAD][64];

	for (unsigned workers = 1; workers <= 2; workers++) {
		open_house(workers, 240, NULL);
		joined(link_on(0));
		joined(link_on(workers - 1));
		begin(0);
		assert_true(house_until(&h, &me.connected, 5000));
		/* The first ones are numbered now and sent last. */
		for (unsigned i = 0; i < AHEAD; i++) {
			rng_bytes(&h.rng, first[i], sizeof(first[i]));
			me.bytes_out += sizeof(first[i]);
			me.hash_out = house_fold(me.hash_out, first[i], sizeof(first[i]));
		}
		me.sent += AHEAD;
		for (unsigned i = 0; i < AHEAD; i++)
			say_data(1, 64);
		house_run(&h, 200);
		assert_int_equal(me.bytes, 0);
		assert_int_equal(h.workers[0].conflux.n_held, AHEAD);
		for (unsigned i = 0; i < AHEAD; i++)
			house_say(&h, me.leg[0].c, RELAY_DATA, 7, first[i], sizeof(first[i]),
				  false);
		for (unsigned k = 0; k < 50 && !all_came(); k++)
			house_run(&h, 100);
		assert_true(all_came());
		assert_int_equal(h.workers[0].conflux.n_held, 0);
		destroy_all();
		house_close(&h);
	}
}

/* BEGIN is faster than any ACK: the stream is connected, and DATA waits for a round trip. */
static void test_before_ack(void **state)
{
	open_house(1, 245, NULL);
	h.dest = DEST_SOURCE;
	h.source = 50000;
	h.source_hash = 1;
	leg_asks(house_link(&h))->no_ack = true;
	assert_true(house_until(&h, &me.leg[0].linked, 1000));
	begin(0);
	assert_true(house_until(&h, &me.connected, 1000));
	house_run(&h, 100);
	assert_int_equal(me.bytes, 0);
	ack(&me.leg[0]);
	assert_true(house_until(&h, &me.ended, 5000));
	assert_int_equal(me.bytes, 50000);
	assert_true(me.hash == h.source_hash);
	destroy_all();
	house_close(&h);
}

/* ---- what may not be said ---- */
enum lie {
	LIE_NO_CC,
	LIE_OFF,
	LIE_MALFORMED,
	LIE_VERSION,
	LIE_UX,
	LIE_LINKED,
	LIE_ACK,
	LIE_SWITCH,
	LIE_EXTENDING,
	LIE_LINK_TWICE,
	LIE_EXTEND_A_LEG,
	LIE_RENDEZVOUS_ON_A_LEG,
	LIE_LINKED_ON_A_LEG,
	LIE_STREAM_SENDME,
	LIE_CONNECTED,
	LIE_EMPTY_END,
	N_LIES
};

static void tell(enum lie lie)
{
	static const uint8_t zero[CONFLUX_LINK_LEN];
	uint8_t body[CONFLUX_LINK_LEN] = {CONFLUX_VERSION};
	struct peer_link *link = house_link(&h);
	struct peer_circ *c;

	h.cc_inc = lie == LIE_NO_CC ? 0 : INC;
	if (lie >= LIE_LINK_TWICE) {
		joined(link);
		begin(0);
		assert_true(house_until(&h, &me.connected, 1000));
	} else {
		me.leg[me.n_legs++].c = made(link);
	}
	c = me.leg[0].c;
	house_param(&h, CTL_PARAM_CFX_ENABLED, lie != LIE_OFF);
	switch (lie) {
	case LIE_NO_CC:
	case LIE_OFF:
	case LIE_LINK_TWICE:
		say_link(c, 0, 0, 0);
		break;
	case LIE_MALFORMED:
		house_say(&h, c, RELAY_CONFLUX_LINK, 0, body, sizeof(body) - 1, false);
		break;
	case LIE_VERSION:
		house_say(&h, c, RELAY_CONFLUX_LINK, 0, zero, sizeof(zero), false);
		break;
	case LIE_UX:
		body[CONFLUX_LINK_LEN - 1] = N_CONFLUX_UX;
		house_say(&h, c, RELAY_CONFLUX_LINK, 0, body, sizeof(body), false);
		break;
	case LIE_LINKED:
	case LIE_LINKED_ON_A_LEG:
		house_say(&h, c, RELAY_CONFLUX_LINKED, 0, body, sizeof(body), false);
		break;
	case LIE_ACK:
		house_say(&h, c, RELAY_CONFLUX_LINKED_ACK, 0, NULL, 0, false);
		break;
	case LIE_SWITCH:
		house_say(&h, c, RELAY_CONFLUX_SWITCH, 0, zero, 4, false);
		break;
	case LIE_EXTENDING:
		h.holds = 1u << (CTL_CIRC_RECV - CTL_UP_FIRST);
		house_extend(&h, c);
		say_link(c, 0, 0, 0);
		break;
	case LIE_EXTEND_A_LEG:
		house_say(&h, c, RELAY_EXTEND2, 0, zero, 40, true);
		break;
	case LIE_RENDEZVOUS_ON_A_LEG:
		house_say(&h, c, RELAY_ESTABLISH_RENDEZVOUS, 0, zero, 20, false);
		break;
	case LIE_STREAM_SENDME:
		house_say(&h, c, RELAY_SENDME, 7, NULL, 0, false);
		break;
	case LIE_CONNECTED:
		say(0, RELAY_CONNECTED, 7, NULL, 0);
		break;
	case LIE_EMPTY_END:
		say(0, RELAY_END, 7, NULL, 0);
		break;
	case N_LIES:
		break;
	}
	assert_true(house_until(&h, &c->destroyed, 1000));
	assert_int_equal(c->destroy_reason, DESTROY_TORPROTOCOL);
}

static void test_lies(void **state)
{
	for (enum lie lie = 0; lie < N_LIES; lie++) {
		open_house(1, 250, NULL);
		tell(lie);
		h.holds = h.n_kept = 0;
		nothing_left();
		house_close(&h);
	}
}

/* Legs that tell of what nobody brought, and more of them than may be. */
static void test_joining(void **state)
{
	struct my_leg *l;

	for (unsigned workers = 1; workers <= 2; workers++) {
		/* a first one that has lost something already */
		open_house(workers, 251, NULL);
		l = &me.leg[me.n_legs++];
		l->c = made(link_on(workers - 1));
		say_link(l->c, 1, 0, 0);
		assert_true(house_until(&h, &l->c->destroyed, 1000));
		assert_int_equal(l->c->destroy_reason, DESTROY_INTERNAL);
		nothing_left();
		/* a later one: all close */
		client_reset(9);
		joined(link_on(0));
		begin(0);
		assert_true(house_until(&h, &me.connected, 1000));
		l = &me.leg[me.n_legs++];
		l->c = made(link_on(workers - 1));
		say_link(l->c, 2, 0, 0);
		assert_true(house_until(&h, &l->c->destroyed, 1000));
		assert_int_equal(l->c->destroy_reason, DESTROY_INTERNAL);
		assert_true(house_until(&h, &me.leg[0].c->destroyed, 1000));
		assert_int_equal(me.leg[0].c->destroy_reason, DESTROY_TORPROTOCOL);
		nothing_left();
		/* too many */
		client_reset(10);
		house_param(&h, CTL_PARAM_CFX_MAX_LEGS, 3);
		for (unsigned i = 0; i < 3; i++)
			joined(link_on(i % workers));
		l = leg_asks(link_on(workers - 1));
		assert_true(house_until(&h, &l->c->destroyed, 1000));
		assert_int_equal(l->c->destroy_reason, DESTROY_TORPROTOCOL);
		assert_false(me.leg[0].c->destroyed);
		assert_int_equal(n_sets(), 1);
		destroy_all();
		house_close(&h);
	}
}

/* Numbers that were delivered already: the leg closes INTERNAL, and as it was in use the set. */
static void test_old_numbers(void **state)
{
	open_house(1, 252, NULL);
	joined(house_link(&h));
	joined(me.leg[0].c->link);
	begin(0);
	assert_true(house_until(&h, &me.connected, 1000));
	house_say(&h, me.leg[1].c, RELAY_DATA, 7, done, 1, false); /* number 1 again */
	assert_true(house_until(&h, &me.leg[1].c->destroyed, 1000));
	assert_int_equal(me.leg[1].c->destroy_reason, DESTROY_INTERNAL);
	assert_false(me.leg[0].c->destroyed); /* it can do without */
	say_data(0, 100);
	house_run(&h, 200);
	assert_true(all_came());
	destroy_all();
	house_close(&h);
}

/* ---- legs that go ---- */
/* A leg that nobody used goes: the set goes on. The one in use goes: the others hear FINISHED. */
static void test_leg_loss(void **state)
{
	for (unsigned workers = 1; workers <= 2; workers++)
		for (unsigned by_cut = 0; by_cut <= 1; by_cut++) {
			open_house(workers, 260, NULL);
			joined(link_on(0));
			leg_asks(link_on(workers - 1))->no_ack = true;
			assert_true(house_until(&h, &me.leg[1].linked, 1000));
			joined(link_on(0));
			begin(0);
			say_data(0, 300);
			assert_true(house_until(&h, &me.connected, 1000));
			house_run(&h, 100);
			assert_true(all_came());
			if (by_cut)
				house_cut(&h, me.leg[1].c->link);
			else
				house_destroy(&h, me.leg[1].c);
			house_run(&h, 100);
			assert_int_equal(n_sets(), 1);
			say_data(0, 300);
			house_run(&h, 100);
			assert_true(all_came());
			me.leg[1] = me.leg[0];
			/* now the one in use */
			h.dest_ended = false;
			house_destroy(&h, me.leg[0].c);
			assert_true(house_until(&h, &me.leg[2].c->destroyed, 1000));
			assert_int_equal(me.leg[2].c->destroy_reason, DESTROY_FINISHED);
			assert_true(house_until(&h, &h.dest_ended, 1000));
			assert_int_equal(house_count(&h, COUNT_conflux_torn), 1);
			nothing_left();
			house_close(&h);
		}
}

/* An idle leg on another worker goes while DATA was under way to it between the workers: its window
 * knows nothing of that, and the client would wait for it for ever. */
static void test_lost_between_workers(void **state)
{
	static const struct {
		uint32_t ahead; /* DATA that the set has given and the leg has not taken */
		unsigned sets, torn;
	} rows[] = {{0, 1, 0}, {1, 0, 1}, {30, 0, 1}};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct conflux *c;
		uint32_t set;

		open_house(2, 267, NULL);
		joined(link_on(0));
		leg_asks(link_on(1))->no_ack = true;
		assert_true(house_until(&h, &me.leg[1].linked, 1000));
		begin(0);
		assert_true(house_until(&h, &me.connected, 1000));
		c = &h.workers[0].conflux;
		set = cfx_find(c, me.nonce);
		assert_int_not_equal(set, SLOT_NONE);
		for (unsigned k = 0; k < CFX_LEGS; k++)
			if (c->set[set].leg[k].circ && wid_worker(c->set[set].leg[k].circ) == 1)
				c->set[set].leg[k].given += rows[i].ahead;
		house_destroy(&h, me.leg[1].c);
		house_run(&h, 100);
		assert_int_equal(n_sets(), rows[i].sets);
		assert_int_equal(house_count(&h, COUNT_conflux_torn), rows[i].torn);
		if (rows[i].torn) {
			assert_true(me.leg[0].c->destroyed);
			assert_int_equal(me.leg[0].c->destroy_reason, DESTROY_FINISHED);
			nothing_left();
		}
		house_close(&h);
	}
}

/* Legs on two workers, a download over both, and one of them is cut off in the middle. */
static void test_two_workers_lose_one(void **state)
{
	for (unsigned lost = 0; lost <= 1; lost++) {
		open_house(2, 265, &lossy);
		joined(link_on(0));
		joined(link_on(1));
		h.dest = DEST_SOURCE;
		h.source = 20000000;
		begin(0);
		for (unsigned i = 0;
		     i < 100 && (!me.leg[0].c->n_data_in || !me.leg[1].c->n_data_in); i++)
			house_run(&h, 20);
		assert_true(me.leg[0].c->n_data_in && me.leg[1].c->n_data_in);
		house_cut(&h, me.leg[lost].c->link);
		assert_true(house_until(&h, &me.leg[1 - lost].c->destroyed, 5000));
		assert_int_equal(me.leg[1 - lost].c->destroy_reason, DESTROY_FINISHED);
		nothing_left();
		house_close(&h);
	}
}

/* ---- abuse, with an honest circuit beside it ---- */
static struct peer_circ *honest(void)
{
	struct peer_circ *other;

	h.cc_inc = 0;
	other = made(link_on(0));
	h.cc_inc = INC;
	h.dest = DEST_ECHO;
	house_begin(&h, other, 7);
	assert_true(house_until(&h, &other->connected, 1000));
	return other;
}

/* Sets of legs on two workers, each with a download: the leg that has carried
 * more is cut off. */
static void lose(void *arg)
{
	unsigned *n = arg, lost;

	if ((*n)++ % 40)
		return;
	client_reset((uint8_t)*n);
	joined(link_on(0));
	joined(link_on(1));
	h.dest = DEST_SOURCE;
	h.source = 20000000;
	begin(0);
	house_run(&h, 20);
	lost = me.leg[1].c->n_data_in > me.leg[0].c->n_data_in;
	assert_true(me.leg[lost].c->n_data_in > 0);
	house_cut(&h, me.leg[lost].c->link);
	assert_true(house_until(&h, &me.leg[1 - lost].c->destroyed, 5000));
	assert_int_equal(me.leg[1 - lost].c->destroy_reason, DESTROY_FINISHED);
}

static void test_two_workers_lose_many(void **state)
{
	struct peer_circ *other;
	unsigned n = 0;

	open_house(2, 266, NULL);
	other = honest();
	house_abuse(&h, "sets on two workers that lose a leg", other, 4 << 20, lose, &n);
	assert_int_equal(n_sets(), 0);
	house_destroy(&h, other);
	nothing_left();
	house_close(&h);
}

/* ---- the classes of 2026 (operators.md) ---- */
static void test_trove_2026_025_begin_before_link(void **state)
{
	struct peer_circ *c;

	for (unsigned asked = 0; asked <= 1; asked++) {
		open_house(1, 270, NULL);
		c = made(house_link(&h));
		h.holds = asked ? 1u << (CTL_STREAM_RECV - CTL_UP_FIRST) : 0;
		house_begin(&h, c, 7);
		if (!asked)
			assert_true(house_until(&h, &c->connected, 1000));
		say_link(c, 0, 0, 0);
		assert_true(house_until(&h, &c->destroyed, 1000));
		assert_int_equal(c->destroy_reason, DESTROY_TORPROTOCOL);
		house_release(&h);
		nothing_left();
		house_close(&h);
	}
}

static void test_trove_2026_008_begin_dir_on_a_leg(void **state)
{
	for (unsigned workers = 1; workers <= 2; workers++) {
		open_house(workers, 271, NULL);
		joined(link_on(0));
		joined(link_on(workers - 1));
		house_say(&h, me.leg[1].c, RELAY_BEGIN_DIR, 9, NULL, 0, false);
		assert_true(house_until(&h, &me.ended, 1000));
		assert_int_equal(me.end_reason, END_NOTDIRECTORY);
		assert_int_equal(h.n_up[CTL_STREAM_RECV], 0);
		assert_int_equal(me.delivered, 1); /* the END has a number, BEGIN_DIR has none */
		begin(1);
		assert_true(house_until(&h, &me.connected, 1000));
		house_say(&h, me.leg[0].c, RELAY_BEGIN_DIR, 7, NULL, 0, false); /* an id in use */
		say_data(0, 10);
		house_run(&h, 100);
		assert_true(all_came());
		destroy_all();
		house_close(&h);
	}
}

/* A message out of the queue ends its set, with others behind it. */
static void test_trove_2026_014_a_set_ends_within_its_queue(void **state)
{
	for (unsigned workers = 1; workers <= 2; workers++) {
		open_house(workers, 272, NULL);
		joined(link_on(0));
		joined(link_on(workers - 1));
		begin(0);
		assert_true(house_until(&h, &me.connected, 1000));
		me.sent++;
		say_data(1, 20);
		say(1, RELAY_END, 7, NULL, 0); /* closes what brought it */
		for (unsigned i = 0; i < 20; i++)
			say_data(1, 20);
		house_run(&h, 50);
		assert_int_equal(h.workers[0].conflux.n_held, 22);
		house_say(&h, me.leg[0].c, RELAY_DATA, 7, done, 1, false);
		assert_true(house_until(&h, &me.leg[1].c->destroyed, 1000));
		assert_int_equal(me.leg[1].c->destroy_reason, DESTROY_TORPROTOCOL);
		assert_true(house_until(&h, &me.leg[0].c->destroyed, 1000));
		assert_int_equal(me.leg[0].c->destroy_reason, DESTROY_FINISHED);
		nothing_left();
		house_close(&h);
	}
}

/* SHUTDOWN, and the end of the process, with sets whose streams and queues are full. */
static void test_trove_2026_016_shutdown_with_sets(void **state)
{
	for (unsigned workers = 1; workers <= 2; workers++)
		for (unsigned orderly = 0; orderly <= 1; orderly++) {
			open_house(workers, 273, NULL);
			joined(link_on(0));
			joined(link_on(workers - 1));
			begin(0);
			assert_true(house_until(&h, &me.connected, 1000));
			me.sent++;
			for (unsigned i = 0; i < 20; i++)
				say_data(1, 20);
			house_run(&h, 50);
			assert_int_equal(h.workers[0].conflux.n_held, 20);
			if (orderly) {
				for (unsigned i = 0; i < workers; i++)
					house_down(&h, i, CTL_SHUTDOWN, WID_NONE, 0, NULL, 0, NULL,
						   0);
				assert_true(house_until(&h, &me.leg[0].c->destroyed, 1000));
				assert_int_equal(me.leg[0].c->destroy_reason, DESTROY_REQUESTED);
				nothing_left();
			}
			house_close(&h);
		}
}

/* The leg that a SWITCH is to open closes while it is said. */
static void test_trove_2026_017_a_switch_that_cannot_be_sent(void **state)
{
	for (unsigned workers = 1; workers <= 2; workers++) {
		open_house(workers, 274, NULL);
		h.dest = DEST_SOURCE;
		h.source = 1000000;
		joined(link_on(0));
		me.leg[0].c->no_sendmes = true;
		leg_asks(link_on(workers - 1))->no_ack = true;
		assert_true(house_until(&h, &me.leg[1].linked, 1000));
		begin(0);
		house_run(&h, 500); /* the first leg's window is used up */
		assert_int_equal(me.leg[1].c->n_data_in, 0);
		house_param(&h, CTL_PARAM_CELL_QUEUE_MAX, 0);
		house_run(&h, 10);
		ack(&me.leg[1]);
		assert_true(house_until(&h, &me.leg[1].c->destroyed, 1000));
		assert_true(house_until(&h, &me.leg[0].c->destroyed, 1000));
		assert_int_equal(me.leg[0].c->destroy_reason, DESTROY_FINISHED);
		assert_true(house_count(&h, COUNT_conflux_switches) > 0);
		nothing_left();
		house_close(&h);
	}
}

/* The last leg goes while another asks to join: whoever is first, there is one set or none, it
 * works, and nothing is left of the other. */
static void test_trove_2026_026_the_last_leg_goes_while_one_asks(void **state)
{
	for (unsigned gap = 0; gap < 12; gap++)
		for (unsigned nonce = 1; nonce <= 4; nonce++) {
			open_house(2, 275, NULL);
			client_reset((uint8_t)(nonce * 40));
			joined(link_on(0));
			me.leg[1].c = made(link_on(1));
			me.n_legs = 2;
			for (unsigned i = 0; i < 12; i++) {
				if (i == 6)
					say_link(me.leg[1].c, 0, 0, CONFLUX_UX_THROUGHPUT);
				if (i == gap)
					house_destroy(&h, me.leg[0].c);
				house_step(&h);
			}
			assert_true(house_until(&h, &me.leg[1].linked, 1000));
			house_run(&h, 100);
			assert_int_equal(n_sets(), 1);
			assert_false(me.leg[1].c->destroyed);
			begin(1);
			say_data(1, 400);
			house_run(&h, 200);
			assert_true(all_came());
			house_destroy(&h, me.leg[1].c);
			nothing_left();
			house_close(&h);
		}
}

/* ---- too much ---- */
/* A client fills the queue of its set for ever: it is bounded, who does it loses the set, and
 * another circuit beside it does as before. */
static void test_out_of_order_flood(void **state)
{
	uint8_t body[RELAY_BODY] = {1};

	for (unsigned row = 0; row < 3; row++) {
		uint32_t bound, most = 0;
		struct peer_circ *other;

		open_house(1 + (row == 2), 280, NULL);
		bound = row ? h.plane.n_slots / CFX_HELD_SHARE : 1000;
		other = made(link_on(0));
		house_begin(&h, other, 7);
		assert_true(house_until(&h, &other->connected, 1000));
		if (row == 0)
			house_param(&h, CTL_PARAM_CFX_MAX_OOOQ, bound * sizeof(struct slot));
		joined(link_on(0));
		joined(link_on(row == 2));
		begin(0);
		assert_true(house_until(&h, &me.connected, 1000));
		me.sent++;
		for (unsigned i = 0; i < 40000 && !me.leg[1].c->destroyed; i++) {
			say_data(1, RELAY_BODY);
			if (i % 16)
				continue;
			house_say(&h, other, RELAY_DATA, 7, body, sizeof(body), false);
			house_step(&h);
			most = MAX(most, h.workers[0].conflux.n_held);
		}
		assert_true(house_until(&h, &me.leg[1].c->destroyed, 1000));
		assert_int_equal(me.leg[1].c->destroy_reason, DESTROY_RESOURCELIMIT);
		assert_in_range(most, bound - 200, bound);
		assert_int_equal(h.workers[0].conflux.n_held, 0);
		house_run(&h, 5);
		assert_in_range(other->bytes_in, other->n_data_out * sizeof(body) * 9 / 10,
				other->n_data_out * sizeof(body));
		house_destroy(&h, other);
		destroy_all();
		house_close(&h);
	}
}

/* The same, again and again: who loses his set makes another. */
static void out_of_order(void *arg)
{
	unsigned *n = arg;

	if (!me.n_legs || me.leg[1].c->destroyed) {
		client_reset((uint8_t)++ * n);
		joined(link_on(0));
		joined(link_on(0));
		begin(0);
		assert_true(house_until(&h, &me.connected, 1000));
		me.sent++;
	}
	for (unsigned i = 0; i < 60; i++)
		say_data(1, RELAY_BODY);
}

static void test_out_of_order_floods(void **state)
{
	struct peer_circ *other;
	unsigned n = 0;

	open_house(1, 282, NULL);
	other = honest();
	house_param(&h, CTL_PARAM_CFX_MAX_OOOQ, 1000 * sizeof(struct slot));
	house_abuse(&h, "conflux out-of-order flood", other, 1 << 20, out_of_order, &n);
	assert_true(n > 5);
	house_destroy(&h, other);
	destroy_all();
	house_close(&h);
}

/* Of MaxMemInQueues sets may hold a fifth; then those that hold most go. */
static void test_memory(void **state)
{
	open_house(1, 281, NULL);
	joined(house_link(&h));
	joined(house_link(&h));
	begin(0);
	assert_true(house_until(&h, &me.connected, 1000));
	me.sent++;
	for (unsigned i = 0; i < 500; i++)
		say_data(1, RELAY_BODY);
	house_run(&h, 300);
	assert_int_equal(h.workers[0].conflux.n_held, 500);
	house_param(&h, CTL_PARAM_MAX_MEM, 300 * sizeof(struct slot));
	assert_true(house_until(&h, &me.leg[0].c->destroyed, 1000));
	assert_int_equal(me.leg[0].c->destroy_reason, DESTROY_RESOURCELIMIT);
	assert_true(house_until(&h, &me.leg[1].c->destroyed, 1000));
	house_param(&h, CTL_PARAM_MAX_MEM, 1 << 30);
	nothing_left();
	house_close(&h);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_download),
		cmocka_unit_test(test_echo),
		cmocka_unit_test(test_ahead),
		cmocka_unit_test(test_before_ack),
		cmocka_unit_test(test_lies),
		cmocka_unit_test(test_joining),
		cmocka_unit_test(test_old_numbers),
		cmocka_unit_test(test_leg_loss),
		cmocka_unit_test(test_lost_between_workers),
		cmocka_unit_test(test_two_workers_lose_one),
		cmocka_unit_test(test_two_workers_lose_many),
		cmocka_unit_test(test_trove_2026_025_begin_before_link),
		cmocka_unit_test(test_trove_2026_008_begin_dir_on_a_leg),
		cmocka_unit_test(test_trove_2026_014_a_set_ends_within_its_queue),
		cmocka_unit_test(test_trove_2026_016_shutdown_with_sets),
		cmocka_unit_test(test_trove_2026_017_a_switch_that_cannot_be_sent),
		cmocka_unit_test(test_trove_2026_026_the_last_leg_goes_while_one_asks),
		cmocka_unit_test(test_out_of_order_flood),
		cmocka_unit_test(test_out_of_order_floods),
		cmocka_unit_test(test_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
