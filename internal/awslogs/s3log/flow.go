// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package s3log

import "bytes"

// flow reads flow logs of VPCs and of transit gateways. Their files begin with a line of the fields' names, since which
// they are and in which order is chosen for each flow log. Firehose has no such line, and only the default format can
// be read then.
type flow struct {
	columns flowColumns
	// header is the line that has named the columns, for a file that was put together has it again.
	header []byte
	json   jsonRecord
	// member is jsonMember, bound once.
	member func(key string) error
	// start and end are what the JSON record that is being read says.
	start, end int64
}

// flowColumns says where fields stand, counted from 1. Zero: not at all.
type flowColumns struct {
	start, end int
	// last is how many there are. Zero: no line has said.
	last int
}

// defaultFlowColumns are those of version 2.
// https://docs.aws.amazon.com/vpc/latest/userguide/flow-log-records.html#flow-logs-default
var defaultFlowColumns = flowColumns{start: 11, end: 12, last: 14}

func newFlowParser() Parser {
	f := &flow{}
	f.member = f.jsonMember
	return f.parse
}

func (f *flow) parse(record []byte) Record {
	if len(record) > 0 && record[0] == '{' {
		return Record{Time: f.jsonTime(record)}
	}
	if f.isHeaderAgain(record) {
		return Record{Header: true}
	}
	if columns, ok := f.readColumns(record); ok {
		f.columns = columns
		if len(record) <= maxFlowHeader {
			f.header = bytes.Clone(record)
		}
		return Record{Header: true}
	}
	return Record{Time: f.lineTime(record)}
}

func (f *flow) lineTime(line []byte) int64 {
	if f.columns.last > 0 {
		return f.columns.time(line)
	}
	if !bytes.HasPrefix(line, []byte("2 ")) {
		return 0
	}
	if last, ended := field(line, ' ', defaultFlowColumns.last); last == nil || ended {
		return 0
	}
	return defaultFlowColumns.time(line)
}

// time is when the flow's first packet was received, or its last. Both are dashes in some records.
func (c flowColumns) time(line []byte) int64 {
	if c.start > 0 {
		text := c.text(line, c.start)
		if t := epochSeconds(text); t != 0 || text == nil {
			return t
		}
	}
	if c.end > 0 {
		return epochSeconds(c.text(line, c.end))
	}
	return 0
}

// text is that of column n, unless the line may have been cut short within it.
func (c flowColumns) text(line []byte, n int) []byte {
	if n == c.last {
		text, _ := field(line, ' ', n)
		return text
	}
	return endedField(line, ' ', n)
}

// maxFlowHeader is more than all names together have.
const maxFlowHeader = 4 << 10

func (f *flow) isHeaderAgain(record []byte) bool {
	return len(f.header) > 0 && bytes.Equal(record, f.header)
}

// readColumns reads a line of names, at least one of which is a field's of flow logs. Another such line behind the first is
// one only if all are: the values of a record may all be names, and one of them a field's.
func (f *flow) readColumns(line []byte) (columns flowColumns, ok bool) {
	for len(line) > 0 && isLower(line[0]) {
		name, rest, more := bytes.Cut(line, []byte{' '})
		if !isFlowName(name) {
			return flowColumns{}, false
		}
		columns.last++
		switch string(name) {
		case "start":
			columns.start = columns.last
		case "end":
			columns.end = columns.last
		}
		switch {
		case flowFields[string(name)]:
			ok = true
		case f.columns.last > 0:
			return flowColumns{}, false
		}
		if !more {
			return columns, ok
		}
		line = rest
	}
	return flowColumns{}, false
}

// isFlowName says whether name is spelled like a field's: a lower-case letter, then such, digits and hyphens.
func isFlowName(name []byte) bool {
	for _, c := range name {
		if !isLower(c) && !isDigit(c) && c != '-' {
			return false
		}
	}
	return len(name) > 0 && isLower(name[0])
}

func isLower(c byte) bool { return 'a' <= c && c <= 'z' }

// jsonTime is the time of a row of a Parquet file, or of what Firehose has written: {"message":"2 123456789012 ..."}.
func (f *flow) jsonTime(record []byte) int64 {
	f.start, f.end = 0, 0
	if whole := f.json.read(record, f.member); f.start == 0 && whole {
		return f.end
	}
	return f.start
}

func (f *flow) jsonMember(key string) error {
	switch key {
	case "start":
		text, err := f.json.value()
		return f.took(&f.start, epochSeconds(text), err)
	case "end":
		text, err := f.json.value()
		return f.took(&f.end, epochSeconds(text), err)
	case "message":
		text, err := f.json.value()
		return f.took(&f.start, f.lineTime(text), err)
	default:
		return f.json.Skip()
	}
}

// took keeps the first valid time of its kind. There is no need to read on when the start is known.
func (f *flow) took(kept *int64, t int64, err error) error {
	if err != nil {
		return err
	}
	if *kept == 0 {
		*kept = t
	}
	if f.start != 0 {
		return errEnough
	}
	return nil
}

// flowFields are all there are, up to version 10.
// https://docs.aws.amazon.com/vpc/latest/userguide/flow-log-records.html#flow-logs-fields
// https://docs.aws.amazon.com/vpc/latest/tgw/tgw-flow-logs.html#flow-logs-fields
var flowFields = map[string]bool{
	"version": true, "account-id": true, "interface-id": true, "srcaddr": true, "dstaddr": true, "srcport": true,
	"dstport": true, "protocol": true, "packets": true, "bytes": true, "start": true, "end": true, "action": true,
	"log-status": true,

	"vpc-id": true, "subnet-id": true, "instance-id": true, "tcp-flags": true, "type": true, "pkt-srcaddr": true,
	"pkt-dstaddr": true, "region": true, "az-id": true, "sublocation-type": true, "sublocation-id": true,
	"pkt-src-aws-service": true, "pkt-dst-aws-service": true, "flow-direction": true, "traffic-path": true,

	"resource-type": true, "tgw-id": true, "tgw-attachment-id": true, "tgw-src-vpc-account-id": true,
	"tgw-dst-vpc-account-id": true, "tgw-src-vpc-id": true, "tgw-dst-vpc-id": true, "tgw-src-subnet-id": true,
	"tgw-dst-subnet-id": true, "tgw-src-eni": true, "tgw-dst-eni": true, "tgw-src-az-id": true, "tgw-dst-az-id": true,
	"tgw-pair-attachment-id": true, "packets-lost-no-route": true, "packets-lost-blackhole": true,
	"packets-lost-mtu-exceeded": true, "packets-lost-ttl-expired": true,

	"ecs-cluster-arn": true, "ecs-cluster-name": true, "ecs-container-instance-arn": true,
	"ecs-container-instance-id": true, "ecs-container-id": true, "ecs-second-container-id": true,
	"ecs-service-name": true, "ecs-task-definition-arn": true, "ecs-task-arn": true, "ecs-task-id": true,

	"reject-reason": true, "resource-id": true, "encryption-status": true,
}
