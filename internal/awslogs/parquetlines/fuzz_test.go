// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package parquetlines

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/internal/decompress"
)

var errBudget = errors.New("more memory than there is")

// readSome reads the first lines of a file, and checks that it allocates about what Reserve was asked for.
func readSome(tb testing.TB, file []byte, budget int64) (lines int64, err error) {
	tb.Helper()
	var reserved int64
	opts := Options{MaxRowBytes: 1 << 16, MaxPageBytes: 1 << 20, Reserve: func(n int64) error {
		if reserved+n > budget {
			return errBudget
		}
		reserved += n
		return nil
	}}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r, err := NewReader(bytes.NewReader(file), int64(len(file)), opts)
	if err == nil {
		lines, err = io.Copy(io.Discard, io.LimitReader(r, 4<<20))
	}
	runtime.ReadMemStats(&after)
	// Besides, there are the schema, errors, headers of pages, and what others in this process do.
	const others = 4 << 20
	assert.LessOrEqual(tb, int64(after.TotalAlloc-before.TotalAlloc), 2*reserved+others)
	return lines, err
}

// FuzzReader: whatever comes in, no panic, no memory that was not asked for, and no error of another kind.
func FuzzReader(f *testing.F) {
	for _, codec := range []compress.Codec{&parquet.Uncompressed, &parquet.Snappy, &parquet.Gzip, &parquet.Zstd} {
		for version := 1; version <= 2; version++ {
			f.Add(write(f, flows(10), 6, parquet.Compression(codec), parquet.DataPageVersion(version), parquet.DataPageStatistics(false)))
		}
	}
	for _, h := range hostile {
		f.Add(h.file(f))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		_, err := readSome(t, file, 8<<20)
		if err != nil && !errors.Is(err, errBudget) && !errors.Is(err, decompress.ErrCorrupt) &&
			!errors.Is(err, decompress.ErrTooLarge) && !errors.Is(err, errors.ErrUnsupported) {
			t.Fatal(err)
		}
		require.NotErrorIs(t, err, io.EOF)
	})
}

// hostileFile is a file of one column and one row group, whose pages are given.
type hostileFile struct {
	kind   format.Type
	codec  format.CompressionCodec
	rows   int64
	pages  []hostilePage
	change func(*format.FileMetaData)
	err    error
	lines  int64
}

type hostilePage struct {
	header format.PageHeader
	body   []byte
}

func (h hostileFile) file(tb testing.TB) []byte {
	tb.Helper()
	file := []byte(magic)
	for _, p := range h.pages {
		header, err := thrift.Marshal(new(thrift.CompactProtocol), &p.header)
		require.NoError(tb, err)
		file = append(append(file, header...), p.body...)
	}
	m := format.FileMetaData{
		Version: 1,
		Schema: []format.SchemaElement{
			{Name: "row", NumChildren: thrift.New(int32(1))},
			{Name: "a", Type: thrift.New(h.kind), RepetitionType: thrift.New(format.Required)},
		},
		NumRows: h.rows,
		RowGroups: []format.RowGroup{{NumRows: h.rows, Columns: []format.ColumnChunk{{MetaData: format.ColumnMetaData{
			Type: h.kind, Codec: h.codec, NumValues: h.rows, DataPageOffset: int64(len(magic)), TotalCompressedSize: int64(len(file) - len(magic)),
		}}}}},
	}
	if h.change != nil {
		h.change(&m)
	}
	footer, err := thrift.Marshal(new(thrift.CompactProtocol), &m)
	require.NoError(tb, err)
	return withFooter(file, footer)
}

func withFooter(file, footer []byte) []byte {
	file = append(file, footer...)
	return append(binary.LittleEndian.AppendUint32(file, uint32(len(footer))), magic...)
}

// page is the header of a data page that states numbers of its own.
func page(uncompressedBytes, compressedBytes, values int32, encoding format.Encoding) format.PageHeader {
	return format.PageHeader{
		Type: format.DataPage, UncompressedPageSize: uncompressedBytes, CompressedPageSize: compressedBytes,
		DataPageHeader: thrift.New(format.DataPageHeader{NumValues: values, Encoding: encoding, DefinitionLevelEncoding: format.RLE, RepetitionLevelEncoding: format.RLE}),
	}
}

func dictionaryHeader(n, values int32) format.PageHeader {
	return format.PageHeader{
		Type: format.DictionaryPage, UncompressedPageSize: n, CompressedPageSize: n,
		DictionaryPageHeader: thrift.New(format.DictionaryPageHeader{NumValues: values, Encoding: format.Plain}),
	}
}

const most = 1<<31 - 1

var (
	oneString = []byte{1, 0, 0, 0, 'x'}
	// manyFirsts is a width of one bit, and a run of as many zeros as there can be.
	manyFirsts = append([]byte{1}, append(binary.AppendUvarint(nil, most<<1), 0)...)
)

var hostile = map[string]hostileFile{
	"a page larger than allowed": {
		kind: format.ByteArray, codec: format.Gzip, rows: 1, err: decompress.ErrTooLarge,
		pages: []hostilePage{{page(most, 5, 1, format.Plain), oneString}},
	},
	"a page that gzip cannot hold": {
		kind: format.ByteArray, codec: format.Gzip, rows: 1, err: decompress.ErrCorrupt,
		pages: []hostilePage{{page(1<<20, 5, 1, format.Plain), oneString}},
	},
	"a page that snappy cannot hold": {
		kind: format.ByteArray, codec: format.Snappy, rows: 1, err: decompress.ErrCorrupt,
		pages: []hostilePage{{page(1<<20, 5, 1, format.Plain), oneString}},
	},
	"a page behind the end": {
		kind: format.ByteArray, rows: 1, err: decompress.ErrCorrupt,
		pages: []hostilePage{{page(1<<20, 1<<20, 1, format.Plain), oneString}},
	},
	"a page of negative size": {
		kind: format.ByteArray, rows: 1, err: decompress.ErrCorrupt,
		pages: []hostilePage{{page(5, -1, 1, format.Plain), oneString}},
	},
	"more values than there are": {
		kind: format.Int32, rows: most, err: decompress.ErrCorrupt, lines: int64(len("{\"a\":7}\n")),
		pages: []hostilePage{{page(4, 4, most, format.Plain), []byte{7, 0, 0, 0}}},
	},
	"a string longer than the page": {
		kind: format.ByteArray, rows: 1, err: decompress.ErrCorrupt,
		pages: []hostilePage{{page(5, 5, 1, format.Plain), []byte{0xff, 0xff, 0xff, 0xff, 'x'}}},
	},
	"a dictionary of more values than bytes": {
		kind: format.ByteArray, rows: 1, err: decompress.ErrCorrupt,
		pages: []hostilePage{{dictionaryHeader(5, most), oneString}},
	},
	"a dictionary that lacks values": {
		kind: format.ByteArray, rows: 1, err: decompress.ErrCorrupt,
		pages: []hostilePage{{dictionaryHeader(10, 2), append([]byte{6, 0, 0, 0, 'x'}, oneString...)}},
	},
	"two dictionaries": {
		kind: format.ByteArray, rows: 1, err: decompress.ErrCorrupt,
		pages: []hostilePage{{dictionaryHeader(5, 1), oneString}, {dictionaryHeader(5, 1), oneString}},
	},
	"an index behind the dictionary": {
		kind: format.ByteArray, rows: 1, err: decompress.ErrCorrupt,
		pages: []hostilePage{{dictionaryHeader(5, 1), oneString}, {page(3, 3, 1, format.RLEDictionary), []byte{1, 2, 1}}},
	},
	"indices without a dictionary": {
		kind: format.ByteArray, rows: 1, err: decompress.ErrCorrupt,
		pages: []hostilePage{{page(3, 3, 1, format.RLEDictionary), []byte{1, 2, 0}}},
	},
	"indices of 33 bits": {
		kind: format.ByteArray, rows: 1, err: decompress.ErrCorrupt,
		pages: []hostilePage{{dictionaryHeader(5, 1), oneString}, {page(3, 3, 1, format.RLEDictionary), []byte{33, 2, 0}}},
	},
	// That is no lie, but no log either.
	"rows without number in a few bytes": {
		kind: format.ByteArray, rows: most, err: decompress.ErrTooLarge, lines: 136190,
		pages: []hostilePage{{dictionaryHeader(5, 1), oneString}, {page(int32(len(manyFirsts)), int32(len(manyFirsts)), most, format.RLEDictionary), manyFirsts}},
	},
	"an empty row group, somewhere": {
		kind: format.Int32, rows: 1, lines: int64(len("{\"a\":7}\n")),
		pages: []hostilePage{{page(4, 4, 1, format.Plain), []byte{7, 0, 0, 0}}},
		change: func(m *format.FileMetaData) {
			empty := m.RowGroups[0]
			empty.NumRows = 0
			empty.Columns = []format.ColumnChunk{{MetaData: format.ColumnMetaData{Type: format.Int32, DataPageOffset: 1 << 40}}}
			m.RowGroups = []format.RowGroup{empty, m.RowGroups[0], empty}
		},
	},
	"repetition levels that say nothing": {
		kind: format.Int32, rows: 1, lines: int64(len("{\"a\":7}\n")),
		pages: []hostilePage{{format.PageHeader{
			Type: format.DataPageV2, UncompressedPageSize: 6, CompressedPageSize: 6,
			DataPageHeaderV2: thrift.New(format.DataPageHeaderV2{NumValues: 1, NumRows: 1, RepetitionLevelsByteLength: 2}),
		}, []byte{2, 0, 7, 0, 0, 0}}},
	},
	"repetition levels of negative size": {
		kind: format.Int32, rows: 1, err: decompress.ErrCorrupt,
		pages: []hostilePage{{format.PageHeader{
			Type: format.DataPageV2, UncompressedPageSize: 6, CompressedPageSize: 6,
			DataPageHeaderV2: thrift.New(format.DataPageHeaderV2{NumValues: 1, NumRows: 1, RepetitionLevelsByteLength: -2, DefinitionLevelsByteLength: 4}),
		}, []byte{2, 0, 7, 0, 0, 0}}},
	},
	"row groups with the same pages": {
		kind: format.Int32, rows: 1, err: decompress.ErrCorrupt,
		pages: []hostilePage{{page(4, 4, 1, format.Plain), []byte{7, 0, 0, 0}}},
		change: func(m *format.FileMetaData) {
			m.NumRows = 2
			m.RowGroups = append(m.RowGroups, m.RowGroups[0])
		},
	},
	"fewer rows than the file is said to have": {
		kind: format.Int32, rows: 1, err: decompress.ErrCorrupt,
		pages:  []hostilePage{{page(4, 4, 1, format.Plain), []byte{7, 0, 0, 0}}},
		change: func(m *format.FileMetaData) { m.NumRows = 2 },
	},
	"too many columns": {
		kind: format.Int32, err: errors.ErrUnsupported,
		change: func(m *format.FileMetaData) {
			for range maxColumns {
				m.Schema = append(m.Schema, m.Schema[1])
			}
		},
	},
	"a long name": {
		kind: format.Int32, err: errors.ErrUnsupported,
		change: func(m *format.FileMetaData) { m.Schema[1].Name = string(make([]byte, maxNameBytes+1)) },
	},
	"a value of two gigabytes": {
		kind: format.FixedLenByteArray, rows: 1, err: decompress.ErrCorrupt,
		pages:  []hostilePage{{page(4, 4, 1, format.Plain), []byte{7, 0, 0, 0}}},
		change: func(m *format.FileMetaData) { m.Schema[1].TypeLength = thrift.New(int32(most)) },
	},
	"no columns": {
		kind: format.Int32, rows: most, err: decompress.ErrCorrupt,
		change: func(m *format.FileMetaData) {
			m.Schema, m.RowGroups[0].Columns = m.Schema[:1], nil
			m.Schema[0].NumChildren = thrift.New(int32(0))
		},
	},
}

func TestHostile(t *testing.T) {
	for name, h := range hostile {
		t.Run(name, func(t *testing.T) {
			lines, err := readSome(t, h.file(t), 1<<20)
			if h.err == nil {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, h.err)
			}
			assert.Equal(t, h.lines, lines)
		})
	}
}

// A list of Thrift's states a number of elements in a few bytes, and nests as deep as it has bytes.
func TestHostileThrift(t *testing.T) {
	deep := bytes.Repeat([]byte{0x1c}, 1<<20)
	for name, footer := range map[string][]byte{
		"long list of structs": append([]byte{0x15, 0x02, 0x19, 0xfc}, binary.AppendUvarint(nil, most)...),
		"long list of numbers": append([]byte{0x15, 0x02, 0x59, 0xf5}, binary.AppendUvarint(nil, 1<<63)...),
		"long map":             append([]byte{0x7b}, append(binary.AppendUvarint(nil, most), 0x11)...),
		"long string":          append([]byte{0x68}, binary.AppendUvarint(nil, 1<<63)...),
		"long number":          append([]byte{0x16}, bytes.Repeat([]byte{0xff}, 100)...),
		"nested structs":       append([]byte{0x7c}, deep...),
		"nested lists":         append([]byte{0x79}, bytes.Repeat([]byte{0x19}, 1<<20)...),
		"unknown type":         {0x7e},
		"nothing":              {},
	} {
		lines, err := readSome(t, withFooter([]byte(magic), footer), 2<<20)
		require.ErrorIs(t, err, decompress.ErrCorrupt, name)
		assert.Zero(t, lines)
	}
}
