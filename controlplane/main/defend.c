/* defend.c - the defences, joined: what torrc and consensus set, whom the dataplane is told to
 * refuse, and the line of the heartbeat. */
#include "controlplane/main/control.h"

#include <stdio.h>
#include <sys/random.h>

static void deny(void *arg, const struct addr *at, enum ctl_deny why, uint64_t seconds)
{
	struct ctl_addr_deny m = {.at = *at, .seconds = seconds};
	struct control *c = arg;

	if (door_send_all(c->door, CTL_ADDR_DENY, WID_NONE, why, &m, sizeof(m), NULL, 0) < 0)
		log_info("a refused address did not reach every worker");
}

int defend_open(struct control *c)
{
	struct dos_setup s = {.deny = deny, .arg = c};

	if (getrandom(&s.key, sizeof(s.key), 0) != sizeof(s.key) ||
	    getrandom(s.seed, sizeof(s.seed), 0) != sizeof(s.seed))
		return ERR_SYSTEM;
	c->dos = dos_new(&s);
	wipe(s.seed, sizeof(s.seed));
	return c->dos ? 0 : ERR_FULL;
}

void defend_configure(struct control *c)
{
#define P(name) (uint32_t) dir_param(c->dir, DIR_PARAM_##name)
	struct dos_settings s = {
		.circuits = P(DoSCircuitCreationEnabled) != 0,
		.circ_min_conns = P(DoSCircuitCreationMinConnections),
		.circ_rate = P(DoSCircuitCreationRate),
		.circ_burst = P(DoSCircuitCreationBurst),
		.circ_type = P(DoSCircuitCreationDefenseType),
		.circ_period_s = P(DoSCircuitCreationDefenseTimePeriod),
		.conns = P(DoSConnectionEnabled) != 0,
		.max_concurrent = P(DoSConnectionMaxConcurrentCount),
		.conn_type = P(DoSConnectionDefenseType),
		.connect_rate = P(DoSConnectionConnectRate),
		.connect_burst = P(DoSConnectionConnectBurst),
		.connect_period_s = P(DoSConnectionConnectDefenseTimePeriod),
		.max_outq = P(dos_num_circ_max_outq),
	};

	dos_configure(c->dos, &s, clock_us() / 1000000);
#undef P
}

struct defend_figures defend_figures(struct control *c)
{
	const struct dos_figures *d = dos_figures(c->dos);
	uint64_t counts[N_COUNTS];

	ops_counts(c->ops, counts);
	return (struct defend_figures) {
		.circuit_rejected = d->circuits_refused + counts[COUNT_circ_create_denied],
		.circuit_killed_max_cell = counts[COUNT_circ_queue_full],
		.circuit_killed_max_cell_outq = counts[COUNT_circ_queue_full_out],
		.marked_address = d->marked,
		.marked_address_maxq = d->marked_outq,
		.conn_rejected = d->conns_refused + counts[COUNT_tcp_denied_marked],
		.concurrent_conn_rejected =
			d->concurrent_refused + counts[COUNT_tcp_denied_crowded],
		.single_hop_refused = hs_figures(c->hs)->est_rend_single_hop,
		.introduce2_rejected = hs_figures(c->hs)->intro1_rate_limited,
		.stream_rejected = counts[COUNT_edge_begins_over],
		.n_addresses = d->n_addresses,
		.forgotten = d->forgotten,
	};
}

/* One part of the line: the text, or that its defence is off. */
__attribute__((format(printf, 4, 5))) static void say(struct writer *w, const char *option, bool on,
						      const char *fmt, ...)
{
	char part[160];
	va_list ap;
	int n;

	if (on) {
		va_start(ap, fmt);
		n = vsnprintf(part, sizeof(part), fmt, ap);
		va_end(ap);
	} else {
		n = snprintf(part, sizeof(part), "[%s disabled]", option);
	}
	if (wr_len(w))
		wr_bytes(w, ", ", 2);
	wr_bytes(w, part, MIN((size_t)n, sizeof(part) - 1));
}

/* In tor's words, which monitoring looks for (interop X12). */
void defend_heartbeat(struct control *c)
{
	struct defend_figures f = defend_figures(c);
	char line[900] = {0};
	struct writer w = writer_of(line, sizeof(line) - 1);
#define ON(name) dir_param(c->dir, DIR_PARAM_##name) != 0
#define U(name)	 (unsigned long long)f.name

	say(&w, "", true, "%llu circuits killed with too many cells", U(circuit_killed_max_cell));
	say(&w, "DoSCircuitCreationEnabled", ON(DoSCircuitCreationEnabled),
	    "%llu circuits rejected, %llu marked addresses, %llu marked addresses for max queue",
	    U(circuit_rejected), U(marked_address), U(marked_address_maxq));
	say(&w, "DoSConnectionEnabled", ON(DoSConnectionEnabled),
	    "%llu same address concurrent connections rejected, %llu connections rejected",
	    U(concurrent_conn_rejected), U(conn_rejected));
	say(&w, "DoSRefuseSingleHopClientRendezvous", ON(DoSRefuseSingleHopClientRendezvous),
	    "%llu single hop clients refused", U(single_hop_refused));
	say(&w, "DoSStreamCreationEnabled", ON(DoSStreamCreationEnabled), "%llu stream rejected",
	    U(stream_rejected));
	say(&w, "", true, "%llu INTRODUCE2 rejected", U(introduce2_rejected));
	log_notice("Heartbeat: DoS mitigation since startup: %s.", line);
#undef ON
#undef U
}
