/* pad_msg.h - PADDING_NEGOTIATE and PADDING_NEGOTIATED, the relay messages that start and stop
 * circuit padding (padding-spec section 3.1; interop P5). Pure codecs. */
#ifndef RAMSON_WIRE_PAD_MSG_H
#define RAMSON_WIRE_PAD_MSG_H

#include "dataplane/base/base.h"

enum pad_command { PAD_STOP = 1, PAD_START = 2 };
enum pad_response { PAD_OK = 1, PAD_ERR = 2 };

struct pad_negotiate {
	uint8_t command; /* enum pad_command */
	uint8_t machine;
	uint32_t ctr; /* which start on this circuit it speaks of; 0: whichever */
};
/* 0, or ERR_MALFORMED: another version, an unknown command or echo flag, truncated. What follows
 * the message is of no concern. *m is untouched on refusal. */
int pad_negotiate_get(struct pad_negotiate *m, const uint8_t *p, size_t len);

/* The answer to a message, or our own word that a machine is through. */
#define PAD_NEGOTIATED_LEN 8
void pad_negotiated_put(uint8_t to[PAD_NEGOTIATED_LEN], const struct pad_negotiate *m,
			enum pad_response response);

#endif
