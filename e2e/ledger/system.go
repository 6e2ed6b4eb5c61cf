// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
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
	// lokiTells has Loki hide no copy. It drops a line that is in the head block of its stream already: here one has some four
	// lines. And its metric queries do not count equal lines of chunks that it has flushed to its store: here they stay in
	// memory, longer than a run takes. As long as max_chunk_age is, twice what a line may lie behind, it is the default.
	lokiTells = `
ingester:
  chunk_block_size: 1024
  chunk_encoding: none
  chunk_target_size: 1073741824
  chunk_idle_period: 2h
  max_chunk_age: 2h
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
	// doomed has who wants to kill a process of the forwarder, whose next request tells him that it is under way.
	doomed chan chan<- *forwarder
	// mostOwn is the most memory that each collector took, without pages of files, when it was looked at.
	mostOwn []int64

	// One fault at a time stops Loki or a collector.
	lokiMu       sync.Mutex
	collectorsMu []sync.Mutex

	stops []func() error // what ends the parts, in the order in which they were started
}

// startSystem starts all parts. Also when it fails, stop ends those that it has started.
func startSystem(ctx context.Context, opts Options) (*system, error) {
	s := &system{
		lokiNet: &network{}, frontNet: &network{}, doomed: make(chan chan<- *forwarder, len(opts.Schedule)),
		collectorsMu: make([]sync.Mutex, opts.Collectors), mostOwn: make([]int64, opts.Collectors),
	}
	if err := s.start(ctx, opts); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

func (s *system) start(ctx context.Context, opts Options) error {
	config := lokiConfig
	if !opts.CountOnly {
		config += lokiTells
	}
	var err error
	if s.loki, err = stack.StartLoki(ctx, filepath.Join(opts.Dir, "loki"), stack.LokiOptions{Config: config}); err != nil {
		return err
	}
	s.stops = append(s.stops, s.loki.Stop)
	lokiURL, err := s.behind(s.lokiNet.decide, s.loki.BaseURL(), opts.Schedule, NetLoki, NetLokiCut) //nolint:contextcheck // the proxy serves until it is closed
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
	if s.url, err = s.behind(s.frontNet.decide, front, opts.Schedule, NetForwarder); err != nil { //nolint:contextcheck // as above
		return err
	}
	for n := range opts.Forwarders {
		if err := s.startForwarder(ctx, opts, n, front); err != nil {
			return err
		}
	}
	return nil
}

// behind starts a proxy before target if the schedule has any of kinds, and returns the URL to use.
func (s *system) behind(decide func(*faultproxy.Request) faultproxy.Fault, target string, schedule []Fault, kinds ...Kind) (string, error) {
	if !slices.ContainsFunc(schedule, func(f Fault) bool { return slices.Contains(kinds, f.Kind) }) {
		return target, nil
	}
	proxy, err := faultproxy.Start(target, decide)
	if err != nil {
		return "", err
	}
	s.stops = append(s.stops, proxy.Close)
	return proxy.URL(), nil
}

// startForwarder starts a process of the forwarder, behind a proxy of its own if it may be killed or its network fail.
func (s *system) startForwarder(ctx context.Context, opts Options, number int, front string) error {
	f := &forwarder{doomed: s.doomed, net: s.frontNet}
	url, err := s.behind(f.decide, front, opts.Schedule, NetForwarder, ForwarderKill) //nolint:contextcheck // the proxy serves until it is closed
	if err != nil {
		return err
	}
	if err := f.start(ctx, filepath.Join(opts.Dir, "forwarders"), url, number); err != nil {
		return err
	}
	s.forwarders = append(s.forwarders, f)
	s.stops = append(s.stops, f.stop)
	return nil
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
	for _, f := range s.forwarders {
		if err := checkProcess(f.process); err != nil {
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

// counters are what the exporters have counted since they were last started.
type counters struct {
	delivered int // lines that Loki has taken
	refused   int // lines that it has not
}

func (s *system) counters(ctx context.Context) (counters, error) {
	var all counters
	for _, c := range s.collectors {
		metrics, err := c.Metrics(ctx)
		if err != nil {
			return all, err
		}
		all.delivered += int(metrics.Sum("otelcol_exporter_loki_delivered_lines"))
		all.refused += int(metrics.Sum("otelcol_exporter_loki_refused_lines") + metrics.Sum("otelcol_exporter_loki_unreadable_batches"))
	}
	return all, nil
}

// checkFlushed returns an error if Loki may not count copies, since it has flushed chunks, be it in an earlier life.
func (s *system) checkFlushed(ctx context.Context, dir string) error {
	metrics, err := s.loki.Metrics(ctx)
	if err != nil {
		return err
	}
	if metrics.Sum("loki_ingester_memory_chunks") == 0 {
		return errors.New("loki does not say that it has any chunks in memory")
	}
	if flushed := metrics.Sum("loki_ingester_chunks_flushed_total"); flushed > 0 {
		return fmt.Errorf("loki has flushed %.0f chunks, so it may not count equal lines", flushed)
	}
	stored, err := os.ReadDir(filepath.Join(dir, "loki", "data", "chunks", "fake"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(stored) > 0 {
		return fmt.Errorf("loki has chunks of %d streams in its store, so it may not count equal lines", len(stored))
	}
	return nil
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
