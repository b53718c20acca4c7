/* conflux.c - LINK, LINKED and SWITCH. */
#include "dataplane/wire/conflux.h"

int conflux_link_get(struct conflux_link *l, const uint8_t *p, size_t len)
{
	struct reader r = reader_of(p, len);
	uint8_t version = rd_u8(&r);
	struct conflux_link x;

	rd_copy(&r, x.nonce, sizeof(x.nonce));
	x.sent = rd_u64(&r);
	x.received = rd_u64(&r);
	x.ux = rd_u8(&r);
	if (r.bad || version != CONFLUX_VERSION || x.ux >= N_CONFLUX_UX)
		return ERR_MALFORMED;
	*l = x;
	return 0;
}

void conflux_link_put(uint8_t *to, const struct conflux_link *l)
{
	to[0] = CONFLUX_VERSION;
	memcpy(to + 1, l->nonce, CONFLUX_NONCE);
	be64_put(to + 33, l->sent);
	be64_put(to + 41, l->received);
	to[49] = l->ux;
}

uint32_t conflux_switch_get(const uint8_t *p, size_t len)
{
	struct reader r = reader_of(p, len);

	return rd_u32(&r);
}
