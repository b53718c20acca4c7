/* run.c - `ramson run`: both children kept alive, signals passed on, an orderly end. A dataplane
 * that dies takes the rings with it, so control starts anew; a control that dies alone leaves the
 * dataplane, its circuits and the descriptors as they are. */
#include "controlplane/parent/internal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

#ifndef RAMSON_VERSION
#define RAMSON_VERSION "unknown"
#endif

#define LIVED_WELL_MS	 60000 /* after this long a child's back-off starts again */
#define CONTROL_END_MS	 2000  /* how long a control without a dataplane may take to end */
#define DATAPLANE_END_MS 5000  /* and a dataplane without a control */
#define LOOK_MS		 100

enum { DATAPLANE, CONTROL, N_CHILDREN };
enum phase { STARTING, RUNNING, STOPPING };

struct child {
	const char *name;
	char **argv;
	pid_t pid; /* 0: not running */
	int64_t started_ms, start_at_ms, back_off_ms;
	int64_t kill_at_ms; /* it was asked to end; SIGKILL then; 0: not asked */
	int64_t alone_ms;   /* stopping: since then it runs without the other; 0: it does not */
	bool ran;	    /* it once came as far as attaching */
	struct said said;
};

struct parent {
	const struct parent_setup *setup;
	const struct config *config;
	struct config reloaded; /* behind config, after the first good SIGHUP */
	struct identity user;
	struct commons commons;
	struct child child[N_CHILDREN];
	enum phase phase;
	int code;
	int64_t stop_at_ms; /* STOPPING: SIGKILL for all */
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void tell_manager(const char *what)
{
#ifdef HAVE_SYSTEMD
	sd_notify(0, what);
#endif
}

static void tell_reloading(void)
{
	char text[80];

	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%lld",
		 (long long)now_ms() * 1000);
	tell_manager(text);
}

/* ---- children ---- */

static void start(struct parent *p, struct child *c)
{
	c->pid = child_start(c->argv, &p->commons, c == &p->child[CONTROL] ? &p->user : NULL,
			     c->said.out);
	if (c->pid < 0) {
		log_err("starting %s: %s", c->name, strerror(errno));
		c->pid = 0;
		c->start_at_ms = now_ms() + 1000;
		return;
	}
	c->started_ms = now_ms();
	c->kill_at_ms = 0;
	log_notice("started %s (pid %d)", c->name, c->pid);
}

static void ask_to_end(struct child *c, int sig, int64_t grace_ms)
{
	if (!c->pid)
		return;
	kill(c->pid, sig);
	if (!c->kill_at_ms)
		c->kill_at_ms = now_ms() + grace_ms;
}

static void back_off(struct parent *p, struct child *c)
{
	int64_t now = now_ms();

	if (now - c->started_ms >= LIVED_WELL_MS || !c->back_off_ms)
		c->back_off_ms = p->setup->back_off_ms;
	else
		c->back_off_ms = MIN(2 * c->back_off_ms, p->setup->back_off_max_ms);
	c->start_at_ms = now + c->back_off_ms;
}

static void say_how(const struct child *c, int status, pid_t pid)
{
	if (WIFSIGNALED(status))
		log_warn("%s (pid %d) was ended by signal %d (%s)", c->name, pid, WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else
		log_warn("%s (pid %d) ended with code %d", c->name, pid, WEXITSTATUS(status));
}

static void stop(struct parent *p, bool hard);

/* New rings for a new dataplane; a control that still runs has the old ones and must go. */
static void dataplane_died(struct parent *p)
{
	struct commons fresh;

	if (commons_new(&fresh, p->commons.n_workers) < 0) {
		log_err("shared memory: %s: more memory is needed", strerror(errno));
		p->code = 1;
		stop(p, true);
		return;
	}
	commons_free(&p->commons);
	p->commons = fresh;
	log_warn("every link and circuit is closed; both programs start anew");
	ask_to_end(&p->child[CONTROL], SIGTERM, CONTROL_END_MS);
}

static void child_ended(struct parent *p, struct child *c, int status, pid_t pid)
{
	bool asked = c->kill_at_ms != 0;

	c->pid = 0;
	c->kill_at_ms = 0;
	if (p->phase == STOPPING)
		return;
	if (!asked)
		say_how(c, status, pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) && !c->ran && !asked) {
		log_err("%s cannot start with these settings: see the lines above", c->name);
		p->code = PARENT_EXIT_CONFIG;
		stop(p, true);
		return;
	}
	if (asked)
		c->start_at_ms = now_ms();
	else
		back_off(p, c);
	if (c == &p->child[DATAPLANE])
		dataplane_died(p);
	if (!asked && p->phase != STOPPING)
		log_notice("%s starts again in %lld ms", c->name, (long long)c->back_off_ms);
}

static void hear(struct parent *p)
{
	for (int i = 0; i < N_CHILDREN; i++)
		said_read(&p->child[i].said);
}

static void reap(struct parent *p)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		hear(p); /* its last words first */
		for (int i = 0; i < N_CHILDREN; i++) {
			if (p->child[i].pid != pid)
				continue;
			said_end(&p->child[i].said);
			child_ended(p, &p->child[i], status, pid);
		}
	}
}

/* ---- stopping ---- */

static void stop(struct parent *p, bool hard)
{
	int64_t wait_ms = hard ? 0 : p->config->shutdown_wait_length_s * 1000;

	if (p->phase != STOPPING) {
		tell_manager("STOPPING=1");
		log_notice(hard ? "stopping at once" : "stopping after at most %lld s",
			   (long long)wait_ms / 1000);
	}
	p->phase = STOPPING;
	p->stop_at_ms = now_ms() + wait_ms + p->setup->stop_grace_ms;
	if (p->child[CONTROL].pid)
		kill(p->child[CONTROL].pid, hard ? SIGTERM : SIGINT);
}

/* Control tells the dataplane to close everything and to end; if control is no more, we do. */
static void step_stopping(struct parent *p, int64_t now)
{
	struct child *d = &p->child[DATAPLANE], *c = &p->child[CONTROL];

	if (!c->pid && d->pid && !d->alone_ms)
		d->alone_ms = now;
	if (d->alone_ms && now - d->alone_ms >= DATAPLANE_END_MS && !d->kill_at_ms)
		ask_to_end(d, SIGTERM, DATAPLANE_END_MS);
	for (int i = 0; i < N_CHILDREN; i++) {
		if (p->child[i].pid && now >= p->stop_at_ms) {
			log_warn("%s does not end: killed", p->child[i].name);
			kill(p->child[i].pid, SIGKILL);
		}
	}
}

/* ---- the loop ---- */

/* READY once the dataplane serves and control has attached. */
static void step_starting(struct parent *p)
{
	const struct ctl_shared *s = p->commons.shared;
	bool up = __atomic_load_n(&s->figures[0].beat_us, __ATOMIC_ACQUIRE) != 0;
	bool attached = __atomic_load_n(&s->epoch, __ATOMIC_ACQUIRE) != 0;

	p->child[DATAPLANE].ran |= up;
	p->child[CONTROL].ran |= attached;
	if (!up || !attached || p->phase != STARTING)
		return;
	p->phase = RUNNING;
	tell_manager("READY=1");
	log_notice("running");
}

static void step(struct parent *p)
{
	int64_t now = now_ms();

	step_starting(p);
	for (int i = 0; i < N_CHILDREN; i++) {
		struct child *c = &p->child[i];

		if (c->pid && c->kill_at_ms && now >= c->kill_at_ms)
			kill(c->pid, SIGKILL);
		if (p->phase != STOPPING && !c->pid && now >= c->start_at_ms)
			start(p, c);
	}
	if (p->phase == STOPPING)
		step_stopping(p, now);
}

/* Only a torrc that reads well goes on to control. */
static void reload(struct parent *p)
{
	struct config_messages m = {0};
	struct config fresh;
	const char *path;

	log_notice("reading the torrc again");
	tell_reloading();
	if (config_load(p->setup->torrc, p->setup->args, p->setup->n_args, &fresh, &m) == 0) {
		config_changed(p->config, &fresh, &m);
		config_free(&p->reloaded);
		p->reloaded = fresh;
		p->config = &p->reloaded;
		if (logs_open(p->config, &p->user, &path) < 0)
			log_err("Log file %s: %s: the log stays where it was", path,
				strerror(errno));
		if (p->child[CONTROL].pid)
			kill(p->child[CONTROL].pid, SIGHUP);
	} else {
		for (int i = 0; i < m.n; i++)
			log_line(m.v[i].is_error ? LOG_ERR : LOG_WARN, "%s", m.v[i].text);
		log_err("the old settings stay");
	}
	config_messages_free(&m);
	tell_manager("READY=1");
}

static void on_signal(struct parent *p, int sig)
{
	switch (sig) {
	case SIGCHLD:
		reap(p);
		break;
	case SIGINT:
		stop(p, p->phase == STOPPING);
		break;
	case SIGTERM:
		stop(p, true);
		break;
	case SIGHUP:
		reload(p);
		break;
	}
}

static int open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -1;
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static bool alive(const struct parent *p)
{
	return p->phase != STOPPING || p->child[DATAPLANE].pid || p->child[CONTROL].pid;
}

static void loop(struct parent *p, int fd)
{
	struct signalfd_siginfo info;
	struct pollfd pfd[1 + N_CHILDREN] = {{.fd = fd, .events = POLLIN}};

	for (int i = 0; i < N_CHILDREN; i++)
		pfd[1 + i] = (struct pollfd) {.fd = p->child[i].said.in, .events = POLLIN};
	while (step(p), alive(p)) {
		if (poll(pfd, ARRAY_LEN(pfd), LOOK_MS) < 0 && errno != EINTR)
			break;
		hear(p);
		while (read(fd, &info, sizeof(info)) == sizeof(info))
			on_signal(p, (int)info.ssi_signo);
		reap(p); /* one SIGCHLD may stand for two */
	}
}

/* Everything that may fail before the first child starts; the reason is in the log. */
static int prepare(struct parent *p, int *fd)
{
	const struct config *c = p->config;
	const char *path;

	if (identity_find(&p->user, c->user) < 0) {
		log_err("User %s: there is no such user: create it, or change the line", c->user);
		return PARENT_EXIT_CONFIG;
	}
	if (logs_open(c, &p->user, &path) < 0) {
		log_err("Log file %s: %s: make its directory, or name another file", path,
			strerror(errno));
		return PARENT_EXIT_CONFIG;
	}
	log_notice("ramson " RAMSON_VERSION " starts with %s", p->setup->torrc);
	for (int i = 0; i < N_CHILDREN; i++)
		if (!p->child[i].argv || said_open(&p->child[i].said, p->child[i].name) < 0)
			goto refused;
	*fd = open_signals();
	if (*fd >= 0 && commons_new(&p->commons, parent_n_workers(c)) == 0)
		return 0;
refused:
	log_err("starting: %s", strerror(errno));
	return 1;
}

int parent_run(const struct parent_setup *s, const struct config *c)
{
	struct parent p = {.setup = s, .config = c};
	int fd = -1;

	for (int i = 0; i < N_CHILDREN; i++)
		p.child[i].said.in = p.child[i].said.out = -1;
	p.child[DATAPLANE].name = "ramson-dataplane";
	p.child[CONTROL].name = "ramson-control";
	p.child[DATAPLANE].argv = parent_dataplane_argv(s->bin_dir, c);
	p.child[CONTROL].argv = parent_control_argv(s, NULL);
	p.code = prepare(&p, &fd);
	if (p.code == 0) {
		files_prepare(c, &p.user);
		files_write_pid(c);
		loop(&p, fd);
		hear(&p);
		if (c->pid_file)
			unlink(c->pid_file);
		log_notice("stopped");
	}
	commons_free(&p.commons);
	config_free(&p.reloaded);
	for (int i = 0; i < N_CHILDREN; i++) {
		parent_argv_free(p.child[i].argv);
		said_close(&p.child[i].said);
	}
	if (fd >= 0)
		close(fd);
	return p.code;
}
