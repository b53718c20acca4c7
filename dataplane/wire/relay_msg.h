/* relay_msg.h - the relay message inside a cell, in the format of tor1 circuits (version 0:
 * command, recognized, stream id, digest, length; tor-spec section 6.1). */
#ifndef RAMSON_WIRE_RELAY_MSG_H
#define RAMSON_WIRE_RELAY_MSG_H

#include "dataplane/base/base.h"
#include "dataplane/wire/cell.h"

#define RELAY_HEAD 11
#define RELAY_BODY (CELL_PAYLOAD - RELAY_HEAD) /* 498 */

enum relay_command {
	RELAY_BEGIN = 1,
	RELAY_DATA = 2,
	RELAY_END = 3,
	RELAY_CONNECTED = 4,
	RELAY_SENDME = 5,
	RELAY_EXTEND = 6,
	RELAY_EXTENDED = 7,
	RELAY_TRUNCATE = 8,
	RELAY_TRUNCATED = 9,
	RELAY_DROP = 10,
	RELAY_RESOLVE = 11,
	RELAY_RESOLVED = 12,
	RELAY_BEGIN_DIR = 13,
	RELAY_EXTEND2 = 14,
	RELAY_EXTENDED2 = 15,
	RELAY_CONFLUX_LINK = 19,
	RELAY_CONFLUX_LINKED = 20,
	RELAY_CONFLUX_LINKED_ACK = 21,
	RELAY_CONFLUX_SWITCH = 22,
	RELAY_ESTABLISH_INTRO = 32,
	RELAY_ESTABLISH_RENDEZVOUS = 33,
	RELAY_INTRODUCE1 = 34,
	RELAY_INTRODUCE2 = 35,
	RELAY_RENDEZVOUS1 = 36,
	RELAY_RENDEZVOUS2 = 37,
	RELAY_INTRO_ESTABLISHED = 38,
	RELAY_RENDEZVOUS_ESTABLISHED = 39,
	RELAY_INTRODUCE_ACK = 40,
	RELAY_PADDING_NEGOTIATE = 41,
	RELAY_PADDING_NEGOTIATED = 42,
	RELAY_XOFF = 43,
	RELAY_XON = 44,
};

/* END reasons (tor-spec section 6.3). */
enum end_reason {
	END_MISC = 1,
	END_RESOLVEFAILED = 2,
	END_CONNECTREFUSED = 3,
	END_EXITPOLICY = 4,
	END_DESTROY = 5,
	END_DONE = 6,
	END_TIMEOUT = 7,
	END_NOROUTE = 8,
	END_HIBERNATING = 9,
	END_INTERNAL = 10,
	END_RESOURCELIMIT = 11,
	END_CONNRESET = 12,
	END_TORPROTOCOL = 13,
	END_NOTDIRECTORY = 14,
};

struct relay_msg {
	uint8_t command;
	uint16_t stream_id;
	uint16_t len;
	uint8_t *body;
};

/* Reads the message in an opened payload of CELL_PAYLOAD bytes. 0, or ERR_MALFORMED when its length
 * says more than fits; *m is then untouched. */
static inline int relay_msg_get(struct relay_msg *m, uint8_t *payload)
{
	uint16_t len = be16_get(payload + 9);

	if (len > RELAY_BODY)
		return ERR_MALFORMED;
	m->command = payload[0];
	m->stream_id = be16_get(payload + 3);
	m->len = len;
	m->body = payload + RELAY_HEAD;
	return 0;
}

/* Writes the header with zero recognized and digest fields; the body (len at most RELAY_BODY)
 * stands behind it already or is put there next. */
static inline void relay_msg_head(uint8_t *payload, uint8_t command, uint16_t stream_id,
				  uint16_t len)
{
	payload[0] = command;
	be16_put(payload + 1, 0);
	be16_put(payload + 3, stream_id);
	be32_put(payload + 5, 0);
	be16_put(payload + 9, len);
}

#endif
