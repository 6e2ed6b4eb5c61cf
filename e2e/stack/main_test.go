// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"
)

// envProgram makes the test binary run as one of the programs below instead of the tests.
const envProgram = "STACK_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if program := os.Getenv(envProgram); program != "" {
		os.Exit(runProgram(program))
	}
	os.Exit(m.Run())
}

// runProgram stands in for a part of the stack.
func runProgram(program string) int {
	terminated := make(chan os.Signal, 1)
	switch program {
	case "broken":
		fmt.Println("cannot work like this")
		return 7
	case "lambda": // handles no signal
		fmt.Println("environment:", strings.Join(os.Environ(), " "))
		time.Sleep(time.Hour)
	case "parent": // starts a child and leaves it alone
		return runParent()
	case "collector":
		signal.Notify(terminated, syscall.SIGTERM)
		serve(net.JoinHostPort("localhost", os.Getenv(envMetricsPort)), "/metrics",
			"# TYPE otelcol_receiver_accepted_log_records counter\notelcol_receiver_accepted_log_records{receiver=\"x\"} 3\n")
		fmt.Println("arguments:", strings.Join(os.Args[1:], " "))
		fmt.Println("Everything is ready. Begin running and processing data.")
		fmt.Println("got", <-terminated)
		if os.Getenv("FAIL") != "" {
			return 9
		}
	}
	return 0
}

// serve returns once it listens.
func serve(addr, path, body string) {
	mux := http.NewServeMux()
	mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, body) })
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", addr)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}
	go func() { fmt.Println(server.Serve(listener)) }()
}
