// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/lambdaforwarder/internal/config"
)

// env is an environment that a test can name in one line.
type env map[string]string

func (e env) get(key string) string { return e[key] }

func mustParse(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	require.NoError(t, err)
	return u
}

func TestLoad(t *testing.T) {
	t.Parallel()
	const address = "https://lb.example.com:3500/awsloki/"
	// defaults is what there is of a collector's address alone.
	defaults := func(change func(*config.Config)) config.Config {
		cfg := config.Config{
			WriteAddress:            mustParse(t, address),
			RequestTimeout:          10 * time.Second,
			MinBackoff:              100 * time.Millisecond,
			MaxBackoff:              5 * time.Second,
			MaxRetries:              config.UnlimitedRetries,
			DeadlineMargin:          time.Second,
			ReportBatchItemFailures: true,
			LogLevel:                slog.LevelInfo,
			MetricsNamespace:        "awsloki",
		}
		change(&cfg)
		return cfg
	}
	f := func(name string, e env, change func(*config.Config)) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e["WRITE_ADDRESS"] = address
			cfg, err := config.Load(e.get)
			require.NoError(t, err)
			assert.Equal(t, defaults(change), cfg)
			assert.False(t, cfg.ToLoki())
		})
	}
	f("defaults", env{}, func(*config.Config) {})
	f("all with basic authentication",
		env{
			"USERNAME":                   "user",
			"PASSWORD":                   "pass:word with ü",
			"TENANT_ID":                  "Team-1_!.*'()",
			"HEADERS":                    "x-team=a",
			"SKIP_TLS_VERIFY":            "True",
			"TLS_CA":                     "ca.pem",
			"TLS_CERT":                   "cert.pem",
			"TLS_KEY":                    "key.pem",
			"REQUEST_TIMEOUT":            "1m",
			"MIN_BACKOFF":                "1s",
			"MAX_BACKOFF":                "1s",
			"MAX_RETRIES":                "0",
			"DEADLINE_MARGIN":            "0",
			"REPORT_BATCH_ITEM_FAILURES": "FALSE",
			"LOG_LEVEL":                  "WARN",
			"METRICS_NAMESPACE":          "My.Company/logs_#1:-",
			"AWS_REGION":                 "eu-central-1",
			"AWS_LAMBDA_LOG_GROUP_NAME":  "/aws/lambda/forwarder",
			"AWS_LAMBDA_FUNCTION_NAME":   "forwarder",
		},
		func(cfg *config.Config) {
			cfg.Credentials.Username.Value = "user"
			cfg.Credentials.Password.Value = "pass:word with ü"
			cfg.TenantID = "Team-1_!.*'()"
			cfg.Headers = http.Header{"X-Team": {"a"}}
			cfg.TLS.SkipVerify = true
			cfg.TLS.CA.Value, cfg.TLS.Cert.Value, cfg.TLS.Key.Value = "ca.pem", "cert.pem", "key.pem"
			cfg.RequestTimeout = time.Minute
			cfg.MinBackoff, cfg.MaxBackoff = time.Second, time.Second
			cfg.MaxRetries = 0
			cfg.DeadlineMargin = 0
			cfg.ReportBatchItemFailures = false
			cfg.LogLevel = slog.LevelWarn
			cfg.MetricsNamespace = "My.Company/logs_#1:-"
			cfg.Region = "eu-central-1"
			cfg.LogGroup = "/aws/lambda/forwarder"
			cfg.Function = "forwarder"
		})
	f("bearer token",
		env{"BEARER_TOKEN": "123:glc_eyJ+/=", "SKIP_TLS_VERIFY": "false", "LOG_LEVEL": "debug", "MAX_RETRIES": "7"},
		func(cfg *config.Config) {
			cfg.Credentials.BearerToken.Value = "123:glc_eyJ+/="
			cfg.LogLevel = slog.LevelDebug
			cfg.MaxRetries = 7
		})
	f("longest tenant, level error, no metrics",
		env{"TENANT_ID": strings.Repeat("t", 150), "LOG_LEVEL": "error", "METRICS": "false", "METRICS_NAMESPACE": "own"},
		func(cfg *config.Config) {
			cfg.TenantID = strings.Repeat("t", 150)
			cfg.LogLevel = slog.LevelError
			cfg.MetricsNamespace = ""
		})
	f("secrets by their ARN",
		env{
			"BEARER_TOKEN": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:token-AbCdEf",
			"TLS_CA":       "arn:aws-us-gov:ssm:us-gov-west-1:123456789012:parameter/ca",
		},
		func(cfg *config.Config) {
			cfg.Credentials.BearerToken.ARN = arn.ARN{
				Partition: "aws", Service: "secretsmanager", Region: "eu-central-1", AccountID: "123456789012", Resource: "secret:token-AbCdEf",
			}
			cfg.TLS.CA.ARN = arn.ARN{
				Partition: "aws-us-gov", Service: "ssm", Region: "us-gov-west-1", AccountID: "123456789012", Resource: "parameter/ca",
			}
		})
	f("headers",
		env{"HEADERS": "a=1, x-B = two%20%2C%3D%25 ,empty=,a=2=3,user-agent=own,utf=%C3%BC"},
		func(cfg *config.Config) {
			cfg.Headers = http.Header{
				"A": {"1", "2=3"}, "X-B": {"two ,=%"}, "Empty": {""}, "User-Agent": {"own"}, "Utf": {"ü"},
			}
		})
	// What they ask for the collector does; they are checked all the same, so that nothing wrong waits for the day when
	// the address is changed.
	f("variables of Loki",
		env{
			"KEEP_STREAM": "true", "EXTRA_LABELS": "a,b", "OMIT_EXTRA_LABELS_PREFIX": "false", "DROP_LABELS": "a",
			"RELABEL_CONFIGS": "[]", "BATCH_SIZE": "5", "PRINT_LOG_LINE": "true", "PIPELINE_TIMEOUT": "5s",
		},
		func(cfg *config.Config) {
			cfg.WithoutEffect = []string{
				"KEEP_STREAM", "EXTRA_LABELS", "OMIT_EXTRA_LABELS_PREFIX", "DROP_LABELS", "RELABEL_CONFIGS", "BATCH_SIZE",
				"PRINT_LOG_LINE", "PIPELINE_TIMEOUT",
			}
		})
	f("one variable of Loki", env{"BATCH_SIZE": "131072"}, func(cfg *config.Config) { cfg.WithoutEffect = []string{"BATCH_SIZE"} })
}

// Deployment templates set optional variables to "".
func TestLoadEmptyIsNone(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"http://collector", "http://loki/loki/api/v1/push"} {
		asked := map[string]bool{}
		want, err := config.Load(func(key string) string {
			asked[key] = true
			return env{"WRITE_ADDRESS": address}[key]
		})
		require.NoError(t, err)
		all := env{}
		for key := range asked {
			all[key] = ""
		}
		require.Greater(t, len(all), 30)
		all["WRITE_ADDRESS"] = address
		got, err := config.Load(all.get)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
}

func TestLoadTakesAddress(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"http://collector",
		"http://10.0.0.1:3500",
		"https://[::1]:65535",
		"https://collector.example.com/",
		"https://collector.example.com/a/prefix",
		"https://collector.example.com/loki/api/v1/pushed",
		"http://loki:3100/loki/api/v1/push",
		"https://lb.example.com/prefix/loki/api/v1/push",
	} {
		t.Run(address, func(t *testing.T) {
			t.Parallel()
			cfg, err := config.Load(env{"WRITE_ADDRESS": address}.get)
			require.NoError(t, err)
			assert.Equal(t, address, cfg.WriteAddress.String())
			assert.Equal(t, strings.HasSuffix(address, "/loki/api/v1/push"), cfg.ToLoki())
		})
	}
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	const (
		notURL = "`WRITE_ADDRESS` is not an http or https URL with a host, such as https://collector.example.com:3500"
		notSet = "`WRITE_ADDRESS` is not set: it is the collector's base URL, such as https://collector.example.com:3500, " +
			"or ends in /loki/api/v1/push to push to Loki"
		notARN = ": an ARN must be that of a secret of Secrets Manager or of a parameter of SSM"
	)
	f := func(name string, e env, want ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, ok := e["WRITE_ADDRESS"]; !ok {
				e["WRITE_ADDRESS"] = "http://collector:3500"
			}
			cfg, err := config.Load(e.get)
			require.EqualError(t, err, strings.Join(want, "\n"))
			assert.Equal(t, config.Config{}, cfg)
		})
	}
	f("no address", env{"WRITE_ADDRESS": ""}, notSet)
	for _, address := range []string{
		"collector", "collector:3500", "//collector:3500", "ftp://collector", "http:collector", "http://",
		"http://:3500", "http://collector:0", "http://collector:65536", "http://collector:port",
		"http://collector:3500\n", "http://col lector", "%",
	} {
		f("address "+address, env{"WRITE_ADDRESS": address}, notURL)
	}
	f("address with user", env{"WRITE_ADDRESS": "http://user:pass@collector"},
		"`WRITE_ADDRESS` holds a user or a password: set `USERNAME` and `PASSWORD` instead")
	for _, address := range []string{"http://collector?a=b", "http://collector/?", "http://collector#f", "http://collector/#"} {
		f("address "+address, env{"WRITE_ADDRESS": address},
			"`WRITE_ADDRESS` has a query or a fragment: give the URL without them")
	}
	f("address with a blank", env{"WRITE_ADDRESS": "http://lb/loki/api/v1/push "}, "`WRITE_ADDRESS` has a blank in it")
	f("address of Loki in capitals", env{"WRITE_ADDRESS": "http://lb/Loki/api/v1/push"},
		"`WRITE_ADDRESS` has a path like that of Loki's push API, which is /loki/api/v1/push")
	f("address of Loki 0", env{"WRITE_ADDRESS": "http://lb/api/prom/push"},
		"`WRITE_ADDRESS` has a path like that of Loki's push API, which is /loki/api/v1/push")
	f("address of the object path", env{"WRITE_ADDRESS": "http://lb/s3/v1/object"},
		"`WRITE_ADDRESS` ends in /s3/v1/object: give the collector's base URL, the forwarder appends this path itself")
	f("a duration that no invocation has", env{"REQUEST_TIMEOUT": "16m"}, "`REQUEST_TIMEOUT` (16m0s) must be at most 15m0s")
	f("address of Loki with a slash", env{"WRITE_ADDRESS": "http://lb/prefix/loki/api/v1/push/"},
		"`WRITE_ADDRESS` has a path like that of Loki's push API, which is /loki/api/v1/push")
	f("address with the forwarder's path", env{"WRITE_ADDRESS": "http://collector/cloudwatch/v1/subscription"},
		"`WRITE_ADDRESS` ends in /cloudwatch/v1/subscription: give the collector's base URL, the forwarder appends this path itself")

	f("user alone", env{"USERNAME": "user"}, "`USERNAME` is set and `PASSWORD` is not: basic authentication needs both")
	f("password alone", env{"PASSWORD": "pass"}, "`PASSWORD` is set and `USERNAME` is not: basic authentication needs both")
	f("user and token", env{"USERNAME": "user", "PASSWORD": "pass", "BEARER_TOKEN": "token"},
		"`BEARER_TOKEN` and `USERNAME` with `PASSWORD` exclude each other")
	f("user with a colon", env{"USERNAME": "us:er", "PASSWORD": "pass"},
		"`USERNAME` holds a colon, which basic authentication cannot carry")
	f("password with a newline", env{"USERNAME": "user", "PASSWORD": "pass\n"},
		"`PASSWORD` holds a control character, such as a newline at its end")
	f("token that no header can carry", env{"BEARER_TOKEN": "to ken"},
		"`BEARER_TOKEN` holds a character that an HTTP header cannot carry")
	f("secrets by ARN",
		env{
			"USERNAME": "arn:aws:ssm:::u", "PASSWORD": "arn:aws:s3:::p", "BEARER_TOKEN": "arn:", "TLS_CA": "arn:aws:iam::1:ca",
			"TLS_CERT": "arn:aws:acm:eu-central-1:1:certificate/c", "TLS_KEY": "arn:aws:ssm:eu-central-1:1:",
		},
		"`USERNAME`"+notARN, "`PASSWORD`"+notARN, "`BEARER_TOKEN`"+notARN, "`TLS_CA`"+notARN, "`TLS_CERT`"+notARN, "`TLS_KEY`"+notARN)
	f("certificate alone", env{"TLS_CERT": "cert.pem"}, "`TLS_CERT` and `TLS_KEY` need each other")
	f("key alone", env{"TLS_KEY": "arn:aws:ssm:eu-central-1:1:parameter/key"}, "`TLS_CERT` and `TLS_KEY` need each other")

	const noPair = "is not a header's name, an equals sign and a value"
	const noValue = "is not what a header can carry, in percent-encoding"
	for _, value := range []string{"", "a", "=1", " ", "a b=1", "ü=1", "a:1"} {
		f("headers "+value, env{"HEADERS": "ok=1," + value + ",ok=2"}, "`HEADERS`: pair 2 "+noPair)
	}
	f("comma at the end of headers", env{"HEADERS": "ok=1,"}, "`HEADERS`: pair 2 "+noPair)
	for _, value := range []string{"%", "%4", "%zz", "a%0d%0ab", "%00"} {
		f("header's value "+value, env{"HEADERS": "x-key=" + value}, "`HEADERS`: the value of X-Key "+noValue)
	}
	for name, by := range map[string]string{
		"authorization": "`USERNAME` and `PASSWORD`, or `BEARER_TOKEN`", "x-scope-orgid": "`TENANT_ID`", "host": "`WRITE_ADDRESS`",
		"content-type": "the forwarder", "Content-LENGTH": "the forwarder", "content-encoding": "the forwarder",
		"transfer-encoding": "the forwarder", "connection": "the forwarder", "expect": "the forwarder", "accept-encoding": "the forwarder", "trailer": "the forwarder",
		"x-awsloki-region": "the forwarder", "x-awsloki-forwarder-log-group": "the forwarder",
	} {
		f("header "+name, env{"HEADERS": name + "=secret"}, "`HEADERS`: "+http.CanonicalHeaderKey(name)+" is set by "+by)
	}

	f("tenant with a space", env{"TENANT_ID": "team 1"},
		"`TENANT_ID`: a tenant holds only letters, digits and !-_.*'(), found \"team 1\"")

	for _, value := range []string{"yes", "1", " true"} {
		f("boolean "+value, env{"SKIP_TLS_VERIFY": value}, fmt.Sprintf("`SKIP_TLS_VERIFY` (%q) must be true or false", value))
	}
	f("duration without a unit", env{"REQUEST_TIMEOUT": "10"}, "`REQUEST_TIMEOUT` (\"10\") is not a duration such as 500ms or 10s")
	f("no time for a request", env{"REQUEST_TIMEOUT": "0"}, "`REQUEST_TIMEOUT` (0s) must be at least 1ms")
	f("negative margin", env{"DEADLINE_MARGIN": "-1s"}, "`DEADLINE_MARGIN` (-1s) must be at least 0s")
	f("no pause", env{"MIN_BACKOFF": "0"}, "`MIN_BACKOFF` (0s) must be at least 1ms")
	f("pauses", env{"MIN_BACKOFF": "x", "MAX_BACKOFF": "1us"},
		"`MIN_BACKOFF` (\"x\") is not a duration such as 500ms or 10s", "`MAX_BACKOFF` (1µs) must be at least 1ms")
	f("pauses the wrong way round", env{"MIN_BACKOFF": "2s", "MAX_BACKOFF": "1s"}, "`MIN_BACKOFF` (2s) is more than `MAX_BACKOFF` (1s)")
	f("shortest pause longer than the default of the longest", env{"MIN_BACKOFF": "6s"}, "`MIN_BACKOFF` (6s) is more than `MAX_BACKOFF` (5s)")
	for _, value := range []string{"many", "1.5", "10s", "99999999999999999999"} {
		f("number "+value, env{"MAX_RETRIES": value}, fmt.Sprintf("`MAX_RETRIES` (%q) is not a whole number", value))
	}
	f("negative number", env{"MAX_RETRIES": "-1"}, "`MAX_RETRIES` (-1) must be at least 0")
	for _, value := range []string{"AWS/Lambda", ":a", "a b", "ü", strings.Repeat("n", 256)} {
		f("namespace "+value, env{"METRICS_NAMESPACE": value}, fmt.Sprintf("`METRICS_NAMESPACE` (%q) is no namespace of CloudWatch's that is free", value))
	}
	f("more booleans", env{"METRICS": "no", "REPORT_BATCH_ITEM_FAILURES": "2", "KEEP_STREAM": "y", "OMIT_EXTRA_LABELS_PREFIX": "n", "PRINT_LOG_LINE": "-"},
		"`REPORT_BATCH_ITEM_FAILURES` (\"2\") must be true or false",
		"`METRICS` (\"no\") must be true or false",
		"`KEEP_STREAM` (\"y\") must be true or false",
		"`OMIT_EXTRA_LABELS_PREFIX` (\"n\") must be true or false",
		"`PRINT_LOG_LINE` (\"-\") must be true or false")
	f("level", env{"LOG_LEVEL": "verbose"}, "`LOG_LEVEL` (\"verbose\") must be debug, info, warn or error")
	f("region", env{"AWS_REGION": "eu\r\nX: y"}, "`AWS_REGION` (\"eu\\r\\nX: y\") holds a character that an HTTP header cannot carry")
	f("log group", env{"AWS_LAMBDA_LOG_GROUP_NAME": "a\x00b"},
		"`AWS_LAMBDA_LOG_GROUP_NAME` (\"a\\x00b\") holds a character that an HTTP header cannot carry")

	f("everything at once",
		env{"WRITE_ADDRESS": "", "PASSWORD": "pass", "SKIP_TLS_VERIFY": "on", "LOG_LEVEL": "loud"},
		notSet,
		"`SKIP_TLS_VERIFY` (\"on\") must be true or false",
		"`LOG_LEVEL` (\"loud\") must be debug, info, warn or error",
		"`PASSWORD` is set and `USERNAME` is not: basic authentication needs both")
}

// An error goes to the function's log and to the on-failure destination.
func TestLoadKeepsSecrets(t *testing.T) {
	t.Parallel()
	const secret = "s3cret"
	for _, e := range []env{
		{"WRITE_ADDRESS": "http://" + secret + ":" + secret + "@collector"},
		{"WRITE_ADDRESS": "http://user:" + secret},
		{"WRITE_ADDRESS": "http://us er:" + secret + "@collector"},
		{"WRITE_ADDRESS": secret + ":pass@collector:80"},
		{"WRITE_ADDRESS": secret + "://collector"},
		{"WRITE_ADDRESS": "http://collector?token=" + secret},
		{"WRITE_ADDRESS": "http://collector", "USERNAME": secret + ":", "PASSWORD": secret + "\n"},
		{"WRITE_ADDRESS": "http://collector", "BEARER_TOKEN": secret + " "},
		{"WRITE_ADDRESS": "http://collector", "BEARER_TOKEN": "arn:" + secret},
		{"WRITE_ADDRESS": "http://collector", "USERNAME": "user", "PASSWORD": "arn:aws:s3:eu:1:" + secret},
		{"WRITE_ADDRESS": "http://collector", "PASSWORD": secret, "BEARER_TOKEN": secret},
		{"WRITE_ADDRESS": "http://collector", "TLS_KEY": "-----BEGIN PRIVATE KEY-----" + secret},
		{"WRITE_ADDRESS": "http://collector", "HEADERS": "x-key=" + secret + "%"},
		{"WRITE_ADDRESS": "http://collector", "HEADERS": "x-key=" + secret + "%00"},
		{"WRITE_ADDRESS": "http://collector", "HEADERS": "x-key: " + secret},
		{"WRITE_ADDRESS": "http://collector", "HEADERS": "x-key=a," + secret},
		{"WRITE_ADDRESS": "http://collector", "HEADERS": "authorization=" + secret},
	} {
		_, err := config.Load(e.get)
		require.Error(t, err, e)
		assert.NotContains(t, err.Error(), secret)
	}

	for _, e := range []env{
		{"WRITE_ADDRESS": "http://collector", "USERNAME": secret, "PASSWORD": secret},
		{"WRITE_ADDRESS": "http://collector", "BEARER_TOKEN": secret, "TLS_CERT": "cert.pem", "TLS_KEY": secret},
	} {
		cfg, err := config.Load(e.get)
		require.NoError(t, err)
		assert.NotContains(t, fmt.Sprintf("%v %+v %#v", cfg, cfg, cfg), secret)
		content, err := json.Marshal(cfg)
		require.NoError(t, err)
		assert.NotContains(t, string(content), secret)
	}
}
