// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	"path/filepath"
)

// The variables through which the shipped configuration takes the collector's addresses and its folder.
const (
	envListen      = "AWSLOKI_LISTEN"
	envOTLPGRPC    = "AWSLOKI_OTLP_GRPC"
	envOTLPHTTP    = "AWSLOKI_OTLP_HTTP"
	envHealth      = "AWSLOKI_HEALTH"
	envMetricsPort = "AWSLOKI_METRICS_PORT"
	envData        = "AWSLOKI_DATA"
)

// CollectorOptions changes how StartCollector starts the collector. The zero value is usual.
type CollectorOptions struct {
	Binary string   // default: _build/otelcol-awsloki in the repository
	Name   string   // default: otelcol-awsloki; tells several collectors in one folder apart
	Args   []string // further arguments, for example another --config that is laid over the first
}

// Collector is a collector that runs as a child process. After Stop or Kill, Start and Restart bring it back on the same
// ports with the data it had.
type Collector struct {
	*Process
	env map[string]string
}

// StartCollector starts the collector with a configuration file and waits until it is ready. Its log and its queue are
// in dir and the addresses it listens on are free loopback ports, except for what env sets itself.
func StartCollector(ctx context.Context, dir, configPath string, env map[string]string, opts CollectorOptions) (*Collector, error) {
	binary, err := findBinary(opts.Binary, "otelcol-awsloki", "build")
	if err != nil {
		return nil, err
	}
	// The collector's working directory is dir, ours is not.
	if configPath, err = filepath.Abs(configPath); err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	name := cmp.Or(opts.Name, "otelcol-awsloki")
	c := &Collector{}
	if c.env, err = collectorEnv(ctx, filepath.Join(dir, name+"-data"), env); err != nil {
		return nil, err
	}
	c.Process, err = StartProcess(ctx, Command{
		Name: name,
		Path: binary,
		Args: append([]string{"--config", configPath}, opts.Args...),
		Env:  c.env,
		Dir:  dir,
		// An answer of one receiver would not do: others are still to be started.
		ReadyLog: "Everything is ready.",
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// collectorEnv returns env with the addresses and the folder that it lacks.
func collectorEnv(ctx context.Context, data string, env map[string]string) (map[string]string, error) {
	all := map[string]string{envData: data}
	for _, name := range []string{envListen, envOTLPGRPC, envOTLPHTTP, envHealth, envMetricsPort} {
		addr, err := FreeAddr(ctx)
		if err != nil {
			return nil, err
		}
		all[name] = addr
	}
	_, port, err := net.SplitHostPort(all[envMetricsPort])
	if err != nil {
		return nil, fmt.Errorf("port of the metrics: %w", err)
	}
	all[envMetricsPort] = port
	maps.Copy(all, env)
	return all, nil
}

// URL returns the receiver's base URL: the forwarder's WRITE_ADDRESS.
func (c *Collector) URL() string { return "http://" + c.env[envListen] }

// OTLPGRPC returns the host:port of the OTLP receiver's gRPC server.
func (c *Collector) OTLPGRPC() string { return c.env[envOTLPGRPC] }

// OTLPHTTP returns the base URL of the OTLP receiver's HTTP server.
func (c *Collector) OTLPHTTP() string { return "http://" + c.env[envOTLPHTTP] }

// HealthURL returns the URL of the health_check extension.
func (c *Collector) HealthURL() string { return "http://" + c.env[envHealth] }

// DataDir returns the folder of the queue on disk.
func (c *Collector) DataDir() string { return c.env[envData] }

// MetricsURL returns the URL of the collector's own metrics.
func (c *Collector) MetricsURL() string {
	return "http://" + net.JoinHostPort("localhost", c.env[envMetricsPort]) + "/metrics"
}

// Metrics returns the present values of the collector's own metrics.
func (c *Collector) Metrics(ctx context.Context) (Metrics, error) {
	body, err := get(ctx, c.MetricsURL(), nil)
	if err != nil {
		return nil, err
	}
	return parseMetrics(string(body))
}
