/* role.c - keys of the relays that we play: made anew and dropped at the end, or kept by --keys. */
#include "bench/load/load.h"

#include "controlplane/keys/keys.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

static int drop(const char *path, const struct stat *st, int what, struct FTW *at)
{
	return remove(path);
}

static void place(struct load *ld, struct role *id, const char *name)
{
	const char *dir = ld->opt.keys_dir;

	if (dir) {
		mkdir(dir, 0700);
		snprintf(id->dir, sizeof(id->dir), "%.200s/%s", dir, name);
		if (mkdir(id->dir, 0700) == 0 || errno == EEXIST)
			return;
	} else {
		snprintf(id->dir, sizeof(id->dir), "/tmp/ramson-load-XXXXXX");
		id->temporary = mkdtemp(id->dir) != NULL;
		if (id->temporary)
			return;
	}
	fprintf(stderr, "ramson-load: %s: %s\n", id->dir, strerror(errno));
	exit(1);
}

void role_open(struct load *ld, struct role *id, const char *name)
{
	struct keys_config kc = {.data_dir = id->dir, .nickname = "ramsonload"};
	char why[KEYS_WHY_MAX];

	place(ld, id, name);
	id->keys = keys_open(&kc, (int64_t)time(NULL), why);
	if (id->keys)
		return;
	fprintf(stderr, "ramson-load: keys of %s: %s\n", name, why);
	role_close(id);
	exit(1);
}

void role_close(struct role *id)
{
	if (id->keys)
		keys_close(id->keys);
	if (id->temporary)
		nftw(id->dir, drop, 8, FTW_DEPTH | FTW_PHYS);
	*id = (struct role) {.keys = NULL};
}
