/* dial.c - connections we open: a source port whose answers land on this worker (RFC 6056), the
 * SYN, and what ICMP says of the path. Called by the rooms above and by net's findings. */
#include "dataplane/tcp/internal.h"

/* Looking for a port is bounded: a worker that gets one in many still finds one of what is free. */
#define PORT_TRIES   8192
#define PATH_LIFE_US (600 * 1000000ull)

static bool port_free(struct tcp *t, const struct addr *local, const struct addr *remote,
		      uint32_t *tag)
{
	if (t->cfg.lands_here && !t->cfg.lands_here(t->cfg.lands_arg, local, remote))
		return false;
	*tag = lookup_tag(t, local, remote);
	return lookup_find(t, *tag, local, remote).kind == HIT_NONE;
}

/* RFC 6056 3.3.4: the start is a keyed hash of where we go, with one of many counters. */
static int port_pick(struct tcp *t, struct addr *local, const struct addr *remote, uint32_t *tag)
{
	uint32_t range = t->cfg.port_max - t->cfg.port_min + 1u;
	uint64_t hash;

	local->port = 0;
	hash = lookup_hash(&t->port_key, local, remote);
	uint32_t *next = &t->port_next[hash >> 56];
	for (uint32_t i = 0; i < range && i < PORT_TRIES; i++) {
		local->port = (uint16_t)(t->cfg.port_min + ((uint32_t)hash + *next + i) % range);
		if (port_free(t, local, remote, tag)) {
			*next += i + 1;
			return 0;
		}
	}
	/* The next try looks elsewhere. */
	*next += PORT_TRIES;
	return ERR_FULL;
}

static bool is_any(const struct addr *a)
{
	static const uint8_t zero[16];

	return memcmp(a->ip, zero, sizeof(zero)) == 0;
}

int tcp_open(struct tcp *t, const struct addr *local_ip, const struct addr *remote, uint8_t kind,
	     uint64_t now_us)
{
	struct addr local = *local_ip;
	struct conn *c;
	uint32_t tag;

	t->now_us = now_us;
	if (!addr_ip_len(&local) || local.family != remote->family || !remote->port ||
	    is_any(&local) || is_any(remote))
		return ERR_NOT_NOW;
	if (t->cfg.port_min > t->cfg.port_max || port_pick(t, &local, remote, &tag) < 0) {
		tcp_count(t, ports_exhausted);
		return ERR_FULL;
	}
	c = conn_new(t, &local, remote, tag, kind);
	if (!c)
		return ERR_FULL;
	c->iss = isn_of(t, &local, remote, now_us);
	c->snd_una = c->iss;
	c->snd_nxt = c->snd_end = c->iss + 1;
	c->state = ST_SYN_SENT;
	c->flags |= F_SYN_NOW;
	tcp_count(t, dialled);
	conn_output(t, c);
	return (int)conn_index(t, c);
}

/* ---- ICMP ---- */

static struct conn *quoted_conn(struct tcp *t, const struct addr *local, const struct addr *remote,
				uint32_t seq)
{
	struct hit hit = lookup_find(t, lookup_tag(t, local, remote), local, remote);
	struct conn *c = hit.kind == HIT_CONN ? &t->conns[hit.index] : NULL;

	/* RFC 5927 4: whoever cannot see our segments cannot quote a number in flight. */
	if (!c || seq_lt(seq, c->snd_una) || !seq_lt(seq, c->snd_nxt)) {
		tcp_count(t, icmp_ignored);
		return NULL;
	}
	return c;
}

void tcp_unreach(struct tcp *t, const struct addr *local, const struct addr *remote, uint32_t seq)
{
	struct conn *c = quoted_conn(t, local, remote, seq);

	if (c && c->state == ST_SYN_SENT) {
		tcp_count(t, unreachable);
		conn_closed(t, c, TCP_UNREACHABLE);
	}
}

void tcp_mtu_hint(struct tcp *t, const struct addr *local, const struct addr *remote, uint32_t seq,
		  uint32_t mtu, uint64_t now_us)
{
	struct conn *c = quoted_conn(t, local, remote, seq);
	uint32_t over = remote->family == 4 ? 40 : 60, i;
	/* Less is not believed: as Linux for IPv4, RFC 8201 4 for IPv6. */
	uint32_t floor = remote->family == 4 ? 552 : 1280;

	mtu = MAX(mtu, floor);
	if (!c || !conn_can(c, IS_SYNCED) || mtu - over >= c->mss)
		return;
	t->now_us = now_us;
	tcp_count(t, mtu_hints);
	c->mss = (uint16_t)(mtu - over);
	c->path.mss = c->mss - (c->flags & F_TS ? 12 : 0);
	i = (uint32_t)hash_bytes(&t->port_key, remote->ip, 16) % N_PATHS;
	t->paths[i].ip = *remote;
	t->paths[i].until_us = now_us + PATH_LIFE_US;
	t->paths[i].mtu = (uint16_t)mtu;
	/* What is in flight was too long: again, in smaller cuts, and no sign of congestion. */
	for (i = c->sent_head; i != SLOT_NONE; i = t->sent[i].next)
		if (t->sent[i].end - t->sent[i].seq > c->path.mss)
			sent_lose(t, c, i);
	conn_output(t, c);
}
