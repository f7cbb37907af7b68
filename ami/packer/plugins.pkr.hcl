# What Packer 1.7 and later want to know, and earlier ones, Debian 12's 1.6.6 among them, do not understand:
#   packer init ami/packer && packer build ami/packer        since 1.7
#   packer build ami/packer/dayfly.pkr.hcl                   before
packer {
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = ">= 1.2.0"
    }
  }
}
