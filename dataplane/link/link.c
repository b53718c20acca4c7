/* link.c - the states of a link and its way up: TLS plaintext in, cells out. */
#include "dataplane/link/link.h"

#include <stdlib.h>

int links_init(struct links *l, const struct link_config *cf, uint64_t now_us)
{
	*l = (struct links) {.cf = *cf};
	l->col = column_new(cf->n_conns, sizeof(*l->col));
	l->stash = column_new(cf->n_conns, 2 * LINK_STASH);
	if (!l->col || !l->stash || wheel_init(&l->timers, cf->n_conns, now_us) < 0) {
		links_fini(l);
		return ERR_FULL;
	}
	return 0;
}

void links_fini(struct links *l)
{
	for (uint32_t i = 0; l->col && i < l->cf.n_conns; i++)
		if (l->col[i].state != LINK_NONE)
			link_stop(l, i);
	column_free(l->col, l->cf.n_conns, sizeof(*l->col));
	column_free(l->stash, l->cf.n_conns, 2 * LINK_STASH);
	if (l->timers.entries)
		wheel_fini(&l->timers);
	*l = (struct links) {0};
}

void link_start(struct links *l, uint32_t conn, uint64_t now_us)
{
	l->col[conn] = (struct link) {.state = LINK_TLS,
				      .id_len = 2,
				      .opened_us = now_us,
				      .last_in_us = now_us,
				      .last_out_us = now_us,
				      .last_leg_us = now_us};
	wheel_set(&l->timers, conn,
		  now_us + (uint64_t)l->cf.params[CTL_PARAM_KEEPALIVE_S] * 1000000);
}

void link_secured(struct links *l, uint32_t conn)
{
	l->col[conn].state = LINK_HANDSHAKE;
}

static void done_free(struct links *l, struct link *k)
{
	free(k->done);
	l->mem -= k->done_len;
	k->done = NULL;
	k->done_len = 0;
}

void link_drop(struct links *l, uint32_t conn)
{
	struct link *k = &l->col[conn];

	done_free(l, k);
	free(k->held);
	free(k->early);
	free(k->big);
	l->mem -= link_mem(k);
	k->held = k->early = k->big = NULL;
	k->held_len = k->early_len = k->big_len = 0;
	k->part_len = 0;
}

void link_stop(struct links *l, uint32_t conn)
{
	struct link *k = &l->col[conn];

	link_drop(l, conn);
	free(k->tag);
	l->n_open -= k->state == LINK_OPEN;
	wheel_clear(&l->timers, conn);
	*k = (struct link) {0};
}

int link_keep(struct links *l, uint32_t conn, const uint8_t *record, size_t len)
{
	struct link *k = &l->col[conn];
	uint8_t *more;

	if (k->early_len + len > LINK_EARLY_MAX)
		return ERR_MALFORMED;
	more = realloc(k->early, k->early_len + len);
	if (!more)
		return ERR_FULL;
	memcpy(more + k->early_len, record, len);
	k->early = more;
	k->early_len += len;
	l->mem += len;
	return 0;
}

int link_take_early(struct links *l, uint32_t conn, uint64_t offset, uint8_t **data, size_t *at)
{
	struct link *k = &l->col[conn];
	size_t len = k->early_len;

	if (offset > len)
		return ERR_MALFORMED;
	*data = k->early;
	*at = (size_t)offset;
	k->early = NULL;
	k->early_len = 0;
	l->mem -= len;
	return (int)(len - offset);
}

static uint8_t *stash_of(struct links *l, uint32_t conn, unsigned side)
{
	return l->stash + ((size_t)conn * 2 + side) * LINK_STASH;
}

/* Adds bytes to the unfinished cell until it has want of them; true when it has. */
static bool part_fill(struct link *k, uint8_t *to, size_t want, uint8_t **data, size_t *len)
{
	size_t n = MIN(want - k->part_len, *len);

	memcpy(to + k->part_len, *data, n);
	k->part_len += n;
	*data += n;
	*len -= n;
	return k->part_len == want;
}

/* Counts what an open link drops. True when it does. */
static bool dropped(struct links *l, const struct link *k, uint8_t command)
{
	enum link_act act = link_act_of(command);

	if (k->state != LINK_OPEN || (act != LINK_PADDING && act != LINK_IGNORE))
		return false;
	if (act == LINK_PADDING)
		count(l->cf.counts, link_padding_in);
	else
		count(l->cf.counts, link_unknown_command);
	if (command == CELL_PADDING && k->padded)
		count(l->cf.counts, link_padded_padding_in);
	if (!cell_is_variable(command))
		link_count_in(l, k, 1);
	return true;
}

/* A variable cell that is only dropped is not gathered, however long: the bytes of it to pass by,
 * from p on; 0: the cell is wanted, or its head is not all there. */
static size_t passes_by(struct links *l, const struct link *k, const uint8_t *p, size_t len)
{
	if (len < CELL_VAR_HEAD || !cell_is_variable(p[4]) || !dropped(l, k, p[4]))
		return 0;
	return CELL_VAR_HEAD + (size_t)be16_get(p + 5);
}

enum part { PART_SHORT, PART_WHOLE, PART_PASSES_BY };

/* Goes on with the cell that the last record left unfinished: PART_WHOLE (*c is set), PART_SHORT
 * when the data ran out, PART_PASSES_BY when the rest of it is to be skipped; negative on refusal.
 */
static int part_finish(struct links *l, uint32_t conn, uint8_t **data, size_t *len, struct cell *c)
{
	struct link *k = &l->col[conn];
	uint8_t *stash = stash_of(l, conn, k->side);
	int size;

	/* The head first, byte by byte of need: the size stands in it. */
	while ((size = cell_size(stash, MIN(k->part_len, CELL_VAR_HEAD), k->id_len)) == 0) {
		if (!*len)
			return PART_SHORT;
		part_fill(k, stash, k->part_len + 1, data, len);
	}
	k->skip = passes_by(l, k, stash, k->part_len);
	if (k->skip) {
		k->skip -= k->part_len;
		k->part_len = 0;
		return PART_PASSES_BY;
	}
	if (size < 0)
		return ERR_MALFORMED;
	if (size > LINK_STASH && !k->big) {
		k->big = malloc((size_t)size);
		if (!k->big)
			return ERR_FULL;
		k->big_len = (uint32_t)size;
		l->mem += k->big_len;
		memcpy(k->big, stash, k->part_len);
	}
	if (!part_fill(k, k->big ? k->big : stash, (size_t)size, data, len))
		return PART_SHORT;
	cell_split(c, k->big ? k->big : stash, (size_t)size, k->id_len);
	k->done = k->big; /* another long cell may begin in this very record */
	k->done_len = k->big_len;
	k->big = NULL;
	k->big_len = 0;
	k->part_len = 0;
	k->side ^= 1; /* the finished cell stays where it is until the next call */
	return PART_WHOLE;
}

/* The handshake's own turns: VERSIONS widens the circuit id, NETINFO ends the cutting. */
static void handshake_step(struct link *k, const struct cell *c)
{
	if (c->command == CELL_VERSIONS)
		k->id_len = 4;
	else if (c->command == CELL_NETINFO)
		k->state = LINK_HELD;
}

static int hold(struct links *l, struct link *k, const uint8_t *data, size_t len)
{
	uint8_t *more;

	if (!len)
		return 0;
	more = realloc(k->held, k->held_len + len);
	if (!more)
		return ERR_FULL;
	memcpy(more + k->held_len, data, len);
	k->held = more;
	k->held_len += len;
	l->mem += len;
	return 0;
}

/* Takes the next whole cell out of the data; as part_finish. */
static int next_cell(struct links *l, uint32_t conn, uint8_t **data, size_t *len, struct cell *c)
{
	struct link *k = &l->col[conn];
	size_t head = MIN(*len, (size_t)LINK_STASH);
	int size;

	if (k->part_len)
		return part_finish(l, conn, data, len, c);
	k->skip = passes_by(l, k, *data, *len);
	if (k->skip)
		return PART_PASSES_BY;
	size = cell_size(*data, *len, k->id_len);
	if (size < 0)
		return ERR_MALFORMED;
	if (size && (size_t)size <= *len) {
		cell_split(c, *data, (size_t)size, k->id_len);
		*data += size;
		*len -= (size_t)size;
		return PART_WHOLE;
	}
	/* Longer than the record: begun here, and part_finish takes what the stash does not. */
	memcpy(stash_of(l, conn, k->side), *data, head);
	k->part_len = (uint32_t)head;
	*data += head;
	*len -= head;
	return *len ? part_finish(l, conn, data, len, c) : PART_SHORT;
}

static void pass_by(struct link *k, uint8_t **data, size_t *len)
{
	size_t n = MIN(k->skip, *len);

	k->skip -= n;
	*data += n;
	*len -= n;
}

int link_in(struct links *l, uint32_t conn, uint8_t *data, size_t len, struct cell *cells)
{
	struct link *k = &l->col[conn];
	int n = 0, rc;

	done_free(l, k);	   /* the long cell of the last call has been looked at */
	if (k->state == LINK_HELD) /* more records of those that came before the keys */
		return hold(l, k, data, len);
	if (k->state != LINK_HANDSHAKE && k->state != LINK_OPEN)
		return ERR_NOT_NOW;
	for (pass_by(k, &data, &len); len && k->state != LINK_HELD; pass_by(k, &data, &len)) {
		struct cell *c = &cells[n];

		if (n == LINK_CELLS_MAX)
			return ERR_MALFORMED; /* only a flood of tiny handshake cells gets here */
		rc = next_cell(l, conn, &data, &len, c);
		if (rc < 0 || rc == PART_SHORT)
			return rc < 0 ? rc : n;
		if (rc == PART_WHOLE && !dropped(l, k, c->command))
			n++;
		if (rc == PART_WHOLE && k->state == LINK_HANDSHAKE)
			handshake_step(k, c);
	}
	return hold(l, k, data, len) < 0 ? ERR_FULL : n;
}

size_t link_take_held(struct links *l, uint32_t conn, uint8_t **data)
{
	struct link *k = &l->col[conn];
	size_t len = k->held_len;

	*data = k->held;
	k->held = NULL;
	k->held_len = 0;
	l->mem -= len;
	return len;
}
