// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

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
	collector := mustParse(t, "https://lb.example.com:3500/awsloki/")
	f := func(name string, e env, want config.Config) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, err := config.Load(e.get)
			require.NoError(t, err)
			assert.Equal(t, want, cfg)
		})
	}
	f("defaults",
		env{"WRITE_ADDRESS": "https://lb.example.com:3500/awsloki/"},
		config.Config{
			WriteAddress:   collector,
			RequestTimeout: 10 * time.Second,
			DeadlineMargin: time.Second,
			LogLevel:       slog.LevelInfo,
		})
	f("all with basic authentication",
		env{
			"WRITE_ADDRESS":             "https://lb.example.com:3500/awsloki/",
			"USERNAME":                  "user",
			"PASSWORD":                  "pass:word with ü",
			"TENANT_ID":                 "Team-1_!.*'()",
			"SKIP_TLS_VERIFY":           "True",
			"REQUEST_TIMEOUT":           "1m",
			"DEADLINE_MARGIN":           "0",
			"LOG_LEVEL":                 "WARN",
			"AWS_REGION":                "eu-central-1",
			"AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/forwarder",
		},
		config.Config{
			WriteAddress:   collector,
			Username:       "user",
			Password:       "pass:word with ü",
			TenantID:       "Team-1_!.*'()",
			SkipTLSVerify:  true,
			RequestTimeout: time.Minute,
			DeadlineMargin: 0,
			LogLevel:       slog.LevelWarn,
			Region:         "eu-central-1",
			LogGroup:       "/aws/lambda/forwarder",
		})
	f("bearer token",
		env{
			"WRITE_ADDRESS":   "https://lb.example.com:3500/awsloki/",
			"BEARER_TOKEN":    "123:glc_eyJ+/=",
			"SKIP_TLS_VERIFY": "false",
			"LOG_LEVEL":       "debug",
		},
		config.Config{
			WriteAddress:   collector,
			BearerToken:    "123:glc_eyJ+/=",
			RequestTimeout: 10 * time.Second,
			DeadlineMargin: time.Second,
			LogLevel:       slog.LevelDebug,
		})
	f("longest tenant, level error",
		env{"WRITE_ADDRESS": "https://lb.example.com:3500/awsloki/", "TENANT_ID": strings.Repeat("t", 150), "LOG_LEVEL": "error"},
		config.Config{
			WriteAddress:   collector,
			TenantID:       strings.Repeat("t", 150),
			RequestTimeout: 10 * time.Second,
			DeadlineMargin: time.Second,
			LogLevel:       slog.LevelError,
		})
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
	} {
		t.Run(address, func(t *testing.T) {
			t.Parallel()
			cfg, err := config.Load(env{"WRITE_ADDRESS": address}.get)
			require.NoError(t, err)
			assert.Equal(t, address, cfg.WriteAddress.String())
		})
	}
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	const notURL = "`WRITE_ADDRESS` is not an http or https URL with a host, such as https://collector.example.com:3500"
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
	f("no address", env{"WRITE_ADDRESS": ""},
		"`WRITE_ADDRESS` is not set: it is the collector's base URL, such as https://collector.example.com:3500")
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
			"`WRITE_ADDRESS` has a query or a fragment: give the collector's base URL without them")
	}
	for _, address := range []string{"http://loki:3100/loki/api/v1/push", "http://lb/prefix/loki/api/v1/push/"} {
		f("address "+address, env{"WRITE_ADDRESS": address},
			"`WRITE_ADDRESS` ends in /loki/api/v1/push: pushing straight to Loki is not available in this version, give the collector's base URL")
	}
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
		env{"USERNAME": "arn:aws:ssm:::u", "PASSWORD": "arn:aws-cn:secretsmanager:::p", "BEARER_TOKEN": "arn:aws:ssm:::t"},
		"`USERNAME` is an ARN: reading a secret by its ARN is not available in this version, give the value itself",
		"`PASSWORD` is an ARN: reading a secret by its ARN is not available in this version, give the value itself",
		"`BEARER_TOKEN` is an ARN: reading a secret by its ARN is not available in this version, give the value itself",
		"`BEARER_TOKEN` and `USERNAME` with `PASSWORD` exclude each other")

	f("tenant with a space", env{"TENANT_ID": "team 1"},
		"`TENANT_ID`: a tenant holds only letters, digits and !-_.*'(), found \"team 1\"")

	for _, value := range []string{"yes", "1", " true"} {
		f("boolean "+value, env{"SKIP_TLS_VERIFY": value}, fmt.Sprintf("`SKIP_TLS_VERIFY` (%q) must be true or false", value))
	}
	f("duration without a unit", env{"REQUEST_TIMEOUT": "10"}, "`REQUEST_TIMEOUT` (\"10\") is not a duration such as 500ms or 10s")
	f("no time for a request", env{"REQUEST_TIMEOUT": "0"}, "`REQUEST_TIMEOUT` (0s) must be at least 1ms")
	f("negative margin", env{"DEADLINE_MARGIN": "-1s"}, "`DEADLINE_MARGIN` (-1s) must be at least 0s")
	f("level", env{"LOG_LEVEL": "verbose"}, "`LOG_LEVEL` (\"verbose\") must be debug, info, warn or error")
	f("region", env{"AWS_REGION": "eu\r\nX: y"}, "`AWS_REGION` (\"eu\\r\\nX: y\") holds a character that an HTTP header cannot carry")
	f("log group", env{"AWS_LAMBDA_LOG_GROUP_NAME": "a b"},
		"`AWS_LAMBDA_LOG_GROUP_NAME` (\"a b\") holds a character that an HTTP header cannot carry")

	f("everything at once",
		env{"WRITE_ADDRESS": "", "PASSWORD": "pass", "SKIP_TLS_VERIFY": "on", "LOG_LEVEL": "loud"},
		"`WRITE_ADDRESS` is not set: it is the collector's base URL, such as https://collector.example.com:3500",
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
	} {
		_, err := config.Load(e.get)
		require.Error(t, err, e)
		assert.NotContains(t, err.Error(), secret)
	}

	cfg, err := config.Load(env{"WRITE_ADDRESS": "http://collector", "USERNAME": "user", "PASSWORD": secret}.get)
	require.NoError(t, err)
	assert.NotContains(t, fmt.Sprintf("%v %+v %#v", cfg, cfg, cfg), secret)
}
