// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package config reads the forwarder's configuration from the environment.
package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/collector/config/configopaque"

	"github.com/awsloki/awsloki/internal/tenant"
)

const (
	defaultRequestTimeout = 10 * time.Second
	defaultDeadlineMargin = time.Second
)

// Config is the checked configuration. Only Load makes one.
type Config struct {
	// WriteAddress is the collector's base URL: http or https, with a host and
	// possibly a path prefix, without user, query and fragment.
	WriteAddress *url.URL

	// Username and Password are both set or both empty, and empty when
	// BearerToken is set.
	Username    string
	Password    configopaque.String
	BearerToken configopaque.String

	// TenantID is sent as X-Scope-OrgID; empty sends no such header.
	TenantID string

	SkipTLSVerify bool

	// RequestTimeout bounds one attempt to send.
	RequestTimeout time.Duration
	// DeadlineMargin is the time that is kept free before the invocation's deadline.
	DeadlineMargin time.Duration

	LogLevel slog.Level

	// Region and LogGroup are the function's own, as Lambda gives them; empty outside Lambda.
	Region   string
	LogGroup string
}

// Load reads the configuration through getenv, where an empty value is the same
// as none: deployment templates set optional variables to "". Its error names
// every variable that is wrong, and never holds a secret or any part of an address.
func Load(getenv func(string) string) (Config, error) {
	e := environment{getenv: getenv}
	cfg := Config{
		WriteAddress:   e.address("WRITE_ADDRESS"),
		Username:       e.credential("USERNAME"),
		Password:       configopaque.String(e.credential("PASSWORD")),
		BearerToken:    configopaque.String(e.credential("BEARER_TOKEN")),
		TenantID:       e.tenant("TENANT_ID"),
		SkipTLSVerify:  e.boolean("SKIP_TLS_VERIFY"),
		RequestTimeout: e.duration("REQUEST_TIMEOUT", defaultRequestTimeout, time.Millisecond),
		DeadlineMargin: e.duration("DEADLINE_MARGIN", defaultDeadlineMargin, 0),
		LogLevel:       e.level("LOG_LEVEL"),
		Region:         e.headerValue("AWS_REGION"),
		LogGroup:       e.headerValue("AWS_LAMBDA_LOG_GROUP_NAME"),
	}
	e.checkAuthentication(cfg)
	if len(e.errs) > 0 {
		return Config{}, errors.Join(e.errs...)
	}
	return cfg, nil
}

// environment reads variables and collects what is wrong with them.
type environment struct {
	getenv func(string) string
	errs   []error
}

func (e *environment) refuse(format string, args ...any) {
	e.errs = append(e.errs, fmt.Errorf(format, args...))
}

// address never repeats the value: whatever does not parse as it should may
// hold a password in an unexpected place.
func (e *environment) address(key string) *url.URL {
	value := e.getenv(key)
	if value == "" {
		e.refuse("`%s` is not set: it is the collector's base URL, such as https://collector.example.com:3500", key)
		return nil
	}
	u, err := url.Parse(value)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || !validPort(u.Port()) {
		e.refuse("`%s` is not an http or https URL with a host, such as https://collector.example.com:3500", key)
		return nil
	}
	if u.User != nil {
		e.refuse("`%s` holds a user or a password: set `USERNAME` and `PASSWORD` instead", key)
	}
	if strings.ContainsAny(value, "?#") {
		e.refuse("`%s` has a query or a fragment: give the collector's base URL without them", key)
	}
	switch path := strings.TrimRight(u.Path, "/"); {
	case strings.HasSuffix(path, "/loki/api/v1/push"):
		e.refuse("`%s` ends in /loki/api/v1/push: pushing straight to Loki is not available in this version, give the collector's base URL", key)
	case strings.HasSuffix(path, "/cloudwatch/v1/subscription"):
		e.refuse("`%s` ends in /cloudwatch/v1/subscription: give the collector's base URL, the forwarder appends this path itself", key)
	}
	return u
}

// validPort also takes the empty port, which stands for the scheme's own.
func validPort(port string) bool {
	if port == "" {
		return true
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

func (e *environment) credential(key string) string {
	value := e.getenv(key)
	switch {
	case strings.HasPrefix(value, "arn:"):
		e.refuse("`%s` is an ARN: reading a secret by its ARN is not available in this version, give the value itself", key)
	case strings.ContainsFunc(value, isControl):
		e.refuse("`%s` holds a control character, such as a newline at its end", key)
	}
	return value
}

func (e *environment) checkAuthentication(cfg Config) {
	switch {
	case cfg.Username != "" && cfg.Password == "":
		e.refuse("`USERNAME` is set and `PASSWORD` is not: basic authentication needs both")
	case cfg.Username == "" && cfg.Password != "":
		e.refuse("`PASSWORD` is set and `USERNAME` is not: basic authentication needs both")
	}
	if cfg.BearerToken != "" && (cfg.Username != "" || cfg.Password != "") {
		e.refuse("`BEARER_TOKEN` and `USERNAME` with `PASSWORD` exclude each other")
	}
	// RFC 7617, section 2: a user-id with a colon cannot be told from the password.
	if strings.Contains(cfg.Username, ":") && !strings.HasPrefix(cfg.Username, "arn:") {
		e.refuse("`USERNAME` holds a colon, which basic authentication cannot carry")
	}
	if strings.ContainsFunc(string(cfg.BearerToken), isNotVisibleASCII) {
		e.refuse("`BEARER_TOKEN` holds a character that an HTTP header cannot carry")
	}
}

func (e *environment) tenant(key string) string {
	value := e.getenv(key)
	if value == "" {
		return ""
	}
	if err := tenant.Check(value); err != nil {
		e.refuse("`%s`: %w", key, err)
	}
	return value
}

func (e *environment) boolean(key string) bool {
	value := e.getenv(key)
	switch strings.ToLower(value) {
	case "true":
		return true
	case "", "false":
	default:
		e.refuse("`%s` (%q) must be true or false", key, value)
	}
	return false
}

func (e *environment) duration(key string, unset, least time.Duration) time.Duration {
	value := e.getenv(key)
	if value == "" {
		return unset
	}
	d, err := time.ParseDuration(value)
	switch {
	case err != nil:
		e.refuse("`%s` (%q) is not a duration such as 500ms or 10s", key, value)
	case d < least:
		e.refuse("`%s` (%s) must be at least %s", key, d, least)
	}
	return d
}

func (e *environment) level(key string) slog.Level {
	value := e.getenv(key)
	switch strings.ToLower(value) {
	case "debug":
		return slog.LevelDebug
	case "", "info":
	case "warn":
		return slog.LevelWarn
	case "error":
		return slog.LevelError
	default:
		e.refuse("`%s` (%q) must be debug, info, warn or error", key, value)
	}
	return slog.LevelInfo
}

// headerValue reads a variable that is sent as a header: better refused here
// than by net/http on every request.
func (e *environment) headerValue(key string) string {
	value := e.getenv(key)
	if strings.ContainsFunc(value, isNotVisibleASCII) {
		e.refuse("`%s` (%q) holds a character that an HTTP header cannot carry", key, value)
	}
	return value
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

func isNotVisibleASCII(r rune) bool { return r <= ' ' || r >= 0x7f }
