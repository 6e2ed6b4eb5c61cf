// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
)

// Ports are taken from below the range that the systems use for outgoing connections (Linux 32768, macOS 49152):
// while a server is down between stop and restart, a client that retries could otherwise be given its port.
const (
	firstPort = 20000
	lastPort  = 31999
)

var (
	portsMu    sync.Mutex
	portsGiven = map[int]bool{}
)

// FreeAddr returns a loopback address, as host:port, that nothing listens on and that was not returned before.
func FreeAddr(ctx context.Context) (string, error) {
	portsMu.Lock()
	defer portsMu.Unlock()
	for range 1000 {
		if err := ctx.Err(); err != nil {
			return "", fmt.Errorf("find a free port: %w", err)
		}
		port := firstPort + rand.IntN(lastPort-firstPort+1) //nolint:gosec // no secret
		if portsGiven[port] {
			continue
		}
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			return "", fmt.Errorf("find a free port: %w", err)
		}
		portsGiven[port] = true
		return addr, nil
	}
	return "", errors.New("find a free port: none found")
}
