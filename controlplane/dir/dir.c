/* dir.c - the room's life: start, ticks, end, and what `ramson status` is told. */
#include <stdlib.h>

#include "controlplane/dir/internal.h"
#include "controlplane/keys/keys.h"

static int stores_init(struct dir *d)
{
	if (store_init(&d->docs[FLAVOUR_NS], 20, d->key))
		return ERR_FULL;
	if (store_init(&d->docs[FLAVOUR_MICRODESC], 32, d->key)) {
		store_fini(&d->docs[FLAVOUR_NS]);
		return ERR_FULL;
	}
	return 0;
}

struct dir *dir_new(const struct dir_setup *s, int64_t now)
{
	struct dir *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->config = s->config;
	d->keys = s->keys;
	d->fetch = s->fetch;
	d->fetch_ctx = s->fetch_ctx;
	rng_seed(&d->rng, s->seed);
	d->key.k[0] = rng_u64(&d->rng);
	d->key.k[1] = rng_u64(&d->rng);
	d->now = d->cache_at = d->state_at = now;
	d->started = s->since ? s->since : now;
	d->fetcher.turn = rng_u32(&d->rng) % CONFIG_DIR_AUTHS;
	params_read(d->params, bytes_of("", 0));
	bwhist_init(&d->read, now);
	bwhist_init(&d->written, now);
	bwhist_init(&d->dir_read, now);
	bwhist_init(&d->dir_written, now);
	if (stores_init(d)) {
		free(d);
		return NULL;
	}
	cache_load(d, now);
	d->changed = s->changed;
	d->changed_ctx = s->changed_ctx;
	return d;
}

void dir_free(struct dir *d)
{
	if (!d)
		return;
	cache_tick(d, d->now, true);
	packing_fini(d);
	fetch_fini(d);
	publish_fini(d);
	for (unsigned f = 0; f < N_FLAVOURS; f++) {
		consensus_free(d->current[f]);
		consensus_free(d->pending[f]);
		store_fini(&d->docs[f]);
	}
	nodes_fini(&d->nodes);
	auth_certs_fini(&d->certs);
	free(d->policy);
	free(d->policy6);
	free(d);
}

void dir_reconfigure(struct dir *d, const struct config *config, int64_t now)
{
	d->config = config;
	publish_dirty(d, "config change");
	d->now = now;
}

void dir_tick(struct dir *d, int64_t now)
{
	d->now = now;
	fetch_tick(d, now);
	publish_tick(d, now);
	packing_tick(d);
	cache_tick(d, now, false);
	bwhist_add(&d->dir_read, now, 0);
	bwhist_add(&d->dir_written, now, 0);
}

static void status_consensus(const struct dir *d, int64_t now, struct dir_status *s)
{
	const struct consensus *c = d->current[FLAVOUR_MICRODESC];
	const struct dir_node *n;

	if (!c)
		return;
	s->has_consensus = consensus_usable(c, now);
	s->valid_after = c->valid_after;
	s->fresh_until = c->fresh_until;
	s->valid_until = c->valid_until;
	s->n_nodes = c->n_nodes;
	n = consensus_find(c, keys_rsa_id(d->keys));
	if (!n)
		return;
	s->is_listed = true;
	s->flags = n->flags;
	s->bandwidth = n->bandwidth;
}

void dir_status(const struct dir *d, int64_t now, struct dir_status *s)
{
	memset(s, 0, sizeof(*s));
	status_consensus(d, now, s);
	s->n_mds = d->n_mds;
	s->n_descriptors = d->docs[FLAVOUR_NS].n;
	s->reachable4 = is_reachable(d, 4);
	s->reachable6 = is_reachable(d, 6);
	for (unsigned i = 0; i < CONFIG_DIR_AUTHS; i++) {
		s->n_accepted += d->pub.to[i].accepted;
		s->published = MAX(s->published, d->pub.to[i].accepted_at);
	}
	s->observed = MIN(bwhist_best(&d->read, 0), bwhist_best(&d->written, 0));
	s->why_not_published = d->pub.why_not;
	s->n_requests = d->n_requests;
	s->n_bytes_served = d->n_bytes_served;
	s->n_fetches = d->fetcher.n_fetches;
	s->n_fetch_failures = d->fetcher.n_failures;
}
