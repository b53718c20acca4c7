/* padding.c - the runtime of the machines: who asked for one, in which state it is, and when its
 * next DROP is due. It follows C tor's circuitpadding in what can be seen from outside. */
#include "dataplane/padding/padding.h"

int paddings_init(struct paddings *p, uint32_t n_circs, struct rng *rng, struct counts *counts,
		  const int64_t *params, uint64_t now_us)
{
	*p = (struct paddings) {.counts = counts, .params = params, .rng = rng};
	p->row = column_new(n_circs, sizeof(*p->row));
	if (!p->row || slots_init(&p->slots, 0, n_circs) < 0 ||
	    wheel_init(&p->timers, n_circs, now_us) < 0) {
		paddings_fini(p);
		return ERR_FULL;
	}
	return 0;
}

void paddings_fini(struct paddings *p)
{
	column_free(p->row, p->slots.n, sizeof(*p->row));
	if (p->timers.entries)
		wheel_fini(&p->timers);
	if (p->slots.gen)
		slots_fini(&p->slots);
	*p = (struct paddings) {0};
}

static const struct pad_machine *machine_of(const struct padding *k)
{
	return pad_machine_at(k->machine - 1u);
}

bool padding_listens(const struct paddings *p, uint32_t h)
{
	const struct padding *k = &p->row[h];

	return k->machine && machine_of(k)->next[k->state][PAD_OTHER_SENT] != PAD_IGNORE;
}

static void machine_stop(struct paddings *p, uint32_t h)
{
	wheel_clear(&p->timers, h);
	p->row[h].machine = 0;
}

static bool beyond(uint64_t drops, uint64_t others, int64_t percent)
{
	return drops + others && 100 * drops / (drops + others) > (uint64_t)percent;
}

/* The percentages count only once some DROPs have gone, so that a setup may be padded. */
static bool limited(const struct paddings *p, const struct padding *k, const struct pad_now *now)
{
	const struct pad_machine *m = machine_of(k);
	int64_t percent = p->params[CTL_PARAM_CIRCPAD_GLOBAL_PCT];

	if (p->params[CTL_PARAM_CIRCPAD_DISABLED])
		return true;
	if (k->drops >= m->free_drops && beyond(k->drops, k->others, m->max_percent))
		return true;
	return percent && now->drops >= (uint64_t)p->params[CTL_PARAM_CIRCPAD_GLOBAL_CELLS] &&
	       beyond(now->drops, now->others, percent);
}

/* When the next DROP goes. What is timed already stays when nothing may be timed now. */
static void schedule(struct paddings *p, uint32_t h, const struct pad_now *now)
{
	struct padding *k = &p->row[h];
	const struct pad_machine *m = machine_of(k);

	if (limited(p, k, now)) {
		count(p->counts, padding_limited);
		return;
	}
	wheel_clear(&p->timers, h);
	if (k->left)
		wheel_set(&p->timers, h,
			  now->us + m->delay_min_us + rng_below(p->rng, m->delay_span_us));
}

/* What an event does; true when the machine came to its end. */
static bool happen(struct paddings *p, uint32_t h, enum pad_event event, const struct pad_now *now)
{
	struct padding *k = &p->row[h];
	const struct pad_machine *m = machine_of(k);
	uint8_t to = m->next[k->state][event];

	if (to == PAD_IGNORE)
		return false;
	if (to != k->state && to == PAD_FLOW)
		k->left = (uint8_t)(m->drops_min + rng_below(p->rng, m->drops_span));
	k->state = to;
	if (to == PAD_END)
		return true;
	schedule(p, h, now);
	return false;
}

/* A machine begins, unless one is on the circuit: then that one stays, and the client hears the
 * same (as C tor answers it). */
static void machine_begin(struct paddings *p, uint32_t circ, uint32_t *h, uint8_t number)
{
	struct padding *k;

	if (*h == SLOT_NONE) {
		*h = slots_take(&p->slots); /* a row for each circuit is there */
		p->row[*h] = (struct padding) {.circ = circ};
	}
	k = &p->row[*h];
	if (k->machine)
		return;
	*k = (struct padding) {.circ = circ,
			       .ctr = k->ctr + 1 ? k->ctr + 1 : 1,
			       .machine = (uint8_t)(number + 1),
			       .state = PAD_BEGIN};
}

/* STOP of another machine than the one that runs, or of an earlier start, is not answered: nobody
 * waits for it. */
static int stop(struct paddings *p, uint32_t h, const struct pad_negotiate *m)
{
	struct padding *k = h == SLOT_NONE ? NULL : &p->row[h];

	if (!k || k->machine != m->machine + 1u || (m->ctr && m->ctr != k->ctr)) {
		count(p->counts, padding_stale);
		return 0;
	}
	machine_stop(p, h);
	return 1;
}

int padding_negotiate(struct paddings *p, uint32_t circ, uint32_t *h, const uint8_t *body,
		      size_t len, uint8_t reply[PAD_NEGOTIATED_LEN])
{
	struct pad_negotiate m;

	if (pad_negotiate_get(&m, body, len) < 0) {
		count(p->counts, padding_malformed);
		return 0;
	}
	if (m.command == PAD_STOP && !stop(p, *h, &m))
		return 0;
	if (m.command == PAD_START && !pad_machine_at(m.machine)) {
		count(p->counts, padding_unknown);
		pad_negotiated_put(reply, &m, PAD_ERR);
		return 1;
	}
	if (m.command == PAD_START)
		machine_begin(p, circ, h, m.machine);
	count(p->counts, padding_negotiated);
	pad_negotiated_put(reply, &m, PAD_OK);
	return 1;
}

void padding_sent(struct paddings *p, uint32_t h, const struct pad_now *now)
{
	if (!p->row[h].machine)
		return;
	p->row[h].others++;
	happen(p, h, PAD_OTHER_SENT, now);
}

unsigned padding_due(struct paddings *p, uint64_t now_us, uint32_t *h, unsigned max)
{
	return wheel_due(&p->timers, now_us, h, max);
}

bool padding_drop_sent(struct paddings *p, uint32_t h, const struct pad_now *now,
		       uint8_t reply[PAD_NEGOTIATED_LEN])
{
	struct padding *k = &p->row[h];
	struct pad_negotiate m = {PAD_STOP, (uint8_t)(k->machine - 1), k->ctr};
	bool over;

	k->drops++;
	k->left--;
	over = (!k->left && happen(p, h, PAD_ALL_SENT, now)) ||
	       (k->state != PAD_END && happen(p, h, PAD_DROP_SENT, now));
	if (!over || !machine_of(k)->says_end)
		return false;
	machine_stop(p, h);
	pad_negotiated_put(reply, &m, PAD_OK);
	return true;
}

void padding_stop(struct paddings *p, uint32_t *h)
{
	if (*h == SLOT_NONE)
		return;
	machine_stop(p, *h);
	slots_give(&p->slots, *h);
	*h = SLOT_NONE;
}
