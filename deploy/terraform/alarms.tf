# Copyright The awsloki Authors
# SPDX-License-Identifier: Apache-2.0

locals {
  alarm_actions = compact([var.alarm_topic_arn])

  function_alarms = {
    Errors = {
      periods     = 1
      description = "Invocations of the forwarder fail. Its log says why."
    }
    Throttles = {
      periods     = 3
      description = "No concurrency is left for the forwarder. Events wait, up to maximum_event_age."
    }
    AsyncEventsDropped = {
      periods     = 1
      description = "Lambda gave up on events of the forwarder. They are at the on-failure destination."
    }
    DestinationDeliveryFailures = {
      periods     = 1
      description = "Failed events did not reach the on-failure destination. They are lost."
    }
  }

  # Lines are refused without a collector only; with one, that alarm has no data and stays quiet. It is made for both,
  # because a plan may not know the address yet.
  forwarder_alarms = {
    Failures     = "The forwarder could not forward events, or some of a batch. Its log says why."
    RefusedLines = "Loki refuses lines of the forwarder. They are lost. Its log says why."
  }

  queue_alarms = merge(
    local.create_failed_event_queue ? {
      failed-events = {
        queue       = aws_sqs_queue.failed_events[0].name
        description = "Events that the forwarder failed on for good wait in the queue of failed events."
      }
    } : {},
    local.has_buckets ? {
      objects-dead-letter = {
        queue       = aws_sqs_queue.objects_dead_letter[0].name
        description = "Notifications of objects that could not be forwarded wait in the dead-letter queue."
      }
    } : {},
  )
}

resource "aws_cloudwatch_metric_alarm" "function" {
  for_each = var.create_alarms ? local.function_alarms : {}

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = "AWS/Lambda"
  metric_name         = each.key
  dimensions          = { FunctionName = aws_lambda_function.forwarder.function_name }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = each.value.periods
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "forwarder" {
  for_each = var.create_alarms && var.metrics ? local.forwarder_alarms : {}

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value
  namespace           = var.metrics_namespace
  metric_name         = each.key
  dimensions          = { FunctionName = aws_lambda_function.forwarder.function_name }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "queue" {
  for_each = var.create_alarms ? local.queue_alarms : {}

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = each.value.queue }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "iterator_age" {
  count = var.create_alarms && var.kinesis_stream_arn != "" ? 1 : 0

  alarm_name          = "${var.name}-iterator-age"
  alarm_description   = "The forwarder lags behind its Kinesis stream. What outlives the stream's retention is lost."
  namespace           = "AWS/Lambda"
  metric_name         = "IteratorAge"
  dimensions          = { FunctionName = aws_lambda_function.forwarder.function_name }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  threshold           = var.iterator_age_alarm
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  tags                = var.tags
}
