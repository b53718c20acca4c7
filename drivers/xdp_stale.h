/* xdp_stale.h - the steering program that a killed process left on an interface. */
#ifndef RAMSON_DRIVERS_XDP_STALE_H
#define RAMSON_DRIVERS_XDP_STALE_H

#include "drivers/internal.h"

enum xdp_found { XDP_NONE, XDP_DETACHED, XDP_FOREIGN };
/* What was on the interface; ours is detached. */
enum xdp_found xdp_stale_detach(const char *ifname);

#endif
