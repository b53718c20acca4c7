/* config.c - loading, comparing and freeing the values of a torrc. */
#include "controlplane/config/internal.h"

#include <stdio.h>
#include <stdlib.h>

/* Is this line's value the one that the text quotes, or does the text quote a piece of it? */
static bool is_quoted(const char *text, const char *value)
{
	const char *open = strchr(text, '"'), *close = open ? strchr(open + 1, '"') : NULL;

	if (*value && strstr(text, value))
		return true;
	return close && close > open + 1 &&
	       memmem(value, strlen(value), open + 1, (size_t)(close - open - 1));
}

/* The line that a message speaks of: a rule knows the value, not where it stood. */
static const struct config_line *line_of(const struct config_lines *l, const char *text)
{
	size_t len = strcspn(text, " :");
	const struct config_line *best = NULL;
	bool quoted = false;

	for (int i = 0; l && i < l->n; i++) {
		const struct config_line *x = &l->v[i];
		bool has_value;

		if (strlen(x->name) != len || strncasecmp(x->name, text, len) != 0)
			continue;
		has_value = is_quoted(text + len, x->value);
		if (has_value || !quoted)
			best = x;
		quoted |= has_value;
	}
	return best;
}

void config_say(struct config_messages *m, bool is_error, const char *file, int line,
		const char *fmt, ...)
{
	struct config_message *v = realloc(m->v, (size_t)(m->n + 1) * sizeof(*v));
	const struct config_line *at;
	char *text = NULL, *whole = NULL;
	va_list args;

	m->n_errors += is_error;
	if (!v)
		return;
	m->v = v;
	va_start(args, fmt);
	if (vasprintf(&text, fmt, args) < 0)
		text = NULL;
	va_end(args);
	if (!file && text && (at = line_of(m->lines, text))) {
		file = at->file;
		line = at->line;
	}
	if (file && line && text && asprintf(&whole, "%s:%d: %s", file, line, text) < 0)
		whole = NULL;
	else if (file && !line && text && asprintf(&whole, "%s: %s", file, text) < 0)
		whole = NULL;
	if (whole)
		free(text);
	v[m->n++] = (struct config_message) {is_error, whole ? whole : text};
}

void config_messages_free(struct config_messages *m)
{
	for (int i = 0; i < m->n; i++)
		free(m->v[i].text);
	free(m->v);
	*m = (struct config_messages) {0};
}

void config_free(struct config *c)
{
	config_derive_drop(c);
	for (int i = 0; i < n_config_options; i++)
		config_types[config_options[i].type].drop(option_field(&config_options[i], c));
	if (c->lines)
		lines_free(c->lines);
	free(c->lines);
	memset(c, 0, sizeof(*c));
}

/* Values, what follows from them, rules: each only when what it stands on is sound. Takes l. */
static int load_lines(struct config_lines *l, struct config *c, struct config_messages *m)
{
	c->lines = malloc(sizeof(*c->lines));
	if (!c->lines) {
		lines_free(l);
		return ERR_FULL;
	}
	*c->lines = *l;
	m->lines = c->lines;
	if (options_apply(c->lines, c, m) == 0) {
		config_derive(c, m);
		config_rules(c, m);
	}
	m->lines = NULL;
	if (!m->n_errors)
		return 0;
	config_free(c);
	return ERR_CONFIG;
}

int config_load(const char *path, char *const args[], int n_args, struct config *c,
		struct config_messages *m)
{
	struct config_lines l = {0};
	int rc;

	memset(c, 0, sizeof(*c));
	rc = lines_file(&l, path, 0, m);
	if (rc == 0)
		rc = lines_args(&l, args, n_args, m);
	if (rc == 0)
		return load_lines(&l, c, m);
	lines_free(&l);
	return rc;
}

int config_parse(const char *text, size_t len, struct config *c, struct config_messages *m)
{
	struct config_lines l = {0};
	int rc;

	memset(c, 0, sizeof(*c));
	rc = lines_text(&l, "torrc", text, len, -1, m);
	if (rc == 0)
		return load_lines(&l, c, m);
	lines_free(&l);
	return rc;
}

bool config_same(const struct config *a, const struct config *b)
{
	for (int i = 0; i < n_config_options; i++) {
		const struct config_option *o = &config_options[i];

		if (!config_types[o->type].same(option_field(o, a), option_field(o, b)))
			return false;
	}
	return true;
}

int config_changed(const struct config *old, struct config *new, struct config_messages *m)
{
	int rc = 0;

	for (int i = 0; i < n_config_options; i++) {
		const struct config_option *o = &config_options[i];
		const struct config_type_row *t = &config_types[o->type];

		if (!o->is_start || t->same(option_field(o, old), option_field(o, new)))
			continue;
		config_say(m, false, NULL, 0,
			   "%s changes only with a restart: its old value stays until "
			   "then",
			   o->name);
		t->copy(option_field(o, new), option_field(o, old));
		rc = ERR_CONFIG;
	}
	if (rc < 0) {
		config_derive(new, m);
		config_rules(new, m);
	}
	return rc;
}

const char *config_addr_text(const struct config *c, const struct addr *a, char buf[ADDR_TEXT])
{
	if (c->scrub == CONFIG_SCRUB_ALL) {
		snprintf(buf, ADDR_TEXT, "[scrubbed]");
		return buf;
	}
	return addr_text(a, buf);
}

enum log_level config_log_level(const struct config *c)
{
	unsigned all = 0;

	for (int i = 0; i < c->n_log_targets; i++)
		all |= c->log_target[i].levels;
	return all ? (enum log_level)(31 - __builtin_clz(all)) : LOG_ERR;
}
