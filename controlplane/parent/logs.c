/* logs.c - the one writer of the log: what the parent says, and what its children say on their
 * standard error, goes to each target that a Log line names for its level. */
#include "controlplane/parent/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/fsuid.h>
#include <unistd.h>

#define PIPE_LEN (1 << 20) /* what a child may say while we are busy; asked for, not needed */

static struct target {
	int fd; /* -1: the system's log */
	unsigned levels;
	bool is_file;
} targets[CONFIG_LOGS];
static int n_targets;

/* In syslog.c: severity is an enum log_level. */
void syslog_open(const char *name);
void syslog_line(unsigned severity, const char *text);

static void write_out(int fd, const char *text, size_t len)
{
	if (write(fd, text, len) < 0)
		return; /* a full disk is no reason to end a relay */
}

/* text: one line without its end; what is not printable cannot forge another. */
static void take(enum log_level level, const char *text)
{
	char line[LOG_HEAD + LOGS_LINE + 1];
	size_t head = log_head(line, level), len = head;

	for (const char *p = text; *p && len < sizeof(line) - 2; p++)
		line[len++] = (unsigned char)*p < ' ' || *p == 0x7f ? '?' : *p;
	line[len] = '\0';
	for (int i = 0; i < n_targets; i++)
		if (targets[i].fd < 0 && targets[i].levels & 1u << level)
			syslog_line(level, line + head);
	line[len++] = '\n';
	for (int i = 0; i < n_targets; i++)
		if (targets[i].fd >= 0 && targets[i].levels & 1u << level)
			write_out(targets[i].fd, line, len);
}

/* As User, whom what lies at this path may belong to: a link to a file of root's is not followed
 * with root's rights, here or when the file is opened again for a rotation. */
static int open_file(const char *path, const struct identity *user)
{
	int fd, saved;

	if (user->has) {
		setfsgid(user->gid);
		setfsuid(user->uid); /* takes the rights over files with it */
	}
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
	saved = errno;
	if (user->has) {
		setfsuid(geteuid());
		setfsgid(getegid());
	}
	errno = saved;
	return fd;
}

void logs_close(void)
{
	for (int i = 0; i < n_targets; i++)
		if (targets[i].is_file)
			close(targets[i].fd);
	n_targets = 0;
}

int logs_open(const struct config *c, const struct identity *user, const char **path)
{
	struct target fresh[CONFIG_LOGS];
	int n = 0, saved;

	for (; n < c->n_log_targets; n++) {
		const struct config_log *t = &c->log_target[n];

		fresh[n] = (struct target) {-1, t->levels, t->kind == CONFIG_LOG_FILE};
		if (t->kind == CONFIG_LOG_FILE)
			fresh[n].fd = open_file(t->path, user);
		else if (t->kind == CONFIG_LOG_SYSLOG)
			syslog_open("ramson");
		else
			fresh[n].fd = t->kind == CONFIG_LOG_STDOUT ? STDOUT_FILENO : STDERR_FILENO;
		if (fresh[n].is_file && fresh[n].fd < 0)
			break;
	}
	if (n < c->n_log_targets) {
		saved = errno;
		*path = c->log_target[n].path;
		while (n-- > 0)
			if (fresh[n].is_file)
				close(fresh[n].fd);
		errno = saved;
		return ERR_CONFIG;
	}
	logs_close();
	memcpy(targets, fresh, (size_t)n * sizeof(fresh[0]));
	n_targets = n;
	log_divert(take, config_log_level(c), "ramson");
	return 0;
}

/* ---- what children say ---- */

int said_open(struct said *s, const char *who)
{
	int fd[2];

	*s = (struct said) {.in = -1, .out = -1, .who = who};
	if (pipe2(fd, O_CLOEXEC | O_NONBLOCK) < 0)
		return ERR_SYSTEM;
	s->in = fd[0];
	s->out = fd[1];
	fcntl(s->in, F_SETPIPE_SZ, PIPE_LEN);
	return 0;
}

void said_close(struct said *s)
{
	if (s->in >= 0)
		close(s->in);
	if (s->out >= 0)
		close(s->out);
	s->in = s->out = -1;
}

/* "<2>who: text", or whatever a library prints. */
static void one_line(struct said *s)
{
	char plain[LOGS_LINE + 32];

	s->line[s->len] = '\0';
	s->len = 0;
	if (s->line[0] == '<' && s->line[1] >= '0' && s->line[1] < '0' + LOG_LEVELS &&
	    s->line[2] == '>') {
		take((enum log_level)(s->line[1] - '0'), s->line + 3);
		return;
	}
	snprintf(plain, sizeof(plain), "%s: %s", s->who, s->line);
	take(LOG_NOTICE, plain);
}

void said_read(struct said *s)
{
	char buf[4096];
	ssize_t n;

	/* No more than a pipe holds: who never stops talking must not keep us. */
	for (unsigned k = 0; k < PIPE_LEN / sizeof(buf); k++) {
		n = read(s->in, buf, sizeof(buf));
		for (ssize_t i = 0; i < n; i++) {
			if (buf[i] != '\n')
				s->line[s->len++] = buf[i];
			if (s->len == LOGS_LINE || (buf[i] == '\n' && s->len))
				one_line(s);
		}
		if (n <= 0)
			break;
	}
}

void said_end(struct said *s)
{
	if (s->len)
		one_line(s);
}
