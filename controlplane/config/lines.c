/* lines.c - tor's torrc syntax: a file as a list of name, value and place. Comments, quoted values,
 * continued lines, %include with patterns, and tor's command-line form of the same. */
#include "controlplane/config/internal.h"

#include <ctype.h>
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static int lines_add(struct config_lines *l, struct config_line line)
{
	if (l->n == CONFIG_LINES_MAX)
		return ERR_FULL;
	if (l->n == l->cap) {
		int cap = l->cap ? 2 * l->cap : 64;
		struct config_line *v = realloc(l->v, (size_t)cap * sizeof(*v));

		if (!v)
			return ERR_FULL;
		l->v = v;
		l->cap = cap;
	}
	l->v[l->n++] = line;
	return 0;
}

/* A copy of a file's name that lives as long as the lines. */
static const char *lines_name(struct config_lines *l, const char *file)
{
	char **v = realloc(l->files, (size_t)(l->n_files + 1) * sizeof(*v));
	char *name = strdup(file);

	if (v)
		l->files = v;
	if (!v || !name) {
		free(name);
		return "torrc";
	}
	return l->files[l->n_files++] = name;
}

void lines_free(struct config_lines *l)
{
	for (int i = 0; i < l->n; i++) {
		free(l->v[i].name);
		free(l->v[i].value);
	}
	for (int i = 0; i < l->n_files; i++)
		free(l->files[i]);
	free(l->v);
	free(l->files);
	*l = (struct config_lines) {0};
}

/* Where the reading stands. */
struct cursor {
	const char *p, *end;
	int line;
};

static char cur(const struct cursor *c)
{
	return c->p < c->end ? *c->p : '\0';
}

static void step(struct cursor *c)
{
	if (cur(c) == '\n')
		c->line++;
	if (c->p < c->end)
		c->p++;
}

static void skip_comment(struct cursor *c)
{
	while (c->p < c->end && *c->p != '\n')
		c->p++;
}

static bool at_continuation(const struct cursor *c)
{
	return cur(c) == '\\' && ((c->p + 1 < c->end && c->p[1] == '\n') ||
				  (c->p + 2 < c->end && c->p[1] == '\r' && c->p[2] == '\n'));
}

/* Blanks, empty lines and comments before a keyword. */
static void skip_to_keyword(struct cursor *c)
{
	for (;;) {
		while (c->p < c->end && isspace((unsigned char)*c->p))
			step(c);
		if (cur(c) != '#')
			return;
		skip_comment(c);
	}
}

/* One escape of a quoted value, the backslash already passed; -1 when it is none. */
static int escape(struct cursor *c)
{
	static const char plain[][2] = {{'n', '\n'}, {'r', '\r'},  {'t', '\t'},
					{'"', '"'},  {'\\', '\\'}, {'\'', '\''}};
	int v = 0, digits = 0;

	for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
		if (cur(c) == plain[i][0]) {
			c->p++;
			return plain[i][1];
		}
	}
	if ((cur(c) | 0x20) == 'x' && c->end - c->p >= 3 && isxdigit((unsigned char)c->p[1]) &&
	    isxdigit((unsigned char)c->p[2])) {
		char hex[3] = {c->p[1], c->p[2], 0};

		c->p += 3;
		return (int)strtol(hex, NULL, 16);
	}
	for (; digits < 3 && cur(c) >= '0' && cur(c) <= '7'; digits++)
		v = 8 * v + *c->p++ - '0';
	return digits && v < 256 ? v : -1;
}

/* "text" with escapes; NULL with *why. An escape may not smuggle a NUL in. */
static char *quoted(struct cursor *c, const char **why)
{
	char *out = malloc((size_t)(c->end - c->p) + 1), *to = out;
	bool bad = !out;

	c->p++;
	while (!bad && cur(c) != '"') {
		int v = (unsigned char)cur(c);

		if (c->p == c->end || v == '\n') {
			*why = "the quoted value has no end: close it with a \"";
			bad = true;
			break;
		}
		c->p++;
		if (v == '\\')
			v = escape(c);
		if (v <= 0) {
			*why = "no such escape in a quoted value: write \\\\ for a backslash";
			bad = true;
			break;
		}
		*to++ = (char)v;
	}
	if (bad) {
		free(out);
		return NULL;
	}
	c->p++;
	*to = '\0';
	while (cur(c) == ' ' || cur(c) == '\t' || cur(c) == '\r')
		c->p++;
	if (c->p < c->end && cur(c) != '#' && cur(c) != '\n') {
		*why = "there is more behind the quoted value: quote all of it, or nothing";
		free(out);
		return NULL;
	}
	return out;
}

/* The rest of a line, joined with its continuations. Behind a continuation a comment takes out its
 * own line only. */
static char *plain(struct cursor *c)
{
	char *out = malloc((size_t)(c->end - c->p) + 1), *to = out;
	bool continued = false;

	if (!out)
		return NULL;
	while (c->p < c->end && *c->p != '\n' && (*c->p != '#' || continued)) {
		if (at_continuation(c)) {
			continued = true;
			while (cur(c) != '\n')
				step(c);
			step(c);
		} else if (*c->p == '#') {
			skip_comment(c);
			step(c);
		} else {
			*to++ = *c->p++;
		}
	}
	while (to > out && isspace((unsigned char)to[-1]))
		to--;
	*to = '\0';
	memmove(out, out + strspn(out, " \t"), strlen(out + strspn(out, " \t")) + 1);
	return out;
}

static int lines_include(struct config_lines *l, const char *file, int line, const char *pattern,
			 int depth, struct config_messages *m);

/* Takes name and value over. */
static int take(struct config_lines *l, const char *file, int line, char *name, char *value,
		int depth, struct config_messages *m)
{
	struct config_line new = {.value = value, .file = file, .line = line};
	int rc;

	if (strcasecmp(name, "%include") == 0) {
		rc = lines_include(l, file, line, value, depth, m);
		free(name);
		free(value);
		return rc;
	}
	new.mode = *name == '+' || *name == '/' ? *name : 0;
	if (new.mode)
		memmove(name, name + 1, strlen(name));
	new.name = name;
	if (lines_add(l, new) == 0)
		return 0;
	free(name);
	free(value);
	config_say(m, true, file, line, "more than %d lines: shorten the file", CONFIG_LINES_MAX);
	return ERR_CONFIG;
}

static int next_line(struct config_lines *l, const char *file, struct cursor *c, int depth,
		     struct config_messages *m)
{
	const char *start = c->p, *why = "out of memory";
	int line = c->line;
	char *name, *value;

	while (c->p < c->end && !isspace((unsigned char)*c->p) && *c->p != '#' &&
	       !at_continuation(c))
		c->p++;
	name = strndup(start, (size_t)(c->p - start));
	while (cur(c) == ' ' || cur(c) == '\t')
		c->p++;
	value = cur(c) == '"' ? quoted(c, &why) : plain(c);
	if (!name || !value) {
		config_say(m, true, file, line, "%s: %s", name ? name : "?", why);
		free(name);
		free(value);
		return ERR_CONFIG;
	}
	return take(l, file, line, name, value, depth, m);
}

int lines_text(struct config_lines *l, const char *file, const char *text, size_t len, int depth,
	       struct config_messages *m)
{
	struct cursor c = {text, text + len, 1};
	const char *name = lines_name(l, file);
	int rc = 0;

	if (memchr(text, '\0', len)) {
		config_say(m, true, name, 0, "a zero byte is in it: this is no torrc");
		return ERR_CONFIG;
	}
	skip_to_keyword(&c);
	while (c.p < c.end && rc == 0) {
		rc = next_line(l, name, &c, depth, m);
		if (cur(&c) == '#')
			skip_comment(&c);
		skip_to_keyword(&c);
	}
	return rc;
}

static char *slurp(const char *path, size_t *len)
{
	FILE *f = fopen(path, "re");
	char *text = NULL;

	if (!f)
		return NULL;
	text = malloc(CONFIG_TEXT_MAX + 1);
	if (text) {
		*len = fread(text, 1, CONFIG_TEXT_MAX + 1, f);
		if (ferror(f) || *len > CONFIG_TEXT_MAX) {
			errno = ferror(f) ? EISDIR : EFBIG;
			free(text);
			text = NULL;
		}
	}
	fclose(f);
	return text;
}

int lines_file(struct config_lines *l, const char *path, int depth, struct config_messages *m)
{
	size_t len = 0;
	char *text = slurp(path, &len);
	int rc;

	if (!text) {
		config_say(m, true, NULL, 0, "%s: %s: name a torrc that can be read with -f", path,
			   strerror(errno));
		return ERR_CONFIG;
	}
	rc = lines_text(l, path, text, len, depth, m);
	free(text);
	return rc;
}

/* A directory stands for its files, in order, but for those that begin with a dot. */
static int include_path(struct config_lines *l, const char *path, int depth,
			struct config_messages *m)
{
	struct stat st;
	char pattern[4096];
	glob_t found;
	int rc = 0;

	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return lines_file(l, path, depth, m);
	snprintf(pattern, sizeof(pattern), "%s/*", path);
	if (glob(pattern, 0, NULL, &found) != 0)
		return 0;
	for (size_t i = 0; i < found.gl_pathc && rc == 0; i++) {
		if (stat(found.gl_pathv[i], &st) == 0 && S_ISREG(st.st_mode))
			rc = lines_file(l, found.gl_pathv[i], depth, m);
	}
	globfree(&found);
	return rc;
}

static int lines_include(struct config_lines *l, const char *file, int line, const char *pattern,
			 int depth, struct config_messages *m)
{
	glob_t found;
	int rc = 0, got;

	if (depth < 0 || depth >= CONFIG_INCLUDE_DEPTH) {
		config_say(m, true, file, line, "%%include %s: %s", pattern,
			   depth < 0 ? "not possible here"
				     : "files include each other in a circle: remove one line");
		return ERR_CONFIG;
	}
	got = glob(pattern, 0, NULL, &found);
	/* As in tor, a pattern may match nothing; a plain name must be there. */
	if (got == GLOB_NOMATCH && strpbrk(pattern, "*?["))
		return 0;
	if (got != 0) {
		config_say(m, true, file, line,
			   "%%include %s: no such file: mend the path, or "
			   "remove the line",
			   pattern);
		return ERR_CONFIG;
	}
	for (size_t i = 0; i < found.gl_pathc && rc == 0; i++)
		rc = include_path(l, found.gl_pathv[i], depth + 1, m);
	globfree(&found);
	return rc;
}

/* "--Name", "Name", "+Name" or "/Name" (which has no value), then the value. */
int lines_args(struct config_lines *l, char *const args[], int n, struct config_messages *m)
{
	const char *file = lines_name(l, "command line");

	for (int i = 0; i < n; i++) {
		const char *name = args[i] + strspn(args[i], "-");
		bool has_value = *name != '/';
		int at = l->n;

		if (has_value && i + 1 >= n) {
			config_say(m, true, file, 0, "%s: a value must follow", args[i]);
			return ERR_CONFIG;
		}
		char *a = strdup(name), *b = strdup(has_value ? args[++i] : "");

		if (!a || !b || take(l, file, 0, a, b, -1, m) < 0)
			return ERR_CONFIG;
		if (l->n > at)
			l->v[at].by_arg = true;
	}
	return 0;
}
