/* sendme.c - circuit windows and authenticated SENDMEs of both kinds of flow control (tor-spec
 * section 7.3; interop F1-F3, section 2.5). A tag is copied at the moment its cell is seen. */
#include "dataplane/relay/internal.h"

#include <stdlib.h>

#define SHORT_MIN  50 /* one DATA cell of each 50 to 99 is left short */
#define SHORT_SPAN 50
#define SHORT_ROOM 16
#define ZERO_PAD   4

static void fixed_start(struct relay *r, uint32_t circ)
{
	r->window[circ].inc = RELAY_INCREMENT;
	r->window[circ].limit = (uint32_t)MIN(r->params[CTL_PARAM_CIRCWINDOW], RELAY_WINDOW);
}

/* A tag stands for that many cells: in_flight cannot go below zero. */
static void fixed_acked(struct relay *r, uint32_t circ, const struct relay_ack *a)
{
	r->window[circ].in_flight -= RELAY_INCREMENT;
}

static const struct relay_flow flows[N_CTL_FLOWS] = {
	[CTL_FLOW_FIXED] = {fixed_start, fixed_acked},
	[CTL_FLOW_CC] = {cc_start, cc_acked},
};

int relay_init(struct relay *r, uint32_t n_circs, const struct cipher *cipher, struct rng *rng,
	       struct counts *counts, const int64_t *params)
{
	uint8_t key[16];

	rng_bytes(rng, key, sizeof(key));
	*r = (struct relay) {.n = n_circs, .counts = counts, .params = params, .cipher = cipher};
	r->window = column_new(n_circs, sizeof(*r->window));
	r->tags = column_new(n_circs, sizeof(*r->tags));
	r->cc = column_new(n_circs, sizeof(*r->cc));
	r->padding = column_new(1, sizeof(*r->padding));
	if (r->padding)
		aes_ctr_init(cipher, r->padding, key);
	wipe(key, sizeof(key));
	if (r->window && r->tags && r->cc && r->padding && !wheel_init(&r->opening, n_circs, 0))
		return 0;
	relay_fini(r);
	return ERR_FULL;
}

void relay_fini(struct relay *r)
{
	for (uint32_t i = 0; r->window && r->tags && i < r->n; i++)
		relay_stop(r, i);
	column_free(r->window, r->n, sizeof(*r->window));
	column_free(r->tags, r->n, sizeof(*r->tags));
	column_free(r->cc, r->n, sizeof(*r->cc));
	wheel_fini(&r->opening);
	if (r->padding)
		wipe(r->padding, sizeof(*r->padding));
	column_free(r->padding, 1, sizeof(*r->padding));
	*r = (struct relay) {0};
}

int relay_start(struct relay *r, uint32_t circ, const struct relay_terms *terms)
{
	bool cc = terms->flow == CTL_FLOW_CC;

	if (terms->flow >= N_CTL_FLOWS || terms->tag_len > RELAY_TAG || (cc && !terms->sendme_inc))
		return ERR_MALFORMED;
	relay_stop(r, circ);
	r->window[circ] = (struct relay_window) {.flow = terms->flow,
						 .inc = terms->sendme_inc,
						 .tag_len = terms->tag_len,
						 .legacy = terms->legacy};
	flows[terms->flow].start(r, circ);
	return 0;
}

void relay_stop(struct relay *r, uint32_t circ)
{
	struct relay_window *w = &r->window[circ];

	if (w->tagged)
		free(r->tags[circ].more);
	if (w->inc)
		*w = (struct relay_window) {0};
}

uint16_t relay_sendme_make(const struct relay *r, uint32_t circ, const uint8_t *tag,
			   uint8_t body[RELAY_SENDME_LEN])
{
	uint8_t len = r->window[circ].tag_len;

	if (r->params[CTL_PARAM_SENDME_EMIT_MIN] < 1)
		return 0;
	body[0] = 1;
	be16_put(body + 1, len);
	memcpy(body + 3, tag, MIN(len, (uint8_t)RELAY_TAG));
	return (uint16_t)(3 + len);
}

/* ---- tags ---- */
static struct relay_tag *tag_at(struct relay_tags *t, unsigned i)
{
	i = (t->first + i) % t->cap;
	return t->more ? &t->more[i] : &t->own[i];
}

/* Twice as many places. The window is held within RELAY_TAGS_MAX of them. */
static int tags_grow(struct relay_tags *t)
{
	unsigned cap = MIN(2u * t->cap, (unsigned)RELAY_TAGS_MAX);
	struct relay_tag *more = t->n < cap ? calloc(cap, sizeof(*more)) : NULL;

	if (!more)
		return ERR_FULL;
	for (unsigned i = 0; i < t->n; i++)
		more[i] = *tag_at(t, i);
	free(t->more);
	t->more = more;
	t->first = 0;
	t->cap = (uint16_t)cap;
	return 0;
}

int relay_tag_keep(struct relay *r, uint32_t circ, const uint8_t *tag, uint64_t now_us)
{
	struct relay_window *w = &r->window[circ];
	struct relay_tags *t = &r->tags[circ];
	struct relay_tag *at;

	if (!w->tagged) {
		w->tagged = 1;
		t->more = NULL;
		t->cap = RELAY_TAGS;
		t->first = t->n = 0;
	}
	if (t->n == t->cap && tags_grow(t) < 0) {
		count(r->counts, relay_no_tag);
		return ERR_FULL;
	}
	at = tag_at(t, t->n++);
	at->sent_us = now_us;
	memcpy(at->tag, tag, RELAY_TAG);
	return 0;
}

/* The oldest, taken out; NULL when a SENDME was not to be expected. */
static const struct relay_tag *tag_pop(struct relay *r, uint32_t circ)
{
	struct relay_tags *t = &r->tags[circ];
	const struct relay_tag *tag;

	if (!r->window[circ].tagged || !t->n)
		return NULL;
	tag = tag_at(t, 0);
	t->first = (uint16_t)((t->first + 1) % t->cap);
	t->n--;
	return tag;
}

/* Whether a SENDME's body is what this tag asks for. */
static bool sendme_holds(struct relay *r, const struct relay_window *w, const struct relay_tag *tag,
			 const uint8_t *body, size_t len)
{
	struct reader in = reader_of(body, len);
	uint8_t version = len ? rd_u8(&in) : 0;
	const uint8_t *got;

	if (version > 1 || (version < r->params[CTL_PARAM_SENDME_ACCEPT_MIN] && !w->legacy)) {
		count(r->counts, relay_sendme_version);
		return false;
	}
	if (version == 0)
		return true;
	got = rd_u16(&in) == w->tag_len ? rd_bytes(&in, w->tag_len) : NULL;
	if (got && same_bytes(got, tag->tag, w->tag_len))
		return true;
	count(r->counts, relay_sendme_tag);
	return false;
}

int relay_sendme_in(struct relay *r, uint32_t circ, const uint8_t *body, size_t len,
		    struct relay_queue queue, uint64_t now_us)
{
	struct relay_window *w = &r->window[circ];
	const struct relay_tag *tag = tag_pop(r, circ);
	struct relay_ack a = {.now_us = now_us, .queue = queue};

	if (!tag) {
		count(r->counts, relay_sendme_unexpected);
		return ERR_MALFORMED;
	}
	if (!sendme_holds(r, w, tag, body, len))
		return ERR_MALFORMED;
	a.sent_us = tag->sent_us;
	flows[w->flow].acked(r, circ, &a);
	return 0;
}

uint16_t relay_left_short(uint8_t *until_short, struct rng *rng)
{
	bool fresh = *until_short == 0;

	if (!fresh && --*until_short)
		return 0;
	*until_short = (uint8_t)(SHORT_MIN + rng_below(rng, SHORT_SPAN));
	return fresh ? 0 : SHORT_ROOM + ZERO_PAD;
}

uint16_t relay_data_room(struct relay *r, uint32_t circ, uint16_t most, struct rng *rng)
{
	return most - relay_left_short(&r->window[circ].until_short, rng);
}

void relay_pad(struct relay *r, uint8_t *payload, size_t end)
{
	static const uint8_t nothing[CELL_PAYLOAD];
	size_t left = CELL_PAYLOAD - end, zeroes = MIN(left, (size_t)ZERO_PAD);
	uint8_t *p = payload + end;

	if (LIKELY(!left))
		return;
	memset(p, 0, zeroes);
	aes_ctr_run(r->cipher, r->padding, p + zeroes, nothing, left - zeroes);
}
