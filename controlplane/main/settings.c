/* settings.c - what the dataplane is told of torrc and consensus: listeners and parameters. */
#include "controlplane/main/control.h"

static void set(struct control *c, enum ctl_param_id id, int64_t value)
{
	struct ctl_param p = {.param = id, .value = value};

	if (door_send_all(c->door, CTL_PARAM_SET, WID_NONE, 0, &p, sizeof(p), NULL, 0) < 0)
		log_warn("parameter %d did not reach every worker", id);
}

void settings_accept(struct control *c, bool accepting)
{
	set(c, CTL_PARAM_ACCEPTING, accepting);
}

#define MUCH	 5 /* DNS alone may hold a fifth of the bound, and is cut to a tenth */
#define FEW	 10
#define MEM_STEP (1 << 20)

/* What we hold ourselves: the DNS cache, and directory compression, bounded at its door. */
static int64_t ours(const struct control *c)
{
	return (int64_t)((c->dns ? dns_memory(c->dns) : 0) + (c->dir ? dir_memory(c->dir) : 0));
}

/* What is left of MaxMemInQueues for the dataplane, which cuts its own; never nothing. */
static int64_t memory_left(const struct control *c)
{
	return MAX(c->config.max_mem - ours(c), c->config.max_mem / 2) / MEM_STEP * MEM_STEP;
}

/* The memory rule on our side of the wall (interop C15): ours are looked at first. */
void settings_memory(struct control *c)
{
	int64_t sum = ours(c), left;
	struct ctl_figures f;

	for (unsigned i = 0; i < door_workers(c->door); i++) {
		door_figures(c->door, i, &f);
		sum += (int64_t)MIN(f.mem_bytes, (uint64_t)c->config.max_mem);
	}
	if (sum >= c->config.max_mem / 20 * 19 &&
	    (int64_t)dns_memory(c->dns) > c->config.max_mem / MUCH)
		dns_relieve(c->dns, (size_t)(c->config.max_mem / FEW));
	left = memory_left(c);
	if (left == c->mem_left)
		return;
	c->mem_left = left;
	set(c, CTL_PARAM_MAX_MEM, left);
}

/* What the torrc alone decides. */
static void push_config(struct control *c)
{
	const struct config *f = &c->config;
	const struct {
		enum ctl_param_id id;
		int64_t value;
	} rows[] = {
		{CTL_PARAM_MAX_MEM, c->mem_left = memory_left(c)},
		{CTL_PARAM_RATE, f->bandwidth_rate},
		{CTL_PARAM_BURST, f->bandwidth_burst},
		{CTL_PARAM_RELAY_RATE, f->relay_bandwidth_rate},
		{CTL_PARAM_RELAY_BURST, f->relay_bandwidth_burst},
		{CTL_PARAM_COUNT_PRIVATE, f->count_private_bandwidth},
		{CTL_PARAM_KEEPALIVE_S, f->keepalive_period_s},
		{CTL_PARAM_LOG_LEVEL, config_log_level(f)},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		set(c, rows[i].id, rows[i].value);
}

static void set_from_consensus(void *ctx, int id, int64_t value)
{
	set(ctx, (enum ctl_param_id)id, value);
}

/* A relay that sbws measures through ends paths of two hops: windows are counted by theirs. */
static void push_sbws(struct control *c)
{
	static const struct {
		enum ctl_param_id id;
		enum dir_param_id value;
	} rows[] = {
		{CTL_PARAM_CC_SS_CAP, DIR_PARAM_cc_sscap_sbws},
		{CTL_PARAM_CC_VEGAS_ALPHA, DIR_PARAM_cc_vegas_alpha_sbws},
		{CTL_PARAM_CC_VEGAS_BETA, DIR_PARAM_cc_vegas_beta_sbws},
		{CTL_PARAM_CC_VEGAS_GAMMA, DIR_PARAM_cc_vegas_gamma_sbws},
		{CTL_PARAM_CC_VEGAS_DELTA, DIR_PARAM_cc_vegas_delta_sbws},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		set(c, rows[i].id, dir_param(c->dir, rows[i].value));
}

/* Parameters of the consensus, and what the operator says of the same thing: dir/params.def. */
void settings_push(struct control *c)
{
	dir_params_push(c->dir, set_from_consensus, c);
	if (c->config.sbws_exit)
		push_sbws(c);
	push_config(c);
}

void settings_listen(struct control *c)
{
	char text[ADDR_TEXT];

	for (int i = 0; i < c->config.n_or_ports; i++) {
		struct ctl_listen l = {.at = c->config.or_port[i].at};

		if (!c->config.or_port[i].listen)
			continue;
		if (door_send_all(c->door, CTL_LISTEN_ADD, WID_NONE, 0, &l, sizeof(l), NULL, 0) < 0)
			log_err("ORPort %s did not reach every worker", addr_text(&l.at, text));
		else
			log_notice("ORPort %s is open", addr_text(&l.at, text));
	}
}
