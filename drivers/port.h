/* port.h - the face of drivers/: start the EAL, open a port of any kind, receive and send frames.
 * It is the first and last stage of the walk. Nothing of the rest of the house is included here.
 *
 * What an mbuf says at this border:
 *   rx  one frame, Ethernet header first. ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK: GOOD (the port or
 *       a local sender vouches for it), BAD, or UNKNOWN (look yourself). A merged run of TCP
 *       segments has RTE_MBUF_F_RX_LRO and tso_segsz = payload of each (0: not known).
 *       The frame may lie in the port's own ring: free it within the turn that received it.
 *   tx  a chain, all headers in its first mbuf, which is writable. RTE_MBUF_F_TX_TCP_CKSUM asks for
 *       the TCP checksum, RTE_MBUF_F_TX_TCP_SEG for cutting into tso_segsz pieces too (only where
 *       PORT_TX_CSUM, tso_max say so); with them l2_len, l3_len, l4_len, RTE_MBUF_F_TX_IPV4 or
 *       _IPV6 (and _IP_CKSUM with TCP_SEG) are set, and the TCP checksum field holds the
 *       pseudo-header sum in DPDK's convention (without the length for TCP_SEG). */
#ifndef RAMSON_PORT_H
#define RAMSON_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rte_mbuf;
struct rte_mempool;

#define PORT_QUEUES 64	/* most queues (workers) of one port */
#define PORT_ADDRS  32	/* most addresses told to a port */
#define PORT_RANGES 64	/* most ranges of TCP ports told to a port */
#define PORT_ERR    256 /* bytes for an error in words */
#define PORT_BURST  64	/* frames in one port_rx or port_tx at most */

/* ---- EAL ---- */
struct eal_config {
	const char *cores; /* "0-3,6", one worker each, the first is the main lcore; NULL: 0 */
	unsigned mem_mb;   /* what the caller's pools will take, beside those of the port */
	const char *port;  /* the port's spec: decides about PCI and adds its own need */
	unsigned n_queues; /* as for port_open */
	bool verbose;	   /* DPDK's notices too, on standard error */
};
struct eal_info {
	bool huge;	 /* on hugepages */
	unsigned mem_mb; /* memory asked for */
};
/* Starts DPDK, once per process: on hugepages if enough are free, else without; no telemetry, no
 * shared configuration, no PCI device but the one that the spec names. 0, or -1 and a sentence in
 * err that names the setting and the remedy. info may be NULL. */
int eal_start(const struct eal_config *config, struct eal_info *info, char err[PORT_ERR]);

/* ---- ports ---- */
enum {			       /* port.caps */
       PORT_RX_CSUM = 1 << 0,  /* tells about L4 checksums of received frames */
       PORT_TX_CSUM = 1 << 1,  /* computes TCP checksums */
       PORT_QUEUE_OF = 1 << 2, /* port_queue_of answers; without it n_queues is 1 */
};

struct port_addr { /* family 4 or 6; 4 bytes of ip are used for 4 */
	uint8_t family;
	uint8_t shared; /* the kernel holds it too: only TCP to ranges is ours (af_xdp) */
	uint8_t ip[16];
};
struct port_range { /* TCP ports, host order, both ends included */
	uint16_t lo, hi;
};
/* Our end and the other one; ports in host order. */
struct port_tuple {
	uint8_t family;
	uint16_t local_port, remote_port;
	uint8_t local_ip[16], remote_ip[16];
};

struct port_config {
	unsigned n_queues;    /* wanted, 1 to PORT_QUEUES; a port that cannot steer opens one */
	uint32_t rx_frames;   /* rx ring of each queue; 0: what suits the kind */
	uint8_t hash_key[40]; /* random: the receive hash of kinds that have one */
	unsigned n_addrs, n_ranges;
	struct port_addr addrs[PORT_ADDRS]; /* steering of af_xdp */
	struct port_range ranges[PORT_RANGES];
	int numa; /* memory node of the pools, -1: any */
};

struct port_stats { /* of one queue, or summed; racy when read from elsewhere */
	uint64_t rx_frames, rx_bytes, tx_frames, tx_bytes;
	uint64_t rx_lost;      /* the ring was full, or no mbuf was free */
	uint64_t rx_malformed; /* truncated, or tagged for a VLAN */
	uint64_t tx_full;      /* times that the other side took no more */
	uint64_t tx_error;     /* frames refused for good (freed) */
};

struct port_kind;
struct port {
	const struct port_kind *kind;
	char name[48]; /* as in the spec, behind KIND: */
	uint8_t mac[6];
	uint16_t mtu;	  /* of IP */
	uint16_t tx_segs; /* longest mbuf chain for port_tx */
	uint32_t tso_max; /* longest frame with TCP_SEG; 0: no TSO */
	uint32_t caps;
	unsigned n_queues;   /* opened */
	char note[PORT_ERR]; /* something the operator should know ("fell back to ..."), or "" */
	struct rte_mempool *pools[PORT_QUEUES]; /* rx mbufs; the port's own, of its own size */
	struct port_stats stats[PORT_QUEUES];
	void *priv;
};

/* Opens KIND[:ARGS] (drivers/table.c lists the kinds). The EAL must be up. p is zeroed and filled.
 * 0, or -1 and a sentence in err that says which setting, why, and the remedy. */
int port_open(struct port *p, const char *spec, const struct port_config *config,
	      char err[PORT_ERR]);
/* Every mbuf that came out of it must have been freed. */
void port_close(struct port *p);

/* Up to n (at most PORT_BURST) frames of queue q, now the caller's. Never waits. */
unsigned port_rx(struct port *p, unsigned q, struct rte_mbuf **m, unsigned n);
/* Hands over up to n frames; the count that was taken (sent, or dropped for good and counted). The
 * rest remain the caller's; m[] may then name a copy that took a frame's place. Never waits. */
unsigned port_tx(struct port *p, unsigned q, struct rte_mbuf **m, unsigned n);
/* The queue at which frames from the remote end of t arrive, or -1: cannot tell. */
int port_queue_of(const struct port *p, const struct port_tuple *t);
/* A descriptor that poll() finds readable when frames wait at q, or -1: sleep by the clock. */
int port_fd(const struct port *p, unsigned q);
/* Brings stats[q] up to date (drops counted by the kernel or the NIC) and returns it. A kernel
 * call on some kinds: not for every turn. */
const struct port_stats *port_stats_of(struct port *p, unsigned q);

/* ---- before opening: for `ramson check` ---- */
/* 0 if the spec is well formed and its interface is there, else -1 and a sentence. */
int port_check(const char *spec, char err[PORT_ERR]);
/* The interface that the spec names to the kernel ("dv0"), or "" when it has none. */
void port_ifname(const char *spec, char name[16]);
/* Whether the kernel holds this address on that interface: 1, 0, or -1 (cannot tell). */
int port_kernel_has_address(const char *ifname, const struct port_addr *a);
/* The MAC that the kernel knows for a neighbour: 0, or -1. Seeds the gateway where the address is
 * shared with the kernel and answers to us never come. */
int port_kernel_neighbour(const char *ifname, const struct port_addr *a, uint8_t mac[6]);

/* ---- wire: two ends joined in memory, under a virtual clock, with no kernel. All of one wire is
 * used from one thread. What happens depends on nothing but the seed and the calls. ---- */
#define WIRE_MTU_MAX 9216
struct wire;
struct wire_config {
	uint64_t seed;
	uint16_t mtu;	   /* of IP; 0: 1500 */
	uint32_t tso_max;  /* both ends cut frames up to this long themselves; 0: no offload */
	uint32_t n_queues; /* of each end; frames go by a hash of the 4-tuple; 0: 1 */
};
struct wire_impair { /* of one direction; all zero: a perfect wire */
	uint32_t loss_ppm, dup_ppm, corrupt_ppm;
	uint32_t reorder_ppm; /* these are late by reorder_us */
	uint64_t reorder_us;
	uint64_t delay_us, jitter_us; /* jitter is uniform in [0, jitter_us], and keeps the order */
	uint64_t bps;		      /* bits a second; 0: no limit */
	uint32_t queue_max;	      /* frames in flight or queued; 0: 65536 */
	uint32_t tx_room; /* frames that port_tx takes until the clock moves; 0: no limit */
};
struct wire_stats {
	uint64_t sent, lost, duplicated, reordered, corrupted, overflowed, delivered;
};
/* Named, so that port_open("wire:NAME:0") and ":1" reach its ends. NULL when memory is short or the
 * name is taken. */
struct wire *wire_new(const char *name, const struct wire_config *config);
/* Both ends must be closed. */
void wire_free(struct wire *w);
/* Impairs what end (0 or 1) sends from now on. */
void wire_impair(struct wire *w, unsigned end, const struct wire_impair *impair);
/* Sets the clock (it never goes back): what is due by then can be received. */
void wire_advance(struct wire *w, uint64_t now_us);
/* When the next frame comes due at either end; UINT64_MAX: none is under way. */
uint64_t wire_next(const struct wire *w);
const struct wire_stats *wire_stats_of(const struct wire *w, unsigned end);

#endif
