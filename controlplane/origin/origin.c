/* origin.c - the room's life: the table of circuits, what comes up the wall, time-outs. */
#include <stdlib.h>

#include "controlplane/origin/internal.h"

#define IDLE_US	 60000000ull  /* a fetch waits so long for the next step or byte */
#define TOTAL_US 600000000ull /* and so long in all */
#define TEST_US	 300000000ull /* a test circuit lives on so long without use */
/* And so long behind its last DROP cell: the links that it uses may idle then. */
#define SPENT_US 5000000ull

struct origin *origin_new(const struct origin_setup *s, uint64_t now_us)
{
	struct origin *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	o->config = s->config;
	o->keys = s->keys;
	o->dir = s->dir;
	o->ops = s->ops;
	o->now_us = now_us;
	rng_seed(&o->rng, s->seed);
	o->next_cookie = rng_u64(&o->rng) >> 1; /* never 0, nor one of an earlier control */
	if (cipher_init(&o->cipher, 0)) {
		free(o);
		return NULL;
	}
	return o;
}

void origin_free(struct origin *o)
{
	if (!o)
		return;
	for (unsigned i = 0; i < ORIGIN_CIRCS; i++)
		if (o->circs[i])
			circuit_free(o->circs[i]);
	for (struct link_wait *w = o->waits; w; w = w->next) {
		w->o = NULL;
		w->at = NULL;
	}
	cipher_fini(&o->cipher);
	wipe(o, sizeof(*o));
	free(o);
}

void origin_reconfigure(struct origin *o, const struct config *config)
{
	o->config = config;
}

int origin_fetch(void *origin, const struct dir_target *to, const uint8_t *request, size_t len,
		 size_t max_len, dir_fetched done, void *arg)
{
	struct origin *o = origin;
	struct circuit *c;

	if (o->n_fetches >= ORIGIN_FETCHES || (!to->or4.family && !to->or6.family))
		return o->n_fetches >= ORIGIN_FETCHES ? ERR_FULL : ERR_UNKNOWN;
	c = circuit_new(o, CIRC_FETCH, to, 1);
	if (!c)
		return ERR_FULL;
	c->fetch.request = malloc(len);
	if (!c->fetch.request) {
		circuit_free(c);
		return ERR_FULL;
	}
	memcpy(c->fetch.request, request, len);
	c->fetch.request_len = len;
	c->fetch.max_len = max_len;
	c->fetch.done = done;
	c->fetch.arg = arg;
	o->n_fetches++;
	circuit_start(c);
	return 0;
}

/* Delivers and frees the dead. A call-back may start new fetches, so slots are looked at afresh. */
static void sweep(struct origin *o)
{
	for (unsigned i = 0; i < ORIGIN_CIRCS; i++) {
		struct circuit *c = o->circs[i];

		if (!c || c->state != CIRC_DEAD)
			continue;
		o->circs[i] = NULL; /* the call-back cannot meet it */
		if (c->kind == CIRC_FETCH)
			fetch_deliver(c);
		circuit_free(c);
	}
}

static struct circuit *by_cookie(struct origin *o, uint64_t cookie)
{
	for (unsigned i = 0; i < ORIGIN_CIRCS; i++)
		if (o->circs[i] && o->circs[i]->cookie == cookie && o->circs[i]->state != CIRC_DEAD)
			return o->circs[i];
	return NULL;
}

static struct circuit *by_circ(struct origin *o, wid circ)
{
	for (unsigned i = 0; circ && i < ORIGIN_CIRCS; i++)
		if (o->circs[i] && o->circs[i]->circ == circ && o->circs[i]->state != CIRC_DEAD)
			return o->circs[i];
	return NULL;
}

void origin_opened(struct origin *o, uint64_t cookie, wid circ, int why, uint64_t now_us)
{
	struct circuit *c = by_cookie(o, cookie);

	o->now_us = now_us;
	if (!c || c->state != CIRC_BUILDING || c->circ) {
		/* nobody waits for it any more */
		if (circ)
			o->ops.send(o->ops.ctx, CTL_CIRC_CLOSE, circ, DESTROY_NONE, NULL, 0, NULL,
				    0);
		return;
	}
	if (circ) {
		c->circ = circ;
		c->moved_us = now_us;
	} else {
		log_info("A circuit of ours could not begin (%d).", why);
		circuit_kill(c, ERR_SYSTEM);
	}
	sweep(o);
}

void origin_recv(struct origin *o, wid circ, uint8_t cell_command, const uint8_t *payload,
		 size_t len, uint64_t now_us)
{
	struct circuit *c = by_circ(o, circ);

	o->now_us = now_us;
	if (!c)
		return; /* closed meanwhile */
	if (len != CELL_PAYLOAD) {
		o->n_cells_bad++;
		return;
	}
	circuit_cell(c, cell_command, payload);
	sweep(o);
}

void origin_closed(struct origin *o, wid circ, int reason, uint64_t now_us)
{
	struct circuit *c = by_circ(o, circ);

	o->now_us = now_us;
	if (!c)
		return;
	c->circ = WID_NONE; /* it is gone: nothing to close */
	if (c->kind == CIRC_TEST)
		log_info("A self-test circuit was closed (reason %d).", reason);
	circuit_kill(c, ERR_SYSTEM);
	sweep(o);
}

static bool is_late(const struct circuit *c, uint64_t now_us)
{
	if (c->kind == CIRC_TEST && c->state == CIRC_OPEN)
		return now_us - c->moved_us > (c->spent ? SPENT_US : TEST_US);
	return now_us - c->moved_us > IDLE_US || now_us - c->born_us > TOTAL_US;
}

void origin_tick(struct origin *o, uint64_t now_us)
{
	o->now_us = now_us;
	for (unsigned i = 0; i < ORIGIN_CIRCS; i++) {
		struct circuit *c = o->circs[i];

		if (!c || c->state == CIRC_DEAD)
			continue;
		if (c->kind == CIRC_TEST)
			test_tick(c);
		if (is_late(c, now_us))
			circuit_kill(c, c->kind == CIRC_TEST && c->state == CIRC_OPEN ? 0
										      : ERR_SYSTEM);
	}
	sweep(o);
}

void origin_status(const struct origin *o, struct origin_status *s)
{
	*s = (struct origin_status) {.n_fetches = o->n_fetches,
				     .n_opened = o->n_opened,
				     .n_failed = o->n_failed,
				     .n_cells_bad = o->n_cells_bad};
	for (unsigned i = 0; i < ORIGIN_CIRCS; i++)
		s->n_circs += o->circs[i] && o->circs[i]->state != CIRC_DEAD;
}
