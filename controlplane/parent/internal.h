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

/* Makes directories for that user. */
void files_prepare(const struct config *c, const struct identity *user);
void files_write_pid(const struct config *c);

/* Opens what the Log lines name; files belong to that user. From then on our own lines go there,
 * too. 0; or ERR_CONFIG with errno and the file that cannot be opened in *path: what was open
 * stays. */
int logs_open(const struct config *c, const struct identity *user, const char **path);
void logs_close(void);

/* What one child says on its standard error, on its way into the log. */
#define LOGS_LINE 2048
struct said {
	const char *who;
	int in, out; /* the pipe's ends; a child that finds it full goes on */
	size_t len;
	char line[LOGS_LINE + 1]; /* not ended yet */
};
int said_open(struct said *s, const char *who);
void said_close(struct said *s);
/* Logs every line that is there. */
void said_read(struct said *s);
/* The child is gone: half a line is all there will be. */
void said_end(struct said *s);

/* Starts argv in a child that dies with us. drop: as that user, when not NULL; said_fd: becomes its
 * standard output and error. Its pid, or -1 with errno. */
pid_t child_start(char *const argv[], const struct commons *m, const struct identity *drop,
		  int said_fd);

#endif
