/* test_ops.c - the status document over its socket, rates from two samples, and what `ramson
 * status` makes of it. */
#include "controlplane/config/config.h"
#include "controlplane/door/door.h"
#include "controlplane/ops/ops.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define WORKERS 2

struct field {
	char dir[64], path[100];
	struct config config;
	struct event_base *base;
	struct ctl_shared *shared;
	struct door *door;
	struct ops *ops;
	int fd, wake;
};

static const struct door_row no_rows[] = {{0, NULL}};

static void fill(void *ctx, json_t *root)
{
	json_t *o = json_object();

	json_object_set_new(o, "things", json_integer(7));
	json_object_set_new(o, "nothing", json_integer(0));
	json_object_set_new(root, "a room", o);
}

static int field_make(void **state)
{
	static struct field f;
	int wake[WORKERS];
	const char *why;

	memset(&f, 0, sizeof(f));
	strcpy(f.dir, "/tmp/test_ops_XXXXXX");
	f.fd = memfd_create("wall", MFD_CLOEXEC);
	f.wake = wake[0] = wake[1] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (!mkdtemp(f.dir) || ftruncate(f.fd, (off_t)ctl_size(WORKERS)) < 0)
		return -1;
	f.shared = mmap(NULL, ctl_size(WORKERS), PROT_READ | PROT_WRITE, MAP_SHARED, f.fd, 0);
	f.shared->magic = CTL_MAGIC;
	f.shared->version = CTL_VERSION;
	f.shared->n_workers = WORKERS;
	f.shared->ring_slots = CTL_RING_SLOTS;
	f.base = event_base_new();
	f.door = door_open(f.fd, f.wake, wake, WORKERS, f.base, no_rows, &f, &why);
	f.config.data_directory = f.dir;
	f.config.nickname = (char *)"tester";
	f.config.heartbeat_period_s = 3600;
	snprintf(f.path, sizeof(f.path), "%s/%s", f.dir, OPS_SOCKET);
	*state = &f;
	return f.door ? 0 : -1;
}

static int field_drop(void **state)
{
	struct field *f = *state;

	ops_free(f->ops);
	door_close(f->door);
	event_base_free(f->base);
	munmap(f->shared, ctl_size(WORKERS));
	close(f->fd);
	close(f->wake);
	return rmdir(f->dir);
}

static void open_ops(struct field *f, int64_t now_s)
{
	struct ops_setup s = {.base = f->base,
			      .door = f->door,
			      .config = &f->config,
			      .version = "1.2.3",
			      .fill = fill,
			      .ctx = f,
			      .since_s = now_s - 60};

	f->ops = ops_new(&s, now_s);
	assert_non_null(f->ops);
}

/* Connects, lets the loop answer, and reads to the end. */
static json_t *ask(struct field *f)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	char text[65536];
	size_t len = 0;
	ssize_t n = -1;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	json_t *root;

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", f->path);
	assert_return_code(connect(fd, (struct sockaddr *)&un, sizeof(un)), errno);
	for (int i = 0; i < 1000 && n != 0; i++) {
		event_base_loop(f->base, EVLOOP_NONBLOCK);
		n = read(fd, text + len, sizeof(text) - len);
		if (n > 0)
			len += (size_t)n;
	}
	close(fd);
	root = json_loadb(text, len, 0, NULL);
	assert_non_null(root);
	return root;
}

static long long at(const json_t *root, const char *section, const char *key)
{
	json_t *v = json_object_get(json_object_get(root, section), key);

	return v ? (long long)json_integer_value(v) : -1;
}

static void test_document(void **state)
{
	struct field *f = *state;
	struct stat st;
	json_t *root, *core;

	f->shared->figures[0].n_circs = 5;
	f->shared->figures[1].n_circs = 7;
	f->shared->figures[0].link_bytes_in = 1000;
	open_ops(f, 100);
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	/* Two seconds later; the second worker was half busy meanwhile. */
	f->shared->figures[0].link_bytes_in = 5000;
	f->shared->figures[1].link_bytes_in = 200;
	f->shared->figures[1].busy_ns = 500;
	f->shared->figures[1].total_ns = 1000;
	f->shared->figures[1].counts.v[COUNT_net_rx_packets] = 3;
	ops_tick(f->ops, 102);
	ops_tick(f->ops, 102); /* the same second again changes nothing */
	root = ask(f);
	assert_int_equal(at(root, "totals", "n_circs"), 12);
	assert_int_equal(at(root, "totals", "link_in_rate"), 2100);
	assert_int_equal(at(root, "counters", "net_rx_packets"), 3);
	assert_int_equal(at(root, "counters", "net_tx_packets"), -1);
	assert_int_equal(at(root, "a room", "things"), 7);
	assert_int_equal(at(root, "door", "epoch"), 1);
	assert_int_equal(json_integer_value(json_object_get(root, "uptime_s")), 62);
	assert_string_equal(json_string_value(json_object_get(root, "nickname")), "tester");
	core = json_array_get(json_object_get(root, "cores"), 1);
	assert_true(json_real_value(json_object_get(core, "busy")) == 0.5);
	assert_int_equal(json_array_size(json_object_get(root, "cores")), WORKERS);
	json_decref(root);
}

/* Figures that jump back, as those of a dataplane that was taken over may, give no nonsense. */
static void test_backwards(void **state)
{
	struct field *f = *state;
	json_t *root, *core;

	f->shared->figures[0].link_bytes_in = UINT64_MAX;
	f->shared->figures[0].busy_ns = 100;
	f->shared->figures[0].total_ns = 50;
	open_ops(f, 100);
	f->shared->figures[0].link_bytes_in = 5;
	f->shared->figures[0].busy_ns = 900;
	f->shared->figures[0].total_ns = 60;
	ops_tick(f->ops, 90); /* and so does the clock */
	root = ask(f);
	assert_int_equal(at(root, "totals", "link_in_rate"), 0);
	core = json_array_get(json_object_get(root, "cores"), 0);
	assert_true(json_real_value(json_object_get(core, "busy")) == 0);
	json_decref(root);
}

/* More readers than are served at once: the others are turned away, nobody hangs. */
static void test_crowd(void **state)
{
	struct field *f = *state;
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd[40];

	open_ops(f, 100);
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", f->path);
	for (size_t i = 0; i < ARRAY_LEN(fd); i++) {
		fd[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)!connect(fd[i], (struct sockaddr *)&un, sizeof(un));
		event_base_loop(f->base, EVLOOP_NONBLOCK);
	}
	for (size_t i = 0; i < ARRAY_LEN(fd); i++)
		close(fd[i]);
	for (int i = 0; i < 100; i++)
		event_base_loop(f->base, EVLOOP_NONBLOCK);
	json_decref(ask(f));
}

static void test_heartbeat(void **state)
{
	struct field *f = *state;
	char line[512] = "";
	int p[2];

	assert_return_code(pipe2(p, O_NONBLOCK), errno);
	log_open(p[1], LOG_NOTICE, "test");
	open_ops(f, 100);
	f->shared->figures[0].link_bytes_out = 2500000;
	ops_tick(f->ops, 3699);
	assert_int_equal(read(p[0], line, sizeof(line) - 1), -1);
	ops_tick(f->ops, 3700);
	assert_true(read(p[0], line, sizeof(line) - 1) > 0);
	assert_non_null(strstr(line, "Heartbeat: up for 0 days 1:01 hours"));
	assert_non_null(strstr(line, "Sent 2.50 MB"));
	log_open(2, LOG_NOTICE, "test");
	close(p[0]);
	close(p[1]);
}

/* The table for people, read through a pipe; nobody at the socket is said and is an error. */
static void test_show(void **state)
{
	struct field *f = *state;
	char text[8192] = "";
	size_t len = 0;
	ssize_t n = -1;
	int p[2], status = 0;
	pid_t pid;

	open_ops(f, 100);
	ops_tick(f->ops, 101);
	assert_return_code(pipe(p), errno);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		dup2(p[1], 1);
		close(p[0]);
		close(p[1]);
		_exit(ops_show(f->path, false, false) == 0 &&
				      ops_show("/nonexistent/x", false, false) < 0
			      ? 0
			      : 1);
	}
	close(p[1]);
	fcntl(p[0], F_SETFL, O_NONBLOCK);
	for (int i = 0; i < 2000 && n != 0; i++) {
		event_base_loop(f->base, EVLOOP_NONBLOCK);
		n = read(p[0], text + len, sizeof(text) - 1 - len);
		if (n > 0)
			len += (size_t)n;
		else
			usleep(2000);
	}
	close(p[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_non_null(strstr(text, "tester  ramson 1.2.3, up 0d 00:01:01"));
	assert_non_null(strstr(text, "things"));
	assert_null(strstr(text, "nothing"));
}

int main(void)
{
#define ON_FIELD(t) cmocka_unit_test_setup_teardown(t, field_make, field_drop)
	const struct CMUnitTest tests[] = {
		ON_FIELD(test_document),  ON_FIELD(test_backwards), ON_FIELD(test_crowd),
		ON_FIELD(test_heartbeat), ON_FIELD(test_show),
	};

	return cmocka_run_group_tests_name("ops", tests, NULL, NULL);
}
