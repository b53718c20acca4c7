/* af_packet.c - the default kind: an AF_PACKET socket per worker on a kernel interface, with
 * virtio_net_hdr and a TPACKET_V2 ring. This file opens it; af_packet_io.c moves frames. */
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "drivers/af_packet.h"

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

#define AFP_FRAMES  960u      /* rx ring of one queue: 64 MiB of the kernel's memory */
#define AFP_SOCKBUF (8 << 20) /* what may wait below us on the way out */

static int set_int(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value));
}

/* Whether the device itself cuts TCP superframes: only then may they pass the qdisc by. */
static bool device_has_tso(int fd, const char *ifname)
{
	struct ethtool_value v = {.cmd = ETHTOOL_GTSO};
	struct ifreq r = {.ifr_data = (void *)&v};

	snprintf(r.ifr_name, IFNAMSIZ, "%.15s", ifname);
	return ioctl(fd, SIOCETHTOOL, &r) == 0 && v.data;
}

static int ring_map(struct afp_queue *q, uint32_t frames)
{
	uint32_t blocks = (frames + AFP_PER_BLK - 1) / AFP_PER_BLK;
	struct tpacket_req req = {
		.tp_block_size = AFP_BLOCK,
		.tp_block_nr = blocks,
		.tp_frame_size = AFP_FRAME,
		.tp_frame_nr = blocks * AFP_PER_BLK,
	};

	if (setsockopt(q->fd, SOL_PACKET, PACKET_RX_RING, &req, sizeof(req)) < 0)
		return -1;
	q->n_frames = req.tp_frame_nr;
	q->ring = mmap(NULL, (size_t)blocks * AFP_BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED, q->fd,
		       0);
	if (q->ring == MAP_FAILED) {
		q->ring = NULL;
		return -1;
	}
	q->frames = calloc(q->n_frames, sizeof(*q->frames));
	if (!q->frames)
		return -1;
	for (uint32_t i = 0; i < q->n_frames; i++)
		q->frames[i].hdr = (void *)(q->ring + (size_t)(i / AFP_PER_BLK) * AFP_BLOCK +
					    (size_t)(i % AFP_PER_BLK) * AFP_FRAME);
	return 0;
}

static int socket_bind(int fd, unsigned ifindex)
{
	struct sockaddr_ll sa = {.sll_family = AF_PACKET,
				 .sll_protocol = htons(ETH_P_ALL),
				 .sll_ifindex = (int)ifindex};
	struct packet_mreq all = {.mr_ifindex = (int)ifindex, .mr_type = PACKET_MR_ALLMULTI};

	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -1;
	/* Neighbour solicitations come by multicast. A device that cannot filter lets them in. */
	(void)setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof(all));
	return 0;
}

/* The step that failed, for the message; NULL when all went well. What is only a matter of speed
 * may fail silently. */
static const char *queue_setup(struct afp_queue *q, const char *ifname, uint32_t frames)
{
	if (set_int(q->fd, SOL_PACKET, PACKET_VERSION, TPACKET_V2) < 0)
		return "TPACKET_V2";
	if (set_int(q->fd, SOL_PACKET, PACKET_VNET_HDR, 1) < 0)
		return "PACKET_VNET_HDR";
	if (set_int(q->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1) < 0)
		return "PACKET_IGNORE_OUTGOING";
	q->bypass = device_has_tso(q->fd, ifname) &&
		    set_int(q->fd, SOL_PACKET, PACKET_QDISC_BYPASS, 1) == 0;
	if (set_int(q->fd, SOL_SOCKET, SO_SNDBUFFORCE, AFP_SOCKBUF) < 0)
		(void)set_int(q->fd, SOL_SOCKET, SO_SNDBUF, AFP_SOCKBUF);
	if (set_int(q->fd, SOL_SOCKET, SO_RCVBUFFORCE, AFP_SOCKBUF) < 0)
		(void)set_int(q->fd, SOL_SOCKET, SO_RCVBUF, AFP_SOCKBUF);
	if (ring_map(q, frames) < 0)
		return "its receive ring";
	if (socket_bind(q->fd, if_nametoindex(ifname)) < 0)
		return "bind";
	return NULL;
}

static void queue_close(struct afp_queue *q)
{
	if (!q)
		return;
	if (q->ring)
		munmap(q->ring, (size_t)q->n_frames / AFP_PER_BLK * AFP_BLOCK);
	if (q->fd >= 0)
		close(q->fd);
	free(q->frames);
	free(q);
}

/* All sockets of the port become one group that shares out what arrives by our program. */
static int fanout_join(struct afp *a, unsigned n)
{
	int type = PACKET_FANOUT_CBPF | PACKET_FANOUT_FLAG_UNIQUEID << 8,
	    arg = (int)((unsigned)type << 16);
	struct sock_filter prog[FLOW_PROGRAM_MAX];
	struct sock_fprog fprog = {.filter = prog};
	socklen_t len = sizeof(arg);

	for (unsigned q = 0; q < n; q++) {
		if (set_int(a->q[q]->fd, SOL_PACKET, PACKET_FANOUT, arg) < 0)
			return -1;
		if (q == 0 && getsockopt(a->q[0]->fd, SOL_PACKET, PACKET_FANOUT, &arg, &len) < 0)
			return -1;
		arg = (arg & 0xffff) | PACKET_FANOUT_CBPF << 16;
	}
	fprog.len = (unsigned short)flow_hash_program(&a->hash, prog);
	if (setsockopt(a->q[0]->fd, SOL_PACKET, PACKET_FANOUT_DATA, &fprog, sizeof(fprog)) < 0)
		return -1;
	/* Until now each socket took everything. */
	for (unsigned q = 0; q < n; q++)
		afp_drain(a->q[q]);
	return 0;
}

static void afp_close(struct port *p)
{
	struct afp *a = p->priv;

	for (unsigned q = 0; a && q < PORT_QUEUES; q++)
		queue_close(a->q[q]);
	free(a);
	p->priv = NULL;
	port_pools_free(p);
}

/* 0; -1 with err: it will not work any other way either; 1 with err: DPDK's driver might do. */
static int queue_open(struct port *p, unsigned qi, const struct port_config *config, char *err)
{
	uint32_t frames =
		config->rx_frames ? config->rx_frames : AFP_FRAMES / p->n_queues + AFP_PER_BLK;
	struct afp_queue *q = calloc(1, sizeof(*q));
	const char *step;

	if (!q)
		return port_fail(err, "DataplanePort af_packet:%s: out of memory", p->name);
	((struct afp *)p->priv)->q[qi] = q;
	q->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (q->fd < 0)
		return port_fail(
			err, "DataplanePort af_packet:%s: %s; start as root or with CAP_NET_RAW",
			p->name, strerror(errno));
	step = queue_setup(q, p->name, frames);
	if (step) {
		port_fail(err, "af_packet:%s: the kernel refuses %s: %s", p->name, step,
			  strerror(errno));
		return 1;
	}
	return port_pool(p, qi, q->n_frames + 1024, AFP_COPY, config->numa, err);
}

static int afp_try(struct port *p, const struct port_config *config, char *err)
{
	struct afp *a = calloc(1, sizeof(*a));

	if (!a)
		return port_fail(err, "DataplanePort af_packet:%s: out of memory", p->name);
	p->priv = a;
	flow_hash_init(&a->hash, config->hash_key, p->n_queues);
	for (unsigned q = 0; q < p->n_queues; q++) {
		int rc = queue_open(p, q, config, err);

		if (rc)
			return rc;
	}
	if (p->n_queues > 1 && fanout_join(a, p->n_queues) < 0) {
		port_fail(err, "af_packet:%s: the kernel refuses PACKET_FANOUT: %s", p->name,
			  strerror(errno));
		return 1;
	}
	p->caps = PORT_RX_CSUM | PORT_TX_CSUM | PORT_QUEUE_OF;
	p->tso_max = AFP_TSO_MAX;
	p->tx_segs = AFP_TX_SEGS;
	return 0;
}

/* DPDK's driver: no checksums, no superframes, one queue. */
static int fall_back(struct port *p, const char *args, const struct port_config *config, char *err)
{
	char why[PORT_ERR];

	snprintf(why, sizeof(why), "%s", err);
	p->kind = &port_af_packet_pmd;
	p->n_queues = 1;
	if (p->kind->open(p, args, config, err) < 0)
		return -1;
	snprintf(p->note, sizeof(p->note), "%.180s; using DPDK's af_packet, which is slower", why);
	return 0;
}

static int afp_open(struct port *p, const char *args, const struct port_config *config, char *err)
{
	unsigned mtu;
	int rc;

	if (strlen(args) >= IFNAMSIZ)
		return port_fail(err, "DataplanePort af_packet:%.40s: not the name of an interface",
				 args);
	if (port_kernel_if(args, p->mac, &mtu, err) < 0)
		return -1;
	p->mtu = (uint16_t)(mtu > 65535 ? 65535 : mtu);
	rc = afp_try(p, config, err);
	if (rc)
		afp_close(p);
	return rc > 0 ? fall_back(p, args, config, err) : rc;
}

static int afp_queue_of(const struct port *p, const struct port_tuple *t)
{
	return (int)flow_hash_of(&((const struct afp *)p->priv)->hash, t);
}

static int afp_fd(const struct port *p, unsigned q)
{
	return ((const struct afp *)p->priv)->q[q]->fd;
}

static void afp_stats(struct port *p, unsigned q)
{
	struct tpacket_stats st; /* the kernel zeroes its own at each reading */
	socklen_t len = sizeof(st);
	int gone;

	if (getsockopt(afp_fd(p, q), SOL_PACKET, PACKET_STATISTICS, &st, &len) == 0)
		p->stats[q].rx_lost += st.tp_drops;
	/* An interface that was down for a while leaves an error, and poll() would never sleep. */
	len = sizeof(gone);
	(void)getsockopt(afp_fd(p, q), SOL_SOCKET, SO_ERROR, &gone, &len);
}

const struct port_kind port_af_packet = {
	.name = "af_packet",
	.what = "a kernel interface, with checksums and 64 KB segments handed over",
	.args = "INTERFACE",
	.names_if = true,
	.open = afp_open,
	.close = afp_close,
	.rx = afp_rx,
	.tx = afp_tx,
	.queue_of = afp_queue_of,
	.fd = afp_fd,
	.stats = afp_stats,
	.rx_mb = 4,
};
