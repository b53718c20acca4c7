/* house.c - the fixture behind house.h: wiring, the scripted control, the scripted peer. */
#include "dataplane/worker/house.h"

#include <rte_mbuf.h>
#include <stdio.h>
#include <stdlib.h>

#define HELLO_LEN 37 /* one record each way stands for the TLS handshake */
#define STEP_US	  200
#define RELAY_IP  0x0a000001
#define PEER_IP	  0x0a000002
#define ECHO_PORT 7
#define OR_PORT	  9001
#define HOP_PORT  9002

enum { PEER_LINK, PEER_ECHO };

static struct addr address(uint32_t ip, uint16_t port)
{
	struct addr a = {.family = 4, .port = port};

	be32_put(a.ip, ip);
	return a;
}

static uint64_t fold(uint64_t h, const void *p, size_t len)
{
	const uint8_t *b = p;

	for (size_t i = 0; i < len; i++)
		h = (h ^ b[i]) * 0x100000001b3ull;
	return h;
}

/* ---- building ---- */
static void net_of(struct net_config *cf, const struct port *p, uint32_t ip)
{
	*cf = (struct net_config) {.mtu = p->mtu, .tx_csum = (p->caps & PORT_TX_CSUM) != 0,
				   .tso = p->tso_max != 0, .n_addrs = 1};
	memcpy(cf->mac, p->mac, 6);
	cf->addrs[0] = (struct net_prefix) {address(ip, 0), 24};
}

static void tcp_of(struct tcp_config *cf, const struct port *p)
{
	*cf = (struct tcp_config) {.numa = -1, .n_conns = 512, .mss4 = (uint16_t)(p->mtu - 40),
				   .mss6 = (uint16_t)(p->mtu - 60), .tso_max = p->tso_max,
				   .tx_segs = p->tx_segs, .max_mem = 24 << 20, .n_headers = 4096,
				   .n_pieces = 8192};
}

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "house: %s failed\n", what);
	abort();
}

static void eal_once(void)
{
	static bool up;
	struct eal_config eal = {.mem_mb = 700, .port = "wire:house:0", .n_queues = 4};
	char err[PORT_ERR];

	if (up)
		return;
	if (eal_start(&eal, NULL, err) < 0) {
		fprintf(stderr, "%s\n", err);
		abort();
	}
	up = true;
}

static void build_relay(struct house *h, uint64_t seed)
{
	struct port_config pc = {.n_queues = h->n_workers, .numa = -1};
	struct plane *p = &h->plane;
	uint8_t key[32] = {0};
	char err[PORT_ERR];

	memset(pc.hash_key, 0x6d, sizeof(pc.hash_key));
	must(port_open(&p->port, "wire:house:0", &pc, err) == 0, err);
	p->n_workers = h->n_workers;
	p->n_conns = 512;
	p->n_circs = 1024;
	p->n_streams = 512;
	p->n_slots = 16384;
	p->ctl = aligned_alloc(4096, ctl_size(h->n_workers));
	memset(p->ctl, 0, ctl_size(h->n_workers));
	*p->ctl = (struct ctl_shared) {.magic = CTL_MAGIC, .version = CTL_VERSION,
				       .n_workers = h->n_workers, .ring_slots = CTL_RING_SLOTS,
				       .epoch = 1};
	p->bucket.left[0] = p->bucket.left[1] = INT64_MAX / 2;
	net_of(&p->net, &p->port, RELAY_IP);
	tcp_of(&p->tcp, &p->port);
	p->mesh = mesh_new(h->n_workers);
	h->workers = calloc(h->n_workers, sizeof(*h->workers));
	for (unsigned i = 0; i < h->n_workers; i++) {
		key[0] = (uint8_t)i;
		memcpy(key + 8, &seed, 8);
		must(worker_init(&h->workers[i], p, i, key, h->now_us, err) == 0, err);
		ring_attach(&h->down[i], ctl_ring(p->ctl, i, false), CTL_RING_SLOTS);
		ring_attach(&h->up[i], ctl_ring(p->ctl, i, true), CTL_RING_SLOTS);
	}
}

static void build_peer(struct house *h, uint64_t seed)
{
	struct port_config pc = {.n_queues = 1, .numa = -1};
	struct addr echo = address(PEER_IP, ECHO_PORT), hop = address(PEER_IP, HOP_PORT);
	struct net_config nc;
	struct tcp_config tc;
	const char *why = "";
	char err[PORT_ERR];
	uint8_t key[32] = {99};

	memcpy(key + 8, &seed, 8);
	rng_seed(&h->rng, key);
	must(port_open(&h->port, "wire:house:1", &pc, err) == 0, err);
	net_of(&nc, &h->port, PEER_IP);
	nc.pool = rte_pktmbuf_pool_create("peer", 1023, 0, 0, 2048 + RTE_PKTMBUF_HEADROOM,
					  SOCKET_ID_ANY);
	nc.counts = &h->counts;
	h->net = net_init(&nc);
	tcp_of(&tc, &h->port);
	tc.worker = 40;
	tc.counts = &h->counts;
	tc.records = 1u << PEER_LINK;
	memcpy(tc.seed, key, 32);
	h->tcp = tcp_init(&tc, h->now_us, &why);
	must(h->tcp && h->net, why);
	must(cipher_init(&h->cipher, 0) == 0, "cipher");
	must(tls_init(&h->tls, 512, &h->cipher, &h->counts) == 0, "tls");
	tcp_listen(h->tcp, &hop, PEER_LINK, 16);
	tcp_listen(h->tcp, &echo, PEER_ECHO, 64);
}

/* ---- control ---- */
void house_down(struct house *h, unsigned worker, enum ctl_type type, wid id, uint32_t arg,
		const void *body, size_t body_len, const void *tail, size_t tail_len)
{
	uint8_t head[512];
	struct ctl_head c = {.type = (uint16_t)type, .epoch = 1, .arg = arg, .id = id};

	memcpy(head, &c, sizeof(c));
	if (body_len)
		memcpy(head + sizeof(c), body, body_len);
	must(ring_send(&h->down[worker], head, sizeof(c) + body_len, tail, tail_len) == 0, "ring");
}

static void secrets(uint8_t *in, uint8_t *out, bool dialled)
{
	memset(in, dialled ? 0x22 : 0x11, 48);
	memset(out, dialled ? 0x11 : 0x22, 48);
}

static void hello_put(uint8_t p[HELLO_LEN])
{
	static const uint8_t head[] = {22, 3, 3, 0, HELLO_LEN - 5};

	memset(p, 0x5a, HELLO_LEN);
	memcpy(p, head, sizeof(head));
}

/* Our record is out, theirs is in: the record layer is the worker's. */
static void control_keys(struct house *h, wid conn, bool dialled)
{
	struct ctl_conn_keys k = {.version = 0x0304, .suite = 0x1301};

	k.in.offset = k.out.offset = HELLO_LEN;
	secrets(k.in.secret, k.out.secret, dialled);
	house_down(h, wid_worker(conn), CTL_CONN_KEYS, conn, 0, &k, sizeof(k), NULL, 0);
}

static void control_ready(struct house *h, wid conn, bool dialled)
{
	struct ctl_conn_ready r = {.link_proto = 5, .peer = CTL_PEER_RELAY, .initiator = dialled};

	house_down(h, wid_worker(conn), CTL_CONN_READY, conn, 0, &r, sizeof(r), NULL, 0);
	if (dialled)
		h->next_conn = conn;
}

/* The client's handshake data are the keys themselves. */
static void control_create(struct house *h, wid circ, const uint8_t *payload)
{
	struct ctl_circ_add add = {.created = CELL_CREATED2, .keys_len = TOR1_KEYS};
	static const uint8_t answer[2];

	memcpy(add.keys, payload + 4, TOR1_KEYS);
	house_down(h, wid_worker(circ), CTL_CIRC_ADD, circ, 0, &add, sizeof(add), answer, 2);
}

static void control_stream(struct house *h, wid stream)
{
	struct ctl_stream_open o = {.kind = CTL_STREAM_TCP, .ttl = 60,
				    .local = address(RELAY_IP, 0),
				    .remote = address(PEER_IP, ECHO_PORT)};

	house_down(h, wid_worker(stream), CTL_STREAM_OPEN, stream, 0, &o, sizeof(o), NULL, 0);
}

static void control_hears(struct house *h, const uint8_t *msg, size_t len)
{
	struct ctl_head c;
	const uint8_t *body = msg + sizeof(c);
	uint8_t hello[HELLO_LEN];

	hello_put(hello);
	memcpy(&c, msg, sizeof(c));
	must(c.type < N_CTL_UP, "type");
	h->n_up[c.type]++;
	if (c.type == CTL_CONN_OPENED) {
		struct ctl_conn_opened o;

		memcpy(&o, body, sizeof(o));
		if (o.cookie)
			house_down(h, wid_worker(c.id), CTL_CONN_WRITE, c.id, 0, NULL, 0, hello,
				   HELLO_LEN);
	} else if (c.type == CTL_CONN_READ) {
		/* Who dialled knows it by having written first; here the port tells. */
		bool dialled = h->workers[wid_worker(c.id)].conn[wid_index(c.id)].cookie != 0;
		struct ctl_conn_read r;

		memcpy(&r, body, sizeof(r));
		if (r.offset)
			return; /* behind the hand-over: the worker keeps it */
		if (!dialled)
			house_down(h, wid_worker(c.id), CTL_CONN_WRITE, c.id, 0, NULL, 0, hello,
				   HELLO_LEN);
		control_keys(h, c.id, dialled);
	} else if (c.type == CTL_CELL_RECV && body[4] == CELL_NETINFO) {
		control_ready(h, c.id,
			      h->workers[wid_worker(c.id)].conn[wid_index(c.id)].cookie != 0);
	} else if (c.type == CTL_CIRC_CREATE) {
		control_create(h, c.id, body + sizeof(struct ctl_circ_create));
	} else if (c.type == CTL_CIRC_RECV) {
		struct ctl_circ_msg m;
		struct ctl_circ_extend e;

		memcpy(&m, body, sizeof(m));
		if (m.command != RELAY_EXTEND2)
			return;
		e = (struct ctl_circ_extend) {.serial = m.serial, .conn = h->next_conn};
		house_down(h, wid_worker(c.id), CTL_CIRC_EXTEND, c.id, 0, &e, sizeof(e),
			   body + sizeof(m), len - sizeof(c) - sizeof(m));
	} else if (c.type == CTL_STREAM_RECV) {
		control_stream(h, c.id);
	}
}

static void control_turn(struct house *h)
{
	static uint8_t msg[RING_MSG_MAX];
	int len;

	for (unsigned i = 0; i < h->n_workers && !h->silent; i++)
		while ((len = ring_recv(&h->up[i], msg, false)) > 0)
			control_hears(h, msg, (size_t)len);
}

/* ---- the peer's records ---- */
static struct peer_link *link_on(struct house *h, uint32_t conn)
{
	for (unsigned i = 0; i < h->n_links; i++)
		if (h->link[i].conn == conn)
			return &h->link[i];
	return NULL;
}

static struct peer_link *link_new(struct house *h, uint32_t conn, bool dialled)
{
	struct peer_link *l = link_on(h, conn);

	if (!l)
		l = &h->link[h->n_links++];
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
	peer_seal(h, l, cell, sizeof(cell));
}

static void peer_keys(struct house *h, struct peer_link *l)
{
	static const uint8_t versions[] = {0, 0, CELL_VERSIONS, 0, 2, 0, 5};
	struct tls_keys k = {.version = 0x0304, .suite = 0x1301};

	secrets(k.in.secret, k.out.secret, l->dialled);
	must(tls_start(&h->tls, l->conn, &k) == 0, "tls_start");
	peer_seal(h, l, versions, sizeof(versions));
	house_cell(h, l, 0, CELL_NETINFO, NULL, 0);
	l->open = true;
}

static void peer_hello(struct house *h, uint32_t conn)
{
	uint8_t *p = tcp_reserve(h->tcp, conn, HELLO_LEN);

	must(p != NULL, "hello");
	hello_put(p);
	tcp_push(h->tcp, conn, HELLO_LEN);
}

/* ---- the peer's circuits ---- */
void house_say(struct house *h, struct peer_circ *c, uint8_t command, uint16_t stream,
	       const void *body, uint16_t len, bool early)
{
	uint8_t payload[CELL_PAYLOAD] = {0}, tag[SHA1_LEN];

	relay_msg_head(payload, command, stream, len);
	if (len)
		memcpy(payload + RELAY_HEAD, body, len);
	tor1_client_seal(&h->cipher, c->layers, c->n_layers - 1, payload, tag);
	if (command == RELAY_DATA && ++c->n_data_out % 100 == 0)
		memcpy(c->tags[c->n_tags++ % 10], tag, 20);
	house_cell(h, c->link, c->id, early ? CELL_RELAY_EARLY : CELL_RELAY, payload, CELL_PAYLOAD);
}

static void circ_hears(struct house *h, struct peer_circ *c, uint8_t *payload)
{
	uint8_t tag[SHA1_LEN], sendme[RELAY_SENDME_LEN] = {1, 0, 20};
	struct relay_msg m;

	if (tor1_client_open(&h->cipher, c->layers, c->n_layers, payload, tag) < 0 ||
	    relay_msg_get(&m, payload) < 0) {
		c->destroyed = true;
		c->destroy_reason = 255; /* not ours: the cipher streams are out of step */
		return;
	}
	c->connected |= m.command == RELAY_CONNECTED;
	c->truncated |= m.command == RELAY_TRUNCATED;
	if (m.command == RELAY_END) {
		c->ended = true;
		c->end_reason = m.len ? m.body[0] : 0;
	}
	if (m.command == RELAY_EXTENDED2) {
		c->extended = true;
		c->n_layers = 2;
	}
	if (m.command == RELAY_SENDME && !m.stream_id) {
		must(m.len == RELAY_SENDME_LEN && c->n_acked < c->n_tags &&
			     !memcmp(m.body + 3, c->tags[c->n_acked++ % 10], 20), "SENDME tag");
		c->window += 100;
	}
	if (m.command != RELAY_DATA)
		return;
	c->bytes_in += m.len;
	c->hash_in = fold(c->hash_in, m.body, m.len);
	if (++c->n_data_in % 100 == 0) {
		memcpy(sendme + 3, tag, 20);
		house_say(h, c, RELAY_SENDME, 0, sendme, sizeof(sendme), false);
	}
	if (c->n_data_in % 50 == 0)
		house_say(h, c, RELAY_SENDME, m.stream_id, NULL, 0, false);
}

/* As next hop: our layer off, DATA comes back as it is under our layer. */
static void hop_hears(struct house *h, struct peer_hop *p, uint8_t *payload)
{
	uint8_t tag[SHA1_LEN];
	struct relay_msg m;

	aes_ctr_run(&h->cipher, &p->layer.fwd, payload, payload, CELL_PAYLOAD);
	must(tor1_recognize(&h->cipher, &p->layer.fwd_digest, payload, tag), "next hop's layer");
	p->n_cells++;
	must(relay_msg_get(&m, payload) == 0, "message");
	if (m.command != RELAY_DATA)
		return;
	be32_put(payload + 5, 0);
	sha1_update(&h->cipher, &p->layer.back_digest, payload, CELL_PAYLOAD);
	sha1_peek(&h->cipher, &p->layer.back_digest, tag);
	memcpy(payload + 5, tag, 4);
	aes_ctr_run(&h->cipher, &p->layer.back, payload, payload, CELL_PAYLOAD);
	house_cell(h, p->link, p->id, CELL_RELAY, payload, CELL_PAYLOAD);
}

static void hop_create(struct house *h, struct peer_link *l, uint32_t id, const uint8_t *payload)
{
	for (unsigned i = 0; i < HOUSE_CIRCS; i++) {
		if (h->hop[i].used)
			continue;
		h->hop[i] = (struct peer_hop) {.link = l, .id = id, .used = true};
		tor1_layer_init(&h->cipher, &h->hop[i].layer, payload + 4);
		house_cell(h, l, id, CELL_CREATED2, NULL, 0);
		return;
	}
}

static void circ_cell(struct house *h, struct peer_circ *c, uint8_t command, uint8_t *payload)
{
	if (command == CELL_CREATED2)
		c->created = true;
	if (command == CELL_RELAY)
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
	for (unsigned i = 0; i < HOUSE_CIRCS; i++)
		if (h->hop[i].used && h->hop[i].link == l && h->hop[i].id == id) {
			if (cell[4] == CELL_RELAY || cell[4] == CELL_RELAY_EARLY)
				hop_hears(h, &h->hop[i], cell + CELL_HEAD);
			else if (cell[4] == CELL_DESTROY)
				h->hop[i].used = false;
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

static void peer_records(struct house *h, uint32_t conn)
{
	struct peer_link *l = link_on(h, conn);
	struct tls_got got;
	uint8_t *p;
	uint32_t len;

	while (l && tcp_peek(h->tcp, conn, &p, &len)) {
		if (!l->open) {
			must(len == HELLO_LEN, "hello");
			if (!l->dialled)
				peer_hello(h, conn);
			tcp_take(h->tcp, conn, len);
			peer_keys(h, l);
			continue;
		}
		got = tls_in(&h->tls, conn, p, len);
		must(got.what != TLS_ERROR, "a record of the relay");
		if (got.what == TLS_DATA)
			peer_plain(h, l, got.data, got.len);
		tcp_take(h->tcp, conn, len);
	}
}

static void peer_echo(struct house *h, uint32_t conn)
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
	}
}

static void peer_event(struct house *h, const struct tcp_event *ev)
{
	if (ev->flags & TCP_OPENED && ev->kind == PEER_LINK) {
		if (!link_on(h, ev->conn) || !link_on(h, ev->conn)->dialled)
			link_new(h, ev->conn, false);
		else
			peer_hello(h, ev->conn);
	}
	if (ev->kind == PEER_LINK)
		peer_records(h, ev->conn);
	else
		peer_echo(h, ev->conn);
	if (ev->flags & TCP_EOF)
		tcp_close(h->tcp, ev->conn, h->now_us);
	if (ev->flags & TCP_CLOSED) {
		struct peer_link *l = link_on(h, ev->conn);

		if (ev->kind == PEER_LINK && l) {
			tls_stop(&h->tls, ev->conn);
			l->conn = SLOT_NONE;
			l->open = false;
		}
		tcp_release(h->tcp, ev->conn);
	}
}

static void peer_turn(struct house *h)
{
	struct rte_mbuf *m[64], **ready;
	static struct net_rx rx;
	struct tcp_event ev[32];
	struct tcp_tx tx[64];
	unsigned n = port_rx(&h->port, 0, m, 64), k;

	for (unsigned i = 0; i < n; i++)
		h->trace = fold(h->trace, rte_pktmbuf_mtod(m[i], void *), m[i]->data_len);
	net_in(h->net, m, n, h->now_us, &rx);
	tcp_in(h->tcp, rx.segs, rx.n_segs, h->now_us);
	tcp_timers(h->tcp, h->now_us);
	while ((k = tcp_events(h->tcp, ev, 32)))
		for (unsigned i = 0; i < k; i++)
			peer_event(h, &ev[i]);
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

/* ---- time ---- */
static void step(struct house *h)
{
	h->now_us += STEP_US;
	wire_advance(h->wire, h->now_us);
	for (unsigned i = 0; i < h->n_workers; i++)
		worker_turn(&h->workers[i], h->now_us);
	control_turn(h);
	peer_turn(h);
}

bool house_until(struct house *h, const bool *flag, unsigned limit_ms)
{
	for (unsigned i = 0; i < limit_ms * 1000 / STEP_US && !*flag; i++)
		step(h);
	return *flag;
}

void house_run(struct house *h, unsigned ms)
{
	static const bool never;

	house_until(h, &never, ms);
}

/* ---- the client's words ---- */
struct peer_link *house_link(struct house *h)
{
	struct addr local = address(PEER_IP, 0), remote = address(RELAY_IP, OR_PORT);
	int conn = tcp_open(h->tcp, &local, &remote, PEER_LINK, h->now_us);
	struct peer_link *l;

	must(conn >= 0, "dial");
	l = link_new(h, (uint32_t)conn, true);
	must(house_until(h, &l->open, 30000), "link");
	house_run(h, 50);
	return l;
}

struct peer_circ *house_create(struct house *h, struct peer_link *l)
{
	struct peer_circ *c = &h->circ[h->n_circs++];
	uint8_t payload[4 + TOR1_KEYS] = {0, 2, 0, TOR1_KEYS};

	*c = (struct peer_circ) {.link = l, .id = 0x80000000u + h->n_circs, .n_layers = 1,
				 .window = 1000, .hash_in = 1, .hash_out = 1};
	rng_bytes(&h->rng, payload + 4, TOR1_KEYS);
	tor1_layer_init(&h->cipher, &c->layers[0], payload + 4);
	house_cell(h, l, c->id, CELL_CREATE2, payload, sizeof(payload));
	return c;
}

void house_extend(struct house *h, struct peer_circ *c)
{
	uint8_t body[4 + TOR1_KEYS] = {0, 2, 0, TOR1_KEYS};

	rng_bytes(&h->rng, body + 4, TOR1_KEYS);
	tor1_layer_init(&h->cipher, &c->layers[1], body + 4);
	c->window = UINT32_MAX; /* our next hop sends no SENDMEs */
	house_say(h, c, RELAY_EXTEND2, 0, body, sizeof(body), true);
}

bool house_echo(struct house *h, struct peer_circ *c, uint64_t bytes, unsigned limit_ms)
{
	uint8_t body[RELAY_BODY];

	for (unsigned i = 0; i < limit_ms * 1000 / STEP_US; i++) {
		while (c->bytes_out < bytes && c->n_data_out < c->window && c->n_data_out <
		       c->n_data_in + 400) {
			uint64_t some = 1 + rng_below(&h->rng, RELAY_BODY);
			uint16_t len = (uint16_t)MIN(bytes - c->bytes_out, some);

			rng_bytes(&h->rng, body, len);
			c->hash_out = fold(c->hash_out, body, len);
			c->bytes_out += len;
			house_say(h, c, RELAY_DATA, 7, body, len, false);
		}
		if (c->bytes_in >= bytes || c->destroyed)
			break;
		step(h);
	}
	return c->bytes_in == bytes && c->hash_in == c->hash_out;
}

/* ---- up and down ---- */
void house_open(struct house *h, unsigned n_workers, uint64_t seed, const struct wire_impair *impair)
{
	struct wire_config wc = {.seed = seed, .n_queues = n_workers};
	struct ctl_listen at = {address(RELAY_IP, OR_PORT)};
	struct ctl_conn_open dial = {.cookie = 1, .local = address(RELAY_IP, 0),
				     .remote = address(PEER_IP, HOP_PORT)};
	bool linked = false;

	eal_once();
	*h = (struct house) {.n_workers = n_workers, .now_us = 1000000, .trace = 1};
	h->wire = wire_new("house", &wc);
	must(h->wire != NULL, "wire");
	build_relay(h, seed);
	build_peer(h, seed);
	for (unsigned end = 0; impair && end < 2; end++)
		wire_impair(h->wire, end, impair);
	for (unsigned i = 0; i < n_workers; i++)
		house_down(h, i, CTL_LISTEN_ADD, WID_NONE, 0, &at, sizeof(at), NULL, 0);
	/* The next hop hangs on the last worker, so that with two workers cells cross over. */
	house_down(h, n_workers - 1, CTL_CONN_OPEN, WID_NONE, 0, &dial, sizeof(dial), NULL, 0);
	for (unsigned i = 0; i < 1000 && !linked; i++) {
		house_run(h, 30);
		linked = h->next_conn != WID_NONE;
	}
	must(linked, "link to the next hop");
	house_run(h, 50);
}

void house_close(struct house *h)
{
	for (unsigned i = 0; i < h->n_workers; i++)
		worker_fini(&h->workers[i]);
	net_fini(h->net);
	tcp_fini(h->tcp);
	tls_fini(&h->tls);
	cipher_fini(&h->cipher);
	for (unsigned i = 0; i < h->n_workers; i++) {
		char name[32];

		snprintf(name, sizeof(name), "net%u", i);
		rte_mempool_free(rte_mempool_lookup(name));
	}
	rte_mempool_free(rte_mempool_lookup("peer"));
	mesh_free(h->plane.mesh);
	port_close(&h->plane.port);
	port_close(&h->port);
	wire_free(h->wire);
	free(h->workers);
	free(h->plane.ctl);
}
