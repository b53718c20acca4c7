/* ports.c - memif by the frame: two ports in this process, joined by shared memory. The one that is
 * timed is the client, as a relay is; the other only keeps the rings going. */
#include "bench/micro/micro.h"

#include "drivers/port.h"

#include <rte_cycles.h>
#include <rte_mbuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define BURST	 32
#define HEAD	 66
#define WAIT_US	 3000000
#define MEMIF_NS (75 / 2.596) /* in and out together, of TSC cycles on that machine */

struct ports {
	struct port client, server;
	struct rte_mempool *heads, *bodies;
	unsigned len; /* of a frame */
	uint64_t rx_tsc, tx_tsc, n_rx, n_tx;
};

/* A header and the bytes in a chain, as net sends it. */
static struct rte_mbuf *frame(struct ports *p)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(p->heads), *body;

	if (!m)
		return NULL;
	memset(rte_pktmbuf_append(m, HEAD), 0x55, HEAD);
	if (p->len == HEAD)
		return m;
	body = rte_pktmbuf_alloc(p->bodies);
	if (!body || rte_pktmbuf_append(body, (uint16_t)(p->len - HEAD)) == NULL ||
	    rte_pktmbuf_chain(m, body) < 0)
		abort();
	return m;
}

static void send(struct ports *p, struct port *from, uint64_t *tsc, uint64_t *count)
{
	struct rte_mbuf *m[BURST];
	unsigned n = 0, sent;
	uint64_t start;

	while (n < BURST && (m[n] = frame(p)))
		n++;
	start = rte_rdtsc();
	sent = port_tx(from, 0, m, n);
	*tsc += rte_rdtsc() - start;
	*count += sent;
	rte_pktmbuf_free_bulk(m + sent, n - sent);
}

static unsigned receive(struct port *at, uint64_t *tsc, uint64_t *count)
{
	struct rte_mbuf *m[BURST];
	uint64_t start = rte_rdtsc();
	unsigned n = port_rx(at, 0, m, BURST);

	rte_pktmbuf_free_bulk(m, n);
	*tsc += rte_rdtsc() - start;
	*count += n;
	return n;
}

static void turn(struct ports *p)
{
	uint64_t ignored = 0;

	send(p, &p->client, &p->tx_tsc, &p->n_tx);
	receive(&p->server, &ignored, &ignored);
	send(p, &p->server, &ignored, &ignored);
	receive(&p->client, &p->rx_tsc, &p->n_rx);
}

static bool open_both(struct ports *p, bool lent, char err[PORT_ERR])
{
	char dir[] = "/tmp/ramson-micro-XXXXXX", server[80], client[80], path[64];
	struct port_config cf = {.n_queues = 1, .numa = -1};
	bool ok;

	if (!mkdtemp(dir))
		return false;
	snprintf(path, sizeof(path), "%s/m", dir);
	snprintf(server, sizeof(server), "memif:%s,server", path);
	snprintf(client, sizeof(client), "memif:%s%s", path, lent ? ",zero-copy" : "");
	ok = port_open(&p->server, server, &cf, err) == 0 &&
	     port_open(&p->client, client, &cf, err) == 0;
	for (unsigned us = 0; ok && !p->n_rx && us < WAIT_US; us += 1000) {
		turn(p); /* they find each other in another thread */
		usleep(1000);
	}
	unlink(path);
	rmdir(dir);
	return ok && p->n_rx;
}

static void *make(uint64_t len, bool lent)
{
	static struct ports *kept[2]; /* opened once: EAL's thread is not fond of many */
	struct ports *p = kept[lent];
	char name[32], err[PORT_ERR] = "the two ends do not find each other";

	if (!micro_eal())
		return NULL;
	if (p) {
		p->len = (unsigned)len;
		return p;
	}
	p = micro_new(1, sizeof(*p));
	p->len = (unsigned)len;
	snprintf(name, sizeof(name), "microhead%u", lent);
	p->heads = rte_pktmbuf_pool_create(name, 8191, 64, 0, 256, SOCKET_ID_ANY);
	snprintf(name, sizeof(name), "microbody%u", lent);
	p->bodies = rte_pktmbuf_pool_create(name, 8191, 64, 0, 2176, SOCKET_ID_ANY);
	if (p->heads && p->bodies && open_both(p, lent, err))
		return kept[lent] = p;
	fprintf(stderr, "micro: memif: %s\n", err);
	return NULL;
}

static void *ports_make(uint64_t len)
{
	return make(len, false);
}

static void *lent_make(uint64_t len)
{
	return make(len, true);
}

static uint64_t share(uint64_t tsc, uint64_t count, unsigned n)
{
	return count ? (uint64_t)((double)tsc * n / (double)count) : 0;
}

static uint64_t rx_part(void *state, unsigned n)
{
	struct ports *p = state;
	uint64_t tsc = p->rx_tsc, count = p->n_rx;

	for (unsigned i = 0; i < n; i += BURST)
		turn(p);
	return share(p->rx_tsc - tsc, p->n_rx - count, n);
}

static uint64_t tx_part(void *state, unsigned n)
{
	struct ports *p = state;
	uint64_t tsc = p->tx_tsc, count = p->n_tx;

	for (unsigned i = 0; i < n; i += BURST)
		turn(p);
	return share(p->tx_tsc - tsc, p->n_tx - count, n);
}

const struct row port_rows[] = {
	{"memif rx", "a frame of so many bytes, and freed; the limit is in and out", 1514, MEMIF_NS,
	 ports_make, NULL, rx_part},
	{"memif tx", "a chain of header and bytes", 1514, 0, ports_make, NULL, tx_part},
	{"memif rx", "an acknowledgement", 66, 0, ports_make, NULL, rx_part},
	{"memif tx", "", 66, 0, ports_make, NULL, tx_part},
	{"memif lent rx", "the same with zero-copy", 1514, MEMIF_NS, lent_make, NULL, rx_part},
	{"memif lent tx", "", 1514, 0, lent_make, NULL, tx_part},
	{"memif lent rx", "", 66, 0, lent_make, NULL, rx_part},
	{"memif lent tx", "", 66, 0, lent_make, NULL, tx_part},
	{NULL, NULL, 0, 0, NULL, NULL, NULL},
};
