// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package s3log

// The fields of load balancers' logs are separated by one space. Those that are quoted, and may have spaces, come after
// all that is read here.

// albAccess reads type time elb client:port target:port request_processing_time target_processing_time
// response_processing_time elb_status_code ...
func albAccess(record []byte) Record {
	status, _ := field(record, ' ', 9)
	return Record{Time: rfc3339(endedField(record, ' ', 2)), Status: httpStatus(status)}
}

// albConnection reads timestamp client_ip ...
func albConnection(record []byte) Record {
	return Record{Time: rfc3339(endedField(record, ' ', 1))}
}

// albHealthCheck reads type time latency target_addr target_group_id status status_code reason_code. The status code is
// that of the target's response to the health check.
func albHealthCheck(record []byte) Record {
	status, _ := field(record, ' ', 7)
	return Record{Time: rfc3339(endedField(record, ' ', 2)), Status: httpStatus(status)}
}

// nlbTLS reads type version time ...: the time has no zone.
func nlbTLS(record []byte) Record {
	return Record{Time: rfc3339OrUTC(endedField(record, ' ', 3))}
}

// clbAccess reads time elb client:port backend:port request_processing_time backend_processing_time
// response_processing_time elb_status_code ...
func clbAccess(record []byte) Record {
	status, _ := field(record, ' ', 8)
	return Record{Time: rfc3339(endedField(record, ' ', 1)), Status: httpStatus(status)}
}
