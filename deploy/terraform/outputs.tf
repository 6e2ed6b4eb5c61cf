# Copyright The awsloki Authors
# SPDX-License-Identifier: Apache-2.0

output "function_arn" {
  description = "ARN of the function."
  value       = aws_lambda_function.forwarder.arn
}

output "function_name" {
  description = "Name of the function."
  value       = aws_lambda_function.forwarder.function_name
}

output "role_arn" {
  description = "ARN of the function's role, for the policies of buckets and keys of other accounts."
  value       = aws_iam_role.forwarder.arn
}

output "log_group_name" {
  description = "The function's own log group."
  value       = aws_cloudwatch_log_group.forwarder.name
}

output "on_failure_destination_arn" {
  description = "Where events go that failed for good."
  value       = local.on_failure_destination_arn
}

output "failed_event_queue_url" {
  description = "URL of the queue of failed events; null when on_failure_destination_arn is given."
  value       = one(aws_sqs_queue.failed_events[*].url)
}

output "object_queue_arn" {
  description = "ARN of the queue of new objects; null without buckets."
  value       = one(aws_sqs_queue.objects[*].arn)
}

output "object_queue_url" {
  description = "URL of the queue of new objects; null without buckets."
  value       = one(aws_sqs_queue.objects[*].url)
}

output "object_dead_letter_queue_arn" {
  description = "ARN of the dead-letter queue of new objects; null without buckets."
  value       = one(aws_sqs_queue.objects_dead_letter[*].arn)
}

output "object_dead_letter_queue_url" {
  description = "URL of the dead-letter queue of new objects; null without buckets."
  value       = one(aws_sqs_queue.objects_dead_letter[*].url)
}
