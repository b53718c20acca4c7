/* control.c - what control does for each circuit and link: handshakes and signatures. */
#include "bench/micro/micro.h"

#include "controlplane/handshake/handshake.h"
#include "controlplane/keys/keys.h"
#include "dataplane/cipher/x25519.h"

#include <stdlib.h>

struct products {
	struct x25519 x;
	unsigned n;
	uint8_t secret[64][32], point[64][32], out[64][32];
};

static struct products *products_make(uint64_t size, unsigned flags)
{
	struct products *p = micro_new(1, sizeof(*p));

	x25519_init(&p->x, flags);
	p->n = (unsigned)size;
	micro_fill(p->secret, sizeof(p->secret));
	micro_fill(p->point, sizeof(p->point));
	return p;
}

static void *x25519_make(uint64_t size)
{
	return products_make(size, 0);
}

static void *x25519_openssl_make(uint64_t size)
{
	return products_make(size, X25519_PORTABLE);
}

static void x25519_run(void *state, unsigned n)
{
	struct products *p = state;

	for (unsigned i = 0; i < n; i += p->n)
		x25519_many(&p->x, p->out, p->secret, p->point, p->n);
}

static void public_run(void *state, unsigned n)
{
	struct products *p = state;

	for (unsigned i = 0; i < n; i += p->n)
		if (x25519_public(&p->x, p->out, p->secret, p->n) < 0)
			abort();
}

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

/* n at a time, as the pool answers them. */
struct shakes {
	struct shake *one;
	unsigned n;
	struct x25519 x;
	struct handshake_bulk bulk;
	struct handshake_done done[HANDSHAKE_BATCH];
	struct handshake_ask ask[HANDSHAKE_BATCH];
};

static void *shakes_make(uint64_t n, uint16_t type)
{
	struct shakes *s = micro_new(1, sizeof(*s));

	s->one = shake_make(type);
	s->n = (unsigned)n;
	x25519_init(&s->x, 0);
	s->bulk.x = &s->x;
	for (unsigned i = 0; i < n; i++)
		s->ask[i] = (struct handshake_ask) {type,	 &s->one->keys, s->one->skin,
						    s->one->len, &s->done[i],	0};
	return s;
}

static void *shakes_ntor_make(uint64_t n)
{
	return shakes_make(n, HANDSHAKE_NTOR);
}

static void *shakes_ntor3_make(uint64_t n)
{
	return shakes_make(n, HANDSHAKE_NTOR3);
}

static void shakes_run(void *state, unsigned n)
{
	struct shakes *s = state;

	for (unsigned i = 0; i < n; i += s->n) {
		handshake_answer_many(&s->bulk, s->ask, s->n);
		if (s->ask[0].error)
			abort();
	}
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
	{"x25519 openssl", "a product, its secret unpacked each time", 1, 0, x25519_openssl_make,
	 x25519_run, NULL},
	{"x25519", "a product, so many at once", 1, 0, x25519_make, x25519_run, NULL},
	{"x25519", "", 2, 0, x25519_make, x25519_run, NULL},
	{"x25519", "", 8, 6550, x25519_make, x25519_run, NULL},
	{"x25519", "", 32, 6550, x25519_make, x25519_run, NULL},
	{"x25519 public openssl", "times the base point", 1, 0, x25519_openssl_make, public_run,
	 NULL},
	{"x25519 public", "", 16, 0, x25519_make, public_run, NULL},
	{"handshake fast", "answered on this thread", HANDSHAKE_FAST, 0, shake_make, shake_run,
	 NULL},
	{"handshake ntor", "", HANDSHAKE_NTOR, 22000, shake_make, shake_run, NULL},
	{"handshake ntor3", "", HANDSHAKE_NTOR3, 0, shake_make, shake_run, NULL},
	{"handshake ntor many", "so many together, one of them", 1, 0, shakes_ntor_make, shakes_run,
	 NULL},
	{"handshake ntor many", "", 4, 22000, shakes_ntor_make, shakes_run, NULL},
	{"handshake ntor many", "", 16, 22000, shakes_ntor_make, shakes_run, NULL},
	{"handshake ntor3 many", "", 16, 0, shakes_ntor3_make, shakes_run, NULL},
	{"ed25519 sign", "256 bytes", 256, 38000, sign_make, sign_run, NULL},
	{"ed25519 check", "", 256, 102000, sign_make, check_run, NULL},
	{NULL, NULL, 0, 0, NULL, NULL, NULL},
};
