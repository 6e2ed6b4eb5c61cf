// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokiexporter

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/awsloki/awsloki/exporter/lokiexporter/internal/metadata"
	"github.com/awsloki/awsloki/internal/lokipush"
)

// tenantsLoki answers by tenant: 204 where none is told.
type tenantsLoki struct {
	*httptest.Server

	mu     sync.Mutex
	status map[string]int
	lines  map[string][]string
	asked  map[string]int
}

func newTenantsLoki(t *testing.T, status map[string]int) *tenantsLoki {
	t.Helper()
	l := &tenantsLoki{status: status, lines: map[string][]string{}, asked: map[string]int{}}
	l.Server = httptest.NewServer(l)
	t.Cleanup(l.Close)
	return l
}

func (l *tenantsLoki) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	streams, err := readPush(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	tenant := r.Header.Get("X-Scope-OrgID")
	l.asked[tenant]++
	if status := l.status[tenant]; status != 0 {
		w.WriteHeader(status)
		return
	}
	for _, stream := range streams {
		for _, entry := range stream.Entries {
			l.lines[tenant] = append(l.lines[tenant], entry.Line)
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

func (l *tenantsLoki) answer(tenant string, status int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.status[tenant] = status
}

// delivered are the lines of each tenant, sorted.
func (l *tenantsLoki) delivered() map[string][]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	sorted := map[string][]string{}
	for tenant, lines := range l.lines {
		sorted[tenant] = slices.Sorted(slices.Values(lines))
	}
	return sorted
}

func (l *tenantsLoki) requests(tenant string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.asked[tenant]
}

// tenantLines has one resource for each tenant, with one line.
func tenantLines(text string, tenants ...string) plog.Logs {
	ld := plog.NewLogs()
	for _, tenant := range tenants {
		lines(text + " of " + tenant).ResourceLogs().MoveAndAppendTo(ld.ResourceLogs())
		if tenant != "" {
			ld.ResourceLogs().At(ld.ResourceLogs().Len()-1).Resource().Attributes().PutStr("team", tenant)
		}
	}
	return ld
}

// newExporter makes an exporter that is not started. It tries again at once, and does not batch for long.
func newExporter(t *testing.T, endpoint string, tel *componenttest.Telemetry, change func(*Config)) exporter.Logs {
	t.Helper()
	config := createDefaultConfig().(*Config)
	config.ClientConfig.Endpoint = endpoint + "/loki/api/v1/push"
	config.RetryConfig.InitialInterval = time.Millisecond
	config.RetryConfig.MaxInterval = 5 * time.Millisecond
	config.QueueConfig.Get().Batch.Get().FlushTimeout = time.Millisecond
	change(config)
	set := exportertest.NewNopSettings(metadata.Type)
	set.ID = component.NewID(metadata.Type)
	if tel != nil {
		set.TelemetrySettings = tel.NewTelemetrySettings()
	}
	e, err := NewFactory().CreateLogs(t.Context(), set, config)
	require.NoError(t, err)
	return e
}

func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, 20*time.Second, time.Millisecond)
}

func TestTenantAttribute(t *testing.T) {
	tel := componenttest.NewTelemetry()
	defer func() { require.NoError(t, tel.Shutdown(context.Background())) }()
	loki := newTenantsLoki(t, map[string]int{})
	e := newExporter(t, loki.URL, tel, func(c *Config) { c.Tenant.Attribute = "team" })
	require.NoError(t, e.Start(t.Context(), componenttest.NewNopHost()))
	require.NoError(t, e.ConsumeLogs(t.Context(), tenantLines("one", "a", "b", "", "x|y", "a")))
	want := map[string][]string{"a": {"one of a", "one of a"}, "b": {"one of b"}, "": {"one of "}}
	eventually(t, func() bool { return maps.EqualFunc(want, loki.delivered(), slices.Equal[[]string]) })
	require.NoError(t, e.Shutdown(t.Context()))
	assert.Equal(t, map[string]int64{"invalid_tenant": 1}, by(t, tel, "reason", "otelcol_exporter_loki_refused_lines"))
	assert.Equal(t, map[string]int64{"loki": 4}, by(t, tel, "exporter", "otelcol_exporter_loki_delivered_lines"))
	assert.Equal(t, map[string]int64{"loki": 1, "loki/tenant=a": 2, "loki/tenant=b": 1}, by(t, tel, "exporter", "otelcol_exporter_sent_log_records"))
}

func TestTenantMetadataKey(t *testing.T) {
	loki := newTenantsLoki(t, map[string]int{})
	e := newExporter(t, loki.URL, nil, func(c *Config) { c.Tenant.MetadataKey = "X-Scope-OrgID" })
	require.NoError(t, e.Start(t.Context(), componenttest.NewNopHost()))
	consume := func(values ...string) error {
		ctx := client.NewContext(t.Context(), client.Info{Metadata: client.NewMetadata(map[string][]string{"x-scope-orgid": values})})
		return e.ConsumeLogs(ctx, lines("one"))
	}
	require.NoError(t, consume("a"))
	require.NoError(t, consume("b"))
	require.NoError(t, consume())
	err := consume("a", "b")
	require.ErrorContains(t, err, `client metadata "X-Scope-OrgID": there must be one value, found 2`)
	assert.True(t, consumererror.IsPermanent(err))
	err = consume("x|y")
	require.ErrorContains(t, err, `client metadata "X-Scope-OrgID": a tenant holds only letters`)
	assert.True(t, consumererror.IsPermanent(err))
	want := map[string][]string{"a": {"one"}, "b": {"one"}, "": {"one"}}
	eventually(t, func() bool { return maps.EqualFunc(want, loki.delivered(), slices.Equal[[]string]) })
	require.NoError(t, e.Shutdown(t.Context()))
}

// One tenant that Loki does not take anything from occupies its own workers and its own queue, and nobody else's.
func TestTenantsDoNotWaitForEachOther(t *testing.T) {
	for _, status := range []int{http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable} {
		loki := newTenantsLoki(t, map[string]int{"stuck": status})
		e := newExporter(t, loki.URL, nil, func(c *Config) {
			c.Tenant.Attribute = "team"
			c.QueueConfig.Get().QueueSize = 30
			c.QueueConfig.Get().NumConsumers = 2
			c.QueueConfig.Get().Batch = configoptional.None[exporterhelper.BatchConfig]()
		})
		require.NoError(t, e.Start(t.Context(), componenttest.NewNopHost()))
		var full error
		for full == nil {
			full = e.ConsumeLogs(t.Context(), tenantLines("one", "stuck"))
		}
		require.ErrorIs(t, full, exporterhelper.ErrQueueIsFull)
		for range 100 {
			eventually(t, func() bool { return e.ConsumeLogs(t.Context(), tenantLines("one", "well")) == nil })
		}
		eventually(t, func() bool { return len(loki.delivered()["well"]) == 100 })
		assert.Empty(t, loki.delivered()["stuck"])

		// A request with lines of both is refused before anything of it is taken.
		for range 10 {
			require.ErrorIs(t, e.ConsumeLogs(t.Context(), tenantLines("both", "well", "stuck")), exporterhelper.ErrQueueIsFull)
		}
		require.NoError(t, e.ConsumeLogs(t.Context(), tenantLines("last", "well")))
		eventually(t, func() bool { return slices.Contains(loki.delivered()["well"], "last of well") })
		assert.NotContains(t, loki.delivered()["well"], "both of well")
		require.NoError(t, e.Shutdown(t.Context()))
	}
}

// The lines of a tenant too many are refused, and no others. To have no tenant is none.
func TestMaxTenants(t *testing.T) {
	tel := componenttest.NewTelemetry()
	defer func() { require.NoError(t, tel.Shutdown(context.Background())) }()
	loki := newTenantsLoki(t, map[string]int{})
	e := newExporter(t, loki.URL, tel, func(c *Config) {
		c.Tenant.Attribute = "team"
		c.Tenant.MaxTenants = 2
	})
	require.NoError(t, e.Start(t.Context(), componenttest.NewNopHost()))
	require.NoError(t, e.ConsumeLogs(t.Context(), tenantLines("one", "a", "b", "c", "")))
	require.NoError(t, e.ConsumeLogs(t.Context(), tenantLines("two", "c", "a")))
	want := map[string][]string{"a": {"one of a", "two of a"}, "b": {"one of b"}, "": {"one of "}}
	eventually(t, func() bool { return maps.EqualFunc(want, loki.delivered(), slices.Equal[[]string]) })
	require.NoError(t, e.Shutdown(t.Context()))
	assert.Equal(t, map[string]int64{"too_many_tenants": 2}, by(t, tel, "reason", "otelcol_exporter_loki_refused_lines"))
	require.ErrorIs(t, e.ConsumeLogs(t.Context(), tenantLines("one", "a")), errStopped)
}

// disk is a storage extension that keeps everything in memory, and the host that has it.
type disk struct {
	component.StartFunc
	component.ShutdownFunc

	mu     sync.Mutex
	values map[string]map[string][]byte
	broken error
	// closed are the clients that cannot be had.
	closed map[string]error
	// written is called after each batch, while nothing else is written.
	written func()
}

var diskID = component.MustNewID("disk")

func (d *disk) GetExtensions() map[component.ID]component.Component {
	return map[component.ID]component.Component{diskID: d}
}

func (d *disk) GetClient(_ context.Context, _ component.Kind, id component.ID, name string) (storage.Client, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.values == nil {
		d.values = map[string]map[string][]byte{}
	}
	file := id.String() + " " + name
	if err := d.closed[file]; err != nil {
		return nil, err
	}
	if d.values[file] == nil {
		d.values[file] = map[string][]byte{}
	}
	return &diskClient{disk: d, values: d.values[file]}, nil
}

type diskClient struct {
	disk   *disk
	values map[string][]byte
}

func (c *diskClient) Get(ctx context.Context, key string) ([]byte, error) {
	op := storage.GetOperation(key)
	err := c.Batch(ctx, op)
	return op.Value, err
}

func (c *diskClient) Set(ctx context.Context, key string, value []byte) error {
	return c.Batch(ctx, storage.SetOperation(key, value))
}

func (c *diskClient) Delete(ctx context.Context, key string) error {
	return c.Batch(ctx, storage.DeleteOperation(key))
}

func (c *diskClient) Batch(_ context.Context, ops ...*storage.Operation) error {
	c.disk.mu.Lock()
	defer c.disk.mu.Unlock()
	for _, op := range ops {
		switch op.Type {
		case storage.Get:
			op.Value = c.values[op.Key]
		case storage.Set:
			if c.disk.broken != nil {
				return c.disk.broken
			}
			c.values[op.Key] = op.Value
		case storage.Delete:
			delete(c.values, op.Key)
		}
	}
	if c.disk.written != nil {
		c.disk.written()
	}
	return nil
}

func (*diskClient) Close(context.Context) error { return nil }

// What waits on disk is still each tenant's own after a restart, also if nothing more comes of that tenant.
func TestTenantsOnDisk(t *testing.T) {
	long := strings.Repeat("t", 150)
	tenants := []string{"a", "b", "", "odd!(*)", long}
	status := map[string]int{}
	for _, tenant := range tenants {
		status[tenant] = http.StatusServiceUnavailable
	}
	loki := newTenantsLoki(t, status)
	host := &disk{}
	start := func() exporter.Logs {
		e := newExporter(t, loki.URL, nil, func(c *Config) {
			c.Tenant.Attribute = "team"
			c.Tenant.MaxTenants = 4
			c.QueueConfig.Get().StorageID = &diskID
		})
		require.NoError(t, e.Start(t.Context(), host))
		return e
	}
	e := start()
	require.NoError(t, e.ConsumeLogs(t.Context(), tenantLines("one", tenants...)))
	require.NoError(t, e.ConsumeLogs(t.Context(), tenantLines("two", "b")))
	for _, tenant := range tenants {
		eventually(t, func() bool { return loki.requests(tenant) > 0 })
	}
	require.NoError(t, e.Shutdown(t.Context()))
	assert.Empty(t, loki.delivered())

	for _, tenant := range tenants {
		loki.answer(tenant, 0)
	}
	e = start()
	want := map[string][]string{
		"a": {"one of a"}, "b": {"one of b", "two of b"}, "": {"one of "}, "odd!(*)": {"one of odd!(*)"}, long: {"one of " + long},
	}
	eventually(t, func() bool { return maps.EqualFunc(want, loki.delivered(), slices.Equal[[]string]) })
	require.NoError(t, e.Shutdown(t.Context()))
}

// A tenant that cannot be remembered takes nothing: its lines would be forgotten on disk.
func TestTenantNotRemembered(t *testing.T) {
	loki := newTenantsLoki(t, map[string]int{})
	host := &disk{}
	e := newExporter(t, loki.URL, nil, func(c *Config) {
		c.Tenant.Attribute = "team"
		c.QueueConfig.Get().StorageID = &diskID
	})
	require.NoError(t, e.Start(t.Context(), host))
	host.mu.Lock()
	host.broken = errors.New("no space left on device")
	host.mu.Unlock()
	require.EqualError(t, e.ConsumeLogs(t.Context(), tenantLines("one", "a")), `remember tenant "a": no space left on device`)
	require.NoError(t, e.Shutdown(t.Context()))
}

func TestStartFails(t *testing.T) {
	e := newExporter(t, "http://localhost:1", nil, func(c *Config) { c.QueueConfig.Get().StorageID = &diskID })
	err := e.Start(t.Context(), componenttest.NewNopHost())
	require.EqualError(t, err, "open the list of tenants: `sending_queue::storage`: \"disk\" is no storage extension that the service has")
	require.NoError(t, e.Shutdown(t.Context()))
}

// Lines that wait on disk are sent for the tenant that they are of, whatever the configuration says by then. Those that
// have none get the one that was configured since.
func TestTenantSettingChanges(t *testing.T) {
	value := func(tenant string) func(*Config) { return func(c *Config) { c.Tenant.Value = tenant } }
	attribute := func(c *Config) { c.Tenant.Attribute = "team" }
	f := func(before, after func(*Config), sent, want string) {
		t.Helper()
		loki := newTenantsLoki(t, map[string]int{"": 401, "team-1": 503, "team-2": 503})
		host := &disk{}
		start := func(change func(*Config)) exporter.Logs {
			e := newExporter(t, loki.URL, nil, func(c *Config) {
				c.QueueConfig.Get().StorageID = &diskID
				change(c)
			})
			require.NoError(t, e.Start(t.Context(), host))
			return e
		}
		e := start(before)
		require.NoError(t, e.ConsumeLogs(t.Context(), tenantLines("one", "team-1")))
		eventually(t, func() bool { return loki.requests(sent) > 0 })
		require.NoError(t, e.Shutdown(t.Context()))
		loki.answer("team-1", 0)
		loki.answer("team-2", 0)
		e = start(after)
		eventually(t, func() bool {
			return maps.EqualFunc(map[string][]string{want: {"one of team-1"}}, loki.delivered(), slices.Equal[[]string])
		})
		require.NoError(t, e.Shutdown(t.Context()))
	}
	f(value("team-1"), value("team-2"), "team-1", "team-1")
	f(value("team-1"), attribute, "team-1", "team-1")
	f(attribute, value("team-1"), "team-1", "team-1")
	f(attribute, value("team-2"), "team-1", "team-1")
	f(value(""), value("team-2"), "", "team-2")
}

// A tenant whose queue cannot be opened keeps nobody else from theirs, neither now nor after a restart.
func TestTenantThatCannotBeOpened(t *testing.T) {
	tel := componenttest.NewTelemetry()
	defer func() { require.NoError(t, tel.Shutdown(context.Background())) }()
	loki := newTenantsLoki(t, map[string]int{})
	host := &disk{closed: map[string]error{"loki/tenant=a logs": errors.New("timeout")}}
	start := func() exporter.Logs {
		e := newExporter(t, loki.URL, tel, func(c *Config) {
			c.Tenant.Attribute = "team"
			c.Tenant.MaxTenants = 2
			c.QueueConfig.Get().StorageID = &diskID
		})
		require.NoError(t, e.Start(t.Context(), host))
		return e
	}
	e := start()
	for range 3 {
		require.EqualError(t, e.ConsumeLogs(t.Context(), tenantLines("one", "a")), `open the queue of tenant "a": timeout`)
	}
	require.NoError(t, e.ConsumeLogs(t.Context(), tenantLines("one", "b")))
	require.NoError(t, e.Shutdown(t.Context()))
	e = start()
	require.NoError(t, e.ConsumeLogs(t.Context(), tenantLines("two", "b")))
	host.mu.Lock()
	host.closed = nil
	host.mu.Unlock()
	require.NoError(t, e.ConsumeLogs(t.Context(), tenantLines("three", "a")))
	want := map[string][]string{"a": {"three of a"}, "b": {"one of b", "two of b"}}
	eventually(t, func() bool { return maps.EqualFunc(want, loki.delivered(), slices.Equal[[]string]) })
	require.NoError(t, e.Shutdown(t.Context()))
}

// What is lost is counted also where the sender is told that nothing will be taken, and not where it comes again.
func TestChangesOfRefusedRequests(t *testing.T) {
	tel := componenttest.NewTelemetry()
	defer func() { require.NoError(t, tel.Shutdown(context.Background())) }()
	loki := newTenantsLoki(t, map[string]int{"blocked": 260, "later": 503})
	e := newExporter(t, loki.URL, tel, func(c *Config) {
		c.Tenant.Attribute = "team"
		c.QueueConfig = configoptional.None[exporterhelper.QueueBatchConfig]()
		c.RetryConfig.Enabled = false
		c.Limits.MaxLineSize = 3
	})
	require.NoError(t, e.Start(t.Context(), componenttest.NewNopHost()))
	assert.True(t, consumererror.IsPermanent(e.ConsumeLogs(t.Context(), tenantLines("one", "a", "blocked", "x|y"))))
	err := e.ConsumeLogs(t.Context(), tenantLines("two", "later", "x|y"))
	require.Error(t, err)
	assert.False(t, consumererror.IsPermanent(err))
	require.NoError(t, e.Shutdown(t.Context()))
	assert.Equal(t, map[string]int64{"invalid_tenant": 1, "blocked_ingestion": 1}, by(t, tel, "reason", "otelcol_exporter_loki_refused_lines"))
	assert.Equal(t, map[string]int64{"loki": 2}, by(t, tel, "exporter", "otelcol_exporter_loki_truncated_lines"))
}

// Where client metadata says whose logs they are, hints do not.
func TestHintedTenant(t *testing.T) {
	f := func(change func(*Config), broken bool, want string) {
		t.Helper()
		loki := newTenantsLoki(t, map[string]int{})
		e := newExporter(t, loki.URL, nil, change)
		require.NoError(t, e.Start(t.Context(), componenttest.NewNopHost()))
		ld := lines("one")
		attrs := ld.ResourceLogs().At(0).Resource().Attributes()
		attrs.PutStr("loki.tenant", "owner")
		attrs.PutStr("loki.format", "raw")
		attrs.PutStr("owner", "hinted")
		if broken {
			attrs.PutStr("loki.format", "none that there is")
		}
		ctx := client.NewContext(t.Context(), client.Info{Metadata: client.NewMetadata(map[string][]string{"tenant": {"header"}})})
		require.NoError(t, e.ConsumeLogs(ctx, ld))
		eventually(t, func() bool {
			return maps.EqualFunc(map[string][]string{want: {"one"}}, loki.delivered(), slices.Equal[[]string])
		})
		require.NoError(t, e.Shutdown(t.Context()))
	}
	none := func(*Config) {}
	value := func(c *Config) { c.Tenant.Value = "configured" }
	metadataKey := func(c *Config) { c.Tenant.MetadataKey = "tenant" }
	off := func(c *Config) {
		value(c)
		c.Hints = false
	}
	f(none, false, "hinted")
	f(none, true, "hinted")
	f(value, false, "hinted")
	f(value, true, "hinted")
	f(metadataKey, false, "header")
	f(metadataKey, true, "header")
	f(off, false, "configured")
}

// The client metadata by which the Collector keeps batches apart comes back from disk with them: extensions make headers
// of it.
func TestMetadataOnDisk(t *testing.T) {
	r := &request{batch: new(lokipush.Batch)}
	ctx := client.NewContext(t.Context(), client.Info{Metadata: client.NewMetadata(map[string][]string{
		"X-Team": {"a", "b"}, "Authorization": {"hunter2"},
	})})
	encoding := requestEncoding{[]string{"x-team", "x-other"}, false, func(error) {}}
	data, err := encoding.Marshal(ctx, r)
	require.NoError(t, err)
	assert.NotContains(t, string(data), "hunter2")
	back, _, err := encoding.Unmarshal(data)
	require.NoError(t, err)
	assert.Equal(t, []string{"a", "b"}, client.FromContext(back).Metadata.Get("X-Team"))
	for n := range data {
		_, _, err := encoding.Unmarshal(data[:n])
		require.Error(t, err)
	}
}

func TestLaneID(t *testing.T) {
	loki, named := component.MustNewID("loki"), component.MustNewIDWithName("loki", "eu")
	assert.Equal(t, "loki/tenant=team-1", laneID(loki, "team-1").String())
	assert.Equal(t, "loki/eu/tenant=team-1", laneID(named, "team-1").String())
	assert.Equal(t, "loki/tenant-sha256="+fmt.Sprintf("%x", [32]byte{0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55}), laneID(loki, "").String())
}
