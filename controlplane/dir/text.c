/* text.c - words, numbers, times, base16 and base64 of directory documents, read and written. */
#include "controlplane/dir/text.h"

#include <stdio.h>
#include <stdlib.h>

bool bytes_are(struct bytes b, const char *word)
{
	size_t len = strlen(word);

	return b.len == len && memcmp(b.p, word, len) == 0;
}

bool bytes_start(struct bytes b, const char *prefix)
{
	size_t len = strlen(prefix);

	return b.len >= len && memcmp(b.p, prefix, len) == 0;
}

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

struct bytes word_next(struct bytes *rest)
{
	struct bytes w;
	size_t i = 0;

	while (rest->len && is_blank(*rest->p)) {
		rest->p++;
		rest->len--;
	}
	while (i < rest->len && !is_blank(rest->p[i]))
		i++;
	w = bytes_of(rest->p, i);
	while (i < rest->len && is_blank(rest->p[i]))
		i++;
	rest->p += i;
	rest->len -= i;
	return w;
}

bool bytes_copy(struct bytes b, char *to, size_t cap)
{
	to[0] = 0;
	if (b.len >= cap)
		return false;
	if (b.len)
		memcpy(to, b.p, b.len);
	to[b.len] = 0;
	return true;
}

int number_get(struct bytes b, int64_t min, int64_t max, int64_t *v)
{
	int64_t n = 0;
	bool neg = b.len > 1 && b.p[0] == '-';
	size_t i = neg;

	if (!b.len || b.len > 18)
		return ERR_MALFORMED;
	for (; i < b.len; i++) {
		if (b.p[i] < '0' || b.p[i] > '9')
			return ERR_MALFORMED;
		n = n * 10 + (b.p[i] - '0');
	}
	if (neg)
		n = -n;
	if (n < min || n > max)
		return ERR_MALFORMED;
	*v = n;
	return 0;
}

static int hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int hex_get(struct bytes b, uint8_t *out, size_t len)
{
	if (b.len != 2 * len)
		return ERR_MALFORMED;
	for (size_t i = 0; i < b.len; i++)
		if (hex_value(b.p[i]) < 0)
			return ERR_MALFORMED;
	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)(hex_value(b.p[2 * i]) << 4 | hex_value(b.p[2 * i + 1]));
	return 0;
}

static int base64_value(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int base64_get(struct bytes b, uint8_t *out, size_t cap, size_t *len)
{
	uint32_t acc = 0;
	unsigned bits = 0, n_pad = 0;
	size_t n = 0, n_chars = 0;

	for (size_t i = 0; i < b.len; i++) {
		uint8_t c = b.p[i];
		int v;

		if (c == '\n' || c == '\r' || c == ' ')
			continue;
		if (c == '=') {
			n_pad++;
			continue;
		}
		v = base64_value(c);
		if (v < 0 || n_pad)
			return ERR_MALFORMED;
		n_chars++;
		acc = (acc << 6 | (unsigned)v) & 0xffff;
		bits += 6;
		if (bits < 8)
			continue;
		bits -= 8;
		if (n == cap)
			return ERR_MALFORMED;
		out[n++] = (uint8_t)(acc >> bits);
	}
	if (n_chars % 4 == 1 || n_pad > 2 || (n_pad && (n_chars + n_pad) % 4))
		return ERR_MALFORMED;
	*len = n;
	return 0;
}

int base64_exact(struct bytes b, uint8_t *out, size_t len)
{
	uint8_t buf[64];
	size_t got;

	if (len > sizeof(buf) || base64_get(b, buf, sizeof(buf), &got) || got != len)
		return ERR_MALFORMED;
	memcpy(out, buf, len);
	return 0;
}

/* ---- times: the proleptic Gregorian calendar, in eras of 400 years that begin in March ---- */
static int64_t days_of(int64_t y, unsigned m, unsigned d)
{
	int64_t era;
	unsigned yoe, doy;

	y -= m <= 2;
	era = y / 400;
	yoe = (unsigned)(y - era * 400);
	doy = (153 * (m + (m > 2 ? -3u : 9)) + 2) / 5 + d - 1;
	return era * 146097 + (int64_t)(yoe * 365 + yoe / 4 - yoe / 100 + doy) - 719468;
}

struct civil {
	int64_t year;
	unsigned month, day, hour, min, sec, weekday;
};

static struct civil civil_of(int64_t t)
{
	int64_t days = t / 86400 + 719468;
	unsigned s = (unsigned)(t % 86400), doe, yoe, doy, mp;
	struct civil c;
	int64_t era = days / 146097;

	doe = (unsigned)(days - era * 146097);
	yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	mp = (5 * doy + 2) / 153;
	c.day = doy - (153 * mp + 2) / 5 + 1;
	c.month = mp < 10 ? mp + 3 : mp - 9;
	c.year = yoe + era * 400 + (c.month <= 2);
	c.hour = s / 3600;
	c.min = s / 60 % 60;
	c.sec = s % 60;
	c.weekday = (unsigned)((t / 86400 + 4) % 7);
	return c;
}

static int civil_time(const struct civil *c, int64_t *t)
{
	static const uint8_t days[12] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	if (c->year < 1970 || c->month < 1 || c->month > 12 || c->day < 1 ||
	    c->day > days[c->month - 1] || c->hour > 23 || c->min > 59 || c->sec > 60)
		return ERR_MALFORMED;
	*t = days_of(c->year, c->month, c->day) * 86400 + c->hour * 3600 + c->min * 60 + c->sec;
	return 0;
}

/* len digits at p, or -1. */
static int digits(const uint8_t *p, int len)
{
	int v = 0;

	for (int i = 0; i < len; i++) {
		if (p[i] < '0' || p[i] > '9')
			return -1;
		v = v * 10 + p[i] - '0';
	}
	return v;
}

/* "HH:MM:SS" */
static bool clock_get(const uint8_t *p, struct civil *c)
{
	int h = digits(p, 2), m = digits(p + 3, 2), s = digits(p + 6, 2);

	if (h < 0 || m < 0 || s < 0 || p[2] != ':' || p[5] != ':')
		return false;
	c->hour = (unsigned)h;
	c->min = (unsigned)m;
	c->sec = (unsigned)s;
	return true;
}

int time_get(struct bytes b, int64_t *t)
{
	struct civil c = {0};
	int y, m, d;

	if (b.len != 19 || b.p[4] != '-' || b.p[7] != '-' || b.p[10] != ' ')
		return ERR_MALFORMED;
	y = digits(b.p, 4);
	m = digits(b.p + 5, 2);
	d = digits(b.p + 8, 2);
	if (y < 0 || m < 0 || d < 0 || !clock_get(b.p + 11, &c))
		return ERR_MALFORMED;
	c.year = y;
	c.month = (unsigned)m;
	c.day = (unsigned)d;
	return civil_time(&c, t);
}

int time_words(struct bytes *rest, int64_t *t)
{
	struct bytes day = word_next(rest), clock = word_next(rest);

	if (day.len != 10 || clock.len != 8 || clock.p != day.p + 11)
		return ERR_MALFORMED;
	return time_get(bytes_of(day.p, 19), t);
}

static const char *const months[12] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
				       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
static const char *const weekdays[7] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};

int http_time_get(struct bytes b, int64_t *t)
{
	struct civil c = {0};
	int d, y;

	if (b.len != 29 || b.p[3] != ',' || !bytes_are(bytes_of(b.p + 25, 4), " GMT"))
		return ERR_MALFORMED;
	d = digits(b.p + 5, 2);
	y = digits(b.p + 12, 4);
	for (unsigned i = 0; i < 12; i++)
		if (memcmp(b.p + 8, months[i], 3) == 0)
			c.month = i + 1;
	if (d < 0 || y < 0 || !clock_get(b.p + 17, &c))
		return ERR_MALFORMED;
	c.day = (unsigned)d;
	c.year = y;
	return civil_time(&c, t);
}

const uint8_t *bytes_find(struct bytes hay, const char *what)
{
	return hay.len ? memmem(hay.p, hay.len, what, strlen(what)) : NULL;
}

/* ---- writing ---- */
void text_free(struct text *t)
{
	free(t->p);
	memset(t, 0, sizeof(*t));
}

static bool text_room(struct text *t, size_t more)
{
	size_t cap = t->cap ? t->cap : 1024;
	char *p;

	if (t->bad)
		return false;
	if (t->len + more + 1 <= t->cap)
		return true;
	while (cap < t->len + more + 1)
		cap *= 2;
	p = realloc(t->p, cap);
	if (!p) {
		t->bad = true;
		return false;
	}
	t->p = p;
	t->cap = cap;
	return true;
}

void text_add(struct text *t, const void *p, size_t len)
{
	if (!text_room(t, len))
		return;
	if (len)
		memcpy(t->p + t->len, p, len);
	t->len += len;
	t->p[t->len] = 0;
}

void text_str(struct text *t, const char *s)
{
	text_add(t, s, strlen(s));
}

void text_printf(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0 || !text_room(t, (size_t)n))
		return;
	va_start(ap, fmt);
	vsnprintf(t->p + t->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	t->len += (size_t)n;
}

void text_base16(struct text *t, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		text_printf(t, "%02X", p[i]);
}

void text_base64(struct text *t, const uint8_t *p, size_t len, bool padded)
{
	static const char set[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < len; i += 3) {
		size_t n = MIN(len - i, 3);
		uint32_t v =
			(uint32_t)p[i] << 16 | (n > 1 ? p[i + 1] << 8 : 0) | (n > 2 ? p[i + 2] : 0);
		char four[4] = {set[v >> 18], set[v >> 12 & 63], n > 1 ? set[v >> 6 & 63] : '=',
				n > 2 ? set[v & 63] : '='};

		text_add(t, four, padded ? 4 : n + 1);
	}
}

void text_object(struct text *t, const char *tag, const uint8_t *p, size_t len)
{
	text_printf(t, "-----BEGIN %s-----\n", tag);
	for (size_t i = 0; i < len; i += 48) {
		text_base64(t, p + i, MIN(len - i, 48), true);
		text_add(t, "\n", 1);
	}
	text_printf(t, "-----END %s-----\n", tag);
}

void text_time(struct text *t, int64_t when)
{
	struct civil c = civil_of(when);

	text_printf(t, "%04lld-%02u-%02u %02u:%02u:%02u", (long long)c.year, c.month, c.day, c.hour,
		    c.min, c.sec);
}

void text_http_time(struct text *t, int64_t when)
{
	struct civil c = civil_of(when);

	text_printf(t, "%s, %02u %s %04lld %02u:%02u:%02u GMT", weekdays[c.weekday], c.day,
		    months[c.month - 1], (long long)c.year, c.hour, c.min, c.sec);
}
