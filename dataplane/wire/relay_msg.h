/* relay_msg.h - the relay message inside a cell. Version 0, of tor1 circuits: command, recognized,
 * stream id, digest, length (tor-spec section 6.1). Version 1, of CGO circuits: tag, command,
 * length, and a stream id with commands that are about a stream (interop R5, section 2.3). */
#ifndef RAMSON_WIRE_RELAY_MSG_H
#define RAMSON_WIRE_RELAY_MSG_H

#include "dataplane/base/base.h"
#include "dataplane/wire/cell.h"

#define RELAY_HEAD    11
#define RELAY_BODY    (CELL_PAYLOAD - RELAY_HEAD) /* 498: most that any format holds */
#define RELAY_V1_HEAD 19			  /* without a stream id */

enum relay_format { RELAY_V0, RELAY_V1, N_RELAY_FORMATS };

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

/* Sets of commands, all below 64. */
#define RELAY_SET(c) (1ull << RELAY_##c)
#define RELAY_OF_A_STREAM                                                                          \
	(RELAY_SET(BEGIN) | RELAY_SET(BEGIN_DIR) | RELAY_SET(CONNECTED) | RELAY_SET(DATA) |        \
	 RELAY_SET(END) | RELAY_SET(RESOLVE) | RELAY_SET(RESOLVED) | RELAY_SET(XOFF) |             \
	 RELAY_SET(XON))
#define RELAY_KNOWN                                                                                \
	(RELAY_OF_A_STREAM | RELAY_SET(SENDME) | RELAY_SET(EXTEND) | RELAY_SET(EXTENDED) |         \
	 RELAY_SET(TRUNCATE) | RELAY_SET(TRUNCATED) | RELAY_SET(DROP) | RELAY_SET(EXTEND2) |       \
	 RELAY_SET(EXTENDED2) | RELAY_SET(CONFLUX_LINK) | RELAY_SET(CONFLUX_LINKED) |              \
	 RELAY_SET(CONFLUX_LINKED_ACK) | RELAY_SET(CONFLUX_SWITCH) | RELAY_SET(ESTABLISH_INTRO) |  \
	 RELAY_SET(ESTABLISH_RENDEZVOUS) | RELAY_SET(INTRODUCE1) | RELAY_SET(INTRODUCE2) |         \
	 RELAY_SET(RENDEZVOUS1) | RELAY_SET(RENDEZVOUS2) | RELAY_SET(INTRO_ESTABLISHED) |          \
	 RELAY_SET(RENDEZVOUS_ESTABLISHED) | RELAY_SET(INTRODUCE_ACK) |                            \
	 RELAY_SET(PADDING_NEGOTIATE) | RELAY_SET(PADDING_NEGOTIATED))
static inline bool relay_in_set(uint64_t set, uint8_t command)
{
	return command < 64 && set >> command & 1;
}

/* Where the body begins. */
static inline unsigned relay_body_at(enum relay_format format, uint8_t command)
{
	if (LIKELY(format == RELAY_V0))
		return RELAY_HEAD;
	return RELAY_V1_HEAD + (relay_in_set(RELAY_OF_A_STREAM, command) ? 2 : 0);
}
/* The longest body: 498; in version 1 488 about a stream, else 490. */
static inline uint16_t relay_body_max(enum relay_format format, uint8_t command)
{
	return (uint16_t)(CELL_PAYLOAD - relay_body_at(format, command));
}

/* Reads the message in an opened payload of CELL_PAYLOAD bytes. 0, or ERR_MALFORMED when its length
 * says more than fits, or ERR_UNKNOWN for a command that version 1 does not have; *m is then
 * untouched. A version 1 message that is not about a stream has stream id 0. */
static inline int relay_msg_read(struct relay_msg *m, uint8_t *payload, enum relay_format format)
{
	bool v0 = LIKELY(format == RELAY_V0);
	uint8_t command = payload[v0 ? 0 : 16];
	uint16_t len = be16_get(payload + (v0 ? 9 : 17));
	unsigned at = relay_body_at(format, command);

	if (!v0 && !relay_in_set(RELAY_KNOWN, command))
		return ERR_UNKNOWN;
	if (len > CELL_PAYLOAD - at)
		return ERR_MALFORMED;
	m->command = command;
	m->stream_id = v0 ? be16_get(payload + 3) : at > RELAY_V1_HEAD ? be16_get(payload + 19) : 0;
	m->len = len;
	m->body = payload + at;
	return 0;
}

/* Writes what stands before the body, with what the onion fills in as zeroes; the body (len at most
 * relay_body_max) stands behind it already or is put there next. */
static inline void relay_msg_write(uint8_t *payload, enum relay_format format, uint8_t command,
				   uint16_t stream_id, uint16_t len)
{
	if (LIKELY(format == RELAY_V0)) {
		payload[0] = command;
		be16_put(payload + 1, 0);
		be16_put(payload + 3, stream_id);
		be32_put(payload + 5, 0);
		be16_put(payload + 9, len);
		return;
	}
	memset(payload, 0, 16);
	payload[16] = command;
	be16_put(payload + 17, len);
	if (relay_in_set(RELAY_OF_A_STREAM, command))
		be16_put(payload + 19, stream_id);
}

/* The same for circuits that are tor1's whatever comes. */
static inline int relay_msg_get(struct relay_msg *m, uint8_t *payload)
{
	return relay_msg_read(m, payload, RELAY_V0);
}
static inline void relay_msg_head(uint8_t *payload, uint8_t command, uint16_t stream_id,
				  uint16_t len)
{
	relay_msg_write(payload, RELAY_V0, command, stream_id, len);
}

#endif
