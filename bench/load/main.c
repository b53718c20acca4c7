/* main.c - ramson-load: learns who the relay is, opens links and circuits, and runs a mode. */
#include "bench/load/load.h"

#include <stdio.h>
#include <stdlib.h>

#define LINKS_S	   60
#define CIRCUITS_S 300

static void read_descriptor(struct load *ld)
{
	static char text[65536];
	const char *why = NULL;
	FILE *f = fopen(ld->opt.descriptor, "r");
	size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;

	if (f)
		fclose(f);
	text[n] = '\0';
	if (!n)
		load_fail(ld, "--descriptor %s: cannot be read", ld->opt.descriptor);
	else if (relay_read(&ld->relay, text, &why) < 0)
		load_fail(ld, "--descriptor %s: no good line %s", ld->opt.descriptor, why);
}

static void tell(struct load *ld, const char *what, unsigned have, unsigned want)
{
	static uint64_t last_us;

	if (ld->now_us - last_us < 250000 && have != want)
		return;
	last_us = ld->now_us;
	progress(ld, what, have, want, "");
}

static bool links_up(struct load *ld)
{
	while (ld->n_links < ld->opt.n_links && ld->n_dialling < ld->opt.pending && !ld->failed[0])
		ld->link[ld->n_links++] = (uint32_t)conns_dial(ld);
	tell(ld, "links", ld->n_links_open, ld->opt.n_links);
	return ld->n_links_open == ld->opt.n_links;
}

static bool circuits_up(struct load *ld)
{
	circuits_build(ld);
	tell(ld, "circuits", ld->n_circs_open, ld->opt.n_circs);
	return ld->n_circs_open == ld->opt.n_circs;
}

static void open_links(struct load *ld)
{
	double start = (double)clock_ns(), limit = LINKS_S + ld->opt.n_links / 50.0;

	if (ld->opt.mode->run == run_connect)
		return;
	if (!stack_until(ld, links_up, limit))
		load_fail(ld, "%u of %u links after %.0f s", ld->n_links_open, ld->opt.n_links,
			  limit);
	ld->links_s = ((double)clock_ns() - start) / 1e9;
	progress_end(ld);
}

static void open_circuits(struct load *ld)
{
	double start = (double)clock_ns(), limit = CIRCUITS_S + ld->opt.n_circs / 200.0;

	if (!ld->opt.mode->extend && !ld->opt.mode->streams)
		return;
	ld->circs_wanted = ld->opt.n_circs;
	if (!ld->failed[0] && !stack_until(ld, circuits_up, limit))
		load_fail(ld, "%u of %u circuits after %.0f s", ld->n_circs_open, ld->opt.n_circs,
			  limit);
	ld->circuits_s = ((double)clock_ns() - start) / 1e9;
	progress_end(ld);
}

int main(int argc, char **argv)
{
	struct load *ld = calloc(1, sizeof(*ld));
	int status = 1;

	if (!ld)
		return 1;
	log_open(2, LOG_WARN, "load");
	options_read(&ld->opt, argc, argv);
	ld->relay.at = ld->opt.relay;
	stack_start(ld);
	hello_init(ld);
	if (ld->opt.descriptor)
		read_descriptor(ld);
	else
		fetch_descriptor(ld);
	if (!ld->failed[0] && ld->opt.mode->extend)
		sinks_start(ld);
	if (!ld->failed[0] && ld->opt.mode->streams)
		auth_start(ld);
	ld->base_bytes = memory_of(&ld->opt);
	if (!ld->failed[0])
		open_links(ld);
	if (!ld->failed[0])
		open_circuits(ld);
	if (!ld->failed[0])
		status = ld->opt.mode->run(ld);
	if (ld->failed[0]) {
		fprintf(stderr, "ramson-load: %s\n", ld->failed);
		status = 1;
	}
	stack_stop(ld);
	sinks_stop(ld);
	auth_stop();
	free(ld);
	return status;
}
