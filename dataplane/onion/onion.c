/* onion.c - the columns of every scheme, and batches handed to the scheme that each circuit has. */
#include "dataplane/onion/internal.h"

static bool columns_new(struct onion *o)
{
	o->scheme = column_new(o->n, 1);
	if (!o->scheme)
		return false;
	for (unsigned s = 0; s < N_ONION_SCHEMES; s++) {
		o->format[1 + s] = (uint8_t)onion_rows[s]->format;
		o->layer[s] = column_new(o->n, onion_rows[s]->layer_len);
		o->edge[s] = column_new(o->n, onion_rows[s]->edge_len);
		if (!o->layer[s] || !o->edge[s])
			return false;
	}
	return true;
}

int onion_init(struct onion *o, uint32_t n_circs, struct cipher *cipher, struct counts *counts)
{
	*o = (struct onion) {.cipher = cipher, .counts = counts, .n = n_circs};
	if (columns_new(o))
		return 0;
	onion_fini(o);
	return ERR_FULL;
}

void onion_fini(struct onion *o)
{
	for (uint32_t i = 0; o->scheme && i < o->n; i++)
		onion_stop(o, i);
	for (unsigned s = 0; s < N_ONION_SCHEMES; s++) {
		column_free(o->layer[s], o->n, onion_rows[s]->layer_len);
		column_free(o->edge[s], o->n, onion_rows[s]->edge_len);
	}
	column_free(o->scheme, o->n, 1);
	memset(o, 0, sizeof(*o));
}

size_t onion_keys_len(unsigned scheme)
{
	return scheme < N_ONION_SCHEMES ? onion_rows[scheme]->keys_len : 0;
}

size_t onion_tag_len(unsigned scheme)
{
	return scheme < N_ONION_SCHEMES ? onion_rows[scheme]->tag_len : 0;
}

int onion_start(struct onion *o, uint32_t circ, unsigned scheme, const uint8_t *keys,
		size_t keys_len)
{
	if (circ >= o->n || scheme >= N_ONION_SCHEMES)
		return ERR_UNKNOWN;
	if (keys_len != onion_rows[scheme]->keys_len)
		return ERR_MALFORMED;
	if (o->scheme[circ])
		return ERR_NOT_NOW;
	onion_rows[scheme]->start(o, circ, keys);
	o->scheme[circ] = 1 + scheme;
	return 0;
}

void onion_stop(struct onion *o, uint32_t circ)
{
	const struct onion_row *row;
	unsigned s;

	if (!onion_started(o, circ))
		return;
	s = o->scheme[circ] - 1;
	row = onion_rows[s];
	wipe((uint8_t *)o->layer[s] + circ * row->layer_len, row->layer_len);
	wipe((uint8_t *)o->edge[s] + circ * row->edge_len, row->edge_len);
	o->scheme[circ] = 0;
}

static unsigned scheme_of(const struct onion *o, uint32_t circ)
{
	return circ < o->n ? o->scheme[circ] : 0;
}

static void no_layer(struct onion *o, struct onion_item *const *items, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		items[i]->failed = 1;
	count_add(o->counts, onion_no_layer, n);
}

enum way { FORWARD, BACK, ORIGINATE };

static onion_batch *batch_of(const struct onion_row *row, enum way way)
{
	return way == FORWARD ? row->forward : way == BACK ? row->back : row->originate;
}

/* Circuits of several schemes may be mixed: each scheme gets its own as one batch. */
static void hand_out(struct onion *o, struct onion_item *items, unsigned n, enum way way)
{
	struct onion_item *of[1 + N_ONION_SCHEMES][ONION_BATCH];

	for (unsigned k; n; items += k, n -= k) {
		unsigned n_of[1 + N_ONION_SCHEMES] = {0};

		k = MIN(n, (unsigned)ONION_BATCH);
		for (unsigned i = 0; i < k; i++) {
			unsigned s = scheme_of(o, items[i].circ);

			items[i].failed = items[i].recognized = items[i].tag_len = 0;
			of[s][n_of[s]++] = &items[i];
		}
		if (UNLIKELY(n_of[0]))
			no_layer(o, of[0], n_of[0]);
		for (unsigned s = 1; s <= N_ONION_SCHEMES; s++)
			if (n_of[s])
				batch_of(onion_rows[s - 1], way)(o, of[s], n_of[s]);
	}
}

void onion_forward(struct onion *o, struct onion_item *items, unsigned n)
{
	count_add(o->counts, onion_forward, n);
	hand_out(o, items, n, FORWARD);
}

void onion_back(struct onion *o, struct onion_item *items, unsigned n)
{
	count_add(o->counts, onion_back, n);
	hand_out(o, items, n, BACK);
}

void onion_originate(struct onion *o, struct onion_item *items, unsigned n)
{
	count_add(o->counts, onion_originated, n);
	hand_out(o, items, n, ORIGINATE);
}
