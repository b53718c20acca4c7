/* parent.h - the program `ramson`: parent of the dataplane and of control, and the command that
 * people type. It holds no key and parses nothing from outside but the torrc. */
#ifndef RAMSON_PARENT_H
#define RAMSON_PARENT_H

#include "controlplane/config/config.h"

/* Our exit code when a setting is wrong. A child that ends with any code but 0 before it has ever
 * served counts as such: started again it would only fail again. */
#define PARENT_EXIT_CONFIG 2

struct parent_setup {
	const char *bin_dir; /* where ramson-dataplane and ramson-control are */
	const char *torrc;
	char *const *args; /* overrides of the command line, given on to control */
	int n_args;
	int64_t back_off_ms; /* first wait before a restart, doubled up to back_off_max_ms */
	int64_t back_off_max_ms;
	int64_t stop_grace_ms; /* beyond ShutdownWaitLength, before SIGKILL */
};
#define PARENT_SETUP_DEFAULT                                                                       \
	((struct parent_setup) {                                                                   \
		.back_off_ms = 100, .back_off_max_ms = 30000, .stop_grace_ms = 10000})

/* Runs both children until told to stop by SIGINT or SIGTERM. The exit code: 0 after an orderly
 * end, 1 when the system refused something, PARENT_EXIT_CONFIG when a child could not start with
 * these settings. */
int parent_run(const struct parent_setup *s, const struct config *c);

/* The command line of ramson-dataplane: a NULL-terminated array of strings, all of it from malloc;
 * NULL when memory is short. */
char **parent_dataplane_argv(const char *bin_dir, const struct config *c);
char **parent_control_argv(const struct parent_setup *s, const char *mode);
void parent_argv_free(char **argv);

/* The checks that need no key and no other program, said on *m: the port's interface, addresses
 * that the kernel holds too, directories, the user. 0 or ERR_CONFIG. */
int parent_check(const struct config *c, struct config_messages *m);

/* How many workers the torrc asks for. */
unsigned parent_n_workers(const struct config *c);

#endif
