// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package stack

import "syscall"

// sysProcAttr puts the child into a process group of its own, so that Ctrl-C reaches only its parent, which ends it in
// order, and has the kernel kill it when the parent dies.
func sysProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
