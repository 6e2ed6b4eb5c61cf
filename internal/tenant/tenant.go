// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package tenant knows what Loki takes for a tenant.
package tenant

import (
	"errors"
	"fmt"
	"strings"
)

// Header names the tenant in requests to Loki.
const Header = "X-Scope-OrgID"

const (
	maxLength   = 150
	punctuation = "!-_.*'()"
)

// Check says what is wrong with a tenant's id.
// https://grafana.com/docs/loki/latest/operations/multi-tenancy/
func Check(id string) error {
	switch {
	case id == "":
		return errors.New("a tenant must not be empty")
	case len(id) > maxLength:
		return fmt.Errorf("a tenant has at most %d characters, found %d", maxLength, len(id))
	case strings.ContainsFunc(id, isForbidden):
		return fmt.Errorf("a tenant holds only letters, digits and %s, found %q", punctuation, id)
	case id == "." || id == "..":
		return fmt.Errorf("a tenant must not be %q", id)
	}
	return nil
}

func isForbidden(r rune) bool {
	letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
	digit := '0' <= r && r <= '9'
	return !letter && !digit && !strings.ContainsRune(punctuation, r)
}
