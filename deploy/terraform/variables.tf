# Copyright The awsloki Authors
# SPDX-License-Identifier: Apache-2.0

# ---- Function

variable "name" {
  description = "Name of the function, and the beginning of the names of all else."
  type        = string
  default     = "awsloki-forwarder"
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,50}$", var.name))
    error_message = "name takes 1 to 50 letters, digits, hyphens and underscores."
  }
}

variable "tags" {
  description = "Tags of all that is created."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "zip_file" {
  description = "Path of the forwarder's zip; empty takes code_bucket and code_key."
  type        = string
  default     = ""
  nullable    = false
}

variable "code_bucket" {
  description = "Bucket that holds the forwarder's zip, in the provider's region."
  type        = string
  default     = ""
  nullable    = false
}

variable "code_key" {
  description = "Key of the forwarder's zip in code_bucket."
  type        = string
  default     = ""
  nullable    = false
}

variable "code_version" {
  description = "Version of that object; empty takes the newest, but an update does not see a new one."
  type        = string
  default     = ""
  nullable    = false
}

variable "architecture" {
  description = "What the zip was built for; x86_64 is the zip named amd64."
  type        = string
  default     = "arm64"
  nullable    = false

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "architecture is arm64 or x86_64."
  }
}

variable "memory_size" {
  description = "The function's memory in MB; Lambda gives CPU in proportion. 256 or more straight to Loki."
  type        = number
  default     = 128
  nullable    = false

  validation {
    condition     = var.memory_size >= 128 && var.memory_size <= 10240
    error_message = "memory_size is 128 to 10240."
  }
}

variable "timeout" {
  description = "The function's timeout in seconds; so long one invocation goes on trying."
  type        = number
  default     = 60
  nullable    = false

  validation {
    condition     = var.timeout >= 5 && var.timeout <= 900
    error_message = "timeout is 5 to 900."
  }
}

variable "reserved_concurrency" {
  description = "The most invocations at a time, kept for this function out of the account's; null reserves none."
  type        = number
  default     = null

  validation {
    condition     = var.reserved_concurrency == null ? true : var.reserved_concurrency >= 0
    error_message = "reserved_concurrency is null, or 0 or more."
  }
}

variable "subnet_ids" {
  description = "Subnets to run in, for a collector in a VPC; empty runs outside of any."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "security_group_ids" {
  description = "Security groups to run with; needed with subnet_ids."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "permissions_boundary_arn" {
  description = "IAM policy that bounds the role; empty sets none."
  type        = string
  default     = ""
  nullable    = false
}

variable "log_retention_days" {
  description = "How many days the function's own log is kept."
  type        = number
  default     = 14
  nullable    = false

  validation {
    condition = contains(
      [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653],
      var.log_retention_days,
    )
    error_message = "log_retention_days is not a retention that CloudWatch Logs knows."
  }
}

# ---- Where to

variable "write_address" {
  description = "The collector's base URL, or Loki's URL that ends in /loki/api/v1/push."
  type        = string

  validation {
    condition     = can(regex("^https?://.+", var.write_address))
    error_message = "write_address is an http or https URL."
  }
}

variable "username" {
  description = "User for basic authentication, or the ARN of a secret or an SSM parameter."
  type        = string
  default     = ""
  nullable    = false
}

variable "password" {
  description = "Password for basic authentication, or the ARN of a secret or an SSM parameter."
  type        = string
  default     = ""
  sensitive   = true
  nullable    = false
}

variable "bearer_token" {
  description = "Token for Authorization Bearer, or the ARN of a secret or an SSM parameter."
  type        = string
  default     = ""
  sensitive   = true
  nullable    = false
}

variable "tenant_id" {
  description = "Loki tenant, sent as X-Scope-OrgID."
  type        = string
  default     = ""
  nullable    = false
}

variable "skip_tls_verify" {
  description = "Accept any certificate."
  type        = bool
  default     = false
  nullable    = false
}

variable "tls_ca" {
  description = "TLS_CA, the authorities to trust: an ARN, or PEM with its newlines."
  type        = string
  default     = ""
  nullable    = false
}

variable "tls_cert" {
  description = "TLS_CERT, the client certificate: an ARN, or PEM with its newlines."
  type        = string
  default     = ""
  nullable    = false
}

variable "tls_key" {
  description = "TLS_KEY, its key: an ARN, or PEM with its newlines."
  type        = string
  default     = ""
  sensitive   = true
  nullable    = false
}

variable "headers" {
  description = "HEADERS, further headers to send, as name=value,name=value."
  type        = string
  default     = ""
  sensitive   = true
  nullable    = false
}

variable "secret_arns" {
  description = "Secrets Manager secrets that the function may read."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.secret_arns : can(regex("^arn:aws[a-z-]*:secretsmanager:", arn))])
    error_message = "secret_arns are ARNs of Secrets Manager."
  }
}

variable "ssm_parameter_arns" {
  description = "SSM parameters that the function may read."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.ssm_parameter_arns : can(regex("^arn:aws[a-z-]*:ssm:", arn))])
    error_message = "ssm_parameter_arns are ARNs of SSM."
  }
}

variable "kms_key_arns" {
  description = "KMS keys of the buckets, secrets, stream and queue, that the function may decrypt with."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition = alltrue([
      for arn in var.kms_key_arns : can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/", arn))
    ])
    error_message = "kms_key_arns are ARNs of keys, not of aliases."
  }
}

# ---- CloudWatch Logs

variable "log_group_names" {
  description = "Log groups that get a subscription filter; they must exist."
  type        = set(string)
  default     = []
  nullable    = false
}

variable "account_subscription" {
  description = "Subscribe to every log group of the account in this region, by its one account-level policy."
  type        = bool
  default     = false
  nullable    = false
}

variable "excluded_log_group_names" {
  description = "Log groups that the account-level policy leaves out, besides the function's own."
  type        = set(string)
  default     = []
  nullable    = false
}

variable "filter_pattern" {
  description = "CloudWatch Logs filter pattern; empty takes every line."
  type        = string
  default     = ""
  nullable    = false
}

# ---- S3

variable "bucket_names" {
  description = "Buckets of this region whose new objects are forwarded; EventBridge must be enabled on them."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for name in var.bucket_names : can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", name))])
    error_message = "bucket_names are names, not ARNs."
  }
}

variable "enable_bucket_eventbridge" {
  description = "Enable EventBridge on the buckets. This takes away every other notification of theirs."
  type        = bool
  default     = false
  nullable    = false
}

variable "key_prefix" {
  description = "Only objects whose key begins so; empty takes every object."
  type        = string
  default     = ""
  nullable    = false
}

variable "queue_max_receive_count" {
  description = "Attempts at an object, six times timeout apart, before its message goes to the dead-letter queue."
  type        = number
  default     = 100
  nullable    = false

  validation {
    condition     = var.queue_max_receive_count >= 1 && var.queue_max_receive_count <= 1000
    error_message = "queue_max_receive_count is 1 to 1000."
  }
}

variable "source_queue_arn" {
  description = "Existing SQS queue to forward from; its visibility timeout is six times timeout or more."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^(arn:aws[a-z-]*:sqs:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_.-]+)?$", var.source_queue_arn))
    error_message = "source_queue_arn is the ARN of an SQS queue."
  }
}

variable "queue_batch_size" {
  description = "The most messages of a queue in one invocation."
  type        = number
  default     = 5
  nullable    = false

  validation {
    condition     = var.queue_batch_size >= 1 && var.queue_batch_size <= 10
    error_message = "queue_batch_size is 1 to 10."
  }
}

variable "queue_maximum_concurrency" {
  description = "The most invocations at a time for each queue; null sets no limit."
  type        = number
  default     = null

  validation {
    condition = (
      var.queue_maximum_concurrency == null ? true :
      var.queue_maximum_concurrency >= 2 && var.queue_maximum_concurrency <= 1000
    )
    error_message = "queue_maximum_concurrency is null, or 2 to 1000."
  }
}

# ---- Kinesis

variable "kinesis_stream_arn" {
  description = "Kinesis stream to read."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition = can(regex(
      "^(arn:aws[a-z-]*:kinesis:[a-z0-9-]+:[0-9]{12}:stream/[A-Za-z0-9_.-]+)?$",
      var.kinesis_stream_arn,
    ))
    error_message = "kinesis_stream_arn is the ARN of a Kinesis stream."
  }
}

variable "kinesis_starting_position" {
  description = "Where reading begins, with all that the stream holds or with what comes next."
  type        = string
  default     = "TRIM_HORIZON"
  nullable    = false

  validation {
    condition     = contains(["TRIM_HORIZON", "LATEST"], var.kinesis_starting_position)
    error_message = "kinesis_starting_position is TRIM_HORIZON or LATEST."
  }
}

variable "kinesis_batch_size" {
  description = "The most Kinesis records in one invocation."
  type        = number
  default     = 100
  nullable    = false

  validation {
    condition     = var.kinesis_batch_size >= 1 && var.kinesis_batch_size <= 10000
    error_message = "kinesis_batch_size is 1 to 10000."
  }
}

variable "kinesis_batching_window" {
  description = "Seconds to wait for a batch to fill."
  type        = number
  default     = 5
  nullable    = false

  validation {
    condition     = var.kinesis_batching_window >= 0 && var.kinesis_batching_window <= 300
    error_message = "kinesis_batching_window is 0 to 300."
  }
}

variable "kinesis_maximum_retry_attempts" {
  description = "Retries of a failed batch before it goes to the on-failure destination; -1 until records expire."
  type        = number
  default     = 100
  nullable    = false

  validation {
    condition     = var.kinesis_maximum_retry_attempts >= -1 && var.kinesis_maximum_retry_attempts <= 10000
    error_message = "kinesis_maximum_retry_attempts is -1 to 10000."
  }
}

# ---- Failures and alarms

variable "on_failure_destination_arn" {
  description = "SQS queue, SNS topic or S3 bucket for events that failed for good; empty makes a queue."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition = can(regex(
      "^(arn:aws[a-z-]*:(sqs|sns):[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+|arn:aws[a-z-]*:s3:::[a-z0-9.-]+)?$",
      var.on_failure_destination_arn,
    ))
    error_message = "on_failure_destination_arn is the ARN of an SQS queue, an SNS topic or an S3 bucket."
  }
}

variable "on_failure_kms_key_arn" {
  description = "Customer managed KMS key that on_failure_destination_arn is encrypted with; empty for any other."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition = can(regex(
      "^(arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+)?$",
      var.on_failure_kms_key_arn,
    ))
    error_message = "on_failure_kms_key_arn is the ARN of a key, not of an alias."
  }
}

variable "maximum_retry_attempts" {
  description = "How often Lambda invokes the function again with a failed asynchronous event."
  type        = number
  default     = 2
  nullable    = false

  validation {
    condition     = contains([0, 1, 2], var.maximum_retry_attempts)
    error_message = "maximum_retry_attempts is 0 to 2."
  }
}

variable "maximum_event_age" {
  description = "The longest that Lambda keeps an asynchronous event, in seconds."
  type        = number
  default     = 21600
  nullable    = false

  validation {
    condition     = var.maximum_event_age >= 60 && var.maximum_event_age <= 21600
    error_message = "maximum_event_age is 60 to 21600."
  }
}

variable "create_alarms" {
  description = "Create the CloudWatch alarms."
  type        = bool
  default     = true
  nullable    = false
}

variable "alarm_topic_arn" {
  description = "SNS topic that the alarms notify; empty notifies nobody."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^(arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+)?$", var.alarm_topic_arn))
    error_message = "alarm_topic_arn is the ARN of an SNS topic."
  }
}

variable "iterator_age_alarm" {
  description = "The age of a Kinesis record, in milliseconds, from which an alarm is raised."
  type        = number
  default     = 3600000
  nullable    = false

  validation {
    condition     = var.iterator_age_alarm >= 1
    error_message = "iterator_age_alarm is 1 or more."
  }
}

# ---- How the forwarder works

variable "report_batch_item_failures" {
  description = "REPORT_BATCH_ITEM_FAILURES; this module's mappings understand such reports."
  type        = bool
  default     = true
  nullable    = false
}

variable "metrics" {
  description = "METRICS, whether the function writes metrics to its log."
  type        = bool
  default     = true
  nullable    = false
}

variable "metrics_namespace" {
  description = "METRICS_NAMESPACE, the CloudWatch namespace of these metrics."
  type        = string
  default     = "awsloki"
  nullable    = false

  validation {
    condition     = length(var.metrics_namespace) >= 1 && length(var.metrics_namespace) <= 255
    error_message = "metrics_namespace has 1 to 255 characters."
  }
}

variable "log_level" {
  description = "What the function logs about itself."
  type        = string
  default     = "info"
  nullable    = false

  validation {
    condition     = contains(["debug", "info", "warn", "error"], var.log_level)
    error_message = "log_level is debug, info, warn or error."
  }
}

variable "environment" {
  description = "Any other environment variables of the forwarder, by name."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition = alltrue([
      for key in keys(var.environment) : can(regex("^[A-Z][A-Z0-9_]*$", key)) && !startswith(key, "AWS_")
    ])
    error_message = "environment takes names in capitals that do not begin with AWS_."
  }
}
