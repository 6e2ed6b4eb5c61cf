// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package lokihints

import (
	"math"
	"math/rand/v2"
	"strconv"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

// generator makes logs of every kind, the same for the same seed.
type generator struct{ *rand.Rand }

func newGenerator(seed uint64) generator { return generator{rand.New(rand.NewPCG(seed, 0))} }

func pick[T any](g generator, of ...T) T { return of[g.IntN(len(of))] }

func (g generator) oneIn(n int) bool { return g.IntN(n) == 0 }

// names are attributes, some of them inside of others. No two of them give the same label: which of the two would win is
// up to the order in which Go walks through a map.
var names = []string{
	"plain", "dotted.name", "deep", "deep.er", "deep.er.est", "deep.in.list", "9digits", "a-b c", "list", "__name__",
	"service.name", "service.namespace", "service.instance.id", "exporter", "job", "level", "missing", "tenant.id",
}

// badNames give no label that is valid.
var badNames = []string{"", "_", "é"}

func (g generator) name() string {
	if g.oneIn(60) {
		return pick(g, badNames...)
	}
	return pick(g, names...)
}

func (g generator) logs() plog.Logs {
	ld := plog.NewLogs()
	for range 5 {
		rl := ld.ResourceLogs().AppendEmpty()
		g.resource(rl.Resource().Attributes())
		for range 2 {
			sl := rl.ScopeLogs().AppendEmpty()
			g.scope(sl.Scope())
			for range 7 {
				g.record(sl.LogRecords().AppendEmpty())
			}
		}
	}
	return ld
}

func (g generator) resource(attrs pcommon.Map) {
	g.attributes(attrs)
	if g.oneIn(2) {
		g.hints(attrs)
	}
}

func (g generator) scope(scope pcommon.InstrumentationScope) {
	scope.SetName(pick(g, "", "scope"))
	scope.SetVersion(pick(g, "", "1.2.3"))
	g.attributes(scope.Attributes())
}

func (g generator) record(record plog.LogRecord) {
	g.body(record.Body())
	record.SetSeverityNumber(plog.SeverityNumber(g.IntN(27) - 1))
	record.SetSeverityText(pick(g, "", "WARN"))
	record.SetFlags(plog.LogRecordFlags(g.IntN(2)))
	record.SetTimestamp(pcommon.Timestamp(g.IntN(3)))
	if g.oneIn(2) {
		record.SetTraceID(pcommon.TraceID{1, 2})
		record.SetSpanID(pcommon.SpanID{3})
	}
	g.attributes(record.Attributes())
	if !g.oneIn(3) {
		g.hints(record.Attributes())
	}
}

func (g generator) body(body pcommon.Value) {
	if g.oneIn(2) {
		g.value(body, 0)
		return
	}
	body.SetStr(pick(g, "plain text", "a=1 b=\"2 3\"", "traceID=x severity=y", "first line\nsecond line", "= = =", `{"json":1}`, ""))
}

func (g generator) attributes(attrs pcommon.Map) {
	for range g.IntN(10) {
		v, _ := attrs.GetOrPutEmpty(g.name())
		g.value(v, 0)
	}
}

// value fills in a value of any type. What is inside of it is at most two deep.
func (g generator) value(v pcommon.Value, depth int) {
	types := 8
	if depth == 2 {
		types = 6
	}
	switch g.IntN(types) {
	case 0:
		v.SetInt(g.Int64())
	case 1:
		v.SetDouble(pick(g, 0.5, 1e300, g.Float64(), g.rareNumber()))
	case 2:
		v.SetBool(g.oneIn(2))
	case 3:
		v.SetEmptyBytes().FromRaw([]byte(pick(g, "", "bytes", "\x00\xff")))
	case 4:
		v.SetStr(pick(g, "acme", "a b", "<\"quoted\" \\ &>", "日本", "\xff\ufffd\x00", "", "null"))
	case 5:
		// Empty, if it is new.
	case 6:
		list := v.SetEmptySlice()
		for range g.IntN(3) {
			g.value(list.AppendEmpty(), depth+1)
		}
	default:
		m := v.SetEmptyMap()
		for range g.IntN(4) {
			inner, _ := m.GetOrPutEmpty(pick(g, "er", "est", "er.est", "in", "list", "loki.format"))
			g.value(inner, depth+1)
		}
	}
}

func (g generator) rareNumber() float64 {
	if g.oneIn(10) {
		return pick(g, math.NaN(), math.Inf(1))
	}
	return 0
}

func (g generator) hints(attrs pcommon.Map) {
	for _, name := range Attributes {
		if g.oneIn(2) {
			g.hint(attrs.PutEmpty(name), name)
		}
	}
}

func (g generator) hint(v pcommon.Value, name string) {
	switch {
	case g.oneIn(40):
		g.value(v, 0)
	case name == hintFormat:
		v.SetStr(pick(g, formatJSON, formatLogfmt, formatRaw))
	case name == hintTenant:
		v.SetStr(pick(g, "tenant.id", "service.name", "plain", "missing"))
	case g.oneIn(3):
		g.listHint(v.SetEmptySlice())
	default:
		v.SetStr(g.textHint())
	}
}

func (g generator) textHint() string {
	var hint []string
	for range g.IntN(6) {
		hint = append(hint, g.name())
	}
	if g.oneIn(10) {
		// A hint that names hints.
		hint = append(hint, Attributes...)
	}
	return strings.Join(hint, pick(g, ",", ", ", " , "))
}

func (g generator) listHint(list pcommon.Slice) {
	for range g.IntN(6) {
		list.AppendEmpty().SetStr(g.name())
	}
	if g.oneIn(5) {
		g.value(list.AppendEmpty(), 0)
		list.AppendEmpty().SetStr(strconv.Itoa(g.IntN(3)))
	}
}
