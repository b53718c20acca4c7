/* files.c - what is made before a child starts, while we still may: directories, which then belong
 * to User, and the PidFile. */
#include "controlplane/parent/internal.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

void files_write_pid(const struct config *c)
{
	FILE *f;

	if (!c->pid_file)
		return;
	f = fopen(c->pid_file, "we");
	if (!f || fprintf(f, "%d\n", getpid()) < 0)
		log_warn("PidFile %s: %s", c->pid_file, strerror(errno));
	if (f)
		fclose(f);
}

void files_prepare(const struct config *c, const struct identity *user)
{
	const char *dirs[] = {c->data_directory, c->keys_dir, c->cache_dir};
	uid_t uid = user->has ? user->uid : (uid_t)-1;
	gid_t gid = user->has ? user->gid : (gid_t)-1;

	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		if (mkdir(dirs[i], 0700) == 0 && chown(dirs[i], uid, gid) < 0)
			log_warn("%s: %s", dirs[i], strerror(errno));
	}
}
