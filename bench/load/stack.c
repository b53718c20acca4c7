/* stack.c - the rooms below the cells, as in a worker: port, net, tcp, tls, and one turn of them.
 */
#include "bench/load/load.h"

#include <rte_cycles.h>
#include <rte_mbuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#define CONNS_SPARE 256
#define LIST_MAX    1024 /* frames out in one turn at most */

uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void load_fail(struct load *ld, const char *fmt, ...)
{
	va_list args;

	if (ld->failed[0])
		return;
	va_start(args, fmt);
	vsnprintf(ld->failed, sizeof(ld->failed), fmt, args);
	va_end(args);
}

static __attribute__((noreturn)) void cannot(const char *what)
{
	fprintf(stderr, "ramson-load: %s\n", what);
	exit(1);
}

static void *column(size_t n, size_t size)
{
	void *p = column_new(n, size);

	if (!p)
		cannot("not enough memory for so many links and circuits");
	return p;
}

static void start_port(struct load *ld)
{
	struct options *o = &ld->opt;
	struct eal_config eal = {.cores = o->cores,
				 .mem_mb = o->mem_mb * 3 / 2 + 160,
				 .port = o->port,
				 .n_queues = 1};
	struct port_config pc = {.n_queues = 1, .numa = -1};
	char err[PORT_ERR];

	if (eal_start(&eal, NULL, err) < 0 || port_open(&ld->port, o->port, &pc, err) < 0)
		cannot(err);
	if (o->mtu && o->mtu < ld->port.mtu)
		ld->port.mtu = (uint16_t)o->mtu;
}

static void start_net(struct load *ld)
{
	const struct port *p = &ld->port;
	struct net_config cf = {.mtu = p->mtu,
				.tx_csum = (p->caps & PORT_TX_CSUM) != 0,
				.tso = p->tso_max != 0,
				.n_addrs = 1,
				.counts = &ld->counts,
				.gateway4 = {.family = 0}};

	memcpy(cf.mac, p->mac, 6);
	cf.addrs[0] = ld->opt.address;
	*(ld->opt.gateway.family == 6 ? &cf.gateway6 : &cf.gateway4) = ld->opt.gateway;
	cf.pool = rte_pktmbuf_pool_create("net", 2047, 64, 0, 2048 + RTE_PKTMBUF_HEADROOM,
					  SOCKET_ID_ANY);
	rng_bytes(&ld->rng, cf.seed, sizeof(cf.seed));
	if (net_config_bad(&cf))
		cannot(net_config_bad(&cf));
	ld->net = cf.pool ? net_init(&cf) : NULL;
	if (!ld->net)
		cannot("not enough memory for frames");
}

static void start_tcp(struct load *ld)
{
	const struct port *p = &ld->port;
	const char *why = "no memory";
	struct tcp_config cf = {.numa = -1,
				.n_conns = ld->n_conns,
				.mss4 = (uint16_t)(p->mtu - 40),
				.mss6 = (uint16_t)(p->mtu - 60),
				.tso_max = MIN(p->tso_max, 60000u),
				.tx_segs = p->tx_segs,
				.sums = !(p->caps & PORT_TX_CSUM),
				.max_mem = (uint64_t)ld->opt.mem_mb << 20,
				.rx_max = ld->opt.rcvbuf << 10,
				.records = 1u << CONN_CLIENT | 1u << CONN_SINK,
				.counts = &ld->counts};

	rng_bytes(&ld->rng, cf.seed, sizeof(cf.seed));
	rng_bytes(&ld->rng, &cf.cookie_key, sizeof(cf.cookie_key));
	ld->tcp = tcp_init(&cf, ld->now_us, &why);
	if (!ld->tcp)
		cannot(why);
}

static void listen_all(struct load *ld)
{
	for (unsigned i = 0; i < ld->opt.n_sinks; i++) {
		struct addr at = ld->opt.address.ip;

		at.port = (uint16_t)(SINK_PORT + i);
		tcp_listen(ld->tcp, &at, CONN_SINK, 1024);
	}
	for (uint8_t kind = CONN_DEST_DOWN; kind <= CONN_DEST_BOTH; kind++) {
		struct addr at = ld->opt.address.ip;

		at.port = DEST_PORT(kind);
		tcp_listen(ld->tcp, &at, kind, 1024);
	}
}

static void start_columns(struct load *ld)
{
	const struct options *o = &ld->opt;

	ld->conn = column(ld->n_conns, sizeof(*ld->conn));
	ld->circ = column(o->n_circs, sizeof(*ld->circ));
	ld->stream = column((size_t)o->n_circs * o->n_streams, sizeof(*ld->stream));
	ld->link = column(o->n_links, sizeof(*ld->link));
	ld->pattern = column(2, PATTERN_LEN);
	rng_bytes(&ld->rng, ld->pattern, PATTERN_LEN);
	memcpy(ld->pattern + PATTERN_LEN, ld->pattern, PATTERN_LEN);
	ld->active = ld->active_tail = SLOT_NONE;
}

void stack_start(struct load *ld)
{
	uint8_t seed[32];

	if (getrandom(seed, sizeof(seed), 0) != sizeof(seed))
		cannot("the system gives no random bytes");
	rng_seed(&ld->rng, seed);
	ld->now_us = clock_ns() / 1000;
	ld->n_conns = ld->opt.n_links + 64 * ld->opt.n_sinks + CONNS_SPARE +
		      (ld->opt.mode->streams ? ld->opt.n_circs * ld->opt.n_streams : 0);
	start_port(ld);
	ld->tsc_per_ns = (double)rte_get_tsc_hz() / 1e9;
	ld->ns_per_tsc = 1 / ld->tsc_per_ns;
	ld->pause_tsc = (uint64_t)(PAUSE_US * 1e3 * ld->tsc_per_ns);
	ld->turn_tsc = rte_rdtsc();
	start_columns(ld);
	start_net(ld);
	start_tcp(ld);
	if (cipher_init(&ld->cipher, 0) < 0 ||
	    tls_init(&ld->tls, ld->n_conns, &ld->cipher, &ld->counts) < 0)
		cannot("not enough memory for ciphers");
	late_start(ld);
	listen_all(ld);
	net_announce(ld->net, ld->now_us);
}

static void transmit(struct load *ld)
{
	struct tcp_tx tx[64];
	struct rte_mbuf **ready;
	unsigned n, room, sent = 0;

	do {
		room = MIN(net_room(ld->net), 64u);
		n = room ? tcp_out(ld->tcp, ld->now_us, tx, room) : 0;
		if (n)
			net_out(ld->net, tx, n, ld->now_us);
		n = net_ready(ld->net, &ready);
		if (n) {
			n = port_tx(&ld->port, 0, ready, MIN(n, (unsigned)PORT_BURST));
			net_sent(ld->net, n);
			sent += n;
		}
	} while (n && sent < LIST_MAX);
}

static void events(struct load *ld)
{
	struct tcp_event ev[64];
	unsigned n;

	while ((n = tcp_events(ld->tcp, ev, ARRAY_LEN(ev))))
		for (unsigned i = 0; i < n; i++)
			peer_event(ld, &ev[i]);
}

/* A turn begins. Cells of the time before it and, where we paused, of as long again behind it, say
 * more of us than of the relay. */
static void turn_note(struct load *ld)
{
	uint64_t now = rte_rdtsc(), last = now - ld->turn_tsc;

	if (last >= ld->pause_tsc)
		ld->steady_tsc = now + last;
	ld->turn_tsc = now;
}

void stack_turn(struct load *ld)
{
	struct rte_mbuf *m[NET_VEC];
	unsigned n;

	turn_note(ld);
	ld->now_us = clock_ns() / 1000;
	if (!ld->worked)
		ld->idle_us += ld->now_us - ld->turn_us;
	ld->turn_us = ld->now_us;
	n = port_rx(&ld->port, 0, m, NET_VEC);
	if (n) {
		net_in(ld->net, m, n, ld->now_us, &ld->rx);
		tcp_in(ld->tcp, ld->rx.segs, ld->rx.n_segs, ld->now_us);
	}
	events(ld);
	tcp_timers(ld->tcp, ld->now_us);
	net_tick(ld->net, ld->now_us, &ld->rx);
	events(ld);
	exit_settle(ld);
	sinks_read(ld);
	thin_turn(ld);
	pump(ld);
	transmit(ld);
	rte_pktmbuf_free_bulk(m, n);
	ld->worked = n != 0;
}

bool stack_until(struct load *ld, bool (*done)(struct load *ld), double seconds)
{
	uint64_t end = clock_ns() + (uint64_t)(seconds * 1e9);
	uint64_t tick = 0;

	while (!ld->failed[0] && !(done && done(ld)) && clock_ns() < end) {
		stack_turn(ld);
		if (ld->now_us - tick > 500000) {
			tick = ld->now_us;
			sinks_now(ld);
		}
	}
	return !ld->failed[0] && (!done || done(ld));
}

uint64_t stack_lost(struct load *ld)
{
	const struct port_stats *s = port_stats_of(&ld->port, 0);

	return s->rx_lost;
}

static bool all_closed(struct load *ld)
{
	return tcp_n_conns(ld->tcp) == 0;
}

void stack_stop(struct load *ld)
{
	ld->failed[0] = '\0';
	ld->flowing = ld->redial = ld->recreate = false;
	for (uint32_t i = 0; i < ld->n_conns; i++)
		if (tcp_live(ld->tcp, i))
			tcp_abort(ld->tcp, i);
	stack_until(ld, all_closed, 0.2);
	net_fini(ld->net);
	tcp_fini(ld->tcp);
	port_close(&ld->port);
	late_stop(ld);
	cipher_fini(&ld->cipher);
	for (unsigned i = 0; i < ld->opt.n_circs; i++) {
		free(ld->circ[i].shake); /* of those still asked for */
		free(ld->circ[i].tags);
	}
}
