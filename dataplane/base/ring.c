/* ring.c - one-way queue of messages in shared memory: 64-byte slots, a message is 1 to 300
 * consecutive ones and its byte length stands in its first four bytes. Neither side trusts the
 * other: indices are kept privately, the other's is bounded, and a message is copied out first. */
#include "dataplane/base/base.h"

size_t ring_size(uint32_t n_slots)
{
	return sizeof(struct ring_shared) + (size_t)n_slots * RING_SLOT;
}

void ring_attach(struct ring *r, struct ring_shared *shared, uint32_t n_slots)
{
	*r = (struct ring) {.shared = shared, .n_slots = n_slots};
	r->head = __atomic_load_n(&shared->head, __ATOMIC_ACQUIRE);
	r->tail = __atomic_load_n(&shared->tail, __ATOMIC_ACQUIRE);
}

/* Copies between a flat buffer and the ring's bytes, which wrap. */
static void copy_in(struct ring *r, uint32_t at, const void *from, size_t len)
{
	size_t cap = (size_t)r->n_slots * RING_SLOT, first = MIN(len, cap - at);

	if (!len)
		return;
	memcpy(r->shared->slots + at, from, first);
	memcpy(r->shared->slots, (const uint8_t *)from + first, len - first);
}

static uint32_t byte_at(const struct ring *r, uint32_t slot, size_t offset)
{
	size_t cap = (size_t)r->n_slots * RING_SLOT;

	return ((size_t)(slot & (r->n_slots - 1)) * RING_SLOT + offset) % cap;
}

static uint32_t slots_for(size_t len)
{
	return (uint32_t)((len + RING_SLOT - 1) / RING_SLOT);
}

uint32_t ring_space(struct ring *r)
{
	uint32_t used = r->head - __atomic_load_n(&r->shared->tail, __ATOMIC_ACQUIRE);

	/* A tail beyond our head is a lie; a ring that lies is a full one. */
	return used > r->n_slots ? 0 : r->n_slots - used;
}

int ring_send(struct ring *r, const void *a, size_t a_len, const void *b, size_t b_len)
{
	size_t len = a_len + b_len;
	uint32_t word = (uint32_t)len;

	if (len > RING_MSG_MAX || a_len < 16)
		return ERR_MALFORMED;
	if (slots_for(len) > ring_space(r))
		return ERR_FULL;
	copy_in(r, byte_at(r, r->head, 0), a, a_len);
	copy_in(r, byte_at(r, r->head, a_len), b, b_len);
	copy_in(r, byte_at(r, r->head, 0), &word, sizeof(word));
	r->head += slots_for(len);
	__atomic_store_n(&r->shared->head, r->head, __ATOMIC_SEQ_CST);
	return 0;
}

static void copy_out(struct ring *r, void *to, uint32_t at, size_t len, bool wipe_slots)
{
	size_t cap = (size_t)r->n_slots * RING_SLOT, first = MIN(len, cap - at);

	memcpy(to, r->shared->slots + at, first);
	memcpy((uint8_t *)to + first, r->shared->slots, len - first);
	if (wipe_slots) {
		wipe(r->shared->slots + at, first);
		wipe(r->shared->slots, len - first);
	}
}

int ring_recv(struct ring *r, uint8_t *buf, bool wipe_slots)
{
	uint32_t head = __atomic_load_n(&r->shared->head, __ATOMIC_ACQUIRE);
	uint32_t waiting = head - r->tail, len;

	if (!waiting)
		return 0;
	copy_out(r, &len, byte_at(r, r->tail, 0), sizeof(len), false);
	if (waiting > r->n_slots || len < 16 || len > RING_MSG_MAX || slots_for(len) > waiting) {
		r->tail = head;
		__atomic_store_n(&r->shared->tail, r->tail, __ATOMIC_RELEASE);
		return ERR_MALFORMED;
	}
	copy_out(r, buf, byte_at(r, r->tail, 0), len, wipe_slots);
	memcpy(buf, &len, sizeof(len)); /* the length that was checked, whatever stands there now */
	r->tail += slots_for(len);
	__atomic_store_n(&r->shared->tail, r->tail, __ATOMIC_RELEASE);
	return (int)len;
}
