/* stream.c - BEGIN, BEGIN_DIR and RESOLVE: who may open what, which address a name stands for, and
 * the one decision that goes down (interop E1, E5 to E10, N1, N2, N7). */
#include "controlplane/circ/internal.h"

#include <stdlib.h>

#define LITERAL_TTL 1800

/* A stream whose name is being looked up. It may end meanwhile: then what we send is refused. */
struct lookup {
	struct circs *c;
	wid stream;
	uint16_t port;
	uint32_t flags;
};

/* ---- answers ---- */

void stream_end_with(struct circs *c, wid stream, uint8_t reason, const struct addr *addr,
		     uint32_t ttl)
{
	uint8_t body[END_MAX];
	size_t len = end_put(reason, addr, ttl, body);

	circ_send(c, CTL_STREAM_CLOSE, stream, RELAY_END, NULL, 0, body, len);
}

static void resolved_send(struct circs *c, wid stream, const struct writer *w)
{
	circ_send(c, CTL_STREAM_CLOSE, stream, RELAY_RESOLVED, NULL, 0, w->start, wr_len(w));
}

static void resolved_error(struct circs *c, wid stream, uint8_t type)
{
	uint8_t body[64];
	struct writer w = writer_of(body, sizeof(body));

	resolved_put_text(&w, type, "Error resolving hostname", RESOLVED_TTL);
	resolved_send(c, stream, &w);
}

/* ---- exit streams ---- */

static bool is_denied(const struct circs *c, const struct addr *to)
{
	for (size_t i = 0; i < c->set.n_deny; i++)
		if (addr_same_ip(&c->set.deny[i], to) &&
		    (!c->set.deny[i].port || c->set.deny[i].port == to->port))
			return true;
	return false;
}

/* The END reason that refuses this address, or 0. */
static uint8_t refusal_of(struct circs *c, const struct addr *to)
{
	if (!policy_allows(c->set.policy, to) || (to->family == 6 && !c->set.ipv6_exit) ||
	    is_denied(c, to)) {
		c->figures.begin_policy++;
		return END_EXITPOLICY;
	}
	if (!c->set.allow_reentry && c->at.out.reentry(c->at.out.arg, to)) {
		c->figures.begin_reentry++;
		return END_CONNECTREFUSED;
	}
	if (!(to->family == 6 ? c->set.exit6 : c->set.exit4).family)
		return END_NOROUTE;
	return 0;
}

static void exit_open(struct circs *c, wid stream, const struct addr *to, uint32_t ttl)
{
	struct ctl_stream_open open = {.kind = CTL_STREAM_TCP, .ttl = ttl, .remote = *to};
	uint8_t reason = refusal_of(c, to);

	if (reason) {
		stream_end_with(c, stream, reason, to, ttl);
		return;
	}
	open.local = to->family == 6 ? c->set.exit6 : c->set.exit4;
	open.local.port = 0;
	if (!circ_send(c, CTL_STREAM_OPEN, stream, 0, &open, sizeof(open), NULL, 0))
		c->figures.begin_open++;
}

/* Which family a name with these records is reached by: what the client takes, then what the policy
 * allows, then what the client prefers. */
static bool use_ipv4(const struct lookup *l, const struct dns_answer *a)
{
	const struct circ_settings *set = &l->c->set;
	bool ok4 = a->a4.family && !(l->flags & BEGIN_IPV4_NOT_OK);
	bool ok6 = a->a6.family && (l->flags & BEGIN_IPV6_OK) && set->ipv6_exit;
	bool prefers4 = !(l->flags & BEGIN_IPV6_PREFERRED);

	if (ok4 && ok6) {
		struct addr to4 = a->a4, to6 = a->a6;

		to4.port = to6.port = l->port;
		bool may4 = policy_allows(set->policy, &to4);
		bool may6 = policy_allows(set->policy, &to6);

		return may4 == may6 ? prefers4 : may4;
	}
	return ok4 || (!ok6 && prefers4);
}

static void on_begin_name(void *arg, const struct dns_answer *a)
{
	struct lookup *l = arg;
	bool v4 = use_ipv4(l, a);
	struct addr to = v4 ? a->a4 : a->a6;
	enum dns_outcome outcome = v4 ? a->outcome4 : a->outcome6;

	to.port = l->port;
	if (to.family) {
		exit_open(l->c, l->stream, &to, v4 ? a->ttl4 : a->ttl6);
	} else {
		l->c->figures.begin_unresolved++;
		uint8_t reason = outcome == DNS_TIMED_OUT ? END_TIMEOUT : END_RESOLVEFAILED;

		stream_end_with(l->c, l->stream, reason, NULL, 0);
	}
	free(l);
}

/* Asks for a name. 0, or ERR_* when it will not be answered. */
static int lookup_start(struct circs *c, const struct lookup *what, const char *name, dns_fn *fn)
{
	struct lookup *l = malloc(sizeof(*l));
	int error;

	if (!l)
		return ERR_FULL;
	*l = *what;
	error = dns_ask(c->at.dns, name, fn, l);
	if (error)
		free(l);
	return error;
}

/* The END reason for a BEGIN whose circuit may not exit here, or 0 (interop E7). */
static uint8_t origin_refusal(struct circs *c, wid conn)
{
	const struct link_peer *peer = c->at.out.peer(c->at.out.arg, conn);
	uint8_t reason = 0;

	if (!peer || peer->kind == CTL_PEER_CLIENT)
		reason = END_TORPROTOCOL;
	else if (peer->kind != CTL_PEER_RELAY && c->set.refuse_unknown_exits)
		reason = END_MISC;
	c->figures.begin_single_hop += !!reason;
	return reason;
}

static void begin_name(struct circs *c, wid stream, const struct begin *b, uint32_t flags)
{
	struct lookup l = {c, stream, b->port, flags};
	struct addr a;
	int error = ERR_MALFORMED;

	if (!policy_rejects_all(c->set.policy) && !addr_from_arpa(&a, b->host))
		error = lookup_start(c, &l, b->host, on_begin_name);
	if (!error)
		return;
	c->figures.begin_unresolved++;
	stream_end_with(c, stream, error == ERR_FULL ? END_RESOURCELIMIT : END_RESOLVEFAILED, NULL,
			0);
}

static void on_begin(struct circs *c, wid stream, const struct ctl_stream_recv *r,
		     struct bytes body)
{
	struct begin b;
	uint8_t reason = 0;

	c->figures.begin++;
	if (begin_get(&b, body.p, body.len)) {
		c->figures.begin_malformed++;
		stream_end_with(c, stream, END_TORPROTOCOL, NULL, 0);
		return;
	}
	reason = origin_refusal(c, r->conn);
	if (!reason && !c->set.ipv6_exit && (b.flags & BEGIN_IPV4_NOT_OK))
		reason = END_EXITPOLICY;
	if (!reason && c->set.hibernating)
		reason = END_HIBERNATING;
	if (!c->set.ipv6_exit)
		b.flags &= ~(uint32_t)BEGIN_IPV6_PREFERRED;
	if (reason)
		stream_end_with(c, stream, reason, NULL, 0);
	else if (b.literal.family)
		exit_open(c, stream, &b.literal, LITERAL_TTL);
	else
		begin_name(c, stream, &b, b.flags);
}

/* ---- directory streams ---- */

static void on_begin_dir(struct circs *c, wid stream, const struct ctl_stream_recv *r,
			 struct bytes body)
{
	const struct link_peer *peer = c->at.out.peer(c->at.out.arg, r->conn);
	const struct circ *k = circ_find(c, r->circ);
	uint8_t reason = 0;

	c->figures.begin_dir++;
	if (!c->set.dir_cache || !k || k->hs.purpose != HS_OR)
		reason = END_NOTDIRECTORY;
	else if (c->set.hibernating)
		reason = END_HIBERNATING;
	if (reason) {
		c->figures.begin_dir_refused++;
		stream_end_with(c, stream, reason, NULL, 0);
		return;
	}
	dirstream_begin(c, stream, peer ? &peer->remote : &(struct addr) {0});
}

/* ---- RESOLVE ---- */

static void on_resolve_name(void *arg, const struct dns_answer *a)
{
	struct lookup *l = arg;
	uint8_t body[RELAY_BODY];
	struct writer w = writer_of(body, sizeof(body));

	/* IPv6 alone is an answer only where we would carry it. */
	if (a->name[0])
		resolved_put_text(&w, RESOLVED_NAME, a->name, RESOLVED_TTL);
	if (a->a4.family)
		resolved_put_addr(&w, &a->a4, RESOLVED_TTL);
	if (a->a6.family && (a->a4.family || l->c->set.ipv6_exit))
		resolved_put_addr(&w, &a->a6, RESOLVED_TTL);
	if (wr_len(&w))
		resolved_send(l->c, l->stream, &w);
	else
		resolved_error(l->c, l->stream,
			       a->outcome4 == DNS_TRANSIENT || a->outcome4 == DNS_TIMED_OUT
				       ? RESOLVED_TRANSIENT
				       : RESOLVED_ERROR);
	free(l);
}

/* Is this a question that we ask for others? */
static bool resolve_passes(const struct circs *c, const char *name)
{
	struct addr a;
	int reverse;

	if (policy_rejects_all(c->set.policy) || host_literal(&a, name))
		return false;
	reverse = addr_from_arpa(&a, name);
	return reverse == 0 || (reverse == 1 && !addr_is_private(&a));
}

static void on_resolve(struct circs *c, wid stream, const struct ctl_stream_recv *r,
		       struct bytes body)
{
	struct lookup l = {c, stream, 0, 0};
	char name[BEGIN_HOST];
	int error = ERR_MALFORMED;

	c->figures.resolve++;
	if (!resolve_get(name, body.p, body.len) && resolve_passes(c, name))
		error = lookup_start(c, &l, name, on_resolve_name);
	if (error)
		resolved_error(c, stream, error == ERR_FULL ? RESOLVED_TRANSIENT : RESOLVED_ERROR);
}

static const struct {
	uint8_t command;
	void (*handle)(struct circs *c, wid stream, const struct ctl_stream_recv *r,
		       struct bytes body);
} rows[] = {
	{RELAY_BEGIN, on_begin},
	{RELAY_BEGIN_DIR, on_begin_dir},
	{RELAY_RESOLVE, on_resolve},
};

void circ_in_stream(const struct circ_in *m)
{
	const struct ctl_stream_recv *r = m->body;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].command == r->command) {
			rows[i].handle(m->c, m->head->id, r, m->tail);
			return;
		}
	m->c->figures.malformed++;
}
