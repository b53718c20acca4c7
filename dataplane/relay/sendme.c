/* sendme.c - fixed circuit windows and authenticated SENDMEs (tor-spec section 7.3; interop F1-F3,
 * section 2.5). A tag is copied at the moment its cell is seen. */
#include "dataplane/relay/relay.h"

#define SHORT_MIN  50 /* one DATA cell of each 50 to 99 is left short */
#define SHORT_SPAN 50
#define SHORT_ROOM 16
#define ZERO_PAD   4

int relay_init(struct relay *r, uint32_t n_circs, const struct cipher *cipher, struct rng *rng,
	       struct counts *counts, const int64_t *params)
{
	uint8_t key[16];

	rng_bytes(rng, key, sizeof(key));
	*r = (struct relay) {.n = n_circs, .counts = counts, .params = params, .cipher = cipher};
	r->window = column_new(n_circs, sizeof(*r->window));
	r->tags = column_new(n_circs, sizeof(*r->tags));
	r->padding = column_new(1, sizeof(*r->padding));
	if (r->padding)
		aes_ctr_init(cipher, r->padding, key);
	wipe(key, sizeof(key));
	if (r->window && r->tags && r->padding)
		return 0;
	relay_fini(r);
	return ERR_FULL;
}

void relay_fini(struct relay *r)
{
	column_free(r->window, r->n, sizeof(*r->window));
	column_free(r->tags, r->n, sizeof(*r->tags));
	if (r->padding)
		wipe(r->padding, sizeof(*r->padding));
	column_free(r->padding, 1, sizeof(*r->padding));
	*r = (struct relay) {0};
}

void relay_start(struct relay *r, uint32_t circ, bool legacy)
{
	r->window[circ] = (struct relay_window) {.legacy = legacy};
}

bool relay_data_in(struct relay *r, uint32_t circ)
{
	struct relay_window *w = &r->window[circ];

	if (++w->received < RELAY_INCREMENT)
		return false;
	w->received = 0;
	return true;
}

uint16_t relay_sendme_make(const struct relay *r, uint32_t circ, const uint8_t *tag, uint8_t *body)
{
	if (r->params[CTL_PARAM_SENDME_EMIT_MIN] < 1)
		return 0;
	body[0] = 1;
	be16_put(body + 1, RELAY_TAG);
	memcpy(body + 3, tag, RELAY_TAG);
	return RELAY_SENDME_LEN;
}

/* The oldest recorded tag, taken out; NULL when a SENDME was not to be expected. */
static const uint8_t *tag_pop(struct relay *r, uint32_t circ)
{
	struct relay_window *w = &r->window[circ];
	const uint8_t *tag = r->tags[circ][w->first];

	if (!w->n)
		return NULL;
	w->first = (uint8_t)((w->first + 1) % RELAY_TAGS);
	w->n--;
	return tag;
}

int relay_sendme_in(struct relay *r, uint32_t circ, const uint8_t *body, size_t len)
{
	struct relay_window *w = &r->window[circ];
	struct reader in = reader_of(body, len);
	uint8_t version = len ? rd_u8(&in) : 0;
	uint16_t tag_len = version ? rd_u16(&in) : 0;
	const uint8_t *tag = tag_pop(r, circ);

	if (!tag) {
		count(r->counts, relay_sendme_unexpected);
		return ERR_MALFORMED;
	}
	if (version > 1 || (version < r->params[CTL_PARAM_SENDME_ACCEPT_MIN] && !w->legacy)) {
		count(r->counts, relay_sendme_version);
		return ERR_MALFORMED;
	}
	if (version == 1) {
		const uint8_t *got = tag_len == RELAY_TAG ? rd_bytes(&in, RELAY_TAG) : NULL;

		if (!got || !same_bytes(got, tag, RELAY_TAG)) {
			count(r->counts, relay_sendme_tag);
			return ERR_MALFORMED;
		}
	}
	w->in_flight -= RELAY_INCREMENT; /* a tag stands for that many: it cannot go below zero */
	return 0;
}

void relay_data_out(struct relay *r, uint32_t circ, const uint8_t *tag)
{
	struct relay_window *w = &r->window[circ];

	w->in_flight++;
	if (++w->sent < RELAY_INCREMENT)
		return;
	w->sent = 0;
	if (w->n == RELAY_TAGS)
		return; /* the window is at most RELAY_TAGS increments, so there is a place */
	memcpy(r->tags[circ][(w->first + w->n) % RELAY_TAGS], tag, RELAY_TAG);
	w->n++;
}

uint16_t relay_data_room(struct relay *r, uint32_t circ, struct rng *rng)
{
	struct relay_window *w = &r->window[circ];

	bool fresh = w->until_short == 0;

	if (!fresh && --w->until_short)
		return RELAY_BODY;
	w->until_short = (uint8_t)(SHORT_MIN + rng_below(rng, SHORT_SPAN));
	return fresh ? RELAY_BODY : RELAY_BODY - SHORT_ROOM - ZERO_PAD;
}

void relay_pad(struct relay *r, uint8_t *payload, uint16_t body_len)
{
	static const uint8_t nothing[RELAY_BODY];
	size_t left = (size_t)RELAY_BODY - body_len, zeroes = MIN(left, (size_t)ZERO_PAD);
	uint8_t *p = payload + RELAY_HEAD + body_len;

	if (LIKELY(!left))
		return;
	memset(p, 0, zeroes);
	aes_ctr_run(r->cipher, r->padding, p + zeroes, nothing, left - zeroes);
}
