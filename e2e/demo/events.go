// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/awsloki/awsloki/e2e/cloudwatch"
)

// event is a file with a Lambda event.
type event struct {
	file    string
	payload []byte
	message cloudwatch.Message
}

// readEvents returns the events of CloudWatch Logs subscriptions in a folder, by file name. Other files are passed over.
func readEvents(dir string) ([]event, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	var events []event
	for _, path := range paths {
		payload, err := os.ReadFile(path) //nolint:gosec // reads the folder it is given
		if err != nil {
			return nil, err
		}
		message, err := cloudwatch.ParseLambdaEvent(payload)
		if errors.Is(err, cloudwatch.ErrNoSubscription) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		events = append(events, event{file: filepath.Base(path), payload: payload, message: message})
	}
	if len(events) == 0 {
		return nil, fmt.Errorf("no Lambda events in %s", dir)
	}
	return events, nil
}

// countLines returns how many lines the events are to give in Loki: control messages give none.
func countLines(events []event) int {
	n := 0
	for _, e := range events {
		if e.message.MessageType == cloudwatch.DataMessage {
			n += len(e.message.LogEvents)
		}
	}
	return n
}
