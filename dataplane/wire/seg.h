/* seg.h - one TCP segment as it crosses the border between net and tcp, both ways. */
#ifndef RAMSON_WIRE_SEG_H
#define RAMSON_WIRE_SEG_H

#include "dataplane/base/base.h"

struct rte_mbuf;

/* One checked segment. The mbuf belongs to the caller and is not kept; tcp points into it at the
 * TCP header, contiguous for tcp_len bytes (header and payload). Checksum and IP lengths were
 * verified by net. gso_size: payload of each of the wire's segments merged here, 0 when one. */
struct tcp_seg {
	struct rte_mbuf *m; /* not looked at */
	const uint8_t *tcp;
	uint32_t tcp_len;
	uint16_t gso_size;
	struct addr src, dst;
};

/* One segment to send: the mbuf chain begins at the TCP header, whose length is in m->l4_len and
 * whose checksum field is zero: net computes it or asks the port to. gso_size != 0: the payload is
 * to be cut into segments of that size (TSO). The caller owns and frees m. */
struct tcp_tx {
	struct rte_mbuf *m;
	struct addr src, dst;
	uint16_t gso_size;
	bool summed; /* sum is ip_sum of all that is behind the header */
	uint64_t sum;
};

#endif
