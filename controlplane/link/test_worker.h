/* test_worker.h - for the tests of link/: a door whose far end is this process. It does what a
 * worker does with a link: cuts records, hands them up, opens and seals them by dataplane/tls once
 * it has keys, and cuts cells until NETINFO. Ends are joined in memory or to a socket. */
#ifndef RAMSON_LINK_TEST_WORKER_H
#define RAMSON_LINK_TEST_WORKER_H

#include "controlplane/link/link.h"

#define FAKE_BUF (1 << 18)

struct fake_end {
	struct links *links;
	wid conn;
	uint64_t cookie; /* of its dial */
	struct addr dialled;
	uint8_t in[FAKE_BUF], out[FAKE_BUF], cells[FAKE_BUF];
	size_t in_len, out_len, cells_len;
	uint64_t in_offset, out_offset; /* of in[0]; bytes written before keys */
	bool keyed, eager;		/* eager: sends up all records it has, not one by one */
	bool versions_seen, held, ready, closed, retired;
	unsigned close_why, tls_index;
	struct ctl_conn_ready is_ready;
	struct ctl_conn_keys keys;
	unsigned n_writes;
	/* A test may change what goes down as plain cells. */
	void (*meddle)(struct fake_end *e, uint8_t *cells, size_t len);
	int meddle_at;
	struct fake_end *next;
};

void fake_init(void);
void fake_fini(void);
/* An end of a new conn of l's; opened with cookie 0, or as the answer to a dial. */
struct fake_end *fake_accept(struct links *l, const struct addr *local, const struct addr *remote);
/* The newest dial of l that nobody has answered; NULL when there is none. */
struct fake_end *fake_dialled(struct links *l);
void fake_answer(struct fake_end *e, const struct addr *local);
/* The dial fails, or the conn ends. */
void fake_close(struct fake_end *e, unsigned why);
/* Bytes from the peer. */
void fake_feed(struct fake_end *e, const uint8_t *p, size_t len);
/* Takes what waits for the peer; its length. */
size_t fake_take(struct fake_end *e, uint8_t *p, size_t cap);
/* Moves bytes both ways, in pieces of at most cut, until nothing moves. */
void fake_pump(struct fake_end *a, struct fake_end *b, size_t cut);
/* Sends plain cell bytes as the worker would for CONN_WRITE. */
void fake_write_cells(struct fake_end *e, const uint8_t *p, size_t len);
void fake_free(struct fake_end *e);
extern bool fake_door_full;

#endif
