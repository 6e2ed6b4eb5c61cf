// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package awslogs

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/internal/decompress"
)

// parquetFlow is what a flow log may have. AWS turns hyphens into underscores.
type parquetFlow struct {
	Version   int32   `parquet:"version"`
	SrcAddr   *string `parquet:"srcaddr,optional,dict"`
	Start     int64   `parquet:"start"`
	LogStatus string  `parquet:"log_status,dict"`
}

func parquetFile(tb testing.TB, rows int, options ...parquet.WriterOption) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[parquetFlow](&b, append(options, parquet.Compression(&parquet.Gzip), parquet.DefaultEncodingFor(parquet.ByteArray, &parquet.Plain))...)
	for i := range rows {
		row := parquetFlow{Version: 2, Start: 1418530010 + int64(i), LogStatus: "NODATA"}
		if i%2 == 0 {
			row.SrcAddr, row.LogStatus = new(fmt.Sprintf("10.0.0.%d", i%256)), "OK"
		}
		_, err := w.Write([]parquetFlow{row})
		require.NoError(tb, err)
	}
	require.NoError(tb, w.Close())
	return b.Bytes()
}

func parquetObject() Object {
	object := sampleObject("vpc_flow")
	object.Key = strings.TrimSuffix(object.Key, ".log.gz") + ".log.parquet"
	return object
}

func TestObjectParquet(t *testing.T) {
	const rows = 2*maxPieceRecords + 7
	opts := testOptions()
	reserved := int64(0)
	opts.Reserve = func(n int64) error { reserved += n; return nil }
	body := parquetFile(t, rows)
	pieces, err := readObject(bytes.NewReader(body), parquetObject(), opts)
	require.NoError(t, err)
	require.Len(t, pieces, 3)
	assert.Greater(t, reserved, int64(maxPieceBytes+maxPieceRecords*recordMemory+len(body)))
	lines := numbered(t, pieces)
	require.Len(t, lines, rows)
	assert.Equal(t, `1 {"version":2,"srcaddr":"10.0.0.0","start":1418530010,"log_status":"OK"}`, lines[0])
	assert.Equal(t, `2 {"version":2,"srcaddr":null,"start":1418530011,"log_status":"NODATA"}`, lines[1])
	resource := pieces[0].Logs.ResourceLogs().At(0)
	logType, _ := resource.Resource().Attributes().Get(AttributeLogType)
	assert.Equal(t, "vpc_flow", logType.Str())
	assert.Equal(t, int64(1418530010), resource.ScopeLogs().At(0).LogRecords().At(0).Timestamp().AsTime().Unix())

	object := parquetObject()
	object.Skip = maxPieceRecords + 5
	left, err := readObject(bytes.NewReader(body), object, opts)
	require.NoError(t, err)
	assert.Equal(t, lines[object.Skip:], numbered(t, left))
	assert.Equal(t, pieces[2].Documents, left[1].Documents)
}

// A file that cannot be read is refused by name, and its bytes are never lines.
func TestObjectParquetRefused(t *testing.T) {
	body := parquetFile(t, 10)
	for name, tt := range map[string]struct {
		body []byte
		err  string
		is   error
	}{
		"cut short":   {body[:len(body)-1], "line 1: ", decompress.ErrCorrupt},
		"no Parquet":  {[]byte("some text\n"), "line 1: ", decompress.ErrCorrupt},
		"too long":    {append(bytes.Clone(body), make([]byte, testOptions().MaxDecodedBytes)...), "line 1: input too large: the Parquet file is longer than", decompress.ErrTooLarge},
		"not known":   {parquetFile(t, 10, parquet.DefaultEncodingFor(parquet.Int64, &parquet.DeltaBinaryPacked)), `"start"`, errors.ErrUnsupported},
		"broken gzip": {compress(t, string(body))[:200], "line 1: ", decompress.ErrCorrupt},
	} {
		pieces, err := readObject(bytes.NewReader(tt.body), parquetObject(), testOptions())
		require.ErrorIs(t, err, tt.is, name)
		require.ErrorContains(t, err, tt.err, name)
		assert.Empty(t, pieces, name)
	}
}

// The two flow logs are told apart by their columns.
func TestObjectParquetTransitGateway(t *testing.T) {
	type row struct {
		Version      int32  `parquet:"version"`
		ResourceType string `parquet:"resource_type"`
		Start        int64  `parquet:"start"`
	}
	var b bytes.Buffer
	w := parquet.NewGenericWriter[row](&b, parquet.DefaultEncodingFor(parquet.ByteArray, &parquet.Plain))
	_, err := w.Write([]row{{6, "TransitGateway", 1418530010}})
	require.NoError(t, err)
	require.NoError(t, w.Close())
	pieces, err := readObject(bytes.NewReader(b.Bytes()), parquetObject(), testOptions())
	require.NoError(t, err)
	require.Len(t, pieces, 1)
	logType, _ := pieces[0].Logs.ResourceLogs().At(0).Resource().Attributes().Get(AttributeLogType)
	assert.Equal(t, "tgw_flow", logType.Str())
}
