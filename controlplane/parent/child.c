/* child.c - starting one child: its command line, its user, and that it never outlives us. */
#include "controlplane/parent/internal.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

/* ---- command lines ---- */

struct argv {
	char **v;
	int n;
	bool bad;
};

static void add(struct argv *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void add(struct argv *a, const char *fmt, ...)
{
	char **v = realloc(a->v, (size_t)(a->n + 2) * sizeof(*v));
	va_list args;

	if (!v) {
		a->bad = true;
		return;
	}
	a->v = v;
	v[a->n + 1] = NULL;
	va_start(args, fmt);
	if (vasprintf(&v[a->n], fmt, args) < 0) {
		v[a->n] = NULL;
		a->bad = true;
	} else {
		a->n++;
	}
	va_end(args);
}

static char **done(struct argv *a)
{
	if (!a->bad)
		return a->v;
	parent_argv_free(a->v);
	return NULL;
}

void parent_argv_free(char **argv)
{
	for (char **p = argv; p && *p; p++)
		free(*p);
	free(argv);
}

unsigned parent_n_workers(const struct config *c)
{
	return c->n_cores ? (unsigned)c->n_cores : 1;
}

static void add_cores(struct argv *a, const struct config *c)
{
	char list[8 * CONFIG_CORES] = "";
	size_t len = 0;

	for (int i = 0; i < c->n_cores; i++)
		len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%d", i ? "," : "",
					c->cores[i]);
	if (c->n_cores) {
		add(a, "--cores");
		add(a, "%s", list);
	}
}

char **parent_dataplane_argv(const char *bin_dir, const struct config *c)
{
	struct argv a = {0};
	char text[ADDR_TEXT];

	add(&a, "%s/ramson-dataplane", bin_dir);
	add(&a, "--port");
	add(&a, "%s", c->dataplane_port);
	for (int i = 0; i < c->n_prefixes; i++) {
		add(&a, "--address");
		add(&a, "%s/%u", addr_text(&c->prefix[i].at, text), c->prefix[i].bits);
	}
	for (int i = 0; i < c->n_gateways; i++) {
		add(&a, "--gateway");
		add(&a, "%s", addr_text(&c->gateway[i], text));
	}
	for (int i = 0; i < c->n_or_ports; i++) {
		add(&a, "--listen");
		add(&a, "%u", c->or_port[i].at.port);
	}
	add_cores(&a, c);
	add(&a, "--polling");
	add(&a, "%s", c->dataplane_polling);
	if (c->user) {
		add(&a, "--user");
		add(&a, "%s", c->user);
	}
	/* What was not asked for is not taken in advance: the dataplane's own default is small. */
	if (c->max_mem_in_queues) {
		add(&a, "--mem");
		add(&a, "%lld", (long long)c->max_mem_in_queues >> 20);
	}
	add(&a, "--log");
	add(&a, "%s", log_level_name(config_log_level(c)));
	return done(&a);
}

char **parent_control_argv(const struct parent_setup *s, const char *mode)
{
	struct argv a = {0};

	add(&a, "%s/ramson-control", s->bin_dir);
	if (mode)
		add(&a, "%s", mode);
	add(&a, "-f");
	add(&a, "%s", s->torrc);
	for (int i = 0; i < s->n_args; i++)
		add(&a, "%s", s->args[i]);
	return done(&a);
}

/* ---- users and processes ---- */

int identity_find(struct identity *id, const char *name)
{
	struct passwd *pw;

	*id = (struct identity) {0};
	if (!name)
		return 0;
	pw = getpwnam(name);
	if (!pw)
		return ERR_CONFIG;
	*id = (struct identity) {.has = true, .uid = pw->pw_uid, .gid = pw->pw_gid};
	snprintf(id->name, sizeof(id->name), "%s", name);
	return 0;
}

int identity_become(const struct identity *id)
{
	if (!id || !id->has || (getuid() == id->uid && geteuid() == id->uid))
		return 0;
	if (initgroups(id->name, id->gid) < 0 || setgid(id->gid) < 0 || setuid(id->uid) < 0)
		return ERR_SYSTEM;
	return setuid(0) == 0 && id->uid != 0 ? ERR_SYSTEM : 0; /* there must be no way back */
}

/* What a child says on its standard error belongs into the log. */
static void run_child(char *const argv[], const struct commons *m, const struct identity *drop,
		      int said_fd, pid_t parent)
{
	sigset_t none;

	if (dup2(said_fd, STDERR_FILENO) < 0 || dup2(said_fd, STDOUT_FILENO) < 0)
		_exit(1);

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (commons_hand_over(m) < 0) {
		fprintf(stderr, "ramson: handing descriptors over: %s\n", strerror(errno));
		_exit(1);
	}
	if (identity_become(drop) < 0) {
		fprintf(stderr, "ramson: becoming User %s: %s: start as root, or remove User\n",
			drop->name, strerror(errno));
		_exit(PARENT_EXIT_CONFIG);
	}
	/* Behind the change of user, which takes it back. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(1);
	execv(argv[0], argv);
	fprintf(stderr, "ramson: %s: %s\n", argv[0], strerror(errno));
	_exit(PARENT_EXIT_CONFIG);
}

pid_t child_start(char *const argv[], const struct commons *m, const struct identity *drop,
		  int said_fd)
{
	pid_t parent = getpid(), pid = fork();

	if (pid == 0)
		run_child(argv, m, drop, said_fd, parent);
	return pid;
}
