// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package s3log

import "testing"

func TestMSKBroker(t *testing.T) {
	assertSaid(
		t, MSKBroker,
		said{record: mskSample, time: "2025-07-04T11:57:55.836Z"},
		said{record: "[2025-07-04 11:57:55,839] INFO Kafka version: 4.0.0 (org.apache.kafka.common.utils.AppInfoParser)", time: "2025-07-04T11:57:55.839Z"},
		said{record: "[2025-07-04 11:57:55,005]", time: "2025-07-04T11:57:55.005Z"},
		said{record: "\tauto.include.jmx.reporter = true"},
		said{record: "[2025-07-04 11:57:55,836"},
		said{record: "[2025-02-29 11:57:55,836] INFO"},
		said{record: "[2025-07-04 11:57:60,836] INFO"},
		said{record: "INFO\n[2025-07-04 11:57:55,836] INFO"},
	)
}
