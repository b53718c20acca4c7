/* fuzz_link_cells.c - a peer that says anything, in every state of a handshake: raw records while
 * TLS runs, then cells of its own, genuine ones and genuine ones with a byte changed, in any order.
 */
#include "controlplane/link/internal.h"

#include <stdio.h>
#include <stdlib.h>

#include "controlplane/link/test_worker.h"

#define WALL ((int64_t)1790000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct links *links[2];
static struct keys *keys[2];
static struct addr at[2];
/* What the genuine handshake has each side say, as it comes. */
static struct {
	uint8_t cells[32768];
	size_t len, at;
} said[2];

static void capture(struct fake_end *e, uint8_t *cells, size_t len)
{
	unsigned side = e->links == links[1];

	if (len > sizeof(said[side].cells) - said[side].len)
		return;
	memcpy(said[side].cells + said[side].len, cells, len);
	said[side].len += len;
}

static void on_link(void *arg, wid conn, unsigned reason)
{
	if (!conn == !reason)
		abort();
}

static void remove_files(char *dir)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	if (system(cmd))
		abort();
}

static void start(void)
{
	static char root[] = "/tmp/ramson-fuzz-XXXXXX";
	char dir[64], why[KEYS_WHY_MAX];

	if (!mkdtemp(root))
		abort();
	fake_init();
	for (unsigned i = 0; i < 2; i++) {
		struct keys_config kc = {.data_dir = dir};
		struct links_config lc = {
			.door = (struct door *)&links[i], .max_links = 16, .n_workers = 1};

		snprintf(dir, sizeof(dir), "%s/%u", root, i);
		keys[i] = lc.keys = keys_open(&kc, WALL, why);
		links[i] = keys[i] ? links_new(&lc, 1, WALL) : NULL;
		if (!links[i])
			abort();
		at[i] = (struct addr) {.family = 4, .port = 9001, .ip = {1, 1, 1, (uint8_t)i}};
		links_set_addresses(links[i], &at[i], 1);
	}
	remove_files(root);
}

/* Records as long as they say, from a peer that has no TLS. */
static void raw_records(struct fake_end *e, struct reader *r)
{
	uint8_t record[5 + 65535];
	uint64_t offset = 0;

	while (rd_left(r) >= 5 && !e->closed) {
		size_t body;

		rd_copy(r, record, 5);
		body = MIN((size_t)be16_get(record + 3), rd_left(r));
		be16_put(record + 3, (uint16_t)body);
		rd_copy(r, record + 5, body);
		links_read(e->links, e->conn, offset, record, 5 + body);
		offset += 5 + body;
	}
}

/* The next cell that the peer really says; flip changes a byte of it. */
static void genuine(struct fake_end *e, unsigned from, bool flip, unsigned where)
{
	uint8_t *p = said[from].cells + said[from].at, cell[CELL_VAR_MAX + 16];
	int n = cell_size(p, said[from].len - said[from].at, said[from].at ? 4 : 2);

	if (n <= 0 || said[from].at + (size_t)n > said[from].len)
		return;
	memcpy(cell, p, (size_t)n);
	if (flip)
		cell[where % (unsigned)n] ^= (uint8_t)(1 + where % 255);
	else
		said[from].at += (size_t)n;
	links_cell(e->links, e->conn, cell, (size_t)n);
}

/* Steps: 0 a genuine cell; 1 the same, spoilt; 2 a genuine cell for the other side; else own bytes.
 */
static void cells(struct fake_end *to, struct fake_end *other, unsigned side, struct reader *r)
{
	while (rd_left(r) && !r->bad && !to->closed) {
		uint8_t step = rd_u8(r), cell[4096];
		size_t n;

		if (step < 2) {
			genuine(to, !side, step, step ? rd_u16(r) : 0);
		} else if (step == 2) {
			if (!other->closed)
				genuine(other, side, false, 0);
		} else {
			n = MIN(MIN((size_t)rd_u16(r) % sizeof(cell), rd_left(r)), sizeof(cell));
			rd_copy(r, cell, n);
			links_cell(to->links, to->conn, cell, n);
		}
	}
}

static void believed(struct fake_end *e, unsigned side)
{
	const struct link_peer *p = link_peer(e->links, e->conn);

	if (p && p->kind != CTL_PEER_CLIENT &&
	    memcmp(p->rsa_id, keys_rsa_id(keys[!side]), KEYS_RSA_ID))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct reader r = reader_of(data, len);
	struct link_target t = {.n_addrs = 1};
	struct fake_end *end[2];
	static uint64_t now_us = 1;
	unsigned reason;
	uint8_t how;

	if (!links[0])
		start();
	links_now(links[0], now_us += 61000000, WALL); /* nothing is remembered as failed */
	memset(said, 0, sizeof(said));
	memcpy(t.rsa_id, keys_rsa_id(keys[1]), KEYS_RSA_ID);
	t.addrs[0] = at[1];
	if (link_get(links[0], &t, on_link, NULL, &reason) != WID_NONE || reason)
		abort();
	how = rd_u8(&r);
	end[0] = fake_dialled(links[0]);
	end[1] = fake_accept(links[1], &at[1], &at[0]);
	end[0]->meddle = end[1]->meddle = capture;
	fake_answer(end[0], &at[0]);
	if (how & 2) {
		raw_records(end[how & 1], &r);
	} else {
		/* only TLS: the cells that follow are taken from what was captured */
		end[0]->held = end[1]->held = true;
		fake_pump(end[0], end[1], 65536);
		cells(end[how & 1], end[!(how & 1)], how & 1, &r);
	}
	for (unsigned i = 0; i < 2; i++) {
		believed(end[i], i);
		fake_close(end[i], CTL_WHY_DONE);
		fake_free(end[i]);
		if (links_stats(links[i])->n_links || links_stats(links[i])->n_handshakes)
			abort();
	}
	return 0;
}
