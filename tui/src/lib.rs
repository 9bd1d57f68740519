//! ipcscope: inter-process communication made visible.
//!
//! Data flows one way: probe → wire → event → model → view. Each module may use only those listed above it:
//! `event` (domain types) → `decode` (bytes to events) → `model` (events to a world) → `analyze` → `trace` (recordings)
//! → `export` → `source` and `sys` → `ui` → `app` and `cli`. Beside them stand the `lessons`: programs to be traced.

pub mod analyze;
pub mod app;
pub mod cli;
pub mod decode;
pub mod event;
pub mod export;
pub mod lessons;
pub mod model;
pub mod source;
pub mod sys;
pub mod trace;
pub mod ui;
