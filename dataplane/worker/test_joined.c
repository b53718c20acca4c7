/* test_joined.c - circuits that are not a client's alone: rendezvous splices on one worker and on
 * two, and circuits that control begins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "dataplane/worker/house.h"

static struct house h;

static struct peer_circ *made(struct peer_link *l, wid *id)
{
	struct peer_circ *c = house_create(&h, l);

	assert_true(house_until(&h, &c->created, 20000));
	*id = h.last[CTL_CIRC_CREATE];
	return c;
}

struct pair {
	struct peer_circ *client, *service;
	wid client_id, service_id;
	struct tor1_layer inner;
};

static void splice(wid service, wid client)
{
	static const uint8_t body[64] = "handshake";
	struct ctl_circ_splice s = {client};

	house_down(&h, wid_worker(service), CTL_CIRC_SPLICE, service, 0, &s, sizeof(s), body,
		   sizeof(body));
}

static void join(struct pair *p, struct peer_link *a, struct peer_link *b)
{
	uint8_t keys[TOR1_KEYS];

	p->client = made(a, &p->client_id);
	p->service = made(b, &p->service_id);
	rng_bytes(&h.rng, keys, sizeof(keys));
	tor1_layer_init(&h.cipher, &p->client->layers[1], keys);
	tor1_layer_init(&h.cipher, &p->inner, keys);
	p->service->inner = &p->inner;
	p->client->window = UINT32_MAX; /* the service sends no SENDMEs here */
	splice(p->service_id, p->client_id);
	assert_true(house_until(&h, &p->client->joined, 1000));
}

static void nothing_left(void)
{
	house_run(&h, 100);
	for (unsigned i = 0; i < h.n_workers; i++) {
		assert_int_equal(h.workers[i].circs.circ_slots.n_used, 0);
		assert_int_equal(h.workers[i].circs.leg_slots.n_used, 0);
		assert_int_equal(slots_in_use(&h.workers[i].sched), 0);
	}
}

/* Two links, on one worker or on two. */
static void links(struct peer_link *l[2], bool across)
{
	wid first, id;

	l[0] = house_link(&h);
	first = h.last[CTL_CONN_OPENED];
	for (int i = 0; i < 30; i++) {
		l[1] = house_link(&h);
		id = h.last[CTL_CONN_OPENED];
		if ((wid_worker(id) != wid_worker(first)) == across)
			return;
	}
	fail();
}

static void test_splice(void **state)
{
	for (unsigned n = 1; n <= 2; n++) {
		for (int who = 0; who < 3; who++) {
			struct peer_link *l[2];
			struct pair p, q;

			house_open(&h, n, 80 + n, NULL);
			links(l, n == 2);
			join(&p, l[0], l[1]);
			join(&q, l[1], l[1]);
			assert_true(house_echo(&h, p.client, 60000, 20000));
			assert_true(house_echo(&h, q.client, 60000, 20000));
			/* A partner that is taken: who asks is closed, the pair goes on. */
			wid id;
			struct peer_circ *c = made(l[0], &id);
			splice(id, p.client_id);
			assert_true(house_until(&h, &c->destroyed, 1000));
			splice(q.service_id, p.client_id); /* has a partner already */
			house_run(&h, 20);
			assert_true(house_echo(&h, p.client, 70000, 20000));
			if (who == 0)
				house_destroy(&h, p.client);
			else if (who == 1)
				house_destroy(&h, p.service);
			else
				house_cut(&h, l[0]);
			struct peer_circ *other = who == 1 ? p.client : p.service;
			assert_true(house_until(&h, &other->destroyed, 1000));
			assert_int_equal(other->destroy_reason, DESTROY_DESTROYED);
			assert_true(house_echo(&h, q.client, 70000, 20000));
			/* A partner that is no more. */
			c = made(l[1], &id);
			splice(id, p.client_id);
			assert_true(house_until(&h, &c->destroyed, 1000));
			house_destroy(&h, q.client);
			nothing_left();
			assert_int_equal(house_count(&h, COUNT_worker_mesh_lost), 0);
			house_close(&h);
		}
	}
}

/* Two who have met straight from where they are stay together in silence (interop C16). */
static void test_silent_splice(void **state)
{
	struct peer_link *l[2];
	struct pair p;

	house_open(&h, 1, 79, NULL);
	house_param(&h, CTL_PARAM_NF_ITO_LOW, 0);
	house_param(&h, CTL_PARAM_NF_ITO_HIGH, 0);
	h.judge = CTL_PEER_CLIENT;
	links(l, false);
	join(&p, l[0], l[1]);
	made(l[0], &(wid) {0});
	h.step_us = 20000;
	house_run(&h, 80000);
	h.step_us = 0;
	assert_int_equal(house_count(&h, COUNT_circ_stale), 1);
	assert_true(house_echo(&h, p.client, 60000, 20000));
	house_close(&h);
}

/* A DATA cell of the service's for the client, behind the relay's layer. */
static void service_says(struct pair *p, const void *body, uint16_t len)
{
	uint8_t payload[CELL_PAYLOAD] = {0}, tag[SHA1_LEN];

	relay_msg_head(payload, RELAY_DATA, 7, len);
	memcpy(payload + RELAY_HEAD, body, len);
	sha1_update(&h.cipher, &p->inner.back_digest, payload, CELL_PAYLOAD);
	sha1_peek(&h.cipher, &p->inner.back_digest, tag);
	memcpy(payload + 5, tag, 4);
	aes_ctr_run(&h.cipher, &p->inner.back, payload, payload, CELL_PAYLOAD);
	aes_ctr_run(&h.cipher, &p->service->layers[0].fwd, payload, payload, CELL_PAYLOAD);
	house_cell(&h, p->service->link, p->service->id, CELL_RELAY, payload, CELL_PAYLOAD);
}

static unsigned n_held(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < h.n_workers; i++)
		n += h.workers[i].held.n;
	return n;
}

enum verdict { JOINED, CLOSED, GONE, TOO_MANY, N_VERDICTS };

/* A service says RENDEZVOUS1 and goes on at once, before control has looked for the client. */
static void test_at_once(void **state)
{
	static const uint8_t text[20] = "behind RENDEZVOUS1";

	for (unsigned run = 0; run < 2 * N_VERDICTS; run++) {
		enum verdict verdict = run / 2;
		struct peer_link *l[2];
		struct pair p = {0};
		uint8_t keys[TOR1_KEYS];
		unsigned n = verdict == TOO_MANY ? HELD_A_CIRC + 1 : HELD_A_CIRC;

		house_open(&h, 1 + run % 2, 90 + run, NULL);
		links(l, run % 2);
		p.client = made(l[0], &p.client_id);
		p.service = made(l[1], &p.service_id);
		rng_bytes(&h.rng, keys, sizeof(keys));
		tor1_layer_init(&h.cipher, &p.client->layers[1], keys);
		tor1_layer_init(&h.cipher, &p.inner, keys);
		p.client->no_sendmes = true;
		h.holds = 1u << (CTL_CIRC_RECV - CTL_UP_FIRST);
		house_say(&h, p.service, RELAY_RENDEZVOUS1, 0, text, sizeof(text), false);
		p.service->inner = &p.inner;
		for (unsigned i = 0; i < n; i++)
			service_says(&p, text, sizeof(text));
		house_run(&h, 20);
		assert_int_equal(h.n_up[CTL_CIRC_RECV], 1);
		assert_int_equal(p.service->destroyed, verdict == TOO_MANY);
		assert_int_equal(n_held(), verdict == TOO_MANY ? 0 : n);
		if (verdict == JOINED) {
			splice(p.service_id, p.client_id);
			assert_true(house_until(&h, &p.client->joined, 1000));
			service_says(&p, text, sizeof(text));
			house_run(&h, 20);
			assert_int_equal(p.client->n_data_in, n + 1);
			assert_int_equal(p.client->bytes_in, (n + 1) * sizeof(text));
		} else if (verdict == CLOSED) {
			house_down(&h, wid_worker(p.service_id), CTL_CIRC_CLOSE, p.service_id,
				   DESTROY_TORPROTOCOL, NULL, 0, NULL, 0);
			assert_true(house_until(&h, &p.service->destroyed, 1000));
		} else if (verdict == GONE) {
			house_cut(&h, l[1]);
		}
		house_run(&h, 50);
		assert_int_equal(n_held(), 0);
		assert_false(p.client->destroyed);
		h.holds = h.n_kept = 0;
		house_destroy(&h, p.client);
		nothing_left();
		house_close(&h);
	}
}

static struct peer_hop *hop_used(void)
{
	for (unsigned i = 0; i < HOUSE_CIRCS; i++)
		if (h.hop[i].used)
			return &h.hop[i];
	return NULL;
}

/* A circuit of control's own over the next hop's link. */
static wid origin(struct tor1_layer *layer)
{
	struct ctl_origin_open o = {.cookie = 5, .command = CELL_CREATE2};
	uint8_t payload[4 + TOR1_KEYS] = {0, 2, 0, TOR1_KEYS};

	rng_bytes(&h.rng, payload + 4, TOR1_KEYS);
	tor1_layer_init(&h.cipher, layer, payload + 4);
	house_down(&h, wid_worker(h.next_conn), CTL_ORIGIN_OPEN, h.next_conn, 0, &o, sizeof(o),
		   payload, sizeof(payload));
	house_run(&h, 20);
	return h.last[CTL_ORIGIN_OPENED];
}

static void test_origin(void **state)
{
	for (unsigned n = 1; n <= 2; n++) {
		struct tor1_layer layer;
		uint8_t payload[CELL_PAYLOAD], tag[SHA1_LEN];
		struct relay_msg m;
		unsigned heard;
		wid id;

		house_open(&h, n, 90, NULL);
		id = origin(&layer);
		assert_true(id != WID_NONE);
		assert_int_equal(h.last_arg[CTL_ORIGIN_RECV], CELL_CREATED2);
		for (int i = 0; i < 20; i++) {
			memset(payload, i, sizeof(payload));
			relay_msg_head(payload, RELAY_DATA, 7, 400);
			tor1_client_seal(&h.cipher, &layer, 0, payload, tag);
			heard = h.n_up[CTL_ORIGIN_RECV];
			house_down(&h, wid_worker(id), CTL_ORIGIN_SEND, id, CELL_RELAY, NULL, 0,
				   payload, sizeof(payload));
			house_run(&h, 20);
			assert_int_equal(h.n_up[CTL_ORIGIN_RECV], heard + 1);
			assert_int_equal(h.last_arg[CTL_ORIGIN_RECV], CELL_RELAY);
			memcpy(payload, h.last_body[CTL_ORIGIN_RECV], CELL_PAYLOAD);
			assert_int_equal(tor1_client_open(&h.cipher, &layer, 1, payload, tag), 0);
			assert_int_equal(relay_msg_get(&m, payload), 0);
			assert_int_equal(m.len, 400);
			assert_int_equal(m.body[399], i);
		}
		/* Control ends it: the next hop hears; the next hop ends one: control hears. */
		house_down(&h, wid_worker(id), CTL_CIRC_CLOSE, id, DESTROY_FINISHED, NULL, 0, NULL,
			   0);
		house_run(&h, 20);
		assert_null(hop_used());
		assert_true(h.last[CTL_CIRC_CLOSED] == id);
		id = origin(&layer);
		house_cell(&h, hop_used()->link, hop_used()->id, CELL_DESTROY, NULL, 0);
		house_run(&h, 20);
		assert_true(h.last[CTL_CIRC_CLOSED] == id);
		/* Over a link that is no more there is none. */
		hop_used()->used = false;
		house_cut(&h, h.hop[0].link);
		house_run(&h, 20);
		assert_true(origin(&layer) == WID_NONE);
		assert_int_equal(h.last_arg[CTL_ORIGIN_OPENED], DESTROY_CONNECTFAILED);
		nothing_left();
		house_close(&h);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_at_once),
		cmocka_unit_test(test_splice),
		cmocka_unit_test(test_silent_splice),
		cmocka_unit_test(test_origin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
