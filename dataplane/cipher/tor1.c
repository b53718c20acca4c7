/* tor1.c - tor1 layers as a client holds them, for circuits that begin here; plain rather than
 * fast (tor-spec 5.5, 6.1). */
#include "dataplane/cipher/internal.h"

#define RECOGNIZED_AT 1
#define DIGEST_AT     5
#define DIGEST_LEN    4

void tor1_layer_init(const struct cipher *c, struct tor1_layer *l, const uint8_t keys[TOR1_KEYS])
{
	sha1_init(&l->fwd_digest);
	sha1_init(&l->back_digest);
	sha1_update(c, &l->fwd_digest, keys, 20);
	sha1_update(c, &l->back_digest, keys + 20, 20);
	aes_ctr_init(c, &l->fwd, keys + 40);
	aes_ctr_init(c, &l->back, keys + 56);
}

void tor1_client_seal(const struct cipher *c, struct tor1_layer *layers, unsigned hop,
		      uint8_t payload[RELAY_PAYLOAD], uint8_t tag[SHA1_LEN])
{
	memset(payload + DIGEST_AT, 0, DIGEST_LEN);
	sha1_update(c, &layers[hop].fwd_digest, payload, RELAY_PAYLOAD);
	sha1_peek(c, &layers[hop].fwd_digest, tag);
	memcpy(payload + DIGEST_AT, tag, DIGEST_LEN);
	for (unsigned i = hop + 1; i-- > 0;)
		aes_ctr_run(c, &layers[i].fwd, payload, payload, RELAY_PAYLOAD);
}

bool tor1_recognize(const struct cipher *c, struct sha1 *s, uint8_t payload[RELAY_PAYLOAD],
		    uint8_t tag[SHA1_LEN])
{
	struct sha1 after = *s;
	uint8_t field[DIGEST_LEN], digest[SHA1_LEN];

	if (be16_get(payload + RECOGNIZED_AT))
		return false;
	memcpy(field, payload + DIGEST_AT, DIGEST_LEN);
	memset(payload + DIGEST_AT, 0, DIGEST_LEN);
	sha1_update(c, &after, payload, RELAY_PAYLOAD);
	sha1_peek(c, &after, digest);
	memcpy(payload + DIGEST_AT, field, DIGEST_LEN);
	if (!same_bytes(field, digest, DIGEST_LEN))
		return false;
	*s = after;
	memcpy(tag, digest, SHA1_LEN);
	return true;
}

int tor1_client_open(const struct cipher *c, struct tor1_layer *layers, unsigned n_layers,
		     uint8_t payload[RELAY_PAYLOAD], uint8_t tag[SHA1_LEN])
{
	for (unsigned i = 0; i < n_layers; i++) {
		aes_ctr_run(c, &layers[i].back, payload, payload, RELAY_PAYLOAD);
		if (tor1_recognize(c, &layers[i].back_digest, payload, tag))
			return i;
	}
	return ERR_CRYPTO;
}
