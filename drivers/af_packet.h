/* af_packet.h - the state of an af_packet port, shared by its set-up and its rx/tx half. */
#ifndef RAMSON_DRIVERS_AF_PACKET_H
#define RAMSON_DRIVERS_AF_PACKET_H

#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <rte_mbuf.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "drivers/internal.h"

#define AFP_FRAME   69632u     /* 68 KiB: the longest GSO frame and what stands before it */
#define AFP_BLOCK   (1u << 20) /* 15 frames; a power of two, as the kernel allocates it */
#define AFP_PER_BLK (AFP_BLOCK / AFP_FRAME)
#define AFP_COPY    384u  /* shorter frames are copied: their ring frame is free at once */
#define AFP_IOVS    1024u /* UIO_MAXIOV */
#define AFP_TX_SEGS 256u
#define AFP_NOBUFS  4u	   /* refusals after which a frame is given up */
#define AFP_TSO_MAX 65200u /* below every device's gso_max_size */

struct afp_frame {
	struct rte_mbuf_ext_shared_info info;
	struct tpacket2_hdr *hdr;
	bool held; /* an mbuf points into it; the kernel's status word cannot say so */
};

struct afp_queue {
	int fd;
	uint8_t *ring;
	uint32_t n_frames, next;
	bool bypass;	   /* PACKET_QDISC_BYPASS is on */
	unsigned n_nobufs; /* refusals in a row */
	struct afp_frame *frames;
	struct virtio_net_hdr vnet[PORT_BURST];
	struct mmsghdr msgs[PORT_BURST];
	struct iovec iovs[AFP_IOVS];
};

struct afp {
	struct flow_hash hash;
	struct afp_queue *q[PORT_QUEUES];
};

unsigned afp_rx(struct port *p, unsigned q, struct rte_mbuf **m, unsigned n);
unsigned afp_tx(struct port *p, unsigned q, struct rte_mbuf **m, unsigned n);
/* Gives every filled ring frame back unread. */
void afp_drain(struct afp_queue *q);

#endif
