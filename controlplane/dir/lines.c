/* lines.c - splits a document into items: keyword line, maybe an object (dir-spec section 1.2).
 * Every parser of the room reads through it. */
#include "controlplane/dir/text.h"

/* The next line without its end, or p NULL when there is no line end or a NUL is in the way. */
static struct bytes line_take(struct lines *ls)
{
	const uint8_t *nl = memchr(ls->p, '\n', (size_t)(ls->end - ls->p));
	struct bytes b = {NULL, 0};

	if (!nl || memchr(ls->p, 0, (size_t)(nl - ls->p)))
		return b;
	b = bytes_of(ls->p, (size_t)(nl - ls->p));
	ls->p = nl + 1;
	return b;
}

/* The tag of "-----BEGIN tag-----"; len 0 when the line is none. */
static struct bytes tag_of(struct bytes line, const char *begin)
{
	size_t head = strlen(begin);

	if (!bytes_start(line, begin) || line.len < head + 6 ||
	    memcmp(line.p + line.len - 5, "-----", 5) != 0)
		return bytes_of(line.p, 0);
	return bytes_of(line.p + head, line.len - head - 5);
}

static int object_take(struct lines *ls, struct line *l)
{
	struct lines peek = *ls;
	struct bytes line, end;

	if (ls->end - ls->p < 5 || memcmp(ls->p, "-----", 5) != 0)
		return 0;
	line = line_take(&peek);
	l->tag = tag_of(line, "-----BEGIN ");
	if (!line.p || !l->tag.len)
		return ERR_MALFORMED;
	l->object.p = peek.p;
	for (;;) {
		if (peek.p == peek.end)
			return ERR_MALFORMED;
		l->object.len = (size_t)(peek.p - l->object.p);
		line = line_take(&peek);
		if (!line.p)
			return ERR_MALFORMED;
		if (!bytes_start(line, "-----"))
			continue;
		end = tag_of(line, "-----END ");
		if (end.len != l->tag.len || memcmp(end.p, l->tag.p, end.len) != 0)
			return ERR_MALFORMED;
		*ls = peek;
		return 0;
	}
}

int lines_next(struct lines *ls, struct line *l)
{
	struct line got = {0};
	struct bytes rest;

	if (ls->p == ls->end)
		return 0;
	got.start = ls->p;
	rest = line_take(ls);
	if (!rest.p)
		return ERR_MALFORMED;
	if (rest.len && rest.p[rest.len - 1] == '\r')
		rest.len--;
	if (bytes_start(rest, "-----"))
		return ERR_MALFORMED; /* an object with no keyword */
	got.keyword = word_next(&rest);
	if (bytes_are(got.keyword, "opt"))
		got.keyword = word_next(&rest);
	got.args = rest;
	if (object_take(ls, &got))
		return ERR_MALFORMED;
	got.end = ls->p;
	*l = got;
	return 1;
}
