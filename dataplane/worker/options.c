/* options.c - the command line of ramson-dataplane: one row for each option. */
#include "dataplane/worker/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* What a worker can hold unless it is told. A row costs memory only once it was in use: then about
 * 5 KB a link and 1.5 KB a circuit. All rows together may come to a quarter of the machine. */
#define CONNS	   65536
#define CIRCS	   262144
#define CONNS_LOW  16384
#define CIRCS_LOW  65536
#define CONN_BYTES 5120
#define CIRC_BYTES 1536

void die(const char *fmt, ...)
{
	char line[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	log_err("%s", line);
	exit(1);
}

static void set_port(struct options *o, const char *text)
{
	o->port = text;
}

static void add_address(struct options *o, const char *text)
{
	if (o->net.n_addrs == NET_ADDRS)
		die("DataplaneAddress: more than %d of them", NET_ADDRS);
	if (net_prefix_parse(&o->net.addrs[o->net.n_addrs], text) < 0)
		die("DataplaneAddress %s: not ADDRESS/PREFIX", text);
	o->net.n_addrs++;
}

static void set_gateway(struct options *o, const char *text)
{
	struct addr a;

	if (addr_parse(&a, text) < 0)
		die("DataplaneGateway %s: not an address", text);
	*(a.family == 4 ? &o->net.gateway4 : &o->net.gateway6) = a;
}

/* "0-2,5" names four cores. */
static void set_cores(struct options *o, const char *text)
{
	const char *list = text;
	char *end;

	o->cores = text;
	for (o->n_workers = 0; *list; list = *end == ',' ? end + 1 : end) {
		unsigned long from = strtoul(list, &end, 10), to = from;

		if (end != list && *end == '-')
			to = strtoul(end + 1, &end, 10);
		if (end == list || (*end && *end != ',') || to < from || to - from >= PORT_QUEUES)
			die("DataplaneCores %s: not a list such as 0-2,5", text);
		o->n_workers += (unsigned)(to - from + 1);
	}
	if (!o->n_workers || o->n_workers > PORT_QUEUES)
		die("DataplaneCores %s: between 1 and %d cores", text, PORT_QUEUES);
}

static void set_polling(struct options *o, const char *text)
{
	o->busy = strcmp(text, "busy") == 0;
}

static void set_user(struct options *o, const char *text)
{
	o->user = *text ? text : NULL;
}

static void set_log(struct options *o, const char *text)
{
	int level = log_level_of(text, strlen(text));

	if (level >= 0)
		o->log_level = (enum log_level)level;
}

static void set_mem(struct options *o, const char *text)
{
	o->mem_mb = strtoull(text, NULL, 10);
}

static void set_conns(struct options *o, const char *text)
{
	o->n_conns = (uint32_t)strtoul(text, NULL, 10);
}

static void set_circuits(struct options *o, const char *text)
{
	o->n_circs = (uint32_t)strtoul(text, NULL, 10);
}

static void set_streams(struct options *o, const char *text)
{
	o->n_streams = (uint32_t)strtoul(text, NULL, 10);
}

static void add_listen(struct options *o, const char *text)
{
	if (o->n_listen < OPTIONS_LISTEN)
		o->listen[o->n_listen++] = (uint16_t)strtoul(text, NULL, 10);
}

static const struct options_row {
	const char *name;
	void (*set)(struct options *o, const char *text);
} rows[] = {
	{"--port", set_port},	      {"--address", add_address}, {"--gateway", set_gateway},
	{"--cores", set_cores},	      {"--polling", set_polling}, {"--user", set_user},
	{"--log", set_log},	      {"--mem", set_mem},	  {"--conns", set_conns},
	{"--circuits", set_circuits}, {"--streams", set_streams}, {"--listen", add_listen},
};

static uint32_t rows_for(uint64_t bytes, uint64_t each, uint32_t low, uint32_t most)
{
	return (uint32_t)MIN(MAX(bytes / each, low), most);
}

static void tables_fit(struct options *o)
{
	uint64_t all = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t half = all / 4 / o->n_workers / 2;

	if (!o->n_conns)
		o->n_conns = rows_for(half, CONN_BYTES, CONNS_LOW, CONNS);
	if (!o->n_circs)
		o->n_circs = rows_for(half, CIRC_BYTES, CIRCS_LOW, CIRCS);
}

void options_parse(struct options *o, int argc, char **argv)
{
	*o = (struct options) {.cores = "0",
			       .n_workers = 1,
			       .log_level = LOG_NOTICE,
			       .mem_mb = 256,
			       .n_streams = 32768};
	for (int i = 1; i < argc; i += 2) {
		const struct options_row *row = NULL;

		for (size_t k = 0; k < ARRAY_LEN(rows); k++)
			if (strcmp(rows[k].name, argv[i]) == 0)
				row = &rows[k];
		if (!row || i + 1 == argc)
			die("%s: this program is started by `ramson run`", argv[i]);
		row->set(o, argv[i + 1]);
	}
	if (!o->port)
		die("DataplanePort is missing: say for instance DataplanePort af_packet:eth1");
	if (!o->net.n_addrs)
		die("DataplaneAddress is missing: say for instance DataplaneAddress 192.0.2.7/24");
	tables_fit(o);
	if (!o->mem_mb || !o->n_streams)
		die("--mem and --streams are numbers above zero");
}
