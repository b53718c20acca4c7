/* house.h - for tests: a whole dataplane on the wire port, a scripted control behind the wall, and a
 * scripted peer that is client, next hop and destination. No root, NIC, hugepage or clock. */
#ifndef RAMSON_HOUSE_H
#define RAMSON_HOUSE_H

#include "dataplane/worker/worker.h"

#define HOUSE_WORKERS 4
#define HOUSE_LINKS   64
#define HOUSE_CIRCS   256

struct peer_link {
	uint32_t conn;
	bool dialled, open;
	uint8_t stash[CELL_LEN];
	unsigned stash_len;
};

/* A circuit as the client sees it: one hop (the relay) or two (the peer itself behind it). */
struct peer_circ {
	struct peer_link *link;
	uint32_t id;
	unsigned n_layers;
	bool created, extended, destroyed, connected, ended, truncated;
	uint8_t destroy_reason, end_reason;
	struct tor1_layer layers[2];
	unsigned n_data_in, n_data_out, window;
	unsigned n_tags, n_acked;
	uint8_t tags[10][20];
	uint64_t bytes_in, hash_in; /* what DATA carried */
	uint64_t bytes_out, hash_out;
};
/* The same circuit where the peer is the next hop: it echoes each DATA. */
struct peer_hop {
	struct peer_link *link;
	uint32_t id;
	bool used;
	struct tor1_layer layer;
	unsigned n_cells;
};

struct house {
	struct plane plane;
	struct worker *workers;
	unsigned n_workers;
	struct wire *wire;
	uint64_t now_us;
	/* the peer */
	struct port port;
	struct net *net;
	struct tcp *tcp;
	struct cipher cipher;
	struct tls tls;
	struct counts counts;
	struct rng rng;
	struct peer_link link[HOUSE_LINKS];
	struct peer_circ circ[HOUSE_CIRCS];
	struct peer_hop hop[HOUSE_CIRCS];
	unsigned n_links, n_circs;
	/* control */
	struct ring down[HOUSE_WORKERS], up[HOUSE_WORKERS];
	wid next_conn;	/* the link that circuits are extended over */
	bool silent;	/* control takes nothing */
	unsigned n_up[N_CTL_UP];
	uint64_t trace; /* hash of every frame on the wire */
};

/* EAL is started once. One relay with n workers; impair both directions. */
void house_open(struct house *h, unsigned n_workers, uint64_t seed, const struct wire_impair *impair);
void house_close(struct house *h);
/* Lets time pass until *flag or until the limit of virtual milliseconds; whether *flag. */
bool house_until(struct house *h, const bool *flag, unsigned limit_ms);
void house_run(struct house *h, unsigned ms);

/* Client: a link that is open when it returns, a circuit that is made, extended to the peer as next
 * hop, or closed. */
struct peer_link *house_link(struct house *h);
struct peer_circ *house_create(struct house *h, struct peer_link *l);
void house_extend(struct house *h, struct peer_circ *c);
void house_say(struct house *h, struct peer_circ *c, uint8_t command, uint16_t stream,
	       const void *body, uint16_t len, bool early);
/* Sends DATA cells until n bytes went out and the same came back, within the windows. */
bool house_echo(struct house *h, struct peer_circ *c, uint64_t bytes, unsigned limit_ms);
void house_cell(struct house *h, struct peer_link *l, uint32_t id, uint8_t command,
		const uint8_t *payload, size_t len);
/* Sends a message down to a worker as control. */
void house_down(struct house *h, unsigned worker, enum ctl_type type, wid id, uint32_t arg,
		const void *body, size_t body_len, const void *tail, size_t tail_len);

#endif
