// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package bytesize is the type of settings that are a number of bytes.
package bytesize

import (
	"fmt"
	"math"

	"github.com/dustin/go-humanize"
)

// Size is a number of bytes. In a configuration it is written as a number, or with a unit: 256KiB, 1MB.
type Size int64

// UnmarshalText reads a size with a unit. KB, MB and so on are powers of 1000, KiB, MiB and so on powers of 1024.
func (s *Size) UnmarshalText(text []byte) error {
	n, err := humanize.ParseBytes(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a size in bytes like 262144 or 256KiB", text)
	}
	if n > math.MaxInt64 {
		return fmt.Errorf("%q is too large", text)
	}
	*s = Size(n)
	return nil
}
