/* nodes.c - who is who: the index over the relays of the microdescriptor consensus. */
#include "controlplane/config/config.h"
#include "controlplane/dir/internal.h"

void nodes_fini(struct nodes *ns)
{
	if (!ns->made)
		return;
	map_fini(&ns->by_ed);
	map_fini(&ns->by_addr);
	map_fini(&ns->by_ip);
	memset(ns, 0, sizeof(*ns));
}

static uint64_t nonzero(uint64_t k)
{
	return k ? k : 1;
}

static uint64_t ed_key(const struct nodes *ns, const uint8_t ed_id[32])
{
	return nonzero(hash_bytes(&ns->by_ed.key, ed_id, 32));
}

static uint64_t addr_key(const struct map *m, const struct addr *a, bool with_port)
{
	uint8_t b[19];

	b[0] = a->family;
	memcpy(b + 1, a->ip, 16);
	be16_put(b + 17, with_port ? a->port : 0);
	return nonzero(hash_bytes(&m->key, b, sizeof(b)));
}

static void addr_put(struct nodes *ns, const struct addr *a, uint32_t i)
{
	if (!a->family)
		return;
	map_put(&ns->by_addr, addr_key(&ns->by_addr, a, true), i);
	map_put(&ns->by_ip, addr_key(&ns->by_ip, a, false), i);
}

static bool is_zero(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i])
			return false;
	return true;
}

/* Reads a node's microdescriptor when it is there. */
static void node_fill(struct dir_node *n, const struct store *mds)
{
	struct doc *d = n->has_md ? NULL : store_find(mds, n->md_digest);
	struct microdesc m;
	struct bytes text;

	if (!d)
		return;
	text = bytes_of(d->text->p, d->text->len);
	if (microdesc_next(&m, &text) != 1)
		return;
	memcpy(n->ed_id, m.ed_id, 32);
	memcpy(n->ntor_key, m.ntor_key, 32);
	n->has_md = true;
}

static int maps_init(struct nodes *ns, unsigned n, struct hash_key key)
{
	uint32_t max = 2 * n + 16;

	nodes_fini(ns);
	if (map_init(&ns->by_ed, max, key))
		return ERR_FULL;
	if (map_init(&ns->by_addr, max, key)) {
		map_fini(&ns->by_ed);
		return ERR_FULL;
	}
	if (map_init(&ns->by_ip, max, key)) {
		map_fini(&ns->by_ed);
		map_fini(&ns->by_addr);
		return ERR_FULL;
	}
	ns->made = true;
	return 0;
}

int nodes_index(struct nodes *ns, struct consensus *c, const struct store *mds, struct hash_key key,
		unsigned *n_mds)
{
	int error = maps_init(ns, c->n_nodes, key);

	*n_mds = 0;
	if (error)
		return error;
	for (uint32_t i = 0; i < c->n_nodes; i++) {
		struct dir_node *n = &c->nodes[i];

		node_fill(n, mds);
		*n_mds += n->has_md;
		if (!is_zero(n->ed_id, 32) && !(n->flags & DIR_NO_ED))
			map_put(&ns->by_ed, ed_key(ns, n->ed_id), i);
		addr_put(ns, &n->or4, i);
		addr_put(ns, &n->or6, i);
	}
	return 0;
}

/* ---- the public face ---- */
static const struct consensus *listing(const struct dir *d)
{
	return d->current[FLAVOUR_MICRODESC];
}

const struct dir_node *dir_node_by_rsa(const struct dir *d, const uint8_t rsa_id[20])
{
	return listing(d) ? consensus_find(listing(d), rsa_id) : NULL;
}

const struct dir_node *dir_node_by_ed(const struct dir *d, const uint8_t ed_id[32])
{
	const struct dir_node *n;
	uint32_t i;

	if (!d->nodes.made)
		return NULL;
	i = map_get(&d->nodes.by_ed, ed_key(&d->nodes, ed_id));
	n = i == SLOT_NONE ? NULL : dir_node_at(d, i);
	return n && memcmp(n->ed_id, ed_id, 32) == 0 ? n : NULL;
}

const struct dir_node *dir_node_by_addr(const struct dir *d, const struct addr *at)
{
	const struct dir_node *n;
	uint32_t i;

	if (!d->nodes.made)
		return NULL;
	i = map_get(&d->nodes.by_addr, addr_key(&d->nodes.by_addr, at, true));
	n = i == SLOT_NONE ? NULL : dir_node_at(d, i);
	return n && (addr_same(&n->or4, at) || addr_same(&n->or6, at)) ? n : NULL;
}

static bool matches(const struct addr *a, const struct addr *b, bool any_port)
{
	return a->family && (any_port ? addr_same_ip(a, b) : addr_same(a, b));
}

bool dir_is_relay_addr(const struct dir *d, const struct addr *at, bool any_port)
{
	for (int i = 0; i < d->config->n_dir_auths; i++) {
		const struct config_dir_auth *a = &d->config->dir_auth[i];

		if (matches(&a->dir, at, any_port) || matches(&a->or4, at, any_port) ||
		    matches(&a->or6, at, any_port))
			return true;
	}
	if (!any_port)
		return dir_node_by_addr(d, at) != NULL;
	return d->nodes.made &&
	       map_get(&d->nodes.by_ip, addr_key(&d->nodes.by_ip, at, false)) != SLOT_NONE;
}

unsigned dir_n_nodes(const struct dir *d)
{
	return listing(d) ? listing(d)->n_nodes : 0;
}

const struct dir_node *dir_node_at(const struct dir *d, unsigned i)
{
	return i < dir_n_nodes(d) ? &listing(d)->nodes[i] : NULL;
}

void dir_target_of(struct dir_target *t, const struct dir_node *n)
{
	memset(t, 0, sizeof(*t));
	memcpy(t->rsa_id, n->rsa_id, 20);
	memcpy(t->ed_id, n->ed_id, 32);
	memcpy(t->ntor_key, n->ntor_key, 32);
	t->or4 = n->or4;
	t->or6 = n->or6;
}

bool dir_is_authority(const struct dir *d, const uint8_t rsa_id[20])
{
	for (int i = 0; i < d->config->n_dir_auths; i++)
		if (memcmp(d->config->dir_auth[i].rsa_id, rsa_id, 20) == 0)
			return true;
	return false;
}
