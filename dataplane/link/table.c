/* table.c - what an open link does with each link command. A command without a row is ignored
 * (tor-spec section 3: unknown commands are for the future). */
#include "dataplane/link/link.h"

static const uint8_t acts[256] = {
	[CELL_PADDING] = LINK_PADDING,
	[CELL_VPADDING] = LINK_PADDING,
	[CELL_CREATE] = LINK_CREATE, /* goes up too: control refuses it by name */
	[CELL_CREATE_FAST] = LINK_CREATE,
	[CELL_CREATE2] = LINK_CREATE,
	[CELL_CREATED] = LINK_CREATED,
	[CELL_CREATED_FAST] = LINK_CREATED,
	[CELL_CREATED2] = LINK_CREATED,
	[CELL_RELAY] = LINK_RELAY,
	[CELL_RELAY_EARLY] = LINK_RELAY,
	[CELL_DESTROY] = LINK_DESTROY,
	[CELL_PADDING_NEGOTIATE] = LINK_NEGOTIATE,
	/* Words of the handshake, which is over: C tor closes the link (interop L15). */
	[CELL_CERTS] = LINK_VIOLATE,
	[CELL_AUTH_CHALLENGE] = LINK_VIOLATE,
	[CELL_AUTHENTICATE] = LINK_VIOLATE,
};

enum link_act link_act_of(uint8_t command)
{
	return acts[command];
}
