/* cgo.c - Counter Galois Onion: a wide-block cipher whose tweak is the cell before, so that a cell
 * that was tampered with garbles all that follow; new keys after each cell that is ours (proposal
 * 359; interop R4, section 2.3). A relay encrypts in both directions. */
#include "dataplane/onion/chains.h"

_Static_assert(UIV_BATCH <= 16, "what a step of chains.h holds");

/* One cell each of some circuits. */
struct step {
	unsigned n;
	struct onion_item *item[UIV_BATCH];
	struct uiv_cell cell[UIV_BATCH];
};

static struct uiv *state_of(const struct onion *o, uint32_t circ, bool back)
{
	struct cgo_pair *p = (struct cgo_pair *)o->layer[ONION_CGO] + circ;

	return back ? &p->back : &p->fwd;
}

static void cgo_start(struct onion *o, uint32_t circ, const uint8_t *keys)
{
	count(o->counts, onion_cgo);
	uiv_init(o->cipher, state_of(o, circ, false), keys);
	uiv_init(o->cipher, state_of(o, circ, true), keys + UIV_KEYS);
}

static bool same_tag(const uint8_t *a, const uint8_t *b)
{
	uint64_t x[2], y[2];

	memcpy(x, a, sizeof(x));
	memcpy(y, b, sizeof(y));
	return !((x[0] ^ y[0]) | (x[1] ^ y[1]));
}

/* The next step, its states to be had. */
static void step_take(struct onion *o, struct chains *c, struct step *t, bool back)
{
	t->n = chains_step(c, t->item, UIV_BATCH);
	for (unsigned i = 0; i < t->n; i++)
		t->cell[i] = (struct uiv_cell) {.u = state_of(o, t->item[i]->circ, back),
						.src = t->item[i]->src,
						.dst = t->item[i]->dst,
						.command = t->item[i]->command};
}

/* While a step is worked on the states of the next are fetched, one with each cell. */
static void step_announce(struct step *t, const struct step *next)
{
	for (unsigned i = 0; i < t->n; i++)
		t->cell[i].next = i < next->n ? next->cell[i].u : NULL;
}

static void cgo_pass(struct onion *o, struct onion_item *const *items, unsigned n, bool back,
		     void (*run)(struct onion *o, struct step *t))
{
	struct step steps[2], *t = &steps[0], *next = &steps[1], *swap;
	struct chains c;

	chains_make(&c, items, n);
	step_take(o, &c, t, back);
	for (unsigned i = 0; i < t->n; i++)
		uiv_fetch(t->cell[i].u, 0);
	while (t->n) {
		step_take(o, &c, next, back);
		step_announce(t, next);
		run(o, t);
		swap = t;
		t = next;
		next = swap;
	}
}

static void run_forward(struct onion *o, struct step *t)
{
	struct uiv *ours[UIV_BATCH];
	unsigned n = 0;

	/* The tag of a cell is what it began with when it came. */
	for (unsigned i = 0; i < t->n; i++)
		memcpy(t->item[i]->tag, t->cell[i].src, UIV_TAG);
	uiv_encrypt(o->cipher, t->cell, t->n);
	for (unsigned i = 0; i < t->n; i++) {
		struct uiv *u = t->cell[i].u;

		if (LIKELY(!same_tag(u->last, u->nonce)))
			continue;
		count(o->counts, onion_recognized);
		t->item[i]->recognized = 1;
		t->item[i]->tag_len = UIV_TAG;
		ours[n++] = u;
	}
	uiv_update(o->cipher, ours, n);
}

static void run_back(struct onion *o, struct step *t)
{
	uiv_encrypt(o->cipher, t->cell, t->n);
}

static void run_originate(struct onion *o, struct step *t)
{
	struct uiv *ours[UIV_BATCH];

	for (unsigned i = 0; i < t->n; i++) {
		struct uiv_cell *k = &t->cell[i];

		if (k->dst != k->src)
			memcpy(k->dst, k->src, ONION_PAYLOAD);
		memcpy(k->dst, k->u->nonce, UIV_TAG);
		k->src = k->dst;
		ours[i] = k->u;
	}
	uiv_encrypt(o->cipher, t->cell, t->n);
	for (unsigned i = 0; i < t->n; i++) {
		memcpy(ours[i]->nonce, ours[i]->last, UIV_TAG);
		memcpy(t->item[i]->tag, ours[i]->last, UIV_TAG);
		t->item[i]->tag_len = UIV_TAG;
	}
	uiv_update(o->cipher, ours, t->n);
}

static void cgo_forward(struct onion *o, struct onion_item *const *items, unsigned n)
{
	cgo_pass(o, items, n, false, run_forward);
}

static void cgo_back(struct onion *o, struct onion_item *const *items, unsigned n)
{
	cgo_pass(o, items, n, true, run_back);
}

static void cgo_originate(struct onion *o, struct onion_item *const *items, unsigned n)
{
	cgo_pass(o, items, n, true, run_originate);
}

const struct onion_row onion_cgo = {
	.name = "cgo",
	.keys_len = CGO_KEYS,
	.tag_len = UIV_TAG,
	.format = RELAY_V1,
	.layer_len = sizeof(struct cgo_pair),
	.start = cgo_start,
	.forward = cgo_forward,
	.back = cgo_back,
	.originate = cgo_originate,
};
