/* control.c - what control does for each circuit and link: handshakes and signatures. */
#include "bench/micro/micro.h"

#include "controlplane/handshake/handshake.h"
#include "controlplane/keys/keys.h"

#include <stdlib.h>

struct shake {
	struct handshake_keys keys;
	uint16_t type;
	uint8_t skin[HANDSHAKE_SKIN_MAX];
	size_t len;
};

static void *shake_make(uint64_t type)
{
	struct shake *s = micro_new(1, sizeof(*s));
	struct handshake_client client;
	struct handshake_peer peer = {.rsa_id = {1}, .ed_id = {2}};

	s->type = (uint16_t)type;
	s->keys.n_onion = 1;
	memcpy(s->keys.rsa_id, peer.rsa_id, sizeof(peer.rsa_id));
	memcpy(s->keys.ed_id, peer.ed_id, sizeof(peer.ed_id));
	if (handshake_pair_new(&s->keys.onion[0]) < 0 || handshake_pair_new(&s->keys.junk) < 0)
		abort();
	memcpy(peer.onion, s->keys.onion[0].public, 32);
	if (handshake_begin(&client, s->type, &peer, s->skin, &s->len) < 0)
		abort();
	return s;
}

static void shake_run(void *state, unsigned n)
{
	struct shake *s = state;
	struct handshake_done done;

	while (n--)
		if (handshake_answer(s->type, &s->keys, s->skin, s->len, &done) < 0)
			abort();
}

struct signer {
	uint8_t secret[64], public_key[32], msg[256], sig[64];
};

static void *sign_make(uint64_t size)
{
	struct signer *s = micro_new(1, sizeof(*s));
	uint8_t seed[32];

	micro_fill(seed, sizeof(seed));
	ed25519_expand(seed, s->secret);
	ed25519_public(s->secret, s->public_key);
	if (ed25519_sign(s->msg, size, s->secret, s->public_key, s->sig) < 0)
		abort();
	return s;
}

static void sign_run(void *state, unsigned n)
{
	struct signer *s = state;

	while (n--)
		ed25519_sign(s->msg, sizeof(s->msg), s->secret, s->public_key, s->sig);
}

static void check_run(void *state, unsigned n)
{
	struct signer *s = state;

	while (n--)
		if (!ed25519_check(s->msg, sizeof(s->msg), s->public_key, s->sig))
			abort();
}

const struct row control_rows[] = {
	{"handshake fast", "answered on this thread", HANDSHAKE_FAST, 0, shake_make, shake_run,
	 NULL},
	{"handshake ntor", "", HANDSHAKE_NTOR, 22000, shake_make, shake_run, NULL},
	{"handshake ntor3", "", HANDSHAKE_NTOR3, 0, shake_make, shake_run, NULL},
	{"ed25519 sign", "256 bytes", 256, 38000, sign_make, sign_run, NULL},
	{"ed25519 check", "", 256, 102000, sign_make, check_run, NULL},
	{NULL, NULL, 0, 0, NULL, NULL, NULL},
};
