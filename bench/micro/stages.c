/* stages.c - stages of the walk by the cell: tls, link, circ, onion, sched. */
#include "bench/micro/micro.h"

#include "dataplane/circ/circ.h"
#include "dataplane/link/link.h"
#include "dataplane/onion/onion.h"
#include "dataplane/sched/sched.h"
#include "dataplane/tls/tls.h"

#include <rte_cycles.h>
#include <stdlib.h>

#define BATCH	   32
#define NOW_US	   1000000
#define PER_CONN   10 /* circuits on one link */
#define IN_QUEUES  4  /* cells that wait on each leg */
#define PER_RECORD 8  /* cells that a link sends together */

static struct counts counts;
static int64_t params[N_CTL_PARAMS] = {
#define X(name, value) [CTL_PARAM_##name] = value,
	CTL_PARAMS(X)
#undef X
};

static void must(int rc)
{
	if (rc < 0)
		abort();
}

/* ---- tls: seal and open records, so many at once; the operation is one cell ---- */
#define SEALED 16

struct records {
	struct tls from, to;
	unsigned cells;
	size_t len[SEALED];
	uint8_t buf[SEALED][TLS_RECORD_MAX + 128];
};

static void *tls_make_rows(uint64_t cells)
{
	struct records *r = micro_new(1, sizeof(*r));
	struct tls_keys k = {.version = 0x0304, .suite = 0x1301};

	must(tls_init(&r->from, 1, micro_cipher(), &counts));
	must(tls_init(&r->to, 1, micro_cipher(), &counts));
	must(tls_start(&r->from, 0, &k));
	must(tls_start(&r->to, 0, &k));
	r->cells = (unsigned)cells;
	return r;
}

static uint64_t tls_seals(struct records *r)
{
	uint64_t start = rte_rdtsc();

	for (unsigned i = 0; i < SEALED; i++)
		r->len[i] = tls_seal(&r->from, 0, r->buf[i] + 64, r->cells * CELL_LEN);
	return rte_rdtsc() - start;
}

static uint64_t tls_opens(struct records *r)
{
	uint64_t start = rte_rdtsc();

	for (unsigned i = 0; i < SEALED; i++)
		if (tls_in(&r->to, 0, r->buf[i] + 64, r->len[i]).what != TLS_DATA)
			abort();
	return rte_rdtsc() - start;
}

/* A KeyUpdate, long before one must come: keys never run out while records are timed. */
static void tls_update(struct records *r)
{
	struct tls_keys k = {.version = 0x0304, .suite = 0x1301};

	tls_stop(&r->from, 0);
	tls_stop(&r->to, 0);
	must(tls_start(&r->from, 0, &k));
	must(tls_start(&r->to, 0, &k));
}

static uint64_t tls_part(struct records *r, unsigned n, bool open)
{
	uint64_t tsc = 0;
	unsigned done = 0;

	tls_update(r);
	for (; done < n; done += SEALED * r->cells) {
		uint64_t sealing = tls_seals(r), opening = tls_opens(r);

		tsc += open ? opening : sealing;
	}
	return (uint64_t)((double)tsc * n / done);
}

static uint64_t tls_open_part(void *state, unsigned n)
{
	return tls_part(state, n, true);
}

static uint64_t tls_seal_part(void *state, unsigned n)
{
	return tls_part(state, n, false);
}

/* ---- link: cut a record's plaintext ---- */
struct cutter {
	struct links links;
	struct rng rng;
	uint8_t data[CELLS_A_RECORD * CELL_LEN];
};

static void *link_make(uint64_t size)
{
	struct cutter *c = micro_new(1, sizeof(*c));
	struct link_config cf = {1, &counts, &c->rng, params};
	struct ctl_conn_ready ready = {.link_proto = 5, .peer = CTL_PEER_RELAY};
	uint8_t hello[7 + CELL_LEN] = {0, 0, CELL_VERSIONS, 0, 2, 0, 5};
	struct cell cells[LINK_CELLS_MAX];

	rng_seed(&c->rng, (uint8_t[32]) {1});
	must(links_init(&c->links, &cf, NOW_US));
	link_start(&c->links, 0, NOW_US);
	link_secured(&c->links, 0);
	cell_head_put(hello + 7, 0, CELL_NETINFO);
	if (link_in(&c->links, 0, hello, sizeof(hello), cells) != 2)
		abort();
	must(link_ready(&c->links, 0, &ready, NOW_US));
	for (unsigned i = 0; i < CELLS_A_RECORD; i++)
		cell_head_put(c->data + i * CELL_LEN, 0x80000001u + i, CELL_RELAY);
	return c;
}

static void link_run(void *state, unsigned n)
{
	struct cutter *c = state;
	struct cell cells[LINK_CELLS_MAX];

	for (unsigned i = 0; i < n; i += CELLS_A_RECORD)
		if (link_in(&c->links, 0, c->data, sizeof(c->data), cells) != CELLS_A_RECORD)
			abort();
}

/* ---- circ: (conn, circuit id) to leg, those of a record together ---- */
#define IDS_A_RECORD 8
struct lookup {
	struct circs circs;
	uint64_t n, at, found;
};

static void *circ_make(uint64_t size)
{
	struct lookup *l = micro_new(1, sizeof(*l));
	struct hash_key key = {{1, 2}};

	l->n = size;
	must(circs_init(&l->circs, 0, (uint32_t)size, (uint32_t)(2 * size),
			(uint32_t)(size / PER_CONN + 1), key));
	for (uint32_t i = 0; i < size; i++) {
		uint32_t circ = circ_new(&l->circs, CIRC_OPEN, i / PER_CONN);

		leg_new(&l->circs, i / PER_CONN, 0x80000000u | i, circ_id_of(&l->circs, circ),
			SIDE_P);
	}
	return l;
}

static void circ_run(void *state, unsigned n)
{
	struct lookup *l = state;

	for (unsigned i = 0; i < n; i += IDS_A_RECORD) {
		uint32_t conn = (uint32_t)(l->at = (l->at + 7919) % (l->n / PER_CONN));
		uint32_t id[IDS_A_RECORD], leg[IDS_A_RECORD], of[IDS_A_RECORD];

		for (uint32_t k = 0; k < IDS_A_RECORD; k++) {
			id[k] = 0x80000000u | (conn * PER_CONN + k % PER_CONN);
			of[k] = conn;
		}
		legs_find(&l->circs, of, id, IDS_A_RECORD, leg);
		for (unsigned k = 0; k < IDS_A_RECORD; k++)
			l->found += l->circs.leg[leg[k]].circ;
	}
}

/* ---- onion: a batch over many circuits ---- */
struct layers {
	struct onion onion;
	uint64_t n, at;
	uint8_t src[BATCH][512], dst[BATCH][512];
	void (*step)(struct onion *o, struct onion_item *items, unsigned n);
};

static struct layers *layers_make(uint64_t size, enum onion_scheme_id scheme)
{
	struct layers *l = micro_new(1, sizeof(*l));
	uint8_t keys[CGO_KEYS];

	l->n = size;
	must(onion_init(&l->onion, (uint32_t)size, micro_cipher(), &counts));
	for (uint32_t i = 0; i < size; i++) {
		micro_fill(keys, sizeof(keys));
		must(onion_start(&l->onion, i, scheme, keys, onion_keys_len(scheme)));
	}
	micro_fill(l->src, sizeof(l->src));
	return l;
}

static void *onion_make(uint64_t size)
{
	return layers_make(size, ONION_TOR1);
}

static void *cgo_make(uint64_t size)
{
	return layers_make(size, ONION_CGO);
}

static void onion_run(struct layers *l, unsigned n,
		      void (*step)(struct onion *o, struct onion_item *items, unsigned n))
{
	struct onion_item items[BATCH];

	memset(items, 0, sizeof(items));
	for (unsigned i = 0; i < n; i += BATCH) {
		for (unsigned k = 0; k < BATCH; k++) {
			items[k].src = l->src[k];
			items[k].dst = l->dst[k];
			items[k].command = CELL_RELAY;
			items[k].circ = (uint32_t)(l->at = (l->at + 7919) % l->n);
		}
		step(&l->onion, items, BATCH);
	}
}

static void forward_run(void *state, unsigned n)
{
	onion_run(state, n, onion_forward);
}

static void back_run(void *state, unsigned n)
{
	onion_run(state, n, onion_back);
}

static void originate_run(void *state, unsigned n)
{
	onion_run(state, n, onion_originate);
}

/* ---- sched: cells in, cells out, IN_QUEUES waiting on each leg; slot to record ---- */
struct queues {
	struct sched sched;
	uint64_t n, at, now_us;
	struct sched_pick pick[BATCH];
	uint8_t record[CELL_LEN];
};

static void *sched_make(uint64_t size)
{
	struct queues *q = micro_new(1, sizeof(*q));
	struct sched_config cf = {(uint32_t)(size / PER_CONN + 1), (uint32_t)size,
				  (uint32_t)(size * (IN_QUEUES + 1) + BATCH), &counts, params};

	q->n = size;
	q->now_us = NOW_US;
	must(sched_init(&q->sched, &cf, q->now_us));
	for (uint32_t i = 0; i < cf.n_conns; i++)
		sched_conn_start(&q->sched, i);
	for (uint32_t i = 0; i < size; i++)
		must(sched_leg_start(&q->sched, i, i / PER_CONN));
	for (uint32_t i = 0; i < size * IN_QUEUES; i++)
		sched_add(&q->sched, (uint32_t)(i % size), slot_take(&q->sched), q->now_us);
	return q;
}

/* The cells that one link sends together: of the legs that are next there. */
static uint64_t picks(struct queues *q, unsigned k)
{
	uint32_t conn = (uint32_t)((q->at = (q->at + 7919) % q->n) / PER_CONN);
	uint64_t start = rte_rdtsc();

	for (unsigned i = 0; i < k; i++) {
		if (!sched_pick(&q->sched, conn, q->now_us, &q->pick[i]))
			abort();
		slot_give(&q->sched, q->pick[i].slot);
	}
	return rte_rdtsc() - start;
}

static uint64_t adds(struct queues *q, unsigned k)
{
	uint64_t start = rte_rdtsc();

	for (unsigned i = 0; i < k; i++)
		sched_add(&q->sched, q->pick[i].leg, slot_take(&q->sched), q->now_us);
	return rte_rdtsc() - start;
}

static uint64_t sched_part(struct queues *q, unsigned n, bool pick)
{
	uint64_t tsc = 0;

	for (unsigned i = 0; i < n; i += PER_RECORD) {
		uint64_t out = picks(q, PER_RECORD), in = adds(q, PER_RECORD);

		q->now_us += 4;
		tsc += pick ? out : in;
	}
	return tsc;
}

static uint64_t pick_part(void *state, unsigned n)
{
	return sched_part(state, n, true);
}

static uint64_t add_part(void *state, unsigned n)
{
	return sched_part(state, n, false);
}

struct packer {
	uint64_t n, at;
	struct slot *slots;
	uint8_t record[PER_RECORD * CELL_LEN];
};

static void *pack_make(uint64_t size)
{
	struct packer *p = micro_new(1, sizeof(*p));

	p->n = size;
	p->slots = micro_new(size, sizeof(*p->slots));
	memset(p->slots, 1, size * sizeof(*p->slots));
	return p;
}

static void pack_run(void *state, unsigned n)
{
	struct packer *p = state;

	for (unsigned i = 0; i < n; i++) {
		p->at = (p->at + 7919) % p->n;
		memcpy(p->record + i % PER_RECORD * CELL_LEN, p->slots[p->at].head, CELL_LEN);
		__asm__ volatile("" ::: "memory");
	}
}

const struct row stage_rows[] = {
	{"tls open", "a cell, in records of so many", 1, 0, tls_make_rows, NULL, tls_open_part},
	{"tls seal", "", 1, 0, tls_make_rows, NULL, tls_seal_part},
	{"tls open", "", 4, 0, tls_make_rows, NULL, tls_open_part},
	{"tls seal", "", 4, 0, tls_make_rows, NULL, tls_seal_part},
	{"tls open", "", 8, 0, tls_make_rows, NULL, tls_open_part},
	{"tls seal", "", 8, 0, tls_make_rows, NULL, tls_seal_part},
	{"tls open", "", 31, 0, tls_make_rows, NULL, tls_open_part},
	{"tls seal", "", 31, 0, tls_make_rows, NULL, tls_seal_part},
	{"link_in", "a cell cut from a record", 31, 0, link_make, link_run, NULL},
	{"legs_find", "(conn, circuit id) to leg, eight of a record; of so many", 100, 0, circ_make,
	 circ_run, NULL},
	{"legs_find", "", 10000, 0, circ_make, circ_run, NULL},
	{"legs_find", "", 100000, 0, circ_make, circ_run, NULL},
	{"onion_forward", "a cell in batches of 32, of so many circuits", 1, 0, onion_make,
	 forward_run, NULL},
	{"onion_forward", "", 100, 22.4, onion_make, forward_run, NULL},
	{"onion_forward", "", 10000, 25, onion_make, forward_run, NULL},
	{"onion_forward", "", 100000, 26, onion_make, forward_run, NULL},
	{"onion_back", "", 100, 22.4, onion_make, back_run, NULL},
	{"onion_back", "", 100000, 26, onion_make, back_run, NULL},
	{"onion_originate", "", 100, 0, onion_make, originate_run, NULL},
	{"onion_originate", "", 10000, 0, onion_make, originate_run, NULL},
	{"cgo_forward", "a cell that passes, in batches of 64, of so many circuits", 1, 95,
	 cgo_make, forward_run, NULL},
	{"cgo_forward", "", 100, 65, cgo_make, forward_run, NULL},
	{"cgo_forward", "", 10000, 65, cgo_make, forward_run, NULL},
	{"cgo_forward", "", 100000, 102, cgo_make, forward_run, NULL},
	{"cgo_back", "", 100, 65, cgo_make, back_run, NULL},
	{"cgo_originate", "an edge cell: sealed, then new keys", 1, 156, cgo_make, originate_run,
	 NULL},
	{"cgo_originate", "", 100, 125, cgo_make, originate_run, NULL},
	{"cgo_originate", "", 10000, 0, cgo_make, originate_run, NULL},
	{"sched add", "a slot behind a leg's others; of so many legs", 100, 0, sched_make, NULL,
	 add_part},
	{"sched pick", "8 of one link, and their slots given back", 100, 0, sched_make, NULL,
	 pick_part},
	{"sched add", "", 10000, 0, sched_make, NULL, add_part},
	{"sched pick", "", 10000, 0, sched_make, NULL, pick_part},
	{"sched add", "", 100000, 0, sched_make, NULL, add_part},
	{"sched pick", "", 100000, 0, sched_make, NULL, pick_part},
	{"pack copy", "slot to record, of so many slots", 64, 0, pack_make, pack_run, NULL},
	{"pack copy", "", 20000, 0, pack_make, pack_run, NULL},
	{NULL, NULL, 0, 0, NULL, NULL, NULL},
};
