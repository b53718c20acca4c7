/* port.c - opening and driving a port of whatever kind: the first and last stage of the walk. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "drivers/internal.h"

int port_fail(char *err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, PORT_ERR, fmt, ap);
	va_end(ap);
	return -1;
}

int port_pool(struct port *p, unsigned q, unsigned n, unsigned room, int numa, char *err)
{
	static unsigned serial; /* names must differ as long as the process lives */
	char name[RTE_MEMPOOL_NAMESIZE];

	snprintf(name, sizeof(name), "rx%u", __atomic_fetch_add(&serial, 1, __ATOMIC_RELAXED));
	p->pools[q] = rte_pktmbuf_pool_create(name, n, n > 1024 ? 256 : 0, 0,
					      (uint16_t)(RTE_PKTMBUF_HEADROOM + room), numa);
	if (!p->pools[q])
		return port_fail(
			err,
			"DataplanePort %s:%s: no memory for %u receive buffers of %u bytes; "
			"give the machine more memory or fewer DataplaneCores",
			p->kind->name, p->name, n, room);
	return 0;
}

void port_pools_free(struct port *p)
{
	for (unsigned q = 0; q < PORT_QUEUES; q++) {
		rte_mempool_free(p->pools[q]);
		p->pools[q] = NULL;
	}
}

int port_open(struct port *p, const char *spec, const struct port_config *config,
	      char err[PORT_ERR])
{
	const struct port_kind *kind;
	const char *args;

	memset(p, 0, sizeof(*p));
	err[0] = '\0';
	kind = port_kind_of(spec, &args, err);
	if (!kind)
		return -1;
	if (config->n_queues < 1 || config->n_queues > PORT_QUEUES)
		return port_fail(err, "DataplaneCores: %u queues; a port has 1 to %u",
				 config->n_queues, PORT_QUEUES);
	p->kind = kind;
	snprintf(p->name, sizeof(p->name), "%s", args);
	p->n_queues = kind->queue_of ? config->n_queues : 1;
	p->tx_segs = 1;
	return kind->open(p, args, config, err);
}

void port_close(struct port *p)
{
	if (!p->kind)
		return;
	p->kind->close(p);
	p->kind = NULL;
}

unsigned port_rx(struct port *p, unsigned q, struct rte_mbuf **m, unsigned n)
{
	return p->kind->rx(p, q, m, n < PORT_BURST ? n : PORT_BURST);
}

unsigned port_tx(struct port *p, unsigned q, struct rte_mbuf **m, unsigned n)
{
	return p->kind->tx(p, q, m, n < PORT_BURST ? n : PORT_BURST);
}

int port_queue_of(const struct port *p, const struct port_tuple *t)
{
	if (p->n_queues == 1)
		return 0;
	return p->caps & PORT_QUEUE_OF ? p->kind->queue_of(p, t) : -1;
}

int port_fd(const struct port *p, unsigned q)
{
	return p->kind->fd ? p->kind->fd(p, q) : -1;
}

const struct port_stats *port_stats_of(struct port *p, unsigned q)
{
	if (p->kind->stats)
		p->kind->stats(p, q);
	return &p->stats[q];
}

void port_ifname(const char *spec, char name[16])
{
	char err[PORT_ERR];
	const char *args;
	const struct port_kind *kind = port_kind_of(spec, &args, err);
	size_t len = kind && kind->names_if ? strcspn(args, ",:") : 0;

	if (len > 15)
		len = 0;
	memcpy(name, kind ? args : "", len);
	name[len] = '\0';
}

int port_check(const char *spec, char err[PORT_ERR])
{
	const char *args;
	const struct port_kind *kind = port_kind_of(spec, &args, err);
	char ifname[16];
	uint8_t mac[6];
	unsigned mtu;

	if (!kind)
		return -1;
	if (!kind->names_if)
		return 0;
	port_ifname(spec, ifname);
	if (!ifname[0])
		return port_fail(err, "DataplanePort %.60s: not the name of an interface", spec);
	return port_kernel_if(ifname, mac, &mtu, err);
}
