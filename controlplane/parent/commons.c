/* commons.c - what the parent makes for both children: the shared memory of the wall and the
 * eventfds beside it, at the descriptor numbers that ctl.h names. */
#include "controlplane/parent/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define FD_PARKED 256 /* above every number that is handed over */

/* The dataplane writes its pid, control the epoch; all else stands here once. */
static void fill_in(struct ctl_shared *s, unsigned n_workers)
{
	s->magic = CTL_MAGIC;
	s->version = CTL_VERSION;
	s->n_workers = n_workers;
	s->ring_slots = CTL_RING_SLOTS;
}

static int park(int fd)
{
	int high = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, FD_PARKED);

	if (fd >= 0)
		close(fd);
	return high;
}

int commons_new(struct commons *m, unsigned n_workers)
{
	size_t len = ctl_size(n_workers);
	bool ok;

	*m = (struct commons) {.n_workers = n_workers};
	m->memory = park(memfd_create("ramson-wall", MFD_CLOEXEC | MFD_ALLOW_SEALING));
	m->wake_control = park(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
	ok = m->memory >= 0 && m->wake_control >= 0 && ftruncate(m->memory, (off_t)len) == 0;
	for (unsigned i = 0; i < n_workers; i++) {
		m->wake_worker[i] = park(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
		ok &= m->wake_worker[i] >= 0;
	}
	/* Neither side may pull the memory from under the other. */
	ok = ok && fcntl(m->memory, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0;
	if (ok)
		m->shared = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, m->memory, 0);
	if (!ok || m->shared == MAP_FAILED) {
		m->shared = NULL;
		commons_free(m);
		return ERR_SYSTEM;
	}
	fill_in(m->shared, n_workers);
	return 0;
}

void commons_free(struct commons *m)
{
	int saved = errno;

	if (m->shared)
		munmap(m->shared, ctl_size(m->n_workers));
	if (m->memory > 0)
		close(m->memory);
	if (m->wake_control > 0)
		close(m->wake_control);
	for (unsigned i = 0; i < m->n_workers; i++) {
		if (m->wake_worker[i] > 0)
			close(m->wake_worker[i]);
	}
	*m = (struct commons) {0};
	errno = saved;
}

int commons_hand_over(const struct commons *m)
{
	if (dup2(m->memory, CTL_FD_MEMORY) < 0 || dup2(m->wake_control, CTL_FD_WAKE_CONTROL) < 0)
		return ERR_SYSTEM;
	for (unsigned i = 0; i < m->n_workers; i++) {
		if (dup2(m->wake_worker[i], CTL_FD_WAKE_WORKER + (int)i) < 0)
			return ERR_SYSTEM;
	}
	return close_range(CTL_FD_WAKE_WORKER + m->n_workers, ~0u, 0) < 0 ? ERR_SYSTEM : 0;
}
