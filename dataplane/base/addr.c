/* addr.c - addresses to and from text, constant-time comparison, wiping. */
#include "dataplane/base/base.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

/* A decimal port 0..65535 and nothing after it. */
static bool port_parse(const char *text, uint16_t *port)
{
	char *end;
	unsigned long v;

	if (*text < '0' || *text > '9')
		return false;
	v = strtoul(text, &end, 10);
	if (*end || v > 65535)
		return false;
	*port = (uint16_t)v;
	return true;
}

int addr_parse(struct addr *a, const char *text)
{
	struct addr out = {0};
	char host[64];
	const char *port = NULL, *end;
	bool bracket = text[0] == '[';
	size_t len;

	if (bracket) {
		end = strchr(++text, ']');
		if (!end || (end[1] && end[1] != ':'))
			return ERR_MALFORMED;
		port = end[1] ? end + 2 : NULL;
	} else {
		end = strchr(text, ':');
		if (end && !strchr(end + 1, ':'))
			port = end + 1;
		else
			end = text + strlen(text);
	}
	len = (size_t)(end - text);
	if (len >= sizeof(host))
		return ERR_MALFORMED;
	memcpy(host, text, len);
	host[len] = '\0';
	if (!bracket && inet_pton(AF_INET, host, out.ip) == 1)
		out.family = 4;
	else if (inet_pton(AF_INET6, host, out.ip) == 1 && (bracket || !port))
		out.family = 6;
	else
		return ERR_MALFORMED;
	if (port && !port_parse(port, &out.port))
		return ERR_MALFORMED;
	*a = out;
	return 0;
}

const char *addr_text(const struct addr *a, char buf[ADDR_TEXT])
{
	char ip[INET6_ADDRSTRLEN] = "none";

	if (a->family == 4 || a->family == 6)
		inet_ntop(a->family == 4 ? AF_INET : AF_INET6, a->ip, ip, sizeof(ip));
	if (!a->port)
		snprintf(buf, ADDR_TEXT, "%s", ip);
	else if (a->family == 6)
		snprintf(buf, ADDR_TEXT, "[%s]:%u", ip, a->port);
	else
		snprintf(buf, ADDR_TEXT, "%s:%u", ip, a->port);
	return buf;
}

void wipe(void *p, size_t len)
{
	explicit_bzero(p, len);
}

bool same_bytes(const void *a, const void *b, size_t len)
{
	const volatile uint8_t *x = a, *y = b;
	uint8_t diff = 0;

	for (size_t i = 0; i < len; i++)
		diff |= x[i] ^ y[i];
	return diff == 0;
}
