/* door.c - the sink relays: next hops with identities of their own. Their handshakes are those of
 * controlplane/link; where its messages go down to a worker, they come here. */
#include "bench/load/load.h"

#include "controlplane/door/door.h"
#include "controlplane/link/link.h"

#include "controlplane/keys/keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* What stands behind a struct door here: one sink. */
struct door {
	struct load *ld;
	struct role id;
	struct links *links;
	struct addr at;
};

static void down_write(struct load *ld, uint32_t conn, const void *tail, size_t len)
{
	if (ld->conn[conn].state == CONN_TLS)
		peer_raw(ld, conn, tail, len);
	else if (!peer_send(ld, conn, tail, len))
		load_fail(ld, "out of send buffers during a link handshake");
}

static void down_keys(struct load *ld, uint32_t conn, const struct ctl_conn_keys *m)
{
	struct tls_keys k = {.version = m->version, .suite = m->suite};

	k.in.seq = m->in.seq;
	k.out.seq = m->out.seq;
	memcpy(k.in.secret, m->in.secret, 48);
	memcpy(k.out.secret, m->out.secret, 48);
	memcpy(k.in.iv, m->in.iv, 16);
	memcpy(k.out.iv, m->out.iv, 16);
	peer_keys(ld, conn, &k);
	wipe(&k, sizeof(k));
}

int door_send(struct door *d, unsigned worker, uint16_t type, wid id, uint32_t arg,
	      const void *body, size_t body_len, const void *tail, size_t tail_len)
{
	uint32_t conn = tcp_check(d->ld->tcp, id);

	if (conn == SLOT_NONE)
		return 0;
	if (type == CTL_CONN_WRITE)
		down_write(d->ld, conn, tail, tail_len);
	else if (type == CTL_CONN_KEYS)
		down_keys(d->ld, conn, body);
	else if (type == CTL_CONN_READY)
		peer_open(d->ld, conn);
	else if (type == CTL_CONN_CLOSE)
		tcp_abort(d->ld->tcp, conn);
	return 0;
}

static void sink_start(struct load *ld, struct door *d, unsigned i)
{
	struct links_config lc = {
		.door = d, .n_workers = 1, .max_links = 4096, .allow_private = true};
	char name[16];

	d->ld = ld;
	d->at = ld->opt.address.ip;
	d->at.port = (uint16_t)(SINK_PORT + i);
	snprintf(name, sizeof(name), "sink%u", i);
	role_open(ld, &d->id, name);
	lc.keys = d->id.keys;
	d->links = links_new(&lc, ld->now_us, (int64_t)time(NULL));
	if (!d->links) {
		fprintf(stderr, "ramson-load: not enough memory for a sink\n");
		exit(1);
	}
	links_set_addresses(d->links, &d->at, 1);
}

void sinks_start(struct load *ld)
{
	ld->sinks = calloc(ld->opt.n_sinks, sizeof(*ld->sinks));
	for (unsigned i = 0; i < ld->opt.n_sinks; i++) {
		if (!ld->opt.quiet && ld->opt.n_sinks > 1)
			progress(ld, "keys of sinks", i, ld->opt.n_sinks, "");
		sink_start(ld, &ld->sinks[i], i);
	}
	sinks_now(ld);
}

void sinks_stop(struct load *ld)
{
	for (unsigned i = 0; ld->sinks && i < ld->opt.n_sinks; i++) {
		struct door *d = &ld->sinks[i];

		links_free(d->links);
		role_close(&d->id);
	}
	free(ld->sinks);
	ld->sinks = NULL;
}

void sinks_now(struct load *ld)
{
	for (unsigned i = 0; ld->sinks && i < ld->opt.n_sinks; i++) {
		links_now(ld->sinks[i].links, ld->now_us, (int64_t)time(NULL));
		links_tick(ld->sinks[i].links);
	}
}

void sink_opened(struct load *ld, uint32_t conn)
{
	struct ctl_conn_opened m = {.cookie = 0};

	tcp_addrs(ld->tcp, conn, &m.local, &m.remote);
	ld->conn[conn].sink = (uint8_t)(m.local.port - SINK_PORT);
	if (!ld->sinks)
		tcp_abort(ld->tcp, conn);
	else
		links_opened(ld->sinks[ld->conn[conn].sink].links, tcp_id(ld->tcp, conn), &m);
}

void sink_record(struct load *ld, uint32_t conn, uint64_t offset, const uint8_t *record, size_t len)
{
	if (ld->sinks)
		links_read(ld->sinks[ld->conn[conn].sink].links, tcp_id(ld->tcp, conn), offset,
			   record, len);
}

void sink_cell(struct load *ld, uint32_t conn, const uint8_t *cell, size_t len)
{
	if (ld->sinks)
		links_cell(ld->sinks[ld->conn[conn].sink].links, tcp_id(ld->tcp, conn), cell, len);
}

void sink_closed(struct load *ld, uint32_t conn)
{
	if (ld->sinks)
		links_closed(ld->sinks[ld->conn[conn].sink].links, tcp_id(ld->tcp, conn), 0,
			     CTL_WHY_DONE);
}

void sink_ids(const struct load *ld, unsigned sink, uint8_t rsa_id[20], uint8_t ed_id[32])
{
	memcpy(rsa_id, keys_rsa_id(ld->sinks[sink].id.keys), 20);
	memcpy(ed_id, keys_ed_id(ld->sinks[sink].id.keys), 32);
}
