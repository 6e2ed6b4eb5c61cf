// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package memory accounts for memory before it is allocated.
package memory

// Portion is how much an Allowance asks for at a time.
const Portion = 64 << 10

// Allowance asks for memory in large portions, and gives it out in small ones. The zero value gives out any amount.
type Allowance struct {
	// Reserve is asked for memory. Its error says that there is none. Nil: nobody is asked.
	Reserve func(bytes int64) error

	left int64
}

// Take takes n bytes, and returns Reserve's error if there are none.
func (a *Allowance) Take(n int64) error {
	if a.Reserve == nil {
		return nil
	}
	if a.left < n {
		more := max(n, Portion)
		if err := a.Reserve(more); err != nil {
			return err
		}
		a.left += more
	}
	a.left -= n
	return nil
}
