//! ipcscope: inter-process communication made visible.

pub mod decode;
