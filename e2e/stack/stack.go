// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package stack starts and stops the parts of awsloki and Loki itself as child processes, for end-to-end tests and
// for the demo. Everything listens on loopback and on free ports, writes its output to a file, and is ended by its
// process id.
package stack

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
)

var rootModule = regexp.MustCompile(`(?m)^module github\.com/awsloki/awsloki$`)

// RepoRoot returns the folder of the repository's root module, searched upwards from the working directory.
func RepoRoot() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the repository's root: %w", err)
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		gomod, err := os.ReadFile(filepath.Join(dir, "go.mod")) //nolint:gosec // looks above the working directory
		if err == nil && rootModule.Match(gomod) {
			return dir, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("find the repository's root: %w", err)
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("find the repository's root: no go.mod of github.com/awsloki/awsloki in %s or above", start)
		}
	}
}

// findBinary returns the absolute path of a program: path if it is given, else _build/name in the repository.
// The error names the make target that builds it.
func findBinary(path, name, target string) (string, error) {
	if path == "" {
		root, err := RepoRoot()
		if err != nil {
			return "", err
		}
		path = filepath.Join(root, "_build", name)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%s is missing, run make %s: %w", name, target, err)
	}
	return path, nil
}
