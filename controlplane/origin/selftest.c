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

/* What a relay is to do in the path: dial us, if it may over the family that the network's size
 * asks of it; or stand before the one that dials. */
enum part { FIRST, FIRST_SMALL, DIALS, DIALS_SMALL };

/* In a small network authorities, which we have dialled already, make the first hop, and the others
 * are shared out between the families that they are to dial. */
static bool is_wished(const struct origin *o, unsigned i, int family, enum part part)
{
	bool is_auth = dir_node_at(o->dir, i)->flags & DIR_AUTHORITY;
	unsigned rank = 0;

	if (part == FIRST || part == DIALS)
		return true;
	if (is_auth || part == FIRST_SMALL)
		return is_auth && part == FIRST_SMALL;
	for (unsigned k = 0; k < i; k++)
		rank += !(dir_node_at(o->dir, k)->flags & DIR_AUTHORITY);
	return family == (rank % 2 ? 6 : 4);
}

/* A relay that has a link with us uses it, whatever address we name (tor-spec section 5.3.1): then
 * nothing is proven. So who has none comes first, and wishes second. */
static unsigned worth(const struct origin *o, unsigned i, int family, enum part part)
{
	bool dials = part == DIALS || part == DIALS_SMALL;
	bool is_free = !dials || !o->ops.in_the_way(o->ops.ctx, dir_node_at(o->dir, i)->rsa_id,
						    family, false);

	return 1 + 2u * is_free + is_wished(o, i, family, part);
}
#define WORTH_MOST 4

/* The fittest relay, beginning anywhere. */
static bool pick(struct origin *o, struct dir_target *path, unsigned n_path, int family,
		 enum part part)
{
	unsigned n = dir_n_nodes(o->dir), start, best = 0, best_at = 0;

	if (!n)
		return false;
	start = rng_below(&o->rng, n);
	for (unsigned k = 0; k < n && best < WORTH_MOST; k++) {
		unsigned i = (start + k) % n, v = 0;

		if (is_fit(o, dir_node_at(o->dir, i), path, n_path,
			   part == FIRST || part == FIRST_SMALL ? 4 : family))
			v = worth(o, i, family, part);
		if (v > best) {
			best = v;
			best_at = i;
		}
	}
	if (best)
		dir_target_of(&path[n_path], dir_node_at(o->dir, best_at));
	return best != 0;
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

/* Test circuits that opened and left the family unproven went over a link that was there already:
 * they prove nothing any more, and only keep that link. */
static void forget_vain(struct origin *o, int family)
{
	for (unsigned i = 0; i < ORIGIN_CIRCS; i++) {
		struct circuit *c = o->circs[i];

		if (c && c->kind == CIRC_TEST && c->state == CIRC_OPEN && c->family == family)
			circuit_kill(c, 0);
	}
}

/* The last but one dials us; a first hop before it when there is another relay. */
static int test_start(struct origin *o, int family, bool unproven)
{
	bool is_small = o->config->testing_tor_network;
	struct dir_target path[HOPS_MAX], second;
	unsigned n = 0;
	struct circuit *c;

	if (!pick(o, path, 0, family, is_small ? DIALS_SMALL : DIALS))
		return ERR_NOT_NOW;
	second = path[n++];
	/* Nobody is left without a link. Over this one nothing can be proven: it is to go once it
	 * is idle, and then that relay must dial again. */
	if (unproven && o->ops.in_the_way(o->ops.ctx, second.rsa_id, family, true))
		return ERR_FULL;
	if (pick(o, path, n, family, is_small ? FIRST_SMALL : FIRST)) {
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
	bool unproven = dir_wants_selftest(o->dir, family);
	int error = 0;

	o->now_us = now_us;
	if (!a->family)
		return ERR_NOT_NOW;
	if (unproven)
		forget_vain(o, family);
	for (unsigned n = tests_alive(o, family); n < ORIGIN_TESTS && !error; n++)
		error = test_start(o, family, unproven);
	return tests_alive(o, family) ? 0 : error;
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
		c->spent = !c->n_drop;
		circuit_send(c, CELL_RELAY, RELAY_DROP, 0, NULL, 0, tag);
	}
}
