// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Package config reads the forwarder's configuration from the environment.
package config

import (
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/awsloki/awsloki/lambdaforwarder/internal/credentials"
)

const (
	defaultRequestTimeout = 10 * time.Second
	defaultDeadlineMargin = time.Second
	defaultMinBackoff     = 100 * time.Millisecond
	defaultMaxBackoff     = 5 * time.Second
	defaultNamespace      = "awsloki"
	// UnlimitedRetries is the MaxRetries of a forwarder that tries for as long as it has time.
	UnlimitedRetries = -1

	pushPath = "/loki/api/v1/push"

	// longest is that of Lambda's invocations.
	longest = 15 * time.Minute
)

// Config is the checked configuration. Only Load makes one.
type Config struct {
	// WriteAddress is http or https, with a host, without user, query and fragment: the collector's base URL, or that of
	// Loki's push API, see ToLoki.
	WriteAddress *url.URL

	Credentials credentials.Settings
	// TenantID is sent as X-Scope-OrgID; empty sends no such header.
	TenantID string
	// Headers are sent with every request, beside the forwarder's own.
	Headers http.Header
	TLS     TLS

	// RequestTimeout bounds one attempt to send, or of an object the time without progress.
	RequestTimeout time.Duration
	// MinBackoff and MaxBackoff bound the pauses between attempts.
	MinBackoff, MaxBackoff time.Duration
	// MaxRetries may be UnlimitedRetries.
	MaxRetries int
	// DeadlineMargin is the time that is kept free before the invocation's deadline.
	DeadlineMargin time.Duration
	// ReportBatchItemFailures says that the function's event source mappings want to know which items of a batch failed.
	ReportBatchItemFailures bool

	LogLevel slog.Level
	// MetricsNamespace is that of the metrics in CloudWatch. Empty: none are written.
	MetricsNamespace string

	// Memory is how many bytes the function has. 0: not known.
	Memory int64
	// Region, LogGroup and Function are the function's own, as Lambda gives them; empty outside Lambda.
	Region, LogGroup, Function string

	// Loki is of use where ToLoki is true only.
	Loki Loki
	// WithoutEffect are variables that are set and have no effect, since the collector does what they ask for.
	WithoutEffect []string
}

// TLS is how the forwarder and the server make sure of each other. Each of the three is PEM, the name of a file, or an ARN
// that PEM is kept under.
type TLS struct {
	SkipVerify    bool
	CA, Cert, Key credentials.Secret
}

// ToLoki says whether the forwarder pushes to Loki itself, without a collector.
func (c *Config) ToLoki() bool { return isPushAddress(c.WriteAddress) }

func isPushAddress(u *url.URL) bool { return strings.HasSuffix(u.Path, pushPath) }

// Load reads the configuration through getenv, where an empty value is the same as none: deployment templates set optional
// variables to "". Its error names every variable that is wrong, and never holds a secret or any part of an address.
func Load(getenv func(string) string) (Config, error) {
	e := environment{getenv: getenv}
	cfg := Config{
		WriteAddress: e.address("WRITE_ADDRESS"),
		Credentials: credentials.Settings{
			Username:    e.secret("USERNAME"),
			Password:    e.secret("PASSWORD"),
			BearerToken: e.secret("BEARER_TOKEN"),
		},
		TenantID: e.tenant("TENANT_ID"),
		Headers:  e.headers("HEADERS"),
		TLS: TLS{
			SkipVerify: e.boolean("SKIP_TLS_VERIFY", false),
			CA:         e.secret("TLS_CA"),
			Cert:       e.secret("TLS_CERT"),
			Key:        e.secret("TLS_KEY"),
		},
		RequestTimeout:          e.duration("REQUEST_TIMEOUT", defaultRequestTimeout, time.Millisecond),
		MinBackoff:              e.duration("MIN_BACKOFF", defaultMinBackoff, time.Millisecond),
		MaxBackoff:              e.duration("MAX_BACKOFF", defaultMaxBackoff, time.Millisecond),
		MaxRetries:              e.integer("MAX_RETRIES", UnlimitedRetries, 0),
		DeadlineMargin:          e.duration("DEADLINE_MARGIN", defaultDeadlineMargin, 0),
		ReportBatchItemFailures: e.boolean("REPORT_BATCH_ITEM_FAILURES", true),
		LogLevel:                e.level("LOG_LEVEL"),
		MetricsNamespace:        e.namespace("METRICS", "METRICS_NAMESPACE"),
		Memory:                  int64(e.integer("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", 0, 0)) << 20,
		Region:                  e.headerValue("AWS_REGION"),
		LogGroup:                e.headerValue("AWS_LAMBDA_LOG_GROUP_NAME"),
		Function:                getenv("AWS_LAMBDA_FUNCTION_NAME"),
		Loki:                    e.loki(),
	}
	e.check(&cfg)
	if len(e.errs) > 0 {
		return Config{}, errors.Join(e.errs...)
	}
	if !cfg.ToLoki() {
		cfg.Loki = Loki{}
		for _, key := range lokiVariables {
			if getenv(key) != "" {
				cfg.WithoutEffect = append(cfg.WithoutEffect, key)
			}
		}
	}
	return cfg, nil
}

// check is for what is wrong with several variables together.
func (e *environment) check(cfg *Config) {
	e.errs = append(e.errs, cfg.Credentials.Check()...)
	if cfg.TLS.Cert.IsSet() != cfg.TLS.Key.IsSet() {
		e.refuse("`TLS_CERT` and `TLS_KEY` need each other")
	}
	if cfg.MinBackoff > cfg.MaxBackoff {
		e.refuse("`MIN_BACKOFF` (%s) is more than `MAX_BACKOFF` (%s)", cfg.MinBackoff, cfg.MaxBackoff)
	}
}
