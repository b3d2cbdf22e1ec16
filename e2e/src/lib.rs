// SPDX-License-Identifier: Apache-2.0
//! End to end: real programs, the real `vor`, and an OTLP collector that lives inside the test.
//!
//! A [`scenario::Scenario`] starts programs and traffic on a [`scene::Scene`] and says what must come of it; the
//! scene then compares everything that vor puts out (printed lines, OTLP, Prometheus, its own counters) with
//! that and with each other. Programs are plain child processes; nothing is left running.

pub mod apps;
pub mod cgroup;
pub mod collector;
pub mod flows;
pub mod held;
pub mod law;
pub mod matrix;
pub mod ports;
pub mod printed;
pub mod program;
pub mod red;
pub mod scenario;
pub mod scene;
pub mod scrape;
pub mod services;
pub mod shop;
pub mod truth;
pub mod until;
pub mod vor;
pub mod web;

mod scenarios;

pub use scenarios::all;
