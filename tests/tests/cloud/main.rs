//! dayfly on EC2, against a stand-in for AWS (tests/aws_double.py); and the stand-in itself, where tests lean on it.

mod double;
mod fleets;
mod machines;
mod metadata;
