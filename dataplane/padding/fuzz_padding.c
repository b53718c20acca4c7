/* fuzz_padding.c - what clients say about circuit padding, on two circuits, with time and other
 * cells between: each step is a byte, and eight more where it is a message. */
#include <stdlib.h>

#include "dataplane/padding/padding.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct paddings p;
static struct pad_now now;
static uint8_t reply[PAD_NEGOTIATED_LEN];

static void due_all(void)
{
	uint32_t due[2];
	unsigned n = padding_due(&p, now.us, due, 2);

	for (unsigned i = 0; i < n; i++) {
		if (!p.row[due[i]].machine || !p.row[due[i]].left || p.row[due[i]].left > 9)
			abort();
		padding_drop_sent(&p, due[i], &now, reply);
	}
}

static void step(uint8_t what, uint32_t *h, struct reader *r)
{
	size_t n = MIN((size_t)(what >> 5) + 4, rd_left(r));
	uint8_t *copy;

	switch (what >> 1 & 3) {
	case 0: /* of exactly this size: a read behind it is seen */
		copy = malloc(n + !n);
		rd_copy(r, copy, n);
		padding_negotiate(&p, what & 1, h, copy, n, reply);
		free(copy);
		break;
	case 1:
		if (*h != SLOT_NONE && padding_listens(&p, *h))
			padding_sent(&p, *h, &now);
		break;
	case 2:
		now.us += 100u * (what >> 3);
		due_all();
		break;
	case 3:
		if (what == 0xff)
			padding_stop(&p, h);
		now.others += what >> 3;
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct counts counts;
	static int64_t params[N_CTL_PARAMS];
	uint32_t h[2] = {SLOT_NONE, SLOT_NONE};
	struct reader r = reader_of(data, len);
	uint8_t seed[32] = {3};
	struct rng rng;

	now = (struct pad_now) {.us = 1000000};
	rng_seed(&rng, seed);
	params[CTL_PARAM_CIRCPAD_GLOBAL_PCT] = rd_u8(&r) & 127;
	if (paddings_init(&p, 2, &rng, &counts, params, now.us) < 0)
		return 0;
	while (rd_left(&r)) {
		uint8_t what = rd_u8(&r);

		step(what, &h[what & 1], &r);
	}
	padding_stop(&p, &h[0]);
	padding_stop(&p, &h[1]);
	if (p.slots.n_used)
		abort();
	paddings_fini(&p);
	return 0;
}
