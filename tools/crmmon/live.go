package crmmon

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"golang.org/x/sys/unix"

	"linuxha/cib/cibdoc"
	"linuxha/internal/cibclient"
	"linuxha/internal/exitcode"
	"linuxha/internal/ipc"
	"linuxha/internal/paths"
	cibv1 "linuxha/proto/cib/v1"
)

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// screen is the live display: the last view, what is shown of it, and keys
// that change that. It only draws; watching the cluster is live's business.
type screen struct {
	o      *options
	view   *view
	err    error
	height int
	help   bool
}

// arrived is a new state of the cluster, or why there is none.
type arrived struct {
	view *view
	err  error
}

func (s screen) Init() tea.Cmd { return nil }

// Update is pure: message in, screen out.
func (s screen) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case arrived:
		s.err = msg.err
		if msg.view != nil {
			s.view = msg.view
		}
	case tea.WindowSizeMsg:
		s.height = msg.Height
	case tea.KeyPressMsg:
		return s.key(msg.String())
	}
	return s, nil
}

// toggles are the keys that switch a section (as crm_mon's own keys).
var toggles = map[string]string{
	"f": "failcounts", "o": "operations", "c": "tickets", "A": "attributes", "L": "bans", "m": "fencing-succeeded",
}

func (s screen) key(k string) (tea.Model, tea.Cmd) {
	switch k {
	case "q", "ctrl+c", "esc":
		return s, tea.Quit
	case "?", "h":
		s.help = !s.help
	case "n":
		s.o.groupByNode = !s.o.groupByNode
	case "r":
		s.o.inactive = !s.o.inactive
	case "R":
		s.o.detail = !s.o.detail
	case "D":
		on := !s.o.sections["stack"]
		for _, n := range aliases["summary"] {
			s.o.sections[n] = on
		}
	case "b":
		s.o.brief = !s.o.brief
	case "t":
		s.o.timing = !s.o.timing
		s.o.sections["operations"] = s.o.timing
	default:
		if section, ok := toggles[k]; ok {
			s.o.sections[section] = !s.o.sections[section]
		}
	}
	return s, nil
}

const keyHelp = `Keys:
  n  group resources by node     r  inactive resources    R  details
  f  fail counts                 o  operations            t  operations with times
  A  node attributes             L  location bans         m  fencing history
  c  tickets                     b  brief                 D  no headers
  q  quit                        ?  this help
`

func (s screen) View() tea.View {
	var b strings.Builder
	if s.err != nil {
		_, reason := errorOf(s.err)
		fmt.Fprintf(&b, "Connection to cluster failed: %s\nTrying again", reason)
		if s.view != nil {
			b.WriteString("; the last known state follows")
		}
		b.WriteString(".\n\n")
	}
	if s.help {
		b.WriteString(keyHelp + "\n")
	}
	if s.view != nil {
		s.view.choose(s.o)
		// A strings.Builder never fails.
		_ = s.view.writeText(&b, s.o)
	}
	// Tabs have no width on this screen.
	text := strings.NewReplacer("\t ", " ", "\t", " ").Replace(b.String())
	if lines := strings.Split(text, "\n"); s.height > 1 && len(lines) > s.height {
		text = strings.Join(lines[:s.height-1], "\n") + "\n..."
	}
	v := tea.NewView(text)
	v.AltScreen = true
	return v
}

// live shows the cluster until q is pressed; every change of the CIB shows at once.
func live(ctx context.Context, o *options, out *os.File, stderr io.Writer) int {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p := tea.NewProgram(screen{o: o}, tea.WithContext(ctx), tea.WithOutput(out))
	told := newAgent(ctx, o, stderr)
	go watch(ctx, o.every, func(m tea.Msg) {
		if a, ok := m.(arrived); ok && a.err == nil {
			told.look(a.view.doc)
		}
		p.Send(m)
	})
	if _, err := p.Run(); err != nil && ctx.Err() == nil {
		fmt.Fprintf(stderr, "crm_mon: %v\n", err)
		return int(exitcode.Error)
	}
	return 0
}

// watch sends a view for every burst of CIB changes and, so that times stay
// right, at every interval; lost connections are taken up again.
func watch(ctx context.Context, every time.Duration, send func(tea.Msg)) {
	for ctx.Err() == nil {
		err := watchOnce(ctx, every, send)
		if ctx.Err() != nil {
			return
		}
		send(arrived{err: err})
		retry := time.NewTimer(time.Second)
		select {
		case <-ctx.Done():
		case <-retry.C:
		}
		retry.Stop()
	}
}

func watchOnce(ctx context.Context, every time.Duration, send func(tea.Msg)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conn, err := ipc.Dial(paths.FromEnv().Socket("cib"))
	if err != nil {
		return err
	}
	defer conn.Close()
	f := cibclient.NewFollower(cibv1.NewCibClient(conn))
	f.NoWait = true
	latest := make(chan *cibdoc.Doc, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- f.Follow(ctx, func(step cibclient.Step) {
			select {
			case <-latest: // one redraw covers the burst
			default:
			}
			latest <- step.New
		})
	}()
	tick := time.NewTicker(every)
	defer tick.Stop()
	var doc *cibdoc.Doc
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-ended:
			return err
		case doc = <-latest:
		case <-tick.C:
		}
		if doc == nil {
			continue
		}
		begun := time.Now()
		v, err := liveView(ctx, doc.Bytes())
		send(arrived{view: v, err: err})
		// However fast the CIB changes, a screen leaves half a processor alone.
		rest := time.NewTimer(time.Since(begun))
		select {
		case <-ctx.Done():
		case <-rest.C:
		}
		rest.Stop()
	}
}
