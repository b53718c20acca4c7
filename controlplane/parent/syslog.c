/* syslog.c - the system's log. It stands alone because <syslog.h> takes the names of our levels. */
#include <syslog.h>

void syslog_open(const char *name);
void syslog_line(unsigned severity, const char *text);

void syslog_open(const char *name)
{
	openlog(name, LOG_PID | LOG_NDELAY, LOG_DAEMON);
}

void syslog_line(unsigned severity, const char *text)
{
	static const int priority[] = {LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO, LOG_DEBUG};

	if (severity < sizeof(priority) / sizeof(priority[0]))
		syslog(priority[severity], "%s", text);
}
