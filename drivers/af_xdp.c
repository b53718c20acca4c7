/* af_xdp.c - the kind that leaves the interface to the kernel: DPDK's AF_XDP driver with our own
 * steering program, which takes what is for the relay's addresses. */
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_ethdev.h>

#include "drivers/ethdev.h"
#include "drivers/steer.h"
#include "drivers/xdp_stale.h"

#define XDP_MTU_MAX 3498 /* a frame and its headroom must fit in one page */

#ifdef HAVE_STEER
#include "steer_object.h" /* steer_object[]: steer.bpf.c compiled */
#else
static const unsigned char steer_object[] = {0};
#endif

static void config_fill(struct steer_config *c, const struct port_config *config)
{
	memset(c, 0, sizeof(*c));
	memcpy(c->magic, STEER_MAGIC, sizeof(STEER_MAGIC));
	c->n_addrs = config->n_addrs;
	c->n_ranges = config->n_ranges;
	for (unsigned i = 0; i < config->n_addrs; i++) {
		memcpy(c->addrs[i].ip, config->addrs[i].ip, config->addrs[i].family == 4 ? 4 : 16);
		c->addrs[i].family = config->addrs[i].family;
		c->addrs[i].shared = config->addrs[i].shared;
	}
	for (unsigned i = 0; i < config->n_ranges; i++)
		c->ranges[i] = (struct steer_range) {config->ranges[i].lo, config->ranges[i].hi};
}

/* A memory file with the object, the addresses written into it; -1 and errno. */
static int object_make(const struct port_config *config)
{
	unsigned char *object = malloc(sizeof(steer_object)), *at;
	struct steer_config c;
	int fd = -1;

	config_fill(&c, config);
	if (!object)
		return -1;
	memcpy(object, steer_object, sizeof(steer_object));
	at = memmem(object, sizeof(steer_object), STEER_MAGIC, sizeof(STEER_MAGIC));
	if (at && at + sizeof(c) <= object + sizeof(steer_object)) {
		memcpy(at, &c, sizeof(c));
		fd = memfd_create("steer", MFD_CLOEXEC);
	} else {
		errno = EINVAL;
	}
	if (fd >= 0 && write(fd, object, sizeof(steer_object)) != (ssize_t)sizeof(steer_object)) {
		close(fd);
		fd = -1;
	}
	free(object);
	return fd;
}

/* How many receive queues the device spreads frames over; those behind the first go past us. */
static unsigned device_queues(const char *ifname)
{
	struct ethtool_channels ch = {.cmd = ETHTOOL_GCHANNELS};
	struct ifreq r = {.ifr_data = (void *)&ch};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), rc;

	snprintf(r.ifr_name, IFNAMSIZ, "%.15s", ifname);
	rc = fd >= 0 ? ioctl(fd, SIOCETHTOOL, &r) : -1;
	if (fd >= 0)
		close(fd);
	return rc < 0 ? 1 : ch.combined_count + ch.rx_count;
}

static int suits(const struct port *p, const char *args, unsigned mtu,
		 const struct port_config *config, char *err)
{
	if (sizeof(steer_object) == 1)
		return port_fail(
			err, "DataplanePort af_xdp: built without its steering program; install "
			     "clang and libbpf-dev and build again");
	if (!config->n_addrs || config->n_addrs > STEER_ADDRS || config->n_ranges > STEER_RANGES)
		return port_fail(err,
				 "DataplaneAddress: af_xdp:%s needs 1 to %d addresses to steer by",
				 p->name, STEER_ADDRS);
	if (mtu > XDP_MTU_MAX)
		return port_fail(err,
				 "DataplanePort af_xdp:%s: its MTU is %u, at most %u works; "
				 "`ip link set %s mtu 1500`",
				 p->name, mtu, XDP_MTU_MAX, args);
	if (device_queues(args) > 1)
		return port_fail(err,
				 "DataplanePort af_xdp:%s: it receives on %u queues, of which only "
				 "one can be ours; `ethtool -L %s combined 1`",
				 p->name, device_queues(args), args);
	return 0;
}

static int xdp_start(struct port *p, const char *ifname, const struct ethdev_opts *opts,
		     const struct port_config *config, char *err)
{
	int object = object_make(config), rc = -1;
	char devargs[128];
	uint16_t id;

	if (object < 0)
		return port_fail(err, "DataplanePort af_xdp:%s: its steering program: %s", p->name,
				 strerror(errno));
	/* Without a budget of busy polls an idle turn costs no system call. */
	snprintf(devargs, sizeof(devargs),
		 "iface=%s,start_queue=0,queue_count=1,busy_budget=0,xdp_prog=/proc/self/fd/%d",
		 ifname, object);
	/* libxdp's dispatcher would hide our program's name, and need a file system of its own. */
	setenv("LIBXDP_SKIP_DISPATCHER", "1", 1);
	if (ethdev_create(p, "net_af_xdp", devargs, &id, err) == 0)
		rc = ethdev_start(p, id, opts, config, err);
	close(object);
	return rc;
}

static int xdp_open(struct port *p, const char *args, const struct port_config *config, char *err)
{
	struct ethdev_opts opts = {0};
	uint8_t mac[6];

	if (strlen(args) >= IFNAMSIZ)
		return port_fail(err, "DataplanePort af_xdp:%.40s: not the name of an interface",
				 args);
	if (port_kernel_if(args, mac, &opts.mtu, err) < 0 ||
	    suits(p, args, opts.mtu, config, err) < 0)
		return -1;
	opts.mac = mac;
	switch (xdp_stale_detach(args)) {
	case XDP_FOREIGN:
		return port_fail(err,
				 "DataplanePort af_xdp:%s: another XDP program is on it; if nobody "
				 "needs it, `ip link set %s xdp off`",
				 p->name, args);
	case XDP_DETACHED:
		snprintf(p->note, sizeof(p->note),
			 "took a steering program off %s that a process "
			 "before this one left there",
			 args);
		break;
	case XDP_NONE:
		break;
	}
	if (xdp_start(p, args, &opts, config, err) < 0) {
		ethdev_close(p);
		return -1;
	}
	return 0;
}

const struct port_kind port_af_xdp = {
	.name = "af_xdp",
	.what = "a kernel interface shared with the kernel: frames to our addresses are ours",
	.args = "INTERFACE",
	.names_if = true,
	.open = xdp_open,
	.close = ethdev_close,
	.rx = ethdev_rx,
	.tx = ethdev_tx,
	.stats = ethdev_stats,
	.rx_mb = 40,
};
