/* test_worker.c - the far end of a door, for tests: see test_worker.h. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "controlplane/door/door.h"
#include "controlplane/link/test_worker.h"
#include "dataplane/cipher/cipher.h"
#include "dataplane/tls/tls.h"
#include "dataplane/wire/cell.h"

#define N_CONNS 256

/* The door that a struct links holds is the links' mark here. */
static struct fake_end *ends;
static struct cipher cipher;
static struct counts counts;
static struct tls tls;
static uint32_t n_made;
bool fake_door_full;

void fake_init(void)
{
	assert(cipher_init(&cipher, 0) == 0);
	assert(tls_init(&tls, N_CONNS, &cipher, &counts) == 0);
}

void fake_fini(void)
{
	while (ends)
		fake_free(ends);
	tls_fini(&tls);
	cipher_fini(&cipher);
}

static struct fake_end *end_new(struct links *l)
{
	struct fake_end *e = calloc(1, sizeof(*e));

	assert(e);
	e->links = l;
	e->tls_index = n_made++ % N_CONNS;
	e->next = ends;
	ends = e;
	return e;
}

void fake_free(struct fake_end *e)
{
	struct fake_end **at = &ends;

	while (*at && *at != e)
		at = &(*at)->next;
	assert(*at);
	*at = e->next;
	tls_stop(&tls, e->tls_index);
	free(e);
}

static void open_end(struct fake_end *e, uint64_t cookie, const struct addr *local,
		     const struct addr *remote)
{
	struct ctl_conn_opened m = {.cookie = cookie, .local = *local, .remote = *remote};

	e->conn = wid_make(0, n_made & 0xffffff, 2 * n_made + 1);
	links_opened(e->links, e->conn, &m);
}

struct fake_end *fake_accept(struct links *l, const struct addr *local, const struct addr *remote)
{
	struct fake_end *e = end_new(l);

	open_end(e, 0, local, remote);
	return e;
}

struct fake_end *fake_dialled(struct links *l)
{
	struct fake_end *e = ends;

	while (e && (e->links != l || e->conn || !e->cookie || e->closed))
		e = e->next;
	return e;
}

void fake_answer(struct fake_end *e, const struct addr *local)
{
	open_end(e, e->cookie, local, &e->dialled);
}

void fake_close(struct fake_end *e, unsigned why)
{
	e->closed = true;
	links_closed(e->links, e->conn, e->cookie, why);
}

static void out_put(struct fake_end *e, const uint8_t *p, size_t len)
{
	assert(len <= sizeof(e->out) - e->out_len);
	memcpy(e->out + e->out_len, p, len);
	e->out_len += len;
}

void fake_write_cells(struct fake_end *e, const uint8_t *p, size_t len)
{
	uint8_t record[TLS_RECORD_MAX];

	while (len) {
		size_t n = MIN(len, (size_t)TLS_PAYLOAD_MAX), sealed;

		memcpy(record + tls_head_len(&tls, e->tls_index), p, n);
		sealed = tls_seal(&tls, e->tls_index, record, n);
		assert(sealed);
		out_put(e, record, sealed);
		p += n;
		len -= n;
	}
}

static void take_keys(struct fake_end *e, const struct ctl_conn_keys *m)
{
	struct tls_keys keys = {.version = m->version, .suite = m->suite};

	keys.in.seq = m->in.seq;
	keys.out.seq = m->out.seq;
	memcpy(keys.in.secret, m->in.secret, 48);
	memcpy(keys.out.secret, m->out.secret, 48);
	memcpy(keys.in.iv, m->in.iv, 16);
	memcpy(keys.out.iv, m->out.iv, 16);
	assert(!e->keyed);
	assert(m->out.offset == e->out_offset);
	assert(m->in.offset >= e->in_offset && m->in.offset <= e->in_offset + e->in_len);
	assert(tls_start(&tls, e->tls_index, &keys) == 0);
	e->keys = *m;
	e->keyed = true;
}

static void down(struct fake_end *e, uint16_t type, uint32_t arg, const void *body,
		 const void *tail, size_t tail_len)
{
	if (type == CTL_CONN_WRITE && !e->keyed) {
		out_put(e, tail, tail_len);
		e->out_offset += tail_len;
	} else if (type == CTL_CONN_WRITE) {
		static uint8_t copy[CTL_CHUNK];

		e->n_writes++;
		memcpy(copy, tail, tail_len);
		if (e->meddle)
			e->meddle(e, copy, tail_len);
		fake_write_cells(e, copy, tail_len);
	} else if (type == CTL_CONN_KEYS) {
		take_keys(e, body);
	} else if (type == CTL_CONN_READY) {
		e->is_ready = *(const struct ctl_conn_ready *)body;
		e->ready = true;
		e->held = false;
	} else if (type == CTL_CONN_CLOSE && arg == CTL_WHY_IDLE) {
		e->retired = true;
	} else if (type == CTL_CONN_CLOSE) {
		e->close_why = arg;
		e->closed = true;
	}
}

int door_send(struct door *d, unsigned worker, uint16_t type, wid id, uint32_t arg,
	      const void *body, size_t body_len, const void *tail, size_t tail_len)
{
	struct links **holder = (struct links **)d;
	const struct ctl_conn_open *open = body;
	struct fake_end *e;

	if (fake_door_full)
		return ERR_FULL;
	if (type == CTL_CONN_OPEN) {
		e = end_new(*holder);
		e->cookie = open->cookie;
		e->dialled = open->remote;
		return 0;
	}
	for (e = ends; e && (e->conn != id || e->links != *holder); e = e->next)
		;
	if (e)
		down(e, type, arg, body, tail, tail_len);
	return 0;
}

/* Cuts cells and hands them up; none after NETINFO until CONN_READY. */
static void cells_up(struct fake_end *e)
{
	while (!e->held && !e->ready && !e->closed) {
		unsigned id_len = e->versions_seen ? 4 : 2;
		int n = cell_size(e->cells, e->cells_len, id_len);
		uint8_t cell[CELL_VAR_MAX + 16], command;

		if (n <= 0 || (size_t)n > e->cells_len)
			return;
		memcpy(cell, e->cells, (size_t)n);
		command = cell[id_len];
		memmove(e->cells, e->cells + n, e->cells_len - (size_t)n);
		e->cells_len -= (size_t)n;
		e->versions_seen |= command == CELL_VERSIONS;
		e->held = command == CELL_NETINFO;
		links_cell(e->links, e->conn, cell, (size_t)n);
	}
}

static void drop_in(struct fake_end *e, size_t n)
{
	memmove(e->in, e->in + n, e->in_len - n);
	e->in_len -= n;
	e->in_offset += n;
}

/* A whole record stands n bytes from the front; its length or 0. */
static size_t record_at(const struct fake_end *e, size_t n)
{
	size_t len;

	if (e->in_len < n + 5)
		return 0;
	len = 5u + be16_get(e->in + n + 3);
	return e->in_len >= n + len ? len : 0;
}

static void open_record(struct fake_end *e, size_t len)
{
	uint8_t record[TLS_RECORD_MAX + 512];
	struct tls_got got;

	memcpy(record, e->in, len);
	drop_in(e, len);
	got = tls_in(&tls, e->tls_index, record, len);
	if (got.what == TLS_DATA) {
		memcpy(e->cells + e->cells_len, got.data, got.len);
		e->cells_len += got.len;
		cells_up(e);
	} else if (got.what == TLS_CLOSE || got.what == TLS_ERROR) {
		fake_close(e, got.what == TLS_CLOSE ? CTL_WHY_DONE : CTL_WHY_PROTOCOL);
	}
}

/* Before the keys: records go up, one, or (eager) all that are whole. A worker keeps what it sent
 * up, since it learns only then where the hand-over was. */
static void records_up(struct fake_end *e)
{
	size_t n, sent = 0;

	while (!e->closed && (n = record_at(e, sent))) {
		links_read(e->links, e->conn, e->in_offset + sent, e->in + sent, n);
		sent += n;
		if (!e->eager)
			break;
	}
	if (e->keyed)
		sent = (size_t)(e->keys.in.offset - e->in_offset);
	drop_in(e, sent);
}

void fake_feed(struct fake_end *e, const uint8_t *p, size_t len)
{
	size_t n;

	assert(len <= sizeof(e->in) - e->in_len);
	memcpy(e->in + e->in_len, p, len);
	e->in_len += len;
	while (!e->closed && (n = record_at(e, 0))) {
		if (e->keyed)
			open_record(e, n);
		else
			records_up(e);
	}
}

size_t fake_take(struct fake_end *e, uint8_t *p, size_t cap)
{
	size_t n = MIN(cap, e->out_len);

	memcpy(p, e->out, n);
	memmove(e->out, e->out + n, e->out_len - n);
	e->out_len -= n;
	return n;
}

void fake_pump(struct fake_end *a, struct fake_end *b, size_t cut)
{
	static uint8_t piece[FAKE_BUF];
	size_t n, m;

	do {
		n = fake_take(a, piece, cut);
		if (n && !b->closed)
			fake_feed(b, piece, n);
		m = fake_take(b, piece, cut);
		if (m && !a->closed)
			fake_feed(a, piece, m);
	} while (n || m);
}
