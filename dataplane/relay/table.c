/* table.c - what is done with each relay command at the edge. No row: dropped (interop R8). */
#include "dataplane/relay/relay.h"

static const struct relay_row {
	uint8_t act;
	bool needs_stream;
} rows[256] = {
	[RELAY_BEGIN] = {RELAY_ACT_STREAM, true},
	[RELAY_DATA] = {RELAY_ACT_DATA, false}, /* stream 0 counts in the window, then is dropped */
	[RELAY_END] = {RELAY_ACT_END, true},
	[RELAY_CONNECTED] = {RELAY_ACT_ANSWER, true},
	[RELAY_SENDME] = {RELAY_ACT_SENDME, false},
	[RELAY_EXTEND] = {RELAY_ACT_EXTEND, false},
	[RELAY_TRUNCATE] = {RELAY_ACT_TRUNCATE, false},
	[RELAY_DROP] = {RELAY_ACT_DROP, false},
	[RELAY_RESOLVE] = {RELAY_ACT_STREAM, true},
	[RELAY_RESOLVED] = {RELAY_ACT_ANSWER, true},
	[RELAY_BEGIN_DIR] = {RELAY_ACT_STREAM, true},
	[RELAY_EXTEND2] = {RELAY_ACT_EXTEND, false},
	[RELAY_CONFLUX_LINK] = {RELAY_ACT_CONFLUX, false},
	[RELAY_CONFLUX_LINKED] = {RELAY_ACT_CONFLUX, false},
	[RELAY_CONFLUX_LINKED_ACK] = {RELAY_ACT_CONFLUX, false},
	[RELAY_CONFLUX_SWITCH] = {RELAY_ACT_CONFLUX, false},
	[RELAY_XOFF] = {RELAY_ACT_FLOW, false}, /* stream 0 is a stream that is not there */
	[RELAY_XON] = {RELAY_ACT_FLOW, false},
	[RELAY_ESTABLISH_INTRO] = {RELAY_ACT_UP, false},
	[RELAY_ESTABLISH_RENDEZVOUS] = {RELAY_ACT_UP, false},
	[RELAY_INTRODUCE1] = {RELAY_ACT_UP, false},
	[RELAY_RENDEZVOUS1] = {RELAY_ACT_UP, false},
	[RELAY_PADDING_NEGOTIATE] = {RELAY_ACT_PADDING, false},
};

enum relay_act relay_act_of(uint8_t command)
{
	return rows[command].act;
}

bool relay_needs_stream(uint8_t command)
{
	return rows[command].needs_stream;
}
