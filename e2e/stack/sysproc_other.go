// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package stack

import "syscall"

// sysProcAttr puts the child into a process group of its own, so that Ctrl-C reaches only its parent, which ends it in
// order.
func sysProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
