/* params.c - the network's parameters, and its demands on our protocols, out of a consensus. */
#include "controlplane/dir/internal.h"

const char dir_proto_line[] = "Conflux=1 "
			      "Cons=1-2 "
			      "Desc=1-3 "
			      "DirCache=2 "
			      "FlowCtrl=1-2 "
			      "HSIntro=4-5 "
			      "HSRend=1-2 "
			      "Link=4-5 "
			      "LinkAuth=3 "
			      "Microdesc=1-3 "
			      "Padding=2 "
			      "Relay=2-6";

#define OWN (-1)
static const struct dir_param_row rows[N_DIR_PARAMS] = {
#define PARAM(id, name, dflt, min, max, ctl, torrc) {name, dflt, min, max, ctl},
#include "controlplane/dir/params.def"
#undef PARAM
};

const struct dir_param_row *dir_param_row_at(enum dir_param_id id)
{
	return (unsigned)id < N_DIR_PARAMS ? &rows[id] : NULL;
}

/* Negative: nothing. */
static int64_t torrc_says(const struct config *c, enum dir_param_id id)
{
#define NO	      -1
#define AUTO(field)   c->field
#define GIVEN(field)  c->field ? c->field : -1
#define MSEC(field)   c->field < 0 ? -1 : (int64_t)(c->field * 1000)
#define UNLESS(field) c->field ? -1 : 1
#define PARAM(id, name, dflt, min, max, ctl, torrc)                                                \
	case DIR_PARAM_##id:                                                                       \
		return torrc;
	switch (id) {
#include "controlplane/dir/params.def"
	case N_DIR_PARAMS:
		break;
	}
#undef PARAM
	return -1;
}

static int row_of(struct bytes name)
{
	for (int i = 0; i < N_DIR_PARAMS; i++)
		if (bytes_are(name, rows[i].name))
			return i;
	return -1;
}

/* Of a name that stands twice the first readable value counts, as in tor. */
static void param_take(int32_t values[N_DIR_PARAMS], bool given[N_DIR_PARAMS], struct bytes word)
{
	const uint8_t *eq = memchr(word.p, '=', word.len);
	size_t name_len = eq ? (size_t)(eq - word.p) : word.len;
	int i = row_of(bytes_of(word.p, name_len));
	int64_t v;

	if (!eq || i < 0 || given[i] ||
	    number_get(bytes_of(eq + 1, word.len - name_len - 1), INT32_MIN, INT32_MAX, &v))
		return;
	if (v < rows[i].min || v > rows[i].max)
		log_info("Consensus parameter %s=%lld is out of its bounds; clamped.", rows[i].name,
			 (long long)v);
	values[i] = (int32_t)MIN(MAX(v, rows[i].min), rows[i].max);
	given[i] = true;
}

/* Those whose bounds or default are another's value. */
static void params_join(int32_t v[N_DIR_PARAMS], const bool given[N_DIR_PARAMS])
{
	if (!given[DIR_PARAM_circ_max_cell_queue_size_out])
		v[DIR_PARAM_circ_max_cell_queue_size_out] = v[DIR_PARAM_circ_max_cell_queue_size];
	v[DIR_PARAM_nf_ito_high] = MAX(v[DIR_PARAM_nf_ito_high], v[DIR_PARAM_nf_ito_low]);
	v[DIR_PARAM_onion_key_grace_period_days] =
		MIN(v[DIR_PARAM_onion_key_grace_period_days], v[DIR_PARAM_onion_key_rotation_days]);
}

void params_read(int32_t values[N_DIR_PARAMS], struct bytes args)
{
	bool given[N_DIR_PARAMS] = {false};

	for (unsigned i = 0; i < N_DIR_PARAMS; i++)
		values[i] = rows[i].dflt;
	while (args.len)
		param_take(values, given, word_next(&args));
	params_join(values, given);
}

int64_t dir_param(const struct dir *d, enum dir_param_id id)
{
	int64_t v = torrc_says(d->config, id);

	return v < 0 ? d->params[id] : v;
}

void dir_params_push(const struct dir *d, void (*set)(void *ctx, int ctl_param, int64_t value),
		     void *ctx)
{
	for (unsigned i = 0; i < N_DIR_PARAMS; i++)
		if (rows[i].ctl >= 0)
			set(ctx, rows[i].ctl, dir_param(d, i));
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
