/* reach.c - links as the rooms ask for them: what the consensus says of a peer, a link for a
 * circuit of our own, and the proof that others reach us (interop T1, T3). */
#include "controlplane/main/control.h"

#include <stdlib.h>
#include <sys/random.h>

#define SELFTEST_S	 60 /* between two tests of one family */
#define SELFTEST_QUICK_S 10 /* the same in a testing network */
#define SKEW_SAY_S	 3600

/* ---- what links/ asks of the consensus ---- */

static const struct dir_node *node_of(struct control *c, const uint8_t *rsa_id, const uint8_t *ed)
{
	static const uint8_t none[KEYS_ED_ID];
	const struct dir_node *n = c->dir ? dir_node_by_rsa(c->dir, rsa_id) : NULL;

	/* Another Ed25519 identity than the one listed with this RSA identity is another relay. */
	if (n && ed && memcmp(n->ed_id, none, sizeof(none)) != 0 &&
	    memcmp(n->ed_id, ed, sizeof(none)) != 0)
		return NULL;
	return n;
}

static bool known(void *arg, const uint8_t rsa_id[KEYS_RSA_ID], const uint8_t *ed)
{
	struct control *c = arg;

	return node_of(c, rsa_id, ed) || (c->dir && dir_is_authority(c->dir, rsa_id));
}

static bool listed_at(void *arg, const uint8_t rsa_id[KEYS_RSA_ID], const uint8_t *ed,
		      const struct addr *at)
{
	const struct dir_node *n = node_of(arg, rsa_id, ed);

	return n && (addr_same_ip(&n->or4, at) || addr_same_ip(&n->or6, at));
}

/* Addresses come from the torrc alone; an authority that sees us elsewhere is worth a line. */
static void suggested(void *arg, const struct link_peer *peer, const struct addr *said)
{
	struct control *c = arg;
	const struct addr *ours = said->family == 4 ? &c->config.address4 : &c->config.address6;
	char text[ADDR_TEXT], own[ADDR_TEXT];

	if (c->dir && dir_is_authority(c->dir, peer->rsa_id) && ours->family &&
	    !addr_same_ip(ours, said))
		log_notice("an authority sees us at %s, while we publish %s: is Address right?",
			   config_addr_text(&c->config, said, text),
			   config_addr_text(&c->config, ours, own));
}

static void skewed(void *arg, const struct link_peer *peer, int64_t skew_s)
{
	struct control *c = arg;
	int64_t now_s = clock_wall_s();

	if (!c->dir || !dir_is_authority(c->dir, peer->rsa_id) ||
	    now_s - c->said_skew_s < SKEW_SAY_S)
		return;
	c->said_skew_s = now_s;
	log_warn("an authority's clock differs from ours by %lld seconds: is ours right?",
		 (long long)skew_s);
}

int reach_open(struct control *c)
{
	struct links_config lc = {
		.door = c->door,
		.keys = c->keys,
		.dos = c->dos,
		.n_workers = door_workers(c->door),
		.handshake_us = (uint64_t)c->config.keepalive_period_s * 1000000,
		.tls_order_tor = strcasecmp(c->config.dataplane_tls_order, "tor") == 0,
		.allow_private = c->config.extend_allow_private_addresses,
		.dial_from = {c->config.out_or4, c->config.out_or6},
		.arg = c,
		.known = known,
		.listed_at = listed_at,
		.suggested = suggested,
		.skewed = skewed,
	};

	if (getrandom(lc.hash_key, sizeof(lc.hash_key), 0) != sizeof(lc.hash_key))
		return ERR_SYSTEM;
	c->links = links_new(&lc, clock_us(), clock_wall_s());
	return c->links ? 0 : ERR_FULL;
}

/* ---- links for circuits of our own ---- */

struct reach_wait {
	struct reach_wait *next, **at;
	void (*done)(void *arg, wid conn, int why);
	void *arg;
};

static void wait_drop(struct reach_wait *w)
{
	*w->at = w->next;
	if (w->next)
		w->next->at = w->at;
	free(w);
}

static void on_link(void *arg, wid conn, unsigned reason)
{
	struct reach_wait w = *(struct reach_wait *)arg;

	wait_drop(arg);
	w.done(w.arg, conn, (int)reason);
}

static void target_of(const struct control *c, const struct dir_target *from,
		      struct link_target *to)
{
	static const uint8_t none[KEYS_ED_ID];

	*to = (struct link_target) {0};
	memcpy(to->rsa_id, from->rsa_id, sizeof(to->rsa_id));
	memcpy(to->ed_id, from->ed_id, sizeof(to->ed_id));
	to->has_ed = memcmp(from->ed_id, none, sizeof(none)) != 0;
	if (from->or4.family && config_dial_from(&c->config, 4, false))
		to->addrs[to->n_addrs++] = from->or4;
	if (from->or6.family && config_dial_from(&c->config, 6, false))
		to->addrs[to->n_addrs++] = from->or6;
}

static int get_link(void *ctx, const struct dir_target *to,
		    void (*done)(void *arg, wid conn, int why), void *arg)
{
	struct control *c = ctx;
	struct reach_wait *w = malloc(sizeof(*w));
	struct link_target t;
	unsigned reason = 0;
	wid conn;

	if (!w)
		return ERR_FULL;
	*w = (struct reach_wait) {.next = c->waits, .at = &c->waits, .done = done, .arg = arg};
	if (w->next)
		w->next->at = &w->next;
	c->waits = w;
	target_of(c, to, &t);
	links_now(c->links, clock_us(), clock_wall_s());
	conn = link_get(c->links, &t, on_link, w, &reason);
	if (conn || reason)
		on_link(w, conn, reason);
	return 0;
}

static int send_down(void *ctx, uint16_t type, wid id, uint32_t arg, const void *body,
		     size_t body_len, const void *bytes, size_t len)
{
	struct control *c = ctx;

	return door_send(c->door, wid_worker(id), type, id, arg, body, body_len, bytes, len);
}

static bool in_the_way(void *ctx, const uint8_t rsa_id[KEYS_RSA_ID], int family, bool retire)
{
	struct control *c = ctx;

	return links_other_way(c->links, rsa_id, family, retire);
}

struct origin_ops reach_origin_ops(struct control *c)
{
	return (struct origin_ops) {
		.get_link = get_link, .send = send_down, .in_the_way = in_the_way, .ctx = c};
}

void reach_close(struct control *c)
{
	links_free(c->links);
	while (c->waits)
		wait_drop(c->waits);
}

/* ---- are we reachable? ---- */

void reach_answered(void *arg, wid conn)
{
	struct control *c = arg;
	const struct link_peer *p = link_peer(c->links, conn);
	const struct addr *ours =
		p && p->remote.family == 6 ? &c->config.address6 : &c->config.address4;

	/* A link that dialled an address of before says nothing about today's. */
	if (p && !p->initiator && p->named_us && addr_same_ip(&p->named, ours) &&
	    (!p->local || c->config.extend_allow_private_addresses))
		dir_set_reachable(c->dir, p->remote.family);
}

static void test_family(struct control *c, int family, int64_t now_s)
{
	int64_t *due = &c->selftest_at_s[family == 6];
	int64_t wait_s = c->config.testing_tor_network ? SELFTEST_QUICK_S : SELFTEST_S;
	int rc;

	if (*due - now_s > SELFTEST_S) /* the clock was set back */
		*due = now_s;
	if (now_s < *due || !dir_wants_selftest(c->dir, family))
		return;
	rc = origin_selftest(c->origin, family, clock_us());
	if (rc == 0)
		log_info("testing whether our IPv%d ORPort is reachable", family);
	if (rc == 0 || rc == ERR_FULL)
		*due = now_s + wait_s;
}

void reach_tick(struct control *c, int64_t now_s)
{
	if (c->phase != CONTROL_RUNS)
		return;
	test_family(c, 4, now_s);
	test_family(c, 6, now_s);
	if (dir_wants_bandwidth_test(c->dir, now_s) &&
	    origin_bandwidth_test(c->origin, clock_us()) >= 0)
		dir_bandwidth_test_done(c->dir, now_s);
}
