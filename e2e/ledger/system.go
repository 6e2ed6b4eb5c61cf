// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"

	"github.com/awsloki/awsloki/e2e/balancer"
	"github.com/awsloki/awsloki/e2e/faultproxy"
	"github.com/awsloki/awsloki/e2e/stack"
)

const (
	// lokiConfig has Loki take what comes as fast as it can.
	lokiConfig = `
limits_config:
  ingestion_rate_mb: 1000
  ingestion_burst_size_mb: 1000
  per_stream_rate_limit: 1GB
  per_stream_rate_limit_burst: 1GB
`
	// exporterConfig has the exporter not wait for long for an answer that does not come, but longer than Loki ever takes.
	exporterConfig = "exporters: {loki: {timeout: 15s, retry_on_failure: {max_interval: 2s}}}"
	verifyConfig   = "exporters: {loki: {resend: {verify: true}}}"
)

// system is all that a run starts, between the senders and Loki.
type system struct {
	loki       *stack.Loki
	lokiNet    *network // between the collectors and Loki
	frontNet   *network // between the senders and the collectors
	collectors []*stack.Collector
	forwarders []*forwarder
	url        string // where the senders send to
	// mostOwn is the most memory that each collector took, without pages of files, when it was looked at.
	mostOwn []int64

	// One fault at a time stops Loki or a collector.
	lokiMu       sync.Mutex
	collectorsMu []sync.Mutex

	stops []func() error // what ends the parts, in the order in which they were started
}

// startSystem starts all parts. Also when it fails, stop ends those that it has started.
func startSystem(ctx context.Context, opts Options) (*system, error) {
	s := &system{lokiNet: &network{}, frontNet: &network{}, collectorsMu: make([]sync.Mutex, opts.Collectors), mostOwn: make([]int64, opts.Collectors)}
	if err := s.start(ctx, opts); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

func (s *system) start(ctx context.Context, opts Options) error {
	var err error
	if s.loki, err = stack.StartLoki(ctx, filepath.Join(opts.Dir, "loki"), stack.LokiOptions{Config: lokiConfig}); err != nil {
		return err
	}
	s.stops = append(s.stops, s.loki.Stop)
	lokiURL, err := s.behind(s.lokiNet, s.loki.BaseURL(), opts.Schedule, NetLoki, NetLokiCut) //nolint:contextcheck // the proxy serves until it is closed
	if err != nil {
		return err
	}
	for n := range opts.Collectors {
		if err := s.startCollector(ctx, opts, n, lokiURL+strings.TrimPrefix(s.loki.PushURL(), s.loki.BaseURL())); err != nil {
			return err
		}
	}
	front, err := s.front() //nolint:contextcheck // the balancer serves until it is closed
	if err != nil {
		return err
	}
	if s.url, err = s.behind(s.frontNet, front, opts.Schedule, NetForwarder); err != nil { //nolint:contextcheck // as above
		return err
	}
	for n := range opts.Forwarders {
		f, err := startForwarder(ctx, filepath.Join(opts.Dir, "forwarders"), s.url, n)
		if err != nil {
			return err
		}
		s.forwarders = append(s.forwarders, f)
		s.stops = append(s.stops, f.stop)
	}
	return nil
}

// behind starts a proxy before target if the schedule has any of kinds, and returns the URL to use.
func (s *system) behind(n *network, target string, schedule []Fault, kinds ...Kind) (string, error) {
	for _, f := range schedule {
		for _, kind := range kinds {
			if f.Kind != kind {
				continue
			}
			proxy, err := faultproxy.Start(target, n.decide)
			if err != nil {
				return "", err
			}
			s.stops = append(s.stops, proxy.Close)
			return proxy.URL(), nil
		}
	}
	return target, nil
}

func (s *system) startCollector(ctx context.Context, opts Options, number int, pushURL string) error {
	name := fmt.Sprint("collector-", number)
	// Lines of several collectors are of different streams.
	configs := append([]string{fmt.Sprintf("processors: {restamp: {instance: {value: %s}}}", name), exporterConfig}, opts.Overlay...)
	if opts.Verify {
		configs = append(configs, verifyConfig)
	}
	args := make([]string, 0, 2*len(configs))
	for _, config := range configs {
		args = append(args, "--config", "yaml:"+config)
	}
	c, err := stack.StartCollector(ctx, filepath.Join(opts.Dir, "collectors"), opts.Config, map[string]string{"LOKI_URL": pushURL},
		stack.CollectorOptions{Binary: opts.Binary, Name: name, Args: args})
	if err != nil {
		return err
	}
	s.collectors = append(s.collectors, c)
	s.stops = append(s.stops, c.Stop)
	return nil
}

// front returns the URL that stands for all collectors.
func (s *system) front() (string, error) {
	if len(s.collectors) == 1 {
		return s.collectors[0].URL(), nil
	}
	targets := make([]string, len(s.collectors))
	for n, c := range s.collectors {
		targets[n] = c.URL()
	}
	b, err := balancer.Start(targets...)
	if err != nil {
		return "", err
	}
	s.stops = append(s.stops, b.Close)
	return b.URL(), nil
}

// stop ends all parts, those before Loki first.
func (s *system) stop() error {
	var errs []error
	for i := len(s.stops) - 1; i >= 0; i-- {
		errs = append(errs, s.stops[i]())
	}
	s.stops = nil
	return errors.Join(errs...)
}

// check returns an error if a process has ended that nobody stopped.
func (s *system) check() error {
	if err := checkProcess(s.loki.Process); err != nil {
		return err
	}
	for _, c := range s.collectors {
		if err := checkProcess(c.Process); err != nil {
			return err
		}
	}
	return nil
}

func checkProcess(p *stack.Process) error {
	// One that is stopped has no id. It may be between the first look and the second.
	if p.PID() != 0 && !p.Running() && p.PID() != 0 {
		return fmt.Errorf("a process has ended by itself\n%s", p.Tail())
	}
	return nil
}

// drained returns nil once no collector has anything left to send.
func (s *system) drained(ctx context.Context) error {
	if err := s.check(); err != nil {
		return err
	}
	for n, c := range s.collectors {
		metrics, err := c.Metrics(ctx)
		if err != nil {
			return err
		}
		if queued := metrics.Sum("otelcol_exporter_queue_size"); queued > 0 {
			return fmt.Errorf("collector %d: %.0f bytes are queued", n, queued)
		}
	}
	return nil
}

// refused returns how many lines Loki refused, as the collectors have counted since they were last started.
func (s *system) refused(ctx context.Context) (int, error) {
	sum := 0.0
	for _, c := range s.collectors {
		metrics, err := c.Metrics(ctx)
		if err != nil {
			return 0, err
		}
		sum += metrics.Sum("otelcol_exporter_loki_refused_lines") + metrics.Sum("otelcol_exporter_loki_unreadable_batches")
	}
	return int(sum), nil
}

// lookAtMemory looks how much memory the collectors take that run.
func (s *system) lookAtMemory() {
	for n, c := range s.collectors {
		if memory, err := c.Memory(); err == nil {
			s.mostOwn[n] = max(s.mostOwn[n], memory.Own)
		}
	}
}

// sizes says how much memory the collectors take, and how large their folders are.
func (s *system) sizes() string {
	var all []string
	for n, c := range s.collectors {
		memory, err := c.Memory()
		if err != nil {
			all = append(all, fmt.Sprintf("collector %d does not run", n))
			continue
		}
		size, err := folderSize(c.DataDir())
		if err != nil {
			all = append(all, err.Error())
			continue
		}
		all = append(all, fmt.Sprintf("collector %d: %s, of which the most was %d MiB; %d MiB in its folder", n, memory, s.mostOwn[n]>>20, size>>20))
	}
	return strings.Join(all, "; ")
}

// folderSize returns the size of the files below a folder, in bytes.
func folderSize(dir string) (int64, error) {
	var all int64
	err := filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) { // it was removed meanwhile
			return nil
		}
		if err == nil {
			all += info.Size()
		}
		return err
	})
	return all, err
}
