/* files.c - what is made before a child starts, while we still may: directories and log, which then
 * belong to User, and the PidFile. */
#include "controlplane/parent/internal.h"

#include <errno.h>
#include <fcntl.h>
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

int files_prepare(const struct config *c, const struct identity *user)
{
	const char *dirs[] = {c->data_directory, c->keys_dir, c->cache_dir};
	uid_t uid = user->has ? user->uid : (uid_t)-1;
	gid_t gid = user->has ? user->gid : (gid_t)-1;
	int fd;

	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		if (mkdir(dirs[i], 0700) == 0 && chown(dirs[i], uid, gid) < 0)
			log_warn("%s: %s", dirs[i], strerror(errno));
	}
	if (c->log_target[0].kind != CONFIG_LOG_FILE)
		return -1;
	fd = open(c->log_target[0].path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
	if (fd < 0 || (user->has && fchown(fd, uid, gid) < 0))
		log_warn("%s: %s", c->log_target[0].path, strerror(errno));
	return fd;
}
