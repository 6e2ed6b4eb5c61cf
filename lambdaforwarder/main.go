// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

// Command lambdaforwarder is the Lambda function that passes AWS's logs on to the awsloki collector, byte for byte, or to
// Loki itself.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"

	"github.com/awsloki/awsloki/lambdaforwarder/internal/collector"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/config"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/credentials"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/delivery"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/forward"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/loki"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/s3object"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/secrets"
	"github.com/awsloki/awsloki/lambdaforwarder/internal/transport"
)

func main() {
	h, err := setUp(os.Getenv, os.Stderr)
	if err != nil {
		fmt.Fprintf(os.Stderr, "lambdaforwarder: %s\n", err)
		os.Exit(1)
	}
	fit(h.memory)
	log.SetFlags(0)
	log.SetOutput(runtimeLog{h.logger})
	lambda.StartWithOptions(h)
}

// startTimeout bounds the reading of secrets. Lambda gives a function 10 s to start.
const startTimeout = 9 * time.Second

// setUp makes the handler from the environment. An error ends the process, and Lambda then fails the invocations that wait
// for it.
func setUp(getenv func(string) string, logs io.Writer) (*handler, error) {
	runtimeAPI := getenv("AWS_LAMBDA_RUNTIME_API")
	if runtimeAPI == "" {
		return nil, errNotInLambda
	}
	cfg, err := config.Load(getenv)
	if err != nil {
		return nil, errors.Join(err, reportInitError(runtimeAPI, err))
	}
	h, err := assemble(&cfg, logs)
	if err != nil {
		return nil, errors.Join(err, reportInitError(runtimeAPI, err))
	}
	return h, nil
}

// destination is where lines go: a collector, or Loki.
type destination interface {
	forward.Destination
	// URL holds no credentials.
	URL() string
}

func assemble(cfg *config.Config, logs io.Writer) (*handler, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	logs = &lockedWriter{w: logs}
	h := &handler{
		logger:      newLogger(logs, cfg.LogLevel),
		metrics:     newMetrics(logs, cfg.MetricsNamespace, cfg.Function, cfg.ToLoki()),
		reportItems: cfg.ReportBatchItemFailures,
		memory:      cfg.Memory,
	}
	loadAWS := sync.OnceValues(func() (aws.Config, error) { return awsconfig.LoadDefaultConfig(context.Background()) })
	readSecret := secrets.NewReader(loadAWS)
	creds, err := credentials.Load(ctx, cfg.Credentials, readSecret)
	if err != nil {
		return nil, err
	}
	carrier, err := transport.New(ctx, cfg, creds, readSecret)
	if err != nil {
		return nil, err
	}
	to, err := newDestination(cfg, carrier, s3object.NewStore(loadAWS, cfg.Region, cfg.RequestTimeout).Open, h.logger)
	if err != nil {
		return nil, err
	}
	h.destination = to
	if len(cfg.WithoutEffect) > 0 {
		h.logger.WarnContext(ctx, "variables without effect, since `WRITE_ADDRESS` is a collector's", "variables", cfg.WithoutEffect)
	}
	h.logger.InfoContext(ctx, "started", "version", version(), "address", to.URL(), "tenant", cfg.TenantID)
	return h, nil
}

func newDestination(cfg *config.Config, carrier http.RoundTripper, open s3object.Open, logger *slog.Logger) (destination, error) {
	policy := delivery.Policy{
		MinBackoff:     cfg.MinBackoff,
		MaxBackoff:     cfg.MaxBackoff,
		MaxRetries:     cfg.MaxRetries,
		DeadlineMargin: cfg.DeadlineMargin,
	}
	userAgent := "awsloki-lambdaforwarder/" + version()
	if cfg.ToLoki() {
		return loki.NewClient(cfg, carrier, policy, userAgent, open, logger)
	}
	return collector.NewClient(cfg, carrier, policy, userAgent, open, logger), nil
}

// version is that of the module this program was built from, or "dev".
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "dev"
	}
	return info.Main.Version
}
