/* http.c - heads of HTTP/1.0 requests and answers, read line by line. */
#include "controlplane/dir/http.h"

#include <stdlib.h>

#include "controlplane/dir/dir.h"
#include "controlplane/dir/text.h"

/* The end of the head: behind the first empty line. NULL: not here yet. */
static const uint8_t *head_end(struct bytes b)
{
	const uint8_t *crlf = bytes_find(b, "\r\n\r\n"), *lf = bytes_find(b, "\n\n");

	if (crlf && (!lf || crlf < lf))
		return crlf + 4;
	return lf ? lf + 2 : NULL;
}

static struct bytes line_of(struct bytes *rest)
{
	const uint8_t *nl = memchr(rest->p, '\n', rest->len);
	struct bytes l = bytes_of(rest->p, nl ? (size_t)(nl - rest->p) : rest->len);
	size_t used = l.len + (nl != NULL);

	*rest = bytes_of(rest->p + used, rest->len - used);
	if (l.len && l.p[l.len - 1] == '\r')
		l.len--;
	return l;
}

static struct bytes trim(struct bytes b)
{
	while (b.len && (*b.p == ' ' || *b.p == '\t'))
		b = bytes_of(b.p + 1, b.len - 1);
	while (b.len && (b.p[b.len - 1] == ' ' || b.p[b.len - 1] == '\t'))
		b.len--;
	return b;
}

/* The value of a header line when it has this name (which ends in ':'), in any case. */
static bool header_is(struct bytes line, const char *name, struct bytes *value)
{
	size_t len = strlen(name);

	if (line.len < len || strncasecmp((const char *)line.p, name, len) != 0)
		return false;
	*value = trim(bytes_of(line.p + len, line.len - len));
	return true;
}

static unsigned encodings_of(struct bytes list)
{
	unsigned mask = 1u << ENC_IDENTITY;

	while (list.len) {
		const uint8_t *comma = memchr(list.p, ',', list.len);
		size_t n = comma ? (size_t)(comma - list.p) : list.len;
		enum encoding e = encoding_find(trim(bytes_of(list.p, n)));

		if (e < N_ENCODINGS)
			mask |= 1u << e;
		n += comma != NULL;
		list = bytes_of(list.p + n, list.len - n);
	}
	return mask;
}

static int request_header(struct http_request *r, struct bytes line)
{
	struct bytes v;

	if (header_is(line, "Accept-Encoding:", &v))
		r->encodings |= encodings_of(v);
	else if (header_is(line, "If-Modified-Since:", &v))
		http_time_get(v, &r->modified_since); /* unreadable: as if not given */
	else if (header_is(line, "X-Or-Diff-From-Consensus:", &v))
		r->diff_from = v;
	else if (header_is(line, "Content-Length:", &v))
		return number_get(v, 0, 1 << 30, &r->content_len);
	return 0;
}

int http_request_get(struct http_request *out, const uint8_t *p, size_t len)
{
	struct http_request r = {.encodings = 1u << ENC_IDENTITY};
	const uint8_t *end = head_end(bytes_of(p, len));
	struct bytes rest, line, method;

	if (!end)
		return ERR_NOT_NOW;
	r.head_len = (size_t)(end - p);
	if (memchr(p, 0, r.head_len))
		return ERR_MALFORMED;
	rest = bytes_of(p, r.head_len);
	line = line_of(&rest);
	method = word_next(&line);
	r.is_get = bytes_are(method, "GET");
	r.is_post = bytes_are(method, "POST");
	r.url = word_next(&line);
	if ((!r.is_get && !r.is_post) || !r.url.len || !bytes_start(line, "HTTP/1."))
		return ERR_MALFORMED;
	while (rest.len) {
		line = line_of(&rest);
		if (request_header(&r, line))
			return ERR_MALFORMED;
	}
	*out = r;
	return 0;
}

static int answer_header(struct http_answer *a, struct bytes line)
{
	struct bytes v;

	if (header_is(line, "Content-Encoding:", &v))
		a->encoding = encoding_find(v);
	else if (header_is(line, "Content-Length:", &v))
		return number_get(v, 0, 1 << 30, &a->content_len);
	return 0;
}

int http_answer_get(struct http_answer *out, const uint8_t *p, size_t len)
{
	struct http_answer a = {.encoding = ENC_IDENTITY, .content_len = -1};
	const uint8_t *end = head_end(bytes_of(p, len));
	struct bytes rest, line;
	int64_t status;

	if (!end)
		return ERR_NOT_NOW;
	a.head_len = (size_t)(end - p);
	rest = bytes_of(p, a.head_len);
	line = line_of(&rest);
	if (!bytes_start(word_next(&line), "HTTP/1.") ||
	    number_get(word_next(&line), 100, 999, &status))
		return ERR_MALFORMED;
	a.status = (int)status;
	a.reason = line;
	while (rest.len) {
		line = line_of(&rest);
		if (answer_header(&a, line))
			return ERR_MALFORMED;
	}
	*out = a;
	return 0;
}

static int body_copy(struct bytes from, uint8_t **body, size_t *body_len)
{
	uint8_t *p = malloc(from.len + 1);

	if (!p)
		return ERR_FULL;
	if (from.len)
		memcpy(p, from.p, from.len);
	p[from.len] = 0;
	*body = p;
	*body_len = from.len;
	return 0;
}

int dir_http_answer(const uint8_t *p, size_t len, size_t max_len, uint8_t **body, size_t *body_len)
{
	struct http_answer a;
	struct bytes raw;
	int error = http_answer_get(&a, p, len);

	if (error)
		return ERR_MALFORMED;
	raw = bytes_of(p + a.head_len, len - a.head_len);
	if (a.content_len >= 0 && (uint64_t)a.content_len > raw.len)
		return ERR_MALFORMED; /* cut short */
	if (a.content_len >= 0)
		raw.len = (size_t)a.content_len;
	if (!raw.len)
		error = body_copy(a.status == 200 ? raw : a.reason, body, body_len);
	else if (a.encoding == N_ENCODINGS)
		error = ERR_MALFORMED;
	else
		error = pack_all(a.encoding, UNPACK, raw.p, raw.len, max_len, body, body_len);
	return error ? error : a.status;
}
