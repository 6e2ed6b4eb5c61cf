// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package s3log

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

const (
	flowStart = "2014-12-14T04:06:50Z"
	flowEnd   = "2014-12-14T04:07:50Z"
)

func TestVPCFlow(t *testing.T) {
	assertSaid(
		t, VPCFlow,
		said{record: vpcHeader, header: true},
		said{record: vpcSample, time: flowStart},
		said{record: vpcNoDataSample, time: "2015-05-10T18:01:16Z"},
		said{record: "2 123456789010 eni-11111111aaaaaaaaa - - - - - - - 1431280876 1431280934 - SKIPDATA", time: "2015-05-10T18:01:16Z"},
		said{record: `2 123456789012 eni-0050644426037aa0f 10.26.1.153 3.239.232.29 60220 443 6 48 21869 1669842701 1669842702 ACCEPT OK`, time: "2022-11-30T21:11:41Z"},
		// Another file in the same object.
		said{record: "region end start vpc-id", header: true},
		said{record: "us-east-1 1418530070 1418530010 vpc-1", time: flowStart},
		said{record: "us-east-1 1418530070 - vpc-1", time: flowEnd},
		said{record: "us-east-1 - - vpc-1"},
		said{record: "us-east-1 1418530070"},
		said{record: "vpc-id end", header: true},
		said{record: "vpc-1 1418530070", time: flowEnd},
		said{record: "instance-id start", header: true},
		said{record: "- 1418530010", time: flowStart},
		said{record: "i-1 1418530010", time: flowStart},
		// No time, and names like those of fields.
		said{record: "flow-direction az-id", header: true},
		said{record: "ingress use1-az1"},
		said{record: vpcSample},
	)
}

func TestVPCFlowWithoutHeader(t *testing.T) {
	assertSaid(
		t, VPCFlow,
		said{record: vpcSample, time: flowStart},
		said{record: vpcNoDataSample, time: "2015-05-10T18:01:16Z"},
		said{record: strings.Replace(vpcSample, "1418530010", "-", 1), time: flowEnd},
		said{record: vpcSample + " more"},
		said{record: strings.TrimSuffix(vpcSample, " OK")},
		said{record: "3" + vpcSample[1:]},
		said{record: "some words"},
	)
}

func TestVPCFlowJSON(t *testing.T) {
	assertSaid(
		t, VPCFlow,
		said{record: `{"message":"` + vpcSample + `"}`, time: flowStart},
		said{record: `{"message":"hello"}`},
		said{record: `{"message":null}`},
		said{record: `{"version":2,"account_id":"123456789010","start":1418530010,"end":1418530070}`, time: flowStart},
		said{record: `{"end":"1418530070","start":"1418530010"}`, time: flowStart},
		said{record: `{"start":"-","end":"1418530070"}`, time: flowEnd},
		said{record: `{"end":1418530070,"start":null}`, time: flowEnd},
		said{record: `{"a":{"start":1418530010}}`},
		said{record: `{}`},
	)
}

func TestTGWFlow(t *testing.T) {
	assertSaid(
		t, TGWFlow,
		said{record: tgwHeader, header: true},
		said{record: tgwSample, time: "2023-11-14T22:13:20Z"},
	)
}

func TestFlowHeader(t *testing.T) {
	for name := range flowFields {
		assertSaid(t, VPCFlow, said{record: name, header: true})
		assertSaid(t, VPCFlow, said{record: "a " + name + " new-field9", header: true})
		assert.True(t, isFlowName([]byte(name)), name)
	}
	// What a record says may all look like names, and be some. Concatenated objects have their header in mid-object.
	assertSaid(
		t, VPCFlow,
		said{record: "interface-id ecs-cluster-name ecs-service-name start", header: true},
		said{record: "eni-1 prod version 1418530010", time: flowStart},
		said{record: "eni-1 prod bytes -"},
		said{record: "eni-1 start end"},
		said{record: "start interface-id", header: true},
		said{record: "1418530010 eni-1", time: flowStart},
	)
	assertSaid(
		t, VPCFlow,
		said{record: "version start new-one", header: true},
		said{record: "2 1418530010 x", time: flowStart},
		said{record: "version start new-one", header: true},
		said{record: "2 1418530010 x", time: flowStart},
	)
	for _, line := range []string{"", "x", "new-field other", "start ", " start", "start  end", "Start end", "start end!", "start -", "start 9", "start -end", "start\tend"} {
		assertSaid(t, VPCFlow, said{record: line})
	}
}
