# Copyright The awsloki Authors
# SPDX-License-Identifier: Apache-2.0

terraform {
  required_version = ">= 1.3"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.58"
    }
  }
}
