/* selftest.c - circuits through others to ourselves: they prove our ORPort (T1) and carry the DROP
 * cells that seed the bandwidth observation (T3). */
#include "controlplane/origin/internal.h"

#define DROPS_MAX    1000
#define DROPS_A_TICK 64
#define AGAIN_US     10000000ull

/* A relay to build through: it runs, its keys are known, it is not us and not in the path. */
static bool is_fit(const struct origin *o, const struct dir_node *n, const struct dir_target *path,
		   unsigned n_path, int family)
{
	static const uint8_t none[32];

	if (!n->has_md || !(n->flags & DIR_RUNNING) || !(n->flags & DIR_VALID) ||
	    memcmp(n->ntor_key, none, 32) == 0 || memcmp(n->rsa_id, keys_rsa_id(o->keys), 20) == 0)
		return false;
	for (unsigned i = 0; i < n_path; i++)
		if (memcmp(path[i].rsa_id, n->rsa_id, 20) == 0)
			return false;
	/* who dials us over IPv6 must have it */
	return family == 4 ? n->or4.family != 0 : n->or6.family != 0;
}

/* Which relay would be best. One that has a link with us uses it, whatever address we name; so in a
 * small network authorities, which we have dialled already, make the first hop, and the others are
 * shared out between the families that they are to dial. */
enum wish { ANY, AUTHORITY, DIALS_4, DIALS_6 };
static bool is_wished(const struct origin *o, unsigned i, enum wish wish)
{
	bool is_auth = dir_node_at(o->dir, i)->flags & DIR_AUTHORITY;
	unsigned rank = 0;

	if (wish == ANY || is_auth)
		return wish == ANY || wish == AUTHORITY;
	for (unsigned k = 0; k < i; k++)
		rank += !(dir_node_at(o->dir, k)->flags & DIR_AUTHORITY);
	return wish == (rank % 2 ? DIALS_6 : DIALS_4);
}

/* A fit relay, beginning anywhere; as wished when there is one. */
static bool pick(struct origin *o, struct dir_target *path, unsigned n_path, int family,
		 enum wish wish)
{
	unsigned n = dir_n_nodes(o->dir), start;

	if (!n)
		return false;
	start = rng_below(&o->rng, n);
	for (unsigned k = 0; k < 2 * n; k++) {
		unsigned i = (start + k) % n;

		if ((k >= n || is_wished(o, i, wish)) &&
		    is_fit(o, dir_node_at(o->dir, i), path, n_path, family)) {
			dir_target_of(&path[n_path], dir_node_at(o->dir, i));
			return true;
		}
	}
	return false;
}

static void ourselves(struct origin *o, struct dir_target *t, int family)
{
	struct onion_keys *onion = keys_onion_get(o->keys);

	memset(t, 0, sizeof(*t));
	memcpy(t->rsa_id, keys_rsa_id(o->keys), 20);
	memcpy(t->ed_id, keys_ed_id(o->keys), 32);
	memcpy(t->ntor_key, onion->ntor[0].public_key, 32);
	onion_keys_put(onion);
	if (family == 4)
		t->or4 = o->config->address4;
	else
		t->or6 = o->config->address6;
}

static unsigned tests_alive(const struct origin *o, int family)
{
	unsigned n = 0;

	for (unsigned i = 0; i < ORIGIN_CIRCS; i++) {
		const struct circuit *c = o->circs[i];

		n += c && c->kind == CIRC_TEST && c->state != CIRC_DEAD && c->family == family;
	}
	return n;
}

/* The last but one dials us; a first hop before it when there is another relay. */
static int test_start(struct origin *o, int family)
{
	bool is_small = o->config->testing_tor_network;
	enum wish dials = family == 4 ? DIALS_4 : DIALS_6;
	struct dir_target path[HOPS_MAX], second;
	unsigned n = 0;
	struct circuit *c;

	if (!pick(o, path, 0, family, is_small ? dials : ANY))
		return ERR_NOT_NOW;
	second = path[n++];
	if (pick(o, path, n, 4, is_small ? AUTHORITY : ANY)) {
		path[0] = path[1];
		path[1] = second;
		n++;
	}
	ourselves(o, &path[n++], family);
	c = circuit_new(o, CIRC_TEST, path, n);
	if (!c)
		return ERR_FULL;
	c->family = family;
	circuit_start(c);
	return 0;
}

int origin_selftest(struct origin *o, int family, uint64_t now_us)
{
	const struct addr *a = family == 4 ? &o->config->address4 : &o->config->address6;
	int error = 0;

	o->now_us = now_us;
	if (!a->family)
		return ERR_NOT_NOW;
	for (unsigned n = tests_alive(o, family); n < ORIGIN_TESTS && !error; n++)
		error = test_start(o, family);
	return error;
}

int origin_bandwidth_test(struct origin *o, uint64_t now_us)
{
	struct circuit *open[ORIGIN_CIRCS];
	uint64_t n_cells = MIN((uint64_t)o->config->relay_rate * 10 / CELL_LEN, DROPS_MAX);
	unsigned n = 0;

	o->now_us = now_us;
	for (unsigned i = 0; i < ORIGIN_CIRCS; i++) {
		struct circuit *c = o->circs[i];

		if (c && c->kind == CIRC_TEST && c->state == CIRC_OPEN)
			open[n++] = c;
	}
	if (n < ORIGIN_TESTS) {
		if (!o->tested_us || now_us - o->tested_us > AGAIN_US) {
			o->tested_us = now_us + 1; /* never 0 */
			origin_selftest(o, 4, now_us);
		}
		return ERR_NOT_NOW;
	}
	for (unsigned i = 0; i < n; i++)
		open[i]->n_drop = (unsigned)(n_cells / n);
	log_info("Bandwidth self-test over %u circuits.", n);
	return (int)n;
}

void test_tick(struct circuit *c)
{
	uint8_t tag[SHA1_LEN];

	for (unsigned i = 0; i < DROPS_A_TICK && c->n_drop && c->state == CIRC_OPEN; i++) {
		c->n_drop--;
		c->moved_us = c->o->now_us;
		circuit_send(c, CELL_RELAY, RELAY_DROP, 0, NULL, 0, tag);
	}
}
