// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package awslogs

import "strings"

// nestedGroups are the log groups of AWS services that have more than the service's name before the resource's. Without
// them, all domains of OpenSearch in an account would be one service by the name of "domains".
var nestedGroups = []string{
	"/aws/aes/domains/",
	"/aws/amazonmq/broker/",
	"/aws/appsync/apis/",
	"/aws/bedrock-agentcore/runtimes/",
	"/aws/dms/tasks/",
	"/aws/ecs/containerinsights/",
	"/aws/OpenSearchService/domains/",
	"/aws/rds/cluster/",
	"/aws/rds/instance/",
	"/aws/rds/proxy/",
	"/aws/sagemaker/Endpoints/",
	"/aws/vendedlogs/events/event-bus/",
	"/aws/vendedlogs/pipes/",
	"/aws/vendedlogs/states/",
}

// serviceName is the name of what wrote to a log group: NAME of /aws/lambda/NAME and of the groups of other AWS
// services, /aws/SERVICE/NAME; any other group's own name.
func serviceName(logGroup string) string {
	for _, prefix := range nestedGroups {
		if name, ok := strings.CutPrefix(logGroup, prefix); ok {
			return firstSegment(name, logGroup)
		}
	}
	rest, ok := strings.CutPrefix(logGroup, "/aws/")
	if !ok {
		return logGroup
	}
	_, name, _ := strings.Cut(rest, "/")
	return firstSegment(name, logGroup)
}

// firstSegment is path up to its first slash, or otherwise where that is empty.
func firstSegment(path, otherwise string) string {
	segment, _, _ := strings.Cut(path, "/")
	if segment == "" {
		return otherwise
	}
	return segment
}
