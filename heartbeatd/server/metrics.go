package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sort"
	"strconv"
	"strings"
	"time"

	heartbeatv1 "linuxha/proto/heartbeat/v1"
)

// Figures for Prometheus (ha.cf: metrics ADDRESS:PORT), in its text form,
// version 0.0.4. They are those of GetStatus; cl_status linkstats shows the
// ones of links to people.

const (
	metricsRetry   = 5 * time.Second
	metricsTimeout = 5 * time.Second
	metricsType    = "text/plain; version=0.0.4; charset=utf-8"
)

// serveMetrics answers at addr until ctx ends. An address that cannot be had
// is tried again: the cluster does not depend on being watched.
func (s *Server) serveMetrics(ctx context.Context, addr string) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		var st *heartbeatv1.GetStatusResponse
		if !s.do(func(time.Time) { st = s.snapshot() }) {
			http.Error(w, "heartbeatd is stopping", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", metricsType)
		if err := writeMetrics(w, st); err != nil {
			s.log.Debug("metrics were not read to their end", "err", err)
		}
	})
	srv := &http.Server{
		Handler: mux, ReadHeaderTimeout: metricsTimeout, ReadTimeout: metricsTimeout, WriteTimeout: metricsTimeout,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	for failures := 1; ; failures++ {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
		if err == nil {
			s.log.Info("metrics are to be had", "address", "http://"+l.Addr().String()+"/metrics")
			s.metricsAt.Store(l.Addr().String())
			err = srv.Serve(l)
		}
		if ctx.Err() != nil || errors.Is(err, http.ErrServerClosed) {
			return
		}
		if failures&(failures-1) == 0 {
			s.log.Warn("metrics cannot be served; trying again", "address", addr, "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(metricsRetry):
		}
	}
}

// exposition collects metrics; the samples of one name stand together.
type exposition struct{ b strings.Builder }

func (e *exposition) head(name, kind, help string) {
	fmt.Fprintf(&e.b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

// sample adds one; labels are name, value, name, value.
func (e *exposition) sample(name string, value float64, labels ...string) {
	e.b.WriteString(name)
	for i := 0; i < len(labels); i += 2 {
		open := ","
		if i == 0 {
			open = "{"
		}
		fmt.Fprintf(&e.b, "%s%s=\"%s\"", open, labels[i], labelEscapes.Replace(labels[i+1]))
	}
	if len(labels) > 0 {
		e.b.WriteByte('}')
	}
	e.b.WriteByte(' ')
	e.b.WriteString(strconv.FormatFloat(value, 'g', -1, 64))
	e.b.WriteByte('\n')
}

var labelEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func writeMetrics(w io.Writer, st *heartbeatv1.GetStatusResponse) error {
	var e exposition
	single := func(name, kind, help string, value float64) {
		e.head(name, kind, help)
		e.sample(name, value)
	}
	single("linuxha_generation", "gauge", "Incarnation of this node's heartbeatd: grows with each start.", float64(st.Generation))
	single("linuxha_membership_view", "gauge", "Number of the membership in force.", float64(st.Membership.GetNumber()))
	single("linuxha_membership_members", "gauge", "Nodes in the membership in force.", float64(len(st.Membership.GetMembers())))
	single("linuxha_membership_quorate", "gauge", "1 if the membership has quorum.", truth(st.Membership.GetQuorate()))
	single("linuxha_old_membership_number", "gauge", "Number of the membership of Heartbeat 3.0.6's ccm that this node shares with old nodes; 0: none.", float64(st.Membership306.GetNumber()))
	single("linuxha_old_membership_members", "gauge", "Nodes in the membership with old nodes.", float64(len(st.Membership306.GetMembers())))
	single("linuxha_clients", "gauge", "Programs of this node that are attached to heartbeatd.", float64(len(st.Clients)))
	single("linuxha_packets_bad_total", "counter", "Packets that were not authentic or not understood.", float64(st.BadPackets))
	single("linuxha_messages_resent_total", "counter", "Messages sent again because a node missed them.", float64(st.Resent))
	single("linuxha_messages_unacknowledged", "gauge", "Messages that wait for acknowledgement; above 250 clients wait.", float64(st.Unacknowledged))

	e.head("linuxha_node_up", "gauge", "1 if the node is alive for this one.")
	for _, n := range st.Nodes {
		e.sample("linuxha_node_up", truth(n.Status != "dead"), "node", n.Node, "type", n.Type, "status", n.Status)
	}
	links := func(name, kind, help string, value func(*heartbeatv1.LinkStatus) (float64, bool)) {
		e.head(name, kind, help)
		for _, n := range st.Nodes {
			if n.Node == st.Node {
				continue
			}
			for _, l := range n.Links {
				if v, ok := value(l); ok {
					e.sample(name, v, "node", n.Node, "link", l.Name)
				}
			}
		}
	}
	links("linuxha_link_up", "gauge", "1 if the node is heard over the link.", func(l *heartbeatv1.LinkStatus) (float64, bool) {
		return truth(l.Status == "up"), true
	})
	links("linuxha_link_received_total", "counter", "Messages of the node that came over the link.", func(l *heartbeatv1.LinkStatus) (float64, bool) {
		return float64(l.Received), true
	})
	links("linuxha_link_lost_total", "counter", "Messages of the node that did not come over the link, or only after they were asked for again.", func(l *heartbeatv1.LinkStatus) (float64, bool) {
		return float64(l.Lost), true
	})
	links("linuxha_link_loss_ratio", "gauge", "Ratio of messages lost on the link, of about the last 256.", func(l *heartbeatv1.LinkStatus) (float64, bool) {
		return l.Loss, true
	})
	links("linuxha_link_round_trip_seconds", "gauge", "Smoothed round trip over the link.", func(l *heartbeatv1.LinkStatus) (float64, bool) {
		return time.Duration(l.RoundTripNs).Seconds(), l.RoundTripNs > 0
	})
	links("linuxha_link_silent_seconds", "gauge", "Time since the node was last heard over the link.", func(l *heartbeatv1.LinkStatus) (float64, bool) {
		return time.Duration(l.SilentNs).Seconds(), l.SilentNs > 0
	})
	media := func(name, kind, help string, value func(*heartbeatv1.MediumStatus) float64) {
		e.head(name, kind, help)
		for _, m := range st.Media {
			e.sample(name, value(m), "kind", m.Kind, "link", m.Name)
		}
	}
	sort.SliceStable(st.Media, func(i, j int) bool {
		return st.Media[i].Kind+" "+st.Media[i].Name < st.Media[j].Kind+" "+st.Media[j].Name
	})
	media("linuxha_medium_up", "gauge", "1 if the medium is open on this node.", func(m *heartbeatv1.MediumStatus) float64 { return truth(m.Up) })
	media("linuxha_medium_sent_total", "counter", "Messages handed to the medium.", func(m *heartbeatv1.MediumStatus) float64 { return float64(m.Sent) })
	media("linuxha_medium_received_total", "counter", "Messages that came over the medium, authentic or not.", func(m *heartbeatv1.MediumStatus) float64 { return float64(m.Received) })
	media("linuxha_medium_dropped_total", "counter", "Messages that the medium was too slow for.", func(m *heartbeatv1.MediumStatus) float64 { return float64(m.Dropped) })
	_, err := io.WriteString(w, e.b.String())
	return err
}
