/* log.c - log lines in tor's format, and the names of counters. */
#include "dataplane/base/base.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

static struct {
	int fd;
	bool piped;
	enum log_level level;
	void (*take)(enum log_level level, const char *text); /* NULL: to fd */
	char who[24];
} out = {.fd = STDERR_FILENO, .level = LOG_NOTICE, .who = "ramson"};

static const char *const names[LOG_LEVELS] = {"err", "warn", "notice", "info", "debug"};

void log_open(int fd, enum log_level level, const char *who)
{
	out.fd = fd;
	out.piped = false;
	out.take = NULL;
	out.level = level;
	snprintf(out.who, sizeof(out.who), "%s", who);
}

void log_open_piped(int fd, enum log_level level, const char *who)
{
	log_open(fd, level, who);
	out.piped = true;
}

void log_divert(void (*take)(enum log_level level, const char *text), enum log_level level,
		const char *who)
{
	log_open(STDERR_FILENO, level, who);
	out.take = take;
}

void log_set_level(enum log_level level)
{
	out.level = level;
}

bool log_enabled(enum log_level level)
{
	return level <= out.level;
}

const char *log_level_name(enum log_level level)
{
	return (unsigned)level < LOG_LEVELS ? names[level] : "unknown";
}

int log_level_of(const char *name, size_t len)
{
	for (int i = 0; i < LOG_LEVELS; i++)
		if (len == strlen(names[i]) && strncasecmp(name, names[i], len) == 0)
			return i;
	return -1;
}

size_t log_head(char head[LOG_HEAD], enum log_level level)
{
	struct timespec now;
	struct tm tm;
	char stamp[24];

	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	strftime(stamp, sizeof(stamp), "%b %d %H:%M:%S", &tm);
	return (size_t)snprintf(head, LOG_HEAD, "%s.%03d [%s] ", stamp,
				(int)(now.tv_nsec / 1000000 % 1000), log_level_name(level));
}

void log_line(enum log_level level, const char *fmt, ...)
{
	char line[1024];
	va_list args;
	size_t used, end, head = 0;
	int n;

	if (!log_enabled(level))
		return;
	if (out.piped)
		head = (size_t)snprintf(line, sizeof(line), "<%d>", level);
	else if (!out.take)
		head = log_head(line, level);
	used = head + (size_t)snprintf(line + head, sizeof(line) - head, "%s: ", out.who);
	va_start(args, fmt);
	n = vsnprintf(line + used, sizeof(line) - used - 1, fmt, args);
	va_end(args);
	end = MIN(used + (size_t)MAX(n, 0), sizeof(line) - 2);
	for (; used < end; used++) /* what others say must not begin a line of ours */
		if ((unsigned char)line[used] < ' ' || line[used] == 0x7f)
			line[used] = '?';
	if (out.take) {
		out.take(level, line);
		return;
	}
	line[used++] = '\n';
	if (write(out.fd, line, used) < 0)
		return; /* there is nobody left to tell */
}

static const struct {
	const char *name, *what;
} count_rows[N_COUNTS] = {
#define COUNT(room, name, what) {#room "_" #name, what},
#include "dataplane/count.def"
#undef COUNT
};

const char *count_name(enum count_id id)
{
	return (unsigned)id < N_COUNTS ? count_rows[id].name : "unknown";
}

const char *count_what(enum count_id id)
{
	return (unsigned)id < N_COUNTS ? count_rows[id].what : "unknown";
}
