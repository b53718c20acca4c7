/* cgo.c - Counter Galois Onion as a client holds it, for circuits that begin here (interop section
 * 2.3): a relay encrypts in both directions, a client decrypts. */
#include "dataplane/cipher/internal.h"

void cgo_layer_init(const struct cipher *c, struct cgo_layer *l, const uint8_t keys[CGO_KEYS])
{
	uiv_init(c, &l->fwd, keys);
	uiv_init(c, &l->back, keys + UIV_KEYS);
}

void cgo_client_pass(const struct cipher *c, struct cgo_layer *l, uint8_t command,
		     uint8_t payload[RELAY_PAYLOAD])
{
	uiv_decrypt(c, &(struct uiv_cell) {&l->fwd, payload, payload, command, NULL});
}

void cgo_client_seal(const struct cipher *c, struct cgo_layer *l, uint8_t command,
		     uint8_t payload[RELAY_PAYLOAD], uint8_t tag[UIV_TAG])
{
	struct uiv *u = &l->fwd;

	memcpy(payload, u->nonce, UIV_TAG);
	cgo_client_pass(c, l, command, payload);
	memcpy(tag, payload, UIV_TAG);
	uiv_update(c, &u, 1);
}

bool cgo_client_open(const struct cipher *c, struct cgo_layer *l, uint8_t command,
		     uint8_t payload[RELAY_PAYLOAD], uint8_t tag[UIV_TAG])
{
	struct uiv *u = &l->back;

	uiv_decrypt(c, &(struct uiv_cell) {u, payload, payload, command, NULL});
	if (!same_bytes(payload, u->nonce, UIV_TAG))
		return false;
	memcpy(tag, u->last, UIV_TAG);
	memcpy(u->nonce, u->last, UIV_TAG);
	uiv_update(c, &u, 1);
	return true;
}
