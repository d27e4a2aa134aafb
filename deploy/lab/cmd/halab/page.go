package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"linuxha/deploy/lab"
	"linuxha/deploy/lab/power"
)

// pageCommands are the demo's web server and its visitors.
func pageCommands() []*cobra.Command {
	var listen, dir, url string
	var retry bool
	var interval, timeout time.Duration
	page := &cobra.Command{
		Use: "serve-page", Hidden: true, Args: cobra.NoArgs,
		Short: "serve the node's name, or the files of a folder, over HTTP",
		RunE:  func(cmd *cobra.Command, _ []string) error { return servePage(listen, dir) },
	}
	page.Flags().StringVar(&listen, "listen", ":80", "address to listen on")
	page.Flags().StringVar(&dir, "dir", "", "folder of files; empty: a page with the node's name")

	get := &cobra.Command{
		Use: "get", Hidden: true, Args: cobra.NoArgs, Short: "fetch a page once",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmdContext(cmd.Context()), 15*time.Second)
			defer cancel()
			for {
				body, err := fetch(ctx, client(5*time.Second), url)
				if err == nil {
					_, err = os.Stdout.Write(body)
					return err
				}
				if !retry || ctx.Err() != nil {
					return err
				}
				time.Sleep(20 * time.Millisecond)
			}
		},
	}
	get.Flags().StringVar(&url, "url", "", "what to fetch")
	get.Flags().BoolVar(&retry, "retry", false, "try for 15 s until it is there")

	probe := &cobra.Command{
		Use: "probe", Hidden: true, Args: cobra.NoArgs,
		Short: "fetch a page again and again; a JSON line for each answer",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return probe(cmdContext(cmd.Context()), url, interval, timeout)
		},
	}
	probe.Flags().StringVar(&url, "url", "", "what to fetch")
	probe.Flags().DurationVar(&interval, "interval", 5*time.Millisecond, "pause between two requests")
	probe.Flags().DurationVar(&timeout, "timeout", 50*time.Millisecond, "when a request counts as failed")
	return []*cobra.Command{page, get, probe, pingCommand(), askCommand()}
}

func servePage(listen, dir string) error {
	name, err := power.NodeName()
	if err != nil {
		return err
	}
	var handler http.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "served by %s\n", name)
	})
	if dir != "" {
		handler = http.FileServer(http.Dir(dir))
	}
	srv := &http.Server{Addr: listen, Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	context.AfterFunc(ctx, func() { srv.Close() })
	if err := srv.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// client makes a new connection for each request, as a new visitor would.
func client(timeout time.Duration) *http.Client {
	return &http.Client{Timeout: timeout, Transport: &http.Transport{
		DisableKeepAlives: true, DialContext: (&net.Dialer{Timeout: timeout}).DialContext,
	}}
}

func fetch(ctx context.Context, c *http.Client, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, resp.Status)
	}
	return io.ReadAll(resp.Body)
}

// probe prints one lab.Answer per request until its output or ctx ends.
func probe(ctx context.Context, url string, interval, timeout time.Duration) error {
	enc := json.NewEncoder(os.Stdout)
	c := client(timeout)
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		a := lab.Answer{AskedNS: time.Now().UnixNano()}
		body, err := fetch(ctx, c, url)
		a.AtNS = time.Now().UnixNano()
		if err != nil {
			a.Error = err.Error()
		} else {
			a.Node = strings.TrimSpace(strings.TrimPrefix(string(body), "served by "))
		}
		if err := enc.Encode(a); err != nil {
			return nil // nobody listens any more
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
