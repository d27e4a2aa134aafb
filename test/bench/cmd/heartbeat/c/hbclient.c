/* hbclient MODE SIZE SECONDS MEMBERS: a client of Heartbeat 3.0.6, with the same
 * modes and words as cpg.c but watch. Compile with libheartbeat2-dev:
 * cc -O2 hbclient.c $(pkg-config --cflags --libs glib-2.0) -I/usr/include/heartbeat -lhbclient -lplumb */
#include <unistd.h>
#include <hb_api.h>
#include "load.h"

int main(int argc, char **argv)
{
	ll_cluster_t *hb = ll_cluster_new("heartbeat");
	long received = 0;

	if (argc != 5 || !hb)
		return 2;
	int sending = !strcmp(argv[1], "send");
	size_t size = atol(argv[2]);
	double seconds = atof(argv[3]);
	for (int i = 0; hb->llc_ops->signon(hb, "bench") != HA_OK; i++) {
		if (i == 600) {
			fprintf(stderr, "signon: %s\n", hb->llc_ops->errmsg(hb));
			return 1;
		}
		usleep(50000); /* the daemon is starting, and says nothing when it is ready */
	}
	hb->llc_ops->set_sendq_len(hb, 100000);
	hb->llc_ops->set_send_block_mode(hb, TRUE);
	say("ready", 0, now_ns());
	if (sending) {
		unsigned char *payload = malloc(size);
		long sent = 0;
		fill(payload, size);
		await_go();
		int64_t begin = now_ns(), end = begin + seconds * 1e9;
		say("began", 0, begin);
		for (int last = 0; !last;) {
			struct ha_msg *m = ha_msg_new(4);
			last = now_ns() >= end;
			ha_msg_add(m, F_TYPE, last ? "benchend" : "bench");
			if (!last)
				ha_msg_addbin(m, "d", payload, size);
			if (hb->llc_ops->sendclustermsg(hb, m) != HA_OK) {
				fprintf(stderr, "sendclustermsg: %s\n", hb->llc_ops->errmsg(hb));
				return 1;
			}
			ha_msg_del(m);
			sent += !last;
			while (hb->llc_ops->msgready(hb)) {
				struct ha_msg *in = hb->llc_ops->readmsg(hb, 0);
				if (!in)
					break;
				const char *t = ha_msg_value(in, F_TYPE);
				if (t && !strcmp(t, "bench"))
					received++;
				if (t && !strcmp(t, "benchend")) {
					say("sent", sent, now_ns());
					say("received", received, now_ns());
					return 0;
				}
				ha_msg_del(in);
			}
		}
		say("sent", sent, now_ns());
	}
	for (;;) {
		struct ha_msg *in = hb->llc_ops->readmsg(hb, 1);
		if (!in) { /* also without reason, while a node comes up */
			if (hb->llc_ops->chan_is_connected(hb))
				continue;
			fprintf(stderr, "readmsg: %s\n", hb->llc_ops->errmsg(hb));
			return 1;
		}
		const char *t = ha_msg_value(in, F_TYPE);
		if (t && !strcmp(t, "bench"))
			received++;
		if (t && !strcmp(t, "benchend")) {
			say("received", received, now_ns());
			return 0;
		}
		ha_msg_del(in);
	}
}
