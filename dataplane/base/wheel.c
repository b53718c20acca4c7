/* wheel.c - timers: one list per millisecond of the next 8 s; later ones wait more rounds. */
#include "dataplane/base/base.h"

int wheel_init(struct wheel *w, uint32_t n, uint64_t now_us)
{
	*w = (struct wheel) {.n = n, .now_ms = now_us / 1000};
	w->head = column_new(WHEEL_SLOTS, sizeof(*w->head));
	w->entries = column_new(n, sizeof(*w->entries));
	if (!w->head || !w->entries) {
		wheel_fini(w);
		return ERR_FULL;
	}
	memset(w->head, 0xff, WHEEL_SLOTS * sizeof(*w->head));
	return 0;
}

void wheel_fini(struct wheel *w)
{
	column_free(w->head, WHEEL_SLOTS, sizeof(*w->head));
	column_free(w->entries, w->n, sizeof(*w->entries));
	*w = (struct wheel) {0};
}

static void unlink_entry(struct wheel *w, uint32_t index)
{
	struct wheel_entry *e = &w->entries[index];

	if (e->prev == SLOT_NONE)
		w->head[e->due_ms % WHEEL_SLOTS] = e->next;
	else
		w->entries[e->prev].next = e->next;
	if (e->next != SLOT_NONE)
		w->entries[e->next].prev = e->prev;
	e->due_ms = 0;
}

void wheel_clear(struct wheel *w, uint32_t index)
{
	if (wheel_is_set(w, index))
		unlink_entry(w, index);
}

void wheel_set(struct wheel *w, uint32_t index, uint64_t due_us)
{
	struct wheel_entry *e = &w->entries[index];
	uint64_t due_ms = MAX((due_us + 999) / 1000, w->now_ms + 1);
	uint32_t *head = &w->head[due_ms % WHEEL_SLOTS];

	if (e->due_ms == due_ms)
		return;
	wheel_clear(w, index);
	*e = (struct wheel_entry) {due_ms, *head, SLOT_NONE};
	if (*head != SLOT_NONE)
		w->entries[*head].prev = index;
	*head = index;
}

/* Takes what is due out of one list. */
static uint32_t take_due(struct wheel *w, uint32_t *head, uint32_t *due, uint32_t max)
{
	uint32_t n = 0, i = *head;

	while (i != SLOT_NONE && n < max) {
		uint32_t next = w->entries[i].next;

		if (w->entries[i].due_ms <= w->now_ms) {
			unlink_entry(w, i);
			due[n++] = i;
		}
		i = next;
	}
	return n;
}

uint32_t wheel_due(struct wheel *w, uint64_t now_us, uint32_t *due, uint32_t max)
{
	uint64_t now_ms = now_us / 1000;
	uint32_t n = 0;

	/* After a long sleep one whole round visits every list. */
	if (now_ms > w->now_ms + WHEEL_SLOTS)
		w->now_ms = now_ms - WHEEL_SLOTS;
	while (n < max) {
		n += take_due(w, &w->head[w->now_ms % WHEEL_SLOTS], due + n, max - n);
		if (n == max || w->now_ms >= now_ms)
			break;
		w->now_ms++;
	}
	return n;
}
