// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package stack

import (
	"errors"
	"fmt"
)

// LimitFileSize is there on Linux only.
func (p *Process) LimitFileSize(int64) error {
	return fmt.Errorf("limit the files of %s: %w", p.cmd.Name, errors.ErrUnsupported)
}

// LargestFile is there on Linux only.
func LargestFile(string) (int64, error) {
	return 0, fmt.Errorf("size of the largest file: %w", errors.ErrUnsupported)
}
