// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package stack

import (
	"errors"
	"net/netip"
)

// Listeners is known on Linux only.
func (p *Process) Listeners() ([]netip.AddrPort, error) { return nil, errors.ErrUnsupported }
