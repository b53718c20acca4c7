/* layer.c - the one layer of a circuit of ours, that of the relay under test: tor1 or CGO. */
#include "bench/load/load.h"

void layer_start(struct load *ld, struct circ *c, const struct handshake_done *done)
{
	c->cgo = done->scheme != 0;
	if (c->cgo)
		cgo_layer_init(&ld->cipher, &c->layer.cgo, done->keys);
	else
		tor1_layer_init(&ld->cipher, &c->layer.tor1, done->keys);
}

void layer_seal(struct load *ld, struct circ *c, uint8_t command, uint8_t *payload,
		uint8_t tag[SHA1_LEN])
{
	if (c->cgo)
		cgo_client_seal(&ld->cipher, &c->layer.cgo, command, payload, tag);
	else
		tor1_client_seal(&ld->cipher, &c->layer.tor1, 0, payload, tag);
}

void layer_pass(struct load *ld, struct circ *c, uint8_t *payload)
{
	if (c->cgo)
		cgo_client_pass(&ld->cipher, &c->layer.cgo, CELL_RELAY, payload);
	else
		aes_ctr_run(&ld->cipher, &c->layer.tor1.fwd, payload, payload, CELL_PAYLOAD);
}

bool layer_open(struct load *ld, struct circ *c, uint8_t *payload, uint8_t tag[SHA1_LEN])
{
	if (c->cgo)
		return cgo_client_open(&ld->cipher, &c->layer.cgo, CELL_RELAY, payload, tag);
	return tor1_client_open(&ld->cipher, &c->layer.tor1, 1, payload, tag) == 0;
}

void layer_back(struct load *ld, struct circ *c, uint8_t *payload)
{
	uint8_t tag[SHA1_LEN];

	if (!c->cgo)
		aes_ctr_run(&ld->cipher, &c->layer.tor1.back, payload, payload, CELL_PAYLOAD);
	else if (cgo_client_open(&ld->cipher, &c->layer.cgo, CELL_RELAY, payload, tag))
		load_fail(ld, "a cell of the relay's own where the sink's should be");
}
