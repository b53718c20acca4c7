/* options.c - the command line of ramson-load: one row for each option. */
#include "bench/load/load.h"

#include <stdio.h>
#include <stdlib.h>

static void usage(int status);

static __attribute__((noreturn, format(printf, 1, 2))) void wrong(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fprintf(stderr, "ramson-load: ");
	vfprintf(stderr, fmt, args);
	fprintf(stderr, "\n");
	va_end(args);
	exit(2);
}

static void set_text(void *to, const char *name, const char *text)
{
	*(const char **)to = text;
}

static void set_number(void *to, const char *name, const char *text)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	if (*end || end == text || v > 10000000)
		wrong("%s %s: not a number up to 10000000", name, text);
	*(unsigned *)to = (unsigned)v;
}

static void set_seconds(void *to, const char *name, const char *text)
{
	char *end;
	double v = strtod(text, &end);

	if (*end || end == text || !(v >= 0) || v > 1e12)
		wrong("%s %s: not a number", name, text);
	*(double *)to = v;
}

static void set_addr(void *to, const char *name, const char *text)
{
	if (addr_parse(to, text) < 0)
		wrong("%s %s: not an address", name, text);
}

static void set_prefix(void *to, const char *name, const char *text)
{
	if (net_prefix_parse(to, text) < 0)
		wrong("%s %s: not ADDRESS/PREFIX", name, text);
}

static void set_direction(void *to, const char *name, const char *text)
{
	static const char *const names[] = {"", "up", "down", "both"};

	for (unsigned i = 1; i < ARRAY_LEN(names); i++)
		if (!strcmp(text, names[i])) {
			*(unsigned *)to = i;
			return;
		}
	wrong("%s %s: up, down or both", name, text);
}

static void set_handshake(void *to, const char *name, const char *text)
{
	static const char *const names[] = {"", "fast", "ntor", "ntor3"};

	for (uint16_t i = 1; i < ARRAY_LEN(names); i++)
		if (!strcmp(text, names[i])) {
			*(uint16_t *)to = i;
			return;
		}
	wrong("%s %s: fast, ntor or ntor3", name, text);
}

static void set_pid(void *to, const char *name, const char *text)
{
	struct options *o = to;

	if (o->n_pids == LOAD_PIDS)
		wrong("%s: at most %d of them", name, LOAD_PIDS);
	set_number(&o->pid[o->n_pids++], name, text);
}

static void set_shares(void *to, const char *name, const char *text)
{
	struct options *o = to;
	char *end;

	for (o->n_shares = 0;; text = end + 1) {
		double v = strtod(text, &end);

		if (end == text || !(v > 0) || v > 100 || (*end && *end != ',') ||
		    o->n_shares == LOAD_SHARES)
			wrong("%s: at most %d numbers of 1 to 100, with commas", name, LOAD_SHARES);
		o->share[o->n_shares++] = v / 100;
		if (!*end)
			return;
	}
}

static void set_true(void *to, const char *name, const char *text)
{
	*(bool *)to = true;
}

static const struct row {
	const char *name, *arg, *what;
	size_t at;
	void (*set)(void *to, const char *name, const char *text);
} rows[] = {
#define ROW(name, arg, field, set, what)                                                           \
	{                                                                                          \
		name, arg, what, offsetof(struct options, field), set                              \
	}
	ROW("--port", "KIND:ARGS", port, set_text, "memif:SOCKET[,server], af_packet:IF, ..."),
	ROW("--address", "A/P", address, set_prefix, "our own address on that port"),
	ROW("--gateway", "ADDR", gateway, set_addr, "next hop, if the relay is not on-link"),
	ROW("--relay", "ADDR:PORT", relay, set_addr, "where the relay under test listens"),
	ROW("--descriptor", "FILE", descriptor, set_text,
	    "its server descriptor; else it is fetched by BEGIN_DIR"),
	ROW("--links", "N", n_links, set_number, "client links, 1 to 10000"),
	ROW("--circuits", "N", n_circs, set_number, "circuits over all of them, 1 to 100000"),
	ROW("--sinks", "N", n_sinks, set_number, "next hops, each a relay of its own (1 to 64)"),
	ROW("--streams", "N", n_streams, set_number, "exit: streams on each circuit"),
	ROW("--direction", "D", direction, set_direction, "up, down or both"),
	ROW("--handshake", "H", handshake, set_handshake, "fast, ntor or ntor3"),
	ROW("--cc", NULL, cc, set_true,
	    "congestion control is asked for, by ntor3; exit: our own window is 1000 cells"),
	ROW("--cgo", NULL, cgo, set_true,
	    "Counter Galois Onion is asked for, with congestion control"),
	ROW("--window", "N", window, set_number, "cells under way on a circuit, each direction"),
	ROW("--flight", "N", flight, set_number, "cells under way in all; 0: as --window allows"),
	ROW("--run", "N", run, set_number, "cells of a circuit behind each other"),
	ROW("--burst", "N", burst, set_number,
	    "a link waits for so many cells (1 to 31) and sends them as one record, and no other "
	    "before that has left; 1: one cell at a time"),
	ROW("--record", "N", record, set_number, "most cells in one TLS record, 1 to 31"),
	ROW("--pending", "N", pending, set_number, "handshakes at once"),
	ROW("--rate", "CELLS/S", rate, set_seconds, "cells a second in all; 0: as many as go"),
	{"--shares", "LIST", "latency: loads in percent, e.g. 10,50,90", 0, set_shares},
	ROW("--sink-rate", "BYTES/S", sink_rate, set_seconds,
	    "thin: what the sinks read, all together; 0: what comes"),
	ROW("--rcvbuf", "KB", rcvbuf, set_number, "what TCP takes ahead of the reader, 16 and up"),
	ROW("--every", "MS", every_ms, set_seconds, "thin: from one timed cell to the next"),
	ROW("--warmup", "S", warmup_s, set_seconds, "seconds before the measurement"),
	ROW("--time", "S", time_s, set_seconds, "seconds of measurement"),
	ROW("--suite", "S", suite, set_text, "aes128, aes256 or chacha"),
	ROW("--keys", "DIR", keys_dir, set_text, "keeps the sinks' keys there"),
	ROW("--mem", "MB", mem_mb, set_number, "for TCP's buffers"),
	ROW("--mtu", "N", mtu, set_number, "of IP, if less than the port's"),
	ROW("--core", "N", cores, set_text, "the core to run on"),
	{"--pid", "PID", "a process of the relay, for CPU time and memory (repeat)", 0, set_pid},
	ROW("--cgroup", "DIR", cgroup, set_text, "the relay's cgroup: its processes and its quota"),
	ROW("--quota", "PERCENT", quota, set_number,
	    "of a core, for that cgroup, once links and circuits stand"),
	ROW("--period", "US", period_us, set_number, "of that quota"),
	ROW("--json", NULL, json, set_true, "one JSON object in place of the table"),
	ROW("--quiet", NULL, quiet, set_true, "no progress line"),
#undef ROW
};

static void usage(int status)
{
	FILE *f = status ? stderr : stdout;

	fprintf(f,
		"usage: ramson-load MODE --port KIND:ARGS --address A/P --relay ADDR:PORT ...\n\n");
	for (const struct load_mode *m = load_modes; m->name; m++)
		fprintf(f, "  %-10s %s\n", m->name, m->what);
	fprintf(f, "\n");
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
		fprintf(f, "  %-12s %-10s %s\n", rows[i].name, rows[i].arg ? rows[i].arg : "",
			rows[i].what);
	exit(status);
}

static void check(struct options *o)
{
	if (!o->port || !o->address.ip.family)
		wrong("--port and --address are needed: they say where we stand");
	if (o->address.ip.family != 4)
		wrong("--address: IPv4 only");
	if (!o->relay.family && !o->descriptor)
		wrong("--relay or --descriptor is needed: whom to measure");
	if (!o->n_links || o->n_links > 10000 || o->n_circs > 100000 || !o->n_circs)
		wrong("--links is 1 to 10000, --circuits 1 to 100000");
	if (!o->n_sinks || o->n_sinks > LOAD_SINKS)
		wrong("--sinks is 1 to %d", LOAD_SINKS);
	if (!o->record || o->record > CELLS_A_RECORD || o->burst > CELLS_A_RECORD)
		wrong("--record and --burst are 1 to %d", CELLS_A_RECORD);
	if (!o->run || !o->window || !o->pending)
		wrong("--run, --window and --pending are not 0");
	if (o->quota && (!o->cgroup || o->quota > 100 || !o->period_us))
		wrong("--quota is 1 to 100 and needs --cgroup");
	if (o->burst)
		o->record = o->burst;
	o->cc |= o->cgo;
	if (o->cc)
		o->handshake = HANDSHAKE_NTOR3;
	if (!o->flight)
		o->flight = UINT32_MAX;
	if (o->flight < CELLS_A_RECORD)
		wrong("--flight is at least %d", CELLS_A_RECORD);
	if (!o->n_streams || o->n_streams > 1000)
		wrong("--streams is 1 to 1000");
	if (o->mode->thin &&
	    (o->n_links < 2 || o->n_circs < 2 || !(o->every_ms > 0) || o->direction != DIR_UP))
		wrong("thin: two links and two circuits or more, --every above 0, up");
	if (o->rcvbuf && o->rcvbuf < 16)
		wrong("--rcvbuf is 16 or more: a record must fit");
	if (o->n_circs < o->n_links)
		o->n_circs = o->n_links;
}

static const struct load_mode *mode_find(const char *name)
{
	for (const struct load_mode *m = load_modes; m->name; m++)
		if (!strcmp(m->name, name))
			return m;
	return NULL;
}

void options_read(struct options *o, int argc, char **argv)
{
	*o = (struct options) {.handshake = HANDSHAKE_NTOR,
			       .n_links = 10,
			       .n_circs = 100,
			       .n_sinks = 1,
			       .n_streams = 1,
			       .direction = DIR_UP,
			       .window = 200,
			       .run = 1,
			       .record = CELLS_A_RECORD,
			       .pending = 64,
			       .warmup_s = 1,
			       .time_s = 5,
			       .n_shares = 3,
			       .share = {0.1, 0.5, 0.9},
			       .period_us = 5000,
			       .every_ms = 20,
			       .mem_mb = 256,
			       .suite = "aes128",
			       .cores = "0"};
	if (argc < 2 || !strcmp(argv[1], "--help"))
		usage(argc < 2 ? 2 : 0);
	o->mode = mode_find(argv[1]);
	if (!o->mode)
		wrong("%s: no such mode; --help lists them", argv[1]);
	if (o->mode->defaults_to_many_links)
		o->n_links = 50;
	if (o->mode->thin) {
		o->n_links = 2;
		o->n_circs = 51;
		o->sink_rate = 5e6;
		o->rcvbuf = 64;
	}
	for (int i = 2; i < argc; i++) {
		const struct row *r = rows, *end = rows + ARRAY_LEN(rows);

		while (r < end && strcmp(r->name, argv[i]))
			r++;
		if (r == end || (r->arg && i + 1 == argc))
			wrong("%s: no such option, or its value is missing; --help lists them",
			      argv[i]);
		r->set((uint8_t *)o + r->at, r->name, r->arg ? argv[++i] : NULL);
	}
	check(o);
}
