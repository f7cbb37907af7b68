//! What it takes.
