/* text.h - the words of directory documents: tokens, numbers, times, base16 and base64, a growing
 * buffer to write documents in, and the splitter of documents into lines and objects (dir-spec
 * section 1.2). Bounded and zero-copy: what it hands out points into the document. */
#ifndef RAMSON_DIR_TEXT_H
#define RAMSON_DIR_TEXT_H

#include "dataplane/base/base.h"

/* ---- reading ---- */
static inline struct bytes bytes_of(const void *p, size_t len)
{
	return (struct bytes) {p, len};
}
/* Exactly this word? */
bool bytes_are(struct bytes b, const char *word);
bool bytes_start(struct bytes b, const char *prefix);
/* The next word (up to a space or tab), taken off rest with the blanks behind it; len 0 at the end.
 */
struct bytes word_next(struct bytes *rest);
/* A copy of at most cap - 1 bytes with a NUL; false when it does not fit (to is then ""). */
bool bytes_copy(struct bytes b, char *to, size_t cap);
/* All of b is one decimal number between min and max. 0 or ERR_MALFORMED. */
int number_get(struct bytes b, int64_t min, int64_t max, int64_t *v);
/* b is exactly 2 * len hex digits, either case. 0 or ERR_MALFORMED. */
int hex_get(struct bytes b, uint8_t *out, size_t len);
/* b is base64, padded or not, with line ends inside. 0 and *len, or ERR_MALFORMED when it is not
 * or is longer than cap; out may then be written. */
int base64_get(struct bytes b, uint8_t *out, size_t cap, size_t *len);
/* The same when exactly len bytes must come out. */
int base64_exact(struct bytes b, uint8_t *out, size_t len);
/* "YYYY-MM-DD HH:MM:SS", seconds of UTC since 1970. 0 or ERR_MALFORMED. */
int time_get(struct bytes b, int64_t *t);
/* The same from two words of a line. */
int time_words(struct bytes *rest, int64_t *t);
/* "Mon, 23 Nov 2026 06:00:00 GMT" as HTTP has it; 0 or ERR_MALFORMED. */
int http_time_get(struct bytes b, int64_t *t);
/* The position of what in hay, or NULL. */
const uint8_t *bytes_find(struct bytes hay, const char *what);

/* ---- splitting: one item is a keyword line and maybe an object below it ---- */
struct line {
	struct bytes keyword;
	struct bytes args;	    /* the rest of the line */
	struct bytes tag;	    /* of "-----BEGIN tag-----"; len 0: no object */
	struct bytes object;	    /* base64 between BEGIN and END */
	const uint8_t *start, *end; /* of the whole item, with its last line end */
};
struct lines {
	const uint8_t *p, *end;
};
static inline struct lines lines_of(const void *p, size_t len)
{
	const uint8_t *b = p;

	return (struct lines) {b, b + len};
}
/* The next item: 1 and *l; 0 at the end; ERR_MALFORMED: a NUL, a line without end, an object
 * without its END. "opt" before a keyword is passed over; empty lines and annotations ("@") are
 * items with that keyword (empty or "@..."). */
int lines_next(struct lines *ls, struct line *l);

/* ---- writing ---- */
struct text {
	char *p;
	size_t len, cap;
	bool bad; /* memory was short: what was written since is lost */
};
void text_free(struct text *t);
void text_add(struct text *t, const void *p, size_t len);
void text_str(struct text *t, const char *s);
void text_printf(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void text_base16(struct text *t, const uint8_t *p, size_t len); /* upper case */
void text_base64(struct text *t, const uint8_t *p, size_t len, bool padded);
/* "-----BEGIN tag-----", base64 in lines of 64, "-----END tag-----". */
void text_object(struct text *t, const char *tag, const uint8_t *p, size_t len);
/* "YYYY-MM-DD HH:MM:SS" */
void text_time(struct text *t, int64_t when);
void text_http_time(struct text *t, int64_t when);

#endif
