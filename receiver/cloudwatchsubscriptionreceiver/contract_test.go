// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package cloudwatchsubscriptionreceiver

import (
	"bytes"
	"context"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pipeline"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/awsloki/awsloki/receiver/cloudwatchsubscriptionreceiver/internal/metadata"
)

// The receiver keeps the contract between receivers and pipelines: what the pipeline refuses for the moment is sent
// again, by a sender that goes by the answer, and nothing is handed on twice.
func TestConsumeContract(t *testing.T) {
	config := createDefaultConfig().(*Config)
	config.ServerConfig.NetAddr.Endpoint = freeAddress(t)
	receivertest.CheckConsumeContract(receivertest.CheckConsumeContractParams{
		T:             t,
		Factory:       factoryWithTestID(),
		Signal:        pipeline.SignalLogs,
		Config:        config,
		Generator:     &sender{t: t, url: "http://" + config.ServerConfig.NetAddr.Endpoint + defaultSubscriptionPath},
		GenerateCount: 500,
	})
}

// factoryWithTestID makes receivers that hand records on with the attribute by which the checker knows them. It is the
// line, since nothing that CloudWatch Logs sends becomes an attribute of that name.
func factoryWithTestID() receiver.Factory {
	return receiver.NewFactory(metadata.Type, createDefaultConfig, receiver.WithLogs(
		func(ctx context.Context, set receiver.Settings, cfg component.Config, next consumer.Logs) (receiver.Logs, error) {
			withID, err := consumer.NewLogs(func(ctx context.Context, ld plog.Logs) error {
				record := ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0)
				record.Attributes().PutStr(receivertest.UniqueIDAttrName, record.Body().Str())
				return next.ConsumeLogs(ctx, ld)
			})
			if err != nil {
				return nil, err
			}
			return createLogs(ctx, set, cfg, withID)
		}, metadata.LogsStability))
}

// sender sends one event with each call, and again as long as the answer asks for it.
type sender struct {
	t      *testing.T
	url    string
	client http.Client
	sent   atomic.Int64
}

func (s *sender) Start() {}

func (s *sender) Stop() { s.client.CloseIdleConnections() }

func (s *sender) Generate() []receivertest.UniqueIDAttrVal {
	id := strconv.FormatInt(s.sent.Add(1), 10)
	for {
		resp, err := s.client.Post(s.url, "application/json", bytes.NewReader(document(id)))
		require.NoError(s.t, err)
		require.NoError(s.t, resp.Body.Close())
		if resp.StatusCode != http.StatusServiceUnavailable {
			return []receivertest.UniqueIDAttrVal{receivertest.UniqueIDAttrVal(id)}
		}
	}
}
