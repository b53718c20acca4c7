/* pack.c - a thread packs each new consensus once in every encoding, so that a hundred clients at
 * the hour cost no compression and the event loop never waits for lzma. */
#include "controlplane/dir/internal.h"

static void *packing_run(void *arg)
{
	struct packing *p = arg;

	for (unsigned e = ENC_DEFLATE; e < N_ENCODINGS; e++) {
		uint8_t *out;
		size_t len;

		if (pack_all(e, PACK_SMALL, p->text->p, p->text->len, CONSENSUS_MAX, &out, &len) ==
		    0)
			p->out[e] = blob_take(out, len);
	}
	__atomic_store_n(&p->done, 1, __ATOMIC_RELEASE);
	return NULL;
}

/* Hands the packed texts to the consensus they are of, if it is still there. */
static void packing_end(struct dir *d)
{
	struct packing *p = &d->packing;
	struct consensus *c = d->current[p->flavour];

	pthread_join(p->thread, NULL);
	for (unsigned e = ENC_DEFLATE; e < N_ENCODINGS; e++) {
		if (c && c->text == p->text && !c->packed[e])
			c->packed[e] = p->out[e];
		else
			blob_put(p->out[e]);
		p->out[e] = NULL;
	}
	blob_put(p->text);
	p->text = NULL;
	p->running = false;
}

static bool packing_start(struct dir *d, enum flavour f)
{
	struct packing *p = &d->packing;
	struct consensus *c = d->current[f];

	if (!c || c->packed[ENC_DEFLATE])
		return false;
	p->flavour = f;
	p->done = 0;
	p->text = blob_get(c->text);
	if (pthread_create(&p->thread, NULL, packing_run, p)) {
		blob_put(p->text);
		p->text = NULL;
		return false;
	}
	p->running = true;
	return true;
}

void packing_tick(struct dir *d)
{
	if (d->packing.running) {
		if (!__atomic_load_n(&d->packing.done, __ATOMIC_ACQUIRE))
			return;
		packing_end(d);
	}
	for (unsigned f = 0; f < N_FLAVOURS; f++)
		if (packing_start(d, f))
			return;
}

void packing_fini(struct dir *d)
{
	if (d->packing.running)
		packing_end(d);
}
