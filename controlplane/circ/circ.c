/* circ.c - the room's life, the table of circuits, and the table of messages that come up the wall
 * about circuits and streams. */
#include "controlplane/circ/internal.h"

#include <stdlib.h>
#include <sys/random.h>

#define BUCKETS_FIRST 1024

/* ---- tables by id ---- */

int table_init(struct table *t, struct hash_key key)
{
	*t = (struct table) {.key = key, .n_buckets = BUCKETS_FIRST};
	t->buckets = calloc(t->n_buckets, sizeof(*t->buckets));
	return t->buckets ? 0 : ERR_FULL;
}

void table_fini(struct table *t)
{
	free(t->buckets);
	t->buckets = NULL;
}

static struct chain **bucket_of(const struct table *t, wid id)
{
	return &t->buckets[hash_u64(&t->key, id) & (t->n_buckets - 1)];
}

void *table_find(const struct table *t, wid id)
{
	struct chain *k = *bucket_of(t, id);

	while (k && k->id != id)
		k = k->next;
	return k;
}

/* Twice the buckets; when memory is short the chains just grow. */
static void table_grow(struct table *t)
{
	struct table wide = {.key = t->key, .n = t->n, .n_buckets = t->n_buckets * 2};

	wide.buckets = calloc(wide.n_buckets, sizeof(*wide.buckets));
	if (!wide.buckets)
		return;
	for (uint32_t i = 0; i < t->n_buckets; i++)
		for (struct chain *k = t->buckets[i], *next; k; k = next) {
			struct chain **b = bucket_of(&wide, k->id);

			next = k->next;
			k->next = *b;
			*b = k;
		}
	free(t->buckets);
	*t = wide;
}

int table_add(struct table *t, void *item)
{
	struct chain *k = item, **b;

	if (t->n >= CIRCS_MAX)
		return ERR_FULL;
	if (t->n >= t->n_buckets)
		table_grow(t);
	b = bucket_of(t, k->id);
	k->next = *b;
	*b = k;
	t->n++;
	return 0;
}

void table_del(struct table *t, void *item)
{
	struct chain **at = bucket_of(t, ((struct chain *)item)->id);

	while (*at && *at != item)
		at = &(*at)->next;
	if (*at) {
		*at = (*at)->next;
		t->n--;
	}
}

void *table_next(const struct table *t, void *item)
{
	struct chain *k = item;
	uint32_t i = 0;

	if (k && k->next)
		return k->next;
	if (k)
		i = (uint32_t)(bucket_of(t, k->id) - t->buckets) + 1;
	for (; t->n && i < t->n_buckets; i++)
		if (t->buckets[i])
			return t->buckets[i];
	return NULL;
}

void *table_any(const struct table *t)
{
	return table_next(t, NULL);
}

_Static_assert(offsetof(struct circ, id) == offsetof(struct chain, id) &&
		       offsetof(struct circ, next) == offsetof(struct chain, next) &&
		       offsetof(struct dirstream, id) == offsetof(struct chain, id) &&
		       offsetof(struct dirstream, next) == offsetof(struct chain, next),
	       "both kinds are chained alike");

/* ---- circuits ---- */

struct circ *circ_find(struct circs *c, wid id)
{
	return table_find(&c->circs, id);
}

int circ_send(struct circs *c, uint16_t type, wid id, uint32_t arg, const void *body,
	      size_t body_len, const void *tail, size_t tail_len)
{
	return door_send(c->at.door, wid_worker(id), type, id, arg, body, body_len, tail, tail_len);
}

void circ_drop(struct circ *k)
{
	struct circs *c = k->room;

	if (k->ticket && c->at.pool)
		handshake_pool_cancel(c->at.pool, k->ticket);
	circ_extend_cancel(k);
	hs_leg_gone(c->at.hs, &k->hs);
	table_del(&c->circs, k);
	wipe(k, sizeof(*k));
	free(k);
}

void circ_shut(struct circ *k, uint8_t reason)
{
	circ_send(k->room, CTL_CIRC_CLOSE, k->id, reason, NULL, 0, NULL, 0);
	circ_drop(k);
}

void circ_in_closed(const struct circ_in *m)
{
	struct circ *k = circ_find(m->c, m->head->id);
	const struct circ_outside *out = &m->c->at.out;
	const struct link_peer *peer =
		k && m->head->arg & CTL_CLOSED_OUTQ ? out->peer(out->arg, k->conn) : NULL;

	if (peer)
		out->queue_full(out->arg, peer);
	/* One that we closed ourselves is forgotten already. */
	if (k)
		circ_drop(k);
}

void circ_in_refused(const struct circ_in *m)
{
	m->c->figures.unknown++; /* its subject ended while the message was on its way down */
}

/* ---- the messages; the door has checked that the body is whole ---- */
static const struct {
	uint16_t type;
	void (*in)(const struct circ_in *m);
} rows[] = {
	{CTL_CIRC_CREATE, circ_in_create},
	{CTL_CIRC_RECV, circ_in_recv},
	{CTL_CIRC_DONE, circ_in_done},
	{CTL_CIRC_CLOSED, circ_in_closed},
	{CTL_CIRC_REPLAY, circ_in_replay},
	{CTL_STREAM_RECV, circ_in_stream},
	{CTL_STREAM_READ, circ_in_stream_read},
	{CTL_STREAM_CREDIT, circ_in_stream_credit},
	{CTL_STREAM_CLOSED, circ_in_stream_closed},
	{CTL_CTL_REFUSED, circ_in_refused},
};

void circ_message(struct circs *c, const struct ctl_head *head, const void *body, struct bytes tail)
{
	const struct circ_in m = {c, head, body, tail};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].type == head->type) {
			rows[i].in(&m);
			return;
		}
	c->figures.malformed++;
}

/* ---- the room ---- */

int circ_new(struct circs **room, const struct circ_rooms *rooms)
{
	struct circs *c = calloc(1, sizeof(*c));
	struct hash_key keys[2];

	if (!c)
		return ERR_FULL;
	c->at = *rooms;
	if (!c->at.dir_bytes_max)
		c->at.dir_bytes_max = DIR_BYTES_MAX;
	if (getrandom(keys, sizeof(keys), 0) != sizeof(keys) || table_init(&c->circs, keys[0]) ||
	    table_init(&c->dirstreams, keys[1])) {
		circ_free(c);
		return ERR_FULL;
	}
	*room = c;
	return 0;
}

void circ_set_pool(struct circs *c, struct handshake_pool *pool)
{
	c->at.pool = pool;
}

void circ_forget_all(struct circs *c)
{
	struct dirstream *d;
	struct circ *k;

	while ((k = table_any(&c->circs)))
		circ_drop(k);
	while ((d = table_any(&c->dirstreams)))
		dirstream_drop(c, d);
}

void circ_free(struct circs *c)
{
	if (!c)
		return;
	c->at.pool = NULL; /* freed before us */
	if (c->circs.buckets && c->dirstreams.buckets)
		circ_forget_all(c);
	table_fini(&c->circs);
	table_fini(&c->dirstreams);
	free((void *)c->set.deny);
	free(c);
}

int circ_configure(struct circs *c, const struct circ_settings *s)
{
	struct addr *deny = calloc(s->n_deny + 1, sizeof(*deny));

	if (!deny)
		return ERR_FULL;
	if (s->n_deny)
		memcpy(deny, s->deny, s->n_deny * sizeof(*deny));
	free((void *)c->set.deny);
	c->set = *s;
	c->set.deny = deny;
	return 0;
}

const struct circ_figures *circ_figures(struct circs *c)
{
	c->figures.n_circs = c->circs.n;
	c->figures.n_dir_streams = c->dirstreams.n;
	return &c->figures;
}

void circ_on_answered(struct circs *c, circ_answered_fn *fn, void *arg)
{
	c->answered = fn;
	c->answered_arg = arg;
}
