// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package parquetlines

import (
	"encoding/binary"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// maxScalarLen is more than any value has as JSON that is no string of the file's.
const maxScalarLen = 64

// maxEscapedLen is how long one byte of a string can become.
const maxEscapedLen = len(`\u0000`)

// valueFormat returns how values are written as JSON, and nil for what is not known.
func valueFormat(kind physicalType, meaning logicalType) func(dst, value []byte) []byte {
	switch kind {
	case boolean:
		if meaning.id == 0 {
			return appendBoolean
		}
	case int32Type:
		switch {
		case meaning.id == 0 || meaning.id == integerType && !meaning.unsigned:
			return appendInt32
		case meaning.id == integerType:
			return appendUint32
		case meaning.id == dateType:
			return appendDate
		}
	case int64Type:
		return int64Format(meaning)
	case int96:
		if meaning.id == 0 {
			return appendInt96
		}
	case float:
		if meaning.id == 0 {
			return appendFloat32
		}
	case double:
		if meaning.id == 0 {
			return appendFloat64
		}
	case byteArray, fixedLenByteArray:
		switch meaning.id {
		case 0, stringType, enumType, jsonType:
			return appendString
		}
	}
	return nil
}

func int64Format(meaning logicalType) func(dst, value []byte) []byte {
	switch {
	case meaning.id == 0 || meaning.id == integerType && !meaning.unsigned:
		return appendInt64
	case meaning.id == integerType:
		return appendUint64
	case meaning.id != timestampType:
		return nil
	}
	switch meaning.unit {
	case millis:
		return appendMillis
	case micros:
		return appendMicros
	case nanos:
		return appendNanos
	default:
		return nil
	}
}

func appendBoolean(dst, value []byte) []byte { return strconv.AppendBool(dst, value[0] != 0) }

func asInt32(value []byte) int32 { return int32(binary.LittleEndian.Uint32(value)) }
func asInt64(value []byte) int64 { return int64(binary.LittleEndian.Uint64(value)) }

func appendInt32(dst, value []byte) []byte { return strconv.AppendInt(dst, int64(asInt32(value)), 10) }
func appendInt64(dst, value []byte) []byte { return strconv.AppendInt(dst, asInt64(value), 10) }

func appendUint32(dst, value []byte) []byte {
	return strconv.AppendUint(dst, uint64(binary.LittleEndian.Uint32(value)), 10)
}

func appendUint64(dst, value []byte) []byte {
	return strconv.AppendUint(dst, binary.LittleEndian.Uint64(value), 10)
}

func appendFloat32(dst, value []byte) []byte {
	return appendFloat(dst, float64(math.Float32frombits(binary.LittleEndian.Uint32(value))), 32)
}

func appendFloat64(dst, value []byte) []byte {
	return appendFloat(dst, math.Float64frombits(binary.LittleEndian.Uint64(value)), 64)
}

// appendFloat writes the shortest number that is v. What JSON has no number for is a string, as in protobuf's JSON.
func appendFloat(dst []byte, v float64, bits int) []byte {
	switch {
	case math.IsNaN(v):
		return append(dst, `"NaN"`...)
	case math.IsInf(v, 1):
		return append(dst, `"Infinity"`...)
	case math.IsInf(v, -1):
		return append(dst, `"-Infinity"`...)
	case v != 0 && (math.Abs(v) < 1e-6 || math.Abs(v) >= 1e21):
		return strconv.AppendFloat(dst, v, 'e', -1, bits)
	default:
		return strconv.AppendFloat(dst, v, 'f', -1, bits)
	}
}

// secondsOfDay is how long a day is that has no leap second, as Parquet counts.
const secondsOfDay = 24 * 60 * 60

// appendDate writes days since 1970-01-01.
func appendDate(dst, value []byte) []byte {
	return appendTime(dst, time.Unix(int64(asInt32(value))*secondsOfDay, 0), time.DateOnly)
}

func appendMillis(dst, value []byte) []byte {
	return appendTime(dst, time.UnixMilli(asInt64(value)), time.RFC3339Nano)
}

func appendMicros(dst, value []byte) []byte {
	return appendTime(dst, time.UnixMicro(asInt64(value)), time.RFC3339Nano)
}

func appendNanos(dst, value []byte) []byte {
	return appendTime(dst, time.Unix(0, asInt64(value)), time.RFC3339Nano)
}

// appendInt96 writes nanoseconds of a day, and the Julian day.
func appendInt96(dst, value []byte) []byte {
	const unixEpoch = 2440588
	day := int64(binary.LittleEndian.Uint32(value[8:])) - unixEpoch
	return appendTime(dst, time.Unix(day*secondsOfDay, asInt64(value)), time.RFC3339Nano)
}

// appendTime takes all times for UTC, as all times in AWS's logs are.
func appendTime(dst []byte, t time.Time, layout string) []byte {
	return append(t.UTC().AppendFormat(append(dst, '"'), layout), '"')
}

// plainBytes are those that stand in a JSON string as they are.
var plainBytes = func() (plain [utf8.RuneSelf]bool) {
	for c := byte(' '); c < utf8.RuneSelf; c++ {
		plain[c] = c != '"' && c != '\\'
	}
	return plain
}()

// appendString writes a string, with the replacement character for each byte that is no UTF-8.
func appendString(dst, value []byte) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(value); {
		c := value[i]
		if c < utf8.RuneSelf {
			if !plainBytes[c] {
				dst = appendEscaped(append(dst, value[start:i]...), c)
				start = i + 1
			}
			i++
			continue
		}
		r, size := utf8.DecodeRune(value[i:])
		if r == utf8.RuneError && size == 1 {
			dst = utf8.AppendRune(append(dst, value[start:i]...), utf8.RuneError)
			start = i + 1
		}
		i += size
	}
	return append(append(dst, value[start:]...), '"')
}

func appendEscaped(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	default:
		const hex = "0123456789abcdef"
		return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
	}
}

// stringLen is how many bytes appendString appends.
func stringLen(value []byte) int {
	n := len(`""`)
	for i := 0; i < len(value); {
		c := value[i]
		switch r, size := utf8.DecodeRune(value[i:]); {
		case c == '"' || c == '\\' || c == '\n' || c == '\r' || c == '\t':
			n += len(`\n`)
			i++
		case c < ' ':
			n += maxEscapedLen
			i++
		case r == utf8.RuneError && size == 1:
			n += utf8.RuneLen(utf8.RuneError)
			i++
		default:
			n += size
			i += size
		}
	}
	return n
}
