// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"syscall"

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

// LargestFile returns how many bytes the largest file below dir takes on the disk: less than its size where it was only
// made larger, and nothing was written there yet.
func LargestFile(dir string) (int64, error) {
	var largest int64
	err := filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) { // it was removed meanwhile
			return nil
		}
		if err != nil {
			return err
		}
		const blockSize = 512 // whatever the file system's is, see stat(2)
		if stat, ok := info.Sys().(*syscall.Stat_t); ok {
			largest = max(largest, stat.Blocks*blockSize)
		}
		return nil
	})
	return largest, err
}
