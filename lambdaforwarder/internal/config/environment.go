// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/awsloki/awsloki/internal/tenant"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/credentials"
)

// environment reads variables and collects what is wrong with them.
type environment struct {
	getenv func(string) string
	errs   []error
}

func (e *environment) refuse(format string, args ...any) {
	e.errs = append(e.errs, fmt.Errorf(format, args...))
}

// receiverPaths are those of the receiver that are its own.
var receiverPaths = []string{"/cloudwatch/v1/subscription", "/s3/v1/object", "/firehose/v1"}

// address never repeats the value: whatever does not parse as it should may hold a password in an unexpected place.
func (e *environment) address(key string) *url.URL {
	const example = "https://collector.example.com:3500"
	value := e.getenv(key)
	if value == "" {
		e.refuse("`%s` is not set: it is the collector's base URL, such as %s, or ends in %s to push to Loki", key, example, pushPath)
		return &url.URL{}
	}
	u, err := url.Parse(value)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || !validPort(u.Port()) {
		e.refuse("`%s` is not an http or https URL with a host, such as %s", key, example)
		return &url.URL{}
	}
	if u.User != nil {
		e.refuse("`%s` holds a user or a password: set `USERNAME` and `PASSWORD` instead", key)
	}
	if strings.ContainsAny(value, "?#") {
		e.refuse("`%s` has a query or a fragment: give the URL without them", key)
	}
	switch {
	case strings.ContainsAny(value, " \t\r\n"):
		e.refuse("`%s` has a blank in it", key)
	case isLikePushAddress(u.Path) && !isPushAddress(u):
		e.refuse("`%s` has a path like that of Loki's push API, which is %s", key, pushPath)
	}
	for _, path := range receiverPaths {
		if strings.HasSuffix(strings.TrimRight(u.Path, "/"), path) {
			e.refuse("`%s` ends in %s: give the collector's base URL, the forwarder appends this path itself", key, path)
		}
	}
	return u
}

// isLikePushAddress says whether a path is Loki's in another form: with a slash behind it, in capitals, or that of Loki 0.
func isLikePushAddress(path string) bool {
	path = strings.ToLower(strings.TrimRight(path, "/"))
	return strings.HasSuffix(path, "api/v1/push") || strings.HasSuffix(path, "/api/prom/push")
}

// validPort also takes the empty port, which stands for the scheme's own.
func validPort(port string) bool {
	if port == "" {
		return true
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

func (e *environment) secret(key string) credentials.Secret {
	secret, err := credentials.ParseSecret(e.getenv(key))
	if err != nil {
		e.refuse("`%s`: %w", key, err)
	}
	return secret
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

// ownHeaders are those that other variables or the forwarder itself set. What stands before a body is net/http's.
var ownHeaders = map[string]string{
	"Authorization":                 "`USERNAME` and `PASSWORD`, or `BEARER_TOKEN`",
	tenantHeader:                    "`TENANT_ID`",
	"Content-Type":                  "the forwarder",
	"Content-Length":                "the forwarder",
	"Content-Encoding":              "the forwarder",
	"Transfer-Encoding":             "the forwarder",
	"Accept-Encoding":               "the forwarder",
	"Connection":                    "the forwarder",
	"Expect":                        "the forwarder",
	"Host":                          "`WRITE_ADDRESS`",
	"Trailer":                       "the forwarder",
	"X-Awsloki-Region":              "the forwarder",
	"X-Awsloki-Forwarder-Log-Group": "the forwarder",
}

var tenantHeader = http.CanonicalHeaderKey(tenant.Header)

// headers reads name=value pairs with commas between them and values in percent-encoding, as OTEL_EXPORTER_OTLP_HEADERS
// has them. Values are not repeated in errors, for they may be secret.
// https://opentelemetry.io/docs/specs/otel/protocol/exporter/#specifying-headers-via-environment-variables
func (e *environment) headers(key string) http.Header {
	value := e.getenv(key)
	if value == "" {
		return nil
	}
	headers := http.Header{}
	for i, pair := range strings.Split(value, ",") {
		name, encoded, ok := strings.Cut(pair, "=")
		name = http.CanonicalHeaderKey(strings.TrimSpace(name))
		content, err := url.PathUnescape(strings.TrimSpace(encoded))
		switch {
		case !ok || !httpguts.ValidHeaderFieldName(name):
			e.refuse("`%s`: pair %d is not a header's name, an equals sign and a value", key, i+1)
		case err != nil || !httpguts.ValidHeaderFieldValue(content):
			e.refuse("`%s`: the value of %s is not what a header can carry, in percent-encoding", key, name)
		case ownHeaders[name] != "":
			e.refuse("`%s`: %s is set by %s", key, name, ownHeaders[name])
		default:
			headers.Add(name, content)
		}
	}
	return headers
}

func (e *environment) boolean(key string, unset bool) bool {
	value := e.getenv(key)
	switch strings.ToLower(value) {
	case "true":
		return true
	case "false":
		return false
	case "":
	default:
		e.refuse("`%s` (%q) must be true or false", key, value)
	}
	return unset
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
	case d > longest:
		e.refuse("`%s` (%s) must be at most %s", key, d, longest)
	}
	return d
}

func (e *environment) integer(key string, unset, least int) int {
	value := e.getenv(key)
	if value == "" {
		return unset
	}
	n, err := strconv.Atoi(value)
	switch {
	case err != nil:
		e.refuse("`%s` (%q) is not a whole number", key, value)
	case n < least:
		e.refuse("`%s` (%d) must be at least %d", key, n, least)
	}
	return n
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

// validNamespace is what CloudWatch takes for a namespace of somebody else's than AWS.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html
var validNamespace = regexp.MustCompile(`^[0-9A-Za-z.\-_/#][0-9A-Za-z.\-_/#:]{0,254}$`)

func (e *environment) namespace(switchKey, key string) string {
	on := e.boolean(switchKey, true)
	value := cmp.Or(e.getenv(key), defaultNamespace)
	if !validNamespace.MatchString(value) || strings.HasPrefix(value, "AWS/") {
		e.refuse("`%s` (%q) is no namespace of CloudWatch's that is free", key, value)
	}
	if !on {
		return ""
	}
	return value
}

// headerValue reads a variable that is sent as a header: better refused here than by net/http on every request.
func (e *environment) headerValue(key string) string {
	value := e.getenv(key)
	if !httpguts.ValidHeaderFieldValue(value) {
		e.refuse("`%s` (%q) holds a character that an HTTP header cannot carry", key, value)
	}
	return value
}
