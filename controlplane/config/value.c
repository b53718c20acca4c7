/* value.c - one text as one value: numbers with tor's units, switches, lists. A row a type. */
#include "controlplane/config/internal.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct unit {
	const char *name;
	int64_t factor;
};

/* tor's time units; a plural s is taken off before the look-up. */
static const struct unit time_units[] = {
	{"second", 1},	{"minute", 60},	     {"hour", 3600},
	{"day", 86400}, {"week", 7 * 86400}, {"month", 2629728}, /* a twelfth of 365.24 days */
};
static const struct unit msec_units[] = {
	{"msec", 1},	   {"millisecond", 1}, {"second", 1000},	 {"minute", 60000},
	{"hour", 3600000}, {"day", 86400000},  {"week", 7 * 86400000ll},
};

static bool unit_find(const struct unit *u, size_t n, const char *text, int64_t *factor)
{
	size_t len = strlen(text);

	if (!len) {
		*factor = 1;
		return true;
	}
	for (size_t i = 0; i < n; i++) {
		size_t want = strlen(u[i].name);
		bool is_plural = len == want + 1 && (text[want] | 0x20) == 's';

		if ((len == want || is_plural) && strncasecmp(text, u[i].name, want) == 0) {
			*factor = u[i].factor;
			return true;
		}
	}
	return false;
}

/* Bytes by name: a power of 1024 (k, kilo, ...) and what is counted (b, byte, bit). */
static bool unit_memory(const char *text, int64_t *factor)
{
	static const struct {
		const char *name;
		int shift;
		bool is_long;
	} powers[] = {
		{"kilo", 10, true}, {"mega", 20, true}, {"giga", 30, true}, {"tera", 40, true},
		{"k", 10, false},   {"m", 20, false},	{"g", 30, false},   {"t", 40, false},
	};
	bool is_long = false;
	int shift = 0;

	if (!*text || strcasecmp(text, "m") == 0) {
		*factor = *text ? 1 << 20 : 1;
		return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(powers) && !shift; i++) {
		if (strncasecmp(text, powers[i].name, strlen(powers[i].name)) == 0) {
			shift = powers[i].shift;
			is_long = powers[i].is_long;
			text += strlen(powers[i].name);
		}
	}
	if ((!is_long && strcasecmp(text, "b") == 0) || strcasecmp(text, "byte") == 0 ||
	    strcasecmp(text, "bytes") == 0)
		*factor = 1ll << shift;
	else if (shift && (strcasecmp(text, "bit") == 0 || strcasecmp(text, "bits") == 0))
		*factor = 1ll << (shift - 3);
	else
		return false;
	return true;
}

static bool unit_of(enum config_type type, const char *text, int64_t *factor)
{
	if (type == TYPE_MEM)
		return unit_memory(text, factor);
	if (type == TYPE_SEC)
		return unit_find(time_units, ARRAY_LEN(time_units), text, factor);
	if (type == TYPE_MSEC)
		return unit_find(msec_units, ARRAY_LEN(msec_units), text, factor);
	*factor = 1;
	return !*text;
}

static const char *const expected[N_TYPES] = {
	[TYPE_BOOL] = "0 or 1",
	[TYPE_AUTO] = "0, 1 or auto",
	[TYPE_INT] = "a whole number",
	[TYPE_MEM] = "a number of bytes, like \"10 MBytes\", \"1 GB\" or \"100 MBits\"",
	[TYPE_SEC] = "a time, like \"30 seconds\" or \"2 days\"",
	[TYPE_MSEC] = "a time, like \"10 msec\" or \"2 seconds\"",
	[TYPE_REAL] = "a number",
};

static int parse_number(const struct config_option *o, void *to, const char *text, const char **why)
{
	static char range[80];
	int64_t factor, v;
	double real;
	char *end;

	*why = expected[o->type];
	if (!isdigit((unsigned char)*text) && !(*text == '-' && o->min < 0))
		return ERR_CONFIG;
	real = strtod(text, &end);
	if (o->type == TYPE_INT && memchr(text, '.', (size_t)(end - text)))
		return ERR_CONFIG;
	if ((text[0] == '0' && (text[1] | 0x20) == 'x') || !isfinite(real))
		return ERR_CONFIG;
	if (!unit_of(o->type, end + strspn(end, " \t"), &factor))
		return ERR_CONFIG;
	real *= (double)factor;
	snprintf(range, sizeof(range), "a value from %lld to %lld", (long long)o->min,
		 (long long)o->max);
	*why = range;
	if (real < (double)o->min || real > (double)o->max)
		return ERR_CONFIG;
	v = (int64_t)real;
	memcpy(to, &v, sizeof(v));
	return 0;
}

static int parse_real(const struct config_option *o, void *to, const char *text, const char **why)
{
	char *end;
	double v = strtod(text, &end);

	*why = expected[TYPE_REAL];
	if (end == text || *end || !isfinite(v) || v < (double)o->min || v > (double)o->max)
		return ERR_CONFIG;
	memcpy(to, &v, sizeof(v));
	return 0;
}

static int parse_bool(const struct config_option *o, void *to, const char *text, const char **why)
{
	bool v = *text == '1';

	*why = expected[TYPE_BOOL];
	if ((*text != '0' && *text != '1') || text[1])
		return ERR_CONFIG;
	memcpy(to, &v, sizeof(v));
	return 0;
}

static int parse_auto(const struct config_option *o, void *to, const char *text, const char **why)
{
	int8_t v = (int8_t)(*text - '0');

	*why = expected[TYPE_AUTO];
	if (strcasecmp(text, "auto") == 0)
		v = -1;
	else if ((*text != '0' && *text != '1') || text[1])
		return ERR_CONFIG;
	memcpy(to, &v, sizeof(v));
	return 0;
}

static int parse_str(const struct config_option *o, void *to, const char *text, const char **why)
{
	char **v = to, *copy = *text ? strdup(text) : NULL;

	free(*v);
	*v = copy;
	return 0;
}

static int list_add(struct config_list *l, const char *text, size_t len)
{
	char **v = realloc(l->v, (size_t)(l->n + 1) * sizeof(*v));

	if (v)
		l->v = v;
	if (!v || !(v[l->n] = strndup(text, len)))
		return ERR_CONFIG;
	l->n++;
	return 0;
}

static int parse_list(const struct config_option *o, void *to, const char *text, const char **why)
{
	*why = "a value";
	return *text ? list_add(to, text, strlen(text)) : ERR_CONFIG;
}

static void drop_list(void *v)
{
	struct config_list *l = v;

	for (int i = 0; i < l->n; i++)
		free(l->v[i]);
	free(l->v);
	*l = (struct config_list) {0};
}

static int parse_csv(const struct config_option *o, void *to, const char *text, const char **why)
{
	*why = "items between commas";
	while (*text) {
		size_t len;

		text += strspn(text, " \t,");
		len = strcspn(text, ",");
		while (len && isspace((unsigned char)text[len - 1]))
			len--;
		if (len && list_add(to, text, len) < 0)
			return ERR_CONFIG;
		text += strcspn(text, ",");
	}
	return 0;
}

static void drop_str(void *v)
{
	free(*(char **)v);
	*(char **)v = NULL;
}

static void drop_none(void *v)
{
}

static bool same_8(const void *a, const void *b)
{
	return memcmp(a, b, 8) == 0;
}

static bool same_1(const void *a, const void *b)
{
	return *(const uint8_t *)a == *(const uint8_t *)b;
}

static bool same_text(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool same_str(const void *a, const void *b)
{
	return same_text(*(char *const *)a, *(char *const *)b);
}

static bool same_list(const void *a, const void *b)
{
	const struct config_list *x = a, *y = b;

	for (int i = 0; i < x->n && x->n == y->n; i++) {
		if (strcmp(x->v[i], y->v[i]) != 0)
			return false;
	}
	return x->n == y->n;
}

static int copy_8(void *to, const void *from)
{
	memcpy(to, from, 8);
	return 0;
}

static int copy_1(void *to, const void *from)
{
	memcpy(to, from, 1);
	return 0;
}

static int copy_str(void *to, const void *from)
{
	const char *text = *(char *const *)from;
	const char *why;

	return parse_str(NULL, to, text ? text : "", &why);
}

static int copy_list(void *to, const void *from)
{
	const struct config_list *l = from;

	drop_list(to);
	for (int i = 0; i < l->n; i++) {
		if (list_add(to, l->v[i], strlen(l->v[i])) < 0)
			return ERR_CONFIG;
	}
	return 0;
}

const struct config_type_row config_types[N_TYPES] = {
	[TYPE_STR] = {"text", sizeof(char *), parse_str, drop_str, same_str, copy_str},
	[TYPE_BOOL] = {"0|1", 1, parse_bool, drop_none, same_1, copy_1},
	[TYPE_AUTO] = {"0|1|auto", 1, parse_auto, drop_none, same_1, copy_1},
	[TYPE_INT] = {"number", 8, parse_number, drop_none, same_8, copy_8},
	[TYPE_MEM] = {"bytes", 8, parse_number, drop_none, same_8, copy_8},
	[TYPE_SEC] = {"time", 8, parse_number, drop_none, same_8, copy_8},
	[TYPE_MSEC] = {"time", 8, parse_number, drop_none, same_8, copy_8},
	[TYPE_REAL] = {"number", 8, parse_real, drop_none, same_8, copy_8},
	[TYPE_LIST] = {"lines", sizeof(struct config_list), parse_list, drop_list, same_list,
		       copy_list},
	[TYPE_CSV] = {"list", sizeof(struct config_list), parse_csv, drop_list, same_list,
		      copy_list},
	[TYPE_CSVLIST] = {"lists", sizeof(struct config_list), parse_csv, drop_list, same_list,
			  copy_list},
};

bool type_is_list(enum config_type t)
{
	return t == TYPE_LIST || t == TYPE_CSVLIST;
}
