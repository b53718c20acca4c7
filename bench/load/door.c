/* door.c - the sink relays: next hops with identities of their own. Their handshakes are those of
 * controlplane/link; where its messages go down to a worker, they come here. */
#include "bench/load/load.h"

#include "controlplane/door/door.h"
#include "controlplane/link/link.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* What stands behind a struct door here: one sink. */
struct door {
	struct load *ld;
	struct keys *keys;
	struct links *links;
	struct addr at;
	char dir[300];
	bool temporary;
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

static void sink_dir(struct door *d, unsigned i)
{
	const struct options *o = &d->ld->opt;

	if (o->keys_dir) {
		mkdir(o->keys_dir, 0700);
		snprintf(d->dir, sizeof(d->dir), "%.200s/sink%u", o->keys_dir, i);
		if (mkdir(d->dir, 0700) < 0 && errno != EEXIST)
			load_fail(d->ld, "--keys %s: %s", o->keys_dir, strerror(errno));
		return;
	}
	snprintf(d->dir, sizeof(d->dir), "/tmp/ramson-load-XXXXXX");
	d->temporary = mkdtemp(d->dir) != NULL;
}

static void sink_start(struct load *ld, struct door *d, unsigned i)
{
	struct keys_config kc = {.data_dir = d->dir, .nickname = "ramsonload"};
	struct links_config lc = {.door = d, .n_workers = 1, .max_links = 4096,
				  .allow_private = true};
	char why[KEYS_WHY_MAX] = "no memory";
	int64_t now_s = (int64_t)time(NULL);

	d->ld = ld;
	d->at = ld->opt.address.ip;
	d->at.port = (uint16_t)(SINK_PORT + i);
	sink_dir(d, i);
	d->keys = keys_open(&kc, now_s, why);
	if (d->keys) {
		lc.keys = d->keys;
		d->links = links_new(&lc, ld->now_us, now_s);
	}
	if (!d->links) {
		fprintf(stderr, "ramson-load: keys of a sink: %s\n", why);
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

static int drop(const char *path, const struct stat *st, int what, struct FTW *at)
{
	return remove(path);
}

void sinks_stop(struct load *ld)
{
	for (unsigned i = 0; ld->sinks && i < ld->opt.n_sinks; i++) {
		struct door *d = &ld->sinks[i];

		links_free(d->links);
		keys_close(d->keys);
		if (d->temporary)
			nftw(d->dir, drop, 8, FTW_DEPTH | FTW_PHYS);
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
	memcpy(rsa_id, keys_rsa_id(ld->sinks[sink].keys), 20);
	memcpy(ed_id, keys_ed_id(ld->sinks[sink].keys), 32);
}
