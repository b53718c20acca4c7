/* options.c - the table of options, and how lines become values: defaults first, then file, then
 * command line; what tor knows and Ramson does not is named once. */
#include "controlplane/config/internal.h"

#include <stdlib.h>

const struct config_option config_options[] = {
#define START true
#define LIVE  false
#define OPT(field, name, type, value, min, max, when)                                              \
	{#name, TYPE_##type, offsetof(struct config, field), value, min, max, when},
#include "controlplane/config/options.def"
#undef OPT
#undef START
#undef LIVE
};
const int n_config_options = ARRAY_LEN(config_options);

/* CONFIG_OBSOLETE stands behind what config_row tells. */
enum { HOW_IGNORED = CONFIG_IGNORED, HOW_REFUSED = CONFIG_REFUSED, HOW_OBSOLETE };
static const struct other {
	const char *name;
	int how;
	const char *fitting, *remedy;
} others[] = {
#define OTHER(name, how, fitting, remedy) {#name, HOW_##how, fitting, remedy},
#include "controlplane/config/unserved.def"
#undef OTHER
};

/* Older spellings that tor still takes. */
static const struct {
	const char *old, *name;
} aliases[] = {
	{"l", "Log"},
	{"DirServer", "DirAuthority"},
	{"NumCPU", "NumCPUs"},
	{"BandwidthRateBytes", "BandwidthRate"},
	{"BandwidthBurstBytes", "BandwidthBurst"},
	{"MaxMemInCellQueues", "MaxMemInQueues"},
	{"ResolvConf", "ServerDNSResolvConfFile"},
	{"ServerDNSAllowBrokenResolvConf", "ServerDNSAllowBrokenConfig"},
};

/* What TestingTorNetwork changes among our options (tor(1) lists them). */
static const struct {
	const char *name, *value;
} testing_defaults[] = {
	{"DirAllowPrivateAddresses", "1"},
	{"EnforceDistinctSubnets", "0"},
	{"CountPrivateBandwidth", "1"},
	{"ExitPolicyRejectPrivate", "0"},
	{"ExtendAllowPrivateAddresses", "1"},
	{"V3AuthVotingInterval", "5 minutes"},
	{"V3AuthVoteDelay", "20 seconds"},
	{"V3AuthDistDelay", "20 seconds"},
	{"TestingMinTimeToReportBandwidth", "0 seconds"},
	{"TestingServerDownloadInitialDelay", "0"},
	{"TestingServerConsensusDownloadInitialDelay", "0"},
	{"TestingDirConnectionMaxStall", "30 seconds"},
};

static const struct config_option *option_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(aliases); i++) {
		if (strcasecmp(aliases[i].old, name) == 0)
			name = aliases[i].name;
	}
	for (int i = 0; i < n_config_options; i++) {
		if (strcasecmp(config_options[i].name, name) == 0)
			return &config_options[i];
	}
	return NULL;
}

static const struct other *other_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		if (strcasecmp(others[i].name, name) == 0)
			return &others[i];
	}
	return NULL;
}

/* How many letters must change to make b of a; a rough one that is good for slips of one or two. */
static int slips(const char *a, const char *b)
{
	size_t head = 0, tail = 0, la = strlen(a), lb = strlen(b), most = MIN(la, lb);

	while (head < most && (a[head] | 0x20) == (b[head] | 0x20))
		head++;
	while (tail < most - head && (a[la - 1 - tail] | 0x20) == (b[lb - 1 - tail] | 0x20))
		tail++;
	return (int)(MAX(la, lb) - head - tail);
}

static const char *nearest(const char *name)
{
	const char *best = NULL;
	int least = 3;

	for (int i = 0; i < n_config_options; i++) {
		int n = slips(name, config_options[i].name);

		if (n < least) {
			least = n;
			best = config_options[i].name;
		}
	}
	return best;
}

static void say_unknown(const struct config_line *l, struct config_messages *m)
{
	const char *near = nearest(l->name);

	if (near)
		config_say(m, true, l->file, l->line, "there is no option \"%s\": did you mean %s?",
			   l->name, near);
	else
		config_say(m, true, l->file, l->line,
			   "there is no option \"%s\": correct its name, "
			   "or remove the line",
			   l->name);
}

static void say_other(const struct other *o, const struct config_line *l, bool *said,
		      struct config_messages *m)
{
	if (o->fitting && strcmp(o->fitting, l->value) == 0)
		return;
	if (o->how == HOW_REFUSED)
		config_say(m, true, l->file, l->line, "%s is not served: %s", o->name, o->remedy);
	else if (!*said && o->how == HOW_IGNORED)
		config_say(m, false, l->file, l->line, "%s is not served yet and is ignored",
			   o->name);
	else if (!*said)
		config_say(m, false, l->file, l->line, "%s is obsolete and is ignored", o->name);
	*said = true;
}

static const char *default_of(const struct config_option *o, bool testing)
{
	for (size_t i = 0; testing && i < ARRAY_LEN(testing_defaults); i++) {
		if (strcmp(testing_defaults[i].name, o->name) == 0)
			return testing_defaults[i].value;
	}
	return o->value;
}

static void set_default(const struct config_option *o, struct config *c, bool testing)
{
	const char *value = default_of(o, testing), *why;

	config_types[o->type].drop(option_field(o, c));
	if (value)
		config_types[o->type].parse(o, option_field(o, c), value, &why);
}

/* What has been seen of an option while lines are applied. */
struct seen {
	bool by_file, by_arg;
};

static void apply_line(const struct config_option *o, const struct config_line *l,
		       struct seen *seen, struct config *c, bool testing, struct config_messages *m)
{
	void *field = option_field(o, c);
	bool is_first = !(l->by_arg ? seen->by_arg : seen->by_file);
	const char *why = "";

	if (l->mode == '/') {
		set_default(o, c, testing);
		return;
	}
	if (l->by_arg)
		seen->by_arg = true;
	else
		seen->by_file = true;
	if (!is_first && !l->mode && !type_is_list(o->type))
		config_say(m, false, l->file, l->line,
			   "%s stands here again: only the last one counts", o->name);
	/* A list of the command line replaces that of the file, unless "+" adds to it. */
	if (o->type == TYPE_CSV || (type_is_list(o->type) && is_first && !l->mode))
		config_types[o->type].drop(field);
	if (!*l->value && !type_is_list(o->type)) {
		set_default(o, c, testing);
		return;
	}
	if (config_types[o->type].parse(o, field, l->value, &why) < 0)
		config_say(m, true, l->file, l->line, "%s \"%s\" is not possible: give %s", o->name,
			   l->value, why);
}

static bool is_testing(const struct config_lines *l)
{
	bool testing = false;

	for (int i = 0; i < l->n; i++) {
		if (strcasecmp(l->v[i].name, "TestingTorNetwork") == 0)
			testing = l->v[i].mode != '/' && strcmp(l->v[i].value, "1") == 0;
	}
	return testing;
}

static void check_testing_only(const struct config_option *o, const struct config_line *l,
			       bool testing, struct config_messages *m)
{
	if (!testing && strncasecmp(o->name, "Testing", 7) == 0 &&
	    strcmp(o->name, "TestingTorNetwork") != 0)
		config_say(m, true, l->file, l->line,
			   "%s is for private networks only: remove the "
			   "line, or set TestingTorNetwork 1",
			   o->name);
}

int options_apply(const struct config_lines *l, struct config *c, struct config_messages *m)
{
	struct seen seen[ARRAY_LEN(config_options)] = {0};
	bool said[ARRAY_LEN(others)] = {0};
	bool testing = is_testing(l);

	for (int i = 0; i < n_config_options; i++)
		set_default(&config_options[i], c, testing);
	for (int i = 0; i < l->n; i++) {
		const struct config_option *o = option_find(l->v[i].name);
		const struct other *other = o ? NULL : other_find(l->v[i].name);

		if (o) {
			check_testing_only(o, &l->v[i], testing, m);
			apply_line(o, &l->v[i], &seen[o - config_options], c, testing, m);
		} else if (other) {
			say_other(other, &l->v[i], &said[other - others], m);
		} else {
			say_unknown(&l->v[i], m);
		}
	}
	return m->n_errors ? ERR_CONFIG : 0;
}

const struct config_row *config_row_at(int i)
{
	static struct config_row row;
	int k = i - n_config_options;

	if (i >= 0 && i < n_config_options)
		row = (struct config_row) {config_options[i].name,
					   config_types[config_options[i].type].name,
					   config_options[i].value, CONFIG_SERVED};
	else if (k >= 0 && k < (int)ARRAY_LEN(others))
		row = (struct config_row) {others[k].name, "", others[k].fitting,
					   others[k].how == HOW_REFUSED ? CONFIG_REFUSED
									: CONFIG_IGNORED};
	else
		return NULL;
	return &row;
}
