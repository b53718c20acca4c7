/* pad_msg.c - the two relay messages of circuit padding. */
#include "dataplane/wire/pad_msg.h"

int pad_negotiate_get(struct pad_negotiate *m, const uint8_t *p, size_t len)
{
	struct reader r = reader_of(p, len);
	struct pad_negotiate x;
	uint8_t version = rd_u8(&r), echo;

	x.command = rd_u8(&r);
	x.machine = rd_u8(&r);
	echo = rd_u8(&r); /* asks for nothing that anybody serves */
	x.ctr = rd_u32(&r);
	if (r.bad || version != 0 || echo > 1 || x.command < PAD_STOP || x.command > PAD_START)
		return ERR_MALFORMED;
	*m = x;
	return 0;
}

void pad_negotiated_put(uint8_t to[PAD_NEGOTIATED_LEN], const struct pad_negotiate *m,
			enum pad_response response)
{
	to[0] = 0;
	to[1] = m->command;
	to[2] = (uint8_t)response;
	to[3] = m->machine;
	be32_put(to + 4, m->ctr);
}
