/* rotate.c - keys that rotate, and the rooms that must hear of it: pool, TLS context, descriptor.
 */
#include "controlplane/main/control.h"

#define KEYS_TICK_S 60

/* What a client may have of us: congestion control unless the consensus turns it off (cc_alg), and
 * with it Counter Galois Onion. */
static struct handshake_terms terms(const struct control *c)
{
	return (struct handshake_terms) {
		.cc = c->config.always_cc || dir_param(c->dir, DIR_PARAM_cc_alg),
		.cgo = 1,
		.sendme_inc = (uint8_t)dir_param(c->dir, DIR_PARAM_cc_sendme_inc)};
}

int rotate_hand_out(struct control *c)
{
	struct onion_keys *o = keys_onion_get(c->keys);
	struct handshake_keys h = {.terms = terms(c), .n_onion = o->n, .junk = c->junk_onion};
	int rc;

	memcpy(h.rsa_id, o->rsa_id, sizeof(h.rsa_id));
	memcpy(h.ed_id, o->ed_id, sizeof(h.ed_id));
	for (unsigned i = 0; i < o->n; i++) {
		memcpy(h.onion[i].secret, o->ntor[i].secret, 32);
		memcpy(h.onion[i].public, o->ntor[i].public_key, 32);
	}
	rc = handshake_pool_keys(c->pool, &h);
	wipe(&h, sizeof(h));
	onion_keys_put(o);
	return rc;
}

static void changed(struct control *c, unsigned what)
{
	if (what & KEYS_ONION && rotate_hand_out(c) < 0)
		log_warn("the new onion key could not be handed to the handshake threads");
	if (what & KEYS_LINK && links_renew(c->links) < 0)
		log_warn("the new link certificates could not be taken into use");
	if (what & (KEYS_ONION | KEYS_SIGNING))
		dir_keys_changed(c->dir);
	if (what & KEYS_EXPIRED) {
		log_err("the signing key has expired and the master key is not here: make a new "
			"one with "
			"\"ramson keygen\" where the master key is, and copy it to %s",
			c->config.keys_dir);
		stop_now(c, 1);
	}
}

void rotate_tick(struct control *c, int64_t now_s)
{
	if (now_s < c->keys_at_s && c->keys_at_s - now_s <= KEYS_TICK_S)
		return;
	c->keys_at_s = now_s + KEYS_TICK_S;
	keys_onion_params(c->keys, (unsigned)dir_param(c->dir, DIR_PARAM_onion_key_rotation_days),
			  (unsigned)dir_param(c->dir, DIR_PARAM_onion_key_grace_period_days));
	changed(c, keys_tick(c->keys, now_s));
}
