/* fuzz_relay.c - relay messages for us on open circuits, of tor1 and of CGO: every command, length
 * and stream id, with streams of all three kinds of far end behind it. */
#include "dataplane/worker/bare.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* What the far ends are from here on. */
static void do_answer(struct bare *b, struct reader *r)
{
	uint8_t x = rd_u8(r);

	b->h.answer = x & 3;
	b->h.dest = x >> 2 & 7;
	b->h.holds = x & 128 ? 1u << (CTL_STREAM_RECV - CTL_UP_FIRST) : 0;
	if (!b->h.holds)
		house_release(&b->h);
	bare_hear(b);
}

/* Control writes to a directory stream. */
static void do_write(struct bare *b, struct reader *r)
{
	static const uint8_t bytes[4096];
	uint8_t which = rd_u8(r), times = rd_u8(r) & 31;

	for (unsigned i = 0; i < times; i++)
		house_down(&b->h, 0, CTL_STREAM_WRITE, b->stream[which % BARE_IDS], 0, NULL, 0,
			   bytes, sizeof(bytes));
	ctl_in(b->w);
	bare_hear(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static void (*const acts[8])(struct bare *, struct reader *) = {
		bare_do_relay, bare_do_relay, bare_do_relay, bare_do_relay,
		bare_do_relay, do_answer,     do_write,	     bare_do_turn,
	};
	static const uint8_t cgo[4 + CGO_KEYS] = {0, 2, 0, CGO_KEYS};
	struct reader r = reader_of(data, len);
	struct bare *b = bare_begin(true);

	b->h.answer = ANSWER_TCP;
	b->h.dest = DEST_ECHO;
	for (uint32_t i = 0; i < 3; i++) {
		b->h.cc_inc = i == 2 ? 31 : 0;
		bare_cell(b, 0, HOUSE_CIRC_ID + i, CELL_CREATE2, i == 2 ? cgo : NULL,
			  i == 2 ? sizeof(cgo) : 0);
	}
	for (unsigned i = 0; i < 200 && rd_left(&r) > 1; i++)
		acts[rd_u8(&r) & 7](b, &r);
	b->h.holds = b->h.n_kept = 0;
	bare_end(b);
	return 0;
}
