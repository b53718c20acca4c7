/* config.h - the torrc: tor's own syntax, one flat struct of values, and what a SIGHUP may change.
 * Everything that a room of control is told by the operator stands here; nobody else reads torrc.
 */
#ifndef RAMSON_CONFIG_H
#define RAMSON_CONFIG_H

#include "dataplane/base/base.h"

struct config_list {
	char **v;
	int n;
};

/* An ORPort, with its address filled in from DataplaneAddress when the line gave only a port. */
struct config_or_port {
	struct addr at;
	bool listen, advertise;
};

struct config_prefix {
	struct addr at;
	uint8_t bits;
};

struct config_dir_auth {
	char nickname[20];
	struct addr dir; /* address:dirport of the line */
	struct addr or4; /* the same address with orport=; family 0 when not given */
	struct addr or6; /* ipv6=; family 0 when not given */
	uint8_t rsa_id[20];
	uint8_t v3ident[20];
	bool has_v3ident; /* it votes: its certificate and signature count */
};

struct config_log {
	unsigned levels; /* 1 << enum log_level of each that goes there */
	enum { CONFIG_LOG_STDERR, CONFIG_LOG_STDOUT, CONFIG_LOG_FILE, CONFIG_LOG_SYSLOG } kind;
	char *path; /* CONFIG_LOG_FILE */
};

/* What SafeLogging asks to scrub: addresses of peers and destinations (1), of those that dialled
 * us ("relay"), or nothing (0). */
enum config_scrub { CONFIG_SCRUB_NONE, CONFIG_SCRUB_RELAY, CONFIG_SCRUB_ALL };

#define CONFIG_PORTS	 32
#define CONFIG_DIR_AUTHS 32
#define CONFIG_PREFIXES	 32
#define CONFIG_LOGS	 8
#define CONFIG_CORES	 64
#define CONFIG_NAMES	 8

/* C types of the option types; every number is 64 bits wide. A STR may be NULL: not set. */
#define CONFIG_C_STR	 char *
#define CONFIG_C_BOOL	 bool
#define CONFIG_C_AUTO	 int8_t /* -1: auto */
#define CONFIG_C_INT	 int64_t
#define CONFIG_C_MEM	 int64_t
#define CONFIG_C_SEC	 int64_t
#define CONFIG_C_MSEC	 int64_t
#define CONFIG_C_REAL	 double
#define CONFIG_C_LIST	 struct config_list
#define CONFIG_C_CSV	 struct config_list
#define CONFIG_C_CSVLIST struct config_list

struct config {
	/* one field an option, see options.def: cfg->nickname, cfg->bandwidth_rate, ... */
#define OPT(field, name, type, ...) CONFIG_C_##type field;
#include "controlplane/config/options.def"
#undef OPT

	/* what follows from them */
	struct config_or_port or_port[CONFIG_PORTS];
	int n_or_ports;
	struct addr address4, address6; /* advertised, with the advertised ORPort; family 0: none */
	struct addr out_or4, out_or6, out_exit4, out_exit6; /* to dial from; never family 0 when
							       DataplaneAddress has one of it */
	struct config_prefix prefix[CONFIG_PREFIXES];	    /* DataplaneAddress */
	int n_prefixes;
	struct addr gateway[CONFIG_PREFIXES];
	int n_gateways;
	int cores[CONFIG_CORES]; /* DataplaneCores "0-1,4"; none: one worker, chosen by us */
	int n_cores;
	struct config_dir_auth dir_auth[CONFIG_DIR_AUTHS];
	int n_dir_auths;
	struct config_log log_target[CONFIG_LOGS];
	int n_log_targets;
	enum config_scrub scrub;
	bool publish;	 /* descriptors go to the authorities */
	bool is_exit;	 /* ExitRelay 1, or auto and an ExitPolicy that is given */
	int64_t max_mem; /* MaxMemInQueues, or what tor would choose for this host; bytes */
	int64_t relay_rate,
		relay_burst;	    /* the smaller of Bandwidth* and RelayBandwidth*; bytes/s */
	char *keys_dir, *cache_dir; /* KeyDirectory, CacheDirectory or their defaults */
	const char *address_names[CONFIG_NAMES]; /* Address lines that config_resolve looks up */
	int n_address_names;
	bool unresolved;	    /* a name failed: it is looked up again with the next SIGHUP */
	struct config_lines *lines; /* config's own: where each option stood */
};

/* What was found while reading: errors stop, warnings do not. */
struct config_message {
	bool is_error;
	char *text; /* "torrc:12: ..." with reason and remedy */
};
struct config_lines;
struct config_messages {
	struct config_message *v;
	int n, n_errors;
	const struct config_lines *lines; /* a config's; NULL: places are not said */
};
void config_messages_free(struct config_messages *m);
/* Adds a line. Without a file the place is that of the option whose name the text begins with, of
 * the line whose value it quotes when there are several; or none. */
void config_say(struct config_messages *m, bool is_error, const char *file, int line,
		const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* Reads path and everything that it includes, then the overrides: n_args words as on tor's command
 * line ("--Nickname", "x", "+Log", "notice stderr"). 0 with *c filled in (give it to config_free)
 * and perhaps warnings in *m; or ERR_CONFIG with errors in *m and *c empty. */
int config_load(const char *path, char *const args[], int n_args, struct config *c,
		struct config_messages *m);
/* The same from memory; %include is refused. For tests and fuzzing. */
int config_parse(const char *text, size_t len, struct config *c, struct config_messages *m);
void config_free(struct config *c);

/* Looks up the names of Address lines, which may take seconds; find NULL: by the system's resolver.
 * Each gives the address of every family that it has, as tor does. 0, or ERR_CONFIG with errors in
 * *m. With old, the settings before a SIGHUP: unchanged lines are not looked up again, and after an
 * error its addresses stay. */
typedef int (*config_find)(const char *name, int family, struct addr *a, const char **why);
int config_resolve(struct config *c, const struct config *old, config_find find,
		   struct config_messages *m);

/* Is every option of both the same? */
bool config_same(const struct config *a, const struct config *b);

/* May SIGHUP go from old to new? 0, or ERR_CONFIG when an option changed that only a restart can
 * change: each such is named in *m, and its old value is put back in new (which stays usable). */
int config_changed(const struct config *old, struct config *new, struct config_messages *m);

/* Is addr one of ours (DataplaneAddress, any port)? */
bool config_is_ours(const struct config *c, const struct addr *a);

/* The address we dial relays from, or exit streams, to reach one of the given family (4 or 6);
 * NULL when we have none of it. */
const struct addr *config_dial_from(const struct config *c, int family, bool is_exit_stream);

/* Scrubs an address for a log line: "[scrubbed]" when SafeLogging asks for it. */
const char *config_addr_text(const struct config *c, const struct addr *a, char buf[ADDR_TEXT]);

/* The most verbose level that some Log line wants. */
enum log_level config_log_level(const struct config *c);

/* One row of the option table, for `ramson check` and documentation. */
struct config_row {
	const char *name, *type, *value;
	enum { CONFIG_SERVED, CONFIG_IGNORED, CONFIG_REFUSED } how;
};
/* Row i, or NULL behind the last. */
const struct config_row *config_row_at(int i);

#endif
