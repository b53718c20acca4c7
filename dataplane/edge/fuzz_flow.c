/* fuzz_flow.c - any bytes as the life of a circuit's flow control: cells that go, SENDMEs right and
 * wrong, XOFFs and XONs, and time that passes; under either kind of window, with tags of either
 * length. Nothing may be in flight that no tag stands for, and no window leaves its bounds. */
#include "dataplane/edge/edge.h"
#include "dataplane/relay/relay.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct counts counts;
static struct cipher cipher;
static const int64_t defaults[N_CTL_PARAMS] = {
#define X(name, value) [CTL_PARAM_##name] = value,
	CTL_PARAMS(X)
#undef X
};

static struct life {
	struct relay relay;
	struct edge edge;
	int64_t params[N_CTL_PARAMS];
	uint32_t list, stream;
	uint64_t now_us, sent;
	struct relay_queue queue;
} life;

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void send(struct life *l, unsigned n)
{
	uint8_t tag[RELAY_TAG];

	for (; n && relay_room(&l->relay, 0); n--) {
		memset(tag, 0, sizeof(tag));
		be64_put(tag, ++l->sent);
		must(!relay_data_out(&l->relay, 0, tag, l->now_us));
	}
}

static void sendme_right(struct life *l)
{
	const struct relay_window *w = &l->relay.window[0];
	const struct relay_tags *t = &l->relay.tags[0];
	uint8_t body[RELAY_SENDME_LEN];
	const struct relay_tag *tag;

	if (!w->tagged || !t->n)
		return;
	tag = t->more ? &t->more[t->first] : &t->own[t->first];
	must(relay_sendme_make(&l->relay, 0, tag->tag, body) == 3 + w->tag_len);
	must(!relay_sendme_in(&l->relay, 0, body, 3u + w->tag_len, l->queue, l->now_us));
}

static void look(struct life *l)
{
	const struct relay_window *w = &l->relay.window[0];
	uint32_t n_tags = w->tagged ? l->relay.tags[0].n : 0, circ;
	uint32_t most = w->flow == CTL_FLOW_CC ? l->relay.cc[0].cwnd : w->limit;
	uint8_t body[EDGE_XON_LEN];

	must(w->in_flight == n_tags * w->inc + w->sent);
	must(w->limit <= most);
	/* What is not open will be. */
	must(w->limit == most || wheel_is_set(&l->relay.opening, 0));
	must(most >= 1 && most <= (uint32_t)RELAY_TAGS_MAX * w->inc);
	must(w->flow == CTL_FLOW_CC || most <= RELAY_WINDOW);
	edge_look(&l->edge, l->stream, true, true, l->now_us, body);
	edge_refill(&l->edge, l->now_us);
	relay_opened(&l->relay, l->now_us, &circ, 1);
}

/* What a byte does: its upper half how much, its lower half what. */
static void step(struct life *l, uint8_t op, struct reader *r)
{
	uint8_t much = op >> 4;
	uint16_t n;

	switch (op & 15) {
	case 0:
		send(l, 1u << much);
		break;
	case 1:
		sendme_right(l);
		break;
	case 2: /* one of their own */
		n = (uint16_t)MIN(rd_left(r), (size_t)(much * 2));
		if (relay_sendme_in(&l->relay, 0, rd_bytes(r, n), n, l->queue, l->now_us))
			r->bad = true; /* the circuit is closed */
		if (r->bad)
			return;
		break;
	case 3:
	case 4:
		n = (uint16_t)MIN(rd_left(r), (size_t)much);
		edge_flow_in(&l->edge, l->stream, op & 1 ? RELAY_XOFF : RELAY_XON, rd_bytes(r, n),
			     n, l->now_us);
		break;
	case 5:
		l->now_us += 1ull << (2 * much);
		break;
	case 6:
		l->queue = (struct relay_queue) {.n = much * 100, .blocked = much & 1};
		break;
	case 7:
		if (l->edge.stream[l->stream].rated && edge_may_send(&l->edge, l->stream))
			edge_spent(&l->edge, l->stream, (uint16_t)(much * 33), l->now_us);
		break;
	case 8:
		relay_data_in(&l->relay, 0);
		break;
	default: /* a new consensus, as far from the bounds as control may send it */
		l->params[(much * 8 + (op & 7)) % N_CTL_PARAMS] =
			rd_left(r) > 8 ? rd_u8(r) << 8 : 0;
		l->params[CTL_PARAM_SENDME_EMIT_MIN] = 1;
		l->params[CTL_PARAM_SENDME_ACCEPT_MIN] = 0;
	}
	look(l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static bool ready;
	struct reader r = reader_of(data, len);
	struct relay_terms terms = {.flow = rd_u8(&r) & 1, .sendme_inc = rd_u8(&r)};
	struct life *l = &life;
	struct rng rng = {0};
	int stream;

	terms.tag_len = terms.sendme_inc & 1 ? 16 : 20;
	if (!ready)
		must(!cipher_init(&cipher, 0));
	ready = true;
	*l = (struct life) {.list = SLOT_NONE, .now_us = 1};
	memcpy(l->params, defaults, sizeof(defaults));
	must(!relay_init(&l->relay, 1, &cipher, &rng, &counts, l->params));
	must(!edge_init(&l->edge, 0, 4, 1, (struct hash_key) {0}, NULL, &counts, l->params, 1));
	stream = edge_begin(&l->edge, 0, &l->list, 1, RELAY_BEGIN_DIR, terms.flow);
	l->stream = (uint32_t)stream;
	edge_dir(&l->edge, l->stream);
	if (!relay_start(&l->relay, 0, &terms))
		while (rd_left(&r) && !r.bad)
			step(l, rd_u8(&r), &r);
	edge_fini(&l->edge);
	relay_fini(&l->relay);
	return 0;
}
