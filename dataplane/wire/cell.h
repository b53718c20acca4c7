/* cell.h - the link cell on the wire: commands, reasons, sizes and framing (tor-spec section 3). */
#ifndef RAMSON_WIRE_CELL_H
#define RAMSON_WIRE_CELL_H

#include "dataplane/base/base.h"

#define CELL_PAYLOAD   509
#define CELL_LEN       514 /* link protocol 4 and 5: circuit id 4, command 1, payload */
#define CELL_HEAD      5
#define CELL_VAR_HEAD  7     /* circuit id 4, command 1, length 2 */
#define CELL_VAR_MAX   10240 /* longest variable cell that we take: CERTS of a careful peer */
#define CELLS_A_RECORD 31    /* whole cells in 16 KiB */

enum cell_command {
	CELL_PADDING = 0,
	CELL_CREATE = 1,
	CELL_CREATED = 2,
	CELL_RELAY = 3,
	CELL_DESTROY = 4,
	CELL_CREATE_FAST = 5,
	CELL_CREATED_FAST = 6,
	CELL_VERSIONS = 7,
	CELL_NETINFO = 8,
	CELL_RELAY_EARLY = 9,
	CELL_CREATE2 = 10,
	CELL_CREATED2 = 11,
	CELL_PADDING_NEGOTIATE = 12,
	CELL_VPADDING = 128,
	CELL_CERTS = 129,
	CELL_AUTH_CHALLENGE = 130,
	CELL_AUTHENTICATE = 131,
	CELL_AUTHORIZE = 132,
};

/* DESTROY and TRUNCATED reasons (tor-spec section 5.4). */
enum destroy_reason {
	DESTROY_NONE = 0,
	DESTROY_TORPROTOCOL = 1,
	DESTROY_INTERNAL = 2,
	DESTROY_REQUESTED = 3,
	DESTROY_HIBERNATING = 4,
	DESTROY_RESOURCELIMIT = 5,
	DESTROY_CONNECTFAILED = 6,
	DESTROY_OR_IDENTITY = 7,
	DESTROY_CHANNEL_CLOSED = 8,
	DESTROY_FINISHED = 9,
	DESTROY_TIMEOUT = 10,
	DESTROY_DESTROYED = 11,
	DESTROY_NOSUCHSERVICE = 12,
};

/* A command whose cell carries its own length (tor-spec section 3). */
static inline bool cell_is_variable(uint8_t command)
{
	return command == CELL_VERSIONS || command >= 128;
}

/* One cell as it stands in a record or in the stash of a link. */
struct cell {
	uint32_t circ_id;
	uint8_t command;
	uint16_t len; /* of the payload */
	uint8_t *payload;
	uint8_t *start; /* of the header */
};

/* Bytes of the cell that begins at p, header included, when id_len bytes (2 before VERSIONS, 4
 * after) hold its circuit id; 0 when more than avail is needed to tell; ERR_MALFORMED when it is
 * longer than CELL_VAR_MAX. */
static inline int cell_size(const uint8_t *p, size_t avail, unsigned id_len)
{
	unsigned len;

	if (avail < id_len + 1)
		return 0;
	if (!cell_is_variable(p[id_len]))
		return (int)(id_len + 1 + CELL_PAYLOAD);
	if (avail < id_len + 3)
		return 0;
	len = be16_get(p + id_len + 1);
	return len > CELL_VAR_MAX ? ERR_MALFORMED : (int)(id_len + 3 + len);
}

/* Splits the whole cell at p, of cell_size bytes, into its fields. */
static inline void cell_split(struct cell *c, uint8_t *p, size_t size, unsigned id_len)
{
	unsigned head = id_len + (cell_is_variable(p[id_len]) ? 3 : 1);

	c->circ_id = id_len == 2 ? be16_get(p) : be32_get(p);
	c->command = p[id_len];
	c->start = p;
	c->payload = p + head;
	c->len = (uint16_t)(size - head);
}

/* Writes the five bytes before a fixed cell's payload. */
static inline void cell_head_put(uint8_t *p, uint32_t circ_id, uint8_t command)
{
	be32_put(p, circ_id);
	p[4] = command;
}

#endif
