// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"errors"
	"fmt"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// LimitFileSize has no file of the process grow beyond so many bytes, as if the disk were full, until it is started anew. 0
// is no limit. A process that does not run gives os.ErrProcessDone.
func (p *Process) LimitFileSize(bytes int64) error {
	limit := unix.Rlimit{Cur: math.MaxUint64, Max: math.MaxUint64} // RLIM_INFINITY
	if bytes > 0 {
		limit.Cur = uint64(bytes)
	}
	pid := p.PID()
	if pid == 0 {
		return fmt.Errorf("limit the files of %s: %w", p.cmd.Name, os.ErrProcessDone)
	}
	// What exceeds the limit fails with EFBIG: Go's programs are not ended by SIGXFSZ.
	err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, &limit, nil)
	if errors.Is(err, unix.ESRCH) {
		err = os.ErrProcessDone
	}
	if err != nil {
		return fmt.Errorf("limit the files of %s: %w", p.cmd.Name, err)
	}
	return nil
}
