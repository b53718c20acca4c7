/* eal.c - starting DPDK's environment: where its memory comes from, on which cores, with which
 * devices. Before the walk begins. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>

#include "drivers/internal.h"

#define EAL_ARG	     256 /* longest argument */
#define EAL_SLACK_MB 64	 /* rings, hash tables and DPDK's own heap */

/* Free hugepages of the default size, in MB. */
static unsigned hugepages_free_mb(void)
{
	FILE *f = fopen("/proc/meminfo", "r");
	unsigned long n_free = 0, kb = 0, v;
	char line[128];

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "HugePages_Free: %lu", &v) == 1)
			n_free = v;
		else if (sscanf(line, "Hugepagesize: %lu", &v) == 1)
			kb = v;
	}
	fclose(f);
	return (unsigned)(n_free * kb / 1024);
}

/* "0-3,6": every core must be one that this process may use. */
static int cores_check(const char *cores, char *err)
{
	const char *p = cores;
	cpu_set_t may;

	if (strlen(cores) >= EAL_ARG)
		return port_fail(err, "DataplaneCores: the list is too long; use ranges like 0-31");
	if (sched_getaffinity(0, sizeof(may), &may) < 0)
		CPU_ZERO(&may);
	for (;;) {
		char *end;
		unsigned long lo = strtoul(p, &end, 10), hi = lo;

		if (end == p)
			return port_fail(err, "DataplaneCores %.40s: not a list like 0,2-5", cores);
		if (*end == '-') {
			p = end + 1;
			hi = strtoul(p, &end, 10);
			if (end == p || hi < lo)
				return port_fail(err, "DataplaneCores %.40s: not a list like 0,2-5",
						 cores);
		}
		for (unsigned long c = lo; c <= hi; c++)
			if (c >= CPU_SETSIZE || !CPU_ISSET(c, &may))
				return port_fail(
					err,
					"DataplaneCores %.40s: there is no core %lu for this "
					"process; see `nproc` and `taskset -p`",
					cores, c);
		if (!*end)
			return 0;
		if (*end != ',')
			return port_fail(err, "DataplaneCores %.40s: not a list like 0,2-5", cores);
		p = end + 1;
	}
}

struct eal_args {
	char *v[16], text[16][EAL_ARG];
	int n;
};

static void add(struct eal_args *a, const char *s)
{
	a->v[a->n] = a->text[a->n];
	snprintf(a->text[a->n++], sizeof(a->text[0]), "%s", s);
}

static void add_memory(struct eal_args *a, unsigned mem_mb, bool huge)
{
	char mb[16];

	if (huge) {
		add(a, "--in-memory"); /* by memfd: needs no mount and leaves no file */
		return;
	}
	snprintf(mb, sizeof(mb), "%u", mem_mb);
	add(a, "--no-huge");
	add(a, "--no-shconf");
	add(a, "-m");
	add(a, mb);
}

/* A memif that lends its memory names it by one descriptor. */
static bool lends_memory(const struct port_kind *kind, const char *args)
{
	size_t len = strlen(args), end = strlen(MEMIF_ZERO_COPY);

	return kind == &port_memif && len > end && !strcmp(args + len - end, MEMIF_ZERO_COPY);
}

static void add_devices(struct eal_args *a, const struct port_kind *kind, const char *args)
{
	if (kind && kind->is_pci && strncmp(args, "net_", 4)) {
		add(a, "-a");
		add(a, args);
	} else {
		add(a, "--no-pci"); /* else EAL would look at every NIC of the machine */
	}
}

int eal_start(const struct eal_config *config, struct eal_info *info, char err[PORT_ERR])
{
	const char *cores = config->cores ? config->cores : "0", *args = "";
	const struct port_kind *kind = NULL;
	unsigned mem_mb = config->mem_mb + EAL_SLACK_MB;
	static struct eal_args a; /* EAL keeps and permutes them */
	bool huge;

	if (config->port && !(kind = port_kind_of(config->port, &args, err)))
		return -1;
	if (cores_check(cores, err) < 0)
		return -1;
	if (strlen(args) >= EAL_ARG)
		return port_fail(err, "DataplanePort: %.40s... is too long", args);
	if (kind)
		mem_mb += kind->rx_mb * (config->n_queues ? config->n_queues : 1);
	huge = hugepages_free_mb() >= mem_mb;
	a.n = 0;
	add(&a, "ramson");
	add(&a, "-l");
	add(&a, cores);
	add_memory(&a, mem_mb, huge);
	if (lends_memory(kind, args))
		add(&a, "--single-file-segments");
	add_devices(&a, kind, args);
	add(&a, "--no-telemetry");
	add(&a, config->verbose ? "--log-level=7" : "--log-level=3");
	if (rte_eal_init(a.n, a.v) < 0)
		return port_fail(
			err,
			"DPDK does not start with %u MB %s on cores %s: %s; free memory, or "
			"check DataplaneCores and the PCI address in DataplanePort",
			mem_mb, huge ? "of hugepages" : "of ordinary memory", cores,
			rte_strerror(rte_errno));
	if (info)
		*info = (struct eal_info) {.huge = huge, .mem_mb = mem_mb};
	return 0;
}
