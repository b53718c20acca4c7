/* dos.h - what one address may do to us: connections at once and in a second, circuits in a second,
 * queues pushed full (interop X1 to X3, X5). Link/ and circ/ tell what happens; whom it refuses,
 * the dataplane refuses too, by ADDR_DENY. An IPv6 address stands for its /64. Stands on door/'s
 * messages only; one thread; time is an argument, in seconds of a clock that does not jump. */
#ifndef RAMSON_DOS_H
#define RAMSON_DOS_H

#include "dataplane/base/base.h"
#include "dataplane/ctl.h"

struct dos;

/* Values in force, of torrc or consensus; the names are those of the options. */
struct dos_settings {
	bool circuits; /* DoSCircuitCreationEnabled */
	uint32_t circ_min_conns, circ_rate, circ_burst, circ_type, circ_period_s;
	bool conns; /* DoSConnectionEnabled */
	uint32_t max_concurrent, conn_type;
	uint32_t connect_rate, connect_burst, connect_period_s;
	uint32_t max_outq; /* dos_num_circ_max_outq; 0: never mind */
};
enum { DOS_COUNT_ONLY = 1, DOS_REFUSE = 2 }; /* circ_type, conn_type */

#define DOS_FIGURES(X)                                                                             \
	X(circuits_refused, "CREATE cells of marked addresses that came up to control")            \
	X(marked, "addresses marked for too many circuits")                                        \
	X(marked_outq, "addresses marked for queues pushed full")                                  \
	X(conns_refused, "connections of addresses that connect too often")                        \
	X(concurrent_refused, "connections of addresses that have too many")                       \
	X(forgotten, "addresses without a connection that made room for others")
struct dos_figures {
#define X(name, what) uint64_t name;
	DOS_FIGURES(X)
#undef X
	uint32_t n_addresses;
};

struct dos_setup {
	uint32_t max;	     /* addresses remembered; 0: 262144, as many as there are links */
	struct hash_key key; /* of the table */
	uint8_t seed[32];    /* for the random part of a mark's time */
	/* ADDR_DENY to every worker; seconds 0: no more. */
	void (*deny)(void *arg, const struct addr *at, enum ctl_deny why, uint64_t seconds);
	void *arg;
};
/* NULL when memory is short. */
struct dos *dos_new(const struct dos_setup *s);
void dos_free(struct dos *d);
/* After each consensus and SIGHUP. What is switched off is lifted. */
void dos_configure(struct dos *d, const struct dos_settings *s, uint64_t now_s);
const struct dos_figures *dos_figures(struct dos *d);

/* In each of these d may be NULL: nothing is refused. */
/* Somebody has connected, before TLS. DOS_CONN_REFUSED: close it, and no more is to be said of it;
 * DOS_CONN_COUNTED: tell dos_disconnected. */
enum dos_conn { DOS_CONN_REFUSED, DOS_CONN_FREE, DOS_CONN_COUNTED };
enum dos_conn dos_connected(struct dos *d, const struct addr *from, uint64_t now_s);
/* A connection that an earlier control had let in: whether it is counted. */
bool dos_was_connected(struct dos *d, const struct addr *from, uint64_t now_s);
void dos_disconnected(struct dos *d, const struct addr *from, uint64_t now_s);
/* A CREATE over a link that is a client's. False: DESTROY(RESOURCELIMIT). */
bool dos_create(struct dos *d, const struct addr *from, uint64_t now_s);
/* A circuit of that client was closed because the queue to its next hop was full. */
void dos_queue_full(struct dos *d, const struct addr *from, uint64_t now_s);

#endif
