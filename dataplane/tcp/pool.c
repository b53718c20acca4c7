/* pool.c - the buffers of the room: record buffers of four sizes, which hold received records,
 * out-of-order bytes and sealed records alike; header mbufs and indirect pieces for tcp_out. */
#include "dataplane/tcp/internal.h"

#include <stdio.h>
#include <rte_errno.h>

/* 1, 4, 8 and 31 cells with what a record adds; 8 cells: C tor writes 4 KB records. */
static const uint16_t buf_caps[TCP_POOLS] = {640, 2240, 4352, 16704};
static const uint8_t buf_share[TCP_POOLS] = {20, 20, 20, 40}; /* percent of max_mem */

#define FRAME_MAX                                                                                  \
	1460 /* payload that fits beside its header: more would cost memory for nothing            \
	      */

static struct rte_mempool *pool_new(struct tcp *t, const char *what, uint32_t n, uint16_t priv,
				    uint16_t room)
{
	unsigned cache = n >= 2048 ? 256 : 0;
	char name[RTE_MEMPOOL_NAMESIZE];
	int numa = t->cfg.numa < 0 ? SOCKET_ID_ANY : t->cfg.numa;

	snprintf(name, sizeof(name), "tcp%u_%s", t->cfg.worker, what);
	return rte_pktmbuf_pool_create(name, n, cache, priv, room, numa);
}

int pool_init(struct tcp *t, const char **err)
{
	static const char *const names[TCP_POOLS] = {"1", "4", "8", "31"};
	struct tcp_config *cfg = &t->cfg;

	for (int i = 0; i < TCP_POOLS; i++) {
		uint64_t fits = cfg->max_mem * buf_share[i] / 100 / buf_caps[i];
		uint32_t n = cfg->n_bufs[i] ? cfg->n_bufs[i] : (uint32_t)MIN(fits, UINT32_MAX / 2);

		t->pools[i] = pool_new(t, names[i], MAX(n, 64), RTE_ALIGN(sizeof(struct buf), 64),
				       RTE_PKTMBUF_HEADROOM + buf_caps[i] + BUF_SCRATCH);
		if (!t->pools[i]) {
			*err = "no memory for TCP record buffers: lower MaxMemInQueues or give EAL "
			       "more";
			return ERR_FULL;
		}
	}
	t->headers =
		pool_new(t, "hdr", cfg->n_headers, 0,
			 (uint16_t)(TCP_TX_HEADROOM + TCP_HDR_MAX + MIN(cfg->mss4, FRAME_MAX)));
	t->pieces = pool_new(t, "piece", cfg->n_pieces, 0, 0);
	t->n_reass = MAX(64u, MIN(cfg->n_conns / 16, 4096u));
	t->reass = column_new(t->n_reass, sizeof(*t->reass));
	t->reass_free = column_new(t->n_reass, sizeof(*t->reass_free));
	if (!t->headers || !t->pieces || !t->reass || !t->reass_free) {
		*err = "no memory for TCP segments: lower n_headers or give EAL more";
		return ERR_FULL;
	}
	for (uint32_t i = 0; i < t->n_reass; i++)
		t->reass_free[t->n_reass_free++] = t->n_reass - 1 - i;
	return 0;
}

void pool_fini(struct tcp *t)
{
	for (int i = 0; i < TCP_POOLS; i++)
		rte_mempool_free(t->pools[i]);
	rte_mempool_free(t->headers);
	rte_mempool_free(t->pieces);
	column_free(t->reass, t->n_reass, sizeof(*t->reass));
	column_free(t->reass_free, t->n_reass, sizeof(*t->reass_free));
}

uint32_t buf_cap(const struct rte_mbuf *m)
{
	return m->buf_len - RTE_PKTMBUF_HEADROOM - BUF_SCRATCH;
}

struct rte_mbuf *buf_new(struct tcp *t, uint32_t len, uint64_t limit)
{
	uint32_t i = 0;

	while (i < TCP_POOLS && buf_caps[i] < len)
		i++;
	/* A size that has run out is replaced by the next: memory is what is bounded. */
	for (; i < TCP_POOLS && t->mem + buf_caps[i] <= limit; i++) {
		struct rte_mbuf *m = pool_take(t->pools[i]);

		if (UNLIKELY(!m))
			continue;
		*buf_of(m) = (struct buf) {.pool = i, .since_us = t->now_us};
		t->mem += buf_caps[i];
		return m;
	}
	tcp_count(t, no_buffer);
	return NULL;
}

/* Segments that still point into it keep the memory until the port is done with them. */
void buf_free(struct tcp *t, struct rte_mbuf *m)
{
	t->mem -= buf_caps[buf_of(m)->pool];
	rte_pktmbuf_free_seg(m);
}

void buf_append(struct buf_list *l, struct rte_mbuf *m)
{
	buf_of(m)->next = NULL;
	if (l->tail)
		buf_of(l->tail)->next = m;
	else
		l->head = m;
	l->tail = m;
}

struct rte_mbuf *buf_shift(struct buf_list *l)
{
	struct rte_mbuf *m = l->head;

	if (m) {
		l->head = buf_of(m)->next;
		if (!l->head)
			l->tail = NULL;
	}
	return m;
}
