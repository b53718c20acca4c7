/* fuzz_cells.c - what a peer may say on a link: cells of every command for circuits in every state,
 * whole or cut anywhere, while control plays its part or is slow to. */
#include "dataplane/worker/bare.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Bytes as they come, cells or not. */
static void do_plain(struct bare *b, struct reader *r)
{
	uint8_t which = rd_u8(r), len = rd_u8(r);
	size_t n = MIN(rd_left(r), (size_t)len);
	const uint8_t *bytes = rd_bytes(r, n);

	if (bytes)
		bare_plain(b, which & 1, bytes, n);
}

/* Control answers from now on, or keeps all for later. */
static void do_hold(struct bare *b, struct reader *r)
{
	if (rd_u8(r) & 1)
		b->h.holds = UINT32_MAX;
	else
		house_release(&b->h);
	bare_hear(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static void (*const acts[8])(struct bare *, struct reader *) = {
		bare_do_cell, bare_do_cell, bare_do_cell,  bare_do_relay,
		do_plain,     do_hold,	    bare_do_relay, bare_do_turn,
	};
	struct reader r = reader_of(data, len);
	struct bare *b = bare_begin(true);

	for (unsigned i = 0; i < 200 && rd_left(&r) > 1; i++)
		acts[rd_u8(&r) & 7](b, &r);
	b->h.holds = b->h.n_kept = 0;
	bare_end(b);
	return 0;
}
