/* kernel.c - what the kernel knows about an interface: MAC, MTU, addresses, neighbours. Read when a
 * port is opened or checked, never on the walk. */
#include <errno.h>
#include <ifaddrs.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "drivers/internal.h"

static int ask(int fd, const char *ifname, unsigned long what, struct ifreq *r)
{
	memset(r, 0, sizeof(*r));
	snprintf(r->ifr_name, IFNAMSIZ, "%.15s", ifname);
	return ioctl(fd, what, r);
}

static int read_if(int fd, const char *ifname, uint8_t mac[6], unsigned *mtu, char *err)
{
	struct ifreq r;

	if (ask(fd, ifname, SIOCGIFHWADDR, &r) < 0)
		return port_fail(
			err, "DataplanePort: interface %s: %s; see `ip link` for those there are",
			ifname, strerror(errno));
	if (r.ifr_hwaddr.sa_family != ARPHRD_ETHER)
		return port_fail(err,
				 "DataplanePort: interface %s is not Ethernet; use one that is",
				 ifname);
	memcpy(mac, r.ifr_hwaddr.sa_data, 6);
	if (ask(fd, ifname, SIOCGIFMTU, &r) < 0)
		return port_fail(err, "DataplanePort: MTU of %s: %s", ifname, strerror(errno));
	*mtu = (unsigned)r.ifr_mtu;
	if (ask(fd, ifname, SIOCGIFFLAGS, &r) < 0 || !(r.ifr_flags & IFF_UP))
		return port_fail(err, "DataplanePort: interface %s is down; `ip link set %s up`",
				 ifname, ifname);
	return 0;
}

int port_kernel_if(const char *ifname, uint8_t mac[6], unsigned *mtu, char *err)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), rc;

	if (fd < 0)
		return port_fail(err, "cannot ask the kernel for interfaces: %s", strerror(errno));
	rc = read_if(fd, ifname, mac, mtu, err);
	close(fd);
	return rc;
}

static bool same_ip(const struct sockaddr *sa, const struct port_addr *a)
{
	if (!sa)
		return false;
	if (a->family == 4)
		return sa->sa_family == AF_INET &&
		       !memcmp(&((const struct sockaddr_in *)(const void *)sa)->sin_addr, a->ip, 4);
	return sa->sa_family == AF_INET6 &&
	       !memcmp(&((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, a->ip, 16);
}

int port_kernel_has_address(const char *ifname, const struct port_addr *a)
{
	struct ifaddrs *all;
	int found = 0;

	if (getifaddrs(&all) < 0)
		return -1;
	for (const struct ifaddrs *i = all; i; i = i->ifa_next)
		if (!strcmp(i->ifa_name, ifname) && same_ip(i->ifa_addr, a))
			found = 1;
	freeifaddrs(all);
	return found;
}

static int neigh_ask(int fd, unsigned ifindex, unsigned family)
{
	struct {
		struct nlmsghdr h;
		struct ndmsg n;
	} req = {
		.h = {sizeof(req), RTM_GETNEIGH, NLM_F_REQUEST | NLM_F_DUMP, 1, 0},
		.n = {.ndm_family = family == 4 ? AF_INET : AF_INET6, .ndm_ifindex = (int)ifindex},
	};

	return send(fd, &req, sizeof(req), 0) == (ssize_t)sizeof(req) ? 0 : -1;
}

/* One answer: 0 when it is about a, whose MAC it then holds. */
static int neigh_read(struct nlmsghdr *h, unsigned ifindex, const struct port_addr *a,
		      uint8_t mac[6])
{
	struct ndmsg *n = NLMSG_DATA(h);
	struct rtattr *at = (struct rtattr *)(void *)((char *)n + NLMSG_ALIGN(sizeof(*n)));
	int len = (int)h->nlmsg_len - (int)NLMSG_SPACE(sizeof(*n));
	const void *dst = NULL, *lladdr = NULL;
	size_t ip_len = a->family == 4 ? 4 : 16;

	if ((unsigned)n->ndm_ifindex != ifindex ||
	    n->ndm_state & (NUD_FAILED | NUD_INCOMPLETE | NUD_NONE))
		return -1;
	for (; RTA_OK(at, len); at = RTA_NEXT(at, len)) {
		if (at->rta_type == NDA_DST && RTA_PAYLOAD(at) == ip_len)
			dst = RTA_DATA(at);
		if (at->rta_type == NDA_LLADDR && RTA_PAYLOAD(at) == 6)
			lladdr = RTA_DATA(at);
	}
	if (!dst || !lladdr || memcmp(dst, a->ip, ip_len))
		return -1;
	memcpy(mac, lladdr, 6);
	return 0;
}

static int neigh_find(int fd, unsigned ifindex, const struct port_addr *a, uint8_t mac[6])
{
	_Alignas(8) char buf[16384];
	int found = -1;

	for (;;) {
		ssize_t got = recv(fd, buf, sizeof(buf), 0);
		unsigned len = got > 0 ? (unsigned)got : 0;

		if (!len)
			return -1;
		for (struct nlmsghdr *h = (void *)buf; NLMSG_OK(h, len); h = NLMSG_NEXT(h, len)) {
			if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR)
				return found;
			if (h->nlmsg_type == RTM_NEWNEIGH && neigh_read(h, ifindex, a, mac) == 0)
				found = 0;
		}
	}
}

int port_kernel_neighbour(const char *ifname, const struct port_addr *a, uint8_t mac[6])
{
	unsigned ifindex = if_nametoindex(ifname);
	int fd = ifindex ? socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE) : -1;
	int rc = -1;

	if (fd < 0)
		return -1;
	if (neigh_ask(fd, ifindex, a->family) == 0)
		rc = neigh_find(fd, ifindex, a, mac);
	close(fd);
	return rc;
}
