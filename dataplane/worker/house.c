/* house.c - the fixture behind house.h: wiring, time, and what tests ask for. */
#include "dataplane/worker/house.h"

#include <rte_mbuf.h>
#include <stdio.h>
#include <stdlib.h>

#define STEP_US	   200
#define PUBLISH_US 100000 /* how often memory is looked at, as in pace.c */

struct addr house_address(uint32_t ip, uint16_t port)
{
	struct addr a = {.family = 4, .port = port};

	be32_put(a.ip, ip);
	return a;
}

uint64_t house_fold(uint64_t h, const void *p, size_t len)
{
	const uint8_t *b = p;

	for (size_t i = 0; i < len; i++)
		h = (h ^ b[i]) * 0x100000001b3ull;
	return h;
}

/* ---- building ---- */
static void net_of(struct net_config *cf, const struct port *p, uint32_t ip)
{
	*cf = (struct net_config) {.mtu = p->mtu,
				   .tx_csum = (p->caps & PORT_TX_CSUM) != 0,
				   .tso = p->tso_max != 0,
				   .n_addrs = 1};
	memcpy(cf->mac, p->mac, 6);
	cf->addrs[0] = (struct net_prefix) {house_address(ip, 0), 24};
}

static void tcp_of(struct tcp_config *cf, const struct port *p)
{
	*cf = (struct tcp_config) {.numa = -1,
				   .n_conns = 512,
				   .mss4 = (uint16_t)(p->mtu - 40),
				   .mss6 = (uint16_t)(p->mtu - 60),
				   .tso_max = p->tso_max,
				   .tx_segs = p->tx_segs,
				   .sums = !(p->caps & PORT_TX_CSUM),
				   .max_mem = 24 << 20,
				   .n_headers = 4096,
				   .n_pieces = 8192};
}

void house_must(bool ok, const char *what)
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
	house_must(port_open(&p->port, "wire:house:0", &pc, err) == 0, err);
	p->n_workers = h->n_workers;
	p->n_conns = 512;
	p->n_circs = 1024;
	p->n_streams = 512;
	p->n_slots = 16384;
	p->ctl = aligned_alloc(4096, ctl_size(h->n_workers));
	memset(p->ctl, 0, ctl_size(h->n_workers));
	*p->ctl = (struct ctl_shared) {.magic = CTL_MAGIC,
				       .version = CTL_VERSION,
				       .n_workers = h->n_workers,
				       .ring_slots = CTL_RING_SLOTS,
				       .epoch = 1};
	net_of(&p->net, &p->port, RELAY_IP);
	tcp_of(&p->tcp, &p->port);
	p->mesh = mesh_new(h->n_workers);
	h->workers = calloc(h->n_workers, sizeof(*h->workers));
	for (unsigned i = 0; i < h->n_workers; i++) {
		key[0] = (uint8_t)i;
		memcpy(key + 8, &seed, 8);
		house_must(worker_init(&h->workers[i], p, i, key, h->now_us, err) == 0, err);
		ring_attach(&h->down[i], ctl_ring(p->ctl, i, false), CTL_RING_SLOTS);
		ring_attach(&h->up[i], ctl_ring(p->ctl, i, true), CTL_RING_SLOTS);
	}
}

static void build_peer(struct house *h, uint64_t seed)
{
	struct port_config pc = {.n_queues = 1, .numa = -1};
	struct addr at = house_address(PEER_IP, HOP_PORT);
	struct net_config nc;
	struct tcp_config tc;
	const char *why = "";
	char err[PORT_ERR];
	uint8_t key[32] = {99};

	memcpy(key + 8, &seed, 8);
	rng_seed(&h->rng, key);
	house_must(port_open(&h->port, "wire:house:1", &pc, err) == 0, err);
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
	house_must(h->tcp && h->net, why);
	house_must(cipher_init(&h->cipher, 0) == 0, "cipher");
	house_must(tls_init(&h->tls, 512, &h->cipher, &h->counts) == 0, "tls");
	tcp_listen(h->tcp, &at, h->sink ? PEER_DEST : PEER_LINK, 16);
	for (unsigned i = 0; i < DEST_CLOSED; i++) {
		at.port = (uint16_t)(HOUSE_DEST + i);
		tcp_listen(h->tcp, &at, (uint8_t)(PEER_DEST + i), 64);
	}
}

/* ---- what both sides know of the handshake ---- */
void house_secrets(uint8_t *in, uint8_t *out, bool dialled)
{
	memset(in, dialled ? 0x22 : 0x11, 48);
	memset(out, dialled ? 0x11 : 0x22, 48);
}

void house_hello(uint8_t p[HELLO_LEN])
{
	static const uint8_t head[] = {22, 3, 3, 0, HELLO_LEN - 5};

	memset(p, 0x5a, HELLO_LEN);
	memcpy(p, head, sizeof(head));
}

/* ---- time ---- */
void house_step(struct house *h)
{
	uint64_t held = 0;

	h->now_us += h->step_us ? h->step_us : STEP_US;
	wire_advance(h->wire, h->now_us);
	for (unsigned i = 0; i < h->n_workers; i++) {
		worker_turn(&h->workers[i], h->now_us);
		buckets_refill(&h->workers[i]);
		memory_watch(&h->workers[i]);
		held += h->workers[i].figures->mem_bytes;
	}
	h->held_most = MAX(h->held_most, held);
	if (!h->sink)
		house_control_turn(h);
	house_peer_turn(h);
}

uint64_t house_count(const struct house *h, enum count_id id)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < h->n_workers; i++)
		n += h->workers[i].counts->v[id];
	return n;
}

bool house_until(struct house *h, const bool *flag, unsigned limit_ms)
{
	uint64_t end_us = h->now_us + limit_ms * 1000ull;

	while (h->now_us < end_us && !*flag)
		house_step(h);
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
	struct addr local = house_address(PEER_IP, 0), remote = house_address(RELAY_IP, OR_PORT);
	int conn = tcp_open(h->tcp, &local, &remote, PEER_LINK, h->now_us);
	struct peer_link *l;

	house_must(conn >= 0, "dial");
	l = house_link_new(h, (uint32_t)conn, true);
	house_must(house_until(h, &l->open, 30000), "link");
	house_run(h, 50);
	return l;
}

struct peer_circ *house_create(struct house *h, struct peer_link *l)
{
	struct peer_circ *c = &h->circ[h->n_circs++];
	uint16_t n_keys = h->cgo ? CGO_KEYS : TOR1_KEYS;
	uint8_t payload[4 + CGO_KEYS] = {0, 2};

	*c = (struct peer_circ) {.link = l,
				 .cgo = h->cgo,
				 .id = HOUSE_CIRC_ID + h->n_circs - 1,
				 .n_layers = 1,
				 .window = 1000,
				 .inc = h->cc_inc ? h->cc_inc : 100,
				 .cc = h->cc_inc != 0,
				 .hash_in = 1,
				 .hash_out = 1};
	be16_put(payload + 2, n_keys);
	rng_bytes(&h->rng, payload + 4, n_keys);
	if (h->cgo)
		cgo_layer_init(&h->cipher, &c->outer, payload + 4);
	else
		tor1_layer_init(&h->cipher, &c->layers[0], payload + 4);
	house_cell(h, l, c->id, CELL_CREATE2, payload, 4u + n_keys);
	return c;
}

struct peer_circ *house_made(struct house *h, struct peer_link *l)
{
	struct peer_circ *c = house_create(h, l);

	house_must(house_until(h, &c->created, 20000), "circuit");
	return c;
}

struct peer_circ *house_loading(struct house *h, struct peer_link *l)
{
	struct peer_circ *c = house_made(h, l);

	h->dest = DEST_SOURCE;
	house_begin(h, c, 7);
	house_must(house_until(h, &c->connected, 5000), "stream");
	h->dest = DEST_ECHO;
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
		while (c->bytes_out < bytes && c->n_data_out < c->window &&
		       c->n_data_out < c->n_data_in + 400) {
			uint64_t some = 1 + rng_below(&h->rng, house_most(c));
			uint16_t len = (uint16_t)MIN(bytes - c->bytes_out, some);

			rng_bytes(&h->rng, body, len);
			c->hash_out = house_fold(c->hash_out, body, len);
			c->bytes_out += len;
			house_say(h, c, RELAY_DATA, 7, body, len, false);
		}
		if (c->bytes_in >= bytes || c->destroyed)
			break;
		house_step(h);
	}
	return c->bytes_in == bytes && c->hash_in == c->hash_out;
}

void house_abuse(struct house *h, const char *what, struct peer_circ *other, uint64_t bound,
		 void (*flood)(void *arg), void *arg)
{
	uint64_t rate[2], most[2] = {0};

	for (int on = 0; on <= 1; on++) {
		uint64_t took_us = 0, bytes = other->bytes_in;

		h->held_most = 0;
		for (unsigned i = 0; i < HOUSE_ROUNDS; i++) {
			uint64_t at_us;

			if (on)
				flood(arg);
			at_us = h->now_us;
			house_must(house_echo(h, other, other->bytes_out + 20000, 5000),
				   "an honest circuit beside abuse");
			took_us += h->now_us - at_us;
		}
		most[on] = h->held_most;
		rate[on] = (other->bytes_in - bytes) * 1000 / MAX(took_us / 1000, 1);
	}
	printf("%s: another circuit carries %llu bytes a second, %llu before; held are at most "
	       "%llu bytes of %llu, %llu before\n",
	       what, (unsigned long long)rate[1], (unsigned long long)rate[0],
	       (unsigned long long)most[1], (unsigned long long)bound, (unsigned long long)most[0]);
	house_must(rate[1] * 10 >= rate[0] * 9, "nine tenths of the rate beside abuse");
	house_must(most[1] <= bound, "the bound of memory under abuse");
}

/* ---- up and down ---- */
static struct house *standing;

static void build(struct house *h, unsigned n_workers, uint64_t seed,
		  const struct wire_impair *impair)
{
	struct wire_config wc = {.seed = seed, .n_queues = n_workers};

	eal_once();
	standing = h;
	h->n_workers = n_workers;
	h->now_us = 1000000;
	h->trace = h->epoch = h->dir_hash = h->source_hash = 1;
	h->wire = wire_new("house", &wc);
	house_must(h->wire != NULL, "wire");
	build_relay(h, seed);
	build_peer(h, seed);
	for (unsigned end = 0; impair && end < 2; end++)
		wire_impair(h->wire, end, impair);
}

void house_open(struct house *h, unsigned n_workers, uint64_t seed,
		const struct wire_impair *impair)
{
	struct ctl_listen at = {house_address(RELAY_IP, OR_PORT)};
	struct ctl_conn_open dial = {.cookie = 1,
				     .local = house_address(RELAY_IP, 0),
				     .remote = house_address(PEER_IP, HOP_PORT)};

	if (standing) /* a test that failed left it */
		house_close(standing);
	memset(h, 0, sizeof(*h));
	build(h, n_workers, seed, impair);
	for (unsigned i = 0; i < n_workers; i++)
		house_down(h, i, CTL_LISTEN_ADD, WID_NONE, 0, &at, sizeof(at), NULL, 0);
	/* The next hop hangs on the last worker, so that with two workers cells cross over. */
	house_down(h, n_workers - 1, CTL_CONN_OPEN, WID_NONE, 0, &dial, sizeof(dial), NULL, 0);
	for (unsigned i = 0; i < 1000 && !h->next_conn; i++)
		house_run(h, 30);
	house_must(h->next_conn != WID_NONE, "link to the next hop");
	house_run(h, 50);
}

void house_open_bare(struct house *h, uint64_t seed)
{
	memset(h, 0, sizeof(*h));
	h->sink = true;
	build(h, 1, seed, NULL);
}

void house_close(struct house *h)
{
	standing = NULL;
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
