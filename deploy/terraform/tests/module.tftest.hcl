# Copyright The awsloki Authors
# SPDX-License-Identifier: Apache-2.0

# Run by `terraform test`, from 1.7 on: no account and no credentials are needed.

mock_provider "aws" {
  mock_data "aws_partition" {
    defaults = { partition = "aws-us-gov" }
  }
  mock_data "aws_region" {
    defaults = { id = "us-gov-west-1" }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{\"Version\":\"2012-10-17\",\"Statement\":[]}" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws-us-gov:iam::123456789012:role/awsloki-forwarder" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws-us-gov:logs:us-gov-west-1:123456789012:log-group:/awsloki/awsloki-forwarder" }
  }
  mock_resource "aws_lambda_function" {
    defaults = { arn = "arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:awsloki-forwarder" }
  }
  mock_resource "aws_cloudwatch_event_rule" {
    defaults = { arn = "arn:aws-us-gov:events:us-gov-west-1:123456789012:rule/awsloki-forwarder" }
  }
  mock_resource "aws_sqs_queue" {
    defaults = {
      arn = "arn:aws-us-gov:sqs:us-gov-west-1:123456789012:awsloki-forwarder-made"
      url = "https://sqs.us-gov-west-1.amazonaws.com/123456789012/awsloki-forwarder-made"
    }
  }
}

variables {
  write_address = "https://collector.example.com:3500"
  code_bucket   = "my-code"
  code_key      = "lambdaforwarder-arm64.zip"
}

run "nothing_switched_on" {
  assert {
    condition = aws_lambda_function.forwarder.environment[0].variables == tomap({
      WRITE_ADDRESS     = "https://collector.example.com:3500"
      METRICS_NAMESPACE = "awsloki"
      LOG_LEVEL         = "info"
    })
    error_message = "An empty variable is not set."
  }
  assert {
    condition     = length(aws_sqs_queue.failed_events) == 1 && length(aws_sqs_queue.objects) == 0
    error_message = "Failed events get a queue, buckets that are not there get none."
  }
  assert {
    condition = (
      length(aws_lambda_permission.logs) == 0 &&
      length(aws_cloudwatch_log_subscription_filter.forwarder) == 0 &&
      length(aws_cloudwatch_log_account_policy.forwarder) == 0
    )
    error_message = "No log group is subscribed to."
  }
  assert {
    condition = toset([for statement in data.aws_iam_policy_document.forwarder.statement : statement.sid]) == toset([
      "Log", "OnFailure",
    ])
    error_message = "The role may do only what is switched on."
  }
  assert {
    condition     = aws_iam_role.forwarder.name_prefix == "awsloki-forwarder-"
    error_message = "The role of the same name in another region is another one."
  }
  assert {
    condition = [
      for key in ["Failures", "RefusedLines"] : aws_cloudwatch_metric_alarm.forwarder[key].metric_name
    ] == ["Failures", "RefusedLines"]
    error_message = "What the forwarder counts itself has alarms."
  }
  assert {
    condition = (
      length(aws_cloudwatch_metric_alarm.queue) == 1 &&
      length(aws_cloudwatch_metric_alarm.iterator_age) == 0
    )
    error_message = "Alarms are for what there is."
  }
  assert {
    condition = (
      output.object_queue_arn == null &&
      output.on_failure_destination_arn == aws_sqs_queue.failed_events[0].arn
    )
    error_message = "Outputs name what there is."
  }
}

run "everything_switched_on" {
  variables {
    username                  = "loki"
    password                  = "arn:aws-us-gov:secretsmanager:us-gov-west-1:123456789012:secret:loki-AbCdEf"
    secret_arns               = ["arn:aws-us-gov:secretsmanager:us-gov-west-1:123456789012:secret:loki-AbCdEf"]
    ssm_parameter_arns        = ["arn:aws-us-gov:ssm:us-gov-west-1:123456789012:parameter/loki"]
    kms_key_arns              = ["arn:aws-us-gov:kms:us-gov-west-1:123456789012:key/0123"]
    subnet_ids                = ["subnet-1"]
    security_group_ids        = ["sg-1"]
    log_group_names           = ["/my/app", "/my-app"]
    bucket_names              = ["my-logs", "my.logs"]
    key_prefix                = "AWSLogs/"
    queue_max_receive_count   = 7
    source_queue_arn          = "arn:aws-us-gov:sqs:us-gov-west-1:123456789012:notifications"
    queue_maximum_concurrency = 5
    kinesis_stream_arn        = "arn:aws-us-gov:kinesis:us-gov-west-1:123456789012:stream/logs"
    alarm_topic_arn           = "arn:aws-us-gov:sns:us-gov-west-1:123456789012:alarms"
    reserved_concurrency      = 10
    timeout                   = 300
    environment               = { MAX_RETRIES = "3", LOG_LEVEL = "debug" }
  }
  assert {
    condition = (
      aws_lambda_function.forwarder.environment[0].variables["MAX_RETRIES"] == "3" &&
      aws_lambda_function.forwarder.environment[0].variables["LOG_LEVEL"] == "info"
    )
    error_message = "A variable of its own goes before the map."
  }
  assert {
    condition     = length(aws_cloudwatch_log_subscription_filter.forwarder) == 2
    error_message = "Each log group gets a filter, also when names differ in punctuation only."
  }
  assert {
    condition = (
      aws_lambda_permission.logs[0].source_account == "123456789012" &&
      aws_lambda_permission.logs[0].source_arn == "arn:aws-us-gov:logs:us-gov-west-1:123456789012:log-group:*"
    )
    error_message = "Only this account's CloudWatch Logs may invoke the function."
  }
  assert {
    condition     = aws_sqs_queue.objects[0].visibility_timeout_seconds == 1800
    error_message = "A message stays hidden for six times the function's timeout."
  }
  assert {
    condition = jsondecode(aws_sqs_queue.objects[0].redrive_policy) == {
      deadLetterTargetArn = aws_sqs_queue.objects_dead_letter[0].arn
      maxReceiveCount     = 7
    }
    error_message = "A message goes to the dead-letter queue after so many attempts."
  }
  assert {
    condition = jsondecode(aws_cloudwatch_event_rule.objects[0].event_pattern).detail == {
      bucket = { name = ["my-logs", "my.logs"] }
      object = { key = [{ prefix = "AWSLogs/" }] }
    }
    error_message = "The rule takes the buckets' objects under the prefix."
  }
  assert {
    condition = alltrue([for mapping in concat(
      aws_lambda_event_source_mapping.objects,
      aws_lambda_event_source_mapping.source_queue,
      aws_lambda_event_source_mapping.kinesis,
    ) : contains(mapping.function_response_types, "ReportBatchItemFailures")])
    error_message = "Every mapping understands which items failed."
  }
  assert {
    condition     = aws_lambda_event_source_mapping.kinesis[0].bisect_batch_on_function_error
    error_message = "A bad record holds up no good one."
  }
  assert {
    condition     = length(aws_s3_bucket_notification.objects) == 0
    error_message = "Nobody's bucket notifications are overwritten unasked."
  }
  assert {
    condition = toset([for statement in data.aws_iam_policy_document.forwarder.statement : statement.sid]) == toset([
      "Log", "OnFailure", "Objects", "Queues", "Kinesis", "Secrets", "Parameters", "Keys",
    ])
    error_message = "The role may do all that is switched on."
  }
  assert {
    condition = alltrue(flatten([
      for statement in data.aws_iam_policy_document.forwarder.statement : concat(
        [for resource in statement.resources : startswith(resource, "arn:aws-us-gov:")],
        [for action in statement.actions : !strcontains(action, "*")],
      )
    ]))
    error_message = "Every right is for named actions on named things of this partition."
  }
}

run "whole_account" {
  variables {
    account_subscription     = true
    log_group_names          = ["/my/app"]
    excluded_log_group_names = ["/collector"]
    filter_pattern           = "\"ERROR\""
    create_alarms            = false
  }
  assert {
    condition = (
      aws_cloudwatch_log_account_policy.forwarder[0].selection_criteria ==
      "LogGroupName NOT IN [\"/awsloki/awsloki-forwarder\",\"/collector\"]"
    )
    error_message = "The forwarder's own log group is left out."
  }
  assert {
    condition = (
      jsondecode(aws_cloudwatch_log_account_policy.forwarder[0].policy_document).FilterPattern == "\"ERROR\""
    )
    error_message = "The filter pattern arrives as it was given."
  }
  assert {
    condition = (
      length(aws_cloudwatch_log_subscription_filter.forwarder) == 0 &&
      length(aws_lambda_permission.logs) == 1
    )
    error_message = "No group is subscribed to twice."
  }
  assert {
    condition = (
      length(aws_cloudwatch_metric_alarm.function) == 0 &&
      length(aws_cloudwatch_metric_alarm.forwarder) == 0
    )
    error_message = "Alarms can be left out."
  }
}

run "failed_events_to_a_bucket" {
  variables {
    on_failure_destination_arn = "arn:aws-us-gov:s3:::failed"
  }
  assert {
    condition = [for statement in data.aws_iam_policy_document.forwarder.statement : statement.actions
    if startswith(statement.sid, "OnFailure")] == [toset(["s3:PutObject"]), toset(["s3:ListBucket"])]
    error_message = "A bucket needs PutObject and ListBucket."
  }
  assert {
    condition     = length(aws_sqs_queue.failed_events) == 0 && output.failed_event_queue_url == null
    error_message = "No queue is made beside a destination that is given."
  }
}

run "objects_outlast_a_long_outage" {
  variables {
    bucket_names = ["my-logs"]
    metrics      = false
  }
  assert {
    condition     = jsondecode(aws_sqs_queue.objects[0].redrive_policy).maxReceiveCount == 100
    error_message = "With the default values, a message is tried for ten hours."
  }
  assert {
    condition     = length(aws_cloudwatch_metric_alarm.forwarder) == 0
    error_message = "Without metrics there is nothing that these alarms could watch."
  }
}

run "failed_events_under_a_key" {
  variables {
    on_failure_destination_arn = "arn:aws-us-gov:sqs:us-gov-west-1:123456789012:failed"
    on_failure_kms_key_arn     = "arn:aws-us-gov:kms:us-gov-west-1:123456789012:key/mrk-0123"
    kms_key_arns               = ["arn:aws-us-gov:kms:us-gov-west-1:123456789012:key/4567"]
  }
  assert {
    condition = {
      for statement in data.aws_iam_policy_document.forwarder.statement :
      statement.sid => [statement.actions, statement.resources] if strcontains(statement.sid, "Key")
      } == {
      OnFailureKey = [
        toset(["kms:GenerateDataKey", "kms:Decrypt"]),
        toset(["arn:aws-us-gov:kms:us-gov-west-1:123456789012:key/mrk-0123"]),
      ]
      Keys = [toset(["kms:Decrypt"]), toset(["arn:aws-us-gov:kms:us-gov-west-1:123456789012:key/4567"])]
    }
    error_message = "Only this key may encrypt."
  }
}

run "longest_name" {
  command = plan
  variables {
    name = "a2345678901234567890123456789012345678901234567890"
  }
  assert {
    condition     = aws_iam_role.forwarder.name_prefix == "a234567890123456789012345678901234567-"
    error_message = "A role's name has 64 characters, of which the provider takes 26."
  }
}

run "key_without_destination_is_refused" {
  command = plan
  variables {
    on_failure_kms_key_arn = "arn:aws-us-gov:kms:us-gov-west-1:123456789012:key/0123"
  }
  expect_failures = [aws_lambda_function.forwarder]
}

run "failed_events_to_a_topic" {
  command = plan
  variables {
    on_failure_destination_arn = "arn:aws-us-gov:sns:us-gov-west-1:123456789012:failed"
  }
  assert {
    condition = anytrue([
      for statement in data.aws_iam_policy_document.forwarder.statement : contains(statement.actions, "sns:Publish")
    ])
    error_message = "A topic needs Publish."
  }
}

run "username_alone_is_refused" {
  command = plan
  variables {
    username = "loki"
  }
  expect_failures = [aws_lambda_function.forwarder]
}

run "two_sources_of_code_are_refused" {
  command = plan
  variables {
    zip_file = "tests/module.tftest.hcl"
  }
  expect_failures = [aws_lambda_function.forwarder]
}

run "wrong_values_are_refused" {
  command = plan
  variables {
    write_address              = "collector.example.com"
    name                       = "has spaces"
    source_queue_arn           = "https://sqs.us-gov-west-1.amazonaws.com/123456789012/notifications"
    on_failure_destination_arn = "arn:aws:lambda:us-gov-west-1:123456789012:function:other"
    bucket_names               = ["arn:aws:s3:::logs"]
    on_failure_kms_key_arn     = "arn:aws:kms:us-gov-west-1:123456789012:alias/logs"
    queue_max_receive_count    = 1001
    kms_key_arns               = ["alias/logs"]
    environment                = { AWS_REGION = "eu-central-1" }
    timeout                    = 901
  }
  expect_failures = [
    var.write_address,
    var.name,
    var.source_queue_arn,
    var.on_failure_destination_arn,
    var.bucket_names,
    var.on_failure_kms_key_arn,
    var.queue_max_receive_count,
    var.kms_key_arns,
    var.environment,
    var.timeout,
  ]
}
