/* reach.c - which link reaches a relay (tor-spec section 5.3.1): an open one that fits, one that is
 * being made, or a new dial. Circuits for one relay wait together; failures are remembered. */
#include <stdlib.h>

#include "controlplane/link/internal.h"

#define FAILED_US (60ull * 1000000)

/* ---- dials that failed lately (address, port and identity) ---- */

static uint64_t failed_key(const struct links *l, const struct addr *a, const uint8_t *rsa_id)
{
	uint8_t word[1 + 16 + 2 + KEYS_RSA_ID];

	word[0] = a->family;
	memcpy(word + 1, a->ip, 16);
	be16_put(word + 17, a->port);
	memcpy(word + 19, rsa_id, KEYS_RSA_ID);
	return hash_bytes(&l->hash, word, sizeof(word)) | 1;
}

static bool failed_lately(struct links *l, const struct addr *a, const uint8_t *rsa_id)
{
	uint64_t key = failed_key(l, a, rsa_id);
	struct failed *set = l->failed[key >> 32 & (FAILED_SETS - 1)];

	for (unsigned i = 0; i < FAILED_WAYS; i++)
		if (set[i].key == key && set[i].until_us > l->now_us)
			return true;
	return false;
}

/* Takes the place that ends soonest. */
static void failed_note(struct links *l, const struct addr *a, const uint8_t *rsa_id)
{
	uint64_t key = failed_key(l, a, rsa_id);
	struct failed *set = l->failed[key >> 32 & (FAILED_SETS - 1)], *at = set;

	for (unsigned i = 0; i < FAILED_WAYS && at->key != key; i++)
		if (set[i].key == key || set[i].until_us < at->until_us)
			at = &set[i];
	*at = (struct failed) {key, l->now_us + FAILED_US};
}

/* ---- who waits ---- */

static int wait_add(struct dial *d, link_cb cb, void *arg)
{
	struct waiter *w = calloc(1, sizeof(*w)), **end = &d->waiters;

	if (!w)
		return ERR_FULL;
	w->cb = cb;
	w->arg = arg;
	while (*end)
		end = &(*end)->next;
	*end = w;
	return 0;
}

/* Moves all who wait for d into the queue of the answered. */
static void wait_answer(struct links *l, struct dial *d, wid conn, unsigned reason)
{
	if (!d->waiters)
		return;
	*l->answered_end = d->waiters;
	for (struct waiter *w = d->waiters; w; w = w->next) {
		w->conn = conn;
		w->reason = reason;
		l->answered_end = &w->next;
	}
	d->waiters = NULL;
}

/* Calls back one by one: a callback may ask for links, forget others, or end this link. */
void reach_answer(struct links *l)
{
	struct waiter *w;

	if (l->answering)
		return;
	l->answering = true;
	while ((w = l->answered)) {
		l->answered = w->next;
		if (!l->answered)
			l->answered_end = &l->answered;
		w->cb(w->arg, w->conn, w->reason);
		free(w);
	}
	l->answering = false;
}

static void forget_in(struct waiter **list, link_cb cb, void *arg)
{
	while (*list) {
		struct waiter *w = *list;

		if (w->cb != cb || w->arg != arg) {
			list = &w->next;
			continue;
		}
		*list = w->next;
		free(w);
	}
}

void link_forget(struct links *l, link_cb cb, void *arg)
{
	for (struct link *k = l->time_first; k; k = k->time_next)
		if (k->dial)
			forget_in(&k->dial->waiters, cb, arg);
	forget_in(&l->answered, cb, arg);
	l->answered_end = &l->answered;
	while (*l->answered_end)
		l->answered_end = &(*l->answered_end)->next;
}

void dial_free(struct dial *d)
{
	while (d && d->waiters) {
		struct waiter *w = d->waiters;

		d->waiters = w->next;
		free(w);
	}
	free(d);
}

/* ---- choosing ---- */

static bool is_at(const struct addr *at, const struct link_target *t)
{
	for (unsigned i = 0; i < t->n_addrs; i++)
		if (addr_same_ip(at, &t->addrs[i]))
			return true;
	return false;
}

/* An open link that may carry a new circuit to t: its identities fit, it is not too old, and it is
 * canonical or goes to an address that was asked for. */
static bool fits(const struct links *l, const struct link *k, const struct link_target *t)
{
	const struct link_peer *p = &k->peer;

	if (k->state != LINK_OPEN || k->bad || p->kind == CTL_PEER_CLIENT ||
	    l->now_us - p->since_us > LINK_OLD_US || memcmp(p->rsa_id, t->rsa_id, KEYS_RSA_ID))
		return false;
	if (t->has_ed && (!p->has_ed || memcmp(p->ed_id, t->ed_id, KEYS_ED_ID)))
		return false;
	return p->canonical || is_at(&p->remote, t);
}

/* Canonical first, then canonical to the peer, then the older one. */
static bool better(const struct link_peer *a, const struct link_peer *b)
{
	if (a->canonical != b->canonical)
		return a->canonical;
	if (a->named_us != b->named_us)
		return a->named_us;
	return a->since_us < b->since_us;
}

static struct link *best_open(const struct links *l, const struct link_target *t)
{
	struct link *best = NULL;
	uint32_t at = map_get(&l->by_id, link_id_key(l, t->rsa_id));

	for (; at != SLOT_NONE; at = link_at(l, at)->id_next) {
		struct link *k = link_at(l, at);

		if (fits(l, k, t) && (!best || better(&k->peer, &best->peer)))
			best = k;
	}
	return best;
}

/* A dial under way to the same relay and to an address that was asked for. */
static struct dial *same_dial(const struct links *l, const struct link_target *t)
{
	for (struct link *k = l->time_first; k; k = k->time_next) {
		struct dial *d = k->dial;

		if (d && !memcmp(d->target.rsa_id, t->rsa_id, KEYS_RSA_ID) &&
		    d->target.has_ed == t->has_ed &&
		    (!t->has_ed || !memcmp(d->target.ed_id, t->ed_id, KEYS_ED_ID)) &&
		    is_at(&d->target.addrs[d->at], t))
			return d;
	}
	return NULL;
}

/* ---- dialling ---- */

/* Sends CONN_OPEN for the first address from d->at on that did not fail lately. 0 with *reason 0,
 * or an error and why; d is the link's on success only. */
static int dial_next(struct links *l, struct dial *d, unsigned *reason)
{
	struct ctl_conn_open open = {0};
	struct link *k;

	for (; d->at < d->target.n_addrs; d->at++) {
		const struct addr *to = &d->target.addrs[d->at];

		if (!to->family || !to->port)
			continue;
		if (!failed_lately(l, to, d->target.rsa_id))
			break;
		l->stats.dial_cached++;
	}
	*reason = DESTROY_CONNECTFAILED;
	if (d->at >= d->target.n_addrs)
		return ERR_UNKNOWN;
	k = link_new(l, true);
	*reason = DESTROY_RESOURCELIMIT;
	if (!k)
		return ERR_FULL;
	l->stats.n_dials++;
	k->cookie = ++l->serial << 24 | k->slot;
	k->peer.remote = open.remote = d->target.addrs[d->at];
	open.cookie = k->cookie;
	open.local = l->config.dial_from[open.remote.family == 6];
	open.local.port = 0;
	if (door_send(l->config.door, l->next_worker++ % l->config.n_workers, CTL_CONN_OPEN,
		      WID_NONE, 0, &open, sizeof(open), NULL, 0) < 0) {
		link_free(l, k);
		return ERR_FULL;
	}
	k->dial = d;
	l->stats.dialled++;
	*reason = DESTROY_NONE;
	return 0;
}

static bool is_us(const struct links *l, const struct link_target *t)
{
	return !memcmp(t->rsa_id, l->rsa_id, KEYS_RSA_ID) ||
	       (t->has_ed && !memcmp(t->ed_id, l->ed_id, KEYS_ED_ID));
}

wid link_get(struct links *l, const struct link_target *t, link_cb cb, void *arg, unsigned *reason)
{
	struct link *open = best_open(l, t);
	struct dial *d;

	*reason = DESTROY_NONE;
	if (open) {
		l->stats.reused++;
		return open->peer.conn;
	}
	*reason = DESTROY_CONNECTFAILED;
	if (is_us(l, t) || t->n_addrs > LINK_ADDRS)
		return WID_NONE;
	*reason = DESTROY_RESOURCELIMIT;
	d = same_dial(l, t);
	if (d) {
		if (wait_add(d, cb, arg) == 0)
			*reason = DESTROY_NONE;
		return WID_NONE;
	}
	d = calloc(1, sizeof(*d));
	if (!d)
		return WID_NONE;
	d->target = *t;
	if (wait_add(d, cb, arg) < 0 || dial_next(l, d, reason) < 0)
		dial_free(d);
	return WID_NONE;
}

void reach_failed(struct links *l, struct dial *d, unsigned reason)
{
	unsigned ignored;

	if (d->at < d->target.n_addrs && reason != DESTROY_RESOURCELIMIT)
		failed_note(l, &d->target.addrs[d->at], d->target.rsa_id);
	d->at++;
	/* Nobody asks any more: do not go on. */
	if (d->waiters && reason != DESTROY_RESOURCELIMIT && dial_next(l, d, &ignored) == 0)
		return;
	wait_answer(l, d, WID_NONE, reason);
	dial_free(d);
	reach_answer(l);
}

/* ---- links that are not to be used any more (interop L24) ---- */

/* No new circuits over it from us, and it closes when the last one on it has ended. A door that is
 * full is asked again with the next reason. */
static void retire(struct links *l, struct link *k)
{
	if (k->state != LINK_OPEN || k->bad)
		return;
	k->bad = door_send(l->config.door, wid_worker(k->peer.conn), CTL_CONN_CLOSE, k->peer.conn,
			   CTL_WHY_IDLE, NULL, 0, NULL, 0) == 0;
	l->stats.retired += k->bad;
}

void link_mark_bad(struct links *l, wid conn)
{
	struct link *k = link_find(l, conn);

	if (k)
		retire(l, k);
}

static bool same_relay(const struct link_peer *a, const struct link_peer *b)
{
	return !memcmp(a->rsa_id, b->rsa_id, KEYS_RSA_ID) && a->has_ed == b->has_ed &&
	       !memcmp(a->ed_id, b->ed_id, KEYS_ED_ID);
}

/* Of the links to k's relay the best one stays; if it is canonical no other is needed, else no
 * other to the same address. */
void reach_rank(struct links *l, const struct link *k)
{
	uint32_t head = map_get(&l->by_id, link_id_key(l, k->peer.rsa_id));
	const struct link_peer *best = NULL, *p;

	for (uint32_t at = head; at != SLOT_NONE; at = link_at(l, at)->id_next) {
		p = &link_at(l, at)->peer;
		if (!link_at(l, at)->bad && same_relay(p, &k->peer) && (!best || better(p, best)))
			best = p;
	}
	for (uint32_t at = best ? head : SLOT_NONE; at != SLOT_NONE; at = link_at(l, at)->id_next) {
		p = &link_at(l, at)->peer;
		if (same_relay(p, best) && better(best, p) &&
		    (best->canonical || addr_same_ip(&best->remote, &p->remote)))
			retire(l, link_at(l, at));
	}
}

void reach_age(struct links *l)
{
	for (uint32_t i = 0; i < l->slots.n_touched; i++) {
		struct link *k = slots_live(&l->slots, i) ? link_at(l, i) : NULL;

		if (k && k->peer.kind != CTL_PEER_CLIENT &&
		    l->now_us - k->peer.since_us > LINK_OLD_US)
			retire(l, k);
	}
}

/* Whether it dialled an address that is ours today, and may prove it. */
static bool names_ours(const struct links *l, const struct link_peer *p)
{
	for (unsigned i = 0; i < l->n_ours; i++)
		if (addr_same_ip(&p->named, &l->ours[i]))
			return !p->local || l->config.allow_private;
	return false;
}

bool links_other_way(struct links *l, const uint8_t rsa_id[KEYS_RSA_ID], int family, bool give_up)
{
	uint32_t at = map_get(&l->by_id, link_id_key(l, rsa_id));
	bool is_there = false;

	for (; at != SLOT_NONE; at = link_at(l, at)->id_next) {
		const struct link_peer *p = &link_at(l, at)->peer;

		if (memcmp(p->rsa_id, rsa_id, KEYS_RSA_ID) ||
		    (!p->initiator && p->remote.family == family && names_ours(l, p)))
			continue;
		is_there = true;
		if (give_up)
			retire(l, link_at(l, at));
	}
	return is_there;
}

/* Also serves dials to the same relay that are still under way: it may have dialled us meanwhile.
 */
void reach_opened(struct links *l, struct link *k)
{
	wid conn = k->peer.conn;

	if (k->dial)
		wait_answer(l, k->dial, conn, DESTROY_NONE);
	dial_free(k->dial);
	k->dial = NULL;
	for (struct link *other = l->time_first; other; other = other->time_next)
		if (other->dial && fits(l, k, &other->dial->target))
			wait_answer(l, other->dial, conn, DESTROY_NONE);
	reach_rank(l, k);
	reach_answer(l);
}
