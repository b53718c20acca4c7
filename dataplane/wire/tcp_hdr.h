/* tcp_hdr.h - the TCP header and its options, parsed and built (RFC 9293 3.1, 7323, 2018). Used by
 * tcp/ on both ways of the walk. */
#ifndef RAMSON_WIRE_TCP_HDR_H
#define RAMSON_WIRE_TCP_HDR_H

#include "dataplane/base/base.h"

#define TCP_HDR_MIN 20
#define TCP_HDR_MAX 60

enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_PSH = 8, TCP_ACK = 16, TCP_URG = 32 };
enum {
	TCP_OPT_MSS = 1,
	TCP_OPT_WSCALE = 2,
	TCP_OPT_SACK_OK = 4,
	TCP_OPT_TS = 8,
	TCP_OPT_SACK = 16
};

struct tcp_hdr {
	uint16_t src_port, dst_port;
	uint32_t seq, ack;
	uint8_t flags;	 /* TCP_FIN ... */
	uint8_t opts;	 /* TCP_OPT_*: which of the fields below are there */
	uint8_t hdr_len; /* bytes, options included */
	uint8_t n_sack;
	uint16_t window; /* as on the wire, unscaled */
	uint16_t mss;
	uint8_t wscale;
	uint32_t ts_val, ts_ecr;
	struct {
		uint32_t start, end;
	} sack[4];
};

/* Reads the header of a segment of len bytes (payload included). Unknown options are skipped.
 * 0, or ERR_MALFORMED when the header or an option runs over its end; *h is then unchanged. */
int tcp_hdr_parse(struct tcp_hdr *h, const uint8_t *p, size_t len);
/* Writes the header with the options that h->opts names, padded to words, into p (TCP_HDR_MAX
 * bytes); checksum and urgent pointer are zero. SACK blocks that do not fit in 60 bytes are left
 * out. Returns its length. */
size_t tcp_hdr_build(const struct tcp_hdr *h, uint8_t *p);
/* The length that tcp_hdr_build would return. */
size_t tcp_hdr_size(uint8_t opts, uint8_t n_sack);

#endif
