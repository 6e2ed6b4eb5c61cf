// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// readMemory reads what the kernel counts.
func readMemory(pid int) (Memory, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return Memory{}, err
	}
	var m Memory
	for line := range bytes.Lines(status) {
		fields := bytes.Fields(line)
		if len(fields) != 3 || string(fields[2]) != "kB" {
			continue
		}
		kib, err := strconv.ParseInt(string(fields[1]), 10, 64)
		if err != nil {
			return Memory{}, fmt.Errorf("%s %w", fields[0], err)
		}
		switch string(fields[0]) {
		case "VmHWM:":
			m.Peak = kib << 10
		case "RssAnon:":
			m.Own = kib << 10
		case "VmRSS:":
			m.Resident = kib << 10
		}
	}
	return m, nil
}
