/* dos.c - the table of addresses that connect to us, and the three ways to be marked. The rules and
 * their rounding are those of tor 0.4.9 (core/or/dos.c); the dataplane does the refusing. */
#include "controlplane/guardrail/dos.h"

#include <stdlib.h>

#define ADDRESSES (1u << 18)
#define IDLE_S	  86400 /* an address without a connection is forgotten after this */
/* A marked client goes on being watched, so that whoever does not stop stays marked: its CREATEs
 * are refused in the dataplane for a while, then some come up again. */
#define CREATE_SLICE_S 10
#define CROWD_SLICE_S  60 /* likewise, for an address with too many connections */

/* A bucket of tokens, filled by whole seconds; at_s 0: never used, it is full. */
struct tokens {
	uint32_t left;
	uint64_t at_s;
};

struct address {
	struct addr at;
	uint32_t n_conns, n_outq;
	struct tokens connects, circuits;
	uint64_t conn_until_s, circ_until_s; /* marked; 0: not */
	uint64_t crowd_told_s, circ_told_s;  /* the dataplane refuses until then */
	uint64_t idle_s;
	uint32_t next, prev; /* among those without a connection, longest first */
	bool marked_list;
};

/* Those without a connection. Of these the unmarked are forgotten first. */
struct idle {
	uint32_t first, last;
};

struct dos {
	struct dos_setup setup;
	struct dos_settings set;
	struct dos_figures figures;
	struct rng rng;
	struct slots slots;
	struct address *row;
	struct map by_hash;
	struct idle idle[2]; /* unmarked, marked */
};

struct dos *dos_new(const struct dos_setup *s)
{
	struct dos *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->setup = *s;
	if (!d->setup.max)
		d->setup.max = ADDRESSES;
	rng_seed(&d->rng, s->seed);
	wipe(d->setup.seed, sizeof(d->setup.seed));
	d->idle[0] = d->idle[1] = (struct idle) {SLOT_NONE, SLOT_NONE};
	d->row = column_new(d->setup.max, sizeof(*d->row));
	if (!d->row || slots_init(&d->slots, 0, d->setup.max) < 0 ||
	    map_init(&d->by_hash, d->setup.max, s->key) < 0) {
		dos_free(d);
		return NULL;
	}
	return d;
}

void dos_free(struct dos *d)
{
	if (!d)
		return;
	if (d->row)
		column_free(d->row, d->setup.max, sizeof(*d->row));
	if (d->slots.gen)
		slots_fini(&d->slots);
	map_fini(&d->by_hash);
	free(d);
}

const struct dos_figures *dos_figures(struct dos *d)
{
	d->figures.n_addresses = d->slots.n_used;
	return &d->figures;
}

/* ---- the table ---- */

static uint64_t key_of(const struct dos *d, const struct addr *party)
{
	uint64_t hash = hash_bytes(&d->setup.key, party->ip, sizeof(party->ip));

	return (hash ^ party->family) | 1ull << 63; /* a map's key is never 0 */
}

static struct address *address_find(struct dos *d, const struct addr *from)
{
	struct addr party = addr_party(from);
	uint32_t i = map_get(&d->by_hash, key_of(d, &party));

	return i != SLOT_NONE && addr_same_ip(&d->row[i].at, &party) ? &d->row[i] : NULL;
}

static void idle_add(struct dos *d, struct address *a, uint64_t now_s)
{
	struct idle *list;
	uint32_t i = (uint32_t)(a - d->row);

	a->marked_list = a->conn_until_s >= now_s || a->circ_until_s >= now_s;
	list = &d->idle[a->marked_list];
	a->idle_s = now_s;
	a->next = SLOT_NONE;
	a->prev = list->last;
	*(list->last == SLOT_NONE ? &list->first : &d->row[list->last].next) = i;
	list->last = i;
}

static void idle_remove(struct dos *d, struct address *a)
{
	struct idle *list = &d->idle[a->marked_list];

	*(a->prev == SLOT_NONE ? &list->first : &d->row[a->prev].next) = a->next;
	*(a->next == SLOT_NONE ? &list->last : &d->row[a->next].prev) = a->prev;
}

static void address_drop(struct dos *d, uint32_t i)
{
	idle_remove(d, &d->row[i]);
	map_del(&d->by_hash, key_of(d, &d->row[i].at));
	slots_give(&d->slots, i);
}

/* Two of those that were away for a day, so that forgetting keeps pace with learning. */
static void forget_old(struct dos *d, uint64_t now_s)
{
	for (unsigned k = 0; k < 2; k++) {
		uint32_t i = d->idle[k].first;

		if (i != SLOT_NONE && d->row[i].idle_s + IDLE_S < now_s &&
		    d->row[i].conn_until_s < now_s && d->row[i].circ_until_s < now_s)
			address_drop(d, i);
	}
}

/* The row of an address that has connected, with no connection yet. NULL: all rows have one. */
static struct address *address_new(struct dos *d, const struct addr *from, uint64_t now_s)
{
	struct addr party = addr_party(from);
	uint32_t i;

	if (slots_full(&d->slots)) {
		i = d->idle[0].first == SLOT_NONE ? d->idle[1].first : d->idle[0].first;
		if (i == SLOT_NONE)
			return NULL;
		d->figures.forgotten++;
		address_drop(d, i);
	}
	i = slots_take(&d->slots);
	d->row[i] = (struct address) {.at = party};
	if (map_get(&d->by_hash, key_of(d, &party)) != SLOT_NONE ||
	    map_put(&d->by_hash, key_of(d, &party), i) < 0) {
		slots_give(&d->slots, i);
		return NULL;
	}
	idle_add(d, &d->row[i], now_s);
	return &d->row[i];
}

/* ---- tokens and marks ---- */

/* Takes one if there is one; whether none is left then. */
static bool tokens_take(struct tokens *t, uint32_t rate, uint32_t burst, uint64_t now_s)
{
	uint64_t more = t->at_s ? (now_s - t->at_s) * rate : burst;

	t->left = (uint32_t)MIN(t->left + MIN(more, burst), (uint64_t)burst);
	t->at_s = now_s;
	if (t->left)
		t->left--;
	return t->left == 0;
}

/* The time, and from a second to half as much again, so that nobody can wait for its end. */
static uint64_t mark_end(struct dos *d, uint32_t period_s, uint64_t now_s)
{
	uint32_t half = period_s / 2;

	return now_s + period_s + 1 + (half > 1 ? rng_below(&d->rng, half - 1) : 0);
}

static void deny(struct dos *d, const struct address *a, enum ctl_deny why, uint64_t seconds)
{
	d->setup.deny(d->setup.arg, &a->at, why, seconds);
}

/* Refuses circuits in the dataplane for another while. */
static void tell_circuits(struct dos *d, struct address *a, uint64_t now_s)
{
	if (d->set.circ_type < DOS_REFUSE || a->circ_told_s > now_s)
		return;
	a->circ_told_s = now_s + CREATE_SLICE_S;
	deny(d, a, CTL_DENY_CIRCUITS, MIN(a->circ_until_s - now_s + 1, (uint64_t)CREATE_SLICE_S));
}

static void mark_circuits(struct dos *d, struct address *a, uint64_t *marked, uint64_t now_s)
{
	if (!a->circ_until_s)
		++*marked;
	a->circ_until_s = mark_end(d, d->set.circ_period_s, now_s);
	tell_circuits(d, a, now_s);
}

/* ---- connections ---- */

static void crowd_told(struct dos *d, struct address *a, uint64_t now_s)
{
	if (d->set.conn_type < DOS_REFUSE || a->crowd_told_s > now_s)
		return;
	a->crowd_told_s = now_s + CROWD_SLICE_S;
	deny(d, a, CTL_DENY_CROWDED, CROWD_SLICE_S);
}

/* Whether one more of this address is too many. */
static bool conn_refused(struct dos *d, struct address *a, uint64_t now_s)
{
	if (!d->set.conns)
		return false;
	if (a->conn_until_s >= now_s && a->conn_until_s) {
		d->figures.conns_refused++;
		if (d->set.conn_type >= DOS_REFUSE)
			deny(d, a, CTL_DENY_MARKED, a->conn_until_s - now_s + 1);
		return d->set.conn_type >= DOS_REFUSE;
	}
	a->conn_until_s = 0;
	if (a->n_conns <= d->set.max_concurrent)
		return false;
	d->figures.concurrent_refused++;
	crowd_told(d, a, now_s);
	return d->set.conn_type >= DOS_REFUSE;
}

static void conn_count(struct dos *d, struct address *a, uint64_t now_s)
{
	if (!a->n_conns++)
		idle_remove(d, a);
	if (d->set.conns && a->n_conns > d->set.max_concurrent)
		crowd_told(d, a, now_s);
}

enum dos_conn dos_connected(struct dos *d, const struct addr *from, uint64_t now_s)
{
	struct address *a;

	if (!d || (!d->set.conns && !d->set.circuits))
		return DOS_CONN_FREE;
	forget_old(d, now_s);
	a = address_find(d, from);
	if (a && conn_refused(d, a, now_s))
		return DOS_CONN_REFUSED;
	if (!a && !(a = address_new(d, from, now_s)))
		return DOS_CONN_FREE;
	conn_count(d, a, now_s);
	if (tokens_take(&a->connects, d->set.connect_rate, d->set.connect_burst, now_s) &&
	    !a->conn_until_s && d->set.conns) {
		a->conn_until_s = mark_end(d, d->set.connect_period_s, now_s);
		if (d->set.conn_type >= DOS_REFUSE)
			deny(d, a, CTL_DENY_MARKED, a->conn_until_s - now_s + 1);
	}
	return DOS_CONN_COUNTED;
}

bool dos_was_connected(struct dos *d, const struct addr *from, uint64_t now_s)
{
	struct address *a;

	if (!d || (!d->set.conns && !d->set.circuits))
		return false;
	a = address_find(d, from);
	if (!a && !(a = address_new(d, from, now_s)))
		return false;
	conn_count(d, a, now_s);
	return true;
}

void dos_disconnected(struct dos *d, const struct addr *from, uint64_t now_s)
{
	struct address *a = d ? address_find(d, from) : NULL;

	if (!a || !a->n_conns)
		return;
	a->n_conns--;
	if (a->crowd_told_s > now_s && a->n_conns <= d->set.max_concurrent) {
		a->crowd_told_s = 0;
		deny(d, a, CTL_DENY_CROWDED, 0);
	}
	if (!a->n_conns)
		idle_add(d, a, now_s);
}

/* ---- circuits ---- */

bool dos_create(struct dos *d, const struct addr *from, uint64_t now_s)
{
	struct address *a = d && d->set.circuits ? address_find(d, from) : NULL;

	if (!a)
		return true;
	if (tokens_take(&a->circuits, d->set.circ_rate, d->set.circ_burst, now_s) &&
	    a->n_conns >= d->set.circ_min_conns)
		mark_circuits(d, a, &d->figures.marked, now_s);
	if (!a->circ_until_s || a->circ_until_s < now_s)
		return true;
	d->figures.circuits_refused++;
	tell_circuits(d, a, now_s);
	return d->set.circ_type < DOS_REFUSE;
}

void dos_queue_full(struct dos *d, const struct addr *from, uint64_t now_s)
{
	struct address *a = d && d->set.circuits ? address_find(d, from) : NULL;

	if (!a || !d->set.max_outq || (a->circ_until_s && a->circ_until_s >= now_s) ||
	    ++a->n_outq < d->set.max_outq)
		return;
	mark_circuits(d, a, &d->figures.marked_outq, now_s);
	a->n_outq = 0;
}

/* ---- settings ---- */

static void lift(struct dos *d, struct address *a, bool conns, bool circuits, uint64_t now_s)
{
	if (conns && a->conn_until_s >= now_s && a->conn_until_s)
		deny(d, a, CTL_DENY_MARKED, 0);
	if (conns && a->crowd_told_s > now_s)
		deny(d, a, CTL_DENY_CROWDED, 0);
	if (circuits && a->circ_told_s > now_s)
		deny(d, a, CTL_DENY_CIRCUITS, 0);
	if (conns)
		a->conn_until_s = a->crowd_told_s = 0;
	if (circuits)
		a->circ_until_s = a->circ_told_s = 0;
}

void dos_configure(struct dos *d, const struct dos_settings *s, uint64_t now_s)
{
	bool conns = d->set.conns && (!s->conns || s->conn_type < DOS_REFUSE);
	bool circuits = d->set.circuits && (!s->circuits || s->circ_type < DOS_REFUSE);

	for (uint32_t i = 0; (conns || circuits) && i < d->slots.n_touched; i++)
		if (slots_live(&d->slots, i))
			lift(d, &d->row[i], conns, circuits, now_s);
	d->set = *s;
}
