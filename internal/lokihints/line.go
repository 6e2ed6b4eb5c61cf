// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokihints

import (
	"fmt"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/translator/loki"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

// JSON is the whole record as one JSON object: body, severity, trace, and the attributes of record, resource and scope,
// but for hints. It modifies none of its arguments.
//
// It fails where a number is none that JSON has, which are NaN and the infinite ones.
func JSON(record plog.LogRecord, resource pcommon.Resource, scope pcommon.InstrumentationScope) (string, error) {
	line, err := loki.Encode(recordWithoutHints(record), resourceWithoutHints(resource), scope)
	if err != nil {
		return "", fmt.Errorf("write a record as JSON: %w", withoutContent(err))
	}
	return line, nil
}

// Logfmt is the whole record as one line of logfmt, but for hints. It modifies none of its arguments.
//
// Of a body that is text the translator keeps what can be read as logfmt: words become keys without a value, and what
// comes after the first line is lost. It fails where a key of the body has no character that logfmt takes.
func Logfmt(record plog.LogRecord, resource pcommon.Resource, scope pcommon.InstrumentationScope) (string, error) {
	line, err := loki.EncodeLogfmt(recordWithoutHints(record), resourceWithoutHints(resource), scope)
	if err != nil {
		return "", fmt.Errorf("write a record as logfmt: %w", withoutContent(err))
	}
	return line, nil
}

func recordWithoutHints(record plog.LogRecord) plog.LogRecord {
	if !hasHint(record.Attributes()) {
		return record
	}
	dst := plog.NewLogRecord()
	record.CopyTo(dst)
	removeHints(dst.Attributes())
	return dst
}

func resourceWithoutHints(resource pcommon.Resource) pcommon.Resource {
	if !hasHint(resource.Attributes()) {
		return resource
	}
	dst := pcommon.NewResource()
	resource.CopyTo(dst)
	removeHints(dst.Attributes())
	return dst
}

func removeHints(attributes pcommon.Map) {
	attributes.RemoveIf(func(name string, _ pcommon.Value) bool { return isHint(name) })
}
