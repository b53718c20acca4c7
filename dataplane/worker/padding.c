/* padding.c - circuit padding between the rooms: what padding/ asks for becomes relay messages, and
 * it hears of the cells that go to the clients of padded circuits. */
#include "dataplane/worker/worker.h"

#define DUE_A_TURN 64

/* The moment; sums of the whole process only where the consensus limits them. */
static struct pad_now moment(const struct worker *w)
{
	struct pad_now now = {.us = w->now_us};

	if (!w->params[CTL_PARAM_CIRCPAD_GLOBAL_PCT])
		return now;
	for (unsigned i = 0; i < w->plane->n_workers; i++) {
		const struct ctl_figures *f = &w->plane->ctl->figures[i];
		uint64_t drops = f->counts.v[COUNT_padding_drop_out];

		now.drops += drops;
		now.others += f->cells_back - drops;
	}
	return now;
}

static void look(struct worker *w, struct circ *k)
{
	k->padded = k->padding != SLOT_NONE && padding_listens(&w->padding, k->padding);
}

void circ_pad_negotiate(struct worker *w, uint32_t circ, const uint8_t *body, uint16_t len)
{
	struct circ *k = &w->circs.circ[circ];
	uint8_t reply[PAD_NEGOTIATED_LEN];
	int say = padding_negotiate(&w->padding, circ, &k->padding, body, len, reply);

	look(w, k); /* the answer itself is the first cell that a new machine hears of */
	if (say)
		circ_say_soon(w, circ, RELAY_PADDING_NEGOTIATED, 0, reply, sizeof(reply));
}

void circ_pad_sent(struct worker *w, uint32_t circ)
{
	struct circ *k = &w->circs.circ[circ];
	struct pad_now now = moment(w);

	padding_sent(&w->padding, k->padding, &now);
	look(w, k);
}

/* A DROP, unless the client is slow to take what waits already. False: that closed the circuit. */
static bool say_drop(struct worker *w, uint32_t circ)
{
	struct circ *k = &w->circs.circ[circ];

	if (w->sched.leg[wid_index(k->leg[SIDE_P])].n > w->params[CTL_PARAM_CIRCPAD_MAX_QUEUED]) {
		count(w->counts, padding_withheld);
		return true;
	}
	count(w->counts, padding_drop_out);
	k->padded = 0; /* it is no other cell */
	return circ_say(w, circ, RELAY_DROP, 0, NULL, 0) == 0;
}

static void drop_due(struct worker *w, uint32_t h)
{
	uint32_t circ = w->padding.row[h].circ;
	struct circ *k = &w->circs.circ[circ];
	uint8_t reply[PAD_NEGOTIATED_LEN];
	struct pad_now now = moment(w);
	bool over;

	if (!say_drop(w, circ))
		return;
	over = padding_drop_sent(&w->padding, h, &now, reply);
	look(w, k);
	if (over)
		circ_say(w, circ, RELAY_PADDING_NEGOTIATED, 0, reply, sizeof(reply));
}

void pad_timers(struct worker *w)
{
	uint32_t due[DUE_A_TURN];
	unsigned n = padding_due(&w->padding, w->now_us, due, DUE_A_TURN);

	for (unsigned i = 0; i < n; i++)
		if (slots_live(&w->padding.slots, due[i])) /* one may close another's circuit */
			drop_due(w, due[i]);
	w->worked |= n != 0;
}
