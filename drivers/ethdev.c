/* ethdev.c - ports that are DPDK Ethernet devices: creating, configuring, receive-side scaling,
 * moving frames. The rows are in vdev.c and pci.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_thash.h>

#include "drivers/ethdev.h"

#define RSS_KEY	      40 /* what two IPv6 addresses and ports need */
#define RSS_KEY_MAX   64
#define RETA_MAX      512
#define RX_DESCS      2048
#define TX_DESCS      1024
#define RX_POOL_MORE  2048 /* mbufs beside those in the rings */
#define TX_POOL	      1024
#define SEGS_ANY      64 /* longest chain where the device names no limit, or we copy it anyway */
#define TSO_FRAME_MAX 65200
#define TX_WANTED                                                                                  \
	(RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM |                            \
	 RTE_ETH_TX_OFFLOAD_TCP_TSO | RTE_ETH_TX_OFFLOAD_MULTI_SEGS)

struct ethdev {
	uint16_t id;
	bool have, rx_fd;
	char vdev[32]; /* "" when EAL owns the device */
	uint64_t tx_offloads;
	unsigned tx_room, tx_burst;
	struct rte_mempool
		*tx_pool; /* copies of chains for devices that take none; NULL: not needed */
	uint8_t rss_key[RSS_KEY_MAX];
	uint16_t n_reta;
	uint16_t reta[RETA_MAX];
	struct rte_eth_stats base;
};

static struct ethdev *ethdev_new(struct port *p, char *err)
{
	struct ethdev *e = calloc(1, sizeof(*e));

	if (!e)
		port_fail(err, "DataplanePort %s:%s: out of memory", p->kind->name, p->name);
	p->priv = e;
	return e;
}

int ethdev_create(struct port *p, const char *driver, const char *devargs, uint16_t *id, char *err)
{
	static unsigned serial;
	struct ethdev *e = ethdev_new(p, err);
	int rc;

	if (!e)
		return -1;
	snprintf(e->vdev, sizeof(e->vdev), "%s%u", driver, serial++);
	rc = rte_eal_hotplug_add("vdev", e->vdev, devargs);
	if (rc < 0) {
		port_fail(err,
			  "DataplanePort %s:%s: DPDK's %s refuses %s: %s; start as root, and see "
			  "that nothing else uses it",
			  p->kind->name, p->name, driver, devargs, rte_strerror(-rc));
		e->vdev[0] = '\0';
		return -1;
	}
	if (rte_eth_dev_get_port_by_name(e->vdev, id) < 0)
		return port_fail(err, "DataplanePort %s:%s: %s made no device", p->kind->name,
				 p->name, driver);
	e->id = *id;
	e->have = true;
	return 0;
}

int ethdev_adopt(struct port *p, uint16_t id, char *err)
{
	struct ethdev *e = ethdev_new(p, err);

	if (!e)
		return -1;
	e->id = id;
	e->have = true;
	return 0;
}

void ethdev_close(struct port *p)
{
	struct ethdev *e = p->priv;

	if (!e)
		return;
	if (e->have) {
		(void)rte_eth_dev_stop(e->id);
		(void)rte_eth_dev_close(e->id);
	}
	if (e->vdev[0])
		(void)rte_eal_hotplug_remove("vdev", e->vdev);
	rte_mempool_free(e->tx_pool);
	free(e);
	p->priv = NULL;
	port_pools_free(p);
}

/* ---- configuring ---- */

/* Drivers that do not say take the usual length. */
static uint8_t rss_key_len(const struct rte_eth_dev_info *info)
{
	return info->hash_key_size ? info->hash_key_size : RSS_KEY;
}

static bool rss_possible(const struct rte_eth_dev_info *info, uint64_t *hf)
{
	uint64_t both = RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV6_TCP;

	*hf = info->flow_type_rss_offloads & both;
	return *hf == both && info->reta_size && info->reta_size <= RETA_MAX &&
	       rss_key_len(info) >= RSS_KEY && rss_key_len(info) <= RSS_KEY_MAX;
}

/* Spreads the table evenly, so that queue_of needs to ask nobody. */
static int reta_fill(struct ethdev *e, uint16_t size, unsigned n_queues)
{
	struct rte_eth_rss_reta_entry64 conf[RETA_MAX / RTE_ETH_RETA_GROUP_SIZE];

	memset(conf, 0, sizeof(conf));
	for (uint16_t i = 0; i < size; i++) {
		e->reta[i] = (uint16_t)(i % n_queues);
		conf[i / RTE_ETH_RETA_GROUP_SIZE].mask = UINT64_MAX;
		conf[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE] = e->reta[i];
	}
	e->n_reta = size;
	return rte_eth_dev_rss_reta_update(e->id, conf, size);
}

static int queues_setup(struct port *p, const struct rte_eth_dev_info *info,
			const struct port_config *config, unsigned room, char *err)
{
	struct ethdev *e = p->priv;
	uint16_t rxd = config->rx_frames ? (uint16_t)config->rx_frames : RX_DESCS, txd = TX_DESCS;
	struct rte_eth_txconf tx = info->default_txconf;
	struct rte_eth_rxconf rx = info->default_rxconf;

	if (rte_eth_dev_adjust_nb_rx_tx_desc(e->id, &rxd, &txd) < 0)
		return port_fail(err, "DataplanePort %s:%s: no rings of %u and %u frames",
				 p->kind->name, p->name, rxd, txd);
	tx.offloads = e->tx_offloads;
	for (uint16_t q = 0; q < p->n_queues; q++) {
		if (port_pool(p, q, rxd + RX_POOL_MORE, room, config->numa, err) < 0)
			return -1;
		if (rte_eth_rx_queue_setup(e->id, q, rxd, SOCKET_ID_ANY, &rx, p->pools[q]) < 0 ||
		    rte_eth_tx_queue_setup(e->id, q, txd, SOCKET_ID_ANY, &tx) < 0)
			return port_fail(
				err,
				"DataplanePort %s:%s: queue %u of %u cannot be set up; use "
				"fewer DataplaneCores",
				p->kind->name, p->name, q, p->n_queues);
	}
	return 0;
}

static int configure(struct port *p, const struct rte_eth_dev_info *info,
		     const struct ethdev_opts *opts, const struct port_config *config, char *err)
{
	struct ethdev *e = p->priv;
	struct rte_eth_conf conf = {.intr_conf = {.rxq = opts->rx_fd}};
	uint64_t hf = 0;
	int rc;

	if (p->n_queues > 1 && !rss_possible(info, &hf))
		p->n_queues = 1;
	if (p->n_queues > info->max_rx_queues || p->n_queues > info->max_tx_queues)
		p->n_queues = RTE_MIN(info->max_rx_queues, info->max_tx_queues);
	conf.rxmode.offloads = info->rx_offload_capa &
			       (RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM);
	e->tx_offloads = info->tx_offload_capa & TX_WANTED & ~opts->tx_refused;
	if (!(e->tx_offloads & RTE_ETH_TX_OFFLOAD_TCP_CKSUM) ||
	    !(e->tx_offloads & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM) ||
	    !(e->tx_offloads & RTE_ETH_TX_OFFLOAD_MULTI_SEGS))
		e->tx_offloads &= ~RTE_ETH_TX_OFFLOAD_TCP_TSO;
	conf.txmode.offloads = e->tx_offloads;
	for (unsigned i = 0; i < RSS_KEY_MAX; i++)
		e->rss_key[i] = config->hash_key[i % sizeof(config->hash_key)];
	if (p->n_queues > 1) {
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf.rx_adv_conf.rss_conf.rss_key = e->rss_key;
		conf.rx_adv_conf.rss_conf.rss_key_len = rss_key_len(info);
		conf.rx_adv_conf.rss_conf.rss_hf = hf;
	}
	rc = rte_eth_dev_configure(e->id, (uint16_t)p->n_queues, (uint16_t)p->n_queues, &conf);
	if (rc < 0)
		return port_fail(err, "DataplanePort %s:%s: the device refuses %u queues: %s",
				 p->kind->name, p->name, p->n_queues, rte_strerror(-rc));
	return 0;
}

static void describe(struct port *p, const struct rte_eth_dev_info *info)
{
	struct ethdev *e = p->priv;
	uint16_t most = info->tx_desc_lim.nb_seg_max;

	p->caps = p->n_queues > 1 ? PORT_QUEUE_OF : 0;
	if (info->rx_offload_capa & RTE_ETH_RX_OFFLOAD_TCP_CKSUM)
		p->caps |= PORT_RX_CSUM;
	if (e->tx_offloads & RTE_ETH_TX_OFFLOAD_TCP_CKSUM)
		p->caps |= PORT_TX_CSUM;
	if (e->tx_offloads & RTE_ETH_TX_OFFLOAD_TCP_TSO)
		p->tso_max = TSO_FRAME_MAX;
	p->tx_segs = e->tx_offloads & RTE_ETH_TX_OFFLOAD_MULTI_SEGS && most && most < SEGS_ANY
			     ? most
			     : SEGS_ANY;
}

static int tx_pool_make(struct port *p, unsigned room, int numa, char *err)
{
	struct ethdev *e = p->priv;
	char name[RTE_MEMPOOL_NAMESIZE];

	snprintf(name, sizeof(name), "tx%u", e->id);
	e->tx_room = room;
	e->tx_pool = rte_pktmbuf_pool_create(name, TX_POOL * p->n_queues + TX_DESCS * p->n_queues,
					     128, 0, (uint16_t)(RTE_PKTMBUF_HEADROOM + room), numa);
	return e->tx_pool ? 0
			  : port_fail(err, "DataplanePort %s:%s: no memory for send buffers",
				      p->kind->name, p->name);
}

int ethdev_start(struct port *p, uint16_t id, const struct ethdev_opts *opts,
		 const struct port_config *config, char *err)
{
	struct ethdev *e = p->priv;
	struct rte_eth_dev_info info;
	uint16_t mtu = (uint16_t)opts->mtu;
	unsigned room;

	if (rte_eth_dev_info_get(id, &info) < 0 || (!mtu && rte_eth_dev_get_mtu(id, &mtu) < 0))
		return port_fail(err, "DataplanePort %s:%s: the device does not answer",
				 p->kind->name, p->name);
	room = opts->room ? opts->room : RTE_MAX(2048u, mtu + 64u);
	if (configure(p, &info, opts, config, err) < 0 ||
	    queues_setup(p, &info, config, room, err) < 0 ||
	    tx_pool_make(p, room, config->numa, err) < 0)
		return -1;
	if (rte_eth_dev_start(id) < 0)
		return port_fail(err, "DataplanePort %s:%s: the device does not start",
				 p->kind->name, p->name);
	if (p->n_queues > 1 && reta_fill(e, info.reta_size, p->n_queues) < 0)
		return port_fail(err,
				 "DataplanePort %s:%s: the device takes no table for its receive "
				 "hash; use one DataplaneCores",
				 p->kind->name, p->name);
	(void)rte_eth_allmulticast_enable(
		id); /* for neighbour solicitations; virtual ones need none */
	if (opts->mac)
		memcpy(p->mac, opts->mac, 6);
	else
		rte_eth_macaddr_get(id, (struct rte_ether_addr *)p->mac);
	p->mtu = mtu;
	e->rx_fd = opts->rx_fd;
	e->tx_burst = opts->tx_burst ? opts->tx_burst : PORT_BURST;
	describe(p, &info);
	return 0;
}

/* ---- moving ---- */

unsigned ethdev_rx(struct port *p, unsigned q, struct rte_mbuf **m, unsigned n)
{
	const struct ethdev *e = p->priv;
	struct port_stats *st = &p->stats[q];
	unsigned k = rte_eth_rx_burst(e->id, (uint16_t)q, m, (uint16_t)n);

	for (unsigned i = 0; i < k; i++)
		st->rx_bytes += m[i]->pkt_len;
	st->rx_frames += k;
	return k;
}

/* One mbuf with the bytes and the flags of a chain, which is freed; NULL (chain kept) when there is
 * no room for it. */
static struct rte_mbuf *in_one(struct ethdev *e, struct rte_mbuf *m)
{
	struct rte_mbuf *one = m->pkt_len <= e->tx_room ? rte_pktmbuf_alloc(e->tx_pool) : NULL;
	uint8_t *to;

	if (!one)
		return NULL;
	to = (uint8_t *)rte_pktmbuf_append(one, (uint16_t)m->pkt_len);
	for (const struct rte_mbuf *s = m; s; s = s->next) {
		memcpy(to, rte_pktmbuf_mtod(s, void *), s->data_len);
		to += s->data_len;
	}
	one->ol_flags = m->ol_flags & RTE_MBUF_F_TX_OFFLOAD_MASK;
	one->tx_offload = m->tx_offload;
	rte_pktmbuf_free(m);
	return one;
}

/* How many from the front can go as they are; a chain too long for the device is copied. */
static unsigned tx_shape(struct ethdev *e, struct port_stats *st, struct rte_mbuf **m, unsigned n)
{
	bool chains = e->tx_offloads & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;

	for (unsigned i = 0; i < n && !chains; i++) {
		struct rte_mbuf *one;

		if (m[i]->nb_segs == 1)
			continue;
		one = in_one(e, m[i]);
		if (!one) {
			st->tx_full++;
			return i;
		}
		m[i] = one;
	}
	return n;
}

/* The frame at which tx_prepare stopped: mended, or dropped for good. */
static bool tx_mend(struct ethdev *e, struct port_stats *st, struct rte_mbuf **m)
{
	struct rte_mbuf *one = (*m)->nb_segs > 1 ? in_one(e, *m) : NULL;

	if (one) {
		*m = one;
		return true;
	}
	st->tx_error++;
	rte_pktmbuf_free(*m);
	return false;
}

static unsigned tx_burst(const struct ethdev *e, struct port_stats *st, unsigned q,
			 struct rte_mbuf **m, unsigned n)
{
	uint64_t bytes[PORT_BURST], sum = 0;
	unsigned k;

	for (unsigned i = 0; i < n; i++) /* they may be gone after the burst */
		bytes[i] = m[i]->pkt_len;
	k = rte_eth_tx_burst(e->id, (uint16_t)q, m, (uint16_t)n);
	for (unsigned i = 0; i < k; i++)
		sum += bytes[i];
	st->tx_frames += k;
	st->tx_bytes += sum;
	st->tx_full += k < n;
	return k;
}

/* memif's driver has taken references to a chain of lent memory for which its ring had no room, and
 * takes them again with the next try. Nobody else holds segments that wait for the port. */
static void tx_refused(const struct ethdev *e, struct rte_mbuf *m)
{
	if (e->tx_burst == PORT_BURST)
		return;
	for (; m; m = m->next)
		rte_mbuf_refcnt_set(m, 1);
}

unsigned ethdev_tx(struct port *p, unsigned q, struct rte_mbuf **m, unsigned n)
{
	struct ethdev *e = p->priv;
	struct port_stats *st = &p->stats[q];
	unsigned done = 0;

	n = tx_shape(e, st, m, n);
	while (done < n) {
		unsigned some = RTE_MIN(n - done, e->tx_burst);
		unsigned ready = rte_eth_tx_prepare(e->id, (uint16_t)q, m + done, (uint16_t)some);
		unsigned k = ready ? tx_burst(e, st, q, m + done, ready) : 0;

		done += k;
		if (k < ready) {
			tx_refused(e, m[done]);
			break;
		}
		if (ready < some && !tx_mend(e, st, &m[done]))
			done++;
	}
	return done;
}

int ethdev_queue_of(const struct port *p, const struct port_tuple *t)
{
	const struct ethdev *e = p->priv;
	unsigned n = t->family == 4 ? 1 : 4;
	uint32_t w[9];

	for (unsigned i = 0; i < n; i++) {
		memcpy(&w[i], t->remote_ip + 4 * i, 4);
		memcpy(&w[n + i], t->local_ip + 4 * i, 4);
		w[i] = rte_be_to_cpu_32(w[i]);
		w[n + i] = rte_be_to_cpu_32(w[n + i]);
	}
	w[2 * n] = (uint32_t)t->remote_port << 16 | t->local_port;
	return e->reta[rte_softrss(w, 2 * n + 1, e->rss_key) % e->n_reta];
}

int ethdev_fd(const struct port *p, unsigned q)
{
	const struct ethdev *e = p->priv;

	return e->rx_fd ? rte_eth_dev_rx_intr_ctl_q_get_fd(e->id, (uint16_t)q) : -1;
}

void ethdev_stats(struct port *p, unsigned q)
{
	const struct ethdev *e = p->priv;
	struct rte_eth_stats st;

	/* Devices count losses as a whole: they stand at queue 0. */
	if (q == 0 && rte_eth_stats_get(e->id, &st) == 0)
		p->stats[0].rx_lost = st.imissed + st.rx_nombuf;
}
