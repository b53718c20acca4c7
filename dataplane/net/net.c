/* net.c - net's set-up: its addresses and gateways, and what is ours or on the link. */
#include <stdlib.h>

#include "dataplane/net/internal.h"

int net_prefix_parse(struct net_prefix *p, const char *text)
{
	const char *slash = strchr(text, '/');
	struct net_prefix out = {.prefix = 0};
	char ip[ADDR_TEXT];
	unsigned bits = 0;

	if (!slash || (size_t)(slash - text) >= sizeof(ip) || !slash[1] || strlen(slash + 1) > 3)
		return ERR_MALFORMED;
	memcpy(ip, text, (size_t)(slash - text));
	ip[slash - text] = '\0';
	for (const char *c = slash + 1; *c; c++) {
		if (*c < '0' || *c > '9')
			return ERR_MALFORMED;
		bits = bits * 10 + (unsigned)(*c - '0');
	}
	if (addr_parse(&out.ip, ip) < 0 || out.ip.port || ip_never_a_source(&out.ip) || bits < 1 ||
	    bits > 8 * addr_ip_len(&out.ip))
		return ERR_MALFORMED;
	out.prefix = (uint8_t)bits;
	*p = out;
	return 0;
}

static bool gateway_bad(const struct addr *gw, unsigned family)
{
	return gw->family && (gw->family != family || ip_never_a_source(gw));
}

const char *net_config_bad(const struct net_config *config)
{
	if (config->n_addrs < 1)
		return "DataplaneAddress: none is set; give ADDR/PREFIX of this relay";
	if (config->n_addrs > NET_ADDRS)
		return "DataplaneAddress: too many; at most 32 are served";
	if (gateway_bad(&config->gateway4, 4) || gateway_bad(&config->gateway6, 6))
		return "DataplaneGateway: not the address of a host";
	if (config->mtu < 576 || (config->mtu < 1280 && config->gateway6.family))
		return "DataplanePort: its MTU is too small; IPv4 needs 576, IPv6 needs 1280";
	for (unsigned i = 0; i < config->n_addrs; i++) {
		const struct net_prefix *p = &config->addrs[i];

		if (addr_same_ip(&p->ip, &config->gateway4) ||
		    addr_same_ip(&p->ip, &config->gateway6))
			return "DataplaneGateway: it is our own DataplaneAddress";
	}
	return NULL;
}

static void link_local_make(struct addr *a, const uint8_t mac[ETH_MAC])
{
	*a = (struct addr) {.family = 6, .ip = {0xfe, 0x80}};
	memcpy(a->ip + 8, mac, 3);
	a->ip[8] ^= 2;
	a->ip[11] = 0xff;
	a->ip[12] = 0xfe;
	memcpy(a->ip + 13, mac + 3, 3);
}

static void gateway_set(struct neigh *n, const struct addr *ip, const uint8_t mac[ETH_MAC])
{
	static const uint8_t none[ETH_MAC];

	n->ip = *ip;
	n->gateway = 1;
	memcpy(n->mac, mac, ETH_MAC);
	n->state = memcmp(mac, none, ETH_MAC) ? NEIGH_FIXED : NEIGH_NONE;
}

struct net *net_init(const struct net_config *config)
{
	struct net *net = calloc(1, sizeof(*net));

	if (!net)
		return NULL;
	net->config = *config;
	net->counts = config->counts;
	rng_seed(&net->rng, config->seed);
	rng_bytes(&net->rng, &net->key, sizeof(net->key));
	net->ip_id = (uint16_t)rng_u32(&net->rng);
	net->next_due_us = UINT64_MAX;
	link_local_make(&net->link_local, config->mac);
	gateway_set(&net->gateways[0], &config->gateway4, config->gateway4_mac);
	gateway_set(&net->gateways[1], &config->gateway6, config->gateway6_mac);
	wipe(net->config.seed, sizeof(net->config.seed));
	return net;
}

static void waiting_free(struct neigh *n)
{
	rte_pktmbuf_free_bulk(n->wait, n->n_wait);
}

void net_fini(struct net *net)
{
	if (!net)
		return;
	rte_pktmbuf_free_bulk(net->ready, net->n_ready);
	waiting_free(&net->gateways[0]);
	waiting_free(&net->gateways[1]);
	for (unsigned i = 0; i < NEIGH_SETS * NEIGH_WAYS; i++)
		waiting_free(&net->neighs[0][0] + i);
	wipe(&net->key, sizeof(net->key));
	wipe(&net->rng, sizeof(net->rng));
	free(net);
}

bool net_is_ours(const struct net *net, const struct addr *a)
{
	for (unsigned i = 0; i < net->config.n_addrs; i++)
		if (addr_same_ip(a, &net->config.addrs[i].ip))
			return true;
	return false;
}

bool net_has(const struct net *net, const struct addr *a)
{
	return net_is_ours(net, a) || addr_same_ip(a, &net->link_local);
}

static bool prefix_covers(const struct net_prefix *p, const struct addr *a)
{
	unsigned whole = p->prefix / 8, rest = p->prefix % 8;

	if (p->ip.family != a->family || memcmp(p->ip.ip, a->ip, whole))
		return false;
	return !rest || !((p->ip.ip[whole] ^ a->ip[whole]) >> (8 - rest));
}

static const struct net_prefix *covering(const struct net *net, const struct addr *a)
{
	for (unsigned i = 0; i < net->config.n_addrs; i++)
		if (prefix_covers(&net->config.addrs[i], a))
			return &net->config.addrs[i];
	return NULL;
}

bool net_on_link(const struct net *net, const struct addr *a)
{
	/* A gateway is, whatever our prefixes say: on rented servers they are often /32. */
	return (a->family == 6 && ip_is_link_local(a)) || covering(net, a) ||
	       addr_same_ip(a, &net->config.gateway4) || addr_same_ip(a, &net->config.gateway6);
}

bool net_source(const struct net *net, const struct addr *remote, struct addr *local)
{
	const struct net_prefix *p;

	if (remote->family == 6 && ip_is_link_local(remote)) {
		*local = net->link_local;
		return true;
	}
	p = covering(net, remote);
	for (unsigned i = 0; i < net->config.n_addrs && !p; i++)
		if (net->config.addrs[i].ip.family == remote->family)
			p = &net->config.addrs[i];
	if (!p)
		return false;
	*local = p->ip;
	return true;
}
