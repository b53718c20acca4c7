/* fuzz_door.c - a worker that has been taken over: the input is written over the head of an up ring
 * and its indices, message by message, and the door must stay within its bounds. */
#include "controlplane/door/door.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static uint64_t sum;

static void touch(void *ctx, const struct ctl_head *head, const void *body, struct bytes tail)
{
	const uint8_t *b = body;

	/* All that a handler may read: the sanitizer looks on. */
	for (const uint8_t *p = b; p < tail.p + tail.len; p++)
		sum += *p;
	if (head->epoch != *(uint32_t *)ctx)
		abort();
}

static const struct door_row rows[] = {
#define X(name, body) {CTL_##name, touch},
	CTL_UP(X)
#undef X
		{0, NULL},
};

/* Each input byte pair is a length; so many bytes follow as one message, or, when the length is
 * 0xffff, four bytes are the ring's head index. */
static void play(struct door *d, struct ctl_shared *s, struct reader *r)
{
	struct ring up;
	uint8_t msg[RING_MSG_MAX] = {0};

	ring_attach(&up, ctl_ring(s, 0, true), CTL_RING_SLOTS);
	while (!r->bad && rd_left(r) >= 2) {
		uint16_t n = rd_u16(r);
		size_t take = MIN((size_t)n, MIN(rd_left(r), sizeof(msg)));

		if (n == 0xffff) {
			up.shared->head = rd_u32(r);
			door_run(d, 100);
			ring_attach(&up, up.shared, CTL_RING_SLOTS);
			continue;
		}
		memset(msg, 0, sizeof(struct ctl_head));
		rd_copy(r, msg, take);
		((struct ctl_head *)msg)->epoch &= 3;
		ring_send(&up, msg, MAX(take, 16), NULL, 0);
		door_run(d, 100);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct reader r = reader_of(data, len);
	int fd = memfd_create("wall", MFD_CLOEXEC), wake = eventfd(0, EFD_NONBLOCK);
	struct ctl_shared *s = MAP_FAILED;
	struct door *d;
	uint32_t epoch = 1;
	const char *why;

	if (fd >= 0 && ftruncate(fd, (off_t)ctl_size(1)) == 0)
		s = mmap(NULL, ctl_size(1), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (s == MAP_FAILED || wake < 0)
		abort();
	s->magic = CTL_MAGIC;
	s->version = CTL_VERSION;
	s->n_workers = 1;
	s->ring_slots = CTL_RING_SLOTS;
	d = door_open(fd, wake, &wake, 1, NULL, rows, &epoch, &why);
	if (!d)
		abort();
	play(d, s, &r);
	door_close(d);
	munmap(s, ctl_size(1));
	close(fd);
	close(wake);
	return 0;
}
