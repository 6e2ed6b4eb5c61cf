// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package cloudwatch

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var start = time.Date(2026, 9, 1, 12, 0, 0, 250e6, time.UTC)

func TestGenerate(t *testing.T) {
	source := Source{LogGroup: "/aws/lambda/a", Start: start, Step: 3 * time.Millisecond, Events: 1000, Seed: 7}
	m := Generate(source)
	assert.Equal(t, m, Generate(source), "equal sources give equal messages")

	other := source
	other.Seed++
	assert.NotEqual(t, m, Generate(other))

	ids, bytes := map[string]bool{}, 0
	for i, e := range append(m.LogEvents, Generate(other).LogEvents...) {
		assert.Regexp(t, `^[0-9]{56}$`, e.ID)
		assert.False(t, ids[e.ID], "id of event %d repeats", i)
		ids[e.ID] = true
		bytes += len(e.Message)
	}
	assert.InDelta(t, lineLength, bytes/len(ids), 8, "mean length of a line")
	assert.Equal(t, start.Add(999*3*time.Millisecond), m.LogEvents[999].Time())
	assert.Regexp(t, `^2026-09-01T12:00:00\.250Z\t[0-9a-f-]{36}\t[A-Z]+\t.*"\n$`, m.LogEvents[0].Message)

	source.Step, source.Events = 0, 2
	m = Generate(source)
	assert.Equal(t, m.LogEvents[0].Timestamp, m.LogEvents[1].Timestamp)
	assert.NotEqual(t, m.LogEvents[0].ID, m.LogEvents[1].ID)
}

func TestLambdaEvent(t *testing.T) {
	m := Generate(Source{Start: start, Events: 3})
	m.LogEvents[0].Message = `<a href="b">&</a>`
	got, err := ParseLambdaEvent(m.LambdaEvent())
	require.NoError(t, err)
	assert.Equal(t, m, got)
	assert.Contains(t, string(m.JSON()), `"message":"<a href=\"b\">&</a>"`, "written as AWS does, without HTML escapes")

	var keys map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(m.JSON(), &keys))
	for _, key := range []string{"messageType", "owner", "logGroup", "logStream", "subscriptionFilters", "logEvents"} {
		assert.Contains(t, keys, key)
	}
}

func TestParseLambdaEventErrors(t *testing.T) {
	f := func(event, wantErr string) {
		t.Helper()
		_, err := ParseLambdaEvent([]byte(event))
		assert.ErrorContains(t, err, wantErr)
	}
	f(`{"Records":[]}`, "no event of a CloudWatch Logs subscription")
	f(`[]`, "event: json: cannot unmarshal")
	f(`{"awslogs":{"data":"AAAA"}}`, "document of the event: unexpected EOF")
}
