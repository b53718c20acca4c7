/* steer.bpf.c - runs in the kernel for every frame of an af_xdp port's interface: what is for the
 * relay's own addresses goes to our socket, all else to the kernel as ever. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "drivers/steer.h"

/* DPDK's driver looks for a map of this name and puts its socket in at the queue's number. */
struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u32);
} xsks_map SEC(".maps");

const volatile struct steer_config steer = {.magic = STEER_MAGIC};

enum { TCP = 6, ICMP = 1, ICMP6 = 58, ND_SOLICIT = 135 };

struct ip4 {
	__u8 version_ihl, tos;
	__be16 len, id, frag;
	__u8 ttl, proto;
	__be16 sum;
	__be32 src, dst;
};
struct ip6 {
	__be32 flow;
	__be16 len;
	__u8 next, hops;
	__be32 src[4], dst[4];
};
struct ports {
	__be16 src, dst;
};
struct arp {
	__u8 fixed[8], sender_mac[6], sender[4], target_mac[6];
	__be16 target[2]; /* not aligned to four */
};

enum { NOT_OURS, OURS, SHARED };

static __always_inline int whose4(__be32 ip)
{
	for (int i = 0; i < STEER_ADDRS; i++) {
		if (i >= steer.n_addrs)
			break;
		if (steer.addrs[i].family == 4 && steer.addrs[i].ip[0] == ip)
			return steer.addrs[i].shared ? SHARED : OURS;
	}
	return NOT_OURS;
}

static __always_inline int whose6(const __be32 *ip)
{
	for (int i = 0; i < STEER_ADDRS; i++) {
		if (i >= steer.n_addrs)
			break;
		if (steer.addrs[i].family == 6 && steer.addrs[i].ip[0] == ip[0] &&
		    steer.addrs[i].ip[1] == ip[1] && steer.addrs[i].ip[2] == ip[2] &&
		    steer.addrs[i].ip[3] == ip[3])
			return steer.addrs[i].shared ? SHARED : OURS;
	}
	return NOT_OURS;
}

static __always_inline int port_is_ours(__be16 port)
{
	__u16 p = bpf_ntohs(port);

	for (int i = 0; i < STEER_RANGES; i++) {
		if (i >= steer.n_ranges)
			break;
		if (p >= steer.ranges[i].lo && p <= steer.ranges[i].hi)
			return 1;
	}
	return 0;
}

/* Of a shared address: TCP to our ports, and errors that quote TCP from our ports. */
static __always_inline int shared_is_ours(__u8 proto, void *body, void *end, __u32 quoted_ip)
{
	struct ports *p = body;

	if (proto == ICMP || proto == ICMP6) {
		__u8 *type = body;

		if (type + 1 > (__u8 *)end)
			return 0;
		if (proto == ICMP ? *type != 3 : (*type != 1 && *type != 2))
			return 0;
		p = body + 8 + quoted_ip;
		if ((void *)(p + 1) > end)
			return 0;
		return port_is_ours(p->src);
	}
	if (proto != TCP || (void *)(p + 1) > end)
		return 0;
	return port_is_ours(p->dst);
}

static __always_inline int arp_is_ours(void *body, void *end)
{
	struct arp *a = body;
	__be32 target;

	if ((void *)(a + 1) > end)
		return 0;
	__builtin_memcpy(&target, a->target, 4);
	return whose4(target) == OURS;
}

static __always_inline int ip4_is_ours(void *body, void *end)
{
	struct ip4 *h = body;
	int whose;

	if ((void *)(h + 1) > end)
		return 0;
	whose = whose4(h->dst);
	if (whose != SHARED)
		return whose == OURS;
	if (h->version_ihl != 0x45 || h->frag & bpf_htons(0x3fff))
		return 0;
	return shared_is_ours(h->proto, h + 1, end, sizeof(struct ip4));
}

/* A solicitation for an address of ours comes to a group. */
static __always_inline int solicits_us(struct ip6 *h, void *end)
{
	__u8 *icmp = (void *)(h + 1);
	__be32 target[4];

	if (icmp + 24 > (__u8 *)end || h->next != ICMP6 || icmp[0] != ND_SOLICIT)
		return 0;
	__builtin_memcpy(target, icmp + 8, 16);
	return whose6(target) == OURS;
}

static __always_inline int ip6_is_ours(void *body, void *end)
{
	struct ip6 *h = body;
	int whose;

	if ((void *)(h + 1) > end)
		return 0;
	if ((h->dst[0] & bpf_htonl(0xff000000)) == bpf_htonl(0xff000000))
		return solicits_us(h, end);
	whose = whose6(h->dst);
	if (whose != SHARED)
		return whose == OURS;
	return shared_is_ours(h->next, h + 1, end, sizeof(struct ip6));
}

SEC("xdp")
int ramson_steer(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;
	int ours = 0;

	if ((void *)(eth + 1) > end)
		return XDP_PASS;
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		ours = ip4_is_ours(eth + 1, end);
	else if (eth->h_proto == bpf_htons(ETH_P_IPV6))
		ours = ip6_is_ours(eth + 1, end);
	else if (eth->h_proto == bpf_htons(ETH_P_ARP))
		ours = arp_is_ours(eth + 1, end);
	return ours ? bpf_redirect_map(&xsks_map, ctx->rx_queue_index, XDP_PASS) : XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
