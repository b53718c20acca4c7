/* extend.c - EXTEND2: whom a client may go on to, the link there, and the one message that makes
 * the leg (interop C1 to C3, H9; tor-spec section 5.3). */
#include "controlplane/circ/internal.h"

#include <stdlib.h>
#include <sys/random.h>

static const uint8_t no_id[32];

/* Handshakes that we do not know are passed on; those that are dead are not (interop H9). */
static bool skin_passes(const struct create2 *skin)
{
	if (skin->type == HANDSHAKE_TAP || skin->type == HANDSHAKE_FAST)
		return false;
	return skin->type != HANDSHAKE_NTOR || skin->len == HANDSHAKE_NTOR_LEN;
}

/* May we dial this address at all? */
static bool addr_passes(const struct circs *c, const struct addr *a)
{
	if (!a->family || !a->port || !memcmp(a->ip, no_id, addr_ip_len(a)))
		return false;
	return c->set.extend_private || !addr_is_private(a);
}

static void addr_fill(struct addr *a, const struct addr *from)
{
	if (!a->family || !memcmp(a->ip, no_id, addr_ip_len(a)))
		*a = *from;
}

/* What the client left out is taken from the consensus. */
static void fill_id(const struct circs *c, struct extend2 *e, struct circ_node *node, bool *listed)
{
	*listed = c->at.out.node(c->at.out.arg, e->rsa_id, node);
	if (e->has_ed && !memcmp(e->ed_id, no_id, 32))
		e->has_ed = false;
	if (*listed && !e->has_ed && node->has_ed) {
		memcpy(e->ed_id, node->ed_id, 32);
		e->has_ed = true;
	}
}

static bool is_previous_hop(const struct extend2 *e, const struct link_peer *peer)
{
	return !memcmp(e->rsa_id, peer->rsa_id, 20) ||
	       (e->has_ed && peer->has_ed && !memcmp(e->ed_id, peer->ed_id, 32));
}

static bool is_us(const struct circs *c, const struct extend2 *e)
{
	return !memcmp(e->rsa_id, c->set.rsa_id, 20) ||
	       (e->has_ed && !memcmp(e->ed_id, c->set.ed_id, 32));
}

/* Reads and judges. 0 with *e complete, or a DESTROY reason. */
static int extend_judge(struct circs *c, struct extend2 *e, const struct circ_relay *r)
{
	struct circ_node node;
	bool listed;

	if (extend2_get(e, r->body.p, r->body.len) || !skin_passes(&e->create) ||
	    !memcmp(e->rsa_id, no_id, 20)) {
		c->figures.extend_malformed++;
		return DESTROY_TORPROTOCOL;
	}
	fill_id(c, e, &node, &listed);
	if (!(addr_passes(c, &e->or4) || addr_passes(c, &e->or6)) || is_previous_hop(e, r->peer)) {
		c->figures.extend_refused++;
		return DESTROY_TORPROTOCOL;
	}
	if (listed) {
		addr_fill(&e->or4, &node.or4);
		addr_fill(&e->or6, &node.or6);
	}
	if (is_us(c, e)) {
		c->figures.extend_refused++;
		return DESTROY_CONNECTFAILED;
	}
	return 0;
}

/* The addresses in the order in which to try them: either family first by chance, and IPv6 only if
 * we have an IPv6 ORPort. 0 or a DESTROY reason. */
static int target_of(struct circs *c, struct link_target *t, const struct extend2 *e)
{
	uint8_t coin = 0;
	const struct addr *a[2] = {&e->or4, &e->or6};

	if (getrandom(&coin, 1, 0) != 1)
		coin = 0;
	*t = (struct link_target) {.has_ed = e->has_ed};
	memcpy(t->rsa_id, e->rsa_id, sizeof(t->rsa_id));
	memcpy(t->ed_id, e->ed_id, sizeof(t->ed_id));
	for (unsigned i = 0; i < 2; i++) {
		const struct addr *at = a[(i + coin) & 1];

		if (addr_passes(c, at) && (at->family == 4 || c->set.ipv6_orport))
			t->addrs[t->n_addrs++] = *at;
	}
	if (t->n_addrs)
		return 0;
	c->figures.extend_refused++;
	return DESTROY_CONNECTFAILED;
}

/* 0 or a DESTROY reason. */
static int extend_go(struct circ *k, wid conn)
{
	struct ctl_circ_extend body = {.serial = k->serial, .conn = conn};
	int error = circ_send(k->room, CTL_CIRC_EXTEND, k->id, 0, &body, sizeof(body), k->create,
			      k->create_len);

	k->waiting = false;
	k->extending = !error;
	free(k->create);
	k->create = NULL;
	return error ? DESTROY_RESOURCELIMIT : 0;
}

static void on_link(void *arg, wid conn, unsigned reason)
{
	struct circ *k = arg;

	k->waiting = false; /* nobody is to be forgotten any more */
	/* C tor says no more than that the channel is closed (the prober's row extend-wrong-id). */
	if (reason == DESTROY_OR_IDENTITY)
		reason = DESTROY_CHANNEL_CLOSED;
	if (!conn)
		k->room->figures.extend_no_link++;
	else
		reason = (unsigned)extend_go(k, conn);
	if (!conn || reason)
		circ_shut(k, reason ? (uint8_t)reason : DESTROY_CONNECTFAILED);
}

void circ_extend_cancel(struct circ *k)
{
	if (k->waiting)
		k->room->at.out.link_forget(k->room->at.out.arg, on_link, k);
	k->waiting = false;
	free(k->create);
	k->create = NULL;
}

int circ_extend(struct circ *k, const struct circ_relay *r)
{
	struct circs *c = k->room;
	struct link_target target;
	struct extend2 e;
	unsigned why = 0;
	wid conn;
	int reason;

	c->figures.extend++;
	/* A newer serial means that the worker has seen a TRUNCATE: what went before is void. */
	if ((k->waiting || k->extending || k->extended) && r->msg->serial == k->serial) {
		c->figures.extend_busy++;
		return DESTROY_TORPROTOCOL;
	}
	circ_extend_cancel(k);
	k->extending = k->extended = false;
	k->serial = r->msg->serial;
	if (!r->peer)
		return DESTROY_CHANNEL_CLOSED;
	reason = extend_judge(c, &e, r);
	if (!reason)
		reason = target_of(c, &target, &e);
	if (reason)
		return reason;
	k->create = malloc(e.create_bytes.len);
	if (!k->create)
		return DESTROY_RESOURCELIMIT;
	memcpy(k->create, e.create_bytes.p, e.create_bytes.len);
	k->create_len = (uint16_t)e.create_bytes.len;
	k->waiting = true;
	conn = c->at.out.link(c->at.out.arg, &target, on_link, k, &why);
	if (conn)
		return extend_go(k, conn);
	if (!why)
		return 0;
	k->waiting = false;
	c->figures.extend_no_link++;
	return (int)why;
}

void circ_in_done(const struct circ_in *m)
{
	const struct ctl_circ_done *b = m->body;
	struct circ *k = circ_find(m->c, m->head->id);

	if (!k || b->serial != k->serial || !k->extending) {
		m->c->figures.unknown += !k;
		return; /* a splice's outcome; or the extend was void before it ended */
	}
	k->extending = false;
	k->extended = b->ok;
	/* A failure closes the circuit over there; CIRC_CLOSED follows. */
	m->c->figures.extend_open += b->ok;
	m->c->figures.extend_failed += !b->ok;
}
