/* show.c - `ramson status`: the document of the status socket as a table for people. */
#include "controlplane/ops/ops.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define DOCUMENT_MAX (4u << 20)

/* The whole document, NUL-terminated; NULL with errno. */
static char *fetch(const char *path)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char *text = NULL;
	size_t len = 0;
	ssize_t n = 0;

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0)
		text = malloc(DOCUMENT_MAX + 1);
	while (text && len < DOCUMENT_MAX && (n = read(fd, text + len, DOCUMENT_MAX - len)) > 0)
		len += (size_t)n;
	if (text && n < 0) {
		free(text);
		text = NULL;
	}
	if (text)
		text[len] = '\0';
	if (fd >= 0)
		close(fd);
	return text;
}

static long long num(const json_t *o, const char *key)
{
	return (long long)json_integer_value(json_object_get(o, key));
}

static const char *word(const json_t *o, const char *key)
{
	const char *t = json_string_value(json_object_get(o, key));

	return t ? t : "-";
}

/* "12.3 MB": three digits are enough for a person. */
static const char *human(double v, char buf[16])
{
	static const char *const units[] = {"B", "KB", "MB", "GB", "TB"};
	size_t u = 0;

	for (; v >= 1000 && u + 1 < ARRAY_LEN(units); u++)
		v /= 1000;
	snprintf(buf, 16,
		 v < 10 && u	? "%.2f %s"
		 : v < 100 && u ? "%.1f %s"
				: "%.0f %s",
		 v, units[u]);
	return buf;
}

static void show_head(const json_t *root)
{
	const json_t *t = json_object_get(root, "totals");
	long long up = num(root, "uptime_s");
	char in[16], out[16], ein[16], eout[16], mem[16];

	printf("%s  %s %s, up %lldd %02lld:%02lld:%02lld\n", word(root, "nickname"),
	       word(root, "program"), word(root, "version"), up / 86400, up % 86400 / 3600,
	       up % 3600 / 60, up % 60);
	printf("links %lld   circuits %lld   exit streams %lld   memory in queues %s\n",
	       num(t, "n_links"), num(t, "n_circs"), num(t, "n_streams"),
	       human((double)num(t, "mem_bytes"), mem));
	printf("links in %s/s  out %s/s   exits in %s/s  out %s/s   cells relayed %lld/s\n\n",
	       human((double)num(t, "link_in_rate"), in),
	       human((double)num(t, "link_out_rate"), out),
	       human((double)num(t, "exit_in_rate"), ein),
	       human((double)num(t, "exit_out_rate"), eout), num(t, "cells_relayed_rate"));
}

static void show_cores(const json_t *root)
{
	json_t *cores = json_object_get(root, "cores"), *c;
	char in[16], out[16];
	size_t i;

	printf("worker   busy    links  circuits  streams        in/s       out/s     cells/s\n");
	json_array_foreach(cores, i, c)
	{
		printf("%6lld  %4.0f %%  %7lld  %8lld  %7lld  %10s  %10s  %10lld\n",
		       num(c, "worker"), 100 * json_real_value(json_object_get(c, "busy")),
		       num(c, "n_links"), num(c, "n_circs"), num(c, "n_streams"),
		       human((double)num(c, "link_in_rate"), in),
		       human((double)num(c, "link_out_rate"), out), num(c, "cells_relayed_rate"));
	}
	putchar('\n');
}

static void show_value(const char *key, const json_t *v)
{
	if (json_is_integer(v) && json_integer_value(v))
		printf("  %-40s %lld\n", key, (long long)json_integer_value(v));
	else if (json_is_real(v))
		printf("  %-40s %.2f\n", key, json_real_value(v));
	else if (json_is_string(v) && *json_string_value(v))
		printf("  %-40s %s\n", key, json_string_value(v));
	else if (json_is_true(v))
		printf("  %-40s yes\n", key);
}

/* Every object but those that were shown above, values that are not zero. */
static void show_sections(json_t *root)
{
	const char *name, *key;
	json_t *section, *v;

	json_object_foreach(root, name, section)
	{
		if (!json_is_object(section) || strcmp(name, "totals") == 0)
			continue;
		printf("%s\n", name);
		json_object_foreach(section, key, v) show_value(key, v);
	}
}

static int show_once(const char *path, bool json, bool clear)
{
	char *text = fetch(path);
	json_t *root;

	if (!text) {
		fprintf(stderr,
			"ramson: %s: %s: is the relay running, and are you root or its User?\n",
			path, strerror(errno));
		return ERR_SYSTEM;
	}
	if (json) {
		fputs(text, stdout);
		fflush(stdout);
		free(text);
		return 0;
	}
	root = json_loads(text, 0, NULL);
	free(text);
	if (!root) {
		fprintf(stderr, "ramson: %s: the answer is no JSON document\n", path);
		return ERR_SYSTEM;
	}
	if (clear)
		fputs("\033[H\033[2J", stdout);
	show_head(root);
	show_cores(root);
	show_sections(root);
	fflush(stdout);
	json_decref(root);
	return 0;
}

int ops_show(const char *socket_path, bool watch, bool json)
{
	bool clear = watch && isatty(STDOUT_FILENO);
	int rc;

	while ((rc = show_once(socket_path, json, clear)) == 0 && watch)
		sleep(1);
	return rc;
}
