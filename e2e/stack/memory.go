// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package stack

import "fmt"

// Memory is the resident memory of a process, in bytes.
type Memory struct {
	Resident int64
	Peak     int64 // since the process was started
	// Own is what of Resident is the process's alone. The rest is pages of files, such as the queue's, which the kernel takes
	// back when it needs room.
	Own int64
}

func (m Memory) String() string {
	return fmt.Sprintf("%d MiB resident, %d MiB at the peak, %d MiB without pages of files", m.Resident>>20, m.Peak>>20, m.Own>>20)
}

// Memory returns the memory that the process, which must run, takes.
func (p *Process) Memory() (Memory, error) {
	m, err := readMemory(p.PID())
	if err == nil && (m.Resident <= 0 || m.Peak <= 0 || m.Own <= 0) {
		err = fmt.Errorf("found %+v", m)
	}
	if err != nil {
		return Memory{}, fmt.Errorf("memory of %s: %w", p.cmd.Name, err)
	}
	return m, nil
}
