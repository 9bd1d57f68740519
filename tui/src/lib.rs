//! ipcscope: inter-process communication made visible.
