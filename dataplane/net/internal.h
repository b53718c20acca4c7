/* internal.h - the state of net and what its files say to each other. */
#ifndef RAMSON_NET_INTERNAL_H
#define RAMSON_NET_INTERNAL_H

#include <rte_mbuf.h>

#include "dataplane/net/net.h"
#include "dataplane/wire/ip_hdr.h"

#define NEIGH_SETS	256
#define NEIGH_WAYS	4
#define NEIGH_WAIT	16 /* frames that wait for one neighbour; the oldest goes first */
#define NEIGH_TRIES	3  /* RFC 4861 10: MAX_MULTICAST_SOLICIT, MAX_UNICAST_SOLICIT */
#define NEIGH_ASK_US	1000000ull
#define NEIGH_GOOD_US	30000000ull
#define READY_RESERVE	128 /* places among the ready frames kept for net's own */
#define ANSWER_SLICE_US 100000ull
#define ANSWERS_A_SLICE 200 /* echo replies and listener reports */
#define HOP_LIMIT	64
#define ND_HOP_LIMIT	255

enum neigh_state {
	NEIGH_NONE,
	NEIGH_ASKING,  /* no MAC yet; frames wait */
	NEIGH_GOOD,    /* the MAC was confirmed at seen_us */
	NEIGH_PROBING, /* the MAC is used while its owner is asked again */
	NEIGH_FIXED,   /* configured */
};
struct neigh {
	struct addr ip;
	uint8_t mac[ETH_MAC];
	uint8_t state, n_asked;
	uint8_t n_wait, gateway;
	uint64_t seen_us, used_us, due_us;
	struct rte_mbuf *wait[NEIGH_WAIT];
};

struct net {
	struct net_config config;
	struct counts *counts;
	struct addr link_local; /* ours, from the MAC (RFC 4291 2.5.1) */
	struct hash_key key;
	struct rng rng;
	uint16_t ip_id;
	uint64_t answers_from_us;
	unsigned n_answers; /* in this slice */
	unsigned n_ready;
	uint64_t next_due_us; /* of all neighbours */
	unsigned n_hints;
	struct net_hint hints[NET_VEC]; /* for the next net_tick */
	struct neigh gateways[2];
	struct neigh neighs[NEIGH_SETS][NEIGH_WAYS];
	struct rte_mbuf *ready[NET_READY];
};

/* What net_in knows of one frame. */
struct frame {
	struct rte_mbuf *m;
	const uint8_t *p; /* Ethernet header */
	uint32_t len;
	struct ip_hdr ip;
	const uint8_t *body; /* behind all IP headers */
	uint32_t body_len;
	uint64_t now_us;
};

/* net.c */
bool net_has(const struct net *net, const struct addr *a); /* ours, link-local included */
bool net_on_link(const struct net *net, const struct addr *a);

/* own.c: frames of net's own */
/* Room for one frame with len bytes behind its Ethernet header, which is written; NULL when no
 * buffer is free (counted). Fill it, then own_send. */
uint8_t *own_frame(struct net *net, struct rte_mbuf **m, const uint8_t dst[ETH_MAC], uint16_t type,
		   size_t len);
/* Puts a whole frame among the ready ones, or drops and counts it. */
void net_push(struct net *net, struct rte_mbuf *m);
/* An ICMP or ICMPv6 message whose checksum field is zero, in one packet. body has len bytes. */
void own_icmp(struct net *net, const uint8_t mac[ETH_MAC], const struct addr *src,
	      const struct addr *dst, uint8_t hop_limit, const uint8_t *body, size_t len);
/* True when one more answer to a stranger fits this slice of time. */
bool own_may_answer(struct net *net, uint64_t now_us);
void own_listener_report(struct net *net);

/* arp_in.c, icmp_in.c */
void arp_in(struct net *net, const struct frame *f, struct net_rx *rx);
void icmp_in(struct net *net, const struct frame *f, struct net_rx *rx);
void nd_in(struct net *net, const struct frame *f, struct net_rx *rx);

/* neigh.c */
/* The entry of an on-link address; made when absent and make is set, else NULL. NULL too when all
 * its places are taken by others with frames waiting (counted). */
struct neigh *neigh_get(struct net *net, const struct addr *ip, bool make, uint64_t now_us);
/* Takes m, a frame complete but for its destination MAC: ready, waiting, or dropped. */
void neigh_send(struct net *net, struct neigh *n, struct rte_mbuf *m, uint64_t now_us);
/* ip is at mac. override: may replace another MAC. rx: tells the other workers; may be NULL. */
void neigh_heard(struct net *net, const struct net_neigh *heard, bool override, uint64_t now_us,
		 struct net_rx *rx);
/* Drops a frame of ours that found no next hop, with a hint for tcp. */
void neigh_fail(struct net *net, struct rte_mbuf *m);

#endif
