// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokipush

import (
	"errors"
	"fmt"
	"iter"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Tags of the fields of push.proto, all of them one byte long. Loki fills stream hashes and parsed labels itself.
const (
	// PushRequest
	tagStream = 1<<3 | byte(protowire.BytesType)
	// StreamAdapter
	tagLabels = 1<<3 | byte(protowire.BytesType)
	tagEntry  = 2<<3 | byte(protowire.BytesType)
	// EntryAdapter
	tagTimestamp = 1<<3 | byte(protowire.BytesType)
	tagLine      = 2<<3 | byte(protowire.BytesType)
	tagMetadata  = 3<<3 | byte(protowire.BytesType)
	// Timestamp
	tagSeconds = 1<<3 | byte(protowire.VarintType)
	tagNanos   = 2<<3 | byte(protowire.VarintType)
	// LabelPairAdapter
	tagName  = 1<<3 | byte(protowire.BytesType)
	tagValue = 2<<3 | byte(protowire.BytesType)
)

const tagSize = 1

// sizeBytes is the size of a length-delimited field whose content has n bytes.
func sizeBytes(n int) int { return tagSize + protowire.SizeBytes(n) }

func appendString(dst []byte, tag byte, s string) []byte {
	return protowire.AppendString(append(dst, tag), s)
}

// appendHeader appends the tag and the length of a field whose content, of n bytes, comes next.
func appendHeader(dst []byte, tag byte, n int) []byte {
	return protowire.AppendVarint(append(dst, tag), uint64(n))
}

// appendMetadata appends one pair of structured metadata as a field of an entry.
func appendMetadata[T string | []byte](dst []byte, name string, value T) []byte {
	dst = appendHeader(dst, tagMetadata, sizeBytes(len(name))+sizeBytes(len(value)))
	dst = appendString(dst, tagName, name)
	dst = appendHeader(dst, tagValue, len(value))
	return append(dst, value...)
}

// appendTimestamp appends an entry's timestamp. Zero fields are left out, as protobuf encoders do.
func appendTimestamp(dst []byte, nanos int64) []byte {
	seconds, rest := uint64(nanos/int64(time.Second)), uint64(nanos%int64(time.Second))
	n := 0
	if seconds != 0 {
		n += tagSize + protowire.SizeVarint(seconds)
	}
	if rest != 0 {
		n += tagSize + protowire.SizeVarint(rest)
	}
	dst = appendHeader(dst, tagTimestamp, n)
	if seconds != 0 {
		dst = protowire.AppendVarint(append(dst, tagSeconds), seconds)
	}
	if rest != 0 {
		dst = protowire.AppendVarint(append(dst, tagNanos), rest)
	}
	return dst
}

// appendEntry appends an entry as a field of a stream. Each part of the metadata is a run of appendMetadata's fields.
func appendEntry(dst []byte, nanos int64, line string, metadata ...[]byte) []byte {
	var timestamp [32]byte
	ts := appendTimestamp(timestamp[:0], nanos)
	size := len(ts) + sizeBytes(len(line))
	for _, part := range metadata {
		size += len(part)
	}
	dst = appendHeader(dst, tagEntry, size)
	dst = append(dst, ts...)
	dst = appendString(dst, tagLine, line)
	for _, part := range metadata {
		dst = append(dst, part...)
	}
	return dst
}

var errNotPushRequest = errors.New("not a push request of ours")

// consumeField takes a length-delimited field with the given tag off the front of data and returns its content, which
// aliases data, and the size of the whole field.
func consumeField(data []byte, tag byte) (content []byte, size int, err error) {
	if len(data) == 0 || data[0] != tag {
		return nil, 0, errNotPushRequest
	}
	content, n := protowire.ConsumeBytes(data[tagSize:])
	if n < 0 {
		return nil, 0, fmt.Errorf("%w: %w", errNotPushRequest, protowire.ParseError(n))
	}
	return content, tagSize + n, nil
}

// eachPair yields the names and values of a run of appendMetadata's fields, up to what cannot be read. They alias it.
func eachPair(metadata []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for len(metadata) > 0 {
			content, size, err := consumeField(metadata, tagMetadata)
			if err != nil {
				return
			}
			name, n, err := consumeField(content, tagName)
			if err != nil {
				return
			}
			value, _, err := consumeField(content[n:], tagValue)
			if err != nil || !yield(name, value) {
				return
			}
			metadata = metadata[size:]
		}
	}
}

// entryTimestamp reads the timestamp of an entry's content, in nanoseconds since the epoch.
func entryTimestamp(entry []byte) (int64, error) {
	ts, _, err := consumeField(entry, tagTimestamp)
	if err != nil {
		return 0, err
	}
	var nanos int64
	for len(ts) > 0 {
		v, n := protowire.ConsumeVarint(ts[tagSize:])
		if n < 0 {
			return 0, fmt.Errorf("%w: timestamp: %w", errNotPushRequest, protowire.ParseError(n))
		}
		switch ts[0] {
		case tagSeconds:
			nanos += int64(v) * int64(time.Second)
		case tagNanos:
			nanos += int64(v)
		default:
			return 0, errNotPushRequest
		}
		ts = ts[tagSize+n:]
	}
	return nanos, nil
}
