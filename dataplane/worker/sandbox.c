/* sandbox.c - rights are given away: user, capabilities, and every system call but those of a port
 * that lives on a kernel socket, of sleeping and of ending. */
#include "dataplane/worker/sandbox.h"

#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "dataplane/base/base.h"

/* memory: large tables are returned to the kernel and grow; sockets: af_packet, af_xdp, tap, memif;
 * the rest: sleeping, time, log lines, threads that end. */
static const int calls[] = {
	/* memif: peers come and go while we run, and EAL's thread makes its epoll anew each time */
	SCMP_SYS(epoll_create),	 SCMP_SYS(epoll_create1),
	SCMP_SYS(socket),	 SCMP_SYS(connect),
	SCMP_SYS(bind),		 SCMP_SYS(listen),
	SCMP_SYS(memfd_create),	 SCMP_SYS(ftruncate),
	SCMP_SYS(fcntl),	 SCMP_SYS(unlink),

	SCMP_SYS(mmap),		 SCMP_SYS(munmap),
	SCMP_SYS(mremap),	 SCMP_SYS(madvise),
	SCMP_SYS(brk),		 SCMP_SYS(mprotect),
	SCMP_SYS(membarrier),	 SCMP_SYS(sendto),
	SCMP_SYS(recvfrom),	 SCMP_SYS(sendmsg),
	SCMP_SYS(recvmsg),	 SCMP_SYS(sendmmsg),
	SCMP_SYS(recvmmsg),	 SCMP_SYS(getsockopt),
	SCMP_SYS(setsockopt),	 SCMP_SYS(poll),
	SCMP_SYS(ppoll),	 SCMP_SYS(read),
	SCMP_SYS(readv),	 SCMP_SYS(write),
	SCMP_SYS(writev),	 SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait),	 SCMP_SYS(epoll_ctl),
	SCMP_SYS(ioctl),	 SCMP_SYS(accept),
	SCMP_SYS(accept4),	 SCMP_SYS(eventfd2),
	SCMP_SYS(close),	 SCMP_SYS(shutdown),
	SCMP_SYS(nanosleep),	 SCMP_SYS(clock_nanosleep),
	SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday),
	SCMP_SYS(sched_yield),	 SCMP_SYS(futex),
	SCMP_SYS(getpid),	 SCMP_SYS(gettid),
	SCMP_SYS(getrandom),	 SCMP_SYS(restart_syscall),
	SCMP_SYS(rt_sigreturn),	 SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigaction),	 SCMP_SYS(tgkill),
	SCMP_SYS(exit),		 SCMP_SYS(exit_group),
	SCMP_SYS(newfstatat),	 SCMP_SYS(fstat),
	SCMP_SYS(lseek),	 SCMP_SYS(set_robust_list),
	SCMP_SYS(rseq),
};

static int filter_calls(void)
{
	/* A call that is not on the list fails; it does not kill a relay full of circuits. */
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int rc = ctx ? 0 : -ENOMEM;

	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(calls); i++)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, calls[i], 0);
	if (rc == 0)
		rc = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	if (rc == 0)
		rc = seccomp_load(ctx);
	if (ctx)
		seccomp_release(ctx);
	errno = -rc;
	return rc ? -1 : 0;
}

static int become(const char *user)
{
	struct passwd *pw = user ? getpwnam(user) : NULL;

	if (!user || geteuid() != 0)
		return 0;
	if (!pw) {
		errno = ENOENT;
		return -1;
	}
	if (setgroups(0, NULL) < 0 || setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) < 0 ||
	    setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) < 0)
		return -1;
	return 0;
}

int sandbox_enter(const char *user)
{
	if (become(user) < 0)
		return -1;
	capng_clear(CAPNG_SELECT_BOTH);
	if (geteuid() == 0)
		capng_apply(CAPNG_SELECT_BOTH);
	else
		capng_apply(CAPNG_SELECT_CAPS);
	/* The kernel forgets this one when the user changes: without the parent we must not live
	 * on. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -1;
	if (prctl(PR_SET_DUMPABLE, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	return filter_calls();
}
