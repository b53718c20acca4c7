/* heartbeat.c - sums out of all rooms: what dir/ publishes of padding and overload, and the lines
 * of a heartbeat, in tor's words, which monitoring looks for (interop S10, S11, S14, P9). */
#include "controlplane/main/control.h"

#include "dataplane/wire/cell.h"

#include <stdio.h>

#define FULL_ENOUGH 80.0 /* percent of a DATA cell; below it the line is a notice, as in tor */
#define TLS_ENOUGH  15.0 /* percent of bytes beside cells */

void heartbeat_count(struct control *c, int64_t now_s)
{
	const struct circ_figures *f = circ_figures(c->circs);
	uint64_t n[N_COUNTS];
	struct ops_sums s;
	struct dir_events e;

	ops_counts(c->ops, n);
	ops_sums(c->ops, &s);
	e = (struct dir_events) {
		.padding = {[DIR_WRITE_DROP] = n[COUNT_padding_drop_out],
			    [DIR_WRITE_PAD] = n[COUNT_link_padding_out],
			    [DIR_WRITE_TOTAL] = n[COUNT_link_cells_out],
			    [DIR_READ_DROP] = n[COUNT_relay_drop],
			    [DIR_READ_PAD] = n[COUNT_link_padding_in],
			    [DIR_READ_TOTAL] = n[COUNT_link_cells_in],
			    [DIR_ENABLED_READ_PAD] = n[COUNT_link_padded_padding_in],
			    [DIR_ENABLED_READ_TOTAL] = n[COUNT_link_padded_cells_in],
			    [DIR_ENABLED_WRITE_PAD] = n[COUNT_link_padded_padding_out],
			    [DIR_ENABLED_WRITE_TOTAL] = n[COUNT_link_padded_cells_out]},
		.pad_timers = s.n_links, /* each open link has one timer, for padding too */
		.read_limited = n[COUNT_worker_rate_read],
		.write_limited = n[COUNT_worker_rate_write],
		.memory = n[COUNT_worker_memory_pressure],
		.no_port = n[COUNT_tcp_ports_exhausted],
		.no_conn = n[COUNT_tcp_no_conn],
		.skins = f->skins_ntor + f->skins_ntor3,
		.skins_dropped = f->drops_ntor + f->drops_ntor3,
	};
	dir_count_events(c->dir, now_s, &e);
}

static void say_fullness(const struct ops_sums *s, const uint64_t n[N_COUNTS])
{
	uint64_t packed = n[COUNT_edge_data_packed], cells = n[COUNT_link_cells_out] * CELL_LEN;
	double full = packed ? 100.0 * (double)s->exit_in / ((double)packed * 498) : 100;
	double over = cells && s->link_out > cells
			      ? 100.0 * (double)(s->link_out - cells) / (double)cells
			      : 0;

	log_line(full < FULL_ENOUGH || over > TLS_ENOUGH ? LOG_NOTICE : LOG_INFO,
		 "Average packaged cell fullness: %2.3f%%. TLS write overhead: %.f%%", full, over);
}

static void say_handshakes(const struct circ_figures *now, struct circ_figures *was)
{
	uint64_t ntor = now->skins_ntor - was->skins_ntor;
	uint64_t ntor3 = now->skins_ntor3 - was->skins_ntor3;

	log_notice("Circuit handshake stats since last time: 0/0 TAP, %llu/%llu NTor, %llu/%llu "
		   "NTor (v3).",
		   (unsigned long long)(ntor - (now->drops_ntor - was->drops_ntor)),
		   (unsigned long long)ntor,
		   (unsigned long long)(ntor3 - (now->drops_ntor3 - was->drops_ntor3)),
		   (unsigned long long)ntor3);
	*was = *now;
}

static void say_links(const struct links_stats *s)
{
	char line[400];
	int n = 0;

	for (unsigned v = 1; v < ARRAY_LEN(s->link_proto) && n < (int)sizeof(line); v++)
		n += snprintf(line + n, sizeof(line) - (size_t)n,
			      "%sinitiated %llu and received %llu v%u connections",
			      v > 1 ? "; " : "", (unsigned long long)s->dialled_proto[v],
			      (unsigned long long)(s->link_proto[v] - s->dialled_proto[v]), v);
	log_notice("Since startup we %s.", line);
}

void heartbeat_say(struct control *c)
{
	uint64_t n[N_COUNTS], lost;
	struct ops_sums s;

	ops_counts(c->ops, n);
	ops_sums(c->ops, &s);
	say_fullness(&s, n);
	say_handshakes(circ_figures(c->circs), &c->at_heartbeat);
	say_links(links_stats(c->links));
	defend_heartbeat(c);
	lost = n[COUNT_relay_unrecognized] - c->unrecognized_said;
	if (lost && lost <= n[COUNT_relay_unrecognized])
		log_notice("Since our last heartbeat, %llu circuits were closed because of "
			   "unrecognized cells while we were the last hop.",
			   (unsigned long long)lost);
	c->unrecognized_said = n[COUNT_relay_unrecognized];
}
