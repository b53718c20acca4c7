/* wire.c - two ports joined in memory: seeded loss, delay, reordering, duplication and damage under
 * a clock that the test turns. Nothing here depends on anything but the seed and the calls. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_mbuf.h>

#include "drivers/wire.h"

#define WIRE_QUEUE 65536
#define WIRE_RX	   4096 /* mbufs of one queue */
#define PPM	   1000000u

struct wire_frame {
	uint64_t due_us, order; /* of equals, the first sent comes first */
	struct wire_frame *next;
	uint32_t len;
	uint8_t data[];
};

struct fifo {
	struct wire_frame *head, **tail;
};

/* One end: what it sends waits in the heap, what came for it in a list per queue. */
struct wire_end {
	struct wire *wire;
	struct wire_impair impair;
	struct wire_stats stats;
	struct wire_frame **heap; /* smallest (due_us, order) first */
	uint32_t n_heap, max_heap;
	uint64_t order, last_due_us, free_us, random;
	struct flow_hash hash;
	unsigned n_queues;
	struct fifo arrived[PORT_QUEUES];
	struct port *port; /* NULL: closed */
	uint32_t n_taken;  /* frames since the clock moved, where there is a bound for them */
};

struct wire {
	struct wire *next;
	char name[32];
	struct wire_config config;
	uint64_t now_us;
	struct wire_end end[2];
};

static struct wire *all_wires;

/* splitmix64: every frame draws the same number of times, so that one setting does not shift the
 * luck of another. */
static uint64_t draw(struct wire_end *e)
{
	uint64_t z = (e->random += 0x9e3779b97f4a7c15ull);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static bool happens(struct wire_end *e, uint32_t ppm)
{
	return draw(e) % PPM < ppm;
}

/* ---- the heap ---- */

static bool before(const struct wire_frame *a, const struct wire_frame *b)
{
	return a->due_us != b->due_us ? a->due_us < b->due_us : a->order < b->order;
}

static bool heap_grow(struct wire_end *e)
{
	uint32_t max = e->max_heap ? 2 * e->max_heap : 64;
	struct wire_frame **heap;

	if (e->n_heap < e->max_heap)
		return true;
	heap = realloc(e->heap, max * sizeof(*heap));
	if (!heap)
		return false;
	e->heap = heap;
	e->max_heap = max;
	return true;
}

static void heap_put(struct wire_end *e, struct wire_frame *f)
{
	uint32_t i = e->n_heap++;

	for (; i && before(f, e->heap[(i - 1) / 2]); i = (i - 1) / 2)
		e->heap[i] = e->heap[(i - 1) / 2];
	e->heap[i] = f;
}

static struct wire_frame *heap_take(struct wire_end *e)
{
	struct wire_frame *first = e->heap[0], *last = e->heap[--e->n_heap];
	uint32_t i = 0;

	for (;;) {
		uint32_t child = 2 * i + 1;

		if (child + 1 < e->n_heap && before(e->heap[child + 1], e->heap[child]))
			child++;
		if (child >= e->n_heap || !before(e->heap[child], last))
			break;
		e->heap[i] = e->heap[child];
		i = child;
	}
	e->heap[i] = last;
	return first;
}

/* ---- sending ---- */

static void put_copy(struct wire_end *e, const uint8_t *data, uint32_t len, uint64_t due_us)
{
	uint32_t max = e->impair.queue_max ? e->impair.queue_max : WIRE_QUEUE;
	struct wire_frame *f = NULL;

	if (e->n_heap < max && heap_grow(e))
		f = malloc(sizeof(*f) + len);
	if (!f) {
		e->stats.overflowed++;
		return;
	}
	*f = (struct wire_frame) {.due_us = due_us, .order = e->order++, .len = len};
	memcpy(f->data, data, len);
	heap_put(e, f);
}

/* When a frame sent now arrives, if it is neither early nor late. */
static uint64_t due_of(struct wire_end *e, uint32_t len, uint64_t luck)
{
	uint64_t start = e->free_us > e->wire->now_us ? e->free_us : e->wire->now_us, due;

	e->free_us = start + (e->impair.bps ? len * 8000000ull / e->impair.bps : 0);
	due = e->free_us + e->impair.delay_us +
	      (e->impair.jitter_us ? luck % (e->impair.jitter_us + 1) : 0);
	if (due < e->last_due_us)
		due = e->last_due_us;
	e->last_due_us = due;
	return due;
}

static void end_put(void *arg, const uint8_t *frame, uint32_t len)
{
	struct wire_end *e = arg;
	bool lost = happens(e, e->impair.loss_ppm), dup = happens(e, e->impair.dup_ppm);
	bool late = happens(e, e->impair.reorder_ppm), hurt = happens(e, e->impair.corrupt_ppm);
	uint64_t jitter = draw(e), where = draw(e), due = due_of(e, len, jitter);
	uint8_t bad[WIRE_FRAME_MAX];

	e->stats.sent++;
	if (lost) {
		e->stats.lost++;
		return;
	}
	if (hurt) {
		e->stats.corrupted++;
		memcpy(bad, frame, len);
		bad[where % len] ^= (uint8_t)(1 << (where >> 32) % 8);
		frame = bad;
	}
	if (late) {
		e->stats.reordered++;
		due += e->impair.reorder_us;
	}
	put_copy(e, frame, len, due);
	if (dup) {
		e->stats.duplicated++;
		put_copy(e, frame, len, due);
	}
}

static unsigned wire_tx(struct port *p, unsigned q, struct rte_mbuf **m, unsigned n)
{
	struct wire_end *e = p->priv;
	struct port_stats *st = &p->stats[q];
	unsigned room = e->impair.tx_room ? e->impair.tx_room - e->n_taken : n;

	st->tx_full += room < n;
	n = RTE_MIN(n, room);
	e->n_taken += e->impair.tx_room ? n : 0;
	for (unsigned i = 0; i < n; i++) {
		if (wire_cut(m[i], p->mtu, end_put, e)) {
			st->tx_frames++;
			st->tx_bytes += m[i]->pkt_len;
		} else {
			st->tx_error++;
		}
	}
	rte_pktmbuf_free_bulk(m, n);
	return n;
}

/* ---- receiving ---- */

static uint16_t two(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

/* TCP by the hash of its tuple, all else to queue 0. */
static unsigned queue_for(const struct wire_end *e, const struct wire_frame *f)
{
	struct port_tuple t = {0};
	const uint8_t *ip = f->data + 14, *tcp;

	if (e->n_queues == 1 || f->len < 14 + 40)
		return 0;
	if (two(f->data + 12) == 0x0800 && ip[9] == 6 && !(two(ip + 6) & 0x3fff)) {
		t.family = 4;
		memcpy(t.remote_ip, ip + 12, 4);
		memcpy(t.local_ip, ip + 16, 4);
		tcp = ip + (ip[0] & 15) * 4;
	} else if (two(f->data + 12) == 0x86dd && ip[6] == 6) {
		t.family = 6;
		memcpy(t.remote_ip, ip + 8, 16);
		memcpy(t.local_ip, ip + 24, 16);
		tcp = ip + 40;
	} else {
		return 0;
	}
	if (tcp + 4 > f->data + f->len)
		return 0;
	t.remote_port = two(tcp);
	t.local_port = two(tcp + 2);
	return flow_hash_of(&e->hash, &t);
}

static void arrive(struct wire_end *to)
{
	struct wire_end *from = &to->wire->end[to == &to->wire->end[0]];

	while (from->n_heap && from->heap[0]->due_us <= to->wire->now_us) {
		struct wire_frame *f = heap_take(from);
		struct fifo *q = &to->arrived[queue_for(to, f)];

		from->stats.delivered++;
		*q->tail = f;
		q->tail = &f->next;
	}
}

static unsigned wire_rx(struct port *p, unsigned qi, struct rte_mbuf **m, unsigned n)
{
	struct wire_end *e = p->priv;
	struct fifo *q = &e->arrived[qi];
	unsigned k = 0;

	arrive(e);
	for (; k < n && q->head; k++) {
		struct wire_frame *f = q->head;

		m[k] = rte_pktmbuf_alloc(p->pools[qi]);
		if (!m[k])
			break;
		memcpy(rte_pktmbuf_append(m[k], (uint16_t)f->len), f->data, f->len);
		p->stats[qi].rx_bytes += f->len;
		q->head = f->next;
		if (!q->head)
			q->tail = &q->head;
		free(f);
	}
	p->stats[qi].rx_frames += k;
	return k;
}

/* ---- opening ---- */

static struct wire *wire_find(const char *name, size_t len)
{
	for (struct wire *w = all_wires; w; w = w->next)
		if (strlen(w->name) == len && !memcmp(w->name, name, len))
			return w;
	return NULL;
}

static int wire_open(struct port *p, const char *args, const struct port_config *config, char *err)
{
	size_t len = strcspn(args, ":");
	struct wire *w = wire_find(args, len);
	struct wire_end *e;

	if (!w || args[len] != ':' || (args[len + 1] != '0' && args[len + 1] != '1') ||
	    args[len + 2])
		return port_fail(
			err, "DataplanePort wire:%.40s: no such wire; it is for tests only", args);
	e = &w->end[args[len + 1] - '0'];
	if (e->port)
		return port_fail(err, "DataplanePort wire:%.40s: this end is open already", args);
	p->n_queues = e->n_queues =
		config->n_queues < w->config.n_queues ? config->n_queues : w->config.n_queues;
	for (unsigned q = 0; q < p->n_queues; q++)
		if (port_pool(p, q, config->rx_frames ? config->rx_frames : WIRE_RX,
			      w->config.mtu + 64, config->numa, err) < 0) {
			port_pools_free(p);
			return -1;
		}
	flow_hash_init(&e->hash, config->hash_key, e->n_queues);
	memcpy(p->mac, (const uint8_t[6]) {2, 'w', 'i', 'r', 'e', (uint8_t)(e - w->end)}, 6);
	p->mtu = w->config.mtu;
	p->tx_segs = UINT16_MAX;
	p->tso_max = w->config.tso_max;
	p->caps = PORT_QUEUE_OF | (p->tso_max ? PORT_TX_CSUM : 0);
	p->priv = e;
	e->port = p;
	return 0;
}

static void wire_close(struct port *p)
{
	struct wire_end *e = p->priv;

	e->port = NULL;
	port_pools_free(p);
}

static int wire_queue_of(const struct port *p, const struct port_tuple *t)
{
	const struct wire_end *e = p->priv;

	return (int)flow_hash_of(&e->hash, t);
}

const struct port_kind port_wire = {
	.name = "wire",
	.what = "one end of a wire in memory, for tests",
	.args = "NAME:0 or NAME:1",
	.open = wire_open,
	.close = wire_close,
	.rx = wire_rx,
	.tx = wire_tx,
	.queue_of = wire_queue_of,
	.rx_mb = 16,
};

/* ---- the wire itself ---- */

struct wire *wire_new(const char *name, const struct wire_config *config)
{
	struct wire *w;

	if (strlen(name) >= sizeof(w->name) || wire_find(name, strlen(name)) ||
	    config->mtu > WIRE_MTU_MAX)
		return NULL;
	w = calloc(1, sizeof(*w));
	if (!w)
		return NULL;
	snprintf(w->name, sizeof(w->name), "%s", name);
	w->config = *config;
	if (!w->config.mtu)
		w->config.mtu = 1500;
	if (!w->config.n_queues || w->config.n_queues > PORT_QUEUES)
		w->config.n_queues = 1;
	for (unsigned i = 0; i < 2; i++) {
		struct wire_end *e = &w->end[i];

		e->wire = w;
		e->n_queues = 1;
		e->random = config->seed ^ (i ? 0x6a09e667f3bcc909ull : 0);
		for (unsigned q = 0; q < PORT_QUEUES; q++)
			e->arrived[q].tail = &e->arrived[q].head;
	}
	w->next = all_wires;
	all_wires = w;
	return w;
}

static void end_free(struct wire_end *e)
{
	while (e->n_heap)
		free(heap_take(e));
	free(e->heap);
	for (unsigned q = 0; q < PORT_QUEUES; q++)
		for (struct wire_frame *f = e->arrived[q].head, *next; f; f = next) {
			next = f->next;
			free(f);
		}
}

void wire_free(struct wire *w)
{
	for (struct wire **at = &all_wires; *at; at = &(*at)->next)
		if (*at == w) {
			*at = w->next;
			break;
		}
	end_free(&w->end[0]);
	end_free(&w->end[1]);
	free(w);
}

void wire_impair(struct wire *w, unsigned end, const struct wire_impair *impair)
{
	w->end[end & 1].impair = *impair;
	w->end[end & 1].n_taken = 0;
}

void wire_advance(struct wire *w, uint64_t now_us)
{
	if (now_us <= w->now_us)
		return;
	w->now_us = now_us;
	w->end[0].n_taken = w->end[1].n_taken = 0;
}

uint64_t wire_next(const struct wire *w)
{
	uint64_t next = UINT64_MAX;

	for (unsigned i = 0; i < 2; i++) {
		const struct wire_end *e = &w->end[i];

		if (e->n_heap && e->heap[0]->due_us < next)
			next = e->heap[0]->due_us;
		for (unsigned q = 0; q < e->n_queues; q++)
			if (e->arrived[q].head)
				next = w->now_us;
	}
	return next;
}

const struct wire_stats *wire_stats_of(const struct wire *w, unsigned end)
{
	return &w->end[end & 1].stats;
}
