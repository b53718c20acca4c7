/* internal.h - between the files of parent/: what both children share, and one child. */
#ifndef RAMSON_PARENT_INTERNAL_H
#define RAMSON_PARENT_INTERNAL_H

#include "controlplane/parent/parent.h"
#include "dataplane/ctl.h"

#include <sys/types.h>

/* The memfd and the eventfds: one set for each life of the dataplane. */
struct commons {
	int memory, wake_control, wake_worker[CTL_WORKERS];
	unsigned n_workers;
	struct ctl_shared *shared;
};
/* 0 or ERR_SYSTEM with errno. */
int commons_new(struct commons *m, unsigned n_workers);
void commons_free(struct commons *m);
/* In a child before exec: the descriptors at the numbers of ctl.h, all others but 0 to 2 closed. */
int commons_hand_over(const struct commons *m);

struct identity { /* of User; uid 0 with has false: none given */
	bool has;
	uid_t uid;
	gid_t gid;
	char name[64];
};
/* 0, or ERR_CONFIG when there is no such user. */
int identity_find(struct identity *id, const char *name);

/* Gives up everything for that user, for good. 0 or ERR_SYSTEM with errno. */
int identity_become(const struct identity *id);

/* Makes directories and log for that user. The log's descriptor, or -1 when it is no file. */
int files_prepare(const struct config *c, const struct identity *user);
void files_write_pid(const struct config *c);

/* Starts argv in a child that dies with us. drop: as that user, when not NULL; log_fd: becomes its
 * standard output and error, when above those. Its pid, or -1 with errno. */
pid_t child_start(char *const argv[], const struct commons *m, const struct identity *drop,
		  int log_fd);

#endif
