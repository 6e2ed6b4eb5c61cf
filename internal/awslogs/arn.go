// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package awslogs

import "strings"

// arn is an Amazon Resource Name, arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html
type arn struct{ region, account, resource string }

// parseARN returns empty fields for what is no ARN.
func parseARN(s string) arn {
	const fields = 6
	parts := strings.SplitN(s, ":", fields)
	if len(parts) < fields || parts[0] != "arn" {
		return arn{}
	}
	return arn{region: parts[3], account: parts[4], resource: parts[5]}
}

// isAccountID says whether s is an account's id: twelve digits.
func isAccountID(s string) bool {
	const digits = 12
	return len(s) == digits && strings.Trim(s, "0123456789") == ""
}
