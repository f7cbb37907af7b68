//! dayfly's programs as processes, over S3.

mod chaos;
mod commands;
mod controller;
mod death;
mod doctor;
mod faults;
mod flow;
mod instance;
mod large;
mod life;
mod local;
mod mistakes;
mod names;
mod notices;
mod people;
mod programs;
mod refusals;
mod servers;
mod settings;
mod stays;
mod tales;
mod watching;
