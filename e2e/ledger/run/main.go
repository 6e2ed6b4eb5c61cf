// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Program run keeps the ledger of one run: see docs/ledger.md. It ends with status 1 if an acknowledged line is lost, or
// doubled where none may be, and leaves nothing running.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/awsloki/awsloki/e2e/ledger"
)

func main() {
	opts, err := parseFlags()
	if err != nil {
		fmt.Fprintln(os.Stderr, "ledger:", err)
		os.Exit(2)
	}
	// A reader that has gone away (ledger | head) is to stop the printing only, so that everything is still ended in order.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it at once
	if err := run(ctx, opts); err != nil {
		fmt.Fprintln(os.Stderr, "\nledger:", err)
		os.Exit(1)
	}
}

// list is a flag that may be given several times.
type list []string

func (l *list) String() string { return strings.Join(*l, " ") }

func (l *list) Set(value string) error {
	*l = append(*l, value)
	return nil
}

func parseFlags() (ledger.Options, error) {
	o := ledger.Options{Progress: os.Stdout}
	var mix, faults string
	var length time.Duration
	flag.StringVar(&o.Dir, "dir", "", "folder for logs, queues and Loki's data, which stay there (default: a temporary one, which stays when the run fails)")
	flag.StringVar(&o.Binary, "collector", "", "the collector's binary (default: _build/otelcol-awsloki in the repository)")
	flag.StringVar(&o.Config, "config", "", "the collectors' configuration (default: config.yaml of the repository)")
	flag.Uint64Var(&o.Seed, "seed", 1, "equal seeds give equal documents and an equal schedule of faults")
	flag.IntVar(&o.Lines, "lines", 1_000_000, "how many lines to send")
	flag.IntVar(&o.Groups, "groups", 50, "how many log groups they are of")
	flag.StringVar(&mix, "mix", "", "shares of the inputs, such as forwarder=40,subscription=60 (default: 40, 25, 15, 15 and 5 of forwarder, subscription, firehose, s3 and push)")
	flag.StringVar(&faults, "faults", "default", "counts of faults, such as collector-kill=20,disk-full=1, or none")
	flag.DurationVar(&o.Outage, "outage", 0, "besides, with -rate: how long Loki is away in the middle")
	flag.IntVar(&o.Collectors, "collectors", 1, "how many collectors; several stand behind a balancer")
	flag.IntVar(&o.Forwarders, "forwarders", 3, "how many processes of the forwarder")
	flag.BoolVar(&o.Verify, "verify", true, "the exporter asks Loki before it sends again what Loki may have")
	flag.Var((*list)(&o.Overlay), "overlay", "YAML that is laid over the configuration; may be given several times")
	flag.IntVar(&o.Rate, "rate", 0, "lines in a second (default: as fast as they are acknowledged)")
	flag.DurationVar(&length, "for", 0, "how long to send, with -rate: instead of -lines")
	flag.BoolVar(&o.CountOnly, "count-only", false, "send the same lines over and over, and compare only how many with what the exporters have counted, for runs of many millions")
	flag.DurationVar(&o.GiveUp, "give-up", 0, "when to give up what is not acknowledged (default: never)")
	flag.DurationVar(&o.Drain, "drain", 10*time.Minute, "how long the collectors may take to send what is left")
	flag.DurationVar(&o.Every, "every", time.Minute, "how often to write the progress")
	flag.Parse()
	if flag.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}
	if length > 0 {
		if o.Rate == 0 {
			return o, errors.New("-for needs -rate")
		}
		o.Lines = int(length.Seconds() * float64(o.Rate))
	}
	var err error
	if o.Mix, err = parseMix(mix); err != nil {
		return o, err
	}
	if o.Faults = ledger.DefaultFaults; faults != "default" {
		o.Faults, err = ledger.ParseFaults(faults)
	}
	return o, err
}

func parseMix(text string) (map[ledger.Input]int, error) {
	if text == "" {
		return ledger.DefaultMix, nil
	}
	mix := map[ledger.Input]int{}
	for pair := range strings.SplitSeq(text, ",") {
		name, share, _ := strings.Cut(pair, "=")
		input, err := ledger.ParseInput(name)
		if err != nil {
			return nil, err
		}
		if mix[input], err = strconv.Atoi(share); err != nil || mix[input] < 0 {
			return nil, fmt.Errorf("%q is no share of %s", share, name)
		}
	}
	return mix, nil
}

// run runs the ledger, prints what it says, and returns an error if that is not as it must be.
func run(ctx context.Context, opts ledger.Options) (err error) {
	if opts.Dir == "" {
		if opts.Dir, err = os.MkdirTemp("", "awsloki-ledger-"); err != nil {
			return err
		}
		defer func() {
			if err == nil || ctx.Err() != nil {
				err = errors.Join(err, os.RemoveAll(opts.Dir))
			}
		}()
	}
	result, err := ledger.Run(ctx, opts)
	if ctx.Err() != nil {
		return errors.New("interrupted, all stopped")
	}
	if err != nil {
		return fmt.Errorf("%w\nThe logs are in %s", err, opts.Dir)
	}
	fmt.Println()
	if err := result.Print(os.Stdout); err != nil {
		return err
	}
	switch {
	case result.Total().Lost > 0, result.Foreign > 0, result.Altered > 0:
		return fmt.Errorf("acknowledged lines are lost, or lines are in Loki that were not sent, or not so\nThe logs are in %s", opts.Dir)
	case result.Counted.Doubled > 0, opts.Verify && opts.Collectors == 1 && result.Promised().Doubled > 0:
		return fmt.Errorf("lines are doubled\nThe logs are in %s", opts.Dir)
	}
	return nil
}
