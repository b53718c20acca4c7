/* internal.h - between the files of config/: lines as they stood, the option table, the two passes
 * that turn lines into values and values into what follows from them. */
#ifndef RAMSON_CONFIG_INTERNAL_H
#define RAMSON_CONFIG_INTERNAL_H

#include "controlplane/config/config.h"

struct config_line {
	char *name, *value;
	const char *file; /* "command line" for overrides; owned by config_lines.files */
	int line;
	char mode;   /* 0, '+' adds to a list, '/' goes back to the default */
	bool by_arg; /* of the command line: replaces a list of the file */
};
struct config_lines {
	struct config_line *v;
	int n, cap;
	char **files;
	int n_files;
};

#define CONFIG_INCLUDE_DEPTH 31
#define CONFIG_TEXT_MAX	     (4u << 20) /* bytes of one file */
#define CONFIG_LINES_MAX     100000

/* Each adds lines to *l: of a text (file names it in messages; depth < 0 refuses %include), of a
 * file, of command-line words. ERR_CONFIG with errors in *m. */
int lines_text(struct config_lines *l, const char *file, const char *text, size_t len, int depth,
	       struct config_messages *m);
int lines_file(struct config_lines *l, const char *path, int depth, struct config_messages *m);
int lines_args(struct config_lines *l, char *const args[], int n, struct config_messages *m);
void lines_free(struct config_lines *l);

enum config_type {
	TYPE_STR,
	TYPE_BOOL,
	TYPE_AUTO,
	TYPE_INT,
	TYPE_MEM,
	TYPE_SEC,
	TYPE_MSEC,
	TYPE_REAL,
	TYPE_LIST,
	TYPE_CSV,
	TYPE_CSVLIST,
	N_TYPES
};
struct config_option {
	const char *name;
	enum config_type type;
	size_t offset;	   /* in struct config */
	const char *value; /* default */
	int64_t min, max;
	bool is_start;
};
extern const struct config_option config_options[];
extern const int n_config_options;

/* What a type can do. parse adds to lists and replaces all else; *why says what was expected. */
struct config_type_row {
	const char *name;
	size_t size;
	int (*parse)(const struct config_option *o, void *to, const char *text, const char **why);
	void (*drop)(void *v);
	bool (*same)(const void *a, const void *b);
	int (*copy)(void *to, const void *from);
};
extern const struct config_type_row config_types[N_TYPES];
static inline void *option_field(const struct config_option *o, const struct config *c)
{
	return (uint8_t *)c + o->offset;
}
bool type_is_list(enum config_type t);

/* All defaults (of a testing network when testing), then the lines. Errors go to *m. */
int options_apply(const struct config_lines *l, struct config *c, struct config_messages *m);
/* Fills in the derived half from the fields; may be called again. Errors go to *m. */
int config_derive(struct config *c, struct config_messages *m);
void config_derive_drop(struct config *c);
/* Rules between options. Errors and warnings go to *m. */
void config_rules(struct config *c, struct config_messages *m);
/* DirAuthority lines into c->dir_auth. */
void derive_dir_auths(struct config *c, struct config_messages *m);

/* Advertised addresses, of ORPort and Address lines; names wait for config_resolve. */
void derive_addresses(struct config *c, struct config_messages *m);
/* What we dial from: stands on the above. */
/* MaxMemInQueues of a machine with so much memory, when it is not set. */
int64_t config_memory_for_queues(int64_t all);
void derive_outbound(struct config *c, struct config_messages *m);
/* Log lines into c->log_target. */
void derive_logs(struct config *c, struct config_messages *m);
void logs_drop(struct config *c);

/* Splits text at blanks in place; returns how many of at most max words were stored. */
int text_words(char *text, char *words[], int max);
/* Exactly len bytes of 2*len hex digits. */
bool text_hex(const char *text, uint8_t *to, size_t len);

#endif
