//! The wire between the eBPF probes and user space: plain records, no behaviour.
#![no_std]
