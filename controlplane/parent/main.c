/* main.c - the program `ramson`, as people type it: run, check, status, keygen. */
#include "controlplane/ops/ops.h"
#include "controlplane/parent/internal.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef RAMSON_VERSION
#define RAMSON_VERSION "unknown"
#endif

struct command_line {
	const char *torrc;
	bool watch, json;
	char **args;
	int n_args;
	char bin_dir[PATH_MAX];
};

static int usage(FILE *to, int code)
{
	fputs("ramson " RAMSON_VERSION ", a Tor relay\n\n"
	      "  ramson run    -f TORRC [--Option VALUE ...]   run the relay until SIGINT or "
	      "SIGTERM\n"
	      "  ramson check  -f TORRC [--Option VALUE ...]   is this configuration sound?\n"
	      "  ramson status -f TORRC [--watch] [--json]     what a running relay is doing\n"
	      "  ramson keygen -f TORRC                        make the keys without starting\n"
	      "  ramson options                                every option and its default\n\n"
	      "SIGINT ends it after ShutdownWaitLength, SIGTERM at once, SIGHUP reads the torrc "
	      "again.\n",
	      to);
	return code;
}

static void print_messages(const struct config_messages *m)
{
	for (int i = 0; i < m->n; i++)
		fprintf(stderr, "ramson: %s: %s\n", m->v[i].is_error ? "error" : "warning",
			m->v[i].text);
}

/* Loads the torrc, says what is to be said; 0 or PARENT_EXIT_CONFIG. */
static int load(const struct command_line *l, struct config *c)
{
	struct config_messages m = {0};
	int rc = config_load(l->torrc, l->args, l->n_args, c, &m);

	print_messages(&m);
	config_messages_free(&m);
	return rc < 0 ? PARENT_EXIT_CONFIG : 0;
}

static struct parent_setup setup_of(const struct command_line *l)
{
	struct parent_setup s = PARENT_SETUP_DEFAULT;

	s.bin_dir = l->bin_dir;
	s.torrc = l->torrc;
	s.args = l->args;
	s.n_args = l->n_args;
	return s;
}

static int cmd_run(const struct command_line *l)
{
	struct parent_setup s = setup_of(l);
	struct config_messages m = {0};
	struct config c;
	int rc = load(l, &c);

	if (rc)
		return rc;
	m.lines = c.lines;
	rc = parent_check(&c, &m);
	print_messages(&m);
	config_messages_free(&m);
	rc = rc < 0 ? PARENT_EXIT_CONFIG : parent_run(&s, &c);
	config_free(&c);
	return rc;
}

/* Control's own part of a command, run as User and waited for. */
static int run_control(const struct command_line *l, const struct config *c, const char *mode)
{
	struct parent_setup s = setup_of(l);
	char **argv = parent_control_argv(&s, mode);
	struct identity user;
	int status = 0;
	pid_t pid;

	if (!argv || identity_find(&user, c->user) < 0) {
		parent_argv_free(argv);
		return PARENT_EXIT_CONFIG;
	}
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		if (identity_become(&user) < 0) {
			fprintf(stderr, "ramson: becoming User %s: %s\n", c->user, strerror(errno));
			_exit(1);
		}
		execv(argv[0], argv);
		fprintf(stderr, "ramson: %s: %s\n", argv[0], strerror(errno));
		_exit(1);
	}
	parent_argv_free(argv);
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return 1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static int cmd_check(const struct command_line *l)
{
	struct config_messages m = {0};
	struct config c;
	int rc = load(l, &c), deep;

	if (rc)
		return rc;
	m.lines = c.lines;
	rc = parent_check(&c, &m) < 0 ? PARENT_EXIT_CONFIG : 0;
	print_messages(&m);
	config_messages_free(&m);
	deep = run_control(l, &c, "--check");
	config_free(&c);
	if (!rc)
		rc = deep;
	puts(rc ? "ramson: this configuration cannot run" : "ramson: this configuration is sound");
	return rc;
}

static int cmd_keygen(const struct command_line *l)
{
	struct identity user;
	struct config c;
	int rc = load(l, &c);

	if (rc)
		return rc;
	if (identity_find(&user, c.user) == 0)
		files_prepare(&c, &user);
	rc = run_control(l, &c, "--keygen");
	config_free(&c);
	return rc;
}

static int cmd_status(const struct command_line *l)
{
	char path[PATH_MAX];
	struct config c;
	int rc = load(l, &c);

	if (rc)
		return rc;
	snprintf(path, sizeof(path), "%s/%s", c.data_directory, OPS_SOCKET);
	config_free(&c);
	return ops_show(path, l->watch, l->json) < 0 ? 1 : 0;
}

static int cmd_options(const struct command_line *l)
{
	static const char *const how[] = {"", "ignored", "refused"};
	const struct config_row *r;

	for (int i = 0; (r = config_row_at(i)); i++)
		printf("%-44s %-9s %-8s %s\n", r->name, r->type, how[r->how],
		       r->value ? r->value : "");
	return 0;
}

static const struct {
	const char *name;
	int (*run)(const struct command_line *l);
	bool needs_torrc;
} commands[] = {
	{"run", cmd_run, true},	      {"check", cmd_check, true},      {"status", cmd_status, true},
	{"keygen", cmd_keygen, true}, {"options", cmd_options, false},
};

/* -f FILE, --watch, --json are ours; the rest is a torrc on the command line. */
static bool parse(struct command_line *l, int argc, char **argv)
{
	l->args = calloc((size_t)argc + 1, sizeof(*l->args));
	for (int i = 2; l->args && i < argc; i++) {
		if (strcmp(argv[i], "-f") == 0 && i + 1 < argc)
			l->torrc = argv[++i];
		else if (strcmp(argv[i], "--watch") == 0)
			l->watch = true;
		else if (strcmp(argv[i], "--json") == 0)
			l->json = true;
		else
			l->args[l->n_args++] = argv[i];
	}
	return l->args;
}

/* The others stand beside this program. */
static bool find_bin_dir(struct command_line *l)
{
	ssize_t n = readlink("/proc/self/exe", l->bin_dir, sizeof(l->bin_dir) - 1);
	char *slash;

	if (n <= 0)
		return false;
	l->bin_dir[n] = '\0';
	slash = strrchr(l->bin_dir, '/');
	if (!slash)
		return false;
	slash[slash == l->bin_dir] = '\0';
	return true;
}

int main(int argc, char **argv)
{
	struct command_line l = {0};
	int rc = -1;

	if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return usage(argc < 2 ? stderr : stdout, argc < 2 ? PARENT_EXIT_CONFIG : 0);
	if (strcmp(argv[1], "--version") == 0) {
		puts("ramson " RAMSON_VERSION);
		return 0;
	}
	if (!parse(&l, argc, argv) || !find_bin_dir(&l))
		return 1;
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (strcmp(argv[1], commands[i].name) != 0)
			continue;
		if (commands[i].needs_torrc && !l.torrc) {
			fprintf(stderr, "ramson: %s: name the torrc with -f\n", argv[1]);
			rc = PARENT_EXIT_CONFIG;
		} else {
			rc = commands[i].run(&l);
		}
	}
	free(l.args);
	return rc < 0 ? usage(stderr, PARENT_EXIT_CONFIG) : rc;
}
