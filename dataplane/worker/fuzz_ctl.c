/* fuzz_ctl.c - any messages down the wall, among cells, relay messages and time, into a worker with
 * links, circuits in each state and streams. Control has been taken over. */
#include "dataplane/worker/bare.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static void (*const acts[8])(struct bare *, struct reader *) = {
		bare_do_message, bare_do_message, bare_do_message, bare_do_message,
		bare_do_message, bare_do_cell,	  bare_do_relay,   bare_do_turn,
	};
	struct reader r = reader_of(data, len);
	struct bare *b = bare_begin(false);

	for (unsigned i = 0; i < 200 && rd_left(&r) > 1; i++)
		acts[rd_u8(&r) & 7](b, &r);
	bare_end(b);
	return 0;
}
