// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package awslogs

import "github.com/zeebo/xxh3"

// ID tells documents apart: it is a hash of all that a document consists of, so that what differs in any way is never
// taken for a repeat. Only what carries ids of AWS's has one, since the same line may well be logged twice. IDs are the
// same in every process.
type ID [16]byte

// newID makes an ID of a document's bytes. kind keeps apart what comes in different ways, or whatever else there is to
// know about the bytes.
func newID(document []byte, kind uint64) ID { return xxh3.Hash128Seed(document, kind).Bytes() }
