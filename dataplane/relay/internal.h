/* internal.h - what the files of relay/ share: the two kinds of flow control. */
#ifndef RAMSON_RELAY_INTERNAL_H
#define RAMSON_RELAY_INTERNAL_H

#include "dataplane/relay/relay.h"

/* A SENDME that was found good. */
struct relay_ack {
	uint64_t sent_us; /* when the cell was sent that it answers */
	uint64_t now_us;
	struct relay_queue queue;
};
/* A row for each enum ctl_flow: the first window, and what a SENDME makes of it. */
struct relay_flow {
	void (*start)(struct relay *r, uint32_t circ);
	void (*acked)(struct relay *r, uint32_t circ, const struct relay_ack *a);
};

void cc_start(struct relay *r, uint32_t circ);
void cc_acked(struct relay *r, uint32_t circ, const struct relay_ack *a);

/* Opens the window of a circuit with congestion control as far as it may be by now, and sees to
 * what is left. */
void cc_open(struct relay *r, uint32_t circ, uint64_t now_us);

#endif
