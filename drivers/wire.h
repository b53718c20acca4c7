/* wire.h - between the wire's port half and its cutter. */
#ifndef RAMSON_DRIVERS_WIRE_H
#define RAMSON_DRIVERS_WIRE_H

#include "drivers/internal.h"

#define WIRE_FRAME_MAX (WIRE_MTU_MAX + 18)

/* Called with each frame that goes over the wire. */
typedef void (*wire_put)(void *arg, const uint8_t *frame, uint32_t len);

/* Does what a card with offloads does: completes checksums, cuts superframes into tso_segsz pieces,
 * and puts each. False: m is no such frame, or longer than the wire's MTU. */
bool wire_cut(struct rte_mbuf *m, unsigned mtu, wire_put put, void *arg);

#endif
