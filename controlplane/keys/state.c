/* state.c - lines of tor's DataDirectory/state: "Keyword value". Whoever else keeps something there
 * finds it unchanged. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "controlplane/keys/internal.h"

#define STATE_MAX (1 << 20)

/* The line at p is of this keyword. */
static bool is_line_of(const char *p, size_t len, const char *keyword)
{
	size_t k = strlen(keyword);

	return len >= k && !strncasecmp(p, keyword, k) && (len == k || p[k] == ' ' || p[k] == '\t');
}

/* The whole file, NUL-terminated, to be freed; empty when it is absent. NULL on errors. */
static char *state_load(const char *data_dir, size_t *len)
{
	char path[PATH_MAX], *text = malloc(STATE_MAX + 1);
	int n;

	if (!text)
		return NULL;
	n = file_read(path_of(path, data_dir, "state"), text, STATE_MAX);
	if (n < 0 && n != ERR_UNKNOWN) {
		free(text);
		return NULL;
	}
	*len = n > 0 ? (size_t)n : 0;
	text[*len] = '\0';
	return text;
}

int state_get(const char *data_dir, const char *keyword, char *value, size_t cap)
{
	size_t len, line;
	char *text = state_load(data_dir, &len);
	int err = ERR_UNKNOWN;

	if (!text)
		return ERR_SYSTEM;
	for (char *p = text; p < text + len; p += line + 1) {
		size_t skip = strlen(keyword);

		line = strcspn(p, "\n");
		if (!is_line_of(p, line, keyword))
			continue;
		skip += strspn(p + skip, " \t");
		if (line - MIN(skip, line) >= cap)
			break;
		memcpy(value, p + skip, line - MIN(skip, line));
		value[line - MIN(skip, line)] = '\0';
		err = 0;
		break;
	}
	free(text);
	return err;
}

int state_set(const char *data_dir, const char *keyword, const char *value)
{
	size_t len, line, out_len = 0, cap;
	char path[PATH_MAX], *text = state_load(data_dir, &len), *out;
	bool placed = !value;
	int err;

	if (!text)
		return ERR_SYSTEM;
	cap = len + strlen(keyword) + (value ? strlen(value) : 0) + 8;
	out = malloc(cap);
	if (!out) {
		free(text);
		return ERR_FULL;
	}
	for (char *p = text; p < text + len; p += line + 1) {
		bool ours;

		line = strcspn(p, "\n");
		ours = is_line_of(p, line, keyword);
		if (ours && placed)
			continue;
		if (ours)
			out_len += (size_t)snprintf(out + out_len, cap - out_len, "%s %s\n",
						    keyword, value);
		else
			out_len += (size_t)snprintf(out + out_len, cap - out_len, "%.*s\n",
						    (int)line, p);
		placed |= ours;
	}
	if (!placed)
		out_len +=
			(size_t)snprintf(out + out_len, cap - out_len, "%s %s\n", keyword, value);
	err = file_write(path_of(path, data_dir, "state"), out, out_len);
	free(out);
	free(text);
	return err;
}
