/* lookup.c - from a 4-tuple to a conn, a half-open connection or a TIME-WAIT: the first question of
 * tcp_in. Open addressing, eight entries a line, keyed because strangers choose the tuples. */
#include "dataplane/tcp/internal.h"

#define KIND_SHIFT 30
#define INDEX_MASK ((1u << KIND_SHIFT) - 1)

int lookup_init(struct tcp *t, uint32_t max)
{
	uint32_t cap = 64;

	while (cap < max * 2 && cap < 1u << 30)
		cap *= 2;
	t->tuple_mask = cap - 1;
	t->tuples = column_new(cap, sizeof(*t->tuples));
	return t->tuples ? 0 : ERR_FULL;
}

void lookup_fini(struct tcp *t)
{
	if (t->tuples)
		column_free(t->tuples, (size_t)t->tuple_mask + 1, sizeof(*t->tuples));
	t->tuples = NULL;
}

uint64_t lookup_hash(const struct hash_key *key, const struct addr *local,
		     const struct addr *remote)
{
	size_t len = addr_ip_len(local);
	uint32_t ports = (uint32_t)local->port << 16 | remote->port, l, r;
	uint8_t b[36];

	if (LIKELY(len == 4)) { /* in the words that the hash will read */
		memcpy(&l, local->ip, 4);
		memcpy(&r, remote->ip, 4);
		return hash_bytes(key, (uint64_t[]) {(uint64_t)l << 32 | ports, r}, 12);
	}
	memcpy(b, &ports, 4);
	memcpy(b + 4, local->ip, len);
	memcpy(b + 4 + len, remote->ip, len);
	return hash_bytes(key, b, 4 + 2 * len);
}

uint32_t lookup_tag(const struct tcp *t, const struct addr *local, const struct addr *remote)
{
	return (uint32_t)lookup_hash(&t->tuple_key, local, remote);
}

static bool is_tuple(const struct tcp *t, uint32_t value, const struct addr *local,
		     const struct addr *remote)
{
	uint32_t index = value & INDEX_MASK;
	const struct addr *l, *r;

	if (value >> KIND_SHIFT == HIT_CONN) {
		l = &t->conns[index].local;
		r = &t->conns[index].remote;
	} else if (value >> KIND_SHIFT == HIT_HALF) {
		l = &t->halves[index].local;
		r = &t->halves[index].remote;
	} else {
		l = &t->waits[index].local;
		r = &t->waits[index].remote;
	}
	return addr_same(l, local) && addr_same(r, remote);
}

struct hit lookup_find(const struct tcp *t, uint32_t tag, const struct addr *local,
		       const struct addr *remote)
{
	const struct tuple_entry *e;

	for (uint32_t i = tag & t->tuple_mask;; i = (i + 1) & t->tuple_mask) {
		e = &t->tuples[i];
		if (!e->value)
			return (struct hit) {HIT_NONE, 0};
		if (e->tag == tag && is_tuple(t, e->value, local, remote))
			return (struct hit) {e->value >> KIND_SHIFT, e->value & INDEX_MASK};
	}
}

/* The table has twice the room of all columns that may enter it, so there is a free entry. */
void lookup_put(struct tcp *t, uint32_t tag, uint32_t kind, uint32_t index)
{
	uint32_t i = tag & t->tuple_mask;

	while (t->tuples[i].value)
		i = (i + 1) & t->tuple_mask;
	t->tuples[i] = (struct tuple_entry) {tag, kind << KIND_SHIFT | index};
	t->tuple_version++;
}

void lookup_del(struct tcp *t, uint32_t tag, uint32_t kind, uint32_t index)
{
	uint32_t value = kind << KIND_SHIFT | index, hole = tag & t->tuple_mask, i;

	while (t->tuples[hole].value != value) {
		if (!t->tuples[hole].value)
			return;
		hole = (hole + 1) & t->tuple_mask;
	}
	/* Shift back what probed over the hole. */
	for (i = hole;;) {
		i = (i + 1) & t->tuple_mask;
		if (!t->tuples[i].value)
			break;
		uint32_t home = t->tuples[i].tag & t->tuple_mask;
		if (((i - home) & t->tuple_mask) >= ((i - hole) & t->tuple_mask)) {
			t->tuples[hole] = t->tuples[i];
			hole = i;
		}
	}
	t->tuples[hole] = (struct tuple_entry) {0};
	t->tuple_version++;
}
