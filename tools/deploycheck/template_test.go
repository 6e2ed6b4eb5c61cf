// Copyright The awsloki Authors
// SPDX-License-Identifier: Apache-2.0

package deploycheck

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// small has one of everything that Problems looks at.
const small = `AWSTemplateFormatVersion: "2010-09-09"
Transform: [AWS::LanguageExtensions, AWS::Serverless-2016-10-31]
Parameters:
  Names: {Type: CommaDelimitedList, Default: "", Description: Names of groups}
  Days: {Type: Number, Default: 7, AllowedValues: [7, 14], Description: Days}
  Pattern: {Type: String, Default: "", AllowedPattern: "[a-z]*", Description: A pattern}
Mappings:
  Months:
    "7": {Count: 0}
    "14": {Count: 1}
Conditions:
  HasPattern: !Not [!Equals [!Ref Pattern, ""]]
Resources:
  Group:
    Type: AWS::Logs::LogGroup
    Condition: HasPattern
    Properties:
      LogGroupName: !Sub /g/${AWS::StackName}/${Pattern}
      RetentionInDays: !Ref Days
  Queue:
    Type: AWS::SQS::Queue
    DependsOn: Group
    Properties:
      DelaySeconds: !FindInMap [Months, !Ref Days, Count]
      RedrivePolicy: !If [HasPattern, {maxReceiveCount: 5}, !Ref AWS::NoValue]
  Fn::ForEach::Filters:
    - Name
    - !Ref Names
    - Filter&{Name}:
        Type: AWS::Logs::SubscriptionFilter
        Properties:
          LogGroupName: !Ref Name
          FilterPattern: !Sub ["${P}", {P: !Ref Pattern}]
          DestinationArn: !GetAtt Queue.Arn
Outputs:
  Arn: {Description: The group, Condition: HasPattern, Value: !GetAtt Group.Arn}
`

func TestProblemsOfTemplate(t *testing.T) {
	t.Parallel()
	types := readTypes(t)
	problems := func(t *testing.T, content string) []string {
		t.Helper()
		template, err := ReadTemplate([]byte(content))
		require.NoError(t, err)
		return template.Problems(types)
	}
	require.Empty(t, problems(t, small))

	f := func(name, old, changed string, want ...string) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, 1, strings.Count(small, old), "the template must hold what is changed, once")
			got := problems(t, strings.Replace(small, old, changed, 1))
			if assert.Len(t, got, len(want), "%q", got) {
				for i := range want {
					assert.Contains(t, got[i], want[i])
				}
			}
		})
	}
	f("wrong reference", "!Ref Days\n  Queue", "!Ref Day\n  Queue", `line 19: "Day" is no parameter and no resource`)
	f("wrong reference in a list to unroll", "- !Ref Names", "- !Ref Name",
		`"Name" is no parameter`, "parameter Names is not used")
	f("wrong name in Fn::Sub", "/g/${AWS::StackName}", "/g/${AWS::Stack}", `"AWS::Stack" is no parameter`)
	f("wrong attribute in Fn::Sub", "/g/${AWS::StackName}", "${Queue.Name}",
		`Queue has no attribute "Name"`, "depends on itself")
	f("variable of Fn::Sub is not used", `"${P}"`, `"P"`, "Fn::Sub does not use its P")
	f("wrong resource", "!GetAtt Queue.Arn", "!GetAtt Queu.Arn", `"Queu" is no parameter and no resource`)
	f("wrong attribute", "!GetAtt Group.Arn", "!GetAtt Group.Name", `Group has no attribute "Name"`)
	f("a resource in a condition", `!Ref Pattern, ""]]`, `!Ref Group, ""]]`, `"Group" is no parameter`)
	f("wrong condition of a resource", "    Condition: HasPattern", "    Condition: Has",
		`"Has" is no condition`, `"Group" is there only where Has holds`)
	f("wrong condition in Fn::If", "!If [HasPattern,", "!If [Has,", `"Has" is no condition`)
	f("wrong dependency", "DependsOn: Group", "DependsOn: Grup", `"Grup" is no parameter and no resource`)
	f("reference to what may not be there", "Condition: HasPattern, ", "", `"Group" is there only where HasPattern holds`)
	f("such a reference in the wrong branch", "{maxReceiveCount: 5}, !Ref AWS::NoValue", "{}, !Ref Group",
		`"Group" is there only where HasPattern holds`)
	f("wrong mapping", "[Months,", "[Month,", `"Month" is no mapping`, "mapping Months is not used")
	f("mapping without one of the values", `    "14": {Count: 1}`+"\n", "", "mapping Months has no 14.Count")
	f("unused parameter", "  Days:", "  More: {Type: String, Description: More}\n  Days:", "parameter More is not used")
	f("unused condition", "Resources:", `  Never: !Equals ["", x]`+"\nResources:", "condition Never is not used")
	f("parameter without description", `, Description: Days`, "", "parameter Days has no description")
	f("wrong type of a parameter", "{Type: Number", "{Type: Numbers", `type "Numbers"`)
	f("default that is not allowed", "Default: 7", "Default: 8", `the default "8" is not allowed`)
	f("default that does not match", `Default: "", Allowed`, `Default: "A", Allowed`, "does not match its pattern")
	f("unknown property", "DelaySeconds:", "Delay:", "Queue: has no property Delay")
	f("missing property", "          LogGroupName: !Ref Name\n", "", "needs LogGroupName")
	f("property of another type", "!Ref Days\n  Queue", "week\n  Queue", "Group.RetentionInDays: is no integer")
	f("value that is not allowed", "!Ref Days\n  Queue", "8\n  Queue", "Group.RetentionInDays: 8 is not one of")
	f("wrong branch of Fn::If", "{maxReceiveCount: 5}", "[5]", "Queue.RedrivePolicy: is no object")
	f("unknown type", "AWS::SQS::Queue", "AWS::SQS::Que", `no schema of the type "AWS::SQS::Que"`)
	f("unknown member of a resource", "    DependsOn: Group", "    DependOn: Group", "resource Queue has no DependOn")
	f("circle", "DependsOn: Group", "DependsOn: FilterElement", "depends on itself")
	f("unknown section", "Outputs:", "Output:", "Output is no section")
	f("transforms in the wrong order", "[AWS::LanguageExtensions, AWS::Serverless-2016-10-31]",
		"[AWS::Serverless-2016-10-31, AWS::LanguageExtensions]", "Transform is not")
	f("output without value", ", Value: !GetAtt Group.Arn", "", "output Arn has no value")
	f("loop without body", "    - !Ref Names\n", "", "Fn::ForEach::Filters takes")
}

func TestUnreadableTemplate(t *testing.T) {
	t.Parallel()
	f := func(content, want string) {
		t.Helper()
		_, err := ReadTemplate([]byte(content))
		assert.ErrorContains(t, err, want)
	}
	f("a: [", "yaml")
	f("[]", "is no mapping")
	f("a: 1\na: 2", "line 2: key a is there twice")
	f("a: &x 1\nb: *x", "takes no YAML aliases")
}

func unrolled(t *testing.T) *value {
	t.Helper()
	root, err := unroll(readTemplate(t).root)
	require.NoError(t, err)
	return root.get("Resources")
}

func ofType(t *testing.T, kind string) map[string]*value {
	t.Helper()
	found := map[string]*value{}
	resources := unrolled(t)
	for _, name := range resources.keys {
		if resources.get(name, "Type").text() == kind {
			found[name] = resources.get(name)
		}
	}
	require.NotEmpty(t, found)
	return found
}

// Without this, Lambda takes the failures that the forwarder reports for a success.
func TestMappingsUnderstandFailedItems(t *testing.T) {
	t.Parallel()
	for name, mapping := range ofType(t, "AWS::Lambda::EventSourceMapping") {
		responses := mapping.get("Properties", "FunctionResponseTypes")
		require.NotNil(t, responses, name)
		assert.Equal(t, "ReportBatchItemFailures", responses.items[0].text(), name)
	}
}

// CloudWatch Logs tries the function when a filter is made.
func TestSubscriptionsComeAfterPermission(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"AWS::Logs::SubscriptionFilter", "AWS::Logs::AccountPolicy"} {
		for name, subscription := range ofType(t, kind) {
			assert.Equal(t, "SubscriptionPermission", subscription.get("DependsOn").text(), name)
		}
	}
	for name, permission := range ofType(t, "AWS::Lambda::Permission") {
		assert.NotNil(t, permission.get("Properties", "SourceAccount"), name)
	}
}

// The account-level policy must leave out the forwarder's own log group, whether others are left out or not.
func TestAccountPolicyLeavesOwnGroupOut(t *testing.T) {
	t.Parallel()
	criteria := unrolled(t).get("AccountPolicy", "Properties", "SelectionCriteria", "Fn::Sub")
	require.Len(t, criteria.items, 2)
	assert.Equal(t, `LogGroupName NOT IN ["${Names}"]`, criteria.items[0].text())
	branches := criteria.items[1].get("Names", "Fn::If").items
	require.Len(t, branches, 3)
	assert.Equal(t, "LogGroup", branches[1].get("Fn::Join").items[1].items[0].get("Ref").text())
	assert.Equal(t, "LogGroup", branches[2].get("Ref").text())
}

func TestQueueHidesMessagesLongEnough(t *testing.T) {
	t.Parallel()
	template := readTemplate(t)
	timeouts := template.Parameters["Timeout"].AllowedValues
	require.NotEmpty(t, timeouts)
	for _, timeout := range timeouts {
		seconds, err := strconv.Atoi(timeout)
		require.NoError(t, err)
		visibility, err := strconv.Atoi(template.root.get("Mappings", "Visibility", timeout, "Seconds").text())
		require.NoError(t, err)
		assert.GreaterOrEqual(t, visibility, 6*seconds)
	}
}

// With the default values an outage of some hours ends before messages are given up. With each timeout they are given up
// before they expire, which would be silent.
func TestQueueOutlastsOutages(t *testing.T) {
	t.Parallel()
	queue := unrolled(t).get("ObjectQueue", "Properties")
	require.Equal(t, "QueueMaxReceiveCount", queue.get("RedrivePolicy", "maxReceiveCount", "Ref").text())
	template := readTemplate(t)
	number := func(text string) int {
		n, err := strconv.Atoi(text)
		require.NoError(t, err)
		return n
	}
	attempts := number(*template.Parameters["QueueMaxReceiveCount"].Default)
	visibility := func(timeout string) int {
		return number(template.root.get("Mappings", "Visibility", timeout, "Seconds").text())
	}
	assert.GreaterOrEqual(t, attempts*visibility(*template.Parameters["Timeout"].Default), 8*3600)
	for _, timeout := range template.Parameters["Timeout"].AllowedValues {
		assert.Less(t, attempts*visibility(timeout), number(queue.get("MessageRetentionPeriod").text())/2, timeout)
	}
}

// policy gives the one statement of a policy of the role that is there under a condition.
func policy(t *testing.T, name, condition string) *value {
	t.Helper()
	for _, item := range unrolled(t).get("Role", "Properties", "Policies").items {
		branches := item.get("Fn::If")
		if branches == nil || branches.items[1].get("PolicyName").text() != name {
			continue
		}
		assert.Equal(t, condition, branches.items[0].text())
		statements := branches.items[1].get("PolicyDocument", "Statement").items
		require.Len(t, statements, 1)
		return statements[0]
	}
	require.Fail(t, "the role has no such policy", name)
	return nil
}

func texts(v *value) (all []string) {
	for _, item := range v.items {
		all = append(all, item.text())
	}
	return all
}

// SQS, SNS and S3 encrypt with a key of the one who writes, who must be allowed to have one made.
func TestOnFailureDestinationMayBeEncrypted(t *testing.T) {
	t.Parallel()
	statement := policy(t, "on-failure-kms-key", "HasOnFailureKmsKey")
	assert.Equal(t, []string{"kms:GenerateDataKey", "kms:Decrypt"}, texts(statement.get("Action")))
	assert.Equal(t, "OnFailureKmsKeyArn", statement.get("Resource", "Ref").text())

	others := policy(t, "kms-keys", "HasKmsKeys")
	assert.Equal(t, "kms:Decrypt", others.get("Action").text())
	assert.Equal(t, "KmsKeyArns", others.get("Resource", "Ref").text())
}

func TestQueuesThatAreConsumed(t *testing.T) {
	t.Parallel()
	queues := policy(t, "queues", "HasQueues").get("Resource").items
	require.Len(t, queues, 2)
	made, given := queues[0].get("Fn::If").items, queues[1].get("Fn::If").items
	assert.Equal(t, []string{"HasBuckets", "HasSourceQueue"}, []string{made[0].text(), given[0].text()})
	assert.Equal(t, []string{"ObjectQueue", "Arn"}, texts(made[1].get("Fn::GetAtt")))
	assert.Equal(t, "SourceQueueArn", given[1].get("Ref").text())
}

// Rights are for named actions, on things that are named but for the objects of a bucket.
func TestPoliciesGrantLittle(t *testing.T) {
	t.Parallel()
	statements := 0
	var walk func(v *value)
	walk = func(v *value) {
		if v.get("Effect") != nil {
			statements++
			action, resource := v.get("Action"), v.get("Resource")
			for _, a := range append(action.items, action) {
				assert.NotContains(t, a.text(), "*", "line %d", v.line)
			}
			if resource == nil {
				assert.Equal(t, "sts:AssumeRole", action.text(), "line %d", v.line)
			} else {
				assert.NotEqual(t, "*", resource.text(), "line %d", v.line)
			}
		}
		for _, child := range v.children() {
			if child.kind != yaml.ScalarNode {
				walk(child)
			}
		}
	}
	walk(unrolled(t))
	assert.Greater(t, statements, 10)
}

// Fixed names would keep a second stack out of an account.
func TestNamesAreOfTheStack(t *testing.T) {
	t.Parallel()
	names := map[string]bool{
		"LogGroupName": true, "FunctionName": true, "RoleName": true, "QueueName": true, "AlarmName": true, "Name": true,
		"FilterName": true, "PolicyName": true,
	}
	resources := unrolled(t)
	for _, name := range resources.keys {
		switch kind, properties := resources.get(name, "Type").text(), resources.get(name, "Properties"); kind {
		case "AWS::IAM::RolePolicy": // named within the role
		case "AWS::Logs::SubscriptionFilter": // the group is somebody else's
			assert.Empty(t, literal(properties.get("FilterName")), name)
		default:
			for _, key := range properties.keys {
				if names[key] {
					assert.Empty(t, literal(properties.fields[key]), "%s.%s", name, key)
				}
			}
		}
	}
}

// literal gives a text in which nothing is filled in, "" where something is.
func literal(v *value) string {
	if sub := v.get("Fn::Sub"); sub != nil && !substitution.MatchString(sub.text()) {
		return sub.text()
	}
	return v.text()
}
