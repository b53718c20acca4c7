/* house_peer.c - the scripted peer of house.h: client and next hop over links, and destinations. */
#include "dataplane/worker/house.h"

#include <rte_mbuf.h>

/* ---- links ---- */
static struct peer_link *link_on(struct house *h, uint32_t conn)
{
	for (unsigned i = 0; i < h->n_links; i++)
		if (h->link[i].conn == conn)
			return &h->link[i];
	return NULL;
}

struct peer_link *house_link_new(struct house *h, uint32_t conn, bool dialled)
{
	struct peer_link *l = link_on(h, conn);

	if (!l) {
		house_must(h->n_links < HOUSE_LINKS, "links");
		l = &h->link[h->n_links++];
	}
	*l = (struct peer_link) {.conn = conn, .dialled = dialled};
	return l;
}

static void peer_seal(struct house *h, struct peer_link *l, const void *data, size_t len)
{
	unsigned head = tls_head_len(&h->tls, l->conn), tail = tls_tail_len(&h->tls, l->conn);
	uint8_t *p = tcp_reserve(h->tcp, l->conn, (uint32_t)(head + len + tail));

	if (!p)
		return;
	memcpy(p + head, data, len);
	tcp_push(h->tcp, l->conn, (uint32_t)tls_seal(&h->tls, l->conn, p, len));
}

void house_cell(struct house *h, struct peer_link *l, uint32_t id, uint8_t command,
		const uint8_t *payload, size_t len)
{
	uint8_t cell[CELL_LEN] = {0};

	cell_head_put(cell, id, command);
	if (len)
		memcpy(cell + CELL_HEAD, payload, len);
	if (!l->gathering) {
		peer_seal(h, l, cell, sizeof(cell));
		return;
	}
	house_must(l->gathered_len + CELL_LEN <= sizeof(l->gathered), "gather");
	memcpy(l->gathered + l->gathered_len, cell, CELL_LEN);
	l->gathered_len += CELL_LEN;
}

void house_gather(struct peer_link *l)
{
	l->gathering = true;
	l->gathered_len = 0;
}

void house_send(struct house *h, struct peer_link *l)
{
	l->gathering = false;
	peer_seal(h, l, l->gathered, l->gathered_len);
}

static void peer_keys(struct house *h, struct peer_link *l)
{
	static const uint8_t versions[] = {0, 0, CELL_VERSIONS, 0, 2, 0, 5};
	struct tls_keys k = {.version = 0x0304, .suite = 0x1301};

	house_secrets(k.in.secret, k.out.secret, l->dialled);
	house_must(tls_start(&h->tls, l->conn, &k) == 0, "tls_start");
	peer_seal(h, l, versions, sizeof(versions));
	if (h->eager == EAGER_RECORD)
		house_gather(l);
	house_cell(h, l, 0, CELL_NETINFO, NULL, 0);
	if (h->eager)
		house_create(h, l);
	if (h->eager == EAGER_RECORD)
		house_send(h, l);
	l->open = true;
}

static void peer_hello(struct house *h, uint32_t conn)
{
	uint8_t *p = tcp_reserve(h->tcp, conn, HELLO_LEN);

	house_must(p != NULL, "hello");
	house_hello(p);
	tcp_push(h->tcp, conn, HELLO_LEN);
}

/* ---- circuits ---- */
/* For the last hop: through all layers. */
static void circ_seal(struct house *h, struct peer_circ *c, uint8_t command, uint8_t *payload,
		      uint8_t tag[SHA1_LEN])
{
	if (!c->cgo) {
		tor1_client_seal(&h->cipher, c->layers, c->n_layers - 1, payload, tag);
	} else if (c->n_layers == 1) {
		cgo_client_seal(&h->cipher, &c->outer, command, payload, tag);
	} else {
		tor1_client_seal(&h->cipher, &c->layers[1], 0, payload, tag);
		cgo_client_pass(&h->cipher, &c->outer, command, payload);
	}
}

/* Takes the relay's layer off; true when what is there is its own word. */
static bool outer_open(struct house *h, struct peer_circ *c, uint8_t *payload,
		       uint8_t tag[SHA1_LEN])
{
	if (c->cgo)
		return cgo_client_open(&h->cipher, &c->outer, CELL_RELAY, payload, tag);
	aes_ctr_run(&h->cipher, &c->layers[0].back, payload, payload, CELL_PAYLOAD);
	return tor1_recognize(&h->cipher, &c->layers[0].back_digest, payload, tag);
}

/* The layer that recognises a payload, or negative. */
static int circ_open(struct house *h, struct peer_circ *c, uint8_t *payload, uint8_t tag[SHA1_LEN])
{
	if (!c->n_layers)
		return ERR_CRYPTO;
	if (outer_open(h, c, payload, tag))
		return 0;
	if (c->n_layers == 1)
		return ERR_CRYPTO;
	return tor1_client_open(&h->cipher, &c->layers[1], 1, payload, tag) == 0 ? 1 : ERR_CRYPTO;
}

static uint16_t tag_len(const struct peer_circ *c)
{
	return house_format(c) == RELAY_V1 ? UIV_TAG : SHA1_LEN;
}

void house_say(struct house *h, struct peer_circ *c, uint8_t command, uint16_t stream,
	       const void *body, uint16_t len, bool early)
{
	uint8_t payload[CELL_PAYLOAD] = {0}, tag[SHA1_LEN] = {0};
	uint8_t cell = early ? CELL_RELAY_EARLY : CELL_RELAY;
	unsigned at = relay_body_at(house_format(c), command);

	relay_msg_write(payload, house_format(c), command, stream, len);
	if (len)
		memcpy(payload + at, body, MIN(len, CELL_PAYLOAD - at));
	circ_seal(h, c, cell, payload, tag);
	if (command == RELAY_DATA && ++c->n_data_out % c->inc == 0)
		memcpy(c->tags[c->n_tags++ % ARRAY_LEN(c->tags)], tag, 20);
	house_cell(h, c->link, c->id, cell, payload, CELL_PAYLOAD);
}

void house_begin(struct house *h, struct peer_circ *c, uint16_t stream)
{
	static const char dest[] = "dest:7";

	house_say(h, c, RELAY_BEGIN, stream, dest, sizeof(dest), false);
}

void house_destroy(struct house *h, struct peer_circ *c)
{
	static const uint8_t why[] = {DESTROY_REQUESTED};

	house_cell(h, c->link, c->id, CELL_DESTROY, why, 1);
}

static void say_sendme(struct house *h, struct peer_circ *c, const uint8_t *tag)
{
	uint8_t sendme[RELAY_SENDME_LEN] = {1, 0, (uint8_t)tag_len(c)};

	memcpy(sendme + 3, tag, tag_len(c));
	house_say(h, c, RELAY_SENDME, 0, sendme, 3 + tag_len(c), false);
}

void house_acknowledge(struct house *h, struct peer_circ *c)
{
	for (unsigned i = 0; i < c->n_held; i++)
		say_sendme(h, c, c->held[i]);
	c->n_held = 0;
}

static void hears_data(struct house *h, struct peer_circ *c, const struct relay_msg *m,
		       const uint8_t *tag)
{
	c->bytes_in += m->len;
	c->hash_in = house_fold(c->hash_in, m->body, m->len);
	c->n_data_in++;
	if (c->no_sendmes)
		return;
	if (c->n_data_in % c->inc == 0) {
		memcpy(c->held[c->n_held++], tag, tag_len(c));
		if (!c->hold_sendmes || c->n_held == ARRAY_LEN(c->held))
			house_acknowledge(h, c);
	}
	if (c->cc)
		return;
	if (++c->n_on_stream[m->stream_id % 256] == 50) {
		c->n_on_stream[m->stream_id % 256] = 0;
		house_say(h, c, RELAY_SENDME, m->stream_id, NULL, 0, false);
	}
}

static void hears_message(struct house *h, struct peer_circ *c, const struct relay_msg *m,
			  const uint8_t *tag)
{
	if (h->heard)
		h->heard(h, c, m);
	c->truncated |= m->command == RELAY_TRUNCATED;
	c->resolved |= m->command == RELAY_RESOLVED;
	if (m->command == RELAY_CONNECTED) {
		c->connected = true;
		c->n_connected++;
		c->connected_len = m->len;
	}
	if (m->command == RELAY_END) {
		c->ended = true;
		c->n_ended++;
		c->end_stream = m->stream_id;
		c->end_reason = m->len ? m->body[0] : 0;
	}
	if (m->command == RELAY_EXTENDED2) {
		c->extended = true;
		c->n_layers = 2;
	}
	c->n_drops += m->command == RELAY_DROP;
	if (m->command == RELAY_PADDING_NEGOTIATED) {
		c->n_negotiated++;
		memcpy(c->negotiated, m->body, m->len);
	}
	if (m->command == RELAY_RENDEZVOUS2) {
		c->joined = true;
		c->n_layers = 2;
	}
	if (m->command == RELAY_SENDME && !m->stream_id) {
		house_must(m->len == 3 + tag_len(c) && c->n_acked < c->n_tags &&
				   !memcmp(m->body + 3, c->tags[c->n_acked++ % ARRAY_LEN(c->tags)],
					   tag_len(c)),
			   "SENDME tag");
		c->window += c->inc;
	}
	house_must(!c->cc || m->command != RELAY_SENDME || !m->stream_id, "no stream SENDMEs");
	if (m->command == RELAY_XOFF) {
		house_must(c->cc && m->len == 1 && !m->body[0] && c->n_xoff == c->n_xon, "XOFF");
		c->n_xoff++;
	}
	if (m->command == RELAY_XON) {
		house_must(c->cc && m->len == 5 && !m->body[0], "XON");
		c->n_xon += c->n_xoff != c->n_xon; /* others tell another rate */
		c->xon_rate = be32_get(m->body + 1);
	}
	if (m->command == RELAY_DATA)
		hears_data(h, c, m, tag);
}

/* The far end of a second layer: takes it off; DATA comes back as it is, under the same layer. True
 * when payload is to be sent. */
static bool far_end(struct house *h, struct tor1_layer *layer, uint8_t *payload)
{
	uint8_t tag[SHA1_LEN];
	struct relay_msg m = {0};

	aes_ctr_run(&h->cipher, &layer->fwd, payload, payload, CELL_PAYLOAD);
	house_must(tor1_recognize(&h->cipher, &layer->fwd_digest, payload, tag), "second layer");
	house_must(relay_msg_get(&m, payload) == 0, "message");
	if (m.command != RELAY_DATA)
		return false;
	be32_put(payload + 5, 0);
	sha1_update(&h->cipher, &layer->back_digest, payload, CELL_PAYLOAD);
	sha1_peek(&h->cipher, &layer->back_digest, tag);
	memcpy(payload + 5, tag, 4);
	aes_ctr_run(&h->cipher, &layer->back, payload, payload, CELL_PAYLOAD);
	return true;
}

/* As service: the relay's layer comes off, then the client's second one. */
static void service_hears(struct house *h, struct peer_circ *c, uint8_t *payload)
{
	uint8_t tag[SHA1_LEN];
	struct relay_msg m;

	if (outer_open(h, c, payload, tag)) {
		house_must(relay_msg_read(&m, payload, house_format(c)) == 0, "message");
		hears_message(h, c, &m, tag);
	} else if (far_end(h, c->inner, payload)) {
		if (c->cgo)
			cgo_client_pass(&h->cipher, &c->outer, CELL_RELAY, payload);
		else
			aes_ctr_run(&h->cipher, &c->layers[0].fwd, payload, payload, CELL_PAYLOAD);
		house_cell(h, c->link, c->id, CELL_RELAY, payload, CELL_PAYLOAD);
	}
}

static void circ_hears(struct house *h, struct peer_circ *c, uint8_t *payload)
{
	uint8_t tag[SHA1_LEN];
	struct relay_msg m;
	int hop;

	if (c->inner) {
		service_hears(h, c, payload);
		return;
	}
	hop = circ_open(h, c, payload, tag);
	if (hop < 0 || relay_msg_read(&m, payload, c->cgo && !hop ? RELAY_V1 : RELAY_V0) < 0) {
		c->destroyed = true;
		c->destroy_reason = 255; /* not ours: the cipher streams are out of step */
	} else {
		hears_message(h, c, &m, tag);
	}
}

static void hop_hears(struct house *h, struct peer_hop *p, uint8_t *payload)
{
	p->n_cells++;
	if (!h->hop_silent && far_end(h, &p->layer, payload))
		house_cell(h, p->link, p->id, CELL_RELAY, payload, CELL_PAYLOAD);
}

static void hop_create(struct house *h, struct peer_link *l, uint32_t id, const uint8_t *payload)
{
	for (unsigned i = 0; i < HOUSE_CIRCS; i++) {
		if (h->hop[i].used)
			continue;
		h->hop[i] = (struct peer_hop) {.link = l, .id = id, .used = true};
		tor1_layer_init(&h->cipher, &h->hop[i].layer, payload + 4);
		if (!h->hop_silent)
			house_cell(h, l, id, CELL_CREATED2, NULL, 0);
		return;
	}
}

static void circ_cell(struct house *h, struct peer_circ *c, uint8_t command, uint8_t *payload)
{
	if (command == CELL_CREATED2)
		c->created = true;
	if (command == CELL_RELAY && !c->destroyed)
		circ_hears(h, c, payload);
	if (command == CELL_DESTROY) {
		c->destroyed = true;
		c->destroy_reason = payload[0];
	}
}

static void peer_cell(struct house *h, struct peer_link *l, uint8_t *cell)
{
	uint32_t id = be32_get(cell);

	for (unsigned i = 0; i < h->n_circs; i++)
		if (h->circ[i].link == l && h->circ[i].id == id)
			circ_cell(h, &h->circ[i], cell[4], cell + CELL_HEAD);
	for (unsigned i = 0; i < HOUSE_CIRCS; i++) {
		struct peer_hop *p = &h->hop[i];

		if (!p->used || p->link != l || p->id != id)
			continue;
		if (cell[4] == CELL_RELAY || cell[4] == CELL_RELAY_EARLY)
			hop_hears(h, p, cell + CELL_HEAD);
		else if (cell[4] == CELL_DESTROY)
			p->used = false;
	}
	if (cell[4] == CELL_CREATE2)
		hop_create(h, l, id, cell + CELL_HEAD);
}

static void peer_plain(struct house *h, struct peer_link *l, const uint8_t *p, size_t len)
{
	while (len) {
		size_t n = MIN(len, (size_t)(CELL_LEN - l->stash_len));

		memcpy(l->stash + l->stash_len, p, n);
		l->stash_len += n;
		p += n;
		len -= n;
		if (l->stash_len == CELL_LEN) {
			l->stash_len = 0;
			peer_cell(h, l, l->stash);
		}
	}
}

static void link_reads(struct house *h, uint32_t conn)
{
	struct peer_link *l = link_on(h, conn);
	struct tls_got got;
	uint8_t *p;
	uint32_t len;

	while (l && !l->deaf && tcp_peek(h->tcp, conn, &p, &len)) {
		l->n_records++;
		if (!l->greeted) {
			house_must(len == HELLO_LEN, "hello");
			l->greeted = true;
			if (!l->dialled)
				peer_hello(h, conn);
			tcp_take(h->tcp, conn, len);
			if (!l->open)
				peer_keys(h, l);
			continue;
		}
		got = tls_in(&h->tls, conn, p, len);
		house_must(got.what != TLS_ERROR || got.why == TLS_PEER_ALERT || l->notified,
			   "a record of the relay");
		l->notified |= got.what == TLS_CLOSE;
		if (got.what == TLS_DATA)
			peer_plain(h, l, got.data, got.len);
		tcp_take(h->tcp, conn, len);
	}
}

void house_hear(struct house *h, struct peer_link *l)
{
	l->deaf = false;
	link_reads(h, l->conn);
}

void house_cut(struct house *h, struct peer_link *l)
{
	tcp_abort(h->tcp, l->conn);
}

static void link_event(struct house *h, const struct tcp_event *ev)
{
	struct peer_link *l = link_on(h, ev->conn);

	if (ev->flags & TCP_OPENED) {
		if (!l || !l->dialled)
			l = house_link_new(h, ev->conn, false);
		else
			peer_hello(h, ev->conn);
		if (l->dialled && h->eager == EAGER_BLIND)
			peer_keys(h, l);
	}
	link_reads(h, ev->conn);
	if (ev->flags & TCP_EOF) {
		if (l)
			l->ended = true;
		tcp_close(h->tcp, ev->conn, h->now_us);
	}
	if (!(ev->flags & TCP_CLOSED))
		return;
	if (l) {
		l->reset |= ev->reason == TCP_RESET || ev->reason == TCP_TIMEOUT;
		tls_stop(&h->tls, ev->conn);
		l->conn = SLOT_NONE;
		l->open = false;
	}
	tcp_release(h->tcp, ev->conn);
}

/* ---- destinations ---- */
static void dest_echo(struct house *h, uint32_t conn, uint16_t flags)
{
	uint8_t *p, *q;
	uint32_t len;

	while (tcp_peek(h->tcp, conn, &p, &len)) {
		len = MIN(len, 1400u);
		q = tcp_reserve(h->tcp, conn, len);
		if (!q)
			return;
		memcpy(q, p, len);
		tcp_push(h->tcp, conn, len);
		tcp_take(h->tcp, conn, len);
		h->dest_bytes += len;
	}
	if (flags & TCP_EOF)
		tcp_close(h->tcp, conn, h->now_us);
}

static void dest_deaf(struct house *h, uint32_t conn, uint16_t flags)
{
}

static void dest_swallow(struct house *h, uint32_t conn)
{
	uint8_t *p;
	uint32_t len;

	while (tcp_peek(h->tcp, conn, &p, &len)) {
		h->dest_bytes += len;
		tcp_take(h->tcp, conn, len);
	}
}

static void dest_source(struct house *h, uint32_t conn, uint16_t flags)
{
	uint8_t *q;

	dest_swallow(h, conn);
	while (h->source && (tcp_room(h->tcp, conn) || tcp_unsent(h->tcp, conn) < 65536)) {
		uint32_t n = (uint32_t)MIN(h->source, 1400u);

		q = tcp_reserve(h->tcp, conn, n);
		if (!q)
			return;
		memset(q, (int)(h->source >> 3), n);
		h->source_hash = house_fold(h->source_hash, q, n);
		tcp_push(h->tcp, conn, n);
		h->source -= n;
	}
	if (!h->source || (flags & TCP_EOF))
		tcp_close(h->tcp, conn, h->now_us);
}

static void dest_reset(struct house *h, uint32_t conn, uint16_t flags)
{
	uint8_t *p;
	uint32_t len;

	if (tcp_peek(h->tcp, conn, &p, &len))
		tcp_abort(h->tcp, conn);
}

static void (*const dests[N_DESTS])(struct house *, uint32_t, uint16_t) = {
	[DEST_ECHO] = dest_echo,
	[DEST_DEAF] = dest_deaf,
	[DEST_SOURCE] = dest_source,
	[DEST_RESET] = dest_reset,
};

static void dest_event(struct house *h, const struct tcp_event *ev)
{
	if (ev->flags & TCP_OPENED)
		h->dest_conn = ev->conn;
	h->dest_ended |=
		(ev->flags & TCP_EOF) || (ev->flags & TCP_CLOSED && ev->reason == TCP_DONE);
	if (h->sink)
		dest_swallow(h, ev->conn);
	else
		dests[ev->kind - PEER_DEST](h, ev->conn, ev->flags);
	if (h->sink && (ev->flags & TCP_EOF))
		tcp_close(h->tcp, ev->conn, h->now_us);
	if (ev->flags & TCP_CLOSED) {
		h->dest_reset |= ev->reason == TCP_RESET;
		tcp_release(h->tcp, ev->conn);
	}
}

void house_peer_turn(struct house *h)
{
	struct rte_mbuf *m[64], **ready;
	static struct net_rx rx;
	struct tcp_event ev[32];
	struct tcp_tx tx[64];
	unsigned n = port_rx(&h->port, 0, m, 64), k;

	for (unsigned i = 0; i < n; i++)
		h->trace = house_fold(h->trace, rte_pktmbuf_mtod(m[i], void *), m[i]->data_len);
	net_in(h->net, m, n, h->now_us, &rx);
	tcp_in(h->tcp, rx.segs, rx.n_segs, h->now_us);
	tcp_timers(h->tcp, h->now_us);
	while ((k = tcp_events(h->tcp, ev, 32)))
		for (unsigned i = 0; i < k; i++) {
			if (ev[i].kind == PEER_LINK)
				link_event(h, &ev[i]);
			else
				dest_event(h, &ev[i]);
		}
	do {
		k = tcp_out(h->tcp, h->now_us, tx, MIN(net_room(h->net), 64u));
		if (k)
			net_out(h->net, tx, k, h->now_us);
		net_tick(h->net, h->now_us, &rx);
		unsigned r = net_ready(h->net, &ready);
		if (r)
			net_sent(h->net, port_tx(&h->port, 0, ready, MIN(r, (unsigned)PORT_BURST)));
	} while (k);
	rte_pktmbuf_free_bulk(m, n);
}
