/* log.c - log lines in tor's format, and the names of counters. */
#include "dataplane/base/base.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

static struct {
	int fd;
	enum log_level level;
	char who[24];
} out = {STDERR_FILENO, LOG_NOTICE, "ramson"};

void log_open(int fd, enum log_level level, const char *who)
{
	out.fd = fd;
	out.level = level;
	snprintf(out.who, sizeof(out.who), "%s", who);
}

bool log_enabled(enum log_level level)
{
	return level <= out.level;
}

void log_line(enum log_level level, const char *fmt, ...)
{
	static const char *const names[] = {"err", "warn", "notice", "info", "debug"};
	char line[1024], stamp[32];
	struct timespec now;
	struct tm tm;
	va_list args;
	int n, used;

	if (!log_enabled(level))
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	strftime(stamp, sizeof(stamp), "%b %d %H:%M:%S", &tm);
	used = snprintf(line, sizeof(line), "%s.%03ld [%s] %s: ", stamp, now.tv_nsec / 1000000,
			names[level], out.who);
	va_start(args, fmt);
	n = vsnprintf(line + used, sizeof(line) - (size_t)used - 1, fmt, args);
	va_end(args);
	used = MIN(used + MAX(n, 0), (int)sizeof(line) - 2);
	line[used++] = '\n';
	if (write(out.fd, line, (size_t)used) < 0)
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
