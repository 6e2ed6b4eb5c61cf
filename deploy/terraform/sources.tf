# Copyright The awsloki Authors
# SPDX-License-Identifier: Apache-2.0

# ---- CloudWatch Logs

locals {
  has_subscription = length(var.log_group_names) > 0 || var.account_subscription
}

resource "aws_lambda_permission" "logs" {
  count = local.has_subscription ? 1 : 0

  statement_id   = "cloudwatch-logs"
  function_name  = aws_lambda_function.forwarder.function_name
  action         = "lambda:InvokeFunction"
  principal      = "logs.amazonaws.com"
  source_account = local.account
  source_arn     = "arn:${local.partition}:logs:${local.region}:${local.account}:log-group:*"
}

# An account-level policy reaches the listed groups too: a filter of their own would send every line twice.
resource "aws_cloudwatch_log_subscription_filter" "forwarder" {
  for_each = var.account_subscription ? [] : var.log_group_names

  name            = var.name
  log_group_name  = each.value
  filter_pattern  = var.filter_pattern
  destination_arn = aws_lambda_function.forwarder.arn

  # CloudWatch Logs tries the function when the filter is made.
  depends_on = [aws_lambda_permission.logs]
}

resource "aws_cloudwatch_log_account_policy" "forwarder" {
  count = var.account_subscription ? 1 : 0

  policy_name = var.name
  policy_type = "SUBSCRIPTION_FILTER_POLICY"
  scope       = "ALL"
  # The function's own group comes first: what it logs about an event would become the next event.
  selection_criteria = "LogGroupName NOT IN ${jsonencode(concat(
    [aws_cloudwatch_log_group.forwarder.name], sort(var.excluded_log_group_names),
  ))}"
  policy_document = jsonencode({
    DestinationArn = aws_lambda_function.forwarder.arn
    FilterPattern  = var.filter_pattern
    Distribution   = "Random"
  })

  depends_on = [aws_lambda_permission.logs]
}

# ---- S3, through EventBridge and a queue

locals {
  has_buckets = length(var.bucket_names) > 0
}

resource "aws_s3_bucket_notification" "objects" {
  for_each = var.enable_bucket_eventbridge ? var.bucket_names : []

  bucket      = each.value
  eventbridge = true
}

resource "aws_cloudwatch_event_rule" "objects" {
  count = local.has_buckets ? 1 : 0

  name        = var.name
  description = "New objects for the awsloki forwarder"
  event_pattern = jsonencode({
    source        = ["aws.s3"]
    "detail-type" = ["Object Created"]
    detail = merge(
      { bucket = { name = sort(var.bucket_names) } },
      var.key_prefix == "" ? {} : { object = { key = [{ prefix = var.key_prefix }] } },
    )
  })
  tags = var.tags
}

resource "aws_cloudwatch_event_target" "objects" {
  count = local.has_buckets ? 1 : 0

  rule = aws_cloudwatch_event_rule.objects[0].name
  arn  = aws_sqs_queue.objects[0].arn

  dead_letter_config {
    arn = aws_sqs_queue.objects_dead_letter[0].arn
  }
}

resource "aws_sqs_queue" "objects" {
  count = local.has_buckets ? 1 : 0

  name                       = "${var.name}-objects"
  visibility_timeout_seconds = 6 * var.timeout
  message_retention_seconds  = 1209600
  sqs_managed_sse_enabled    = true
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.objects_dead_letter[0].arn
    maxReceiveCount     = var.queue_max_receive_count
  })
  tags = var.tags
}

resource "aws_sqs_queue" "objects_dead_letter" {
  count = local.has_buckets ? 1 : 0

  name                      = "${var.name}-objects-dead-letter"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
  tags                      = var.tags
}

data "aws_iam_policy_document" "events" {
  for_each = local.has_buckets ? {
    objects     = aws_sqs_queue.objects[0].arn
    dead_letter = aws_sqs_queue.objects_dead_letter[0].arn
  } : {}

  statement {
    actions   = ["sqs:SendMessage"]
    resources = [each.value]

    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [aws_cloudwatch_event_rule.objects[0].arn]
    }
  }
}

resource "aws_sqs_queue_policy" "objects" {
  count = local.has_buckets ? 1 : 0

  queue_url = aws_sqs_queue.objects[0].url
  policy    = data.aws_iam_policy_document.events["objects"].json
}

resource "aws_sqs_queue_policy" "objects_dead_letter" {
  count = local.has_buckets ? 1 : 0

  queue_url = aws_sqs_queue.objects_dead_letter[0].url
  policy    = data.aws_iam_policy_document.events["dead_letter"].json
}

resource "aws_lambda_event_source_mapping" "objects" {
  count = local.has_buckets ? 1 : 0

  function_name           = aws_lambda_function.forwarder.arn
  event_source_arn        = aws_sqs_queue.objects[0].arn
  batch_size              = var.queue_batch_size
  function_response_types = ["ReportBatchItemFailures"]

  dynamic "scaling_config" {
    for_each = var.queue_maximum_concurrency == null ? [] : [true]
    content {
      maximum_concurrency = var.queue_maximum_concurrency
    }
  }
}

resource "aws_lambda_event_source_mapping" "source_queue" {
  count = var.source_queue_arn == "" ? 0 : 1

  function_name           = aws_lambda_function.forwarder.arn
  event_source_arn        = var.source_queue_arn
  batch_size              = var.queue_batch_size
  function_response_types = ["ReportBatchItemFailures"]

  dynamic "scaling_config" {
    for_each = var.queue_maximum_concurrency == null ? [] : [true]
    content {
      maximum_concurrency = var.queue_maximum_concurrency
    }
  }
}

# ---- Kinesis

resource "aws_lambda_event_source_mapping" "kinesis" {
  count = var.kinesis_stream_arn == "" ? 0 : 1

  function_name                      = aws_lambda_function.forwarder.arn
  event_source_arn                   = var.kinesis_stream_arn
  starting_position                  = var.kinesis_starting_position
  batch_size                         = var.kinesis_batch_size
  maximum_batching_window_in_seconds = var.kinesis_batching_window
  maximum_retry_attempts             = var.kinesis_maximum_retry_attempts
  bisect_batch_on_function_error     = true
  function_response_types            = ["ReportBatchItemFailures"]

  destination_config {
    on_failure {
      destination_arn = local.on_failure_destination_arn
    }
  }
}
