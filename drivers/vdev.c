/* vdev.c - kinds that are DPDK's virtual devices: af_packet_pmd, tap, memif. */
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <rte_ethdev.h>

#include "drivers/ethdev.h"

/* ---- af_packet_pmd ---- */

#define PMD_FRAME_HEAD 66    /* tpacket header and Ethernet */
#define PMD_FRAME_MAX  32768 /* above, the driver's length check and the mbuf part company */

static int pmd_open(struct port *p, const char *args, const struct port_config *config, char *err)
{
	struct ethdev_opts opts = {0};
	unsigned frame = 2048, count = 4096;
	char devargs[160];
	uint8_t mac[6];
	uint16_t id;

	if (strlen(args) >= IFNAMSIZ)
		return port_fail(err,
				 "DataplanePort af_packet_pmd:%.40s: not the name of an interface",
				 args);
	if (port_kernel_if(args, mac, &opts.mtu, err) < 0)
		return -1;
	for (; frame < opts.mtu + PMD_FRAME_HEAD; frame *= 2)
		count = count > 512 ? count / 2 : count;
	if (frame > PMD_FRAME_MAX)
		return port_fail(err,
				 "DataplanePort af_packet_pmd:%s: its MTU is %u, at most %u works; "
				 "`ip link set %s mtu 9000`",
				 args, opts.mtu, PMD_FRAME_MAX - PMD_FRAME_HEAD, args);
	/* The frame must divide the block; the MTU is the interface's and not to be asked for. */
	snprintf(devargs, sizeof(devargs),
		 "iface=%s,blocksz=%u,framesz=%u,framecnt=%u,qdisc_bypass=1", args,
		 frame < 4096 ? 4096 : frame, frame, count);
	opts.room = frame;
	opts.mac = mac;
	if (ethdev_create(p, "net_af_packet", devargs, &id, err) < 0 ||
	    ethdev_start(p, id, &opts, config, err) < 0) {
		ethdev_close(p);
		return -1;
	}
	return 0;
}

const struct port_kind port_af_packet_pmd = {
	.name = "af_packet_pmd",
	.what = "a kernel interface through DPDK's own driver: no checksums, no superframes",
	.args = "INTERFACE",
	.names_if = true,
	.open = pmd_open,
	.close = ethdev_close,
	.rx = ethdev_rx,
	.tx = ethdev_tx,
	.stats = ethdev_stats,
	.rx_mb = 40,
};

/* ---- tap ---- */

static int tap_open(struct port *p, const char *args, const struct port_config *config, char *err)
{
	/* Its checksums and segments are made in software, for IPv4 only: net does as well. */
	struct ethdev_opts opts = {.rx_fd = true,
				   .tx_refused = (uint64_t)~RTE_ETH_TX_OFFLOAD_MULTI_SEGS};
	char devargs[64];
	uint16_t id;

	if (strlen(args) >= IFNAMSIZ || strpbrk(args, ",= "))
		return port_fail(err, "DataplanePort tap:%.40s: not a name for an interface", args);
	snprintf(devargs, sizeof(devargs), "iface=%s", args);
	if (ethdev_create(p, "net_tap", devargs, &id, err) < 0 ||
	    ethdev_start(p, id, &opts, config, err) < 0) {
		ethdev_close(p);
		return -1;
	}
	/* The device's MAC is the kernel's end; ours must be another one on that link. */
	p->mac[5] ^= 0x80;
	return 0;
}

const struct port_kind port_tap = {
	.name = "tap",
	.what = "a new interface of the kernel, whose other end is ours",
	.args = "NAME",
	.open = tap_open,
	.close = ethdev_close,
	.rx = ethdev_rx,
	.tx = ethdev_tx,
	.fd = ethdev_fd,
	.stats = ethdev_stats,
	.rx_mb = 16,
};

/* ---- memif ---- */

#define MEMIF_MTU   1500
#define MEMIF_BSIZE 2048 /* never below a frame: longer ones arrive glued together */
/* Of a longer burst the driver takes four frames at a time without a look at what the ring still
 * holds, and with chains of lent memory runs over its end. */
#define MEMIF_LENT_BURST 4

struct memif_args {
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	bool server, zero_copy;
};

/* SOCKET[,server|,zero-copy]: only the client can lend its own memory. */
static bool memif_parse(struct memif_args *a, const char *args)
{
	size_t len = strcspn(args, ",");
	const char *how = args + len;

	*a = (struct memif_args) {.server = !strcmp(how, ",server"),
				  .zero_copy = !strcmp(how, MEMIF_ZERO_COPY)};
	if (!len || len >= sizeof(a->path) || (*how && !a->server && !a->zero_copy))
		return false;
	memcpy(a->path, args, len);
	return true;
}

static int memif_open(struct port *p, const char *args, const struct port_config *config, char *err)
{
	struct ethdev_opts opts = {.mtu = MEMIF_MTU, .room = MEMIF_BSIZE};
	struct memif_args a;
	char devargs[256];
	struct stat st;
	uint16_t id;

	if (!memif_parse(&a, args))
		return port_fail(
			err,
			"DataplanePort memif:%.60s: write memif:SOCKET, memif:SOCKET,server "
			"or memif:SOCKET,zero-copy",
			args);
	opts.tx_burst = a.zero_copy ? MEMIF_LENT_BURST : 0;
	/* A socket that a dead server left behind would make this one fail. */
	if (a.server && lstat(a.path, &st) == 0 && S_ISSOCK(st.st_mode))
		unlink(a.path);
	snprintf(devargs, sizeof(devargs),
		 "role=%s,socket=%s,socket-abstract=no,bsize=%u,rsize=9%s",
		 a.server ? "server" : "client", a.path, MEMIF_BSIZE,
		 a.zero_copy ? ",zero-copy=yes" : "");
	if (ethdev_create(p, "net_memif", devargs, &id, err) < 0 ||
	    ethdev_start(p, id, &opts, config, err) < 0) {
		ethdev_close(p);
		return -1;
	}
	return 0;
}

const struct port_kind port_memif = {
	.name = "memif",
	.what = "shared memory with another process, past the kernel",
	.args = "SOCKET[,server|,zero-copy]",
	.open = memif_open,
	.close = ethdev_close,
	.rx = ethdev_rx,
	.tx = ethdev_tx,
	.stats = ethdev_stats,
	.rx_mb = 16,
};
