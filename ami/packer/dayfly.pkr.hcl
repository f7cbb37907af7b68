# Images with the agent in them, for those who start from Amazon Linux 2023 or Ubuntu 24.04 rather than from ami/build.
#   packer build -only amazon-ebs.al2023 -var agent=target/…/dayfly-agent ami/packer/dayfly.pkr.hcl
# The agent is one static file (scripts/build-agent). `dayfly launch` finds the image by its tags.

variable "agent" {
  type        = string
  description = "The agent program: one static file."
}

variable "agent_version" {
  type        = string
  default     = "0.1.0"
  description = "Its version; provisioning stops if the program says another."
}

variable "region" {
  type    = string
  default = "us-east-1"
}

variable "instance_type" {
  type        = string
  default     = "t3.small"
  description = "What builds the image."
}

variable "subnet_id" {
  type        = string
  default     = ""
  description = "Where; else the default network."
}

variable "encrypt" {
  type    = bool
  default = false
}

variable "keep_ssh" {
  type        = bool
  default     = false
  description = "Leave the SSH server enabled; dayfly needs none."
}

# What follows is for other places than AWS: scripts/test-packer builds against a stand-in.
variable "endpoint" {
  type    = string
  default = ""
}

variable "source_ami" {
  type    = string
  default = ""
}

variable "ssh_host" {
  type    = string
  default = ""
}

variable "ssh_port" {
  type    = number
  default = 22
}

variable "ssh_private_key_file" {
  type    = string
  default = ""
}

locals {
  day = formatdate("YYYY-MM-DD-hhmm", timestamp())
}

source "amazon-ebs" "al2023" {
  region              = var.region
  custom_endpoint_ec2 = var.endpoint

  # Nobody but the endpoint is asked for anything.
  skip_region_validation      = var.endpoint != ""
  skip_credential_validation  = var.endpoint != ""
  skip_metadata_api_check     = var.endpoint != ""
  instance_type               = var.instance_type
  subnet_id                   = var.subnet_id
  associate_public_ip_address = true
  source_ami                  = var.source_ami

  # Names and owners: "Find an Amazon Linux 2023 AMI" (AL2023 user guide).
  source_ami_filter {
    owners      = ["amazon"]
    most_recent = true
    filters = {
      name                = "al2023-ami-2023.*-kernel-*-x86_64"
      root-device-type    = "ebs"
      virtualization-type = "hvm"
    }
  }

  communicator         = "ssh"
  ssh_username         = "ec2-user"
  ssh_host             = var.ssh_host
  ssh_port             = var.ssh_port
  ssh_private_key_file = var.ssh_private_key_file

  launch_block_device_mappings {
    device_name           = "/dev/xvda"
    volume_type           = "gp3"
    iops                  = 3000 # gp3's own, which Packer 1.6 wants said
    throughput            = 125
    volume_size           = 8
    delete_on_termination = true
  }

  ami_name        = "dayfly-${var.agent_version}-al2023-${local.day}"
  ami_description = "dayfly ${var.agent_version} on Amazon Linux 2023"
  ena_support     = true
  encrypt_boot    = var.encrypt
  tags = {
    Name           = "dayfly-${var.agent_version}-al2023-${local.day}"
    "dayfly:agent" = var.agent_version
    "dayfly:image" = "al2023"
  }
  snapshot_tags = {
    "dayfly:image" = "al2023"
  }
  run_tags = {
    Name = "dayfly image build"
  }
}

source "amazon-ebs" "ubuntu" {
  region              = var.region
  custom_endpoint_ec2 = var.endpoint

  skip_region_validation      = var.endpoint != ""
  skip_credential_validation  = var.endpoint != ""
  skip_metadata_api_check     = var.endpoint != ""
  instance_type               = var.instance_type
  subnet_id                   = var.subnet_id
  associate_public_ip_address = true
  source_ami                  = var.source_ami

  # Canonical's account: "Find Ubuntu images on AWS" (Ubuntu on AWS).
  source_ami_filter {
    owners      = ["099720109477"]
    most_recent = true
    filters = {
      name                = "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-*"
      root-device-type    = "ebs"
      virtualization-type = "hvm"
    }
  }

  communicator         = "ssh"
  ssh_username         = "ubuntu"
  ssh_host             = var.ssh_host
  ssh_port             = var.ssh_port
  ssh_private_key_file = var.ssh_private_key_file

  launch_block_device_mappings {
    device_name           = "/dev/sda1"
    volume_type           = "gp3"
    iops                  = 3000 # gp3's own, which Packer 1.6 wants said
    throughput            = 125
    volume_size           = 8
    delete_on_termination = true
  }

  ami_name        = "dayfly-${var.agent_version}-ubuntu-${local.day}"
  ami_description = "dayfly ${var.agent_version} on Ubuntu 24.04"
  ena_support     = true
  encrypt_boot    = var.encrypt
  tags = {
    Name           = "dayfly-${var.agent_version}-ubuntu-${local.day}"
    "dayfly:agent" = var.agent_version
    "dayfly:image" = "ubuntu"
  }
  snapshot_tags = {
    "dayfly:image" = "ubuntu"
  }
  run_tags = {
    Name = "dayfly image build"
  }
}

build {
  sources = ["source.amazon-ebs.al2023", "source.amazon-ebs.ubuntu"]

  provisioner "shell" {
    inline = ["mkdir -p /tmp/dayfly"]
  }

  provisioner "file" {
    source      = "${path.root}/../lib"
    destination = "/tmp/dayfly"
  }

  provisioner "file" {
    source      = "${path.root}/../units"
    destination = "/tmp/dayfly"
  }

  provisioner "file" {
    source      = var.agent
    destination = "/tmp/dayfly/dayfly-agent"
  }

  provisioner "shell" {
    script           = "${path.root}/provision.sh"
    environment_vars = ["DAYFLY_VERSION=${var.agent_version}", "DAYFLY_KEEP_SSH=${var.keep_ssh}"]
    execute_command  = "chmod +x {{ .Path }} && sudo env {{ .Vars }} {{ .Path }}"
  }
}
