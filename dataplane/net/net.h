/* net.h - frames: checks them, answers ARP, neighbour discovery and echo, resolves next hops. It
 * stands between the port and tcp. One struct net per worker, used by that worker alone.
 *
 * A turn of the worker calls:
 *	n = port_rx(m); net_in(m, n, rx);  tcp_in(rx->segs); rx->hints to tcp;
 *	rx->learned to the mesh;
 *	... rooms above ...
 *	tcp_out(tx, net_room()); net_out(tx); net_tick(rx);
 *	n = net_ready(&m); net_sent(port_tx(m, n)); then the received mbufs are freed.
 *
 * The addresses are ours alone. Fragments are dropped; IP options and IPv6 hop-by-hop or
 * destination options are skipped. */
#ifndef RAMSON_NET_H
#define RAMSON_NET_H

#include "dataplane/base/base.h"
#include "dataplane/wire/seg.h"

struct rte_mempool;
struct net;

#define NET_VEC	     64	 /* frames in one net_in at most */
#define NET_ADDRS    32	 /* own addresses at most */
#define NET_READY    512 /* frames that wait for the port at most */
#define NET_HEADROOM 64	 /* free bytes net_out needs before the TCP header */

struct net_prefix {
	struct addr ip; /* port is 0 */
	uint8_t prefix; /* bits */
};

struct net_config {
	uint8_t mac[6];
	uint16_t mtu; /* of IP */
	bool tx_csum; /* the port computes TCP checksums */
	bool tso;     /* the port cuts */
	/* An address is shared with the kernel (af_xdp), which gets the answers to our questions:
	 * neighbours are learned from the frames they send, the gateways' MACs must be set. */
	bool shared;
	unsigned n_addrs;
	struct net_prefix addrs[NET_ADDRS];
	struct addr gateway4, gateway6; /* family 0: none; gateway6 may be link-local */
	/* Known for good (a shared address gets no answers); all-zero: ask. */
	uint8_t gateway4_mac[6], gateway6_mac[6];
	struct rte_mempool *pool; /* for frames of net's own; data room at least 1664 + headroom */
	uint8_t seed[32];
	struct counts *counts;
};

/* Reads "192.0.2.7/24" or "2001:db8::7/64" (DataplaneAddress). 0 or ERR_MALFORMED: not an address,
 * prefix missing or too long, or an address no host can have. */
int net_prefix_parse(struct net_prefix *p, const char *text);
/* What is wrong with the set (no gateway is fine), as a static sentence that names the setting, or
 * NULL: nothing. */
const char *net_config_bad(const struct net_config *config);

/* NULL when memory is short. The config must be good and is copied. */
struct net *net_init(const struct net_config *config);
/* Frees the frames it still holds. */
void net_fini(struct net *net);
/* Tells the link who has our addresses now (ARP announcement, unsolicited neighbour advertisement)
 * and joins the multicast groups (MLD). One worker calls it once, when the port is up. */
void net_announce(struct net *net, uint64_t now_us);

/* ---- in ---- */
enum net_hint_kind {
	NET_TOO_BIG,	  /* mtu: largest IP packet that passes */
	NET_UNREACHABLE,  /* ICMP: the host, network, protocol or port */
	NET_NO_NEIGHBOUR, /* our own: the next hop does not answer */
};
/* About a segment that we sent. Quoted by a stranger unless NET_NO_NEIGHBOUR: tcp checks seq. */
struct net_hint {
	enum net_hint_kind kind;
	struct addr local, remote;
	uint32_t seq;
	uint32_t mtu; /* NET_TOO_BIG */
};
/* A neighbour that spoke. On a port with many queues the answers to a worker's questions land at
 * queue 0: it passes these to every other worker, for net_learn. */
struct net_neigh {
	struct addr ip; /* port is 0 */
	uint8_t mac[6];
	bool asked_us; /* it asked for us: worth an entry of its own */
};
struct net_rx {
	unsigned n_segs, n_hints, n_learned;
	struct tcp_seg segs[NET_VEC];
	struct net_hint hints[NET_VEC];
	struct net_neigh learned[NET_VEC];
};
/* Sorts n (at most NET_VEC) frames: TCP to us into rx->segs, which point into m; ICMP about our
 * segments into rx->hints; answers of net's own join the ready frames. The caller frees all of m
 * when the segments are used up. rx is emptied first. */
void net_in(struct net *net, struct rte_mbuf **m, unsigned n, uint64_t now_us, struct net_rx *rx);
/* What another worker heard. */
void net_learn(struct net *net, const struct net_neigh *n, unsigned k, uint64_t now_us);

/* ---- out ---- */
/* How many segments net_out takes now. */
unsigned net_room(const struct net *net);
/* Wraps up to net_room() segments and puts them among the ready frames, or aside until the next hop
 * answers. Returns how many were taken (theirs is now net's, also when dropped and counted); the
 * rest remain the caller's. */
unsigned net_out(struct net *net, const struct tcp_tx *tx, unsigned n, uint64_t now_us);
/* Runs what is due: questions again, neighbours given up (rx->hints, which is emptied first). When
 * it must run next (UINT64_MAX: not before something happens). */
uint64_t net_tick(struct net *net, uint64_t now_us, struct net_rx *rx);
/* The ready frames, oldest first; they stay net's until net_sent says how many the port took. */
unsigned net_ready(struct net *net, struct rte_mbuf ***m);
void net_sent(struct net *net, unsigned n);

/* Whether the address is one of ours (exit policy and steering ask too). */
bool net_is_ours(const struct net *net, const struct addr *a);
/* Our address from which to speak to remote: on-link first, else the first of its family. False
 * when there is none. */
bool net_source(const struct net *net, const struct addr *remote, struct addr *local);

#endif
