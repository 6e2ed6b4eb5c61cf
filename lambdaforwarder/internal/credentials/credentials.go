// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package credentials knows what the forwarder authenticates itself with, and where that is kept.
package credentials

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
)

// Services that keep secrets, as ARNs name them.
const (
	SecretsManager = "secretsmanager"
	SSM            = "ssm"
)

// Opaque is text that is printed in no form.
type Opaque string

const redacted = "[REDACTED]"

// String implements fmt.Stringer.
func (Opaque) String() string { return redacted }

// GoString implements fmt.GoStringer.
func (Opaque) GoString() string { return redacted }

// MarshalText implements encoding.TextMarshaler.
func (Opaque) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Secret is a value, or the ARN of where it is kept.
type Secret struct {
	Value Opaque
	// ARN is that of a secret of Secrets Manager or of a parameter of SSM. Zero: Value is the value.
	ARN arn.ARN
}

// ParseSecret reads a secret's setting: an ARN where it begins as one.
func ParseSecret(setting string) (Secret, error) {
	if !arn.IsARN(setting) && !strings.HasPrefix(setting, "arn:") {
		return Secret{Value: Opaque(setting)}, nil
	}
	parsed, err := arn.Parse(setting)
	if err != nil || parsed.Region == "" || parsed.Resource == "" || parsed.Service != SecretsManager && parsed.Service != SSM {
		return Secret{}, errors.New("an ARN must be that of a secret of Secrets Manager or of a parameter of SSM")
	}
	return Secret{ARN: parsed}, nil
}

// IsSet says whether there is a value, or where to find one.
func (s Secret) IsSet() bool { return s.Value != "" || s.IsKept() }

// IsKept says whether the value has to be read from where it is kept.
func (s Secret) IsKept() bool { return s.ARN != (arn.ARN{}) }

// Read reads the value of a secret that is kept somewhere.
type Read func(ctx context.Context, from arn.ARN) (string, error)

// Resolve returns the value.
func (s Secret) Resolve(ctx context.Context, read Read) (string, error) {
	if !s.IsKept() {
		return string(s.Value), nil
	}
	value, err := read(ctx, s.ARN)
	if err != nil {
		return "", err
	}
	if value == "" {
		return "", fmt.Errorf("%s is empty", s.ARN)
	}
	return value, nil
}

// Settings are those of the environment.
type Settings struct{ Username, Password, BearerToken Secret }

// Check says what is wrong with the settings together.
func (s Settings) Check() []error {
	var errs []error
	switch {
	case s.Username.IsSet() && !s.Password.IsSet():
		errs = append(errs, errors.New("`USERNAME` is set and `PASSWORD` is not: basic authentication needs both"))
	case !s.Username.IsSet() && s.Password.IsSet():
		errs = append(errs, errors.New("`PASSWORD` is set and `USERNAME` is not: basic authentication needs both"))
	}
	if s.BearerToken.IsSet() && (s.Username.IsSet() || s.Password.IsSet()) {
		errs = append(errs, errors.New("`BEARER_TOKEN` and `USERNAME` with `PASSWORD` exclude each other"))
	}
	_, err := authorization(string(s.Username.Value), string(s.Password.Value), string(s.BearerToken.Value))
	if err != nil {
		errs = append(errs, err)
	}
	return errs
}

// authorization is the header's value for what is set. Its errors do not hold any of it.
func authorization(username, password, token string) (string, error) {
	var errs []error
	for _, value := range []struct{ key, value string }{{"USERNAME", username}, {"PASSWORD", password}, {"BEARER_TOKEN", token}} {
		if strings.ContainsFunc(value.value, isControl) {
			errs = append(errs, fmt.Errorf("`%s` holds a control character, such as a newline at its end", value.key))
		}
	}
	// RFC 7617, section 2: a user-id with a colon cannot be told from the password.
	if strings.Contains(username, ":") {
		errs = append(errs, errors.New("`USERNAME` holds a colon, which basic authentication cannot carry"))
	}
	if strings.ContainsFunc(token, isNotVisibleASCII) {
		errs = append(errs, errors.New("`BEARER_TOKEN` holds a character that an HTTP header cannot carry"))
	}
	switch {
	case len(errs) > 0:
		return "", errors.Join(errs...)
	case token != "":
		return "Bearer " + token, nil
	case username != "":
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(username+":"+password)), nil
	default:
		return "", nil
	}
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

func isNotVisibleASCII(r rune) bool { return r <= ' ' || r >= 0x7f }

// Credentials are what requests are sent with. They may be used by many goroutines.
type Credentials struct {
	settings Settings
	read     Read

	authorization atomic.Pointer[string]
	// refreshing has one element while somebody reads what is kept elsewhere.
	refreshing chan struct{}
}

// Load reads what is kept elsewhere. Its error names the variable and the ARN.
func Load(ctx context.Context, settings Settings, read Read) (*Credentials, error) {
	c := &Credentials{settings: settings, read: read, refreshing: make(chan struct{}, 1)}
	value, err := c.load(ctx)
	c.authorization.Store(&value)
	return c, err
}

func (c *Credentials) load(ctx context.Context) (string, error) {
	var values [3]string
	for i, secret := range []struct {
		key string
		Secret
	}{{"USERNAME", c.settings.Username}, {"PASSWORD", c.settings.Password}, {"BEARER_TOKEN", c.settings.BearerToken}} {
		value, err := secret.Resolve(ctx, c.read)
		if err != nil {
			return "", fmt.Errorf("read `%s`: %w", secret.key, err)
		}
		values[i] = value
	}
	return authorization(values[0], values[1], values[2])
}

// Authorization is the value of the header of that name, empty if there are no credentials.
func (c *Credentials) Authorization() string { return *c.authorization.Load() }

// Refresh is to be called when a server has refused an Authorization. It returns the present one, after reading anew what
// is kept elsewhere, which may have been rotated; ok is false if it is the same, or cannot be read before ctx ends.
func (c *Credentials) Refresh(ctx context.Context, refused string) (present string, ok bool) {
	if s := c.settings; !s.Username.IsKept() && !s.Password.IsKept() && !s.BearerToken.IsKept() {
		return refused, false
	}
	select {
	case c.refreshing <- struct{}{}:
		defer func() { <-c.refreshing }()
	case <-ctx.Done():
		return refused, false
	}
	if present := c.Authorization(); present != refused {
		return present, true // others have been here
	}
	fresh, err := c.load(ctx)
	if err != nil || fresh == refused {
		return refused, false
	}
	c.authorization.Store(&fresh)
	return fresh, true
}
