// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package parquetlines

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/awsloki/awsloki/internal/decompress"
)

var usual = Options{MaxRowBytes: 1 << 20, MaxPageBytes: 16 << 20}

// flow is a VPC flow log of the default format.
// https://docs.aws.amazon.com/vpc/latest/userguide/flow-logs-s3-path.html
type flow struct {
	Version     *int32  `parquet:"version,optional" json:"version"`
	AccountID   *string `parquet:"account_id,optional,dict" json:"account_id"`
	InterfaceID *string `parquet:"interface_id,optional,dict" json:"interface_id"`
	SrcAddr     *string `parquet:"srcaddr,optional,dict" json:"srcaddr"`
	DstAddr     *string `parquet:"dstaddr,optional,dict" json:"dstaddr"`
	SrcPort     *int32  `parquet:"srcport,optional,dict" json:"srcport"`
	DstPort     *int32  `parquet:"dstport,optional,dict" json:"dstport"`
	Protocol    *int32  `parquet:"protocol,optional,dict" json:"protocol"`
	Packets     *int64  `parquet:"packets,optional,dict" json:"packets"`
	Bytes       *int64  `parquet:"bytes,optional" json:"bytes"`
	Start       *int64  `parquet:"start,optional,dict" json:"start"`
	End         *int64  `parquet:"end,optional,dict" json:"end"`
	Action      *string `parquet:"action,optional" json:"action"`
	LogStatus   string  `parquet:"log_status,dict" json:"log_status"`
}

// flows are n records of two interfaces, every seventh without data.
func flows(n int) []flow {
	rows := make([]flow, n)
	for i := range rows {
		start := int64(1418530010 + i/20)
		rows[i] = flow{
			Version: new(int32(2)), AccountID: new("123456789010"), InterfaceID: new("eni-1235b8ca12345678" + string('0'+rune(i%2))),
			Start: new(start), End: new(start + 60), LogStatus: "NODATA",
		}
		if i%7 == 6 {
			continue
		}
		r := &rows[i]
		r.SrcAddr, r.DstAddr = new(fmt.Sprintf("172.31.%d.%d", i/256%256, i%256)), new("172.31.16.21")
		r.SrcPort, r.DstPort, r.Protocol = new(int32(1024+i*31%50000)), new(int32(22)), new(int32(6))
		r.Packets, r.Bytes, r.Action, r.LogStatus = new(int64(20+i%5)), new(int64(4249+i)), new("ACCEPT"), "OK"
	}
	return rows
}

// linesOf is what encoding/json has for rows.
func linesOf[T any](tb testing.TB, rows []T) string {
	tb.Helper()
	var b strings.Builder
	for _, row := range rows {
		line, err := json.Marshal(row)
		require.NoError(tb, err)
		b.Write(line)
		b.WriteByte('\n')
	}
	return b.String()
}

// write has rows in a file with so many of them in each row group.
func write[T any](tb testing.TB, rows []T, perGroup int, options ...parquet.WriterOption) []byte {
	tb.Helper()
	var b bytes.Buffer
	// As AWS writes: what has no dictionary is plain.
	options = append(options, parquet.DefaultEncodingFor(parquet.ByteArray, &parquet.Plain))
	w := parquet.NewGenericWriter[T](&b, options...)
	for len(rows) > 0 {
		n := min(perGroup, len(rows))
		_, err := w.Write(rows[:n])
		require.NoError(tb, err)
		require.NoError(tb, w.Flush())
		rows = rows[n:]
	}
	require.NoError(tb, w.Close())
	return b.Bytes()
}

// read returns the lines of a file up to its end or to an error.
func read(file []byte, opts Options) (string, error) {
	r, err := NewReader(bytes.NewReader(file), int64(len(file)), opts)
	if err != nil {
		return "", err
	}
	lines, err := io.ReadAll(r)
	return string(lines), err
}

// requireLines is require.Equal for many lines.
func requireLines(tb testing.TB, want, got string) {
	tb.Helper()
	if want != got {
		tb.Fatalf("%d bytes instead of %d: %.1000s", len(got), len(want), got)
	}
}

func TestLines(t *testing.T) {
	// The records of https://docs.aws.amazon.com/vpc/latest/userguide/flow-logs-records-examples.html
	rows := []flow{
		{
			new(int32(2)), new("123456789010"), new("eni-1235b8ca123456789"), new("172.31.16.139"), new("172.31.16.21"),
			new(int32(20641)), new(int32(22)), new(int32(6)), new(int64(20)), new(int64(4249)),
			new(int64(1418530010)), new(int64(1418530070)), new("ACCEPT"), "OK",
		},
		{
			Version: new(int32(2)), AccountID: new("123456789010"), InterfaceID: new("eni-1235b8ca123456789"),
			Start: new(int64(1431280876)), End: new(int64(1431280934)), LogStatus: "NODATA",
		},
	}
	want := `{"version":2,"account_id":"123456789010","interface_id":"eni-1235b8ca123456789","srcaddr":"172.31.16.139",` +
		`"dstaddr":"172.31.16.21","srcport":20641,"dstport":22,"protocol":6,"packets":20,"bytes":4249,"start":1418530010,` +
		`"end":1418530070,"action":"ACCEPT","log_status":"OK"}
{"version":2,"account_id":"123456789010","interface_id":"eni-1235b8ca123456789","srcaddr":null,"dstaddr":null,"srcport":null,` +
		`"dstport":null,"protocol":null,"packets":null,"bytes":null,"start":1431280876,"end":1431280934,"action":null,"log_status":"NODATA"}
`
	got, err := read(write(t, rows, 2, parquet.Compression(&parquet.Gzip)), usual)
	require.NoError(t, err)
	assert.Equal(t, want, got)
}

// Whatever the codec, the version of the pages and their size, and how many row groups there are: the same lines.
func TestLayouts(t *testing.T) {
	rows := flows(1000)
	want := linesOf(t, rows)
	for name, codec := range map[string]compress.Codec{
		"uncompressed": &parquet.Uncompressed, "snappy": &parquet.Snappy, "gzip": &parquet.Gzip, "zstd": &parquet.Zstd,
	} {
		for _, version := range []int{1, 2} {
			for _, perGroup := range []int{100, 333, 1000} {
				for _, pageBytes := range []int{200, 4 << 10, 1 << 20} {
					t.Run(fmt.Sprintf("%s, version %d, %d rows, %d bytes", name, version, perGroup, pageBytes), func(t *testing.T) {
						file := write(t, rows, perGroup, parquet.Compression(codec), parquet.DataPageVersion(version), parquet.PageBufferSize(pageBytes))
						got, err := read(file, usual)
						require.NoError(t, err)
						requireLines(t, want, got)
					})
				}
			}
		}
	}
}

// What encoding/json makes of the same values is the same, but for times, other bytes and infinities.
func TestTypes(t *testing.T) {
	type row struct {
		Bool    bool             `parquet:"bool"`
		Flag    *bool            `parquet:"flag,optional"`
		I8      int8             `parquet:"i8"`
		U8      uint8            `parquet:"u8"`
		U32     uint32           `parquet:"u32"`
		U64     uint64           `parquet:"u64,dict"`
		F32     float32          `parquet:"f32"`
		F64     float64          `parquet:"f64,dict"`
		Bytes   []byte           `parquet:"bytes"`
		Fixed   [3]byte          `parquet:"fixed"`
		FixedD  [1]byte          `parquet:"fixed_d,dict"`
		JSON    string           `parquet:"json,json"`
		Enum    string           `parquet:"enum,enum"`
		Date    int32            `parquet:"date,date"`
		Millis  time.Time        `parquet:"millis,timestamp(millisecond)"`
		Micros  time.Time        `parquet:"micros,timestamp(microsecond:local)"`
		Nanos   time.Time        `parquet:"nanos,timestamp(nanosecond)"`
		Int96   deprecated.Int96 `parquet:"int96,dict"`
		Strange string           `parquet:"a \"name\"\\"`
	}
	at := time.Date(2025, 7, 4, 11, 57, 55, 836123456, time.UTC)
	day := uint32(at.Unix()/86400 + 2440588)
	ofDay := uint64(at.UnixNano() % (86400 * 1e9))
	rows := []row{
		{
			true, new(false), math.MinInt8, math.MaxUint8, math.MaxUint32, math.MaxUint64, 1.5, 1e-7, []byte("a\xffb\"\\\n\t\r\x01\x7fé\u2028"),
			[3]byte{'a', 0, 'c'},
			[1]byte{'x'},
			`{"a":1}`, "ON", 20273, at, at, at,
			deprecated.Int96{uint32(ofDay), uint32(ofDay >> 32), day},
			"1",
		},
		{
			F32: float32(math.Inf(-1)), F64: math.NaN(), Date: -1, Millis: time.UnixMilli(0), Micros: time.UnixMicro(-1), Nanos: time.Unix(0, 0),
			Int96: deprecated.Int96{0, 0, 2440588},
		},
		{F32: 3.4e38, F64: 1e20, Flag: new(true), Date: math.MaxInt32, Millis: time.UnixMilli(math.MaxInt64), Micros: at, Nanos: at},
	}
	want := `{"bool":true,"flag":false,"i8":-128,"u8":255,"u32":4294967295,"u64":18446744073709551615,"f32":1.5,"f64":1e-07,` +
		`"bytes":"a` + "\ufffd" + `b\"\\\n\t\r\u0001` + "\x7fé\u2028" + `","fixed":"a\u0000c","fixed_d":"x","json":"{\"a\":1}","enum":"ON","date":"2025-07-04",` +
		`"millis":"2025-07-04T11:57:55.836Z","micros":"2025-07-04T11:57:55.836123Z","nanos":"2025-07-04T11:57:55.836123456Z",` +
		`"int96":"2025-07-04T11:57:55.836123456Z","a \"name\"\\":"1"}
{"bool":false,"flag":null,"i8":0,"u8":0,"u32":0,"u64":0,"f32":"-Infinity","f64":"NaN","bytes":"","fixed":"\u0000\u0000\u0000","fixed_d":"\u0000",` +
		`"json":"","enum":"","date":"1969-12-31","millis":"1970-01-01T00:00:00Z","micros":"1969-12-31T23:59:59.999999Z","nanos":"1970-01-01T00:00:00Z",` +
		`"int96":"1970-01-01T00:00:00Z","a \"name\"\\":""}
{"bool":false,"flag":true,"i8":0,"u8":0,"u32":0,"u64":0,"f32":340000000000000000000000000000000000000,"f64":100000000000000000000,"bytes":"",` +
		`"fixed":"\u0000\u0000\u0000","fixed_d":"\u0000","json":"","enum":"","date":"5881580-07-11","millis":"292278994-08-17T07:12:55.807Z",` +
		`"micros":"2025-07-04T11:57:55.836123Z","nanos":"2025-07-04T11:57:55.836123456Z","int96":"-4713-11-24T00:00:00Z","a \"name\"\\":""}
`
	want = strings.ReplaceAll(want, "340000000000000000000000000000000000000", "3.4e+38")
	for _, version := range []int{1, 2} {
		file := write(t, rows, 3, parquet.DataPageVersion(version))
		got, err := read(file, usual)
		require.NoError(t, err)
		assert.Equal(t, want, got)
		for line := range strings.Lines(got) {
			assert.True(t, json.Valid([]byte(line)), line)
		}
	}
}

// A file without rows has no lines.
func TestEmpty(t *testing.T) {
	got, err := read(write(t, []flow{}, 1), usual)
	require.NoError(t, err)
	assert.Empty(t, got)
}

// visit is a part of CloudFront's standard log v2: strings, and few of them.
// https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/standard-logging.html
type visit struct {
	Date   string  `parquet:"date,dict" json:"date"`
	Method *string `parquet:"cs_method,optional,dict" json:"cs_method"`
	Path   *string `parquet:"cs_uri_stem,optional" json:"cs_uri_stem"`
	Status int32   `parquet:"sc_status" json:"sc_status"`
}

func visits(n int) []visit {
	rows := make([]visit, n)
	for i := range rows {
		rows[i] = visit{Date: "2019-12-04", Method: new("GET"), Path: new(fmt.Sprintf("/index%d.html", i)), Status: 200}
		if i%3 == 0 {
			rows[i].Method, rows[i].Path = nil, nil
		}
	}
	return rows
}

// Wherever a file is cut short, or has lost its beginning or bytes in its middle: an error, and before it nothing that is
// not in the file.
func TestCut(t *testing.T) {
	rows := visits(20)
	want := linesOf(t, rows)
	for _, codec := range []compress.Codec{&parquet.Uncompressed, &parquet.Gzip} {
		file := write(t, rows, 10, parquet.Compression(codec))
		for n := range file {
			for _, part := range [][]byte{file[:n], file[n+1:], append(bytes.Clone(file[:n]), file[n+1:]...)} {
				got, err := read(part, usual)
				if err == nil && len(part) == len(file)-1 && part[0] == 'P' {
					requireLines(t, want, got) // what was lost is of the indices behind the pages, which nobody needs
					continue
				}
				require.Error(t, err, "at %d", n)
				require.NotErrorIs(t, err, io.EOF)
				if len(part) < len(file)-1 {
					require.ErrorIs(t, err, decompress.ErrCorrupt)
				}
				require.True(t, strings.HasPrefix(want, got), "at %d", n)
			}
		}
	}
}

// A byte of a page that is another is seen, by the checksum if by nothing else.
func TestFlipped(t *testing.T) {
	rows := visits(20)
	want := linesOf(t, rows)
	file := write(t, rows, 10)
	var seen int
	for i := range file {
		broken := bytes.Clone(file)
		broken[i] ^= 0x10
		got, err := read(broken, usual)
		if err != nil {
			seen++
			require.True(t, errors.Is(err, decompress.ErrCorrupt) || errors.Is(err, decompress.ErrTooLarge) || errors.Is(err, errors.ErrUnsupported), "%v", err)
			continue
		}
		// Statistics are of no interest here, and neither are names, or what a number is said to mean.
		require.Equal(t, strings.Count(want, "\n"), strings.Count(got, "\n"))
	}
	assert.Greater(t, seen, len(file)/3)
}

func TestUnsupported(t *testing.T) {
	type list struct {
		A string   `parquet:"a"`
		B []string `parquet:"b"`
	}
	type nested struct {
		A string                `parquet:"a"`
		B struct{ C, D string } `parquet:"b"`
	}
	type delta struct {
		A string `parquet:"a"`
		B int64  `parquet:"b,delta"`
	}
	type brotli struct {
		A string `parquet:"a"`
		B string `parquet:"b,brotli"`
	}
	type decimal struct {
		A string `parquet:"a"`
		B int64  `parquet:"b,decimal(2:10)"`
	}
	type uuid struct {
		A string   `parquet:"a"`
		B [16]byte `parquet:"b,uuid"`
	}
	for name, file := range map[string][]byte{
		"list":    write(t, []list{{B: []string{"x"}}}, 1),
		"struct":  write(t, []nested{{}}, 1),
		"delta":   write(t, []delta{{B: 1}}, 1),
		"brotli":  write(t, []brotli{{B: "x"}}, 1),
		"decimal": write(t, []decimal{{}}, 1),
		"uuid":    write(t, []uuid{{}}, 1),
	} {
		_, err := read(file, usual)
		require.ErrorIs(t, err, errors.ErrUnsupported, name)
		require.ErrorContains(t, err, `column "b"`, name)
		require.NotErrorIs(t, err, decompress.ErrCorrupt)
	}
	file := write(t, flows(1), 1)
	_, err := read(append(file[:len(file)-4:len(file)-4], encryptedMagic...), usual)
	require.ErrorIs(t, err, errors.ErrUnsupported)
}

func TestTooLarge(t *testing.T) {
	type row struct {
		A string `parquet:"a"`
		B string `parquet:"b"`
		N int64  `parquet:"n"`
	}
	rows := []row{{"x", "y", 1}, {strings.Repeat("\x01", 20_000), strings.Repeat("y", 10_000), math.MinInt64}}
	want := `{"a":"x","b":"y","n":1}` + "\n" + `{"a":"` + strings.Repeat(`\u0001`, 20_000) + `","b":"` + strings.Repeat("y", 10_000) + `","n":-9223372036854775808}` + "\n"
	longest := int64(len(want) - strings.Index(want, "\n") - 1)
	file := write(t, rows, 2)

	got, err := read(file, Options{MaxRowBytes: longest, MaxPageBytes: 1 << 20})
	require.NoError(t, err)
	assert.Equal(t, want, got)

	for _, limit := range []int64{longest - 1, 120_000, 20_000, 30} {
		got, err = read(file, Options{MaxRowBytes: limit, MaxPageBytes: 1 << 20})
		require.ErrorIs(t, err, decompress.ErrTooLarge)
		require.NotErrorIs(t, err, decompress.ErrCorrupt)
		assert.JSONEq(t, `{"a":"x","b":"y","n":1}`, got, "what is before it")
	}
	_, err = read(file, Options{MaxRowBytes: 1 << 20, MaxPageBytes: 20_000})
	require.ErrorIs(t, err, decompress.ErrTooLarge)
	_, err = read(write(t, rows, 2, parquet.Compression(&parquet.Snappy)), Options{MaxRowBytes: 1 << 20, MaxPageBytes: 20_000})
	require.ErrorIs(t, err, decompress.ErrTooLarge)
}

// Memory is asked for before it is there, and does not depend on how many rows and row groups there are.
func TestReserve(t *testing.T) {
	for _, codec := range []compress.Codec{&parquet.Snappy, &parquet.Gzip, &parquet.Zstd} {
		var reserved [2]int64
		for i, n := range []int{4_000, 20_000} {
			opts := usual
			opts.Reserve = func(bytes int64) error {
				require.Positive(t, bytes)
				reserved[i] += bytes
				return nil
			}
			file := write(t, flows(n), 2000, parquet.Compression(codec), parquet.PageBufferSize(32<<10))
			_, err := read(file, opts)
			require.NoError(t, err)
			reserved[i] -= int64(binary.LittleEndian.Uint32(file[len(file)-8:]))
		}
		assert.Less(t, reserved[1], reserved[0]*11/10, "only the metadata has grown")
		assert.Greater(t, reserved[0], int64(14*2000))
	}
	refused := errors.New("no memory now")
	file := write(t, flows(100), 100, parquet.Compression(&parquet.Gzip))
	for allowed := int64(0); ; allowed += 4000 {
		left := allowed
		opts := usual
		opts.Reserve = func(bytes int64) error {
			if left -= bytes; left < 0 {
				return refused
			}
			return nil
		}
		_, err := read(file, opts)
		if err == nil {
			assert.Positive(t, allowed)
			return
		}
		require.ErrorIs(t, err, refused)
		require.NotErrorIs(t, err, decompress.ErrCorrupt)
	}
}

func TestRead(t *testing.T) {
	file := write(t, flows(50), 20)
	r, err := NewReader(bytes.NewReader(file), int64(len(file)), usual)
	require.NoError(t, err)
	require.NoError(t, iotest.TestReader(r, []byte(linesOf(t, flows(50)))))
	n, err := r.Read(make([]byte, 1))
	assert.Zero(t, n)
	assert.Equal(t, io.EOF, err, "and again")
}

// failing fails from the offset at on.
type failing struct {
	file *bytes.Reader
	at   int64
}

var errFile = errors.New("no file any more")

func (f failing) ReadAt(p []byte, offset int64) (int, error) {
	if f.at <= offset && offset < f.file.Size()/2 {
		return 0, errFile
	}
	return f.file.ReadAt(p, offset)
}

// What fails is not corrupt, and a file that is shorter than it is said to be is.
func TestFileFails(t *testing.T) {
	file := write(t, flows(400), 20)
	want := linesOf(t, flows(400))
	r, err := NewReader(failing{bytes.NewReader(file), int64(len(file) / 4)}, int64(len(file)), usual)
	require.NoError(t, err)
	lines, err := io.ReadAll(r)
	require.ErrorIs(t, err, errFile)
	require.NotErrorIs(t, err, decompress.ErrCorrupt)
	assert.NotEmpty(t, lines)
	assert.True(t, strings.HasPrefix(want, string(lines)))

	_, err = NewReader(bytes.NewReader(file), int64(len(file)+100), usual)
	require.ErrorIs(t, err, decompress.ErrCorrupt)
	require.NotErrorIs(t, err, io.EOF)
}
