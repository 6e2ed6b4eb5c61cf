// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"runtime"
	"runtime/debug"
)

const (
	// memoryOfOneCPU is how much memory a function has for which Lambda gives it one CPU. It gives CPU in proportion.
	// https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
	memoryOfOneCPU = 1769 << 20
	// heapShare is how much of the memory Go's may take before it is collected more often, in percent: the program and what
	// the kernel keeps for connections need theirs.
	heapShare = 70
)

// fit fits Go's runtime to a function of that many bytes of memory: it sees the machine's processors, of which the function
// may have a fraction only, and not how little memory there is. What the operator has set is left alone.
func fit(memory int64) {
	if memory <= 0 {
		return
	}
	if os.Getenv("GOMAXPROCS") == "" && memory <= memoryOfOneCPU {
		runtime.GOMAXPROCS(1)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memory / 100 * heapShare)
	}
}
