/* ethdev.h - what the kinds that are DPDK devices share: start, rx, tx, RSS. */
#ifndef RAMSON_DRIVERS_ETHDEV_H
#define RAMSON_DRIVERS_ETHDEV_H

#include "drivers/internal.h"

struct ethdev_opts {
	unsigned mtu;	     /* of IP, as the far side has it; 0: the device knows */
	unsigned room;	     /* data room of rx mbufs; 0: from the MTU */
	uint64_t tx_refused; /* RTE_ETH_TX_OFFLOAD_* which this driver does not do well enough */
	unsigned tx_burst;   /* most frames it is given at once; 0: PORT_BURST */
	bool rx_fd;	     /* its rx interrupt is a descriptor to poll */
	const uint8_t *mac;  /* NULL: the device knows */
};

/* Makes the virtual device: driver is "net_tap"; its devargs. On success the port's id is in *id
 * and its name is kept for ethdev_close. */
int ethdev_create(struct port *p, const char *driver, const char *devargs, uint16_t *id, char *err);
/* The device exists already (EAL probed it). */
int ethdev_adopt(struct port *p, uint16_t id, char *err);
/* Configures and starts it with p->n_queues queues (one, if it cannot steer predictably). On error
 * the caller calls ethdev_close. */
int ethdev_start(struct port *p, uint16_t id, const struct ethdev_opts *opts,
		 const struct port_config *config, char *err);

/* For the rows. */
void ethdev_close(struct port *p);
unsigned ethdev_rx(struct port *p, unsigned q, struct rte_mbuf **m, unsigned n);
unsigned ethdev_tx(struct port *p, unsigned q, struct rte_mbuf **m, unsigned n);
int ethdev_queue_of(const struct port *p, const struct port_tuple *t);
int ethdev_fd(const struct port *p, unsigned q);
void ethdev_stats(struct port *p, unsigned q);

#endif
