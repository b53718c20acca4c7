/* slots.c - indices with generations, and the anonymous memory that columns lie in. */
#include "dataplane/base/base.h"

#include <sys/mman.h>

#define HUGE_PAGE (2u << 20)

static size_t column_bytes(size_t n, size_t size)
{
	size_t bytes = n * size;

	return bytes >= HUGE_PAGE ? (bytes + HUGE_PAGE - 1) & ~(size_t)(HUGE_PAGE - 1) : bytes;
}

void *column_new(size_t n, size_t size)
{
	size_t bytes = column_bytes(n, size);
	void *p;

	if (size && n > SIZE_MAX / 2 / size)
		return NULL;
	p = mmap(NULL, bytes ? bytes : 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		 0);
	if (p == MAP_FAILED)
		return NULL;
	if (bytes >= HUGE_PAGE)
		madvise(p, bytes, MADV_HUGEPAGE);
	return p;
}

void column_free(void *column, size_t n, size_t size)
{
	size_t bytes = column_bytes(n, size);

	if (column)
		munmap(column, bytes ? bytes : 1);
}

static int init(struct slots *s, unsigned worker, uint32_t n, uint32_t *gen, size_t row_len)
{
	*s = (struct slots) {.n = n,
			     .worker = worker,
			     .free_head = SLOT_NONE,
			     .free_tail = SLOT_NONE,
			     .gen = gen,
			     .stride = (uint32_t)(row_len / sizeof(*gen)),
			     .next = column_new(n, sizeof(*s->next))};
	if (!s->gen || !s->next || n > 1u << 24) {
		slots_fini(s);
		return ERR_FULL;
	}
	return 0;
}

int slots_init(struct slots *s, unsigned worker, uint32_t n)
{
	return init(s, worker, n, column_new(n, sizeof(*s->gen)), sizeof(*s->gen));
}

int slots_init_in(struct slots *s, unsigned worker, uint32_t n, uint32_t *gen, size_t row_len)
{
	return init(s, worker, n, gen, row_len);
}

void slots_fini(struct slots *s)
{
	if (s->stride == 1) /* no row of a column is so short */
		column_free(s->gen, s->n, sizeof(*s->gen));
	column_free(s->next, s->n, sizeof(*s->next));
	*s = (struct slots) {0};
}

uint32_t slots_take(struct slots *s)
{
	uint32_t index = s->free_head, n_resting = s->n_touched - s->n_used;

	if (s->n_touched < s->n && n_resting < SLOTS_REST) {
		index = s->n_touched++;
	} else if (index == SLOT_NONE) {
		return SLOT_NONE;
	} else {
		s->free_head = s->next[index];
		if (s->free_head == SLOT_NONE)
			s->free_tail = SLOT_NONE;
	}
	++*slots_gen(s, index); /* even to odd */
	s->n_used++;
	return index;
}

void slots_give(struct slots *s, uint32_t index)
{
	if (!slots_live(s, index))
		return;
	++*slots_gen(s, index); /* odd to even; wraps over the even 0, which no id carries */
	s->next[index] = SLOT_NONE;
	if (s->free_tail == SLOT_NONE)
		s->free_head = index;
	else
		s->next[s->free_tail] = index;
	s->free_tail = index;
	s->n_used--;
}
