// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"context"
	_ "embed"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"
)

//go:embed loki.yaml
var lokiConfig string

// LokiOptions changes how StartLoki starts Loki. The zero value is usual.
type LokiOptions struct {
	Binary string // default: _build/loki in the repository
	// Config is laid over the built-in configuration, key by key; lists are replaced.
	// With auth_enabled: true, use ForTenant to query.
	Config string
}

// Loki is a Loki that runs as a child process. After Stop or Kill, Start and Restart bring it back on the same ports
// with the data it had.
type Loki struct {
	*LokiClient
	*Process
}

// StartLoki starts Loki with its configuration, data and log in dir, and waits until it is ready.
func StartLoki(ctx context.Context, dir string, opts LokiOptions) (*Loki, error) {
	binary, err := findBinary(opts.Binary, "loki", "loki")
	if err != nil {
		return nil, err
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	httpAddr, err := FreeAddr(ctx)
	if err != nil {
		return nil, err
	}
	grpcAddr, err := FreeAddr(ctx)
	if err != nil {
		return nil, err
	}
	configPath, err := writeLokiConfig(dir, httpAddr, grpcAddr, opts.Config)
	if err != nil {
		return nil, fmt.Errorf("configure loki: %w", err)
	}
	client, err := NewLokiClient("http://" + httpAddr + pushPath)
	if err != nil {
		return nil, err
	}
	process, err := StartProcess(ctx, Command{
		Name:  "loki",
		Path:  binary,
		Args:  []string{"-config.file=" + configPath},
		Dir:   dir,
		Ready: client.Ready,
	})
	if err != nil {
		return nil, err
	}
	return &Loki{LokiClient: client, Process: process}, nil
}

func writeLokiConfig(dir, httpAddr, grpcAddr, overlay string) (string, error) {
	_, httpPort, err := net.SplitHostPort(httpAddr)
	if err != nil {
		return "", err
	}
	_, grpcPort, err := net.SplitHostPort(grpcAddr)
	if err != nil {
		return "", err
	}
	vars := map[string]string{"DIR": filepath.ToSlash(filepath.Join(dir, "data")), "HTTP_PORT": httpPort, "GRPC_PORT": grpcPort}
	var config, over map[string]any
	if err := yaml.Unmarshal([]byte(os.Expand(lokiConfig, func(k string) string { return vars[k] })), &config); err != nil {
		return "", fmt.Errorf("built-in configuration: %w", err)
	}
	if err := yaml.Unmarshal([]byte(overlay), &over); err != nil {
		return "", fmt.Errorf("overlay: %w", err)
	}
	text, err := yaml.Marshal(merge(config, over))
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	path := filepath.Join(dir, "loki.yaml")
	return path, os.WriteFile(path, text, 0o600)
}

// merge returns base with the values of over laid over it, maps key by key.
func merge(base, over map[string]any) map[string]any {
	merged := maps.Clone(base)
	for k, v := range over {
		below, isMap := merged[k].(map[string]any)
		above, overIsMap := v.(map[string]any)
		if isMap && overIsMap {
			v = merge(below, above)
		}
		merged[k] = v
	}
	return merged
}
