/* cpg MODE SIZE SECONDS MEMBERS: a client of Corosync's closed process groups.
 * MODE send: when all MEMBERS have joined and a line came in, messages of SIZE
 * bytes for SECONDS, as fast as they are taken; receive: counts them; watch:
 * says when members leave. Compile: cc -O2 cpg.c -lcpg */
#include <poll.h>
#include <unistd.h>
#include <corosync/cpg.h>
#include "load.h"

static long members, want, received;
static int ended, watching;

static void deliver(cpg_handle_t h, const struct cpg_name *g, uint32_t node, uint32_t pid, void *msg, size_t n)
{
	(void)h; (void)g; (void)node; (void)pid;
	if (n == 1) {
		say("received", received, now_ns());
		ended = 1;
		return;
	}
	(void)msg;
	received++;
}

static void changed(cpg_handle_t h, const struct cpg_name *g, const struct cpg_address *m, size_t nm,
	const struct cpg_address *left, size_t nl, const struct cpg_address *joined, size_t nj)
{
	(void)h; (void)g; (void)m; (void)left; (void)joined; (void)nj;
	if (watching && nl > 0)
		say("left", nl, now_ns());
	members = nm;
}

int main(int argc, char **argv)
{
	static cpg_callbacks_t callbacks = { .cpg_deliver_fn = deliver, .cpg_confchg_fn = changed };
	struct cpg_name group = { .length = 5, .value = "bench" };
	cpg_handle_t h;
	int fd, e;

	if (argc != 5)
		return 2;
	int sending = !strcmp(argv[1], "send");
	watching = !strcmp(argv[1], "watch");
	size_t size = atol(argv[2]);
	double seconds = atof(argv[3]);
	want = atol(argv[4]);
	for (int i = 0; (e = cpg_initialize(&h, &callbacks)) != CS_OK; i++) {
		if (i == 600) {
			fprintf(stderr, "cpg_initialize: %d\n", e);
			return 1;
		}
		usleep(50000); /* the daemon is starting, and says nothing when it is ready */
	}
	while ((e = cpg_join(h, &group)) == CS_ERR_TRY_AGAIN)
		usleep(10000);
	if (e != CS_OK || cpg_fd_get(h, &fd) != CS_OK) {
		fprintf(stderr, "cpg_join: %d\n", e);
		return 1;
	}
	while (members < want)
		if (cpg_dispatch(h, CS_DISPATCH_ONE) != CS_OK)
			return 1;
	say("ready", members, now_ns());
	if (sending) {
		unsigned char *payload = malloc(size);
		struct iovec iov = { payload, size };
		long sent = 0;
		fill(payload, size);
		await_go();
		int64_t begin = now_ns(), end = begin + seconds * 1e9;
		say("began", 0, begin);
		while (now_ns() < end || iov.iov_len != 1) {
			if (now_ns() >= end)
				iov.iov_len = 1; /* the last one */
			e = cpg_mcast_joined(h, CPG_TYPE_AGREED, &iov, 1);
			if (e == CS_OK) {
				if (iov.iov_len == 1)
					break;
				sent++;
				if (sent % 16 == 0)
					cpg_dispatch(h, CS_DISPATCH_ALL);
				continue;
			}
			if (e != CS_ERR_TRY_AGAIN) {
				fprintf(stderr, "cpg_mcast_joined: %d\n", e);
				return 1;
			}
			struct pollfd p = { fd, POLLIN, 0 };
			poll(&p, 1, 1);
			cpg_dispatch(h, CS_DISPATCH_ALL);
		}
		say("sent", sent, now_ns());
	}
	while (!ended)
		if (cpg_dispatch(h, CS_DISPATCH_ONE) != CS_OK)
			return 1;
	cpg_finalize(h);
	return 0;
}
