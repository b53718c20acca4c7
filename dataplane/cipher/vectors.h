/* vectors.h - reads testdata/cgo.txt for the tests of cipher/ and onion/. */
#ifndef RAMSON_CIPHER_VECTORS_H
#define RAMSON_CIPHER_VECTORS_H

#include <stdio.h>
#include <stdlib.h>

#include "dataplane/base/base.h"

struct vector_field {
	char name[16];
	uint8_t bytes[640];
	size_t len;
};
struct vector {
	char op[32];
	struct vector_field field[8];
	unsigned n;
};

static inline void vector_hex(struct vector_field *f, const char *hex)
{
	unsigned v;

	for (f->len = 0; f->len < sizeof(f->bytes) && sscanf(hex, "%2x", &v) == 1; hex += 2)
		f->bytes[f->len++] = (uint8_t)v;
}

/* The next vector; false at the end. */
static inline bool vector_next(FILE *file, struct vector *v)
{
	char line[2048];

	v->op[0] = 0;
	v->n = 0;
	while (fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = 0;
		if (line[0] == '#' || (!line[0] && !v->op[0]))
			continue;
		if (!line[0])
			return true;
		if (!v->op[0]) {
			snprintf(v->op, sizeof(v->op), "%.31s", line);
		} else if (v->n < ARRAY_LEN(v->field)) {
			size_t name = strcspn(line, " ");

			snprintf(v->field[v->n].name, 16, "%.*s", (int)MIN(name, 15), line);
			vector_hex(&v->field[v->n++], line + name + (line[name] == ' '));
		}
	}
	return v->op[0] != 0;
}

/* The bytes of a field that must be there with this length. */
static inline const uint8_t *vector_get(const struct vector *v, const char *name, size_t len)
{
	for (unsigned i = 0; i < v->n; i++)
		if (!strcmp(v->field[i].name, name) && v->field[i].len == len)
			return v->field[i].bytes;
	fprintf(stderr, "vector %s: no %s of %zu bytes\n", v->op, name, len);
	abort();
}

static inline bool vector_is(const struct vector *v, const char *op)
{
	return !strcmp(v->op, op);
}

#endif
