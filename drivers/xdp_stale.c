/* xdp_stale.c - takes off an interface the steering program that a killed process left there. A
 * program that is not ours is left alone. Before the walk, when an af_xdp port is opened. */
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "drivers/steer.h"
#include "drivers/xdp_stale.h"

struct link_request {
	struct nlmsghdr h;
	struct ifinfomsg info;
	struct rtattr xdp;
	struct rtattr fd;
	int32_t fd_value;
};

static int link_socket(void)
{
	struct timeval wait = {.tv_sec = 2};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	return fd;
}

static const struct rtattr *attr_find(const struct rtattr *at, int len, unsigned short type)
{
	for (; RTA_OK(at, len); at = RTA_NEXT(at, len))
		if ((at->rta_type & NLA_TYPE_MASK) == type)
			return at;
	return NULL;
}

/* The id in an RTM_NEWLINK, or 0. */
static uint32_t prog_id_in(struct nlmsghdr *h, size_t got)
{
	const struct rtattr *xdp, *id;
	struct ifinfomsg *info = NLMSG_DATA(h);
	uint32_t v;

	if (!NLMSG_OK(h, (unsigned)got) || h->nlmsg_type != RTM_NEWLINK)
		return 0;
	xdp = attr_find(IFLA_RTA(info), (int)(h->nlmsg_len - NLMSG_LENGTH(sizeof(*info))),
			IFLA_XDP);
	id = xdp ? attr_find(RTA_DATA(xdp), (int)RTA_PAYLOAD(xdp), IFLA_XDP_PROG_ID) : NULL;
	if (!id || RTA_PAYLOAD(id) < sizeof(v))
		return 0;
	memcpy(&v, RTA_DATA(id), sizeof(v));
	return v;
}

static uint32_t attached_prog(int fd, unsigned ifindex)
{
	struct {
		struct nlmsghdr h;
		struct ifinfomsg info;
	} req = {.h = {sizeof(req), RTM_GETLINK, NLM_F_REQUEST, 1, 0},
		 .info = {.ifi_family = AF_UNSPEC, .ifi_index = (int)ifindex}};
	static _Alignas(8) char buf[32768];
	ssize_t got;

	if (send(fd, &req, sizeof(req), 0) != (ssize_t)sizeof(req))
		return 0;
	got = recv(fd, buf, sizeof(buf), 0);
	return got > 0 ? prog_id_in((void *)buf, (size_t)got) : 0;
}

static bool prog_is_ours(uint32_t id)
{
	union bpf_attr a = {.prog_id = id};
	struct bpf_prog_info info = {0};
	int fd = (int)syscall(SYS_bpf, BPF_PROG_GET_FD_BY_ID, &a, sizeof(a)), rc;

	if (fd < 0)
		return false;
	memset(&a, 0, sizeof(a));
	a.info.bpf_fd = (uint32_t)fd;
	a.info.info_len = sizeof(info);
	a.info.info = (uint64_t)(uintptr_t)&info;
	rc = (int)syscall(SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &a, sizeof(a));
	close(fd);
	return rc == 0 && !strncmp(info.name, STEER_NAME, BPF_OBJ_NAME_LEN);
}

static bool detach(int fd, unsigned ifindex)
{
	struct link_request req = {
		.h = {sizeof(req), RTM_SETLINK, NLM_F_REQUEST | NLM_F_ACK, 2, 0},
		.info = {.ifi_family = AF_UNSPEC, .ifi_index = (int)ifindex},
		.xdp = {2 * sizeof(struct rtattr) + sizeof(int32_t), NLA_F_NESTED | IFLA_XDP},
		.fd = {sizeof(struct rtattr) + sizeof(int32_t), IFLA_XDP_FD},
		.fd_value = -1,
	};
	_Alignas(8) char buf[1024];
	struct nlmsghdr *h = (void *)buf;
	struct nlmsgerr *e = NLMSG_DATA(h);
	ssize_t got;

	if (send(fd, &req, sizeof(req), 0) != (ssize_t)sizeof(req))
		return false;
	got = recv(fd, buf, sizeof(buf), 0);
	return got >= (ssize_t)NLMSG_LENGTH(sizeof(*e)) && h->nlmsg_type == NLMSG_ERROR &&
	       !e->error;
}

enum xdp_found xdp_stale_detach(const char *ifname)
{
	unsigned ifindex = if_nametoindex(ifname);
	enum xdp_found found = XDP_NONE;
	int fd = ifindex ? link_socket() : -1;
	uint32_t id;

	if (fd < 0)
		return XDP_NONE;
	id = attached_prog(fd, ifindex);
	if (id)
		found = prog_is_ours(id) && detach(fd, ifindex) ? XDP_DETACHED : XDP_FOREIGN;
	close(fd);
	return found;
}
