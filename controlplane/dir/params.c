/* params.c - the network's parameters, and its demands on our protocols, out of a consensus. */
#include "controlplane/dir/internal.h"

const char dir_proto_line[] = "Cons=1-2 Desc=1-3 DirCache=2 FlowCtrl=1 HSIntro=4 HSRend=1-2 "
			      "Link=4-5 LinkAuth=3 Microdesc=1-3 Relay=2-4";

/* Names with '-' cannot be C names: here are those as the consensus has them. */
static const struct dir_param_row rows[N_DIR_PARAMS] = {
#define X(name, dflt, min, max, ctl) [DIR_PARAM_##name] = {#name, dflt, min, max, ctl},
	DIR_PARAMS(X)
#undef X
};
static const struct {
	enum dir_param_id id;
	const char *name;
} dashed[] = {
	{DIR_PARAM_publish_dummy_tap_key, "publish-dummy-tap-key"},
	{DIR_PARAM_onion_key_rotation_days, "onion-key-rotation-days"},
	{DIR_PARAM_onion_key_grace_period_days, "onion-key-grace-period-days"},
	{DIR_PARAM_assume_reachable, "assume-reachable"},
	{DIR_PARAM_assume_reachable_ipv6, "assume-reachable-ipv6"},
	{DIR_PARAM_allow_network_reentry, "allow-network-reentry"},
};

static const char *param_name(enum dir_param_id id)
{
	for (unsigned i = 0; i < ARRAY_LEN(dashed); i++)
		if (dashed[i].id == id)
			return dashed[i].name;
	return rows[id].name;
}

const struct dir_param_row *dir_param_row_at(enum dir_param_id id)
{
	static struct dir_param_row named[N_DIR_PARAMS];

	if ((unsigned)id >= N_DIR_PARAMS)
		return NULL;
	named[id] = rows[id];
	named[id].name = param_name(id);
	return &named[id];
}

static void param_take(int32_t values[N_DIR_PARAMS], bool given[N_DIR_PARAMS], struct bytes word)
{
	const uint8_t *eq = memchr(word.p, '=', word.len);
	struct bytes name, value;
	int64_t v;

	if (!eq)
		return;
	name = bytes_of(word.p, (size_t)(eq - word.p));
	value = bytes_of(eq + 1, word.len - name.len - 1);
	if (number_get(value, INT32_MIN, INT32_MAX, &v))
		return;
	for (unsigned i = 0; i < N_DIR_PARAMS; i++) {
		if (!bytes_are(name, param_name(i)))
			continue;
		if (v < rows[i].min || v > rows[i].max)
			log_info("Consensus parameter %s=%lld is out of its bounds; clamped.",
				 param_name(i), (long long)v);
		values[i] = (int32_t)MIN(MAX(v, rows[i].min), rows[i].max);
		given[i] = true;
	}
}

void params_read(int32_t values[N_DIR_PARAMS], struct bytes args)
{
	bool given[N_DIR_PARAMS] = {false};

	for (unsigned i = 0; i < N_DIR_PARAMS; i++)
		values[i] = rows[i].dflt;
	while (args.len)
		param_take(values, given, word_next(&args));
	/* two whose bounds or default are another's value */
	if (!given[DIR_PARAM_circ_max_cell_queue_size_out])
		values[DIR_PARAM_circ_max_cell_queue_size_out] =
			values[DIR_PARAM_circ_max_cell_queue_size];
	values[DIR_PARAM_nf_ito_high] =
		MAX(values[DIR_PARAM_nf_ito_high], values[DIR_PARAM_nf_ito_low]);
	values[DIR_PARAM_onion_key_grace_period_days] =
		MIN(values[DIR_PARAM_onion_key_grace_period_days],
		    values[DIR_PARAM_onion_key_rotation_days]);
}

int32_t dir_param(const struct dir *d, enum dir_param_id id)
{
	return d->params[id];
}

void dir_params_push(const struct dir *d, void (*set)(void *ctx, int ctl_param, int64_t value),
		     void *ctx)
{
	for (unsigned i = 0; i < N_DIR_PARAMS; i++)
		if (rows[i].ctl >= 0)
			set(ctx, rows[i].ctl, d->params[i]);
}

/* ---- protocols: "Name=1-3,5", numbers up to 63, as one mask ---- */
static int ranges_mask(struct bytes b, uint64_t *mask)
{
	*mask = 0;
	while (b.len) {
		const uint8_t *comma = memchr(b.p, ',', b.len);
		struct bytes one = bytes_of(b.p, comma ? (size_t)(comma - b.p) : b.len);
		const uint8_t *dash = memchr(one.p, '-', one.len);
		struct bytes lo = bytes_of(one.p, dash ? (size_t)(dash - one.p) : one.len);
		struct bytes hi = dash ? bytes_of(dash + 1, one.len - lo.len - 1) : lo;
		int64_t from, to;

		if (number_get(lo, 0, 63, &from) || number_get(hi, from, 63, &to))
			return ERR_MALFORMED;
		for (int64_t i = from; i <= to; i++)
			*mask |= 1ull << i;
		b = bytes_of(one.p + one.len + (comma != NULL), b.len - one.len - (comma != NULL));
	}
	return 0;
}

/* The mask that a list has for a name; 0 when it has none. */
static uint64_t mask_of(struct bytes list, struct bytes name)
{
	while (list.len) {
		struct bytes word = word_next(&list);
		uint64_t mask;

		if (word.len > name.len && word.p[name.len] == '=' &&
		    memcmp(word.p, name.p, name.len) == 0 &&
		    ranges_mask(bytes_of(word.p + name.len + 1, word.len - name.len - 1), &mask) ==
			    0)
			return mask;
	}
	return 0;
}

bool protocols_met(struct bytes required, char missing[64])
{
	struct bytes ours = bytes_of(dir_proto_line, sizeof(dir_proto_line) - 1);

	while (required.len) {
		struct bytes word = word_next(&required), name;
		const uint8_t *eq = memchr(word.p, '=', word.len);
		uint64_t mask;

		name = bytes_of(word.p, eq ? (size_t)(eq - word.p) : word.len);
		if (!eq || ranges_mask(bytes_of(eq + 1, word.len - name.len - 1), &mask) ||
		    (mask & ~mask_of(ours, name))) {
			if (!bytes_copy(word, missing, 64))
				memcpy(missing, "(unreadable)", 13);
			return false;
		}
	}
	return true;
}
