// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Program demo shows awsloki's main job on one machine: it starts Loki, the collector and the Lambda forwarder, invokes
// the forwarder with sample events of CloudWatch Logs, and prints the lines that Loki then has. It leaves nothing running.
// With LOKI_URL in the environment it takes the Loki that has this push URL and starts none.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/awsloki/awsloki/e2e/stack"
)

type options struct {
	loki, collector, forwarder string
	config, events             string
	lokiURL                    string
	timeout                    time.Duration
}

func main() {
	opts, err := parseFlags()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(2)
	}
	// A reader that has gone away (demo | head) is to stop the printing only, so that everything is still ended in order.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it at once
	if err := run(ctx, opts, printer{os.Stdout}); err != nil {
		fmt.Fprintln(os.Stderr, "\ndemo:", err)
		os.Exit(1)
	}
}

func parseFlags() (options, error) {
	root, err := stack.RepoRoot()
	if err != nil {
		return options{}, err
	}
	o := options{lokiURL: os.Getenv("LOKI_URL")}
	flag.StringVar(&o.loki, "loki", filepath.Join(root, "_build", "loki"), "Loki's binary")
	flag.StringVar(&o.collector, "collector", filepath.Join(root, "_build", "otelcol-awsloki"), "the collector's binary")
	flag.StringVar(&o.forwarder, "forwarder", filepath.Join(root, "_build", "lambdaforwarder"), "the forwarder's binary")
	flag.StringVar(&o.config, "config", filepath.Join(root, "config.yaml"), "the collector's configuration")
	flag.StringVar(&o.events, "events", filepath.Join(root, "testdata", "events"), "folder of Lambda events, *.json")
	flag.DurationVar(&o.timeout, "timeout", time.Minute, "how long to wait for each answer and for the lines in Loki")
	flag.Parse()
	return o, nil
}
