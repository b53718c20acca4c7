/* denied.c - parties that are refused for a while: a set-associative table, keyed, of fixed size.
 */
#include "dataplane/base/base.h"

_Static_assert(sizeof(struct denied_row) == 32, "a bucket is two lines");

int denied_init(struct denied *d, uint32_t n, struct hash_key key)
{
	uint32_t buckets = 1;

	while (buckets * DENIED_WAYS < n)
		buckets *= 2;
	*d = (struct denied) {.key = key, .mask = buckets - 1};
	d->buckets = column_new(buckets, sizeof(*d->buckets));
	return d->buckets ? 0 : ERR_FULL;
}

void denied_fini(struct denied *d)
{
	if (d->buckets)
		column_free(d->buckets, (size_t)d->mask + 1, sizeof(*d->buckets));
	*d = (struct denied) {0};
}

static struct denied_row *bucket_of(const struct denied *d, const struct addr *party)
{
	uint64_t hash = hash_bytes(&d->key, party->ip, sizeof(party->ip)) ^ party->family;

	return d->buckets[hash & d->mask];
}

static bool row_is(const struct denied_row *r, const struct addr *party)
{
	return r->family == party->family && memcmp(r->ip, party->ip, sizeof(r->ip)) == 0;
}

/* The second in which the last reason of a row ends. */
static uint32_t row_end(const struct denied_row *r)
{
	uint32_t end = 0;

	for (unsigned i = 0; i < DENIED_WHYS; i++)
		end = MAX(end, r->until_s[i]);
	return end;
}

int denied_set(struct denied *d, const struct addr *a, unsigned why, uint32_t until_s,
	       uint32_t now_s)
{
	struct addr party = addr_party(a);
	struct denied_row *rows = bucket_of(d, &party), *r = rows;
	bool lost;

	for (unsigned i = 0; i < DENIED_WAYS; i++) {
		if (row_is(&rows[i], &party)) {
			rows[i].until_s[why] = until_s;
			return 0;
		}
		if (row_end(&rows[i]) < row_end(r))
			r = &rows[i];
	}
	if (until_s < now_s || !until_s)
		return 0;
	lost = row_end(r) >= now_s && row_end(r);
	*r = (struct denied_row) {.family = party.family};
	memcpy(r->ip, party.ip, sizeof(r->ip));
	r->until_s[why] = until_s;
	return lost ? ERR_FULL : 0;
}

unsigned denied_whys(const struct denied *d, const struct addr *a, uint32_t now_s)
{
	struct addr party = addr_party(a);
	const struct denied_row *rows = bucket_of(d, &party);
	unsigned whys = 0;

	for (unsigned i = 0; i < DENIED_WAYS; i++) {
		if (!row_is(&rows[i], &party))
			continue;
		for (unsigned k = 0; k < DENIED_WHYS; k++)
			whys |= (unsigned)(rows[i].until_s[k] && rows[i].until_s[k] >= now_s) << k;
	}
	return whys;
}
