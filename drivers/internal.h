/* internal.h - what the kinds of port share inside drivers/: a kind's row, small helpers. */
#ifndef RAMSON_DRIVERS_INTERNAL_H
#define RAMSON_DRIVERS_INTERNAL_H

#include "drivers/port.h"

/* One kind of port. args is what stands behind "KIND:"; functions that may be NULL say so. */
struct port_kind {
	const char *name; /* "af_packet" */
	const char *what; /* one line for the operator */
	const char *args; /* the form of args, for messages: "INTERFACE" */
	bool names_if;	  /* args begins with an interface of the kernel's that must exist */
	bool is_pci;
	int (*open)(struct port *p, const char *args, const struct port_config *config, char *err);
	void (*close)(struct port *p);
	unsigned (*rx)(struct port *p, unsigned q, struct rte_mbuf **m, unsigned n);
	unsigned (*tx)(struct port *p, unsigned q, struct rte_mbuf **m, unsigned n);
	int (*queue_of)(const struct port *p, const struct port_tuple *t); /* NULL: one queue */
	int (*fd)(const struct port *p, unsigned q);			   /* NULL: -1 */
	void (*stats)(struct port *p, unsigned q);			   /* NULL: up to date */
	unsigned rx_mb; /* memory of one queue's pool, for eal_start */
};

extern const struct port_kind *const port_kinds[];
extern const struct port_kind port_af_packet, port_af_packet_pmd, port_af_xdp, port_tap, port_memif,
	port_pci, port_wire;

/* The row named in a spec, with *args behind its colon; NULL and a sentence in err. */
const struct port_kind *port_kind_of(const char *spec, const char **args, char *err);

/* Ends the args of a memif that lends its memory to its peer. */
#define MEMIF_ZERO_COPY ",zero-copy"

/* Writes the sentence and returns -1. */
int port_fail(char *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The rx pool of queue q: n mbufs with room bytes of data behind the headroom. 0 or -1. */
int port_pool(struct port *p, unsigned q, unsigned n, unsigned room, int numa, char *err);
void port_pools_free(struct port *p);

/* MAC, MTU and whether it is up, from the kernel. 0, or -1 and a sentence. */
int port_kernel_if(const char *ifname, uint8_t mac[6], unsigned *mtu, char *err);

/* The receive hash of kinds that steer by themselves: over the headers as they arrive. */
#define FLOW_KEYS 9
struct flow_hash {
	uint32_t key[FLOW_KEYS]; /* odd multipliers */
	unsigned n_queues;
};
void flow_hash_init(struct flow_hash *h, const uint8_t seed[40], unsigned n_queues);
unsigned flow_hash_of(const struct flow_hash *h, const struct port_tuple *t);
/* The same sum as a classic BPF program over packets that begin at the IP header; TCP only, else 0.
 * Returns its length. */
struct sock_filter;
#define FLOW_PROGRAM_MAX 96
unsigned flow_hash_program(const struct flow_hash *h, struct sock_filter *prog);

#endif
