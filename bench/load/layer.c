/* layer.c - the one layer of a circuit of ours, that of the relay under test: tor1 or CGO. */
#include "bench/load/load.h"

/* Our way back is the relay's way forward with the keys of the two ways exchanged. */
static void back_start(struct load *ld, uint32_t i, const uint8_t keys[TOR1_KEYS])
{
	uint8_t turned[TOR1_KEYS];

	memcpy(turned, keys + 20, 20);
	memcpy(turned + 20, keys, 20);
	memcpy(turned + 40, keys + 56, 16);
	memcpy(turned + 56, keys + 40, 16);
	if (onion_start(&ld->back, i, ONION_TOR1, turned, sizeof(turned)) < 0)
		load_fail(ld, "circuit %u has a layer already", i);
	wipe(turned, sizeof(turned));
}

void layer_start(struct load *ld, struct circ *c, const struct handshake_done *done)
{
	c->cgo = done->scheme != 0;
	if (c->cgo)
		cgo_layer_init(&ld->cipher, &c->layer.cgo, done->keys);
	else
		tor1_layer_init(&ld->cipher, &c->layer.tor1, done->keys);
	if (!c->cgo && ld->opt.mode->streams)
		back_start(ld, (uint32_t)(c - ld->circ), done->keys);
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

void late_start(struct load *ld)
{
	if (ld->opt.mode->streams &&
	    onion_init(&ld->back, ld->opt.n_circs, &ld->cipher, &ld->counts) < 0)
		load_fail(ld, "not enough memory for the layers of so many circuits");
}

void late_stop(struct load *ld)
{
	if (ld->opt.mode->streams)
		onion_fini(&ld->back);
}

bool late_put(struct load *ld, uint32_t i, const uint8_t *payload)
{
	struct late *l = &ld->late;
	struct circ *c = &ld->circ[i];
	uint8_t *p = l->payload[l->n];

	if (l->n == LATE_MAX || c->n_late == LATE_DEPTH)
		return false;
	memcpy(p, payload, CELL_PAYLOAD);
	l->n_at[c->n_late]++;
	l->depth[l->n] = c->n_late++;
	l->item[l->n++] =
		(struct onion_item) {.src = p, .dst = p, .circ = i, .command = CELL_RELAY};
	return true;
}

/* The first cells of all circuits, then their second ones: each circuit's in order, and neighbours
 * of different circuits, whose digests share the lanes. */
void late_open(struct load *ld)
{
	struct onion_item in_order[LATE_MAX];
	struct late *l = &ld->late;
	unsigned at[LATE_DEPTH], sum = 0;

	for (unsigned d = 0; d < LATE_DEPTH; d++) {
		at[d] = sum;
		sum += l->n_at[d];
		l->n_at[d] = 0;
	}
	for (unsigned k = 0; k < l->n; k++) {
		ld->circ[l->item[k].circ].n_late = 0;
		in_order[at[l->depth[k]]++] = l->item[k];
	}
	memcpy(l->item, in_order, l->n * sizeof(l->item[0]));
	onion_forward(&ld->back, l->item, l->n);
}
