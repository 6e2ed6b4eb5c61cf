// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// listening is the state of a TCP socket that takes connections (include/net/tcp_states.h).
const listening = "0A"

// Listeners returns the addresses on which the process takes TCP connections.
func (p *Process) Listeners() ([]netip.AddrPort, error) {
	dir := filepath.Join("/proc", strconv.Itoa(p.PID()))
	own, err := sockets(dir)
	if err != nil {
		return nil, err
	}
	var all []netip.AddrPort
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(filepath.Join(dir, "net", table)) //nolint:gosec // of a process of ours
		if err != nil {
			return nil, err
		}
		// sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode ...
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			if len(fields) < 10 || fields[3] != listening || !own["socket:["+fields[9]+"]"] {
				continue
			}
			addr, err := parseSocketAddr(fields[1])
			if err != nil {
				return nil, fmt.Errorf("net/%s: %w", table, err)
			}
			all = append(all, addr)
		}
	}
	return all, nil
}

// sockets are those that the process has open, by the names that the links in its fd folder have.
func sockets(dir string) (map[string]bool, error) {
	entries, err := os.ReadDir(filepath.Join(dir, "fd"))
	if err != nil {
		return nil, err
	}
	own := map[string]bool{}
	for _, entry := range entries {
		if link, err := os.Readlink(filepath.Join(dir, "fd", entry.Name())); err == nil { // may be closed by now
			own[link] = true
		}
	}
	return own, nil
}

// parseSocketAddr reads an address as /proc/net/tcp has it: in hexadecimal, each four bytes in the machine's order.
func parseSocketAddr(text string) (netip.AddrPort, error) {
	host, portText, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(host)
	port, portErr := strconv.ParseUint(portText, 16, 16)
	if err = errors.Join(err, portErr); err != nil {
		return netip.AddrPort{}, err
	}
	for i := 0; i+4 <= len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	addr, ok := netip.AddrFromSlice(raw)
	if !ok {
		return netip.AddrPort{}, fmt.Errorf("%q is no address", text)
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(port)), nil
}
