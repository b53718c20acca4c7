/* pair.h - two stacks joined in memory, for the tests of tcp/: a delay queue with seeded loss,
 * reordering and duplication under a virtual clock. Same seed, same packets. */
#ifndef RAMSON_TCP_PAIR_H
#define RAMSON_TCP_PAIR_H

#include "dataplane/tcp/internal.h"

#define PAIR_PACKETS 16384
#define PAIR_PORT    443

enum { CLIENT, SERVER };
enum { KIND_RAW = 1, KIND_TLS = 2 };

struct packet {
	uint64_t due_us, order;
	struct addr src, dst;
	uint16_t len, gso_size;
	uint8_t to; /* CLIENT or SERVER */
	uint8_t *bytes;
};

struct pair {
	struct tcp *t[2];
	struct counts counts[2];
	struct addr ip[2];
	uint64_t now_us, sent, trace; /* trace: hash over every packet and its time */
	struct rng rng;
	/* the wire */
	uint32_t delay_us, loss_ppm, dup_ppm, reorder_ppm, queue_bytes;
	uint64_t rate; /* bytes per second of each direction; 0: no limit */
	uint64_t free_us[2];
	bool merge;	 /* TSO units stay whole on the wire, as between virtio ports */
	bool cut[2];	 /* packets of this sender vanish */
	uint8_t strip;	 /* TCP_OPT_*: offers that a middlebox takes out of SYNs */
	uint32_t mtu[2]; /* longer ones vanish; 0: no limit */
	struct packet **heap;
	uint32_t n_heap;
	/* what the last turn told */
	struct tcp_event events[2][256];
	unsigned n_events[2];
	/* called for each packet before it is queued; true: dropped */
	bool (*filter)(struct pair *p, int from, const struct tcp_hdr *h, uint32_t payload);
	uint64_t filter_arg;
};

/* EAL, once per program. */
void pair_eal(void);
struct tcp_config pair_config(struct pair *p, int side);
/* Two fresh stacks; change may alter the configs. */
struct pair *pair_new(uint64_t seed, void (*change)(struct tcp_config *, int side));
void pair_free(struct pair *p);
/* One turn of both sides: packets due, timers, events (kept in p->events), output; then the clock
 * moves to what comes next. Only conns that are reported closed are released, by pair_turn itself
 * at the beginning of the next. */
void pair_turn(struct pair *p);
/* Turns until now_us has grown by us, for tests that do nothing meanwhile; sets seen flags. */
void pair_run(struct pair *p, uint64_t us, uint32_t seen[2]);
/* Puts one crafted segment on the stack of side, now. */
void pair_inject(struct pair *p, int to, const struct addr *src, const struct addr *dst,
		 const struct tcp_hdr *h, const void *payload, uint32_t len);
/* Dials and runs until both sides are open; the indices in conn[]. */
void pair_connect(struct pair *p, uint8_t kind, uint32_t conn[2]);

#endif
