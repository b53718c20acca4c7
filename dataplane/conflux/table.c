/* table.c - what a recognised message does to a circuit, by what the circuit is to a set (proposal
 * 329; interop F9, F10). */
#include "dataplane/conflux/conflux.h"

/* What kind of message a command is, seen from here. */
enum kind {
	OWN, /* of the circuit alone: SENDME, DROP, TRUNCATE, padding, and what nobody knows */
	LINK,
	LINKED,
	ACK,
	SWITCH,
	SEQUENCED,
	DIR,
	FOREIGN, /* would make more of the circuit than a leg */
	N_KINDS
};

static const uint8_t kinds[256] = {
	[RELAY_CONFLUX_LINK] = LINK,
	[RELAY_CONFLUX_LINKED] = LINKED,
	[RELAY_CONFLUX_LINKED_ACK] = ACK,
	[RELAY_CONFLUX_SWITCH] = SWITCH,
	[RELAY_BEGIN] = SEQUENCED,
	[RELAY_DATA] = SEQUENCED,
	[RELAY_END] = SEQUENCED,
	[RELAY_CONNECTED] = SEQUENCED,
	[RELAY_RESOLVE] = SEQUENCED,
	[RELAY_RESOLVED] = SEQUENCED,
	[RELAY_XOFF] = SEQUENCED,
	[RELAY_XON] = SEQUENCED,
	[RELAY_BEGIN_DIR] = DIR,
	[RELAY_EXTEND] = FOREIGN,
	[RELAY_EXTEND2] = FOREIGN,
	[RELAY_ESTABLISH_INTRO] = FOREIGN,
	[RELAY_ESTABLISH_RENDEZVOUS] = FOREIGN,
	[RELAY_INTRODUCE1] = FOREIGN,
	[RELAY_RENDEZVOUS1] = FOREIGN,
};

/* LINKED is an exit's word. A client says nothing between LINK and LINKED. */
static const uint8_t acts[N_CFX_TIES][N_KINDS] = {
	/* OWN, LINK, LINKED, ACK, SWITCH, SEQUENCED, DIR, FOREIGN */
	[CFX_LOOSE] = {CFX_PASS, CFX_LINK, CFX_VIOLATE, CFX_VIOLATE, CFX_VIOLATE, CFX_PASS,
		       CFX_PASS, CFX_PASS},
	[CFX_ASKED] = {CFX_PASS, CFX_VIOLATE, CFX_VIOLATE, CFX_VIOLATE, CFX_VIOLATE, CFX_VIOLATE,
		       CFX_VIOLATE, CFX_VIOLATE},
	[CFX_TIED] = {CFX_PASS, CFX_VIOLATE, CFX_VIOLATE, CFX_ACK, CFX_SWITCH, CFX_ORDER,
		      CFX_NO_DIR, CFX_VIOLATE},
};

enum cfx_act cfx_act_of(enum cfx_tie_state state, uint8_t command)
{
	return acts[state][kinds[command]];
}

bool cfx_sequenced(uint8_t command)
{
	return kinds[command] == SEQUENCED;
}
