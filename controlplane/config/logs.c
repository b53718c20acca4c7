/* logs.c - Log lines, as tor(1) has them: [domain,...]min[-max] ... stderr|stdout|syslog|file PATH.
 */
#include "controlplane/config/internal.h"

#include <stdio.h>
#include <stdlib.h>

/* Tor's domains. Our lines have none but this one: what a Log line says of others is checked and
 * does not matter. */
#define OURS "general"
static const char *const domains[] = {
	OURS,	    "crypto",  "net",	  "config",    "fs",	    "protocol", "mm",	   "http",
	"app",	    "control", "circ",	  "rend",      "bug",	    "dir",	"dirserv", "or",
	"edge",	    "acct",    "hist",	  "handshake", "heartbeat", "channel",	"sched",   "guard",
	"consdiff", "dos",     "process", "pt",	       "btrack",    "mesg",
};

static const char *const kinds[] = {"stderr", "stdout", "file", "syslog"};

static const char *skip(const char *p)
{
	return p + strspn(p, " \t");
}

static bool is_word(const char *p, size_t len, const char *word)
{
	return len == strlen(word) && strncasecmp(p, word, len) == 0;
}

static bool is_domain(const char *p, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(domains); i++)
		if (is_word(p, len, domains[i]))
			return true;
	return false;
}

/* "a,~b,*" up to the bracket: whether our lines are meant. -1 when one is no domain. */
static int parse_domains(const char *p, const char *end)
{
	bool named = false, denied = false, only_denials = true;

	for (;;) {
		const char *comma = memchr(p, ',', (size_t)(end - p)), *stop = comma ? comma : end;
		bool is_not;

		p = skip(p);
		while (stop > p && (stop[-1] == ' ' || stop[-1] == '\t'))
			stop--;
		is_not = p < stop && *p == '~';
		p += is_not;
		if (!is_domain(p, (size_t)(stop - p)) && (is_not || stop - p != 1 || *p != '*'))
			return -1;
		only_denials &= is_not;
		if (*p == '*' || is_word(p, (size_t)(stop - p), OURS))
			*(is_not ? &denied : &named) = true;
		if (!comma)
			return (named || only_denials) && !denied;
		p = comma + 1;
	}
}

/* "min" or "min-max", from the less to the more severe: the levels between. 0 when wrong. */
static unsigned parse_range(const char *p, size_t len)
{
	const char *dash = memchr(p, '-', len);
	int low = log_level_of(p, dash ? (size_t)(dash - p) : len), high = LOG_ERR;

	if (dash)
		high = log_level_of(dash + 1, len - (size_t)(dash + 1 - p));
	if (low < 0 || high < 0 || high > low)
		return 0;
	return (2u << low) - (1u << high);
}

static int kind_at(const char *p, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (is_word(p, len, kinds[i]))
			return (int)i;
	return -1;
}

/* One [domains]range; moves *at behind it. */
static bool parse_part(const char **at, unsigned *levels)
{
	const char *p = *at, *end;
	unsigned range;
	size_t len;
	int ours = 1;

	if (*p == '[') {
		end = strchr(p, ']');
		ours = end ? parse_domains(p + 1, end) : -1;
		if (ours < 0)
			return false;
		p = end + 1;
	}
	len = strcspn(p, " \t");
	range = parse_range(p, len);
	*levels |= ours ? range : 0;
	*at = skip(p + len);
	return range != 0;
}

/* Without a target the line goes to standard output, as with tor. */
static bool parse_log(const char *line, struct config_log *to)
{
	const char *p = skip(line), *end;
	int kind = -1;

	*to = (struct config_log) {.kind = CONFIG_LOG_STDOUT};
	if (!*p || kind_at(p, strcspn(p, " \t")) >= 0)
		return false;
	while (*p && (kind = kind_at(p, strcspn(p, " \t"))) < 0)
		if (!parse_part(&p, &to->levels))
			return false;
	if (kind < 0)
		return true;
	to->kind = (unsigned)kind;
	p = skip(p + strlen(kinds[kind]));
	if (kind != CONFIG_LOG_FILE)
		return !*p;
	for (end = p + strlen(p); end > p && (end[-1] == ' ' || end[-1] == '\t');)
		end--;
	to->path = end > p ? strndup(p, (size_t)(end - p)) : NULL; /* it may hold blanks */
	return to->path;
}

void logs_drop(struct config *c)
{
	for (int i = 0; i < c->n_log_targets; i++)
		free(c->log_target[i].path);
	c->n_log_targets = 0;
}

void derive_logs(struct config *c, struct config_messages *m)
{
	logs_drop(c);
	for (int i = 0; i < c->log.n; i++) {
		if (c->n_log_targets == CONFIG_LOGS)
			config_say(m, true, NULL, 0, "more than %d Log lines: remove some",
				   CONFIG_LOGS);
		else if (parse_log(c->log.v[i], &c->log_target[c->n_log_targets]))
			c->n_log_targets++;
		else
			config_say(m, true, NULL, 0,
				   "Log \"%s\" is not possible: write it like \"notice stdout\", "
				   "\"info-notice file /var/log/ramson.log\" or \"[~net]debug "
				   "syslog\"",
				   c->log.v[i]);
	}
	if (!c->n_log_targets)
		c->log_target[c->n_log_targets++] =
			(struct config_log) {(2u << LOG_NOTICE) - 1, CONFIG_LOG_STDOUT, NULL};
}
