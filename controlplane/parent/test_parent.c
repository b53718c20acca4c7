/* test_parent.c - the parent with children that are this program under their names: starts, deaths,
 * restarts, signals, and that nothing is left behind. Order is tested, never time. */
#include "controlplane/parent/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define V3	 "14C131DFC5C6F93646BE72FA1401C02A8DF2E8B4"
#define PATIENCE 600 /* twentieths of a second */

/* ---- the child's half ---- */

static volatile sig_atomic_t got;

static void on_signal(int sig)
{
	got = sig;
}

static void note(const char *dir, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void note(const char *dir, const char *fmt, ...)
{
	char path[512], line[256];
	va_list args;
	int fd, n;

	snprintf(path, sizeof(path), "%s/notes", dir);
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT, 0600);
	va_start(args, fmt);
	n = vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	if (fd < 0 || write(fd, line, (size_t)n) != n)
		_exit(9);
	close(fd);
}

/* Does what a child does to the shared memory, then waits for signals. The dataplane ends when
 * control has asked for it (ring_slots stands in for SHUTDOWN here). */
static int child_main(const char *dir, const char *name)
{
	bool is_control = strcmp(name, "ramson-control") == 0;
	struct ctl_shared *s;
	char path[512];

	snprintf(path, sizeof(path), "%s/%s.fail", dir, name);
	if (access(path, F_OK) == 0)
		return 1;
	s = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, CTL_FD_MEMORY, 0);
	if (s == MAP_FAILED || s->magic != CTL_MAGIC || s->n_workers != 2)
		return 8;
	if (fcntl(CTL_FD_WAKE_WORKER + 1, F_GETFD) < 0 ||
	    fcntl(CTL_FD_WAKE_WORKER + 2, F_GETFD) >= 0)
		return 7; /* as many descriptors as workers, and no more */
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	signal(SIGHUP, on_signal);
	if (is_control)
		s->epoch++;
	else
		s->figures[0].beat_us = 1;
	fprintf(stderr, "<1>%s: says this\n", name);
	note(dir, "%s %d epoch %u\n", name, getpid(), s->epoch);
	while (is_control || s->ring_slots) {
		usleep(5000);
		if (!got)
			continue;
		note(dir, "%s signal %d\n", name, got);
		if (got == SIGTERM || got == SIGINT)
			s->ring_slots = 0;
		if (got == SIGTERM || got == SIGINT)
			return 0;
		got = 0;
	}
	return 0;
}

/* ---- the test's half ---- */

struct field {
	char dir[64], torrc[96];
	struct config config;
	pid_t pid; /* of the parent under test */
};

static void put_file(const char *dir, const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int field_make(void **state)
{
	static struct field f;
	struct config_messages m = {0};
	char text[2048], self[256], link_path[256];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	strcpy(f.dir, "/tmp/test_parent_XXXXXX");
	if (n <= 0 || !mkdtemp(f.dir))
		return -1;
	self[n] = '\0';
	for (int i = 0; i < 2; i++) {
		snprintf(link_path, sizeof(link_path), "%s/%s", f.dir,
			 i ? "ramson-control" : "ramson-dataplane");
		if (symlink(self, link_path) < 0)
			return -1;
	}
	snprintf(text, sizeof(text),
		 "ORPort 9001\nDataDirectory %s/data\nDataplanePort tap:t0\nPidFile %s/pid\n"
		 "DataplaneAddress 10.255.0.2/24\nDataplaneGateway 10.255.0.1\nDataplaneCores 0-1\n"
		 "ShutdownWaitLength 1\nTestingTorNetwork 1\nLog notice file %s/log\n"
		 "DirAuthority a v3ident=" V3 " 10.255.0.9:80 " V3 "\n",
		 f.dir, f.dir, f.dir);
	put_file(f.dir, "torrc", text);
	snprintf(f.torrc, sizeof(f.torrc), "%s/torrc", f.dir);
	if (config_load(f.torrc, NULL, 0, &f.config, &m) < 0)
		return -1;
	config_messages_free(&m);
	f.pid = 0;
	*state = &f;
	return 0;
}

static void field_start(struct field *f)
{
	struct parent_setup s = PARENT_SETUP_DEFAULT;

	fflush(NULL);
	f->pid = fork();
	assert_true(f->pid >= 0);
	if (f->pid)
		return;
	s.bin_dir = f->dir;
	s.torrc = f->torrc;
	s.back_off_ms = 10;
	s.back_off_max_ms = 50;
	_exit(parent_run(&s, &f->config));
}

/* How often the notes hold a text; the pid behind the last "name" in *pid. */
static int noted(const struct field *f, const char *what, pid_t *pid)
{
	char path[256], line[256];
	int n = 0;
	FILE *in;

	snprintf(path, sizeof(path), "%s/notes", f->dir);
	in = fopen(path, "r");
	while (in && fgets(line, sizeof(line), in)) {
		if (!strstr(line, what))
			continue;
		n++;
		if (pid)
			sscanf(strchr(line, ' '), "%d", pid);
	}
	if (in)
		fclose(in);
	return n;
}

static void wait_noted(const struct field *f, const char *what, int n, pid_t *pid)
{
	for (int i = 0; i < PATIENCE; i++) {
		if (noted(f, what, pid) >= n)
			return;
		usleep(50000);
	}
	fail_msg("\"%s\" was not seen %d times", what, n);
}

static int wait_end(struct field *f)
{
	int status;

	for (int i = 0; i < PATIENCE; i++) {
		if (waitpid(f->pid, &status, WNOHANG) == f->pid) {
			f->pid = 0;
			return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
		}
		usleep(50000);
	}
	fail_msg("the parent did not end");
	return -1;
}

static void wait_gone(pid_t pid)
{
	char path[64], state = '?';
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	for (int i = 0; i < PATIENCE; i++) {
		f = fopen(path, "r");
		if (!f)
			return;
		if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
			state = '?';
		fclose(f);
		/* Whoever adopts orphans here may be slow to bury them. */
		if (state == 'Z' || state == 'X')
			return;
		usleep(50000);
	}
	fail_msg("process %d is still there", pid);
}

static int field_drop(void **state)
{
	struct field *f = *state;
	static const char *const files[] = {
		"ramson-control",      "ramson-dataplane", "torrc", "notes", "log",
		"ramson-control.fail", "data/keys",	   "data",  "pid"};
	char path[256];

	if (f->pid) {
		kill(f->pid, SIGKILL);
		waitpid(f->pid, NULL, 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", f->dir, files[i]);
		remove(path);
	}
	config_free(&f->config);
	return rmdir(f->dir);
}

/* A file of the field, whole. */
static const char *slurp(const struct field *f, const char *name)
{
	static char text[16384];
	char path[256];
	size_t n = 0;
	FILE *in;

	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	in = fopen(path, "r");
	if (in) {
		n = fread(text, 1, sizeof(text) - 1, in);
		fclose(in);
	}
	text[n] = '\0';
	return text;
}

static void test_start_stop(void **state)
{
	static const int how[] = {SIGTERM, SIGINT};
	struct field *f = *state;
	pid_t d, c;
	char path[256], text[64];

	for (int i = 0; i < 2; i++) {
		field_start(f);
		wait_noted(f, "ramson-dataplane ", i + 1, &d);
		wait_noted(f, "ramson-control ", 2 * i + 1, &c);
		snprintf(path, sizeof(path), "%s/pid", f->dir);
		assert_int_equal(access(path, R_OK), 0);
		kill(f->pid, how[i]);
		assert_int_equal(wait_end(f), 0);
		wait_gone(d);
		wait_gone(c);
		assert_int_equal(access(path, R_OK), -1);
		snprintf(text, sizeof(text), "ramson-control signal %d", how[i]);
		assert_int_equal(noted(f, text, NULL), 1);
	}
	assert_non_null(strstr(slurp(f, "log"), "[warn] ramson-dataplane: says this\n"));
	assert_non_null(strstr(slurp(f, "log"), "[warn] ramson-control: says this\n"));
	assert_non_null(strstr(slurp(f, "log"), "[notice] ramson: stopped\n"));
	/* The dataplane was left to control, which told it through the rings. */
	assert_int_equal(noted(f, "ramson-dataplane signal", NULL), 0);
}

static void test_control_dies(void **state)
{
	struct field *f = *state;
	pid_t d, d2, c;

	field_start(f);
	wait_noted(f, "ramson-dataplane ", 1, &d);
	for (int i = 1; i <= 3; i++) {
		char text[64];

		/* The same memory: each attach counts on. */
		snprintf(text, sizeof(text), "epoch %d", i);
		wait_noted(f, "ramson-control ", i, &c);
		wait_noted(f, text, 1, NULL);
		if (i < 3)
			kill(c, SIGKILL);
	}
	assert_int_equal(noted(f, "ramson-dataplane ", &d2), 1);
	assert_int_equal(d, d2);
	kill(f->pid, SIGTERM);
	assert_int_equal(wait_end(f), 0);
	wait_gone(d);
	wait_gone(c);
}

static void test_dataplane_dies(void **state)
{
	struct field *f = *state;
	pid_t d, c;

	field_start(f);
	wait_noted(f, "ramson-dataplane ", 1, &d);
	wait_noted(f, "ramson-control ", 1, &c);
	kill(d, SIGKILL);
	wait_noted(f, "ramson-dataplane ", 2, &d);
	wait_noted(f, "ramson-control signal 15", 1, NULL);
	/* New memory: control's epoch begins again. Lines of control: start, signal, start. */
	wait_noted(f, "ramson-control ", 3, &c);
	assert_int_equal(noted(f, "epoch 2", NULL), 0);
	kill(f->pid, SIGTERM);
	assert_int_equal(wait_end(f), 0);
	wait_gone(d);
}

static void test_cannot_start(void **state)
{
	struct field *f = *state;
	pid_t d = 0;

	put_file(f->dir, "ramson-control.fail", "");
	field_start(f);
	assert_int_equal(wait_end(f), PARENT_EXIT_CONFIG);
	if (noted(f, "ramson-dataplane ", &d))
		wait_gone(d);
}

static void test_reload(void **state)
{
	struct field *f = *state;

	field_start(f);
	wait_noted(f, "ramson-control ", 1, NULL);
	kill(f->pid, SIGHUP);
	wait_noted(f, "ramson-control signal 1", 1, NULL);
	/* A torrc that is wrong goes no further. */
	put_file(f->dir, "torrc", "Nonsense 1\n");
	kill(f->pid, SIGHUP);
	usleep(300000);
	assert_int_equal(noted(f, "ramson-control signal 1\n", NULL), 1);
	kill(f->pid, SIGTERM);
	assert_int_equal(wait_end(f), 0);
}

/* A parent that is killed outright leaves nobody behind. */
static void test_parent_killed(void **state)
{
	struct field *f = *state;
	pid_t d, c;

	field_start(f);
	wait_noted(f, "ramson-dataplane ", 1, &d);
	wait_noted(f, "ramson-control ", 1, &c);
	kill(f->pid, SIGKILL);
	assert_int_equal(wait_end(f), 1000 + SIGKILL);
	wait_gone(d);
	wait_gone(c);
}

static void test_argv(void **state)
{
	static const char *const want[] = {"/b/ramson-dataplane",
					   "--port",
					   "tap:t0",
					   "--address",
					   "10.255.0.2/24",
					   "--gateway",
					   "10.255.0.1",
					   "--listen",
					   "9001",
					   "--cores",
					   "0,1",
					   "--polling",
					   "adaptive",
					   "--log",
					   "notice"};
	struct field *f = *state;
	char **argv = parent_dataplane_argv("/b", &f->config);
	struct parent_setup s = PARENT_SETUP_DEFAULT;
	char *more[] = {"--Nickname", "x"};

	for (size_t i = 0; i < ARRAY_LEN(want); i++)
		assert_string_equal(argv[i], want[i]);
	assert_null(argv[ARRAY_LEN(want)]);
	parent_argv_free(argv);
	s.bin_dir = "/b";
	s.torrc = "/t";
	s.args = more;
	s.n_args = 2;
	argv = parent_control_argv(&s, "--check");
	assert_string_equal(argv[1], "--check");
	assert_string_equal(argv[3], "/t");
	assert_string_equal(argv[5], "x");
	assert_null(argv[6]);
	parent_argv_free(argv);
}

static struct config logs_config(const struct field *f, const char *lines)
{
	struct config_messages m = {0};
	char text[4096];
	struct config c;
	size_t len;

	len = (size_t)snprintf(text, sizeof(text), "%s/Log\n%s", slurp(f, "torrc"), lines);
	assert_int_equal(config_parse(text, len, &c, &m), 0);
	config_messages_free(&m);
	return c;
}

/* Several targets, each with its levels; children's lines among ours; a file that was moved away.
 */
static void test_logs(void **state)
{
	static const char said_by_child[] = "<1>dataplane: a warning\n<3>control: a detail\nEAL: "
					    "prints\x01 this\n<9>no level\n\n"
					    "<2>dataplane: in ";
	static const char rest[] = "two pieces\n";
	struct field *f = *state;
	char lines[1024], a[256], b[256], long_line[LOGS_LINE + 100];
	struct identity nobody = {0};
	struct config c;
	struct said said;
	const char *path = NULL, *has;

	snprintf(lines, sizeof(lines), "Log warn file %s/a\nLog info-notice file %s/b\n", f->dir,
		 f->dir);
	c = logs_config(f, lines);
	assert_int_equal(logs_open(&c, &nobody, &path), 0);
	log_warn("one");
	log_notice("two");
	log_info("three");
	log_debug("four");
	assert_int_equal(said_open(&said, "child"), 0);
	assert_int_equal(write(said.out, said_by_child, sizeof(said_by_child) - 1),
			 sizeof(said_by_child) - 1);
	said_read(&said);
	assert_int_equal(write(said.out, rest, sizeof(rest) - 1), sizeof(rest) - 1);
	said_read(&said);
	has = slurp(f, "a");
	assert_non_null(strstr(has, "[warn] ramson: one\n"));
	assert_non_null(strstr(has, "[warn] dataplane: a warning\n"));
	assert_null(strstr(has, "two"));
	has = slurp(f, "b");
	assert_null(strstr(has, "one"));
	assert_non_null(strstr(has, "[notice] ramson: two\n"));
	assert_non_null(strstr(has, "[info] ramson: three\n"));
	assert_non_null(strstr(has, "[info] control: a detail\n"));
	assert_non_null(strstr(has, "[notice] child: EAL: prints? this\n"));
	assert_non_null(strstr(has, "[notice] child: <9>no level\n"));
	assert_non_null(strstr(has, "[notice] dataplane: in two pieces\n"));
	assert_null(strstr(has, "four"));
	/* A line without an end is cut; a child that talks on finds a full pipe and goes on. */
	memset(long_line, 'x', sizeof(long_line));
	while (write(said.out, long_line, sizeof(long_line)) == sizeof(long_line))
		;
	assert_int_equal(errno, EAGAIN);
	said_read(&said);
	assert_true(strlen(slurp(f, "b")) > LOGS_LINE);
	said_close(&said);
	/* Moved away, and opened again (SIGHUP); one that cannot be opened changes nothing. */
	snprintf(a, sizeof(a), "%s/a", f->dir);
	snprintf(b, sizeof(b), "%s/a.1", f->dir);
	assert_int_equal(rename(a, b), 0);
	assert_int_equal(logs_open(&c, &nobody, &path), 0);
	log_warn("five");
	config_free(&c);
	snprintf(lines, sizeof(lines), "Log warn file %s/b\nLog warn file %s/none/c\n", f->dir,
		 f->dir);
	c = logs_config(f, lines);
	assert_int_equal(logs_open(&c, &nobody, &path), ERR_CONFIG);
	assert_non_null(strstr(path, "/none/c"));
	log_warn("six");
	assert_null(strstr(slurp(f, "a.1"), "five"));
	has = slurp(f, "a");
	assert_non_null(strstr(has, "five"));
	assert_non_null(strstr(has, "six"));
	config_free(&c);
	logs_close();
	log_open(STDERR_FILENO, LOG_NOTICE, "test");
	unlink(a);
	unlink(b);
	snprintf(b, sizeof(b), "%s/b", f->dir);
	unlink(b);
}

/* The system's log, where nobody listens at /dev/log and we may. */
static void test_syslog(void **state)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct identity nobody = {0};
	struct field *f = *state;
	const char *path = NULL;
	char has[512] = "";
	struct config c;

	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0) {
		print_message("no /dev/log of our own: %s\n", strerror(errno));
		close(fd);
		skip();
	}
	c = logs_config(f, "Log warn syslog\n");
	assert_int_equal(logs_open(&c, &nobody, &path), 0);
	log_notice("not this");
	log_warn("but this %d", 1);
	unlink(at.sun_path);
	assert_true(recv(fd, has, sizeof(has) - 1, MSG_DONTWAIT) > 0);
	/* RFC 3164: facility daemon, severity warning; no time or level of ours in the text. */
	assert_int_equal(strncmp(has, "<28>", 4), 0);
	assert_non_null(strstr(has, " ramson["));
	assert_non_null(strstr(has, "]: ramson: but this 1"));
	assert_int_equal(recv(fd, has, sizeof(has), MSG_DONTWAIT), -1);
	close(fd);
	logs_close();
	log_open(STDERR_FILENO, LOG_NOTICE, "test");
	config_free(&c);
}

static int n_newlines(const char *p)
{
	int n = 0;

	while ((p = strchr(p, '\n'))) {
		n++;
		p++;
	}
	return n;
}

/* Rows: lines behind a sound torrc, and what check says about them; NULL: nothing wrong. */
static void test_check(void **state)
{
	static const struct {
		const char *lines, *said;
		bool is_last; /* the place said is that of the last of these lines */
	} t[] = {
		{"", NULL, false},
		{"/DataplaneAddress\nDataplaneAddress 127.0.0.1/8\n", "held by the kernel", true},
		{"/DataplaneAddress\nDataplaneAddress 127.0.0.1/8\nDataplanePort af_xdp:lo\n", NULL,
		 false},
		{"DataplanePort af_packet:none0\n", "there is no interface none0", true},
		{"DataplanePort af_packet:lo\n", NULL, false},
		{"DataplanePort af_xdp:none0,x=1\n", "there is no interface none0", true},
		{"User nobody-of-this-name\n", "no such user", true},
		{"DataDirectory /proc/version\n", "is no directory", true},
		{"DataDirectory /nonexistent/a/b\n", "cannot be made", true},
		{"DataplaneCores 0,1000\n", "no core 1000", true},
	};
	struct field *f = *state;
	char text[4096];
	FILE *in = fopen(f->torrc, "r");
	char place[32];
	int n_lines;
	size_t len;

	assert_non_null(in);
	len = fread(text, 1, sizeof(text) - 512, in);
	text[len] = '\0';
	n_lines = n_newlines(text);
	fclose(in);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct config_messages m = {0};
		struct config c;
		bool found = false;
		int rc;

		strcpy(text + len, t[i].lines);
		/* Two cores are more than some machines have. */
		if (!strstr(t[i].lines, "Cores"))
			strcat(text, "DataplaneCores 0\n");
		assert_int_equal(config_parse(text, strlen(text), &c, &m), 0);
		m.lines = c.lines;
		rc = parent_check(&c, &m);
		snprintf(place, sizeof(place), "torrc:%d: ", n_lines + n_newlines(t[i].lines));
		for (int k = 0; k < m.n; k++)
			found |= m.v[k].is_error &&
				 (!t[i].said || strstr(m.v[k].text, t[i].said)) &&
				 (!t[i].is_last || strncmp(m.v[k].text, place, strlen(place)) == 0);
		if (found != (t[i].said != NULL) || (rc == 0) != (t[i].said == NULL))
			fail_msg("row %zu: %d", i, rc);
		config_messages_free(&m);
		config_free(&c);
	}
}

int main(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/');
	static char dir[256];
#define ON_FIELD(t) cmocka_unit_test_setup_teardown(t, field_make, field_drop)
	const struct CMUnitTest tests[] = {
		ON_FIELD(test_start_stop),     ON_FIELD(test_control_dies),
		ON_FIELD(test_dataplane_dies), ON_FIELD(test_cannot_start),
		ON_FIELD(test_reload),	       ON_FIELD(test_parent_killed),
		ON_FIELD(test_argv),	       ON_FIELD(test_check),
		ON_FIELD(test_logs),	       ON_FIELD(test_syslog),
	};

	if (slash && strncmp(slash, "/ramson-", 8) == 0) {
		snprintf(dir, sizeof(dir), "%.*s", (int)(slash - argv[0]), argv[0]);
		return child_main(dir, slash + 1);
	}
	return cmocka_run_group_tests_name("parent", tests, NULL, NULL);
}
