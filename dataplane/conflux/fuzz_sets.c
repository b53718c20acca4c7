/* fuzz_sets.c - any order of what can happen to sets, with any numbers: what the room counts is
 * what it holds, and nothing is left when all sets have ended. */
#include <stdlib.h>

#include "dataplane/conflux/conflux.h"

#define SETS  4
#define SLOTS 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct counts counts;
static int64_t params[N_CTL_PARAMS] = {
	[CTL_PARAM_CFX_MAX_LEGS] = 8, [CTL_PARAM_CFX_MAX_OOOQ] = INT32_MAX};
static struct sched sched;
static struct conflux c;

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void check_set(const struct cfx_set *s)
{
	uint32_t held = 0, legs = 0;

	for (unsigned i = 0; i < CFX_LEGS; i++) {
		held += s->leg[i].n;
		legs += s->leg[i].circ != 0;
	}
	must(held == s->n_held && legs == s->n_legs);
	must(s->current == CFX_NONE || s->leg[s->current].circ);
}

static void check(void)
{
	uint32_t held = 0;

	for (uint32_t i = 0; i < c.slots.n_touched; i++) {
		if (!slots_live(&c.slots, i))
			continue;
		check_set(&c.set[i]);
		must(cfx_find(&c, c.set[i].nonce) == i);
		held += c.set[i].n_held;
	}
	must(held == c.n_held && held == slots_in_use(&sched));
	must(held <= SLOTS / CFX_HELD_SHARE);
	must(c.by_nonce.n == c.slots.n_used);
}

static void do_join(struct reader *r, uint32_t set)
{
	struct conflux_link l = {.ux = rd_u8(r) % N_CONFLUX_UX}, answer;
	uint32_t got;
	int row;

	l.nonce[31] = rd_u8(r) & 7;
	l.sent = rd_u8(r) & 3 ? 0 : rd_u64(r);
	l.received = rd_u8(r) & 3 ? 0 : rd_u64(r);
	row = cfx_join(&c, &l, 1, 1 + (rd_u8(r) & 15), 0, &got, &answer);
	must(row < CFX_LEGS && (row < 0 || cfx_find(&c, l.nonce) == got));
	if (row == ERR_MALFORMED && got != SLOT_NONE)
		cfx_free(&c, got);
}

static void do_in(struct reader *r, uint32_t set)
{
	unsigned leg = rd_u8(r) % CFX_LEGS;
	uint8_t body[RELAY_BODY] = {0};
	struct relay_msg m = {rd_u8(r), rd_u16(r), rd_u16(r) % (RELAY_BODY + 1), body}, got;
	uint64_t before = c.set[set].delivered;
	uint32_t slot;
	enum cfx_next next;

	if (!c.set[set].leg[leg].circ)
		return;
	switch (cfx_in(&c, set, leg)) {
	case CFX_EARLY:
		if (cfx_hold(&c, set, leg, &m) < 0)
			cfx_free(&c, set);
		return;
	case CFX_STALE:
		return;
	case CFX_NOW:
		must(c.set[set].delivered == before + 1);
	}
	while ((next = cfx_next(&c, set, &got, &slot, &leg)) != CFX_NOTHING) {
		must(leg < CFX_LEGS);
		if (next == CFX_LIED)
			continue;
		must(c.set[set].delivered == ++before + 1 && got.len <= RELAY_BODY);
		slot_give(&sched, slot);
	}
}

static void do_switch(struct reader *r, uint32_t set)
{
	uint8_t wide = rd_u8(r);

	cfx_switched(&c, set, rd_u8(r) % CFX_LEGS, wide & 3 ? wide >> 4 : rd_u32(r));
}

static void do_pick(struct reader *r, uint32_t set)
{
	struct cfx_view view[CFX_LEGS];
	uint32_t delta;
	bool switched;
	unsigned leg;

	for (unsigned i = 0; i < CFX_LEGS; i++)
		view[i] = (struct cfx_view) {rd_u8(r) & 7, rd_u8(r) & 1};
	leg = cfx_pick(&c, set, view, rd_u8(r) & 1, &switched, &delta);
	must(!switched || leg < CFX_LEGS);
	if (leg < CFX_LEGS) {
		must(c.set[set].leg[leg].circ && c.set[set].current == leg);
		cfx_sent(&c.set[set], leg);
	}
}

static void do_leave(struct reader *r, uint32_t set)
{
	uint8_t x = rd_u8(r);
	unsigned leg = x % CFX_LEGS;

	if (c.set[set].leg[leg].circ && cfx_leave(&c, set, leg, x >> 7))
		cfx_free(&c, set);
}

static void do_free(struct reader *r, uint32_t set)
{
	cfx_free(&c, set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static void (*const acts[8])(struct reader *, uint32_t) = {
		do_join, do_in, do_in, do_in, do_switch, do_pick, do_leave, do_free,
	};
	struct sched_config cf = {1, 1, SLOTS, &counts, params};
	struct hash_key key = {{1, 2}};
	struct reader r = reader_of(data, len);

	must(sched_init(&sched, &cf, 0) == 0 &&
	     cfx_init(&c, 0, SETS, 2, key, &sched, &counts, params) == 0);
	while (!r.bad && rd_left(&r) > 1) {
		uint8_t x = rd_u8(&r);
		uint32_t set = x >> 3 & (SETS - 1);

		if (!(x & 7) || slots_live(&c.slots, set))
			acts[x & 7](&r, set);
		check();
	}
	for (uint32_t i = 0; i < SETS; i++)
		if (slots_live(&c.slots, i))
			cfx_free(&c, i);
	check();
	must(slots_in_use(&sched) == 0);
	cfx_fini(&c);
	sched_fini(&sched);
	return 0;
}
