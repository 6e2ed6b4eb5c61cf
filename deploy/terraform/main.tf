# Copyright The awsloki Authors
# SPDX-License-Identifier: Apache-2.0

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  # The provider's version 6 knows the region's name as region, version 5 as name, both as id.
  region = data.aws_region.current.id

  # The forwarder takes an empty value as none; a variable of its own goes before the map.
  environment = merge(var.environment, { for key, value in {
    WRITE_ADDRESS              = var.write_address
    USERNAME                   = var.username
    PASSWORD                   = var.password
    BEARER_TOKEN               = var.bearer_token
    TENANT_ID                  = var.tenant_id
    SKIP_TLS_VERIFY            = var.skip_tls_verify ? "true" : ""
    TLS_CA                     = var.tls_ca
    TLS_CERT                   = var.tls_cert
    TLS_KEY                    = var.tls_key
    HEADERS                    = var.headers
    REPORT_BATCH_ITEM_FAILURES = var.report_batch_item_failures ? "" : "false"
    METRICS                    = var.metrics ? "" : "false"
    METRICS_NAMESPACE          = var.metrics_namespace
    LOG_LEVEL                  = var.log_level
  } : key => value if value != "" })
}

# Made here, so that the role needs no right to create groups and the retention holds from the first line.
resource "aws_cloudwatch_log_group" "forwarder" {
  name              = "/awsloki/${var.name}"
  retention_in_days = var.log_retention_days
  tags              = var.tags
}

resource "aws_lambda_function" "forwarder" {
  function_name = var.name
  description   = "awsloki forwarder"
  runtime       = "provided.al2023"
  handler       = "bootstrap"
  architectures = [var.architecture]
  memory_size   = var.memory_size
  timeout       = var.timeout
  role          = aws_iam_role.forwarder.arn

  filename          = var.zip_file == "" ? null : var.zip_file
  source_code_hash  = var.zip_file == "" ? null : filebase64sha256(var.zip_file)
  s3_bucket         = var.code_bucket == "" ? null : var.code_bucket
  s3_key            = var.code_key == "" ? null : var.code_key
  s3_object_version = var.code_version == "" ? null : var.code_version

  reserved_concurrent_executions = var.reserved_concurrency

  environment {
    variables = local.environment
  }

  logging_config {
    log_format = "Text"
    log_group  = aws_cloudwatch_log_group.forwarder.name
  }

  dynamic "vpc_config" {
    for_each = length(var.subnet_ids) == 0 ? [] : [true]
    content {
      subnet_ids         = var.subnet_ids
      security_group_ids = var.security_group_ids
    }
  }

  tags = var.tags

  lifecycle {
    precondition {
      condition     = (var.zip_file == "") == (var.code_bucket != "" && var.code_key != "")
      error_message = "Give either zip_file, or code_bucket and code_key."
    }
    precondition {
      condition     = (var.username == "") == (var.password == "")
      error_message = "username and password go together."
    }
    precondition {
      condition     = var.username == "" || var.bearer_token == ""
      error_message = "username and bearer_token do not go together."
    }
    precondition {
      condition     = (var.tls_cert == "") == (var.tls_key == "")
      error_message = "tls_cert and tls_key go together."
    }
    precondition {
      condition     = length(var.subnet_ids) == 0 || length(var.security_group_ids) > 0
      error_message = "subnet_ids needs security_group_ids."
    }
    precondition {
      condition     = var.on_failure_kms_key_arn == "" || var.on_failure_destination_arn != ""
      error_message = "on_failure_kms_key_arn needs on_failure_destination_arn."
    }
  }

  # Else the function could run before it may write its log or reach its subnets.
  depends_on = [aws_iam_role_policy.forwarder, aws_iam_role_policy_attachment.network]
}

# CloudWatch Logs, S3 and SNS invoke $LATEST: a configuration of a version would not reach their events.
resource "aws_lambda_function_event_invoke_config" "forwarder" {
  function_name                = aws_lambda_function.forwarder.function_name
  qualifier                    = "$LATEST"
  maximum_retry_attempts       = var.maximum_retry_attempts
  maximum_event_age_in_seconds = var.maximum_event_age

  destination_config {
    on_failure {
      destination = local.on_failure_destination_arn
    }
  }
}

resource "aws_sqs_queue" "failed_events" {
  count = local.create_failed_event_queue ? 1 : 0

  name                      = "${var.name}-failed-events"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
  tags                      = var.tags
}

locals {
  create_failed_event_queue = var.on_failure_destination_arn == ""
  on_failure_destination_arn = one(
    concat(aws_sqs_queue.failed_events[*].arn, compact([var.on_failure_destination_arn]))
  )
}
