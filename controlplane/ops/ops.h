/* ops.h - what an operator sees: the status socket in DataDirectory, `ramson status` that reads it,
 * and the heartbeat in the log. Sums only: nothing of one circuit, stream, peer or destination. */
#ifndef RAMSON_OPS_H
#define RAMSON_OPS_H

#include "dataplane/base/base.h"

#define OPS_SOCKET "status.sock"

struct config;
struct door;
struct event_base;
struct json_t;
struct ops;

struct ops_setup {
	struct event_base *base;
	struct door *door;
	const struct config *config; /* borrowed; see ops_reconfigure */
	const char *version;
	/* Adds the sections of the other rooms to the document: objects and plain figures. May be
	 * NULL. Called for each reader, at most a few times a second. */
	void (*fill)(void *ctx, struct json_t *root);
	/* Says the other rooms' lines of a heartbeat. May be NULL. */
	void (*heartbeat)(void *ctx);
	void *ctx;
	int64_t since_s; /* the relay's uptime counts from here; 0: from now */
};
/* Listens at DataDirectory/status.sock (mode 0600) and starts counting. NULL when memory is short;
 * a socket that cannot be had is logged and only costs the status. */
struct ops *ops_new(const struct ops_setup *s, int64_t now_s);
void ops_free(struct ops *o);
void ops_reconfigure(struct ops *o, const struct config *config);
/* Once a second: samples the figures for rates, says the heartbeat when it is due. */
void ops_tick(struct ops *o, int64_t now_s);

/* Sums over all workers at the last tick, for those who keep statistics. */
struct ops_sums {
	uint64_t link_in, link_out, exit_in, exit_out; /* bytes so far */
	uint64_t n_conns, n_links, n_circs, n_streams;
};
void ops_sums(const struct ops *o, struct ops_sums *s);
/* The counters of count.def, likewise. */
void ops_counts(const struct ops *o, uint64_t sums[N_COUNTS]);

/* `ramson status`: reads the socket and prints a table, or the document itself; with watch again
 * each second until interrupted. 0, or ERR_SYSTEM when nobody answers (said on stderr). */
int ops_show(const char *socket_path, bool watch, bool json);

#endif
