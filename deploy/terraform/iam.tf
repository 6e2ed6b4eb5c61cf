# Copyright The awsloki Authors
# SPDX-License-Identifier: Apache-2.0

resource "aws_iam_role" "forwarder" {
  # Roles are the whole account's, while all else is the region's: the same name in two regions must do. The provider
  # takes 38 characters, and appends 26.
  name_prefix          = "${substr(var.name, 0, 37)}-"
  assume_role_policy   = data.aws_iam_policy_document.assume.json
  permissions_boundary = var.permissions_boundary_arn == "" ? null : var.permissions_boundary_arn
  tags                 = var.tags
}

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

resource "aws_iam_role_policy" "forwarder" {
  name   = "forwarder"
  role   = aws_iam_role.forwarder.name
  policy = data.aws_iam_policy_document.forwarder.json
}

resource "aws_iam_role_policy_attachment" "network" {
  count = length(var.subnet_ids) == 0 ? 0 : 1

  role       = aws_iam_role.forwarder.name
  policy_arn = "arn:${local.partition}:iam::aws:policy/service-role/AWSLambdaENIManagementAccess"
}

locals {
  on_failure_service = local.create_failed_event_queue ? "sqs" : split(":", var.on_failure_destination_arn)[2]
  on_failure_action  = { sqs = "sqs:SendMessage", sns = "sns:Publish", s3 = "s3:PutObject" }[local.on_failure_service]
  consumed_queue_arns = concat(
    aws_sqs_queue.objects[*].arn,
    compact([var.source_queue_arn]),
  )
}

data "aws_iam_policy_document" "forwarder" {
  statement {
    sid       = "Log"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.forwarder.arn}:*"]
  }

  statement {
    sid     = "OnFailure"
    actions = [local.on_failure_action]
    resources = [
      local.on_failure_service == "s3" ? "${local.on_failure_destination_arn}/*" : local.on_failure_destination_arn,
    ]
  }

  dynamic "statement" {
    for_each = local.on_failure_service == "s3" ? [true] : []
    content {
      sid       = "OnFailureBucket"
      actions   = ["s3:ListBucket"]
      resources = [local.on_failure_destination_arn]
    }
  }

  dynamic "statement" {
    for_each = var.on_failure_kms_key_arn == "" ? [] : [true]
    content {
      sid       = "OnFailureKey"
      actions   = ["kms:GenerateDataKey", "kms:Decrypt"]
      resources = [var.on_failure_kms_key_arn]
    }
  }

  dynamic "statement" {
    for_each = length(var.bucket_names) == 0 ? [] : [true]
    content {
      sid       = "Objects"
      actions   = ["s3:GetObject", "s3:GetObjectVersion"]
      resources = [for bucket in sort(var.bucket_names) : "arn:${local.partition}:s3:::${bucket}/*"]
    }
  }

  dynamic "statement" {
    for_each = local.has_buckets || var.source_queue_arn != "" ? [true] : []
    content {
      sid       = "Queues"
      actions   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
      resources = local.consumed_queue_arns
    }
  }

  dynamic "statement" {
    for_each = var.kinesis_stream_arn == "" ? [] : [true]
    content {
      sid = "Kinesis"
      actions = [
        "kinesis:DescribeStream",
        "kinesis:DescribeStreamSummary",
        "kinesis:GetRecords",
        "kinesis:GetShardIterator",
        "kinesis:ListShards",
      ]
      resources = [var.kinesis_stream_arn]
    }
  }

  dynamic "statement" {
    for_each = length(var.secret_arns) == 0 ? [] : [true]
    content {
      sid       = "Secrets"
      actions   = ["secretsmanager:GetSecretValue"]
      resources = var.secret_arns
    }
  }

  dynamic "statement" {
    for_each = length(var.ssm_parameter_arns) == 0 ? [] : [true]
    content {
      sid       = "Parameters"
      actions   = ["ssm:GetParameter"]
      resources = var.ssm_parameter_arns
    }
  }

  dynamic "statement" {
    for_each = length(var.kms_key_arns) == 0 ? [] : [true]
    content {
      sid       = "Keys"
      actions   = ["kms:Decrypt"]
      resources = var.kms_key_arns
    }
  }
}
