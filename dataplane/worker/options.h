/* options.h - what ramson-dataplane is told on its command line; `ramson run` writes it. */
#ifndef RAMSON_OPTIONS_H
#define RAMSON_OPTIONS_H

#include "dataplane/net/net.h"
#include "drivers/port.h"

#define OPTIONS_LISTEN 32

struct options {
	const char *port, *cores, *user;
	bool busy;
	enum log_level log_level;
	uint64_t mem_mb;		      /* MaxMemInQueues: all workers together */
	uint32_t n_conns, n_circs, n_streams; /* per worker */
	unsigned n_workers;		      /* cores named */
	unsigned n_listen;
	uint16_t listen[OPTIONS_LISTEN]; /* ORPorts, for steering an address that the kernel shares
					  */
	struct net_config net;		 /* addresses and gateways only */
};

/* Fills o from argv. What is wrong is said in a log line that names the setting, and the program
 * ends: nothing can be started with it. */
void options_parse(struct options *o, int argc, char **argv);
/* Says why the program cannot start, and ends it. */
void die(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

#endif
