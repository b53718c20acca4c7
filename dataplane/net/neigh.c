/* neigh.c - the neighbour table: who has which MAC, whom to ask again, what waits for an answer. */
#include "dataplane/net/internal.h"

static const uint8_t broadcast[ETH_MAC] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

/* ---- asking ---- */

static void ask4(struct net *net, const struct neigh *n, const struct addr *src, bool known)
{
	struct arp a = {.op = ARP_REQUEST, .sender = *src, .target = n->ip};
	struct rte_mbuf *m;
	uint8_t *p = own_frame(net, &m, known ? n->mac : broadcast, ETH_ARP, ARP_LEN);

	if (!p)
		return;
	memcpy(a.sender_mac, net->config.mac, ETH_MAC);
	arp_build(p, &a);
	net_push(net, m);
}

static void ask6(struct net *net, const struct neigh *n, const struct addr *src, bool known)
{
	struct nd nd = {.type = ICMP6_NS, .has_mac = true, .target = n->ip};
	uint8_t body[ND_LEN], mac[ETH_MAC];
	struct addr group;

	memcpy(nd.mac, net->config.mac, ETH_MAC);
	nd_solicited_node(&group, &n->ip);
	eth_multicast6(mac, &group);
	own_icmp(net, known ? n->mac : mac, src, known ? &n->ip : &group, ND_HOP_LIMIT, body,
		 nd_build(body, &nd));
}

static void ask(struct net *net, struct neigh *n, uint64_t now_us)
{
	bool known = n->state == NEIGH_PROBING;
	struct addr src;

	n->n_asked++;
	n->due_us = now_us + NEIGH_ASK_US;
	net->next_due_us = MIN(net->next_due_us, n->due_us);
	count(net->counts, net_neigh_asked);
	if (!net_source(net, &n->ip, &src))
		return;
	if (n->ip.family == 4)
		ask4(net, n, &src, known);
	else
		ask6(net, n, &src, known);
}

static void ask_first(struct net *net, struct neigh *n, enum neigh_state state, uint64_t now_us)
{
	n->state = state;
	n->n_asked = 0;
	ask(net, n, now_us);
}

/* ---- the table ---- */

static struct neigh *neigh_find(struct net *net, const struct addr *ip, struct neigh **set)
{
	uint64_t h = hash_bytes(&net->key, ip->ip, sizeof(ip->ip));

	*set = NULL;
	for (unsigned i = 0; i < 2; i++)
		if (addr_same_ip(&net->gateways[i].ip, ip))
			return &net->gateways[i];
	*set = net->neighs[h % NEIGH_SETS];
	for (unsigned i = 0; i < NEIGH_WAYS; i++)
		if ((*set)[i].state && addr_same_ip(&(*set)[i].ip, ip))
			return &(*set)[i];
	return NULL;
}

/* A free place, or that of the one used longest ago with nothing waiting. */
static struct neigh *neigh_place(struct neigh *set)
{
	struct neigh *best = NULL;

	for (unsigned i = 0; i < NEIGH_WAYS; i++) {
		if (!set[i].state)
			return &set[i];
		if (!set[i].n_wait && (!best || set[i].used_us < best->used_us))
			best = &set[i];
	}
	return best;
}

struct neigh *neigh_get(struct net *net, const struct addr *ip, bool make, uint64_t now_us)
{
	struct neigh *set, *n = neigh_find(net, ip, &set);

	if (n || !make)
		return n;
	n = neigh_place(set);
	if (!n) {
		count(net->counts, net_neigh_full);
		return NULL;
	}
	*n = (struct neigh) {.ip = *ip, .used_us = now_us};
	return n;
}

/* ---- frames ---- */

void neigh_fail(struct net *net, struct rte_mbuf *m)
{
	const uint8_t *p = rte_pktmbuf_mtod(m, const uint8_t *) + ETH_HDR;
	unsigned family = p[0] >> 4;
	struct icmp_quote q;

	count(net->counts, net_no_neighbour);
	if (net->n_hints < NET_VEC &&
	    icmp_quote_parse(&q, family, p, rte_pktmbuf_data_len(m) - ETH_HDR) == 0)
		net->hints[net->n_hints++] = (struct net_hint) {.kind = NET_NO_NEIGHBOUR,
								.local = q.local,
								.remote = q.remote,
								.seq = q.seq};
	rte_pktmbuf_free(m);
}

static void neigh_park(struct net *net, struct neigh *n, struct rte_mbuf *m)
{
	if (n->n_wait == NEIGH_WAIT) { /* RFC 4861 7.2.2: the newest replaces the oldest */
		count(net->counts, net_wait_full);
		rte_pktmbuf_free(n->wait[0]);
		n->n_wait--;
		memmove(n->wait, n->wait + 1, n->n_wait * sizeof(n->wait[0]));
	}
	n->wait[n->n_wait++] = m;
}

void neigh_send(struct net *net, struct neigh *n, struct rte_mbuf *m, uint64_t now_us)
{
	n->used_us = now_us;
	if (n->state == NEIGH_GOOD && now_us - n->seen_us > NEIGH_GOOD_US)
		ask_first(net, n, NEIGH_PROBING, now_us);
	if (n->state >= NEIGH_GOOD) {
		memcpy(rte_pktmbuf_mtod(m, uint8_t *), n->mac, ETH_MAC);
		net_push(net, m);
		return;
	}
	neigh_park(net, n, m);
	if (n->state == NEIGH_NONE)
		ask_first(net, n, NEIGH_ASKING, now_us);
}

static void neigh_flush(struct net *net, struct neigh *n)
{
	for (unsigned i = 0; i < n->n_wait; i++) {
		memcpy(rte_pktmbuf_mtod(n->wait[i], uint8_t *), n->mac, ETH_MAC);
		net_push(net, n->wait[i]);
	}
	n->n_wait = 0;
}

/* ---- hearing ---- */

void neigh_heard(struct net *net, const struct net_neigh *heard, bool override, uint64_t now_us,
		 struct net_rx *rx)
{
	struct neigh *n = neigh_get(net, &heard->ip, heard->asked_us, now_us);

	if (rx && rx->n_learned < NET_VEC)
		rx->learned[rx->n_learned++] = *heard;
	if (!n || n->state == NEIGH_FIXED)
		return;
	if (n->state >= NEIGH_GOOD && !override && memcmp(n->mac, heard->mac, ETH_MAC))
		return; /* RFC 4861 7.2.5: not allowed to replace what we have */
	/* A gateway that nobody asked for yet is worth remembering too. */
	memcpy(n->mac, heard->mac, ETH_MAC);
	n->state = NEIGH_GOOD;
	n->seen_us = now_us;
	neigh_flush(net, n);
}

void net_learn(struct net *net, const struct net_neigh *heard, unsigned k, uint64_t now_us)
{
	for (unsigned i = 0; i < k; i++)
		if (net_on_link(net, &heard[i].ip))
			neigh_heard(net, &heard[i], true, now_us, NULL);
}

/* ---- time ---- */

static void neigh_due(struct net *net, struct neigh *n, uint64_t now_us)
{
	if (n->state != NEIGH_ASKING && n->state != NEIGH_PROBING)
		return;
	if (n->due_us <= now_us) {
		if (n->n_asked < NEIGH_TRIES) {
			ask(net, n, now_us);
		} else {
			for (unsigned i = 0; i < n->n_wait; i++)
				neigh_fail(net, n->wait[i]);
			n->n_wait = 0;
			n->state = NEIGH_NONE;
			return;
		}
	}
	net->next_due_us = MIN(net->next_due_us, n->due_us);
}

static void all_due(struct net *net, uint64_t now_us)
{
	net->next_due_us = UINT64_MAX;
	neigh_due(net, &net->gateways[0], now_us);
	neigh_due(net, &net->gateways[1], now_us);
	for (unsigned i = 0; i < NEIGH_SETS; i++)
		for (unsigned w = 0; w < NEIGH_WAYS; w++)
			neigh_due(net, &net->neighs[i][w], now_us);
}

uint64_t net_tick(struct net *net, uint64_t now_us, struct net_rx *rx)
{
	if (now_us >= net->next_due_us)
		all_due(net, now_us);
	rx->n_segs = rx->n_learned = 0;
	rx->n_hints = net->n_hints;
	memcpy(rx->hints, net->hints, net->n_hints * sizeof(rx->hints[0]));
	net->n_hints = 0;
	return net->next_due_us;
}
