/* conflux.h - the relay messages that tie circuits into a conflux set (proposal 329; interop
 * section 2.2): LINK and LINKED of one form, SWITCH; LINKED_ACK has no body. Pure codecs. */
#ifndef RAMSON_WIRE_CONFLUX_H
#define RAMSON_WIRE_CONFLUX_H

#include "dataplane/base/base.h"

#define CONFLUX_VERSION	   1
#define CONFLUX_NONCE	   32
#define CONFLUX_LINK_LEN   50
#define CONFLUX_SWITCH_LEN 4

/* What a side wishes the other to send by. */
enum conflux_ux {
	CONFLUX_UX_NONE,
	CONFLUX_UX_LATENCY,
	CONFLUX_UX_LATENCY_MEM,
	CONFLUX_UX_THROUGHPUT,
	CONFLUX_UX_THROUGHPUT_MEM,
	N_CONFLUX_UX
};

struct conflux_link {
	uint8_t nonce[CONFLUX_NONCE]; /* names the set */
	uint64_t sent, received;      /* last sequence numbers of who says this */
	uint8_t ux;		      /* enum conflux_ux */
};
/* 0, or ERR_MALFORMED: another version, too short, an unknown wish. What is behind is passed over.
 */
int conflux_link_get(struct conflux_link *l, const uint8_t *p, size_t len);
/* Writes CONFLUX_LINK_LEN bytes. */
void conflux_link_put(uint8_t *to, const struct conflux_link *l);
/* By how much a leg's sequence number moves on; a body too short says 0, as C tor reads it. */
uint32_t conflux_switch_get(const uint8_t *p, size_t len);

#endif
