// SPDX-License-Identifier: Apache-2.0
//! Captured → spans → stages → metrics and outlets. Owns the seams that exporters and lookups fill.
//!
//! In: batches of [`Captured`](vor_model::Captured). Out: `Arc<[Span]>` in each exporter's inbox, series in the meter.
