/* boot.c - takes all memory of a worker before the first packet: a table of rooms, run top to
 * bottom; the one that fails names itself. */
#include "dataplane/worker/worker.h"

#include <rte_mbuf.h>
#include <stdio.h>
#include <stdlib.h>

static bool lands_here(void *arg, const struct addr *local, const struct addr *remote)
{
	const struct worker *w = arg;
	struct port_tuple t = {
		.family = local->family, .local_port = local->port, .remote_port = remote->port};
	int queue;

	if (w->plane->n_workers == 1)
		return true;
	memcpy(t.local_ip, local->ip, 16);
	memcpy(t.remote_ip, remote->ip, 16);
	queue = port_queue_of(w->port, &t);
	return queue < 0 || (unsigned)queue == w->index;
}

static int boot_figures(struct worker *w, const char **why)
{
	static const int64_t defaults[] = {
#define X(name, value) [CTL_PARAM_##name] = value,
		CTL_PARAMS(X)
#undef X
	};

	w->figures = &w->plane->ctl->figures[w->index];
	w->counts = &w->figures->counts;
	memcpy(w->params, defaults, sizeof(defaults));
	w->message = malloc(RING_MSG_MAX);
	w->rx = calloc(1, sizeof(*w->rx));
	w->conn = column_new(w->plane->n_conns, sizeof(*w->conn));
	w->begins = column_new(2 * w->plane->n_circs, sizeof(*w->begins));
	w->own = column_new(w->plane->n_conns, sizeof(*w->own));
	w->late.cap = w->plane->n_conns + w->plane->n_circs + w->plane->n_streams;
	w->late.rows = column_new(w->late.cap, sizeof(*w->late.rows));
	ring_attach(&w->down, ctl_ring(w->plane->ctl, w->index, false), CTL_RING_SLOTS);
	ring_attach(&w->up, ctl_ring(w->plane->ctl, w->index, true), CTL_RING_SLOTS);
	if (wheel_init(&w->own_timers, w->plane->n_conns, w->now_us) < 0)
		return ERR_FULL;
	return w->message && w->rx && w->conn && w->own && w->begins && w->late.rows ? 0 : ERR_FULL;
}

static struct hash_key draw_key(struct worker *w)
{
	struct hash_key key;

	rng_bytes(&w->rng, &key, sizeof(key));
	return key;
}

static int boot_denied(struct worker *w, const char **why)
{
	return denied_init(&w->denied, DENIED_MAX, draw_key(w));
}

static int boot_net(struct worker *w, const char **why)
{
	struct net_config cf = w->plane->net;
	char name[32];

	snprintf(name, sizeof(name), "net%u", w->index);
	cf.pool = rte_pktmbuf_pool_create(name, 2047, 64, 0, 2048 + RTE_PKTMBUF_HEADROOM,
					  SOCKET_ID_ANY);
	cf.counts = w->counts;
	rng_bytes(&w->rng, cf.seed, sizeof(cf.seed));
	w->net = cf.pool ? net_init(&cf) : NULL;
	return w->net ? 0 : ERR_FULL;
}

static int boot_tcp(struct worker *w, const char **why)
{
	struct tcp_config cf = w->plane->tcp;

	cf.worker = w->index;
	cf.counts = w->counts;
	cf.lands_here = lands_here;
	cf.lands_arg = w;
	cf.records = 1u << CONN_LINK;
	cf.denied = &w->denied;
	rng_bytes(&w->rng, cf.seed, sizeof(cf.seed));
	w->tcp = tcp_init(&cf, w->now_us, why);
	return w->tcp ? 0 : ERR_FULL;
}

static int boot_cipher(struct worker *w, const char **why)
{
	return cipher_init(&w->cipher, 0);
}

static int boot_tls(struct worker *w, const char **why)
{
	return tls_init(&w->tls, w->plane->n_conns, &w->cipher, w->counts);
}

static int boot_link(struct worker *w, const char **why)
{
	struct link_config cf = {w->plane->n_conns, w->counts, &w->rng, w->params};

	return links_init(&w->links, &cf, w->now_us);
}

static int boot_circ(struct worker *w, const char **why)
{
	return circs_init(&w->circs, w->index, w->plane->n_circs, 2 * w->plane->n_circs,
			  w->plane->n_conns, draw_key(w));
}

static int boot_onion(struct worker *w, const char **why)
{
	return onion_init(&w->onion, w->plane->n_circs, &w->cipher, w->counts);
}

static int boot_relay(struct worker *w, const char **why)
{
	return relay_init(&w->relay, w->plane->n_circs, &w->cipher, &w->rng, w->counts, w->params);
}

static int boot_padding(struct worker *w, const char **why)
{
	return paddings_init(&w->padding, w->plane->n_circs, &w->rng, w->counts, w->params,
			     w->now_us);
}

static int boot_edge(struct worker *w, const char **why)
{
	int rc = edge_init(&w->edge, w->index, w->plane->n_streams, w->plane->n_conns, draw_key(w),
			   w->tcp, w->counts, w->params, w->now_us);

	memory_bound(w);
	return rc;
}

static int boot_sched(struct worker *w, const char **why)
{
	struct sched_config cf = {w->plane->n_conns, 2 * w->plane->n_circs, w->plane->n_slots,
				  w->counts, w->params};

	return sched_init(&w->sched, &cf, w->now_us);
}

static int boot_conflux(struct worker *w, const char **why)
{
	return cfx_init(&w->conflux, w->index, w->plane->n_circs, w->plane->n_circs,
			w->plane->hash_key, &w->sched, w->counts, w->params);
}

static const struct boot_row {
	const char *room;
	int (*boot)(struct worker *, const char **why);
} rooms[] = {
	{"figures", boot_figures}, {"denied", boot_denied},   {"net", boot_net},
	{"tcp", boot_tcp},	   {"cipher", boot_cipher},   {"tls", boot_tls},
	{"link", boot_link},	   {"circ", boot_circ},	      {"onion", boot_onion},
	{"relay", boot_relay},	   {"padding", boot_padding}, {"edge", boot_edge},
	{"sched", boot_sched},	   {"conflux", boot_conflux},
};

int worker_init(struct worker *w, struct plane *plane, unsigned index, const uint8_t seed[32],
		uint64_t now_us, char err[PORT_ERR])
{
	*w = (struct worker) {.plane = plane,
			      .index = index,
			      .port = &plane->port,
			      .now_us = now_us,
			      .read_head = SLOT_NONE,
			      .read_tail = SLOT_NONE,
			      .replay_at = REPLAY_NONE,
			      .wake_fd = -1,
			      .wake_control_fd = -1,
			      .last_tick_us = now_us};
	rng_seed(&w->rng, seed);
	for (size_t i = 0; i < ARRAY_LEN(rooms); i++) {
		const char *why = "not enough memory; lower MaxMemInQueues or add memory";

		if (rooms[i].boot(w, &why) == 0)
			continue;
		snprintf(err, PORT_ERR, "worker %u, %s: %s", index, rooms[i].room, why);
		worker_fini(w);
		return ERR_FULL;
	}
	return 0;
}

void worker_fini(struct worker *w)
{
	if (w->sched.slots)
		sched_fini(&w->sched);
	if (w->conflux.set)
		cfx_fini(&w->conflux);
	if (w->edge.stream)
		edge_fini(&w->edge);
	if (w->padding.row)
		paddings_fini(&w->padding);
	if (w->relay.window)
		relay_fini(&w->relay);
	if (w->onion.scheme)
		onion_fini(&w->onion);
	if (w->circs.circ)
		circs_fini(&w->circs);
	if (w->links.col)
		links_fini(&w->links);
	if (w->tls.conns)
		tls_fini(&w->tls);
	if (w->net)
		net_fini(w->net);
	if (w->tcp)
		tcp_fini(w->tcp);
	if (w->cipher.mgr)
		cipher_fini(&w->cipher);
	denied_fini(&w->denied);
	column_free(w->conn, w->plane->n_conns, sizeof(*w->conn));
	column_free(w->begins, 2 * w->plane->n_circs, sizeof(*w->begins));
	column_free(w->own, w->plane->n_conns, sizeof(*w->own));
	wheel_fini(&w->own_timers);
	column_free(w->late.rows, w->late.cap, sizeof(*w->late.rows));
	free(w->rx);
	free(w->message);
	wipe(&w->rng, sizeof(w->rng));
}
